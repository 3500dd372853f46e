//! The queue between the witnesses and ingest.
//!
//! Producers append to one shared batch under a lock that is almost never contended; the consumer
//! swaps the whole batch out for an empty one. A full queue makes the producer wait, and with it
//! the subject: nothing is ever dropped here. Memory is bounded by [`Queue::new`]'s limits times
//! two (one batch being filled, one being worked on).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Batch;

/// The consumer has gone: nobody will take what is pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the recording has ended; no further event is taken")]
pub struct Closed;

#[derive(Default)]
struct State {
    batch: Batch,
    closed: bool,
}

/// A bounded hand-over of events; share it with an `Arc`.
pub struct Queue {
    state: Mutex<State>,
    filled: Condvar,
    emptied: Condvar,
    max_events: usize,
    max_bytes: usize,
    told: AtomicU64,
}

impl Queue {
    /// A queue that holds at most about `max_events` events and `max_bytes` bytes of arena
    /// (exceeded by at most one event's worth).
    pub fn new(max_events: usize, max_bytes: usize) -> Self {
        Self {
            state: Mutex::new(State::default()),
            filled: Condvar::new(),
            emptied: Condvar::new(),
            max_events: max_events.max(1),
            max_bytes: max_bytes.max(1),
            told: AtomicU64::new(u64::MAX),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A producer that panicked leaves at worst an event without bytes: still worth keeping.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets `fill` append events and their bytes. Waits while the queue is full.
    pub fn push<R>(&self, fill: impl FnOnce(&mut Batch) -> R) -> Result<R, Closed> {
        let mut state = self.lock();
        while !state.closed
            && (state.batch.events.len() >= self.max_events || state.batch.arena.len() >= self.max_bytes)
        {
            state = self.emptied.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.closed {
            return Err(Closed);
        }
        let result = fill(&mut state.batch);
        // The consumer polls by time; it is woken early only when the batch is worth it.
        if self.is_half(&state.batch) {
            self.filled.notify_one();
        }
        Ok(result)
    }

    /// Swaps what has come into `batch` (which is emptied first). Waits up to `timeout` for the
    /// queue to be half full, so that a quiet session still moves on in time. Returns `false`
    /// when the queue is closed and empty: there will be no more.
    pub fn take(&self, batch: &mut Batch, timeout: Duration) -> bool {
        batch.clear();
        let mut state = self.lock();
        if !state.closed && !self.is_half(&state.batch) {
            state = self
                .filled
                .wait_timeout_while(state, timeout, |s| !s.closed && !self.is_half(&s.batch))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        std::mem::swap(&mut state.batch, batch);
        let more = !state.closed || !batch.events.is_empty();
        drop(state);
        self.emptied.notify_all();
        more
    }

    /// Whether the queue is half full: who could wait should. What is left is for those who cannot.
    pub fn is_half_full(&self) -> bool {
        let state = self.lock();
        !state.closed && self.is_half(&state.batch)
    }

    fn is_half(&self, batch: &Batch) -> bool {
        batch.events.len() * 2 >= self.max_events || batch.arena.len() * 2 >= self.max_bytes
    }

    /// For the witness of calls, where it tells late: every call that ended before `time_ns` (from the session's start)
    /// is in the queue, or was. Unless this is said, it tells at once.
    pub fn has_told(&self, time_ns: u64) {
        self.told.store(time_ns, Ordering::Release);
    }

    /// Up to when the witness of calls has told all, in nanoseconds from the session's start. Asked before
    /// [`Queue::take`], it is true of what was taken.
    pub fn told(&self) -> u64 {
        self.told.load(Ordering::Acquire)
    }

    /// No more events will come: producers get [`Closed`], the consumer drains what is left.
    pub fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_all();
        self.emptied.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Event, Kind, ProcessKey, Witness};
    use super::*;
    use std::sync::Arc;

    fn push(queue: &Queue, n: u64) -> Result<(), Closed> {
        queue.push(|batch| {
            let payload = batch.put(&n.to_le_bytes());
            batch.events.push(Event { payload, ..Event::new(n, Witness::Jail, Kind::Notice, ProcessKey(0), 0) });
        })
    }

    #[test]
    fn a_full_queue_waits_and_loses_nothing() {
        let queue = Arc::new(Queue::new(16, 1 << 20));
        let producer = {
            let queue = Arc::clone(&queue);
            std::thread::spawn(move || {
                for n in 0..10_000 {
                    push(&queue, n).expect("open until the last one");
                }
                queue.close();
            })
        };
        let (mut batch, mut seen) = (Batch::default(), 0);
        while queue.take(&mut batch, Duration::from_millis(1)) {
            for event in &batch.events {
                assert_eq!(event.time_ns, seen);
                assert_eq!(batch.bytes(event.payload), seen.to_le_bytes());
                seen += 1;
            }
            assert!(batch.events.len() <= 16);
        }
        producer.join().expect("producer");
        assert_eq!(seen, 10_000);
    }

    #[test]
    fn a_closed_queue_refuses() {
        let queue = Queue::new(4, 64);
        queue.close();
        assert_eq!(push(&queue, 1), Err(Closed));
        assert!(!queue.take(&mut Batch::default(), Duration::from_mins(1)));
    }
}
