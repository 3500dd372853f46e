//! What runs inside the new namespaces: first as the jail's pid 1, then, forked off it, as the
//! subject until it is executed.
//!
//! The code here may neither allocate, lock nor unwind (see [`super::clone`]); it walks the
//! [`Plan`], and says in shared memory how far it got. Every step that fails ends the jail.

#![allow(unsafe_code)]

use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use nix::errno::Errno;
use rustix::fs::Mode;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};

use super::clone::fork_sharing_files;
use super::error::Step;
use super::plan::{MAX_SOURCES, Plan};
use super::shared::{Shared, Stage};

mod mounts;
mod network;
mod subject;

/// Descriptor numbers the parent fetches from the jail.
pub(crate) const STAGE_FD: RawFd = 901;
/// The master side of the subject's terminal.
pub(crate) const TERMINAL_FD: RawFd = 902;

/// A step that failed, the item it was about, and why.
struct Failure(Step, usize, Errno);

type Outcome<T = ()> = Result<T, Failure>;

/// Attaches step and item to an error of the kernel.
trait At<T> {
    fn at(self, step: Step, item: usize) -> Outcome<T>;
}

impl<T> At<T> for Result<T, Errno> {
    fn at(self, step: Step, item: usize) -> Outcome<T> {
        self.map_err(|errno| Failure(step, item, errno))
    }
}

impl<T> At<T> for rustix::io::Result<T> {
    fn at(self, step: Step, item: usize) -> Outcome<T> {
        self.map_err(|errno| Failure(step, item, Errno::from_raw(errno.raw_os_error())))
    }
}

/// Pid 1 of the jail: builds it, forks the subject, reaps until nobody is left.
pub(crate) fn init(plan: &Plan, shared: &Shared, socket: RawFd, parents_socket: RawFd) -> i32 {
    // SAFETY: `socket` is the child's copy of a descriptor the parent keeps open during the clone.
    let socket = unsafe { BorrowedFd::borrow_raw(socket) };
    match build(plan, shared, socket, parents_socket).and_then(|()| start(plan, shared)) {
        Ok(subject) => reap(shared, subject),
        Err(failure) => fail(shared, &failure),
    }
}

fn exit(code: i32) -> ! {
    // SAFETY: ends the process at once; no handlers or destructors of the copied parent run.
    unsafe { libc::_exit(code) }
}

fn fail(shared: &Shared, &Failure(step, item, errno): &Failure) -> i32 {
    shared.step.store(step as u32, Ordering::Relaxed);
    shared.item.store(item as u32, Ordering::Relaxed);
    shared.errno.store(errno as i32, Ordering::Relaxed);
    shared.advance(Stage::Failed);
    127
}

fn wait(shared: &Shared, stage: Stage) {
    while !shared.wait(stage, Duration::from_secs(1)) {}
}

fn build(plan: &Plan, shared: &Shared, socket: BorrowedFd<'_>, parents_socket: RawFd) -> Outcome {
    // SAFETY: closes the child's copy of a number nothing here uses; without it the hang-up of
    // the parent could not be seen.
    unsafe { libc::close(parents_socket) };
    default_signals();
    wait(shared, Stage::Mapped);
    let mut received = [-1; MAX_SOURCES];
    if plan.map.is_range() {
        receive(socket, &mut received[..plan.sources.len()]).at(Step::Handshake, 0)?;
        become_user(0, 0, true).at(Step::Credentials, 0)?;
    }
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL)).at(Step::DeathSignal, 0)?;
    // A parent that died before the line above sends no signal any more; its socket is closed then.
    let mut poll = [rustix::event::PollFd::new(&socket, rustix::event::PollFlags::empty())];
    rustix::event::poll(&mut poll, Some(&rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 }))
        .at(Step::DeathSignal, 0)?;
    if poll[0].revents().contains(rustix::event::PollFlags::HUP) {
        exit(1);
    }
    let _ = rustix::process::setsid(); // fails for a session leader only, which is what is wanted
    rustix::process::umask(Mode::empty());
    network::network(plan)?;
    mounts::mounts(plan, &mut received)?;
    rustix::system::sethostname(&plan.hostname).at(Step::Hostname, 0)
}

/// The copied parent may have handlers, and ignores SIGPIPE; programs expect defaults.
fn default_signals() {
    for signal in 1..=64 {
        // SAFETY: sets dispositions of this process only; invalid numbers are refused.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    // SAFETY: an all-zero signal set is the empty one, and outlives the call.
    unsafe {
        let empty: libc::sigset_t = std::mem::zeroed();
        libc::sigprocmask(libc::SIG_SETMASK, &raw const empty, ptr::null_mut());
    }
}

fn receive(socket: BorrowedFd<'_>, into: &mut [RawFd]) -> Result<(), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_SOURCES))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0u8];
    let mut parts = [rustix::io::IoSliceMut::new(&mut byte)];
    rustix::net::recvmsg(socket, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC)
        .map_err(|e| Errno::from_raw(e.raw_os_error()))?;
    let mut next = 0;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            for descriptor in descriptors {
                if let Some(slot) = into.get_mut(next) {
                    *slot = descriptor.into_raw_fd();
                    next += 1;
                }
            }
        }
    }
    if next == into.len() { Ok(()) } else { Err(Errno::EBADMSG) }
}

fn become_user(uid: u32, gid: u32, groups: bool) -> Result<(), Errno> {
    // Raw calls: the C library's wrappers would signal every thread it believes to exist.
    let call = |result: libc::c_long| Errno::result(result).map(drop);
    if groups {
        // SAFETY: one gid behind a valid pointer.
        call(unsafe { libc::syscall(libc::SYS_setgroups, 1, ptr::from_ref(&gid)) })?;
    }
    // SAFETY: plain integers.
    call(unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) })?;
    // SAFETY: plain integers.
    call(unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) })
}

/// Moves a descriptor to a number that the parent knows.
#[allow(clippy::needless_pass_by_value, reason = "the original is closed here, the copy stays")]
fn keep(fd: OwnedFd, number: RawFd) -> Result<(), Errno> {
    // SAFETY: nothing of the child uses these numbers; the copy is meant to stay open.
    Errno::result(unsafe { libc::dup3(fd.as_raw_fd(), number, libc::O_CLOEXEC) }).map(drop)
}

/// Forks the subject off and lets it go once the parent watches. Returns its pid in the jail.
fn start(plan: &Plan, shared: &Shared) -> Outcome<i32> {
    rename(&plan.arguments);
    let slave = subject::terminal(plan)?;
    wait(shared, Stage::Adopted);
    // Where the parent has no privilege it may fetch descriptors from a dumpable process only.
    dumpable(true);
    match fork_sharing_files().at(Step::Fork, 0)? {
        0 => {
            let failure = match subject::subject(plan, shared, slave) {
                Ok(never) => match never {},
                Err(failure) => failure,
            };
            exit(fail(shared, &failure))
        }
        subject => {
            shared.subject.store(subject, Ordering::Release);
            wait(shared, Stage::Go);
            // From here on the subject lives: pid 1 must be nothing it can take hold of, and must
            // hold nothing. (No dump, and a memory that belongs to the host's namespace: not even
            // the jail's root may trace it, ptrace(2).)
            dumpable(false);
            // SAFETY: parts from the table shared with the subject, then closes this copy's all.
            unsafe {
                libc::unshare(libc::CLONE_FILES);
                libc::close_range(0, libc::c_uint::MAX, 0);
            }
            shared.advance(Stage::Sealed);
            Ok(subject)
        }
    }
}

/// Gives pid 1 the name that software expects there: some looks for who watches it.
fn rename(arguments: &std::ops::Range<usize>) {
    const NAME: &[u8] = b"/sbin/init";
    // SAFETY: a NUL-ended name of less than 16 bytes. The range is where the kernel says that this
    // process (and so its copy) keeps its argument strings: mapped, writable, used by nobody here.
    unsafe {
        libc::prctl(libc::PR_SET_NAME, c"systemd".as_ptr());
        if arguments.len() > NAME.len() {
            let start = ptr::with_exposed_provenance_mut::<u8>(arguments.start);
            ptr::write_bytes(start, 0, arguments.len());
            ptr::copy_nonoverlapping(NAME.as_ptr(), start, NAME.len());
        }
    }
}

fn dumpable(on: bool) {
    // SAFETY: plain integers; cannot fail for 0 and 1.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, libc::c_ulong::from(on), 0, 0, 0) };
}

fn reap(shared: &Shared, subject: i32) -> i32 {
    loop {
        let mut status = 0;
        // SAFETY: `status` outlives the call.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::__WALL) };
        match Errno::result(pid) {
            Ok(pid) if pid == subject => {
                shared.status.store(status, Ordering::Release);
                shared.advance(Stage::Ended);
            }
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return 0, // nobody is left
        }
    }
}
