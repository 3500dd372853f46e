//! Takes batches from the witnesses' queue, numbers the events, shows each to analysis and writes
//! it to the bundle: the one path of every event, live or headless.
//!
//! It runs on a thread of its own. Whatever happens to the bundle, it keeps taking: a queue that
//! nobody empties would halt the subject, and a subject that halts when the disk is full is a
//! subject that can tell.

mod observer;
mod waiting;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use belljar_sandbox::event::{Batch, Event, Kind, ObjectKind, ProcessKey, Queue};
use belljar_sandbox::witness::syscalls::{Category, lookup};

use crate::bundle::{BundleError, Row, Writer};
use crate::store::{AssetSet, Counter, Interner, Object, ProcessTable, Record, Totals, Verbs, ops};

pub use observer::{Observer, Touched};
use waiting::Waiting;

/// How long the queue is waited for; with [`FLUSH`] it bounds what a crash can lose: an event
/// waits at most `TAKE` in the queue and `FLUSH + TAKE` in the writer, 200 ms, before the
/// thread that writes gets it.
const TAKE: Duration = Duration::from_millis(40);
/// How long what the gateway saw of an unknown caller waits for the call behind it.
const WAIT: Duration = Duration::from_millis(60);
/// A call that has begun before something was seen of it has ended this much later, at the latest, as a rule.
const CALL_NS: u64 = 20_000_000;
/// Longest that anything waits.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// How long a row may wait in the writer.
const FLUSH: Duration = Duration::from_millis(120);
/// Events between two looks at the clock.
const STRIDE: u64 = 256;
/// Longest name of an object kept: far above the kernel's 4,096 for a path.
const MAX_NAME: usize = 64 << 10;

/// Peers whose caller is remembered.
const MAX_CALLERS: usize = 16_384;

/// An object and its number.
type Named = (u32, Arc<Object>);

/// What to keep.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Payload bytes kept of an event that is no evidence.
    pub payload: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { payload: 256 }
    }
}

/// How far ingest is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Events numbered.
    pub events: u64,
    /// Events that witnesses say they lost.
    pub lost: u64,
    /// Bytes of rows on disk.
    pub bytes: u64,
    /// Whether the bundle was given up.
    pub failed: bool,
}

/// The bundle could not be written to the end. The queue was emptied all the same.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct IngestError {
    /// What went wrong first.
    #[source]
    pub error: BundleError,
    /// What was counted, the events that are not in the bundle included.
    pub totals: Box<Totals>,
}

/// Takes all events until the queue is closed and empty. `progress` is called after every batch.
/// After an error of the bundle, events are still taken and counted, but neither observed nor
/// written: what is concluded is what the bundle can show.
pub fn run(
    queue: &Queue,
    observer: &mut impl Observer,
    writer: &mut Writer,
    options: Options,
    mut progress: impl FnMut(Progress),
) -> Result<Totals, IngestError> {
    let mut ingest = Ingest {
        options,
        counter: Counter::default(),
        interner: Interner::default(),
        processes: ProcessTable::default(),
        error: None,
        callers: HashMap::new(),
        waiting: Waiting::default(),
        unwritten_since: None,
    };
    let mut batch = Batch::default();
    loop {
        let told = queue.told();
        // Who tells at once has told of a call before anybody can have seen what it does.
        let told = if told == u64::MAX { told } else { told.saturating_sub(CALL_NS) };
        if !queue.take(&mut batch, TAKE) {
            break;
        }
        for event in &batch.events {
            if matches!(event.kind, Kind::Traffic(_) | Kind::TerminalOutput) {
                if let Some(oldest) = ingest.waiting.make_room() {
                    ingest.alone(&oldest, observer, writer);
                }
                ingest.waiting.put(&batch, event);
                continue;
            }
            // A call that began later may follow from what was seen: a connection from its name's resolution.
            ingest.waited(event.time_ns, queue, observer, writer);
            ingest.event(&batch, event, observer, writer);
            if ingest.counter.events().is_multiple_of(STRIDE) {
                ingest.flush_if_due(writer);
            }
        }
        ingest.waited(told, queue, observer, writer);
        ingest.findings(observer, writer);
        ingest.flush_if_due(writer);
        progress(Progress {
            events: ingest.counter.events(),
            lost: ingest.counter.lost(),
            bytes: writer.written_bytes(),
            failed: ingest.error.is_some(),
        });
    }
    while let Some(alone) = ingest.waiting.pop_if(|_, _, _| true) {
        ingest.alone(&alone, observer, writer);
    }
    observer.ended();
    ingest.findings(observer, writer);
    ingest.write(writer, Writer::flush);
    let mut totals = ingest.counter.totals();
    totals.objects = u64::from(ingest.interner.count());
    totals.unwritten = totals.events.saturating_sub(writer.written_events());
    match ingest.error {
        None => Ok(totals),
        Some(error) => Err(IngestError { error, totals: Box::new(totals) }),
    }
}

struct Ingest {
    options: Options,
    counter: Counter,
    interner: Interner,
    processes: ProcessTable,
    /// The bundle's first error: nothing is written any more.
    error: Option<BundleError>,
    /// Who last had to do with a peer, by the number of its object.
    callers: HashMap<u32, ProcessKey>,
    waiting: Waiting,
    /// When the oldest row that waits in the writer came.
    unwritten_since: Option<Instant>,
}

impl Ingest {
    fn write(&mut self, writer: &mut Writer, write: impl FnOnce(&mut Writer) -> Result<(), BundleError>) {
        if self.error.is_none() {
            self.error = write(writer).err();
        }
    }

    fn flush_if_due(&mut self, writer: &mut Writer) {
        if !writer.is_pending() {
            self.unwritten_since = None;
        } else if self.unwritten_since.get_or_insert_with(Instant::now).elapsed() >= FLUSH {
            self.write(writer, Writer::hand_on);
            self.unwritten_since = None;
        }
    }

    fn findings(&mut self, observer: &mut impl Observer, writer: &mut Writer) {
        if self.error.is_none() {
            for finding in observer.findings() {
                self.write(writer, |writer| writer.finding(&finding));
            }
        }
    }

    fn object(&mut self, writer: &mut Writer, kind: ObjectKind, name: &[u8]) -> Option<(u32, Arc<Object>)> {
        if kind == ObjectKind::None && name.is_empty() {
            return None;
        }
        let interned = self.interner.intern(kind, name.get(..MAX_NAME).unwrap_or(name));
        if interned.new && self.error.is_none() {
            // Both count from 0 in the order objects come, so the numbers agree.
            let written = writer.object(kind, &interned.object.name);
            debug_assert_eq!(written, interned.id);
        }
        Some((interned.id, interned.object))
    }

    /// Takes up what was seen until `time_ns`, if who called is known or has been waited for.
    fn waited(&mut self, time_ns: u64, queue: &Queue, observer: &mut impl Observer, writer: &mut Writer) {
        loop {
            let (processes, interner, callers) = (&self.processes, &self.interner, &self.callers);
            let ready = |since: Instant, alone: &Batch, event: &Event| {
                let caller = event.args[1] as u32;
                let known = || {
                    !matches!(event.kind, Kind::Traffic(_))
                        || event.object.is_empty()
                        || (caller != 0 && processes.by_host_pid(caller).is_some())
                        || interner
                            .known(event.object_kind, alone.bytes(event.object))
                            .is_some_and(|id| callers.contains_key(&id))
                };
                // Asked with every call while anything waits: what costs least comes first. Where it is ourselves who
                // were slow, what is waited for is in the queue.
                (event.time_ns <= time_ns && (known() || since.elapsed() >= WAIT))
                    || (queue.told() < event.time_ns && since.elapsed() >= LONGEST_WAIT)
            };
            let Some(alone) = self.waiting.pop_if(ready) else { return };
            self.alone(&alone, observer, writer);
        }
    }

    fn alone(&mut self, alone: &Batch, observer: &mut impl Observer, writer: &mut Writer) {
        for event in &alone.events {
            self.event(alone, event, observer, writer);
        }
    }

    /// Whose doing an event was. The gateway knows a host process id at best; where it does not, the one that last
    /// called the same peer is taken: a connection is recorded once the call for it has been.
    fn attribute(&mut self, event: &Event, object: Option<&Named>, target: Option<&Named>) -> ProcessKey {
        let peer = target.or(object).filter(|(_, object)| matches!(object.kind, ObjectKind::Tcp | ObjectKind::Udp));
        match event.kind {
            Kind::Traffic(_) => {
                let known = self.processes.by_host_pid(event.args[1] as u32).filter(|_| event.args[1] != 0);
                known.or_else(|| self.callers.get(&object?.0).copied()).unwrap_or(event.process)
            }
            Kind::Call { .. } => {
                if let Some((id, _)) = peer {
                    if self.callers.len() >= MAX_CALLERS {
                        self.callers.clear();
                    }
                    self.callers.insert(*id, event.process);
                }
                event.process
            }
            _ => event.process,
        }
    }

    fn event(&mut self, batch: &Batch, event: &Event, observer: &mut impl Observer, writer: &mut Writer) {
        let object = self.object(writer, event.object_kind, batch.bytes(event.object));
        let target = self.object(writer, event.target_kind, batch.bytes(event.target));
        let detail = batch.bytes(event.detail);
        let seq = self.counter.events() + 1;
        let name = object.as_ref().map_or([].as_slice(), |(_, object)| &object.name);
        let changed = self.processes.apply(event.kind, event.process, event.time_ns, &event.args, name, detail);
        let key = self.attribute(event, object.as_ref(), target.as_ref());
        let process = self.processes.get(key);
        if let Some(process) = process.filter(|_| changed && self.error.is_none()) {
            writer.process(seq, process);
        }
        let call = match event.kind {
            Kind::Call { abi, nr } => lookup(abi, nr),
            _ => None,
        };
        let seen = Record {
            seq,
            time_ns: event.time_ns,
            witness: event.witness,
            kind: event.kind,
            call,
            process,
            tid: event.tid,
            args: event.args,
            result: event.result,
            duration_ns: event.duration_ns,
            decision: event.decision,
            authority: event.authority,
            object: object.as_ref().map(|(_, object)| &**object),
            target: target.as_ref().map(|(_, target)| &**target),
            detail,
            payload: batch.bytes(event.payload),
            payload_len: event.payload_len,
            verbs: Verbs::default(),
            assets: AssetSet::default(),
        };
        let op = ops().of(event.kind);
        self.counter.count(&seen, op);
        if self.error.is_some() {
            return;
        }
        let touched = observer.observe(&seen);
        let whole = touched.keep_payload || keeps_whole(&seen);
        let payload =
            if whole { seen.payload } else { seen.payload.get(..self.options.payload).unwrap_or(seen.payload) };
        self.counter.payloads_cut += u64::from(payload.len() < seen.payload.len());
        let record = Record { payload, verbs: touched.verbs, assets: touched.assets, ..seen };
        let row = Row {
            record: &record,
            op,
            process: key,
            object: object.as_ref().map(|(id, _)| *id),
            target: target.as_ref().map(|(id, _)| *id),
        };
        if event.kind == Kind::TerminalOutput {
            writer.terminal(event.time_ns, seen.payload);
        }
        // Not through `write`: `record` borrows the process table.
        self.error = writer.append(&row).err();
    }
}

/// Whether all of an event's payload is kept in any case: an exec's environment, the terminal's
/// bytes, of which `terminal.cast` holds a lossy copy only, and what is handed to another process,
/// of which nothing is left anywhere else.
fn keeps_whole(record: &Record<'_>) -> bool {
    match record.kind {
        Kind::ProcessImage | Kind::TerminalOutput | Kind::Plaintext { sent: true } => true,
        // The gateway says which of its payloads are to be kept.
        Kind::Traffic(_) => record.args[5] == 1,
        Kind::Call { .. } => record.call.is_some_and(|call| {
            call.name.starts_with("execve")
                || (matches!(call.category, Category::Write | Category::Send)
                    && record.object.is_some_and(|object| {
                        matches!(object.kind, ObjectKind::Pipe | ObjectKind::Unix | ObjectKind::Terminal)
                    }))
        }),
        _ => false,
    }
}
