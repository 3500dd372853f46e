//! Values of an SQLite database that do not fit into one page (SQLite's "Database File Format", sections 1.6 and 2):
//! what is too long for its cell goes on in a chain of overflow pages, wherever there was room. Pages themselves are
//! searched as they come; this puts together the end of each part and the beginning of the next.

use std::collections::HashMap;

use super::{Decoder, Step};

/// What a database begins with.
pub(super) const MAGIC: &[u8] = b"SQLite format 3\0";
/// Bytes of either side of a joint: more than any pattern has.
const EDGE: usize = 128;
/// Parts whose other side has not come, and pages that may be one, remembered at most.
const MAX_OPEN: usize = 4096;
/// The file's own header, in front of that of the first page.
const HEADER: usize = 100;

/// A page that may be part of a chain.
struct Part {
    head: Vec<u8>,
    tail: Vec<u8>,
    next: u32,
}

impl Part {
    fn new(page: &[u8], usable: usize) -> Option<Self> {
        let data = page.get(4..usable)?;
        let tail = data.get(data.len().saturating_sub(EDGE)..)?.to_vec();
        Some(Self { head: data.get(..EDGE).unwrap_or(data).to_vec(), tail, next: number(page, 0)? })
    }
}

/// Follows the pages of a database as they come.
#[derive(Default)]
pub(super) struct Sqlite {
    page: Vec<u8>,
    /// Bytes of a page, and how many of them are used; 0 before they are known.
    size: usize,
    usable: usize,
    /// Pages that came.
    count: u32,
    /// The end of a part, by the page that it goes on in.
    waiting: HashMap<u32, Vec<u8>>,
    parts: HashMap<u32, Part>,
}

impl Sqlite {
    /// Whether the file's header makes sense.
    fn begin(&mut self) -> bool {
        let size =
            self.page.get(16..18).map_or(0, |bytes| bytes.iter().fold(0, |all, byte| all << 8 | usize::from(*byte)));
        self.size = if size == 1 { 65_536 } else { size };
        self.usable = self.size.saturating_sub(self.page.get(20).copied().map_or(0, usize::from));
        self.size.is_power_of_two() && (512..=65_536).contains(&self.size) && self.usable >= 480
    }

    fn take(&mut self, out: &mut Vec<u8>) {
        self.count = self.count.saturating_add(1);
        if let Some(tail) = self.waiting.remove(&self.count) {
            if let Some(part) = Part::new(&self.page, self.usable) {
                self.join(tail, part, out);
            }
            return;
        }
        let at = if self.count == 1 { HEADER } else { 0 };
        // Leaves of tables and of indices, and an index's inner pages.
        let (begin, is_table) = match self.page.get(at) {
            Some(13) => (at + 8, true),
            Some(10) => (at + 8, false),
            Some(2) => (at + 12, false),
            Some(0) if self.parts.len() < MAX_OPEN => {
                self.parts.extend(Part::new(&self.page, self.usable).map(|part| (self.count, part)));
                return;
            }
            _ => return,
        };
        let cells = short(&self.page, at + 3).unwrap_or_default();
        for cell in 0..cells {
            let Some(start) = short(&self.page, begin + 2 * cell) else { break };
            let start = if begin - at == 12 { start + 4 } else { start };
            if let Some((tail, next)) = self.cell(start, is_table) {
                self.follow(tail, next, out);
            }
        }
    }

    /// The last bytes of a cell that goes on elsewhere, and where.
    fn cell(&self, start: usize, is_table: bool) -> Option<(Vec<u8>, u32)> {
        let (length, mut at) = varint(&self.page, start)?;
        if is_table {
            at = varint(&self.page, at)?.1;
        }
        let usable = self.usable;
        let most = if is_table { usable - 35 } else { (usable - 12) * 64 / 255 - 23 };
        let least = (usable - 12) * 32 / 255 - 23;
        let length = usize::try_from(length).ok().filter(|length| *length > most)?;
        let here = least + (length - least) % (usable - 4);
        let here = if here <= most { here } else { least };
        let data = self.page.get(at..at.checked_add(here)?)?;
        Some((data.get(data.len().saturating_sub(EDGE)..)?.to_vec(), number(&self.page, at + here)?))
    }

    /// What ends with `tail` goes on in the page `next`.
    fn follow(&mut self, tail: Vec<u8>, next: u32, out: &mut Vec<u8>) {
        if next == 0 {
            return;
        }
        if let Some(part) = self.parts.remove(&next) {
            self.join(tail, part, out);
        } else if self.waiting.len() < MAX_OPEN && next > self.count {
            self.waiting.insert(next, tail);
        }
    }

    fn join(&mut self, mut tail: Vec<u8>, mut part: Part, out: &mut Vec<u8>) {
        loop {
            out.extend_from_slice(&tail);
            out.extend_from_slice(&part.head);
            // Joints have nothing to do with each other.
            out.push(0);
            tail = part.tail;
            match self.parts.remove(&part.next) {
                Some(next) => part = next,
                None => return self.follow(tail, part.next, out),
            }
        }
    }
}

impl Decoder for Sqlite {
    fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> (usize, Step) {
        let mut taken = 0;
        while taken < input.len() {
            let wanted = if self.size == 0 { HEADER } else { self.size };
            let rest = input.get(taken..).unwrap_or_default();
            let part = rest.get(..wanted.saturating_sub(self.page.len())).unwrap_or(rest);
            self.page.extend_from_slice(part);
            taken += part.len();
            if self.page.len() < wanted {
                break;
            }
            if self.size == 0 {
                if !self.begin() {
                    return (taken, Step::Failed);
                }
                continue;
            }
            self.take(out);
            self.page.clear();
        }
        (taken, Step::More)
    }

    fn weight(&self) -> usize {
        self.page.capacity() + self.waiting.len() * 2 * EDGE + self.parts.len() * 3 * EDGE
    }
}

fn short(bytes: &[u8], at: usize) -> Option<usize> {
    bytes.get(at..)?.first_chunk().map(|bytes| usize::from(u16::from_be_bytes(*bytes)))
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

/// A number in one to nine bytes, and where it ends (section 1.6).
fn varint(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let mut value = 0_u64;
    for (n, byte) in bytes.get(at..)?.iter().take(9).enumerate() {
        if n == 8 {
            return Some((value << 8 | u64::from(*byte), at + 9));
        }
        value = value << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((value, at + n + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::encoding::Encoding;
    use crate::analysis::matcher::{Direction, Hits, Matcher};
    use belljar_sandbox::decoy::{Asset, Marker};
    use belljar_sandbox::event::ProcessKey;
    use proptest::prelude::*;

    const VALUE: &[u8] = b"anna.berg4711@example.com";
    const SIZE: usize = 512;

    fn matcher() -> Matcher {
        let markers = vec![Marker { name: String::new(), value: VALUE.to_vec() }];
        let (name, class) = ("a".into(), "identity".into());
        Matcher::new(&[Asset { name, class, paths: Vec::new(), variables: Vec::new(), markers }]).expect("one")
    }

    /// A database with one long value of `text` in page 2, its chain in these pages.
    fn database(text: &[u8], chain: &[u32]) -> Vec<u8> {
        let (usable, length) = (SIZE, text.len());
        let (most, least) = (usable - 35, (usable - 12) * 32 / 255 - 23);
        let here = least + (length - least) % (usable - 4);
        let here = if here <= most { here } else { least };
        let mut pages = vec![vec![0; SIZE]; 2 + chain.len()];
        pages[0][..16].copy_from_slice(MAGIC);
        pages[0][16..18].copy_from_slice(&(SIZE as u16).to_be_bytes());
        pages[0][HEADER] = 13;
        let mut cell = vec![0x80 | (length >> 7) as u8, (length & 0x7f) as u8, 1];
        cell.extend_from_slice(&text[..here]);
        cell.extend_from_slice(&chain[0].to_be_bytes());
        let start = SIZE - cell.len();
        pages[1][start..].copy_from_slice(&cell);
        pages[1][0] = 13;
        pages[1][4] = 1;
        pages[1][8..10].copy_from_slice(&(start as u16).to_be_bytes());
        for (n, part) in text[here..].chunks(usable - 4).enumerate() {
            let page = &mut pages[chain[n] as usize - 1];
            page[..4].copy_from_slice(&chain.get(n + 1).copied().unwrap_or_default().to_be_bytes());
            page[4..4 + part.len()].copy_from_slice(part);
        }
        pages.concat()
    }

    fn found(database: &[u8], piece: usize) -> Vec<Vec<Encoding>> {
        let (mut matcher, mut hits) = (matcher(), Hits::default());
        let mut paths = Vec::new();
        for part in database.chunks(piece) {
            hits.clear();
            matcher.scan_stream((ProcessKey(1), 1, Direction::Out), part, true, &mut hits);
            paths.extend(hits.all().iter().map(|hit| hit.path.layers().collect()));
        }
        paths
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn a_value_is_found_wherever_it_is_split(
            at in 0..1900_usize,
            chain in Just(vec![3, 4, 5, 6]).prop_shuffle(),
            piece in prop::sample::select(vec![1_usize, 7, 100, 512, 1000, 4096]),
        ) {
            let mut text = vec![b'-'; 1950];
            text[at..at + VALUE.len()].copy_from_slice(VALUE);
            let database = database(&text, &chain);
            let is_split = memchr::memmem::find(&database, VALUE).is_none();
            let paths = found(&database, piece);
            prop_assert!(!paths.is_empty());
            prop_assert!(!is_split || paths.iter().all(|path| path.contains(&Encoding::Sqlite)), "{:?}", paths);
        }

        #[test]
        fn nothing_in_a_file_makes_it_panic_or_grow(mut bytes in prop::collection::vec(any::<u8>(), 0..6000), size in any::<u16>()) {
            bytes.splice(0..0, [MAGIC, &size.to_be_bytes(), &[1, 1, 0, 64, 32, 32]].concat());
            let (mut decoder, mut out) = (Sqlite::default(), Vec::new());
            decoder.step(&bytes, &mut out);
            prop_assert!(decoder.weight() < 4 << 20);
        }
    }

    #[test]
    fn pages_that_do_not_follow_each_other_are_not_joined() {
        let mut text = vec![b'-'; 1950];
        let first = (SIZE - 12) * 32 / 255 - 23;
        let here = first + (1950 - first) % (SIZE - 4);
        let here = if here <= SIZE - 35 { here } else { first };
        text[here - 9..here - 9 + VALUE.len()].copy_from_slice(VALUE);
        assert_eq!(found(&database(&text, &[3, 4, 5, 6]), 4096).len(), 1, "the control");
        let mut other = database(&text, &[3, 4, 5, 6]);
        let pointer = SIZE * 2 - 1;
        other[pointer] = 5;
        assert!(found(&other, 4096).is_empty());
    }
}
