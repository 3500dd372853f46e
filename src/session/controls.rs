//! What the analyst does to a subject that runs: type into its terminal, freeze it, end it. The session takes it up
//! when it next looks at its clock, and writes into the recording that it was the analyst's doing.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::termios::{Winsize, tcsetwinsize};

/// Most output kept for a screen that does not fetch it; what is older is in the recording.
const KEPT: usize = 4 << 20;

/// A hand on the subject.
#[derive(Debug, Default)]
pub struct Controls {
    kill: AtomicBool,
    /// Wanted, and so.
    freeze: AtomicBool,
    frozen: AtomicBool,
    terminal: Mutex<Option<File>>,
    /// Columns and rows wanted, until the session has noted them.
    size: Mutex<Option<(u16, u16)>>,
    /// Whether anybody fetches output.
    shown: AtomicBool,
    output: Mutex<Vec<u8>>,
}

fn lock<T>(place: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Plain values: whoever panicked has left them as they are.
    place.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Controls {
    /// For a screen that shows what the subject prints, and fetches it.
    pub fn shown() -> Self {
        Self { shown: AtomicBool::new(true), ..Self::default() }
    }

    /// Asks for the subject's end.
    pub fn end(&self) {
        self.kill.store(true, Ordering::Release);
    }

    /// Asks for the subject to stand still, or to go on.
    pub fn freeze(&self, frozen: bool) {
        self.freeze.store(frozen, Ordering::Release);
    }

    /// Whether the subject stands still.
    pub fn frozen(&self) -> bool {
        self.frozen.load(Ordering::Acquire)
    }

    /// Types into the subject's terminal. Errors when there is none, or it takes no more at the moment.
    pub fn type_in(&self, bytes: &[u8]) -> io::Result<()> {
        match &mut *lock(&self.terminal) {
            Some(terminal) => terminal.write_all(bytes),
            None => Err(io::Error::other("its terminal is closed")),
        }
    }

    /// Gives the subject's terminal another size; it is told by SIGWINCH.
    pub fn resize(&self, columns: u16, rows: u16) -> io::Result<()> {
        let Some(terminal) = &*lock(&self.terminal) else { return Ok(()) };
        tcsetwinsize(terminal, Winsize { ws_col: columns, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 })?;
        *lock(&self.size) = Some((columns, rows));
        Ok(())
    }

    /// What was printed since the last time this was asked.
    pub fn output(&self) -> Option<Vec<u8>> {
        let mut output = lock(&self.output);
        (!output.is_empty()).then(|| std::mem::take(&mut *output))
    }

    pub(super) fn printed(&self, bytes: &[u8]) {
        if self.shown.load(Ordering::Relaxed) {
            let mut output = lock(&self.output);
            if output.len() + bytes.len() > KEPT {
                output.clear();
            }
            output.extend_from_slice(bytes);
        }
    }

    pub(super) fn open(&self, terminal: OwnedFd) {
        // A subject that does not read must not hold up the screen. The reader waits by `poll` and minds nothing.
        if let Ok(flags) = rustix::fs::fcntl_getfl(&terminal) {
            let _ = rustix::fs::fcntl_setfl(&terminal, flags | rustix::fs::OFlags::NONBLOCK);
        }
        *lock(&self.terminal) = Some(File::from(terminal));
    }

    pub(super) fn close(&self) {
        *lock(&self.terminal) = None;
    }

    pub(super) fn kill_wanted(&self) -> bool {
        self.kill.load(Ordering::Acquire)
    }

    /// What is wanted of the freezer, when it is not so already.
    pub(super) fn freeze_wanted(&self) -> Option<bool> {
        let wanted = self.freeze.load(Ordering::Acquire);
        (wanted != self.frozen()).then_some(wanted)
    }

    pub(super) fn set_frozen(&self, frozen: bool) {
        self.frozen.store(frozen, Ordering::Release);
        self.freeze.store(frozen, Ordering::Release);
    }

    pub(super) fn new_size(&self) -> Option<(u16, u16)> {
        lock(&self.size).take()
    }
}
