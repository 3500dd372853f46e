//! What sockets are connected to.
//!
//! `/proc` names a socket only by its inode, so it is asked itself: a copy of the subject's descriptor is taken and
//! its kind and peer are read. A connected stream keeps its peer, so that is remembered by inode (which the kernel
//! counts up and does not soon use again).

use std::collections::HashMap;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::kernel;
use super::tasks::{Process, Task};
use crate::event::ObjectKind;
use crate::witness::address;
use crate::witness::ids::IdMap;
use crate::witness::name::{Name, socket_inode};

/// Most sockets that are remembered; then all are forgotten and learnt anew.
const KNOWN_MAX: usize = 1 << 16;

struct Known {
    kind: ObjectKind,
    name: Vec<u8>,
    /// The peer has been confirmed by the socket itself, rather than only been asked for in a connect.
    settled: bool,
}

/// The sockets of a session.
#[derive(Default)]
pub(super) struct Sockets {
    known: IdMap<u64, Known>,
    /// Unix sockets that were bound or connected to by a relative path, which is all the kernel keeps: that path, and
    /// the absolute one it meant.
    relative: HashMap<Vec<u8>, Vec<u8>>,
}

impl Sockets {
    /// Replaces `socket:[inode]` in `name` by what the socket is and whom it talks to. Returns its inode.
    pub(super) fn name(&mut self, task: &mut Task, process: &Process, fd: i32, name: &mut Name) -> Option<u64> {
        let inode = socket_inode(&name.bytes)?;
        let attempted = match self.known.get(&inode) {
            Some(known) if known.settled => {
                name.set(known.kind, &known.name);
                return Some(inode);
            }
            Some(known) => Some(known.name.clone()),
            None => None,
        };
        let Some(socket) = task.take(process, fd) else { return Some(inode) };
        let settled = describe(socket.as_fd(), name);
        if name.kind == ObjectKind::Unix
            && let Some(absolute) = self.relative.get(&name.bytes)
        {
            name.set(ObjectKind::Unix, absolute);
        }
        if settled {
            self.remember(inode, name.kind, &name.bytes, true);
        } else if let Some(attempted) = attempted {
            name.set(name.kind, &attempted);
        }
        Some(inode)
    }

    /// A connect to `peer` is on its way.
    pub(super) fn connecting(&mut self, inode: u64, kind: ObjectKind, peer: &[u8]) {
        self.remember(inode, kind, peer, false);
    }

    /// A unix socket is called `relative` by one whose directory makes that `absolute`.
    pub(super) fn called(&mut self, relative: &[u8], absolute: &[u8]) {
        if relative.first() != Some(&b'/') && self.relative.get(relative).is_none_or(|known| known != absolute) {
            if self.relative.len() >= KNOWN_MAX {
                self.relative.clear();
            }
            self.relative.insert(relative.to_vec(), absolute.to_vec());
        }
    }

    fn remember(&mut self, inode: u64, kind: ObjectKind, name: &[u8], settled: bool) {
        if self.known.len() >= KNOWN_MAX {
            self.known.clear();
        }
        self.known.insert(inode, Known { kind, name: name.to_vec(), settled });
    }
}

/// Names a socket: its peer, else itself, else (for a unix socket without a name) what `name` held. Returns whether
/// it was its peer.
fn describe(socket: BorrowedFd<'_>, name: &mut Name) -> bool {
    let domain = kernel::socket_option(socket, libc::SO_DOMAIN).unwrap_or(libc::AF_UNSPEC);
    let kind = kernel::socket_option(socket, libc::SO_TYPE).unwrap_or(0);
    let protocol = kernel::socket_option(socket, libc::SO_PROTOCOL).unwrap_or(0);
    name.kind = match (domain, kind, protocol) {
        (libc::AF_UNIX, _, _) => ObjectKind::Unix,
        (libc::AF_INET | libc::AF_INET6, libc::SOCK_STREAM, _) => ObjectKind::Tcp,
        (libc::AF_INET | libc::AF_INET6, libc::SOCK_DGRAM, libc::IPPROTO_UDP | libc::IPPROTO_UDPLITE) => {
            ObjectKind::Udp
        }
        _ => ObjectKind::Socket,
    };
    let mut raw = [0; kernel::ADDRESS_MAX];
    let (len, peer) = match kernel::peer_address(socket, &mut raw) {
        Ok(len) => (len, true),
        Err(_) => (kernel::own_address(socket, &mut raw).unwrap_or(0), false),
    };
    let mut text = Vec::new();
    match domain {
        libc::AF_NETLINK => {
            // Which subsystem it speaks to says more than who it is.
            let _ = write!(text, "netlink:{protocol}");
            name.set(name.kind, &text);
            return true;
        }
        libc::AF_INET | libc::AF_INET6 if name.kind == ObjectKind::Socket => {
            let _ = write!(text, "family:{domain}:protocol:{protocol}:");
        }
        _ => {}
    }
    address::format(raw.get(..len).unwrap_or_default(), &mut text);
    if text.is_empty() && domain == libc::AF_UNIX && peer {
        // The peer of a server is often nameless: the server's own name then says which it is.
        let len = kernel::own_address(socket, &mut raw).unwrap_or(0);
        address::format(raw.get(..len).unwrap_or_default(), &mut text);
    }
    if !text.is_empty() {
        name.set(name.kind, &text);
    }
    peer
}

/// Whether a connect or send on this socket returns at once.
pub(super) fn is_nonblocking(socket: &OwnedFd) -> bool {
    rustix::fs::fcntl_getfl(socket).is_ok_and(|flags| flags.contains(rustix::fs::OFlags::NONBLOCK))
}

/// Whether it sends datagrams.
pub(super) fn is_datagram(socket: &OwnedFd) -> bool {
    kernel::socket_option(socket.as_fd(), libc::SO_TYPE).is_some_and(|kind| kind != libc::SOCK_STREAM)
}

/// Whether it is an internet socket.
pub(super) fn is_inet(socket: &OwnedFd) -> bool {
    kernel::socket_option(socket.as_fd(), libc::SO_DOMAIN)
        .is_some_and(|domain| domain == libc::AF_INET || domain == libc::AF_INET6)
}
