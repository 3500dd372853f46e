//! What the table's argument kinds cannot say of a call: whether it follows links, whether a missing file is its
//! failure, and what the witness does beside recording it. Made once, indexed by number, so that a notification costs
//! two array steps.

use crate::event::Abi;
use crate::witness::syscalls::{self, Arg, Call, Category};

use super::syscalls::NUMBERS;

/// Whether a link at the end of a call's first path counts for what it points to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Follow {
    Yes,
    No,
    /// Not when this flag is set in that argument.
    Unless(u8, u64),
    /// Only when it is.
    OnlyIf(u8, u64),
    /// By open's flags, in that argument.
    Open(u8),
    /// By the flags in the `struct open_how` that argument points to.
    How(u8),
}

/// What is done with a call beside recording it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Plain,
    Exec,
    ExitGroup,
    Connect,
    Bind,
    SendTo,
    /// Reads what argument 0 is open to; see [`Place`].
    Read(Place),
    Map,
    /// Copies from the descriptor in the first of these arguments; the second points to the offset, the third is the
    /// length.
    Copy(u8, u8, u8),
    /// All socket calls of i386 in one.
    SocketCall,
}

/// Where in its file a read begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// At the descriptor's position.
    Current,
    /// At the offset in argument 3 (with its upper half in 4 where registers are narrow).
    Given,
    /// The same, where -1 means the position.
    GivenOrCurrent,
}

/// One call as the witness handles it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub call: &'static Call,
    pub follow: Follow,
    pub role: Role,
    /// A lookup that fails is the call's failure.
    pub fails: bool,
}

/// `AT_SYMLINK_NOFOLLOW`, `AT_SYMLINK_FOLLOW` and open's flags (fcntl.h), the same in both interfaces.
const NO_FOLLOW: u64 = 0x100;
const FOLLOW: u64 = 0x400;
pub(super) const O_CREAT: u64 = 0o100;
pub(super) const O_EXCL: u64 = 0o200;
pub(super) const O_NOFOLLOW: u64 = 0o400_000;

/// Operations of i386's `socketcall`, counted from 1 (linux/net.h).
const SOCKET_OPERATIONS: u32 = 20;

/// The plans of both interfaces.
pub(super) struct Plans {
    wide: Vec<Option<Plan>>,
    narrow: Vec<Option<Plan>>,
    /// Operations of i386's `socketcall`, by their number (linux/net.h).
    socket_operations: Vec<Option<Plan>>,
}

impl Plans {
    pub(super) fn new() -> Self {
        let all = |abi| (0..NUMBERS).map(|nr| syscalls::lookup(abi, nr).map(plan)).collect::<Vec<_>>();
        let (wide, narrow) = (all(Abi::X86_64), all(Abi::I386));
        let socket_operations =
            (1..=SOCKET_OPERATIONS).map(|operation| syscalls::socketcall(operation).map(plan)).collect();
        Self { wide, narrow, socket_operations }
    }

    /// The plan of a number.
    pub(super) fn of(&self, abi: Abi, nr: u32) -> Option<&Plan> {
        let plans = if abi == Abi::I386 { &self.narrow } else { &self.wide };
        plans.get(nr as usize)?.as_ref()
    }

    /// How an operation of `socketcall` is handled, and how many arguments it has.
    pub(super) fn of_socket_operation(&self, operation: u64) -> Option<(&Plan, usize)> {
        let index = usize::try_from(operation.checked_sub(1)?).ok()?;
        let plan = self.socket_operations.get(index)?.as_ref()?;
        // SYS_SEND and SYS_RECV are the longer calls without an address.
        let count = if matches!(operation, 9 | 10) { 4 } else { plan.call.args.len() };
        Some((plan, count))
    }
}

fn plan(call: &'static Call) -> Plan {
    let follow = match call.name {
        "open" => Follow::Open(1),
        "openat" => Follow::Open(2),
        "openat2" => Follow::How(2),
        "lstat" | "lstat64" | "oldlstat" | "readlink" | "readlinkat" | "unlink" | "unlinkat" | "rmdir" | "rename"
        | "renameat" | "renameat2" | "link" | "symlink" | "symlinkat" | "lchown" | "lchown32" | "lchown16"
        | "lsetxattr" | "lgetxattr" | "llistxattr" | "lremovexattr" | "mkdir" | "mkdirat" | "mknod" | "mknodat" => {
            Follow::No
        }
        "newfstatat" | "fstatat64" | "faccessat2" | "fchmodat2" | "utimensat" | "utimensat_time64" => {
            Follow::Unless(3, NO_FOLLOW)
        }
        "statx" | "open_tree" => Follow::Unless(2, NO_FOLLOW),
        "setxattrat" | "getxattrat" | "listxattrat" | "removexattrat" | "open_tree_attr" => {
            Follow::Unless(2, NO_FOLLOW)
        }
        // IN_DONT_FOLLOW
        "inotify_add_watch" => Follow::Unless(2, 0x0200_0000),
        "fchownat" | "execveat" => Follow::Unless(4, NO_FOLLOW),
        // UMOUNT_NOFOLLOW
        "umount2" | "umount" => Follow::Unless(1, 8),
        "linkat" | "name_to_handle_at" => Follow::OnlyIf(4, FOLLOW),
        _ => Follow::Yes,
    };
    let role = match call.name {
        "execve" | "execveat" => Role::Exec,
        "exit_group" => Role::ExitGroup,
        "connect" => Role::Connect,
        "bind" => Role::Bind,
        "sendto" => Role::SendTo,
        "read" | "readv" => Role::Read(Place::Current),
        "pread64" | "preadv" => Role::Read(Place::Given),
        "preadv2" => Role::Read(Place::GivenOrCurrent),
        "mmap" | "mmap2" => Role::Map,
        "sendfile" | "sendfile64" => Role::Copy(1, 2, 3),
        "copy_file_range" | "splice" => Role::Copy(0, 1, 4),
        "socketcall" => Role::SocketCall,
        _ => Role::Plain,
    };
    let has_path = call.args.iter().any(|(_, arg)| *arg == Arg::Path);
    let opens =
        matches!(call.name, "open" | "openat" | "openat2" | "execve" | "execveat" | "uselib" | "chdir" | "truncate");
    Plan { call, follow, role, fails: has_path && (opens || call.category == Category::Look) }
}
