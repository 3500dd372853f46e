//! Opens a bundle: finished, cut off, or still being written.
//!
//! [`Reader::records`] gives the events as they were seen live, batch by batch; memory does not
//! grow with the recording. [`Reader::poll`] looks for what has come since, so that a running
//! session can be followed. Nothing in the folder is trusted.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{ArrowPrimitiveType, Int32Type, Int64Type, UInt8Type, UInt32Type, UInt64Type};
use arrow_array::{Array, DictionaryArray, PrimitiveArray, RecordBatch};
use belljar_sandbox::event::{Abi, Authority, Decision, Kind, ProcessKey, Witness};
use belljar_sandbox::witness::syscalls::lookup;

use super::BundleError;
use super::frame::FrameFile;
use super::schema::{self, Words};
use super::session::{SCHEMA, Session, State};
use super::side::{Objects, Payloads, Side};
use crate::store::{AssetSet, Object, Process, ProcessTable, Record, Verbs};

/// Decoded objects kept.
const OBJECT_BYTES: usize = 32 << 20;
/// Decoded payloads kept.
const PAYLOAD_BYTES: usize = 16 << 20;
/// Longest `session.json` and `findings.jsonl` read.
const MAX_JSON: u64 = 64 << 20;
/// Most bytes of processes that [`Reader::processes`] gathers.
const MAX_PROCESSES: usize = 64 << 20;

/// A bundle, open for reading.
pub struct Reader {
    dir: PathBuf,
    session: Option<Session>,
    events: FrameFile,
    objects: Side<Objects>,
    payloads: Side<Payloads>,
    processes: FrameFile,
    table: ProcessTable,
    /// Frame and row that [`Reader::records`] goes on with.
    next: (usize, usize),
    decoded: Option<(usize, Columns)>,
    incomplete: Option<String>,
}

impl Reader {
    /// Opens the bundle in `dir`. Errors when there is none, or when it is of another making; a
    /// bundle that was cut off opens.
    pub fn open(dir: &Path) -> Result<Self, BundleError> {
        let has = |name: &str| dir.join(name).is_file();
        if !has("session.json") && !has("events.arrows") {
            return Err(BundleError::NotABundle { path: dir.to_owned() });
        }
        // Events before what they point to: see `poll`.
        let events = FrameFile::open(dir, "events.arrows", schema::EVENTS, schema::events())?;
        let processes = FrameFile::open(dir, "processes.arrows", schema::PROCESSES, schema::processes())?;
        let objects = FrameFile::open(dir, "objects.arrows", schema::OBJECTS, schema::objects())?;
        let payloads = FrameFile::open(dir, "payloads.arrows", schema::PAYLOADS, schema::payloads())?;
        Ok(Self {
            session: read_session(dir)?,
            dir: dir.to_owned(),
            events,
            objects: Side::new(objects, OBJECT_BYTES),
            payloads: Side::new(payloads, PAYLOAD_BYTES),
            processes,
            table: ProcessTable::default(),
            next: (0, 0),
            decoded: None,
            incomplete: None,
        })
    }

    /// The bundle's directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// `session.json`; `None` when it is missing or broken.
    pub fn session(&self) -> Option<&Session> {
        self.session.as_ref()
    }

    /// How far the recording got. A session that says it runs, but whose writer is gone, was cut
    /// off.
    pub fn state(&self) -> State {
        match self.session.as_ref().map(|session| session.state) {
            None => State::CutOff,
            Some(State::Running) if !self.is_being_written() => State::CutOff,
            Some(state) => state,
        }
    }

    fn is_being_written(&self) -> bool {
        // The writer holds a lock for as long as it lives, however it dies.
        File::open(self.dir.join("events.arrows"))
            .is_ok_and(|file| matches!(file.try_lock_shared(), Err(std::fs::TryLockError::WouldBlock)))
    }

    /// Whether the recording is not whole: no end mark, a torn or damaged part, or events that
    /// point to rows which are not there (known once [`Reader::records`] came to them).
    pub fn truncated(&self) -> bool {
        let files = [&self.events, &self.objects.file, &self.payloads.file, &self.processes];
        self.incomplete.is_some() || files.into_iter().any(|file| !file.is_whole())
    }

    /// What makes the recording not whole, as far as it is more than its end missing.
    pub fn damage(&self) -> Option<&str> {
        let files = [&self.events, &self.objects.file, &self.payloads.file, &self.processes];
        self.incomplete.as_deref().or_else(|| files.into_iter().find_map(|file| file.damage()))
    }

    /// Looks for what was written since. Returns whether there are new events.
    pub fn poll(&mut self) -> Result<bool, BundleError> {
        // The writer writes what an event points to before the event; looking in the opposite
        // order, every event found finds what it points to.
        let new = self.events.scan()?;
        self.processes.scan()?;
        self.objects.file.scan()?;
        self.payloads.file.scan()?;
        if let Some(session) = read_session(&self.dir)? {
            self.session = Some(session);
        }
        Ok(new > 0)
    }

    /// Goes back to the first event.
    pub fn rewind(&mut self) {
        self.next = (0, 0);
        self.table = ProcessTable::default();
    }

    /// Hands on the events from where the last call stopped, in order, until `visit` breaks or
    /// there are no more. An event that points to rows which are not there ends a truncated
    /// recording. Errors on a batch that cannot be decoded.
    pub fn records(&mut self, mut visit: impl FnMut(&Record<'_>) -> ControlFlow<()>) -> Result<(), BundleError> {
        while self.next.0 < self.events.len() && self.incomplete.is_none() {
            let (index, first) = self.next;
            let columns = match self.decoded.take() {
                Some((decoded, columns)) if decoded == index => columns,
                _ => Columns::new(&self.events.batch(index)?)
                    .ok_or_else(|| self.events.damaged_frame(index, "its words are not ours"))?,
            };
            for row in first..columns.rows {
                let event = columns
                    .event(row)
                    .ok_or_else(|| self.events.damaged_frame(index, "it holds a word that is not ours"))?;
                let flow = match self.resolve(&event, &mut visit) {
                    Ok(flow) => flow,
                    Err(Stop::Missing) => {
                        self.incomplete = Some(format!("event {} points to rows that are missing", event.seq));
                        return Ok(());
                    }
                    Err(Stop::Error(error)) => return Err(error),
                };
                self.next = (index, row + 1);
                if flow.is_break() {
                    self.decoded = Some((index, columns));
                    return Ok(());
                }
            }
            self.next = (index + 1, 0);
        }
        Ok(())
    }

    /// Visits one event with what it points to.
    fn resolve(
        &mut self,
        event: &EventRow,
        visit: &mut impl FnMut(&Record<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, Stop> {
        let (object, target) = (self.object(event.object)?, self.object(event.target)?);
        let (detail, payload) = (self.payload(event.detail)?, self.payload(event.payload)?);
        let (detail, payload) = (bytes(detail.as_ref()), bytes(payload.as_ref()));
        let name = object.as_deref().map_or([].as_slice(), |object| &object.name);
        self.table.apply(event.kind, event.process, event.time_ns, &event.args, name, detail);
        let call = match event.kind {
            Kind::Call { abi, nr } => lookup(abi, nr),
            _ => None,
        };
        Ok(visit(&Record {
            seq: event.seq,
            time_ns: event.time_ns,
            witness: event.witness,
            kind: event.kind,
            call,
            process: self.table.get(event.process),
            tid: event.tid,
            args: event.args,
            result: event.result,
            duration_ns: event.duration_ns,
            decision: event.decision,
            authority: event.authority,
            object: object.as_deref(),
            target: target.as_deref(),
            detail,
            payload,
            payload_len: event.bytes,
            verbs: event.verbs,
            assets: event.assets,
        }))
    }

    fn object(&mut self, id: Option<u32>) -> Result<Option<Arc<Object>>, Stop> {
        let Some(id) = id else { return Ok(None) };
        let found = self.objects.get(u64::from(id))?;
        found.and_then(|(rows, row)| rows.get(row)).cloned().map(Some).ok_or(Stop::Missing)
    }

    fn payload(&mut self, id: Option<u64>) -> Result<Option<(Payloads, usize)>, Stop> {
        let Some(id) = id else { return Ok(None) };
        let found = self.payloads.get(id)?.filter(|(rows, row)| *row < rows.len());
        found.map(|(rows, row)| Some((rows.clone(), row))).ok_or(Stop::Missing)
    }

    /// All processes as last known, by key. In a hostile bundle with endless ones, those that fit
    /// into 64 MiB.
    pub fn processes(&self) -> Result<Vec<Process>, BundleError> {
        let mut last: BTreeMap<ProcessKey, Process> = BTreeMap::new();
        let mut bytes = 0;
        for index in 0..self.processes.len() {
            let batch = self.processes.batch(index)?;
            let rows =
                process_rows(&batch).ok_or_else(|| self.processes.damaged_frame(index, "its columns are others"))?;
            for process in rows {
                bytes += 256 + process.exe.len() + process.argv.len();
                if let Some(old) = last.insert(process.key, process) {
                    bytes -= 256 + old.exe.len() + old.argv.len();
                }
                if bytes > MAX_PROCESSES {
                    return Ok(last.into_values().collect());
                }
            }
        }
        Ok(last.into_values().collect())
    }

    /// The findings that were made, as written; a torn last line is left out.
    pub fn findings(&self) -> Result<Vec<serde_json::Value>, BundleError> {
        let bytes = read_small(&self.dir.join("findings.jsonl"))?.unwrap_or_default();
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let lines = bytes.get(..whole).unwrap_or_default().split_inclusive(|byte| *byte == b'\n');
        let mut offset = 0;
        let mut findings = Vec::new();
        for line in lines {
            let reason = |e: serde_json::Error| e.to_string();
            findings.push(serde_json::from_slice(line).map_err(|e| BundleError::Damaged {
                file: "findings.jsonl",
                offset,
                reason: reason(e),
            })?);
            offset += line.len() as u64;
        }
        Ok(findings)
    }
}

/// Why an event cannot be handed on.
enum Stop {
    /// What it points to is not there.
    Missing,
    /// What it points to cannot be read.
    Error(BundleError),
}

impl From<BundleError> for Stop {
    fn from(error: BundleError) -> Self {
        Self::Error(error)
    }
}

fn bytes(payload: Option<&(Payloads, usize)>) -> &[u8] {
    payload.map_or(&[], |(rows, row)| rows.value(*row))
}

/// A small file of the bundle; `None` when it is not there.
fn read_small(path: &Path) -> Result<Option<Vec<u8>>, BundleError> {
    if !path.is_file() {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_JSON).read_to_end(&mut bytes));
    read.map_err(|source| BundleError::Read { path: path.to_owned(), source })?;
    Ok(Some(bytes))
}

fn read_session(dir: &Path) -> Result<Option<Session>, BundleError> {
    let bytes = read_small(&dir.join("session.json"))?.unwrap_or_default();
    // Half a file is no session; a whole one of another schema is another belljar's.
    let Ok(value) = serde_json::from_slice::<serde_json::Value>(&bytes) else { return Ok(None) };
    let name = value.get("schema").and_then(serde_json::Value::as_str).unwrap_or("none").to_owned();
    if name != SCHEMA {
        let reason = format!("its schema is {name:?}");
        return Err(BundleError::Schema { file: "session.json", expected: SCHEMA, reason });
    }
    serde_json::from_value(value).map(Some).map_err(|e| BundleError::Schema {
        file: "session.json",
        expected: SCHEMA,
        reason: e.to_string(),
    })
}

/// The columns of a batch of events, found and typed once.
struct Columns {
    rows: usize,
    seq: PrimitiveArray<UInt64Type>,
    time: PrimitiveArray<UInt64Type>,
    witness: WordColumn<Witness>,
    kind: WordColumn<Kind>,
    abi: WordColumn<Abi>,
    nr: PrimitiveArray<UInt32Type>,
    process: PrimitiveArray<UInt32Type>,
    tid: PrimitiveArray<UInt32Type>,
    args: [PrimitiveArray<UInt64Type>; 6],
    result: PrimitiveArray<Int64Type>,
    duration: PrimitiveArray<UInt64Type>,
    decision: WordColumn<Decision>,
    authority: WordColumn<Authority>,
    object: PrimitiveArray<UInt32Type>,
    target: PrimitiveArray<UInt32Type>,
    detail: PrimitiveArray<UInt64Type>,
    payload: PrimitiveArray<UInt64Type>,
    bytes: PrimitiveArray<UInt64Type>,
    verbs: PrimitiveArray<UInt8Type>,
    assets: PrimitiveArray<UInt64Type>,
}

/// A column of words.
struct WordColumn<T> {
    keys: PrimitiveArray<UInt8Type>,
    values: Vec<Option<T>>,
}

impl<T: Copy> WordColumn<T> {
    fn new(batch: &RecordBatch, name: &str, words: Words<T>) -> Option<Self> {
        let column: &DictionaryArray<UInt8Type> = batch.column_by_name(name)?.as_dictionary_opt()?;
        let values = schema::values(words, column.values().as_string_opt::<i32>()?);
        Some(Self { keys: column.keys().clone(), values })
    }

    fn get(&self, row: usize) -> Option<T> {
        self.values.get(usize::from(option(&self.keys, row)?)).copied().flatten()
    }
}

/// One row of `events.arrows`.
struct EventRow {
    seq: u64,
    time_ns: u64,
    witness: Witness,
    kind: Kind,
    process: ProcessKey,
    tid: u32,
    args: [u64; 6],
    result: Option<i64>,
    duration_ns: Option<u64>,
    decision: Decision,
    authority: Authority,
    object: Option<u32>,
    target: Option<u32>,
    detail: Option<u64>,
    payload: Option<u64>,
    bytes: u64,
    verbs: Verbs,
    assets: AssetSet,
}

fn column<T: ArrowPrimitiveType>(batch: &RecordBatch, name: &str) -> Option<PrimitiveArray<T>> {
    batch.column_by_name(name)?.as_primitive_opt::<T>().cloned()
}

/// A value of a column, `None` where it is null (or there is no such row).
fn option<T: ArrowPrimitiveType>(column: &PrimitiveArray<T>, row: usize) -> Option<T::Native> {
    (row < column.len() && column.is_valid(row)).then(|| column.value(row))
}

impl Columns {
    fn new(batch: &RecordBatch) -> Option<Self> {
        Some(Self {
            rows: batch.num_rows(),
            seq: column(batch, "seq")?,
            time: column(batch, "time_ns")?,
            witness: WordColumn::new(batch, "witness", schema::WITNESSES)?,
            kind: WordColumn::new(batch, "kind", schema::KINDS)?,
            abi: WordColumn::new(batch, "abi", schema::ABIS)?,
            nr: column(batch, "nr")?,
            process: column(batch, "process")?,
            tid: column(batch, "tid")?,
            args: [
                column(batch, "a0")?,
                column(batch, "a1")?,
                column(batch, "a2")?,
                column(batch, "a3")?,
                column(batch, "a4")?,
                column(batch, "a5")?,
            ],
            result: column(batch, "result")?,
            duration: column(batch, "duration_ns")?,
            decision: WordColumn::new(batch, "decision", schema::DECISIONS)?,
            authority: WordColumn::new(batch, "authority", schema::AUTHORITIES)?,
            object: column(batch, "object")?,
            target: column(batch, "target")?,
            detail: column(batch, "detail")?,
            payload: column(batch, "payload")?,
            bytes: column(batch, "bytes")?,
            verbs: column(batch, "verbs")?,
            assets: column(batch, "assets")?,
        })
    }

    /// A row; `None` when it holds a word that is not ours.
    fn event(&self, row: usize) -> Option<EventRow> {
        let kind = match self.kind.get(row)? {
            Kind::Call { .. } => Kind::Call { abi: self.abi.get(row)?, nr: option(&self.nr, row)? },
            Kind::Counted { .. } => Kind::Counted { abi: self.abi.get(row)?, nr: option(&self.nr, row)? },
            other => other,
        };
        let mut args = [0; 6];
        for (arg, column) in args.iter_mut().zip(&self.args) {
            *arg = option(column, row)?;
        }
        Some(EventRow {
            seq: option(&self.seq, row)?,
            time_ns: option(&self.time, row)?,
            witness: self.witness.get(row)?,
            kind,
            process: ProcessKey(option(&self.process, row)?),
            tid: option(&self.tid, row)?,
            args,
            result: option(&self.result, row),
            duration_ns: option(&self.duration, row),
            decision: self.decision.get(row)?,
            authority: self.authority.get(row)?,
            object: option(&self.object, row),
            target: option(&self.target, row),
            detail: option(&self.detail, row),
            payload: option(&self.payload, row),
            bytes: option(&self.bytes, row)?,
            verbs: Verbs(option(&self.verbs, row)?),
            assets: AssetSet(option(&self.assets, row)?),
        })
    }
}

fn process_rows(batch: &RecordBatch) -> Option<Vec<Process>> {
    let key = column::<UInt32Type>(batch, "key")?;
    let parent = column::<UInt32Type>(batch, "parent")?;
    let pid = column::<UInt32Type>(batch, "pid")?;
    let host_pid = column::<UInt32Type>(batch, "host_pid")?;
    let exe = batch.column_by_name("exe")?.as_binary_opt::<i32>()?;
    let argv = batch.column_by_name("argv")?.as_binary_opt::<i32>()?;
    let started = column::<UInt64Type>(batch, "started_ns")?;
    let ended = column::<UInt64Type>(batch, "ended_ns")?;
    let status = column::<Int32Type>(batch, "status")?;
    (0..batch.num_rows())
        .map(|row| {
            Some(Process {
                key: ProcessKey(option(&key, row)?),
                parent: option(&parent, row).map(ProcessKey),
                pid: option(&pid, row)?,
                host_pid: option(&host_pid, row)?,
                exe: exe.value(row).to_vec(),
                argv: argv.value(row).to_vec(),
                started_ns: option(&started, row)?,
                ended: option(&ended, row).map(|time| (time, option(&status, row))),
            })
        })
        .collect()
}
