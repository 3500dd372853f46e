//! Whole sessions against what they are compared with, in interleaved rounds: start-up against
//! bubblewrap, a trapped call against bare and `strace -f`, and memory over millions of events.
//!
//! `cargo bench --bench sessions` prints a table for `benches/README.md`. Programs that are not
//! installed are said to be missing, not skipped in silence. Rounds: `ROUNDS` (default 15);
//! events of the long run: `EVENTS` (default 5,000,000).

#![allow(clippy::expect_used, clippy::print_stdout, reason = "a benchmark ends where something is wrong")]

mod common;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{is_there, number, peak_memory};

/// Calls of one round's workload.
const CALLS: u64 = 100_000;

const WRITER: &str = r#"
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
int main(int argc, char **argv)
{
    char bytes[64] = "sixty-four bytes that hold nothing of anybody's, just enough.\n";
    int null = open("/dev/null", O_WRONLY);
    for (long n = argc > 1 ? atol(argv[1]) : 0; n > 0; n--)
        if (write(null, bytes, sizeof bytes) < 0)
            return 1;
    return 0;
}
"#;

struct Bench {
    dir: tempfile::TempDir,
    next: u32,
}

/// What a session is compared with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Bare,
    Bubblewrap,
    Strace,
    Belljar,
}

impl Bench {
    fn command(&mut self, way: Way, argv: &[String]) -> Command {
        let program = |name: &str| Command::new(name);
        let mut command = match way {
            Way::Bare => program(&argv[0]),
            Way::Bubblewrap => {
                let mut command = program("bwrap");
                command.args(["--unshare-all", "--ro-bind", "/", "/", "--dev", "/dev"]).arg(&argv[0]);
                command
            }
            Way::Strace => {
                let mut command = program("strace");
                command.args(["-f", "-o", "/dev/null"]).arg(&argv[0]);
                command
            }
            Way::Belljar => {
                self.next += 1;
                let mut command = program(env!("CARGO_BIN_EXE_belljar"));
                command
                    .args(["record", "-q", "-o"])
                    .arg(self.dir.path().join(format!("{}.belljar", self.next)))
                    .arg("--")
                    .arg(&argv[0]);
                command
            }
        };
        command
            .args(&argv[1..])
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    fn time(&mut self, way: Way, argv: &[String]) -> Duration {
        let mut command = self.command(way, argv);
        let begun = Instant::now();
        let status = command.status().expect("the program runs");
        let took = begun.elapsed();
        assert!(status.success(), "{argv:?} failed");
        took
    }

    /// Medians of `rounds` rounds in which every workload has its turn.
    fn medians(&mut self, rounds: usize, work: &[(Way, Vec<String>)]) -> Vec<Duration> {
        let mut times: Vec<Vec<Duration>> = vec![Vec::new(); work.len()];
        for round in 0..=rounds {
            for (slot, (way, argv)) in times.iter_mut().zip(work) {
                let took = self.time(*way, argv);
                if round > 0 {
                    slot.push(took); // the first round warms caches
                }
            }
        }
        times
            .into_iter()
            .map(|mut times| {
                times.sort_unstable();
                times[times.len() / 2]
            })
            .collect()
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn main() {
    // Only `cargo bench` passes this: `cargo test --benches` has nothing to test here.
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    let rounds = number("ROUNDS", 15) as usize;
    let mut bench = Bench { dir: tempfile::tempdir().expect("tempdir"), next: 0 };
    let writer = bench.dir.path().join("writer");
    std::fs::write(writer.with_extension("c"), WRITER).expect("write");
    let built = Command::new("cc").arg("-O2").arg("-o").arg(&writer).arg(writer.with_extension("c")).status();
    assert!(built.is_ok_and(|status| status.success()), "a C compiler is needed");
    let writer = |calls: u64| vec![writer.to_string_lossy().into_owned(), calls.to_string()];

    let start = vec!["true".to_owned()];
    if is_there("bwrap") {
        let medians = bench
            .medians(rounds, &[(Way::Bare, start.clone()), (Way::Bubblewrap, start.clone()), (Way::Belljar, start)]);
        println!(
            "| `true`, ms | bare {:.2} | bwrap {:.2} | record {:.2} | record/bwrap {:.2} |",
            ms(medians[0]),
            ms(medians[1]),
            ms(medians[2]),
            ms(medians[2]) / ms(medians[1])
        );
    } else {
        println!("bwrap is missing: start-up was not compared");
    }

    let mut ways = vec![Way::Bare, Way::Belljar];
    if is_there("strace") {
        ways.push(Way::Strace);
    } else {
        println!("strace is missing: calls were not compared with it");
    }
    let work: Vec<(Way, Vec<String>)> =
        ways.iter().flat_map(|way| [(*way, writer(0)), (*way, writer(CALLS))]).collect();
    let medians = bench.medians(rounds.min(7), &work);
    let per_call: Vec<f64> =
        medians.chunks(2).map(|pair| (pair[1].as_secs_f64() - pair[0].as_secs_f64()) * 1e6 / CALLS as f64).collect();
    println!("| 64-byte write, us a call | bare {:.2} | record {:.2} |", per_call[0], per_call[1]);
    if let Some(strace) = per_call.get(2) {
        let ratio = (strace - per_call[0]) / (per_call[1] - per_call[0]);
        println!("| the same | strace -f {strace:.2} | overhead strace/record {ratio:.2} |");
    }

    let events = number("EVENTS", 5_000_000);
    let (peak, took) = peak_memory(bench.command(Way::Belljar, &writer(events)));
    println!(
        "| {events} events | peak memory {peak:.1} MiB | {:.1} s | {:.0} events/s |",
        took.as_secs_f64(),
        events as f64 / took.as_secs_f64()
    );
}
