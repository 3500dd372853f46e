//! The jail's file systems, from inside: sources, stage, overlays, devices, `/proc`, the new root.

#![allow(unsafe_code)]

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Timestamps};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags,
    UnmountFlags,
};

use super::super::clone::read_only;
use super::super::error::Step;
use super::super::plan::{FileBind, MAX_SOURCES, Node, Overlay, Plan, Planted};
use super::{At, Outcome, STAGE_FD, keep};

pub(super) fn mounts(plan: &Plan, sources: &mut [RawFd; MAX_SOURCES]) -> Outcome {
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
