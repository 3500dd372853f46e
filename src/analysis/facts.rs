//! What can be said of an object by its name alone, said once: which assets it is, what kind of
//! place, under which number lineage and streams follow it. The same few names come with nearly
//! every event, and saying this anew would cost more than all else that is done with one.
//!
//! A small table of the last names, each at the place that the object's address gives it. Only a
//! hint: what counts is that kind and name are the same, byte by byte.

use belljar_sandbox::event::ObjectKind;

use super::detectors::{self, Detector};
use super::place::{AssetPaths, Hasher, Place, place, split_port};
use crate::store::{AssetSet, Object};

/// Names kept.
const NAMES: usize = 2048;
/// Longest name kept: with [`NAMES`], a megabyte at most.
const MAX_NAME: usize = 512;

/// What an object's name says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    /// The assets that it is (part of).
    pub(super) own: AssetSet,
    /// What kind of place it is.
    pub(super) place: Place,
    /// Its number among streams.
    pub(super) stream: u64,
    /// The number under which lineage follows it. Local connections are followed by port: their
    /// two ends have different names.
    pub(super) flow: u64,
    /// What writing there is an attempt at.
    pub(super) detector: Option<&'static Detector>,
}

impl Facts {
    fn new(object: &Object, paths: &AssetPaths, hasher: &Hasher) -> Self {
        let stream = hasher.object(object);
        Self {
            own: paths.of(Some(object)),
            place: place(object),
            stream,
            flow: flow(object, hasher, stream),
            detector: detectors::by_place(&object.name),
        }
    }
}

/// The number under which lineage follows the object; `stream` is its number among streams.
pub(super) fn flow(object: &Object, hasher: &Hasher, stream: u64) -> u64 {
    match (object.kind, split_port(&object.name).1) {
        (ObjectKind::Tcp | ObjectKind::Udp, Some(port)) => hasher.any((object.kind as u8, port)),
        _ => stream,
    }
}

/// The last names and what they say.
#[derive(Debug)]
pub(super) struct Known {
    kept: Vec<Option<(Object, Facts)>>,
}

impl Default for Known {
    fn default() -> Self {
        Self { kept: (0..NAMES).map(|_| None).collect() }
    }
}

impl Known {
    /// What the object's name says.
    pub(super) fn of(&mut self, object: &Object, paths: &AssetPaths, hasher: &Hasher) -> Facts {
        // Objects are two words and reference counts long: the lowest bits say nothing.
        let place = (std::ptr::from_ref(object).addr() >> 5) % NAMES;
        let Some(kept) = self.kept.get_mut(place) else { return Facts::new(object, paths, hasher) };
        if let Some((known, facts)) = kept
            && known == object
        {
            return *facts;
        }
        let facts = Facts::new(object, paths, hasher);
        if object.name.len() <= MAX_NAME {
            *kept = Some((object.clone(), facts));
        }
        facts
    }
}
