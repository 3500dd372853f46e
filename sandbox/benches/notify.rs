//! What a trapped call costs: nanoseconds of one 64-byte `write`, bare, under the notify witness, and under strace.
//!
//! `cargo bench -p belljar-sandbox --bench notify [-- COUNT]`

#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on says so")]

#[path = "../tests/notify/harness.rs"]
#[allow(dead_code, reason = "the tests use all of it")]
mod harness;

use std::process::Command;

use harness::{Options, fixture, run};

/// Writes under strace, which is slow, are fewer.
const STRACED: u32 = 20;

fn main() {
    let count: u32 = std::env::args().find_map(|word| word.parse().ok()).unwrap_or(1_000_000);
    let (all, fewer) = (count.to_string(), (count / STRACED).max(1).to_string());
    let options = Options { keep: 1, ..Options::default() };
    let place = tempfile::tempdir().expect("folder");
    let file = place.path().join("file");
    let file = file.to_str().expect("text");
    for (what, target) in [("/dev/null", "/dev/null"), ("a file", file)] {
        let bare = |program: &mut Command, count: &str| {
            let out = program.arg(fixture("subject")).args(["loop", count, target]).output().expect("runs");
            String::from_utf8_lossy(&out.stdout).trim().to_owned()
        };
        println!("{what}, bare: {} ns", bare(Command::new("env").args(["--"]), &all));
        for _ in 0..3 {
            let run = run(&options, &["{subject}", "loop", &all, target]);
            println!("{what}, notify: {} ns ({} calls, {} lost)", run.stdout.trim(), run.stats.calls, run.stats.lost);
        }
        println!("{what}, strace -f: {} ns", bare(Command::new("strace").args(["-f", "-o", "/dev/null"]), &fewer));
        let only = ["-f", "--seccomp-bpf", "-e", "trace=write", "-o", "/dev/null"];
        println!("{what}, strace -f --seccomp-bpf: {} ns", bare(Command::new("strace").args(only), &fewer));
    }
}
