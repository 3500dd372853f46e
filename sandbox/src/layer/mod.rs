//! The layer witness: what the subject left on disk, however it got there.
//!
//! Everything the subject writes lands in the upper directories of the jail's overlays. When the
//! last process is gone they are walked through a descriptor, never by a path of the jail. Every
//! entry becomes an event with its contents (in pieces, so that analysis sees all of a file that
//! system calls wrote through a memory map, too), a line for `layer.jsonl`, and, within limits, a
//! copy named by its hash.

mod walk;

use std::io;
use std::os::fd::BorrowedFd;

use crate::event::{Closed, LayerChange};
use crate::jail::LayerRoot;

/// What kind of inode an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A named pipe, socket or device; never opened.
    Special,
    /// Nothing any more: it was deleted.
    Gone,
}

/// One path of the layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Absolute path in the jail.
    pub path: Vec<u8>,
    /// What happened to it.
    pub change: LayerChange,
    /// What it is.
    pub kind: EntryKind,
    /// Permission bits, set-id bits included.
    pub mode: u32,
    /// Owner in the jail.
    pub uid: u32,
    /// Group in the jail.
    pub gid: u32,
    /// Size in bytes.
    pub size: u64,
    /// Modification time, seconds since the epoch.
    pub mtime: i64,
    /// A symlink's target.
    pub target: Vec<u8>,
    /// SHA-256 of a regular file's contents, lower-case hexadecimal; `None` for a sparse file too
    /// large to read whole.
    pub sha256: Option<String>,
    /// Whether a copy was kept (under the hash's name).
    pub kept: bool,
    /// SHA-256 of the file that is below the layer at this path, where a copy of it was kept: what everybody may read,
    /// up to a size ([`Limits::keep_before`]).
    pub before: Option<String>,
}

/// How much is walked and kept.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Entries walked at most.
    pub entries: u64,
    /// Largest file that is copied.
    pub keep_file: u64,
    /// Largest file below the layer that is copied where another took its place.
    pub keep_before: u64,
    /// Bytes copied at most, all files together.
    pub keep_total: u64,
    /// Bytes of contents in one event.
    pub chunk: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { entries: 2_000_000, keep_file: 64 << 20, keep_before: 1 << 20, keep_total: 512 << 20, chunk: 1 << 20 }
    }
}

/// What the walk did, and what it could not do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Entries reported.
    pub entries: u64,
    /// Bytes of contents read.
    pub bytes: u64,
    /// Files whose copy was not kept: too large, limit reached, or no room.
    pub not_kept: u64,
    /// Directories or files that could not be read, or lay too deep; evidence is missing there.
    pub not_read: u64,
}

/// Why the layer could not be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// Nobody takes events any more.
    #[error("the layer cannot be recorded: {0}")]
    Closed(#[from] Closed),
    /// The top of a layer cannot be opened.
    #[error("cannot open the layer of {target}: {cause}; the recording lacks what the subject left there")]
    Open {
        /// Where in the jail.
        target: String,
        /// The kernel's reason.
        cause: io::Error,
    },
    /// A line for `layer.jsonl` could not be written.
    #[error("cannot record a layer entry: {0}")]
    Record(#[source] io::Error),
}

/// Where the layer is, and where what is found goes.
pub struct Source<'a> {
    /// The stage ([`crate::jail::Jail::stage`]).
    pub stage: BorrowedFd<'a>,
    /// The overlays ([`crate::jail::Jail::layer`]).
    pub roots: &'a [LayerRoot],
    /// Directory that copies are put in; `None` keeps none.
    pub blobs: Option<BorrowedFd<'a>>,
    /// From an id of the host to the jail's.
    pub uid_in_jail: &'a dyn Fn(u32) -> u32,
    /// The same for groups.
    pub gid_in_jail: &'a dyn Fn(u32) -> u32,
    /// `CLOCK_MONOTONIC` at the session's start.
    pub start_ns: u64,
}

pub use walk::collect;
