//! Finds any of some ten thousand patterns in bytes, looking at every fourth place only.
//!
//! Eight bytes of each pattern, its zone, are known by the four windows of five bytes in them.
//! Wherever a zone stands, exactly one of its windows begins at one of the places 0, 4, 8, ... A
//! table of bits answers whether the bytes at a place are some window (as Wu and Manber's search
//! does with its blocks), so that nearly all that passes costs a few instructions for four bytes,
//! and no branch. What is asked about are the differences (XOR) of neighbouring bytes: these are
//! the same whatever single-byte key was laid over a value, so one question serves for both. A
//! zone is a pattern's first eight bytes, or others where many patterns begin alike.

use super::patterns::{Compare, SHORTEST};

/// Bytes of a window, and how far apart the places are that are looked at: together one more than
/// the shortest pattern.
const WINDOW: usize = 5;
const STRIDE: usize = SHORTEST + 1 - WINDOW;
/// Bits of the table: 256 KiB, half of a core's second cache.
const FILTER_BITS: u32 = 21;
const FILTER_WORDS: usize = 1 << (FILTER_BITS - 6);
/// Bits of a second table that is asked where the first says yes: 128 KiB beside it. The tables
/// behind both lie further away than all that is asked here takes.
const AGAIN_BITS: u32 = 20;
const AGAIN_WORDS: usize = 1 << (AGAIN_BITS - 6);
/// Neighbouring bits of the filter that share a bucket, as a power of two.
const BUCKET_SHIFT: u32 = 4;
const BUCKETS: usize = 1 << (FILTER_BITS - BUCKET_SHIFT);
/// Windows in a bucket from which on another zone of a pattern is tried.
const CROWDED: u8 = 8;
/// Bits for a place in a pattern: its windows begin before [`super::patterns::LONGEST`].
const PLACE_BITS: u32 = 7;
/// Places that are asked about together: as many as a word has bits.
const BLOCK: usize = u32::BITS as usize;
/// Bytes that they need: two places at a time come out of nine.
const BLOCK_BYTES: usize = BLOCK * STRIDE + 1;

/// An odd number that spreads a window over the table (Knuth's multiplicative hashing).
const SPREAD: u32 = 0x9e37_79b1;
/// Another, for the second table (Appleby's MurmurHash3 mixes with it).
const SPREAD_AGAIN: u32 = 0x85eb_ca6b;

#[derive(Clone, Copy, Debug)]
struct Pattern {
    start: u32,
    length: u16,
    compare: Compare,
}

/// One window of a pattern.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    /// Its differences.
    window: u32,
    /// The pattern's number, and in the lowest bits where in it the window is.
    pattern: u32,
}

/// Patterns being gathered.
#[derive(Debug, Default)]
pub(super) struct Builder {
    patterns: Vec<Pattern>,
    bytes: Vec<u8>,
}

/// The patterns, ready to be found.
pub(super) struct Index {
    patterns: Vec<Pattern>,
    bytes: Vec<u8>,
    filter: Box<[u64]>,
    /// Asked where the filter says yes, before the larger tables below.
    again: Box<[u64]>,
    /// Where each bucket begins among the entries.
    starts: Box<[u32]>,
    entries: Vec<Entry>,
}

impl Builder {
    /// Adds a pattern of eight bytes or more; its number is how many there were before it. Shorter
    /// ones are taken but never found.
    pub(super) fn add(&mut self, pattern: &[u8], compare: Compare) {
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(pattern);
        self.patterns.push(Pattern { start, length: pattern.len() as u16, compare });
    }

    /// The finished index.
    pub(super) fn build(self) -> Index {
        let Self { patterns, bytes } = self;
        let mut all: Vec<Entry> = Vec::with_capacity(patterns.len() * STRIDE);
        // How many windows each bucket has so far.
        let mut crowd = vec![0_u8; BUCKETS];
        for (number, pattern) in patterns.iter().enumerate() {
            let text = slice(&bytes, *pattern);
            let Some(last) = text.len().checked_sub(SHORTEST) else { continue };
            let mut best = (u8::MAX, 0, [0; STRIDE]);
            for from in 0..=last {
                let windows: [u32; STRIDE] =
                    std::array::from_fn(|at| text.get(from + at..).and_then(window).unwrap_or_default());
                // One byte over and over fills whole files.
                let most = if windows.contains(&0) {
                    u8::MAX - 1
                } else {
                    windows.iter().filter_map(|window| crowd.get(bucket(*window))).max().copied().unwrap_or_default()
                };
                if most < best.0 {
                    best = (most, from, windows);
                }
                if most < CROWDED {
                    break;
                }
            }
            for (at, window) in best.2.into_iter().enumerate() {
                if let Some(count) = crowd.get_mut(bucket(window)) {
                    *count = count.saturating_add(1).min(u8::MAX - 2);
                }
                all.push(Entry { window, pattern: (number as u32) << PLACE_BITS | (best.1 + at) as u32 });
            }
        }
        let mut filter = vec![0_u64; FILTER_WORDS].into_boxed_slice();
        let mut again = vec![0_u64; AGAIN_WORDS].into_boxed_slice();
        let mut starts = vec![0_u32; BUCKETS + 1].into_boxed_slice();
        for entry in &all {
            let (word, [a, b]) = place(entry.window);
            filter[word] |= 1 << a | 1 << b;
            let (word, bit) = again_place(entry.window);
            again[word] |= 1 << bit;
            if let Some(count) = starts.get_mut(bucket(entry.window) + 1) {
                *count += 1;
            }
        }
        let mut total = 0;
        for start in &mut starts {
            total += *start;
            *start = total;
        }
        all.sort_by_key(|entry| bucket(entry.window));
        Index { patterns, bytes, filter, again, starts, entries: all }
    }
}

impl Index {
    /// Tells `found` the number, start and end of every pattern that stands in `bytes` with its
    /// zone at `from` or behind. Returns whether the bytes end in the beginning of one.
    pub(super) fn scan(&self, bytes: &[u8], from: usize, mut found: impl FnMut(usize, usize, usize)) -> bool {
        let Some(filter) = self.filter.first_chunk() else { return false };
        let (mut at, mut begun) = (from, false);
        while let Some(block) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
            let mut may = gather(filter, block);
            while may != 0 {
                begun |= self.compare(bytes, at + STRIDE * may.trailing_zeros() as usize, &mut found);
                may &= may - 1;
            }
            at += BLOCK * STRIDE;
        }
        while let Some(window) = bytes.get(at..).and_then(window) {
            if may_be(filter, window) != 0 {
                begun |= self.compare(bytes, at, &mut found);
            }
            at += STRIDE;
        }
        begun
    }

    /// Compares what stands around a place with the patterns that have its window. Returns
    /// whether the bytes end within one.
    fn compare(&self, bytes: &[u8], at: usize, found: &mut impl FnMut(usize, usize, usize)) -> bool {
        let Some(window) = bytes.get(at..).and_then(window) else { return false };
        let (word, bit) = again_place(window);
        if self.again.get(word).is_none_or(|word| word >> bit & 1 == 0) {
            return false;
        }
        let bucket = bucket(window);
        let range = self.starts.get(bucket).zip(self.starts.get(bucket + 1));
        let entries = range.and_then(|(low, high)| self.entries.get(*low as usize..*high as usize));
        let mut begun = false;
        for entry in entries.unwrap_or_default().iter().filter(|entry| entry.window == window) {
            let number = (entry.pattern >> PLACE_BITS) as usize;
            let within = (entry.pattern & ((1 << PLACE_BITS) - 1)) as usize;
            let (Some(pattern), Some(start)) = (self.patterns.get(number), at.checked_sub(within)) else { continue };
            let (whole, text) = (slice(&self.bytes, *pattern), bytes.get(start..).unwrap_or_default());
            let length = whole.len().min(text.len());
            let (Some(text), Some(head)) = (text.get(..length), whole.get(..length)) else { continue };
            if !same(text, head, pattern.compare) {
                continue;
            }
            if length == whole.len() {
                found(number, start, start + length);
            } else {
                begun = true;
            }
        }
        begun
    }
}

/// At which of a block's places some window may stand, one bit each. A function of its own: inside
/// another its few variables do not stay in registers.
#[inline(never)]
fn gather(filter: &[u64; FILTER_WORDS], block: &[u8; BLOCK_BYTES]) -> u32 {
    let mut all = 0;
    for two in 0..BLOCK / 2 {
        // Nine bytes have eight differences: of two places.
        let Some(nine) = block.get(2 * STRIDE * two..).and_then(<[u8]>::first_chunk::<9>) else { break };
        let (Some(first), Some(last)) = (nine.first_chunk(), nine.last_chunk()) else { break };
        let differences = u64::from_le_bytes(*first) ^ u64::from_le_bytes(*last);
        all |= (may_be(filter, differences as u32) | may_be(filter, (differences >> 32) as u32) << 1) << (2 * two);
    }
    all
}

/// Whether this may be a window of some pattern: 1 or 0.
#[inline]
fn may_be(filter: &[u64; FILTER_WORDS], window: u32) -> u32 {
    let (word, [a, b]) = place(window);
    (filter[word] >> a & filter[word] >> b) as u32 & 1
}

/// Whether these bytes are the pattern. Differences that were made by no key at all are the value
/// itself, which is no disguise.
fn same(text: &[u8], pattern: &[u8], compare: Compare) -> bool {
    match (compare, text.first(), pattern.first()) {
        (Compare::Bytes, ..) => text == pattern,
        (Compare::Differences, Some(a), Some(b)) => {
            let key = a ^ b;
            key != 0 && text.iter().zip(pattern).all(|(a, b)| a ^ b == key)
        }
        _ => false,
    }
}

fn slice(bytes: &[u8], pattern: Pattern) -> &[u8] {
    let start = pattern.start as usize;
    bytes.get(start..start + usize::from(pattern.length)).unwrap_or_default()
}

/// The differences of the next five bytes.
fn window(bytes: &[u8]) -> Option<u32> {
    let five = bytes.first_chunk::<WINDOW>()?;
    Some(u32::from_le_bytes(*five.first_chunk()?) ^ u32::from_le_bytes(*five.last_chunk()?))
}

/// Which word of the filter stands for a window, and which two of its bits (Putze, Sanders and
/// Singler's blocked Bloom filter): one load answers for both.
#[inline]
fn place(window: u32) -> (usize, [u32; 2]) {
    let hash = window.wrapping_mul(SPREAD);
    ((hash >> (32 - FILTER_BITS + 6)) as usize % FILTER_WORDS, [hash >> 11 & 63, hash >> 5 & 63])
}

/// Word and bit of the second filter.
fn again_place(window: u32) -> (usize, u32) {
    let hash = window.wrapping_mul(SPREAD_AGAIN);
    ((hash >> (32 - AGAIN_BITS + 6)) as usize % AGAIN_WORDS, hash >> (32 - AGAIN_BITS) & 63)
}

fn bucket(window: u32) -> usize {
    (window.wrapping_mul(SPREAD) >> (32 - FILTER_BITS + BUCKET_SHIFT)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn finds_what_a_search_by_hand_finds(
            patterns in vec(vec(b'a'..b'd', 8..20), 1..60),
            bytes in vec(b'a'..b'd', 0..1500),
            placed in vec((0..1500_usize, 0..60_usize, any::<u8>()), 0..8),
            from in 0..40_usize,
        ) {
            let (mut bytes, mut builder) = (bytes, Builder::default());
            let keyed = |number: usize| number.is_multiple_of(3) && patterns[number].len() > SHORTEST;
            for (number, pattern) in patterns.iter().enumerate() {
                builder.add(pattern, if keyed(number) { Compare::Differences } else { Compare::Bytes });
            }
            for (at, number, key) in placed {
                let number = number % patterns.len();
                let key = if keyed(number) { key } else { 0 };
                for (to, byte) in bytes.iter_mut().skip(at).zip(&patterns[number]) {
                    *to = byte ^ key;
                }
            }
            let mut found = Vec::new();
            let begun = builder.build().scan(&bytes, from, |number, start, end| found.push((number, start, end)));
            found.sort_unstable();
            let is = |number: usize, text: &[u8]| {
                let key = text[0] ^ patterns[number][0];
                text.iter().zip(&patterns[number]).all(|(a, b)| a ^ b == key) && (key != 0) == keyed(number)
            };
            let mut by_hand = Vec::new();
            let mut may_begin = false;
            for (number, pattern) in patterns.iter().enumerate() {
                for start in 0..bytes.len() {
                    let end = start + pattern.len();
                    let text = &bytes[start..end.min(bytes.len())];
                    if is(number, text) && end <= bytes.len() {
                        by_hand.push((number, start, end));
                    }
                    // Its zone is seen whole, wherever in it that is.
                    may_begin |= end > bytes.len() && is(number, text);
                }
            }
            for told in &found {
                prop_assert!(by_hand.contains(told), "{told:?}");
            }
            for (number, start, end) in by_hand {
                prop_assert!(start < from || found.contains(&(number, start, end)), "{number} {start} {end} {found:?}");
            }
            prop_assert!(may_begin || !begun);
        }
    }
}
