//! Makes events of records: one for one, in the order they come, into the recording's queue.
//!
//! This is all there is between the ring and ingest, so it allocates nothing for the common call: names are looked up
//! by two numbers and copied.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::names::{Names, raw_address};
use super::places::Places;
use super::planted;
use super::record::{self, Head, Item, Items, Peer, Role as Part, Thing, Type};
use super::ring::Ring;
use super::tls::{self, Teller};
use crate::event::{Abi, Authority, Batch, Decision, Event, Kind, ObjectKind, ProcessKey, Queue, Span, Witness};
use crate::witness::Stats;
use crate::witness::address;
use crate::witness::plan::{self, Follow, Plan, Plans, Role};
use crate::witness::syscalls::{self, Category, Watch};

/// How long the reader sleeps when there is nothing to read.
const IDLE: Duration = Duration::from_millis(4);
/// Most records and bytes that go into the queue at once.
const AT_ONCE: usize = 4096;
const BYTES_AT_ONCE: usize = 2 << 20;
/// Most bytes kept of payloads whose call has not come.
const PARTS_MAX: usize = 64 << 20;
/// Most threads whose items have come ahead; there are as many as threads in the middle of a close.
const EARLY_MAX: usize = 1 << 12;
/// Most threads of which it is remembered whom they talk to.
const PEERS_MAX: usize = 1 << 12;

/// A name in the batch.
#[derive(Clone, Copy, Default)]
struct Spot {
    kind: ObjectKind,
    bytes: Span,
}

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
    pub(super) stats: Stats,
}

impl Reader {
    /// The thread. Reads until told to stop, and then what is left.
    pub(super) fn run(mut self, stop: &AtomicBool, mut new_epoch: impl FnMut(u32)) -> Stats {
        let mut epoch = self.names.epoch;
        loop {
            let stopping = stop.load(Ordering::Acquire);
            if self.ring.is_empty() {
                if stopping {
                    return self.stats;
                }
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
            if self.names.epoch != epoch {
                epoch = self.names.epoch;
                new_epoch(epoch);
            }
        }
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
        if head.lost > 0 {
            self.lost(head.lost.into(), head.time, batch);
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

    /// Puts a loss where it happened.
    pub(super) fn lost(&mut self, count: u64, time: u64, batch: &mut Batch) {
        self.stats.lost_records += count;
        let detail = batch.put(b"the ring was full");
        let time = time.saturating_sub(self.start_ns);
        let event = Event::new(time, Witness::Ebpf, Kind::Lost, ProcessKey(0), 0);
        batch.events.push(Event { args: [count, 0, 0, 0, 0, 0], detail, ..event });
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
            match plan {
                Some(plan) => *self.stats.refused.entry(plan.call.name).or_default() += 1,
                None => {
                    self.stats.unknown_numbers +=
                        u64::from(matches!(event.kind, Kind::Call { abi: Abi::X86_64 | Abi::I386, .. }))
                }
            }
        }
    }

    /// Reads a call's items into its event.
    fn items(
        &mut self,
        head: &Head,
        plan: Option<Plan>,
        operation: Option<&str>,
        items: Items<'_>,
        event: &mut Event,
        batch: &mut Batch,
    ) -> Found {
        let mut found = Found::default();
        let (mut object, mut target, mut result) = (Spot::default(), Spot::default(), None);
        let mut detail: Vec<u8> = operation.map(|name| name.as_bytes().to_vec()).unwrap_or_default();
        let mut paths = 0;
        let succeeded = head.result >= 0;
        let mut place = |spot: Spot| {
            if object.kind == ObjectKind::None {
                object = spot;
            } else if target.kind == ObjectKind::None {
                target = spot;
            }
        };
        let mut items = items.peekable();
        let mut address = None;
        while let Some(item) = items.next() {
            match item {
                Item::Thing(Part::Result, thing) => result = Some(self.thing(&thing, &mut items, batch)),
                Item::Thing(Part::Passed, thing) => {
                    let spot = self.thing(&thing, &mut items, batch);
                    detail.extend_from_slice(b"SCM_RIGHTS ");
                    detail.extend_from_slice(batch.bytes(spot.bytes));
                    detail.push(0);
                }
                Item::Thing(_, thing) => {
                    let peer = self.described(&thing, &mut items, batch);
                    if let Some(slot) = found.things.iter_mut().find(|slot| slot.is_none()) {
                        *slot = Some(thing);
                    }
                    found.peer = found.peer.or(peer.1);
                    place(peer.0);
                }
                Item::Path(path) => {
                    let follow = plan.is_some_and(|plan| {
                        paths == 0 && follows(plan.follow, &head.args) || paths > 0 && plan.follow == Follow::Yes
                    });
                    paths += 1;
                    let spot = self.path(head, path, succeeded, follow, &mut items, batch);
                    place(spot);
                }
                Item::Address(raw) => {
                    let spot = self.address(head, raw, &mut items, batch);
                    found.address = Some(raw_peer(raw));
                    address = Some(spot);
                }
                Item::Text(text) => {
                    if !detail.is_empty() {
                        detail.push(0);
                    }
                    detail.extend_from_slice(text);
                }
                Item::Argv(argv) => detail.extend_from_slice(argv),
                Item::Environment(bytes) | Item::Payload(bytes) => {
                    event.payload = batch.put(bytes);
                    event.payload_len = event.payload_len.max(bytes.len() as u64);
                }
                Item::Offset(offset) => found.offset = Some(offset),
                Item::Name(_) | Item::Socket(_) => {}
            }
        }
        if self.held > 0
            && let Some(rest) = self.parts.remove(&head.tid)
        {
            self.held -= rest.len();
            let rest = if head.flags & record::PARTS == 0 { Vec::new() } else { rest };
            let whole = [batch.bytes(event.payload), rest.as_slice()].concat();
            event.payload = batch.put(&whole);
        }
        let role = plan.map_or(Role::Plain, |plan| plan.role);
        if let Some(mut spot) = address {
            spot.kind = match (spot.kind, object.kind) {
                (ObjectKind::Socket, kind @ (ObjectKind::Tcp | ObjectKind::Udp)) => kind,
                (kind, _) => kind,
            };
            if matches!(role, Role::Connect | Role::Bind) {
                (object, target) = (spot, Spot::default());
            } else {
                target = spot;
            }
            // Whom the kernel has connected it to is what counted.
            if role == Role::Connect && found.peer.is_some() && found.peer == found.address {
                event.authority = Authority::Enforced;
            }
        }
        if let (Some(spot), Some(plan)) = (result, plan) {
            if matches!(plan.call.category, Category::Network) {
                target = spot;
            } else {
                object = spot;
            }
        }
        if object.kind == ObjectKind::None
            && let Some(index) = plan
                .and_then(|plan| plan.call.args.iter().position(|(_, arg)| *arg == crate::witness::syscalls::Arg::Pid))
        {
            let pid = event.args.get(index).map_or(0, |pid| *pid as i32);
            object = Spot { kind: ObjectKind::Process, bytes: batch.put(pid.to_string().as_bytes()) };
        }
        (event.object_kind, event.object) = (object.kind, object.bytes);
        (event.target_kind, event.target) = (target.kind, target.bytes);
        if !detail.is_empty() {
            event.detail = batch.put(&detail);
        }
        // A call that failed with EFAULT was given nothing that could be read.
        let fault = head.result == -i64::from(libc::EFAULT);
        self.stats.memory_failed += u64::from(head.flags & record::UNREADABLE != 0 && !fault);
        self.stats.payloads_cut += u64::from(head.flags & record::CUT != 0);
        found
    }

    /// Names a thing, with what was told behind it.
    fn thing<'a>(&mut self, thing: &Thing, items: &mut std::iter::Peekable<Items<'a>>, batch: &mut Batch) -> Spot {
        self.described(thing, items, batch).0
    }

    /// The same, and a connected socket's raw peer.
    fn described<'a>(
        &mut self,
        thing: &Thing,
        items: &mut std::iter::Peekable<Items<'a>>,
        batch: &mut Batch,
    ) -> (Spot, Option<[u8; 28]>) {
        let (mut way, mut peer) = (None, None);
        loop {
            match items.peek() {
                Some(Item::Name(bytes)) => way = Some(*bytes),
                Some(Item::Socket(of)) => peer = Some(*of),
                _ => break,
            }
            items.next();
        }
        match self.names.of(thing, way, peer.as_ref()) {
            Some(name) => (Spot { kind: name.kind, bytes: batch.put(&name.bytes) }, peer.and_then(connected_to)),
            None => {
                self.stats.names_unknown += 1;
                (Spot::default(), None)
            }
        }
    }

    /// A path, and the base that follows it.
    fn path<'a>(
        &mut self,
        head: &Head,
        path: &[u8],
        exists: bool,
        follow: bool,
        items: &mut std::iter::Peekable<Items<'a>>,
        batch: &mut Batch,
    ) -> Spot {
        let mut base = Spot::default();
        if let Some(Item::Thing(Part::Base, thing)) = items.peek().copied() {
            items.next();
            base = self.thing(&thing, items, batch);
        }
        if path.is_empty() {
            // No path means the descriptor itself.
            return base;
        }
        let pid = self.pids.get(&head.process).copied().unwrap_or(0);
        let found = self.places.find(batch.bytes(base.bytes), path, exists, follow, (pid, head.tid));
        Spot { kind: ObjectKind::File, bytes: batch.put(found) }
    }

    fn address<'a>(
        &mut self,
        head: &Head,
        raw: &[u8],
        items: &mut std::iter::Peekable<Items<'a>>,
        batch: &mut Batch,
    ) -> Spot {
        let family = raw.first_chunk().map_or(0, |family| i32::from(u16::from_le_bytes(*family)));
        let mut text = Vec::new();
        address::format(raw, &mut text);
        let kind = if family == libc::AF_UNIX { ObjectKind::Unix } else { ObjectKind::Socket };
        if text.is_empty() {
            return Spot::default();
        }
        if kind == ObjectKind::Unix && text.first() != Some(&b'@') {
            let spot = self.path(head, &text, head.result >= 0, true, items, batch);
            self.names.called(&text, batch.bytes(spot.bytes));
            return Spot { kind, ..spot };
        }
        Spot { kind, bytes: batch.put(&text) }
    }

    /// The bytes of planted files that moved without passing the subject's buffers, and of other files where they can
    /// still be read.
    fn contents(&mut self, head: &Head, plan: &Plan, found: &Found, event: &mut Event, batch: &mut Batch) {
        let moved = head.result.max(0) as u64;
        let (thing, offset, length) = match plan.role {
            Role::Map if head.result < 0 && head.result > -4096 => return,
            Role::Map => {
                let [_, length, _, _, _, offset] = head.args;
                let pages = plan.call.name == "mmap2";
                (found.things[0], if pages { offset << 12 } else { offset }, length)
            }
            // The second descriptor of sendfile is the one that is read.
            Role::Copy(from, ..) => {
                let thing = found.things[usize::from(from == 1)];
                let after = found.offset.or(thing.map(|thing| thing.position));
                let Some((thing, after)) = thing.zip(after) else { return };
                event.payload_len = moved;
                let Some(bytes) = self.read(
                    &thing,
                    after.saturating_sub(moved),
                    moved,
                    batch.bytes(if from == 1 { event.target } else { event.object }),
                ) else {
                    return;
                };
                event.payload = batch.put(&bytes);
                return;
            }
            _ => return,
        };
        let Some(thing) = thing.filter(|thing| thing.asset > 0) else { return };
        event.payload_len = length;
        if let Some(bytes) = self.read(&thing, offset, length, b"") {
            event.payload = batch.put(&bytes);
        }
    }

    fn read(&self, thing: &Thing, offset: u64, length: u64, path: &[u8]) -> Option<Vec<u8>> {
        let planted = usize::try_from(thing.asset).ok().and_then(|number| self.planted.get(number.checked_sub(1)?));
        match planted {
            Some(file) => planted::read(file, offset, length, self.capture),
            None if path.first() == Some(&b'/') => {
                planted::read_open(&self.places.open(path)?, offset, length, self.capture)
            }
            None => None,
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

    /// Throws away what a call may have made wrong.
    fn notice(&mut self, head: &Head, plan: &Plan, event: &Event, batch: &Batch) {
        if head.result < 0 {
            return;
        }
        match plan.call.name {
            "symlink" | "symlinkat" | "rename" | "renameat" | "renameat2" | "mount" | "umount" | "umount2"
            | "move_mount" | "pivot_root" | "fsmount" | "mount_setattr" => self.places.forget(),
            "unlink" | "unlinkat" | "rmdir" => self.places.forget_link(batch.bytes(event.object)),
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

/// What came with a call beside its names.
#[derive(Default)]
struct Found {
    things: [Option<Thing>; 2],
    /// Where a copy has come to.
    offset: Option<u64>,
    peer: Option<[u8; 28]>,
    address: Option<[u8; 28]>,
}

/// The address a socket is connected to, as the kernel holds it.
fn connected_to(peer: Peer<'_>) -> Option<[u8; 28]> {
    let inet = matches!(i32::from(peer.family), libc::AF_INET | libc::AF_INET6);
    (inet && peer.connected).then(|| raw_address(peer.family, &peer.peer, peer.peer_port))
}

/// An internet address as the caller gave it, without what does not count (flow, scope, padding).
fn raw_peer(raw: &[u8]) -> [u8; 28] {
    let family = raw.first_chunk().map_or(0, |family| u16::from_le_bytes(*family));
    let port = raw.get(2..).and_then(|rest| rest.first_chunk()).map_or(0, |port| u16::from_be_bytes(*port));
    let at = if i32::from(family) == libc::AF_INET6 { 8 } else { 4 };
    let mut ip = [0; 16];
    for (to, from) in ip.iter_mut().zip(raw.get(at..).unwrap_or_default()) {
        *to = *from;
    }
    raw_address(family, &ip, port)
}

/// Whether a call follows a link at the end of its first path.
fn follows(follow: Follow, args: &[u64; 6]) -> bool {
    let at = |index: u8| args.get(usize::from(index)).copied().unwrap_or(0);
    match follow {
        Follow::Yes | Follow::How(_) => true,
        Follow::No => false,
        Follow::Unless(index, flag) => at(index) & flag == 0,
        Follow::OnlyIf(index, flag) => at(index) & flag != 0,
        Follow::Open(index) => at(index) & plan::O_NOFOLLOW == 0,
    }
}
