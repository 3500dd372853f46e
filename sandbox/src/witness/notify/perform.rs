//! Calls performed on the subject's behalf: connects and sends that lead out of the jail.
//!
//! Done on a copy of the subject's socket with a copied address, so what is recorded is what happened, whatever the
//! subject does to its memory meanwhile. The receiver never waits: a connect that may block goes to a thread of its
//! own, and when there are too many of those the call is left to the subject and marked as observed.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::decode::Parts;
use super::kernel::{self, Answer};
use super::record;
use super::sink::{Sink, count};
use super::sockets;
use crate::event::{Authority, Event, ObjectKind};
use crate::witness::address;

/// Most connects that wait at once.
const WAITING_MAX: usize = 64;

/// What came of trying to perform a call.
pub(super) enum Outcome {
    /// It was done, with this result.
    Done(i64),
    /// It is being done elsewhere, which will record and answer it.
    Waiting,
    /// It is left to the subject.
    Left,
}

/// The connects that wait.
pub(super) struct Performer {
    listener: Arc<OwnedFd>,
    sink: Arc<Sink>,
    waiting: Arc<Mutex<HashMap<u64, Arc<OwnedFd>>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Performer {
    pub(super) fn new(listener: Arc<OwnedFd>, sink: Arc<Sink>) -> Self {
        Self { listener, sink, waiting: Arc::default() }
    }

    /// Connects for the subject. `event` is what will be recorded of it, with `parts`.
    pub(super) fn connect(&self, socket: OwnedFd, id: u64, event: Event, parts: &mut Parts) -> Outcome {
        if !address::leads_out(&parts.address) || !sockets::is_inet(&socket) {
            return Outcome::Left;
        }
        if sockets::is_datagram(&socket) || sockets::is_nonblocking(&socket) {
            return Outcome::Done(kernel::connect(socket.as_fd(), &parts.address));
        }
        let socket = Arc::new(socket);
        {
            let mut waiting = lock(&self.waiting);
            if waiting.len() >= WAITING_MAX {
                return Outcome::Left;
            }
            waiting.insert(id, Arc::clone(&socket));
        }
        let (listener, sink, waiting) = (Arc::clone(&self.listener), Arc::clone(&self.sink), Arc::clone(&self.waiting));
        let own = std::mem::take(parts);
        // Should there be no thread to be had, the parts come back.
        let shared = Arc::new(Mutex::new(own));
        let for_thread = Arc::clone(&shared);
        let spawned = std::thread::Builder::new().name("belljar-connect".into()).spawn(move || {
            let parts = lock(&for_thread);
            let result = kernel::connect(socket.as_fd(), &parts.address);
            lock(&waiting).remove(&id);
            count(&sink.counters.performed);
            record(&sink, Event { result: Some(result), authority: Authority::Enforced, ..event }, &parts);
            if kernel::respond(listener.as_fd(), id, Answer::Return(result)).is_err() {
                count(&sink.counters.stale);
            }
        });
        if spawned.is_ok() {
            return Outcome::Waiting;
        }
        lock(&self.waiting).remove(&id);
        std::mem::swap(parts, &mut lock(&shared));
        Outcome::Left
    }

    /// Sends a datagram for the subject.
    pub(super) fn send_to(socket: &OwnedFd, flags: i32, parts: &Parts) -> Outcome {
        let whole = !parts.unreadable && parts.payload.len() as u64 == parts.payload_len;
        let known = matches!(parts.object.kind, ObjectKind::Udp | ObjectKind::Socket);
        if !whole || !known || !address::leads_out(&parts.address) || !sockets::is_inet(socket) {
            return Outcome::Left;
        }
        let result = kernel::send_to(socket.as_fd(), &parts.payload, flags, &parts.address);
        let may_wait = flags & libc::MSG_DONTWAIT == 0 && !sockets::is_nonblocking(socket);
        if result == -i64::from(libc::EAGAIN) && may_wait { Outcome::Left } else { Outcome::Done(result) }
    }

    /// Ends the connects that still wait: their callers are gone.
    pub(super) fn abandon(&self) {
        for socket in lock(&self.waiting).values() {
            let _ = rustix::net::shutdown(&**socket, rustix::net::Shutdown::Both);
        }
    }
}
