//! Knows when processes end: a thread that waits on one pidfd for each process of the session.
//!
//! A process's end is no call that could be trapped (it may be killed), and its id may be given to another at once,
//! so the books must hear of it from the kernel.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};

use super::sink::Sink;
use super::{kernel, proc};
use crate::event::{Event, Kind, ProcessKey};

/// How often processes without a pidfd are looked at.
const ROUND: Duration = Duration::from_millis(250);
/// How long the last processes of a session may take from leaving the filter to being dead.
const PATIENCE: Duration = Duration::from_secs(2);

/// What epoll says when it is the bell that rang: no process has this key.
const BELL: u64 = u64::MAX;

/// One process whose end is awaited.
struct Minded {
    tgid: i32,
    start: u64,
    /// `None` when there was no descriptor left for one.
    pidfd: Option<Arc<OwnedFd>>,
    /// The argument of the `exit_group` it was seen to call, as a wait status.
    announced: Option<u64>,
}

/// Shared between the receiver, which tells of new processes, and the minder's own thread.
pub(super) struct Minder {
    epoll: OwnedFd,
    /// Rung to be heard at once: the end of a session must not wait for a round.
    bell: OwnedFd,
    minded: Mutex<HashMap<ProcessKey, Minded>>,
    ended: Mutex<Vec<(i32, ProcessKey)>>,
    any_ended: AtomicBool,
    stop: AtomicBool,
    sink: Arc<Sink>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Minder {
    pub(super) fn new(sink: Arc<Sink>) -> rustix::io::Result<Self> {
        let (epoll, bell) = (epoll::create(epoll::CreateFlags::CLOEXEC)?, eventfd(0, EventfdFlags::CLOEXEC)?);
        epoll::add(&epoll, &bell, epoll::EventData::new_u64(BELL), epoll::EventFlags::IN | epoll::EventFlags::ET)?;
        Ok(Self {
            epoll,
            bell,
            minded: Mutex::default(),
            ended: Mutex::default(),
            any_ended: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            sink,
        })
    }

    /// Takes on a new process.
    pub(super) fn mind(&self, key: ProcessKey, tgid: i32, start: u64, pidfd: Option<Arc<OwnedFd>>) {
        let descriptor = pidfd.clone();
        lock(&self.minded).insert(key, Minded { tgid, start, pidfd, announced: None });
        if let Some(pidfd) = descriptor {
            let data = epoll::EventData::new_u64(u64::from(key.0));
            if epoll::add(&self.epoll, &*pidfd, data, epoll::EventFlags::IN).is_err() {
                // It is looked at each round instead.
                if let Some(minded) = lock(&self.minded).get_mut(&key) {
                    minded.pidfd = None;
                }
            }
        }
    }

    /// A process was seen to call `exit_group(code)`.
    pub(super) fn announce(&self, key: ProcessKey, code: u64) {
        if let Some(minded) = lock(&self.minded).get_mut(&key) {
            minded.announced = Some((code & 0xff) << 8);
        }
    }

    /// The processes that have ended since this was last asked.
    pub(super) fn take_ended(&self) -> Vec<(i32, ProcessKey)> {
        if self.any_ended.swap(false, Ordering::Acquire) { std::mem::take(&mut *lock(&self.ended)) } else { Vec::new() }
    }

    /// No process will be added: the thread ends when those it has are dead, or do not die.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        // Cannot fail with a counter that is rung once; if it did, a round would notice.
        let _ = rustix::io::write(&self.bell, &1u64.to_ne_bytes());
    }

    /// The thread.
    pub(super) fn run(&self) {
        let mut events: Vec<epoll::Event> = Vec::with_capacity(64);
        let mut deadline = None;
        loop {
            let round = Timespec { tv_sec: 0, tv_nsec: ROUND.subsec_nanos().into() };
            events.clear();
            let _ = epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&round));
            for event in &events {
                // Copied out of the packed structure.
                let data = event.data;
                if data.u64() != BELL {
                    self.end(ProcessKey(data.u64() as u32));
                }
            }
            if events.is_empty() {
                self.look_at_the_rest();
            }
            if self.stop.load(Ordering::Acquire) {
                let deadline = *deadline.get_or_insert_with(|| Instant::now() + PATIENCE);
                if lock(&self.minded).is_empty() || Instant::now() > deadline {
                    return;
                }
            }
        }
    }

    /// Processes that there was no descriptor for.
    fn look_at_the_rest(&self) {
        let gone: Vec<ProcessKey> = lock(&self.minded)
            .iter()
            .filter(|(_, minded)| minded.pidfd.is_none())
            .filter(|(_, minded)| {
                proc::stat(rustix::fs::CWD, &format!("/proc/{}/stat", minded.tgid))
                    .is_none_or(|stat| stat.start != minded.start || stat.state == b'Z')
            })
            .map(|(key, _)| *key)
            .collect();
        for key in gone {
            self.end(key);
        }
    }

    fn end(&self, key: ProcessKey) {
        let Some(minded) = lock(&self.minded).remove(&key) else { return };
        let mut status = None;
        // Waited for already: the pidfd knows (Linux 6.15). Not yet: it is a zombie that /proc shows.
        if let Some(pidfd) = &minded.pidfd {
            let _ = epoll::delete(&self.epoll, &**pidfd);
            status = kernel::exit_status(pidfd.as_fd());
        }
        if status.is_none() {
            status = proc::stat(rustix::fs::CWD, &format!("/proc/{}/stat", minded.tgid))
                .filter(|stat| stat.start == minded.start && stat.state == b'Z')
                .and_then(|stat| stat.exit_code);
        }
        if status.is_none() {
            status = minded.pidfd.as_ref().and_then(|pidfd| kernel::exit_status(pidfd.as_fd()));
        }
        let status = match (status, minded.announced) {
            // A reader that may not trace is shown 0.
            (Some(0) | None, Some(announced)) => announced,
            (Some(status), _) => u64::from(status as u32),
            (None, None) => u64::MAX,
        };
        self.sink.push(|batch, time_ns| {
            batch.events.push(Event {
                args: [status, 0, 0, 0, 0, 0],
                ..Event::new(time_ns, crate::event::Witness::Notify, Kind::ProcessEnd, key, 0)
            });
        });
        lock(&self.ended).push((minded.tgid, key));
        self.any_ended.store(true, Ordering::Release);
    }
}
