//! Bytes that are put at places of a file, in any order: what is put together at the end is searched
//! as if it had come in one piece.
//!
//! Each stretch that has been written without a hole is a stream of its own. What is written at
//! its end continues it; where two stretches meet, the beginning of the second is searched behind
//! the first.

use std::collections::{BTreeMap, HashMap};

use foldhash::fast::RandomState;

use super::decode::{Node, Work};
use super::matcher::{Hits, StreamKey};
use super::search::Search;

/// First bytes of a stretch that are kept: more than any pattern has.
const HEAD: usize = 128;
/// Stretches of all files together; beyond, all are forgotten and begun anew.
const MAX_STRETCHES: usize = 65_536;

#[derive(Default)]
struct Stretch {
    end: u64,
    head: Vec<u8>,
    node: Node,
}

impl Stretch {
    fn push(&mut self, bytes: &[u8], search: &Search, work: &mut Work, hits: &mut Hits) {
        let room = HEAD - self.head.len().min(HEAD);
        self.head.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        self.end += bytes.len() as u64;
        self.node.push(bytes, search, work, hits);
        // Memory for decoders is for streams that come in order.
        self.node.close();
    }
}

/// The stretches of each file.
#[derive(Default)]
pub(super) struct Placed {
    files: HashMap<StreamKey, BTreeMap<u64, Stretch>, RandomState>,
    stretches: usize,
    /// Files whose stretches were forgotten because there were too many.
    pub(super) forgotten: u64,
}

impl Placed {
    /// Searches bytes put at `at`.
    pub(super) fn scan(
        &mut self,
        key: StreamKey,
        at: u64,
        bytes: &[u8],
        search: &Search,
        work: &mut Work,
        hits: &mut Hits,
    ) {
        if self.stretches >= MAX_STRETCHES {
            self.forgotten += self.files.len() as u64;
            self.files.clear();
            self.stretches = 0;
        }
        let file = self.files.entry(key).or_default();
        let before = file.len();
        let left = file.range(..=at).next_back().filter(|(_, stretch)| stretch.end == at).map(|(start, _)| *start);
        let start = left.unwrap_or(at);
        let mut stretch = file.remove(&start).filter(|_| left.is_some()).unwrap_or_default();
        stretch.end = at;
        stretch.push(bytes, search, work, hits);
        if let Some(right) = file.remove(&stretch.end) {
            let end = right.end;
            stretch.push(&right.head, search, work, hits);
            // Its own end is known only where it is longer than what is kept of its beginning.
            if right.head.len() >= HEAD {
                stretch.node = right.node;
            }
            stretch.end = end;
        }
        file.insert(start, stretch);
        self.stretches = (self.stretches + file.len()).saturating_sub(before);
    }
}

#[cfg(test)]
mod tests {
    use super::super::matcher::{Direction, Matcher};
    use super::*;
    use belljar_sandbox::decoy::{Asset, Marker};
    use belljar_sandbox::event::ProcessKey;
    use proptest::prelude::*;

    const VALUE: &[u8] = b"anna.berg4711@example.com";
    const KEY: StreamKey = (ProcessKey(1), 7, Direction::Out);

    fn matcher() -> Matcher {
        let markers = vec![Marker { name: String::new(), value: VALUE.to_vec() }];
        let (name, class) = ("a".into(), "identity".into());
        Matcher::new(&[Asset { name, class, paths: Vec::new(), variables: Vec::new(), markers }]).expect("one")
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn found_in_whatever_order_it_is_written(
            order in Just((0..300_u64).collect::<Vec<_>>()).prop_shuffle(),
            size in 1..40_usize,
            at in 0..270_usize,
            hex in any::<bool>(),
        ) {
            let value = if hex { data_encoding::HEXLOWER.encode(VALUE).into_bytes() } else { VALUE.to_vec() };
            let mut file = vec![b'-'; 300 + value.len()];
            file.splice(at..at + value.len(), value.iter().copied());
            let (mut matcher, mut hits) = (matcher(), Hits::default());
            let parts: Vec<&[u8]> = file.chunks(size).collect();
            for n in order {
                if let Some(part) = parts.get(n as usize) {
                    matcher.scan_at(KEY, n * size as u64, part, &mut hits);
                }
            }
            for (n, part) in parts.iter().enumerate().skip(300) {
                matcher.scan_at(KEY, (n * size) as u64, part, &mut hits);
            }
            prop_assert_eq!(hits.all().len(), 1);
        }
    }

    #[test]
    fn a_hole_joins_nothing_and_memory_is_bounded() {
        let (mut matcher, mut hits) = (matcher(), Hits::default());
        let (head, tail) = VALUE.split_at(9);
        matcher.scan_at(KEY, 0, head, &mut hits);
        matcher.scan_at(KEY, 10, tail, &mut hits);
        assert!(hits.is_empty());
        for n in 0..2 * MAX_STRETCHES as u64 {
            matcher.scan_at(KEY, 100 + 2 * n, b"x", &mut hits);
        }
        assert!(matcher.forgotten() > 0);
        matcher.scan_at(KEY, 0, head, &mut hits);
        matcher.scan_at(KEY, 9, tail, &mut hits);
        assert_eq!(hits.all().len(), 1, "the control");
    }
}
