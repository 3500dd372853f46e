//! What a system call means for client data: does it bring bytes in, put bytes somewhere, give
//! a thing another name? One place says so for every call; the rest of analysis speaks of acts.

use std::sync::LazyLock;

use belljar_sandbox::witness::syscalls::{self, Call, Category};
use nix::fcntl::OFlag;

use super::{Object, Record, ops};

/// What a call does, as far as analysis cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Opens the object.
    Open {
        /// For reading.
        read: bool,
        /// For writing.
        write: bool,
        /// Emptying it.
        truncate: bool,
    },
    /// Brings bytes of the object in.
    Read,
    /// Maps the object; `write` when what is written to the memory goes to the file.
    Map {
        /// Shared and writable.
        write: bool,
    },
    /// Puts bytes into the object.
    Write,
    /// Moves bytes from one object to the other without passing them through the subject.
    Copy {
        /// The object is where they go, the target where they come from.
        object_is_destination: bool,
    },
    /// Puts the payload into the target if there is one, else into the object.
    Send,
    /// Brings bytes in through a socket.
    Receive,
    /// Reaches out to the object.
    Connect,
    /// Answers at the object.
    Bind,
    /// Takes a connection that came to the object.
    Accept,
    /// Has memory in common with the processes it makes.
    Share,
    /// Has the memory in common that the first argument numbers; `write` when it can write there.
    Attach {
        /// Not read-only.
        write: bool,
    },
    /// Hands a message to the queue that the first argument numbers.
    Post,
    /// Takes one from it.
    Fetch,
    /// Reads the memory of the process with this id.
    Peek(u64),
    /// Writes to it.
    Poke(u64),
    /// Gives the object the target as its (second) name.
    Rename,
    /// Makes the object, a new name; its detail may name more.
    Make,
    /// Removes the object.
    Remove,
    /// Cuts the object.
    Truncate,
    /// Runs the object with the detail as argv and the payload as environment.
    Exec,
    /// None of these.
    Other,
}

/// What a call does as far as its name tells: the arguments say the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    /// Whatever its arguments.
    Plain(Act),
    /// An open with its flags in this argument.
    Open(usize),
    /// An open with its flags in its payload.
    OpenHow,
    /// A map of something, or of nothing.
    Map,
    /// A segment of shared memory.
    Attach,
    /// One of what a tracer does.
    Trace,
    /// Memory of the process that the first argument names.
    Peek,
    Poke,
}

/// The sort of every call, by the number of its name in [`ops`].
static SORTS: LazyLock<Vec<Sort>> = LazyLock::new(|| {
    let of = |name: &&str| syscalls::by_name(name).map_or(Sort::Plain(Act::Other), sort);
    ops().names().iter().map(of).collect()
});

/// What the call of this event does. `inner` is the call meant where another stands for it.
pub fn act(inner: Option<&Call>, record: &Record<'_>) -> Act {
    let sort = match inner {
        Some(call) => sort(call),
        None => SORTS.get(usize::from(ops().of(record.kind))).copied().unwrap_or(Sort::Plain(Act::Other)),
    };
    match sort {
        Sort::Plain(act) => act,
        Sort::Open(flags) => open(record.args.get(flags).copied().unwrap_or_default()),
        // struct open_how begins with the flags, 64 bits (openat2(2)).
        Sort::OpenHow => open(record.payload.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))),
        Sort::Map => map(record.args[2], record.args[3], record.object),
        Sort::Peek => Act::Peek(record.args[0]),
        Sort::Poke => Act::Poke(record.args[0]),
        // PTRACE_PEEKTEXT and those behind it, PTRACE_POKETEXT and those behind it (sys/ptrace.h).
        Sort::Trace => match record.args[0] {
            1..=3 => Act::Peek(record.args[1]),
            4..=6 => Act::Poke(record.args[1]),
            _ => Act::Other,
        },
        // SHM_RDONLY (shmat(2)).
        Sort::Attach => Act::Attach { write: record.args[2] & 0o10_000 == 0 },
    }
}

/// The most that a call can do, whatever its arguments.
pub fn possible(call: &Call) -> Act {
    match sort(call) {
        Sort::Plain(act) => act,
        Sort::Open(_) | Sort::OpenHow => Act::Open { read: true, write: true, truncate: true },
        Sort::Map => Act::Map { write: true },
        Sort::Attach | Sort::Trace | Sort::Peek | Sort::Poke => Act::Other,
    }
}

fn sort(call: &Call) -> Sort {
    Sort::Plain(match call.category {
        Category::Read => Act::Read,
        Category::Write => Act::Write,
        Category::Send => Act::Send,
        Category::Receive => Act::Receive,
        Category::Descriptor | Category::Look | Category::Signal | Category::Clock => Act::Other,
        _ => return named(call.name),
    })
}

fn named(name: &str) -> Sort {
    Sort::Plain(match name {
        "open" => return Sort::Open(1),
        "openat" => return Sort::Open(2),
        "openat2" => return Sort::OpenHow,
        "mmap" | "mmap2" => return Sort::Map,
        "shmat" => return Sort::Attach,
        "ptrace" => return Sort::Trace,
        "process_vm_readv" => return Sort::Peek,
        "process_vm_writev" => return Sort::Poke,
        "msgsnd" => Act::Post,
        "msgrcv" => Act::Fetch,
        "accept" | "accept4" => Act::Accept,
        "creat" => Act::Open { read: false, write: true, truncate: true },
        "sendfile" | "sendfile64" => Act::Copy { object_is_destination: true },
        "splice" | "tee" | "copy_file_range" => Act::Copy { object_is_destination: false },
        "connect" => Act::Connect,
        "bind" => Act::Bind,
        "rename" | "renameat" | "renameat2" | "link" | "linkat" => Act::Rename,
        "symlink" | "symlinkat" | "mkdir" | "mkdirat" | "mknod" | "mknodat" | "setxattr" | "lsetxattr"
        | "fsetxattr" => Act::Make,
        "unlink" | "unlinkat" | "rmdir" => Act::Remove,
        "truncate" | "truncate64" | "ftruncate" | "ftruncate64" => Act::Truncate,
        "execve" | "execveat" => Act::Exec,
        _ => Act::Other,
    })
}

fn open(flags: u64) -> Act {
    let has = |flag: OFlag| flags & flag.bits() as u64 != 0;
    let access = flags & OFlag::O_ACCMODE.bits() as u64;
    let write = access == OFlag::O_WRONLY.bits() as u64 || access == OFlag::O_RDWR.bits() as u64;
    // A bare handle, or a directory to be listed, brings no contents in.
    if has(OFlag::O_PATH) || !write && has(OFlag::O_DIRECTORY) {
        return Act::Other;
    }
    Act::Open { read: access != OFlag::O_WRONLY.bits() as u64, write, truncate: has(OFlag::O_TRUNC) }
}

/// PROT_WRITE is 2, MAP_SHARED 1, MAP_SHARED_VALIDATE 3 (mmap(2)).
fn map(prot: u64, flags: u64, object: Option<&Object>) -> Act {
    let write = prot & 2 != 0 && flags & 1 != 0;
    match object {
        Some(_) => Act::Map { write },
        None if write => Act::Share,
        None => Act::Other,
    }
}
