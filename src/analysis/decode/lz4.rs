//! The LZ4 frame format (lz4_Frame_format.md, 1.6.3), block by block as the pieces come: the
//! library's own reader of frames waits for a file.

use super::{Decoder, Step};

/// Magic number, flags and block size; more may follow.
const HEAD: usize = 6;
/// What a block may refer back to.
const WINDOW: usize = 64 << 10;

/// One frame.
#[derive(Default)]
pub(super) struct Lz4 {
    pending: Vec<u8>,
    /// Flags and largest block, once they were read.
    head: Option<(u8, usize)>,
    window: Vec<u8>,
}

impl Lz4 {
    /// Reads the frame's descriptor; `None` while it is not complete.
    fn descriptor(&self) -> Option<Result<(u8, usize, usize), ()>> {
        let [.., flags, size] = *self.pending.first_chunk::<HEAD>()?;
        let largest = match size >> 4 & 7 {
            4 => 64 << 10,
            5 => 256 << 10,
            6 => 1 << 20,
            7 => 4 << 20,
            _ => return Some(Err(())),
        };
        if flags >> 6 != 1 {
            return Some(Err(()));
        }
        // Content size, dictionary, and one byte that checks the descriptor.
        let length = HEAD + if flags & 8 != 0 { 8 } else { 0 } + if flags & 1 != 0 { 4 } else { 0 } + 1;
        (self.pending.len() >= length).then_some(Ok((flags, largest, length)))
    }
}

impl Decoder for Lz4 {
    fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> (usize, Step) {
        let before = self.pending.len();
        let wanted = match (self.head, self.pending.first_chunk::<4>()) {
            (None, _) => HEAD + 13,
            (Some(_), None) => 4,
            (Some((flags, _)), Some(size)) => {
                4 + (u32::from_le_bytes(*size) & 0x7fff_ffff) as usize + if flags & 16 != 0 { 4 } else { 0 }
            }
        };
        let taken = wanted.saturating_sub(before).min(input.len());
        self.pending.extend_from_slice(input.get(..taken).unwrap_or_default());
        let Some((flags, largest)) = self.head else {
            return match self.descriptor() {
                None => (taken, Step::More),
                Some(Err(())) => (taken, Step::Failed),
                Some(Ok((flags, largest, length))) => {
                    self.head = Some((flags, largest));
                    // What was taken beyond the descriptor is given back.
                    let back = self.pending.len() - length;
                    self.pending.clear();
                    (taken.saturating_sub(back), Step::More)
                }
            };
        };
        let Some(size) = self.pending.first_chunk::<4>().map(|size| u32::from_le_bytes(*size)) else {
            return (taken, Step::More);
        };
        if size == 0 {
            return (taken, Step::Done);
        }
        let length = (size & 0x7fff_ffff) as usize;
        if length > largest {
            return (taken, Step::Failed);
        }
        let whole = 4 + length + if flags & 16 != 0 { 4 } else { 0 };
        if self.pending.len() < whole {
            return (taken, Step::More);
        }
        let block = self.pending.get(4..4 + length).unwrap_or_default();
        let start = out.len();
        if size >> 31 == 1 {
            out.extend_from_slice(block);
        } else {
            out.resize(start + largest, 0);
            let room = out.get_mut(start..).unwrap_or_default();
            let made = lz4_flex::block::decompress_into_with_dict(block, room, &self.window);
            out.truncate(start + made.as_ref().map_or(0, |made| *made));
            if made.is_err() {
                return (taken, Step::Failed);
            }
        }
        let made = out.get(start..).unwrap_or_default();
        self.window.extend_from_slice(made.get(made.len().saturating_sub(WINDOW)..).unwrap_or_default());
        let excess = self.window.len().saturating_sub(WINDOW);
        self.window.drain(..excess);
        self.pending.clear();
        (taken, Step::More)
    }

    fn weight(&self) -> usize {
        self.pending.capacity() + self.window.capacity() + self.head.map_or(0, |(_, largest)| largest)
    }
}
