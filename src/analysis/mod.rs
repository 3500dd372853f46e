//! Analysis: reads events in order, one by one, and draws findings from them. Pure: it is handed
//! records and hands back findings, live and in replay alike.
//!
//! An event without client data costs a path look-up and a search of its payload, and allocates
//! nothing. What a call means is said in [`crate::store::meaning`], what a place is in [`place`], which bytes
//! are client data by [`matcher`], how data travels between processes by [`lineage`], what is an
//! attack on the system by [`detectors`] and [`counts`]; this file, [`acts`] and [`attempts`] put them together.

mod acts;
mod attempts;
mod counts;
mod decode;
pub mod detectors;
mod digests;
pub mod encoding;
mod facts;
pub mod finding;
mod ledger;
mod lineage;
pub mod matcher;
mod patterns;
mod place;
mod placed;
mod presented;
pub mod rules;
mod salts;
mod search;
mod suspicion;
mod traffic;
pub mod verdict;
mod windows;

#[cfg(test)]
pub(crate) mod tests;

use std::cell::OnceCell;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use belljar_sandbox::decoy::Asset;
use belljar_sandbox::event::{Decision, Kind, ProcessKey, Traffic, Witness};
use nix::errno::Errno;

use crate::ingest::{Observer, Touched};
use crate::redact::Redactor;
use crate::store::{AssetInfo, AssetSet, Object, Process, Record, Verb, Verbs};
use counts::Counts;
use detectors::Detectors;
use encoding::Path;
use facts::{Facts, Known};
use finding::{Actor, Basis, ChainItem, Channel, Confidence, Ending, Finding, Link, Severity};
use ledger::{Evidence, Glance, Ledger};
use lineage::Lineage;
use matcher::{Hit, Hits, MarkerId, Matcher};
use place::{AssetPaths, Hasher};
use rules::Rules;
use salts::Salts;
use verdict::{Coverage, Outcome};

pub use matcher::Error;

/// Bytes of one name shown in a finding.
const MAX_NAME: usize = 256;
/// Arguments of a process shown in a finding, and bytes of them kept in mind.
const MAX_ARGV: usize = 512;
/// Paths whose last writer is remembered.
const MAX_WRITERS: usize = 16_384;

/// Who wrote a path last: what the layer shows afterwards is joined to it.
#[derive(Debug)]
struct Writer {
    event: u64,
    process: Option<Arc<Process>>,
}

/// What one event says about one asset or about the system.
struct Claim<'c> {
    verb: Verb,
    asset: Option<usize>,
    confidence: Confidence,
    channel: Channel,
    /// Where to, as raw bytes.
    destination: Option<&'c [u8]>,
    markers: &'c [Hit],
    link: Link,
    /// What happened, between the process's name and the object's.
    phrase: &'static str,
    /// Name that follows the phrase.
    thing: &'c [u8],
    deed: Option<Deed<'c>>,
    before: Option<Arc<[ChainItem]>>,
    ending: (Ending, Basis, Option<String>),
}

/// What a detector calls what was tried, and how bad that is.
#[derive(Clone, Copy, Debug)]
struct Deed<'c> {
    /// As in "tried to ...".
    what: &'c str,
    severity: Severity,
    attack: Option<&'c str>,
}

/// Analysis of one session.
#[derive(Debug)]
pub struct Analysis {
    assets: Vec<Asset>,
    rules: Rules,
    detectors: Arc<Detectors>,
    counts: Counts,
    /// Names and classes of the assets, as conditions of detectors ask for them.
    named: Arc<[AssetInfo]>,
    paths: AssetPaths,
    /// Named pipes that the subject made: paths that keep nothing.
    fifos: HashSet<u64>,
    matcher: Matcher,
    salts: Salts,
    lineage: Lineage,
    ledger: Ledger,
    hasher: Hasher,
    known: Known,
    /// Made for the first finding: most sessions' start-up is spent before there is one.
    redactor: OnceCell<Option<Redactor>>,
    hits: Hits,
    /// Environment entries the subject was given.
    given: HashSet<Box<[u8]>>,
    begun: bool,
    writers: HashMap<u64, Writer>,
    /// Planted paths that were given another name.
    moved: HashSet<u64>,
    /// Whom each process connected to last, by TCP.
    peers: HashMap<ProcessKey, Arc<Object>>,
    /// Whether anything was read in the clear on its way into TLS or out of it.
    in_clear: bool,
    images: HashMap<ProcessKey, Arc<Process>>,
    /// Who had an id in the jail last.
    pids: HashMap<u32, ProcessKey>,
    /// Keys of the collect findings of each asset.
    collected: HashMap<usize, Vec<u64>>,
    refused: BTreeSet<&'static str>,
    connections: u64,
    gateway: traffic::Seen,
    amounts: suspicion::Amounts,
    payloads_cut: u64,
    captured: u64,
    lost: u64,
}

impl Analysis {
    /// Analysis of a session with these assets under these rules. The index of an asset is its
    /// bit in [`AssetSet`]; assets past its capacity are not looked for.
    pub fn new(assets: Vec<Asset>, rules: Rules) -> Result<Self, Error> {
        // Not the machine's own identity, which half of all software looks up.
        let mut followed = AssetSet::default();
        for (index, asset) in assets.iter().enumerate() {
            if asset.class != "device" {
                followed.insert(index);
            }
        }
        let named = assets.iter().map(|asset| AssetInfo { name: asset.name.clone(), class: asset.class.clone() });
        Ok(Self {
            detectors: Detectors::under(&rules),
            counts: Counts::default(),
            named: named.collect(),
            paths: AssetPaths::new(&assets),
            matcher: Matcher::new(&assets)?,
            salts: Salts::default(),
            assets,
            rules,
            fifos: HashSet::new(),
            lineage: Lineage::new(followed),
            ledger: Ledger::default(),
            hasher: Hasher::default(),
            known: Known::default(),
            redactor: OnceCell::new(),
            hits: Hits::default(),
            given: HashSet::new(),
            begun: false,
            writers: HashMap::new(),
            moved: HashSet::new(),
            peers: HashMap::new(),
            in_clear: false,
            images: HashMap::new(),
            pids: HashMap::new(),
            collected: HashMap::new(),
            refused: BTreeSet::new(),
            connections: 0,
            gateway: traffic::Seen::default(),
            amounts: suspicion::Amounts::default(),
            payloads_cut: 0,
            captured: 0,
            lost: 0,
        })
    }

    /// Says that the witnesses capture up to `limit` bytes of a payload. In replay payloads are
    /// shorter than they were: a recording keeps less of what is no evidence.
    #[must_use]
    pub fn captured(mut self, limit: u64) -> Self {
        self.captured = limit;
        self
    }

    /// Findings made or grown since the last call; of two with the same id the later counts.
    pub fn take_new(&mut self) -> Vec<Finding> {
        self.ledger.take_new()
    }

    /// The verdict. `coverage` brings what only the caller knows (witness, events, losses outside
    /// the stream, what it is blind to); the rest is filled in.
    pub fn finish(&mut self, coverage: Coverage) -> Outcome {
        let coverage = self.cover(coverage);
        verdict::judge(self.ledger.all(), &self.rules, coverage)
    }

    fn cover(&self, mut coverage: Coverage) -> Coverage {
        coverage.lost = coverage.lost.max(self.lost);
        // What arrived counts where there was somewhere to arrive; else what was tried.
        if self.gateway.any {
            coverage.connections = self.gateway.connections;
            coverage.decrypted = self.gateway.connections.saturating_sub(self.gateway.unread);
            coverage.unread = self.gateway.refused.iter().cloned().collect();
        } else {
            coverage.connections = coverage.connections.max(self.connections);
        }
        coverage.payloads_cut = coverage.payloads_cut.max(self.payloads_cut);
        coverage.unlisted = self.ledger.unlisted();
        let mut refused: BTreeSet<String> = coverage.refused_calls.into_iter().collect();
        refused.extend(self.refused.iter().map(|name| (*name).to_owned()));
        coverage.refused_calls = refused.into_iter().collect();
        let mut blind = |sentence: String| {
            if !coverage.blind.contains(&sentence) {
                coverage.blind.push(sentence);
            }
        };
        if self.gateway.any {
            blind(
                "client data that the subject encrypted itself, or packed in a format of its own, is not recognised"
                    .into(),
            );
        } else {
            let tls = if self.in_clear { "in TLS other than of a probed library" } else { "in TLS" };
            blind(format!(
                "client data {tls}, that the subject encrypted itself, or packed in a format of its own, is not recognised"
            ));
            blind("names split into DNS labels are not joined again".into());
        }
        if self.gateway.unread > 0 {
            let (unread, all) = (self.gateway.unread, self.gateway.connections);
            blind(format!(
                "{unread} of {all} connections did not agree on TLS with the gateway (they do not accept its certificate, or speak another version): what they had to say is not known"
            ));
        }
        blind("writes through shared memory maps are seen by the layer only, once the subject has ended".into());
        if !self.gateway.any {
            blind("planted credentials are not accepted anywhere yet, so their use cannot be seen".into());
        }
        if coverage.witness == "notify" {
            blind(
                "results of calls that were let through are not seen: such a finding says outcome_basis not-observed"
                    .into(),
            );
            blind(
                "data that passes through a pair of sockets, a pseudo-terminal or memory shared by descent is not \
                 followed from one process to the other"
                    .into(),
            );
        }
        if coverage.truncated {
            blind("the recording ends before the session did".into());
        }
        if self.payloads_cut > 0 {
            blind(format!("of {} writes and reads only the first part was captured", self.payloads_cut));
        }
        if self.matcher.too_short() > 0 {
            let count = self.matcher.too_short();
            blind(format!("{count} planted values are shorter than {} bytes and not searched", matcher::MIN_MARKER));
        }
        if self.matcher.forgotten() > 0 {
            blind("so many streams were open at once that values split over writes may have been missed".into());
        }
        let cuts = self.matcher.cuts();
        for (count, what) in [
            (cuts.bytes, "streams gave more bytes than are unpacked: the rest was searched as it came only"),
            (cuts.depth, "times something was packed in more layers than are undone"),
            (cuts.memory, "packed streams were not followed to their end: too many were open at once"),
            (cuts.gaps, "packed streams could not be followed: parts of them were not captured"),
            (self.salts.untried, "payloads held what may be digests that were not tried with all salts"),
        ] {
            if count > 0 {
                blind(format!("{count} {what}"));
            }
        }
        if self.lineage.unfollowed() > 0 {
            blind("so many processes or files were used that not all lineage was followed".into());
        }
        if self.assets.len() > AssetSet::CAPACITY {
            blind(format!("assets past the first {} are not looked for", AssetSet::CAPACITY));
        }
        coverage
    }

    /// Adds what an event says to its finding. `key` says which finding that is.
    fn claim(&mut self, key: u64, record: &Record<'_>, touched: &mut Touched, claim: Claim<'_>) {
        touched.verbs.insert(claim.verb);
        if let Some(asset) = claim.asset {
            touched.assets.insert(asset);
        }
        let step = self.hasher.any((record.op(), claim.thing, record.process.map(|p| p.key)));
        let asset = claim.asset.and_then(|index| self.assets.get(index));
        let class = asset.map(|asset| asset.class.as_str());
        let asset = asset.map(|asset| (asset.name.as_str(), asset.class.as_str()));
        // What rests on contents is as sure as these are.
        let best = claim.markers.iter().map(|hit| hit.path).min();
        let confidence = match claim.markers.iter().map(Hit::confidence).max() {
            Some(confidence) => claim.confidence.min(confidence),
            None => claim.confidence,
        };
        let place = claim.destination.unwrap_or(claim.thing);
        let declared = self.rules.declares(claim.verb, asset, place);
        let glance = Glance {
            confidence,
            declared,
            ending: (claim.ending.0, claim.ending.1),
            markers: claim.markers,
            step,
            event: record.seq,
        };
        if self.ledger.absorb(key, &glance) {
            return;
        }
        // Lent out, since what follows borrows names of assets.
        let mut ledger = std::mem::take(&mut self.ledger);
        let written = matches!(record.kind, Kind::Layer(_)).then(|| self.writer(record)).flatten();
        let process = record.process.or(written.and_then(|writer| writer.process.as_deref()));
        let severity = claim.deed.map_or_else(|| severity(claim.verb, class, confidence), |deed| deed.severity);
        let attack = match claim.deed {
            Some(deed) => deed.attack,
            None => attack(claim.verb, class, claim.channel),
        };
        let evidence = Evidence {
            verb: claim.verb,
            asset: claim.asset.and_then(|index| {
                Some((self.assets.get(index)?.name.as_str(), self.assets.get(index)?.class.as_str()))
            }),
            confidence,
            severity,
            declared,
            channel: claim.channel,
            destination: claim.destination.map(|name| self.show(name)),
            decision: decision(record.decision),
            ending: claim.ending,
            attack,
            deed: claim.deed.map(|deed| deed.what),
            markers: claim.markers.iter().filter_map(|hit| Some((hit.id, self.marker_name(hit.id)?))).collect(),
            path: best.unwrap_or(Path::CLEAR),
            before: claim.before,
            item: self.item(record, process, claim.phrase, claim.thing, claim.link),
            step,
        };
        ledger.add(key, evidence, || process.map(|process| self.actor(process)));
        self.ledger = ledger;
    }

    fn marker_name(&self, id: MarkerId) -> Option<&str> {
        Some(self.assets.get(id.asset)?.markers.get(id.marker)?.name.as_str())
    }

    fn item(
        &self,
        record: &Record<'_>,
        process: Option<&Process>,
        phrase: &str,
        thing: &[u8],
        link: Link,
    ) -> ChainItem {
        let who = match process.filter(|_| record.process.is_some()) {
            Some(process) if !process.name().is_empty() => self.show(process.name()),
            Some(process) => format!("process {}", process.pid),
            None => "the layer".to_owned(),
        };
        let thing = self.show(thing);
        let what = if thing.is_empty() { format!("{who} {phrase}") } else { format!("{who} {phrase} {thing}") };
        ChainItem { event: record.seq, what, link }
    }

    fn actor(&self, process: &Process) -> Actor {
        let argv = process.argv.get(..MAX_ARGV).unwrap_or(&process.argv);
        Actor {
            pid: process.pid,
            exe: self.show(&process.exe),
            argv: argv.strip_suffix(b"\0").unwrap_or(argv).split(|b| *b == 0).map(|arg| self.show(arg)).collect(),
        }
    }

    /// Subject bytes as text that is safe to show: escaped, marker values masked.
    fn show(&self, bytes: &[u8]) -> String {
        let redactor = self.redactor.get_or_init(|| {
            let values = self.assets.iter().flat_map(|asset| &asset.markers).map(|marker| marker.value.as_slice());
            Redactor::new(values.filter(|value| value.len() >= matcher::MIN_MARKER), false, false).ok()
        });
        match redactor {
            Some(redactor) => redactor.text(bytes, MAX_NAME).to_string(),
            None => "(not shown: values cannot be masked)".to_owned(),
        }
    }

    fn writer(&self, record: &Record<'_>) -> Option<&Writer> {
        self.writers.get(&self.flow(record.object?))
    }

    /// Remembers who wrote to the object last.
    fn wrote(&mut self, object: &Object, record: &Record<'_>) {
        let flow = self.flow(object);
        if self.writers.len() >= MAX_WRITERS && !self.writers.contains_key(&flow) {
            return;
        }
        let process = record.process.map(|process| self.image(process));
        self.writers.insert(flow, Writer { event: record.seq, process });
    }

    /// What is known of a process, shared between all that refer to it.
    fn image(&mut self, process: &Process) -> Arc<Process> {
        let kept = self.images.entry(process.key).or_insert_with(|| {
            let mut copy = process.clone();
            copy.argv.truncate(MAX_ARGV);
            Arc::new(copy)
        });
        Arc::clone(kept)
    }

    /// What is to be said of an object by its name alone.
    fn facts(&mut self, object: &Object) -> Facts {
        self.known.of(object, &self.paths, &self.detectors, &self.hasher)
    }

    /// The name under which lineage follows an object.
    fn flow(&self, object: &Object) -> u64 {
        facts::flow(object, &self.hasher, self.hasher.object(object))
    }
}

impl Observer for Analysis {
    fn observe(&mut self, record: &Record<'_>) -> Touched {
        let mut touched = Touched::default();
        if let Some(process) = record.process
            && record.kind != Kind::ProcessEnd
            && !self.lineage.knows(process.key)
        {
            self.lineage.start(process.key, process.parent);
            if self.pids.len() < lineage::MAX_PROCESSES {
                self.pids.insert(process.pid, process.key);
            }
            self.counts.met(process);
        }
        match record.kind {
            Kind::Call { .. } => {
                if let Some(call) = record.call {
                    self.call(call, record, &mut touched);
                }
            }
            Kind::ProcessImage => {
                if let Some(process) = record.process {
                    self.images.remove(&process.key);
                    self.lineage.renew(process.key);
                }
                self.exec(record, &mut touched);
            }
            Kind::ProcessEnd => {
                if let Some(process) = record.process {
                    self.lineage.end(process.key);
                    self.salts.forget(process.key);
                    self.peers.remove(&process.key);
                    self.images.remove(&process.key);
                }
            }
            Kind::Layer(change) => self.layer(change, record, &mut touched),
            Kind::TerminalOutput => self.shown(record, &mut touched),
            Kind::Plaintext { sent } => {
                self.in_clear = true;
                self.plaintext(sent, record, &mut touched);
            }
            Kind::Lost => self.lost = self.lost.saturating_add(record.args[0]),
            Kind::Traffic(what) => self.traffic(what, record, &mut touched),
            Kind::Notice => self.gateway.any |= record.witness == Witness::Gateway,
            Kind::ProcessStart | Kind::Counted { .. } => {}
        }
        self.detect(record, &mut touched);
        self.count(record, &mut touched);
        touched.keep_payload |= touched.verbs != Verbs::default();
        touched
    }

    fn findings(&mut self) -> Vec<serde_json::Value> {
        // A finding is plain strings and numbers: it always has a JSON value.
        self.take_new().iter().filter_map(|finding| serde_json::to_value(finding).ok()).collect()
    }
}

/// How an attempt ended, as far as the event itself tells.
fn ending(record: &Record<'_>) -> (Ending, Basis, Option<String>) {
    if let Kind::Traffic(what) = record.kind {
        // The gateway's results are no errors of the kernel's: what arrived, arrived; who refused said nothing, unless
        // it was let through unread, which has the result 0.
        let refused = what == Traffic::Refusal && record.result != Some(0);
        let alert = record.result.filter(|_| refused).map(|alert| format!("TLS alert {}", alert.unsigned_abs()));
        return (if refused { Ending::Failed } else { Ending::Succeeded }, Basis::LaterEvent, alert);
    }
    let error = |result: i64| format!("{:?}", Errno::from_raw(i32::try_from(-result).unwrap_or_default()));
    let failed = record.result.filter(|result| *result < 0);
    match (record.decision, failed, record.result) {
        (Decision::Denied | Decision::Faked, failed, _) => (Ending::Refused, Basis::Decision, failed.map(error)),
        // A connection that goes on being made in the background has not failed.
        (_, Some(result), _) if result == -(Errno::EINPROGRESS as i64) => (Ending::Succeeded, Basis::NotObserved, None),
        (_, Some(result), _) => (Ending::Failed, Basis::Result, Some(error(result))),
        (_, None, Some(_)) => (Ending::Succeeded, Basis::Result, None),
        (_, None, None) if matches!(record.kind, Kind::Layer(_)) => (Ending::Succeeded, Basis::Layer, None),
        // What the gateway saw has arrived.
        (_, None, None) if matches!(record.kind, Kind::ProcessImage | Kind::Traffic(_)) => {
            (Ending::Succeeded, Basis::LaterEvent, None)
        }
        (_, None, None) => (Ending::Succeeded, Basis::NotObserved, None),
    }
}

fn decision(decision: Decision) -> &'static str {
    match decision {
        Decision::Allowed => "allowed",
        Decision::Denied => "denied",
        Decision::Faked => "faked",
        Decision::Asked => "asked",
    }
}

/// How bad a deed with client data of a class is. Classes without harm of their own are those
/// that name the machine; classes of persons' and firms' secrets weigh most when they are kept
/// or sent.
fn severity(verb: Verb, class: Option<&str>, confidence: Confidence) -> Severity {
    let moves = matches!(verb, Verb::Store | Verb::Transmit) && confidence > Confidence::Suspected;
    match class {
        Some("device") => Severity::Low,
        Some(
            "identity" | "contact" | "financial" | "secret" | "health" | "classified" | "communications"
            | "infrastructure" | "fiscal",
        ) if moves => Severity::High,
        _ => Severity::Medium,
    }
}

/// MITRE ATT&CK for Enterprise, version 15.
fn attack(verb: Verb, class: Option<&str>, channel: Channel) -> Option<&'static str> {
    match (verb, class, channel) {
        (Verb::Collect, Some("device"), _) => Some("T1082"),
        (Verb::Collect, Some("secret"), _) => Some("T1552.001"),
        (Verb::Collect, Some("history"), _) => Some("T1217"),
        (Verb::Collect, ..) => Some("T1005"),
        (Verb::Store, ..) => Some("T1074.001"),
        // Over what other protocol than a client would expect; else simply out.
        (Verb::Transmit, _, Channel::Dns | Channel::Udp | Channel::Icmp | Channel::Other) => Some("T1048"),
        (Verb::Transmit, ..) => Some("T1041"),
        _ => None,
    }
}
