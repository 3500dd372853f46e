//! The field registry: what an event can be asked for. Columns, filter language, completion,
//! JSON and CSV names and the manual are all made from [`FIELDS`], so a field is described here
//! once and nowhere else.
//!
//! A field has zero, one or several values in an event ([`Field::each`]); nothing is allocated to
//! look at them.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use belljar_sandbox::event::{Kind, LayerChange, ObjectKind, Protocol, Traffic};
use belljar_sandbox::witness::syscalls::Arg;
use belljar_sandbox::witness::syscalls::show::{errno_name, signal_name};

use super::Context;
use super::ast::Op;
use crate::store::meaning::{self, Act};
use crate::store::words::{
    ABI_WORDS as ABIS, AUTHORITY_WORDS as AUTHORITIES, CATEGORY_WORDS as CATEGORIES, DECISION_WORDS as DECISIONS,
    OBJECT_KIND_WORDS as KINDS, WITNESS_WORDS as WITNESSES,
};
pub use crate::store::words::{abi, authority, category, decision, object_kind, witness};
use crate::store::{Object, Record, Verb, ops};

/// What a field's values are, and so how they are written and compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Whole numbers.
    Number,
    /// Numbers of bytes.
    Size,
    /// Nanoseconds since the session began.
    Time,
    /// Nanoseconds.
    Duration,
    /// What a call returned: a number, negative errno on failure.
    Result,
    /// Names, paths: the subject's bytes.
    Text,
    /// A piece of a stream of bytes.
    Bytes,
    /// One of a known set of words.
    Choice(Choices),
}

/// Where the words of a [`Type::Choice`] come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choices {
    /// These.
    Fixed(&'static [&'static str]),
    /// Names of system calls and of the other kinds of event.
    Calls,
    /// Names of error numbers.
    Errors,
    /// Names of the session's assets.
    Assets,
    /// Their classes.
    Classes,
}

/// One value of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scalar<'a> {
    /// Of a numeric field.
    Int(i128),
    /// Of any other.
    Bytes(&'a [u8]),
}

type Visit<'v, 'a> = &'v mut dyn FnMut(Scalar<'a>);

/// One thing an event can be asked for.
#[derive(Debug)]
pub struct Field {
    /// Its name everywhere.
    pub name: &'static str,
    /// What it may also be called in a filter or a list of columns.
    pub aliases: &'static [&'static str],
    /// What its values are.
    pub kind: Type,
    /// Whether an event may have several: a list in JSON.
    pub many: bool,
    /// One line of help.
    pub help: &'static str,
    get: for<'v, 'a> fn(&Record<'a>, &Context<'a>, Visit<'v, 'a>),
}

impl PartialEq for Field {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Field {}

impl Field {
    /// The field of this name or alias; case and `_` for `-` do not matter.
    pub fn find(name: &str) -> Option<&'static Self> {
        let same = |known: &str| {
            known.len() == name.len()
                && known.bytes().zip(name.bytes()).all(|(a, b)| a == b.to_ascii_lowercase() || (a == b'-' && b == b'_'))
        };
        FIELDS.iter().find(|field| same(field.name) || field.aliases.iter().any(|alias| same(alias)))
    }

    /// Hands every value the event has for this field to `visit`.
    pub fn each<'a>(&self, record: &Record<'a>, context: &Context<'a>, visit: Visit<'_, 'a>) {
        (self.get)(record, context, visit);
    }

    /// Whether its values are numbers.
    pub fn is_numeric(&self) -> bool {
        !matches!(self.kind, Type::Text | Type::Bytes | Type::Choice(_))
    }

    /// The operators it can be compared with.
    pub fn operators(&self) -> &'static [Op] {
        if self.is_numeric() {
            &[Op::Is, Op::Equal, Op::NotEqual, Op::Greater, Op::GreaterEqual, Op::Less, Op::LessEqual]
        } else {
            &[Op::Is, Op::Equal, Op::NotEqual, Op::Contains, Op::NotContains]
        }
    }

    /// What its values are, in a word.
    pub fn type_name(&self) -> &'static str {
        match self.kind {
            Type::Number | Type::Result => "number",
            Type::Size => "size",
            Type::Time => "time",
            Type::Duration => "duration",
            Type::Text => "text",
            Type::Bytes => "data",
            Type::Choice(_) => "word",
        }
    }

    /// The words it can have, for a [`Type::Choice`]; empty for others and where no list is known.
    pub fn choices<'a>(&self, context: &Context<'a>) -> Vec<&'a str> {
        match self.kind {
            Type::Choice(Choices::Fixed(words)) => words.to_vec(),
            Type::Choice(Choices::Calls) => operations().to_vec(),
            Type::Choice(Choices::Errors) => errors().to_vec(),
            Type::Choice(Choices::Assets) => context.assets.iter().map(|asset| asset.name.as_str()).collect(),
            Type::Choice(Choices::Classes) => {
                context.assets.iter().map(|asset| asset.class.as_str()).collect::<BTreeSet<_>>().into_iter().collect()
            }
            _ => Vec::new(),
        }
    }
}

const fn field(
    name: &'static str,
    aliases: &'static [&'static str],
    kind: Type,
    help: &'static str,
    get: for<'v, 'a> fn(&Record<'a>, &Context<'a>, Visit<'v, 'a>),
) -> Field {
    Field { name, aliases, kind, many: false, help, get }
}

const fn many(mut field: Field) -> Field {
    field.many = true;
    field
}

/// All fields, in the order of the default columns of machine-readable output.
pub static FIELDS: &[Field] = &[
    field("seq", &["n", "event"], Type::Number, "number of the event in the session, from 1", |r, _, out| {
        out(Scalar::Int(r.seq.into()));
    }),
    field("t", &["time"], Type::Time, "time since the session began", |r, _, out| out(Scalar::Int(r.time_ns.into()))),
    field("witness", &[], Type::Choice(Choices::Fixed(&WITNESSES)), "who saw it", |r, _, out| {
        name(witness(r.witness), out);
    }),
    field(
        "op",
        &["call", "syscall"],
        Type::Choice(Choices::Calls),
        "system call, or other kind of event",
        |r, _, out| {
            name(r.op(), out);
        },
    ),
    field("category", &["cat"], Type::Choice(Choices::Fixed(&CATEGORIES)), "what the call is about", |r, _, out| {
        if let Some(call) = r.call {
            name(category(call.category), out);
        }
    }),
    field("abi", &[], Type::Choice(Choices::Fixed(&ABIS)), "binary interface the call came in by", |r, _, out| {
        if let Kind::Call { abi: interface, .. } | Kind::Counted { abi: interface, .. } = r.kind {
            name(abi(interface), out);
        }
    }),
    field("nr", &[], Type::Number, "number of the call in its interface", |r, _, out| {
        if let Kind::Call { nr, .. } | Kind::Counted { nr, .. } = r.kind {
            out(Scalar::Int(nr.into()));
        }
    }),
    field("pid", &[], Type::Number, "process id in the jail (may be used again)", |r, _, out| {
        if let Some(process) = r.process {
            out(Scalar::Int(process.pid.into()));
        }
    }),
    field("tid", &["thread"], Type::Number, "thread id in the jail", |r, _, out| {
        if r.tid != 0 {
            out(Scalar::Int(r.tid.into()));
        }
    }),
    field("key", &["process-key"], Type::Number, "process of the session, from 1 (never used again)", |r, _, out| {
        if let Some(process) = r.process {
            out(Scalar::Int(process.key.0.into()));
        }
    }),
    field("parent", &["parent-key"], Type::Number, "key of the process that made it", |r, _, out| {
        if let Some(parent) = r.process.and_then(|process| process.parent) {
            out(Scalar::Int(parent.0.into()));
        }
    }),
    field("proc", &["process", "comm"], Type::Text, "file name of the process's program", |r, _, out| {
        text(r.process.map(crate::store::Process::name), out);
    }),
    field("exe", &["program"], Type::Text, "path of the process's program", |r, _, out| {
        text(r.process.map(|process| process.exe.as_slice()), out);
    }),
    many(field(
        "argv",
        &["args-text", "cmdline"],
        Type::Text,
        "arguments of the program it is, or starts; each by itself",
        |r, _, out| {
            let starts = r.kind == Kind::ProcessImage
                || r.call.is_some_and(|call| call.args.iter().any(|(_, arg)| *arg == Arg::Argv));
            let own = r.process.map_or(&[][..], |process| process.argv.as_slice());
            let argv = if starts && !r.detail.is_empty() { r.detail } else { own };
            for entry in argv.strip_suffix(b"\0").into_iter().flat_map(|argv| argv.split(|b| *b == 0)) {
                out(Scalar::Bytes(entry));
            }
        },
    )),
    field("kind", &["object-kind"], Type::Choice(Choices::Fixed(&KINDS)), "what the object is", |r, _, out| {
        kind_name(r.object, out);
    }),
    field("object", &["obj", "on"], Type::Text, "what the call acts on: path, peer, pipe", |r, _, out| {
        text(r.object.map(|object| &*object.name), out);
    }),
    field("target-kind", &[], Type::Choice(Choices::Fixed(&KINDS)), "what the target is", |r, _, out| {
        kind_name(r.target, out);
    }),
    field("target", &["to"], Type::Text, "the second thing named: new name, link, destination", |r, _, out| {
        text(r.target.map(|object| &*object.name), out);
    }),
    many(field("path", &["file"], Type::Text, "object or target where it is a path", |r, _, out| {
        for object in both(r) {
            if is_path(object) {
                out(Scalar::Bytes(&object.name));
            }
        }
    })),
    field("written", &["makes"], Type::Text, "path that gets contents, or is made, by it", |r, _, out| {
        text(written(r).map(|object| &*object.name), out);
    }),
    many(field(
        "host",
        &["addr", "ip"],
        Type::Text,
        "network address or host name of object or target",
        |r, _, out| {
            for (host, _) in both(r).filter_map(peer) {
                out(Scalar::Bytes(host));
            }
        },
    )),
    many(field("port", &[], Type::Number, "network port of object or target", |r, _, out| {
        for (_, port) in both(r).filter_map(peer) {
            out(Scalar::Int(port.into()));
        }
    })),
    field("bytes", &["size", "len", "length"], Type::Size, "how many bytes went with the event", |r, _, out| {
        out(Scalar::Int(r.payload_len.into()));
    }),
    field("result", &["ret", "return"], Type::Result, "what the call returned", |r, _, out| {
        if let Some(result) = r.result {
            out(Scalar::Int(result.into()));
        }
    }),
    field("errno", &["error"], Type::Choice(Choices::Errors), "name of the error the call failed with", |r, _, out| {
        if let Some(error) = r.result.and_then(error_name) {
            name(error, out);
        }
    }),
    field(
        "outcome",
        &[],
        Type::Choice(Choices::Fixed(&OUTCOMES)),
        "how the call ended, as far as it could be seen",
        |r, _, out| {
            if let Kind::Call { .. } = r.kind {
                name(OUTCOMES[r.result.map_or(2, |result| usize::from((-4095..0).contains(&result)))], out);
            }
        },
    ),
    field("decision", &[], Type::Choice(Choices::Fixed(&DECISIONS)), "what the sandbox answered", |r, _, out| {
        name(decision(r.decision), out);
    }),
    field(
        "authority",
        &[],
        Type::Choice(Choices::Fixed(&AUTHORITIES)),
        "whether the arguments are those the kernel used",
        |r, _, out| {
            name(authority(r.authority), out);
        },
    ),
    field("took", &["duration"], Type::Duration, "how long the call took", |r, _, out| {
        if let Some(duration) = r.duration_ns {
            out(Scalar::Int(duration.into()));
        }
    }),
    field("conn", &["connection"], Type::Number, "the gateway's number of the connection", |r, _, out| {
        if let Kind::Traffic(_) = r.kind {
            out(Scalar::Int(r.args[0].into()));
        }
    }),
    field(
        "protocol",
        &["proto"],
        Type::Choice(Choices::Fixed(&PROTOCOLS)),
        "what was spoken on the connection",
        |r, _, out| {
            if let Kind::Traffic(_) = r.kind
                && let (Some(protocol), _) = Protocol::from_argument(r.args[3])
            {
                name(protocol.name(), out);
            }
        },
    ),
    field("tls", &[], Type::Choice(Choices::Fixed(&YES_NO)), "whether it was spoken inside TLS", |r, _, out| {
        if let Kind::Traffic(_) = r.kind {
            name(YES_NO[usize::from(!Protocol::from_argument(r.args[3]).1)], out);
        }
    }),
    field("method", &[], Type::Text, "method of an HTTP request", |r, _, out| {
        text(request(r).map(|(method, _)| method), out);
    }),
    field("url", &["uri"], Type::Text, "URL of an HTTP request", |r, _, out| {
        text(request(r).map(|(_, url)| url), out);
    }),
    field("status", &[], Type::Number, "status that an HTTP request was answered with", |r, _, out| {
        if r.kind == Kind::Traffic(Traffic::Response) {
            out(Scalar::Int(r.args[4].into()));
        }
    }),
    many(field("verb", &["verbs"], Type::Choice(Choices::Fixed(&VERBS)), "what analysis saw in it", |r, _, out| {
        for verb in r.verbs.iter() {
            name(verb.name(), out);
        }
    })),
    many(field("asset", &["assets"], Type::Choice(Choices::Assets), "planted data it touched", |r, context, out| {
        for asset in r.assets.iter().filter_map(|index| context.assets.get(index)) {
            out(Scalar::Bytes(asset.name.as_bytes()));
        }
    })),
    many(field(
        "class",
        &["classes"],
        Type::Choice(Choices::Classes),
        "data class of what it touched",
        |r, context, out| {
            let class = |index: usize| context.assets.get(index).map(|asset| asset.class.as_str());
            for index in r.assets.iter() {
                // Each class once, however many of its assets were touched.
                if let Some(name) = class(index)
                    .filter(|name| !r.assets.iter().take_while(|i| *i < index).any(|i| class(i) == Some(name)))
                {
                    out(Scalar::Bytes(name.as_bytes()));
                }
            }
        },
    )),
    many(field("args", &[], Type::Number, "the six raw arguments of a call", |r, _, out| {
        for arg in r.args {
            out(Scalar::Int(arg.into()));
        }
    })),
    many(field(
        "flag",
        &["flags"],
        Type::Text,
        "names of the flags and operations among its arguments",
        |r, _, out| {
            for (set, value) in arguments(r).filter_map(|(arg, value)| match arg {
                Arg::Flags(set) => Some((set, value)),
                _ => None,
            }) {
                set.names(value, |flag| name(flag, out));
            }
        },
    )),
    field("signal", &["sig"], Type::Text, "signal that is sent: `SIGTERM`, or its number", |r, _, out| {
        let number = arguments(r).find(|(arg, _)| **arg == Arg::Signal).map(|(_, value)| value as i32);
        match number {
            Some(0) => name("0", out),
            Some(number) => name(signal_name(number).unwrap_or("SIGRT"), out),
            None => {}
        }
    }),
    field(
        "to-pid",
        &[],
        Type::Number,
        "process (below 0: group) that a signal or a trace is meant for",
        |r, _, out| {
            if let Some((_, pid)) = arguments(r).find(|(arg, _)| **arg == Arg::Pid) {
                out(Scalar::Int((pid as i32).into()));
            }
        },
    ),
    field("request", &["command"], Type::Number, "command of an ioctl and its like", |r, _, out| {
        if let Some((_, command)) = arguments(r).find(|(arg, _)| **arg == Arg::Command) {
            out(Scalar::Int((command as u32).into()));
        }
    }),
    field(
        "mode",
        &["permissions"],
        Type::Number,
        "permission bits given, or found on a file left behind",
        |r, _, out| {
            if let Kind::Layer(_) = r.kind {
                out(Scalar::Int((r.args[0] & PERMISSIONS).into()));
            } else if let Some((_, mode)) = arguments(r).find(|(arg, _)| **arg == Arg::Mode)
            // An open that makes nothing leaves it unset.
            && !r.op().starts_with("open")
            {
                out(Scalar::Int((mode & PERMISSIONS).into()));
            }
        },
    ),
    field("other-pid", &[], Type::Number, "process, not itself, whose entry under /proc is named", |r, _, out| {
        if let Some(pid) = r
            .object
            .and_then(|object| proc_entry(&object.name))
            .filter(|pid| r.process.is_some_and(|process| process.pid != *pid && r.tid != *pid))
        {
            out(Scalar::Int(pid.into()));
        }
    }),
    field(
        "detail",
        &["info"],
        Type::Text,
        "other text of the event: attribute name, mount options, notice",
        |r, _, out| {
            text(Some(r.detail), out);
        },
    ),
    field("payload", &["text", "data", "body"], Type::Bytes, "bytes that went with it, as far as kept", |r, _, out| {
        text(Some(r.payload), out);
    }),
];

/// Bits of a mode that are no file type (inode(7)).
const PERMISSIONS: u64 = 0o7777;

/// The path that gets contents, or a name, by the event.
fn written<'a>(record: &Record<'a>) -> Option<&'a Object> {
    let object = match record.kind {
        Kind::Layer(LayerChange::Created | LayerChange::Changed) => record.object,
        Kind::Call { .. } => match meaning::act(None, record) {
            Act::Open { write: true, .. } | Act::Make | Act::Truncate => record.object,
            Act::Rename => record.target,
            _ => None,
        },
        _ => None,
    };
    object.filter(|object| is_path(object))
}

/// What the arguments of a call are, and what they were.
fn arguments<'a>(record: &Record<'a>) -> impl Iterator<Item = (&'static Arg, u64)> + use<'a> {
    let known = record.call.filter(|_| matches!(record.kind, Kind::Call { .. })).map_or(&[][..], |call| call.args);
    known.iter().map(|(_, arg)| arg).zip(record.args)
}

/// The process whose entry a path under /proc is in.
fn proc_entry(path: &[u8]) -> Option<u32> {
    let rest = path.strip_prefix(b"/proc/")?;
    let digits = rest.split(|byte| *byte == b'/').next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Method and URL of an HTTP request.
fn request<'a>(record: &Record<'a>) -> Option<(&'a [u8], &'a [u8])> {
    if record.kind != Kind::Traffic(Traffic::Request) {
        return None;
    }
    let space = memchr::memchr(b' ', record.detail)?;
    Some((record.detail.get(..space)?, record.detail.get(space + 1..)?))
}

fn name(name: &'static str, out: Visit<'_, '_>) {
    out(Scalar::Bytes(name.as_bytes()));
}

fn text<'a>(bytes: Option<&'a [u8]>, out: Visit<'_, 'a>) {
    if let Some(bytes) = bytes.filter(|bytes| !bytes.is_empty()) {
        out(Scalar::Bytes(bytes));
    }
}

fn both<'a>(record: &Record<'a>) -> impl Iterator<Item = &'a Object> {
    record.object.into_iter().chain(record.target)
}

fn is_path(object: &Object) -> bool {
    matches!(object.kind, ObjectKind::File | ObjectKind::Terminal | ObjectKind::Device)
        || (object.kind == ObjectKind::Unix && object.name.starts_with(b"/"))
}

/// Host and port of a network object; brackets of IPv6 addresses taken off.
fn peer(object: &Object) -> Option<(&[u8], u16)> {
    if !matches!(object.kind, ObjectKind::Tcp | ObjectKind::Udp) {
        return None;
    }
    let colon = memchr::memrchr(b':', &object.name)?;
    let (host, port) = (object.name.get(..colon)?, object.name.get(colon + 1..)?);
    let host = host.strip_prefix(b"[").and_then(|host| host.strip_suffix(b"]")).unwrap_or(host);
    Some((host, std::str::from_utf8(port).ok()?.parse().ok()?))
}

fn kind_name(object: Option<&Object>, out: Visit<'_, '_>) {
    if let Some(object) = object.filter(|object| object.kind != ObjectKind::None) {
        name(object_kind(object.kind), out);
    }
}

/// Names of all system calls and of the other kinds of event, sorted.
fn operations() -> &'static [&'static str] {
    static NAMES: OnceLock<Vec<&'static str>> = OnceLock::new();
    NAMES.get_or_init(|| {
        let mut names = ops().names().to_vec();
        names.sort_unstable();
        names
    })
}

/// Names of the errors that `errno(3)` lists, and of those that only who looks at a call from
/// outside sees (512-530, the kernel's `include/linux/errno.h`).
fn errors() -> &'static [&'static str] {
    static NAMES: OnceLock<Vec<&'static str>> = OnceLock::new();
    NAMES.get_or_init(|| (1..=530).filter_map(errno_name).collect())
}

/// The name of the error a call returned, `EACCES` for -13; `None` for success and for numbers
/// without a name.
pub fn error_name(result: i64) -> Option<&'static str> {
    errno_name(i32::try_from(result.checked_neg()?).ok().filter(|number| *number > 0)?)
}

const YES_NO: [&str; 2] = ["yes", "no"];

const PROTOCOLS: [&str; 11] = {
    let mut names = [""; 11];
    let mut at = 0;
    while at < names.len() {
        names[at] = Protocol::ALL[at].name();
        at += 1;
    }
    names
};

const OUTCOMES: [&str; 3] = ["ok", "failed", "unknown"];

const VERBS: [&str; 8] = {
    let mut names = [""; 8];
    let mut at = 0;
    while at < names.len() {
        names[at] = Verb::ALL[at].name();
        at += 1;
    }
    names
};
