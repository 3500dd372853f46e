//! One name for one object. The kernel's half says which thing a descriptor is open to, and tells its name once: when
//! it is first seen and whenever it is opened. What is told later of the same thing has that name, whoever holds it by
//! then, and whether or not the file is still called so.

use std::io::Write;

use rustix::fs::FileType;

use super::record::{Peer, Thing};
use crate::event::ObjectKind;
use crate::witness::address;
use crate::witness::ids::IdMap;
use crate::witness::name::{self, Name};

/// Names kept of one epoch; then the kernel's half is asked to tell all again. The previous epoch's are kept for what
/// is still on its way.
const EPOCH: usize = 1 << 16;
/// Magic numbers of file systems (linux/magic.h).
const PIPEFS: u64 = 0x5049_5045;
const SOCKFS: u64 = 0x534f_434b;
const ANON_INODE: u64 = 0x0904_1934;
const PIDFS: u64 = 0x5049_4446;
const NSFS: u64 = 0x6e73_6673;

/// What a thing is known by.
type Key = (u64, u64, u64);

/// The names of a session's things.
#[derive(Default)]
pub(super) struct Names {
    recent: IdMap<Key, Name>,
    older: IdMap<Key, Name>,
    /// Unix sockets bound or connected to by a relative path, which is all the kernel keeps, and the absolute one.
    relative: std::collections::HashMap<Vec<u8>, Vec<u8>>,
    /// The name last made, where it is not kept.
    made: Name,
    /// How often the kernel's half has to begin anew.
    pub(super) epoch: u32,
}

impl Names {
    /// The name of a thing. `way` is the one told with it, `peer` a socket's. `None` when it was never told.
    pub(super) fn of(&mut self, thing: &Thing, way: Option<&[u8]>, peer: Option<&Peer<'_>>) -> Option<&Name> {
        match thing.magic {
            PIPEFS => {
                self.made.clear();
                self.made.kind = ObjectKind::Pipe;
                let _ = write!(self.made.bytes, "pipe:[{}]", thing.ino);
                return Some(&self.made);
            }
            SOCKFS => {
                self.socket(thing.ino, peer);
                return Some(&self.made);
            }
            _ => {}
        }
        let key = (thing.ino, thing.dentry, thing.mnt);
        if let Some(way) = way {
            if self.recent.len() >= EPOCH && !self.recent.contains_key(&key) {
                self.older = std::mem::take(&mut self.recent);
                self.epoch = self.epoch.wrapping_add(1);
            }
            let name = self.recent.entry(key).or_default();
            make(thing, way, name);
            return Some(name);
        }
        if self.recent.contains_key(&key) { self.recent.get(&key) } else { self.older.get(&key) }
    }

    /// A unix socket is called `relative` by one whose directory makes that `absolute`.
    pub(super) fn called(&mut self, relative: &[u8], absolute: &[u8]) {
        if relative.first() != Some(&b'/') {
            if self.relative.len() >= EPOCH {
                self.relative.clear();
            }
            self.relative.insert(relative.to_vec(), absolute.to_vec());
        }
    }

    /// Names a socket: its peer, else itself, else by its number.
    fn socket(&mut self, ino: u64, peer: Option<&Peer<'_>>) {
        let name = &mut self.made;
        name.clear();
        name.kind = ObjectKind::Socket;
        if let Some(peer) = peer {
            let family = i32::from(peer.family);
            name.kind = match (family, i32::from(peer.kind), i32::from(peer.protocol)) {
                (libc::AF_UNIX, _, _) => ObjectKind::Unix,
                (libc::AF_INET | libc::AF_INET6, libc::SOCK_STREAM, _) => ObjectKind::Tcp,
                (libc::AF_INET | libc::AF_INET6, libc::SOCK_DGRAM, libc::IPPROTO_UDP | libc::IPPROTO_UDPLITE) => {
                    ObjectKind::Udp
                }
                _ => ObjectKind::Socket,
            };
            match family {
                libc::AF_NETLINK => {
                    let _ = write!(name.bytes, "netlink:{}", peer.protocol);
                }
                libc::AF_UNIX => {
                    // A server's peer is often nameless: the server's own name then says which it is.
                    let which = if peer.other_name.len() > 2 { peer.other_name } else { peer.own_name };
                    address::format(which, &mut name.bytes);
                    if let Some(absolute) = self.relative.get(&name.bytes) {
                        name.set(ObjectKind::Unix, absolute);
                    }
                }
                libc::AF_INET | libc::AF_INET6 => {
                    if name.kind == ObjectKind::Socket {
                        let _ = write!(name.bytes, "family:{family}:protocol:{}:", peer.protocol);
                    }
                    let (ip, port) =
                        if peer.connected { (peer.other, peer.other_port) } else { (peer.own, peer.own_port) };
                    address::format(&raw_address(peer.family, &ip, port), &mut name.bytes);
                }
                _ => {}
            }
        }
        if name.bytes.is_empty() {
            let _ = write!(name.bytes, "socket:[{ino}]");
        }
    }
}

/// A `struct sockaddr_in` or `sockaddr_in6`.
pub(super) fn raw_address(family: u16, ip: &[u8; 16], port: u16) -> [u8; 28] {
    let mut raw = [0; 28];
    let (family_bytes, port_bytes) = (family.to_le_bytes(), port.to_be_bytes());
    let v6 = i32::from(family) == libc::AF_INET6;
    let place = if v6 { 8 } else { 4 };
    let width = if v6 { 16 } else { 4 };
    let parts = [(0, &family_bytes[..]), (2, &port_bytes[..]), (place, ip.get(..width).unwrap_or_default())];
    for (at, bytes) in parts {
        for (to, from) in raw.iter_mut().skip(at).zip(bytes) {
            *to = *from;
        }
    }
    raw
}

/// Makes the name of what is no pipe and no socket.
fn make(thing: &Thing, way: &[u8], name: &mut Name) {
    name.clear();
    climb(way, &mut name.bytes);
    let file = FileType::from_raw_mode(thing.mode.into());
    name.kind = match thing.magic {
        ANON_INODE => {
            name.bytes.splice(..1.min(name.bytes.len()), *b"anon_inode:");
            ObjectKind::Anon
        }
        PIDFS => {
            name.set(ObjectKind::Anon, b"anon_inode:[pidfd]");
            ObjectKind::Anon
        }
        NSFS => {
            name.bytes.clear();
            let _ = write!(name.bytes, "ns:[{}]", thing.ino);
            ObjectKind::Anon
        }
        _ if thing.internal && name.bytes.starts_with(b"/memfd:") => {
            name.bytes.remove(0);
            ObjectKind::Memfd
        }
        _ if thing.internal => ObjectKind::Anon,
        _ => name::kind_of(&name.bytes, Some(file)),
    };
}

/// The absolute path that a way up, last name first, comes from.
fn climb(way: &[u8], path: &mut Vec<u8>) {
    let mut parts: Vec<&[u8]> = Vec::with_capacity(16);
    let mut rest = way;
    while let Some((len, more)) = rest.split_first() {
        let (part, more) = more.split_at(usize::from(*len).min(more.len()));
        parts.push(part);
        rest = more;
    }
    for part in parts.iter().rev() {
        path.push(b'/');
        path.extend_from_slice(part);
    }
    if path.is_empty() {
        path.push(b'/');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(ino: u64) -> Thing {
        Thing { ino, dentry: 7, mode: 0o100_644, ..Thing::default() }
    }

    #[test]
    fn a_name_stays_until_it_is_told_anew() {
        let mut names = Names::default();
        assert!(names.of(&file(1), None, None).is_none());
        assert_eq!(
            names.of(&file(1), Some(b"\x03csv\x03srv"), None).map(|n| n.bytes.clone()),
            Some(b"/srv/csv".to_vec())
        );
        assert_eq!(names.of(&file(1), None, None).map(|n| n.bytes.clone()), Some(b"/srv/csv".to_vec()));
        assert_eq!(names.of(&file(1), Some(b""), None).map(|n| n.bytes.clone()), Some(b"/".to_vec()));
    }

    #[test]
    fn a_full_epoch_asks_for_names_again_and_keeps_the_last_one() {
        let mut names = Names::default();
        for ino in 0..=EPOCH as u64 {
            names.of(&file(ino), Some(b"\x01x"), None);
        }
        assert_eq!(names.epoch, 1);
        assert!(names.of(&file(3), None, None).is_some());
    }

    #[test]
    fn things_without_a_path_are_named_by_what_they_are() {
        let mut names = Names::default();
        let pipe = Thing { ino: 12, magic: PIPEFS, ..Thing::default() };
        assert_eq!(
            names.of(&pipe, None, None).map(|n| (n.kind, n.bytes.clone())),
            Some((ObjectKind::Pipe, b"pipe:[12]".to_vec()))
        );
        let memory = Thing { ino: 3, internal: true, ..Thing::default() };
        let name = names.of(&memory, Some(b"\x0amemfd:plan"), None).map(|n| (n.kind, n.bytes.clone()));
        assert_eq!(name, Some((ObjectKind::Memfd, b"memfd:plan".to_vec())));
        let event = Thing { ino: 4, magic: ANON_INODE, ..Thing::default() };
        let name = names.of(&event, Some(b"\x09[eventfd]"), None).map(|n| (n.kind, n.bytes.clone()));
        assert_eq!(name, Some((ObjectKind::Anon, b"anon_inode:[eventfd]".to_vec())));
    }
}
