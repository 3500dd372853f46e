//! The command line from outside: help, errors and exit codes of every command as transcripts
//! (`tests/cli/*.trycmd`; `TRYCMD=overwrite` rewrites them), and `events` over a bundle.

#![allow(clippy::expect_used, reason = "a test fails by panicking, in its helpers too")]

use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};

use belljar::bundle::{Clocks, Header, Outcome, Privilege, ProfileInfo, Row, Writer};
use belljar::profile::Profile;
use belljar::store::{AssetInfo, AssetSet, Object, Process, Record, Totals, Verb, Verbs, ops};
use belljar_sandbox::event::{Abi, Authority, Decision, Kind, ObjectKind, ProcessKey, Witness};
use belljar_sandbox::witness::syscalls::lookup;

#[test]
fn transcripts() {
    trycmd::TestCases::new().env("NO_COLOR", "1").env("LC_ALL", "C.UTF-8").case("tests/cli/*.trycmd");
}

/// A recording of `count` writes to a file and one refused connection; not ended when `cut`.
fn recording(dir: &Path, count: u64, cut: bool) {
    let profile = Profile::load("workstation").and_then(|profile| profile.effective(1)).expect("a profile");
    let header = Header {
        argv: vec!["app".to_owned()],
        privilege: Privilege::Rootless,
        witnesses: Vec::new(),
        clocks: Clocks { monotonic_ns: 0, realtime_ns: 0 },
        profile: ProfileInfo { name: "workstation".to_owned(), sha256: String::new(), seed: 1 },
        profile_toml: profile.text,
        assets: vec![AssetInfo { name: "customers".to_owned(), class: "identity".to_owned() }],
        terminal: (80, 24),
        payload_limit: 256,
        capture_limit: 4096,
    };
    let mut writer = Writer::create(dir, &header).expect("bundle");
    let process = Process { key: ProcessKey(1), pid: 2, exe: b"/opt/app".to_vec(), ..Process::default() };
    writer.process(1, &process);
    for seq in 1..=count + 1 {
        let last = seq > count;
        let nr = if last { 42 } else { 1 };
        let name: &[u8] = if last { b"203.0.113.9:80" } else { b"/var/tmp/.cache\x1b[2J" };
        let object = Object { kind: if last { ObjectKind::Tcp } else { ObjectKind::File }, name: name.into() };
        let kind = Kind::Call { abi: Abi::X86_64, nr };
        let mut record = Record {
            seq,
            time_ns: seq * 1_000_000,
            witness: Witness::Notify,
            kind,
            call: lookup(Abi::X86_64, nr),
            process: Some(&process),
            tid: 2,
            args: [3, 0, 5, 0, 0, 0],
            result: Some(if last { -101 } else { 5 }),
            duration_ns: None,
            decision: Decision::Allowed,
            authority: Authority::Observed,
            object: Some(&object),
            target: None,
            detail: b"",
            payload: b"hello",
            payload_len: 5,
            verbs: Verbs::default(),
            assets: AssetSet::default(),
        };
        if last {
            record.verbs.insert(Verb::Transmit);
            record.assets.insert(0);
        }
        let object = Some(writer.object(object.kind, &object.name));
        let row = Row { record: &record, op: ops().of(kind), process: process.key, object, target: None };
        writer.append(&row).expect("event");
    }
    writer.flush().expect("flush");
    if !cut {
        let outcome = Outcome { exit: None, duration_ns: 1, totals: Totals::default(), ..Outcome::default() };
        writer.finish(outcome).expect("end");
    }
}

fn belljar(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_belljar"));
    command.args(args).env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
    command
}

fn events(dir: &Path, args: &[&str]) -> (String, String, Option<i32>) {
    let output = belljar(&["events", dir.to_str().expect("UTF-8")]).args(args).output().expect("belljar");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (text(output.stdout), text(output.stderr), output.status.code())
}

#[test]
fn events_are_filtered_and_printed() {
    let dir = tempfile::tempdir().expect("directory");
    recording(dir.path(), 3, false);
    let (out, err, code) = events(dir.path(), &["--filter", "class:identity verb:transmit", "--fields", "seq,op,host"]);
    assert_eq!(
        (out.as_str(), err.as_str(), code),
        ("     seq  op              host\n       4  connect         203.0.113.9\n", "", Some(0))
    );
    let (out, _, _) =
        events(dir.path(), &["--filter", "path~\"/.cache\" t:2ms..", "--format", "jsonl", "--fields", "seq,object"]);
    assert_eq!(out.lines().count(), 2);
    assert!(out.starts_with(r#"{"seq":2,"object":"/var/tmp/.cache\\x1b[2J","object_base64":"#), "{out}");
    let (out, _, _) = events(dir.path(), &["--format", "csv", "--fields", "seq,errno,bytes", "--filter", "errno:*"]);
    assert_eq!(out, "seq,errno,bytes\n4,ENETUNREACH,5\n");
    let (out, _, _) = events(dir.path(), &["--format", "strace", "--filter", "seq:4"]);
    assert!(out.contains("connect(3"), "{out}");
}

#[test]
fn a_wrong_filter_is_a_usage_error_with_a_caret() {
    let dir = tempfile::tempdir().expect("directory");
    recording(dir.path(), 1, false);
    let (out, err, code) = events(dir.path(), &["--filter", "op:wirte"]);
    assert_eq!(
        (out.as_str(), err.as_str(), code),
        (
            "",
            "belljar: --filter: `op` is never `wirte` (column 4)\n  op:wirte\n     ^^^^^\n  did you mean `write`?\n",
            Some(2)
        )
    );
    // Names of assets are those of the recording.
    let (_, err, code) = events(dir.path(), &["--filter", "asset:custmers"]);
    assert!(code == Some(2) && err.contains("did you mean `customers`?"), "{err}");
}

#[test]
fn a_filter_is_taken_by_its_name_or_said_not_to_be_there() {
    let dir = tempfile::tempdir().expect("directory");
    recording(dir.path(), 1, false);
    let config = tempfile::tempdir().expect("directory");
    let ask = |filter: &str| {
        let bundle = dir.path().to_str().expect("UTF-8");
        let mut command = belljar(&["events", bundle, "--fields", "seq", "--filter", filter]);
        let output = command.env("XDG_CONFIG_HOME", config.path()).output().expect("belljar");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        (text(output.stdout), text(output.stderr), output.status.code())
    };
    let (out, err, code) = ask("seq:1 @out");
    assert_eq!((out.as_str(), code), ("", Some(2)));
    assert!(err.contains("no filter is saved as `@out` (column 7)") && err.contains("none is saved yet"), "{err}");
    std::fs::create_dir(config.path().join("belljar")).expect("room");
    std::fs::write(config.path().join("belljar/filters.toml"), "[filters]\nout = \"verb:transmit\"\n").expect("room");
    assert_eq!(ask("@out"), ("seq\n2\n".to_owned(), String::new(), Some(0)));
    let (_, err, code) = ask("@outt");
    assert!(code == Some(2) && err.contains("saved are `@out`"), "{err}");
    // The control: what is no name is looked for.
    assert_eq!(ask("not \"@outt\" host:a@b.example"), ("seq\n".to_owned(), String::new(), Some(0)));
}

#[test]
fn a_recording_that_was_cut_off_is_printed_and_said_to_be() {
    let dir = tempfile::tempdir().expect("directory");
    recording(dir.path(), 2, true);
    let (out, err, code) = events(dir.path(), &["--follow"]);
    assert_eq!((out.lines().count(), code), (4, Some(0)));
    assert!(err.contains("cut off"), "{err}");
}

#[test]
fn a_reader_that_leaves_ends_it_quietly() {
    let dir = tempfile::tempdir().expect("directory");
    // More than a pipe holds.
    recording(dir.path(), 20_000, false);
    let mut child = belljar(&["events", dir.path().to_str().expect("UTF-8")])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("belljar");
    let mut first = [0; 16];
    child.stdout.take().expect("output").read_exact(&mut first).expect("a first line");
    let output = child.wait_with_output().expect("end");
    assert_eq!((output.stderr.as_slice(), output.status.code()), (&b""[..], Some(0)));
}
