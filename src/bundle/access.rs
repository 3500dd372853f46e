//! A recording as rows that can be looked at in any order: what a screen needs, where the reader goes from the first
//! event to the last.
//!
//! Batches are decoded when a row of them is asked for, and a few are kept, so memory does not grow with the
//! recording. Who a process was at an event is told by `processes.arrows`, whose rows carry the numbers of the events
//! that changed it.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use belljar_sandbox::event::{Decision, Kind, ProcessKey};
use foldhash::fast::RandomState;

use super::BundleError;
use super::columns::{Columns, EventRow, process_rows};
use super::frame::FrameFile;
use super::schema;
use super::side::{Objects, Payloads, Side};
use crate::store::{AssetSet, Object, Process, Record, Verbs};

/// Decoded batches of events kept: the one on the screen, its neighbours, the one that play goes on with.
const BATCHES: usize = 4;
/// Decoded objects and payloads kept.
const OBJECT_BYTES: usize = 24 << 20;
const PAYLOAD_BYTES: usize = 16 << 20;
/// Most bytes of processes known.
const PROCESS_BYTES: usize = 32 << 20;

/// Which parts of an event are looked at: the rest is neither read nor decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// What the event acts on, and the second thing named.
    pub objects: bool,
    /// Its bytes: payload and detail.
    pub bytes: bool,
    /// Everything that is a number of the event itself, or a word: arguments, result, duration, decision.
    pub numbers: bool,
}

impl Look {
    /// All there is.
    pub const ALL: Self = Self { objects: true, bytes: true, numbers: true };
    /// When and what, by whom, verbs and assets.
    pub const LEAST: Self = Self { objects: false, bytes: false, numbers: false };
}

/// One event as [`Access::each_brief`] shows it: nothing that it points to.
#[derive(Clone, Copy, Debug)]
pub struct Brief {
    /// Row, from 0.
    pub row: u64,
    /// Nanoseconds since the session began.
    pub time_ns: u64,
    /// What it tells of.
    pub kind: Kind,
    /// Whose doing.
    pub process: ProcessKey,
    /// Raw arguments.
    pub args: [u64; 6],
    /// What it returned, where known.
    pub result: Option<i64>,
    /// What the sandbox answered.
    pub decision: Decision,
    /// Number of its object.
    pub object: Option<u32>,
    /// Number of its target.
    pub target: Option<u32>,
    /// How many bytes went with it.
    pub bytes: u64,
    /// What analysis saw in it.
    pub verbs: Verbs,
    /// Which assets it touched.
    pub assets: AssetSet,
}

/// Events by row.
pub struct Access {
    events: FrameFile,
    objects: Side<Objects>,
    payloads: Side<Payloads>,
    processes: FrameFile,
    look: Look,
    kept: Vec<(usize, Arc<Columns>)>,
    /// What each process was from which event on.
    history: HashMap<u32, Vec<(u64, Process)>, RandomState>,
    processes_read: usize,
    process_bytes: usize,
}

impl Access {
    /// Opens the bundle in `dir`, to look at these parts of its events.
    pub fn open(dir: &Path, look: Look) -> Result<Self, BundleError> {
        // Events before what they point to, as in `Reader`.
        let mut events = FrameFile::open(dir, "events.arrows", schema::EVENTS, schema::events())?;
        let processes = FrameFile::open(dir, "processes.arrows", schema::PROCESSES, schema::processes())?;
        let objects = FrameFile::open(dir, "objects.arrows", schema::OBJECTS, schema::objects())?;
        let payloads = FrameFile::open(dir, "payloads.arrows", schema::PAYLOADS, schema::payloads())?;
        if look != Look::ALL {
            let mut names = vec!["seq", "time_ns", "kind", "abi", "nr", "process", "verbs", "assets"];
            if look.objects {
                names.extend(["object", "target"]);
            }
            if look.bytes {
                names.extend(["detail", "payload"]);
            }
            if look.numbers {
                names.extend(["witness", "tid", "a0", "a1", "a2", "a3", "a4", "a5", "result", "duration_ns"]);
                names.extend(["decision", "authority", "bytes"]);
            }
            events.only(&names);
        }
        let mut this = Self {
            events,
            objects: Side::new(objects, OBJECT_BYTES),
            payloads: Side::new(payloads, PAYLOAD_BYTES),
            processes,
            look,
            kept: Vec::new(),
            history: HashMap::default(),
            processes_read: 0,
            process_bytes: 0,
        };
        this.read_processes()?;
        Ok(this)
    }

    /// Looks for what was written since. Returns whether there are new events.
    pub fn poll(&mut self) -> Result<bool, BundleError> {
        let new = self.events.scan()?;
        self.processes.scan()?;
        self.objects.file.scan()?;
        self.payloads.file.scan()?;
        self.read_processes()?;
        Ok(new > 0)
    }

    /// How many events there are.
    pub fn rows(&self) -> u64 {
        self.events.rows()
    }

    /// How many batches they stand in.
    pub fn batches(&self) -> usize {
        self.events.len()
    }

    /// The first row of a batch, and how many it has.
    pub fn batch(&self, index: usize) -> Option<(u64, usize)> {
        self.events.frame(index)
    }

    /// What a process was just before event `seq + 1`; before its first mention, what is said of it first.
    pub fn process(&self, key: ProcessKey, seq: u64) -> Option<&Process> {
        let states = self.history.get(&key.0)?;
        let at = states.partition_point(|(from, _)| *from <= seq);
        states.get(at.saturating_sub(1)).map(|(_, process)| process)
    }

    /// Every process as last known, in no order.
    pub fn processes(&self) -> impl Iterator<Item = &Process> {
        self.history.values().filter_map(|states| states.last()).map(|(_, process)| process)
    }

    fn read_processes(&mut self) -> Result<(), BundleError> {
        while self.processes_read < self.processes.len() && self.process_bytes < PROCESS_BYTES {
            let batch = self.processes.batch(self.processes_read)?;
            let rows = process_rows(&batch)
                .ok_or_else(|| self.processes.damaged_frame(self.processes_read, "its columns are others"))?;
            for (seq, process) in rows {
                self.process_bytes += 128 + process.exe.len() + process.argv.len();
                self.history.entry(process.key.0).or_default().push((seq, process));
            }
            self.processes_read += 1;
        }
        Ok(())
    }

    /// Shows one event; `None` when there is no such row, or when what it points to is not there.
    pub fn row<T>(&mut self, row: u64, visit: impl FnOnce(&Record<'_>) -> T) -> Result<Option<T>, BundleError> {
        let Some((index, at)) = self.events.locate(row) else { return Ok(None) };
        let columns = self.columns(index)?;
        let event =
            columns.event(at).ok_or_else(|| self.events.damaged_frame(index, "it holds a word that is not ours"))?;
        self.resolve(&event, visit)
    }

    /// The time of a row, nanoseconds.
    pub fn time(&mut self, row: u64) -> Result<Option<u64>, BundleError> {
        let Some((index, at)) = self.events.locate(row) else { return Ok(None) };
        Ok(self.columns(index)?.event(at).map(|event| event.time_ns))
    }

    /// Shows all events of a batch, with their rows, until `visit` breaks.
    pub fn each(
        &mut self,
        index: usize,
        mut visit: impl FnMut(u64, &Record<'_>) -> ControlFlow<()>,
    ) -> Result<(), BundleError> {
        let Some((first, rows)) = self.events.frame(index) else { return Ok(()) };
        let columns = self.decode(index)?;
        for at in 0..rows {
            let event = columns
                .event(at)
                .ok_or_else(|| self.events.damaged_frame(index, "it holds a word that is not ours"))?;
            let flow = self.resolve(&event, |record| visit(first + at as u64, record))?;
            if flow.is_none_or(|flow| flow.is_break()) {
                break;
            }
        }
        Ok(())
    }

    /// Shows all events of a batch without what they point to.
    pub fn each_brief(&mut self, index: usize, mut visit: impl FnMut(&Brief)) -> Result<(), BundleError> {
        let Some((first, rows)) = self.events.frame(index) else { return Ok(()) };
        let columns = self.decode(index)?;
        for at in 0..rows {
            let event = columns
                .event(at)
                .ok_or_else(|| self.events.damaged_frame(index, "it holds a word that is not ours"))?;
            visit(&Brief {
                row: first + at as u64,
                time_ns: event.time_ns,
                kind: event.kind,
                process: event.process,
                args: event.args,
                result: event.result,
                decision: event.decision,
                object: event.object,
                target: event.target,
                bytes: event.bytes,
                verbs: event.verbs,
                assets: event.assets,
            });
        }
        Ok(())
    }

    /// An object by its number; `None` when it is not there.
    pub fn object(&mut self, id: u32) -> Result<Option<Arc<Object>>, BundleError> {
        let found = self.objects.get(u64::from(id))?;
        Ok(found.and_then(|(rows, row)| rows.get(row)).cloned())
    }

    fn decode(&self, index: usize) -> Result<Columns, BundleError> {
        Columns::new(&self.events.batch(index)?)
            .ok_or_else(|| self.events.damaged_frame(index, "its words are not ours"))
    }

    fn columns(&mut self, index: usize) -> Result<Arc<Columns>, BundleError> {
        if let Some(at) = self.kept.iter().position(|(kept, _)| *kept == index) {
            let found = self.kept.remove(at);
            let columns = Arc::clone(&found.1);
            self.kept.push(found);
            return Ok(columns);
        }
        let columns = Arc::new(self.decode(index)?);
        if self.kept.len() >= BATCHES {
            self.kept.remove(0);
        }
        self.kept.push((index, Arc::clone(&columns)));
        Ok(columns)
    }

    fn resolve<T>(&mut self, event: &EventRow, visit: impl FnOnce(&Record<'_>) -> T) -> Result<Option<T>, BundleError> {
        let (mut object, mut target) = (None, None);
        if self.look.objects {
            for (id, place) in [(event.object, &mut object), (event.target, &mut target)] {
                let Some(id) = id else { continue };
                let found = self.objects.get(u64::from(id))?.and_then(|(rows, row)| rows.get(row)).cloned();
                if found.is_none() {
                    return Ok(None);
                }
                *place = found;
            }
        }
        let (mut detail, mut payload) = (None, None);
        if self.look.bytes {
            for (id, place) in [(event.detail, &mut detail), (event.payload, &mut payload)] {
                let Some(id) = id else { continue };
                let found = self.payloads.get(id)?.map(|(rows, row)| (rows.clone(), row));
                *place = found.filter(|(rows, row)| *row < arrow_array::Array::len(rows));
                if place.is_none() {
                    return Ok(None);
                }
            }
        }
        let record = event.record(
            self.process(event.process, event.seq),
            [object.as_deref(), target.as_deref()],
            [value(detail.as_ref()), value(payload.as_ref())],
        );
        Ok(Some(visit(&record)))
    }
}

fn value(found: Option<&(Payloads, usize)>) -> &[u8] {
    found.map_or(&[], |(rows, row)| rows.value(*row))
}
