//! Finds any of some ten thousand patterns in bytes, looking at every fourth place only.
//!
//! Eight bytes of each pattern, its zone, are known by the four windows of five bytes in them.
//! Wherever a zone stands, exactly one of its windows begins at one of the places 0, 4, 8, ...; a
//! table of bits answers whether the bytes at a place are some window (as Wu and Manber's search
//! does with its blocks). A zone is a pattern's first eight bytes, or others where many patterns
//! begin alike. Differences of neighbours are asked about in the same way out of the same eight
//! loaded bytes: no single-byte key changes them. Places where the answer is yes are gathered
//! without a branch, a block at a time, and compared then, so that the waiting for the larger
//! tables overlaps.

use super::patterns::{Compare, SHORTEST};

/// Bytes of a window, and how far apart the places are that are looked at: together one more than
/// the shortest pattern.
const WINDOW: usize = 5;
const STRIDE: usize = SHORTEST + 1 - WINDOW;
/// Bytes that the windows of differences are of; of bytes themselves, one less.
pub(super) const ZONE: usize = SHORTEST + 1;
const MASK: u64 = (1 << (8 * WINDOW)) - 1;
/// Words of the tables of bits: for bytes 256 KiB, half of a core's second cache; for differences,
/// of which there are few, 8 KiB of its first.
const BYTES: usize = 1 << 15;
const DIFFERENCES: usize = 1 << 10;
/// Neighbouring bits of a table that share a bucket, as a power of two.
const BUCKET_SHIFT: u32 = 3;
/// Windows in a bucket from which on another zone of a pattern is tried.
const CROWDED: u8 = 6;
/// Bits for a place in a pattern: its windows begin before [`super::patterns::LONGEST`].
const PLACE_BITS: u32 = 7;
/// Places looked at before the candidates among them are compared.
const BLOCK: usize = 128;

/// An odd number that spreads a window over a table (Knuth's multiplicative hashing).
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

#[derive(Clone, Copy, Debug)]
struct Pattern {
    start: u32,
    length: u16,
    compare: Compare,
}

/// One window of a pattern.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    /// The hash's bits that the bucket does not tell.
    tag: u32,
    /// The pattern's number, and in the lowest bits where in it the window is.
    pattern: u32,
}

/// The windows of all patterns of one way to compare: `WORDS` words of bits, and in buckets whose
/// each is.
struct Table<const WORDS: usize> {
    filter: Box<[u64]>,
    /// Where each bucket begins among the entries.
    starts: Box<[u32]>,
    entries: Vec<Entry>,
}

impl<const WORDS: usize> Table<WORDS> {
    const BITS: u32 = WORDS.trailing_zeros() + 6;
    const BUCKETS: usize = WORDS << (6 - BUCKET_SHIFT);

    fn bucket(hash: u64) -> usize {
        (hash >> (64 - Self::BITS + BUCKET_SHIFT)) as usize
    }

    #[inline]
    fn place(hash: u64) -> (usize, u64) {
        // Three bits of one word (Putze, Sanders and Singler's blocked Bloom filter): one load answers for all.
        let bits = 1 << (hash >> 37 & 63) | 1 << (hash >> 31 & 63) | 1 << (hash >> 25 & 63);
        ((hash >> (64 - Self::BITS + 6)) as usize % WORDS, bits)
    }

    /// Of patterns, each with its number.
    fn new<'p>(patterns: impl Iterator<Item = (u32, &'p [u8])>, compare: Compare) -> Self {
        let mut hashed: Vec<(u64, u32)> = Vec::new();
        // How many windows each bucket has so far.
        let mut crowd = vec![0_u8; Self::BUCKETS];
        for (number, text) in patterns {
            let Some(last) = text.len().checked_sub(zone(compare)) else { continue };
            let mut best = (u8::MAX, 0, [0; STRIDE]);
            for from in 0..=last {
                let hashes: [u64; STRIDE] = std::array::from_fn(|at| {
                    hash(text.get(from + at..).and_then(load).unwrap_or_default(), compare)
                });
                let most =
                    hashes.iter().filter_map(|hash| crowd.get(Self::bucket(*hash))).max().copied().unwrap_or_default();
                if most < best.0 || from == 0 {
                    best = (most, from, hashes);
                }
                if most < CROWDED {
                    break;
                }
            }
            for (at, hash) in best.2.into_iter().enumerate() {
                if let Some(count) = crowd.get_mut(Self::bucket(hash)) {
                    *count = count.saturating_add(1);
                }
                hashed.push((hash, number << PLACE_BITS | (best.1 + at) as u32));
            }
        }
        let mut filter = vec![0_u64; WORDS].into_boxed_slice();
        let mut starts = vec![0_u32; Self::BUCKETS + 1].into_boxed_slice();
        for (hash, _) in &hashed {
            let (word, bits) = Self::place(*hash);
            filter[word] |= bits;
            if let Some(count) = starts.get_mut(Self::bucket(*hash) + 1) {
                *count += 1;
            }
        }
        let mut total = 0;
        for start in &mut starts {
            total += *start;
            *start = total;
        }
        let mut next = starts.clone();
        let mut entries = vec![Entry::default(); hashed.len()];
        for (hash, pattern) in hashed {
            if let Some(place) = next.get_mut(Self::bucket(hash)) {
                if let Some(entry) = entries.get_mut(*place as usize) {
                    *entry = Entry { tag: hash as u32, pattern };
                }
                *place += 1;
            }
        }
        Self { filter, starts, entries }
    }

    /// The filter, as long as the compiler must know it to be.
    fn filter(&self) -> Option<&[u64; WORDS]> {
        self.filter.first_chunk()
    }

    /// Whether some window may have this hash: 1 or 0.
    #[inline]
    fn may(filter: &[u64; WORDS], hash: u64) -> usize {
        let (word, bits) = Self::place(hash);
        usize::from(filter[word] & bits == bits)
    }

    /// The patterns that a window of this hash is of, and where in each.
    fn of(&self, hash: u64) -> impl Iterator<Item = (usize, usize)> {
        let bucket = Self::bucket(hash);
        let range = self.starts.get(bucket).zip(self.starts.get(bucket + 1));
        let entries = range.and_then(|(low, high)| self.entries.get(*low as usize..*high as usize));
        entries.unwrap_or_default().iter().filter(move |entry| entry.tag == hash as u32).map(|entry| {
            ((entry.pattern >> PLACE_BITS) as usize, (entry.pattern & ((1 << PLACE_BITS) - 1)) as usize)
        })
    }
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
    equal: Table<BYTES>,
    keyed: Table<DIFFERENCES>,
}

impl Builder {
    /// Adds a pattern of eight bytes or more, nine for differences; its number is how many there
    /// were before it. Shorter ones are taken but never found.
    pub(super) fn add(&mut self, pattern: &[u8], compare: Compare) {
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(pattern);
        self.patterns.push(Pattern { start, length: pattern.len() as u16, compare });
    }

    /// The finished index.
    pub(super) fn build(self) -> Index {
        let Self { patterns, bytes } = self;
        let of = |compare| {
            let all = patterns.iter().enumerate().filter(move |(_, pattern)| pattern.compare == compare);
            all.map(|(number, pattern)| (number as u32, slice(&bytes, *pattern)))
        };
        let equal = Table::new(of(Compare::Bytes), Compare::Bytes);
        let keyed = Table::new(of(Compare::Differences), Compare::Differences);
        Index { equal, keyed, patterns, bytes }
    }
}

impl Index {
    /// Tells `found` the number, start and end of every pattern that stands in `bytes` with its
    /// zone at `from` or behind. Returns whether the bytes end in the beginning of one.
    pub(super) fn scan(&self, bytes: &[u8], from: usize, mut found: impl FnMut(usize, usize, usize)) -> bool {
        let mut candidates = [0_u32; 2 * BLOCK];
        let (mut at, mut begun) = (from, false);
        while at < bytes.len() {
            let count = self.gather(bytes.get(at..).unwrap_or_default(), &mut candidates);
            for candidate in candidates.get(..count).unwrap_or_default() {
                begun |= self.compare(bytes, at + (*candidate >> 1) as usize, *candidate & 1 != 0, &mut found);
            }
            at += BLOCK * STRIDE;
        }
        begun
    }

    /// Notes the places of a block where some window may stand: the place, and in the lowest bit
    /// whether it is one of differences.
    #[inline(never)]
    fn gather(&self, bytes: &[u8], candidates: &mut [u32; 2 * BLOCK]) -> usize {
        let (Some(equal), Some(keyed)) = (self.equal.filter(), self.keyed.filter()) else { return 0 };
        let mut count = 0;
        let mut note = |at: usize, loaded: u64| {
            // Never past the end: two for each of the block's places.
            if let Some(place) = candidates.get_mut(count) {
                *place = (at as u32) << 1;
            }
            count += Table::may(equal, hash(loaded, Compare::Bytes));
            if let Some(place) = candidates.get_mut(count) {
                *place = (at as u32) << 1 | 1;
            }
            count += Table::may(keyed, hash(loaded, Compare::Differences));
        };
        let block = bytes.get(..BLOCK * STRIDE + 4).unwrap_or(bytes);
        let mut at = 0;
        while let Some(eight) = block.get(at..).and_then(<[u8]>::first_chunk::<8>)
            && at < BLOCK * STRIDE
        {
            note(at, u64::from_le_bytes(*eight));
            at += STRIDE;
        }
        // What is left is shorter than what is loaded, but may hold a last window.
        while at < BLOCK * STRIDE
            && let Some(loaded) = block.get(at..).and_then(load)
        {
            note(at, loaded);
            at += STRIDE;
        }
        count
    }

    /// Compares what stands around a place with the patterns that have its window. Returns
    /// whether the bytes end within one.
    fn compare(&self, bytes: &[u8], at: usize, keyed: bool, found: &mut impl FnMut(usize, usize, usize)) -> bool {
        let Some(loaded) = bytes.get(at..).and_then(load) else { return false };
        let mut begun = false;
        let mut try_one = |(number, within): (usize, usize)| {
            let (Some(pattern), Some(start)) = (self.patterns.get(number), at.checked_sub(within)) else { return };
            let text = bytes.get(start..).unwrap_or_default();
            let whole = slice(&self.bytes, *pattern);
            let length = whole.len().min(text.len());
            let (Some(text), Some(head)) = (text.get(..length), whole.get(..length)) else { return };
            if !same(text, head, pattern.compare) {
            } else if length == whole.len() {
                found(number, start, start + length);
            } else {
                begun = true;
            }
        };
        if keyed {
            self.keyed.of(hash(loaded, Compare::Differences)).for_each(&mut try_one);
        } else {
            self.equal.of(hash(loaded, Compare::Bytes)).for_each(&mut try_one);
        }
        begun
    }
}

/// Bytes that a pattern's windows are of.
fn zone(compare: Compare) -> usize {
    match compare {
        Compare::Bytes => SHORTEST,
        Compare::Differences => ZONE,
    }
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

/// The next eight bytes, zeros for those that are not there; `None` when there is no window left.
fn load(bytes: &[u8]) -> Option<u64> {
    if let Some(eight) = bytes.first_chunk::<8>() {
        return Some(u64::from_le_bytes(*eight));
    }
    let mut eight = [0; 8];
    for (to, from) in eight.iter_mut().zip(bytes) {
        *to = *from;
    }
    (bytes.len() >= WINDOW).then(|| u64::from_le_bytes(eight))
}

#[inline]
fn hash(loaded: u64, compare: Compare) -> u64 {
    let window = match compare {
        Compare::Bytes => loaded,
        Compare::Differences => loaded ^ loaded >> 8,
    };
    (window & MASK).wrapping_mul(SPREAD)
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
            let keyed = |number: usize| number.is_multiple_of(3) && patterns[number].len() >= ZONE;
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
