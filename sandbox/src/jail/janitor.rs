//! The janitor: a process of a few instructions that outlives belljar by a moment.
//!
//! The kernel ends the jail when belljar dies, even by SIGKILL, but nobody removes its control
//! groups then. The janitor holds the read end of a pipe whose write end belljar alone has; when
//! that closes, it kills and removes the groups and goes.

#![allow(unsafe_code)]

use std::ffi::{CString, c_int};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use nix::unistd::Pid;

use super::error::JailError;

/// belljar's hold on its janitor; dropped after the groups are gone.
#[derive(Debug)]
pub(crate) struct Janitor {
    pid: Pid,
    lifeline: Option<OwnedFd>,
}

impl Janitor {
    /// Starts one for these directories; `None` when there are none.
    pub(crate) fn start<'a>(groups: impl Iterator<Item = &'a Path>) -> Result<Option<Self>, JailError> {
        let parent = |cause| JailError::Parent { what: "start the janitor of the control groups", cause };
        let paths: Vec<(CString, CString)> = groups
            .filter_map(|path| {
                let kill = CString::new(path.join("cgroup.kill").as_os_str().as_bytes()).ok()?;
                Some((CString::new(path.as_os_str().as_bytes()).ok()?, kill))
            })
            .collect();
        if paths.is_empty() {
            return Ok(None);
        }
        let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(|e| parent(e.into()))?;
        // SAFETY: a plain fork; the child below neither allocates nor locks.
        let pid = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD as libc::c_ulong, 0, 0, 0, 0) };
        match Errno::result(pid).map_err(|errno| parent(io::Error::from(errno)))? {
            0 => watch(&paths, read.as_raw_fd()),
            pid => Ok(Some(Self { pid: Pid::from_raw(pid as i32), lifeline: Some(write) })),
        }
    }
}

impl Drop for Janitor {
    fn drop(&mut self) {
        drop(self.lifeline.take());
        let _ = nix::sys::wait::waitpid(self.pid, None); // ours alone: it ends at once
    }
}

fn watch(paths: &[(CString, CString)], pipe: c_int) -> ! {
    // SAFETY: raw calls on this process's own copies of descriptors and on strings made before
    // the fork; nothing allocates, and _exit runs no destructors of the copied parent.
    unsafe {
        libc::setsid(); // a Ctrl-C at the terminal is not for the janitor
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGPIPE] {
            libc::signal(signal, libc::SIG_IGN);
        }
        // Keeping any other descriptor would keep pipes of belljar's caller open.
        let pipe = if pipe == 0 { 0 } else { libc::dup2(pipe, 0) };
        libc::close_range(1, libc::c_uint::MAX, 0);
        let mut byte = 0u8;
        while libc::read(pipe, (&raw mut byte).cast(), 1) < 0 && *libc::__errno_location() == libc::EINTR {}
        for (group, kill) in paths {
            for _ in 0..500 {
                let fd = libc::open(kill.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
                if fd >= 0 {
                    libc::write(fd, c"1".as_ptr().cast(), 1);
                    libc::close(fd);
                }
                if libc::rmdir(group.as_ptr()) == 0 || *libc::__errno_location() != libc::EBUSY {
                    break;
                }
                libc::usleep(10_000);
            }
        }
        libc::_exit(0)
    }
}
