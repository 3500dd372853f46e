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

use arrow_array::Array as _;
use belljar_sandbox::event::ProcessKey;

use super::BundleError;
use super::columns::{Columns, EventRow, process_rows};
use super::frame::FrameFile;
use super::schema;
use super::session::{SCHEMA, Session, State};
use super::side::{Objects, Payloads, Side};
use crate::store::{Object, Process, ProcessTable, Record};

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
        let process = self.table.get(event.process);
        Ok(visit(&event.record(process, [object.as_deref(), target.as_deref()], [detail, payload])))
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
            for (_, process) in rows {
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
