//! The findings of a session as they grow: what belongs to the same finding is merged into it,
//! so that a subject that reads a database row by row makes one finding, not thousands.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::encoding::Path;
use super::finding::{Actor, Basis, ChainItem, Channel, Confidence, Ending, Finding, Severity};
use super::matcher::{Hit, MarkerId};
use crate::store::{AssetSet, Verb};

/// Findings listed at most; the subject decides how many destinations there are.
const MAX_FINDINGS: usize = 4096;
/// Events of a chain listed at most; the others are counted.
const MAX_CHAIN: usize = 16;

/// What one event adds to a finding.
#[derive(Debug)]
pub(super) struct Evidence<'a> {
    /// What was attempted.
    pub(super) verb: Verb,
    /// Name and class of the asset.
    pub(super) asset: Option<(&'a str, &'a str)>,
    /// How sure.
    pub(super) confidence: Confidence,
    /// How bad.
    pub(super) severity: Severity,
    /// Whether the declaration covers it.
    pub(super) declared: bool,
    /// By which way.
    pub(super) channel: Channel,
    /// Where to, safe to show.
    pub(super) destination: Option<String>,
    /// What the sandbox answered.
    pub(super) decision: &'static str,
    /// How it ended, what that rests on, and the error's name.
    pub(super) ending: (Ending, Basis, Option<String>),
    /// ATT&CK technique.
    pub(super) attack: Option<&'a str>,
    /// For findings about the system: what was tried, as "tried to ...".
    pub(super) deed: Option<&'a str>,
    /// Markers seen, with their names.
    pub(super) markers: Vec<(MarkerId, &'a str)>,
    /// Through what they were seen.
    pub(super) path: Path,
    /// Events that led here.
    pub(super) before: Option<Arc<[ChainItem]>>,
    /// The event itself.
    pub(super) item: ChainItem,
    /// Which sort of step it is: of two with the same number only the first is in the chain.
    pub(super) step: u64,
}

/// What is needed of an [`Evidence`] to see whether it is news; cheap to make.
#[derive(Debug)]
pub(super) struct Glance<'a> {
    /// How sure.
    pub(super) confidence: Confidence,
    /// Whether the declaration covers it.
    pub(super) declared: bool,
    /// How it ended and what that rests on.
    pub(super) ending: (Ending, Basis),
    /// Markers seen.
    pub(super) markers: &'a [Hit],
    /// See [`Evidence::step`].
    pub(super) step: u64,
    /// Number of the event.
    pub(super) event: u64,
}

#[derive(Debug)]
struct Entry {
    finding: Finding,
    deed: Option<Box<str>>,
    seen: HashSet<MarkerId>,
    /// Steps in the chain, each once.
    steps: Vec<u64>,
    /// The event counted last, so that one event counts once.
    last_event: u64,
    /// Not [held back](Ledger::hold), nor dropped.
    is_listed: bool,
}

/// A finding that may turn out to be none.
#[derive(Debug)]
struct Held {
    key: u64,
    asset: usize,
    /// The file that it is about, and when that was.
    flow: u64,
    time_ns: u64,
}

/// How long a finding is held back, in nanoseconds: programs that write anew beside a file what stands in it put the one
/// in the other's place at once.
pub(super) const HELD_NS: u64 = 3_000_000_000;

/// All findings of a session.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    entries: Vec<Entry>,
    by_key: HashMap<u64, usize>,
    dirty: Vec<usize>,
    held: Vec<Held>,
    unlisted: u64,
}

impl Ledger {
    /// Holds back the finding under `key`: that data of this asset went to a file beside its own.
    pub(super) fn hold(&mut self, key: u64, asset: usize, flow: u64, time_ns: u64) {
        let Some(index) = self.by_key.get(&key) else { return };
        if let Some(entry) = self.entries.get_mut(*index) {
            entry.is_listed = false;
            self.held.push(Held { key, asset, flow, time_ns });
        }
    }

    /// The file came to the place of one of these assets: nothing was left anywhere.
    pub(super) fn drop_held(&mut self, flow: u64, own: AssetSet) {
        let by_key = &mut self.by_key;
        self.held.retain(|held| {
            let is_none = held.flow == flow && own.contains(held.asset);
            if is_none {
                by_key.remove(&held.key);
            }
            !is_none
        });
    }

    /// Lists what has been held back for long enough, or all of it.
    pub(super) fn release(&mut self, now_ns: Option<u64>) {
        let Self { held, by_key, entries, dirty, .. } = self;
        held.retain(|held| {
            let is_young = now_ns.is_some_and(|now| now.saturating_sub(held.time_ns) < HELD_NS);
            if !is_young
                && let Some(index) = by_key.get(&held.key).copied()
                && let Some(entry) = entries.get_mut(index)
            {
                entry.is_listed = true;
                dirty.push(index);
            }
            is_young
        });
    }

    /// Whether there is a finding under this key.
    pub(super) fn knows(&self, key: u64) -> bool {
        self.by_key.contains_key(&key)
    }

    /// Counts an event that adds nothing but its number to the finding under `key`. Returns
    /// `false`, having done nothing, when it is more than that.
    pub(super) fn absorb(&mut self, key: u64, glance: &Glance<'_>) -> bool {
        let Some(entry) = self.by_key.get(&key).and_then(|index| self.entries.get_mut(*index)) else { return false };
        let finding = &entry.finding;
        let stale = (finding.chain.len() >= MAX_CHAIN || entry.steps.contains(&glance.step))
            && glance.confidence <= finding.confidence
            && glance.declared >= finding.declared
            && glance.ending <= (finding.outcome, finding.outcome_basis)
            && glance.markers.iter().all(|hit| entry.seen.contains(&hit.id));
        if stale {
            entry.count(glance.event);
        }
        stale
    }

    /// Adds evidence to the finding under `key`, or makes one. `actor` is asked for new ones only.
    pub(super) fn add(&mut self, key: u64, evidence: Evidence<'_>, actor: impl FnOnce() -> Option<Actor>) {
        if let Some(index) = self.by_key.get(&key).copied() {
            if let Some(entry) = self.entries.get_mut(index)
                && entry.grow(evidence)
            {
                self.dirty.push(index);
            }
            return;
        }
        if self.entries.len() >= MAX_FINDINGS {
            self.unlisted += 1;
            return;
        }
        let index = self.entries.len();
        self.by_key.insert(key, index);
        self.entries.push(Entry::new(index as u32 + 1, evidence, actor()));
        self.dirty.push(index);
    }

    /// Marker bytes turned up later, which came from `event`: where that is part of the finding
    /// under `key`, the data was really had.
    pub(super) fn confirm<'n>(
        &mut self,
        key: u64,
        event: u64,
        markers: &[Hit],
        name: impl Fn(MarkerId) -> Option<&'n str>,
    ) {
        let Some(index) = self.by_key.get(&key).copied() else { return };
        let Some(entry) = self.entries.get_mut(index) else { return };
        if !entry.finding.chain.iter().any(|item| item.event == event) {
            return;
        }
        let new = markers.iter().filter(|hit| !entry.seen.contains(&hit.id));
        let new: Vec<(MarkerId, &str)> = new.filter_map(|hit| Some((hit.id, name(hit.id)?))).collect();
        let mut changed = entry.mark(&new);
        let finding = &mut entry.finding;
        let confidence = markers.iter().map(Hit::confidence).max().unwrap_or(Confidence::Proven);
        changed |= finding.confidence < confidence;
        finding.confidence = finding.confidence.max(confidence);
        if (finding.outcome, finding.outcome_basis) < (Ending::Succeeded, Basis::LaterEvent) {
            (finding.outcome, finding.outcome_basis, finding.error) = (Ending::Succeeded, Basis::LaterEvent, None);
            changed = true;
        }
        if changed {
            entry.finding.title = entry.title();
            self.dirty.push(index);
        }
    }

    /// Findings made or grown since the last call, by id.
    pub(super) fn take_new(&mut self) -> Vec<Finding> {
        let mut dirty = std::mem::take(&mut self.dirty);
        dirty.sort_unstable();
        dirty.dedup();
        let entries = dirty.iter().filter_map(|index| self.entries.get(*index));
        entries.filter(|entry| entry.is_listed).map(|entry| entry.finding.clone()).collect()
    }

    /// All findings, by id.
    pub(super) fn all(&self) -> Vec<Finding> {
        self.entries.iter().filter(|entry| entry.is_listed).map(|entry| entry.finding.clone()).collect()
    }

    /// Evidence for findings that are not listed because there are too many.
    pub(super) fn unlisted(&self) -> u64 {
        self.unlisted
    }
}

impl Entry {
    fn new(id: u32, evidence: Evidence<'_>, process: Option<Actor>) -> Self {
        let (outcome, outcome_basis, error) = evidence.ending;
        let mut chain: Vec<ChainItem> = evidence.before.as_deref().unwrap_or_default().to_vec();
        chain.truncate(MAX_CHAIN - 1);
        chain.retain(|item| item.event != evidence.item.event);
        let last_event = evidence.item.event;
        chain.push(evidence.item);
        let mut entry = Self {
            finding: Finding {
                id,
                verb: evidence.verb,
                confidence: evidence.confidence,
                severity: evidence.severity,
                declared: evidence.declared,
                asset: evidence.asset.map(|(name, _)| name.to_owned()),
                class: evidence.asset.map(|(_, class)| class.to_owned()),
                markers: Vec::new(),
                channel: evidence.channel,
                destination: evidence.destination,
                encodings: evidence.path.names(),
                decision: evidence.decision.to_owned(),
                outcome,
                error,
                process,
                title: String::new(),
                attack: evidence.attack.map(str::to_owned),
                events: chain.len() as u64,
                chain,
                outcome_basis,
            },
            deed: evidence.deed.map(Box::from),
            seen: HashSet::new(),
            steps: vec![evidence.step],
            last_event,
            is_listed: true,
        };
        entry.mark(&evidence.markers);
        entry.finding.title = entry.title();
        entry
    }

    /// Takes in more evidence. Returns whether anything but the count of events changed.
    fn grow(&mut self, evidence: Evidence<'_>) -> bool {
        self.count(evidence.item.event);
        let mut changed = self.mark(&evidence.markers);
        let finding = &mut self.finding;
        changed |= evidence.confidence > finding.confidence || finding.declared && !evidence.declared;
        // The encodings are those of the surest evidence.
        if evidence.confidence > finding.confidence {
            finding.encodings = evidence.path.names();
        }
        finding.confidence = finding.confidence.max(evidence.confidence);
        // Who read the bytes knows better than who saw a socket.
        if matches!(finding.channel, Channel::Tcp | Channel::Udp) && finding.channel != evidence.channel {
            finding.channel = evidence.channel;
            changed = true;
        }
        finding.severity = finding.severity.max(evidence.severity);
        finding.declared &= evidence.declared;
        if evidence.channel == Channel::Https {
            // What is spoken over a connection is known once it has been read.
            finding.channel = Channel::Https;
        }
        let (outcome, basis, error) = evidence.ending;
        if (outcome, basis) > (finding.outcome, finding.outcome_basis) {
            (finding.outcome, finding.outcome_basis, finding.error) = (outcome, basis, error);
            evidence.decision.clone_into(&mut finding.decision);
            changed = true;
        }
        let mut extend = |item: ChainItem| {
            if finding.chain.len() < MAX_CHAIN
                && finding.chain.iter().all(|other| other.event != item.event && other.what != item.what)
            {
                let at = finding.chain.partition_point(|other| other.event <= item.event);
                finding.chain.insert(at, item);
                changed = true;
            }
        };
        for item in evidence.before.as_deref().unwrap_or_default() {
            extend(item.clone());
        }
        if !self.steps.contains(&evidence.step) {
            self.steps.push(evidence.step);
            extend(evidence.item);
        }
        if changed {
            self.finding.title = self.title();
        }
        changed
    }

    fn count(&mut self, event: u64) {
        if event != self.last_event {
            self.finding.events += 1;
            self.last_event = event;
        }
    }

    fn mark(&mut self, markers: &[(MarkerId, &str)]) -> bool {
        let mut new = false;
        for (id, name) in markers {
            if self.seen.insert(*id) {
                self.finding.markers.push((*name).to_owned());
                new = true;
            }
        }
        new
    }

    /// The finding in one sentence, of names that are safe to show.
    fn title(&self) -> String {
        let finding = &self.finding;
        let who = match &finding.process {
            Some(actor) => actor.exe.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or("a process"),
            None => "an unknown process",
        };
        let asset = finding.asset.as_deref().unwrap_or("client data");
        let place = finding.destination.as_deref().unwrap_or("an unknown place");
        let worked = finding.outcome == Ending::Succeeded;
        let proven = finding.confidence > Confidence::Suspected;
        let deed = match (finding.verb, self.deed.as_deref()) {
            (_, Some(deed)) if worked && finding.outcome_basis > Basis::Decision => {
                format!("tried to {deed} ({place}): it worked")
            }
            (_, Some(deed)) if worked => format!("tried to {deed} ({place}): it was let through"),
            (_, Some(deed)) => format!("tried to {deed} ({place})"),
            (Verb::Collect, _) if !worked => format!("tried to read {asset}"),
            (Verb::Collect, _) if proven => format!("read {asset}"),
            (Verb::Collect, _) => format!("opened {asset}; what it read was not seen"),
            (Verb::Store, _) if !worked => format!("tried to leave {asset} in {place}"),
            (Verb::Store, _) if proven => format!("left values of {asset} in {place}"),
            (Verb::Store, _) => format!("seems to have put {asset} in {place}"),
            (Verb::Transmit, _) if !proven && worked => {
                format!("sent what cannot be read to {place} after it had got {asset}")
            }
            (Verb::Transmit, _) if !proven => format!("tried to reach {place} after it had got {asset}"),
            (Verb::Transmit, _) if worked => format!("sent values of {asset} to {place}"),
            (Verb::Transmit, _) => format!("tried to send values of {asset} to {place}"),
            (Verb::Process, _) if worked => format!("handed values of {asset} to {place}"),
            (verb, _) => format!("tried to {verb} {asset} ({place})"),
        };
        match (&finding.error, worked) {
            (Some(error), false) => format!("{who} {deed}: {} with {error}", finding.outcome.name()),
            (None, false) => format!("{who} {deed}: {}", finding.outcome.name()),
            (_, true) => format!("{who} {deed}"),
        }
    }
}
