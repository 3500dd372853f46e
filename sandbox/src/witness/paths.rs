//! Paths as the subject means them: from its root, its current directory or a directory descriptor, through its
//! mounts and links, to the one absolute name the file has in the jail.
//!
//! Looks only, never opens: `O_PATH` lookups have no side effect and cannot block. The kernel's own lookup inside the
//! subject's root (`openat2` with `RESOLVE_IN_ROOT`) does nearly all; where it cannot go (links of `/proc`, which lead
//! anywhere; `/proc/self`, which would be ours), and where something is missing, the path is walked step by step.
//! Links of `/proc` say names as seen from the root of the jail's mount namespace, wherever the reader lives.

use std::borrow::Cow;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::name::{self, Name};
use crate::event::ObjectKind;

/// The longest path or other string the kernel takes, with its NUL (`PATH_MAX`).
pub(super) const STRING_MAX: usize = 4096;
/// Most links in one path (the kernel's `MAXSYMLINKS`).
const LINKS_MAX: u32 = 40;
const LOOK: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);

/// Who asks.
#[derive(Clone, Copy)]
pub(super) struct Viewer<'a> {
    /// `/proc/TID`.
    pub task: BorrowedFd<'a>,
    /// Process id in the jail.
    pub pid: u32,
    /// Thread id in the jail.
    pub tid: u32,
}

/// What a relative path begins at.
#[derive(Clone, Copy, Debug)]
pub(super) enum Base {
    /// The current directory.
    Current,
    /// A directory descriptor.
    Descriptor(i32),
}

/// What has been learnt of a path beside its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lookup {
    /// It names something.
    Found,
    /// The lookup fails with this errno.
    Missing(i32),
    /// Not known: the name is only joined from its parts.
    Unknown,
}

/// Resolves paths of all viewers of one jail.
pub(super) struct Resolver {
    /// `/proc/self/fd`.
    pub(super) own: OwnedFd,
    /// `/proc/SELF` as text, which no subject's path may lead to.
    myself: Vec<u8>,
    /// The jail's root as links of `/proc` show it; empty where it is the root of its mount namespace.
    pub(super) jail_root: Vec<u8>,
}

impl Resolver {
    pub(super) fn new(init_pid: i32) -> rustix::io::Result<Self> {
        let own = rustix::fs::open("/proc/self/fd", LOOK | OFlags::DIRECTORY, Mode::empty())?;
        let mut jail_root = Vec::new();
        name::read_link(rustix::fs::CWD, format!("/proc/{init_pid}/root"), &mut jail_root)?;
        if jail_root == b"/" {
            jail_root.clear();
        }
        let myself = format!("/proc/{}/", rustix::process::getpid().as_raw_nonzero()).into_bytes();
        Ok(Self { own, myself, jail_root })
    }

    /// Puts the name that `path` has in the jail into `out`. `follow` says whether a link at its end counts for
    /// what it points to.
    pub(super) fn resolve(&self, viewer: Viewer<'_>, base: Base, path: &[u8], follow: bool, out: &mut Name) -> Lookup {
        let mut root_text = Vec::new();
        let _ = name::read_link(viewer.task, "root", &mut root_text);
        let root_text = if root_text == b"/" { &[][..] } else { &root_text };

        // The whole path from the subject's root, by text.
        let mut whole = Vec::with_capacity(STRING_MAX);
        let mut root_of = "root";
        if path.first() != Some(&b'/') {
            let found = match base {
                Base::Current => name::read_link(viewer.task, "cwd", &mut whole),
                Base::Descriptor(fd) => name::read_link(viewer.task, format!("fd/{fd}"), &mut whole),
            };
            if found.is_err() || whole.first() != Some(&b'/') {
                out.set(ObjectKind::File, path);
                return Lookup::Unknown;
            }
            match below(&whole, root_text) {
                Some(rest) => whole = rest.to_vec(),
                // A directory outside a changed root: only the real one leads there.
                None => root_of = "",
            }
            whole.push(b'/');
        }
        whole.extend_from_slice(path);

        let lexical = |out: &mut Name| {
            let joined =
                if root_of.is_empty() { Cow::Borrowed(&whole) } else { Cow::Owned([root_text, &whole].concat()) };
            out.set(ObjectKind::File, self.in_jail(&tidy(&joined)));
            Lookup::Unknown
        };
        if whole.len() >= STRING_MAX || whole.contains(&0) {
            return lexical(out);
        }
        let root = if root_of.is_empty() { self.real_root(viewer) } else { look(viewer.task, root_of.as_bytes()) };
        let Ok(root) = root else { return lexical(out) };

        // `self` may be a name in /proc that means the caller: the walk knows whose. And absolute links lead to the
        // viewer's root even from outside of it.
        if !root_of.is_empty() && memchr::memmem::find(&whole, b"self").is_none() {
            match find(root.as_fd(), &whole, follow) {
                Ok(file) => {
                    if name::of_own(self.own.as_fd(), file.as_fd(), out).is_ok() && !out.bytes.starts_with(&self.myself)
                    {
                        self.to_jail(out);
                        return Lookup::Found;
                    }
                }
                Err(Errno::NOENT) => {
                    if self.missing_in_directory(root.as_fd(), &whole, out) {
                        return Lookup::Missing(Errno::NOENT.raw_os_error());
                    }
                }
                Err(_) => {}
            }
        }
        // The name of the directory walked from, and where below it absolute links lead.
        let names = if root_of.is_empty() { (&[][..], root_text) } else { (root_text, &[][..]) };
        match self.walk(viewer, root.as_fd(), names, &whole, follow, out) {
            Some(lookup) => lookup,
            None => lexical(out),
        }
    }

    /// The root of the viewer's mount namespace: what its root becomes when all is climbed.
    fn real_root(&self, viewer: Viewer<'_>) -> rustix::io::Result<OwnedFd> {
        // Climbing is safe here: these are lookups by a process that is not inside that root.
        let mut directory = look(viewer.task, b"root")?;
        for _ in 0..STRING_MAX / 2 {
            let mut text = Vec::new();
            name::read_link(self.own.as_fd(), rustix::path::DecInt::from_fd(directory.as_fd()), &mut text)?;
            if text == b"/" {
                return Ok(directory);
            }
            directory = look(directory.as_fd(), b"..")?;
        }
        Err(Errno::LOOP)
    }

    /// The common case of a missing file: its directory is there, and it is not in it.
    fn missing_in_directory(&self, root: BorrowedFd<'_>, whole: &[u8], out: &mut Name) -> bool {
        let Some(slash) = memchr::memrchr(b'/', whole) else { return false };
        let (parent, last) = whole.split_at(slash + 1);
        if matches!(last, b"" | b"." | b"..") {
            return false;
        }
        let Ok(directory) = find(root, if parent.is_empty() { b"/" } else { parent }, true) else { return false };
        if find(directory.as_fd(), last, false).err() != Some(Errno::NOENT) {
            return false;
        }
        if name::of_own(self.own.as_fd(), directory.as_fd(), out).is_err() || out.bytes.starts_with(&self.myself) {
            return false;
        }
        push_component(&mut out.bytes, last);
        out.kind = ObjectKind::File;
        self.to_jail(out);
        true
    }

    /// Walks `whole` from `root`, whose name is `root_text`; absolute links lead to `link_root` below it. `None` where
    /// it cannot tell.
    fn walk(
        &self,
        viewer: Viewer<'_>,
        root: BorrowedFd<'_>,
        (root_text, link_root): (&[u8], &[u8]),
        whole: &[u8],
        follow: bool,
        out: &mut Name,
    ) -> Option<Lookup> {
        let mut done: Vec<u8> = Vec::new();
        // Components still to go, the next one last.
        let mut rest: Vec<Vec<u8>> = components(whole).rev().map(<[u8]>::to_vec).collect();
        let wants_directory = matches!(whole, [.., b'/'] | [.., b'/', b'.']);
        let mut links = 0;
        let mut text = Vec::new();
        while let Some(component) = rest.pop() {
            if component == b".." {
                done.truncate(memchr::memrchr(b'/', &done).unwrap_or(0));
                continue;
            }
            let parent = done.len();
            push_component(&mut done, &component);
            let missing = |done: &[u8], rest: &[Vec<u8>], out: &mut Name, errno: Errno| {
                let mut full = [root_text, done].concat();
                rest.iter().rev().for_each(|component| push_component(&mut full, component));
                out.set(ObjectKind::File, self.in_jail(&tidy(&full)));
                Some(match errno {
                    Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NAMETOOLONG => {
                        Lookup::Missing(errno.raw_os_error())
                    }
                    _ => Lookup::Unknown,
                })
            };
            let file = match find(root, &done, false) {
                Ok(file) => file,
                Err(errno) => return missing(&done, &rest, out, errno),
            };
            let kind = FileType::from_raw_mode(rustix::fs::fstat(&file).ok()?.st_mode);
            let last = rest.is_empty();
            if kind != FileType::Symlink {
                if !last && kind != FileType::Directory {
                    return missing(&done, &rest, out, Errno::NOTDIR);
                }
                continue;
            }
            if last && !follow && !wants_directory {
                continue;
            }
            links += 1;
            if links > LINKS_MAX {
                return missing(&done, &rest, out, Errno::LOOP);
            }
            let of_proc = rustix::fs::fstatfs(&file).is_ok_and(|fs| fs.f_type == rustix::fs::PROC_SUPER_MAGIC);
            if of_proc && component == b"self" {
                text = viewer.pid.to_string().into_bytes();
            } else if of_proc && component == b"thread-self" {
                text = format!("{}/task/{}", viewer.pid, viewer.tid).into_bytes();
            } else {
                name::read_link(file.as_fd(), "", &mut text).ok()?;
                // A link that is no text but a way to an open file; its text is the name that file has.
                if of_proc && find(root, &done, true).err() == Some(Errno::XDEV) {
                    let deleted = text.strip_suffix(b" (deleted)").map(<[u8]>::to_vec);
                    if text.first() != Some(&b'/') {
                        if !last {
                            return missing(&done, &rest, out, Errno::NOTDIR);
                        }
                        let parent_fd = find(root, done.get(..parent)?, true).ok()?;
                        name::of_link(parent_fd.as_fd(), component.as_slice(), out).ok()?;
                        return Some(Lookup::Found);
                    }
                    text = deleted.unwrap_or(text);
                    let Some(inside) = below(&text, root_text) else {
                        // It leads out of a changed root: the name stands, the rest is joined to it.
                        rest.iter().rev().for_each(|component| push_component(&mut text, component));
                        out.set(ObjectKind::File, self.in_jail(&tidy(&text)));
                        return Some(if last { Lookup::Found } else { Lookup::Unknown });
                    };
                    done = inside.to_vec();
                    if done == b"/" {
                        done.clear();
                    }
                    continue;
                }
            }
            done.truncate(parent);
            if text.first() == Some(&b'/') {
                done = link_root.to_vec();
            }
            rest.extend(components(&text).rev().map(<[u8]>::to_vec));
        }
        // Where it ends, by its own name: mounts may show one file in two places.
        let end = if done.is_empty() { b"/" } else { done.as_slice() };
        match find(root, end, false).and_then(|file| name::of_own(self.own.as_fd(), file.as_fd(), out)) {
            Ok(()) => self.to_jail(out),
            Err(_) => out.set(ObjectKind::File, self.in_jail(&[root_text, end].concat())),
        }
        Some(Lookup::Found)
    }

    /// Names what a descriptor of our own stands for.
    pub(super) fn name_own(&self, fd: &OwnedFd, out: &mut Name) -> rustix::io::Result<()> {
        name::of_own(self.own.as_fd(), fd.as_fd(), out)
    }

    /// A name without the jail root's own.
    pub(super) fn in_jail<'a>(&self, path: &'a [u8]) -> &'a [u8] {
        match below(path, &self.jail_root) {
            Some(b"") => b"/",
            Some(rest) => rest,
            None => path,
        }
    }

    /// The same for a name in place.
    pub(super) fn to_jail(&self, name: &mut Name) {
        if !self.jail_root.is_empty() {
            let cut = name.bytes.len() - self.in_jail(&name.bytes).len().min(name.bytes.len());
            name.bytes.drain(..cut);
            if name.bytes.is_empty() {
                name.bytes.push(b'/');
            }
        }
    }
}

fn look(directory: BorrowedFd<'_>, name: &[u8]) -> rustix::io::Result<OwnedFd> {
    rustix::fs::openat(directory, name, LOOK | OFlags::DIRECTORY, Mode::empty())
}

pub(super) fn find(root: BorrowedFd<'_>, path: &[u8], follow: bool) -> rustix::io::Result<OwnedFd> {
    let flags = if follow { LOOK } else { LOOK | OFlags::NOFOLLOW };
    // The kernel gives EAGAIN when a rename anywhere raced with a `..`: it says to try again.
    let mut tries = 0;
    loop {
        match rustix::fs::openat2(root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT) {
            Err(Errno::AGAIN) if tries < 8 => tries += 1,
            result => return result,
        }
    }
}

/// What is left of `path` below `root`, as an absolute path (empty for `root` itself).
fn below<'a>(path: &'a [u8], root: &[u8]) -> Option<&'a [u8]> {
    path.strip_prefix(root).filter(|rest| matches!(rest, [] | [b'/', ..]))
}

fn components(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').filter(|component| !matches!(*component, b"" | b"."))
}

fn push_component(path: &mut Vec<u8>, component: &[u8]) {
    if path.last() != Some(&b'/') {
        path.push(b'/');
    }
    path.extend_from_slice(component);
}

/// An absolute path without empty components, `.` and `..`, by text alone.
pub(super) fn tidy(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    for component in components(path) {
        if component == b".." {
            out.truncate(memchr::memrchr(b'/', &out).unwrap_or(0));
        } else {
            out.push(b'/');
            out.extend_from_slice(component);
        }
    }
    if out.is_empty() {
        out.push(b'/');
    }
    out
}
