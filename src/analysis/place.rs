//! What kind of place an object is: does what goes there leave the machine, stay on disk, or only
//! pass to another process? And which planted asset a path belongs to.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use belljar_sandbox::decoy::Asset;
use belljar_sandbox::event::ObjectKind;

use super::finding::Channel;
use crate::store::{AssetSet, Object};

/// What kind of place an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A path on disk, or a device that keeps data.
    Disk,
    /// Outside the machine.
    Remote,
    /// To other processes: pipes, unix sockets, loopback, memory with a descriptor.
    Local,
    /// Shown, thrown away, or of the kernel.
    Nowhere,
}

/// What kind of place `object` is.
pub(super) fn place(object: &Object) -> Place {
    match object.kind {
        ObjectKind::File if is_virtual(&object.name) => Place::Nowhere,
        ObjectKind::Device if is_sink(&object.name) => Place::Nowhere,
        ObjectKind::File | ObjectKind::Device => Place::Disk,
        ObjectKind::Tcp | ObjectKind::Udp => {
            if is_loopback(split_port(&object.name).0) {
                Place::Local
            } else {
                Place::Remote
            }
        }
        // Families that end in the kernel.
        ObjectKind::Socket if [&b"netlink"[..], b"alg", b"unix"].iter().any(|f| object.name.starts_with(f)) => {
            Place::Nowhere
        }
        ObjectKind::Socket => Place::Remote,
        ObjectKind::Pipe | ObjectKind::Unix | ObjectKind::Memfd => Place::Local,
        ObjectKind::None | ObjectKind::Terminal | ObjectKind::Anon | ObjectKind::Process | ObjectKind::Other => {
            Place::Nowhere
        }
    }
}

/// The channel that an object stands for.
pub(super) fn channel(object: &Object) -> Channel {
    match object.kind {
        ObjectKind::File => Channel::File,
        ObjectKind::Pipe => Channel::Pipe,
        ObjectKind::Unix => Channel::Unix,
        // What was spoken over it is for who reads the bytes to say; only port 53 speaks for itself.
        ObjectKind::Tcp | ObjectKind::Udp if split_port(&object.name).1 == Some(53) => Channel::Dns,
        ObjectKind::Tcp => Channel::Tcp,
        ObjectKind::Udp => Channel::Udp,
        ObjectKind::Socket if memchr::memmem::find(&object.name, b"icmp").is_some() => Channel::Icmp,
        ObjectKind::Terminal => Channel::Terminal,
        ObjectKind::Device => Channel::Device,
        _ => Channel::Other,
    }
}

/// Splits `address:port`, with or without brackets around the address. Without a readable port
/// the whole is the address.
pub(super) fn split_port(name: &[u8]) -> (&[u8], Option<u16>) {
    let split = name.iter().rposition(|b| *b == b':').and_then(|colon| {
        let (host, port) = (name.get(..colon)?, name.get(colon + 1..)?);
        let port = std::str::from_utf8(port).ok()?.parse().ok()?;
        Some((host, port))
    });
    match split {
        Some((host, port)) => {
            let bare = host.strip_prefix(b"[").and_then(|host| host.strip_suffix(b"]")).unwrap_or(host);
            (bare, Some(port))
        }
        None => (name, None),
    }
}

/// Addresses that stay in the machine. The unspecified address reaches the machine itself
/// (connect(2) on Linux takes it for loopback).
fn is_loopback(host: &[u8]) -> bool {
    let mapped = host.strip_prefix(b"::ffff:").unwrap_or(host);
    mapped.starts_with(b"127.") || matches!(mapped, b"::1" | b"::" | b"0.0.0.0" | b"localhost")
}

/// Files that the kernel makes up.
fn is_virtual(path: &[u8]) -> bool {
    path.starts_with(b"/proc/")
        || path.starts_with(b"/sys/")
        // What is shared in memory is kept like any file, until the machine is off.
        || path.starts_with(b"/dev/") && !path.starts_with(b"/dev/shm/")
}

/// Devices that keep nothing.
fn is_sink(path: &[u8]) -> bool {
    matches!(path, b"/dev/null" | b"/dev/zero" | b"/dev/full" | b"/dev/random" | b"/dev/urandom")
        || path.starts_with(b"/dev/tty")
        || path.starts_with(b"/dev/pts/")
}

/// Finds the assets that a path belongs to.
#[derive(Debug)]
pub(super) struct AssetPaths {
    files: HashMap<Vec<u8>, AssetSet>,
    /// Directories whose whole contents belong to an asset; they end in `/`.
    below: Vec<(Vec<u8>, usize)>,
}

impl AssetPaths {
    /// An index of the paths of `assets`.
    pub(super) fn new(assets: &[Asset]) -> Self {
        let mut index = Self { files: HashMap::new(), below: Vec::new() };
        for (number, asset) in assets.iter().enumerate().take(AssetSet::CAPACITY) {
            for path in &asset.paths {
                if path.ends_with(b"/") {
                    index.below.push((path.clone(), number));
                } else {
                    index.files.entry(path.clone()).or_default().insert(number);
                }
            }
        }
        index
    }

    /// The assets that `object` is (part of), when it is a path.
    pub(super) fn of(&self, object: Option<&Object>) -> AssetSet {
        let Some(object) = object.filter(|o| matches!(o.kind, ObjectKind::File | ObjectKind::Device)) else {
            return AssetSet::default();
        };
        let mut assets = self.files.get(&*object.name).copied().unwrap_or_default();
        for (prefix, asset) in &self.below {
            if object.name.len() > prefix.len() && object.name.starts_with(prefix) {
                assets.insert(*asset);
            }
        }
        assets
    }

    /// The assets that `object` is (part of), or that lie below it: what goes when it goes.
    pub(super) fn with(&self, object: &Object) -> AssetSet {
        let mut assets = self.of(Some(object));
        let lies_below = |path: &[u8]| path.strip_prefix(&*object.name).is_some_and(|rest| rest.starts_with(b"/"));
        if object.kind == ObjectKind::File && !object.name.is_empty() {
            let files = self.files.iter().filter(|(path, _)| lies_below(path)).map(|(_, assets)| *assets);
            assets.0 |= files.fold(0, |all, assets| all | assets.0);
            for (_, asset) in self.below.iter().filter(|(path, _)| lies_below(path)) {
                assets.insert(*asset);
            }
        }
        assets
    }

    /// Whether something was planted under this very name.
    pub(super) fn names(&self, object: &Object) -> bool {
        self.files.contains_key(&*object.name)
    }
}

/// A short name for an object. Keyed by chance, so that no subject can make two that collide.
#[derive(Clone, Debug, Default)]
pub(super) struct Hasher(RandomState);

impl Hasher {
    /// The number of an object.
    pub(super) fn object(&self, object: &Object) -> u64 {
        self.0.hash_one((object.kind as u8, &object.name))
    }

    /// The number of anything else.
    pub(super) fn any(&self, thing: impl std::hash::Hash) -> u64 {
        self.0.hash_one(thing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is(kind: ObjectKind, name: &str) -> Place {
        place(&Object { kind, name: name.as_bytes().into() })
    }

    #[test]
    fn what_leaves_the_machine_and_what_does_not() {
        for remote in ["203.0.113.9:80", "[2001:db8::1]:443", "2001:db8::1:443", "", "socket:[77]"] {
            assert_eq!(is(ObjectKind::Tcp, remote), Place::Remote, "{remote}");
        }
        for local in ["127.0.0.1:80", "127.9.9.9:1", "[::1]:80", "::1:80", "0.0.0.0:80", "[::ffff:127.0.0.1]:8"] {
            assert_eq!(is(ObjectKind::Tcp, local), Place::Local, "{local}");
        }
        assert_eq!(is(ObjectKind::Socket, "netlink:route"), Place::Nowhere);
        assert_eq!(is(ObjectKind::Socket, "packet:eth0"), Place::Remote);
        assert_eq!(is(ObjectKind::Device, "/dev/null"), Place::Nowhere);
        assert_eq!(is(ObjectKind::Device, "/dev/sda"), Place::Disk);
        assert_eq!(is(ObjectKind::File, "/proc/self/oom_score_adj"), Place::Nowhere);
        assert_eq!(is(ObjectKind::File, "/dev/shm/x"), Place::Disk);
    }

    #[test]
    fn ports_name_channels() {
        let named = |kind, name: &str| channel(&Object { kind, name: name.as_bytes().into() });
        assert_eq!(named(ObjectKind::Tcp, "[2001:db8::1]:443"), Channel::Tcp);
        assert_eq!(named(ObjectKind::Udp, "10.0.0.1:53"), Channel::Dns);
        assert_eq!(named(ObjectKind::Tcp, "10.0.0.1:99999"), Channel::Tcp);
    }
}
