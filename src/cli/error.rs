//! The one place where failures become words and an exit code.
//!
//! `belljar: what failed: cause: cause; hint`. Messages may name paths of the subject's making, so
//! they pass the same escaping as everything else.

use std::fmt::Write as _;
use std::io;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::guess;
use super::output::{self, Closed};
use crate::redact::Redactor;

/// Exit code when belljar itself failed.
pub const FAILED: u8 = 1;
/// Exit code when the command line is wrong.
pub const USAGE: u8 = 2;
/// Exit code when the subject was not found.
pub const NOT_FOUND: u8 = 127;

/// A failure with an exit code of its own, or a hint. Put it anywhere in an `anyhow` chain.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// What failed.
    pub message: String,
    /// How belljar ends.
    pub code: u8,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Failure {
    /// The command line is wrong.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: USAGE, hint: None }
    }

    /// The subject is not there.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: NOT_FOUND, hint: None }
    }

    /// With what to do about it.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

/// Says what went wrong on standard error. Silent when only the reader of standard output left.
pub fn report(error: &anyhow::Error) -> ExitCode {
    if error.chain().any(is_closed) {
        return ExitCode::SUCCESS;
    }
    let (message, code) = describe(error);
    eprintln!("{}", Redactor::plain(output::is_ascii()).block(message.as_bytes(), usize::MAX));
    ExitCode::from(code)
}

fn is_closed(cause: &(dyn std::error::Error + 'static)) -> bool {
    cause
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref)
        .is_some_and(<dyn std::error::Error + Send + Sync>::is::<Closed>)
}

fn describe(error: &anyhow::Error) -> (String, u8) {
    // As a context it is found by the first, as a cause of another error by the second.
    let failure = error.downcast_ref().or_else(|| error.chain().find_map(|cause| cause.downcast_ref::<Failure>()));
    let mut message = String::from("belljar");
    let mut last = String::new();
    for cause in error.chain() {
        let text = cause.to_string();
        // Some errors already say their cause.
        if !last.ends_with(&text) {
            // Writing to a String cannot fail.
            let _ = write!(message, ": {text}");
            last = text;
        }
    }
    if let Some(hint) = failure.and_then(|failure| failure.hint.as_ref()) {
        let _ = write!(message, "; {hint}");
    }
    (message, failure.map_or(FAILED, |failure| failure.code))
}

/// Answers a command line that clap does not take: with help, or with what was probably meant.
pub fn usage(error: &clap::Error) -> ExitCode {
    let word =
        [ContextKind::InvalidArg, ContextKind::InvalidSubcommand].into_iter().find_map(|kind| match error.get(kind) {
            Some(ContextValue::String(word)) => Some(word.as_str()),
            _ => None,
        });
    let advice = match (error.kind(), word) {
        (ErrorKind::UnknownArgument, Some(option)) => guess::option(option),
        (ErrorKind::InvalidSubcommand, Some(command)) => guess::command(command),
        _ => None,
    };
    match (advice, word) {
        (Some(advice), Some(word)) => eprintln!("belljar: `{}`: {advice}", crate::redact::plain(word.as_bytes())),
        // A reader that went away is no reason to fail.
        _ => drop(error.print()),
    }
    ExitCode::from(if error.use_stderr() { USAGE } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    #[test]
    fn causes_follow_and_hints_end_the_line() {
        let error = Err::<(), _>(io::Error::from_raw_os_error(2))
            .context(
                Failure { message: "cannot start ./app".to_owned(), code: NOT_FOUND, hint: None }.hint("is it built?"),
            )
            .unwrap_err();
        let (message, code) = describe(&error);
        assert_eq!(message, "belljar: cannot start ./app: No such file or directory (os error 2); is it built?");
        assert_eq!(code, NOT_FOUND);
        assert_eq!(describe(&anyhow::anyhow!("a: b").context("x")), ("belljar: x: a: b".to_owned(), FAILED));
    }

    #[test]
    fn a_cause_that_was_said_is_not_said_again() {
        let error = anyhow::anyhow!("no space left").context("cannot write events: no space left");
        assert_eq!(describe(&error).0, "belljar: cannot write events: no space left");
    }

    #[test]
    fn only_our_reader_s_leaving_is_quiet() {
        let closed = anyhow::Error::from(io::Error::new(io::ErrorKind::BrokenPipe, Closed)).context("cannot print");
        assert!(closed.chain().any(is_closed));
        let other = anyhow::Error::from(io::Error::from(io::ErrorKind::BrokenPipe)).context("cannot print");
        assert!(!other.chain().any(is_closed));
    }
}
