//! One program, recorded by belljar and traced by strace: per thread the same calls in the same
//! order with the same results, on the same paths; calls that are only counted, as often.
//!
//! The program (`tests/fixtures/callkinds.c`) makes more than eighty kinds of calls in processes
//! and threads of several sorts. Both run it as an ordinary user in a directory of the same path.
//! The ebpf witness records every call, and all of this is asked of it. It needs root: without,
//! the test says so and compares what the notify witness traps, as it does beside it as root.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;
#[path = "strace_equal/compare.rs"]
mod compare;
#[path = "strace_equal/log.rs"]
mod log;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use common::{Calls, Lab, NOBODY, Privilege, setups};
use log::{Counts, Outcome, Threads};
use serde_json::json;

/// Runs the fixture in `play` under strace, as an ordinary user.
fn traced(lab: &Lab, program: &Path, play: &Path) -> (Threads, Counts) {
    let logs = lab.work().join("logs");
    fs::create_dir(&logs).unwrap();
    let mut strace = Command::new("strace");
    strace.args(["-ff", "-qq", "-y", "-a", "0", "-X", "raw", "-s", "64", "-o"]).arg(logs.join("thread"));
    // Descriptor 0 is a pipe in the jail, too.
    strace.arg(program).current_dir(play).stdin(Stdio::piped()).stdout(Stdio::null());
    if nix::unistd::geteuid().is_root() {
        for dir in [play, &logs] {
            chown(dir, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        strace.uid(NOBODY).gid(NOBODY);
    }
    let done = strace.output().expect("strace is installed");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let texts: Vec<String> = fs::read_dir(&logs)
        .unwrap()
        .map(|entry| String::from_utf8_lossy(&fs::read(entry.unwrap().path()).unwrap()).into_owned())
        .collect();
    log::strace(texts.iter().map(String::as_str))
}

#[test]
fn a_recording_has_the_calls_that_strace_has() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("not root: the ebpf witness cannot run; only the calls that notify traps are compared with strace");
    }
    for (privilege, calls) in setups() {
        let lab = Lab::with(privilege, calls);
        let program = lab.build_fixture_with("callkinds", &["-static"]);
        let play = lab.work().join("play");
        fs::create_dir(&play).unwrap();
        if privilege == Privilege::User && nix::unistd::geteuid().is_root() {
            chown(&play, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let bundle = lab.bundle();
        let output = lab.recording(&bundle, &[], &[&program.to_string_lossy()]).current_dir(&play).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{calls:?}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(fs::read_dir(&play).unwrap().next().is_none(), "what the subject makes stays in its layer");
        let (recorded, recorded_counts) = log::recorded(&lab.events(&bundle, ""));
        let (expected, expected_counts) = traced(&lab, &program, &play);

        let kinds: BTreeSet<&str> = expected.values().flatten().map(|call| call.name.as_str()).collect();
        let failed = |call: &&log::Call| matches!(call.outcome, Outcome::Failed(_));
        assert!(kinds.len() >= 80, "the fixture makes {} kinds of calls", kinds.len());
        assert!(expected.values().flatten().filter(failed).count() > 50, "the fixture's failing calls fail");
        assert_eq!(expected.keys().filter(|mark| mark.starts_with("thread-")).count(), 4);

        let mut wrong = compare::calls(calls, &expected, &recorded);
        if calls == Calls::Ebpf {
            wrong.extend(compare::counts(&expected_counts, &recorded_counts));
        }
        assert!(wrong.is_empty(), "{privilege:?}, {calls:?}: {} differences:\n{}", wrong.len(), wrong.join("\n"));
        println!("{privilege:?}, {calls:?}: {} kinds of calls in {} threads agree", kinds.len(), expected.len());
    }
}

/// What strace 6.1 says of a little program with two threads.
const LOGS: [&str; 2] = [
    r#"execve("./p", ["./p"], 0x7ffc /* 3 vars */) = 0
brk(NULL) = 0x3ed97000
write(-1, "callkinds: threads", 18) = -1 EBADF (Bad file descriptor)
openat(-100</play>, "f", 0x42, 0600) = 3</play/f>
write(3</play/f>, "ab) = \"c", 8) = 8
--- SIGUSR1 {si_signo=SIGUSR1, si_code=SI_TKILL, si_pid=7, si_uid=1} ---
getpid() = 7
umask(022) = 027
openat(-100</play>, "none", 0) = -1 ENOENT (No such file or directory)
fcntl(3</play/f>, 0x3) = 0x8002 (flags O_RDWR|O_LARGEFILE)
read(4<pipe:[123]>, "", 1) = 0
fork() = 9
exit_group(0) = ?
+++ exited with 0 +++
"#,
    r#"rseq(0x7fa689fe4fe0, 0x20, 0, 0x53053053) = 0
write(-1, "callkinds: thread-x", 19) = -1 EBADF (Bad file descriptor)
getpid() = 7
pause( <unfinished ...>
"#,
];

/// The same as a recording has it.
fn events() -> Vec<serde_json::Value> {
    let call = |tid: u32, op: &str, nr: u32, result: i64| json!({"op": op, "nr": nr, "key": 1, "tid": tid, "result": result, "args": [0, 0, 0, 0, 0, 0]});
    let mut events = vec![
        call(7, "brk", 12, 1 << 40),
        call(7, "write", 1, -9),
        call(7, "openat", 257, 3),
        call(7, "write", 1, 8),
        call(8, "write", 1, -9),
        call(7, "umask", 95, 0o27),
        call(7, "openat", 257, -2),
        call(7, "fcntl", 72, 0x8002),
        call(8, "pause", 34, 0),
        call(7, "read", 0, 0),
        call(7, "fork", 57, 3),
        call(7, "exit_group", 231, 0),
        json!({"op": "process-end", "key": 1, "args": [0, 0, 0, 0, 0, 0]}),
        json!({"op": "counted", "key": 1, "nr": 39, "abi": "x86_64", "args": [2, 0, 0, 0, 0, 0]}),
        json!({"op": "counted", "key": 1, "detail": "brk", "args": [1, 0, 0, 0, 0, 0]}),
        json!({"op": "counted", "key": 1, "nr": 334, "abi": "x86_64", "args": [1, 0, 0, 0, 0, 0]}),
    ];
    for (at, mark) in [(1, "callkinds: threads"), (4, "callkinds: thread-x")] {
        events[at]["payload"] = mark.into();
    }
    for at in [2, 3, 7] {
        (events[at]["kind"], events[at]["object"]) = ("file".into(), "/play/f".into());
    }
    events[6]["errno"] = "ENOENT".into();
    for at in [8, 11] {
        events[at].as_object_mut().unwrap().remove("result");
    }
    events
}

/// Something done to a recording.
type Change = fn(&mut Vec<serde_json::Value>);

#[test]
fn both_readings_are_compared_to_the_last_difference() {
    let (expected, expected_counts) = log::strace(LOGS.into_iter());
    let (recorded, recorded_counts) = log::recorded(&events());
    assert_eq!(expected["threads"].len(), 8);
    assert_eq!(expected["threads"][0].path.as_deref(), Some("/play/f"));
    assert_eq!(expected["threads"][2].outcome, Outcome::Value(0o27));
    assert_eq!(expected["thread-x"][0].outcome, Outcome::Unknown);
    assert_eq!(compare::calls(Calls::Ebpf, &expected, &recorded), [""; 0]);
    assert_eq!(compare::counts(&expected_counts, &recorded_counts), [""; 0]);

    // Each of these changes is one difference.
    let changes: [(&str, Change); 7] = [
        ("umask", |events| drop(events.remove(5))),
        ("Value(7)", |events| events[3]["result"] = 7.into()),
        ("EACCES", |events| events[6]["errno"] = "EACCES".into()),
        ("/play/g", |events| events[7]["object"] = "/play/g".into()),
        ("getpid", |events| events[13]["args"][0] = 3.into()),
        ("Unknown", |events| drop(events[9].as_object_mut().unwrap().remove("result"))),
        ("no such thread", |events| events[4]["payload"] = "other".into()),
    ];
    for (word, change) in changes {
        let mut events = events();
        change(&mut events);
        let (recorded, recorded_counts) = log::recorded(&events);
        let mut wrong = compare::calls(Calls::Ebpf, &expected, &recorded);
        wrong.extend(compare::counts(&expected_counts, &recorded_counts));
        assert_eq!(wrong.len(), 1, "{word}: {wrong:?}");
        assert!(wrong[0].contains(word), "{word}: {wrong:?}");
    }
}
