//! What is wrong with a filter, where, and what was probably meant.

use std::fmt::Write as _;
use std::ops::Range;

use unicode_width::UnicodeWidthStr;

use crate::redact::Redactor;

/// Words further than this from the given one (1 = the same) are not suggested.
const SIMILAR: f64 = 0.72;

/// A filter that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What is wrong, in a few words.
    pub message: String,
    /// Where: bytes of the filter.
    pub span: Range<usize>,
    /// What to write instead, where that can be guessed.
    pub help: Option<String>,
}

impl Error {
    pub(super) fn new(message: impl Into<String>, span: Range<usize>) -> Self {
        Self { message: message.into(), span, help: None }
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The column of the first wrong character, from 1.
    pub fn column(&self, input: &str) -> usize {
        input.get(..self.span.start).map_or(1, |before| before.chars().count() + 1)
    }

    /// The message, the filter, and carets under the wrong part of it: several lines.
    pub fn render(&self, input: &str) -> String {
        // As it was typed, but for what would disturb the carets.
        let redactor = Redactor::plain(false);
        let part = |range: Range<usize>| {
            let text = input.get(range).unwrap_or_default();
            redactor.block(text.as_bytes(), usize::MAX).to_string().replace('\n', " ")
        };
        let before = part(0..self.span.start).width();
        let under = part(self.span.clone()).width().max(1);
        let mut out = format!("{} (column {})\n  {}\n", self.message, self.column(input), part(0..input.len()));
        // Writing to a String cannot fail.
        let _ = write!(out, "  {}{}", " ".repeat(before), "^".repeat(under));
        if let Some(help) = &self.help {
            let _ = write!(out, "\n  {help}");
        }
        out
    }
}

/// The candidate most like `word`, if any is like it at all.
pub(crate) fn nearest<'c>(word: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    let word = word.to_lowercase();
    candidates
        // Everything is like one letter.
        .filter(|candidate| candidate.len() > 1)
        .map(|candidate| (strsim::jaro_winkler(&word, &candidate.to_lowercase()), candidate))
        .filter(|(likeness, _)| *likeness >= SIMILAR)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carets_stand_under_the_part_whatever_precedes_it() {
        let input = "path:東京\u{1b} foo:1";
        let start = input.find("foo").unwrap();
        let error = Error::new("no such field", start..start + 3).help("try `proc`");
        assert_eq!(
            error.render(input),
            "no such field (column 10)\n  path:東京\\x1b foo:1\n                ^^^\n  try `proc`"
        );
    }

    #[test]
    fn only_what_is_alike_is_suggested() {
        assert_eq!(nearest("wirte", ["read", "write", "writev"].into_iter()), Some("write"));
        assert_eq!(nearest("zzz", ["read", "write"].into_iter()), None);
    }
}
