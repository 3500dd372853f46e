//! The subject of a live screen: what the session tells of it, and what the analyst does to it. The session runs on a
//! thread of its own and is never waited for but at its end.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::ingest::Progress;
use crate::session::{Controls, Status};

/// Most notes kept.
const NOTES: usize = 100;

/// The session behind a live screen.
#[derive(Debug, Default)]
pub struct Live {
    /// What is done to the subject.
    pub controls: Arc<Controls>,
    ended: AtomicBool,
    changed: AtomicBool,
    events: AtomicU64,
    lost: AtomicU64,
    failed: AtomicBool,
    notes: Mutex<Vec<String>>,
}

impl Live {
    /// For a screen that shows what the subject prints.
    pub fn shown() -> Self {
        Self { controls: Arc::new(Controls::shown()), ..Self::default() }
    }

    /// Takes what the session tells.
    pub fn tell(&self, status: &Status<'_>) {
        match status {
            Status::Progress(progress) => self.progress(*progress),
            Status::Note(note) | Status::Detail(note) => {
                let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
                if notes.len() < NOTES {
                    notes.push(crate::redact::plain(note.as_bytes()));
                }
            }
        }
        self.changed.store(true, Ordering::Relaxed);
    }

    fn progress(&self, progress: Progress) {
        self.events.store(progress.events, Ordering::Relaxed);
        self.lost.store(progress.lost, Ordering::Relaxed);
        self.failed.store(progress.failed, Ordering::Relaxed);
    }

    /// The session is over.
    pub fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.changed.store(true, Ordering::Relaxed);
    }

    /// Whether it goes on.
    pub fn alive(&self) -> bool {
        !self.ended.load(Ordering::Acquire)
    }

    /// Whether the subject stands frozen.
    pub fn frozen(&self) -> bool {
        self.alive() && self.controls.frozen()
    }

    /// Whether something was told since the last time this was asked.
    pub fn changed(&self) -> bool {
        self.changed.swap(false, Ordering::Relaxed)
    }

    /// Events numbered, lost, and whether the recording was given up.
    pub fn counts(&self) -> (u64, u64, bool) {
        (self.events.load(Ordering::Relaxed), self.lost.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed))
    }

    /// What the subject has printed since the last time this was asked.
    pub fn output(&self) -> Option<Vec<u8>> {
        self.controls.output()
    }

    /// What the session said of itself.
    pub fn notes(&self) -> Vec<String> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
