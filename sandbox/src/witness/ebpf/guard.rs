//! Keeps the ring from overflowing: when it is half full the subject is frozen where it stands, and goes on once most
//! of it has been read. Frozen tasks notice nothing but that time has passed.
//!
//! A thread of its own, since the reader may itself be waiting for the recording; it sleeps until the kernel's half
//! rings, and looks by itself now and then in case two processors passed the mark together.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use rustix::event::{Timespec, epoll};

use super::ring::Ring;
use crate::jail::Freezer;

/// How often the fill is looked at without being asked, while the subject runs and while it is frozen.
const ROUND: Timespec = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };
const FROZEN_ROUND: Timespec = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };

/// What the guard did.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) freezes: AtomicU64,
    pub(super) frozen_ns: AtomicU64,
}

/// The thread.
pub(super) fn run(
    ring: &Arc<Ring>,
    ring_fd: &OwnedFd,
    size: u32,
    freezer: &Freezer,
    stop: &AtomicBool,
    counts: &Counts,
) {
    let (high, low) = (u64::from(size) / 2, u64::from(size) / 8);
    let Ok(poll) = epoll::create(epoll::CreateFlags::CLOEXEC) else { return };
    let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
    if epoll::add(&poll, ring_fd.as_fd(), epoll::EventData::new_u64(0), flags).is_err() {
        return; // as without a freezer: losses are counted
    }
    let mut events: Vec<epoll::Event> = Vec::with_capacity(1);
    let mut frozen: Option<Instant> = None;
    while !stop.load(Ordering::Acquire) {
        events.clear();
        let round = if frozen.is_some() { FROZEN_ROUND } else { ROUND };
        let _ = epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), Some(&round));
        let fill = ring.fill();
        match frozen {
            None if fill >= high && freezer.set(true) => {
                counts.freezes.fetch_add(1, Ordering::Relaxed);
                frozen = Some(Instant::now());
            }
            Some(since) if fill <= low => {
                freezer.set(false);
                counts.frozen_ns.fetch_add(since.elapsed().as_nanos() as u64, Ordering::Relaxed);
                frozen = None;
            }
            _ => {}
        }
    }
    if let Some(since) = frozen {
        freezer.set(false);
        counts.frozen_ns.fetch_add(since.elapsed().as_nanos() as u64, Ordering::Relaxed);
    }
}
