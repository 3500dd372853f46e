//! The session's control groups: freeze and kill in the unified hierarchy, limits where their
//! controllers are (version 2, or version 1 beside it on hybrid machines).
//!
//! Everything here is a help, not a wall: without a writable cgroup the jail stands all the same
//! (its pid namespace kills, rlimits limit), and says what it goes without.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::unistd::Pid;

use crate::spec::Limits;

/// Names of sessions' groups begin with this; the maker's process id follows, so that groups
/// whose maker is gone can be told and removed.
const PREFIX: &str = "belljar-";

static COUNTER: AtomicU32 = AtomicU32::new(0);

/// The control groups of one session.
#[derive(Debug)]
pub struct Cgroup {
    unified: Option<PathBuf>,
    legacy: Vec<PathBuf>,
    /// What could not be had, each in one sentence.
    pub missing: Vec<String>,
}

/// Stops all processes of a session where they stand, and lets them go on.
#[derive(Debug)]
pub struct Freezer {
    file: fs::File,
}

impl Freezer {
    /// Freezes or thaws; returns whether that was done. Each task stops before it next returns to its program.
    pub fn set(&self, frozen: bool) -> bool {
        use std::os::unix::fs::FileExt;
        self.file.write_all_at(if frozen { b"1" } else { b"0" }, 0).is_ok()
    }
}

/// Where the hierarchies are mounted, and where in them this process is.
struct Hierarchies {
    unified: Option<PathBuf>,
    legacy: Vec<(String, PathBuf)>,
}

impl Cgroup {
    /// Makes the session's groups, as far as this process may.
    pub fn create(limits: &Limits) -> Self {
        let name = format!("{PREFIX}{}-{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed));
        let here = hierarchies();
        let mut this = Self { unified: None, legacy: Vec::new(), missing: Vec::new() };
        match &here.unified {
            None => this.missing.push("no cgroup v2 is mounted: the subject cannot be frozen".into()),
            Some(parent) => {
                sweep(parent);
                match fs::create_dir(parent.join(&name)) {
                    Ok(()) => this.unified = Some(parent.join(&name)),
                    Err(error) => {
                        this.missing.push(format!("no cgroup of its own ({error}): the subject cannot be frozen"));
                    }
                }
            }
        }
        // Entering a version 1 group costs some ten milliseconds (the kernel waits for every
        // processor): for memory there is nothing else, processes have an rlimit, too.
        let wanted = [
            ("memory", limits.memory, "memory.max", Some("memory.limit_in_bytes")),
            ("pids", limits.processes, "pids.max", None),
        ];
        for (controller, limit, file, legacy_file) in wanted {
            let Some(limit) = limit else { continue };
            let set = this.unified.as_ref().is_some_and(|group| fs::write(group.join(file), limit.to_string()).is_ok());
            let Some(legacy_file) = legacy_file.filter(|_| !set) else { continue };
            if let Err(error) = this.limit(&here, &name, controller, limit, legacy_file) {
                this.missing
                    .push(format!("no {controller} controller ({error}): what the subject uses of it is not limited"));
            }
        }
        this
    }

    fn limit(
        &mut self,
        here: &Hierarchies,
        name: &str,
        controller: &str,
        limit: u64,
        legacy_file: &str,
    ) -> io::Result<()> {
        let (_, parent) = here
            .legacy
            .iter()
            .find(|(name, _)| name.split(',').any(|part| part == controller))
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "not delegated"))?;
        sweep(parent);
        let group = parent.join(name);
        match fs::create_dir(&group) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        self.legacy.push(group.clone());
        fs::write(group.join(legacy_file), limit.to_string())
    }

    /// The unified group's directory, for `CLONE_INTO_CGROUP`.
    pub(crate) fn open(&self) -> Option<OwnedFd> {
        self.unified.as_ref().and_then(|path| fs::File::open(path).ok()).map(OwnedFd::from)
    }

    /// Moves the jail's first process into the version 1 groups (the unified one it is born in).
    pub(crate) fn adopt(&mut self, pid: Pid) {
        for group in &self.legacy {
            if let Err(error) = fs::write(group.join("cgroup.procs"), pid.to_string()) {
                self.missing.push(format!("cannot enter {}: {error}", group.display()));
            }
        }
    }

    /// What stops the session's processes where they stand; `None` without a unified group of its own.
    pub fn freezer(&self) -> Option<Freezer> {
        let file = fs::OpenOptions::new().write(true).open(self.unified.as_ref()?.join("cgroup.freeze")).ok()?;
        Some(Freezer { file })
    }

    /// All directories, for the janitor.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.unified.iter().chain(&self.legacy).map(PathBuf::as_path)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for group in self.paths() {
            let _ = fs::write(group.join("cgroup.kill"), "1"); // version 1 has no such file
            remove(group, 100);
        }
    }
}

/// Removes a group, waiting for its last processes to be gone.
fn remove(group: &Path, tries: u32) {
    for _ in 0..tries {
        match fs::remove_dir(group) {
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => std::thread::sleep(Duration::from_millis(2)),
            _ => return,
        }
    }
}

/// Removes groups of sessions whose maker and janitor were both killed.
fn sweep(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let maker = name.as_bytes().strip_prefix(PREFIX.as_bytes()).and_then(|rest| rest.split(|b| *b == b'-').next());
        let maker =
            maker.and_then(|digits| std::str::from_utf8(digits).ok()).and_then(|digits| digits.parse::<u32>().ok());
        if maker.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            let _ = fs::write(entry.path().join("cgroup.kill"), "1");
            remove(&entry.path(), 1);
        }
    }
}

/// Reads `/proc/self/mountinfo` and `/proc/self/cgroup` (`cgroups(7)`).
fn hierarchies() -> Hierarchies {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mut found = Hierarchies { unified: None, legacy: Vec::new() };
    for line in mounts.lines() {
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let Some(point) = left.split(' ').nth(4).map(Path::new) else { continue };
        let mut right = right.split(' ');
        let kind = right.next().unwrap_or_default();
        let options = right.nth(1).unwrap_or_default();
        let own = |controllers: &str| {
            groups.lines().find_map(|line| {
                let mut fields = line.splitn(3, ':');
                let names = fields.nth(1)?;
                let path = fields.next()?;
                (names == controllers || (!controllers.is_empty() && names.split(',').any(|n| n == controllers)))
                    .then(|| point.join(path.trim_start_matches('/')))
            })
        };
        if kind == "cgroup2" && found.unified.is_none() {
            found.unified = own("");
        } else if kind == "cgroup" {
            for controller in ["memory", "pids"] {
                if options.split(',').any(|option| option == controller)
                    && let Some(path) = own(controller)
                {
                    found.legacy.push((controller.to_owned(), path));
                }
            }
        }
    }
    found
}
