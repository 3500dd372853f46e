//! The subject's own process, up to its exec: terminal, limits, user, filter.

#![allow(unsafe_code)]

use std::convert::Infallible;
use std::ffi::{CStr, CString, c_char};
use std::os::fd::{AsRawFd, IntoRawFd, RawFd};
use std::ptr;
use std::sync::atomic::Ordering;

use nix::errno::Errno;
use rustix::fs::{FileType, Mode, OFlags};

use super::super::error::Step;
use super::super::plan::{Plan, STDIN_NULL, STDIN_TERMINAL};
use super::super::shared::{Shared, Stage};
use super::{At, Failure, Outcome, TERMINAL_FD, become_user, dumpable, exit, keep, wait};

pub(super) fn subject(plan: &Plan, shared: &Shared, slave: RawFd) -> Outcome<Infallible> {
    foreground(slave).at(Step::Terminal, 7)?;
    if plan.map.is_range() {
        become_user(plan.uid, plan.gid, true).at(Step::User, 0)?;
    }
    rustix::process::chdir(plan.workdir.as_c_str()).at(Step::Workdir, 0)?;
    rustix::process::umask(Mode::WGRP | Mode::WOTH);
    stdio(plan, slave)?;
    rustix::thread::set_no_new_privs(true).at(Step::NoNewPrivs, 0)?;
    let argv = Pointers::new(&plan.argv);
    let env = Pointers::new(&plan.env);
    // SAFETY: marks everything but the standard three to be closed by the exec.
    Errno::result(unsafe { libc::close_range(3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC as i32) })
        .at(Step::Stdio, 3)?;
    dumpable(true);
    let listener = install(&plan.filter).at(Step::Filter, 0)?;
    // From here on most calls wait for the parent, who does not listen yet: futexes and limits do
    // not. The limit of descriptors would stop the listener above.
    for (item, (resource, soft, hard)) in plan.limits.iter().enumerate() {
        set_limit(*resource, *soft, *hard).at(Step::Limits, item)?;
    }
    shared.listener.store(listener, Ordering::Release);
    shared.advance(Stage::Ready);
    wait(shared, Stage::Sealed);
    let program = lookup(&plan.candidates).at(Step::Lookup, 0)?;
    // SAFETY: NUL-ended strings in NULL-ended arrays that live until the exec.
    unsafe { libc::execve(program.as_ptr(), argv.as_ptr(), env.as_ptr()) };
    if Errno::last() == Errno::ENOEXEC {
        // A script without an interpreter line: execvp(3) gives it to the shell.
        let mut shell = Pointers::with_room(&plan.argv);
        shell.script(program);
        // SAFETY: as above.
        unsafe { libc::execve(c"/bin/sh".as_ptr(), shell.as_ptr(), env.as_ptr()) };
    }
    Err(Failure(Step::Exec, 0, Errno::last()))
}

fn set_limit(resource: libc::__rlimit_resource_t, soft: u64, hard: u64) -> Result<(), Errno> {
    let mut now = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: a valid pointer to a struct of the right kind.
    Errno::result(unsafe { libc::getrlimit(resource, &raw mut now) })?;
    let hard = hard.min(now.rlim_max); // without privilege a limit can only be lowered
    let limit = libc::rlimit { rlim_cur: soft.min(hard), rlim_max: hard };
    // SAFETY: as above.
    Errno::result(unsafe { libc::setrlimit(resource, &raw const limit) }).map(drop)
}

/// Opens the terminal and makes pid 1 the leader of its session, as a login would be: when the
/// subject's first process ends, the kernel then does not hang up on those it leaves running.
pub(super) fn terminal(plan: &Plan) -> Outcome<RawFd> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let master = rustix::fs::open(c"/dev/pts/ptmx", flags, Mode::empty()).at(Step::Terminal, 1)?;
    let unlock: libc::c_int = 0;
    // SAFETY: TIOCSPTLCK reads one int (ioctl_tty(2)).
    Errno::result(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK, &raw const unlock) })
        .at(Step::Terminal, 2)?;
    let slave = rustix::fs::open(c"/dev/pts/0", flags, Mode::empty()).at(Step::Terminal, 3)?;
    if plan.map.is_range() {
        rustix::fs::fchown(&slave, Some(rustix::fs::Uid::from_raw(plan.uid)), None).at(Step::Terminal, 3)?;
    }
    rustix::process::ioctl_tiocsctty(&slave).at(Step::Terminal, 4)?;
    let size = libc::winsize { ws_col: plan.terminal.0, ws_row: plan.terminal.1, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCSWINSZ reads one struct winsize.
    Errno::result(unsafe { libc::ioctl(slave.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) })
        .at(Step::Terminal, 5)?;
    keep(master, TERMINAL_FD).at(Step::Terminal, 6)?;
    Ok(slave.into_raw_fd())
}

/// Makes the subject a process group of its own, in the terminal's foreground.
fn foreground(slave: RawFd) -> Result<(), Errno> {
    // SAFETY: plain calls on this process; the group's id outlives the ioctl that reads it. A
    // background process that takes the terminal would be stopped by SIGTTOU if that were not
    // ignored for the moment.
    unsafe {
        Errno::result(libc::setpgid(0, 0))?;
        let group = libc::getpid();
        libc::signal(libc::SIGTTOU, libc::SIG_IGN);
        let taken = Errno::result(libc::ioctl(slave, libc::TIOCSPGRP, &raw const group));
        libc::signal(libc::SIGTTOU, libc::SIG_DFL);
        taken.map(drop)
    }
}

fn stdio(plan: &Plan, slave: RawFd) -> Outcome {
    let null = || rustix::fs::open(c"/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    let stdin = match plan.stdin {
        STDIN_TERMINAL => slave,
        STDIN_NULL => null().at(Step::Stdio, 0)?.into_raw_fd(),
        pipe => pipe,
    };
    for (item, (from, to)) in [(stdin, 0), (slave, 1), (slave, 2)].into_iter().enumerate() {
        // SAFETY: replaces the copied parent's standard descriptors, which nothing here uses.
        Errno::result(unsafe { libc::dup2(from, to) }).at(Step::Stdio, item)?;
    }
    Ok(())
}

/// Installs the filter and returns the listener's descriptor (`seccomp(2)`).
fn install(filter: &[libc::sock_filter]) -> Result<RawFd, Errno> {
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
    let listener = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    let set = |flags: libc::c_ulong| {
        // SAFETY: the program outlives the call, which copies it.
        let fd = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program) };
        Errno::result(fd).map(|fd| fd as RawFd)
    };
    // Signals must not interrupt a call that is being looked at (Linux 5.19); older kernels
    // restart it, which shows as a second notification.
    match set(listener | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV) {
        Err(Errno::EINVAL) => set(listener),
        other => other,
    }
}

/// The first candidate that may be executed; looking is not trapped, executing is.
fn lookup(candidates: &[CString]) -> Result<&CStr, Errno> {
    let mut error = Errno::ENOENT;
    for path in candidates {
        match rustix::fs::access(path.as_c_str(), rustix::fs::Access::EXEC_OK) {
            Ok(()) => {
                let directory = rustix::fs::stat(path.as_c_str())
                    .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory);
                if !directory {
                    return Ok(path);
                }
                error = Errno::EACCES;
            }
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => {}
            Err(errno) => error = Errno::from_raw(errno.raw_os_error()),
        }
    }
    Err(error)
}

/// A NULL-ended array of pointers, as exec wants it, in memory mapped for it: the allocator is
/// out of bounds here.
struct Pointers(*mut *const c_char, usize);

impl Pointers {
    fn new(strings: &[CString]) -> Self {
        let this = Self::map(strings.len() + 1);
        for (n, string) in strings.iter().enumerate() {
            this.set(n, string.as_ptr());
        }
        this
    }

    /// Room for a shell before the arguments.
    fn with_room(strings: &[CString]) -> Self {
        let this = Self::map(strings.len() + 2);
        for (n, string) in strings.iter().enumerate() {
            this.set(n + 1, string.as_ptr());
        }
        this
    }

    fn script(&mut self, program: &CStr) {
        self.set(0, c"/bin/sh".as_ptr());
        self.set(1, program.as_ptr());
    }

    fn map(len: usize) -> Self {
        let bytes = len * size_of::<*const c_char>();
        // SAFETY: a fresh anonymous mapping; zeroed memory is an array of null pointers.
        let page = unsafe {
            libc::mmap(
                ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if page == libc::MAP_FAILED {
            exit(1);
        }
        Self(page.cast(), len)
    }

    fn set(&self, index: usize, value: *const c_char) {
        if index + 1 < self.1 {
            // SAFETY: within the mapping, and never its last element, which stays NULL.
            unsafe { self.0.add(index).write(value) };
        }
    }

    fn as_ptr(&self) -> *const *const c_char {
        self.0
    }
}
