//! The notify witness: system calls seen through seccomp user notification.
//!
//! It needs no privilege. [`program`] is the filter that the jail's first process installs; its listener goes to
//! [`Notify::start`], which receives every trapped call on a thread of its own, reads what the call is about from the
//! outside, records it as an [`Event`] and answers it. A second thread learns of the ends of processes.

pub(super) mod assets;
mod decode;
mod filter;
mod gate;
mod kernel;
mod memory;
mod minder;
mod perform;
mod proc;
mod receiver;
mod sink;
mod sockets;
mod tasks;

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::thread::JoinHandle;

pub use filter::{gate_program, program};
pub use gate::Gate;

use crate::decoy::Asset;
use crate::event::{Event, Queue};
use crate::witness::Stats;
use crate::witness::paths::Resolver;
use crate::witness::plan::Plans;
use decode::Parts;
use sink::Sink;

/// What the witness works with.
pub struct Context {
    /// The listener of the filter made by [`program`].
    pub listener: OwnedFd,
    /// Host process id of the jail's first process, which is [`ProcessKey`](crate::event::ProcessKey) 0.
    pub init_pid: i32,
    /// `CLOCK_MONOTONIC` at the session's start, in nanoseconds.
    pub start_ns: u64,
    /// Most bytes of one call's payload that are read.
    pub capture: usize,
    /// The planted data: what is read of it is read by the witness too.
    pub assets: Vec<Asset>,
    /// Where the events go.
    pub queue: Arc<Queue>,
}

/// Why the witness could not start.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    /// `/proc` does not show the jail.
    #[error("cannot look at the jail's first process {pid} in /proc ({cause}); mount /proc without hidepid")]
    Proc {
        /// Host id of that process.
        pid: i32,
        /// What the kernel said.
        cause: rustix::io::Errno,
    },
    /// No epoll descriptor.
    #[error("cannot make an epoll descriptor ({0}); raise the limit on open files (ulimit -n)")]
    Epoll(rustix::io::Errno),
    /// No thread.
    #[error(
        "cannot start the thread `{name}` of the notify witness ({cause}); raise the limit on processes (ulimit -u)"
    )]
    Thread {
        /// Which of its threads.
        name: &'static str,
        /// What the kernel said.
        cause: std::io::Error,
    },
}

/// The witness at work.
pub struct Notify {
    sink: Arc<Sink>,
    receiver: JoinHandle<()>,
    minder: JoinHandle<()>,
}

impl Notify {
    /// Starts receiving. Trapped calls have waited until now.
    pub fn start(context: Context) -> Result<Self, NotifyError> {
        let Context { listener, init_pid, start_ns, capture, assets, queue } = context;
        crate::jail::raise_descriptor_limit();
        kernel::set_sync_wake_up(listener.as_fd());
        let listener = Arc::new(listener);
        let sink = Arc::new(Sink::new(queue, start_ns));
        let minder = Arc::new(minder::Minder::new(Arc::clone(&sink)).map_err(NotifyError::Epoll)?);
        let resolver = Resolver::new(init_pid).map_err(|cause| NotifyError::Proc { pid: init_pid, cause })?;
        let receiver = receiver::Receiver {
            init_pid,
            books: tasks::Books::new(init_pid, capture, Arc::clone(&minder), Arc::clone(&sink)),
            decoder: decode::Decoder::new(resolver, assets::Assets::new(&assets), capture),
            performer: perform::Performer::new(Arc::clone(&listener), Arc::clone(&sink)),
            plans: Plans::new(),
            parts: Parts::default(),
            told_of_end: kernel_is_at_least(6, 11),
            listener,
            sink: Arc::clone(&sink),
            minder: Arc::clone(&minder),
        };
        let spawn = |name: &'static str, run: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new()
                .name(name.into())
                .spawn(run)
                .map_err(|cause| NotifyError::Thread { name, cause })
        };
        let stopping = Arc::clone(&minder);
        let minder = spawn("belljar-minder", Box::new(move || minder.run()))?;
        let receiver = spawn("belljar-notify", Box::new(move || receiver.run())).inspect_err(|_| stopping.stop())?;
        Ok(Self { sink, receiver, minder })
    }

    /// What has been counted so far.
    pub fn stats(&self) -> Stats {
        self.sink.stats()
    }

    /// Waits until no task is left under the filter, and gives the last counts. The jail must be ending.
    pub fn finish(self) -> Stats {
        let ends = [self.receiver.join(), self.minder.join()];
        let mut stats = self.sink.stats();
        if ends.iter().any(Result::is_err) {
            stats
                .error
                .get_or_insert_with(|| "a thread of the notify witness failed; its last events are missing".into());
        }
        stats
    }
}

/// Puts a call and its parts into the queue.
fn record(sink: &Sink, event: Event, parts: &Parts) {
    sink.push(|batch, time_ns| {
        let object = batch.put(&parts.object.bytes);
        let target = batch.put(&parts.target.bytes);
        let detail = batch.put(&parts.detail);
        let payload = batch.put(&parts.payload);
        batch.events.push(Event {
            time_ns,
            object_kind: parts.object.kind,
            object,
            target_kind: parts.target.kind,
            target,
            detail,
            payload,
            payload_len: parts.payload_len,
            ..event
        });
    });
}

/// Whether the running kernel is at least `major.minor`.
fn kernel_is_at_least(major: u32, minor: u32) -> bool {
    let name = rustix::system::uname();
    let release = name.release().to_string_lossy();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (major, minor)
}
