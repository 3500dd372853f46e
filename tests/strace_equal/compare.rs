//! Two readings of one program, against each other.

use belljar_sandbox::witness::syscalls::{Watch, by_name};

use super::common::Calls;
use super::log::{Call, Counts, Outcome, Threads};

/// What these return is an address or a process id: another one each time.
const ELSEWHERE: [&str; 10] =
    ["brk", "clone", "clone3", "fork", "getsid", "mmap", "mremap", "setsid", "vfork", "wait4"];

/// How often a thread waits for another is chance.
const CHANCE: [&str; 3] = ["futex", "restart_syscall", "sched_yield"];

/// Calls shown before the first that differs.
const CONTEXT: usize = 3;

/// Whether this witness records calls of this name, whatever their arguments.
fn is_recorded(by: Calls, name: &str) -> bool {
    let watch = by_name(name).map(|call| call.watch);
    match by {
        Calls::Notify => watch == Some(Watch::Watched),
        Calls::Ebpf | Calls::Auto => watch != Some(Watch::Quiet),
    }
}

/// Whether notify traps calls of this name by their arguments: which of them, it does not matter here.
fn depends(name: &str) -> bool {
    by_name(name).is_some_and(|call| matches!(call.watch, Watch::WatchedIf { .. }))
}

/// Every thread's calls in `recorded` that are not those of `expected`, in words.
pub(crate) fn calls(by: Calls, expected: &Threads, recorded: &Threads) -> Vec<String> {
    let mut wrong = Vec::new();
    for mark in recorded.keys().filter(|mark| !expected.contains_key(*mark)) {
        wrong.push(format!("{mark}: strace has no such thread"));
    }
    for (mark, expected) in expected {
        let Some(recorded) = recorded.get(mark) else {
            wrong.push(format!("{mark}: the recording has no such thread"));
            continue;
        };
        let expected: Vec<&Call> = expected.iter().filter(|call| is_recorded(by, &call.name)).collect();
        let recorded: Vec<&Call> = recorded.iter().filter(|call| by != Calls::Notify || !depends(&call.name)).collect();
        if let Some(at) = (0..expected.len().max(recorded.len())).find(|at| {
            let pair = expected.get(*at).zip(recorded.get(*at));
            pair.is_none_or(|(expected, recorded)| expected.name != recorded.name)
        }) {
            let shown = |calls: &[&Call]| {
                let names = calls.iter().skip(at.saturating_sub(CONTEXT)).take(2 * CONTEXT);
                names.map(|call| call.name.as_str()).collect::<Vec<_>>().join(" ")
            };
            wrong.push(format!(
                "{mark}: {} calls, strace has {}; from call {at} on they differ: {} | strace: {}",
                recorded.len(),
                expected.len(),
                shown(&recorded),
                shown(&expected)
            ));
        }
        for (at, (expected, recorded)) in expected.iter().zip(&recorded).enumerate() {
            if expected.name != recorded.name {
                break;
            }
            if !same_outcome(by, expected, recorded) {
                wrong.push(format!(
                    "{mark}: call {at}, {}: {:?}, strace has {:?}",
                    expected.name, recorded.outcome, expected.outcome
                ));
            }
            if !same_path(by, expected, recorded) {
                wrong.push(format!(
                    "{mark}: call {at}, {}: on {:?}, strace has {:?}",
                    expected.name, recorded.path, expected.path
                ));
            }
        }
    }
    wrong
}

fn same_outcome(by: Calls, expected: &Call, recorded: &Call) -> bool {
    match (&expected.outcome, &recorded.outcome) {
        // Notify sees calls enter: it knows what few of them return.
        (_, Outcome::Unknown) if by == Calls::Notify => true,
        // strace hears nothing of a call that its caller does not live to see return; the kernel still answers it.
        (Outcome::Unknown, Outcome::Value(_)) if expected.name == "kill" => true,
        (Outcome::Value(_), Outcome::Value(_)) if ELSEWHERE.contains(&expected.name.as_str()) => true,
        (expected, recorded) => expected == recorded,
    }
}

fn same_path(by: Calls, expected: &Call, recorded: &Call) -> bool {
    match (&expected.path, &recorded.path) {
        // strace shows the path of an open that succeeded, and of a descriptor that has one.
        (None, _) => true,
        (Some(_), None) if by == Calls::Notify => true,
        (expected, recorded) => expected == recorded,
    }
}

/// Every sum in `recorded` that is not that of `expected`. The first process is left out: the two
/// do not begin to count at the same moment of its start.
pub(crate) fn counts(expected: &Counts, recorded: &Counts) -> Vec<String> {
    let mut wrong = Vec::new();
    let none = std::collections::BTreeMap::new();
    for (process, expected) in expected.iter().filter(|(process, _)| *process != "main") {
        let recorded = recorded.get(process).unwrap_or(&none);
        let names: std::collections::BTreeSet<&String> = expected.keys().chain(recorded.keys()).collect();
        for name in names {
            let (is, should) = (recorded.get(name).unwrap_or(&0), expected.get(name).unwrap_or(&0));
            if is != should && !(process == "threads" && CHANCE.contains(&name.as_str())) {
                wrong.push(format!("{process}: {is} of {name} counted, strace has {should}"));
            }
        }
    }
    wrong
}
