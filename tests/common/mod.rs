//! A laboratory: the built program, a place to work in, and a privilege to work at.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "shared by test programs, each of which uses a part"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use belljar_sandbox::event::Abi;
use belljar_sandbox::witness::syscalls::{by_name, lookup};
use serde_json::Value;

/// The id of `nobody`, whom root's tests become.
pub const NOBODY: u32 = 65_534;

/// Whom belljar runs as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privilege {
    /// Root.
    Root,
    /// An ordinary user: the caller, or `nobody` when the caller is root.
    User,
}

impl Privilege {
    /// What this process can run belljar as.
    pub fn available() -> Vec<Self> {
        if nix::unistd::geteuid().is_root() { vec![Self::Root, Self::User] } else { vec![Self::User] }
    }
}

/// Which witness of system calls belljar is told to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Calls {
    /// None is named: belljar chooses.
    Auto,
    /// Tracepoints; as root only.
    Ebpf,
    /// seccomp user notification.
    Notify,
}

impl Calls {
    /// As `--witness` and the scenarios name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Ebpf => "ebpf",
            Self::Notify => "notify",
        }
    }
}

/// Everything that a subject can be recorded with here: as root by either witness, as an ordinary
/// user by the one that needs no privilege. `WITNESS=notify` leaves out the others.
pub fn setups() -> Vec<(Privilege, Calls)> {
    let only = std::env::var("WITNESS").ok();
    let all = [(Privilege::Root, Calls::Ebpf), (Privilege::Root, Calls::Notify), (Privilege::User, Calls::Notify)];
    let here = Privilege::available();
    let is_wanted = |calls: Calls| only.as_ref().is_none_or(|only| only == calls.name());
    all.into_iter().filter(|(privilege, calls)| here.contains(privilege) && is_wanted(*calls)).collect()
}

/// Waits for something that must come about; how long it takes is no matter.
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The call that a `counted` event counts: by name in its detail, or by its number.
pub fn counted_call(event: &Value) -> String {
    if let Some(call) = event["detail"].as_str().and_then(by_name) {
        return call.name.to_owned();
    }
    let abi = if event["abi"] == "i386" { Abi::I386 } else { Abi::X86_64 };
    let call = event["nr"].as_u64().and_then(|nr| lookup(abi, nr as u32));
    call.unwrap_or_else(|| panic!("what does it count? {event}")).name.to_owned()
}

/// See the module.
pub struct Lab {
    privilege: Privilege,
    calls: Calls,
    dir: tempfile::TempDir,
    program: PathBuf,
    next: AtomicU32,
}

/// One recording.
pub struct Recorded {
    pub code: Option<i32>,
    pub report: Option<Value>,
    pub stderr: String,
    pub bundle: PathBuf,
}

/// What the terminal of a recording has shown.
pub fn screen_of(bundle: &Path) -> String {
    let cast = std::fs::read_to_string(bundle.join("terminal.cast")).expect("a cast");
    let lines = cast.lines().skip(1).filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter_map(|event| event[2].as_str().map(str::to_owned)).collect::<String>().replace('\r', "")
}

impl Recorded {
    /// What the subject printed.
    pub fn screen(&self) -> String {
        screen_of(&self.bundle)
    }
}

/// Whether programs are there, each with the package that has it; the test fails where one is not.
pub fn need(programs: &[(&str, &str)]) {
    for (program, package) in programs {
        let path = format!("command -v {program} || command -v /usr/sbin/{program}");
        let found = Command::new("sh").args(["-c", &path]).output().expect("sh runs");
        assert!(found.status.success(), "`{program}` is missing: apt-get install {package}");
    }
}

impl Lab {
    /// A fresh one, where belljar chooses its witness.
    pub fn new(privilege: Privilege) -> Self {
        Self::with(privilege, Calls::Auto)
    }

    /// A fresh one with this witness.
    pub fn with(privilege: Privilege, calls: Calls) -> Self {
        let dir = tempfile::Builder::new().prefix("belljar-lab-").tempdir_in("/tmp").expect("tempdir");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("chmod");
        // The build directory need not be reachable for an ordinary user: take a copy.
        let program = dir.path().join("belljar");
        // By another process: a fork of a test beside this one must not inherit it open for writing.
        let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_belljar")).arg(&program).status().expect("cp runs");
        assert!(copied.success());
        let work = dir.path().join("work");
        fs::create_dir(&work).expect("mkdir");
        let profiles = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios/profiles");
        for entry in fs::read_dir(profiles).expect("profiles") {
            let entry = entry.expect("a profile");
            fs::copy(entry.path(), work.join(entry.file_name())).expect("copy");
        }
        if privilege == Privilege::User && nix::unistd::geteuid().is_root() {
            std::os::unix::fs::chown(&work, Some(NOBODY), Some(NOBODY)).expect("chown");
        }
        Self { privilege, calls, dir, program, next: AtomicU32::new(0) }
    }

    pub fn privilege(&self) -> Privilege {
        self.privilege
    }

    pub fn calls(&self) -> Calls {
        self.calls
    }

    /// The directory belljar is called in.
    pub fn work(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    /// A call of belljar at this privilege, in the working directory.
    pub fn belljar(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .current_dir(self.work())
            .stdin(Stdio::null())
            .env_remove("RUST_BACKTRACE")
            .env("NO_COLOR", "1")
            .env("TMPDIR", "/tmp");
        if self.privilege == Privilege::User && nix::unistd::geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY).env("HOME", "/nonexistent");
        }
        command
    }

    /// A path for a new bundle.
    pub fn bundle(&self) -> PathBuf {
        self.work().join(format!("{}.belljar", self.next.fetch_add(1, Ordering::Relaxed)))
    }

    /// A call of `record` that is yet to be made.
    pub fn recording(&self, bundle: &Path, options: &[&str], command: &[&str]) -> Command {
        let mut call = self.belljar();
        call.args(["record", "--json", "-o"]).arg(bundle);
        if self.calls != Calls::Auto {
            call.args(["--witness", self.calls.name()]);
        }
        call.args(options).arg("--").args(command);
        call
    }

    /// Records a subject and reads the report.
    pub fn record(&self, options: &[&str], command: &[&str]) -> Recorded {
        let bundle = self.bundle();
        let Output { status, stdout, stderr } =
            self.recording(&bundle, options, command).output().expect("belljar runs");
        Recorded {
            code: status.code(),
            report: serde_json::from_slice(&stdout).ok(),
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
            bundle,
        }
    }

    /// Records a script of the shell's; it must come to a report.
    pub fn script(&self, options: &[&str], script: &str) -> Recorded {
        let options = [&["--seed", "4711", "--timeout", "4m"], options].concat();
        let recorded = self.record(&options, &["sh", "-c", script]);
        assert!(recorded.report.is_some(), "no report: {}", recorded.stderr);
        recorded
    }

    /// What must be seen: on the subject's screen, and among the events, by filter.
    pub fn expect(&self, recorded: &Recorded, lines: &[&str], filters: &[&str]) {
        let shown = recorded.screen();
        for line in lines {
            assert!(shown.contains(line), "{line:?} ({:?}):\n{shown}\n{}", self.privilege(), recorded.stderr);
        }
        for filter in filters {
            let found = self.events(&recorded.bundle, filter);
            assert!(!found.is_empty(), "nothing matches `{filter}` ({:?}); screen:\n{shown}", self.privilege());
        }
    }

    /// The events that match a filter, as JSON.
    pub fn events(&self, bundle: &Path, filter: &str) -> Vec<Value> {
        let output = self
            .belljar()
            .arg("events")
            .arg(bundle)
            .args(["--format", "jsonl", "--filter", filter])
            .output()
            .expect("belljar runs");
        assert!(output.status.success(), "events --filter {filter:?}: {}", String::from_utf8_lossy(&output.stderr));
        output
            .stdout
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).expect("a JSON line"))
            .collect()
    }

    /// How many events match a filter, of recordings with more of them than are worth decoding.
    pub fn count(&self, bundle: &Path, filter: &str) -> usize {
        let output = self
            .belljar()
            .arg("events")
            .arg(bundle)
            .args(["--format", "csv", "--fields", "seq", "--filter", filter])
            .output()
            .expect("belljar runs");
        assert!(output.status.success(), "events --filter {filter:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count().saturating_sub(1)
    }

    /// Builds `tests/fixtures/NAME.c` into the working directory, as `NAME`.
    pub fn build_fixture(&self, name: &str) -> PathBuf {
        self.build_fixture_with(name, &[])
    }

    /// The same, with further options for the compiler.
    pub fn build_fixture_with(&self, name: &str, options: &[&str]) -> PathBuf {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(format!("{name}.c"));
        let program = self.work().join(name);
        if !program.exists() {
            let built = Command::new("cc")
                .args(["-O1", "-Wall", "-pthread"])
                .arg("-o")
                .arg(&program)
                .arg(&source)
                // Libraries among them have to come behind what needs them.
                .args(options)
                .output()
                .expect("cc is installed");
            assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
            fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("chmod");
        }
        program
    }

    /// Whether a subject finds itself in namespaces of its own, filtered, without host ids of
    /// weight: what dangerous scenarios rest on.
    pub fn jail_holds(&self) -> bool {
        let script = "for n in pid net mnt ipc uts user; do readlink /proc/self/ns/$n; done; grep -E '^(Seccomp|NoNewPrivs):' /proc/self/status; cat /proc/self/uid_map; echo $$";
        let recorded = self.record(&["--seed", "1"], &["sh", "-c", script]);
        let cast = fs::read_to_string(recorded.bundle.join("terminal.cast")).unwrap_or_default();
        let screen: String = cast
            .lines()
            .skip(1)
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter_map(|event| event[2].as_str().map(str::to_owned))
            .collect();
        let apart = ["pid", "net", "mnt", "ipc", "uts", "user"].iter().all(|name| {
            let own = fs::read_link(format!("/proc/self/ns/{name}")).expect("a namespace");
            screen.contains(&format!("{name}:[")) && !screen.contains(&*own.to_string_lossy())
        });
        let filtered = screen.contains("Seccomp:\t2") && screen.contains("NoNewPrivs:\t1");
        let mapped = screen.lines().any(|line| {
            let ids: Vec<&str> = line.split_whitespace().collect();
            ids.len() == 3 && ids.iter().all(|id| id.parse::<u32>().is_ok()) && ids[1] != "0"
        });
        assert!(apart && filtered && mapped, "the probe says the jail does not hold ({}):\n{screen}", recorded.stderr);
        true
    }
}
