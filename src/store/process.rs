//! Who is who at the time of an event. Live, ingest feeds it; in replay the bundle reader feeds it
//! the same events in the same order, so a process looks the same in both.
//!
//! The subject decides how many processes there are and how long their arguments get, so the
//! table is bounded: it keeps the first 4 KiB of each argv (the exec's own event has all of it)
//! and past its limit forgets the longest ended, then the oldest. `processes.arrows` keeps all.

use std::collections::{HashMap, HashSet, VecDeque};

use belljar_sandbox::event::{Kind, ProcessKey};
use foldhash::fast::RandomState;

use super::Process;

/// Longest path and argv kept of one process.
const TEXT_BYTES: usize = 4096;
/// What one entry costs beside its texts.
const ENTRY_BYTES: usize = 256;

/// The processes of a session, as of the last event applied.
#[derive(Debug)]
pub struct ProcessTable {
    known: HashMap<ProcessKey, Process, RandomState>,
    /// The newest process under each host id.
    by_host: HashMap<u32, ProcessKey, RandomState>,
    started: VecDeque<ProcessKey>,
    ended: VecDeque<ProcessKey>,
    bytes: usize,
    max_bytes: usize,
}

impl Default for ProcessTable {
    /// At most about 16 MiB: some 50,000 processes.
    fn default() -> Self {
        Self::new(16 << 20)
    }
}

impl ProcessTable {
    /// Keeps at most about `max_bytes` bytes of processes.
    pub fn new(max_bytes: usize) -> Self {
        Self {
            known: HashMap::default(),
            by_host: HashMap::default(),
            started: VecDeque::new(),
            ended: VecDeque::new(),
            bytes: 0,
            max_bytes,
        }
    }

    /// The process with this key, as far as known.
    pub fn get(&self, key: ProcessKey) -> Option<&Process> {
        self.known.get(&key)
    }

    /// The newest process that has, or had, this id on the host.
    pub fn by_host_pid(&self, pid: u32) -> Option<ProcessKey> {
        self.by_host.get(&pid).copied()
    }

    /// Takes in one event. `object` is the path of the program and `detail` its argv, for
    /// [`Kind::ProcessImage`]. Returns whether the process changed, and so is to be written down.
    pub fn apply(
        &mut self,
        kind: Kind,
        key: ProcessKey,
        time_ns: u64,
        args: &[u64; 6],
        object: &[u8],
        detail: &[u8],
    ) -> bool {
        match kind {
            Kind::ProcessStart => {
                // A thread of a process that is there already changes nothing here.
                if self.known.get(&key).is_some_and(|process| process.ended.is_none()) {
                    return false;
                }
                let parent = u32::try_from(args[0]).ok().map(ProcessKey);
                let (exe, argv) = parent
                    .and_then(|parent| self.known.get(&parent))
                    .map(|parent| (parent.exe.clone(), parent.argv.clone()))
                    .unwrap_or_default();
                self.insert(Process {
                    key,
                    parent,
                    pid: args[1] as u32,
                    host_pid: args[2] as u32,
                    exe,
                    argv,
                    started_ns: time_ns,
                    ended: None,
                });
                true
            }
            Kind::ProcessImage => {
                let known = self.known.get(&key).cloned();
                let process = known.unwrap_or_else(|| Process { key, started_ns: time_ns, ..Process::default() });
                self.insert(Process { exe: cut(object), argv: cut(detail), ..process });
                true
            }
            Kind::ProcessEnd => {
                let Some(process) = self.known.get_mut(&key) else { return false };
                if process.ended.is_some() {
                    return false;
                }
                process.ended = Some((time_ns, (args[0] != u64::MAX).then_some(args[0] as i32)));
                self.ended.push_back(key);
                true
            }
            _ => false,
        }
    }

    fn insert(&mut self, process: Process) {
        let key = process.key;
        self.bytes += cost(&process);
        self.by_host.insert(process.host_pid, key);
        if let Some(old) = self.known.insert(key, process) {
            self.bytes -= cost(&old);
        } else {
            self.started.push_back(key);
        }
        while self.bytes > self.max_bytes {
            let Some(oldest) = self.ended.pop_front().or_else(|| self.started.pop_front()) else { break };
            if oldest == key {
                self.started.push_back(key);
                break;
            }
            self.remove(oldest);
        }
        // The queues may name what is gone, or name one twice; they must not grow with the session.
        for queue in [&mut self.started, &mut self.ended] {
            if queue.len() > 2 * self.known.len() + 64 {
                let mut kept = HashSet::new();
                queue.retain(|key| self.known.contains_key(key) && kept.insert(*key));
            }
        }
    }

    fn remove(&mut self, key: ProcessKey) -> Option<Process> {
        let process = self.known.remove(&key)?;
        self.bytes -= cost(&process);
        if self.by_host.get(&process.host_pid) == Some(&key) {
            self.by_host.remove(&process.host_pid);
        }
        Some(process)
    }
}

fn cut(text: &[u8]) -> Vec<u8> {
    text.get(..TEXT_BYTES).unwrap_or(text).to_vec()
}

fn cost(process: &Process) -> usize {
    ENTRY_BYTES + process.exe.len() + process.argv.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(table: &mut ProcessTable, key: u32, parent: u64) -> bool {
        table.apply(Kind::ProcessStart, ProcessKey(key), 5, &[parent, u64::from(key), 9, 0, 0, 0], b"", b"")
    }

    #[test]
    fn a_child_is_its_parent_until_it_runs_another_program() {
        let mut table = ProcessTable::default();
        assert!(start(&mut table, 1, u64::MAX));
        assert!(table.apply(Kind::ProcessImage, ProcessKey(1), 6, &[0; 6], b"/bin/sh", b"sh\0-c\0"));
        assert!(start(&mut table, 2, 1));
        assert!(!start(&mut table, 2, 1), "a thread is no new process");
        let child = table.get(ProcessKey(2)).expect("child");
        assert_eq!((child.parent, child.name()), (Some(ProcessKey(1)), b"sh".as_slice()));
        table.apply(Kind::ProcessImage, ProcessKey(2), 7, &[0; 6], b"/bin/ls", b"ls\0");
        assert_eq!(table.get(ProcessKey(2)).expect("child").exe, b"/bin/ls");
        assert_eq!(table.get(ProcessKey(1)).expect("parent").exe, b"/bin/sh");
        assert!(table.apply(Kind::ProcessEnd, ProcessKey(2), 8, &[256, 0, 0, 0, 0, 0], b"", b""));
        assert!(!table.apply(Kind::ProcessEnd, ProcessKey(2), 9, &[0; 6], b"", b""));
        assert_eq!(table.get(ProcessKey(2)).expect("child").ended, Some((8, Some(256))));
    }

    #[test]
    fn a_fork_bomb_does_not_exhaust_memory() {
        let mut table = ProcessTable::new(64 << 10);
        let long = vec![b'x'; 9000];
        for key in 1..20_000_u32 {
            start(&mut table, key, u64::MAX);
            table.apply(Kind::ProcessImage, ProcessKey(key), 6, &[0; 6], &long, &long);
            if key % 2 == 0 {
                table.apply(Kind::ProcessEnd, ProcessKey(key), 7, &[u64::MAX; 6], b"", b"");
            }
            assert!(table.bytes <= 64 << 10);
            assert!(table.started.len() < 200 && table.ended.len() < 200, "{}", table.started.len());
            assert!(table.get(ProcessKey(key)).is_some(), "the newest is always known");
        }
    }
}
