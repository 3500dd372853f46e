//! The thread that takes every trapped call, records it and answers it.
//!
//! The subject waits meanwhile, so this does as little as it can, in an order that loses nothing: find out who calls,
//! read what the call is about, make sure that the caller still waited in it while that was read, record, answer.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};

use rustix::event::{PollFd, PollFlags};

use super::decode::{self, Decoder, Parts};
use super::filter::{ARCH_I386, ARCH_X86_64, X32_BIT};
use super::kernel::{self, Answer};
use super::minder::Minder;
use super::perform::{Outcome, Performer};
use super::record;
use super::sink::{Sink, count};
use super::tasks::Books;
use crate::event::{Abi, Authority, Decision, Event, Kind, ProcessKey, Witness};
use crate::witness::paths::Lookup;
use crate::witness::plan::{Plan, Plans, Role};
use crate::witness::syscalls::Watch;

/// `mmap` of i386 with its arguments in memory, and of x86-64 with the same ones in registers.
const OLD_MMAP: u32 = 90;
const MMAP: u32 = 9;

pub(super) struct Receiver {
    pub listener: Arc<OwnedFd>,
    pub init_pid: i32,
    pub sink: Arc<Sink>,
    pub minder: Arc<Minder>,
    pub books: Books,
    pub decoder: Decoder,
    pub performer: Performer,
    pub plans: Plans,
    pub parts: Parts,
    /// Whether the kernel tells a waiting receiver that the last task is gone (Linux 6.11).
    pub told_of_end: bool,
}

impl Receiver {
    /// The thread. Ends when no task is left under the filter, or the listener is broken.
    pub(super) fn run(mut self) {
        let listener = Arc::clone(&self.listener);
        let listener = listener.as_fd();
        let mut notification = kernel::empty_notification();
        loop {
            if !self.told_of_end && is_left(listener, -1) {
                break;
            }
            match kernel::receive(listener, &mut notification) {
                Ok(()) => {}
                Err(error) => match error.raw_os_error() {
                    Some(libc::EINTR) => continue,
                    // The caller was killed before it could be received, or all are gone.
                    Some(libc::ENOENT) if !is_left(listener, 0) => continue,
                    Some(libc::ENOENT) => break,
                    _ => {
                        let text = format!(
                            "the kernel no longer hands over trapped calls ({error}); the recording has none after this"
                        );
                        *self.sink.counters.error.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
                        break;
                    }
                },
            }
            count(&self.sink.counters.calls);
            let answer = catch_unwind(AssertUnwindSafe(|| self.handle(&notification))).unwrap_or_else(|_| {
                count(&self.sink.counters.internal_errors);
                Some(Answer::Continue)
            });
            if let Some(answer) = answer
                && kernel::respond(listener, notification.id, answer).is_err()
            {
                // It was killed after it had been believed; the record stands.
                count(&self.sink.counters.stale);
            }
        }
        self.performer.abandon();
        self.minder.stop();
    }

    /// Records one call. `None` when there is nobody to answer, or somebody else does.
    fn handle(&mut self, notification: &libc::seccomp_notif) -> Option<Answer> {
        let (data, tid, id) = (&notification.data, notification.pid as i32, notification.id);
        let nr = data.nr as u32;
        let abi = match data.arch {
            ARCH_I386 => Abi::I386,
            ARCH_X86_64 if nr & 0xc000_0000 == X32_BIT => Abi::X32,
            ARCH_X86_64 => Abi::X86_64,
            _ => Abi::Unknown,
        };
        let nr = if abi == Abi::X32 { nr & !X32_BIT } else { nr };
        let listener = Arc::clone(&self.listener);
        let valid = || kernel::is_valid(listener.as_fd(), id);
        let mut event =
            Event { args: data.args, ..Event::new(0, Witness::Notify, Kind::Call { abi, nr }, ProcessKey(0), 0) };

        self.books.forget_ended();
        if tid == self.init_pid {
            // The sandbox's own steps towards the subject are none of its story.
            if self.books.has_begun() {
                record(&self.sink, event, &Parts::default());
            }
            return Some(Answer::Continue);
        }
        if self.books.caller(tid).is_none() && !self.books.admit(tid, &valid, &self.decoder.resolver) {
            if !valid() {
                count(&self.sink.counters.stale);
                return None;
            }
            count(&self.sink.counters.callers_unknown);
        }

        let mut args = data.args;
        self.parts.clear();
        let (plan, operation) = choose(&self.plans, &mut self.books, abi, nr, tid, &mut args);
        event.args = args;
        let read = plan.is_none_or(|plan| self.read(&plan, tid, abi, &args, &valid));
        if let Some((task, process)) = self.books.caller(tid) {
            event.process = process.key;
            event.tid = task.jail_tid;
        }
        if !read || !valid() {
            count(&self.sink.counters.stale);
            return None;
        }
        if let Some(operation) = operation {
            name_operation(operation, &mut self.parts.detail);
        }
        self.answer(plan.as_ref(), tid, id, event)
    }

    /// Reads the call's parts. `false` when its caller is gone.
    fn read(&mut self, plan: &Plan, tid: i32, abi: Abi, args: &[u64; 6], valid: &dyn Fn() -> bool) -> bool {
        // Twice at most: what is kept of a task may be of one that had its id before.
        for _ in 0..2 {
            let Some((task, process)) = self.books.caller(tid) else { return true };
            if Books::may_have_executed(process, task) {
                self.books.look_at_image(tid, &self.decoder.resolver);
            }
            let Some((task, process)) = self.books.caller(tid) else { return true };
            self.decoder.read(task, process, abi == Abi::X86_64, plan, args, &mut self.parts);
            if self.parts.seen || task.is_there() {
                return true;
            }
            self.books.forget_task(tid);
            if !self.books.admit(tid, valid, &self.decoder.resolver) {
                return false;
            }
        }
        true
    }

    /// Does what the table and the call's role ask for, records the call, and says what its caller gets.
    fn answer(&mut self, plan: Option<&Plan>, tid: i32, id: u64, mut event: Event) -> Option<Answer> {
        let counters = &self.sink.counters;
        for (failed, counter) in [
            (self.parts.cut, &counters.payloads_cut),
            (self.parts.unreadable, &counters.memory_failed),
            (self.parts.nameless, &counters.names_unknown),
        ] {
            if failed {
                count(counter);
            }
        }
        let Kind::Call { abi, .. } = event.kind else { return Some(Answer::Continue) };
        if plan.is_none() {
            if matches!(abi, Abi::X86_64 | Abi::I386) {
                count(&counters.unknown_numbers);
            } else {
                count(&counters.killed);
                kill(self.books.caller(tid).map_or(tid, |(task, _)| task.tgid));
            }
        }
        let refuse = |errno: i32, mut event: Event| {
            (event.decision, event.authority) = (Decision::Denied, Authority::Enforced);
            event.result = Some(-i64::from(errno));
            record(&self.sink, event, &self.parts);
            Some(Answer::Return(-i64::from(errno)))
        };
        let Some(plan) = plan else { return refuse(libc::ENOSYS, event) };
        if let Watch::Refused(errno) = plan.call.watch {
            let mut refused = counters.refused.lock().unwrap_or_else(PoisonError::into_inner);
            *refused.entry(plan.call.name).or_default() += 1;
            return refuse(errno, event);
        }
        let outcome = match plan.role {
            Role::Exec => {
                self.books.executes(tid);
                Outcome::Left
            }
            Role::ExitGroup => {
                let [code, ..] = event.args;
                self.minder.announce(event.process, code);
                if let Some(tgid) = self.books.caller(tid).map(|(task, _)| task.tgid) {
                    self.books.admit_children(tgid);
                }
                Outcome::Left
            }
            Role::Connect | Role::SendTo if !self.parts.address.is_empty() => self.perform(plan.role, tid, id, event),
            _ => Outcome::Left,
        };
        match outcome {
            Outcome::Waiting => None,
            Outcome::Done(result) => {
                count(&self.sink.counters.performed);
                event.result = Some(result);
                event.authority = Authority::Enforced;
                record(&self.sink, event, &self.parts);
                Some(Answer::Return(result))
            }
            Outcome::Left => {
                if plan.fails
                    && let Some(Lookup::Missing(errno)) = self.parts.lookup
                    && let Some((task, _)) = self.books.caller(tid)
                    && !decode::creates(plan, task.memory(abi == Abi::X86_64), &event.args)
                {
                    event.result = Some(-i64::from(errno));
                }
                record(&self.sink, event, &self.parts);
                Some(Answer::Continue)
            }
        }
    }

    fn perform(&mut self, role: Role, tid: i32, id: u64, event: Event) -> Outcome {
        let [fd, _, _, flags, ..] = event.args;
        let Some((task, process)) = self.books.caller(tid) else { return Outcome::Left };
        if role == Role::Connect
            && let Some(inode) = self.parts.socket
        {
            self.decoder.sockets.connecting(inode, self.parts.object.kind, &self.parts.object.bytes);
        }
        let Some(socket) = task.take(process, fd as i32) else { return Outcome::Left };
        if role == Role::Connect {
            self.performer.connect(socket, id, event, &mut self.parts)
        } else {
            Performer::send_to(&socket, flags as i32, &self.parts)
        }
    }
}

/// Kills a process whose calls cannot be understood. It waits in one, so its id is still its own.
pub(super) fn kill(tgid: i32) {
    if let Some(pid) = rustix::process::Pid::from_raw(tgid) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

/// How a call is to be read; unpacks the arguments that two calls of i386 keep in memory.
fn choose(
    plans: &Plans,
    books: &mut Books,
    abi: Abi,
    nr: u32,
    tid: i32,
    args: &mut [u64; 6],
) -> (Option<Plan>, Option<&'static str>) {
    if !matches!(abi, Abi::X86_64 | Abi::I386) {
        return (None, None);
    }
    let plan = plans.of(abi, nr).copied();
    let mut unpack = |pointer: u64, count: usize, args: &mut [u64; 6]| {
        let Some((task, _)) = books.caller(tid) else { return };
        let memory = task.memory(false);
        for (index, arg) in args.iter_mut().enumerate() {
            let word = (index < count).then(|| memory.word(pointer.saturating_add(4 * index as u64)));
            *arg = word.and_then(Result::ok).unwrap_or(0);
        }
    };
    if abi == Abi::I386 && nr == OLD_MMAP {
        let [pointer, ..] = *args;
        unpack(pointer, 6, args);
        return (plans.of(Abi::X86_64, MMAP).copied(), None);
    }
    if plan.is_some_and(|plan| plan.role == Role::SocketCall) {
        let [operation, pointer, ..] = *args;
        if let Some((of_operation, count)) = plans.of_socket_operation(operation) {
            unpack(pointer, count, args);
            return (Some(*of_operation), Some(of_operation.call.name));
        }
    }
    (plan, None)
}

/// Puts a socket call's name before what else there is to say of it.
fn name_operation(operation: &str, detail: &mut Vec<u8>) {
    let rest = std::mem::take(detail);
    detail.extend_from_slice(operation.as_bytes());
    if !rest.is_empty() {
        detail.push(0);
        detail.extend_from_slice(&rest);
    }
}

/// Waits up to `timeout` milliseconds (-1: for ever) for something to happen at the listener; whether it is that no
/// task is left under the filter.
pub(super) fn is_left(listener: BorrowedFd<'_>, timeout: i32) -> bool {
    let mut poll = [PollFd::from_borrowed_fd(listener, PollFlags::IN)];
    let timeout = (timeout >= 0).then_some(rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 });
    let _ = rustix::event::poll(&mut poll, timeout.as_ref());
    let [poll] = poll;
    poll.revents().contains(PollFlags::HUP) && !poll.revents().contains(PollFlags::IN)
}
