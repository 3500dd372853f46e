//! Claims: what one event says, put in the form of a finding's evidence and added to the
//! [ledger](super::ledger). How it ended, how bad it is and what ATT&CK calls it is worked out here.

use belljar_sandbox::event::{Decision, Kind, Traffic};
use nix::errno::Errno;

use super::encoding::Path;
use super::finding::{Actor, Basis, ChainItem, Channel, Confidence, Ending, Link, Severity};
use super::ledger::{Evidence, Glance};
use super::matcher::{Hit, MarkerId};
use super::{Analysis, Touched, matcher};
use crate::redact::Redactor;
use crate::store::{Process, Record, Verb};

/// Bytes of one name shown in a finding.
const MAX_NAME: usize = 256;
/// Arguments of a process shown in a finding, and bytes of them kept in mind.
pub(super) const MAX_ARGV: usize = 512;

/// What one event says about one asset or about the system.
pub(super) struct Claim<'c> {
    pub(super) verb: Verb,
    pub(super) asset: Option<usize>,
    pub(super) confidence: Confidence,
    pub(super) channel: Channel,
    /// Where to, as raw bytes.
    pub(super) destination: Option<&'c [u8]>,
    pub(super) markers: &'c [Hit],
    pub(super) link: Link,
    /// What happened, between the process's name and the object's.
    pub(super) phrase: &'static str,
    /// Name that follows the phrase.
    pub(super) thing: &'c [u8],
    pub(super) deed: Option<Deed<'c>>,
    pub(super) ending: (Ending, Basis, Option<String>),
}

impl<'c> Claim<'c> {
    /// What an event says by itself of the thing that it names: certain, until its contents say less.
    pub(super) fn of(
        verb: Verb,
        asset: Option<usize>,
        channel: Channel,
        phrase: &'static str,
        thing: &'c [u8],
        record: &Record<'_>,
    ) -> Self {
        Self {
            verb,
            asset,
            confidence: Confidence::Proven,
            channel,
            destination: Some(thing),
            markers: &[],
            link: Link::Content,
            phrase,
            thing,
            deed: None,
            ending: ending(record),
        }
    }
}

/// What a detector calls what was tried, and how bad that is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deed<'c> {
    /// As in "tried to ...".
    pub(super) what: &'c str,
    pub(super) severity: Severity,
    pub(super) attack: Option<&'c str>,
}

impl Analysis {
    /// Adds what an event says to its finding. `key` says which finding that is.
    pub(super) fn claim(&mut self, key: u64, record: &Record<'_>, touched: &mut Touched, claim: Claim<'_>) {
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
        // A collection has nothing before it.
        let is_first = claim.verb == Verb::Collect && claim.deed.is_none();
        let before = claim.asset.filter(|_| !is_first).and_then(|asset| self.origin(record, asset));
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
            before,
            item: self.item(record, process, claim.phrase, claim.thing, claim.link),
            step,
        };
        ledger.add(key, evidence, || process.map(|process| self.actor(process)));
        self.ledger = ledger;
    }

    pub(super) fn marker_name(&self, id: MarkerId) -> Option<&str> {
        Some(self.assets.get(id.asset)?.markers.get(id.marker)?.name.as_str())
    }

    pub(super) fn item(
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

    pub(super) fn actor(&self, process: &Process) -> Actor {
        // Cut around values: half of one would not be masked.
        let argv = self.redactor().map_or(&[][..], |redactor| redactor.cut(&process.argv, MAX_ARGV));
        Actor {
            pid: process.pid,
            exe: self.show(&process.exe),
            argv: argv.strip_suffix(b"\0").unwrap_or(argv).split(|b| *b == 0).map(|arg| self.show(arg)).collect(),
        }
    }

    /// What masks values in texts of findings; `None` where there are too many of them.
    pub(super) fn redactor(&self) -> Option<&Redactor> {
        let redactor = self.redactor.get_or_init(|| {
            let values = self.assets.iter().flat_map(|asset| &asset.markers).map(|marker| marker.value.as_slice());
            Redactor::new(values.filter(|value| value.len() >= matcher::MIN_MARKER), false, false).ok()
        });
        redactor.as_ref()
    }

    /// Subject bytes as text that is safe to show: escaped, marker values masked.
    pub(super) fn show(&self, bytes: &[u8]) -> String {
        match self.redactor() {
            Some(redactor) => redactor.text(bytes, MAX_NAME).to_string(),
            None => "(not shown: values cannot be masked)".to_owned(),
        }
    }
}

/// How an attempt ended, as far as the event itself tells.
pub(super) fn ending(record: &Record<'_>) -> (Ending, Basis, Option<String>) {
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
