//! Analysis: reads events in order, one by one, and draws findings from them. Pure: it is handed
//! records and hands back findings, live and in replay alike.
//!
//! An event without client data costs a path look-up and a search of its payload, and allocates
//! nothing. What a call means is said in [`crate::store::meaning`], what a place is in [`place`], which bytes
//! are client data by [`matcher`], how data travels between processes by [`lineage`], what is an
//! attack on the system by [`detectors`] and [`counts`]. This file, [`acts`], [`attempts`] and [`traffic`] take an event
//! apart; [`streams`] searches its bytes, [`contents`] says what these are evidence of, [`follow`] tells lineage, and
//! [`claims`] makes findings of it all.

mod acts;
mod attempts;
mod claims;
mod contents;
mod counts;
mod coverage;
mod decode;
pub mod detectors;
mod digests;
pub mod encoding;
mod facts;
pub mod finding;
mod follow;
mod ledger;
mod lineage;
pub mod matcher;
mod patterns;
mod place;
mod placed;
mod presented;
pub mod rules;
mod salts;
mod saves;
mod sealed;
mod search;
mod streams;
mod suspicion;
mod traffic;
pub mod verdict;
mod windows;
mod witnesses;

#[cfg(test)]
pub(crate) mod tests;

use std::cell::OnceCell;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use belljar_sandbox::decoy::Asset;
use belljar_sandbox::event::{Kind, ObjectKind, ProcessKey, Witness};

use crate::ingest::{Observer, Touched};
use crate::redact::Redactor;
use crate::store::{AssetInfo, AssetSet, Object, Process, Record, Verbs};
use counts::Counts;
use detectors::Detectors;
use facts::{Facts, Known};
use finding::Finding;
use ledger::Ledger;
use lineage::Lineage;
use matcher::{Hits, Matcher};
use place::{AssetPaths, Hasher, Place};
use rules::Rules;
use salts::Salts;
use verdict::{Coverage, Outcome};

pub use matcher::Error;

/// Paths whose last writer is remembered.
const MAX_WRITERS: usize = 16_384;

/// Who wrote a path last: what the layer shows afterwards is joined to it.
#[derive(Debug)]
struct Writer {
    event: u64,
    process: Option<Arc<Process>>,
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
    /// All files that were there from the beginning, where that is known.
    planted: HashSet<u64>,
    emptied: saves::Emptied,
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
    sides: witnesses::Sides,
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
            planted: HashSet::new(),
            emptied: saves::Emptied::default(),
            peers: HashMap::new(),
            in_clear: false,
            images: HashMap::new(),
            pids: HashMap::new(),
            collected: HashMap::new(),
            refused: BTreeSet::new(),
            connections: 0,
            gateway: traffic::Seen::default(),
            amounts: suspicion::Amounts::default(),
            sides: witnesses::Sides::default(),
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

    /// Says which files were planted, by their paths in the jail. Without that all that is in the folder of an asset counts
    /// as the client's, what the subject put there itself included.
    #[must_use]
    pub fn planted<'p>(mut self, paths: impl IntoIterator<Item = &'p [u8]>) -> Self {
        for path in paths {
            let flow = self.flow(&Object { kind: ObjectKind::File, name: path.into() });
            self.planted.insert(flow);
        }
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
            copy.argv.truncate(claims::MAX_ARGV);
            Arc::new(copy)
        });
        Arc::clone(kept)
    }

    /// What is to be said of an object by its name alone.
    fn facts(&mut self, object: &Object) -> Facts {
        let mut facts = self.known.of(object, &self.paths, &self.detectors, &self.hasher);
        // A path that keeps nothing: what one puts in another takes out.
        if !self.fifos.is_empty() && self.fifos.contains(&facts.flow) {
            facts.place = Place::Local;
        }
        facts
    }

    /// The name under which lineage follows an object.
    fn flow(&self, object: &Object) -> u64 {
        facts::flow(object, &self.hasher, self.hasher.object(object))
    }
}

impl Observer for Analysis {
    fn observe(&mut self, record: &Record<'_>) -> Touched {
        let mut touched = Touched::default();
        self.settle(Some(record.time_ns));
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
                    self.dumps(record);
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

    fn ended(&mut self) {
        self.compare();
        self.settle(None);
    }

    fn findings(&mut self) -> Vec<serde_json::Value> {
        // A finding is plain strings and numbers: it always has a JSON value.
        self.take_new().iter().filter_map(|finding| serde_json::to_value(finding).ok()).collect()
    }
}
