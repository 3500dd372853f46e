//! The one system-call table: number per ABI, name, arguments, category, and what the witnesses
//! do with the call. It yields the seccomp filter, the decoder, the field values of the query
//! language and the manual, so a call is described here once and nowhere else.
//!
//! Numbers and names come from the kernel's own tables; argument names and types from the
//! kernel's `events/syscalls/sys_enter_*/format` and the section-2 manual pages.

/// How one argument is to be read and shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arg {
    /// Signed number.
    Int,
    /// Unsigned number, decimal.
    Uint,
    /// Number in hexadecimal, or an address that is not followed.
    Hex,
    /// Octal permission bits.
    Mode,
    /// Bits named by a flag set of [`flags`].
    Flags(&'static FlagSet),
    /// An open descriptor; the first one of a call is its object.
    Fd,
    /// A directory descriptor (or `AT_FDCWD`) that the next [`Arg::Path`] is relative to.
    DirFd,
    /// A NUL-ended path; the first of a call is its object, the second its target. Relative to
    /// the [`Arg::DirFd`] right before it, else to the current directory. The link itself, not
    /// what it points to, where the call does not follow.
    Path,
    /// A NUL-ended string that is no path (xattr name, key description, module name, symlink
    /// contents): the event's detail.
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
    /// File offset or size in one register.
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

/// The call with this number in this interface; `None` for numbers the table does not know.
pub fn lookup(abi: crate::event::Abi, nr: u32) -> Option<&'static Call> {
    let _ = (abi, nr);
    None
}
