//! Reads an Arrow IPC stream that may end anywhere and may be hostile.
//!
//! The stream is indexed frame by frame from the small headers alone, then single frames are
//! decoded on demand, in any order. Everything that decoding would believe is checked before it:
//! sizes against the file, buffers against the frame, decompressed sizes against a limit, since a
//! decoder that is told "8 EiB" allocates first. Layout of a frame: the Arrow columnar format,
//! "Encapsulated message format".

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_buffer::Buffer;
use arrow_ipc::convert::try_fb_to_schema;
use arrow_ipc::reader::{read_dictionary, read_record_batch};
use arrow_ipc::{CompressionType, MessageHeader, MetadataVersion, root_as_message};
use arrow_schema::{DataType, Schema};

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
    /// As the file has it: it carries the numbers of the dictionaries.
    found: Option<Arc<Schema>>,
    dictionaries: HashMap<i64, ArrayRef>,
    frames: Vec<Frame>,
    rows: u64,
    /// End of the last whole frame.
    end: u64,
    /// Whether the end mark was seen.
    ended: bool,
    damage: Option<String>,
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
            found: None,
            dictionaries: HashMap::new(),
            frames: Vec::new(),
            rows: 0,
            end: 0,
            ended: false,
            damage: None,
        };
        file.scan()?;
        Ok(file)
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
        self.fill(&mut bytes, offset)?;
        Ok(bytes)
    }

    fn fill(&self, bytes: &mut [u8], offset: u64) -> Result<(), BundleError> {
        match &self.file {
            Some(file) => file.read_exact_at(bytes, offset).map_err(|e| self.read_error(e)),
            None => Ok(()),
        }
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
            MessageHeader::Schema if self.found.is_none() => {
                let schema = message.header_as_schema();
                let read = catch_unwind(AssertUnwindSafe(|| schema.map(try_fb_to_schema)));
                let Ok(Some(Ok(schema))) = read else {
                    return Err(self.schema_error("its schema cannot be read"));
                };
                self.check_schema(&schema)?;
                self.found = Some(Arc::new(schema));
            }
            MessageHeader::DictionaryBatch if self.frames.is_empty() && self.dictionaries.len() < MAX_DICTIONARIES => {
                let (Some(batch), Some(schema)) = (message.header_as_dictionary_batch(), self.found.clone()) else {
                    return Ok(self.damaged("a dictionary stands before the schema"));
                };
                let body = self.bytes(frame.offset + PREFIX + u64::from(header), frame.body)?;
                if let Err(why) = batch.data().map_or(Err("it has no rows"), |data| check(&data, &body)) {
                    return Ok(self.damaged(why));
                }
                let known = self.dictionaries.len();
                let (buffer, dictionaries) = (Buffer::from_vec(body), &mut self.dictionaries);
                let read = catch_unwind(AssertUnwindSafe(|| {
                    read_dictionary(&buffer, batch, &schema, dictionaries, &MetadataVersion::V5)
                }));
                // Ours come once each: what adds to one that is there could go on for ever.
                if !matches!(read, Ok(Ok(()))) || self.dictionaries.len() == known {
                    return Ok(self.damaged("a dictionary cannot be decoded"));
                }
            }
            MessageHeader::RecordBatch if self.found.is_some() => {
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

    /// How many rows the whole frames hold.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// The number of the first row of a frame, and how many it holds.
    pub(crate) fn frame(&self, index: usize) -> Option<(u64, usize)> {
        self.frames.get(index).map(|frame| (frame.first, frame.rows as usize))
    }

    /// The numbers of the columns with these names.
    pub(crate) fn columns(&self, names: &[&str]) -> Vec<usize> {
        let fields = self.schema.fields().iter().enumerate();
        fields.filter(|(_, field)| names.contains(&field.name().as_str())).map(|(at, _)| at).collect()
    }

    /// Decodes a frame.
    pub(crate) fn batch(&self, index: usize) -> Result<RecordBatch, BundleError> {
        self.batch_of(index, None)
    }

    /// Decodes these columns of a frame; the others are not even read.
    pub(crate) fn batch_of(&self, index: usize, columns: Option<&[usize]>) -> Result<RecordBatch, BundleError> {
        let (Some(frame), Some(schema)) = (self.frames.get(index), &self.found) else {
            return Err(self.damage_at(0, "there is no such frame"));
        };
        let at = |reason: &str| self.damage_at(frame.offset, reason);
        // The file may have changed since it was indexed: all is checked again on these bytes.
        let header = self.bytes(frame.offset + PREFIX, u64::from(frame.header))?;
        let message = root_as_message(&header).map_err(|_| at("its header cannot be read"))?;
        let batch = message.header_as_record_batch().ok_or_else(|| at("no batch"))?;
        if batch.length() != i64::from(frame.rows) || message.version() != MetadataVersion::V5 {
            return Err(at("the frame has changed"));
        }
        let start = frame.offset + PREFIX + u64::from(frame.header);
        let body = match (columns, batch.buffers()) {
            (Some(columns), Some(buffers)) => {
                let mut body = vec![0; frame.body as usize];
                let mut next = 0;
                for (number, field) in self.schema.fields().iter().enumerate() {
                    // Validity and values; text has offsets, too (Arrow columnar format, "Buffer listing").
                    let long = matches!(field.data_type(), DataType::Binary | DataType::LargeBinary | DataType::Utf8);
                    let own = next..next + if long { 3 } else { 2 };
                    next = own.end;
                    for buffer in buffers.iter().take(own.end).skip(own.start).filter(|_| columns.contains(&number)) {
                        let range = usize::try_from(buffer.offset())
                            .ok()
                            .zip(usize::try_from(buffer.length()).ok())
                            .and_then(|(offset, length)| body.get_mut(offset..offset.checked_add(length)?))
                            .ok_or_else(|| at("a buffer lies outside of the batch"))?;
                        self.fill(range, start + buffer.offset() as u64)?;
                    }
                }
                body
            }
            _ => self.bytes(start, frame.body)?,
        };
        // What was not read is zero, which claims nothing.
        check(&batch, &body).map_err(at)?;
        let (buffer, schema) = (Buffer::from_vec(body), Arc::clone(schema));
        let read = || read_record_batch(&buffer, batch, schema, &self.dictionaries, columns, &MetadataVersion::V5);
        match catch_unwind(AssertUnwindSafe(read)) {
            Ok(Ok(batch)) => Ok(batch),
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
