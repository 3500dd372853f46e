//! `layer/`: what the subject left on disk. A line of `layer.jsonl` per entry; copies of files
//! below `files/`, each named by the SHA-256 of its contents, so that no name the subject chose
//! becomes a name on the analyst's disk.

use std::fs::{DirBuilder, File};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::BundleError;

/// The list and the copies, written beside the events by whoever walks the layer.
pub struct LayerLog {
    files: PathBuf,
    list: BufWriter<File>,
}

impl LayerLog {
    pub(super) fn create(dir: &Path) -> Result<Self, BundleError> {
        let files = dir.join("layer/files");
        let made = DirBuilder::new().mode(0o700).recursive(true).create(&files);
        made.map_err(|source| BundleError::Create { path: files.clone(), source })?;
        let path = dir.join("layer/layer.jsonl");
        let list = File::options().write(true).create_new(true).mode(0o600).open(&path);
        let list = list.map_err(|source| BundleError::Create { path, source })?;
        Ok(Self { files, list: BufWriter::new(list) })
    }

    /// The directory of the copies, open.
    pub fn copies(&self) -> io::Result<File> {
        File::open(&self.files)
    }

    /// Adds an entry.
    pub fn entry(&mut self, entry: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.list, entry)?;
        self.list.write_all(b"\n")
    }

    /// Brings all entries to the disk.
    pub fn flush(&mut self) -> io::Result<()> {
        self.list.flush()
    }
}
