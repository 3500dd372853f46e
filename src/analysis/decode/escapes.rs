//! Escapes in text: percent signs, backslashes, character references, quoted-printable. Where one
//! begins, the text goes on being undone as a whole until it has had none for a while, so that a
//! value is found whichever of its characters are escaped.

use super::formats::is_text;
use super::{Decoder, Step};
use crate::analysis::encoding::Encoding;

/// Bytes without an escape after which a text is no longer undone: of base 64 whose slashes are
/// escaped, one stretch in ten million is as long.
pub(super) const QUIET: usize = 1024;
/// Bytes from an escape on that must be text for it to be one: in noise there are signs, too.
const TEXT: usize = 24;
/// Longest escape that is understood.
const LONGEST: usize = 12;

/// A sort of escapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Percent,
    Backslash,
    Reference,
    Quoted,
}

impl Sort {
    pub(super) const ALL: [Self; 4] = [Self::Percent, Self::Backslash, Self::Reference, Self::Quoted];

    fn sign(self) -> u8 {
        match self {
            Self::Percent => b'%',
            Self::Backslash => b'\\',
            Self::Reference => b'&',
            Self::Quoted => b'=',
        }
    }

    /// Which encoding it stands for, by the bytes that begin it.
    pub(super) fn encoding(self, escape: &[u8]) -> Encoding {
        match (self, escape.get(1)) {
            (Self::Percent, _) => Encoding::Percent,
            (Self::Backslash, Some(b'x' | b'0'..=b'7')) => Encoding::CEscape,
            (Self::Backslash, _) => Encoding::Json,
            (Self::Reference, _) => Encoding::Html,
            (Self::Quoted, _) => Encoding::QuotedPrintable,
        }
    }

    /// Where the first escape at `from` or behind begins that can hide part of a value.
    pub(super) fn first(self, bytes: &[u8], from: usize) -> Option<usize> {
        memchr::memchr_iter(self.sign(), bytes.get(from..)?).map(|at| from + at).find(|at| {
            let rest = bytes.get(*at..).unwrap_or_default();
            let hides = match (self, self.undo(rest, true)) {
                // An equals sign before two digits is in every address of a page: only where two
                // follow each other, or what is meant is one, or a line is broken.
                (Self::Quoted, Undone::Is(length, _)) => {
                    length < 4 && rest.get(1).is_some_and(|byte| matches!(byte, b'\r' | b'\n'))
                        || rest.starts_with(b"=3D")
                        || length == 3
                            && matches!(rest.get(3..).map(|next| self.undo(next, true)), Some(Undone::Is(3, _)))
                }
                (_, Undone::Is(..)) => true,
                _ => false,
            };
            hides && is_text(rest.get(..TEXT).unwrap_or(rest))
        })
    }

    /// Understands the escape that `bytes` begin with; `end` when there are no more.
    fn undo(self, bytes: &[u8], end: bool) -> Undone {
        let short = |wanted: usize| bytes.len() < wanted && !end;
        let hex = |from: usize, length: usize| {
            let digits = bytes.get(from..from + length)?;
            let text = std::str::from_utf8(digits).ok().filter(|_| digits.iter().all(u8::is_ascii_hexdigit))?;
            u32::from_str_radix(text, 16).ok()
        };
        match self {
            Self::Percent | Self::Quoted if short(3) => Undone::Unfinished,
            Self::Quoted if bytes.starts_with(b"=\r\n") => Undone::Is(3, None),
            Self::Quoted if bytes.starts_with(b"=\n") => Undone::Is(2, None),
            Self::Percent | Self::Quoted => {
                hex(1, 2).map_or(Undone::Not, |byte| Undone::Is(3, Some(Character::Byte(byte as u8))))
            }
            Self::Backslash if short(2) => Undone::Unfinished,
            Self::Backslash => match bytes.get(1) {
                Some(b'u') if short(6) => Undone::Unfinished,
                Some(b'u') => match (hex(2, 4), bytes.get(6..8) == Some(b"\\u"), hex(8, 4)) {
                    (Some(0xd800..=0xdbff), ..) if short(12) => Undone::Unfinished,
                    (Some(high @ 0xd800..=0xdbff), true, Some(low @ 0xdc00..=0xdfff)) => {
                        Undone::code(12, 0x10000 + (high - 0xd800) * 0x400 + low - 0xdc00)
                    }
                    (Some(code), ..) => Undone::code(6, code),
                    (None, ..) => Undone::Not,
                },
                Some(b'U') if short(10) => Undone::Unfinished,
                Some(b'U') => hex(2, 8).map_or(Undone::Not, |code| Undone::code(10, code)),
                Some(b'x' | b'0'..=b'7') if short(4) => Undone::Unfinished,
                Some(b'x') => hex(2, 2).map_or(Undone::Not, |byte| Undone::Is(4, Some(Character::Byte(byte as u8)))),
                Some(b'0'..=b'7') => {
                    let digits = bytes.get(1..).unwrap_or_default().iter();
                    let digits = digits.take(3).take_while(|byte| (b'0'..=b'7').contains(byte));
                    let (count, code) =
                        digits.fold((0, 0), |(n, code), byte| (n + 1, code * 8 + u32::from(byte - b'0')));
                    Undone::Is(1 + count, Some(Character::Byte(code as u8)))
                }
                Some(character @ (b'/' | b'"' | b'\\' | b'\'')) => Undone::Is(2, Some(Character::Byte(*character))),
                Some(_) | None => Undone::Not,
            },
            Self::Reference => reference(bytes, short(LONGEST)),
        }
    }
}

/// A character reference: numbers, and the five names that XML has, too.
fn reference(bytes: &[u8], short: bool) -> Undone {
    let Some(length) = bytes.iter().take(LONGEST).position(|byte| *byte == b';') else {
        return if short { Undone::Unfinished } else { Undone::Not };
    };
    let Some(name) = bytes.get(1..length).and_then(|name| std::str::from_utf8(name).ok()) else { return Undone::Not };
    let code = match name {
        "amp" => Some(u32::from(b'&')),
        "lt" => Some(u32::from(b'<')),
        "gt" => Some(u32::from(b'>')),
        "quot" => Some(u32::from(b'"')),
        "apos" => Some(u32::from(b'\'')),
        _ => match name.strip_prefix('#').map(|number| (number, number.strip_prefix(['x', 'X']))) {
            Some((_, Some(hex))) => u32::from_str_radix(hex, 16).ok(),
            Some((number, None)) => number.parse().ok(),
            None => None,
        },
    };
    code.map_or(Undone::Not, |code| Undone::code(length + 1, code))
}

enum Character {
    Byte(u8),
    Unicode(char),
}

enum Undone {
    /// So many bytes are an escape of this; of nothing where lines were broken.
    Is(usize, Option<Character>),
    /// No escape.
    Not,
    /// More is needed to tell.
    Unfinished,
}

impl Undone {
    fn code(length: usize, code: u32) -> Self {
        char::from_u32(code).map_or(Self::Not, |character| Self::Is(length, Some(Character::Unicode(character))))
    }
}

/// Undoes one sort of escapes.
pub(super) struct Unescape {
    sort: Sort,
    held: Vec<u8>,
    /// Bytes since the last escape.
    quiet: usize,
}

impl Unescape {
    pub(super) fn new(sort: Sort) -> Self {
        Self { sort, held: Vec::new(), quiet: 0 }
    }

    /// Goes on after a [quiet](QUIET) stretch.
    pub(super) fn go_on(&mut self) {
        self.quiet = 0;
    }

    /// Undoes what is whole in `bytes`, until it has been quiet, and returns how much that was.
    fn whole(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> usize {
        let mut at = 0;
        while at < bytes.len() && self.quiet < QUIET {
            let rest = bytes.get(at..).unwrap_or_default();
            let near = rest.get(..QUIET - self.quiet).unwrap_or(rest);
            let plain = memchr::memchr(self.sort.sign(), near).unwrap_or(near.len());
            out.extend_from_slice(near.get(..plain).unwrap_or_default());
            self.quiet += plain;
            at += plain;
            if plain == near.len() {
                continue;
            }
            let rest = rest.get(plain..).unwrap_or_default();
            match self.sort.undo(rest, false) {
                Undone::Unfinished => break,
                Undone::Not => {
                    out.push(self.sort.sign());
                    self.quiet += 1;
                    at += 1;
                }
                Undone::Is(length, character) => {
                    match character {
                        Some(Character::Byte(byte)) => out.push(byte),
                        Some(Character::Unicode(character)) => {
                            out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                        }
                        None => {}
                    }
                    self.quiet = 0;
                    at += length;
                }
            }
        }
        at
    }
}

impl Decoder for Unescape {
    fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> (usize, Step) {
        let mut taken = 0;
        // What was held is completed byte by byte: it is never longer than an escape.
        while !self.held.is_empty() {
            let Some(byte) = input.get(taken) else { return (taken, Step::More) };
            self.held.push(*byte);
            taken += 1;
            let held = std::mem::take(&mut self.held);
            let done = self.whole(&held, out);
            self.held = held.get(done..).unwrap_or_default().to_vec();
            if self.quiet >= QUIET {
                return (taken, Step::Done);
            }
        }
        let rest = input.get(taken..).unwrap_or_default();
        let done = self.whole(rest, out);
        if self.quiet >= QUIET {
            return (taken + done, Step::Done);
        }
        self.held.extend_from_slice(rest.get(done..).unwrap_or_default());
        (input.len(), Step::More)
    }

    fn weight(&self) -> usize {
        size_of::<Self>() + self.held.capacity()
    }
}
