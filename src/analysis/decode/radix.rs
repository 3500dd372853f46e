//! Base 64, base 32 and hexadecimal in runs of text: which of them a run is, and undoing it as it
//! comes. Line breaks inside a run are passed over, as MIME and PEM have them.

use wide::u8x16;

use super::base85::{Base85, RFC1924, Z85};
use super::{Decoder, Step};
use crate::analysis::encoding::Encoding;
use crate::analysis::patterns::SHORTEST;

/// Shortest run that is undone of other alphabets than hexadecimal digits.
const SHORTEST_RUN: usize = 32;
/// Bytes that are looked at at once.
const BLOCK: usize = 16;
/// Characters that tell which alphabet it is.
pub(super) const TELLING: usize = 4 * SHORTEST_RUN;

const HEX: u8 = 1;
const UPPER32: u8 = 2;
const LOWER32: u8 = 4;
const BASE64: u8 = 8;
const BASE85: u8 = 16;
const IN_RFC1924: u8 = 32;
const IN_Z85: u8 = 64;

/// Of any base 85, without what stands around it in programs' text.
const fn is_base85(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b',' | b'\\')
}

/// Which alphabets each byte is in.
static CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0_usize;
    while byte < 256 {
        let character = byte as u8;
        let mut class = 0;
        if character.is_ascii_hexdigit() {
            class |= HEX;
        }
        if matches!(character, b'A'..=b'Z' | b'2'..=b'7') {
            class |= UPPER32;
        }
        if matches!(character, b'a'..=b'z' | b'2'..=b'7') {
            class |= LOWER32;
        }
        // Of either alphabet (RFC 4648, 4 and 5).
        if character.is_ascii_alphanumeric() || matches!(character, b'+' | b'/' | b'-' | b'_') {
            class |= BASE64;
        }
        if is_base85(character) {
            class |= BASE85;
        }
        classes[byte] = class;
        byte += 1;
    }
    let mut digit = 0;
    while digit < 85 {
        classes[RFC1924[digit] as usize] |= IN_RFC1924;
        classes[Z85[digit] as usize] |= IN_Z85;
        digit += 1;
    }
    classes
};

fn class(byte: u8) -> u8 {
    CLASSES.get(usize::from(byte)).copied().unwrap_or_default()
}

/// Whose characters stand in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alphabet {
    /// Hexadecimal digits, whatever stands around them: eight bytes, which are enough of a digest.
    Hex,
    /// Base 64 or base 32; all of their characters are base 85's, too.
    Base64,
    /// Base 85 of any sort.
    Base85,
}

impl Alphabet {
    /// How many there are.
    pub(super) const COUNT: usize = 3;

    /// Shortest run that is undone. What is shorter holds nothing packed, and is known by the
    /// patterns made of the values themselves.
    fn shortest(self) -> usize {
        if self == Self::Hex { 2 * SHORTEST } else { SHORTEST_RUN }
    }

    fn class(self) -> u8 {
        match self {
            Self::Hex => HEX,
            Self::Base64 => BASE64,
            Self::Base85 => BASE85,
        }
    }

    fn has(self, byte: u8) -> bool {
        class(byte) & self.class() != 0
    }

    /// How many of the last bytes may belong to a run that goes on.
    pub(super) fn trailing(self, bytes: &[u8]) -> usize {
        bytes.iter().rev().take_while(|byte| self.has(**byte)).count()
    }

    /// The next run from `from` on that is long enough, `before` characters that came earlier
    /// counted where it begins at the first byte. Sixteen bytes are looked at at once.
    pub(super) fn next_run(self, bytes: &[u8], from: usize, before: usize) -> Option<Run> {
        let shortest = self.shortest() as isize;
        // Where a run began, those before included, which is below nothing.
        let mut begun = if from == 0 { -(before as isize) } else { from as isize };
        let run = |begun: isize, end: usize| Run { start: begun.max(0) as usize, end };
        let mut at = from;
        while at < bytes.len() {
            let rest = bytes.get(at..).unwrap_or_default();
            // What fills the last block up is of no alphabet.
            let block = rest.first_chunk().copied().unwrap_or_else(|| {
                let mut block = [0; BLOCK];
                block.iter_mut().zip(rest).for_each(|(to, byte)| *to = *byte);
                block
            });
            let outside = self.outside(block);
            if outside != 0 {
                let end = at + outside.trailing_zeros() as usize;
                if end as isize - begun >= shortest && end > from {
                    return Some(run(begun, end));
                }
                begun = (at + BLOCK - outside.leading_zeros() as usize) as isize;
            }
            at += BLOCK;
        }
        let end = bytes.len();
        (end as isize - begun >= shortest && end > from).then(|| run(begun, end))
    }

    /// Which of these bytes are not of the alphabet, one bit each.
    fn outside(self, block: [u8; BLOCK]) -> u16 {
        let bytes = u8x16::new(block);
        let is = |byte: u8| bytes.simd_eq(u8x16::splat(byte));
        let within = |bytes: u8x16, low, high| bytes.max(u8x16::splat(low)).min(u8x16::splat(high)).simd_eq(bytes);
        let small = bytes | u8x16::splat(0x20);
        let digit = || within(bytes, b'0', b'9');
        let inside = match self {
            Self::Hex => digit() | within(small, b'a', b'f'),
            Self::Base64 => digit() | within(small, b'a', b'z') | is(b'+') | is(b'/') | is(b'-') | is(b'_'),
            Self::Base85 => within(bytes, b'!', b'~') & !(is(b'"') | is(b'\'') | is(b',') | is(b'\\')),
        };
        !inside.to_bitmask() as u16
    }

    /// Where what is encoded may begin in a run with this head: at its first character, and in the
    /// path of an address behind a slash, unless that is a digit like the plus sign. Which of
    /// several does not matter where their groups of characters fall together.
    pub(super) fn starts(self, head: &[u8]) -> impl Iterator<Item = usize> {
        let mut phases = [true, false, false, false];
        let is_path = self == Self::Base64 && !head.contains(&b'+');
        let slashes = memchr::memchr_iter(b'/', if is_path { head } else { &[] }).map(|at| at + 1);
        let new = move |at: &usize| phases.get_mut(at % 4).is_some_and(|known| !std::mem::replace(known, true));
        std::iter::once(0).chain(slashes.filter(new))
    }

    /// What undoes a run that begins with these characters.
    pub(super) fn decoder(self, head: &[u8]) -> Option<(Encoding, Box<dyn Decoder>)> {
        let common = || head.iter().fold(u8::MAX, |common, byte| common & class(*byte));
        match self {
            Self::Hex => Some((Encoding::Hex, Box::new(Radix::new(4)))),
            Self::Base64 => match common() {
                // Hexadecimal digits are undone for themselves.
                common if common & HEX != 0 => None,
                common if common & (UPPER32 | LOWER32) != 0 => Some((Encoding::Base32, Box::new(Radix::new(5)))),
                // A name in a program or a ruled line: of 32 characters that stand for anything,
                // 250 in 251 have one of each sort, and of more nearly all. More may be coming.
                _ => {
                    let Sorts { capital, small, digit, .. } = Sorts::of(head);
                    let all = capital > 0 && small > 0 && digit > 0;
                    all.then(|| (Encoding::Base64, Box::new(Radix::new(6)) as Box<dyn Decoder>))
                }
            },
            Self::Base85 => {
                // Of its characters nearly a third each are capitals, small letters, and neither
                // letters nor digits; of an address, few are the first. Of 32, 22 differ in sort from
                // the one before, give or take 2.5; of expressions in programs, a third do.
                let Sorts { capital, small, other, changes, .. } = Sorts::of(head);
                if 5 * changes < 2 * head.len() || 8 * capital.min(small).min(other) < head.len() {
                    return None;
                }
                match common() {
                    common if common & IN_RFC1924 != 0 => Some((Encoding::Base85, Box::new(Base85::rfc1924()))),
                    common if common & IN_Z85 != 0 => Some((Encoding::Base85, Box::new(Base85::z85()))),
                    _ => None,
                }
            }
        }
    }
}

/// How many of a head's characters are of which sort, and how many of another than the one before.
struct Sorts {
    capital: usize,
    small: usize,
    digit: usize,
    other: usize,
    changes: usize,
}

impl Sorts {
    /// Of at most 255 characters: the trace and [`TELLING`] are no more together.
    fn of(head: &[u8]) -> Self {
        // One in the byte of each sort, so that one addition counts them all.
        static ONES: [u32; 256] = {
            let mut ones = [0; 256];
            let mut byte = 0_usize;
            while byte < 256 {
                ones[byte] = match byte as u8 {
                    b'A'..=b'Z' => 1,
                    b'a'..=b'z' => 1 << 8,
                    b'0'..=b'9' => 1 << 16,
                    _ => 1 << 24,
                };
                byte += 1;
            }
            ones
        };
        let (mut sum, mut last, mut changes) = (0_u32, 0, 0);
        for byte in head.iter().take(usize::from(u8::MAX)) {
            let one = ONES.get(usize::from(*byte)).copied().unwrap_or_default();
            sum += one;
            changes += usize::from(one != last);
            last = one;
        }
        let [capital, small, digit, other] = sum.to_le_bytes().map(usize::from);
        // The first differs from nothing.
        Self { capital, small, digit, other, changes: changes.saturating_sub(1) }
    }
}

/// A run of characters of some alphabet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) start: usize,
    pub(super) end: usize,
}

/// What each character stands for, in base 64, 32 and 16; [`NO_DIGIT`] where it is none.
static VALUES: [[u8; 256]; 3] = [
    values(6, b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"),
    values(5, b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"),
    values(4, b"0123456789ABCDEF"),
];
const NO_DIGIT: u8 = u8::MAX;

const fn values(width: u32, alphabet: &[u8]) -> [u8; 256] {
    let mut values = [NO_DIGIT; 256];
    let mut digit = 0;
    while digit < alphabet.len() {
        values[alphabet[digit] as usize] = digit as u8;
        // Small letters mean the same, but in base 64.
        if width < 6 {
            values[alphabet[digit].to_ascii_lowercase() as usize] = digit as u8;
        }
        digit += 1;
    }
    if width == 6 {
        values[b'-' as usize] = 62;
        values[b'_' as usize] = 63;
    }
    values
}

/// Undoes an alphabet of 16, 32 or 64 characters.
pub(super) struct Radix {
    values: &'static [u8; 256],
    width: u32,
    held: u32,
    bits: u32,
}

impl Radix {
    /// `width` bits a character: 4, 5 or 6.
    fn new(width: u32) -> Self {
        let [six, five, four] = &VALUES;
        let values = match width {
            4 => four,
            5 => five,
            _ => six,
        };
        Self { values, width, held: 0, bits: 0 }
    }
}

impl Decoder for Radix {
    fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> (usize, Step) {
        out.reserve(input.len() * self.width as usize / 8 + 1);
        for (at, byte) in input.iter().enumerate() {
            let value = self.values.get(usize::from(*byte)).copied().unwrap_or(NO_DIGIT);
            if value == NO_DIGIT {
                if matches!(byte, b'\r' | b'\n') {
                    continue;
                }
                // A digit too many: all may have been shifted by half a byte.
                if self.width == 4 && self.bits > 0 {
                    out.push((self.held << 4) as u8);
                }
                return (at, Step::Done);
            }
            self.held = self.held << self.width | u32::from(value);
            self.bits += self.width;
            if self.bits >= 8 {
                self.bits -= 8;
                out.push((self.held >> self.bits) as u8);
                self.held &= (1 << self.bits) - 1;
            }
        }
        (input.len(), Step::More)
    }

    fn weight(&self) -> usize {
        size_of::<Self>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    const ALL: [Alphabet; Alphabet::COUNT] = [Alphabet::Hex, Alphabet::Base64, Alphabet::Base85];

    #[test]
    fn sixteen_bytes_at_once_are_told_as_one_is() {
        for alphabet in ALL {
            for byte in 0..=u8::MAX {
                let outside = alphabet.outside([byte; BLOCK]);
                assert_eq!(outside, if alphabet.has(byte) { 0 } else { u16::MAX }, "{alphabet:?} {byte:#x}");
            }
        }
    }

    proptest! {
        #[test]
        fn runs_are_those_that_are_found_by_hand(
            pieces in vec((0..4_usize, 1..80_usize), 0..12),
            from in 0..40_usize,
            before in 0..40_usize,
        ) {
            let bytes: Vec<u8> = pieces.iter().flat_map(|(sort, length)| vec![b"a~ Q"[*sort]; *length]).collect();
            for alphabet in ALL {
                let (mut by_hand, mut at) = (Vec::new(), from.min(bytes.len()));
                while at < bytes.len() {
                    let length = bytes[at..].iter().take_while(|byte| alphabet.has(**byte)).count();
                    let earlier = if at == 0 { before } else { 0 };
                    if length > 0 && length + earlier >= alphabet.shortest() {
                        by_hand.push((at, at + length));
                    }
                    at += length.max(1);
                }
                let (mut found, mut at) = (Vec::new(), from);
                while let Some(run) = alphabet.next_run(&bytes, at, before) {
                    found.push((run.start, run.end));
                    at = run.end;
                }
                prop_assert_eq!(found, by_hand);
            }
        }
    }
}
