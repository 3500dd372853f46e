//! Two witnesses held against each other: the calls that were seen, and what arrived at the gateway or is left on disk.
//! Bytes that no call explains came by a way that the witness of calls does not see; bytes that a call sent or wrote and
//! that never arrived went by one that the gateway or the layer does not see. Each is a finding of its own, suspected: that somebody evaded
//! a witness is certain only when it is known how.
//!
//! Nothing is said where the difference may have another cause: events were lost, the subject gave paths another
//! meaning (mounts), the peer of a socket is not known, too many places are in use. Whoever hands its reads and writes
//! over in a list (`io_submit`, as databases do) has said so, and what the list held is not looked into: there an open
//! file or connection explains what came of it. The coverage says all of that.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use belljar_sandbox::event::{Decision, Kind, LayerChange, ObjectKind, Traffic, Witness};
use belljar_sandbox::witness::syscalls::{Call, Category};
use foldhash::fast::RandomState;

use super::attempts::{Attempt, FORMAT};
use super::claims::Deed;
use super::finding::{Channel, Confidence, Severity};
use super::place::{Place, channel, split_port};
use super::{Analysis, Touched};
use crate::store::meaning::Act;
use crate::store::{Object, Process, Record, Verb};

/// Addresses and paths remembered; where there are more nothing is compared.
const MAX_PEERS: usize = 16_384;
const MAX_PATHS: usize = 500_000;
/// Addresses up to which one that the gateway never saw is strange: of more it may have turned some away.
const FEW_PEERS: usize = 512;
/// Bytes by which more may arrive than was sent: trailers are told as the gateway writes them.
const SLACK: u64 = 4096;
/// The longest datagram: of `sendmmsg` only the number of messages is known.
const DATAGRAM: u64 = 65_507;
/// How long what was sent has to arrive, in nanoseconds: what is sent in a session's last moments may be cut off.
const TIME: u64 = 2_000_000_000;
/// MAP_SHARED, and MAP_SHARED_VALIDATE of which it is a part (mmap(2)).
const MAP_SHARED: u64 = 1;
const REGULAR: u64 = 0o100_000;
/// The bit of a wait status that says that memory was written to disk (wait(2), WCOREDUMP).
const CORE: u64 = 0x80;

/// Numbers of these findings among those of attempts: above the counted ones.
const NUMBERS: u64 = 1 << 17;

const fn evasion(verb: Verb, severity: Severity, what: &'static str) -> Attempt<'static> {
    Attempt { verb, confidence: Confidence::Suspected, deed: Deed { what, severity, attack: Some("T1562") } }
}

const UNSENT: Attempt<'static> = evasion(Verb::Transmit, Severity::Medium, "send bytes by no call that was seen");
const UNARRIVED: Attempt<'static> = evasion(Verb::Transmit, Severity::Medium, "send bytes that the gateway never saw");
/// Databases do so as well, and what is on disk is seen in full.
const UNWRITTEN: Attempt<'static> = evasion(Verb::Store, Severity::Low, "write to disk by no call that was seen");

const UNKEPT: Attempt<'static> =
    evasion(Verb::Store, Severity::Low, "write to a file that is not where it was written");

/// The first of its sort, kept until the end.
#[derive(Clone, Debug)]
pub(super) struct Sighting {
    seq: u64,
    time_ns: u64,
    witness: Witness,
    kind: Kind,
    call: Option<&'static Call>,
    result: Option<i64>,
    process: Option<Arc<Process>>,
    pub(super) object: Object,
}

impl Sighting {
    /// The event, as far as it was kept, with this object.
    pub(super) fn record<'a>(&'a self, object: &'a Object) -> Record<'a> {
        let &Self { seq, time_ns, witness, kind, call, result, .. } = self;
        let process = self.process.as_deref();
        Record { seq, time_ns, witness, kind, call, process, result, object: Some(object), ..Record::blank() }
    }
}

/// What went to an address as its callers say, and as the gateway does.
#[derive(Debug, Default)]
struct Peer {
    sent: u64,
    /// The subject connected to it.
    called: bool,
    sender: Option<Sighting>,
    arrived: u64,
    arrival: Option<Sighting>,
    /// The gateway saw anything at all of it, or it may be the machine's own.
    met: bool,
}

/// What calls may explain of a file.
#[derive(Clone, Copy, Debug, Default)]
struct Deeds {
    /// Bytes may have come into it.
    filled: bool,
    /// It was changed in another way.
    changed: bool,
}

/// What both sides say.
#[derive(Debug, Default)]
pub(super) struct Sides {
    peers: HashMap<IpAddr, Peer>,
    /// Bytes went to sockets of which it is not known whom they speak to.
    pub(super) unnamed: bool,
    files: HashMap<u64, Deeds, RandomState>,
    /// Files that must be found in the layer, each with the call that first wrote to it.
    written: HashMap<u64, Sighting, RandomState>,
    /// Names that were taken from something, with whatever lay below.
    left: HashSet<u64>,
    /// The layer has been looked at.
    is_layered: bool,
    /// Names that were given to something that had another: with it came whatever lay below.
    renamed: HashSet<u64>,
    /// Ports that the subject answers at: who is called there may be itself.
    ports: HashSet<u16>,
    dumped: bool,
    /// Reads and writes were handed over in lists.
    pub(super) listed: bool,
    /// Paths may mean something else than they did: the subject mounted something, or has another root.
    pub(super) moved: bool,
    /// There was more than is remembered.
    pub(super) crowded: bool,
    last_ns: u64,
}

impl Sides {
    fn peer(&mut self, address: IpAddr) -> Option<&mut Peer> {
        if self.peers.len() >= MAX_PEERS && !self.peers.contains_key(&address) {
            self.crowded = true;
            return None;
        }
        Some(self.peers.entry(address).or_default())
    }

    /// Returns whether the file is one that had not been filled before.
    fn note(&mut self, file: u64, filled: bool) -> bool {
        if self.files.len() >= MAX_PATHS && !self.files.contains_key(&file) {
            self.crowded = true;
            return false;
        }
        let deeds = self.files.entry(file).or_default();
        let is_first = filled && !deeds.filled;
        deeds.filled |= filled;
        deeds.changed = true;
        is_first
    }
}

impl Analysis {
    /// What a call explains of what will be seen elsewhere.
    pub(super) fn explains(&mut self, call: &Call, act: Act, record: &Record<'_>) {
        self.sides.last_ns = record.time_ns;
        if record.decision != Decision::Allowed || record.result.is_some_and(|result| result < 0) {
            return;
        }
        match act {
            Act::Write | Act::Truncate | Act::Copy { object_is_destination: true } => {
                self.fills(record.object, call, record);
            }
            Act::Send => {
                self.fills(record.target.filter(|target| !target.name.is_empty()).or(record.object), call, record);
            }
            Act::Copy { .. } => self.fills(record.target, call, record),
            // What can be read only now may be made writable later.
            Act::Map { .. } if record.args[3] & MAP_SHARED != 0 => self.fills(record.object, call, record),
            Act::Make | Act::Open { write: true, .. } => self.changes(record.object),
            Act::Connect => {
                let Some(object) = record.target.filter(|target| !target.name.is_empty()).or(record.object) else {
                    return;
                };
                if let Some(peer) = address(object).and_then(|address| self.sides.peer(address)) {
                    peer.called = true;
                }
                self.may_be_own(object);
            }
            Act::Remove => self.leaves(record.object),
            Act::Rename => {
                self.leaves(record.object);
                self.fills(record.target, call, record);
                if let Some(target) = record.target {
                    let flow = self.flow(target);
                    self.sides.crowded |= self.sides.renamed.len() >= MAX_PATHS;
                    if self.sides.renamed.len() < MAX_PATHS {
                        self.sides.renamed.insert(flow);
                    }
                }
            }
            _ if matches!(call.name, "mount" | "move_mount" | "chroot" | "pivot_root") => self.sides.moved = true,
            _ if call.name == "listen" => {
                let port = record.object.and_then(|object| split_port(&object.name).1);
                self.sides.ports.extend(port.filter(|_| self.sides.ports.len() < MAX_PEERS));
            }
            _ if call.name == "io_submit" => self.sides.listed = true,
            _ if call.name == "fallocate" => self.fills(record.object, call, record),
            _ if matches!(call.category, Category::Attribute | Category::Change) => self.changes(record.object),
            _ => {}
        }
    }

    /// Bytes go into the object, or may.
    fn fills(&mut self, object: Option<&Object>, call: &Call, record: &Record<'_>) {
        let Some(object) = object else { return };
        let facts = self.facts(object);
        match object.kind {
            ObjectKind::File => {
                let is_first = self.sides.note(facts.flow, true);
                let is_written = call.name.contains("write") && record.result.is_some_and(|result| result > 0);
                if is_first && is_written && in_layer(&object.name) {
                    let sighting = self.sighting(object, record);
                    self.sides.written.insert(facts.flow, sighting);
                }
            }
            ObjectKind::Tcp | ObjectKind::Udp => {
                let moved = match call.name {
                    "sendmmsg" => record.args[2].min(1024) * DATAGRAM,
                    // Some witnesses do not see how much it was in the end.
                    "sendfile" | "sendfile64" => record.result.map_or(record.args[3], i64::unsigned_abs),
                    "splice" => record.result.map_or(record.args[4], i64::unsigned_abs),
                    _ => record.result.map_or(record.payload_len, i64::unsigned_abs),
                };
                // A socket that speaks to nobody in particular says in each message to whom.
                let Some(address) = address(object) else {
                    self.sides.unnamed |= moved > 0;
                    return;
                };
                if facts.place == Place::Local || moved == 0 {
                    return;
                }
                let is_first = object.kind == ObjectKind::Tcp
                    && self.sides.peers.get(&address).is_none_or(|peer| peer.sender.is_none());
                let sighting = is_first.then(|| self.sighting(object, record));
                if let Some(peer) = self.sides.peer(address) {
                    peer.sent = peer.sent.saturating_add(moved);
                    peer.sender = peer.sender.take().or(sighting);
                }
                self.may_be_own(object);
            }
            // Whole packets, to whomever; what is none of TCP or UDP the gateway tells as such.
            ObjectKind::Socket if facts.place == Place::Remote && channel(object) != Channel::Icmp => {
                self.sides.unnamed = true;
            }
            _ => {}
        }
    }

    fn changes(&mut self, object: Option<&Object>) {
        if let Some(object) = object.filter(|object| object.kind == ObjectKind::File) {
            let flow = self.facts(object).flow;
            self.sides.note(flow, false);
        }
    }

    /// A name is taken from what had it, which may still be written to.
    fn leaves(&mut self, object: Option<&Object>) {
        if let Some(object) = object {
            let flow = self.flow(object);
            self.sides.crowded |= self.sides.left.len() >= MAX_PATHS;
            if self.sides.left.len() < MAX_PATHS {
                self.sides.left.insert(flow);
            }
        }
        self.changes(object);
    }

    /// Whoever is called at a port that the subject answers at may be itself, and the gateway then sees nothing.
    fn may_be_own(&mut self, object: &Object) {
        let port = split_port(&object.name).1;
        if port.is_some_and(|port| self.sides.ports.contains(&port))
            && let Some(peer) = address(object).and_then(|address| self.sides.peer(address))
        {
            peer.met = true;
        }
    }

    /// What the gateway saw of an address.
    pub(super) fn arrives(&mut self, what: Traffic, record: &Record<'_>) {
        let Some((object, address)) = record.object.and_then(|object| Some((object, address(object)?))) else { return };
        let is_first = matches!(what, Traffic::Sent | Traffic::Request | Traffic::Query)
            && record.payload_len > 0
            && self.sides.peers.get(&address).is_none_or(|peer| peer.arrival.is_none());
        let sighting = is_first.then(|| self.sighting(object, record));
        if let Some(peer) = self.sides.peer(address) {
            peer.met = true;
            // Heads may have been packed on the wire (RFC 7541).
            if what == Traffic::Sent {
                peer.arrived = peer.arrived.saturating_add(record.payload_len);
            }
            peer.arrival = peer.arrival.take().or(sighting);
        }
    }

    pub(super) fn sighting(&mut self, object: &Object, record: &Record<'_>) -> Sighting {
        let process = record.process.map(|process| self.image(process));
        let &Record { seq, time_ns, witness, kind, call, result, .. } = record;
        Sighting { seq, time_ns, witness, kind, call, result, process, object: object.clone() }
    }

    /// A process ended: where it left its memory, the kernel wrote that.
    pub(super) fn dumps(&mut self, record: &Record<'_>) {
        self.sides.dumped |= record.args[0] != u64::MAX && record.args[0] & CORE != 0;
    }

    /// A file that the session left behind: did any call put bytes there?
    pub(super) fn explained(&mut self, change: LayerChange, record: &Record<'_>, touched: &mut Touched) {
        let Some(object) = record.object else { return };
        self.sides.is_layered = true;
        if !self.sides.written.is_empty() {
            let flow = self.flow(object);
            self.sides.written.remove(&flow);
        }
        let is_file = record.args[0] & FORMAT == REGULAR && record.payload_len > 0 && change != LayerChange::Deleted;
        if !is_file || self.sides.moved || self.sides.crowded || self.lost > 0 {
            return;
        }
        let name = object.name.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        let deeds = self.sides.files.get(&self.flow(object)).copied().unwrap_or_default();
        // What was there before may have been given another mode only.
        let is_explained = deeds.filled || deeds.changed && (change == LayerChange::Changed || self.sides.listed);
        if is_explained || self.sides.dumped && name.starts_with(b"core") || self.lies_in(&self.sides.renamed, object) {
            return;
        }
        self.attempt(NUMBERS, None, &UNWRITTEN, Some(object), record, touched);
    }

    /// Whether a folder above an object is one of these.
    fn lies_in(&self, folders: &HashSet<u64>, object: &Object) -> bool {
        let ends = object.name.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(end, _)| end);
        !folders.is_empty()
            && ends.filter_map(|end| object.name.get(..end)).any(|folder| {
                let folder = Object { kind: ObjectKind::File, name: folder.into() };
                folders.contains(&self.flow(&folder))
            })
    }

    /// All has been told: what is left unexplained becomes findings.
    pub(super) fn compare(&mut self) {
        let sides = std::mem::take(&mut self.sides);
        if self.gateway.any && !sides.crowded && self.lost == 0 {
            let mut peers: Vec<&Peer> = sides.peers.values().collect();
            let are_few = peers.len() <= FEW_PEERS;
            peers.sort_by_key(|peer| peer.arrival.as_ref().or(peer.sender.as_ref()).map(|sighting| sighting.seq));
            for peer in peers {
                let Peer { sent, called, arrived, met, arrival, sender } = peer;
                let is_listed = sides.listed && *called;
                let is_unsent = !is_listed && (*sent == 0 || *arrived > sent.saturating_add(SLACK));
                let is_late = |sender: &&Sighting| sides.last_ns.saturating_sub(sender.time_ns) < TIME;
                if let Some(arrival) = arrival.as_ref().filter(|_| is_unsent && !sides.unnamed) {
                    self.differs(NUMBERS + 1, &UNSENT, arrival);
                } else if let Some(sender) = sender.as_ref().filter(|sender| are_few && !met && !is_late(sender)) {
                    self.differs(NUMBERS + 2, &UNARRIVED, sender);
                }
            }
        }
        if sides.is_layered && !sides.moved && !sides.crowded && self.lost == 0 {
            let written = sides.written.iter().filter(|(name, _)| !sides.left.contains(name));
            let mut written: Vec<&Sighting> = written.map(|(_, sighting)| sighting).collect();
            written.sort_by_key(|sighting| sighting.seq);
            written.retain(|sighting| !self.lies_in(&sides.left, &sighting.object));
            for sighting in written {
                self.differs(NUMBERS + 3, &UNKEPT, sighting);
            }
        }
        self.sides = sides;
    }

    fn differs(&mut self, number: u64, what: &Attempt<'_>, sighting: &Sighting) {
        let to = self.by_name(&sighting.object).into_owned();
        self.attempt(number, None, what, Some(&to), &sighting.record(&to), &mut Touched::default());
    }
}

/// Whether a file of this name is found in the layer: where the jail has file systems of the kernel's it is not, and a
/// file that never had a name (O_TMPFILE, shmem) or has lost it is called by a number.
fn in_layer(name: &[u8]) -> bool {
    let own: [&[u8]; 3] = [b"/dev/", b"/proc/", b"/sys/"];
    let last = name.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    name.starts_with(b"/")
        && !own.iter().any(|folder| name.starts_with(folder))
        && !last.starts_with(b"#")
        && !last.ends_with(b" (deleted)")
}

/// Whose address it is, where that is known.
fn address(object: &Object) -> Option<IpAddr> {
    let (host, port) = split_port(&object.name);
    let address: IpAddr = std::str::from_utf8(host).ok()?.parse().ok()?;
    port.map(|_| address.to_canonical()).filter(|address| !address.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::super::finding::{Basis, Finding};
    use super::super::tests::{CREATE, READ_ONLY, Session, Step, file, object, start, step, tcp};
    use super::*;
    use crate::ingest::Observer;

    const PEER: &str = "203.0.113.9:443";

    fn arrival(what: Traffic, bytes: usize) -> Step {
        step("", 1, tcp(PEER)).kind(Kind::Traffic(what)).payload(vec![b'.'; bytes])
    }

    fn sent(bytes: usize) -> Step {
        step("write", 1, tcp("[::ffff:203.0.113.9]:443")).payload(vec![b'.'; bytes]).result(bytes as i64)
    }

    fn left(path: &str, change: LayerChange) -> Step {
        step("", 0, file(path)).kind(Kind::Layer(change)).args([0o100_644, 0, 0, 0, 0, 0]).payload("some bytes")
    }

    /// What is said at the end of a session of these steps.
    fn said(steps: impl IntoIterator<Item = Step>) -> Vec<Finding> {
        let mut session: Session = start();
        for step in steps {
            session.feed(step);
        }
        session.analysis.ended();
        session.findings()
    }

    #[test]
    fn bytes_that_no_call_sent_are_told() {
        let connect = || step("connect", 1, tcp(PEER)).result(0);
        let [finding] = said([connect(), arrival(Traffic::Sent, 100)]).try_into().expect("one");
        assert_eq!((finding.verb, finding.confidence), (Verb::Transmit, Confidence::Suspected));
        assert_eq!((finding.destination.as_deref(), finding.outcome_basis), (Some(PEER), Basis::LaterEvent));
        assert_eq!(said([sent(100), arrival(Traffic::Sent, 100_000)]).len(), 1, "more than was sent");
        assert_eq!(said([arrival(Traffic::Request, 100)]).len(), 1);

        assert_eq!(said([sent(100), arrival(Traffic::Sent, 100)]), []);
        assert_eq!(said([sent(100), arrival(Traffic::Request, 100_000)]), [], "a head that was packed");
        assert_eq!(said([arrival(Traffic::Packet, 100), arrival(Traffic::Connection, 0)]), [], "the kernel's own");
        let some = step("sendfile", 1, tcp(PEER)).args([0, 0, 0, 100_000, 0, 0]).target(file("/tmp/x"));
        assert_eq!(said([some, arrival(Traffic::Sent, 100_000)]), [], "how much it was, one witness does not see");
        let unknown = step("write", 1, tcp("socket:[77]")).payload("x");
        assert_eq!(said([unknown, arrival(Traffic::Sent, 100)]), [], "that may have been it");
        let [raw, asks] = ["packet:eth0", "netlink:route"]
            .map(|name| step("sendto", 1, object(ObjectKind::Socket, name)).payload("x").result(1));
        assert_eq!(said([raw, arrival(Traffic::Sent, 100)]), [], "so may this");
        assert_eq!(said([asks, arrival(Traffic::Sent, 100)]).len(), 1);
        let listed = step("io_submit", 1, None).result(1);
        assert_eq!(said([connect(), listed, arrival(Traffic::Sent, 100)]), []);
        let lost = step("", 0, None).kind(Kind::Lost).args([1, 0, 0, 0, 0, 0]);
        assert_eq!(said([lost, arrival(Traffic::Sent, 100)]), [], "coverage says so");
    }

    #[test]
    fn bytes_that_never_arrived_are_told() {
        let notice = || step("", 0, None).kind(Kind::Notice);
        let gateway = || arrival(Traffic::Connection, 0);
        let elsewhere = || step("write", 1, tcp("198.51.100.7:80")).payload("x").result(1);
        let later = || (0..4).map(|_| step("getpid", 1, None));
        let all = |steps: Vec<Step>| said(std::iter::once(gateway()).chain(steps).chain(later()));
        let [finding] = all(vec![elsewhere()]).try_into().expect("one");
        assert_eq!(finding.destination.as_deref(), Some("198.51.100.7:80"));
        let there = Step { object: tcp("198.51.100.7:80"), ..arrival(Traffic::Connection, 0) };
        assert_eq!(all(vec![elsewhere(), there]), []);
        assert_eq!(said([gateway(), elsewhere(), notice()]), [], "it may still be on its way");
        let failed = || step("write", 1, tcp("198.51.100.7:80")).payload("x").result(-32);
        assert_eq!(all(vec![failed()]), []);
        let found = all(vec![step("listen", 1, tcp("0.0.0.0:80")).result(0), elsewhere()]);
        assert!(found.iter().all(|finding| finding.verb != Verb::Transmit), "its own: {found:#?}");
        let others = |count| {
            let peers = (0..count).map(|n| Step { object: tcp(&format!("192.0.2.{}:{n}", n % 256)), ..sent(1) });
            peers.chain(
                (0..count).map(|n| Step { object: tcp(&format!("198.18.{}.{}:1", n / 256, n % 256)), ..sent(1) }),
            )
        };
        assert_eq!(all(others(2).collect()).len(), 4);
        assert_eq!(all(others(2 * FEW_PEERS).collect()), [], "some may have been turned away");
        assert_eq!(said(std::iter::once(elsewhere()).chain(later())), [], "without a gateway nothing arrives");
    }

    #[test]
    fn bytes_on_disk_that_no_call_wrote_are_told() {
        let open = || step("openat", 1, file("/tmp/x")).args(CREATE).result(3);
        let new = || left("/tmp/x", LayerChange::Created);
        let [finding] = said([open(), new()]).try_into().expect("one");
        assert_eq!((finding.verb, finding.confidence), (Verb::Store, Confidence::Suspected));
        assert_eq!((finding.destination.as_deref(), finding.outcome_basis), (Some("/tmp/x"), Basis::Layer));
        assert_eq!(said([left("/tmp/x", LayerChange::Changed)]).len(), 1);
        let read = step("openat", 1, file("/tmp/x")).args(READ_ONLY).result(3);
        assert_eq!(said([read, left("/tmp/x", LayerChange::Changed)]).len(), 1);
        let failed = step("write", 1, file("/tmp/x")).payload("x").result(-9);
        assert_eq!(said([open(), failed, new()]).len(), 1);

        let rename = |from: &str, to: &str| step("rename", 1, file(from)).target(file(to)).result(0);
        let cases = [
            step("write", 1, file("/tmp/x")).payload("x").result(1),
            step("mmap", 1, file("/tmp/x")).args([0, 1, 1, 1, 3, 0]).result(4096),
            step("copy_file_range", 1, file("/tmp/y")).target(file("/tmp/x")).result(9),
            step("sendfile", 1, file("/tmp/x")).target(file("/tmp/y")).result(9),
            step("ftruncate", 1, file("/tmp/x")).args([3, 9, 0, 0, 0, 0]).result(0),
            step("fallocate", 1, file("/tmp/x")).result(0),
            rename("/tmp/y", "/tmp/x"),
            rename("/var/y", "/tmp"),
            step("linkat", 1, file("/tmp/y")).target(file("/tmp/x")).result(0),
            step("io_submit", 1, None).result(1),
            step("mount", 1, None).result(0),
            step("", 0, None).kind(Kind::Lost).args([1, 0, 0, 0, 0, 0]),
        ];
        for case in cases {
            let what = format!("{} {:?}", case.op, case.object);
            let found = said([open(), case, new()]);
            assert!(found.iter().all(|finding| finding.verb != Verb::Store), "{what}: {found:#?}");
        }
        let mode = step("chmod", 1, file("/tmp/x")).result(0);
        assert_eq!(said([mode, left("/tmp/x", LayerChange::Changed)]), []);
        let empty = Step { payload: Vec::new(), ..new() };
        assert_eq!(said([open(), empty]), []);
        assert_eq!(said([Step { args: [0o40_755, 0, 0, 0, 0, 0], ..new() }]), [], "a folder");
        let died = || step("", 1, None).kind(Kind::ProcessEnd).args([0x8b, 0, 0, 0, 0, 0]);
        assert_eq!(said([died(), left("/tmp/core.7", LayerChange::Created)]), []);
        assert_eq!(said([died(), new()]).len(), 1);
    }

    #[test]
    fn a_file_that_was_written_and_is_nowhere_is_told() {
        let write = |path: &str| step("write", 1, file(path)).payload("x").result(1);
        let other = || left("/tmp/other", LayerChange::Changed);
        let known = || step("write", 1, file("/tmp/other")).payload("x").result(1);
        let [finding] = said([write("/tmp/x"), known(), other()]).try_into().expect("one");
        assert_eq!((finding.verb, finding.confidence), (Verb::Store, Confidence::Suspected));
        assert_eq!((finding.destination.as_deref(), finding.outcome_basis), (Some("/tmp/x"), Basis::Result));
        assert_eq!(said([write("/tmp/x"), known(), other(), left("/tmp/x", LayerChange::Created)]), []);
        assert_eq!(said([write("/tmp/x")]), [], "the layer was not looked at");
        let rename = |from: &str, to: &str| step("rename", 1, file(from)).target(file(to)).result(0);
        let cases = [
            step("unlink", 1, file("/tmp/a/x")).result(0),
            rename("/tmp/a/x", "/tmp/y"),
            rename("/tmp/a", "/tmp/b"),
            step("mount", 1, None).result(0),
            step("", 0, None).kind(Kind::Lost).args([1, 0, 0, 0, 0, 0]),
        ];
        for case in cases {
            let what = format!("{} {:?}", case.op, case.object);
            let found = said([write("/tmp/a/x"), known(), case, other()]);
            assert!(found.iter().all(|finding| finding.verb != Verb::Store), "{what}: {found:#?}");
        }
        let unlink = || step("unlink", 1, file("/tmp/x")).result(0);
        assert_eq!(said([write("/tmp/x"), unlink(), write("/tmp/x"), known(), other()]), [], "by one that had it open");
        assert_eq!(said([unlink(), write("/tmp/x"), known(), other()]), [], "likewise");
        for path in ["/dev/shm/x", "/proc/self/oom_score_adj", "/tmp/#77", "/tmp/x (deleted)", "memfd:x"] {
            assert_eq!(said([write(path), known(), other()]), [], "{path}");
        }
        let unknown = Step { result: None, ..write("/tmp/x") };
        assert_eq!(said([unknown, known(), other()]), [], "it may have failed");
    }
}
