//! A recording as rows that can be looked at in any order: what a screen needs, where the reader goes from the first
//! event to the last.
//!
//! Batches are decoded when a row of them is asked for, and a few are kept, so memory does not grow with the
//! recording. Who a process was at an event is told by `processes.arrows`, whose rows carry the numbers of the events
//! that changed it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use arrow_array::RecordBatch;
use belljar_sandbox::event::{Authority, Decision, Kind, ProcessKey, Witness};
use foldhash::fast::RandomState;

use super::BundleError;
use super::columns::{Columns, EventRow, joined, process_rows};
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

/// Parts of an event that may be looked at: those that are not are neither read nor decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look(u16);

impl Look {
    /// When it was.
    pub const TIME: Self = Self(1);
    /// What it tells of.
    pub const KIND: Self = Self(1 << 1);
    /// Whose doing it was, and its number.
    pub const PROCESS: Self = Self(1 << 2);
    /// What it acts on, and the second thing named.
    pub const OBJECTS: Self = Self(1 << 3);
    /// What it returned.
    pub const RESULT: Self = Self(1 << 4);
    /// How many bytes went with it.
    pub const SIZE: Self = Self(1 << 5);
    /// Who saw it, what the sandbox answered, and with what authority that is said.
    pub const WORDS: Self = Self(1 << 6);
    /// What analysis saw in it.
    pub const TOUCHED: Self = Self(1 << 7);
    /// Raw arguments.
    pub const ARGUMENTS: Self = Self(1 << 8);
    /// By which thread.
    pub const THREAD: Self = Self(1 << 9);
    /// How long it took.
    pub const DURATION: Self = Self(1 << 10);
    /// Its payload and detail.
    pub const BYTES: Self = Self(1 << 11);
    /// All there is.
    pub const ALL: Self = Self((1 << 12) - 1);

    const COLUMNS: [(Self, &'static [&'static str]); 12] = [
        (Self::TIME, &["time_ns"]),
        (Self::KIND, &["kind", "abi", "nr"]),
        (Self::PROCESS, &["seq", "process"]),
        (Self::OBJECTS, &["object", "target"]),
        (Self::RESULT, &["result"]),
        (Self::SIZE, &["bytes"]),
        (Self::WORDS, &["witness", "decision", "authority"]),
        (Self::TOUCHED, &["verbs", "assets"]),
        (Self::ARGUMENTS, &["a0", "a1", "a2", "a3", "a4", "a5"]),
        (Self::THREAD, &["tid"]),
        (Self::DURATION, &["duration_ns"]),
        (Self::BYTES, &["detail", "payload"]),
    ];

    /// All of both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// One event without what it points to; what was not looked at is zero.
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
    kept: Vec<(usize, Arc<Columns>)>,
    /// What each process was from which event on.
    history: HashMap<u32, Vec<(u64, Process)>, RandomState>,
    processes_read: usize,
    process_bytes: usize,
}

impl Access {
    /// Opens the bundle in `dir`.
    pub fn open(dir: &Path) -> Result<Self, BundleError> {
        // Events before what they point to, as in `Reader`.
        let events = FrameFile::open(dir, "events.arrows", schema::EVENTS, schema::events())?;
        let processes = FrameFile::open(dir, "processes.arrows", schema::PROCESSES, schema::processes())?;
        let objects = FrameFile::open(dir, "objects.arrows", schema::OBJECTS, schema::objects())?;
        let payloads = FrameFile::open(dir, "payloads.arrows", schema::PAYLOADS, schema::payloads())?;
        let mut this = Self {
            events,
            objects: Side::new(objects, OBJECT_BYTES),
            payloads: Side::new(payloads, PAYLOAD_BYTES),
            processes,
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
        let event = columns.event(at).ok_or_else(|| self.damaged_at(index))?;
        self.resolve(&event, visit)
    }

    /// The time of a row, nanoseconds.
    pub fn time(&mut self, row: u64) -> Result<Option<u64>, BundleError> {
        let Some((index, at)) = self.events.locate(row) else { return Ok(None) };
        Ok(self.columns(index)?.event(at).map(|event| event.time_ns))
    }

    /// A batch to be looked through, of which nothing is read yet.
    pub fn block(&self, index: usize) -> Option<Block> {
        let (first, rows) = self.events.frame(index)?;
        Some(Block { index, first, rows, read: Look::default(), columns: None })
    }

    /// Reads parts of a batch, unless that was done.
    pub fn read(&self, block: &mut Block, look: Look) -> Result<(), BundleError> {
        let missing = |part: &Look| look.has(*part) && !block.read.has(*part);
        let wanted = Look::COLUMNS.iter().filter(|(part, _)| missing(part));
        let names: Vec<&str> = wanted.flat_map(|(_, names)| names.iter().copied()).collect();
        if names.is_empty() {
            return Ok(());
        }
        let mut batch = self.events.batch_of(block.index, Some(&self.events.columns(&names)))?;
        let damaged = || self.events.damaged_frame(block.index, "its words are not ours");
        if let Some((before, _)) = &block.columns {
            batch = joined(before, &batch).ok_or_else(damaged)?;
        }
        let columns = Columns::new(&batch).ok_or_else(damaged)?;
        (block.columns, block.read) = (Some((batch, columns)), block.read.and(look));
        Ok(())
    }

    /// Shows one event of a batch with all it points to; `None` when that is not there.
    pub fn whole<T>(
        &mut self,
        block: &mut Block,
        at: usize,
        visit: impl FnOnce(&Record<'_>) -> T,
    ) -> Result<Option<T>, BundleError> {
        self.read(block, Look::ALL)?;
        self.partly(block, at, visit)
    }

    /// Shows one event of a batch as far as the batch was read.
    pub fn partly<T>(
        &mut self,
        block: &Block,
        at: usize,
        visit: impl FnOnce(&Record<'_>) -> T,
    ) -> Result<Option<T>, BundleError> {
        let event = block.columns().and_then(|columns| columns.event(at)).ok_or_else(|| self.damaged(block))?;
        self.resolve(&event, visit)
    }

    /// The batch that holds a row, and where in it.
    pub fn locate(&self, row: u64) -> Option<(usize, usize)> {
        self.events.locate(row)
    }

    /// Whether a row can be shown without a batch being decoded.
    pub fn is_at_hand(&self, row: u64) -> bool {
        self.locate(row).is_some_and(|(index, _)| self.kept.iter().any(|(kept, _)| *kept == index))
    }

    /// The time of the first event of a batch.
    pub fn begins(&self, index: usize) -> Result<u64, BundleError> {
        let Some(mut block) = self.block(index) else { return Ok(0) };
        self.read(&mut block, Look::TIME)?;
        Ok(block.columns().and_then(|columns| columns.time(0)).unwrap_or_default())
    }

    /// How many objects there are.
    pub fn objects(&self) -> u64 {
        self.objects.file.rows()
    }

    /// From which event on, and until before which, a process was what it was just before event `seq + 1`.
    pub fn span(&self, key: ProcessKey, seq: u64) -> (u64, u64) {
        let states = self.history.get(&key.0).map_or(&[][..], Vec::as_slice);
        let at = states.partition_point(|(from, _)| *from <= seq);
        let from = at.checked_sub(1).and_then(|at| states.get(at)).map_or(0, |(from, _)| *from);
        (from, states.get(at).map_or(u64::MAX, |(from, _)| *from))
    }

    /// An object by its number; `None` when it is not there.
    pub fn object(&mut self, id: u32) -> Result<Option<Arc<Object>>, BundleError> {
        let found = self.objects.get(u64::from(id))?;
        Ok(found.and_then(|(rows, row)| rows.get(row)).cloned())
    }

    /// Says that a batch holds words that are not ours.
    pub fn damaged(&self, block: &Block) -> BundleError {
        self.damaged_at(block.index)
    }

    fn damaged_at(&self, index: usize) -> BundleError {
        self.events.damaged_frame(index, "it holds a word that is not ours")
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
        for (id, place) in [(event.object, &mut object), (event.target, &mut target)] {
            let Some(id) = id else { continue };
            let found = self.objects.get(u64::from(id))?.and_then(|(rows, row)| rows.get(row)).cloned();
            if found.is_none() {
                return Ok(None);
            }
            *place = found;
        }
        let (mut detail, mut payload) = (None, None);
        for (id, place) in [(event.detail, &mut detail), (event.payload, &mut payload)] {
            let Some(id) = id else { continue };
            let found = self.payloads.get(id)?.map(|(rows, row)| (rows.clone(), row));
            *place = found.filter(|(rows, row)| *row < arrow_array::Array::len(rows));
            if place.is_none() {
                return Ok(None);
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

/// A batch that is looked through: its columns as far as they were read.
pub struct Block {
    index: usize,
    first: u64,
    rows: usize,
    read: Look,
    columns: Option<(RecordBatch, Columns)>,
}

impl Block {
    fn columns(&self) -> Option<&Columns> {
        self.columns.as_ref().map(|(_, columns)| columns)
    }

    /// Its first row.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// How many rows it has.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// What an event of it tells of; `None` when that is none of our words.
    pub fn kind(&self, at: usize) -> Option<Kind> {
        self.columns()?.kind(at)
    }

    /// Numbers of an event's object and target.
    pub fn objects(&self, at: usize) -> [Option<u32>; 2] {
        self.columns().map_or([None; 2], |columns| columns.objects(at))
    }

    /// Whose doing an event was, and its number.
    pub fn process(&self, at: usize) -> (ProcessKey, u64) {
        self.columns().map_or((ProcessKey(0), 0), |columns| columns.process(at))
    }

    /// What analysis saw in an event.
    pub fn touched(&self, at: usize) -> (Verbs, AssetSet) {
        self.columns().map_or_else(Default::default, |columns| columns.touched(at))
    }

    /// When an event was.
    pub fn time(&self, at: usize) -> Option<u64> {
        self.columns()?.time(at)
    }

    /// What an event returned.
    pub fn result(&self, at: usize) -> Option<i64> {
        self.columns()?.result(at)
    }

    /// Who saw an event, what the sandbox answered, and with what authority that is said.
    pub fn words(&self, at: usize) -> Option<(Witness, Decision, Authority)> {
        self.columns()?.words(at)
    }

    /// By which thread an event was.
    pub fn thread(&self, at: usize) -> Option<u32> {
        self.columns()?.thread(at)
    }

    /// How long an event took.
    pub fn duration(&self, at: usize) -> Option<u64> {
        self.columns()?.duration(at)
    }

    /// How many bytes went with an event.
    pub fn size(&self, at: usize) -> Option<u64> {
        self.columns()?.size(at)
    }

    /// An event as far as it was read, without what it points to.
    pub fn record(&self, at: usize) -> Option<Record<'static>> {
        Some(self.columns()?.event(at)?.record(None, [None, None], [&[], &[]]))
    }

    /// An event as far as it was read, for who counts.
    pub fn brief(&self, at: usize) -> Option<Brief> {
        let event = self.columns()?.event(at)?;
        Some(Brief {
            row: self.first + at as u64,
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
        })
    }
}

fn value(found: Option<&(Payloads, usize)>) -> &[u8] {
    found.map_or(&[], |(rows, row)| rows.value(*row))
}
