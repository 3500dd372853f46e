//! The ebpf witness is exact: every call of the subject once, with its result, attributed and
//! named; none of anybody else; and where something is lost, that is said everywhere.
//!
//! It needs root. Without, each test says that it has not run. `WITNESS=notify` points those parts
//! at the notify witness that it can show, to try the tests themselves.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;
#[path = "ebpf/loss.rs"]
mod loss;
#[path = "ebpf/names.rs"]
mod names;
#[path = "ebpf/payloads.rs"]
mod payloads;
#[path = "ebpf/refusals.rs"]
mod refusals;
#[path = "ebpf/storms.rs"]
mod storms;
#[path = "ebpf/tls.rs"]
mod tls;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use common::{Calls, Lab, Privilege, Recorded, setups};
use serde_json::Value;

/// A laboratory of root's; `None`, and said, when this is somebody else.
fn root() -> Option<Lab> {
    let found = setups().into_iter().find(|(privilege, _)| *privilege == Privilege::Root);
    if found.is_none() {
        eprintln!("not run: the ebpf witness needs root");
    }
    found.map(|(privilege, calls)| Lab::with(privilege, calls))
}

/// Whether all that is asked of the ebpf witness can be asked.
fn is_full(lab: &Lab) -> bool {
    lab.calls() == Calls::Ebpf
}

/// Records a program of the working directory that must do well and lose nothing.
fn recorded(lab: &Lab, options: &[&str], command: &[&str]) -> Recorded {
    let recorded = lab.record(options, command);
    let report = recorded.report.as_ref().unwrap_or_else(|| panic!("{command:?}: no report: {}", recorded.stderr));
    assert_eq!(report["subject"]["exit"]["code"], 0, "{command:?}: {}\n{}", recorded.stderr, screen(&recorded.bundle));
    assert_eq!(report["coverage"]["lost"], 0, "{command:?}");
    recorded
}

fn session(bundle: &Path) -> Value {
    serde_json::from_slice(&fs::read(bundle.join("session.json")).unwrap()).unwrap()
}

fn screen(bundle: &Path) -> String {
    fs::read_to_string(bundle.join("terminal.cast")).unwrap_or_default()
}

/// How many events of this op the witness of calls reported.
fn ops(lab: &Lab, bundle: &Path, op: &str) -> u64 {
    session(bundle)["totals"]["witnesses"][lab.calls().name()]["ops"][op].as_u64().unwrap_or(0)
}

/// Sums of the calls that are only counted, by interface and name.
fn counted(lab: &Lab, bundle: &Path) -> BTreeMap<(String, String), u64> {
    let mut sums = BTreeMap::new();
    for event in lab.events(bundle, "op:counted") {
        let abi = event["abi"].as_str().unwrap_or_default().to_owned();
        *sums.entry((abi, common::counted_call(&event))).or_default() += event["args"][0].as_u64().unwrap();
    }
    sums
}

#[test]
fn a_program_is_recorded_with_what_it_is_given_and_how_it_ends() {
    let Some(lab) = root() else { return };
    let script = "COLOUR=blue-4711 /bin/true first 'second one'; sh -c 'exit 37'; sh -c 'kill -TERM $$'; true";
    let recorded = recorded(&lab, &[], &["sh", "-c", script]);
    let images = lab.events(&recorded.bundle, "op:process-image path:*/bin/true");
    assert_eq!(images.len(), 1, "{images:?}");
    assert_eq!(images[0]["argv"], serde_json::json!(["/bin/true", "first", "second one"]));
    assert!(images[0]["payload"].as_str().unwrap().contains("COLOUR=blue-4711\\x00"), "{}", images[0]);
    let execs = lab.events(&recorded.bundle, "op:execve argv:'second one' path:*/bin/true");
    assert_eq!(execs.len(), 1, "{execs:?}");
    assert!(execs[0]["payload"].as_str().unwrap().contains("COLOUR=blue-4711\\x00"), "{}", execs[0]);
    if is_full(&lab) {
        assert_eq!(execs[0]["result"], 0, "{}", execs[0]);
    }
    let ends = lab.events(&recorded.bundle, "op:process-end");
    let ended = |status: u64| ends.iter().filter(|end| end["args"][0] == status).count();
    assert_eq!((ended(37 << 8), ended(15)), (1, 1), "{ends:?}");
    assert_eq!(ops(&lab, &recorded.bundle, "process-end"), ops(&lab, &recorded.bundle, "process-start"));
}

#[test]
fn a_32_bit_program_is_decoded_as_one() {
    let Some(lab) = root() else { return };
    lab.build_fixture_with("i386", &["-m32", "-static", "-nostdlib"]);
    let taken = lab.record(&[], &["./i386"]);
    assert_eq!(taken.report.expect("a report")["subject"]["exit"]["code"], 7, "{}", taken.stderr);
    let one = |filter: &str| {
        let events = lab.events(&taken.bundle, filter);
        assert_eq!(events.len(), 1, "{filter}: {events:?}");
        events[0].clone()
    };
    let path = lab.work().join("i386-file").display().to_string();
    assert_eq!(one("abi:i386 op:open nr:5")["object"], path.as_str());
    assert_eq!(one("abi:i386 op:write payload:i386-call nr:4")["object"], path.as_str());
    one("abi:i386 op:socketcall|socket");
    one("abi:x86_64 op:execve");
    assert_eq!(lab.events(&taken.bundle, "abi:x86_64 op:open*|write|socket*|exit*").len(), 0);
    if is_full(&lab) {
        assert_eq!(one("abi:i386 op:lseek nr:19")["result"], 4);
        assert_eq!(one("abi:i386 op:close nr:6")["errno"], "EBADF");
        let counted = counted(&lab, &taken.bundle);
        assert_eq!(counted.get(&("i386".to_owned(), "getpid".to_owned())), Some(&10), "{counted:?}");
    }
}

#[test]
fn what_two_witnesses_see_is_one_event() {
    let Some(lab) = root() else { return };
    assert!(lab.jail_holds(), "this subject calls reboot");
    lab.build_fixture("once");
    let recorded = recorded(&lab, &[], &["./once"]);
    let refused = [("reboot", "EPERM"), ("io_uring_setup", "ENOSYS"), ("bpf", "EPERM")];
    for (name, error) in refused {
        let events = lab.events(&recorded.bundle, &format!("op:{name}"));
        assert_eq!(events.len(), 1, "{name}: {events:?}");
        assert_eq!(events[0]["decision"], "denied", "{}", events[0]);
        assert_eq!(events[0]["errno"], error, "{}", events[0]);
        assert_eq!(events[0]["authority"], "enforced", "{}", events[0]);
    }
    for filter in [
        "op:openat path:*/once-file",
        "op:write payload:once-write",
        "op:unlink path:*/once-file",
        "op:connect host:203.0.113.9 port:80 outcome:ok",
        "op:connect",
        "op:sendto host:203.0.113.9 payload:once-datagram outcome:ok",
        "op:sendto",
        "op:execve",
        "op:process-start",
        "op:process-image",
    ] {
        let events = lab.events(&recorded.bundle, filter);
        assert_eq!(events.len(), 1, "{filter}: {events:?}");
    }
}

/// Calls that somebody else makes while a session runs.
const FOREIGN: usize = 300_000;

#[test]
fn nothing_of_other_processes_is_recorded() {
    let Some(lab) = root() else { return };
    let token = format!("foreign-{}", std::process::id());
    let bundle = lab.bundle();
    let script = "echo own-begin > /dev/null; read go; echo own-$go > /dev/null";
    let mut belljar = lab
        .recording(&bundle, &[], &["sh", "-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("belljar runs");
    let begun = || bundle.join("events.arrows").exists() && lab.count(&bundle, "payload~own-begin") == 1;
    common::wait_until("the subject runs", begun);
    let shown = lab.work().join(&token);
    let mut null = fs::OpenOptions::new().write(true).open("/dev/null").unwrap();
    for round in 0..FOREIGN / 3 {
        null.write_all(token.as_bytes()).unwrap();
        // In a directory that the subject sees, too; opened and closed.
        drop(fs::File::create(&shown).unwrap());
        if round % 500 == 0 {
            assert!(Command::new("true").arg(&token).status().unwrap().success());
        }
    }
    belljar.stdin.take().unwrap().write_all(b"end\n").unwrap();
    assert!(belljar.wait().unwrap().success());
    fs::remove_file(&shown).unwrap();
    assert_eq!(lab.count(&bundle, "payload~own-end"), 1, "control: the session saw its own to the end");
    for filter in [
        format!("payload~{token}"),
        format!("path~{token}"),
        format!("argv~{token}"),
        format!("detail~{token}"),
        // Every call belongs to a process of the session, and to the subject's program.
        "nr:* not key:*".to_owned(),
        "nr:* not key:1".to_owned(),
    ] {
        assert_eq!(lab.events(&bundle, &filter), [Value::Null; 0], "{filter}");
    }
}
