//! The planted files, shown to the kernel's half before the subject begins: it knows them by inode from then on, and
//! hands over all that is read of them, whatever they are called by then.

use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use crate::decoy::Asset;
use crate::witness::notify::assets;

/// Most files shown.
const MOST: usize = 1 << 14;

/// Opens every planted file of the jail, telling `number` before each, counted from 1; gives them in that order.
/// Opened only as places, so that nothing is read or waited for; holding them keeps their inodes.
pub(super) fn show(init_pid: i32, assets: &[Asset], mut number: impl FnMut(u32)) -> Vec<OwnedFd> {
    use std::os::unix::ffi::OsStrExt;
    let root = PathBuf::from(format!("/proc/{init_pid}/root"));
    let mut files = Vec::new();
    let mut open = |path: &Path, files: &mut Vec<OwnedFd>| {
        if files.len() < MOST {
            number(files.len() as u32 + 1);
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            if let Ok(file) = rustix::fs::open(path, flags, Mode::empty()) {
                files.push(file);
            }
        }
    };
    for path in assets.iter().flat_map(|asset| &asset.paths) {
        let inside = path.strip_prefix(b"/").unwrap_or(path);
        let place = root.join(std::ffi::OsStr::from_bytes(inside));
        if path.ends_with(b"/") {
            walk(&place, 0, &mut |file| open(file, &mut files));
        } else {
            open(&place, &mut files);
        }
    }
    files
}

fn walk(folder: &Path, depth: u32, found: &mut dyn FnMut(&Path)) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && depth < 32 => walk(&entry.path(), depth + 1, found),
            Ok(kind) if kind.is_file() => found(&entry.path()),
            _ => {}
        }
    }
}

/// Reads of a planted file that is held as a place.
pub(super) fn read(place: &OwnedFd, offset: u64, length: u64, limit: usize) -> Option<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = rustix::fs::open(format!("/proc/self/fd/{}", place.as_raw_fd()), flags, Mode::empty()).ok()?;
    read_open(&file, offset, length, limit)
}

/// Reads of an open file; nothing where it is no regular one.
pub(super) fn read_open(file: &OwnedFd, offset: u64, length: u64, limit: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    assets::read(file, Some(offset), length, limit, &mut bytes);
    (!bytes.is_empty()).then_some(bytes)
}
