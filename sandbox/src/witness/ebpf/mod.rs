//! The ebpf witness: every system call of the session's tasks, with its result and what moved with it, seen by a
//! program in the kernel. Needs root.
//!
//! [`Loaded::new`] brings the program into the kernel, beside the building of the jail. [`Witness::start`] shows it the
//! jail and the planted files; from the subject's first exec on, a reader makes events of its records, and a guard
//! freezes the subject when it calls faster than they can be recorded. The gate of [`super::notify`] goes on deciding.

mod call;
mod guard;
mod loader;
mod names;
mod places;
mod planted;
mod reader;
mod record;
mod ring;
mod steps;
mod symbols;
mod tls;
mod urgency;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

pub use loader::{EbpfError, Loaded, Settings};
pub use tls::Probed;

use crate::decoy::Asset;
use crate::event::Queue;
use crate::jail::{Freezer, monotonic_ns};
use crate::witness::Stats;
use crate::witness::plan::Plans;
use names::Names;
use places::Places;
use reader::{Reader, push_loss};

/// What the witness works with.
pub struct Context<'a> {
    /// Host process id of the jail's first process; the subject is its child.
    pub init_pid: i32,
    /// `CLOCK_MONOTONIC` at the session's start, in nanoseconds.
    pub start_ns: u64,
    /// The planted data.
    pub assets: &'a [Asset],
    /// Where the events go.
    pub queue: Arc<Queue>,
    /// What stops the subject when it calls too fast.
    pub freezer: Option<Freezer>,
}

/// The witness at work.
pub struct Witness {
    reader: JoinHandle<Stats>,
    guard: Option<JoinHandle<()>>,
    counts: Arc<guard::Counts>,
    stop_reader: Arc<AtomicBool>,
    stop_guard: Arc<AtomicBool>,
    queue: Arc<Queue>,
    start_ns: u64,
    losses: aya::maps::Array<aya::maps::MapData, u32>,
    processors: u32,
    // Dropped last: the program leaves the kernel with it. The prober has it where there is one.
    _ebpf: Option<aya::Ebpf>,
    prober: Option<tls::Prober>,
}

impl Witness {
    /// Starts watching for the subject, which must not have been let go yet. To be called by the thread that loaded.
    pub fn start(mut loaded: Loaded, context: Context<'_>) -> Result<Self, EbpfError> {
        let Context { init_pid, start_ns, assets, queue, freezer } = context;
        let mut control = |values: [u32; 8]| {
            loaded
                .control
                .set(0, values, 0)
                .map_err(|error| EbpfError::Map { map: "control", cause: error.to_string() })
        };
        // `struct control` of bpf/state.h: init_tgid, level, next_key, priming, and the root that is not known yet.
        let mut failed = None;
        let planted = planted::show(init_pid, assets, |number| {
            failed = failed.take().or(control([0, 0, 1, number, 0, 0, 0, 0]).err());
        });
        if let Some(error) = failed {
            return Err(error);
        }
        control([init_pid as u32, 0, 1, 0, 0, 0, 0, 0])?;
        let ring = Arc::new(loaded.ring);
        let (ebpf, prober, teller) = if loaded.settings.tls && loaded.tls.is_none() {
            let (prober, teller) = tls::Prober::start(loaded.ebpf, init_pid)?;
            (None, Some(prober), Some(teller))
        } else {
            (Some(loaded.ebpf), None, None)
        };
        queue.has_told(0);
        let reader = Reader {
            ring: Arc::clone(&ring),
            queue: Arc::clone(&queue),
            start_ns,
            names: Names::default(),
            places: Places::new(init_pid)?,
            plans: Plans::new(),
            quiet: loaded.quiet,
            planted,
            capture: loaded.settings.capture as usize,
            pids: HashMap::new(),
            parts: HashMap::new(),
            held: 0,
            early: HashMap::new(),
            tls: teller,
            peers: HashMap::new(),
            last: start_ns,
            stats: Stats::default(),
        };
        let counts = Arc::new(guard::Counts::default());
        let (stop_reader, stop_guard) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let thread = |name: &'static str| move |cause| EbpfError::Thread { name, cause };
        let guard = match freezer.filter(|_| loaded.settings.freeze) {
            None => None,
            Some(freezer) => {
                let (ring, fd, size) = (Arc::clone(&ring), loaded.ring_fd, loaded.settings.ring);
                let (stop, counts) = (Arc::clone(&stop_guard), Arc::clone(&counts));
                let name = "belljar-guard";
                let run = move || {
                    urgency::at_once();
                    guard::run(&ring, &fd, size, &freezer, &stop, &counts);
                };
                Some(std::thread::Builder::new().name(name.into()).spawn(run).map_err(thread(name))?)
            }
        };
        let stop = Arc::clone(&stop_reader);
        let mut epochs = loaded.epochs;
        let name = "belljar-ebpf";
        let run = move || {
            urgency::soon();
            reader.run(&stop, |epoch| {
                // Not set, names are told less often than asked for: those already known stay known.
                let _ = epochs.set(0, epoch, 0);
            })
        };
        let reader = std::thread::Builder::new().name(name.into()).spawn(run).map_err(thread(name))?;
        Ok(Self {
            reader,
            guard,
            counts,
            stop_reader,
            stop_guard,
            queue,
            start_ns,
            losses: loaded.losses,
            processors: loaded.processors,
            _ebpf: ebpf,
            prober,
        })
    }

    /// Reads what is left and gives the counts. The jail must be over.
    pub fn finish(self) -> Stats {
        self.stop_reader.store(true, Ordering::Release);
        let mut stats = self.reader.join().unwrap_or_else(|_| Stats {
            error: Some("the reader of the ebpf witness failed; its last events are missing".into()),
            ..Stats::default()
        });
        // The reader's end ends the prober.
        stats.tls = self.prober.and_then(tls::Prober::finish);
        // The guard outlives the reader: a frozen subject must not wait for nobody.
        self.stop_guard.store(true, Ordering::Release);
        if let Some(guard) = self.guard {
            let _ = guard.join(); // it keeps nothing but counts
        }
        stats.freezes = self.counts.freezes.load(Ordering::Relaxed);
        stats.frozen_ns = self.counts.frozen_ns.load(Ordering::Relaxed);
        // What was lost after the last record that found room.
        let lost: u64 = (0..self.processors).filter_map(|cpu| self.losses.get(&cpu, 0).ok()).map(u64::from).sum();
        if lost > 0 {
            let time = monotonic_ns().saturating_sub(self.start_ns);
            let pushed = self.queue.push(|batch| push_loss(lost, time, batch));
            stats.lost_records += lost;
            stats.lost += if pushed.is_err() { lost } else { 0 };
        }
        stats
    }
}
