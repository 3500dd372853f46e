//! The page that belljar and the jail's first processes share while the jail is built.
//!
//! The child may not allocate, and once its system-call filter is on it may not even write to a
//! pipe before somebody listens. Plain memory and futexes (which are never trapped) carry the
//! little that must be said: how far it is, what failed, which descriptors to fetch.

use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use std::time::Duration;

use rustix::thread::futex;

/// How far the jail is. Only ever grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub(crate) enum Stage {
    /// The parent has written the maps.
    Mapped = 1,
    /// The parent has put pid 1 into the session's control groups: it may have children.
    Adopted = 2,
    /// The subject's process stands ready, its filter installed; descriptors can be fetched.
    Ready = 3,
    /// The parent listens: the subject may be executed.
    Go = 4,
    /// Pid 1 holds nothing any more that the subject could take.
    Sealed = 5,
    /// The subject's first process has ended; `status` holds its wait status.
    Ended = 6,
    /// A step failed.
    Failed = 7,
}

/// What the two sides share.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Shared {
    stage: AtomicU32,
    /// [`super::error::Step`] that failed.
    pub step: AtomicU32,
    /// Which item of the step (an index of the plan's list).
    pub item: AtomicU32,
    /// Its errno.
    pub errno: AtomicI32,
    /// Process id of the subject in the jail.
    pub subject: AtomicI32,
    /// Wait status of the subject's first process.
    pub status: AtomicI32,
    /// Descriptor numbers in the subject's process.
    pub listener: AtomicI32,
}

impl Shared {
    /// How far it is, as a number of [`Stage`].
    pub(crate) fn reached(&self, stage: Stage) -> bool {
        self.stage.load(Ordering::Acquire) >= stage as u32
    }

    /// Whether a step failed.
    pub(crate) fn failed(&self) -> bool {
        self.stage.load(Ordering::Acquire) == Stage::Failed as u32
    }

    /// Moves on, and wakes whoever waits.
    pub(crate) fn advance(&self, stage: Stage) {
        self.stage.fetch_max(stage as u32, Ordering::AcqRel);
        // Waking nobody is no error, and there is nothing to be done about a failed wake.
        let _ = futex::wake(&self.stage, futex::Flags::empty(), u32::MAX >> 1);
    }

    /// Waits until `stage` is reached, at most `timeout`. Returns whether it is.
    pub(crate) fn wait(&self, stage: Stage, timeout: Duration) -> bool {
        let now = self.stage.load(Ordering::Acquire);
        if now < stage as u32 {
            let timeout =
                futex::Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: i64::from(timeout.subsec_nanos()) };
            // Woken, timed out or changed meanwhile: the caller looks again in every case.
            let _ = futex::wait(&self.stage, futex::Flags::empty(), now, Some(&timeout));
        }
        self.reached(stage)
    }
}
