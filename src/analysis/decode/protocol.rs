//! Bodies in chunks (RFC 9112, 7.1) and frames of WebSocket (RFC 6455, 5.2), where no gateway has
//! taken them apart: they begin behind the head of a message, which names them.

use super::compressed::Inflate;
use super::{Decoder, Step};

/// Longest head and longest line of a chunk's size that is waited for.
const MAX_HEAD: usize = 64 << 10;
const MAX_LINE: usize = 256;

/// The empty line at which a head ends, found over any pieces.
#[derive(Default)]
struct Head {
    last: u32,
    passed: usize,
}

impl Head {
    /// Passes over the bytes that still belong to it; it fails when it is too long. It is over once
    /// [`ended`](Self::ended) says so.
    fn pass(&mut self, input: &[u8]) -> (usize, Step) {
        for (at, byte) in input.iter().enumerate() {
            self.last = self.last << 8 | u32::from(*byte);
            if self.ended() {
                return (at + 1, Step::More);
            }
        }
        self.passed += input.len();
        (input.len(), if self.passed < MAX_HEAD { Step::More } else { Step::Failed })
    }

    fn ended(&self) -> bool {
        self.last == u32::from_be_bytes(*b"\r\n\r\n")
    }
}

/// A body in chunks.
#[derive(Default)]
pub(super) struct Chunked {
    head: Head,
    line: Vec<u8>,
    /// Bytes of the chunk that are still to come.
    left: u64,
}

impl Decoder for Chunked {
    fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> (usize, Step) {
        if !self.head.ended() {
            return self.head.pass(input);
        }
        let mut at = 0;
        while let Some(rest) = input.get(at..).filter(|rest| !rest.is_empty()) {
            if self.left > 0 {
                let length = usize::try_from(self.left).unwrap_or(usize::MAX).min(rest.len());
                out.extend_from_slice(rest.get(..length).unwrap_or_default());
                self.left -= length as u64;
                at += length;
                continue;
            }
            let end = rest.iter().position(|byte| *byte == b'\n');
            let line = rest.get(..end.map_or(rest.len(), |end| end + 1)).unwrap_or_default();
            self.line.extend_from_slice(line);
            at += line.len();
            if self.line.len() > MAX_LINE {
                return (at, Step::Failed);
            }
            if end.is_some() {
                let line = std::mem::take(&mut self.line);
                // The line break that ends a chunk stands before the next one's size.
                let size = line.trim_ascii().split(|byte| *byte == b';').next().unwrap_or_default();
                if size.is_empty() {
                    continue;
                }
                match std::str::from_utf8(size).ok().and_then(|size| u64::from_str_radix(size, 16).ok()) {
                    Some(0) => return (at, Step::Done),
                    Some(size) => self.left = size,
                    None => return (at, Step::Failed),
                }
            }
        }
        (input.len(), Step::More)
    }

    fn weight(&self) -> usize {
        size_of::<Self>() + self.line.capacity()
    }
}

/// The frames that one side sends.
#[derive(Default)]
pub(super) struct Frames {
    head: Head,
    header: Vec<u8>,
    left: u64,
    mask: [u8; 4],
    at: usize,
    /// The message is compressed (RFC 7692): it is undone by this.
    inflate: Option<Box<Inflate>>,
    packed: bool,
    last: bool,
}

impl Frames {
    /// Bytes that the header has, as far as it is known.
    fn wanted(&self) -> usize {
        let Some(second) = self.header.get(1) else { return 2 };
        2 + Self::longer(*second) + if second & 0x80 != 0 { 4 } else { 0 }
    }

    /// Bytes that a longer length has.
    fn longer(second: u8) -> usize {
        match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        }
    }

    /// Reads a whole header. Returns false where it cannot be one.
    fn begin(&mut self) -> bool {
        let header = std::mem::take(&mut self.header);
        let (Some(first), Some(second)) = (header.first(), header.get(1)) else { return false };
        let opcode = first & 15;
        if first & 0x30 != 0 || !matches!(opcode, 0..=2 | 8..=10) {
            return false;
        }
        let bytes = header.get(2..).unwrap_or_default();
        let (longer, mask) = bytes.split_at_checked(Self::longer(*second)).unwrap_or_default();
        self.left = match second & 0x7f {
            126 | 127 => longer.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
            short => short.into(),
        };
        self.mask = mask.first_chunk().copied().unwrap_or_default();
        self.at = 0;
        if matches!(opcode, 1 | 2) {
            self.packed = first & 0x40 != 0;
        }
        self.last = first & 0x80 != 0;
        true
    }
}

impl Decoder for Frames {
    fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> (usize, Step) {
        if !self.head.ended() {
            return self.head.pass(input);
        }
        let mut at = 0;
        while let Some(rest) = input.get(at..).filter(|rest| !rest.is_empty()) {
            if self.left == 0 {
                let length = self.wanted().saturating_sub(self.header.len()).min(rest.len());
                self.header.extend_from_slice(rest.get(..length).unwrap_or_default());
                at += length;
                if self.header.len() >= 2 && self.header.len() == self.wanted() && !self.begin() {
                    return (at, Step::Failed);
                }
                continue;
            }
            let length = usize::try_from(self.left).unwrap_or(usize::MAX).min(rest.len());
            let part = rest.get(..length).unwrap_or_default();
            let plain = part.iter().enumerate().map(|(n, byte)| byte ^ self.mask[(self.at + n) % 4]);
            if self.packed {
                let plain: Vec<u8> = plain.collect();
                let inflate = self.inflate.get_or_insert_with(|| Box::new(Inflate::raw()));
                // A message's end is marked by four bytes that are left out (RFC 7692, 7.2.2).
                let end = [0, 0, 0xff, 0xff];
                let end = if self.left == length as u64 && self.last { &end[..] } else { &[] };
                for part in [&plain[..], end] {
                    let mut from = 0;
                    while let Some(rest) = part.get(from..).filter(|rest| !rest.is_empty()) {
                        let (taken, step) = inflate.step(rest, out);
                        if matches!(step, Step::Failed) || taken == 0 {
                            break;
                        }
                        from += taken;
                    }
                }
            } else {
                out.extend(plain);
            }
            self.at += length;
            self.left -= length as u64;
            at += length;
        }
        (input.len(), Step::More)
    }

    fn weight(&self) -> usize {
        size_of::<Self>() + self.inflate.as_ref().map_or(0, |inflate| inflate.weight())
    }
}
