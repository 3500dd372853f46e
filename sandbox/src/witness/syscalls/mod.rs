//! The one system-call table: number per ABI, name, arguments, category, and what the witnesses
//! do with the call. It yields the seccomp filter, the decoder, the field values of the query
//! language and the manual, so a call is described here once and nowhere else.
//!
//! Numbers and names come from the kernel's own tables; argument names and types from the
//! kernel's `events/syscalls/sys_enter_*/format` and the section-2 manual pages. A name stands
//! twice where the two interfaces pass other arguments under it (`pread64`: a 64-bit offset takes
//! two registers on i386), never twice in one interface.
//!
//! # Which calls the notify witness traps
//!
//! A trapped call costs some 6 microseconds, one that is not trapped nothing, so the choice is
//! what a run costs. The rules:
//!
//! - Trapped is what a finding's chain may need and what no other witness sees: opens, reads
//!   (`collect` is proven by what was read, and nothing else sees a read), writes, sends and
//!   receives, new programs and ends, identities, signals to others, mounts, and what changes a
//!   file or its attributes.
//! - Not trapped is what moves no bytes and changes nothing: stat, access, `lseek`, `fcntl`,
//!   protections, limits. Programs make these by the thousand as they start. The exceptions
//!   are directory listings and symlink reads, which is how software searches a home.
//! - Where the filter can tell the interesting case by one argument, only that case is trapped:
//!   `mmap` of files but not of anonymous memory, `ioctl(TIOCSTI)` but no other request.
//! - `close` is never trapped: programs rely on its being immediate. Nor are `fork` and `clone`: a
//!   call that nobody has received yet is interrupted by a signal its caller handles, which a real
//!   fork never is, and shells fail with it (dash: "Cannot fork", at 600 of 2,000 children). A new
//!   process is seen at its own first call, and its parent read then.
//! - Refused is what would leave the jail or the witnesses' sight; see `table_kernel`.
//!
//! A file that only a mapping changes is seen by the layer; a packet, however sent, by the gateway.

pub mod flags;
pub mod show;
mod table_descriptors;
mod table_files;
mod table_kernel;
mod table_memory;
mod table_network;
mod table_processes;
mod table_time_ipc;

use crate::event::Abi;

/// What a table file needs, and the macro that makes one.
mod prelude {
    pub(super) use super::Arg::*;
    pub(super) use super::Watch::{Passed, Quiet, Refused, Watched};
    pub(super) use super::flags::*;
    pub(super) use super::{Call, Category, Watch};
    pub(super) use libc::{EACCES, ENOSYS, EPERM};

    pub(super) const TIOCSTI: u32 = libc::TIOCSTI as u32;
    pub(super) const MAP_ANONYMOUS: u32 = libc::MAP_ANONYMOUS as u32;

    /// Trapped when `args[arg] & mask == value`.
    pub(super) const fn when(arg: u8, mask: u32, value: u32) -> Watch {
        Watch::WatchedIf { arg, mask, value }
    }

    /// A table of calls, one a line: name, number on x86-64, number on i386 (`-` where there is
    /// none), arguments, category, watch.
    macro_rules! calls {
        ($($name:ident $x86_64:tt $i386:tt ($($arg:ident: $kind:expr),*) $category:ident $watch:expr;)*) => {
            pub(super) static CALLS: &[Call] = &[$(Call {
                name: stringify!($name),
                x86_64: calls!(@ $x86_64),
                i386: calls!(@ $i386),
                args: &[$((stringify!($arg), $kind)),*],
                category: Category::$category,
                watch: $watch,
            }),*];
        };
        (@ -) => { None };
        (@ $number:literal) => { Some($number) };
    }
    pub(super) use calls;
}

/// How one argument is to be read and shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arg {
    /// Signed number, an `int` (the kernel looks at the low 32 bits only).
    Int,
    /// Unsigned number, decimal.
    Uint,
    /// Number in hexadecimal, or an address that is not followed.
    Hex,
    /// Octal permission bits.
    Mode,
    /// Bits named by a flag set of [`flags`].
    Flags(&'static FlagSet),
    /// An open descriptor; the first one of a call is its object, the second its target.
    Fd,
    /// A directory descriptor (or `AT_FDCWD`) that the next [`Arg::Path`] is relative to.
    DirFd,
    /// A NUL-ended path; the first of a call is its object, the second its target. Relative to
    /// the [`Arg::DirFd`] right before it, else to the current directory. The link itself, not
    /// what it points to, where the call does not follow.
    Path,
    /// A NUL-ended string that is no path (xattr name, key description, module name, symlink
    /// contents): the event's detail. Several of one call stand there in order, each ended by NUL.
    Text,
    /// Bytes the subject hands in; the length stands in argument `len` (index).
    InBuf {
        /// Index of the length argument.
        len: u8,
    },
    /// Bytes the kernel hands out; the length stands in argument `len`.
    OutBuf {
        /// Index of the length argument.
        len: u8,
    },
    /// `struct iovec` array handed in; count in argument `count`.
    InIovec {
        /// Index of the count argument.
        count: u8,
    },
    /// `struct iovec` array to be filled; count in argument `count`.
    OutIovec {
        /// Index of the count argument.
        count: u8,
    },
    /// `struct msghdr` handed in (name is the target, iov the payload).
    InMsg,
    /// `struct msghdr` to be filled.
    OutMsg,
    /// `struct mmsghdr` array handed in; count in argument `count`.
    InMmsg {
        /// Index of the count argument.
        count: u8,
    },
    /// Socket address handed in, its length in argument `len`: the object of connect and bind,
    /// the target of sends.
    SockAddr {
        /// Index of the length argument.
        len: u8,
    },
    /// NULL-ended array of strings: the event's detail.
    Argv,
    /// NULL-ended array of strings: the event's payload.
    Envp,
    /// Process or thread id as the subject sees it: the object where there is no other.
    Pid,
    /// Signal number.
    Signal,
    /// Device number or other ioctl-like command, hexadecimal.
    Command,
    /// Signed number as wide as the register: a file offset or size, a `long`.
    Offset,
    /// Anything that need not be followed: pointers to results, timeouts.
    Pointer,
}

/// Names of bits and of whole values, for showing [`Arg::Flags`].
#[derive(Debug, PartialEq, Eq)]
pub struct FlagSet {
    /// Bits of the value that select one of `values` rather than being flags of their own
    /// (access mode of open, type of mmap); 0 when there are none.
    pub mask: u64,
    /// Whole values within `mask`.
    pub values: &'static [(u64, &'static str)],
    /// Single bits, or groups of bits, largest group first.
    pub bits: &'static [(u64, &'static str)],
}

/// What a call is about. The query language's field `category` has these values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Category {
    /// Opening and naming files: open, creat, mkdir ...
    Open,
    /// Bytes into the subject from files, pipes and the like.
    Read,
    /// Bytes out of the subject.
    Write,
    /// Renames, links, removals, truncation, copies between descriptors.
    Change,
    /// Owner, mode, time, extended attributes.
    Attribute,
    /// Looking: stat, access, getdents, readlink.
    Look,
    /// Descriptor handling: dup, fcntl, pipe, epoll ...
    Descriptor,
    /// Sockets being made, bound, connected, listened on.
    Network,
    /// Bytes out through a socket.
    Send,
    /// Bytes in through a socket.
    Receive,
    /// Processes: fork, exec, exit, wait, ids, namespaces.
    Process,
    /// Signals to others or oneself.
    Signal,
    /// Mappings and protections.
    Memory,
    /// Mounts and roots.
    Mount,
    /// Watching or writing other processes: ptrace, process_vm, kcmp, pidfd_getfd.
    Trace,
    /// Modules, kexec, bpf, perf, io_uring, keys, seccomp ...
    Kernel,
    /// Clocks being read, set, waited for.
    Clock,
    /// Reboot, host name, swap, accounting, quotas.
    System,
    /// System V and POSIX message queues, semaphores, shared memory.
    Ipc,
}

/// What the notify witness does with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// Trapped, recorded, continued.
    Watched,
    /// Trapped, recorded, continued only when `args[arg] & mask == value` (checked in the
    /// filter: the other cases are not trapped at all).
    WatchedIf {
        /// Index of the argument.
        arg: u8,
        /// Bits looked at (within the low 32).
        mask: u32,
        /// What they must be.
        value: u32,
    },
    /// Trapped, recorded, refused with this errno: the jail's baseline.
    Refused(i32),
    /// Not trapped; the eBPF witness records it.
    Passed,
    /// Not trapped; frequent and without meaning for the question (futex, clock reads): the eBPF
    /// witness only counts it.
    Quiet,
}

/// One system call.
#[derive(Debug, PartialEq, Eq)]
pub struct Call {
    /// Its name, as in the manual.
    pub name: &'static str,
    /// Number on x86-64, where it exists.
    pub x86_64: Option<u32>,
    /// Number on i386, where it exists.
    pub i386: Option<u32>,
    /// Arguments, as `(name, how to read it)`.
    pub args: &'static [(&'static str, Arg)],
    /// What it is about.
    pub category: Category,
    /// What the notify witness does with it.
    pub watch: Watch,
}

/// The parts of the table, by theme.
static PARTS: [&[Call]; 7] = [
    table_files::CALLS,
    table_descriptors::CALLS,
    table_network::CALLS,
    table_processes::CALLS,
    table_memory::CALLS,
    table_kernel::CALLS,
    table_time_ipc::CALLS,
];

/// More than the highest number of either interface.
const SIZE: usize = 512;

static X86_64: [Option<&Call>; SIZE] = index(Abi::X86_64);
static I386: [Option<&Call>; SIZE] = index(Abi::I386);

/// Calls by number. Evaluated at compile time, where a number that stands twice or is too high
/// fails the build.
const fn index(abi: Abi) -> [Option<&'static Call>; SIZE] {
    let mut index = [None; SIZE];
    let mut part = 0;
    while part < PARTS.len() {
        let mut entry = 0;
        while entry < PARTS[part].len() {
            let call = &PARTS[part][entry];
            let number = if matches!(abi, Abi::I386) { call.i386 } else { call.x86_64 };
            if let Some(number) = number {
                assert!(index[number as usize].is_none(), "a number stands twice");
                index[number as usize] = Some(call);
            }
            entry += 1;
        }
        part += 1;
    }
    index
}

/// Numbers from here on are in no table: the kernels' highest are below 600 in both interfaces.
pub const NUMBERS: u32 = 1024;

/// The bit that marks a number as x32's (`__X32_SYSCALL_BIT`).
pub const X32_BIT: u32 = 0x4000_0000;

/// x32 has its own numbers, from 512 on, for the calls whose structures differ there; here are
/// the x86-64 numbers of the same calls (`arch/x86/entry/syscalls/syscall_64.tbl`).
const X32_OWN: [u32; 36] = [
    13, 15, 16, 19, 20, 45, 46, 47, 59, 101, 127, 128, 129, 131, 222, 244, 246, 247, 273, 274, 278, 279, 295, 296, 297,
    299, 307, 310, 311, 54, 55, 206, 209, 322, 327, 328,
];

/// The call with this number in this interface; `None` for numbers the table does not know.
/// An x32 number may be given with or without its bit 30.
pub fn lookup(abi: Abi, nr: u32) -> Option<&'static Call> {
    let (index, nr) = match abi {
        Abi::X86_64 => (&X86_64, nr),
        Abi::I386 => (&I386, nr),
        Abi::X32 => {
            let nr = nr & !X32_BIT;
            (&X86_64, nr.checked_sub(512).and_then(|own| X32_OWN.get(own as usize)).copied().unwrap_or(nr))
        }
        Abi::Unknown => return None,
    };
    index.get(nr as usize).copied().flatten()
}

/// Every call, by theme; a name whose arguments differ between the interfaces comes twice.
pub fn all() -> impl Iterator<Item = &'static Call> {
    PARTS.iter().flat_map(|part| part.iter())
}

/// The call of this name; the x86-64 one where the interfaces differ.
pub fn by_name(name: &str) -> Option<&'static Call> {
    static NAMES: std::sync::LazyLock<std::collections::HashMap<&str, &Call>> = std::sync::LazyLock::new(|| {
        let mut names = std::collections::HashMap::new();
        for call in all() {
            let kept = names.entry(call.name).or_insert(call);
            if call.x86_64.is_some() {
                *kept = call;
            }
        }
        names
    });
    NAMES.get(name).copied()
}

/// The call that i386's `socketcall` stands for, given its first argument (`SYS_SOCKET` ... in
/// `linux/net.h`). Its own arguments lie in the array that the second one points to, in order.
/// `SYS_ACCEPT`, `SYS_SEND` and `SYS_RECV` have no i386 number of their own: `accept` is the
/// x86-64 one, the other two are `sendto` and `recvfrom` with their first four arguments.
pub fn socketcall(call: u32) -> Option<&'static Call> {
    const NAMES: [&str; 20] = [
        "socket",
        "bind",
        "connect",
        "listen",
        "accept",
        "getsockname",
        "getpeername",
        "socketpair",
        "sendto",
        "recvfrom",
        "sendto",
        "recvfrom",
        "shutdown",
        "setsockopt",
        "getsockopt",
        "sendmsg",
        "recvmsg",
        "accept4",
        "recvmmsg",
        "sendmmsg",
    ];
    let index = call.checked_sub(1)?;
    by_name(NAMES.get(index as usize)?)
}

#[cfg(test)]
mod tests;
