//! Where the witness's threads put what they saw: the queue, the session's clock, the counts.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::event::{Batch, Queue};
use crate::witness::Stats;

/// The counts, as the threads keep them.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub calls: AtomicU64,
    pub performed: AtomicU64,
    pub payloads_cut: AtomicU64,
    pub memory_failed: AtomicU64,
    pub stale: AtomicU64,
    pub killed: AtomicU64,
    pub unknown_numbers: AtomicU64,
    pub names_unknown: AtomicU64,
    pub callers_unknown: AtomicU64,
    pub descriptors_short: AtomicU64,
    pub lost: AtomicU64,
    pub internal_errors: AtomicU64,
    pub refused: Mutex<BTreeMap<&'static str, u64>>,
    pub error: Mutex<Option<String>>,
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Where the threads put what they saw.
pub(super) struct Sink {
    queue: Arc<Queue>,
    start_ns: u64,
    pub counters: Counters,
}

impl Sink {
    pub(super) fn new(queue: Arc<Queue>, start_ns: u64) -> Self {
        Self { queue, start_ns, counters: Counters::default() }
    }

    /// Nanoseconds since the session began.
    pub(super) fn now(&self) -> u64 {
        crate::jail::monotonic_ns().saturating_sub(self.start_ns)
    }

    /// Lets `fill` append events; it is told the time.
    pub(super) fn push(&self, fill: impl FnOnce(&mut Batch, u64)) {
        let now = self.now();
        if self.queue.push(|batch| fill(batch, now)).is_err() {
            count(&self.counters.lost);
        }
    }

    pub(super) fn stats(&self) -> Stats {
        let c = &self.counters;
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            calls: get(&c.calls),
            refused: c.refused.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            performed: get(&c.performed),
            payloads_cut: get(&c.payloads_cut),
            memory_failed: get(&c.memory_failed),
            stale: get(&c.stale),
            killed: get(&c.killed),
            unknown_numbers: get(&c.unknown_numbers),
            names_unknown: get(&c.names_unknown),
            callers_unknown: get(&c.callers_unknown),
            descriptors_short: get(&c.descriptors_short),
            lost: get(&c.lost),
            internal_errors: get(&c.internal_errors),
            error: c.error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            ..Stats::default()
        }
    }
}
