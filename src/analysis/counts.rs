//! Attempts that no single event shows: many files changed, many processes, much written, a
//! signal to somebody else's process, a shell whose input is a connection. Thresholds are the
//! profile's ([`super::rules::Limits`]).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use belljar_sandbox::event::{Kind, ObjectKind, ProcessKey};
use nix::errno::Errno;

use super::attempts::Attempt;
use super::claims::Deed;
use super::finding::{Confidence, Severity};
use super::place::{Place, place};
use super::{Analysis, MAX_WRITERS, Touched};
use crate::store::meaning::{Act, act};
use crate::store::{Object, Process, Record, Verb};

const MIB: u64 = 1 << 20;
/// PROT_WRITE, MAP_ANONYMOUS, MAP_NORESERVE (mmap(2)).
const PROT_WRITE: u64 = 0x2;
const MAP_ANONYMOUS: u64 = 0x20;
const MAP_NORESERVE: u64 = 0x4000;

/// One sort of attempt that is counted; the number is its place in findings' keys, apart from
/// those of the detectors, which are below 2^16.
struct Sort(u64, Attempt<'static>);

const fn sort(number: u64, verb: Verb, confidence: Confidence, attack: &'static str, what: &'static str) -> Sort {
    let deed = Deed { what, severity: Severity::High, attack: Some(attack) };
    Sort(1 << 16 | number, Attempt { verb, confidence, deed })
}

use Confidence::{Proven, Suspected};
use Verb::{Control, Disrupt};

const MASS: Sort = sort(0, Disrupt, Proven, "T1486", "overwrite, encrypt or remove client files in numbers");
const FORKS: Sort = sort(1, Disrupt, Proven, "T1499.001", "exhaust the machine's processes");
const DISK: Sort = sort(2, Disrupt, Suspected, "T1499.001", "fill the disk");
const MEMORY: Sort = sort(3, Disrupt, Suspected, "T1499.001", "exhaust the machine's memory");
const OTHERS: Sort = sort(4, Disrupt, Suspected, "T1489", "end a process that is not its own");
const NETWORK: Sort = sort(5, Disrupt, Proven, "T1498", "change routes, addresses or the firewall");
const SHELL: Sort = sort(6, Control, Proven, "T1059.004", "hand a shell to the network");

/// What has been counted so far.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Files of client data that were changed, by their names' numbers.
    changed: HashSet<u64>,
    /// Files into which values of client data were written since they were emptied: saved, not destroyed.
    saved: HashSet<u64>,
    /// Bytes written to disk.
    written: u64,
    /// Processes alive.
    alive: HashSet<ProcessKey>,
    /// Ids of all processes there ever were.
    pids: HashSet<u32>,
    /// Processes whose standard input is a connection, and to whom.
    on_socket: HashMap<ProcessKey, Arc<Object>>,
}

impl Counts {
    /// A process is seen for the first time.
    pub(super) fn met(&mut self, process: &Process) {
        self.pids.insert(process.pid);
    }

    /// Values of client data are written into a file.
    pub(super) fn saves(&mut self, flow: u64) {
        self.changed.remove(&flow);
        if self.saved.len() < MAX_WRITERS {
            self.saved.insert(flow);
        }
    }
}

impl Analysis {
    /// Counts the event, and says when it is too much.
    pub(super) fn count(&mut self, record: &Record<'_>, touched: &mut Touched) {
        match record.kind {
            Kind::ProcessStart => self.started(record, touched),
            Kind::ProcessImage => self.shell(record, touched),
            Kind::ProcessEnd => {
                if let Some(process) = record.process {
                    self.counts.alive.remove(&process.key);
                    self.counts.on_socket.remove(&process.key);
                }
            }
            Kind::Call { .. } => {
                if touched.assets.0 != 0 {
                    self.changed(record, touched);
                }
                self.call_counts(record, touched);
            }
            _ => {}
        }
    }

    fn counted(&mut self, sort: &Sort, thing: Option<&Object>, record: &Record<'_>, touched: &mut Touched) {
        self.attempt(sort.0, None, &sort.1, thing, record, touched);
    }

    fn started(&mut self, record: &Record<'_>, touched: &mut Touched) {
        let Some(process) = record.process else { return };
        self.counts.alive.insert(process.key);
        if let Some(peer) = process.parent.and_then(|parent| self.counts.on_socket.get(&parent)).map(Arc::clone)
            && self.counts.on_socket.len() < MAX_WRITERS
        {
            self.counts.on_socket.insert(process.key, peer);
        }
        if self.counts.alive.len() as u64 == u64::from(self.rules.limits.processes) {
            self.counted(&FORKS, None, record, touched);
        }
    }

    /// Client files that are changed. Programs rewrite their own history all the time; the
    /// machine's own identity is nobody's file.
    fn changed(&mut self, record: &Record<'_>, touched: &mut Touched) {
        let act = act(None, record);
        let object = match act {
            Act::Open { write: true, truncate: true, .. } | Act::Write | Act::Remove | Act::Truncate => record.object,
            // Something else comes to its place, or it goes to another.
            Act::Rename if record.op().starts_with("rename") => {
                let target = record.target.filter(|target| self.is_planted(target));
                target.filter(|target| self.paths.of(Some(target)).0 != 0).or(record.object)
            }
            _ => None,
        };
        let Some(object) = object.filter(|object| self.is_planted(object)) else { return };
        let own = self.facts(object).own;
        let counts = |index: usize| {
            self.assets.get(index).is_some_and(|asset| !matches!(asset.class.as_str(), "device" | "history"))
        };
        if !own.iter().any(counts) || self.counts.changed.len() >= MAX_WRITERS {
            return;
        }
        let flow = self.flow(object);
        let is_saved = match act {
            Act::Write => self.counts.saved.contains(&flow),
            Act::Rename => record.object.is_some_and(|from| self.counts.saved.contains(&self.flow(from))),
            _ => {
                self.counts.saved.remove(&flow);
                false
            }
        };
        if !is_saved
            && self.counts.changed.insert(flow)
            && self.counts.changed.len() as u64 >= self.rules.limits.changed_files.into()
        {
            self.counted(&MASS, None, record, touched);
        }
    }

    /// Bytes went to disk.
    pub(super) fn filled(&mut self, bytes: u64, to: &Object, record: &Record<'_>, touched: &mut Touched) {
        let before = self.counts.written / MIB;
        self.counts.written = self.counts.written.saturating_add(bytes);
        let limit = self.rules.limits.written_mib;
        if before < limit && self.counts.written / MIB >= limit {
            self.counted(&DISK, Some(to), record, touched);
        }
    }

    fn call_counts(&mut self, record: &Record<'_>, touched: &mut Touched) {
        let failed = |errno: Errno| record.result == Some(-(errno as i64));
        if failed(Errno::ENOSPC)
            && let Some(object) = record.object.filter(|object| place(object) == Place::Disk)
        {
            self.counted(&DISK, Some(object), record, touched);
        }
        let Some(call) = record.call else { return };
        match call.name {
            "fallocate" => {
                if let Some(object) = record.object {
                    self.filled(record.args[3], object, record, touched);
                }
            }
            "mmap" if record.object.is_none() => {
                let [_, length, protection, flags, ..] = record.args;
                let is_kept = flags & MAP_ANONYMOUS != 0 && flags & MAP_NORESERVE == 0 && protection & PROT_WRITE != 0;
                if is_kept && (length / MIB >= self.rules.limits.memory_mib || failed(Errno::ENOMEM)) {
                    self.counted(&MEMORY, None, record, touched);
                }
            }
            "kill" => {
                let (pid, signal) = (record.args[0] as i32, record.args[1]);
                if pid > 1 && signal != 0 && !self.counts.pids.contains(&pid.unsigned_abs()) {
                    self.counted(&OTHERS, None, record, touched);
                }
            }
            "dup2" | "dup3" if record.args[1] == 0 => self.input(record, touched),
            "sendto" | "sendmsg" | "write" | "send" => {
                if let Some(object) = record.object.filter(|object| steers_network(object, record.payload)) {
                    self.counted(&NETWORK, Some(object), record, touched);
                }
            }
            _ => {}
        }
    }

    /// Standard input is another thing from now on.
    fn input(&mut self, record: &Record<'_>, touched: &mut Touched) {
        let (Some(process), Some(object)) = (record.process, record.object) else { return };
        if object.kind != ObjectKind::Tcp || place(object) != Place::Remote {
            self.counts.on_socket.remove(&process.key);
            return;
        }
        if self.counts.on_socket.len() < MAX_WRITERS {
            self.counts.on_socket.insert(process.key, Arc::new(object.clone()));
        }
        if is_shell(process.name()) {
            self.counted(&SHELL, Some(object), record, touched);
        }
    }

    /// A program runs: a shell that takes its input from a connection is somebody else's.
    fn shell(&mut self, record: &Record<'_>, touched: &mut Touched) {
        let Some(process) = record.process else { return };
        let peer = self.counts.on_socket.get(&process.key).filter(|_| is_shell(process.name())).map(Arc::clone);
        if let Some(peer) = peer {
            self.counted(&SHELL, Some(&peer), record, touched);
        }
    }
}

fn is_shell(name: &[u8]) -> bool {
    matches!(name, b"sh" | b"bash" | b"dash" | b"zsh" | b"ksh" | b"mksh" | b"ash" | b"fish" | b"busybox")
}

/// Messages of one call that are looked at.
const MAX_MESSAGES: usize = 64;
/// RTM_NEWLINK (rtnetlink(7)), its length without attributes, and where it has the link's number.
const NEW_LINK: u16 = 16;
const BARE_LINK: usize = 32;
const LINK_NUMBER: std::ops::Range<usize> = 20..24;

/// Whether one of the netlink messages changes routes, links, addresses or filters. A message begins with its length,
/// and has its type in bytes 4 and 5 (netlink(7)); those of rtnetlink(7) come in fours, of which the third asks; changes
/// of nftables come in a batch, whose beginning has the type 16 (`linux/netfilter/nfnetlink.h`).
fn steers_network(object: &Object, payload: &[u8]) -> bool {
    let mut rest = payload;
    for _ in 0..MAX_MESSAGES {
        if is_steering(object, rest) {
            return true;
        }
        let Some(length) = rest.first_chunk().map(|bytes| u32::from_le_bytes(*bytes) as usize) else { break };
        let Some(next) = rest.get(length.max(16).next_multiple_of(4)..) else { break };
        rest = next;
    }
    false
}

fn is_steering(object: &Object, payload: &[u8]) -> bool {
    let Some([low, high]) = payload.get(4..6).and_then(|bytes| bytes.first_chunk()) else { return false };
    let message = u16::from_le_bytes([*low, *high]);
    // Of no link and with no attribute: so iproute2 asks whether there is such a message at all.
    let length = payload.first_chunk().map(|bytes| u32::from_le_bytes(*bytes) as usize);
    let is_probe = message == NEW_LINK && length == Some(BARE_LINK) && payload.get(LINK_NUMBER) == Some(&[0; 4]);
    // A witness that knows the family by its number alone names it so: NETLINK_ROUTE is 0,
    // NETLINK_NETFILTER 12 (netlink(7)).
    let mut parts = object.name.split(|byte| *byte == b':');
    if object.kind != ObjectKind::Socket || parts.next() != Some(b"netlink") {
        return false;
    }
    match parts.next() {
        Some(b"route" | b"0") => (16..36).contains(&message) && message % 4 != 2 && !is_probe,
        Some(b"netfilter" | b"12") => message == 16,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_that_change_are_told_from_those_that_ask() {
        let steers = |name: &str, message: u16| {
            let mut payload = vec![0; 16];
            payload[4..6].copy_from_slice(&message.to_le_bytes());
            steers_network(&Object { kind: ObjectKind::Socket, name: name.as_bytes().into() }, &payload)
        };
        for (name, message, want) in [
            ("netlink:route", 16, true),
            ("netlink:route", 18, false),
            ("netlink:route", 22, false),
            ("netlink:route", 24, true),
            ("netlink:route", 25, true),
            ("netlink:route", 26, false),
            ("netlink:netfilter", 16, true),
            ("netlink:netfilter", 0x0a01, false),
            ("netlink:0", 25, true),
            ("netlink:12:0x0", 16, true),
            ("netlink:audit", 16, false),
        ] {
            assert_eq!(steers(name, message), want, "{name} {message}");
        }
        let route = Object { kind: ObjectKind::Socket, name: b"netlink:route"[..].into() };
        assert!(!steers_network(&route, b"abc"));
        let message = |kind: u16, link: u32| {
            let mut message = vec![0; BARE_LINK];
            message[..4].copy_from_slice(&(BARE_LINK as u32).to_le_bytes());
            message[4..6].copy_from_slice(&kind.to_le_bytes());
            message[LINK_NUMBER].copy_from_slice(&link.to_le_bytes());
            message
        };
        assert!(!steers_network(&route, &message(NEW_LINK, 0)), "`ip link show` begins so");
        assert!(steers_network(&route, &message(NEW_LINK, 2)));
        assert!(steers_network(&route, &[message(18, 0), message(24, 0)].concat()), "the second of two");
        assert!(!steers_network(&route, &[message(18, 0), message(22, 0)].concat()));
    }
}
