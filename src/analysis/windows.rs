//! Finds any of some hundred thousand patterns in bytes, looking at every fourth place only.
//!
//! A pattern of eight bytes or more that stands anywhere covers, at one of the places 0, 4, 8, ...,
//! five bytes that begin with its first, second, third or fourth. So four windows of each
//! pattern - those four, or four others in a row where many patterns begin alike - are known by a table of bits, and bytes are asked about at every fourth place (as Wu
//! and Manber's search does with its blocks). Differences of neighbours, XORed, are asked about
//! in the same way out of the same eight loaded bytes: no single-byte key changes them. Places
//! where the answer is yes are gathered without a branch, a block at a time, and compared then, so
//! that the waiting for the larger tables overlaps.

use super::patterns::{Compare, SHORTEST};

/// Bytes of a window, and how far apart the places are that are looked at: together one more than
/// the shortest pattern.
const WINDOW: usize = 5;
const STRIDE: usize = SHORTEST + 1 - WINDOW;
const MASK: u64 = (1 << (8 * WINDOW)) - 1;
/// Bits of the table of bits: 256 KiB, half of a core's second cache.
const FILTER_BITS: u32 = 21;
const FILTER_WORDS: usize = 1 << (FILTER_BITS - 6);
/// Neighbouring bits of the filter that share a bucket, as a power of two.
const BUCKET_SHIFT: u32 = 3;
const BUCKETS: usize = 1 << (FILTER_BITS - BUCKET_SHIFT);
/// Windows in a bucket from which on another place in a pattern is tried.
const CROWDED: u8 = 6;
/// Bits for a place in a pattern: its windows begin before [`super::patterns::LONGEST`].
const PLACE_BITS: u32 = 7;
/// Places looked at before the candidates among them are compared.
const BLOCK: usize = 128;

/// Odd numbers that spread a window over the filter (Knuth's multiplicative hashing): one for
/// bytes, one for differences.
const SPREAD: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0xc2b2_ae3d_27d4_eb4f];

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
    /// Where each bucket begins among the entries.
    starts: Box<[u32]>,
    entries: Vec<Entry>,
    longest: usize,
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
        let mut hashed: Vec<(u64, u32)> = Vec::with_capacity(patterns.len() * STRIDE);
        // How many windows each bucket has so far.
        let mut crowd = vec![0_u8; BUCKETS];
        for (number, pattern) in patterns.iter().enumerate() {
            let text = slice(&bytes, *pattern);
            let hashes = |from: usize| -> [u64; STRIDE] {
                std::array::from_fn(|at| {
                    let window = text.get(from + at..).and_then(load).unwrap_or_default();
                    hash(window, pattern.compare)
                })
            };
            let needed = SHORTEST + usize::from(pattern.compare == Compare::Differences);
            let Some(last) = text.len().checked_sub(needed) else { continue };
            let mut best = (u8::MAX, 0, [0; STRIDE]);
            for from in 0..=last {
                let hashes = hashes(from);
                let most = hashes.iter().filter_map(|hash| crowd.get(bucket(*hash))).max().copied().unwrap_or_default();
                if most < best.0 || from == 0 {
                    best = (most, from, hashes);
                }
                if most < CROWDED {
                    break;
                }
            }
            for (at, hash) in best.2.into_iter().enumerate() {
                if let Some(count) = crowd.get_mut(bucket(hash)) {
                    *count = count.saturating_add(1);
                }
                hashed.push((hash, (number as u32) << PLACE_BITS | (best.1 + at) as u32));
            }
        }
        let mut filter = vec![0_u64; FILTER_WORDS].into_boxed_slice();
        let mut starts = vec![0_u32; BUCKETS + 1].into_boxed_slice();
        for (hash, _) in &hashed {
            let (word, bits) = place(*hash);
            filter[word] |= bits;
            if let Some(count) = starts.get_mut(bucket(*hash) + 1) {
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
            if let Some(place) = next.get_mut(bucket(hash)) {
                if let Some(entry) = entries.get_mut(*place as usize) {
                    *entry = Entry { tag: hash as u32, pattern };
                }
                *place += 1;
            }
        }
        let longest = patterns.iter().map(|pattern| usize::from(pattern.length)).max().unwrap_or_default();
        Index { patterns, bytes, filter, starts, entries, longest }
    }
}

impl Index {
    /// Bytes of the longest pattern.
    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    /// Tells `found` the number, start and end of every pattern that stands in `bytes`.
    pub(super) fn scan(&self, bytes: &[u8], mut found: impl FnMut(usize, usize, usize)) {
        if self.patterns.is_empty() || bytes.len() < SHORTEST {
            return;
        }
        let mut candidates = [0_u32; 2 * BLOCK];
        let mut from = 0;
        while from < bytes.len() {
            let rest = bytes.get(from..).unwrap_or_default();
            let count = self.gather(rest, &mut candidates);
            for candidate in candidates.get(..count).unwrap_or_default() {
                let at = from + (*candidate >> 1) as usize;
                let compare = if candidate & 1 == 0 { Compare::Bytes } else { Compare::Differences };
                self.compare(bytes, at, compare, &mut found);
            }
            from += BLOCK * STRIDE;
        }
    }

    /// Notes the places of a block where some window may stand: the place, and in the lowest bit
    /// whether it is one of differences.
    #[inline(never)]
    fn gather(&self, bytes: &[u8], candidates: &mut [u32; 2 * BLOCK]) -> usize {
        let Some(filter) = self.filter.first_chunk::<FILTER_WORDS>() else { return 0 };
        let bit = |hash: u64| {
            let (word, bits) = place(hash);
            usize::from(filter[word] & bits == bits)
        };
        let mut count = 0;
        let mut note = |at: usize, loaded: u64, both: bool| {
            // Never past the end: two for each of the block's places.
            if let Some(place) = candidates.get_mut(count) {
                *place = (at as u32) << 1;
            }
            count += bit(hash(loaded, Compare::Bytes));
            if let Some(place) = candidates.get_mut(count) {
                *place = (at as u32) << 1 | 1;
            }
            count += bit(hash(loaded, Compare::Differences)) & usize::from(both);
        };
        let block = bytes.get(..BLOCK * STRIDE + 4).unwrap_or(bytes);
        let mut at = 0;
        while let Some(eight) = block.get(at..).and_then(<[u8]>::first_chunk::<8>)
            && at < BLOCK * STRIDE
        {
            note(at, u64::from_le_bytes(*eight), true);
            at += STRIDE;
        }
        // What is left is shorter than what is loaded, but may hold a last window.
        while at < BLOCK * STRIDE
            && let Some(loaded) = block.get(at..).and_then(load)
        {
            note(at, loaded, block.len() - at > WINDOW);
            at += STRIDE;
        }
        count
    }

    fn compare(&self, bytes: &[u8], at: usize, compare: Compare, found: &mut impl FnMut(usize, usize, usize)) {
        let Some(loaded) = bytes.get(at..).and_then(load) else { return };
        let hash = hash(loaded, compare);
        let bucket = bucket(hash);
        let range = (self.starts.get(bucket), self.starts.get(bucket + 1));
        let (Some(low), Some(high)) = range else { return };
        for entry in self.entries.get(*low as usize..*high as usize).unwrap_or_default() {
            if entry.tag != hash as u32 {
                continue;
            }
            let number = (entry.pattern >> PLACE_BITS) as usize;
            let Some(pattern) = self.patterns.get(number).filter(|pattern| pattern.compare == compare) else {
                continue;
            };
            let Some(start) = at.checked_sub((entry.pattern & ((1 << PLACE_BITS) - 1)) as usize) else { continue };
            let end = start + usize::from(pattern.length);
            let Some(text) = bytes.get(start..end) else { continue };
            if same(text, slice(&self.bytes, *pattern), compare) {
                found(number, start, end);
            }
        }
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
    match compare {
        Compare::Bytes => (loaded & MASK).wrapping_mul(SPREAD[0]),
        Compare::Differences => ((loaded ^ loaded >> 8) & MASK).wrapping_mul(SPREAD[1]),
    }
}

#[inline]
fn place(hash: u64) -> (usize, u64) {
    // Three bits of one word (Putze, Sanders and Singler's blocked Bloom filter): one load answers for all.
    let bits = 1 << (hash >> 37 & 63) | 1 << (hash >> 31 & 63) | 1 << (hash >> 25 & 63);
    ((hash >> (64 - FILTER_BITS + 6)) as usize % FILTER_WORDS, bits)
}

fn bucket(hash: u64) -> usize {
    (hash >> (64 - FILTER_BITS + BUCKET_SHIFT)) as usize
}
