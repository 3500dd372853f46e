//! The subject's terminal, off the path of its evidence: what it prints becomes events (and
//! `terminal.cast`), what belljar is given on standard input is passed on.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use belljar_sandbox::event::{Event, Kind, ObjectKind, ProcessKey, Queue, Witness};
use belljar_sandbox::jail::monotonic_ns;
use rustix::event::{PollFd, PollFlags, Timespec};

/// The reader of the terminal's master side.
pub(super) struct Terminal {
    done: Arc<AtomicBool>,
    reader: JoinHandle<()>,
}

/// How often the reader looks whether the session is over.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };

impl Terminal {
    /// Starts reading. The master stays open until [`Terminal::finish`]: closing it would hang up
    /// on a subject that has closed its own side.
    pub(super) fn start(master: OwnedFd, queue: Arc<Queue>, start_ns: u64) -> std::io::Result<Self> {
        let done = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&done);
        let reader = std::thread::Builder::new().name("belljar-terminal".into()).spawn(move || read(master, &queue, start_ns, &ended))?;
        Ok(Self { done, reader })
    }

    /// Reads what is left and closes; the jail must be over.
    pub(super) fn finish(self) {
        self.done.store(true, Ordering::Release);
        // A reader that panicked has lost its screen, not the recording.
        let _ = self.reader.join();
    }
}

fn read(master: OwnedFd, queue: &Queue, start_ns: u64, done: &AtomicBool) {
    let mut master = File::from(master);
    let mut buffer = vec![0; 32 << 10];
    loop {
        let over = done.load(Ordering::Acquire);
        let mut poll = [PollFd::from_borrowed_fd(master.as_fd(), PollFlags::IN)];
        let ready = matches!(rustix::event::poll(&mut poll, Some(&LOOK)), Ok(n) if n > 0);
        let readable = ready && poll[0].revents().contains(PollFlags::IN);
        if readable {
            match master.read(&mut buffer) {
                Ok(n @ 1..) => {
                    let bytes = buffer.get(..n).unwrap_or_default();
                    let now = monotonic_ns().saturating_sub(start_ns);
                    let pushed = queue.push(|batch| {
                        let mut event = Event::new(now, Witness::Terminal, Kind::TerminalOutput, ProcessKey(0), 0);
                        event.object_kind = ObjectKind::Terminal;
                        event.object = batch.put(b"/dev/pts/0");
                        event.payload = batch.put(bytes);
                        event.payload_len = bytes.len() as u64;
                        batch.events.push(event);
                    });
                    if pushed.is_err() {
                        return;
                    }
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                _ => {}
            }
        }
        if over {
            return;
        }
        if ready && !readable {
            // Hung up: nobody has the terminal open now, but somebody may open it again.
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

/// Passes belljar's own standard input on until it ends, or nobody reads it any more. The thread
/// is not waited for: it may wait for input for ever.
pub(super) fn pass_stdin(to: OwnedFd) -> std::io::Result<()> {
    std::thread::Builder::new().name("belljar-stdin".into()).spawn(move || {
        let mut to = File::from(to);
        let mut from = std::io::stdin().lock();
        let mut buffer = [0; 8192];
        while let Ok(n @ 1..) = from.read(&mut buffer) {
            if to.write_all(buffer.get(..n).unwrap_or_default()).is_err() {
                return;
            }
        }
    })?;
    Ok(())
}
