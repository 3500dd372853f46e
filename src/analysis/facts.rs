//! What can be said of an object by its name alone, said once: which assets it is, what kind of
//! place, under which number lineage and streams follow it. The same few names come with nearly
//! every event, and saying this anew would cost more than all else that is done with one.
//!
//! A small table of the last names, each at the place that the object's address gives it. Only a
//! hint: what counts is that kind and name are the same, byte by byte.

use belljar_sandbox::event::ObjectKind;

use super::detectors::Detectors;
use super::place::{AssetPaths, Hasher, Place, place, split_port};
use crate::store::{AssetSet, Object};

/// Names kept: what a search through a file system of usual size comes by.
const NAMES_BITS: u32 = 14;
const NAMES: usize = 1 << NAMES_BITS;
/// Longest name kept: with [`NAMES`], four megabytes at most.
const MAX_NAME: usize = 256;

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
    /// Whether some detector asks for such a name.
    pub(super) watched: bool,
}

impl Facts {
    fn new(object: &Object, paths: &AssetPaths, detectors: &Detectors, hasher: &Hasher) -> Self {
        let stream = hasher.object(object);
        Self {
            own: paths.of(Some(object)),
            place: place(object),
            stream,
            flow: flow(object, hasher, stream),
            watched: detectors.watches(&object.name),
        }
    }
}

/// The number under which lineage follows the object; `stream` is its number among streams.
pub(super) fn flow(object: &Object, hasher: &Hasher, stream: u64) -> u64 {
    let port = match object.kind {
        ObjectKind::Tcp | ObjectKind::Udp => split_port(&object.name).1,
        _ => None,
    };
    port.map_or(stream, |port| hasher.any((object.kind as u8, port)))
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
    pub(super) fn of(&mut self, object: &Object, paths: &AssetPaths, detectors: &Detectors, hasher: &Hasher) -> Facts {
        // Addresses are multiples of a few lengths: spread by multiplication (as in `automaton`).
        let spread = (std::ptr::from_ref(object).addr() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let place = (spread >> (64 - NAMES_BITS)) as usize;
        let Some(kept) = self.kept.get_mut(place) else { return Facts::new(object, paths, detectors, hasher) };
        if let Some((known, facts)) = kept
            && known == object
        {
            return *facts;
        }
        let facts = Facts::new(object, paths, detectors, hasher);
        if object.name.len() <= MAX_NAME {
            *kept = Some((object.clone(), facts));
        }
        facts
    }
}
