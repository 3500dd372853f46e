//! Looks through a recording once, from its first event to the last, and counts: in columns, without what the events
//! point to but the names of things that are listed. What has been counted is shared every so often, so that the
//! screen shows at once what there is and fills as more is known.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use belljar_sandbox::event::{Decision, Kind, LayerChange, ObjectKind, Protocol, Traffic};
use belljar_sandbox::witness::syscalls::{Category, lookup};
use foldhash::fast::RandomState;

use super::known::{FileUse, Known, Peer, ProcessUse};
use super::{Shared, tree};
use crate::analysis::finding::Finding;
use crate::bundle::{Access, Brief, BundleError, Look, Reader, State};
use crate::store::{AssetSet, Object, Verbs};

/// Shortest time between two states shared; longer where making one takes longer.
const SHARE: Duration = Duration::from_millis(100);
/// How often a running recording is looked at.
const FOLLOW: Duration = Duration::from_millis(80);
/// How often it is asked whether the analyst still waits for something else.
const PAUSE: Duration = Duration::from_millis(2);
/// What is counted of every event; arguments of few.
const LOOK: Look = Look::TIME
    .and(Look::KIND)
    .and(Look::PROCESS)
    .and(Look::OBJECTS)
    .and(Look::RESULT)
    .and(Look::SIZE)
    .and(Look::WORDS)
    .and(Look::TOUCHED);
/// Most things listed, and processes: what comes after is counted.
const MAX_THINGS: usize = 60_000;
const MAX_PROCESSES: usize = 50_000;
/// Most destinations listed.
const MAX_PEERS: usize = 5_000;
/// Rows kept of one destination.
const MAX_ROWS: usize = 64;

/// When it goes on.
pub(super) struct When {
    /// It is to end.
    pub stop: Arc<AtomicBool>,
    /// The analyst waits for something else: the processors are left to that.
    pub wait: Arc<AtomicBool>,
}

impl When {
    fn stopped(&self) -> bool {
        while self.wait.load(Ordering::Relaxed) && !self.stop.load(Ordering::Relaxed) {
            std::thread::sleep(PAUSE);
        }
        self.stop.load(Ordering::Relaxed)
    }
}

pub(super) fn run(dir: &Path, reader: Reader, known: &Shared<Known>, when: &When) {
    let first = (*known.get()).clone();
    let mut index = Index { known: first, ..Index::new(Known::begin(&reader, 0)) };
    if let Err(error) = index.run(dir, reader, known, when) {
        index.known.trouble = Some(crate::redact::plain(error.to_string().as_bytes()));
        known.set(index.known);
    }
}

/// One thing that events are about, by its number.
struct Thing {
    object: Arc<Object>,
    file: Option<FileUse>,
    peer: Option<Peer>,
    /// The name of this address.
    alias: Option<u32>,
}

/// What must be the same for an event to repeat the one before: who, what, on what, with which end.
type Doing = (u32, Kind, Option<u32>, Option<u32>, Decision, u8, Option<i64>);

struct Index {
    known: Known,
    before: Option<Doing>,
    things: HashMap<u32, Thing, RandomState>,
    processes: HashMap<u32, ProcessUse, RandomState>,
}

impl Index {
    fn new(known: Known) -> Self {
        Self { known, before: None, things: HashMap::default(), processes: HashMap::default() }
    }

    fn run(&mut self, dir: &Path, mut reader: Reader, known: &Shared<Known>, when: &When) -> Result<(), BundleError> {
        let mut access = Access::open(dir)?;
        let mut next = 0;
        let (mut shared, mut pause) = (Instant::now(), Duration::ZERO);
        loop {
            // Before the events: what comes after the last look belongs to a session that still ran.
            let running = reader.state() == State::Running;
            while next < access.batches() && !when.stopped() {
                let Some(mut block) = access.block(next) else { break };
                access.read(&mut block, LOOK)?;
                let telling = |kind| matches!(kind, Some(Kind::Lost | Kind::Notice | Kind::Traffic(_)));
                if (0..block.rows()).any(|at| telling(block.kind(at))) {
                    access.read(&mut block, Look::ARGUMENTS)?;
                }
                Arc::make_mut(&mut self.known.starts).push((block.first(), block.time(0).unwrap_or_default()));
                for at in 0..block.rows() {
                    let brief = block.brief(at).ok_or_else(|| access.damaged(&block))?;
                    self.count(&brief, &mut access)?;
                }
                next += 1;
                if shared.elapsed() >= pause {
                    let begun = Instant::now();
                    self.share(&access, &reader, known)?;
                    (shared, pause) = (Instant::now(), SHARE.max(begun.elapsed() * 10));
                }
            }
            self.share(&access, &reader, known)?;
            if when.stop.load(Ordering::Relaxed) || !running {
                return Ok(());
            }
            std::thread::sleep(FOLLOW);
            reader.poll()?;
            access.poll()?;
        }
    }

    fn count(&mut self, brief: &Brief, access: &mut Access) -> Result<(), BundleError> {
        let known = &mut self.known;
        let denied = brief.decision == Decision::Denied;
        known.looked = brief.row + 1;
        known.histogram.add(brief.time_ns, brief.verbs, denied);
        known.denied += u64::from(denied);
        let failed = brief.result.filter(|result| *result < 0);
        let doing = (brief.process.0, brief.kind, brief.object, brief.target, brief.decision, brief.verbs.0, failed);
        if self.before.replace(doing) != Some(doing) {
            known.heads.push(brief.row);
        }
        let client = brief.verbs.0 != 0;
        if client {
            known.client.push(brief.row);
            for verb in brief.verbs.iter() {
                if let Some(count) = known.verbs.get_mut(verb as usize) {
                    *count += 1;
                }
            }
            for asset in brief.assets.iter() {
                let Some(place) = known.assets.get_mut(asset) else { continue };
                if place.verbs == [0; 8] {
                    place.first = brief.row;
                }
                for verb in brief.verbs.iter() {
                    if let Some(count) = place.verbs.get_mut(verb as usize) {
                        *count += 1;
                    }
                }
                place.denied += u64::from(denied);
            }
        }
        match brief.kind {
            Kind::TerminalOutput => known.screen.push(brief.row),
            Kind::Notice if brief.args[0] != 0 => known.screen.push(brief.row),
            Kind::Lost => known.lost = known.lost.saturating_add(brief.args[0]),
            _ => {}
        }
        if brief.process.0 != 0
            && (self.processes.len() < MAX_PROCESSES || self.processes.contains_key(&brief.process.0))
        {
            let process = self.processes.entry(brief.process.0).or_default();
            process.events += 1;
            process.client += u64::from(client);
            process.verbs.0 |= brief.verbs.0;
            process.denied += u64::from(denied);
        }
        // What was asked of a name server is the server's: a name that is looked up is not called yet.
        let named = matches!(brief.kind, Kind::Traffic(traffic) if traffic != Traffic::Query);
        let about = brief.target.filter(|_| named).or(brief.object);
        self.thing(brief, about, denied, access)?;
        if let (Some(address), Some(name)) = (brief.object, brief.target)
            && named
            && address != name
            && let Some(thing) = self.known_thing(address, access)?
        {
            thing.alias = Some(name);
        }
        Ok(())
    }

    fn known_thing(&mut self, id: u32, access: &mut Access) -> Result<Option<&mut Thing>, BundleError> {
        if !self.things.contains_key(&id) {
            if self.things.len() >= MAX_THINGS {
                return Ok(None);
            }
            let Some(object) = access.object(id)? else { return Ok(None) };
            self.things.insert(id, Thing { object, file: None, peer: None, alias: None });
        }
        Ok(self.things.get_mut(&id))
    }

    fn thing(&mut self, brief: &Brief, id: Option<u32>, denied: bool, access: &mut Access) -> Result<(), BundleError> {
        let Some(id) = id else { return Ok(()) };
        let Some(thing) = self.known_thing(id, access)? else {
            self.known.unlisted += 1;
            return Ok(());
        };
        let category = match brief.kind {
            Kind::Call { abi, nr } => lookup(abi, nr).map(|call| call.category),
            _ => None,
        };
        // What moved, where the result is known; else what was asked for.
        let moved = match brief.result {
            Some(result) if result < 0 => 0,
            Some(result) if matches!(category, Some(Category::Read | Category::Write)) => {
                (result as u64).min(brief.bytes.max(result as u64))
            }
            _ => brief.bytes,
        };
        match thing.object.kind {
            ObjectKind::File | ObjectKind::Device | ObjectKind::Terminal | ObjectKind::Memfd => {
                let file = thing.file.get_or_insert_with(|| FileUse {
                    object: Arc::clone(&thing.object),
                    reads: (0, 0),
                    writes: (0, 0),
                    events: 0,
                    verbs: Verbs::default(),
                    assets: AssetSet::default(),
                    denied: 0,
                    left: None,
                    left_row: 0,
                    first: brief.row,
                });
                file.events += 1;
                file.verbs.0 |= brief.verbs.0;
                file.assets.0 |= brief.assets.0;
                file.denied += u64::from(denied);
                match (brief.kind, category) {
                    (_, Some(Category::Read)) => file.reads = (file.reads.0 + 1, file.reads.1 + moved),
                    (_, Some(Category::Write)) => file.writes = (file.writes.0 + 1, file.writes.1 + moved),
                    (Kind::Layer(change), _) => {
                        // Its contents may come in several events: the first tells it.
                        if file.left.is_none() {
                            file.left_row = brief.row;
                        }
                        file.left = Some((change, brief.bytes));
                    }
                    _ => {}
                }
            }
            ObjectKind::Tcp | ObjectKind::Udp => {
                let peer = thing.peer.get_or_insert_with(|| Peer {
                    object: Arc::clone(&thing.object),
                    protocols: 0,
                    tls: false,
                    tries: 0,
                    sent: 0,
                    received: 0,
                    client: 0,
                    verbs: Verbs::default(),
                    denied: 0,
                    first: brief.row,
                    rows: Vec::new(),
                });
                peer.client += u64::from(brief.verbs.0 != 0);
                peer.verbs.0 |= brief.verbs.0;
                peer.denied += u64::from(denied);
                let mut tells = brief.verbs.0 != 0;
                if let Kind::Traffic(traffic) = brief.kind {
                    let (protocol, tls) = Protocol::from_argument(brief.args[3]);
                    if let Some(protocol) = protocol {
                        peer.protocols |= 1 << protocol as u16;
                    }
                    peer.tls |= tls || matches!(traffic, Traffic::Hello | Traffic::Refusal);
                    match traffic {
                        Traffic::Connection | Traffic::Query => peer.tries += 1,
                        Traffic::ConnectionEnd => {
                            peer.sent += brief.bytes;
                            peer.received += brief.args[4];
                        }
                        _ => {}
                    }
                    tells |= !matches!(traffic, Traffic::ConnectionEnd | Traffic::Sent | Traffic::Received);
                } else if denied && category == Some(Category::Network) {
                    // Refused: the gateway will never see it.
                    peer.tries += 1;
                    tells = true;
                }
                if tells && peer.rows.len() < MAX_ROWS {
                    peer.rows.push(brief.row);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn share(&mut self, access: &Access, reader: &Reader, known: &Shared<Known>) -> Result<(), BundleError> {
        self.known.rows = access.rows();
        self.known.session = reader.session().cloned();
        self.known.state = reader.state();
        self.known.trouble = reader.damage().map(|damage| crate::redact::plain(damage.as_bytes()));
        self.known.peers = Arc::new(self.peers());
        let mut files: Vec<FileUse> = self.things.values().filter_map(|thing| thing.file.clone()).collect();
        // By directory: else a path's files and the directories below it would lie among each other.
        files.sort_unstable_by(|a, b| {
            let (a, b) = (&a.object.name, &b.object.name);
            directory(a).cmp(directory(b)).then_with(|| a.cmp(b))
        });
        self.known.files = Arc::new(files);
        let mut last = BTreeMap::new();
        for value in reader.findings()? {
            if let Ok(finding) = serde_json::from_value::<Finding>(value) {
                last.insert(finding.id, finding);
            }
        }
        let mut findings: Vec<Finding> = last.into_values().collect();
        findings.sort_by_key(|finding| (finding.declared, std::cmp::Reverse(finding.severity), finding.id));
        let named: HashSet<u32> =
            findings.iter().filter_map(|finding| finding.process.as_ref()).map(|by| by.pid).collect();
        let (processes, repeats) = tree::tree(self.processes(access), &named);
        (self.known.processes, self.known.repeats) = (Arc::new(processes), Arc::new(repeats));
        self.known.findings = Arc::new(findings);
        known.set(self.known.clone());
        Ok(())
    }

    /// Processes as they were counted, in no order.
    fn processes(&self, access: &Access) -> Vec<ProcessUse> {
        let counted = |key: u32| self.processes.get(&key).cloned().unwrap_or_default();
        let processes = access.processes().take(MAX_PROCESSES);
        processes.map(|process| ProcessUse { process: process.clone(), ..counted(process.key.0) }).collect()
    }

    /// Destinations; an address whose name is known counts under its name. Sockets that called nobody are none.
    fn peers(&self) -> Vec<Peer> {
        let mut merged: HashMap<Arc<Object>, Peer> = HashMap::new();
        let named = |thing: &Thing| thing.alias.and_then(|id| self.things.get(&id)).map(|named| &named.object);
        // By the address alone: programs try one by a datagram socket before they call it by another.
        let names: HashMap<&[u8], &Arc<Object>> =
            self.things.values().filter_map(|thing| Some((&*thing.object.name, named(thing)?))).collect();
        for thing in self.things.values() {
            let Some(peer) = &thing.peer else { continue };
            let name = names.get(&*thing.object.name).copied().unwrap_or(&thing.object);
            match merged.get_mut(name) {
                None => {
                    merged.insert(Arc::clone(name), Peer { object: Arc::clone(name), ..peer.clone() });
                }
                Some(sum) => {
                    sum.protocols |= peer.protocols;
                    sum.tls |= peer.tls;
                    sum.tries += peer.tries;
                    sum.sent += peer.sent;
                    sum.received += peer.received;
                    sum.client += peer.client;
                    sum.verbs.0 |= peer.verbs.0;
                    sum.denied += peer.denied;
                    sum.first = sum.first.min(peer.first);
                    sum.rows.extend(&peer.rows);
                    sum.rows.sort_unstable();
                    sum.rows.truncate(MAX_ROWS);
                }
            }
        }
        let called = |peer: &Peer| peer.tries > 0 || peer.client > 0 || peer.denied > 0 || !peer.rows.is_empty();
        let mut peers: Vec<Peer> = merged.into_values().filter(called).collect();
        peers.sort_unstable_by_key(|peer| (peer.client == 0, peer.tries == 0, peer.first));
        peers.truncate(MAX_PEERS);
        peers
    }
}

/// The directory of a path, with its slash; empty for what is in none.
pub(crate) fn directory(path: &[u8]) -> &[u8] {
    let end = memchr::memrchr(b'/', path).map_or(0, |at| at + 1);
    path.get(..end).unwrap_or_default()
}

/// The word for what was left of a file.
pub(crate) fn left(change: LayerChange) -> &'static str {
    match change {
        LayerChange::Created => "new",
        LayerChange::Changed => "changed",
        LayerChange::Deleted => "deleted",
    }
}
