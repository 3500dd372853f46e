//! Calls of a thread, read from a log of strace and from events of a recording into one form.

use std::collections::BTreeMap;

use belljar_sandbox::witness::syscalls::{Arg, Watch, by_name};
use serde_json::Value;

use super::common::counted_call;

/// What a mark's text begins with; `tests/fixtures/callkinds.c` writes them.
const MARK: &str = "callkinds: ";

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It never returned, or nobody saw what it returned.
    Unknown,
    /// What it returned.
    Value(i64),
    /// The name of its error.
    Failed(String),
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) name: String,
    pub(crate) outcome: Outcome,
    /// Path of what it opened, or of the descriptor it was made on.
    pub(crate) path: Option<String>,
}

/// Calls by the mark they come after, in order.
pub(crate) type Threads = BTreeMap<String, Vec<Call>>;

/// How often each call that is only counted was made, by process; a process is called by its
/// first mark.
pub(crate) type Counts = BTreeMap<String, BTreeMap<String, u64>>;

/// Whether calls of this name are only counted.
pub(crate) fn is_quiet(name: &str) -> bool {
    by_name(name).unwrap_or_else(|| panic!("the call table lacks {name}")).watch == Watch::Quiet
}

/// The logs of `strace -ff -y -X raw`, one a thread.
pub(crate) fn strace<'a>(logs: impl Iterator<Item = &'a str>) -> (Threads, Counts) {
    let (mut threads, mut counts) = (Threads::new(), Counts::new());
    for log in logs {
        let mut mark = None;
        let (mut calls, mut quiet) = (Vec::new(), BTreeMap::<String, u64>::new());
        for line in log.lines() {
            let Some((call, arguments)) = strace_line(line) else { continue };
            if let Some((_, name)) = arguments.split_once(MARK).filter(|_| call.name == "write" && mark.is_none()) {
                mark = Some(name.split('"').next().unwrap_or_default().to_owned());
            } else if is_quiet(&call.name) {
                *quiet.entry(call.name).or_default() += 1;
            } else if mark.is_some() {
                calls.push(call);
            }
        }
        let mark = mark.expect("every thread of the fixture makes a mark");
        let sums = counts.entry(process_of(&mark)).or_default();
        for (name, count) in quiet {
            *sums.entry(name).or_default() += count;
        }
        assert!(threads.insert(mark.clone(), calls).is_none(), "the mark {mark} comes twice");
    }
    (threads, counts)
}

/// The process a mark's thread belongs to: threads' marks say what they are.
fn process_of(mark: &str) -> String {
    if mark.starts_with("thread-") { "threads".to_owned() } else { mark.to_owned() }
}

/// A call and the text of its arguments; `None` for signals and ends.
fn strace_line(line: &str) -> Option<(Call, &str)> {
    let (name, rest) = line.split_once('(')?;
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return None;
    }
    let (arguments, result) = match rest.rsplit_once(") = ") {
        Some(parts) => parts,
        // Killed within the call.
        None => (rest.strip_suffix(" <unfinished ...>")?, "?"),
    };
    let word = result.split([' ', '<']).next().unwrap_or_default();
    let outcome = match word {
        "?" => Outcome::Unknown,
        "-1" => Outcome::Failed(result.split(' ').nth(1).expect("strace names the error").to_owned()),
        hex if hex.starts_with("0x") => {
            Outcome::Value(u64::from_str_radix(hex.trim_start_matches("0x"), 16).expect("a number") as i64)
        }
        // The mode that umask returns.
        octal if octal.starts_with('0') => Outcome::Value(i64::from_str_radix(octal, 8).expect("a number")),
        number => Outcome::Value(number.parse().unwrap_or_else(|_| panic!("no result: {line}"))),
    };
    let path = if opens(name) {
        annotation(result)
    } else if works_on_a_descriptor(name) {
        annotation(arguments.split(", ").next().unwrap_or_default())
    } else {
        None
    };
    Some((Call { name: name.to_owned(), outcome, path }, arguments))
}

/// Whether the call returns the descriptor of what it names.
fn opens(name: &str) -> bool {
    matches!(name, "open" | "openat" | "openat2" | "creat")
}

fn works_on_a_descriptor(name: &str) -> bool {
    by_name(name).and_then(|call| call.args.first()).is_some_and(|(_, arg)| *arg == Arg::Fd)
}

/// The path in `3</path>`; none for pipes, sockets and what has no name any more.
fn annotation(text: &str) -> Option<String> {
    let path = text.split_once('<')?.1.strip_suffix('>')?;
    path.starts_with('/').then(|| path.to_owned())
}

/// The events of a recording, as `events --format jsonl` prints them.
pub(crate) fn recorded(events: &[Value]) -> (Threads, Counts) {
    let (mut threads, mut counts) = (Threads::new(), Counts::new());
    let (mut marks, mut processes) = (BTreeMap::new(), BTreeMap::new());
    let mut counted = Vec::new();
    for event in events {
        let (key, tid) = (event["key"].as_u64(), event["tid"].as_u64());
        let op = event["op"].as_str().expect("every event has an op");
        if op == "counted" {
            counted.push(event);
        }
        if event["nr"].is_null() || op == "counted" {
            continue;
        }
        let mark = event["payload"].as_str().and_then(|text| text.strip_prefix(MARK)).filter(|_| op == "write");
        if let Some(mark) = mark {
            processes.entry(key).or_insert_with(|| process_of(mark));
            marks.insert((key, tid), mark.to_owned());
            assert!(threads.insert(mark.to_owned(), Vec::new()).is_none(), "the mark {mark} comes twice");
        } else if let Some(mark) = marks.get(&(key, tid)) {
            threads.entry(mark.clone()).or_default().push(recorded_call(op, event));
        }
    }
    for event in counted {
        let Some(process) = processes.get(&event["key"].as_u64()) else { continue };
        let sums = counts.entry(process.clone()).or_default();
        *sums.entry(counted_call(event)).or_default() += event["args"][0].as_u64().expect("a count");
    }
    (threads, counts)
}

fn recorded_call(op: &str, event: &Value) -> Call {
    let outcome = match (event["errno"].as_str(), event["result"].as_i64()) {
        (Some(error), _) => Outcome::Failed(error.to_owned()),
        (None, Some(result)) => Outcome::Value(result),
        (None, None) => Outcome::Unknown,
    };
    let is_path = matches!(event["kind"].as_str(), Some("file" | "device" | "terminal"));
    let path = event["object"].as_str().filter(|_| is_path && (opens(op) || works_on_a_descriptor(op)));
    Call { name: op.to_owned(), outcome, path: path.map(str::to_owned) }
}
