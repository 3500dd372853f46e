//! The jail: the namespaces, mounts, ids, limits and terminal that the subject lives in.
//!
//! [`Jail::spawn`] makes everything ready in the parent ([`plan`]), clones a child into new
//! namespaces, and the child builds the jail from inside ([`child`]) - the same way as root and
//! rootless. Only the sources differ: root hands the child idmapped copies of host directories,
//! because only root may make them. The subject stands ready behind its system-call filter until
//! [`Jail::go`]; whoever spawned it takes the listener first.

mod cgroup;
mod child;
mod clone;
mod error;
mod furniture;
mod ids;
mod janitor;
pub(crate) mod network;
mod plan;
mod shared;
mod system;

pub use cgroup::{Cgroup, Freezer};
pub use error::{JailError, Step};
pub use plan::LayerRoot;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::wait::{WaitPidFlag, WaitStatus};
use nix::unistd::Pid;
use rustix::fs::{Mode, OFlags};

use crate::gateway::wire::Wire;
use crate::spec::{Spec, Stdin};
use clone::{Cloned, SharedPage, fetch};
use ids::Map;
use janitor::Janitor;
use plan::{Owners, Plan};
use shared::Stage;

/// How long a step of the child may keep the parent waiting before it looks whether the child
/// still lives.
const PATIENCE: Duration = Duration::from_millis(20);

/// How the subject's first process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl Exit {
    /// From a raw wait status (`wait(2)`).
    pub fn from_status(status: i32) -> Self {
        if libc::WIFSIGNALED(status) {
            Self::Signal(libc::WTERMSIG(status))
        } else {
            Self::Code(libc::WEXITSTATUS(status))
        }
    }
}

/// A jail with its subject. Dropping it kills everything in it.
///
/// The thread that spawned it must live as long as it: the kernel ends the jail when that thread
/// ends (`PR_SET_PDEATHSIG`).
pub struct Jail {
    init: Cloned,
    shared: SharedPage,
    listener: Option<OwnedFd>,
    terminal: Option<OwnedFd>,
    gateway: OwnedFd,
    wire: Option<Wire>,
    stage: OwnedFd,
    stdin: Option<OwnedFd>,
    layer: Vec<LayerRoot>,
    cgroup: Cgroup,
    // Dropped after `cgroup`, whose groups it would otherwise remove.
    _janitor: Option<Janitor>,
    map: Map,
    notes: Vec<String>,
    reaped: bool,
    killed: AtomicBool,
    program: String,
}

impl Jail {
    /// Builds the jail and brings the subject to the point before its exec.
    pub fn spawn(spec: &Spec, filter: Vec<libc::sock_filter>) -> Result<Self, JailError> {
        raise_descriptor_limit();
        let map = Map::choose(spec.user.uid, spec.user.gid);
        let parent = |what| move |errno: rustix::io::Errno| JailError::Parent { what, cause: errno.into() };
        let pipe = match spec.stdin {
            Stdin::Pipe => {
                Some(rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(parent("make a pipe"))?)
            }
            Stdin::Terminal | Stdin::Null => None,
        };
        let plan = Plan::new(spec, map, pipe.as_ref().map_or(-1, |(read, _)| read.as_raw_fd()), filter)?;
        let mut notes = Vec::new();
        let caller = caller_namespace(map, spec)?;
        let shared = SharedPage::new()?;
        let (ours, theirs) = rustix::net::socketpair(
            rustix::net::AddressFamily::UNIX,
            rustix::net::SocketType::STREAM,
            rustix::net::SocketFlags::CLOEXEC,
            None,
        )
        .map_err(parent("make a socket pair"))?;
        let mut cgroup = Cgroup::create(&spec.limits);
        let janitor = Janitor::start(cgroup.paths())?;
        let group = cgroup.open();
        let (theirs_fd, ours_fd) = (theirs.as_raw_fd(), ours.as_raw_fd());
        let init =
            clone::into_jail(group.as_ref().map(AsFd::as_fd), || child::init(&plan, &shared, theirs_fd, ours_fd))?;
        drop(theirs);
        let building = Building { init: Some(init), shared: Some(shared), plan: &plan };
        let init_pid = building.pid();
        map.write(init_pid)?;
        if map.is_range() {
            let trees = sources(&plan, init_pid, caller.as_ref(), &mut notes)?;
            send(ours.as_fd(), &trees)?;
        }
        building.advance(Stage::Mapped);
        // Beside the child's work: the kernel takes its time for it.
        cgroup.adopt(init_pid);
        building.advance(Stage::Adopted);
        building.wait(Stage::Ready)?;
        let take = |number, what| fetch(building.pidfd(), number, what);
        let listener =
            take(building.shared().listener.load(Ordering::Acquire), "take the listener of the system-call filter")?;
        let terminal = take(child::TERMINAL_FD, "take the subject's terminal")?;
        let gateway = take(network::GATEWAY_FD, "take the gateway's network namespace")?;
        let wire = Wire::collect(|number| take(number, "take a socket of the gateway").ok());
        let stage = take(child::STAGE_FD, "take the session's layer")?;
        notes.append(&mut cgroup.missing);
        let (init, shared) = building.done();
        Ok(Self {
            init,
            shared,
            listener: Some(listener),
            terminal: Some(terminal),
            gateway,
            wire,
            stage,
            stdin: pipe.map(|(_, write)| write),
            layer: plan.layer,
            cgroup,
            _janitor: janitor,
            map,
            notes,
            reaped: false,
            killed: AtomicBool::new(false),
            program: spec.argv.first().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
        })
    }

    /// Host process id of the jail's pid 1.
    pub fn init_pid(&self) -> i32 {
        self.init.pid.as_raw()
    }

    /// The listener of the subject's filter; can be taken once.
    pub fn take_listener(&mut self) -> Option<OwnedFd> {
        self.listener.take()
    }

    /// The master side of the subject's terminal; can be taken once.
    pub fn take_terminal(&mut self) -> Option<OwnedFd> {
        self.terminal.take()
    }

    /// The write end of the subject's standard input, when the spec asked for a pipe.
    pub fn take_stdin(&mut self) -> Option<OwnedFd> {
        self.stdin.take()
    }

    /// The gateway's network namespace.
    pub fn gateway(&self) -> BorrowedFd<'_> {
        self.gateway.as_fd()
    }

    /// The sockets that the jail's network ends in; can be taken once. Without them nobody answers the subject.
    pub fn take_wire(&mut self) -> Option<Wire> {
        self.wire.take()
    }

    /// The stage, which the layer's directories stand on.
    pub fn stage(&self) -> BorrowedFd<'_> {
        self.stage.as_fd()
    }

    /// What the layer is made of.
    pub fn layer(&self) -> &[LayerRoot] {
        &self.layer
    }

    /// The session's control groups.
    pub fn cgroup(&self) -> &Cgroup {
        &self.cgroup
    }

    /// Opens a regular file by its path in the jail, as it stands now in the layer or below it;
    /// no link is followed. `None` when there is none, or it cannot be read.
    pub fn open_file(&self, path: &Path) -> Option<File> {
        let root = self
            .layer
            .iter()
            .filter(|root| path.starts_with(&root.target))
            .max_by_key(|root| root.target.components().count())?;
        let below = path.strip_prefix(&root.target).ok()?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let on_stage =
            |name: &str| rustix::fs::openat(&self.stage, Path::new(name).join(below), flags, Mode::empty()).ok();
        let file = on_stage(&root.upper)
            .or_else(|| root.between.iter().find_map(|name| on_stage(name)))
            .or_else(|| rustix::fs::open(root.host.as_ref()?.join(below), flags, Mode::empty()).ok())?;
        let file = File::from(file);
        file.metadata().is_ok_and(|meta| meta.is_file()).then_some(file)
    }

    /// An id of the host as the jail knows it: 65534 (nobody) for what it does not.
    pub fn uid_in_jail(&self, host: u32) -> u32 {
        self.map.uid_from_host(host)
    }

    /// The same for groups.
    pub fn gid_in_jail(&self, host: u32) -> u32 {
        self.map.gid_from_host(host)
    }

    /// Whether this jail was built without privilege.
    pub fn is_rootless(&self) -> bool {
        !self.map.is_range()
    }

    /// What the jail goes without on this machine, each in one sentence.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Lets the subject be executed. Its listener must be served by now.
    pub fn go(&self) {
        self.shared.advance(Stage::Go);
    }

    /// How the subject's first process ended, once it has.
    pub fn exit(&self) -> Option<Exit> {
        if self.killed.load(Ordering::Acquire) && self.reaped && !self.shared.reached(Stage::Ended) {
            // The kernel killed it together with pid 1, who could not report it any more.
            return Some(Exit::Signal(libc::SIGKILL));
        }
        (self.shared.reached(Stage::Ended) && !self.shared.failed())
            .then(|| Exit::from_status(self.shared.status.load(Ordering::Acquire)))
    }

    /// Waits until nobody is left in the jail, at most `timeout`. Returns whether that is so; an
    /// error when the subject could not even be executed.
    pub fn wait(&mut self, timeout: Duration) -> Result<bool, JailError> {
        if !self.reaped {
            let mut poll = [rustix::event::PollFd::new(&self.init.pidfd, rustix::event::PollFlags::IN)];
            let limit = rustix::event::Timespec {
                tv_sec: timeout.as_secs() as i64,
                tv_nsec: i64::from(timeout.subsec_nanos()),
            };
            match rustix::event::poll(&mut poll, Some(&limit)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(false),
                Ok(_) => self.reap(),
                Err(errno) => return Err(JailError::Parent { what: "wait for the jail", cause: errno.into() }),
            }
        }
        if self.shared.failed() {
            return Err(self.failure());
        }
        Ok(true)
    }

    /// Kills everything in the jail. Returns at once; [`Jail::wait`] tells when it is over.
    pub fn kill(&self) {
        self.killed.store(true, Ordering::Release);
        // Frozen processes die of it too (cgroup-v2.rst, cgroup.freeze). Gone already is fine.
        let _ = rustix::process::pidfd_send_signal(&self.init.pidfd, rustix::process::Signal::KILL);
    }

    fn reap(&mut self) {
        let _ = nix::sys::wait::waitpid(self.init.pid, None);
        self.reaped = true;
    }

    fn failure(&self) -> JailError {
        let (step, errno) = failed_step(&self.shared);
        match step {
            Some(Step::Lookup) => JailError::NotFound { program: self.program.clone(), errno },
            Some(Step::Exec) if errno == Errno::ENOENT => JailError::NotFound { program: self.program.clone(), errno },
            Some(step) => JailError::Step { step, item: Some(self.program.clone()), errno },
            None => JailError::Died,
        }
    }
}

impl Drop for Jail {
    fn drop(&mut self) {
        if !self.reaped {
            self.kill();
            self.reap();
        }
    }
}

/// A jail of which nobody knows yet whether it will stand: killed when a step fails.
struct Building<'a> {
    init: Option<Cloned>,
    shared: Option<SharedPage>,
    plan: &'a Plan,
}

impl Building<'_> {
    #[allow(clippy::expect_used, reason = "set until `done`, which consumes self")]
    fn init(&self) -> &Cloned {
        self.init.as_ref().expect("taken by done only")
    }

    #[allow(clippy::expect_used, reason = "set until `done`, which consumes self")]
    fn shared(&self) -> &SharedPage {
        self.shared.as_ref().expect("taken by done only")
    }

    fn pid(&self) -> Pid {
        self.init().pid
    }

    fn pidfd(&self) -> BorrowedFd<'_> {
        self.init().pidfd.as_fd()
    }

    fn advance(&self, stage: Stage) {
        self.shared().advance(stage);
    }

    #[allow(clippy::expect_used, reason = "consumes self: each is taken once")]
    fn done(mut self) -> (Cloned, SharedPage) {
        (self.init.take().expect("taken here only"), self.shared.take().expect("taken here only"))
    }

    fn wait(&self, stage: Stage) -> Result<(), JailError> {
        loop {
            if self.shared().wait(stage, PATIENCE) {
                return if self.shared().failed() { Err(self.failure()) } else { Ok(()) };
            }
            let flags = WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT | WaitPidFlag::WEXITED;
            let state = nix::sys::wait::waitid(nix::sys::wait::Id::Pid(self.pid()), flags);
            if !matches!(state, Ok(WaitStatus::StillAlive)) && !self.shared().reached(stage) {
                return Err(JailError::Died);
            }
        }
    }

    fn failure(&self) -> JailError {
        let (step, errno) = failed_step(self.shared());
        let item = self.shared().item.load(Ordering::Relaxed) as usize;
        let plan = self.plan;
        let text = |bytes: &[u8]| Some(String::from_utf8_lossy(bytes).into_owned());
        let item = match step {
            None => return JailError::Died,
            Some(Step::Source | Step::Lower) => plan.sources.get(item).and_then(|s| text(s.path.as_bytes())),
            Some(Step::Plant) => plan.planted.get(item).and_then(|p| text(p.path.as_bytes())),
            Some(Step::Overlay) => plan.overlays.get(item).and_then(|o| text(&[b"/", o.target.as_bytes()].concat())),
            Some(Step::Bind) => plan.binds.get(item).and_then(|b| text(&[b"/", b.target.as_bytes()].concat())),
            Some(Step::Workdir) => text(plan.workdir.as_bytes()),
            Some(Step::Stage) => text(plan.stage.as_bytes()),
            Some(_) => (item > 0).then(|| format!("part {item}")),
        };
        JailError::Step { step: step.unwrap_or(Step::Handshake), item, errno }
    }
}

impl Drop for Building<'_> {
    fn drop(&mut self) {
        if let Some(init) = &self.init {
            let _ = rustix::process::pidfd_send_signal(&init.pidfd, rustix::process::Signal::KILL);
            let _ = nix::sys::wait::waitpid(init.pid, None);
        }
    }
}

fn failed_step(shared: &SharedPage) -> (Option<Step>, Errno) {
    (Step::from_number(shared.step.load(Ordering::Relaxed)), Errno::from_raw(shared.errno.load(Ordering::Relaxed)))
}

/// The namespace whose map shows the caller's own files as the subject's.
fn caller_namespace(map: Map, spec: &Spec) -> Result<Option<OwnedFd>, JailError> {
    let Map::Range { base } = map else { return Ok(None) };
    if spec.binds.is_empty() {
        return Ok(None);
    }
    let (uid, gid) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
    Map::caller_namespace(base, (uid, spec.user.uid), (gid, spec.user.gid))
}

/// Detached copies of the host paths, with owners as the jail is to see them.
fn sources(
    plan: &Plan,
    init: Pid,
    caller: Option<&OwnedFd>,
    notes: &mut Vec<String>,
) -> Result<Vec<OwnedFd>, JailError> {
    use rustix::mount::OpenTreeFlags;
    let own = clone::user_namespace(init)?;
    let mut trees = Vec::with_capacity(plan.sources.len());
    for source in &plan.sources {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let tree = rustix::mount::open_tree(rustix::fs::CWD, source.path.as_c_str(), flags).map_err(|errno| {
            JailError::Step {
                step: Step::Source,
                item: Some(source.path.to_string_lossy().into_owned()),
                errno: Errno::from_raw(errno.raw_os_error()),
            }
        })?;
        let namespace = match source.owners {
            Owners::Device => None,
            Owners::System => Some(&own),
            Owners::Caller => Some(caller.unwrap_or(&own)),
        };
        if let Some(namespace) = namespace
            && let Err(errno) = clone::idmap(tree.as_fd(), namespace.as_fd())
        {
            let path = source.path.to_string_lossy();
            notes.push(format!(
                "{path} lies on a file system without id-mapped mounts ({errno}): its files look like nobody's"
            ));
        }
        trees.push(tree);
    }
    Ok(trees)
}

fn send(socket: BorrowedFd<'_>, trees: &[OwnedFd]) -> Result<(), JailError> {
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(plan::MAX_SOURCES))];
    let mut control = rustix::net::SendAncillaryBuffer::new(&mut space);
    let descriptors: Vec<BorrowedFd<'_>> = trees.iter().map(AsFd::as_fd).collect();
    control.push(rustix::net::SendAncillaryMessage::ScmRights(&descriptors));
    rustix::net::sendmsg(socket, &[io::IoSlice::new(b"m")], &mut control, rustix::net::SendFlags::NOSIGNAL)
        .map(drop)
        .map_err(|errno| JailError::Parent { what: "hand the host's directories to the jail", cause: errno.into() })
}

/// A witness holds a few descriptors for each process it watches.
pub(crate) fn raise_descriptor_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
    {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard); // belljar works with less
    }
}

/// Whether a path of the host would be hidden from a subject unless it is shown on request.
pub fn is_hidden(path: &Path) -> bool {
    !system::parts().iter().any(|part| {
        let (system::Part::Directory(shown) | system::Part::Link(shown, _)) = part;
        path.starts_with(shown)
    })
}

/// Makes a user namespace and lets it go.
pub fn probe_user_namespace() -> Result<(), JailError> {
    clone::Holder::new().map(drop)
}

/// The time a session's events are counted from: `CLOCK_MONOTONIC` in nanoseconds.
pub fn monotonic_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}
