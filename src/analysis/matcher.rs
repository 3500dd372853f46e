//! Finds marker values in whatever bytes pass: one automaton for all markers of all assets, and
//! for each stream its state, so that a value split over any number of writes is found.
//!
//! A stream that holds no beginning of a marker - nearly every one, nearly always - needs no
//! memory at all.

use std::collections::HashMap;
use std::hash::Hash;

use belljar_sandbox::decoy::Asset;
use belljar_sandbox::event::ProcessKey;
use foldhash::fast::RandomState;

use super::automaton::{Automaton, State};
use crate::store::AssetSet;

/// Values shorter than this occur by chance and are not searched.
pub const MIN_MARKER: usize = 5;

/// How many streams one generation remembers; two generations are kept, so between this and
/// twice this many streams have a memory.
const GENERATION: usize = 16_384;

/// Which marker: index of its asset, and its index there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MarkerId {
    /// Index of the asset in the session's list.
    pub asset: usize,
    /// Index of the marker in the asset.
    pub marker: usize,
}

/// The markers could not be turned into an automaton.
#[derive(Debug, thiserror::Error)]
#[error("cannot prepare the search for marker values: they are too long together; plant fewer or shorter ones")]
pub struct Error;

/// Which way the bytes of a stream went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Into the process.
    In,
    /// Out of it.
    Out,
}

/// A stream: who moves bytes, to or from what (a hash of the object), which way.
pub type StreamKey = (ProcessKey, u64, Direction);

/// What was found, each marker once. Reused from event to event.
#[derive(Debug, Default)]
pub struct Hits {
    ids: Vec<MarkerId>,
}

impl Hits {
    /// Nothing was found.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The markers found, each once, sorted by asset.
    pub fn ids(&self) -> &[MarkerId] {
        &self.ids
    }

    /// The assets they belong to.
    pub fn assets(&self) -> AssetSet {
        let mut assets = AssetSet::default();
        for id in &self.ids {
            assets.insert(id.asset);
        }
        assets
    }

    /// The markers of one asset.
    pub fn of(&self, asset: usize) -> &[MarkerId] {
        let start = self.ids.partition_point(|id| id.asset < asset);
        let end = self.ids.partition_point(|id| id.asset <= asset);
        self.ids.get(start..end).unwrap_or_default()
    }

    /// Adds one.
    pub fn add(&mut self, id: MarkerId) {
        self.ids.push(id);
        self.settle();
    }

    /// Leaves only the hits that `keep` says.
    pub fn retain(&mut self, keep: impl FnMut(&MarkerId) -> bool) {
        self.ids.retain(keep);
    }

    /// Forgets everything, keeping the memory.
    pub fn clear(&mut self) {
        self.ids.clear();
    }

    fn settle(&mut self) {
        if self.ids.len() > 1 {
            self.ids.sort_unstable();
            self.ids.dedup();
        }
    }
}

/// States of streams that hold the beginning of a marker. The subject chooses objects and
/// processes, but sees no hash: the seed is drawn by chance.
type States = HashMap<StreamKey, State, RandomState>;

/// The automaton and the states of streams.
pub struct Matcher {
    automaton: Option<Automaton>,
    owners: Vec<MarkerId>,
    too_short: usize,
    young: States,
    old: States,
    forgotten: u64,
}

impl std::fmt::Debug for Matcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Matcher").field("markers", &self.owners.len()).finish_non_exhaustive()
    }
}

impl Matcher {
    /// An automaton for the markers of `assets`. Where two have the same value, the first counts.
    pub fn new(assets: &[Asset]) -> Result<Self, Error> {
        let mut values: Vec<(&[u8], MarkerId)> = Vec::new();
        let mut too_short = 0;
        for (index, asset) in assets.iter().enumerate().take(AssetSet::CAPACITY) {
            for (marker, planted) in asset.markers.iter().enumerate() {
                if planted.value.len() < MIN_MARKER {
                    too_short += 1;
                } else {
                    values.push((&planted.value, MarkerId { asset: index, marker }));
                }
            }
        }
        values.sort_unstable();
        values.dedup_by_key(|(value, _)| *value);
        let automaton = if values.is_empty() {
            None
        } else {
            let patterns: Vec<&[u8]> = values.iter().map(|(value, _)| *value).collect();
            Some(Automaton::new(&patterns).ok_or(Error)?)
        };
        Ok(Self {
            automaton,
            owners: values.iter().map(|(_, id)| *id).collect(),
            too_short,
            young: States::default(),
            old: States::default(),
            forgotten: 0,
        })
    }

    /// How many markers are too short to be searched.
    pub fn too_short(&self) -> usize {
        self.too_short
    }

    /// How many streams lost their memory because there were too many.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Searches bytes that stand for themselves (a name, an argument vector) and adds to `hits`.
    pub fn scan(&self, bytes: &[u8], hits: &mut Hits) {
        if bytes.len() >= MIN_MARKER {
            self.advance(State::START, bytes, hits);
        }
    }

    /// Searches the next bytes of a stream. `whole` is false when more bytes went by than these,
    /// so that what comes next does not follow on them.
    pub fn scan_stream(&mut self, key: StreamKey, bytes: &[u8], whole: bool, hits: &mut Hits) {
        if bytes.is_empty() {
            return;
        }
        let before = self.state(&key);
        let after = self.advance(before, bytes, hits);
        let after = if whole { after } else { State::START };
        if after != before {
            self.keep(key, after);
        }
    }

    fn advance(&self, state: State, bytes: &[u8], hits: &mut Hits) -> State {
        let Some(automaton) = &self.automaton else { return state };
        let before = hits.ids.len();
        let state = automaton.scan(state, bytes, |value| {
            let id = self.owners.get(value).copied();
            // Bytes that are one marker over and over are told once.
            if id.is_some() && id.as_ref() != hits.ids.last() {
                hits.ids.extend(id);
            }
        });
        if hits.ids.len() > before {
            hits.settle();
        }
        state
    }

    /// What is held of the stream; it counts as young from now on.
    fn state(&mut self, key: &StreamKey) -> State {
        if let Some(state) = self.young.get(key) {
            return *state;
        }
        match self.old.remove(key) {
            Some(state) => {
                self.keep(*key, state);
                state
            }
            None => State::START,
        }
    }

    fn keep(&mut self, key: StreamKey, state: State) {
        if state == State::START {
            self.young.remove(&key);
            return;
        }
        if self.young.len() >= GENERATION && !self.young.contains_key(&key) {
            self.forgotten += self.old.len() as u64;
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use belljar_sandbox::decoy::Marker;

    fn asset(name: &str, values: &[&[u8]]) -> Asset {
        Asset {
            name: name.into(),
            class: "identity".into(),
            paths: Vec::new(),
            variables: Vec::new(),
            markers: values
                .iter()
                .enumerate()
                .map(|(n, value)| Marker { name: format!("{name}[{n}]"), value: value.to_vec() })
                .collect(),
        }
    }

    fn matcher() -> Matcher {
        Matcher::new(&[asset("a", &[b"anna.berg@example.com", b"four"]), asset("b", &[b"berg@example.com", b"AKIA77"])])
            .expect("small")
    }

    const KEY: StreamKey = (ProcessKey(1), 7, Direction::Out);

    #[test]
    fn overlapping_values_are_all_found_and_short_ones_counted() {
        let (matcher, mut hits) = (matcher(), Hits::default());
        assert_eq!(matcher.too_short(), 1);
        matcher.scan(b"four x anna.berg@example.com AKIA77 AKIA77", &mut hits);
        assert_eq!(hits.ids().len(), 3);
        assert_eq!(hits.of(0), [MarkerId { asset: 0, marker: 0 }]);
        assert_eq!(hits.of(1).len(), 2);
        assert_eq!(hits.of(2), []);
    }

    #[test]
    fn a_value_split_anywhere_over_two_or_three_writes_is_found() {
        let value = b"anna.berg@example.com";
        for first in 1..value.len() {
            for second in first..value.len() {
                let (mut matcher, mut found) = (matcher(), Hits::default());
                for part in [&b"..."[..], &value[..first], &value[first..second], &value[second..], b"..."] {
                    let mut hits = Hits::default();
                    matcher.scan_stream(KEY, part, true, &mut hits);
                    found.ids.extend(hits.ids());
                }
                assert!(found.ids.contains(&MarkerId { asset: 0, marker: 0 }), "{first} {second}");
            }
        }
    }

    #[test]
    fn other_streams_and_gaps_do_not_join() {
        let mut hits = Hits::default();
        let mut matcher = matcher();
        matcher.scan_stream(KEY, b"AKI", true, &mut hits);
        matcher.scan_stream((ProcessKey(2), 7, Direction::Out), b"A77", true, &mut hits);
        matcher.scan_stream((ProcessKey(1), 7, Direction::In), b"A77", true, &mut hits);
        assert!(hits.is_empty());
        matcher.scan_stream((ProcessKey(3), 7, Direction::In), b"AKI", false, &mut hits);
        matcher.scan_stream((ProcessKey(3), 7, Direction::In), b"A77", true, &mut hits);
        assert!(hits.is_empty(), "bytes between the two were not kept");
        matcher.scan_stream(KEY, b"A77", true, &mut hits);
        assert_eq!(hits.ids().len(), 1, "the control: the same stream goes on");
        hits.clear();
        matcher.scan_stream(KEY, b"A77", true, &mut hits);
        assert!(hits.is_empty(), "a value is found once");
    }

    #[test]
    fn memory_is_bounded() {
        let mut matcher = matcher();
        for process in 0..100_000 {
            matcher.scan_stream((ProcessKey(process), 0, Direction::In), b"AKIA", true, &mut Hits::default());
        }
        assert!(matcher.young.len() <= GENERATION && matcher.old.len() <= GENERATION);
        assert!(matcher.forgotten() >= 100_000 - 2 * GENERATION as u64);
    }

    #[test]
    fn no_markers_find_nothing() {
        let mut matcher = Matcher::new(&[]).expect("empty");
        let mut hits = Hits::default();
        matcher.scan_stream(KEY, b"anything at all", true, &mut hits);
        assert!(hits.is_empty());
    }
}
