//! The gate: the part of notify that decides, when another witness does the watching. It traps what the jail's baseline
//! refuses and nothing else, answers, and records nothing: the witness sees what the caller was answered.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use super::NotifyError;
use super::filter::{ARCH_I386, ARCH_X86_64, X32_BIT};
use super::kernel::{self, Answer};
use super::receiver::{is_left, kill};
use crate::event::Abi;
use crate::witness::syscalls::{self, Watch};

/// Answers the calls that [`super::gate_program`] traps.
pub struct Gate {
    thread: JoinHandle<()>,
    killed: Arc<AtomicU64>,
}

impl Gate {
    /// Starts answering. Trapped calls have waited until now.
    pub fn start(listener: OwnedFd) -> Result<Self, NotifyError> {
        let killed = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&killed);
        let name = "belljar-gate";
        let thread = std::thread::Builder::new()
            .name(name.into())
            .spawn(move || answer_all(&listener, &counter))
            .map_err(|cause| NotifyError::Thread { name, cause })?;
        Ok(Self { thread, killed })
    }

    /// Waits until no task is left under the filter; gives how many processes were killed because they called by an
    /// interface that cannot be watched.
    pub fn finish(self) -> u64 {
        // A panic can only have come from the last answer; the jail is over all the same.
        let _ = self.thread.join();
        self.killed.load(Ordering::Relaxed)
    }
}

fn answer_all(listener: &OwnedFd, killed: &AtomicU64) {
    let told_of_end = super::kernel_is_at_least(6, 11);
    let mut notification = kernel::empty_notification();
    loop {
        if !told_of_end && is_left(listener.as_fd(), -1) {
            return;
        }
        match kernel::receive(listener.as_fd(), &mut notification) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(libc::EINTR) => continue,
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) && !is_left(listener.as_fd(), 0) => continue,
            Err(_) => return,
        }
        let answer = decide(&notification, killed);
        // Its caller may have been killed meanwhile.
        let _ = kernel::respond(listener.as_fd(), notification.id, answer);
    }
}

fn decide(notification: &libc::seccomp_notif, killed: &AtomicU64) -> Answer {
    let nr = notification.data.nr as u32;
    let abi = match notification.data.arch {
        ARCH_X86_64 if nr & X32_BIT == 0 => Abi::X86_64,
        ARCH_I386 => Abi::I386,
        _ => {
            killed.fetch_add(1, Ordering::Relaxed);
            kill(notification.pid as i32);
            return Answer::Return(-i64::from(libc::ENOSYS));
        }
    };
    match syscalls::lookup(abi, nr).map(|call| call.watch) {
        Some(Watch::Refused(errno)) => Answer::Return(-i64::from(errno)),
        Some(_) => Answer::Continue,
        None => Answer::Return(-i64::from(libc::ENOSYS)),
    }
}
