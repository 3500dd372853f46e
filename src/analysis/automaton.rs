//! Which of many values stand in bytes that come piece by piece: an Aho-Corasick automaton with a
//! filter before it.
//!
//! What passes through a session is hardly ever a marker, so nearly all of it is only asked one
//! question: are these the first four bytes of any, or the four behind its first? A table of bits
//! answers, so every other place is looked at; the
//! automaton walks only from where the answer is yes, until it holds
//! fewer than four bytes of anything again. Hostile bytes that are all beginnings cost the
//! automaton's own speed, never more. The automaton's state is a number: all that must be kept of
//! a stream for a value that is split over any number of pieces to be found. Libraries were
//! measured (`benches/README.md`); none that searches as fast gives its state away.

/// Bytes that the filter looks at. Values must be longer.
const GRAM: usize = 4;
/// Bits of the filter's index: 16 KiB, which stay in the processor's first cache.
const FILTER_BITS: u32 = 17;
const FILTER_WORDS: usize = 1 << (FILTER_BITS - 6);
/// No value.
const NONE: u32 = u32::MAX;

/// What has been seen of the values at some point of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct State(u32);

impl State {
    /// Nothing of any value.
    pub(super) const START: Self = Self(0);
}

/// One node: some first bytes of at least one value.
#[derive(Debug)]
struct Node {
    /// Its edges, in [`Automaton::edges`].
    first: u32,
    count: u32,
    /// The node of the longest proper end of these bytes that is one.
    fail: u32,
    /// The value that these bytes are, or `NONE`.
    value: u32,
    /// The nearest node along `fail`, this one included, that is a value; or `NONE`.
    report: u32,
    /// How many bytes.
    depth: u32,
}

/// An automaton for a list of values.
pub(super) struct Automaton {
    nodes: Vec<Node>,
    edges: Vec<(u8, u32)>,
    root: [u32; 256],
    filter: Box<[u64; FILTER_WORDS]>,
}

impl Automaton {
    /// For these values, which must be sorted, distinct and longer than four bytes. `None` when
    /// they are not, or are so many that they cannot be numbered.
    pub(super) fn new(values: &[&[u8]]) -> Option<Self> {
        let total: usize = values.iter().map(|value| value.len()).sum();
        let wrong = values.iter().any(|value| value.len() <= GRAM) || !values.is_sorted_by(|a, b| a < b);
        if wrong || total >= NONE as usize {
            return None;
        }
        let mut filter = Box::new([0; FILTER_WORDS]);
        let grams =
            values.iter().flat_map(|value| [value.first_chunk::<GRAM>(), value.get(1..).and_then(<[u8]>::first_chunk)]);
        for gram in grams.flatten() {
            let (word, bit) = place(u32::from_le_bytes(*gram));
            filter[word] |= 1 << bit;
        }
        let mut automaton = Self { nodes: Vec::new(), edges: Vec::new(), root: [0; 256], filter };
        automaton.grow(values);
        automaton.link();
        Some(automaton)
    }

    /// Makes the nodes, shortest first, so that a node's `fail` always has a smaller number.
    fn grow(&mut self, values: &[&[u8]]) {
        let node = |depth| Node { first: 0, count: 0, fail: 0, value: NONE, report: NONE, depth };
        // The values that begin with the bytes of the node of the same number.
        let mut shared = vec![(0, values.len())];
        self.nodes.push(node(0));
        let mut at = 0;
        while let Some((mut low, high)) = shared.get(at).copied() {
            let depth = self.nodes.get(at).map_or(0, |node| node.depth);
            let byte = |index: usize| values.get(index).and_then(|value| value.get(depth as usize)).copied();
            let first = self.edges.len() as u32;
            let mut value = NONE;
            while low < high {
                let Some(next) = byte(low) else {
                    // Sorted, the value that ends here comes first.
                    value = low as u32;
                    low += 1;
                    continue;
                };
                let end = (low..high).find(|index| byte(*index) != Some(next)).unwrap_or(high);
                self.edges.push((next, self.nodes.len() as u32));
                self.nodes.push(node(depth + 1));
                shared.push((low, end));
                low = end;
            }
            let count = self.edges.len() as u32 - first;
            if let Some(node) = self.nodes.get_mut(at) {
                (node.first, node.count, node.value) = (first, count, value);
            }
            at += 1;
        }
    }

    /// Finds where to go on from each node when its bytes turn out to be no value's.
    fn link(&mut self) {
        for (byte, to) in edges(&self.edges, self.nodes.first()) {
            self.root[usize::from(*byte)] = *to;
        }
        for at in 0..self.nodes.len() {
            let Some(Node { fail, value, first, count, .. }) = self.nodes.get(at) else { return };
            let (fail, first, count) = (*fail, *first as usize, *count as usize);
            let report =
                if *value == NONE { self.nodes.get(fail as usize).map_or(NONE, |node| node.report) } else { at as u32 };
            if let Some(node) = self.nodes.get_mut(at) {
                node.report = report;
            }
            for edge in first..first + count {
                let Some((byte, to)) = self.edges.get(edge).copied() else { return };
                let next = if at == 0 { 0 } else { self.step(fail, byte) };
                if let Some(node) = self.nodes.get_mut(to as usize) {
                    node.fail = next;
                }
            }
        }
    }

    /// The node after one more byte.
    fn step(&self, mut at: u32, byte: u8) -> u32 {
        while at != 0 {
            let Some(node) = self.nodes.get(at as usize) else { break };
            if let Some((_, to)) = edges(&self.edges, Some(node)).iter().find(|(known, _)| *known == byte) {
                return *to;
            }
            at = node.fail;
        }
        self.root[usize::from(byte)]
    }

    fn depth(&self, at: u32) -> usize {
        self.nodes.get(at as usize).map_or(0, |node| node.depth as usize)
    }

    /// Tells of the values that end at this node.
    fn tell(&self, at: u32, found: &mut impl FnMut(usize)) {
        let mut next = self.nodes.get(at as usize).map_or(NONE, |node| node.report);
        while let Some(node) = self.nodes.get(next as usize) {
            found(node.value as usize);
            next = self.nodes.get(node.fail as usize).map_or(NONE, |node| node.report);
        }
    }

    /// Takes the next bytes of a stream; `found` is told the index of every value that ends in
    /// them, overlapping ones too.
    pub(super) fn scan(&self, state: State, bytes: &[u8], mut found: impl FnMut(usize)) -> State {
        let mut node = state.0;
        let mut at = 0;
        // Up to here the automaton walks whatever it holds: a beginning is to be looked at, or
        // too little is left for the filter.
        let mut until = 0;
        while let Some(byte) = bytes.get(at) {
            let held = self.depth(node);
            // What is held began before these bytes, or is as long as the filter sees: go on.
            if at < until || held > at || held >= GRAM {
                node = self.step(node, *byte);
                at += 1;
                self.tell(node, &mut found);
                continue;
            }
            // Nothing that began before `at - held` can still become a value.
            node = 0;
            // The last four bytes may be the beginning of one all the same.
            let last = (at - held).max(bytes.len().saturating_sub(GRAM));
            let found = candidate(&self.filter, bytes, at - held);
            (at, until) = found.map_or((last, bytes.len()), |at| (at, at + GRAM + 1));
        }
        State(node)
    }
}

fn edges<'e>(all: &'e [(u8, u32)], node: Option<&Node>) -> &'e [(u8, u32)] {
    node.and_then(|node| all.get(node.first as usize..(node.first + node.count) as usize)).unwrap_or_default()
}

/// The next place from `from` on where a value may begin, five bytes before the end at most. A
/// function of its own: inside another its few variables do not stay in registers, and every byte
/// waits for one to be stored and loaded again.
#[inline(never)]
fn candidate(filter: &[u64; FILTER_WORDS], bytes: &[u8], from: usize) -> Option<usize> {
    let begins = |gram: u32| {
        let (word, bit) = place(gram);
        filter[word] >> bit & 1
    };
    let mut at = from;
    // What is found may be a value's first bytes, or those behind its first.
    let first = |found: usize| Some(found.saturating_sub(1).max(from));
    // Three places out of one load.
    while let Some(next) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let next = u64::from_le_bytes(*next);
        let [a, b, c] = [0, 16, 32].map(|shift| begins((next >> shift) as u32));
        let found = a | b << 2 | c << 4;
        if found != 0 {
            return first(at + found.trailing_zeros() as usize);
        }
        at += 6;
    }
    let mut rest = bytes.get(at..)?.windows(GRAM).step_by(2);
    let found = rest.position(|gram| gram.first_chunk().is_some_and(|gram| begins(u32::from_le_bytes(*gram)) != 0))?;
    first(at + 2 * found)
}

/// Word and bit of the filter that stand for four bytes. Multiplicative hashing (Knuth, The Art of
/// Computer Programming 3, 6.4).
fn place(gram: u32) -> (usize, u32) {
    let index = gram.wrapping_mul(0x9e37_79b1) >> (32 - FILTER_BITS);
    ((index >> 6) as usize % FILTER_WORDS, index & 63)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    /// What a search by hand finds: end and value.
    fn by_hand(values: &[&[u8]], bytes: &[u8]) -> Vec<(usize, usize)> {
        let mut all: Vec<_> = (0..values.len())
            .flat_map(|value| (0..=bytes.len()).map(move |end| (end, value)))
            .filter(|(end, value)| bytes[..*end].ends_with(values[*value]))
            .collect();
        all.sort_unstable();
        all
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn finds_what_a_search_by_hand_finds(
            values in vec(vec(b'a'..b'd', 5..9), 1..12),
            pieces in vec(vec(b'a'..b'd', 0..24), 0..8),
        ) {
            let mut values: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
            values.sort_unstable();
            values.dedup();
            let automaton = Automaton::new(&values).expect("sorted");
            let (mut state, mut found, mut before) = (State::START, Vec::new(), 0);
            for piece in &pieces {
                let mut ended = Vec::new();
                state = automaton.scan(state, piece, |value| ended.push(value));
                before += piece.len();
                found.push((before, ended));
            }
            let whole = pieces.concat();
            let expected = by_hand(&values, &whole);
            let mut from = 0;
            for (to, mut ended) in found {
                let mut here: Vec<_> =
                    expected.iter().filter(|(end, _)| *end > from && *end <= to).map(|(_, value)| *value).collect();
                ended.sort_unstable();
                here.sort_unstable();
                prop_assert_eq!(ended, here);
                from = to;
            }
        }
    }

    #[test]
    fn what_cannot_be_searched_is_refused() {
        assert!(Automaton::new(&[b"four"]).is_none());
        assert!(Automaton::new(&[b"zebra", b"apple"]).is_none());
        assert!(Automaton::new(&[b"apple", b"apple"]).is_none());
        assert!(Automaton::new(&[b"apple", b"zebra"]).is_some(), "the control");
    }
}
