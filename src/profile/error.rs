//! What can be wrong with a profile, and where: `file:line:column`, the fault, the nearest valid
//! key or value, and the line with a mark below it.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::PathBuf;

use belljar_sandbox::decoy::GenerateError;

use crate::query::nearest;

/// Why a profile, or a declaration, cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// Neither a profile that comes with belljar nor a file.
    #[error("no profile is called `{name}`, nor is there such a file; {advice}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// What to do instead.
        advice: String,
    },
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file's contents are at fault.
    #[error("{0}")]
    Fault(Box<Fault>),
    /// Two entries plant the same path.
    #[error("{first} and {second} both plant {path}; give one of them another path")]
    Clash {
        /// The path.
        path: String,
        /// What plants it first.
        first: String,
        /// What plants it again.
        second: String,
    },
    /// The planted data cannot be made.
    #[error("cannot make the planted data: {0}")]
    Generate(#[from] GenerateError),
    /// The planted files are too large for a recording to carry.
    #[error("the profile with its files would have {length} MiB, of {most} that a recording carries; plant less")]
    TooLong {
        /// What it would have, in MiB.
        length: u64,
        /// What it may have, in MiB.
        most: u64,
    },
    /// The effective profile cannot be written down: a fault of belljar's.
    #[error("cannot write the effective profile: {0}")]
    Write(#[from] toml::ser::Error),
}

/// One fault at one place of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file, as it was named.
    pub file: String,
    /// Its line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What is wrong, and what would be right.
    pub message: String,
    /// The line itself, and how many characters of it the fault covers.
    excerpt: (String, usize),
}

impl Fault {
    /// A fault at a byte range of `text`.
    pub(super) fn new(file: &str, text: &str, span: Range<usize>, message: impl Into<String>) -> Self {
        let start = floor(text, span.start);
        let before = text.get(..start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = text.get(line_start..).unwrap_or_default().lines().next().unwrap_or_default();
        let column = before.get(line_start..).unwrap_or_default().chars().count();
        let covered = text.get(start..floor(text, span.end)).unwrap_or_default();
        let width = covered.lines().next().unwrap_or_default().chars().count().max(1);
        Self {
            file: file.to_owned(),
            line: before.matches('\n').count() + 1,
            column: column + 1,
            message: message.into(),
            excerpt: (line.replace(char::is_control, " "), width),
        }
    }

    /// The fault that the TOML reader found.
    pub(super) fn of_toml(file: &str, text: &str, error: &toml::de::Error) -> Self {
        Self::new(file, text, error.span().unwrap_or(0..0), explain(error.message()))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, message, excerpt: (text, width) } = self;
        let gutter = line.to_string().len();
        writeln!(f, "{file}:{line}:{column}: {message}")?;
        writeln!(f, " {line} | {text}")?;
        write!(f, " {:gutter$} | {:indent$}{}", "", "", "^".repeat(*width), indent = column - 1)
    }
}

impl From<Fault> for ProfileError {
    fn from(fault: Fault) -> Self {
        Self::Fault(Box::new(fault))
    }
}

/// The start of the character that the byte lies in.
fn floor(text: &str, mut at: usize) -> usize {
    at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Puts a message of the TOML reader in our words: keys, not fields, and the nearest first.
fn explain(message: &str) -> String {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let words: Option<(&str, Vec<&str>)> = quoted.next().map(|first| (first, quoted.collect()));
    match words {
        Some((key, known)) if message.starts_with("unknown field") => unknown("key", key, &known),
        Some((value, known)) if message.starts_with("unknown variant") => unknown("value", value, &known),
        Some((key, _)) if message.starts_with("missing field") => format!("the key `{key}` is missing"),
        _ => ["u32", "u64"].iter().fold(message.trim_end().to_owned(), |message, width| {
            message.replace(&format!("expected {width}"), "expected a whole number, 0 or more")
        }),
    }
}

/// Says that a word is not one of those known, and which one was probably meant.
pub(super) fn unknown(what: &str, word: &str, known: &[&str]) -> String {
    let meant =
        nearest(word, known.iter().copied()).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    let list = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    let end = if meant.is_empty() { ";" } else { "" };
    format!("unknown {what} `{word}`{meant}{end} known: {list}")
}
