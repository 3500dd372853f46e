//! Paths as the subject means them, found out after the call: base and path are joined, and the links on the way are
//! followed in the jail as it stands now. Answers are kept, since programs ask for the same places again and again; any
//! call that may make a link mean something else throws them away.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags};

use super::loader::EbpfError;
use crate::witness::name::{self, Name};
use crate::witness::paths::{self, Resolver, STRING_MAX};

/// Most answers kept of each kind.
const KEPT: usize = 1 << 15;

/// Finds places in one jail.
pub(super) struct Places {
    resolver: Resolver,
    root: OwnedFd,
    /// Directories by the path they were asked for by; `None` where there was none.
    directories: HashMap<Vec<u8>, Option<Vec<u8>>>,
    /// Files by path, where a link at the end was followed.
    followed: HashMap<Vec<u8>, Vec<u8>>,
    found: Name,
    whole: Vec<u8>,
}

impl Places {
    pub(super) fn new(init_pid: i32) -> Result<Self, EbpfError> {
        let wrong = |cause| EbpfError::Proc { pid: init_pid, cause };
        let root = rustix::fs::open(
            format!("/proc/{init_pid}/root"),
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .map_err(wrong)?;
        Ok(Self {
            resolver: Resolver::new(init_pid).map_err(wrong)?,
            root,
            directories: HashMap::new(),
            followed: HashMap::new(),
            found: Name::default(),
            whole: Vec::new(),
        })
    }

    /// The name in the jail of `path`, begun at `base` where it is relative. `exists` says whether the call found
    /// something there, `follow` whether a link at its end counted for what it points to, `ids` who `self` is in
    /// `/proc`: process and thread.
    pub(super) fn find(&mut self, base: &[u8], path: &[u8], exists: bool, follow: bool, ids: (u32, u32)) -> &[u8] {
        self.whole.clear();
        if path.first() != Some(&b'/') {
            self.whole.extend_from_slice(base);
            self.whole.push(b'/');
        } else if base.len() > 1 {
            // From a changed root.
            self.whole.extend_from_slice(base);
        }
        self.whole.extend_from_slice(path);
        if memchr::memmem::find(&self.whole, b"self").is_some() {
            self.whole = without_self(&self.whole, ids);
        }
        let dotted = self.whole.windows(2).any(|two| two == b"/." || two == b"//") || self.whole.ends_with(b"/");
        if dotted {
            // Links before a `..` count: the whole is left to the kernel.
            if exists && self.follow_whole(follow) {
                return &self.found.bytes;
            }
            self.whole = paths::tidy(&self.whole);
        }
        if exists && follow && self.follow_whole(true) {
            return &self.found.bytes;
        }
        let slash = memchr::memrchr(b'/', &self.whole).unwrap_or(0);
        let (parent, last) = self.whole.split_at(slash);
        if parent.is_empty() || self.whole.len() >= STRING_MAX || self.whole.contains(&0) {
            return &self.whole;
        }
        if !self.directories.contains_key(parent) {
            if self.directories.len() >= KEPT {
                self.directories.clear();
            }
            let real = paths::find(self.root.as_fd(), parent, true)
                .ok()
                .filter(|file| name::of_own(self.resolver.own.as_fd(), file.as_fd(), &mut self.found).is_ok())
                .map(|_| {
                    self.resolver.to_jail(&mut self.found);
                    self.found.bytes.clone()
                });
            self.directories.insert(parent.to_vec(), real);
        }
        if let Some(Some(real)) = self.directories.get(parent)
            && real.as_slice() != parent
        {
            self.found.bytes.clear();
            if real.len() > 1 {
                self.found.bytes.extend_from_slice(real);
            }
            self.found.bytes.extend_from_slice(last);
            return &self.found.bytes;
        }
        &self.whole
    }

    /// Puts what the whole path leads to into `found`.
    fn follow_whole(&mut self, follow: bool) -> bool {
        if self.whole.len() >= STRING_MAX || self.whole.contains(&0) {
            return false;
        }
        if follow && let Some(known) = self.followed.get(&self.whole) {
            self.found.bytes.clone_from(known);
            return true;
        }
        let Ok(file) = paths::find(self.root.as_fd(), &self.whole, follow) else { return false };
        if name::of_own(self.resolver.own.as_fd(), file.as_fd(), &mut self.found).is_err() {
            return false;
        }
        self.resolver.to_jail(&mut self.found);
        if follow {
            if self.followed.len() >= KEPT {
                self.followed.clear();
            }
            self.followed.insert(self.whole.clone(), self.found.bytes.clone());
        }
        true
    }

    /// A call has made, moved or mounted something: links may lead elsewhere now.
    pub(super) fn forget(&mut self) {
        self.directories.clear();
        self.followed.clear();
    }

    /// Something of this name is gone, which matters where it was a link.
    pub(super) fn forget_link(&mut self, path: &[u8]) {
        let led_elsewhere = self.followed.get(path).is_some_and(|real| real != path)
            || self.directories.get(path).is_some_and(|real| real.as_deref() != Some(path));
        if led_elsewhere {
            self.forget();
        }
    }

    /// Opens a regular file of the jail, as it stands now.
    pub(super) fn open(&self, path: &[u8]) -> Option<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        rustix::fs::openat2(&self.root, path, flags, Mode::empty(), rustix::fs::ResolveFlags::IN_ROOT).ok()
    }
}

/// `/proc/self` and `/proc/thread-self` as those of somebody else.
fn without_self(path: &[u8], (process, thread): (u32, u32)) -> Vec<u8> {
    let ends = |rest: &[u8]| matches!(rest, [] | [b'/', ..]);
    if let Some(rest) = path.strip_prefix(b"/proc/self").filter(|rest| ends(rest)) {
        return [format!("/proc/{process}").as_bytes(), rest].concat();
    }
    if let Some(rest) = path.strip_prefix(b"/proc/thread-self").filter(|rest| ends(rest)) {
        return [format!("/proc/{process}/task/{thread}").as_bytes(), rest].concat();
    }
    path.to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// This process's own root stands for the jail's.
    fn places() -> Places {
        Places::new(std::process::id() as i32).expect("own root")
    }

    fn find(places: &mut Places, base: &[u8], path: &[u8], exists: bool, follow: bool) -> String {
        String::from_utf8(places.find(base, path, exists, follow, (7, 8)).to_vec()).expect("text")
    }

    #[test]
    fn links_on_the_way_are_followed_and_missing_ends_kept() {
        let folder = tempfile::tempdir().expect("folder");
        let real = folder.path().canonicalize().expect("path");
        std::fs::create_dir(real.join("d")).expect("made");
        std::fs::write(real.join("d/f"), "x").expect("written");
        std::os::unix::fs::symlink("d", real.join("l")).expect("linked");
        std::os::unix::fs::symlink("d/f", real.join("lf")).expect("linked");
        let base = real.to_str().expect("text").as_bytes().to_vec();
        let at = |rest: &str| format!("{}/{rest}", real.display());
        let mut places = places();
        assert_eq!(find(&mut places, &base, b"l/f", true, false), at("d/f"));
        assert_eq!(find(&mut places, &base, b"l/none", false, true), at("d/none"));
        assert_eq!(find(&mut places, &base, b"lf", true, true), at("d/f"));
        assert_eq!(find(&mut places, &base, b"lf", true, false), at("lf"));
        assert_eq!(find(&mut places, &base, b"l/../d/./f", true, false), at("d/f"));
        assert_eq!(find(&mut places, &base, b"gone/../x", false, false), at("x"));
        assert_eq!(find(&mut places, b"/", b"/proc/self/x", false, false), "/proc/7/x");
        // Until told that a link has changed, the answer is the old one.
        std::fs::remove_file(real.join("lf")).expect("removed");
        places.forget_link(at("lf").as_bytes());
        assert_eq!(find(&mut places, &base, b"lf", false, true), at("lf"));
    }
}
