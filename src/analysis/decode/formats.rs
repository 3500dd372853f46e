//! By what formats are known: magic numbers that something may be opened for, and first bytes that
//! only say what a stream is.

use std::sync::LazyLock;

use aho_corasick::packed::Searcher;

use super::Decoder;
use super::base85::Base85;
use super::compressed::{Bzip2, Inflate, Xz, Zstd};
use super::lz4::Lz4;
use super::protocol::{Chunked, Frames};
use super::zip::Zip;
use crate::analysis::encoding::Encoding;

/// Whether these are the first bytes of a text in UTF-8.
pub(super) fn is_text(head: &[u8]) -> bool {
    let whole = std::str::from_utf8(head).map_err(|error| (error.valid_up_to(), error.error_len()));
    let is_control = |byte: &u8| byte.is_ascii_control() && !byte.is_ascii_whitespace();
    !matches!(whole, Err((_, Some(_)))) && !head.iter().any(is_control)
}

/// By what a container is known.
#[derive(Clone, Copy)]
pub(super) struct Magic {
    pub(super) encoding: Encoding,
    pub(super) length: usize,
    pub(super) open: fn() -> Option<Box<dyn Decoder>>,
}

/// Longest magic number.
pub(super) const MAGIC_LENGTH: usize = 10;

macro_rules! magics {
    ($($bytes:literal => $encoding:ident, $open:expr;)+) => {
        pub(super) static MAGICS: &[(&[u8], Magic)] = &[$((
            $bytes,
            Magic { encoding: Encoding::$encoding, length: $bytes.len(), open: || $open },
        )),+];
    };
}

#[allow(clippy::unnecessary_wraps, reason = "some decoders cannot be made")]
fn boxed<D: Decoder + 'static>(decoder: D) -> Option<Box<dyn Decoder>> {
    Some(Box::new(decoder))
}

magics! {
    b"\x1f\x8b\x08" => Gzip, boxed(Inflate::gzip());
    // zlib: a window of 32 KiB, and the four levels (RFC 1950, 2.2).
    b"\x78\x01" => Zlib, boxed(Inflate::zlib());
    b"\x78\x5e" => Zlib, boxed(Inflate::zlib());
    b"\x78\x9c" => Zlib, boxed(Inflate::zlib());
    b"\x78\xda" => Zlib, boxed(Inflate::zlib());
    b"\x28\xb5\x2f\xfd" => Zstd, Zstd::new().and_then(boxed);
    b"BZh" => Bzip2, boxed(Bzip2::new());
    b"\xfd7zXZ\x00" => Xz, Xz::new().and_then(boxed);
    b"\x04\x22\x4d\x18" => Lz4, boxed(Lz4::default());
    b"PK\x03\x04" => Zip, boxed(Zip::default());
    b"<~" => Base85, boxed(Base85::ascii85());
    b"hunked\r\n" => Chunked, boxed(Chunked::default());
    b"ebsocket\r\n" => WebSocket, boxed(Frames::default());
}

/// The next magic number, and where it begins.
pub(super) fn magic(bytes: &[u8]) -> Option<(usize, Magic)> {
    static SEARCHER: LazyLock<Option<Searcher>> =
        LazyLock::new(|| Searcher::new(MAGICS.iter().map(|(bytes, _)| bytes)));
    let found = SEARCHER.as_ref()?.find(bytes)?;
    MAGICS.get(found.pattern().as_usize()).map(|(_, magic)| (found.start(), *magic))
}

/// Bytes that tell what a stream is.
pub(super) const KIND_LENGTH: usize = 512;

/// What decoded bytes are, where their values stand in it as they are: said, but nothing to undo.
pub(super) fn kind(bytes: &[u8]) -> Option<Encoding> {
    if bytes.starts_with(b"SQLite format 3\0") {
        return Some(Encoding::Sqlite);
    }
    // POSIX.1-2024, pax: the magic of a header block.
    if bytes.get(257..262) == Some(b"ustar") {
        return Some(Encoding::Tar);
    }
    let text = bytes.trim_ascii_start();
    let next = text.get(1..).map(<[u8]>::trim_ascii_start).and_then(<[u8]>::first);
    match (text.first(), next) {
        (Some(b'{'), Some(b'"')) | (Some(b'['), Some(b'"' | b'{' | b'[')) => Some(Encoding::Json),
        (Some(b'-'), _) if text.starts_with(b"--") && memchr::memmem::find(text, b"ontent-").is_some() => {
            Some(Encoding::Multipart)
        }
        _ => None,
    }
}
