//! `clone3` and the memory shared with what it makes: the smallest possible unsafe ground.

#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use nix::errno::Errno;
use nix::unistd::Pid;

use super::error::JailError;
use super::shared::Shared;

/// `CLONE_INTO_CGROUP` of linux/sched.h (Linux 5.7); it does not fit libc's 32-bit constants.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// All namespaces of the jail but the second network one, which the child makes.
const NAMESPACES: i32 = libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP;

/// A process that was cloned, as its parent sees it.
pub(crate) struct Cloned {
    /// Its id on the host.
    pub pid: Pid,
    /// A descriptor that names it for good.
    pub pidfd: OwnedFd,
}

/// Clones a process into the jail's namespaces (and its cgroup); `child` runs there as pid 1.
///
/// `child` must neither allocate, lock nor unwind: another thread of this process may have held
/// the allocator's lock at the moment of the clone. What it returns is its exit code.
pub(crate) fn into_jail(cgroup: Option<BorrowedFd<'_>>, child: impl FnOnce() -> i32) -> Result<Cloned, JailError> {
    let mut flags = NAMESPACES as u64;
    let mut cgroup_fd = 0;
    if let Some(fd) = cgroup {
        flags |= CLONE_INTO_CGROUP;
        cgroup_fd = fd.as_raw_fd() as u64;
    }
    clone3(flags, cgroup_fd, child).map_err(|errno| JailError::Namespaces { errno })
}

fn clone3(flags: u64, cgroup: u64, child: impl FnOnce() -> i32) -> Result<Cloned, Errno> {
    let mut pidfd: RawFd = -1;
    // SAFETY: clone_args is plain integers; all-zero is a valid value of it.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = flags | libc::CLONE_PIDFD as u64;
    args.pidfd = ptr::from_mut(&mut pidfd) as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    args.cgroup = cgroup;
    // SAFETY: without CLONE_VM and with no stack given the child goes on on its own copy of this
    // stack; `args` outlives the call.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, ptr::from_ref(&args), size_of::<libc::clone_args>()) };
    match Errno::result(pid)? {
        0 => {
            let code = child();
            // SAFETY: ends the copy at once; no handlers or destructors of the parent run in it.
            unsafe { libc::_exit(code) }
        }
        pid => {
            // SAFETY: the kernel has just made this descriptor for us (CLONE_PIDFD).
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Cloned { pid: Pid::from_raw(pid as i32), pidfd })
        }
    }
}

/// Forks with a shared descriptor table, from the jail's pid 1. Returns 0 in the child.
pub(crate) fn fork_sharing_files() -> Result<i32, Errno> {
    let flags = libc::CLONE_FILES | libc::SIGCHLD;
    // SAFETY: a fork in all but the descriptor table; both sides go on on their own stack copy.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags as libc::c_ulong, 0, 0, 0, 0) };
    Errno::result(pid).map(|pid| pid as i32)
}

/// A process that only holds a user namespace open until its map is written and a descriptor
/// taken.
pub(crate) struct Holder(Cloned);

impl Holder {
    /// Makes one.
    pub(crate) fn new() -> Result<Self, JailError> {
        let held = clone3(libc::CLONE_NEWUSER as u64, 0, || {
            loop {
                // SAFETY: no arguments; a signal ends it, and so does its parent's death below.
                unsafe {
                    libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                    libc::pause();
                }
            }
        });
        held.map(Self).map_err(|errno| JailError::Namespaces { errno })
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> Pid {
        self.0.pid
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // It does nothing but wait; if it is gone already there is nothing to end or reap.
        let _ = nix::sys::signal::kill(self.0.pid, nix::sys::signal::Signal::SIGKILL);
        let _ = nix::sys::wait::waitpid(self.0.pid, None);
    }
}

/// One shared, zeroed page.
#[derive(Debug)]
pub(crate) struct SharedPage(*mut Shared);

// SAFETY: the page holds only atomics, and lives until the last owner unmaps it.
unsafe impl Send for SharedPage {}
// SAFETY: as above.
unsafe impl Sync for SharedPage {}

impl SharedPage {
    /// Maps it.
    pub(crate) fn new() -> Result<Self, JailError> {
        // SAFETY: a fresh anonymous mapping, larger than Shared, of which all-zero is a value.
        let page = unsafe {
            libc::mmap(
                ptr::null_mut(),
                size_of::<Shared>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if page == libc::MAP_FAILED {
            return Err(JailError::Parent { what: "map a shared page", cause: io::Error::last_os_error() });
        }
        Ok(Self(page.cast()))
    }
}

impl Deref for SharedPage {
    type Target = Shared;
    fn deref(&self) -> &Shared {
        // SAFETY: mapped in `new`, unmapped only in `drop`.
        unsafe { &*self.0 }
    }
}

impl Drop for SharedPage {
    fn drop(&mut self) {
        // SAFETY: mapped with this size in `new`; nobody can hold a reference any more.
        unsafe { libc::munmap(self.0.cast(), size_of::<Shared>()) };
    }
}

/// Takes a descriptor out of another process (`pidfd_getfd(2)`).
pub(crate) fn fetch(pidfd: BorrowedFd<'_>, number: RawFd, what: &'static str) -> Result<OwnedFd, JailError> {
    rustix::process::pidfd_getfd(pidfd, number, rustix::process::PidfdGetfdFlags::empty())
        .map_err(|errno| JailError::Parent { what, cause: errno.into() })
}

/// Makes a detached, idmapped copy of a mount (`mount_setattr(2)`).
pub(crate) fn idmap(tree: BorrowedFd<'_>, namespace: BorrowedFd<'_>) -> Result<(), Errno> {
    set_attributes(tree, libc::MOUNT_ATTR_IDMAP, namespace.as_raw_fd() as u64)
}

/// Makes a detached mount read-only.
pub(crate) fn read_only(tree: BorrowedFd<'_>) -> Result<(), Errno> {
    set_attributes(tree, libc::MOUNT_ATTR_RDONLY, 0)
}

fn set_attributes(tree: BorrowedFd<'_>, set: u64, userns: u64) -> Result<(), Errno> {
    let attributes = libc::mount_attr { attr_set: set, attr_clr: 0, propagation: 0, userns_fd: userns };
    // SAFETY: an empty C string, and a struct of the size that is passed along.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            ptr::from_ref(&attributes),
            size_of::<libc::mount_attr>(),
        )
    };
    Errno::result(result).map(drop)
}

/// Opens the current user namespace of a process.
pub(crate) fn user_namespace(pid: Pid) -> Result<OwnedFd, JailError> {
    File::open(format!("/proc/{pid}/ns/user"))
        .map(OwnedFd::from)
        .map_err(|cause| JailError::Parent { what: "open the jail's user namespace", cause })
}
