//! What can go wrong with a bundle, each with its cause and its remedy.

use std::io;
use std::path::PathBuf;

/// Why a bundle could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The place for a new bundle is taken.
    #[error(
        "{path} exists and is not an empty directory: a recording never overwrites; name another place with --output"
    )]
    Exists {
        /// The place.
        path: PathBuf,
    },
    /// The bundle's directory or one of its files could not be made.
    #[error("cannot create {path}: {source}; name a place you may write to with --output")]
    Create {
        /// What was to be made.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file of the bundle could not be written on.
    #[error(
        "cannot write {file} after {written} bytes: {source}; the recording is complete up to event {events}, \
         make room or name another place with --output"
    )]
    Write {
        /// Which file.
        file: PathBuf,
        /// Bytes that it holds, all of them whole.
        written: u64,
        /// Events that are written and readable.
        events: u64,
        /// Why not.
        source: io::Error,
    },
    /// A note could not be written into the bundle.
    #[error("cannot write {path}: {source}; nothing was noted")]
    Note {
        /// The file of notes.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The bundle was given up after an earlier error.
    #[error("the recording was given up after an earlier error: {0}")]
    GivenUp(String),
    /// Rows could not be encoded.
    #[error("cannot encode rows of {file}: {reason}; this is a fault of belljar's, please report it")]
    Encode {
        /// Which file.
        file: &'static str,
        /// Why not.
        reason: String,
    },
    /// There is no bundle.
    #[error(
        "{path} is not a bundle: neither session.json nor events.arrows is in it; name a directory that `belljar record` made"
    )]
    NotABundle {
        /// The place.
        path: PathBuf,
    },
    /// A file could not be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file is not of the schema that this belljar reads.
    #[error(
        "{file} has another schema than {expected} ({reason}); it may be of another belljar's making: read it with that one"
    )]
    Schema {
        /// Which file.
        file: &'static str,
        /// The schema expected.
        expected: &'static str,
        /// What differs.
        reason: String,
    },
    /// A file holds what its format does not allow.
    #[error("{file} is damaged at byte {offset}: {reason}; what stands before it can be read")]
    Damaged {
        /// Which file.
        file: &'static str,
        /// Where the damaged batch begins.
        offset: u64,
        /// What is wrong.
        reason: String,
    },
}
