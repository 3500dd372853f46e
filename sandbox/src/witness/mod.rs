//! The witnesses of system calls. [`syscalls`] is the one table they all are made from; what they share beside it are
//! names: of files, of sockets' ends, of paths as the subject means them.

mod address;
pub mod ebpf;
mod ids;
mod name;
pub mod notify;
mod paths;
mod plan;
pub mod syscalls;

use std::collections::BTreeMap;

/// What a witness of system calls has counted, and what ended it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Calls that were seen.
    pub calls: u64,
    /// Calls refused, by name.
    pub refused: BTreeMap<&'static str, u64>,
    /// Calls performed on the subject's behalf on copied arguments.
    pub performed: u64,
    /// Payloads longer than what was kept of them.
    pub payloads_cut: u64,
    /// Calls of which some memory could not be read.
    pub memory_failed: u64,
    /// Calls whose caller was gone before they could be believed; nothing of them is recorded.
    pub stale: u64,
    /// Calls through x32 or an unknown interface; their processes were killed.
    pub killed: u64,
    /// Calls with a number that the table does not know, answered with `ENOSYS`.
    pub unknown_numbers: u64,
    /// Files, descriptors or paths whose name could not be resolved.
    pub names_unknown: u64,
    /// Callers of which `/proc` told nothing: their calls are recorded without a process.
    pub callers_unknown: u64,
    /// Processes whose end is only polled for, for want of descriptors.
    pub descriptors_short: u64,
    /// Records that found no room in the ring; each loss stands in the stream as an event of its own.
    pub lost_records: u64,
    /// Events that came after the recording had ended.
    pub lost: u64,
    /// Mistakes of the witness itself that were caught; the call was continued.
    pub internal_errors: u64,
    /// How often the subject was frozen, because its calls came faster than they could be recorded.
    pub freezes: u64,
    /// How long it was frozen in all, in nanoseconds.
    pub frozen_ns: u64,
    /// What of TLS libraries was probed, where that was asked for and could be done.
    pub tls: Option<ebpf::Probed>,
    /// What ended the witness before the subject's end.
    pub error: Option<String>,
}
