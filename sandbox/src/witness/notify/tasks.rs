//! The books of the session's processes and threads: who a notification's thread id is, under a key that is never
//! used again, with the descriptors through which it is looked at.
//!
//! A thread id means nothing for long: threads end unseen, ids are given to others. The descriptors kept of a task
//! (`/proc/TID` and below it) stay with the task they were opened for, and give errors once it is gone; so does every
//! lookup through them. Whatever is kept is only a cache of what `/proc` says, and is thrown away on any doubt.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{Access, AtFlags, CWD, Mode, OFlags};
use rustix::process::{Pid, PidfdFlags};

use super::memory::{Memory, VECTOR_MAX};
use super::minder::Minder;
use super::sink::{Sink, count};
use super::{kernel, proc};
use crate::event::{Event, Kind, ObjectKind, ProcessKey, Witness};
use crate::witness::ids::IdMap;
use crate::witness::name::{self, Name};
use crate::witness::paths::{Resolver, Viewer};

/// How many unknown ancestors of a new process are asked for.
const ANCESTORS_MAX: usize = 64;
/// Descriptors kept of one task.
const DESCRIPTORS_PER_TASK: usize = 4;
/// Most tasks whose descriptors are kept.
const TASKS_MAX: usize = 1024;

/// One thread that calls.
pub(super) struct Task {
    /// Its process's id on the host.
    pub tgid: i32,
    /// Its own id there.
    pub tid: i32,
    /// Its id in the jail.
    pub jail_tid: u32,
    used: u64,
    /// `/proc/TID`.
    directory: OwnedFd,
    /// `/proc/TID/fd`, where it may be looked into.
    pub fds: Option<OwnedFd>,
    memory: Option<OwnedFd>,
    /// A pidfd that means this thread's own descriptors; made when first needed.
    pidfd: Option<Arc<OwnedFd>>,
}

/// One process.
pub(super) struct Process {
    /// What it is called in events.
    pub key: ProcessKey,
    /// Its id in the jail.
    pub jail_pid: u32,
    start: u64,
    /// The thread that has called exec, until it is known what came of it.
    executing: Option<i32>,
    /// Of its program, arguments and environment as last told of.
    image: Option<u64>,
    pidfd: Option<Arc<OwnedFd>>,
    tids: Vec<i32>,
}

impl Task {
    fn open(tid: i32) -> Option<Self> {
        let look = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::openat(CWD, format!("/proc/{tid}"), look, Mode::empty()).ok()?;
        // An owner of 0 (a program that made itself undumpable) hides this from an ordinary user; pidfd_getfd
        // and process_vm_readv ask for other rights.
        let fds = rustix::fs::openat(&directory, "fd", look, Mode::empty())
            .ok()
            .filter(|fds| rustix::fs::accessat(fds, ".", Access::READ_OK | Access::EXEC_OK, AtFlags::EACCESS).is_ok());
        let mut task = Self { tgid: 0, tid, jail_tid: 0, used: 0, directory, fds, memory: None, pidfd: None };
        task.open_memory();
        Some(task)
    }

    fn open_memory(&mut self) {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        self.memory = rustix::fs::openat(&self.directory, "mem", flags, Mode::empty()).ok();
    }

    /// `/proc/TID`.
    pub(super) fn directory(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// Its memory, with pointers as wide as the call's.
    pub(super) fn memory(&self, wide: bool) -> Memory<'_> {
        Memory { file: self.memory.as_ref().map(AsFd::as_fd), tid: self.tid, wide }
    }

    /// Whether the descriptors still lead to a living task.
    pub(super) fn is_there(&self) -> bool {
        rustix::fs::accessat(&self.directory, "stat", Access::EXISTS, AtFlags::empty()).is_ok()
    }

    /// A copy of the subject's own descriptor: the same open file.
    pub(super) fn take(&mut self, process: &Process, fd: i32) -> Option<OwnedFd> {
        if fd < 0 {
            return None;
        }
        if self.pidfd.is_none() {
            // A thread may have descriptors of its own; kernels before 6.9 only reach the process's.
            self.pidfd = (self.tid != self.tgid)
                .then(|| {
                    rustix::process::pidfd_open(
                        Pid::from_raw(self.tid)?,
                        PidfdFlags::from_bits_retain(kernel::PIDFD_THREAD),
                    )
                    .ok()
                })
                .flatten()
                .map(Arc::new)
                .or_else(|| process.pidfd.clone())
                .or_else(|| {
                    rustix::process::pidfd_open(Pid::from_raw(self.tgid)?, PidfdFlags::empty()).ok().map(Arc::new)
                });
        }
        let pidfd = self.pidfd.as_ref()?;
        rustix::process::pidfd_getfd(&**pidfd, fd, rustix::process::PidfdGetfdFlags::empty()).ok()
    }
}

/// Everything known of the session's tasks.
pub(super) struct Books {
    tasks: IdMap<i32, Task>,
    processes: IdMap<i32, Process>,
    next_key: u32,
    clock: u64,
    /// Most tasks kept.
    limit: usize,
    /// Most processes that have a pidfd.
    pidfds: usize,
    init_pid: i32,
    /// Depth of the jail in pid namespaces.
    level: usize,
    /// Device and inode of the sandbox's own program, which is no image of the subject's.
    own_program: Option<(u64, u64)>,
    minder: Arc<Minder>,
    sink: Arc<Sink>,
    environment_max: usize,
}

impl Books {
    pub(super) fn new(init_pid: i32, environment_max: usize, minder: Arc<Minder>, sink: Arc<Sink>) -> Self {
        let init = rustix::fs::open("/proc", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
            .ok()
            .and_then(|proc_fd| proc::status(proc_fd.as_fd(), &format!("{init_pid}/status"), 1));
        let descriptors = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(1 << 20);
        let descriptors = usize::try_from(descriptors).unwrap_or(usize::MAX);
        Self {
            tasks: IdMap::default(),
            processes: IdMap::default(),
            next_key: 1,
            clock: 0,
            // A third each for tasks, for pidfds and for everything else belljar does.
            limit: (descriptors / 3 / DESCRIPTORS_PER_TASK).clamp(8, TASKS_MAX),
            pidfds: descriptors / 3,
            init_pid,
            level: init.map_or(1, |status| status.levels),
            own_program: program_identity(CWD, &format!("/proc/{init_pid}/exe")),
            minder,
            sink,
            environment_max,
        }
    }

    /// Whether any process of the subject has been seen.
    pub(super) fn has_begun(&self) -> bool {
        self.next_key > 1
    }

    /// Forgets the processes that have ended since it was last called.
    pub(super) fn forget_ended(&mut self) {
        for (tgid, key) in self.minder.take_ended() {
            if self.processes.get(&tgid).is_some_and(|process| process.key == key) {
                self.forget_process(tgid);
            }
        }
    }

    fn forget_process(&mut self, tgid: i32) {
        for tid in self.processes.remove(&tgid).map(|process| process.tids).unwrap_or_default() {
            self.forget_task(tid);
        }
    }

    /// Forgets a task that is gone, or is not who it was.
    pub(super) fn forget_task(&mut self, tid: i32) {
        if let Some(task) = self.tasks.remove(&tid)
            && let Some(process) = self.processes.get_mut(&task.tgid)
        {
            process.tids.retain(|known| *known != tid);
        }
    }

    /// The caller of a notification, where it is known already.
    pub(super) fn caller(&mut self, tid: i32) -> Option<(&mut Task, &mut Process)> {
        self.clock += 1;
        let task = self.tasks.get_mut(&tid)?;
        task.used = self.clock;
        let process = self.processes.get_mut(&task.tgid)?;
        Some((task, process))
    }

    /// Gets to know the caller of a notification. `valid` says whether the notification still stands; what is read
    /// before it says so is believed. Tells the queue of processes seen for the first time.
    pub(super) fn admit(&mut self, tid: i32, valid: &dyn Fn() -> bool, resolver: &Resolver) -> bool {
        // At the limit on descriptors, those of others make room.
        let opened = Task::open(tid).or_else(|| {
            self.make_room(1);
            Task::open(tid)
        });
        let Some(mut task) = opened else { return false };
        let Some(status) = proc::status(task.directory(), "status", self.level) else { return false };
        let Some(stat) = proc::stat(CWD, &format!("/proc/{}/stat", status.tgid)) else { return false };
        if !valid() {
            return false;
        }
        task.tgid = status.tgid;
        task.jail_tid = status.jail_tid;
        if !self.is_known(status.tgid, stat.start) {
            self.admit_process(status, stat);
        }
        self.make_room(self.limit);
        self.forget_task(tid);
        if let Some(process) = self.processes.get_mut(&status.tgid) {
            process.tids.push(tid);
        }
        self.clock += 1;
        task.used = self.clock;
        self.tasks.insert(tid, task);
        self.look_at_image(tid, resolver);
        true
    }

    fn is_known(&self, tgid: i32, start: u64) -> bool {
        self.processes.get(&tgid).is_some_and(|process| process.start == start)
    }

    /// Takes on a process and those of its ancestors that have not been seen, eldest first.
    fn admit_process(&mut self, status: proc::Status, stat: proc::Stat) {
        let mut line = vec![(status, stat)];
        let mut parent_key = None;
        while let Some((child, _)) = line.last() {
            let parent = child.parent;
            if parent == self.init_pid {
                parent_key = Some(ProcessKey(0));
                break;
            }
            let Some(stat) = (parent > 1).then(|| proc::stat(CWD, &format!("/proc/{parent}/stat"))).flatten() else {
                break;
            };
            if self.is_known(parent, stat.start) {
                parent_key = self.processes.get(&parent).map(|process| process.key);
                break;
            }
            let Some(status) = proc::status(CWD, &format!("/proc/{parent}/status"), self.level) else { break };
            if line.len() >= ANCESTORS_MAX {
                break;
            }
            line.push((status, stat));
        }
        if parent_key.is_none() {
            // The line does not lead into the session: its elders are none of it.
            line.truncate(1);
        }
        for (status, stat) in line.into_iter().rev() {
            parent_key = Some(self.start(status, stat, parent_key));
        }
    }

    fn start(&mut self, status: proc::Status, stat: proc::Stat, parent: Option<ProcessKey>) -> ProcessKey {
        self.forget_process(status.tgid);
        let key = ProcessKey(self.next_key);
        self.next_key = self.next_key.saturating_add(1);
        // The id was read of a task that waits, or is checked again here.
        let pidfd = Pid::from_raw(status.tgid)
            .filter(|_| self.processes.len() < self.pidfds)
            .and_then(|pid| rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok())
            .filter(|_| {
                proc::stat(CWD, &format!("/proc/{}/stat", status.tgid)).is_some_and(|now| now.start == stat.start)
            })
            .map(Arc::new);
        if pidfd.is_none() {
            count(&self.sink.counters.descriptors_short);
        }
        self.sink.push(|batch, time_ns| {
            let args = [
                parent.map_or(u64::MAX, |parent| u64::from(parent.0)),
                u64::from(status.jail_pid),
                status.tgid as u64,
                stat.start,
                0,
                0,
            ];
            let event = Event::new(time_ns, Witness::Notify, Kind::ProcessStart, key, status.jail_pid);
            batch.events.push(Event { args, ..event });
        });
        self.minder.mind(key, status.tgid, stat.start, pidfd.clone());
        self.processes.insert(
            status.tgid,
            Process {
                key,
                jail_pid: status.jail_pid,
                start: stat.start,
                executing: None,
                image: None,
                pidfd,
                tids: Vec::new(),
            },
        );
        key
    }

    /// Closes what has not been used for longest when `limit` tasks or more are kept.
    fn make_room(&mut self, limit: usize) {
        if self.tasks.len() < limit {
            return;
        }
        let mut used: Vec<(u64, i32)> = self.tasks.values().map(|task| (task.used, task.tid)).collect();
        used.sort_unstable();
        for (_, tid) in used.into_iter().take(self.limit.min(self.tasks.len()).div_ceil(4)) {
            self.forget_task(tid);
        }
    }

    /// A process is about to end or to be left by its children's parent: children not yet seen are asked for while
    /// it can still be told whose they are.
    pub(super) fn admit_children(&mut self, tgid: i32) {
        let Ok(tasks) = std::fs::read_dir(format!("/proc/{tgid}/task")) else { return };
        let mut children = Vec::new();
        for task in tasks.flatten() {
            let mut text = Vec::new();
            let _ = proc::read(CWD, &task.path().join("children").to_string_lossy(), 64 << 10, &mut text);
            children.extend(
                text.split(|byte| *byte == b' ').filter_map(|pid| std::str::from_utf8(pid).ok()?.parse::<i32>().ok()),
            );
        }
        for child in children {
            let Some(stat) = proc::stat(CWD, &format!("/proc/{child}/stat")) else { continue };
            let Some(status) = proc::status(CWD, &format!("/proc/{child}/status"), self.level) else { continue };
            if status.parent == tgid && !self.is_known(child, stat.start) {
                self.admit_process(status, stat);
            }
        }
    }

    /// Marks that `tid` calls exec: from its next call on, it may be another program, with other memory.
    pub(super) fn executes(&mut self, tid: i32) {
        if let Some((_, process)) = self.caller(tid) {
            process.executing = Some(tid);
        }
    }

    /// Whether [`Books::look_at_image`] is due before a call of this task.
    pub(super) fn may_have_executed(process: &Process, task: &Task) -> bool {
        // Whichever thread called it, a new program begins in the leader.
        process.executing.is_some_and(|thread| thread == task.tid || task.tid == task.tgid)
    }

    /// Tells of a process's program, where it is another than last told of.
    pub(super) fn look_at_image(&mut self, tid: i32, resolver: &Resolver) {
        let (own, limit) = (self.own_program, self.environment_max);
        let Some((task, process)) = self.caller(tid) else { return };
        let tgid = task.tgid;
        if process.executing.is_some() {
            // The open one is of the memory that was, which with vfork still is the parent's.
            task.open_memory();
        } else if process.image.is_some() {
            return;
        } else if own.is_some() && program_identity(task.directory(), "exe") == own {
            // The sandbox's own child on its way to the subject's program.
            return;
        }
        let (mut program, mut arguments, mut environment, mut place) = (Name::default(), vec![], vec![], vec![]);
        let _ = name::of_link(task.directory(), "exe", &mut program);
        resolver.to_jail(&mut program);
        let _ = proc::read(task.directory(), "cmdline", VECTOR_MAX, &mut arguments);
        let whole = proc::read(task.directory(), "environ", limit, &mut environment);
        // Addresses and the place of the random bytes: other with each exec.
        let _ = proc::read(task.directory(), "auxv", 4096, &mut place);
        let mut hasher = DefaultHasher::new();
        (&program.bytes, &arguments, &environment, &place).hash(&mut hasher);
        let image = Some(hasher.finish());
        let executing = process.executing;
        if process.image == image {
            // The thread itself calls again: its exec has failed.
            if executing == Some(tid) {
                process.executing = None;
            }
            return;
        }
        process.image = image;
        process.executing = None;
        let (key, jail_pid) = (process.key, process.jail_pid);
        if executing.is_some() {
            // Only the leader has outlived it.
            task.jail_tid = jail_pid;
            for other in process.tids.extract_if(.., |known| *known != tgid).collect::<Vec<_>>() {
                self.tasks.remove(&other);
            }
        }
        if matches!(whole, Ok(false)) {
            count(&self.sink.counters.payloads_cut);
        }
        self.sink.push(|batch, time_ns| {
            let object = batch.put(&program.bytes);
            let detail = batch.put(&arguments);
            let payload = batch.put(&environment);
            batch.events.push(Event {
                object_kind: if object.is_empty() { ObjectKind::None } else { program.kind },
                object,
                detail,
                payload,
                payload_len: environment.len() as u64,
                ..Event::new(time_ns, Witness::Notify, Kind::ProcessImage, key, jail_pid)
            });
        });
    }
}

fn program_identity(directory: BorrowedFd<'_>, name: &str) -> Option<(u64, u64)> {
    rustix::fs::statat(directory, name, AtFlags::empty()).ok().map(|stat| (stat.st_dev, stat.st_ino))
}

/// How a task sees paths.
pub(super) fn viewer<'a>(task: &'a Task, process: &Process) -> Viewer<'a> {
    Viewer { task: task.directory(), pid: process.jail_pid, tid: task.jail_tid }
}
