//! The disguises of one value that can be written down beforehand: single encodings and digests.
//! What nests, or mixes escapes with plain text, is undone by [`super::decode`] instead.
//!
//! **Lengths.** A session may see some 2^40 bytes and has up to 2^17 patterns, so that what is
//! sought must have well over 57 bits where innocent bytes are random, or be a text that nobody
//! writes who does not have the value. A digest's first eight bytes have 64 bits (in base64, whose
//! tenth character is the last that they alone decide, 60). Encodings are made of values of eight
//! bytes and more. Where the disguise has the alphabet of the value itself - letters, digits -
//! random bytes are not the danger but texts of the same sort: reversed, ROT13 and XOR are sought
//! for values that bear at least 40 bits by the alphabet they use, XOR 48, since its key is free.

use data_encoding::{BASE32_NOPAD, BASE64_NOPAD, BASE64URL_NOPAD, Encoding as Alphabet, HEXLOWER, HEXUPPER};

use super::decode::base85;
use super::digests;
use super::encoding::{Encoding, Path};

/// Shortest pattern; [`super::windows`] finds nothing shorter.
pub(super) const SHORTEST: usize = 8;
/// Longest pattern: of what is longer, the first bytes.
pub(super) const LONGEST: usize = 128;
/// Bytes of a digest that are enough.
const DIGEST: usize = 8;
/// Bits that a value must bear to be sought in another order or with other letters.
const BITS: f64 = 40.0;
/// The same where any of 255 keys will do.
const BITS_XOR: f64 = 48.0;

/// How a pattern is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compare {
    /// Byte by byte.
    Bytes,
    /// By the differences of neighbours, which no single-byte key changes.
    Differences,
}

/// Tells `add` of every disguise of `value`.
pub(super) fn of(value: &[u8], mut add: impl FnMut(&[u8], Compare, Path)) {
    let mut encoded = |bytes: &[u8], layer| {
        let bytes = bytes.get(..LONGEST).unwrap_or(bytes);
        if bytes.len() >= SHORTEST && !contains(value, bytes) {
            add(bytes, Compare::Bytes, Path::CLEAR.and(layer));
        }
    };
    if value.len() >= SHORTEST {
        for phase in 0..3 {
            both(value, phase, |base64| encoded(base64, Encoding::Base64));
        }
        let base32 = phased(&BASE32_NOPAD, value, 0, 5);
        encoded(&base32, Encoding::Base32);
        encoded(&base32.to_ascii_lowercase(), Encoding::Base32);
        // Groups of four bytes, of which any may be the value's first whole one.
        for phase in 0..4 {
            let groups = value.get(phase..).unwrap_or_default();
            if groups.len() >= SHORTEST {
                for alphabet in [base85::ASCII85, base85::Z85, base85::RFC1924] {
                    encoded(&base85::encode(alphabet, groups), Encoding::Base85);
                }
            }
        }
        encoded(HEXLOWER.encode(value).as_bytes(), Encoding::Hex);
        encoded(HEXUPPER.encode(value).as_bytes(), Encoding::Hex);
        // As lists of bytes are printed; in Java those beyond ASCII are negative.
        for separator in [",", ", ", " "] {
            encoded(list(value, separator, |byte| byte.to_string()).as_bytes(), Encoding::Decimal);
            if !value.is_ascii() {
                encoded(list(value, separator, |byte| byte.cast_signed().to_string()).as_bytes(), Encoding::Decimal);
            }
        }
        for separator in [":", " ", ", 0x"] {
            encoded(list(value, separator, |byte| format!("{byte:02x}")).as_bytes(), Encoding::Hex);
            encoded(list(value, separator, |byte| format!("{byte:02X}")).as_bytes(), Encoding::Hex);
        }
        if value.contains(&b' ') {
            let form: Vec<u8> = value.iter().map(|byte| if *byte == b' ' { b'+' } else { *byte }).collect();
            encoded(&form, Encoding::Form);
        }
        if bits(value) >= BITS {
            encoded(&value.iter().rev().copied().collect::<Vec<u8>>(), Encoding::Reversed);
            encoded(&value.iter().map(|byte| rot13(*byte)).collect::<Vec<u8>>(), Encoding::Rot13);
        }
        numbers(value, &mut encoded);
    }
    if let Ok(text) = std::str::from_utf8(value)
        && value.len() * 2 >= SHORTEST
    {
        for order in [u16::to_le_bytes, u16::to_be_bytes] {
            encoded(&text.encode_utf16().flat_map(order).collect::<Vec<u8>>(), Encoding::Utf16);
        }
    }
    // One byte less than there are: that many differences.
    if value.len() > SHORTEST && bits(value) >= BITS_XOR {
        let value = value.get(..LONGEST).unwrap_or(value);
        add(value, Compare::Differences, Path::CLEAR.and(Encoding::Xor));
    }
    for form in forms(value) {
        digested(&form, &mut add);
    }
}

/// A value's bytes one by one, as far as a pattern goes.
fn list(value: &[u8], separator: &str, print: impl Fn(u8) -> String) -> String {
    let bytes: Vec<String> = value.iter().take(LONGEST / 2).map(|byte| print(*byte)).collect();
    bytes.join(separator)
}

/// The forms of a value that programs take digests of: as it is, with the newline of a file or of
/// `echo`, trimmed, in small letters, its digits alone.
pub(super) fn forms(value: &[u8]) -> Vec<Vec<u8>> {
    let trimmed = value.trim_ascii();
    let digits: Vec<u8> = value.iter().copied().filter(u8::is_ascii_digit).collect();
    let line = |text: &[u8]| [text, b"\n"].concat();
    let mut forms = vec![value.to_vec(), line(value), trimmed.to_vec(), trimmed.to_ascii_lowercase()];
    if digits.len() >= SHORTEST {
        forms.push(digits);
    }
    forms.sort_unstable();
    forms.dedup();
    forms
}

fn digested(form: &[u8], add: &mut impl FnMut(&[u8], Compare, Path)) {
    for (which, _) in digests::ALL {
        let digest = digests::digest(which, &[form]);
        let Some(start) = digest.get(..DIGEST) else { return };
        let bare = Path::CLEAR.and(which);
        // In hexadecimal digits they are undone first, wherever these stand: a third fewer patterns.
        add(start, Compare::Bytes, bare);
        let base64 = Path::CLEAR.and(Encoding::Base64).then(bare);
        both(start, 0, |text| add(text, Compare::Bytes, base64));
    }
}

/// The characters that `value` alone decides when `before` bytes stand before it in what is
/// encoded, and any number behind. A character holds `width` bits.
fn phased(alphabet: &Alphabet, value: &[u8], before: usize, width: usize) -> Vec<u8> {
    let mut whole = vec![0; before];
    whole.extend_from_slice(value);
    let (first, last) = ((before * 8).div_ceil(width), whole.len() * 8 / width);
    alphabet.encode(&whole).as_bytes().get(first..last).unwrap_or_default().to_vec()
}

/// The same in base 64, by both alphabets where they differ.
fn both(value: &[u8], before: usize, mut add: impl FnMut(&[u8])) {
    let [plain, url] = [&BASE64_NOPAD, &BASE64URL_NOPAD].map(|alphabet| phased(alphabet, value, before, 6));
    add(&plain);
    if url != plain {
        add(&url);
    }
}

/// A value of digits as a machine's number, as MessagePack, CBOR, Protocol Buffers and databases
/// keep it; a value of hexadecimal digits as the bytes that it stands for.
fn numbers(value: &[u8], encoded: &mut impl FnMut(&[u8], Encoding)) {
    let digits: Vec<u8> = value.iter().copied().filter(u8::is_ascii_digit).collect();
    let number = std::str::from_utf8(&digits).ok().and_then(|digits| digits.parse::<u64>().ok());
    // Seven bytes of eight must be in use, or chance would do.
    if let Some(number) = number.filter(|number| *number >= 1 << 48) {
        encoded(&number.to_be_bytes(), Encoding::Integer);
        encoded(&number.to_le_bytes(), Encoding::Integer);
        // Base 128, least first (Protocol Buffers' varint).
        let (mut rest, mut varint) = (number, Vec::new());
        while rest >= 0x80 {
            varint.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        varint.push(rest as u8);
        encoded(&varint, Encoding::Integer);
    }
    let hex: Vec<u8> = value.iter().copied().filter(|byte| !matches!(byte, b'-' | b':')).collect();
    if let Ok(bytes) = data_encoding::HEXLOWER_PERMISSIVE.decode(&hex)
        && !hex.iter().all(u8::is_ascii_digit)
    {
        encoded(&bytes, Encoding::Binary);
    }
}

/// Bits that the value bears: by the smallest usual alphabet its characters are of.
fn bits(value: &[u8]) -> f64 {
    let all = |of: fn(&u8) -> bool| value.iter().all(of);
    let letters = if all(|byte| !byte.is_ascii_alphabetic()) {
        10.0_f64
    } else if all(u8::is_ascii_hexdigit) {
        16.0
    } else {
        // Names and words are far from random: as if of twenty letters.
        20.0
    };
    value.len() as f64 * letters.log2()
}

fn rot13(byte: u8) -> u8 {
    match byte {
        b'a'..=b'z' => (byte - b'a' + 13) % 26 + b'a',
        b'A'..=b'Z' => (byte - b'A' + 13) % 26 + b'A',
        _ => byte,
    }
}

fn contains(value: &[u8], pattern: &[u8]) -> bool {
    value.windows(pattern.len()).any(|part| part == pattern)
}
