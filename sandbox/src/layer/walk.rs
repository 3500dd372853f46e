//! The walk over the layer's upper directories.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat};
use sha2::{Digest, Sha256};

use super::{Entry, EntryKind, LayerError, Limits, Source, Summary};
use crate::event::{Event, Kind, LayerChange, ObjectKind, ProcessKey, Queue, Witness};
use crate::jail::{LayerRoot, monotonic_ns};

/// Directories are held open along one path only; below this depth nothing is walked.
const DEPTH: usize = 1024;
/// A file this much larger than the blocks it occupies is read by its data alone.
const SPARSE: u64 = 1 << 30;
/// How much of such a file's data is shown to analysis.
const SPARSE_DATA: u64 = 64 << 20;

/// Walks the layer: an event per entry (and per further piece of contents) goes to `queue`, the
/// entry itself to `record`.
pub fn collect(
    source: &Source<'_>,
    queue: &Queue,
    limits: Limits,
    record: &mut dyn FnMut(&Entry) -> std::io::Result<()>,
) -> Result<Summary, LayerError> {
    let mut walk = Walk { source, queue, limits, record, summary: Summary::default(), kept: 0, buffer: Vec::new() };
    for root in source.roots {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let top = rustix::fs::openat(source.stage, root.upper.as_str(), flags, Mode::empty())
            .map_err(|errno| LayerError::Open { target: root.target.display().to_string(), cause: errno.into() })?;
        let mut path = root.target.as_os_str().as_bytes().to_vec();
        if path == b"/" {
            path.clear();
        }
        walk.directory(root, &top, &mut path, &mut Vec::new(), 0)?;
    }
    Ok(walk.summary)
}

struct Walk<'a, 'b> {
    source: &'a Source<'a>,
    queue: &'a Queue,
    limits: Limits,
    record: &'b mut dyn FnMut(&Entry) -> std::io::Result<()>,
    summary: Summary,
    kept: u64,
    buffer: Vec<u8>,
}

impl Walk<'_, '_> {
    /// `path` is the directory's path in the jail, `below` the same relative to its overlay.
    fn directory(
        &mut self,
        root: &LayerRoot,
        dir: &OwnedFd,
        path: &mut Vec<u8>,
        below: &mut Vec<u8>,
        depth: usize,
    ) -> Result<(), LayerError> {
        let Ok(entries) = Dir::read_from(dir) else {
            self.summary.not_read += 1;
            return Ok(());
        };
        for entry in entries {
            let Ok(entry) = entry else {
                self.summary.not_read += 1;
                break;
            };
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            if self.summary.entries >= self.limits.entries {
                self.summary.not_read += 1;
                return Ok(());
            }
            let (path_len, below_len) = (path.len(), below.len());
            path.push(b'/');
            path.extend_from_slice(name.to_bytes());
            if !below.is_empty() {
                below.push(b'/');
            }
            below.extend_from_slice(name.to_bytes());
            match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => self.entry(root, dir, name, &stat, path, below, depth)?,
                Err(_) => self.summary.not_read += 1,
            }
            path.truncate(path_len);
            below.truncate(below_len);
        }
        Ok(())
    }

    #[allow(clippy::too_many_arguments, reason = "one step of the recursion: its state is its arguments")]
    fn entry(
        &mut self,
        root: &LayerRoot,
        dir: &OwnedFd,
        name: &std::ffi::CStr,
        stat: &Stat,
        path: &mut Vec<u8>,
        below: &mut Vec<u8>,
        depth: usize,
    ) -> Result<(), LayerError> {
        let before = self.lower(root, below);
        let change = if before.is_some() { LayerChange::Changed } else { LayerChange::Created };
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::CharacterDevice if stat.st_rdev == 0 => {
                let mut gone = Entry {
                    change: LayerChange::Deleted,
                    size: 0,
                    ..self.describe(path, change, EntryKind::Gone, stat)
                };
                gone.before = self.keep_before(root, below);
                return self.emit(&gone, None);
            }
            FileType::RegularFile => EntryKind::File,
            FileType::Directory => EntryKind::Directory,
            FileType::Symlink => EntryKind::Symlink,
            _ => EntryKind::Special,
        };
        let mut entry = self.describe(path, change, kind, stat);
        if change == LayerChange::Changed && kind == EntryKind::File {
            entry.before = self.keep_before(root, below);
        }
        match kind {
            EntryKind::File => match self.open(dir, name, OFlags::RDONLY | OFlags::NONBLOCK) {
                Some(file) => self.file(&mut entry, File::from(file)),
                None => self.emit(&entry, None),
            },
            EntryKind::Symlink => {
                entry.target = rustix::fs::readlinkat(dir, name, Vec::new())
                    .map(std::ffi::CString::into_bytes)
                    .unwrap_or_default();
                self.emit(&entry, None)
            }
            EntryKind::Directory => {
                // A directory is copied up for the sake of what is in it; it is itself evidence
                // only when it is new, another one, or has other permissions.
                if before.is_none_or(|(was, mode)| was != FileType::Directory || mode != entry.mode) {
                    self.emit(&entry, None)?;
                }
                if depth >= DEPTH {
                    self.summary.not_read += 1;
                    return Ok(());
                }
                match self.open(dir, name, OFlags::RDONLY | OFlags::DIRECTORY) {
                    Some(inner) => self.directory(root, &inner, path, below, depth + 1),
                    None => Ok(()),
                }
            }
            EntryKind::Special | EntryKind::Gone => self.emit(&entry, None),
        }
    }

    /// Type and permission bits of what lies below a path of the layer.
    fn lower(&self, root: &LayerRoot, below: &[u8]) -> Option<(FileType, u32)> {
        for name in &root.between {
            let path = [name.as_bytes(), b"/", below].concat();
            match rustix::fs::statat(self.source.stage, path.as_slice(), AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => {
                    let kind = FileType::from_raw_mode(stat.st_mode);
                    let hides = kind == FileType::CharacterDevice && stat.st_rdev == 0;
                    return (!hides).then_some((kind, stat.st_mode & 0o7777));
                }
                Err(rustix::io::Errno::NOENT) => {}
                // What stands above the path hides what the host has there.
                Err(_) => return None,
            }
        }
        let host = root.host.as_ref()?.join(Path::new(std::ffi::OsStr::from_bytes(below)));
        let mode = std::os::unix::fs::MetadataExt::mode(&fs::symlink_metadata(host).ok()?);
        Some((FileType::from_raw_mode(mode), mode & 0o7777))
    }

    /// Keeps a copy of the file below a path of the layer: its hash.
    fn keep_before(&mut self, root: &LayerRoot, below: &[u8]) -> Option<String> {
        self.source.blobs?;
        let mut file = self.file_below(root, below)?;
        let meta = file.metadata().ok()?;
        // What not everybody may read may not have been the subject's to read either.
        let is_open = std::os::unix::fs::MetadataExt::mode(&meta) & 0o004 != 0;
        if !meta.is_file() || !is_open || meta.len() > self.limits.keep_before {
            return None;
        }
        let mut bytes = Vec::new();
        Read::by_ref(&mut file).take(self.limits.keep_before).read_to_end(&mut bytes).ok()?;
        let name = data_encoding::HEXLOWER.encode(&Sha256::digest(&bytes));
        self.keep(bytes.len() as u64, &mut file, &name).then_some(name)
    }

    /// Opens the file that the jail showed at a path of the layer. No link is followed: where the subject has made a
    /// directory there may be a link below to a place that it was never shown.
    fn file_below(&self, root: &LayerRoot, below: &[u8]) -> Option<File> {
        let place = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let within = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        for name in &root.between {
            let top = rustix::fs::openat(self.source.stage, name.as_str(), place, Mode::empty()).ok()?;
            match rustix::fs::openat2(&top, below, flags, Mode::empty(), within) {
                Ok(file) => return Some(File::from(file)),
                // Not furnished. Anything else hides what the host has there: a whiteout at the path or above it.
                Err(rustix::io::Errno::NOENT) => {}
                Err(_) => return None,
            }
        }
        let top = rustix::fs::open(root.host.as_ref()?, place, Mode::empty()).ok()?;
        rustix::fs::openat2(&top, below, flags, Mode::empty(), within).ok().map(File::from)
    }

    /// Opens an entry for reading, giving itself the permission where the subject took it away.
    fn open(&mut self, dir: &OwnedFd, name: &std::ffi::CStr, flags: OFlags) -> Option<OwnedFd> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(dir, name, flags, Mode::empty()).or_else(|_| {
            rustix::fs::chmodat(dir, name, Mode::RWXU, AtFlags::empty())?;
            rustix::fs::openat(dir, name, flags, Mode::empty())
        });
        if opened.is_err() {
            self.summary.not_read += 1;
        }
        opened.ok()
    }

    fn describe(&self, path: &[u8], change: LayerChange, kind: EntryKind, stat: &Stat) -> Entry {
        Entry {
            path: path.to_vec(),
            change,
            kind,
            mode: stat.st_mode & 0o7777,
            uid: (self.source.uid_in_jail)(stat.st_uid),
            gid: (self.source.gid_in_jail)(stat.st_gid),
            size: u64::try_from(stat.st_size).unwrap_or(0),
            mtime: stat.st_mtime,
            target: Vec::new(),
            sha256: None,
            kept: false,
            before: None,
        }
    }

    fn file(&mut self, entry: &mut Entry, mut file: File) -> Result<(), LayerError> {
        let blocks = file.metadata().map_or(0, |meta| std::os::unix::fs::MetadataExt::blocks(&meta) * 512);
        if entry.size > SPARSE && blocks < entry.size / 2 {
            return self.sparse(entry, &mut file);
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        let result = self.whole(entry, &mut file, &mut buffer);
        self.buffer = buffer;
        result
    }

    /// Hashes a file, keeps a copy, then shows its contents piece by piece.
    fn whole(&mut self, entry: &mut Entry, file: &mut File, buffer: &mut Vec<u8>) -> Result<(), LayerError> {
        let chunk = self.limits.chunk as u64;
        let mut hash = Sha256::new();
        loop {
            buffer.clear();
            match Read::by_ref(file).take(chunk).read_to_end(buffer) {
                Ok(0) => break,
                Ok(_) => hash.update(buffer.as_slice()),
                Err(_) => {
                    self.summary.not_read += 1;
                    return self.emit(entry, None);
                }
            }
            if (buffer.len() as u64) < chunk {
                break;
            }
        }
        let name = data_encoding::HEXLOWER.encode(&hash.finalize());
        entry.kept = self.keep(entry.size, file, &name);
        entry.sha256 = Some(name);
        if entry.size <= chunk {
            return self.emit(entry, Some((0, buffer)));
        }
        if file.rewind().is_err() {
            self.summary.not_read += 1;
            return self.emit(entry, None);
        }
        let mut offset = 0;
        loop {
            buffer.clear();
            let read = Read::by_ref(file).take(chunk).read_to_end(buffer).unwrap_or(0);
            if read == 0 {
                return Ok(());
            }
            self.emit(entry, Some((offset, buffer)))?;
            offset += read as u64;
        }
    }

    fn sparse(&mut self, entry: &Entry, file: &mut File) -> Result<(), LayerError> {
        self.summary.not_kept += 1;
        let (mut offset, mut shown) = (0, 0);
        let mut buffer = Vec::new();
        self.emit(entry, None)?;
        while shown < SPARSE_DATA {
            let Ok(start) = rustix::fs::seek(&*file, rustix::fs::SeekFrom::Data(offset)) else { return Ok(()) };
            let end = rustix::fs::seek(&*file, rustix::fs::SeekFrom::Hole(start)).unwrap_or(entry.size);
            let length = (end - start).min(self.limits.chunk as u64).min(SPARSE_DATA - shown);
            buffer.clear();
            if file.seek(SeekFrom::Start(start)).is_err()
                || Read::by_ref(file).take(length).read_to_end(&mut buffer).is_err()
                || buffer.is_empty()
            {
                self.summary.not_read += 1;
                return Ok(());
            }
            self.emit(entry, Some((start, &buffer)))?;
            offset = start + buffer.len() as u64;
            shown += buffer.len() as u64;
        }
        self.summary.not_read += 1;
        Ok(())
    }

    /// Copies a file's contents under its hash's name, within the limits.
    fn keep(&mut self, size: u64, file: &mut File, name: &str) -> bool {
        let Some(blobs) = self.source.blobs else { return false };
        if size > self.limits.keep_file || self.kept + size > self.limits.keep_total {
            self.summary.not_kept += 1;
            return false;
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mut copy = match rustix::fs::openat(blobs, name, flags, Mode::from_raw_mode(0o600)) {
            Ok(copy) => File::from(copy),
            Err(rustix::io::Errno::EXIST) => return true,
            Err(_) => {
                self.summary.not_kept += 1;
                return false;
            }
        };
        let copied = file.rewind().and_then(|()| std::io::copy(file, &mut copy)).and_then(|_| copy.flush());
        if copied.is_ok() {
            self.kept += size;
            return true;
        }
        // Half a copy under a hash's name would be a lie.
        let _ = rustix::fs::unlinkat(blobs, name, AtFlags::empty());
        self.summary.not_kept += 1;
        false
    }

    /// Hands an entry on; `piece` is `(offset, bytes)` of its contents. Only the first piece is
    /// an entry of its own.
    fn emit(&mut self, entry: &Entry, piece: Option<(u64, &Vec<u8>)>) -> Result<(), LayerError> {
        let (offset, bytes) = piece.map_or((0, &[][..]), |(offset, bytes)| (offset, bytes.as_slice()));
        if offset == 0 {
            self.summary.entries += 1;
            (self.record)(entry).map_err(LayerError::Record)?;
        }
        self.summary.bytes += bytes.len() as u64;
        let now = monotonic_ns().saturating_sub(self.source.start_ns);
        self.queue.push(|batch| {
            let mut event = Event::new(now, Witness::Layer, Kind::Layer(entry.change), ProcessKey(0), 0);
            event.args =
                [u64::from(entry.mode), u64::from(entry.uid), u64::from(entry.gid), entry.change as u64, offset, 0];
            event.object_kind = ObjectKind::File;
            event.object = batch.put(&entry.path);
            if !entry.target.is_empty() {
                event.target_kind = ObjectKind::File;
                event.target = batch.put(&entry.target);
            }
            if let Some(hash) = &entry.sha256 {
                event.detail = batch.put(hash.as_bytes());
            }
            event.payload = batch.put(bytes);
            event.payload_len = entry.size;
            batch.events.push(event);
        })?;
        Ok(())
    }
}
