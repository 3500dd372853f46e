//! The seccomp filter, assembled from the call table.
//!
//! For each interface the numbers form ranges of one verdict, found by binary search. A verdict that does not look
//! at arguments is all the kernel needs to know to skip the filter altogether for calls that are not trapped
//! (`seccomp_cache_prepare`, Linux 5.11), so the search only ever costs the trapped ones.

use crate::event::Abi;
use crate::witness::syscalls::{self, Watch};

/// `AUDIT_ARCH_X86_64` of `linux/audit.h`.
pub(super) const ARCH_X86_64: u32 = 0xc000_003e;
/// `AUDIT_ARCH_I386` of `linux/audit.h`.
pub(super) const ARCH_I386: u32 = 0x4000_0003;
pub(super) use crate::witness::syscalls::{NUMBERS, X32_BIT};

/// Offsets in `struct seccomp_data` (linux/seccomp.h).
const OFFSET_NR: u32 = 0;
const OFFSET_ARCH: u32 = 4;
const OFFSET_ARGS: u32 = 16;

const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
const AND: u32 = libc::BPF_ALU | libc::BPF_AND | libc::BPF_K;
const JUMP: u32 = libc::BPF_JMP | libc::BPF_JA;
const JUMP_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
const JUMP_GREATER_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K;
const RETURN: u32 = libc::BPF_RET | libc::BPF_K;

/// What the filter says of one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Pass,
    Trap,
    TrapIf { arg: u8, mask: u32, value: u32 },
}

/// The filter for the whole call table. Traps what is watched or refused, numbers the table does not know (they are
/// recorded and answered with `ENOSYS`) and every x32 call (recorded, then the process is killed). An interface that
/// is neither x86-64 nor i386 cannot come in on such a kernel; if it does, the process dies at once.
pub fn program() -> Vec<libc::sock_filter> {
    assemble(&|abi, nr| syscalls::lookup(abi, nr).map(|call| call.watch))
}

/// The filter of the gate alone: traps what is refused, and what [`program`] would record and refuse or kill for.
pub fn gate_program() -> Vec<libc::sock_filter> {
    assemble(&|abi, nr| match syscalls::lookup(abi, nr)?.watch {
        refused @ Watch::Refused(_) => Some(refused),
        _ => Some(Watch::Passed),
    })
}

fn assemble(watch: &dyn Fn(Abi, u32) -> Option<Watch>) -> Vec<libc::sock_filter> {
    let (wide, narrow) = (search(&ranges(Abi::X86_64, watch)), search(&ranges(Abi::I386, watch)));
    let mut program = vec![
        instruction(LOAD, OFFSET_ARCH, 0, 0),
        instruction(JUMP_EQUAL, ARCH_X86_64, 0, 2),
        instruction(LOAD, OFFSET_NR, 0, 0),
        instruction(JUMP, 3, 0, 0),
        instruction(JUMP_EQUAL, ARCH_I386, 1, 0),
        instruction(RETURN, libc::SECCOMP_RET_KILL_PROCESS, 0, 0),
        instruction(JUMP, wide.len() as u32, 0, 0),
    ];
    program.extend(wide);
    program.push(instruction(LOAD, OFFSET_NR, 0, 0));
    program.extend(narrow);
    program
}

/// First number of each range, in order, with what is said of it. Always begins at 0.
fn ranges(abi: Abi, watch: &dyn Fn(Abi, u32) -> Option<Watch>) -> Vec<(u32, Verdict)> {
    let mut ranges: Vec<(u32, Verdict)> = Vec::new();
    for nr in 0..=NUMBERS {
        let verdict = match (nr < NUMBERS).then(|| watch(abi, nr)).flatten() {
            Some(Watch::Passed | Watch::Quiet) => Verdict::Pass,
            Some(Watch::WatchedIf { arg, mask, value }) if arg < 6 => Verdict::TrapIf { arg, mask, value },
            // A number from beyond the table, x32's included, falls into the last range.
            Some(Watch::Watched | Watch::Refused(_) | Watch::WatchedIf { .. }) | None => Verdict::Trap,
        };
        if ranges.last().is_none_or(|(_, last)| *last != verdict) {
            ranges.push((nr, verdict));
        }
    }
    ranges
}

/// A binary search over `ranges` with the number in the accumulator.
fn search(ranges: &[(u32, Verdict)]) -> Vec<libc::sock_filter> {
    let (lower, upper) = ranges.split_at(ranges.len() / 2);
    match (lower, upper) {
        ([], [(_, verdict), ..]) => leaf(*verdict),
        (_, [(middle, _), ..]) => {
            let (lower, upper) = (search(lower), search(upper));
            // Conditional jumps reach 255 instructions, the unconditional one as far as needed.
            let mut code = match u8::try_from(lower.len()) {
                Ok(distance) => vec![instruction(JUMP_GREATER_EQUAL, *middle, distance, 0)],
                Err(_) => {
                    vec![instruction(JUMP_GREATER_EQUAL, *middle, 0, 1), instruction(JUMP, lower.len() as u32, 0, 0)]
                }
            };
            code.extend(lower);
            code.extend(upper);
            code
        }
        // Of nothing, or of less than one range.
        (_, []) => Vec::new(),
    }
}

fn leaf(verdict: Verdict) -> Vec<libc::sock_filter> {
    let trap = instruction(RETURN, libc::SECCOMP_RET_USER_NOTIF, 0, 0);
    let pass = instruction(RETURN, libc::SECCOMP_RET_ALLOW, 0, 0);
    match verdict {
        Verdict::Pass => vec![pass],
        Verdict::Trap => vec![trap],
        Verdict::TrapIf { arg, mask, value } => vec![
            // The low half of a little-endian 64-bit argument comes first.
            instruction(LOAD, OFFSET_ARGS + 8 * u32::from(arg), 0, 0),
            instruction(AND, mask, 0, 0),
            instruction(JUMP_EQUAL, value, 0, 1),
            trap,
            pass,
        ],
    }
}

fn instruction(code: u32, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt, jf, k }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel would answer: classic BPF with the instructions this assembler uses.
    fn interpret(program: &[libc::sock_filter], arch: u32, nr: u32, args: [u64; 6]) -> u32 {
        let (mut at, mut accumulator) = (0_usize, 0_u32);
        for _ in 0..4096 {
            let op = program[at];
            at += 1;
            match u32::from(op.code) {
                LOAD => {
                    accumulator = match op.k {
                        OFFSET_NR => nr,
                        OFFSET_ARCH => arch,
                        k => (args[((k - OFFSET_ARGS) / 8) as usize] >> ((k - OFFSET_ARGS) % 8 * 8)) as u32,
                    }
                }
                AND => accumulator &= op.k,
                JUMP => at += op.k as usize,
                JUMP_EQUAL => at += usize::from(if accumulator == op.k { op.jt } else { op.jf }),
                JUMP_GREATER_EQUAL => at += usize::from(if accumulator >= op.k { op.jt } else { op.jf }),
                RETURN => return op.k,
                other => panic!("unknown instruction {other:#x}"),
            }
        }
        panic!("the program does not end")
    }

    /// The table's word on one call, straight from its definition.
    fn expected(watch: Option<Watch>, args: [u64; 6]) -> u32 {
        match watch {
            Some(Watch::Passed | Watch::Quiet) => libc::SECCOMP_RET_ALLOW,
            Some(Watch::WatchedIf { arg, mask, value }) if args[usize::from(arg)] as u32 & mask != value => {
                libc::SECCOMP_RET_ALLOW
            }
            _ => libc::SECCOMP_RET_USER_NOTIF,
        }
    }

    fn check(program: &[libc::sock_filter], watch: &dyn Fn(Abi, u32) -> Option<Watch>) {
        assert!(program.len() <= 4096, "BPF_MAXINSNS");
        for (arch, abi) in [(ARCH_X86_64, Abi::X86_64), (ARCH_I386, Abi::I386)] {
            for nr in 0..2 * NUMBERS {
                let known = watch(abi, nr);
                let mut tried = vec![[0; 6], [u64::MAX; 6]];
                if let Some(Watch::WatchedIf { arg, value, .. }) = known {
                    // The condition met, with rubbish in the upper half, and met in another argument only.
                    let mut args = [0; 6];
                    args[usize::from(arg)] = u64::from(value) | 0xdead_0000_0000;
                    tried.push(args);
                    args.rotate_right(1);
                    tried.push(args);
                }
                for args in tried {
                    assert_eq!(interpret(program, arch, nr, args), expected(known, args), "{abi:?} {nr} {args:x?}");
                }
            }
            for nr in [X32_BIT, X32_BIT | 1, X32_BIT + 521, u32::MAX, 0x8000_0000] {
                assert_eq!(interpret(program, arch, nr, [0; 6]), libc::SECCOMP_RET_USER_NOTIF, "{abi:?} {nr:#x}");
            }
        }
        assert_eq!(interpret(program, 0xc000_00b7, 0, [0; 6]), libc::SECCOMP_RET_KILL_PROCESS);
    }

    #[test]
    fn the_program_does_what_the_table_says() {
        check(&program(), &|abi, nr| syscalls::lookup(abi, nr).map(|call| call.watch));
    }

    #[test]
    fn a_table_of_every_shape_is_searched_right() {
        // Every neighbour differs, in both interfaces: the longest program, with far jumps.
        let watch = |abi: Abi, nr: u32| match (nr + u32::from(abi == Abi::I386)) % 5 {
            0 => Some(Watch::Watched),
            1 => Some(Watch::Passed),
            2 => Some(Watch::WatchedIf { arg: (nr % 6) as u8, mask: 0xff << (nr % 20), value: 0x40 << (nr % 20) }),
            3 => Some(Watch::Quiet),
            _ => nr.is_multiple_of(2).then_some(Watch::Refused(1)),
        };
        let narrowed = |abi: Abi, nr: u32| if nr < 470 { watch(abi, nr) } else { None };
        check(&assemble(&narrowed), &narrowed);
    }
}
