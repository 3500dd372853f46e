//! The witnesses of system calls. [`syscalls`] is the one table they all are made from.

pub mod notify;
pub mod syscalls;
