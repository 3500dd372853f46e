//! Where every planted value comes from: one random stream for each asset, and the book of
//! values that are already taken.
//!
//! A stream is `ChaCha8` keyed with the SHA-256 of the session's seed and the asset's name, so an
//! asset keeps its values when others are added, taken away or moved. Numbers are cut out of the
//! stream here and not by the sampling code of a library, because that code may change its
//! results with a new release and a recorded seed must keep its meaning.

use std::collections::HashSet;

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use sha2::{Digest as _, Sha256};

use super::Marker;

/// The shortest value that may be a marker, in bytes: anything shorter turns up by chance.
pub const SHORTEST_MARKER: usize = 6;

/// Digits.
pub(super) const DIGITS: &str = "0123456789";
/// Lower-case hexadecimal digits.
pub(super) const HEX: &str = "0123456789abcdef";
/// Lower-case letters and digits.
pub(super) const LOWER: &str = "abcdefghijklmnopqrstuvwxyz0123456789";
/// Upper-case letters.
pub(super) const UPPER_LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
/// Upper-case letters and digits of serial numbers: none that looks like another.
pub(super) const SERIAL: &str = "0123456789ABCDEFGHJKLMNPQRSTVWXYZ";
/// Letters and digits.
pub(super) const ALPHANUMERIC: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// The newest time of planted things: 2026-01-01T00:00:00Z, in seconds since the epoch. Fixed,
/// because a planted byte must not depend on when the session runs.
pub(super) const NEWEST: i64 = 1_767_225_600;

/// A portable stream of random numbers.
#[derive(Clone, Debug)]
pub(super) struct Stream(ChaCha8Rng);

impl Stream {
    /// The stream of one name under one seed.
    pub(super) fn new(seed: u64, name: &str) -> Self {
        let mut key = Sha256::new();
        key.update(b"belljar decoy 1\0");
        key.update(seed.to_le_bytes());
        key.update(name.as_bytes());
        Self(ChaCha8Rng::from_seed(key.finalize().into()))
    }

    /// A number from 0 up to, not including, `end`; 0 when `end` is 0.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.0.next_u64()) * u128::from(end)) >> 64) as u64
    }

    /// A number from `start` up to, not including, `end`.
    pub(super) fn between(&mut self, start: u64, end: u64) -> u64 {
        start + self.below(end.saturating_sub(start))
    }

    /// The same as a signed number, which SQLite's are.
    pub(super) fn amount(&mut self, start: i64, end: i64) -> i64 {
        start + self.below((end - start).max(0) as u64) as i64
    }

    /// One of the words; empty when there are none.
    pub(super) fn word<'w>(&mut self, words: &[&'w str]) -> &'w str {
        let at = self.below(words.len() as u64) as usize;
        words.get(at).copied().unwrap_or_default()
    }

    /// `count` characters of an ASCII alphabet.
    pub(super) fn text(&mut self, count: usize, alphabet: &str) -> String {
        let letters = alphabet.as_bytes();
        let mut text = String::with_capacity(count);
        for _ in 0..count {
            let at = self.below(letters.len() as u64) as usize;
            text.push(letters.get(at).copied().map_or('0', char::from));
        }
        text
    }

    /// Random bytes.
    pub(super) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.fill_bytes(&mut bytes);
        bytes
    }

    /// A time in the two years before [`NEWEST`], seconds since the epoch.
    pub(super) fn past(&mut self) -> i64 {
        NEWEST - self.between(86_400, 2 * 365 * 86_400) as i64
    }
}

/// The stream of one asset, the markers it has made, and the book of taken values.
pub(super) struct Draw<'t> {
    /// Random numbers of this asset.
    pub(super) stream: Stream,
    asset: String,
    taken: &'t mut HashSet<Vec<u8>>,
    markers: Vec<Marker>,
}

impl<'t> Draw<'t> {
    pub(super) fn new(seed: u64, asset: &str, taken: &'t mut HashSet<Vec<u8>>) -> Self {
        Self { stream: Stream::new(seed, asset), asset: asset.to_owned(), taken, markers: Vec::new() }
    }

    /// Draws a value that no other marker of the session has, and notes it as a marker.
    ///
    /// `field` follows the asset's name: `[3].email`. `make` must have many more results than the
    /// session has markers: it is asked again as long as it gives a value that is taken or short.
    pub(super) fn mark(&mut self, field: &str, mut make: impl FnMut(&mut Stream) -> String) -> String {
        loop {
            let value = make(&mut self.stream);
            if self.keep(field, value.as_bytes()) {
                return value;
            }
        }
    }

    /// Notes a value that was made elsewhere. False when it is taken or too short: then it is no
    /// marker.
    pub(super) fn keep(&mut self, field: &str, value: &[u8]) -> bool {
        if value.len() < SHORTEST_MARKER || !self.taken.insert(value.to_vec()) {
            return false;
        }
        self.markers.push(Marker { name: format!("{}{field}", self.asset), value: value.to_vec() });
        true
    }

    /// The markers made so far.
    pub(super) fn into_markers(self) -> Vec<Marker> {
        self.markers
    }
}

/// A UTC date as `YYYY-MM-DD`, of seconds since the epoch.
pub(super) fn date(seconds: i64) -> String {
    let (year, month, day) = civil(seconds.div_euclid(86_400));
    format!("{year:04}-{month:02}-{day:02}")
}

/// Year, month and day of a day number since 1970-01-01 (the proleptic Gregorian calendar).
fn civil(days: i64) -> (i64, i64, i64) {
    // Counted in eras of 400 years from 0000-03-01, so that a leap day is the last of its year.
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ_by_seed_and_by_name_and_repeat() {
        let draw = |seed, name| Stream::new(seed, name).bytes::<16>();
        assert_eq!(draw(1, "a"), draw(1, "a"));
        assert_ne!(draw(1, "a"), draw(2, "a"));
        assert_ne!(draw(1, "a"), draw(1, "b"));
    }

    #[test]
    fn the_stream_is_the_same_on_every_machine() {
        // A recorded seed must keep its meaning: this value may never change.
        assert_eq!(Stream::new(42, "customers").text(16, HEX), "f6bc1b12ca565768");
    }

    #[test]
    fn a_taken_value_is_drawn_again() {
        let mut taken = HashSet::new();
        let mut draw = Draw::new(1, "a", &mut taken);
        assert!(draw.keep(".x", b"first!"));
        assert!(!draw.keep(".y", b"first!"), "taken");
        assert!(!draw.keep(".y", b"tiny"), "too short");
        let mut offers = ["first!", "tiny", "second"].into_iter();
        assert_eq!(draw.mark(".z", |_| offers.next().unwrap().to_owned()), "second");
        let names: Vec<_> = draw.into_markers().into_iter().map(|m| m.name).collect();
        assert_eq!(names, ["a.x", "a.z"]);
    }

    #[test]
    fn dates() {
        for (seconds, text) in
            [(0, "1970-01-01"), (951_782_400, "2000-02-29"), (NEWEST, "2026-01-01"), (-1, "1969-12-31")]
        {
            assert_eq!(date(seconds), text);
        }
    }
}
