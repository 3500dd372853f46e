//! One file of a bundle that is being written: appended to, a whole piece at a time. A piece that
//! does not fit (full disk, file size limit) is taken back, so the file always ends whole.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_ipc::writer::{IpcWriteOptions, StreamWriter};
use arrow_ipc::{CompressionType, MetadataVersion};
use arrow_schema::Schema;

use super::BundleError;

/// zstd's level 1: on event rows the default 3 takes up to a tenth more time and saves nothing
/// (`benches/README.md`).
const LEVEL: i32 = 1;

/// A file that grows by whole pieces.
#[derive(Debug)]
pub(crate) struct Part {
    path: PathBuf,
    file: File,
    written: u64,
}

impl Part {
    /// Makes the file, for its owner's eyes only: recordings hold what the subject saw.
    pub(crate) fn create(dir: &Path, name: &str) -> Result<Self, BundleError> {
        let path = dir.join(name);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        match file {
            Ok(file) => Ok(Self { path, file, written: 0 }),
            Err(source) => Err(BundleError::Create { path, source }),
        }
    }

    /// Appends all of `bytes`, or nothing.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), BundleError> {
        if let Err(source) = self.file.write_all(bytes) {
            // Cutting a file off needs no room. Should it fail all the same, the reader ignores
            // the torn end.
            let _ = self.file.set_len(self.written);
            let (file, written) = (self.path.clone(), self.written);
            return Err(BundleError::Write { file, written, events: 0, source });
        }
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Bytes in the file.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Marks the file as being written, until it is closed, however that comes about.
    pub(crate) fn lock(&self) {
        // Where the file system knows no locks, a recording that runs reads as one cut off.
        let _ = self.file.try_lock();
    }
}

/// A file of rows: an Arrow IPC stream whose buffers are zstd-compressed.
pub(crate) struct Stream {
    name: &'static str,
    // Encodes into memory, so that a frame goes to the file in one piece or not at all.
    encoder: StreamWriter<Vec<u8>>,
    part: Part,
}

impl Stream {
    /// Makes the file, with its schema in it.
    pub(crate) fn create(dir: &Path, name: &'static str, schema: &Arc<Schema>) -> Result<Self, BundleError> {
        let encode = |e: arrow_schema::ArrowError| BundleError::Encode { file: name, reason: e.to_string() };
        let options = IpcWriteOptions::try_new(8, false, MetadataVersion::V5)
            .and_then(|options| options.try_with_compression(Some(CompressionType::ZSTD)))
            .and_then(|options| options.try_with_compression_level(Some(LEVEL)))
            .map_err(encode)?;
        let encoder = StreamWriter::try_new_with_options(Vec::new(), schema, options).map_err(encode)?;
        let mut stream = Self { name, encoder, part: Part::create(dir, name)? };
        stream.hand_on()?;
        Ok(stream)
    }

    /// Appends a batch.
    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<(), BundleError> {
        let name = self.name;
        self.encoder.write(batch).map_err(|e| BundleError::Encode { file: name, reason: e.to_string() })?;
        self.hand_on()
    }

    /// Appends the end mark.
    pub(crate) fn finish(&mut self) -> Result<(), BundleError> {
        let name = self.name;
        self.encoder.finish().map_err(|e| BundleError::Encode { file: name, reason: e.to_string() })?;
        self.hand_on()
    }

    /// The file.
    pub(crate) fn part(&self) -> &Part {
        &self.part
    }

    fn hand_on(&mut self) -> Result<(), BundleError> {
        let frame = self.encoder.get_mut();
        let result = self.part.append(frame);
        frame.clear();
        result
    }
}
