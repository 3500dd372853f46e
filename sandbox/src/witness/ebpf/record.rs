//! The records that the kernel's half hands over, byte for byte as `bpf/record.h` has them.
//!
//! They come from our own program, but what it copied is the subject's: every length is checked, and a record that
//! does not fit together gives fewer items, never more.

use crate::event::Abi;

/// What a record tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    /// One call, finished.
    Call,
    /// An exec that succeeded.
    Exec,
    /// A process came to be.
    Fork,
    /// A process ended.
    End,
    /// More of the payload of the thread's next call.
    Part,
    /// How often a thread made each quiet call.
    Quiet,
    /// Items of the thread's call, read before it did away with them.
    Early,
    /// One call of a function of a TLS library.
    Tls,
}

/// It never entered: a filter or a tracer answered it.
pub(super) const NO_ENTER: u16 = 1;
/// It does not return.
pub(super) const NO_RESULT: u16 = 2;
/// Some memory could not be read.
pub(super) const UNREADABLE: u16 = 4;
/// Some item is not all of it.
pub(super) const CUT: u16 = 8;
/// Parts of the payload came before.
pub(super) const PARTS: u16 = 16;

/// The fixed part.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) kind: Type,
    pub(super) abi: Abi,
    pub(super) flags: u16,
    pub(super) nr: u32,
    /// Records lost on this processor just before this one.
    pub(super) lost: u32,
    pub(super) process: u32,
    pub(super) tid: u32,
    /// `CLOCK_MONOTONIC` in nanoseconds.
    pub(super) time: u64,
    pub(super) duration: u64,
    pub(super) result: i64,
    pub(super) total: u64,
    pub(super) args: [u64; 6],
}

/// Bytes of `struct head`.
pub(super) const HEAD: usize = 104;

/// What a descriptor or a place is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Thing {
    pub(super) ino: u64,
    /// With `ino` its identity as long as anything holds it.
    pub(super) dentry: u64,
    /// The mount it was reached by.
    pub(super) mnt: u64,
    pub(super) magic: u64,
    pub(super) mode: u16,
    /// On a mount of the kernel's own.
    pub(super) internal: bool,
    /// Where its descriptor stands.
    pub(super) position: u64,
    /// Which planted file it is, counted from 1.
    pub(super) asset: u32,
}

/// What a thing is to its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Argument,
    Result,
    Base,
    Passed,
    Program,
}

/// Whom a socket talks to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer<'a> {
    pub(super) family: u16,
    pub(super) kind: u16,
    pub(super) protocol: u16,
    pub(super) connected: bool,
    pub(super) own_port: u16,
    pub(super) other_port: u16,
    pub(super) own: [u8; 16],
    pub(super) other: [u8; 16],
    /// A unix socket's address, `struct sockaddr_un`.
    pub(super) own_name: &'a [u8],
    /// That of whom it talks to.
    pub(super) other_name: &'a [u8],
}

/// One part of a record.
#[derive(Clone, Copy, Debug)]
pub(super) enum Item<'a> {
    Thing(Role, Thing),
    /// The way from the thing before up to the root: a length and that many bytes, each.
    Name(&'a [u8]),
    Socket(Peer<'a>),
    Path(&'a [u8]),
    Text(&'a [u8]),
    Payload(&'a [u8]),
    Address(&'a [u8]),
    Argv(&'a [u8]),
    Environment(&'a [u8]),
    Offset(u64),
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |b| u16::from_le_bytes(*b))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |b| u32::from_le_bytes(*b))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |b| u64::from_le_bytes(*b))
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
}

/// Reads a record's head; its items follow.
pub(super) fn head(bytes: &[u8]) -> Option<(Head, Items<'_>)> {
    let items = Items(bytes.get(HEAD..)?);
    let kind = match bytes.first()? {
        1 => Type::Call,
        2 => Type::Exec,
        3 => Type::Fork,
        4 => Type::End,
        5 => Type::Part,
        6 => Type::Quiet,
        7 => Type::Early,
        8 => Type::Tls,
        _ => return None,
    };
    let abi = match bytes.get(1)? {
        0 => Abi::X86_64,
        1 => Abi::I386,
        2 => Abi::X32,
        _ => Abi::Unknown,
    };
    let mut args = [0; 6];
    for (index, arg) in args.iter_mut().enumerate() {
        *arg = u64_at(bytes, 56 + 8 * index);
    }
    let head = Head {
        kind,
        abi,
        flags: u16_at(bytes, 2),
        nr: u32_at(bytes, 4),
        lost: u32_at(bytes, 8),
        process: u32_at(bytes, 12),
        tid: u32_at(bytes, 16),
        time: u64_at(bytes, 24),
        duration: u64_at(bytes, 32),
        result: u64_at(bytes, 40) as i64,
        total: u64_at(bytes, 48),
        args,
    };
    Some((head, items))
}

/// What stands behind a head. For [`Type::Part`] it is the bytes themselves.
#[derive(Clone)]
pub(super) struct Items<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Items<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        loop {
            let bytes = self.0;
            let (kind, role, len) = (u16_at(bytes, 0), u16_at(bytes, 2), u32_at(bytes, 4) as usize);
            let body = bytes.get(8..)?.get(..len)?;
            self.0 = bytes.get(8 + len.next_multiple_of(8)..).unwrap_or_default();
            let item = match kind {
                1 => Item::Thing(role_of(role), thing(body)),
                2 => Item::Name(body),
                3 => Item::Socket(peer(body)),
                4 => Item::Path(body),
                5 => Item::Text(body),
                6 => Item::Payload(body),
                7 => Item::Address(body),
                8 => Item::Argv(body),
                9 => Item::Environment(body),
                10 => Item::Offset(u64_at(body, 0)),
                _ => continue,
            };
            return Some(item);
        }
    }
}

fn role_of(number: u16) -> Role {
    match number {
        1 => Role::Result,
        2 => Role::Base,
        3 => Role::Passed,
        4 => Role::Program,
        _ => Role::Argument,
    }
}

fn thing(bytes: &[u8]) -> Thing {
    Thing {
        ino: u64_at(bytes, 0),
        dentry: u64_at(bytes, 8),
        mnt: u64_at(bytes, 16),
        magic: u64_at(bytes, 24),
        mode: u16_at(bytes, 44),
        internal: u16_at(bytes, 46) & 1 != 0,
        position: u64_at(bytes, 48),
        asset: u32_at(bytes, 56),
    }
}

fn peer(bytes: &[u8]) -> Peer<'_> {
    let name = |at: usize, len: usize| bytes.get(at..).and_then(|rest| rest.get(..len)).unwrap_or_default();
    let byte = |at: usize| bytes.get(at).copied().unwrap_or(0);
    Peer {
        family: u16_at(bytes, 0),
        kind: u16_at(bytes, 2),
        protocol: u16_at(bytes, 4),
        connected: byte(9) != 0,
        own_port: u16_at(bytes, 10),
        other_port: u16::from_be(u16_at(bytes, 12)),
        own: array_at(bytes, 16),
        other: array_at(bytes, 32),
        own_name: name(48, usize::from(byte(7))),
        other_name: name(48 + 112, usize::from(byte(8))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// The C compiler's word on where the fields lie.
    #[test]
    fn the_header_and_this_file_agree() {
        let folder = tempfile::tempdir().expect("folder");
        let source = folder.path().join("layout.c");
        let text = r#"
            #define bool bool_
            #include "record.h"
            #include <stdio.h>
            #include <stddef.h>
            #define AT(s, f) printf("%s.%s %zu\n", #s, #f, offsetof(struct s, f))
            int main(void) {
                AT(head, flags); AT(head, nr); AT(head, lost); AT(head, process); AT(head, tid); AT(head, time);
                AT(head, duration); AT(head, result); AT(head, total); AT(head, args);
                AT(thing, dentry); AT(thing, mnt); AT(thing, magic); AT(thing, mode); AT(thing, flags); AT(thing, position); AT(thing, asset);
                AT(peer, type); AT(peer, protocol); AT(peer, own_len); AT(peer, peer_len); AT(peer, connected);
                AT(peer, own_port); AT(peer, peer_port); AT(peer, own); AT(peer, peer); AT(peer, names);
                printf("sizes %zu %zu %zu\n", sizeof(struct head), sizeof(struct item), sizeof(struct plan));
            }"#;
        std::fs::write(&source, text).expect("written");
        let program = folder.path().join("layout");
        let built = Command::new("cc")
            .arg("-w")
            .arg("-I")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/bpf"))
            .arg("-D__attribute__(x)=")
            .arg("-o")
            .arg(&program)
            .arg(&source)
            .status()
            .expect("a C compiler (`cc`)");
        assert!(built.success());
        let output = Command::new(&program).output().expect("it runs");
        let said = String::from_utf8(output.stdout).expect("text");
        let expected = "head.flags 2\nhead.nr 4\nhead.lost 8\nhead.process 12\nhead.tid 16\nhead.time 24\nhead.duration 32\n\
            head.result 40\nhead.total 48\nhead.args 56\nthing.dentry 8\nthing.mnt 16\nthing.magic 24\nthing.mode 44\nthing.flags 46\n\
            thing.position 48\nthing.asset 56\npeer.type 2\npeer.protocol 4\npeer.own_len 7\npeer.peer_len 8\n\
            peer.connected 9\npeer.own_port 10\npeer.peer_port 12\npeer.own 16\npeer.peer 32\npeer.names 48\n\
            sizes 104 8 24\n";
        assert_eq!(said, expected);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..600)) {
            if let Some((_, items)) = head(&bytes) {
                proptest::prop_assert!(items.count() <= bytes.len());
            }
        }
    }
}
