//! The one function through which bytes of the subject reach any output: screen, report, file
//! for people or error message.
//!
//! A subject chooses its file names, arguments and payloads. Shown raw they could move the
//! cursor, recolour or retitle the analyst's terminal, reorder text with bidirectional overrides
//! or hide in characters without width. And what it handles is the planted client data itself,
//! which no report may spell out unless it was asked to. So everything goes through
//! [`Redactor::text`], which escapes the first and masks the second.
//!
//! Escapes are those that the query language reads, so a shown name can be pasted into a filter:
//! `\\`, `\n`, `\r`, `\t`, `\xNN` for a byte, `\u{NNNN}` for a character.

use std::fmt::{self, Write as _};
use std::ops::Range;

use aho_corasick::{AhoCorasick, MatchKind};

/// Shortest beginning or end of a marker that is masked at the edge of a fragment. Shorter ones
/// are too common to say anything, and to be worth hiding.
const MIN_PART: usize = 6;

/// The set of marker values could not be turned into a matcher.
#[derive(Debug, thiserror::Error)]
#[error("cannot prepare the masking of marker values: {0}; plant fewer or shorter ones, or use --reveal")]
pub struct Error(#[from] aho_corasick::BuildError);

/// Escapes subject bytes and masks marker values in them.
#[derive(Clone, Debug, Default)]
pub struct Redactor {
    matcher: Option<AhoCorasick>,
    /// Values in lower case, sorted: to find one that begins with given bytes.
    forward: Vec<Vec<u8>>,
    /// The same reversed: to find one that ends with given bytes.
    backward: Vec<Vec<u8>>,
    longest: usize,
    ascii: bool,
}

impl Redactor {
    /// A redactor that masks `markers`, in upper or lower case, unless `reveal` is set. With
    /// `ascii` its output has no byte above 0x7e. Empty markers are passed over.
    pub fn new<'m>(markers: impl Iterator<Item = &'m [u8]>, reveal: bool, ascii: bool) -> Result<Self, Error> {
        if reveal {
            return Ok(Self { ascii, ..Self::default() });
        }
        let mut forward: Vec<Vec<u8>> = markers.filter(|m| !m.is_empty()).map(<[u8]>::to_ascii_lowercase).collect();
        forward.sort_unstable();
        forward.dedup();
        if forward.is_empty() {
            return Ok(Self { ascii, ..Self::default() });
        }
        let matcher =
            AhoCorasick::builder().match_kind(MatchKind::Standard).ascii_case_insensitive(true).build(&forward)?;
        let mut backward: Vec<Vec<u8>> = forward.iter().map(|m| m.iter().rev().copied().collect()).collect();
        backward.sort_unstable();
        let longest = forward.iter().map(Vec::len).max().unwrap_or_default();
        Ok(Self { matcher: Some(matcher), forward, backward, longest, ascii })
    }

    /// One that masks nothing: for text that cannot hold client data, such as belljar's own.
    pub fn plain(ascii: bool) -> Self {
        Self { ascii, ..Self::default() }
    }

    /// Whether its output is plain ASCII.
    pub fn ascii(&self) -> bool {
        self.ascii
    }

    /// Bytes of the longest value that it masks; 0 where it masks none.
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// A whole thing (a path, a host name) on one line, at most `limit` of its bytes.
    pub fn text<'a>(&'a self, bytes: &'a [u8], limit: usize) -> Shown<'a> {
        Shown { redactor: self, bytes, limit, fragment: false, lines: false }
    }

    /// A piece of a longer stream (a payload): where it begins or ends amid a marker, that part
    /// is masked too.
    pub fn fragment<'a>(&'a self, bytes: &'a [u8], limit: usize) -> Shown<'a> {
        Shown { redactor: self, bytes, limit, fragment: true, lines: false }
    }

    /// Several lines of belljar's own text with names in it: as [`Redactor::text`], but newlines stay, and
    /// backslashes, which belong to escapes made earlier.
    pub fn block<'a>(&'a self, bytes: &'a [u8], limit: usize) -> Shown<'a> {
        Shown { redactor: self, bytes, limit, fragment: false, lines: true }
    }

    /// One part of a whole thing that is shown in parts (the directory of a path, the name in it): a value that lies
    /// across the parts is masked in each.
    pub fn part(&self, whole: &[u8], part: Range<usize>) -> String {
        let mut out = String::new();
        let mut at = part.start;
        for span in self.spans(whole, None) {
            let (start, end) = (span.start.max(at), span.end.min(part.end));
            if start < end {
                let before = whole.get(at..start).unwrap_or_default();
                // Writing to a String cannot fail.
                let _ = write!(out, "{}{}", self.text(before, usize::MAX), self.mask());
                at = end;
            }
        }
        let _ = write!(out, "{}", self.text(whole.get(at..part.end).unwrap_or_default(), usize::MAX));
        out
    }

    fn mask(&self) -> &'static str {
        if self.ascii { "****" } else { "••••" }
    }

    /// The first bytes, at most `limit` of them, or as many more as it takes to cut no value in two: what is left of a
    /// value after a cut may be too short to be known for one.
    pub fn cut<'b>(&self, bytes: &'b [u8], limit: usize) -> &'b [u8] {
        let masked = if bytes.len() > limit { self.masked(bytes) } else { Vec::new() };
        let end = masked.iter().find(|span| span.start < limit && limit < span.end).map_or(limit, |span| span.end);
        bytes.get(..end).unwrap_or(bytes)
    }

    /// Whether any part of `bytes` would be masked, in a whole thing or a fragment.
    pub fn masks(&self, bytes: &[u8]) -> bool {
        !self.masked(bytes).is_empty()
    }

    /// The parts of a fragment that are to be masked, ascending: for who shows bytes one by one.
    pub fn masked(&self, bytes: &[u8]) -> Vec<Range<usize>> {
        self.masked_from(bytes, [MIN_PART; 2])
    }

    /// The same, where it is known better than usual that something is cut off: with the shortest part that is masked
    /// at its beginning and at its end.
    pub fn masked_from(&self, bytes: &[u8], shortest: [usize; 2]) -> Vec<Range<usize>> {
        self.spans(bytes, Some(shortest))
    }

    /// What is to be masked: ascending, disjoint. Of a fragment, parts of values at its two edges too, if they are as
    /// long as that.
    fn spans(&self, bytes: &[u8], edges: Option<[usize; 2]>) -> Vec<Range<usize>> {
        let Some(matcher) = &self.matcher else { return Vec::new() };
        let mut spans: Vec<Range<usize>> = matcher.find_overlapping_iter(bytes).map(|m| m.range()).collect();
        if let Some([shortest_head, shortest_tail]) = edges {
            let reach = self.longest.min(bytes.len());
            let tail: Vec<u8> = bytes.iter().skip(bytes.len() - reach).map(u8::to_ascii_lowercase).collect();
            let head: Vec<u8> = bytes.iter().take(reach).rev().map(u8::to_ascii_lowercase).collect();
            if let Some(len) = longest_part(&tail, &self.forward, shortest_tail) {
                spans.push(bytes.len() - len..bytes.len());
            }
            if let Some(len) = longest_part(&head, &self.backward, shortest_head) {
                spans.push(0..len);
            }
        }
        spans.sort_unstable_by_key(|span| span.start);
        let mut merged: Vec<Range<usize>> = Vec::with_capacity(spans.len());
        for span in spans {
            match merged.last_mut() {
                Some(last) if span.start <= last.end => last.end = last.end.max(span.end),
                _ => merged.push(span),
            }
        }
        merged
    }
}

/// The length of the longest end of `text` that one of the sorted `values` begins with; none that is shorter than that.
fn longest_part(text: &[u8], values: &[Vec<u8>], shortest: usize) -> Option<usize> {
    (0..=text.len().checked_sub(shortest)?).find_map(|from| {
        let part = text.get(from..)?;
        let at = values.partition_point(|value| value.as_slice() < part);
        values.get(at).is_some_and(|value| value.starts_with(part)).then_some(part.len())
    })
}

/// Bytes on their way to an output: see [`Redactor::text`].
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    redactor: &'a Redactor,
    bytes: &'a [u8],
    limit: usize,
    fragment: bool,
    lines: bool,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spans = self.redactor.spans(self.bytes, self.fragment.then_some([MIN_PART; 2]));
        let end = boundary(self.bytes, self.limit);
        let mut at = 0;
        for span in &spans {
            if span.start >= end {
                break;
            }
            self.escape(at..span.start, f)?;
            f.write_str(self.redactor.mask())?;
            at = span.end;
        }
        self.escape(at..end, f)?;
        let left = self.bytes.len().saturating_sub(at.max(end));
        if left > 0 {
            write!(f, "{}(+{left} bytes)", if self.redactor.ascii { "..." } else { "…" })?;
        }
        Ok(())
    }
}

impl Shown<'_> {
    fn escape(&self, range: Range<usize>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.bytes.get(range).unwrap_or_default().utf8_chunks() {
            let valid = chunk.valid();
            let mut plain = 0;
            for (at, c) in valid.char_indices() {
                if self.is_plain(c) {
                    continue;
                }
                f.write_str(valid.get(plain..at).unwrap_or_default())?;
                plain = at + c.len_utf8();
                match c {
                    '\\' => f.write_str("\\\\")?,
                    '\n' => f.write_str("\\n")?,
                    '\r' => f.write_str("\\r")?,
                    '\t' => f.write_str("\\t")?,
                    c if c.is_ascii() => write!(f, "\\x{:02x}", c as u32)?,
                    c => write!(f, "\\u{{{:x}}}", c as u32)?,
                }
            }
            f.write_str(valid.get(plain..).unwrap_or_default())?;
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }

    fn is_plain(&self, c: char) -> bool {
        match c {
            // A block is belljar's own text, which already holds escapes.
            '\n' | '\\' => self.lines,
            ' '..='~' => true,
            c if c.is_ascii() || self.redactor.ascii => false,
            c => !is_deceptive(c),
        }
    }
}

/// `limit`, or a little less so that no character is cut in two.
fn boundary(bytes: &[u8], limit: usize) -> usize {
    if limit >= bytes.len() {
        return bytes.len();
    }
    let is_inside = |at: usize| bytes.get(at).is_some_and(|b| b & 0xc0 == 0x80);
    (limit.saturating_sub(3)..=limit).rev().find(|at| !is_inside(*at)).unwrap_or(limit)
}

/// Characters that steer a terminal, reorder text or have no shape of their own: the Unicode
/// categories Cc, Cf, Zl, Zp and the property `Default_Ignorable_Code_Point` (Unicode 16,
/// `DerivedCoreProperties.txt`), and private-use characters, which may look like anything.
fn is_deceptive(c: char) -> bool {
    matches!(c as u32,
        0x80..=0x9f | 0xad | 0x34f | 0x600..=0x605 | 0x61c | 0x6dd | 0x70f | 0x890..=0x891 | 0x8e2
        | 0x115f..=0x1160 | 0x17b4..=0x17b5 | 0x180b..=0x180f | 0x200b..=0x200f | 0x2028..=0x202e
        | 0x2060..=0x206f | 0x3164 | 0xe000..=0xf8ff | 0xfe00..=0xfe0f | 0xfeff | 0xffa0 | 0xfff0..=0xfffb
        | 0x110bd | 0x110cd | 0x13430..=0x1343f | 0x1bca0..=0x1bca3 | 0x1d173..=0x1d17a | 0xe0000..=0x10_ffff)
}

/// A marker-free redactor's [`Redactor::text`] as a string: for short things in messages.
pub fn plain(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    // Writing to a String cannot fail.
    let _ = write!(out, "{}", Redactor::default().text(bytes, usize::MAX));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MARKERS: [&[u8]; 4] = [b"ada@example.com", b"4111111111111111", b"example.com.evil", b"\xff\xfe-key"];

    fn redactor(reveal: bool, ascii: bool) -> Redactor {
        Redactor::new(MARKERS.into_iter(), reveal, ascii).unwrap()
    }

    fn show(bytes: &[u8]) -> String {
        redactor(false, false).text(bytes, usize::MAX).to_string()
    }

    #[test]
    fn what_steers_a_terminal_is_escaped() {
        assert_eq!(show(b"a\x1b[31mb\x07\n\t\\"), r"a\x1b[31mb\x07\n\t\\");
        assert_eq!(show("a\u{202e}b\u{9b}c\u{200b}\u{e0041}".as_bytes()), r"a\u{202e}b\u{9b}c\u{200b}\u{e0041}");
        assert_eq!(show(b"\x9b\xffok\xc3"), r"\x9b\xffok\xc3");
        assert_eq!(show("Grüße 東京".as_bytes()), "Grüße 東京");
        assert_eq!(redactor(false, true).text("ü".as_bytes(), 9).to_string(), r"\u{fc}");
        assert_eq!(Redactor::default().block(b"a\n\x1b\\x1b", 9).to_string(), "a\n\\x1b\\x1b");
    }

    #[test]
    fn markers_are_masked_whole_and_in_any_case() {
        assert_eq!(show(b"to=ADA@Example.com;"), "to=••••;");
        // Overlapping markers leave nothing of either.
        assert_eq!(show(b"x ada@example.com.evil y"), "x •••• y");
        assert_eq!(show(b"\xff\xfe-key"), "••••");
        assert_eq!(redactor(false, true).text(b"4111111111111111", 99).to_string(), "****");
        // The control: asked to reveal, it does.
        assert_eq!(redactor(true, false).text(b"ada@example.com", 99).to_string(), "ada@example.com");
    }

    #[test]
    fn parts_at_the_edges_of_a_fragment_are_masked() {
        let redactor = redactor(false, false);
        assert_eq!(redactor.fragment(b"1111111111,row,ada@exam", 99).to_string(), "••••,row,••••");
        assert_eq!(redactor.fragment(b"row,ada@e", 99).to_string(), "row,ada@e");
        // A path is a whole thing: its end is no cut.
        assert_eq!(redactor.text(b"/tmp/ada@exam", 99).to_string(), "/tmp/ada@exam");
    }

    #[test]
    fn parts_of_a_whole_show_nothing_of_what_lies_across_them() {
        let redactor = redactor(false, false);
        let whole = b"/tmp/ada@example.com/4111111111111111";
        for at in 0..=whole.len() {
            let parts = redactor.part(whole, 0..at) + &redactor.part(whole, at..whole.len());
            assert_eq!(parts.replace("••••••••", "••••"), "/tmp/••••/••••", "at {at}");
        }
        assert_eq!(redactor.part(b"a\nb", 1..3), "\\nb");
    }

    #[test]
    fn a_cut_goes_around_values() {
        let redactor = redactor(false, false);
        let bytes = b"x=ada@example.com;tail";
        for limit in 0..=bytes.len() {
            let cut = redactor.cut(bytes, limit);
            assert_eq!(cut.len(), if (3..17).contains(&limit) { 17 } else { limit });
            assert!(!redactor.fragment(cut, 99).to_string().contains("ada"));
        }
        assert_eq!(redactor.cut(b"abc", 9), b"abc");
    }

    #[test]
    fn limits_say_what_they_cut() {
        let redactor = redactor(false, false);
        assert_eq!(redactor.text(b"abcdefgh", 3).to_string(), "abc…(+5 bytes)");
        assert_eq!(redactor.text("aüb".as_bytes(), 2).to_string(), "a…(+3 bytes)");
        // A marker across the limit is masked, not cut.
        assert_eq!(redactor.text(b"x=ada@example.com;tail", 6).to_string(), "x=••••…(+5 bytes)");
        assert_eq!(redactor.text(b"abc", 3).to_string(), "abc");
        assert_eq!(redactor.text(b"abc", 0).to_string(), "…(+3 bytes)");
    }

    proptest! {
        #[test]
        fn no_output_steers_a_terminal(bytes: Vec<u8>, text: String, limit in 0..80usize, ascii: bool, fragment: bool) {
            let redactor = redactor(false, ascii);
            for bytes in [bytes.as_slice(), text.as_bytes()] {
                let shown = if fragment { redactor.fragment(bytes, limit) } else { redactor.text(bytes, limit) };
                let shown = shown.to_string();
                prop_assert!(!shown.chars().any(|c| c.is_control() || is_deceptive(c)), "{shown:?}");
                prop_assert!(!ascii || shown.is_ascii());
            }
        }

        #[test]
        fn no_output_holds_a_marker(before: Vec<u8>, which in 0..4usize, after: Vec<u8>, limit in 0..200usize) {
            let marker = MARKERS[which];
            let bytes = [&before, marker, &after].concat();
            let shown = redactor(false, true).text(&bytes, limit).to_string();
            let value = Redactor::plain(true).text(marker, usize::MAX).to_string();
            prop_assert!(!shown.contains(&value), "{shown}");
        }
    }
}
