//! What is searched in every stream: the markers as they are, and their disguises that can be
//! written down beforehand; in one index, but for markers of less than eight bytes.

use std::sync::{Arc, LazyLock};

use aho_corasick::automaton::{Automaton as _, StateID};
use aho_corasick::{Anchored, dfa::DFA};
use belljar_sandbox::decoy::Asset;

use super::encoding::Path;
use super::matcher::{Error, MIN_MARKER, MarkerId};
use super::patterns::{self, Compare, LONGEST, SHORTEST};
use super::windows::{Builder, Index};
use crate::store::AssetSet;

/// Bytes of a stream that are kept: what a pattern may have begun in.
pub(super) const KEPT: usize = LONGEST - 1;

/// Pieces up to this length are copied behind what is kept, and searched in one.
const SHORT: usize = 1024;

/// What is kept of a stream to find what is split over its pieces.
#[derive(Clone)]
pub(super) struct Trace {
    /// What has been seen of the short values.
    state: Option<StateID>,
    /// What is kept ends in the beginning of a pattern.
    begun: bool,
    length: u8,
    bytes: [u8; KEPT],
}

impl Default for Trace {
    fn default() -> Self {
        Self { state: None, begun: false, length: 0, bytes: [0; KEPT] }
    }
}

impl Trace {
    /// The bytes kept.
    pub(super) fn all(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }

    /// The last `count` of them, or all.
    pub(super) fn last(&self, count: usize) -> &[u8] {
        let all = self.all();
        all.get(all.len().saturating_sub(count)..).unwrap_or_default()
    }

    /// Keeps what came.
    pub(super) fn keep(&mut self, bytes: &[u8]) {
        let bytes = bytes.get(bytes.len().saturating_sub(KEPT)..).unwrap_or_default();
        let stay = usize::from(self.length).min(KEPT - bytes.len());
        let from = usize::from(self.length) - stay;
        self.bytes.copy_within(from..from + stay, 0);
        if let Some(room) = self.bytes.get_mut(stay..stay + bytes.len()) {
            room.copy_from_slice(bytes);
        }
        self.length = (stay + bytes.len()) as u8;
    }
}

/// What is searched by its windows, and whose each is: values, and disguises of all.
struct Patterns {
    index: Index,
    owners: Vec<(MarkerId, Path)>,
}

impl Patterns {
    fn new(values: &[(Vec<u8>, MarkerId)]) -> Self {
        let mut builder = Builder::default();
        let mut owners = Vec::new();
        for (value, id) in values {
            let mut add = |pattern: &[u8], compare, path| {
                builder.add(pattern, compare);
                owners.push((*id, path));
            };
            if !is_short(value) {
                add(value.get(..LONGEST).unwrap_or(value), Compare::Bytes, Path::CLEAR);
            }
            patterns::of(value, add);
        }
        Self { index: builder.build(), owners }
    }
}

/// Whether a value has no room for windows.
fn is_short(value: &[u8]) -> bool {
    value.len() < SHORTEST
}

/// Values that are short.
struct Short {
    automaton: DFA,
    owners: Vec<MarkerId>,
}

impl Short {
    fn new(values: &[(&[u8], MarkerId)]) -> Result<Option<Self>, Error> {
        let (texts, owners): (Vec<&[u8]>, Vec<MarkerId>) =
            values.iter().filter(|(value, _)| is_short(value)).copied().unzip();
        if texts.is_empty() {
            return Ok(None);
        }
        Ok(Some(Self { automaton: DFA::new(&texts).map_err(|_| Error)?, owners }))
    }

    /// The state after these bytes; `found` is told of every value that ends in them.
    fn advance(&self, state: Option<StateID>, bytes: &[u8], mut found: impl FnMut(MarkerId)) -> Option<StateID> {
        // It has been built for searches that begin anywhere.
        let mut state = state.or_else(|| self.automaton.start_state(Anchored::No).ok())?;
        for byte in bytes {
            state = self.automaton.next_state(Anchored::No, state, *byte);
            if self.automaton.is_match(state) {
                for nth in 0..self.automaton.match_len(state) {
                    if let Some(id) = self.owners.get(self.automaton.match_pattern(state, nth).as_usize()) {
                        found(*id);
                    }
                }
            }
        }
        Some(state)
    }
}

/// Made in a thread of their own: some ten thousand digests are not to be waited for at start-up.
type Later = LazyLock<Patterns, Box<dyn FnOnce() -> Patterns + Send>>;

/// Everything that is searched.
pub(super) struct Search {
    short: Option<Short>,
    patterns: Arc<Later>,
    count: usize,
    pub(super) too_short: usize,
}

impl Search {
    /// For the markers of `assets`. Where two have the same value, the first counts.
    pub(super) fn new(assets: &[Asset]) -> Result<Self, Error> {
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
        let short = Short::new(&values)?;
        let values: Vec<(Vec<u8>, MarkerId)> = values.iter().map(|(value, id)| (value.to_vec(), *id)).collect();
        let count = values.len();
        let patterns: Arc<Later> = Arc::new(LazyLock::new(Box::new(move || Patterns::new(&values))));
        let maker = Arc::clone(&patterns);
        // Where there is no thread to be had, they are made when they are first needed.
        let _ = std::thread::Builder::new().name("patterns".into()).spawn(move || {
            LazyLock::force(&maker);
        });
        Ok(Self { short, patterns, count, too_short })
    }

    /// How many values are searched.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Searches the next bytes of a stream, which are then to be [kept](Trace::keep). `found` is
    /// told whose value ends in them, and through what it was seen.
    pub(super) fn advance(&self, trace: &mut Trace, bytes: &[u8], mut found: impl FnMut(MarkerId, Path)) {
        if let Some(short) = &self.short {
            trace.state = short.advance(trace.state, bytes, |id| found(id, Path::CLEAR));
        }
        let patterns = &**self.patterns;
        let mut tell = |pattern: usize| {
            if let Some((id, path)) = patterns.owners.get(pattern) {
                found(*id, *path);
            }
        };
        let before = trace.all();
        let mut begun = false;
        if !before.is_empty() || bytes.len() <= SHORT {
            let mut joined = [0; KEPT + SHORT];
            let short = bytes.len() <= SHORT;
            let head = if short { bytes } else { bytes.get(..KEPT).unwrap_or(bytes) };
            for (to, from) in [(0, before), (before.len(), head)] {
                if let Some(room) = joined.get_mut(to..to + from.len()) {
                    room.copy_from_slice(from);
                }
            }
            let joined = joined.get(..before.len() + head.len()).unwrap_or_default();
            // What lies before and ends there was seen to end there.
            let from = if trace.begun { 0 } else { before.len().saturating_sub(SHORTEST - 1) };
            begun = patterns.index.scan(joined, from, |pattern, start, end| {
                if end > before.len() && (short || start < before.len()) {
                    tell(pattern);
                }
            });
        }
        if bytes.len() > SHORT {
            begun = patterns.index.scan(bytes, 0, |pattern, _, _| tell(pattern));
        }
        trace.begun = begun;
    }

    /// Searches the same bytes half a byte later: where hexadecimal digits began with an odd one.
    pub(super) fn between(&self, trace: &Trace, bytes: &[u8], mut found: impl FnMut(MarkerId, Path)) {
        let patterns = &**self.patterns;
        let before = trace.all();
        let all = before.iter().chain(bytes);
        let shifted: Vec<u8> = all.clone().zip(all.skip(1)).map(|(high, low)| high << 4 | low >> 4).collect();
        let known = before.len().saturating_sub(1);
        patterns.index.scan(&shifted, 0, |pattern, _, end| {
            if let Some((id, path)) = patterns.owners.get(pattern).filter(|_| end > known) {
                found(*id, *path);
            }
        });
    }
}
