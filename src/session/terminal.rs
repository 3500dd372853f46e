//! The subject's terminal, off the path of its evidence: what it prints becomes events (and
//! `terminal.cast`), what belljar is given on standard input is passed on.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::thread::JoinHandle;

use super::Controls;
use belljar_sandbox::event::{Closed, Event, Kind, ObjectKind, ProcessKey, Queue, Witness};
use belljar_sandbox::jail::monotonic_ns;
use rustix::event::{PollFd, PollFlags, Timespec};

/// The reader of the terminal's master side.
pub(super) struct Terminal {
    /// Its other end hangs up when this is dropped.
    done: OwnedFd,
    reader: JoinHandle<()>,
}

/// How long the reader waits when nobody has the terminal open, before it looks again.
const HUNG_UP: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };

impl Terminal {
    /// Starts reading. The master stays open until [`Terminal::finish`]: closing it would hang up
    /// on a subject that has closed its own side.
    pub(super) fn start(
        master: OwnedFd,
        queue: Arc<Queue>,
        controls: Arc<Controls>,
        start_ns: u64,
    ) -> std::io::Result<Self> {
        let (ended, done) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        let reader = std::thread::Builder::new()
            .name("belljar-terminal".into())
            .spawn(move || read(master, &queue, &controls, start_ns, &ended))?;
        Ok(Self { done, reader })
    }

    /// Reads what is left and closes; the jail must be over.
    pub(super) fn finish(self) {
        drop(self.done);
        // A reader that panicked has lost its screen, not the recording.
        let _ = self.reader.join();
    }
}

fn read(master: OwnedFd, queue: &Queue, controls: &Controls, start_ns: u64, ended: &OwnedFd) {
    let mut master = File::from(master);
    let mut buffer = vec![0; 32 << 10];
    loop {
        let mut poll = [PollFd::from_borrowed_fd(master.as_fd(), PollFlags::IN), PollFd::new(ended, PollFlags::IN)];
        if rustix::event::poll(&mut poll, None).is_err() {
            continue; // interrupted
        }
        let [screen, end] = poll.map(|fd| fd.revents());
        if screen.contains(PollFlags::IN) {
            match master.read(&mut buffer) {
                Ok(n @ 1..) => {
                    let bytes = buffer.get(..n).unwrap_or_default();
                    controls.printed(bytes);
                    if push(queue, start_ns, bytes).is_err() {
                        return;
                    }
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                _ => {}
            }
        }
        // Only when nothing is left to read.
        if end.contains(PollFlags::HUP) {
            return;
        }
        // Hung up: nobody has the terminal open now, but somebody may open it again.
        let _ = rustix::event::poll(&mut [PollFd::new(ended, PollFlags::IN)], Some(&HUNG_UP));
    }
}

fn push(queue: &Queue, start_ns: u64, bytes: &[u8]) -> Result<(), Closed> {
    let now = monotonic_ns().saturating_sub(start_ns);
    queue.push(|batch| {
        let mut event = Event::new(now, Witness::Terminal, Kind::TerminalOutput, ProcessKey(0), 0);
        event.object_kind = ObjectKind::Terminal;
        event.object = batch.put(b"/dev/pts/0");
        event.payload = batch.put(bytes);
        event.payload_len = bytes.len() as u64;
        batch.events.push(event);
    })
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
