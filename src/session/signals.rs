//! Ctrl-C and its like, taken as data: the session looks at them when it is ready to.

use std::io;

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// The signals that ask belljar to end, blocked for this thread and those it starts.
pub(super) struct Signals {
    before: SigSet,
    fd: SignalFd,
    seen: bool,
}

impl Signals {
    /// Blocks them; call this before other threads are started. Dropping it gives them back.
    pub(super) fn block() -> io::Result<Self> {
        let mut set = SigSet::empty();
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
            set.add(signal);
        }
        let before = SigSet::thread_get_mask()?;
        set.thread_block()?;
        let fd = SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        Ok(Self { before, fd, seen: false })
    }

    /// Whether one has come.
    pub(super) fn interrupted(&mut self) -> bool {
        while let Ok(Some(_)) = self.fd.read_signal() {
            self.seen = true;
        }
        self.seen
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        // The mask was valid before; setting it again cannot fail.
        let _ = self.before.thread_set_mask();
    }
}
