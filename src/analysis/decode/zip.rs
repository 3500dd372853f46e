//! Members of ZIP archives (APPNOTE.TXT 6.3.10, 4.3.7), each by its local header as it comes by:
//! the directory at the end is not needed, nor is a whole archive.

use super::compressed::{Bzip2, Inflate, Xz, Zstd};
use super::{Decoder, ROOM, Step};

/// The fixed part of a local header.
const HEADER: usize = 30;

/// One member, from its local header on.
#[derive(Default)]
pub(super) struct Zip {
    header: Vec<u8>,
    inner: Option<Inner>,
}

enum Inner {
    /// So many bytes as they are.
    Stored(u64),
    Packed(Box<dyn Decoder>),
}

impl Zip {
    fn open(&self) -> Option<Inner> {
        let word = |at: usize| Some(u16::from_le_bytes(*self.header.get(at..)?.first_chunk()?));
        let (flags, method) = (word(6)?, word(8)?);
        let size = u32::from_le_bytes(*self.header.get(18..)?.first_chunk()?);
        // Encrypted: nothing to be read.
        if flags & 1 != 0 {
            return None;
        }
        Some(match method {
            // Only with its length known beforehand.
            0 if size > 0 && size < u32::MAX => Inner::Stored(size.into()),
            8 => Inner::Packed(Box::new(Inflate::raw())),
            12 => Inner::Packed(Box::new(Bzip2::new())),
            93 => Inner::Packed(Box::new(Zstd::new()?)),
            95 => Inner::Packed(Box::new(Xz::new()?)),
            _ => return None,
        })
    }
}

impl Decoder for Zip {
    fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> (usize, Step) {
        match &mut self.inner {
            Some(Inner::Packed(decoder)) => decoder.step(input, out),
            Some(Inner::Stored(left)) => {
                let length = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len()).min(ROOM);
                out.extend_from_slice(input.get(..length).unwrap_or_default());
                *left -= length as u64;
                (length, if *left == 0 { Step::Done } else { Step::More })
            }
            None => {
                let lengths = |at: usize| self.header.get(at..).and_then(<[u8]>::first_chunk);
                let wanted = match (lengths(26), lengths(28)) {
                    (Some(name), Some(extra)) => {
                        HEADER + usize::from(u16::from_le_bytes(*name)) + usize::from(u16::from_le_bytes(*extra))
                    }
                    _ => HEADER,
                };
                let taken = (wanted - self.header.len()).min(input.len());
                self.header.extend_from_slice(input.get(..taken).unwrap_or_default());
                if self.header.len() == wanted && (wanted > HEADER || self.header.get(26..30) == Some(&[0; 4])) {
                    self.inner = self.open();
                    if self.inner.is_none() {
                        return (taken, Step::Failed);
                    }
                }
                (taken, Step::More)
            }
        }
    }

    fn weight(&self) -> usize {
        let inner = match &self.inner {
            Some(Inner::Packed(decoder)) => decoder.weight(),
            _ => 0,
        };
        self.header.capacity() + inner
    }
}
