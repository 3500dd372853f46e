//! Base 64, base 32 and hexadecimal in runs of text: which of them a run is, and undoing it as it
//! comes. Line breaks inside a run are passed over, as MIME and PEM have them.

use super::base85::{Base85, RFC1924, Z85};
use super::{Decoder, Step};
use crate::analysis::encoding::Encoding;

/// Shortest run that is undone. What is shorter holds no compressed data, and is known by the
/// patterns made of the values themselves.
pub(super) const SHORTEST_RUN: usize = 32;

const HEX: u8 = 1;
const UPPER32: u8 = 2;
const LOWER32: u8 = 4;
const BASE64: u8 = 8;
const BASE85: u8 = 16;

/// Which alphabets each byte is in. Base 85 without the quotes that no program's text has in it.
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
        if character.is_ascii_alphanumeric() || matches!(character, b'+' | b'/' | b'-' | b'_') {
            class |= BASE64;
        }
        if character.is_ascii_graphic() && !matches!(character, b'"' | b'\'' | b',' | b'\\') {
            class |= BASE85;
        }
        classes[byte] = class;
        byte += 1;
    }
    classes
};

fn class(byte: u8) -> u8 {
    CLASSES.get(usize::from(byte)).copied().unwrap_or_default()
}

/// How many of the last bytes may belong to a run that goes on.
pub(super) fn trailing(bytes: &[u8]) -> usize {
    bytes.iter().rev().take_while(|byte| class(**byte) & BASE85 != 0).count()
}

/// A run of characters of some alphabet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) start: usize,
    pub(super) end: usize,
}

/// The next run from `from` on that is long enough, `before` characters that came earlier counted
/// where it begins at the first byte. Only one byte in sixteen is looked at where there is none.
pub(super) fn next_run(bytes: &[u8], from: usize, before: usize) -> Option<Run> {
    const APART: usize = SHORTEST_RUN / 2;
    let is = |byte: Option<&u8>| byte.is_some_and(|byte| class(*byte) & BASE85 != 0);
    if from == 0 && before > 0 {
        let end = bytes.iter().take_while(|byte| class(**byte) & BASE85 != 0).count();
        if end > 0 && end + before >= SHORTEST_RUN {
            return Some(Run { start: 0, end });
        }
    }
    let mut at = from + APART - 1;
    while at < bytes.len() {
        // Two looked-at places in a row are in every run of this length.
        if !is(bytes.get(at)) {
            at += APART;
            continue;
        }
        let head = bytes.get(from..at).unwrap_or_default();
        let start = at - head.iter().rev().take_while(|byte| class(**byte) & BASE85 != 0).count();
        let rest = bytes.get(at..).unwrap_or_default();
        let end = at + rest.iter().take_while(|byte| class(**byte) & BASE85 != 0).count();
        if end - start >= SHORTEST_RUN {
            return Some(Run { start, end });
        }
        at = end + APART;
    }
    None
}

/// Which decoder the run's characters call for, with how many of the first of them do not belong
/// to it.
pub(super) fn decoder(run: &[u8]) -> Option<(Encoding, Box<dyn Decoder>, usize)> {
    // The run of base 64 in it, where there is one: `data=`, `http://host/` stand before some.
    let mut start = 0;
    let mut found = None;
    for (at, byte) in run.iter().enumerate() {
        if class(*byte) & BASE64 == 0 {
            start = at + 1;
        } else if at + 1 - start >= SHORTEST_RUN {
            found = Some(start);
            break;
        }
    }
    if let Some(start) = found {
        let head = run.get(start..start + SHORTEST_RUN)?;
        let common = head.iter().fold(u8::MAX, |common, byte| common & class(*byte));
        return Some(if common & HEX != 0 {
            (Encoding::Hex, Box::new(Radix::new(4)), start)
        } else if common & (UPPER32 | LOWER32) != 0 {
            (Encoding::Base32, Box::new(Radix::new(5)), start)
        } else {
            (Encoding::Base64, Box::new(Radix::new(6)), start)
        });
    }
    // Base 85 has a third of its characters outside of letters and digits.
    let others = run.iter().filter(|byte| !byte.is_ascii_alphanumeric()).count();
    if run.len() < SHORTEST_RUN || others * 8 < run.len() {
        return None;
    }
    let fits = |alphabet: &[u8; 85]| run.iter().all(|byte| alphabet.contains(byte));
    let alphabet = [RFC1924, Z85].into_iter().find(|alphabet| fits(alphabet))?;
    Some((Encoding::Base85, Box::new(Base85::new(alphabet)), 0))
}

/// Undoes an alphabet of 16, 32 or 64 characters.
pub(super) struct Radix {
    width: u32,
    held: u32,
    bits: u32,
}

impl Radix {
    /// `width` bits a character: 4, 5 or 6.
    pub(super) fn new(width: u32) -> Self {
        Self { width, held: 0, bits: 0 }
    }

    fn value(&self, byte: u8) -> Option<u32> {
        let value = match (self.width, byte) {
            (4, b'0'..=b'9') => byte - b'0',
            (4, b'a'..=b'f') => byte - b'a' + 10,
            (4, b'A'..=b'F') => byte - b'A' + 10,
            (5, b'a'..=b'z') => byte - b'a',
            (5, b'2'..=b'7') => byte - b'2' + 26,
            (5 | 6, b'A'..=b'Z') => byte - b'A',
            (6, b'a'..=b'z') => byte - b'a' + 26,
            (6, b'0'..=b'9') => byte - b'0' + 52,
            (6, b'+' | b'-') => 62,
            (6, b'/' | b'_') => 63,
            _ => return None,
        };
        Some(value.into())
    }
}

impl Decoder for Radix {
    fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> (usize, Step) {
        for (at, byte) in input.iter().enumerate() {
            let Some(value) = self.value(*byte) else {
                if matches!(byte, b'\r' | b'\n') {
                    continue;
                }
                return (at, Step::Done);
            };
            self.held = self.held << self.width | value;
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
