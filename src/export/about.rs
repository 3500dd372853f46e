//! What an event is about, on one line: for what has no name of its own to show, what was said, not only to whom.

use std::fmt::Write as _;

use belljar_sandbox::event::{Kind, Traffic};

use crate::redact::Redactor;
use crate::store::{Object, Record};

/// Bytes of one name shown.
const LIMIT: usize = 512;

/// The object and what it was called by, and of what went over the network which name was asked for, which page, and
/// what was answered. Masked and escaped; each empty where there is nothing to say.
pub(crate) fn about(record: &Record<'_>, redactor: &Redactor) -> [String; 2] {
    let name = |object: Option<&Object>| {
        object.map(|object| redactor.text(&object.name, LIMIT).to_string()).unwrap_or_default()
    };
    let (object, target) = (name(record.object), name(record.target));
    let what = match record.kind {
        // The last labels of the name alone would say too little, and the URL says whom it goes to.
        Kind::Traffic(Traffic::Query | Traffic::Request) => object,
        _ if target.is_empty() || target == object => object,
        _ if object.is_empty() => target,
        _ => format!("{object} -> {target}"),
    };
    [what, said(record, redactor)]
}

/// What was said, where the event's names do not tell.
fn said(record: &Record<'_>, redactor: &Redactor) -> String {
    let detail = record.detail.strip_suffix(b"\0").unwrap_or(record.detail);
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = match record.kind {
        // `A` and the like, then the answer; what could not be understood has no name.
        Kind::Traffic(Traffic::Query) if record.target.is_some() => {
            let (sort, answer) = detail.split_at(memchr::memchr(b' ', detail).unwrap_or(detail.len()));
            let (sort, answer) = (redactor.text(sort, LIMIT), redactor.text(answer, LIMIT));
            write!(out, "{sort} {}{answer}", redactor.fragment(record.payload, LIMIT))
        }
        Kind::Traffic(Traffic::Response) => write!(out, "{} {}", record.args[4], redactor.text(detail, LIMIT)),
        Kind::Traffic(_) | Kind::Notice | Kind::Lost if !detail.is_empty() => {
            let parts = detail.split(|byte| *byte == 0).take(16);
            parts.enumerate().try_for_each(|(n, part)| {
                write!(out, "{}{}", if n == 0 { "" } else { " " }, redactor.text(part, LIMIT))
            })
        }
        _ => Ok(()),
    };
    out.truncate(out.trim_end().len());
    out
}
