//! What compression formats hold, piece by piece: gzip, zlib and raw deflate, zstd, brotli, bzip2
//! and xz. All are libraries' work; here is only how much they may take and give at a time.

use std::cell::RefCell;

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use liblzma::stream as xz;
use zstd::stream::raw::{Decoder as Frame, Operation as _};

use super::{Decoder, ROOM, Step};

/// Largest window that zstd is given: what every decoder must be able to have (RFC 8878, 3.1.1.1.2).
const ZSTD_WINDOW_LOG: u32 = 23;
/// Memory that xz is given: enough for its preset 6, which needs 9 MiB (xz(1)).
const XZ_MEMORY: u64 = 16 << 20;
/// Largest window of brotli's that is unpacked: what its encoder takes unless told otherwise.
const BROTLI_WINDOW_LOG: u32 = 22;

thread_local! {
    /// Where what was packed is unpacked to: most attempts fail at once, and are not to pay for as
    /// many zeros.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; ROOM]);
}

/// Runs `work` with room, and appends what it made to `out`; it returns how much it took and made,
/// and how it stands.
fn with_room(out: &mut Vec<u8>, work: impl FnOnce(&mut [u8]) -> (usize, usize, Step)) -> (usize, Step) {
    SCRATCH.with_borrow_mut(|room| {
        let (taken, made, step) = work(room);
        out.extend_from_slice(room.get(..made).unwrap_or_default());
        (taken, step)
    })
}

/// Whether bytes may begin a stream of DEFLATE, as far as the header of its first block tells (RFC
/// 1951, 3.2.3): zlib's two magic bytes are in every program, and nearly all that follows them is
/// refused here.
pub(super) fn may_be_deflate(bytes: &[u8]) -> bool {
    let Some(bits) = bytes.first_chunk().map(|head| u128::from_le_bytes(*head)) else { return true };
    let take = |at: u32, count: u32| (bits >> at) as u32 & ((1 << count) - 1);
    match take(1, 2) {
        // Stored: the length, and its complement.
        0 => take(8, 16) == !take(24, 16) & 0xffff,
        1 => true,
        // Dynamic: there are so many codes, and those of their lengths leave no gap (3.2.7).
        2 => {
            let lengths = (0..take(13, 4) + 4).map(|n| take(17 + 3 * n, 3)).filter(|length| *length > 0);
            take(3, 5) <= 29 && take(8, 5) <= 29 && lengths.map(|length| 128 >> length).sum::<u32>() == 128
        }
        _ => false,
    }
}

/// DEFLATE, in a frame or bare.
pub(super) struct Inflate(flate2::Decompress);

impl Inflate {
    pub(super) fn gzip() -> Self {
        Self(flate2::Decompress::new_gzip(15))
    }

    pub(super) fn zlib() -> Self {
        Self(flate2::Decompress::new(true))
    }

    pub(super) fn raw() -> Self {
        Self(flate2::Decompress::new(false))
    }
}

impl Decoder for Inflate {
    fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> (usize, Step) {
        let before = (self.0.total_in(), self.0.total_out());
        with_room(out, |room| {
            let status = self.0.decompress(input, room, flate2::FlushDecompress::None);
            let step = match status {
                Ok(flate2::Status::StreamEnd) => Step::Done,
                Ok(_) => Step::More,
                Err(_) => Step::Failed,
            };
            ((self.0.total_in() - before.0) as usize, (self.0.total_out() - before.1) as usize, step)
        })
    }

    fn weight(&self) -> usize {
        // zlib's manual: 32 KiB of window and some 7 KiB beside it.
        48 << 10
    }
}

/// zstd; one frame.
pub(super) struct Zstd {
    decoder: Frame<'static>,
}

impl Zstd {
    pub(super) fn new() -> Option<Self> {
        let mut decoder = Frame::new().ok()?;
        decoder.set_parameter(zstd::zstd_safe::DParameter::WindowLogMax(ZSTD_WINDOW_LOG)).ok()?;
        Some(Self { decoder })
    }
}

impl Decoder for Zstd {
    fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> (usize, Step) {
        with_room(out, |room| match self.decoder.run_on_buffers(input, room) {
            Ok(status) if status.remaining == 0 => (status.bytes_read, status.bytes_written, Step::Done),
            Ok(status) => (status.bytes_read, status.bytes_written, Step::More),
            Err(_) => (0, 0, Step::Failed),
        })
    }

    fn weight(&self) -> usize {
        // As much as it may take; most frames name a smaller window, but which is not told.
        1 << ZSTD_WINDOW_LOG
    }
}

/// Whether bytes may begin a stream of brotli that hides something, as far as the header of its
/// first block tells (RFC 7932, 9.1 and 9.2). One that is not compressed, or is skipped, has its
/// contents in the clear, and is what chance makes most often.
pub(super) fn may_be_brotli(bytes: &[u8]) -> bool {
    let Some(bits) = bytes.first_chunk().map(|head| u128::from_le_bytes(*head)) else { return true };
    let take = |at: u32, count: u32| (bits >> at) as u32 & ((1 << count) - 1);
    let window = match (take(0, 1), take(1, 3)) {
        (0, _) => 1,
        (_, 0) => 7,
        _ => 4,
    };
    let is_last = take(window, 1) == 1;
    // The last block says whether it is empty.
    let sizes = window + 1 + u32::from(is_last);
    let nibbles = 4 + take(sizes, 2);
    let end = sizes + 2 + 4 * nibbles;
    let is_empty = is_last && take(window + 1, 1) == 1;
    let is_skipped = nibbles > 6;
    let is_padded = nibbles > 4 && take(end - 4, 4) == 0;
    let is_plain = !is_last && take(end, 1) == 1;
    !(is_empty || is_skipped || is_padded || is_plain)
}

/// brotli.
pub(super) struct Brotli {
    state: Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>>,
    window_log: u32,
    total: usize,
}

impl Brotli {
    /// For a stream that begins with `first`; `None` where its window is larger than is given.
    pub(super) fn new(first: u8) -> Option<Self> {
        // WBITS (RFC 7932, 9.1).
        let window = match (first & 1, first >> 1 & 7, first >> 4 & 7) {
            (0, ..) => 16,
            (_, 0, 0) => 17,
            (_, 0, 1) => return None,
            (_, 0, n) => 8 + u32::from(n),
            (_, n, _) => 17 + u32::from(n),
        };
        let alloc = StandardAlloc::default;
        (window <= BROTLI_WINDOW_LOG).then(|| Self {
            state: Box::new(BrotliState::new(alloc(), alloc(), alloc())),
            window_log: window,
            total: 0,
        })
    }
}

impl Decoder for Brotli {
    fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> (usize, Step) {
        with_room(out, |room| {
            let (mut left, mut taken, mut free, mut made) = (input.len(), 0, room.len(), 0);
            let result = BrotliDecompressStream(
                &mut left,
                &mut taken,
                input,
                &mut free,
                &mut made,
                room,
                &mut self.total,
                &mut self.state,
            );
            let step = match result {
                BrotliResult::ResultSuccess => Step::Done,
                BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => Step::More,
                BrotliResult::ResultFailure => Step::Failed,
            };
            (taken, made, step)
        })
    }

    fn weight(&self) -> usize {
        // The window, twice while it grows.
        2 << self.window_log
    }
}

/// bzip2.
pub(super) struct Bzip2(bzip2::Decompress);

impl Bzip2 {
    pub(super) fn new() -> Self {
        Self(bzip2::Decompress::new(false))
    }
}

impl Decoder for Bzip2 {
    fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> (usize, Step) {
        let before = (self.0.total_in(), self.0.total_out());
        with_room(out, |room| {
            let step = match self.0.decompress(input, room) {
                Ok(bzip2::Status::StreamEnd) => Step::Done,
                Ok(_) => Step::More,
                Err(_) => Step::Failed,
            };
            ((self.0.total_in() - before.0) as usize, (self.0.total_out() - before.1) as usize, step)
        })
    }

    fn weight(&self) -> usize {
        // bzip2(1): 100k and four bytes for each of a block of 900k.
        3700 << 10
    }
}

/// xz, and what came before it.
pub(super) struct Xz(xz::Stream);

impl Xz {
    pub(super) fn new() -> Option<Self> {
        xz::Stream::new_stream_decoder(XZ_MEMORY, 0).ok().map(Self)
    }
}

impl Decoder for Xz {
    fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> (usize, Step) {
        let before = (self.0.total_in(), self.0.total_out());
        with_room(out, |room| {
            let step = match self.0.process(input, room, xz::Action::Run) {
                Ok(xz::Status::StreamEnd) => Step::Done,
                Ok(_) => Step::More,
                Err(_) => Step::Failed,
            };
            ((self.0.total_in() - before.0) as usize, (self.0.total_out() - before.1) as usize, step)
        })
    }

    fn weight(&self) -> usize {
        XZ_MEMORY as usize
    }
}
