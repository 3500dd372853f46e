//! What a record says of a call, as the parts of its event: object and target, detail, payload.
//!
//! Which of the things named is which follows the order of the call's arguments, as it does in the notify witness, so
//! that both give one account of one call.

use super::names::raw_address;
use super::planted;
use super::reader::Reader;
use super::record::{self, Head, Item, Items, Peer, Role as Part, Thing};
use super::steps;
use crate::event::{Authority, Batch, Event, ObjectKind, Span};
use crate::witness::address;
use crate::witness::plan::{self, Follow, Plan, Role};
use crate::witness::syscalls::{Arg, Category};

/// A name in the batch.
#[derive(Clone, Copy, Default)]
pub(super) struct Spot {
    pub(super) kind: ObjectKind,
    pub(super) bytes: Span,
}

/// What came with a call beside its names.
#[derive(Default)]
pub(super) struct Found {
    things: [Option<Thing>; 2],
    /// Where a copy has come to.
    offset: Option<u64>,
    peer: Option<[u8; 28]>,
    address: Option<[u8; 28]>,
}

impl Reader {
    /// Reads a call's items into its event.
    pub(super) fn items(
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
                // The descriptor it has made says where it led.
                Item::Path(_) if succeeded && plan.is_some_and(|plan| steps::opens(plan.call.name)) => {
                    if let Some(Item::Thing(Part::Base, thing)) = items.peek().copied() {
                        items.next();
                        self.thing(&thing, &mut items, batch);
                    }
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
            if spot.kind == ObjectKind::Socket && matches!(object.kind, ObjectKind::Tcp | ObjectKind::Udp) {
                spot.kind = object.kind;
            }
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
            && let Some(index) = plan.and_then(|plan| plan.call.args.iter().position(|(_, arg)| *arg == Arg::Pid))
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
    pub(super) fn thing(
        &mut self,
        thing: &Thing,
        items: &mut std::iter::Peekable<Items<'_>>,
        batch: &mut Batch,
    ) -> Spot {
        self.described(thing, items, batch).0
    }

    /// The same, and a connected socket's raw peer.
    fn described(
        &mut self,
        thing: &Thing,
        items: &mut std::iter::Peekable<Items<'_>>,
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
        if let Some(name) = self.names.of(thing, way, peer.as_ref()) {
            return (Spot { kind: name.kind, bytes: batch.put(&name.bytes) }, peer.and_then(connected_to));
        }
        self.stats.names_unknown += 1;
        (Spot::default(), None)
    }

    /// A path, and the base that follows it.
    pub(super) fn path(
        &mut self,
        head: &Head,
        path: &[u8],
        exists: bool,
        follow: bool,
        items: &mut std::iter::Peekable<Items<'_>>,
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

    fn address(
        &mut self,
        head: &Head,
        raw: &[u8],
        items: &mut std::iter::Peekable<Items<'_>>,
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
    pub(super) fn contents(&mut self, head: &Head, plan: &Plan, found: &Found, event: &mut Event, batch: &mut Batch) {
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

    /// Throws away what a call may have made wrong.
    pub(super) fn notice(&mut self, head: &Head, plan: &Plan, event: &Event, batch: &Batch) {
        if head.result < 0 {
            return;
        }
        match plan.call.name {
            "symlink" | "symlinkat" => self.places.forget(),
            name if steps::moves_names(name) => self.places.forget(),
            "unlink" | "unlinkat" | "rmdir" => self.places.forget_link(batch.bytes(event.object)),
            _ => {}
        }
    }
}

/// The address a socket is connected to, as the kernel holds it.
fn connected_to(peer: Peer<'_>) -> Option<[u8; 28]> {
    let inet = matches!(i32::from(peer.family), libc::AF_INET | libc::AF_INET6);
    (inet && peer.connected).then(|| raw_address(peer.family, &peer.other, peer.other_port))
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
