//! What a session's witnesses could see, and what not: half of every verdict.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What could be seen, and what not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// The witness of system calls: `ebpf` or `notify`.
    pub witness: String,
    /// Events recorded.
    pub events: u64,
    /// Events known to be lost.
    pub lost: u64,
    /// Connections tried to places outside the machine.
    pub connections: u64,
    /// How many of them could be read in the clear by the gateway.
    pub decrypted: u64,
    /// Where connections were to go that did not accept the gateway's certificate, and that no declaration covers: the
    /// first 16, safe to show.
    #[serde(default)]
    pub unread: Vec<String>,
    /// Names of calls that the sandbox refused.
    pub refused_calls: Vec<String>,
    /// What could not be seen, one sentence each.
    pub blind: Vec<String>,
    /// The recording ends before the session did.
    pub truncated: bool,
    /// Events of which fewer bytes were captured than moved.
    pub payloads_cut: u64,
    /// Calls that move no data and are too frequent to be recorded one by one, by name: how often they were made.
    #[serde(default)]
    pub counted: BTreeMap<String, u64>,
    /// Attempts left out because there were too many findings.
    pub unlisted: u64,
}

/// A program the subject executed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Executable {
    /// Its path in the jail. Bytes that are no UTF-8 are replaced.
    pub path: String,
    /// SHA-256 of the file as it stood when the session ended, lower-case hexadecimal; `None` when
    /// it was gone.
    pub sha256: Option<String>,
}
