//! `terminal.cast`: what the subject's terminal showed, as asciicast v2 (the format of asciinema:
//! a JSON header line, then `[seconds, "o", text]` lines).
//!
//! The format is UTF-8 while terminals take bytes: a character split over two writes is put
//! together again, and bytes that are no UTF-8 are replaced. The raw bytes stay in the events.

use serde_json::json;

use super::session::{Header, Session};

/// Encodes a terminal's output.
#[derive(Debug, Default)]
pub(crate) struct Cast {
    /// The beginning of a character whose rest has not come.
    rest: Vec<u8>,
    last_ns: u64,
    /// Lines not yet written.
    pub(crate) lines: Vec<u8>,
}

impl Cast {
    /// Starts with the header line.
    pub(crate) fn new(header: &Header, session: &Session) -> Self {
        let (width, height) = header.terminal;
        let head = json!({
            "version": 2,
            "width": width,
            "height": height,
            "timestamp": header.clocks.realtime_ns / 1_000_000_000,
            "command": session.argv.join(" "),
        });
        Self { lines: format!("{head}\n").into_bytes(), ..Self::default() }
    }

    /// Takes what was shown at `time_ns` after the session began.
    pub(crate) fn output(&mut self, time_ns: u64, bytes: &[u8]) {
        self.last_ns = time_ns;
        self.rest.extend_from_slice(bytes);
        let bytes = std::mem::take(&mut self.rest);
        let mut text = String::with_capacity(bytes.len());
        let mut chunks = bytes.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            text.push_str(chunk.valid());
            let invalid = chunk.invalid();
            if invalid.is_empty() {
                continue;
            }
            let incomplete =
                chunks.peek().is_none() && std::str::from_utf8(invalid).is_err_and(|e| e.error_len().is_none());
            if incomplete {
                self.rest = invalid.to_vec();
            } else {
                text.push(char::REPLACEMENT_CHARACTER);
            }
        }
        self.line(time_ns, &text);
    }

    /// The session ended: the rest of a character will not come.
    pub(crate) fn end(&mut self) {
        if !self.rest.is_empty() {
            self.rest.clear();
            self.line(self.last_ns, "\u{fffd}");
        }
    }

    fn line(&mut self, time_ns: u64, text: &str) {
        if !text.is_empty() {
            let seconds = format!("{}.{:06}", time_ns / 1_000_000_000, time_ns % 1_000_000_000 / 1_000);
            self.lines.extend_from_slice(format!("[{seconds}, \"o\", {}]\n", json!(text)).as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(cast: &Cast) -> String {
        let lines = std::str::from_utf8(&cast.lines).expect("UTF-8");
        lines
            .lines()
            .map(|line| {
                let (time, kind, text): (f64, String, String) = serde_json::from_str(line).expect(line);
                assert!(time >= 0.0 && kind == "o");
                text
            })
            .collect()
    }

    #[test]
    fn a_character_split_over_writes_is_whole() {
        let mut cast = Cast::default();
        cast.output(1_500_000_000, b"\x1b[1m\xe2\x82");
        cast.output(1_500_000_001, b"\xac\xff!\xf0\x9f");
        cast.end();
        assert_eq!(shown(&cast), "\u{1b}[1m€\u{fffd}!\u{fffd}");
        assert!(cast.lines.starts_with(b"[1.500000, \"o\", "));
    }

    proptest! {
        #[test]
        fn any_bytes_split_anywhere_read_like_all_at_once(bytes: Vec<u8>, cuts: Vec<u8>) {
            let mut cast = Cast::default();
            let mut rest = bytes.as_slice();
            for cut in cuts {
                let (head, tail) = rest.split_at(usize::from(cut % 7).min(rest.len()));
                cast.output(0, head);
                rest = tail;
            }
            cast.output(0, rest);
            cast.end();
            prop_assert_eq!(shown(&cast), String::from_utf8_lossy(&bytes));
        }
    }
}
