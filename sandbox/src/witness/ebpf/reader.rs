//! Makes events of records: one for one, in the order they come, into the recording's queue.
//!
//! This is all there is between the ring and ingest, so it allocates nothing for the common call: names are looked up
//! by two numbers and copied.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::call::Spot;
use super::names::Names;
use super::places::Places;
use super::record::{self, Head, Item, Items, Role as Part, Type};
use super::ring::Ring;
use super::tls::{self, Teller};
use crate::event::{Abi, Authority, Batch, Decision, Event, Kind, ObjectKind, ProcessKey, Queue, Witness};
use crate::jail::monotonic_ns;
use crate::witness::Stats;
use crate::witness::plan::{Plan, Plans};
use crate::witness::syscalls::{self, Category, Watch};

/// How long the reader sleeps when there is nothing to read.
const IDLE: Duration = Duration::from_millis(4);
/// Most records and bytes that go into the queue at once.
const AT_ONCE: usize = 4096;
const BYTES_AT_ONCE: usize = 2 << 20;
/// `mmap` of i386 with its arguments in memory, and of x86-64 with the same ones in registers.
const OLD_MMAP: u32 = 90;
const MMAP: u32 = 9;
/// Most bytes kept of payloads whose call has not come.
const PARTS_MAX: usize = 64 << 20;
/// Most threads whose items have come ahead; there are as many as threads in the middle of a close.
const EARLY_MAX: usize = 1 << 12;
/// Most threads of which it is remembered whom they talk to.
const PEERS_MAX: usize = 1 << 12;

/// The thread's own.
pub(super) struct Reader {
    pub(super) ring: Arc<Ring>,
    pub(super) queue: Arc<Queue>,
    pub(super) start_ns: u64,
    pub(super) names: Names,
    pub(super) places: Places,
    pub(super) plans: Plans,
    pub(super) quiet: Vec<(Abi, u32)>,
    /// The planted files, by the number the kernel's half knows them by, counted from 1.
    pub(super) planted: Vec<OwnedFd>,
    pub(super) capture: usize,
    /// Process ids in the jail, by key.
    pub(super) pids: HashMap<u32, u32>,
    /// Payload that came ahead of its call, by thread.
    pub(super) parts: HashMap<u32, Vec<u8>>,
    pub(super) held: usize,
    /// Items that came ahead of their call, by thread.
    pub(super) early: HashMap<u32, Vec<u8>>,
    /// Where TLS libraries are probed: who attaches to more of them.
    pub(super) tls: Option<Teller>,
    /// There, whom each thread last exchanged bytes with by TCP, and when its call began.
    pub(super) peers: HashMap<u32, (u64, Vec<u8>)>,
    /// When what was read last had happened, by the kernel's clock.
    pub(super) last: u64,
    pub(super) stats: Stats,
}

impl Reader {
    /// The thread. Reads until told to stop, and then what is left.
    pub(super) fn run(mut self, stop: &AtomicBool, mut new_epoch: impl FnMut(u32)) -> Stats {
        let mut epoch = self.names.epoch;
        loop {
            let stopping = stop.load(Ordering::Acquire);
            let now = monotonic_ns();
            if self.ring.is_empty() {
                if stopping {
                    self.queue.has_told(u64::MAX);
                    return self.stats;
                }
                self.told(now);
                std::thread::sleep(IDLE);
                continue;
            }
            let queue = Arc::clone(&self.queue);
            if queue.push(|batch| self.drain(batch)).is_err() {
                // The recording has ended; the ring must be emptied all the same, or the subject stays frozen.
                while self.ring.next(|_| {}) {
                    self.stats.lost += 1;
                }
            }
            self.told(self.last.min(now));
            if self.names.epoch != epoch {
                epoch = self.names.epoch;
                new_epoch(epoch);
            }
        }
    }

    /// Every call that ended before `time` (by the kernel's clock) is in the queue.
    fn told(&self, time: u64) {
        self.queue.has_told(time.saturating_sub(self.start_ns));
    }

    fn drain(&mut self, batch: &mut Batch) {
        let ring = Arc::clone(&self.ring);
        let begin = batch.arena.len();
        for _ in 0..AT_ONCE {
            if !ring.next(|bytes| self.record(bytes, batch)) || batch.arena.len() - begin > BYTES_AT_ONCE {
                break;
            }
        }
    }

    fn record(&mut self, bytes: &[u8], batch: &mut Batch) {
        let Some((head, items)) = record::head(bytes) else {
            self.stats.internal_errors += 1;
            return;
        };
        // Only a call that entered and returned says when that was.
        if head.kind == Type::Call && head.flags & (record::NO_RESULT | record::NO_ENTER) == 0 {
            self.last = head.time.saturating_add(head.duration);
        }
        if head.lost > 0 {
            self.stats.lost_records += u64::from(head.lost);
            push_loss(head.lost.into(), head.time.saturating_sub(self.start_ns), batch);
        }
        match head.kind {
            Type::Call => self.call(&head, items, batch),
            Type::Exec => self.exec(&head, items, batch),
            Type::Fork => {
                let [_, pid, ..] = head.args;
                self.pids.insert(head.process, pid as u32);
                let event = self.event(&head, Kind::ProcessStart);
                batch.events.push(Event { args: head.args, ..event });
            }
            Type::End => {
                self.pids.remove(&head.process);
                let [status, ..] = head.args;
                let event = self.event(&head, Kind::ProcessEnd);
                batch.events.push(Event { args: [status, 0, 0, 0, 0, 0], tid: 0, ..event });
            }
            Type::Part => {
                // Those of TLS are items, since there is room behind them.
                let bytes = if head.nr == 0 { items.0 } else { payload(items) };
                if self.held + bytes.len() > PARTS_MAX {
                    self.held -= self.parts.remove(&head.tid).map_or(0, |part| part.len());
                    self.stats.payloads_cut += 1;
                } else {
                    self.parts.entry(head.tid).or_default().extend_from_slice(bytes);
                    self.held += bytes.len();
                }
            }
            Type::Tls => self.plaintext(&head, items, batch),
            Type::Quiet => self.counts(&head, items, batch),
            Type::Early => {
                if self.early.len() < EARLY_MAX {
                    self.early.insert(head.tid, items.0.to_vec());
                }
            }
        }
    }

    fn event(&self, head: &Head, kind: Kind) -> Event {
        let time = head.time.saturating_sub(self.start_ns);
        Event::new(time, Witness::Ebpf, kind, ProcessKey(head.process), head.tid)
    }

    fn counts(&mut self, head: &Head, items: Items<'_>, batch: &mut Batch) {
        for item in items {
            let Item::Payload(counts) = item else { continue };
            for (count, (abi, nr)) in counts.chunks_exact(4).zip(&self.quiet) {
                let count = count.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
                if count > 0 {
                    let event = self.event(head, Kind::Counted { abi: *abi, nr: *nr });
                    let name = syscalls::lookup(*abi, *nr).map_or("", |call| call.name);
                    let object = batch.put(name.as_bytes());
                    let args = [count.into(), 0, 0, 0, 0, 0];
                    batch.events.push(Event { args, object_kind: ObjectKind::Other, object, ..event });
                }
            }
        }
    }

    /// An exec that succeeded: the call, and the program that it began.
    fn exec(&mut self, head: &Head, items: Items<'_>, batch: &mut Batch) {
        let mut event = self.event(head, Kind::Call { abi: head.abi, nr: head.nr });
        event.args = head.args;
        event.result = Some(0);
        event.duration_ns = Some(head.duration);
        // The kernel's own copies.
        event.authority = Authority::Enforced;
        let (mut program, mut called) = (Spot::default(), Spot::default());
        let mut items = items.peekable();
        while let Some(item) = items.next() {
            match item {
                Item::Path(path) => called = self.path(head, path, true, true, &mut items, batch),
                Item::Thing(Part::Program, thing) => program = self.thing(&thing, &mut items, batch),
                Item::Argv(argv) => event.detail = batch.put(argv),
                Item::Environment(environment) => {
                    event.payload = batch.put(environment);
                    event.payload_len = environment.len() as u64;
                }
                _ => {}
            }
        }
        if let Some(tls) = &mut self.tls {
            tls.notice(batch.bytes(program.bytes), true);
        }
        self.stats.calls += 1;
        self.stats.payloads_cut += u64::from(head.flags & record::CUT != 0);
        let image = Event { time_ns: event.time_ns + head.duration, ..self.event(head, Kind::ProcessImage) };
        batch.events.push(Event { object_kind: called.kind, object: called.bytes, ..event });
        batch.events.push(Event {
            object_kind: program.kind,
            object: program.bytes,
            detail: event.detail,
            payload: event.payload,
            payload_len: event.payload_len,
            ..image
        });
    }

    /// What a process handed to a TLS library, or got from it.
    fn plaintext(&mut self, head: &Head, items: Items<'_>, batch: &mut Batch) {
        let (name, sent) = tls::function(head.nr);
        let mut event = self.event(head, Kind::Plaintext { sent });
        event.witness = Witness::Tls;
        event.args = head.args;
        event.duration_ns = Some(head.duration);
        // Libraries number their own errors; the number is the first argument.
        event.result = Some(if head.result > 0 { head.result } else { -i64::from(libc::EIO) });
        event.payload_len = head.total;
        (event.object_kind, event.object) = (ObjectKind::Other, batch.put(name.as_bytes()));
        // What it exchanged within the call went to whom the bytes are for.
        if let Some((time, peer)) = self.peers.get(&head.tid)
            && (head.time..=head.time.saturating_add(head.duration)).contains(time)
        {
            (event.target_kind, event.target) = (ObjectKind::Tcp, batch.put(peer));
        }
        let rest = if self.held > 0 { self.parts.remove(&head.tid).unwrap_or_default() } else { Vec::new() };
        self.held -= rest.len();
        let first = payload(items);
        event.payload = if rest.is_empty() { batch.put(first) } else { batch.put(&[first, &rest].concat()) };
        self.stats.memory_failed += u64::from(head.flags & record::UNREADABLE != 0);
        batch.events.push(event);
    }

    fn call(&mut self, head: &Head, items: Items<'_>, batch: &mut Batch) {
        let operation = head.nr >> 16;
        let nr = head.nr & 0xffff;
        let nr = if operation == 0 { head.nr } else { nr };
        let mut event = self.event(head, Kind::Call { abi: head.abi, nr });
        event.args = head.args;
        if head.flags & record::NO_RESULT == 0 {
            event.result = Some(head.result);
            event.duration_ns = Some(head.duration);
        }
        event.payload_len = head.total;
        self.stats.calls += 1;
        let plan = match head.abi {
            // Its arguments stood in memory, in the order of x86-64.
            Abi::I386 if nr == OLD_MMAP => self.plans.of(Abi::X86_64, MMAP).copied(),
            Abi::X86_64 | Abi::I386 => self.plans.of(head.abi, nr).copied(),
            Abi::X32 | Abi::Unknown => None,
        };
        let (plan, name) = match plan {
            Some(plan) if operation > 0 => match self.plans.of_socket_operation(operation.into()) {
                Some((of_operation, _)) => (Some(*of_operation), Some(of_operation.call.name)),
                None => (Some(plan), None),
            },
            plan => (plan, None),
        };
        // What stands in the registers that a call does not look at is none of its arguments.
        for unused in event.args.iter_mut().skip(plan.map_or(6, |plan| plan.call.args.len())) {
            *unused = 0;
        }
        if head.flags & record::NO_ENTER != 0 {
            self.answered(plan, &mut event);
        }
        // What came ahead of a call that was then lost must not be taken for this one's.
        let early = if self.early.is_empty() { None } else { self.early.remove(&head.tid) };
        let early = early.filter(|_| plan.is_some_and(|plan| plan.call.name == "close"));
        let items = early.as_deref().map_or(items, Items);
        let parts = self.items(head, plan, name, items, &mut event, batch);
        if let Some(plan) = plan {
            self.contents(head, &plan, &parts, &mut event, batch);
            self.notice(head, &plan, &event, batch);
            self.notice_tls(head, &plan, &event, batch);
        }
        if event.payload_len > u64::from(event.payload.len) && !event.payload.is_empty() {
            self.stats.payloads_cut += 1;
        }
        batch.events.push(event);
    }

    /// It left without having entered: the gate refused it, or a filter or tracer of the subject's own answered.
    fn answered(&mut self, plan: Option<Plan>, event: &mut Event) {
        let refused = plan.is_none_or(|plan| matches!(plan.call.watch, Watch::Refused(_)));
        if refused {
            event.decision = Decision::Denied;
            event.authority = Authority::Enforced;
            if let Some(plan) = plan {
                *self.stats.refused.entry(plan.call.name).or_default() += 1;
            } else if matches!(event.kind, Kind::Call { abi: Abi::X86_64 | Abi::I386, .. }) {
                self.stats.unknown_numbers += 1;
            }
        }
    }

    /// Where TLS is watched: which of its libraries is opened, and whom a thread talks to.
    fn notice_tls(&mut self, head: &Head, plan: &Plan, event: &Event, batch: &Batch) {
        let Some(tls) = self.tls.as_mut().filter(|_| head.result >= 0) else { return };
        if matches!(plan.call.name, "rename" | "renameat" | "renameat2" | "unlink" | "unlinkat" | "mount") {
            tls.forget();
        }
        match (plan.call.category, event.object_kind) {
            (Category::Open, ObjectKind::File) => tls.notice(batch.bytes(event.object), false),
            (Category::Send | Category::Receive | Category::Write | Category::Read, ObjectKind::Tcp) => {
                if self.peers.len() >= PEERS_MAX {
                    self.peers.clear();
                }
                let (time, peer) = self.peers.entry(head.tid).or_default();
                *time = head.time;
                peer.clear();
                peer.extend_from_slice(batch.bytes(event.object));
            }
            _ => {}
        }
    }
}

/// The payload among a record's items.
fn payload(items: Items<'_>) -> &[u8] {
    let mut items = items;
    let found = items.find_map(|item| if let Item::Payload(bytes) = item { Some(bytes) } else { None });
    found.unwrap_or_default()
}

/// Puts a loss where it happened: `time_ns` counts from the session's start.
pub(super) fn push_loss(count: u64, time_ns: u64, batch: &mut Batch) {
    let detail = batch.put(b"the ring was full");
    let event = Event::new(time_ns, Witness::Ebpf, Kind::Lost, ProcessKey(0), 0);
    batch.events.push(Event { args: [count, 0, 0, 0, 0, 0], detail, ..event });
}
