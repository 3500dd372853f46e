//! What the kernel's half does with each call: steps made from the call table, so that a call is described there and
//! nowhere else. The bytes are those of `struct plan` in `bpf/record.h`.

use crate::event::Abi;
use crate::witness::syscalls::{self, Arg, Call, Watch};

/// Numbers of one interface; see `NUMBERS` there.
pub(super) const NUMBERS: u32 = 512;
/// Counts kept for each thread.
pub(super) const QUIETS: usize = 160;
/// Steps of one call.
const STEPS: usize = 5;
/// Operations of i386's `socketcall`, counted from 1 (linux/net.h).
const SOCKET_OPERATIONS: u32 = 20;
/// An argument index that means none.
const NONE: u8 = 6;

const CLASS_RECORD: u8 = 0;
const CLASS_QUIET: u8 = 1;
const CLASS_UNKNOWN: u8 = 2;
const CLASS_EXEC: u8 = 3;
const CLASS_LAST: u8 = 4;
const CLASS_SOCKETCALL: u8 = 5;
const CLASS_PACKED: u8 = 6;

const MARK_EARLY: u8 = 1;
const MARK_MOVES: u8 = 2;

const OP_FD: u8 = 1;
const OP_NEW_FD: u8 = 2;
const OP_PATH: u8 = 3;
const OP_TEXT: u8 = 4;
const OP_IN: u8 = 5;
const OP_OUT: u8 = 6;
const OP_IN_VECTOR: u8 = 7;
const OP_OUT_VECTOR: u8 = 8;
const OP_IN_MESSAGE: u8 = 9;
const OP_OUT_MESSAGE: u8 = 10;
const OP_IN_MESSAGES: u8 = 11;
const OP_ADDRESS: u8 = 12;
const OP_ARGV: u8 = 13;
const OP_ENV: u8 = 14;
const OP_OFFSET: u8 = 15;
const OP_FD_AT: u8 = 16;

/// All plans, as the program's read-only data.
pub(super) struct Steps {
    /// x86-64's and i386's, one after the other.
    pub(super) calls: Vec<u8>,
    /// Those of `socketcall`'s operations.
    pub(super) sockets: Vec<u8>,
    /// Which call each count is of.
    pub(super) quiet: Vec<(Abi, u32)>,
}

impl Steps {
    pub(super) fn new() -> Self {
        let mut plans = Self { calls: Vec::new(), sockets: Vec::new(), quiet: Vec::new() };
        for abi in [Abi::X86_64, Abi::I386] {
            for nr in 0..NUMBERS {
                let call = syscalls::lookup(abi, nr);
                let quiet = call.filter(|call| call.watch == Watch::Quiet).map(|_| {
                    plans.quiet.push((abi, nr));
                    plans.quiet.len() - 1
                });
                let bytes = match (call, quiet) {
                    (None, _) => plan(CLASS_UNKNOWN, 0, 0, &[]),
                    (Some(_), Some(index)) if index < QUIETS => plan(CLASS_QUIET, index as u8, 0, &[]),
                    (Some(call), _) => plan_of(abi, call),
                };
                plans.calls.extend(bytes);
            }
        }
        // Counted from 1; 0 stands for those that do not exist.
        plans.sockets.extend(plan(CLASS_UNKNOWN, 0, 0, &[]));
        for operation in 1..=SOCKET_OPERATIONS {
            let bytes = match syscalls::socketcall(operation) {
                // SYS_SEND and SYS_RECV are the longer calls without an address.
                Some(call) if matches!(operation, 9 | 10) => plan(CLASS_RECORD, 0, 4, &steps(call)),
                Some(call) => plan(CLASS_RECORD, 0, call.args.len() as u8, &steps(call)),
                None => plan(CLASS_UNKNOWN, 0, 0, &[]),
            };
            plans.sockets.extend(bytes);
        }
        plans
    }
}

fn plan(class: u8, quiet: u8, count: u8, steps: &[[u8; 4]]) -> [u8; 4 + 4 * STEPS] {
    let mut bytes = [0; 4 + 4 * STEPS];
    let head = [class, quiet, count, 0];
    for (to, from) in bytes.iter_mut().zip(head.iter().chain(steps.iter().flatten())) {
        *to = *from;
    }
    bytes
}

fn plan_of(abi: Abi, call: &'static Call) -> [u8; 4 + 4 * STEPS] {
    match (abi, call.name) {
        (_, "execve" | "execveat") => plan(CLASS_EXEC, 0, 0, &steps(call)),
        (_, "exit" | "exit_group") => plan(CLASS_LAST, 0, 0, &[]),
        // Gone when it returns.
        (_, "close") => {
            let mut close = plan(CLASS_RECORD, 0, 0, &[]);
            close[3] = MARK_EARLY;
            close
        }
        (_, name) if moves_names(name) => {
            let mut plan = plan(CLASS_RECORD, 0, 0, &steps(call));
            plan[3] = MARK_MOVES;
            plan
        }
        (_, "socketcall") => plan(CLASS_SOCKETCALL, 0, 0, &[]),
        // The old form of i386: its six arguments stand in memory, in the order of x86-64.
        (Abi::I386, "mmap") => {
            let six = syscalls::by_name("mmap").map(steps).unwrap_or_default();
            plan(CLASS_PACKED, 0, 6, &six)
        }
        _ => plan(CLASS_RECORD, 0, 0, &steps(call)),
    }
}

/// Whether a call's result is a descriptor whose file is to be named.
pub(super) fn opens(name: &str) -> bool {
    matches!(
        name,
        "open" | "openat" | "openat2" | "creat" | "accept" | "accept4" | "memfd_create" | "memfd_secret" | "open_tree"
    )
}

/// The steps of a call, those that move bytes last: the payload has the rest of the record.
fn steps(call: &'static Call) -> Vec<[u8; 4]> {
    let (mut steps, mut payload) = (Vec::new(), Vec::new());
    let mut directory = NONE;
    for (index, (name, arg)) in call.args.iter().enumerate() {
        let a = index as u8;
        match *arg {
            Arg::Fd => steps.push([if moves(call.name) { OP_FD_AT } else { OP_FD }, a, NONE, 0]),
            Arg::DirFd => directory = a,
            Arg::Path => {
                steps.push([OP_PATH, a, directory, 0]);
                directory = NONE;
            }
            Arg::Text => steps.push([OP_TEXT, a, NONE, 0]),
            Arg::SockAddr { len } => steps.push([OP_ADDRESS, a, len, 0]),
            Arg::InBuf { len } => payload.push([OP_IN, a, len, 0]),
            Arg::OutBuf { len } => payload.push([OP_OUT, a, len, 0]),
            Arg::InIovec { count } => payload.push([OP_IN_VECTOR, a, count, 0]),
            Arg::OutIovec { count } => payload.push([OP_OUT_VECTOR, a, count, 0]),
            Arg::InMsg => payload.push([OP_IN_MESSAGE, a, NONE, 0]),
            Arg::OutMsg => payload.push([OP_OUT_MESSAGE, a, NONE, 0]),
            Arg::InMmsg { count } => payload.push([OP_IN_MESSAGES, a, count, 0]),
            Arg::Argv => steps.push([OP_ARGV, a, NONE, 0]),
            Arg::Envp => payload.push([OP_ENV, a, NONE, 0]),
            // Where a copy began: `sendfile`'s of i386 is as narrow as its `long`.
            Arg::Pointer if matches!(*name, "off_in" | "offset") && moves(call.name) => {
                let width = if call.name == "sendfile" && call.x86_64.is_none() { 4 } else { 8 };
                steps.push([OP_OFFSET, a, width, 0]);
            }
            Arg::Int
            | Arg::Uint
            | Arg::Hex
            | Arg::Mode
            | Arg::Flags(_)
            | Arg::Pid
            | Arg::Signal
            | Arg::Command
            | Arg::Offset
            | Arg::Pointer => {}
        }
    }
    if opens(call.name) {
        steps.push([OP_NEW_FD, 0, NONE, 0]);
    }
    steps.append(&mut payload);
    steps
}

/// Whether other things than the ones it names may be called otherwise when it has succeeded.
pub(super) fn moves_names(name: &str) -> bool {
    matches!(name, "rename" | "renameat" | "renameat2" | "mount" | "umount" | "umount2" | "move_mount" | "pivot_root")
}

fn moves(name: &str) -> bool {
    matches!(name, "sendfile" | "sendfile64" | "splice" | "copy_file_range")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_fits_its_plan() {
        let plans = Steps::new();
        assert_eq!(plans.calls.len(), 2 * NUMBERS as usize * (4 + 4 * STEPS));
        assert_eq!(plans.sockets.len(), 21 * (4 + 4 * STEPS));
        assert!(plans.quiet.len() <= QUIETS, "{} quiet calls", plans.quiet.len());
        for call in syscalls::all() {
            assert!(steps(call).len() <= STEPS, "{} has too many steps", call.name);
            assert!(
                call.x86_64.into_iter().chain(call.i386).all(|nr| nr < NUMBERS),
                "{} has too high a number",
                call.name
            );
        }
    }

    #[test]
    fn payload_comes_last() {
        let sendto = syscalls::by_name("sendto").expect("known");
        assert_eq!(steps(sendto), [[OP_FD, 0, NONE, 0], [OP_ADDRESS, 4, 5, 0], [OP_IN, 1, 2, 0]]);
        let linkat = syscalls::by_name("linkat").expect("known");
        assert_eq!(steps(linkat), [[OP_PATH, 1, 0, 0], [OP_PATH, 3, 2, 0]]);
    }
}
