//! Attempts on the system and on client data as such: what detectors say of an event becomes a
//! finding. An attempt that failed is one all the same; the finding says how it ended.

use std::sync::Arc;

use belljar_sandbox::event::{Kind, ObjectKind};

use super::acts::channel;
use super::claims::{Claim, Deed};
use super::finding::{Channel, Confidence, Link, Severity};
use super::{Analysis, Touched};
use crate::query::Context;
use crate::store::meaning::{Act, act};
use crate::store::{Object, Record, Verb, ops};

/// Client data removed, emptied or no longer what it was.
const DESTROYED: Deed<'static> = Deed { what: "destroy client data", severity: Severity::High, attack: Some("T1485") };

/// S_IFMT and S_IFDIR (inode(7)).
pub(super) const FORMAT: u64 = 0o170_000;
const DIRECTORY: u64 = 0o040_000;

impl Analysis {
    /// Asks the detectors that may be meant.
    pub(super) fn detect(&mut self, record: &Record<'_>, touched: &mut Touched) {
        let op = ops().of(record.kind);
        let (always, named) = self.detectors.asked(op);
        let named = named && [record.object, record.target].into_iter().flatten().any(|o| self.facts(o).watched);
        let directory = matches!(record.kind, Kind::Layer(_)) && record.args[0] & FORMAT == DIRECTORY;
        if !always && !named || directory {
            return;
        }
        let (detectors, assets) = (Arc::clone(&self.detectors), Arc::clone(&self.named));
        let context = Context { assets: &assets };
        // What analysis has seen in it so far can be asked for, too.
        let seen = Record { verbs: touched.verbs, assets: touched.assets, ..*record };
        for (number, ready) in detectors.of(op, named, &seen, &context) {
            let detector = &ready.detector;
            let thing = ready.thing(record);
            let deed = Deed { what: &detector.deed, severity: detector.severity, attack: detector.attack.as_deref() };
            let attempt = Attempt { verb: detector.verb, confidence: detector.confidence, deed };
            if ready.by_asset {
                for asset in touched.assets.iter() {
                    self.attempt(u64::from(number), Some(asset), &attempt, thing, record, touched);
                }
            } else {
                self.attempt(u64::from(number), None, &attempt, thing, record, touched);
            }
        }
    }

    /// An attempt of one sort (`number`) on a thing, with an asset where it is about one.
    pub(super) fn attempt(
        &mut self,
        number: u64,
        asset: Option<usize>,
        attempt: &Attempt<'_>,
        thing: Option<&Object>,
        record: &Record<'_>,
        touched: &mut Touched,
    ) {
        let op = record.op();
        let is_program = matches!(act(None, record), Act::Exec) || record.kind == Kind::ProcessImage;
        let named = thing.filter(|thing| !is_program && !matches!(thing.kind, ObjectKind::None | ObjectKind::Process));
        let name = thing.map_or(op.as_bytes(), |thing| &thing.name);
        let key = self.hasher.any(("attempt", number, asset, name));
        let phrase = match record.kind {
            Kind::Layer(_) => "has",
            _ if name == op.as_bytes() => "called",
            _ => op,
        };
        let channel = named.map_or(Channel::Other, |thing| channel(record, thing));
        let claim = Claim::of(attempt.verb, asset, channel, phrase, name, record);
        let (confidence, deed) = (attempt.confidence, Some(attempt.deed));
        self.claim(key, record, touched, Claim { confidence, link: Link::Exact, deed, ..claim });
    }

    /// Client data removed, emptied or no longer what it was, where it was planted.
    pub(super) fn destroy(&mut self, asset: usize, record: &Record<'_>, touched: &mut Touched, phrase: &'static str) {
        let Some(object) = record.object else { return };
        let key = self.hasher.any((Verb::Disrupt as u8, asset));
        // Two witnesses: it was removed, and it is gone.
        let is_gone = matches!(record.kind, Kind::Layer(_));
        let confidence = if is_gone { Confidence::Proven } else { Confidence::Suspected };
        let claim = Claim::of(Verb::Disrupt, Some(asset), channel(record, object), phrase, &object.name, record);
        self.claim(key, record, touched, Claim { confidence, link: Link::Exact, deed: Some(DESTROYED), ..claim });
    }
}

/// What a detector says of an event.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt<'d> {
    pub(super) verb: Verb,
    pub(super) confidence: Confidence,
    pub(super) deed: Deed<'d>,
}
