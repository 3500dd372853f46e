//! Reads of planted data. When a read is trapped its bytes are not there yet, so the witness reads the same range of
//! the same open file itself, through a copy of the subject's descriptor, which moves no position.

use std::collections::HashSet;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags};

use super::memory::Memory;
use crate::decoy::Asset;
use crate::witness::plan::{Place, Role};

/// Where the planted data is.
#[derive(Default)]
pub(super) struct Assets {
    files: HashSet<Vec<u8>>,
    folders: Vec<Vec<u8>>,
}

impl Assets {
    pub(super) fn new(assets: &[Asset]) -> Self {
        let mut own = Self::default();
        for path in assets.iter().flat_map(|asset| &asset.paths) {
            if path.ends_with(b"/") {
                own.folders.push(path.clone());
            } else {
                own.files.insert(path.clone());
            }
        }
        own
    }

    /// Whether a jail path belongs to an asset.
    pub(super) fn holds(&self, path: &[u8]) -> bool {
        self.files.contains(path) || self.folders.iter().any(|folder| path.starts_with(folder))
    }
}

/// Where in its file a reading call begins; `None` for the descriptor's own position.
pub(super) fn offset(role: Role, memory: Memory<'_>, args: &[u64; 6], narrow_nr: Option<u32>) -> Option<u64> {
    let [_, _, _, low, high, last] = *args;
    let given = if memory.wide { low } else { (high << 32) | (low & 0xffff_ffff) };
    match role {
        Role::Read(Place::Given) => Some(given),
        Role::Read(Place::GivenOrCurrent) => (given != u64::MAX).then_some(given),
        // mmap2 of i386 counts in pages of 4096 bytes.
        Role::Map if narrow_nr == Some(192) => Some((last & 0xffff_ffff) << 12),
        Role::Map => Some(last),
        Role::Copy(_, pointer, _) => {
            let pointer = args.get(usize::from(pointer)).copied().filter(|pointer| *pointer != 0)?;
            memory.word(pointer).ok()
        }
        _ => None,
    }
}

/// Reads up to `limit` bytes of a regular file at `offset`, or where its descriptor stands. Nothing for other files.
pub(in crate::witness) fn read(file: &OwnedFd, offset: Option<u64>, wanted: u64, limit: usize, into: &mut Vec<u8>) {
    let regular =
        rustix::fs::fstat(file).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile);
    if !regular {
        return;
    }
    let Some(offset) = offset.or_else(|| rustix::fs::seek(file, rustix::fs::SeekFrom::Current(0)).ok()) else { return };
    let wanted = usize::try_from(wanted).unwrap_or(usize::MAX).min(limit);
    into.clear();
    into.resize(wanted, 0);
    let mut done = fill(file, offset, into);
    if done == 0 {
        // Opened for writing only, or for direct access, which asks for aligned memory.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let again = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file.as_fd()));
        if let Ok(again) = rustix::fs::open(again, flags, Mode::empty()) {
            done = fill(&again, offset, into);
        }
    }
    into.truncate(done);
}

fn fill(file: &OwnedFd, offset: u64, into: &mut [u8]) -> usize {
    let mut done = 0;
    while let Some(rest) = into.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match rustix::io::pread(file, rest, offset.saturating_add(done as u64)) {
            Ok(0) | Err(_) => break,
            Ok(read) => done += read,
        }
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_hold_what_is_below_them() {
        let asset = Asset {
            name: "a".into(),
            class: "c".into(),
            paths: vec![b"/home/u/x.csv".to_vec(), b"/home/u/mail/".to_vec()],
            variables: vec![],
            markers: vec![],
        };
        let assets = Assets::new(&[asset]);
        for (path, held) in [
            (&b"/home/u/x.csv"[..], true),
            (b"/home/u/x.csv2", false),
            (b"/home/u/mail/a/b", true),
            (b"/home/u/mail", false),
            (b"", false),
        ] {
            assert_eq!(assets.holds(path), held, "{path:?}");
        }
    }

    #[test]
    fn a_read_is_repeated_without_moving_the_position() {
        use std::io::{Seek, SeekFrom, Write};
        let mut file = tempfile::tempfile().expect("file");
        file.write_all(b"0123456789").expect("written");
        file.seek(SeekFrom::Start(4)).expect("position");
        let copy: OwnedFd = file.try_clone().expect("copy").into();
        let mut got = Vec::new();
        read(&copy, None, 3, 100, &mut got);
        assert_eq!(got, b"456");
        read(&copy, Some(8), u64::MAX, 100, &mut got);
        assert_eq!(got, b"89");
        read(&copy, Some(0), 10, 2, &mut got);
        assert_eq!(got, b"01");
        assert_eq!(file.stream_position().expect("position"), 4);
    }

    #[test]
    fn offsets_come_from_the_registers_of_each_interface() {
        let memory = |wide| Memory { file: None, tid: 0, wide };
        let args = [0, 0, 0, 0x10, 2, 3];
        assert_eq!(offset(Role::Read(Place::Given), memory(true), &args, None), Some(0x10));
        assert_eq!(offset(Role::Read(Place::Given), memory(false), &args, Some(180)), Some(0x2_0000_0010));
        assert_eq!(offset(Role::Map, memory(true), &args, None), Some(3));
        assert_eq!(offset(Role::Map, memory(false), &args, Some(192)), Some(0x3000));
        assert_eq!(offset(Role::Map, memory(false), &args, Some(90)), Some(3));
        assert_eq!(offset(Role::Read(Place::Current), memory(true), &args, None), None);
        let all = [0, 0, 0, u64::from(u32::MAX), u64::from(u32::MAX), 0];
        assert_eq!(offset(Role::Read(Place::GivenOrCurrent), memory(false), &all, Some(378)), None);
    }
}
