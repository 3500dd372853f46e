//! Finds marker values in whatever bytes pass, as they are or disguised: one search for all markers
//! of all assets, and for each stream what is needed to find a value that is split over any number
//! of writes.

use std::collections::HashMap;
use std::hash::Hash;

use belljar_sandbox::decoy::Asset;
use belljar_sandbox::event::ProcessKey;
use foldhash::fast::RandomState;

use super::decode::{Cuts, Node, Work};
use super::encoding::Path;
use super::finding::Confidence;
use super::placed::Placed;
use super::search::Search;
use crate::store::AssetSet;

/// Values shorter than this occur by chance and are not searched.
pub const MIN_MARKER: usize = 5;

/// How many streams one generation remembers; two generations are kept, so between this and
/// twice this many streams have a memory, of some 200 bytes each.
const GENERATION: usize = 65_536;
/// Memory that all open decoders may hold. Where it would be more, those of the streams that
/// nothing came by for longest are closed.
const MAX_HELD: usize = 192 << 20;

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

/// A marker that was found, and through what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hit {
    /// Which.
    pub id: MarkerId,
    /// The layers around it, outermost first; none where it stood there as it is.
    pub path: Path,
}

impl Hit {
    /// How sure it is.
    pub fn confidence(&self) -> Confidence {
        if self.path == Path::CLEAR { Confidence::Proven } else { Confidence::Derived }
    }
}

/// What was found, each marker once: the way with the fewest layers. Reused from event to event.
#[derive(Debug, Default)]
pub struct Hits {
    all: Vec<Hit>,
    /// What compressed bytes were before, its beginning.
    inside: Vec<u8>,
    /// How many times something was searched, and which time gave that: some bytes are searched in two ways.
    searches: u32,
    search: u32,
}

/// The most that is kept of what was compressed.
const MAX_INSIDE: usize = 64 << 10;

impl Hits {
    /// Nothing was found.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The markers found, each once, sorted by asset.
    pub fn all(&self) -> &[Hit] {
        &self.all
    }

    /// The assets they belong to.
    pub fn assets(&self) -> AssetSet {
        let mut assets = AssetSet::default();
        for hit in &self.all {
            assets.insert(hit.id.asset);
        }
        assets
    }

    /// The assets of which a value stood there as it is.
    pub fn in_clear(&self) -> AssetSet {
        let mut assets = AssetSet::default();
        for hit in self.all.iter().filter(|hit| hit.path == Path::CLEAR) {
            assets.insert(hit.id.asset);
        }
        assets
    }

    /// The markers of one asset.
    pub fn of(&self, asset: usize) -> &[Hit] {
        let start = self.all.partition_point(|hit| hit.id.asset < asset);
        let end = self.all.partition_point(|hit| hit.id.asset <= asset);
        self.all.get(start..end).unwrap_or_default()
    }

    /// Adds one.
    pub fn add(&mut self, hit: Hit) {
        self.all.push(hit);
        self.settle();
    }

    /// Leaves only the hits that `keep` says.
    pub fn retain(&mut self, keep: impl FnMut(&Hit) -> bool) {
        self.all.retain(keep);
    }

    /// Forgets everything, keeping the memory.
    pub fn clear(&mut self) {
        self.all.clear();
        self.inside.clear();
    }

    /// What was compressed, as far as it is kept; nothing where nothing was.
    pub fn inside(&self) -> &[u8] {
        &self.inside
    }

    /// Something is searched.
    pub(super) fn begin(&mut self) {
        self.searches = self.searches.wrapping_add(1);
    }

    /// Keeps what a decompressor gave.
    pub(super) fn unpacked(&mut self, bytes: &[u8]) {
        if self.inside.is_empty() {
            self.search = self.searches;
        } else if self.search != self.searches {
            return;
        }
        let room = MAX_INSIDE.saturating_sub(self.inside.len());
        self.inside.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }

    /// Notes one among many; they are to be settled then.
    pub(super) fn note(&mut self, id: MarkerId, path: Path) {
        let hit = Hit { id, path };
        // Bytes that are one marker over and over are told once.
        if self.all.last() != Some(&hit) {
            self.all.push(hit);
        }
        if self.all.len() >= 4096 {
            self.settle();
        }
    }

    pub(super) fn settle(&mut self) {
        if self.all.len() > 1 {
            self.all.sort_unstable();
            self.all.dedup_by_key(|hit| hit.id);
        }
    }
}

/// A stream, and when something came by it last.
#[derive(Default)]
struct Stream {
    node: Node,
    last: u64,
}

/// Streams by their keys. The subject chooses objects and processes, but sees no hash: the seed is
/// drawn by chance.
type Streams = HashMap<StreamKey, Stream, RandomState>;

/// The search and the streams.
pub struct Matcher {
    search: Search,
    young: Streams,
    old: Streams,
    placed: Placed,
    work: Work,
    /// Memory that open decoders hold.
    held: usize,
    time: u64,
    forgotten: u64,
}

impl std::fmt::Debug for Matcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Matcher").field("markers", &self.search.len()).finish_non_exhaustive()
    }
}

impl Matcher {
    /// A search for the markers of `assets`. Where two have the same value, the first counts.
    pub fn new(assets: &[Asset]) -> Result<Self, Error> {
        Ok(Self {
            search: Search::new(assets)?,
            young: Streams::default(),
            old: Streams::default(),
            placed: Placed::default(),
            work: Work::default(),
            held: 0,
            time: 0,
            forgotten: 0,
        })
    }

    /// How many markers are too short to be searched.
    pub fn too_short(&self) -> usize {
        self.search.too_short
    }

    /// How many streams lost their memory because there were too many.
    pub fn forgotten(&self) -> u64 {
        self.forgotten + self.placed.forgotten
    }

    /// Memory that open decoders hold.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// What was not unpacked to its end.
    pub(super) fn cuts(&self) -> Cuts {
        self.work.cuts
    }

    /// Searches bytes that stand for themselves (a name, an argument vector) and adds to `hits`.
    pub fn scan(&mut self, bytes: &[u8], hits: &mut Hits) {
        if bytes.len() >= MIN_MARKER {
            Node::default().push(bytes, &self.search, &mut self.work, hits);
            hits.settle();
        }
    }

    /// Searches the next bytes of a stream. `whole` is false when more bytes went by than these,
    /// so that what comes next does not follow on them.
    pub fn scan_stream(&mut self, key: StreamKey, bytes: &[u8], whole: bool, hits: &mut Hits) {
        if bytes.is_empty() {
            return;
        }
        self.time += 1;
        self.rejuvenate(key);
        let stream = self.young.entry(key).or_default();
        stream.last = self.time;
        let before = stream.node.weight();
        stream.node.push(bytes, &self.search, &mut self.work, hits);
        if !whole {
            stream.node.gap(&mut self.work);
        }
        self.held = (self.held + stream.node.weight()).saturating_sub(before);
        hits.settle();
        if self.held > MAX_HELD {
            self.close_some();
        }
    }

    /// Searches bytes that are put at a place of a file, in whatever order these come.
    pub fn scan_at(&mut self, key: StreamKey, at: u64, bytes: &[u8], hits: &mut Hits) {
        if !bytes.is_empty() {
            self.placed.scan(key, at, bytes, &self.search, &mut self.work, hits);
            hits.settle();
        }
    }

    /// Says that something begins in the stream with what comes next: a message's body.
    pub fn begin(&mut self, key: StreamKey) {
        if let Some(stream) = self.young.get_mut(&key).or(self.old.get_mut(&key)) {
            stream.node.begin();
        }
    }

    /// Says that nothing more comes of a stream: what is open in it has ended.
    pub fn end(&mut self, key: StreamKey) {
        if let Some(stream) = self.young.get_mut(&key).or(self.old.get_mut(&key)) {
            self.held = self.held.saturating_sub(stream.node.weight());
            stream.node.close();
        }
    }

    /// Makes room, and counts a stream that is used again as young.
    fn rejuvenate(&mut self, key: StreamKey) {
        if self.young.contains_key(&key) {
            return;
        }
        if self.young.len() >= GENERATION {
            self.forgotten += self.old.len() as u64;
            let gone: usize = self.old.values().map(|stream| stream.node.weight()).sum();
            self.held = self.held.saturating_sub(gone);
            self.old = std::mem::take(&mut self.young);
        }
        if let Some(stream) = self.old.remove(&key) {
            self.young.insert(key, stream);
        }
    }

    /// Closes the decoders of that half of the streams that nothing came by for longest.
    fn close_some(&mut self) {
        let open = |streams: &Streams| -> Vec<u64> {
            streams.values().filter(|stream| stream.node.weight() > 0).map(|stream| stream.last).collect()
        };
        let mut times = [open(&self.young), open(&self.old)].concat();
        times.sort_unstable();
        let Some(limit) = times.get(times.len() / 2).copied() else { return };
        for stream in self.young.values_mut().chain(self.old.values_mut()) {
            if stream.node.weight() > 0 && stream.last <= limit {
                self.held = self.held.saturating_sub(stream.node.weight());
                self.work.cuts.memory += u64::from(stream.node.close());
            }
        }
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

    fn clear(asset: usize, marker: usize) -> Hit {
        Hit { id: MarkerId { asset, marker }, path: Path::CLEAR }
    }

    const KEY: StreamKey = (ProcessKey(1), 7, Direction::Out);

    #[test]
    fn overlapping_values_are_all_found_and_short_ones_counted() {
        let (mut matcher, mut hits) = (matcher(), Hits::default());
        assert_eq!(matcher.too_short(), 1);
        matcher.scan(b"four x anna.berg@example.com AKIA77 AKIA77", &mut hits);
        assert_eq!(hits.all().len(), 3);
        assert_eq!(hits.of(0), [clear(0, 0)]);
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
                    found.all.extend(hits.all());
                }
                assert!(found.all.contains(&clear(0, 0)), "{first} {second}");
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
        assert_eq!(hits.all().len(), 1, "the control: the same stream goes on");
        hits.clear();
        matcher.scan_stream(KEY, b"A77", true, &mut hits);
        assert!(hits.is_empty(), "a value is found once");
    }

    #[test]
    fn what_has_ended_holds_nothing() {
        let mut matcher = matcher();
        let packed = zstd::encode_all(&b"whatever"[..], 3).expect("memory");
        matcher.scan_stream(KEY, &packed[..packed.len() - 2], true, &mut Hits::default());
        assert!(matcher.held() > 0);
        matcher.end(KEY);
        assert_eq!(matcher.held(), 0);
    }

    #[test]
    fn memory_is_bounded() {
        let mut matcher = matcher();
        for process in 0..300_000 {
            matcher.scan_stream((ProcessKey(process), 0, Direction::In), b"AKIA", true, &mut Hits::default());
        }
        assert!(matcher.young.len() <= GENERATION && matcher.old.len() <= GENERATION);
        assert!(matcher.forgotten() >= 300_000 - 2 * GENERATION as u64);
    }

    #[test]
    fn no_markers_find_nothing() {
        let mut matcher = Matcher::new(&[]).expect("empty");
        let mut hits = Hits::default();
        matcher.scan_stream(KEY, b"anything at all", true, &mut hits);
        assert!(hits.is_empty());
    }
}
