//! A set of row numbers that is shared while it grows: the hits of a filter, the events that touch
//! client data. A bit a row, in sealed pieces behind `Arc`: a copy for the screen costs a few pointers, and the hits of
//! a filter over 100 million events take 12 MB however many there are.

use std::sync::Arc;

/// Rows of one piece.
const PIECE: u64 = 1 << 16;
const WORDS: usize = (PIECE / 64) as usize;

#[derive(Clone, Debug)]
struct Piece {
    bits: Arc<Vec<u64>>,
    /// Members in all pieces before.
    before: u64,
    /// Members in it.
    len: u64,
}

/// Ascending row numbers.
#[derive(Clone, Debug, Default)]
pub struct RowSet {
    /// Pieces that have members are stored; piece n is rows `n * PIECE ..`.
    pieces: Vec<Option<Piece>>,
    len: u64,
}

impl RowSet {
    /// Adds a row, behind all that are in it.
    pub fn push(&mut self, row: u64) {
        let (index, bit) = ((row / PIECE) as usize, (row % PIECE) as usize);
        if self.pieces.len() <= index {
            self.pieces.resize(index + 1, None);
        }
        let Some(place) = self.pieces.get_mut(index) else { return };
        let before = self.len;
        let piece = place.get_or_insert_with(|| Piece { bits: Arc::new(vec![0; WORDS]), before, len: 0 });
        // Copies the piece only while the screen still holds the one before.
        if let Some(word) = Arc::make_mut(&mut piece.bits).get_mut(bit / 64)
            && *word >> (bit % 64) & 1 == 0
        {
            *word |= 1 << (bit % 64);
            piece.len += 1;
            self.len += 1;
        }
    }

    /// Adds rows, wherever they belong.
    pub fn extend(&mut self, rows: impl Iterator<Item = u64>) {
        for row in rows {
            self.push(row);
        }
        let mut before = 0;
        for piece in self.pieces.iter_mut().flatten() {
            piece.before = before;
            before += piece.len;
        }
    }

    /// How many rows are in it.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many of its rows are below `row`.
    pub fn rank(&self, row: u64) -> u64 {
        let index = (row / PIECE) as usize;
        let Some(place) = self.pieces.get(index) else { return self.len };
        let Some(piece) = place else {
            // The next piece that has members says how many come before it.
            return self.pieces.iter().skip(index).flatten().next().map_or(self.len, |piece| piece.before);
        };
        let bit = (row % PIECE) as usize;
        let whole: u64 = piece.bits.iter().take(bit / 64).map(|word| u64::from(word.count_ones())).sum();
        let word = piece.bits.get(bit / 64).copied().unwrap_or_default();
        piece.before + whole + u64::from((word & ((1 << (bit % 64)) - 1)).count_ones())
    }

    /// The row of this rank, from 0.
    pub fn select(&self, rank: u64) -> Option<u64> {
        if rank >= self.len {
            return None;
        }
        // The last piece whose `before` does not exceed the rank; pieces without members count as the one after them.
        let (mut low, mut high) = (0, self.pieces.len());
        while low < high {
            let middle = low.midpoint(high);
            if self.rank(middle as u64 * PIECE) <= rank { low = middle + 1 } else { high = middle }
        }
        let index = low.checked_sub(1)?;
        let piece = self.pieces.get(index)?.as_ref()?;
        let mut left = rank.checked_sub(piece.before)?;
        for (at, word) in piece.bits.iter().enumerate() {
            let ones = u64::from(word.count_ones());
            if left < ones {
                let mut word = *word;
                for _ in 0..left {
                    word &= word - 1;
                }
                return Some(index as u64 * PIECE + at as u64 * 64 + u64::from(word.trailing_zeros()));
            }
            left -= ones;
        }
        None
    }

    /// Its rows without those that only repeat the row before: `heads` are the rows that do not. A row whose row before
    /// is not in the set stays, so that of each run there is one.
    #[must_use]
    pub fn folded(&self, heads: &Self) -> Self {
        let (mut out, mut before, mut last) = (Self::default(), 0, 0);
        for (index, piece) in self.pieces.iter().enumerate() {
            let Some(piece) = piece else {
                out.pieces.push(None);
                last = 0;
                continue;
            };
            let begun = heads.pieces.get(index).and_then(Option::as_ref);
            let mut bits = vec![0; WORDS];
            let mut len = 0;
            for (at, (word, place)) in piece.bits.iter().zip(&mut bits).enumerate() {
                let head = begun.and_then(|piece| piece.bits.get(at)).copied().unwrap_or_default();
                *place = word & (head | !(word << 1 | last));
                len += u64::from(place.count_ones());
                last = word >> 63;
            }
            out.pieces.push(Some(Piece { bits: Arc::new(bits), before, len }));
            before += len;
        }
        out.len = before;
        out
    }

    /// Whether the row is in it.
    pub fn contains(&self, row: u64) -> bool {
        let bit = (row % PIECE) as usize;
        let piece = self.pieces.get((row / PIECE) as usize).and_then(Option::as_ref);
        piece.and_then(|piece| piece.bits.get(bit / 64)).is_some_and(|word| word >> (bit % 64) & 1 == 1)
    }

    /// The first row at or after `row`.
    pub fn at_or_after(&self, row: u64) -> Option<u64> {
        self.select(self.rank(row))
    }

    /// The last row before `row`.
    pub fn before(&self, row: u64) -> Option<u64> {
        self.select(self.rank(row).checked_sub(1)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn it_is_an_ordered_set(rows in proptest::collection::btree_set(0..400_000_u64, 0..200), asked in 0..420_000_u64) {
            let mut set = RowSet::default();
            // In pieces that come in any order, and in one go.
            let (even, odd): (Vec<u64>, Vec<u64>) = rows.iter().partition(|row| *row / 1000 % 2 == 0);
            let mut pieces = RowSet::default();
            for piece in odd.chunks(7).rev().chain(even.chunks(5)) {
                pieces.extend(piece.iter().copied());
            }
            for row in &rows {
                set.push(*row);
            }
            let rows: BTreeSet<u64> = rows;
            // A run is shown by its first row.
            let mut heads = RowSet::default();
            (0..asked).step_by(3).for_each(|row| heads.push(row));
            let folded = set.folded(&heads);
            let first = |row: &&u64| row.is_multiple_of(3) && **row < asked || !row.checked_sub(1).is_some_and(|row| rows.contains(&row));
            let left: Vec<u64> = rows.iter().filter(first).copied().collect();
            prop_assert_eq!(folded.len(), left.len() as u64);
            prop_assert!(left.iter().enumerate().all(|(rank, row)| folded.select(rank as u64) == Some(*row)));
            for set in [&set, &pieces] {
                prop_assert_eq!(set.len(), rows.len() as u64);
                for (rank, row) in rows.iter().enumerate() {
                    prop_assert_eq!(set.select(rank as u64), Some(*row));
                    prop_assert_eq!(set.rank(*row), rank as u64);
                    prop_assert!(set.contains(*row));
                }
                prop_assert_eq!(set.select(rows.len() as u64), None);
                prop_assert_eq!(set.rank(asked), rows.range(..asked).count() as u64);
                prop_assert_eq!(set.at_or_after(asked), rows.range(asked..).next().copied());
                prop_assert_eq!(set.before(asked), rows.range(..asked).next_back().copied());
                prop_assert_eq!(set.contains(asked), rows.contains(&asked));
            }
        }
    }
}
