//! Who the jail's users are on the host.
//!
//! As root, the jail's ids 0..65536 become a range of host ids that belongs to nobody: never 0,
//! never the analyst. Without privilege the kernel maps one id only: the caller's, which is the
//! subject's in the jail (`user_namespaces(7)`).

use std::fs;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use nix::unistd::Pid;

use super::error::JailError;

/// Number of ids the jail has as root.
pub(crate) const COUNT: u32 = 65_536;
/// First host id ever used: above what login, subuid and systemd-nspawn ranges use by default
/// (systemd's UIDS-GIDS.md), below 2^31 for the sake of signed readers.
const FIRST: u32 = 0x7000_0000;
/// What the kernel shows for ids that have no place in a namespace.
const NOBODY: u32 = 65_534;
/// How many ranges there are.
const RANGES: u32 = 0x0FFF;

/// The identity map of a jail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Map {
    /// Root: ids 0.. of the jail start at this host id.
    Range {
        /// Host id of the jail's root.
        base: u32,
    },
    /// One user and one group.
    Single {
        /// `(in the jail, on the host)`
        uid: (u32, u32),
        /// The same for the group.
        gid: (u32, u32),
    },
}

impl Map {
    /// The map this process can have for a subject that is `uid`, `gid` in the jail.
    pub(crate) fn choose(uid: u32, gid: u32) -> Self {
        let base = FIRST + (std::process::id() % RANGES) * COUNT;
        // Root of a container may have fewer ids than that to give away.
        let owns = |map| fs::read_to_string(map).is_ok_and(|text| covers(&text, base));
        if nix::unistd::geteuid().is_root() && owns("/proc/self/uid_map") && owns("/proc/self/gid_map") {
            Self::Range { base }
        } else {
            Self::Single { uid: (uid, nix::unistd::geteuid().as_raw()), gid: (gid, nix::unistd::getegid().as_raw()) }
        }
    }

    /// Whether belljar is root here, and so may use ranges and idmapped mounts.
    pub(crate) fn is_range(self) -> bool {
        matches!(self, Self::Range { .. })
    }

    /// A host user id that a jail's file has, as the jail knows it.
    pub(crate) fn uid_from_host(self, host: u32) -> u32 {
        match self {
            Self::Single { uid, .. } if host == uid.1 => uid.0,
            Self::Range { base } => host.checked_sub(base).filter(|id| *id < COUNT).unwrap_or(NOBODY),
            Self::Single { .. } => NOBODY,
        }
    }

    /// The same for groups.
    pub(crate) fn gid_from_host(self, host: u32) -> u32 {
        match self {
            Self::Single { gid, .. } if host == gid.1 => gid.0,
            Self::Single { .. } => NOBODY,
            Self::Range { .. } => self.uid_from_host(host),
        }
    }

    /// The user id in the jail of a host path's owner, for attributes of a layer above it;
    /// `None` when it has none there.
    pub(crate) fn uid_in_jail(self, host: u32) -> Option<u32> {
        match self {
            Self::Range { .. } => (host < COUNT).then_some(host),
            Self::Single { uid: (inside, outside), .. } => (host == outside).then_some(inside),
        }
    }

    /// Whether an id of the jail exists (and files can be given to it).
    pub(crate) fn has_uid(self, uid: u32) -> bool {
        match self {
            Self::Range { .. } => uid < COUNT,
            Self::Single { uid: (inside, _), .. } => uid == inside,
        }
    }

    /// The same for groups.
    pub(crate) fn has_gid(self, gid: u32) -> bool {
        match self {
            Self::Range { .. } => gid < COUNT,
            Self::Single { gid: (inside, _), .. } => gid == inside,
        }
    }

    /// Writes the maps of a process that has just been cloned into a new user namespace.
    pub(crate) fn write(self, pid: Pid) -> Result<(), JailError> {
        match self {
            Self::Range { base } => {
                let line = format!("0 {base} {COUNT}\n");
                put(pid, "uid_map", &line)?;
                put(pid, "gid_map", &line)
            }
            Self::Single { uid, gid } => {
                put(pid, "setgroups", "deny")?;
                put(pid, "uid_map", &format!("{} {} 1\n", uid.0, uid.1))?;
                put(pid, "gid_map", &format!("{} {} 1\n", gid.0, gid.1))
            }
        }
    }

    /// The lines that let `caller` (host id) stand for `user` (jail id), each in the other's
    /// place and all other ids in their own: so that what the caller owns in a shown directory
    /// is the subject's there.
    fn swapped(base: u32, caller: u32, user: u32) -> String {
        let (low, high) = (caller.min(user), caller.max(user));
        let mut lines = String::new();
        let mut line = |from: u32, to: u32, count: u32| {
            if count > 0 {
                lines += &format!("{from} {} {count}\n", base + to);
            }
        };
        line(0, 0, low);
        line(low, high, 1);
        line(low + 1, low + 1, high - low - 1);
        line(high, low, 1);
        line(high + 1, high + 1, COUNT - high - 1);
        lines
    }

    /// A user namespace whose map shows the caller's files as the subject's; only for
    /// [`Map::Range`], and only when the two ids differ and fit.
    pub(crate) fn caller_namespace(base: u32, uid: (u32, u32), gid: (u32, u32)) -> Result<Option<OwnedFd>, JailError> {
        let fits = |(a, b): (u32, u32)| a < COUNT && b < COUNT;
        if !fits(uid) || !fits(gid) || (uid.0 == uid.1 && gid.0 == gid.1) {
            return Ok(None);
        }
        let lines = |(caller, user): (u32, u32)| {
            if caller == user { format!("0 {base} {COUNT}\n") } else { Self::swapped(base, caller, user) }
        };
        let holder = super::clone::Holder::new()?;
        put(holder.pid(), "uid_map", &lines(uid))?;
        put(holder.pid(), "gid_map", &lines(gid))?;
        let path = PathBuf::from(format!("/proc/{}/ns/user", holder.pid()));
        let file = fs::File::open(&path).map_err(|cause| JailError::Parent { what: "open a user namespace", cause })?;
        Ok(Some(file.into()))
    }
}

/// Whether a map of this process (`user_namespaces(7)`: inside, outside, count) has the whole
/// range from `base` on.
fn covers(map: &str, base: u32) -> bool {
    map.lines().any(|line| {
        let mut numbers = line.split_whitespace().map(|n| n.parse::<u64>().unwrap_or(0));
        let (first, _, count) = (numbers.next().unwrap_or(0), numbers.next(), numbers.next().unwrap_or(0));
        u64::from(base) >= first && u64::from(base) + u64::from(COUNT) <= first + count
    })
}

fn put(pid: Pid, name: &str, text: &str) -> Result<(), JailError> {
    let path = PathBuf::from(format!("/proc/{pid}/{name}"));
    fs::write(&path, text).map_err(|cause| JailError::IdMap { path, cause })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Applies the lines of a map as the kernel would.
    fn apply(lines: &str, id: u32) -> Option<u32> {
        lines.lines().find_map(|line| {
            let mut n = line.split(' ').map(|n| n.parse::<u32>().expect("number"));
            let (from, to, count) = (n.next()?, n.next()?, n.next()?);
            (id >= from && id - from < count).then(|| to + (id - from))
        })
    }

    #[test]
    fn a_range_must_be_ours_to_give() {
        assert!(covers("         0          0 4294967295\n", FIRST));
        assert!(!covers("         0     100000      65536\n", FIRST));
        assert!(!covers("0 1000 1\n1 100000 65536\n", FIRST));
        assert!(!covers("", FIRST));
    }

    #[test]
    fn a_swapped_map_is_a_permutation() {
        for (caller, user) in [(0, 1000), (1000, 0), (7, 8), (0, COUNT - 1), (65_534, 1000)] {
            let lines = Map::swapped(FIRST, caller, user);
            assert_eq!(apply(&lines, caller), Some(FIRST + user));
            assert_eq!(apply(&lines, user), Some(FIRST + caller));
            let mut seen: Vec<u32> = (0..COUNT).map(|id| apply(&lines, id).expect("mapped")).collect();
            seen.sort_unstable();
            assert!(seen.into_iter().eq(FIRST..FIRST + COUNT));
        }
    }
}
