//! Searches the payloads of events as what they are: parts of streams, or pieces of a file at their places.

use belljar_sandbox::event::{Abi, Kind, ObjectKind};

use super::matcher::{Direction, Hits};
use super::place::Place;
use super::salts::Salts;
use super::sealed::is_sealed;
use super::{Analysis, sealed};
use crate::store::{AssetSet, Object, Record};

impl Analysis {
    /// Searches the payload as the next part of a stream.
    pub(super) fn search(&mut self, record: &Record<'_>, object: Option<&Object>, direction: Direction) -> Hits {
        let mut hits = self.none();
        let at_end = direction == Direction::In && record.result == Some(0);
        if !record.payload.is_empty() || at_end {
            let process = record.process.map(|process| process.key).unwrap_or_default();
            // The bytes of a connection, and what they mean, are two streams.
            let in_clear = u64::from(matches!(record.kind, Kind::Plaintext { .. }));
            let facts = object.map(|object| self.facts(object));
            let key = (process, facts.map_or(0, |facts| facts.stream) ^ in_clear, direction);
            let leaves = direction == Direction::Out && facts.is_some_and(|facts| facts.place == Place::Remote);
            let is_tcp = object.is_some_and(|object| object.kind == ObjectKind::Tcp);
            if leaves && is_tcp && self.gateway.any && is_sealed(record.payload) {
                // What goes before it and behind it is not one.
                let head = record.payload.get(..sealed::HEAD_LENGTH).unwrap_or(record.payload);
                self.matcher.scan_stream(key, head, false, &mut hits);
                return hits;
            }
            if at_end {
                self.matcher.end(key);
                return hits;
            }
            if let Some(at) = placed_at(record) {
                self.matcher.scan_at(key, at, record.payload, &mut hits);
            } else {
                let whole = !self.is_cut(record, direction);
                self.matcher.scan_stream(key, record.payload, whole, &mut hits);
            }
            self.try_salts(record, direction, &mut hits);
        }
        hits
    }

    /// Tries what looks like digests with salts that the process had before, and remembers the payload.
    pub(super) fn try_salts(&mut self, record: &Record<'_>, direction: Direction, hits: &mut Hits) {
        let Some(process) = record.process.map(|process| process.key) else { return };
        let sends = direction == Direction::Out;
        let held = if sends { self.lineage.reach_assets(process) } else { AssetSet::default() };
        if held.0 != 0 && Salts::may_hold(record.payload) {
            self.salts.search(process, record.payload, held, &self.assets, hits);
            hits.settle();
        }
        self.salts.note(process, direction, record.payload);
    }

    /// Whether fewer bytes were looked at than moved. Of a read only the room for it is known
    /// before its result is: there, what was captured is all that came, unless it fills the
    /// limit. (Reads of what is no client data are not captured, nor counted.)
    pub(super) fn is_cut(&self, record: &Record<'_>, direction: Direction) -> bool {
        let seen = record.payload.len() as u64;
        match direction {
            Direction::Out => record.payload_len > seen.max(self.captured),
            Direction::In => {
                let moved = record.result.and_then(|result| u64::try_from(result).ok());
                moved.unwrap_or(record.payload_len) > seen && seen >= self.captured.max(1)
            }
        }
    }

    /// The reused, emptied list of hits; to be put back.
    pub(super) fn none(&mut self) -> Hits {
        let mut hits = std::mem::take(&mut self.hits);
        hits.clear();
        hits
    }
}

/// Where in a file a call puts its bytes, if it says so: `pwrite64`, `pwritev` (pwrite(2), readv(2)) have the offset
/// fourth. That of `pwritev2` may be -1, for where the file stands.
fn placed_at(record: &Record<'_>) -> Option<u64> {
    let placed = matches!(record.call?.name, "pwrite64" | "pwritev" | "pwritev2");
    Some(record.args[3])
        .filter(|at| placed && matches!(record.kind, Kind::Call { abi: Abi::X86_64, .. }) && *at != u64::MAX)
}
