//! The witness's threads are short of time exactly when the subject's take it all: they run before them.

#![allow(unsafe_code)]

/// For the guard: before every ordinary thread. It sleeps nearly always, and is late where others would be preferred.
pub(super) fn at_once() {
    let parameter = libc::sched_param { sched_priority: 1 };
    // SAFETY: sets the calling thread's own scheduling; the structure is read, not kept (sched_setscheduler(2)).
    let done = unsafe { libc::sched_setscheduler(0, libc::SCHED_RR, &raw const parameter) } == 0;
    if !done {
        soon();
    }
}

/// For the reader, which has much to do: before others, but not instead of them.
pub(super) fn soon() {
    // Without the right to it the ring's other half is the reserve.
    let _ = rustix::process::setpriority_process(None, -15);
}
