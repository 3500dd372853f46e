//! Base 85: four bytes in five characters, in the three alphabets that are in use.

use super::{Decoder, Step};

/// Adobe's (PostScript Language Reference, 3.13.3), between `<~` and `~>`.
pub(in crate::analysis) const ASCII85: &[u8; 85] =
    b"!\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstu";
/// ZeroMQ RFC 32.
pub(in crate::analysis) const Z85: &[u8; 85] =
    b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";
/// RFC 1924's, as git and Python's `b85encode` have it.
pub(in crate::analysis) const RFC1924: &[u8; 85] =
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~";

/// Encodes whole groups of four bytes; what is left over is left out.
pub(in crate::analysis) fn encode(alphabet: &[u8; 85], bytes: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(bytes.len() / 4 * 5);
    for group in bytes.as_chunks::<4>().0 {
        let mut number = u32::from_be_bytes(*group);
        let mut digits = [0; 5];
        for digit in digits.iter_mut().rev() {
            *digit = alphabet.get((number % 85) as usize).copied().unwrap_or_default();
            number /= 85;
        }
        encoded.extend_from_slice(&digits);
    }
    encoded
}

/// What each character stands for; `u8::MAX` where it is none.
const fn values(alphabet: &[u8; 85]) -> [u8; 256] {
    let mut values = [u8::MAX; 256];
    let mut value = 0;
    while value < alphabet.len() {
        values[alphabet[value] as usize] = value as u8;
        value += 1;
    }
    values
}

static OF_ASCII85: [u8; 256] = values(ASCII85);
static OF_Z85: [u8; 256] = values(Z85);
static OF_RFC1924: [u8; 256] = values(RFC1924);

/// Undoes one alphabet. White space is passed over.
pub(super) struct Base85 {
    values: &'static [u8; 256],
    number: u64,
    digits: u32,
    /// Whether `<~` is to be passed over, and `z` stands for four zero bytes.
    adobe: bool,
    passed: u8,
}

impl Base85 {
    pub(super) fn ascii85() -> Self {
        Self { values: &OF_ASCII85, number: 0, digits: 0, adobe: true, passed: 0 }
    }

    pub(super) fn z85() -> Self {
        Self { values: &OF_Z85, adobe: false, ..Self::ascii85() }
    }

    pub(super) fn rfc1924() -> Self {
        Self { values: &OF_RFC1924, adobe: false, ..Self::ascii85() }
    }
}

impl Decoder for Base85 {
    fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> (usize, Step) {
        for (at, byte) in input.iter().enumerate() {
            if self.adobe && self.passed < 2 {
                self.passed += 1;
                continue;
            }
            match (byte, self.values.get(usize::from(*byte)).copied().unwrap_or(u8::MAX)) {
                (b' ' | b'\t' | b'\r' | b'\n', _) => {}
                (b'z', _) if self.adobe && self.digits == 0 => out.extend_from_slice(&[0; 4]),
                (_, u8::MAX) => {
                    // A shorter last group is filled with the highest digit.
                    let missing = 5_u32.saturating_sub(self.digits);
                    if self.digits > 1 {
                        let number = (0..missing).fold(self.number, |number, _| number * 85 + 84) as u32;
                        out.extend(number.to_be_bytes().into_iter().take(self.digits as usize - 1));
                    }
                    return (at, Step::Done);
                }
                (_, value) => {
                    self.number = self.number * 85 + u64::from(value);
                    self.digits += 1;
                    if self.digits == 5 {
                        let Ok(number) = u32::try_from(self.number) else { return (at, Step::Failed) };
                        out.extend_from_slice(&number.to_be_bytes());
                        (self.number, self.digits) = (0, 0);
                    }
                }
            }
        }
        (input.len(), Step::More)
    }

    fn weight(&self) -> usize {
        size_of::<Self>()
    }
}
