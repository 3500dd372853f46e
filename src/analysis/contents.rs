//! What client data in an event's bytes, or in the object of a call, is evidence of.

use belljar_sandbox::event::Kind;

use super::acts::channel;
use super::claims::{Claim, ending};
use super::finding::{Basis, Channel, Confidence, Ending, Link};
use super::matcher::{Hit, Hits};
use super::{Analysis, Touched};
use crate::store::{Object, Record, Verb};

impl Analysis {
    /// Marker bytes on their way to a place where they do not belong.
    pub(super) fn contents(
        &mut self,
        verb: Verb,
        hits: &Hits,
        record: &Record<'_>,
        touched: &mut Touched,
        (to, channel): (&[u8], Channel),
        phrase: &'static str,
    ) {
        for asset in hits.assets().iter() {
            // A program may be handed the same by two ways.
            let by = (verb == Verb::Process).then_some(channel as u8);
            let key = self.hasher.any((verb as u8, asset, by, to));
            // A file that is known to have been put there shows nothing new about who had it.
            if record.process.is_some() || !self.ledger.knows(key) {
                self.imply(asset, hits.of(asset), record, touched);
            } else {
                self.confirm(asset, hits.of(asset), record);
            }
            let claim = Claim::of(verb, Some(asset), channel, phrase, to, record);
            self.claim(key, record, touched, Claim { markers: hits.of(asset), ..claim });
        }
    }

    /// Which finding it is that data of an asset is at a place.
    pub(super) fn store_key(&self, asset: usize, place: &[u8]) -> u64 {
        self.hasher.any((Verb::Store as u8, asset, None::<u8>, place))
    }

    /// A whole asset went to another path; its bytes were not seen.
    pub(super) fn put(
        &mut self,
        asset: usize,
        record: &Record<'_>,
        touched: &mut Touched,
        to: &Object,
        phrase: &'static str,
    ) {
        let key = self.store_key(asset, &to.name);
        let claim = Claim::of(Verb::Store, Some(asset), channel(record, to), phrase, &to.name, record);
        let claim = Claim { confidence: Confidence::Suspected, link: Link::Exact, ..claim };
        self.claim(key, record, touched, claim);
    }

    /// Client data was read, or may have been.
    pub(super) fn collect(
        &mut self,
        asset: usize,
        markers: &[Hit],
        record: &Record<'_>,
        touched: &mut Touched,
        phrase: &'static str,
        link: Link,
    ) {
        let Some(object) = record.object else { return };
        let key = self.collect_key(asset, record);
        let confidence = if markers.is_empty() { Confidence::Suspected } else { Confidence::Proven };
        let claim = Claim::of(Verb::Collect, Some(asset), channel(record, object), phrase, &object.name, record);
        self.claim(key, record, touched, Claim { confidence, destination: None, markers, link, ..claim });
        if ending(record).0 == Ending::Succeeded {
            self.gain(asset, record, phrase, &object.name, link);
        }
    }

    /// Marker bytes in the hands of a process show that it has the data. Where that was seen
    /// coming, it is confirmed; else it came by a way that was not seen (the environment, the
    /// kernel, a memory map), which is a finding of its own.
    pub(super) fn imply(&mut self, asset: usize, markers: &[Hit], record: &Record<'_>, touched: &mut Touched) {
        if self.confirm(asset, markers, record) {
            return;
        }
        if matches!(record.kind, Kind::Layer(_)) && self.collected.contains_key(&asset) {
            return;
        }
        let source = match self.assets.get(asset) {
            Some(asset) if !asset.variables.is_empty() => Channel::Env,
            Some(asset) if asset.class == "device" => Channel::Device,
            _ => Channel::Other,
        };
        let key = self.collect_key(asset, record);
        let (phrase, op) = ("had it at hand for", record.op().as_bytes());
        let claim = Claim::of(Verb::Collect, Some(asset), source, phrase, op, record);
        let ending = (Ending::Succeeded, Basis::LaterEvent, None);
        self.claim(key, record, touched, Claim { destination: None, markers, ending, ..claim });
        self.gain(asset, record, phrase, op, Link::Content);
    }

    /// Says of the collection that the data came from, where one was seen, that it worked.
    pub(super) fn confirm(&mut self, asset: usize, markers: &[Hit], record: &Record<'_>) -> bool {
        let Some(first) = self.origin(record, asset).and_then(|chain| chain.first().map(|item| item.event)) else {
            return false;
        };
        let keys = self.collected.get(&asset).cloned().unwrap_or_default();
        let mut ledger = std::mem::take(&mut self.ledger);
        for key in keys {
            ledger.confirm(key, first, markers, |id| self.marker_name(id));
        }
        self.ledger = ledger;
        true
    }

    /// Which finding a program's collect of an asset is; remembered, to be confirmed later.
    fn collect_key(&mut self, asset: usize, record: &Record<'_>) -> u64 {
        let exe = record.process.map(|process| process.exe.as_slice()).unwrap_or_default();
        let key = self.hasher.any((Verb::Collect as u8, asset, exe));
        let keys = self.collected.entry(asset).or_default();
        if keys.len() < 64 && !keys.contains(&key) {
            keys.push(key);
        }
        key
    }
}
