//! Events in the manner of strace: `PID op(arguments) = result`, for eyes and tools that know it.

use std::fmt::Write as _;

use belljar_sandbox::event::{Decision, Kind};
use belljar_sandbox::witness::syscalls::Arg;

use crate::query::field::{decision, error_name};
use crate::redact::Redactor;
use crate::store::Record;

/// Bytes shown of a string, as strace's own default.
const STRING_LIMIT: usize = 32;
/// Bytes shown of a path, as the kernel's longest.
const PATH_LIMIT: usize = 4096;

/// Appends the event to `out`, without a newline.
pub(super) fn line(record: &Record<'_>, redactor: &Redactor, out: &mut String) {
    // Writing to a String cannot fail.
    let _ = write_line(record, redactor, out);
}

fn write_line(record: &Record<'_>, redactor: &Redactor, out: &mut String) -> std::fmt::Result {
    write!(out, "{} ", record.process.map_or(record.tid, |process| process.pid))?;
    let Kind::Call { nr, .. } = record.kind else { return other(record, redactor, out) };
    let Some(call) = record.call else {
        write!(out, "syscall_{nr:#x}(")?;
        for (at, arg) in record.args.iter().enumerate() {
            write!(out, "{}{arg:#x}", if at == 0 { "" } else { ", " })?;
        }
        return ending(record, out);
    };
    write!(out, "{}(", call.name)?;
    // Names stand where the call has them; objects and targets are used up in that order.
    let mut names = [record.object, record.target].into_iter().flatten();
    for (at, ((_, kind), arg)) in call.args.iter().zip(record.args).enumerate() {
        out.push_str(if at == 0 { "" } else { ", " });
        match kind {
            Arg::Path | Arg::SockAddr { .. } => match names.next() {
                Some(object) => write!(out, "\"{}\"", redactor.text(&object.name, PATH_LIMIT))?,
                None => write!(out, "{arg:#x}")?,
            },
            Arg::Fd => {
                write!(out, "{}", arg as i32)?;
                if let Some(object) = names.next() {
                    write!(out, "<{}>", redactor.text(&object.name, PATH_LIMIT))?;
                }
            }
            Arg::InBuf { .. } | Arg::OutBuf { .. } | Arg::InIovec { .. } | Arg::OutIovec { .. } | Arg::InMsg
            | Arg::OutMsg | Arg::InMmsg { .. }
                if !record.payload.is_empty() =>
            {
                write!(out, "\"{}\"", redactor.fragment(record.payload, STRING_LIMIT))?;
            }
            Arg::Argv if !record.detail.is_empty() => {
                out.push('[');
                let argv = record.detail.strip_suffix(b"\0").unwrap_or(record.detail);
                for (at, entry) in argv.split(|b| *b == 0).enumerate() {
                    write!(out, "{}\"{}\"", if at == 0 { "" } else { ", " }, redactor.text(entry, PATH_LIMIT))?;
                }
                out.push(']');
            }
            Arg::Text if !record.detail.is_empty() => write!(out, "\"{}\"", redactor.text(record.detail, PATH_LIMIT))?,
            kind => show(*kind, arg, out)?,
        }
    }
    ending(record, out)
}
