//! The system-call witness against what else records calls: strace, perf trace, bpftrace. Whole
//! processes in interleaved rounds, medians, and ratios to the bare run.
//!
//! `cargo bench --bench witness` prints tables for `benches/README.md`. As root. Every time is
//! taken inside the recorded program, so start-up counts for nobody. What is not installed, or
//! does not run here, is said to be so. Environment: `WITNESS` (default `ebpf`), `ROUNDS` (7),
//! `WRITES` of a round (200,000), `OPENS` (50,000), `EVENTS` of the long run (20,000,000; 0 leaves
//! it out).

#![allow(clippy::expect_used, clippy::print_stdout, reason = "a benchmark ends where something is wrong")]

mod common;
#[path = "witness/workload.rs"]
mod workload;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{is_there, median, number, peak_memory};
use serde_json::Value;
use workload::{Workload, programs, workloads};

/// What bpftrace prints of each call of the command's processes.
const ALL_CALLS: &str = "BEGIN { @ours[cpid] = 1 } \
     tracepoint:sched:sched_process_fork /@ours[tid]/ { @ours[args->child_pid] = 1 } \
     tracepoint:raw_syscalls:sys_enter /@ours[tid]/ { printf(\"%d %d %x\\n\", tid, args->id, args->args[0]) }";

/// The same for a command that is one process: the least that such a line can cost.
const ONE_PROCESS: &str =
    "tracepoint:raw_syscalls:sys_enter /pid == cpid/ { printf(\"%d %d %x\\n\", tid, args->id, args->args[0]) }";

/// Who records.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Recorder {
    Bare,
    Belljar,
    Strace,
    Perf,
    /// With this program.
    Bpftrace(&'static str),
}

impl Recorder {
    fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Belljar => "belljar",
            Self::Strace => "strace -f",
            Self::Perf => "perf trace",
            Self::Bpftrace(_) => "bpftrace printf",
        }
    }

    fn needs(self) -> Option<&'static str> {
        match self {
            Self::Bare | Self::Belljar => None,
            Self::Strace => Some("strace"),
            Self::Perf => Some("perf"),
            Self::Bpftrace(_) => Some("bpftrace"),
        }
    }
}

struct Bench {
    dir: tempfile::TempDir,
    witness: String,
    next: u32,
}

impl Bench {
    /// The recorder's call, and the bundle it makes, if it is belljar.
    fn command(&mut self, recorder: Recorder, argv: &[String]) -> (Command, Option<PathBuf>) {
        let mut bundle = None;
        let mut command = match recorder {
            Recorder::Bare => Command::new(&argv[0]),
            Recorder::Belljar => {
                self.next += 1;
                let path = self.dir.path().join(format!("{}.belljar", self.next));
                let mut command = Command::new(env!("CARGO_BIN_EXE_belljar"));
                command.args(["record", "-q", "--witness", &self.witness, "-o"]).arg(&path).arg("--").arg(&argv[0]);
                bundle = Some(path);
                command
            }
            Recorder::Strace => {
                let mut command = Command::new("strace");
                command.args(["-f", "-o", "/dev/null"]).arg(&argv[0]);
                command
            }
            Recorder::Perf => {
                let mut command = Command::new("perf");
                command.args(["trace", "-o", "/dev/null"]).arg(&argv[0]);
                command
            }
            Recorder::Bpftrace(program) => {
                // It takes the command as one text, cut at spaces: longer ones come from a file.
                let script = self.dir.path().join("command.sh");
                let quoted: Vec<String> = argv.iter().map(|arg| format!("'{}'", arg.replace('\'', "'\\''"))).collect();
                fs::write(&script, format!("exec {}\n", quoted.join(" "))).expect("write");
                let mut command = Command::new("bpftrace");
                command.arg("-o").arg(self.dir.path().join("bpftrace.out")).args(["-e", program, "-c"]);
                command.arg(format!("/bin/sh {}", script.display()));
                command
            }
        };
        if !matches!(recorder, Recorder::Bpftrace(_)) {
            command.args(&argv[1..]);
        }
        command.current_dir(self.dir.path()).stdin(Stdio::null());
        (command, bundle)
    }

    /// Runs it once. The time it says it took, or why there is none; and the bundle.
    fn time(&mut self, recorder: Recorder, argv: &[String]) -> (Result<Duration, String>, Option<PathBuf>) {
        let (mut command, bundle) = self.command(recorder, argv);
        let output = command.output().expect("the program runs");
        let said = match &bundle {
            Some(bundle) => screen(bundle),
            None => String::from_utf8_lossy(&output.stdout).into_owned(),
        };
        let ns = said.split_once("timeit: ").and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
        let talk = String::from_utf8_lossy(&output.stderr);
        if let Some(lost) = talk.lines().rfind(|line| line.contains("Lost ")) {
            println!("{} says: {lost}", recorder.name());
        }
        let why = || {
            let words = talk.lines().next().or_else(|| said.lines().last());
            format!("{}: {}", output.status, words.unwrap_or("it says nothing"))
        };
        (ns.map(Duration::from_nanos).ok_or_else(why), bundle)
    }

    /// Medians of rounds in which every recorder has its turn; `None`, and said, for one that fails.
    fn medians(
        &mut self,
        rounds: u64,
        recorders: &[Recorder],
        work: &Workload,
        argv: &[String],
    ) -> Vec<Option<Duration>> {
        let mut times: Vec<Vec<Duration>> = vec![Vec::new(); recorders.len()];
        let mut failed = vec![false; recorders.len()];
        for round in 0..=rounds {
            for (at, recorder) in recorders.iter().enumerate().filter(|(at, _)| !failed[*at]).collect::<Vec<_>>() {
                work.prepare();
                let (took, bundle) = self.time(*recorder, argv);
                match took {
                    Ok(took) if round > 0 => times[at].push(took),
                    Ok(_) => {} // the first round warms caches
                    Err(why) => {
                        println!("{} fails at `{}`: {why}", recorder.name(), work.name);
                        failed[at] = true;
                    }
                }
                if let Some(bundle) = bundle {
                    let _ = fs::remove_dir_all(bundle);
                }
            }
        }
        times.into_iter().zip(failed).map(|(times, failed)| if failed { None } else { median(times) }).collect()
    }
}

/// What the subject printed.
fn screen(bundle: &Path) -> String {
    let cast = fs::read_to_string(bundle.join("terminal.cast")).unwrap_or_default();
    let events = cast.lines().skip(1).filter_map(|line| serde_json::from_str::<Value>(line).ok());
    events.filter_map(|event| event[2].as_str().map(str::to_owned)).collect()
}

/// Events, lost ones, and bytes of rows and of payload files.
fn sizes(bundle: &Path) -> (f64, u64, f64, f64) {
    let text = fs::read(bundle.join("session.json")).expect("session.json");
    let session: Value = serde_json::from_slice(&text).expect("JSON");
    let (mut rows, mut payloads) = (0, 0);
    for entry in fs::read_dir(bundle).expect("a bundle").flatten() {
        let (name, len) = (entry.file_name().to_string_lossy().into_owned(), entry.metadata().expect("a file").len());
        match name.as_str() {
            name if name.starts_with("payloads") => payloads += len,
            "events.arrows" | "objects.arrows" | "processes.arrows" => rows += len,
            _ => {}
        }
    }
    let count = |value: &Value| value.as_u64().expect("a number");
    (count(&session["totals"]["events"]) as f64, count(&session["lost"]), rows as f64, payloads as f64)
}

fn row(name: &str, cells: impl Iterator<Item = String>) {
    println!("| {name} | {} |", cells.collect::<Vec<_>>().join(" | "));
}

fn header(first: &str, names: &[&str]) {
    row(first, names.iter().map(|name| (*name).to_owned()));
    println!("|{}", "---|".repeat(names.len() + 1));
}

/// A time in this unit, and how many times the bare one it is.
fn cell(took: Option<Duration>, bare: Option<Duration>, unit: f64) -> String {
    let Some(took) = took.map(|took| took.as_secs_f64()) else { return "-".to_owned() };
    let times = bare.filter(|bare| !bare.is_zero()).map(|bare| took / bare.as_secs_f64());
    times.map_or_else(|| format!("{:.2}", took / unit), |times| format!("{:.2} ({times:.2}x)", took / unit))
}

fn main() {
    // Only `cargo bench` passes this: `cargo test --benches` has nothing to test here.
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    let (rounds, writes) = (number("ROUNDS", 7), number("WRITES", 200_000));
    let witness = std::env::var("WITNESS").unwrap_or_else(|_| "ebpf".to_owned());
    let mut bench = Bench { dir: tempfile::tempdir().expect("tempdir"), witness, next: 0 };
    let dir = bench.dir.path().to_path_buf();
    programs(&dir);
    let is_here = |recorder: &Recorder| {
        let missing = recorder.needs().filter(|program| !is_there(program));
        missing.inspect(|program| println!("{program} is missing: it was not compared")).is_none()
    };
    let all = [Recorder::Bare, Recorder::Belljar, Recorder::Strace, Recorder::Perf];
    let all: Vec<Recorder> = all.into_iter().chain([Recorder::Bpftrace(ONE_PROCESS)]).filter(is_here).collect();
    println!("belljar's witness: {}; {rounds} rounds, medians", bench.witness);

    println!("\n64-byte write to /dev/null, {writes} a round, ns a call\n");
    header("", &all.iter().map(|recorder| recorder.name()).collect::<Vec<_>>());
    let argv = [dir.join("writer").to_string_lossy().into_owned(), writes.to_string()];
    let work = Workload { name: "64-byte write", argv: argv.to_vec(), fresh: None };
    let medians = bench.medians(rounds, &all, &work, &argv);
    row("ns a call", medians.iter().map(|took| cell(*took, medians[0], 1e-9 * writes as f64)));

    println!("\nwhole commands, ms\n");
    let some = [Recorder::Bare, Recorder::Belljar, Recorder::Strace, Recorder::Bpftrace(ALL_CALLS)];
    let some: Vec<Recorder> = some.into_iter().filter(|recorder| recorder.needs().is_none_or(is_there)).collect();
    let work = workloads(&dir, writes, number("OPENS", 50_000));
    header("", &some.iter().map(|recorder| recorder.name()).collect::<Vec<_>>());
    for work in &work {
        let medians = bench.medians(rounds, &some, work, &timed(&dir, work));
        row(work.name, medians.iter().map(|took| cell(*took, medians[0], 1e-3)));
    }

    println!("\non disk\n");
    header("", &["events", "lost", "bytes an event, rows", "bytes an event, payloads"]);
    for work in &work {
        work.prepare();
        if let (Ok(_), Some(bundle)) = bench.time(Recorder::Belljar, &timed(&dir, work)) {
            size_row(work.name, &bundle);
        }
    }
    let events = number("EVENTS", 20_000_000);
    if events > 0 {
        let writer = [dir.join("writer").to_string_lossy().into_owned(), events.to_string()];
        let (command, bundle) = bench.command(Recorder::Belljar, &writer);
        let (peak, took) = peak_memory(command);
        let bundle = bundle.expect("belljar makes a bundle");
        size_row(&format!("{events} writes at full speed"), &bundle);
        let (all, ..) = sizes(&bundle);
        println!(
            "\n{:.0} events/s to disk, {:.1} s; peak resident memory {peak:.1} MiB",
            all / took.as_secs_f64(),
            took.as_secs_f64()
        );
    }
}

fn size_row(name: &str, bundle: &Path) {
    let (events, lost, rows, payloads) = sizes(bundle);
    let cells =
        [format!("{events}"), format!("{lost}"), format!("{:.2}", rows / events), format!("{:.2}", payloads / events)];
    row(name, cells.into_iter());
}

/// The command under `timeit`.
fn timed(dir: &Path, work: &Workload) -> Vec<String> {
    std::iter::once(dir.join("timeit").to_string_lossy().into_owned()).chain(work.argv.iter().cloned()).collect()
}
