//! What runs inside the new namespaces: first as the jail's pid 1, then, forked off it, as the
//! subject until it is executed.
//!
//! The code here may neither allocate, lock nor unwind (see [`super::clone`]); it walks the
//! [`Plan`], and says in shared memory how far it got. Every step that fails ends the jail.

#![allow(unsafe_code)]

use std::convert::Infallible;
use std::ffi::{CStr, CString, c_char};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use nix::errno::Errno;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Timestamps};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags,
    UnmountFlags,
};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, SocketFlags, SocketType,
};

use super::clone::{fork_sharing_files, read_only};
use super::error::Step;
use super::network::{GATEWAY_FD, Side};
use super::plan::{FileBind, MAX_SOURCES, Node, Overlay, Plan, Planted, STDIN_NULL, STDIN_TERMINAL};
use super::shared::{Shared, Stage};

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
    network(plan)?;
    mounts(plan, &mut received)?;
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

fn network(plan: &Plan) -> Outcome {
    let socket = || rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None);
    let gateway = socket().at(Step::Network, 0)?;
    let namespace =
        rustix::fs::open(c"/proc/self/ns/net", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).at(Step::Network, 0)?;
    keep(namespace, GATEWAY_FD).at(Step::Network, 0)?;
    // SAFETY: a new network namespace for this (single-threaded) process.
    Errno::result(unsafe { libc::unshare(libc::CLONE_NEWNET) }).at(Step::Network, 0)?;
    let jail = socket().at(Step::Network, 0)?;
    for (item, (side, request)) in plan.network.iter().enumerate() {
        let socket = match side {
            Side::Jail => &jail,
            Side::Gateway => &gateway,
        };
        ask(socket.as_fd(), request).at(Step::Network, item)?;
    }
    Ok(())
}

/// Sends one netlink request and reads its acknowledgement: `struct nlmsgerr` behind the
/// 16-byte header (`netlink(7)`).
fn ask(socket: BorrowedFd<'_>, request: &[u8]) -> Result<(), Errno> {
    let raw = |errno: rustix::io::Errno| Errno::from_raw(errno.raw_os_error());
    rustix::net::send(socket, request, SendFlags::empty()).map_err(raw)?;
    let mut answer = [0u8; 4096];
    let (_, length) = rustix::net::recv(socket, &mut answer[..], RecvFlags::empty()).map_err(raw)?;
    match answer.get(16..20).filter(|_| length >= 20) {
        Some(&[a, b, c, d]) => match i32::from_ne_bytes([a, b, c, d]) {
            0 => Ok(()),
            error => Err(Errno::from_raw(-error)),
        },
        _ => Err(Errno::EPROTO),
    }
}

/// Moves a descriptor to a number that the parent knows.
#[allow(clippy::needless_pass_by_value, reason = "the original is closed here, the copy stays")]
fn keep(fd: OwnedFd, number: RawFd) -> Result<(), Errno> {
    // SAFETY: nothing of the child uses these numbers; the copy is meant to stay open.
    Errno::result(unsafe { libc::dup3(fd.as_raw_fd(), number, libc::O_CLOEXEC) }).map(drop)
}

fn mounts(plan: &Plan, sources: &mut [RawFd; MAX_SOURCES]) -> Outcome {
    for (item, (source, slot)) in plan.sources.iter().zip(sources.iter_mut()).enumerate() {
        if *slot < 0 {
            *slot = open_tree(&source.path).at(Step::Source, item)?.into_raw_fd();
        }
    }
    rustix::mount::mount_change(c"/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .at(Step::Private, 0)?;
    let stage = MountFlags::NOSUID | MountFlags::NODEV;
    rustix::mount::mount(c"tmpfs", plan.stage.as_c_str(), c"tmpfs", stage, plan.stage_options.as_c_str())
        .at(Step::Stage, 0)?;
    rustix::process::chdir(plan.stage.as_c_str()).at(Step::Stage, 0)?;
    let here =
        rustix::fs::open(c".", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).at(Step::Stage, 0)?;
    for (item, planted) in plan.planted.iter().enumerate() {
        plant(planted, plan).at(Step::Plant, item)?;
    }
    // Times of directories last: planting into them changed them.
    for planted in plan.planted.iter().rev().filter(|p| matches!(p.node, Node::Directory) && p.mtime != 0) {
        set_time(&planted.path, planted.mtime).at(Step::Plant, 0)?;
    }
    for (item, (_, fd)) in plan.sources.iter().zip(sources.iter()).enumerate().filter(|(_, (s, _))| s.directory) {
        attach(*fd, here.as_fd(), lower_name(item, &mut [0; 8])).at(Step::Lower, item)?;
    }
    for (item, overlay) in plan.overlays.iter().enumerate() {
        mount_overlay(overlay, here.as_fd()).at(Step::Overlay, item)?;
    }
    let root =
        rustix::fs::open(c"r", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).at(Step::Bind, 0)?;
    for (item, bind) in plan.binds.iter().enumerate() {
        show(bind, sources, root.as_fd()).at(Step::Bind, item)?;
    }
    proc(root.as_fd())?;
    file_system(c"devpts", &plan.pts_options, MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC)
        .and_then(|pts| move_to(pts.as_fd(), root.as_fd(), c"dev/pts"))
        .at(Step::DevPts, 0)?;
    keep(here, STAGE_FD).at(Step::Pivot, 0)?;
    // pivot_root(2), NOTES: stacking old and new root, then detaching the old one.
    rustix::process::chdir(c"r").at(Step::Pivot, 0)?;
    rustix::process::pivot_root(c".", c".").at(Step::Pivot, 1)?;
    rustix::mount::unmount(c".", UnmountFlags::DETACH).at(Step::Pivot, 2)?;
    rustix::process::chdir(c"/").at(Step::Pivot, 3)
}

fn open_tree(path: &CStr) -> rustix::io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    match rustix::mount::open_tree(CWD, path, flags) {
        // Mounts below it that this user namespace may not part from it: take them along.
        Err(rustix::io::Errno::INVAL) => rustix::mount::open_tree(CWD, path, flags | OpenTreeFlags::AT_RECURSIVE),
        other => other,
    }
}

/// `lN` for a source's number, without allocating.
fn lower_name(number: usize, space: &mut [u8; 8]) -> &CStr {
    let digits = [b'0' + (number / 100 % 10) as u8, b'0' + (number / 10 % 10) as u8, b'0' + (number % 10) as u8];
    let skip = if number >= 100 { 0 } else { 1 + usize::from(number < 10) };
    space[0] = b'l';
    let used = 3 - skip;
    space[1..=used].copy_from_slice(&digits[skip..]);
    space[used + 1] = 0;
    CStr::from_bytes_until_nul(space).unwrap_or(c"")
}

fn plant(planted: &Planted, plan: &Plan) -> rustix::io::Result<()> {
    let path = planted.path.as_c_str();
    let mode = Mode::from_raw_mode(planted.mode);
    match &planted.node {
        Node::Directory => match rustix::fs::mkdir(path, mode) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        },
        Node::File(bytes) => {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            let file = rustix::fs::open(path, flags, mode)?;
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                let written = rustix::io::write(&file, rest)?;
                rest = rest.get(written..).unwrap_or_default();
            }
        }
        Node::Symlink(target) => return rustix::fs::symlink(target.as_c_str(), path),
        Node::Whiteout => return rustix::fs::mknodat(CWD, path, FileType::CharacterDevice, Mode::empty(), 0),
    }
    let uid = planted.uid.filter(|uid| *uid != 0 || !plan.map.is_range());
    if uid.is_some() || planted.gid.is_some() {
        let id = |id: Option<u32>| id.map(rustix::fs::Uid::from_raw);
        rustix::fs::chownat(
            CWD,
            path,
            id(planted.uid),
            planted.gid.map(rustix::fs::Gid::from_raw),
            AtFlags::SYMLINK_NOFOLLOW,
        )?;
        if planted.mode & 0o7000 != 0 {
            rustix::fs::chmod(path, mode)?; // chown takes set-id bits away
        }
    }
    if matches!(planted.node, Node::File(_)) { set_time(&planted.path, planted.mtime) } else { Ok(()) }
}

fn set_time(path: &CStr, seconds: i64) -> rustix::io::Result<()> {
    let time = rustix::fs::Timespec { tv_sec: seconds, tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)
}

fn attach(tree: RawFd, at: BorrowedFd<'_>, path: &CStr) -> rustix::io::Result<()> {
    // SAFETY: the descriptor was received or opened by this process and never closed.
    let tree = unsafe { BorrowedFd::borrow_raw(tree) };
    rustix::mount::move_mount(tree, c"", at, path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
}

/// Attaches a mount at a path below the jail's root, never following a link out of it.
fn move_to(mount: BorrowedFd<'_>, root: BorrowedFd<'_>, path: &CStr) -> rustix::io::Result<()> {
    let target = below(root, path)?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(mount, c"", target.as_fd(), c"", flags)
}

fn below(root: BorrowedFd<'_>, path: &CStr) -> rustix::io::Result<OwnedFd> {
    rustix::fs::openat2(root, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::IN_ROOT)
}

fn mount_overlay(overlay: &Overlay, stage: BorrowedFd<'_>) -> rustix::io::Result<()> {
    let context = rustix::mount::fsopen(c"overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let fd = context.as_fd();
    rustix::mount::fsconfig_set_string(fd, c"source", c"overlay")?;
    rustix::mount::fsconfig_set_string(fd, c"lowerdir", overlay.lower.as_c_str())?;
    rustix::mount::fsconfig_set_string(fd, c"upperdir", overlay.upper.as_c_str())?;
    rustix::mount::fsconfig_set_string(fd, c"workdir", overlay.work.as_c_str())?;
    rustix::mount::fsconfig_set_flag(fd, c"userxattr")?;
    rustix::mount::fsconfig_set_flag(fd, c"volatile")?;
    rustix::mount::fsconfig_create(fd)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    let mount = rustix::mount::fsmount(fd, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    if overlay.target.is_empty() {
        return rustix::mount::move_mount(mount.as_fd(), c"", stage, c"r", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH);
    }
    let root = rustix::fs::openat(stage, c"r", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    move_to(mount.as_fd(), root.as_fd(), &overlay.target)
}

fn show(bind: &FileBind, sources: &[RawFd; MAX_SOURCES], root: BorrowedFd<'_>) -> Result<(), Errno> {
    let raw = |errno: rustix::io::Errno| Errno::from_raw(errno.raw_os_error());
    let Some(fd) = sources.get(bind.source) else { return Err(Errno::EBADF) };
    // SAFETY: opened by this process and never closed.
    let tree = unsafe { BorrowedFd::borrow_raw(*fd) };
    if bind.read_only {
        read_only(tree)?;
    }
    move_to(tree, root, &bind.target).map_err(raw)
}

fn file_system(name: &CStr, options: &[(CString, CString)], attributes: MountAttrFlags) -> rustix::io::Result<OwnedFd> {
    let context = rustix::mount::fsopen(name, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, value) in options {
        rustix::mount::fsconfig_set_string(context.as_fd(), key.as_c_str(), value.as_c_str())?;
    }
    rustix::mount::fsconfig_create(context.as_fd())?;
    rustix::mount::fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

fn proc(root: BorrowedFd<'_>) -> Outcome {
    let attributes =
        MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    file_system(c"proc", &[], attributes).and_then(|proc| move_to(proc.as_fd(), root, c"proc")).at(Step::Proc, 0)?;
    // What steers the whole kernel is root's alone already (host root, whom the jail does not
    // have); read-only mounts are the second lock.
    for (item, path) in
        [c"proc/sys", c"proc/sysrq-trigger", c"proc/irq", c"proc/bus", c"proc/fs"].into_iter().enumerate()
    {
        let masked = below(root, path).and_then(|target| {
            let flags =
                OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
            rustix::mount::open_tree(target.as_fd(), c"", flags)
        });
        match masked {
            Err(rustix::io::Errno::NOENT) => {} // not every kernel has every one
            Err(errno) => return Err(errno).at(Step::ProcMask, item),
            Ok(tree) => {
                read_only(tree.as_fd()).at(Step::ProcMask, item)?;
                move_to(tree.as_fd(), root, path).at(Step::ProcMask, item)?;
            }
        }
    }
    Ok(())
}

/// Forks the subject off and lets it go once the parent watches. Returns its pid in the jail.
fn start(plan: &Plan, shared: &Shared) -> Outcome<i32> {
    let slave = terminal(plan)?;
    wait(shared, Stage::Adopted);
    // Where the parent has no privilege it may fetch descriptors from a dumpable process only.
    dumpable(true);
    match fork_sharing_files().at(Step::Fork, 0)? {
        0 => {
            let failure = match subject(plan, shared, slave) {
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

fn subject(plan: &Plan, shared: &Shared, slave: RawFd) -> Outcome<Infallible> {
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
fn terminal(plan: &Plan) -> Outcome<RawFd> {
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
