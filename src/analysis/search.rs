//! What is searched in every stream: the markers as they are, and their disguises that can be
//! written down beforehand.

use std::sync::{Arc, LazyLock};

use belljar_sandbox::decoy::Asset;

use super::automaton::{Automaton, State};
use super::encoding::Path;
use super::matcher::{Error, MIN_MARKER, MarkerId};
use super::patterns;
use super::windows::{Builder, Index};
use crate::store::AssetSet;

/// Bytes of a stream that are kept: what a pattern may have begun in.
const KEPT: usize = patterns::LONGEST - 1;

/// What is kept of a stream to find what is split over its pieces.
#[derive(Clone)]
pub(super) struct Trace {
    state: State,
    length: u8,
    bytes: [u8; KEPT],
}

impl Default for Trace {
    fn default() -> Self {
        Self { state: State::START, length: 0, bytes: [0; KEPT] }
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

/// The disguises, and whose each is.
struct Disguises {
    index: Index,
    owners: Vec<(MarkerId, Path)>,
}

impl Disguises {
    fn new(values: &[(Vec<u8>, MarkerId)]) -> Self {
        let mut builder = Builder::default();
        let mut owners = Vec::new();
        for (value, id) in values {
            patterns::of(value, |pattern, compare, path| {
                builder.add(pattern, compare);
                owners.push((*id, path));
            });
        }
        Self { index: builder.build(), owners }
    }
}

/// Made in a thread of their own: some ten thousand digests are not to be waited for at start-up.
type Later = LazyLock<Disguises, Box<dyn FnOnce() -> Disguises + Send>>;

/// Everything that is searched.
pub(super) struct Search {
    plain: Option<Automaton>,
    plain_owners: Vec<MarkerId>,
    disguises: Arc<Later>,
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
        let texts: Vec<&[u8]> = values.iter().map(|(value, _)| *value).collect();
        let plain = if texts.is_empty() { None } else { Some(Automaton::new(&texts).ok_or(Error)?) };
        let plain_owners = values.iter().map(|(_, id)| *id).collect();
        let values: Vec<(Vec<u8>, MarkerId)> = values.iter().map(|(value, id)| (value.to_vec(), *id)).collect();
        let disguises: Arc<Later> = Arc::new(LazyLock::new(Box::new(move || Disguises::new(&values))));
        let maker = Arc::clone(&disguises);
        // Where there is no thread to be had, they are made when they are first needed.
        let _ = std::thread::Builder::new().name("disguises".into()).spawn(move || {
            LazyLock::force(&maker);
        });
        Ok(Self { plain, plain_owners, disguises, too_short })
    }

    /// How many values are searched.
    pub(super) fn len(&self) -> usize {
        self.plain_owners.len()
    }

    /// Searches the next bytes of a stream, which are then to be [kept](Trace::keep). `found` is
    /// told whose value ends in them, and through what it was seen.
    pub(super) fn advance(&self, trace: &mut Trace, bytes: &[u8], mut found: impl FnMut(MarkerId, Path)) {
        if let Some(plain) = &self.plain {
            trace.state = plain.scan(trace.state, bytes, |value| {
                if let Some(id) = self.plain_owners.get(value) {
                    found(*id, Path::CLEAR);
                }
            });
        }
        let disguises = &**self.disguises;
        let mut tell = |pattern: usize| {
            if let Some((id, path)) = disguises.owners.get(pattern) {
                found(*id, *path);
            }
        };
        let before = trace.last(disguises.index.longest().saturating_sub(1));
        if !before.is_empty() {
            let mut joined = [0; 2 * KEPT];
            let head = bytes.get(..KEPT).unwrap_or(bytes);
            for (to, from) in joined.iter_mut().zip(before.iter().chain(head)) {
                *to = *from;
            }
            let joined = joined.get(..before.len() + head.len()).unwrap_or_default();
            disguises.index.scan(joined, |pattern, start, end| {
                if start < before.len() && end > before.len() {
                    tell(pattern);
                }
            });
        }
        disguises.index.scan(bytes, |pattern, _, _| tell(pattern));
    }
}
