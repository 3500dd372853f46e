//! Whose connection is it? The kernel tells the inode of the jail's socket by the connection's addresses
//! (`sock_diag(7)`), and `/proc` which process of the jail holds a descriptor of it.
//!
//! Programs that open many connections get descriptors one after the other, so those that follow the last ones found are
//! tried before all are looked through; and all are not looked through more often than that takes.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::net::{RecvFlags, SendFlags};

/// Processes of a jail that are looked through.
const PROCESSES_MAX: usize = 4096;
/// Descriptors that one search looks at in all: some tens of milliseconds, in which nobody else is served.
const SEARCH_MAX: usize = 16_384;
/// Sockets remembered.
const KNOWN_MAX: usize = 65_536;
/// Processes of which the last descriptor found is remembered.
const LAST_MAX: usize = 4;
/// Descriptors tried after it.
const AHEAD: u32 = 4;
/// `SOCK_DIAG_BY_FAMILY` (linux/sock_diag.h).
const BY_FAMILY: u16 = 20;

/// A process that holds a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    /// Its host process id.
    pub pid: u32,
    /// The kernel's short name of it.
    pub name: String,
}

/// Finds owners.
pub(super) struct Owners {
    diag: Option<OwnedFd>,
    init: i32,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    known: HashMap<u64, u32>,
    /// Where sockets were found last, by process and descriptor; the latest first.
    last: Vec<(u32, u32)>,
    looked: Option<(Instant, Duration)>,
}

impl Owners {
    pub(super) fn new(diag: Option<OwnedFd>, init: i32) -> Self {
        Self { diag, init, state: Mutex::default() }
    }

    /// Who has the socket of this protocol (`IPPROTO_...`) from `source` to `called`.
    pub(super) fn of(&self, protocol: u8, source: SocketAddr, called: SocketAddr) -> Option<Owner> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let inode = self.inode(protocol, source, called)?;
        let pid = state.find(inode, self.init)?;
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        Some(Owner { pid, name: name.trim_end().to_owned() })
    }

    fn inode(&self, protocol: u8, source: SocketAddr, called: SocketAddr) -> Option<u64> {
        let diag = self.diag.as_ref()?;
        if i32::from(protocol) == libc::IPPROTO_UDP {
            // The kernel looks for who would receive an answer: the other end is the source then (net/ipv4/udp_diag.c).
            return ask(diag.as_fd(), family(source.ip()), protocol, called, source);
        }
        let found = ask(diag.as_fd(), family(source.ip()), protocol, source, called);
        // A socket of IPv6 may speak IPv4: its addresses are mapped ones.
        found.or_else(|| ask(diag.as_fd(), libc::AF_INET6, protocol, mapped(source), mapped(called)))
    }
}

fn family(ip: IpAddr) -> i32 {
    if ip.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 }
}

fn mapped(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), address.port()),
        IpAddr::V6(_) => address,
    }
}

/// Asks for one socket: `struct inet_diag_req_v2` behind a netlink header; the answer is `struct inet_diag_msg`, whose
/// last word is the inode (linux/inet_diag.h).
fn ask(
    diag: std::os::fd::BorrowedFd<'_>,
    family: i32,
    protocol: u8,
    source: SocketAddr,
    called: SocketAddr,
) -> Option<u64> {
    let mut request = Vec::with_capacity(72);
    request.extend(72u32.to_ne_bytes());
    request.extend(BY_FAMILY.to_ne_bytes());
    request.extend(1u16.to_ne_bytes()); // NLM_F_REQUEST
    request.extend([0; 8]);
    request.extend([family as u8, protocol, 0, 0]);
    request.extend(u32::MAX.to_ne_bytes()); // in any state
    request.extend(source.port().to_be_bytes());
    request.extend(called.port().to_be_bytes());
    for address in [source.ip(), called.ip()] {
        let mut octets = [0; 16];
        match address {
            IpAddr::V4(ip) => octets.get_mut(..4)?.copy_from_slice(&ip.octets()),
            IpAddr::V6(ip) => octets = ip.octets(),
        }
        request.extend(octets);
    }
    request.extend([0; 4]);
    request.extend([0xff; 8]); // no cookie
    rustix::net::send(diag, &request, SendFlags::empty()).ok()?;
    let mut answer = [0; 512];
    // The kernel answers before `send` returns.
    let (_, length) = rustix::net::recv(diag, &mut answer[..], RecvFlags::DONTWAIT).ok()?;
    let answer = answer.get(..length)?;
    let kind = u16::from_ne_bytes(*answer.get(4..)?.first_chunk()?);
    // 16 of the header, then 4, ids of 48, and five words of which the last is the inode.
    let inode = u32::from_ne_bytes(*answer.get(16 + 4 + 48 + 16..)?.first_chunk()?);
    (kind == BY_FAMILY && inode != 0).then_some(u64::from(inode))
}

impl State {
    fn was_at(&mut self, pid: u32, fd: u32) {
        self.last.retain(|(known, _)| *known != pid);
        self.last.insert(0, (pid, fd));
        self.last.truncate(LAST_MAX);
    }

    fn find(&mut self, inode: u64, init: i32) -> Option<u32> {
        if let Some(pid) = self.known.get(&inode) {
            return Some(*pid);
        }
        let near = |(pid, fd): (u32, u32)| {
            let mut places = [fd].into_iter().chain(fd.saturating_sub(1)..=fd.saturating_add(AHEAD));
            places.find(|fd| is(pid, *fd, inode)).map(|fd| (pid, fd))
        };
        if let Some((pid, fd)) = self.last.iter().copied().find_map(near) {
            self.was_at(pid, fd);
            return Some(pid);
        }
        // All are looked through for at most a fifth of the time.
        if self.looked.is_some_and(|(when, took)| when.elapsed() < took * 4) {
            return None;
        }
        let begun = Instant::now();
        if self.known.len() >= KNOWN_MAX {
            self.known.clear();
        }
        // The youngest first: a child that was given its parent's socket is who uses it.
        let mut pids = processes(init);
        pids.sort_unstable_by(|a, b| b.cmp(a));
        let (mut found, mut left) = (None, SEARCH_MAX);
        for pid in pids {
            for (fd, held) in sockets(pid, &mut left) {
                if held == inode && found.is_none() {
                    found = Some(pid);
                    self.was_at(pid, fd);
                }
            }
            if found.is_some() || left == 0 {
                break;
            }
        }
        self.looked = Some((begun, begun.elapsed()));
        if let Some(pid) = found {
            self.known.insert(inode, pid);
        }
        found
    }
}

fn is(pid: u32, fd: u32, inode: u64) -> bool {
    std::fs::read_link(format!("/proc/{pid}/fd/{fd}"))
        .is_ok_and(|link| link.to_str() == Some(format!("socket:[{inode}]").as_str()))
}

/// Descriptors of a process that are sockets, with their inodes.
fn sockets(pid: u32, left: &mut usize) -> impl Iterator<Item = (u32, u64)> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten().take_while(|_| {
        let more = *left > 0;
        *left = left.saturating_sub(1);
        more
    });
    entries.filter_map(|entry| {
        let link = std::fs::read_link(entry.path()).ok()?;
        let inode = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()?;
        Some((entry.file_name().to_str()?.parse().ok()?, inode))
    })
}

/// Host ids of the jail's processes: all that descend from its first.
fn processes(init: i32) -> Vec<u32> {
    let mut all = vec![u32::try_from(init).unwrap_or_default()];
    let mut next = 0;
    while let Some(pid) = all.get(next).copied() {
        next += 1;
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        for task in tasks {
            let children = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
            all.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        }
        if all.len() >= PROCESSES_MAX {
            break;
        }
    }
    all
}
