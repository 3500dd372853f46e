//! Reads an Arrow IPC stream that may end anywhere and may be hostile.
//!
//! The stream is indexed frame by frame from the small headers alone, then single frames are
//! decoded on demand, in any order. Everything that decoding would believe is checked before it:
//! sizes against the file, buffers against the frame, decompressed sizes against a limit, since a
//! decoder that is told "8 EiB" allocates first. Layout of a frame: the Arrow columnar format,
//! "Encapsulated message format".

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_buffer::Buffer;
use arrow_ipc::convert::try_fb_to_schema;
use arrow_ipc::reader::FileDecoder;
use arrow_ipc::{Block, CompressionType, MessageHeader, MetadataVersion, root_as_message};
use arrow_schema::Schema;

use super::BundleError;
use super::schema::KEY;

/// Continuation marker and metadata length.
const PREFIX: u64 = 8;
/// Longest header of a frame: ours stay below 8 KiB.
const MAX_HEADER: u32 = 1 << 20;
/// Most rows of a frame: ours hold at most 64 Ki.
const MAX_ROWS: i64 = 1 << 20;
/// Longest frame, and most bytes that it may decompress to: ours stay below 40 MiB.
const MAX_FRAME: u64 = 128 << 20;
/// Dictionaries stand before the first rows, one a column.
const MAX_DICTIONARIES: usize = 64;

/// Where a batch of rows lies.
#[derive(Clone, Copy, Debug)]
struct Frame {
    offset: u64,
    header: u32,
    body: u64,
    rows: u32,
    /// Number of its first row in the file.
    first: u64,
}

/// A stream of rows, open for reading. Without a file it is an empty one.
pub(crate) struct FrameFile {
    name: &'static str,
    expected: &'static str,
    schema: Arc<Schema>,
    path: PathBuf,
    file: Option<File>,
    decoder: Option<FileDecoder>,
    dictionaries: usize,
    frames: Vec<Frame>,
    rows: u64,
    /// End of the last whole frame.
    end: u64,
    /// Whether the end mark was seen.
    ended: bool,
    damage: Option<String>,
    /// The columns that are decoded; all of them where there is none.
    columns: Option<Vec<usize>>,
}

impl FrameFile {
    /// Opens `dir/name` and indexes what is in it. `expected` is the name of `schema`. A missing
    /// file is an empty stream; a file of another schema is an error.
    pub(crate) fn open(
        dir: &Path,
        name: &'static str,
        expected: &'static str,
        schema: Arc<Schema>,
    ) -> Result<Self, BundleError> {
        let mut file = Self {
            name,
            expected,
            schema,
            path: dir.join(name),
            file: None,
            decoder: None,
            dictionaries: 0,
            frames: Vec::new(),
            rows: 0,
            end: 0,
            ended: false,
            damage: None,
            columns: None,
        };
        file.scan()?;
        Ok(file)
    }

    /// From now on decodes only the columns of these names: the others are not even decompressed.
    pub(crate) fn only(&mut self, names: &[&str]) {
        let fields = self.schema.fields().iter().enumerate();
        let columns = fields.filter(|(_, field)| names.contains(&field.name().as_str())).map(|(at, _)| at).collect();
        self.columns = Some(columns);
        self.decoder = self.decoder.take().map(|decoder| self.projected(decoder));
    }

    fn projected(&self, decoder: FileDecoder) -> FileDecoder {
        match &self.columns {
            Some(columns) => decoder.with_projection(columns.clone()),
            None => decoder,
        }
    }

    /// How many rows the whole frames hold.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// The number of the first row of a frame, and how many it holds.
    pub(crate) fn frame(&self, index: usize) -> Option<(u64, usize)> {
        self.frames.get(index).map(|frame| (frame.first, frame.rows as usize))
    }

    /// Indexes frames that have come since. Returns how many.
    pub(crate) fn scan(&mut self) -> Result<usize, BundleError> {
        let before = self.frames.len();
        if self.file.is_none() {
            // Opening a pipe would wait for ever: regular files only.
            match std::fs::metadata(&self.path) {
                Ok(data) if data.is_file() => {}
                Ok(_) => return Err(self.read_error(io::Error::other("not a regular file"))),
                Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(0),
                Err(e) => return Err(self.read_error(e)),
            }
            self.file = Some(File::open(&self.path).map_err(|e| self.read_error(e))?);
        }
        while !self.ended && self.damage.is_none() && self.next()? {}
        Ok(self.frames.len() - before)
    }

    fn read_error(&self, source: io::Error) -> BundleError {
        BundleError::Read { path: self.path.clone(), source }
    }

    fn bytes(&self, offset: u64, len: u64) -> Result<Vec<u8>, BundleError> {
        // Callers have checked `len` against the file's size and the limits.
        let mut bytes = vec![0; len as usize];
        match &self.file {
            Some(file) => file.read_exact_at(&mut bytes, offset).map_err(|e| self.read_error(e))?,
            None => bytes.clear(),
        }
        Ok(bytes)
    }

    fn size(&self) -> Result<u64, BundleError> {
        self.file.as_ref().map_or(Ok(0), |file| file.metadata().map(|m| m.len()).map_err(|e| self.read_error(e)))
    }

    /// Indexes one more frame; `false` when there is no whole one.
    fn next(&mut self) -> Result<bool, BundleError> {
        let left = self.size()?.saturating_sub(self.end);
        if left < PREFIX {
            return Ok(false);
        }
        let prefix = self.bytes(self.end, PREFIX)?;
        let (Some([255, 255, 255, 255]), Some(length)) = (prefix.first_chunk::<4>(), prefix.last_chunk::<4>()) else {
            return Ok(self.damaged("a frame does not begin with its mark"));
        };
        let header = u32::from_le_bytes(*length);
        if header == 0 {
            self.ended = true;
            self.end += PREFIX;
            return Ok(false);
        }
        if header > MAX_HEADER {
            return Ok(self.damaged("a frame's header is too long"));
        }
        if left < PREFIX + u64::from(header) {
            return Ok(false);
        }
        let bytes = self.bytes(self.end + PREFIX, u64::from(header))?;
        let Ok(message) = root_as_message(&bytes) else {
            return Ok(self.damaged("a frame's header cannot be read"));
        };
        let Some(body) = u64::try_from(message.bodyLength()).ok().filter(|body| *body <= MAX_FRAME) else {
            return Ok(self.damaged("a frame is too long"));
        };
        let whole = PREFIX + u64::from(header) + body;
        if left < whole {
            return Ok(false);
        }
        if message.version() != MetadataVersion::V5 {
            return Ok(self.damaged("a frame is not of Arrow's metadata version 5"));
        }
        let frame = Frame { offset: self.end, header, body, rows: 0, first: self.rows };
        match message.header_type() {
            MessageHeader::Schema if self.decoder.is_none() => {
                let schema = message.header_as_schema();
                let read = catch_unwind(AssertUnwindSafe(|| schema.map(try_fb_to_schema)));
                let Ok(Some(Ok(schema))) = read else {
                    return Err(self.schema_error("its schema cannot be read"));
                };
                self.check_schema(&schema)?;
                // As read, not as expected: it carries the numbers of the dictionaries.
                self.decoder = Some(self.projected(FileDecoder::new(Arc::new(schema), MetadataVersion::V5)));
            }
            MessageHeader::DictionaryBatch if self.frames.is_empty() && self.dictionaries < MAX_DICTIONARIES => {
                let data = message.header_as_dictionary_batch().and_then(|batch| batch.data());
                let body = self.bytes(frame.offset + PREFIX + u64::from(header), frame.body)?;
                if let Err(why) = data.map_or(Err("it has no rows"), |data| check(&data, &body)) {
                    return Ok(self.damaged(why));
                }
                let (block, buffer) = (block(&frame), Buffer::from_vec(self.bytes(frame.offset, whole)?));
                let decoder = self.decoder.as_mut();
                let read = catch_unwind(AssertUnwindSafe(|| decoder.map(|d| d.read_dictionary(&block, &buffer))));
                if !matches!(read, Ok(Some(Ok(())))) {
                    return Ok(self.damaged("a dictionary cannot be decoded"));
                }
                self.dictionaries += 1;
            }
            MessageHeader::RecordBatch if self.decoder.is_some() => {
                let rows = message.header_as_record_batch().map_or(-1, |batch| batch.length());
                if !(0..=MAX_ROWS).contains(&rows) {
                    return Ok(self.damaged("a batch has too many rows"));
                }
                self.frames.push(Frame { rows: rows as u32, ..frame });
                self.rows += rows as u64;
            }
            _ => return Ok(self.damaged("a frame is of a kind that does not belong here")),
        }
        self.end += whole;
        Ok(true)
    }

    fn damaged(&mut self, reason: &str) -> bool {
        self.damage = Some(format!("{} is damaged at byte {}: {reason}", self.name, self.end));
        false
    }

    fn schema_error(&self, reason: &str) -> BundleError {
        BundleError::Schema { file: self.name, expected: self.expected, reason: reason.to_owned() }
    }

    fn check_schema(&self, schema: &Schema) -> Result<(), BundleError> {
        let name = schema.metadata().get(KEY).map_or("none", String::as_str);
        if name != self.expected {
            return Err(self.schema_error(&format!("its schema is {name:?}")));
        }
        let same = schema.fields().len() == self.schema.fields().len()
            && schema.fields().iter().zip(self.schema.fields()).all(|(a, b)| {
                a.name() == b.name() && a.data_type() == b.data_type() && a.is_nullable() == b.is_nullable()
            });
        if same { Ok(()) } else { Err(self.schema_error("its columns are others")) }
    }

    /// How many whole frames there are.
    pub(crate) fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether the end mark was seen, and nothing stands behind it.
    pub(crate) fn is_whole(&self) -> bool {
        self.ended && self.damage.is_none() && self.size().is_ok_and(|size| size == self.end)
    }

    /// What is wrong with the file, if anything.
    pub(crate) fn damage(&self) -> Option<&str> {
        self.damage.as_deref()
    }

    /// The frame that holds this row of the file, and the row in it.
    pub(crate) fn locate(&self, row: u64) -> Option<(usize, usize)> {
        if row >= self.rows {
            return None;
        }
        let index = self.frames.partition_point(|frame| frame.first + u64::from(frame.rows) <= row);
        let frame = self.frames.get(index)?;
        Some((index, row.checked_sub(frame.first)? as usize))
    }

    /// Decodes a frame.
    pub(crate) fn batch(&self, index: usize) -> Result<RecordBatch, BundleError> {
        let (Some(frame), Some(decoder)) = (self.frames.get(index), &self.decoder) else {
            return Err(self.damage_at(0, "there is no such frame"));
        };
        let bytes = self.bytes(frame.offset, PREFIX + u64::from(frame.header) + frame.body)?;
        let at = |reason: &str| self.damage_at(frame.offset, reason);
        let (header, body) = bytes
            .split_at_checked((PREFIX + u64::from(frame.header)) as usize)
            .ok_or_else(|| at("the frame is cut off"))?;
        // The file may have changed since it was indexed: all is checked again on these bytes.
        let message = header.get(PREFIX as usize..).and_then(|h| root_as_message(h).ok());
        let batch = message.and_then(|message| message.header_as_record_batch()).ok_or_else(|| at("no batch"))?;
        if batch.length() != i64::from(frame.rows) {
            return Err(at("the frame has changed"));
        }
        check(&batch, body).map_err(at)?;
        let (block, buffer) = (block(frame), Buffer::from_vec(bytes));
        match catch_unwind(AssertUnwindSafe(|| decoder.read_record_batch(&block, &buffer))) {
            Ok(Ok(Some(batch))) => Ok(batch),
            Ok(Ok(None)) => Err(self.damage_at(frame.offset, "no batch")),
            Ok(Err(e)) => Err(self.damage_at(frame.offset, &e.to_string())),
            Err(_) => Err(self.damage_at(frame.offset, "it cannot be decoded")),
        }
    }

    /// An error about the frame at this offset.
    fn damage_at(&self, offset: u64, reason: &str) -> BundleError {
        BundleError::Damaged { file: self.name, offset, reason: reason.to_owned() }
    }

    /// An error about this frame's contents.
    pub(crate) fn damaged_frame(&self, index: usize, reason: &str) -> BundleError {
        self.damage_at(self.frames.get(index).map_or(0, |frame| frame.offset), reason)
    }
}

/// A frame as the decoder wants to be told of it.
fn block(frame: &Frame) -> Block {
    Block::new(frame.offset as i64, (PREFIX + u64::from(frame.header)) as i32, frame.body as i64)
}

/// Checks what a batch claims of itself against its bytes, before anything is made of it.
fn check(batch: &arrow_ipc::RecordBatch<'_>, body: &[u8]) -> Result<(), &'static str> {
    let rows = batch.length();
    if !(0..=MAX_ROWS).contains(&rows) {
        return Err("too many rows");
    }
    let compressed = match batch.compression() {
        None => false,
        Some(compression) if compression.codec() == CompressionType::ZSTD => true,
        Some(_) => return Err("a compression that is not ours"),
    };
    let nodes = batch.nodes().ok_or("no columns")?;
    // All our columns are flat: each is as long as the batch.
    if nodes.iter().any(|node| node.length() != rows || !(0..=rows).contains(&node.null_count())) {
        return Err("a column is of another length than the batch");
    }
    let mut total = 0_u64;
    for buffer in batch.buffers().ok_or("no buffers")? {
        let bytes = usize::try_from(buffer.offset())
            .ok()
            .zip(usize::try_from(buffer.length()).ok())
            .and_then(|(offset, length)| body.get(offset..offset.checked_add(length)?))
            .ok_or("a buffer lies outside of the batch")?;
        if bytes.is_empty() {
            continue;
        }
        let size = if compressed {
            // Eight bytes say what it decompresses to; -1: it was not compressed.
            let size = bytes.first_chunk::<8>().ok_or("a compressed buffer is too short")?;
            match i64::from_le_bytes(*size) {
                -1 => bytes.len() as u64,
                size => u64::try_from(size).map_err(|_| "a buffer of negative size")?,
            }
        } else {
            bytes.len() as u64
        };
        total = total.saturating_add(size);
        if total > MAX_FRAME {
            return Err("it decompresses to too much");
        }
    }
    Ok(())
}
