//! Events in the manner of strace, `PID op(arguments) = result`, for eyes and tools that know it.
//! The calls themselves are shown by the call table; here stand the other kinds of event, and
//! the way through the redactor.

use std::fmt::{self, Write};

use belljar_sandbox::event::{Decision, Kind, ObjectKind};
use belljar_sandbox::witness::syscalls::show::{Piece, Shown, show, show_unknown, signal_name};

use crate::query::field::decision;
use crate::redact::Redactor;
use crate::store::{Object, Record};

/// Bytes shown of a payload, as strace's own default.
const PAYLOAD_LIMIT: usize = 32;

/// Writes the event, without a newline.
pub(super) fn line(record: &Record<'_>, redactor: &Redactor, out: &mut String) -> fmt::Result {
    write!(out, "{} ", record.process.map_or(record.tid, |process| process.pid))?;
    let escape = |piece: Piece, bytes: &[u8], out: &mut dyn Write| match piece {
        Piece::Whole => write!(out, "{}", redactor.text(bytes, usize::MAX)),
        Piece::Part => write!(out, "{}", redactor.fragment(bytes, usize::MAX)),
    };
    match (record.kind, record.call) {
        (Kind::Call { abi, .. }, Some(call)) => {
            let ((object, object_kind), (target, target_kind)) = (parts(record.object), parts(record.target));
            let shown = Shown {
                call,
                args: record.args,
                abi,
                object,
                object_kind,
                target,
                target_kind,
                detail: record.detail,
                payload: redactor.cut(record.payload, PAYLOAD_LIMIT),
                payload_len: record.payload_len,
                result: record.result,
            };
            show(out, &shown, &escape)?;
        }
        (Kind::Call { nr, .. }, None) => show_unknown(out, nr, &record.args, record.result)?,
        _ => other(record, redactor, out)?,
    }
    match record.decision {
        Decision::Allowed => Ok(()),
        other => write!(out, " /* {} */", decision(other)),
    }
}

fn parts(object: Option<&Object>) -> (&[u8], ObjectKind) {
    object.map_or((&[], ObjectKind::None), |object| (&object.name, object.kind))
}

/// What is no call stands between plus signs, as strace has its signals and exits.
fn other(record: &Record<'_>, redactor: &Redactor, out: &mut String) -> fmt::Result {
    write!(out, "+++ {}", record.op())?;
    if let Some(object) = record.object {
        write!(out, " {}", quoted(redactor.text(&object.name, usize::MAX)))?;
    }
    if let Some(target) = record.target {
        write!(out, " -> {}", quoted(redactor.text(&target.name, usize::MAX)))?;
    }
    match record.kind {
        Kind::ProcessEnd => status(record.args[0], out)?,
        Kind::Lost => write!(out, " {} events", record.args[0])?,
        Kind::TerminalOutput => {
            let payload = redactor.cut(record.payload, PAYLOAD_LIMIT);
            let dots = if record.payload_len > payload.len() as u64 { "..." } else { "" };
            write!(out, " {}{dots}", quoted(redactor.fragment(payload, usize::MAX)))?;
        }
        _ => {}
    }
    let detail = record.detail.strip_suffix(b"\0").unwrap_or(record.detail);
    for text in detail.split(|b| *b == 0).filter(|_| !detail.is_empty()) {
        write!(out, " {}", quoted(redactor.text(text, usize::MAX)))?;
    }
    out.write_str(" +++")
}

/// In quotes that nothing inside can end.
fn quoted(text: impl fmt::Display) -> String {
    format!("\"{}\"", text.to_string().replace('"', "\\\""))
}

/// A raw wait status, as wait(2) packs it.
fn status(status: u64, out: &mut String) -> fmt::Result {
    match (status & 0x7f, status >> 8 & 0xff) {
        _ if status == u64::MAX => out.write_str(" in an unknown way"),
        (0, code) => write!(out, " with {code}"),
        (signal, _) => {
            let name = signal_name(signal as i32);
            write!(out, " by {}", name.unwrap_or("signal"))?;
            if name.is_none() { write!(out, " {signal}") } else { Ok(()) }
        }
    }
}
