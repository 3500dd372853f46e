//! What benchmarks share.

#![allow(dead_code, clippy::expect_used, reason = "shared by benchmarks, each of which uses a part")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use belljar::bundle::{Clocks, Header, Privilege, ProfileInfo};

pub(crate) fn is_there(program: &str) -> bool {
    Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

/// A number from the environment.
pub(crate) fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// The middle one; the upper of two.
pub(crate) fn median(mut times: Vec<Duration>) -> Option<Duration> {
    times.sort_unstable();
    times.get(times.len() / 2).copied()
}

/// The most memory a process ever had, in MiB, sampled until it ends, and how long it ran.
pub(crate) fn peak_memory(mut command: Command) -> (f64, Duration) {
    let begun = Instant::now();
    let mut child = command.spawn().expect("belljar runs");
    let status: PathBuf = Path::new("/proc").join(child.id().to_string()).join("status");
    let mut peak = 0.0f64;
    while child.try_wait().expect("a child").is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line =
            text.lines().find_map(|line| line.strip_prefix("VmHWM:")).and_then(|rest| rest.trim().strip_suffix(" kB"));
        if let Some(kib) = line.and_then(|kib| kib.trim().parse::<f64>().ok()) {
            peak = peak.max(kib / 1024.0);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    (peak, begun.elapsed())
}

/// Of a recording that nothing ran for.
pub(crate) fn header() -> Header {
    Header {
        argv: vec!["bench".into()],
        privilege: Privilege::Root,
        witnesses: Vec::new(),
        clocks: Clocks::now(),
        profile: ProfileInfo { name: "workstation".into(), sha256: String::new(), seed: 1 },
        profile_toml: String::new(),
        assets: Vec::new(),
        terminal: (80, 24),
        payload_limit: 256,
        capture_limit: 65_536,
    }
}
