//! `record` as its user meets it: refusals, interrupts, limits, crashes, full disks; and what is
//! left behind, which must be a recording and nothing else.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use common::{Lab, Privilege, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Processes of this machine whose command line contains `token`.
fn processes_with(token: &str) -> Vec<String> {
    fs::read_dir("/proc")
        .expect("proc")
        .flatten()
        .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
        .map(|line| text(&line))
        .filter(|line| line.contains(token))
        .collect()
}

fn session(bundle: &Path) -> Value {
    serde_json::from_slice(&fs::read(bundle.join("session.json")).expect("session.json")).expect("JSON")
}

fn control_groups_of(pid: u32) -> Vec<String> {
    let mut found = Vec::new();
    for root in ["/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/memory", "/sys/fs/cgroup/pids"] {
        for entry in fs::read_dir(root).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(&format!("belljar-{pid}-")) {
                found.push(format!("{root}/{name}"));
            }
        }
    }
    found
}

#[test]
fn refusals_name_what_is_wrong_and_leave_nothing() {
    let lab = Lab::new(Privilege::User);
    let call = |args: &[&str]| lab.belljar().args(args).output().expect("belljar runs");
    let cases: [(&[&str], i32, &[&str]); 7] = [
        (&["record", "-p", "worksation", "--", "true"], 2, &["worksation", "workstation"]),
        (&["record", "--rootfs", "/no/such/image", "--", "true"], 1, &["/no/such/image"]),
        (&["record"], 2, &["CMD"]),
        (&["record", "-o", "none.belljar", "--", "no-such-program-here"], 127, &["no-such-program-here"]),
        (&["record", "--user", "nobody-at-all", "--", "true"], 2, &["nobody-at-all"]),
        (&["record", "--bind", "/no/such/thing", "--", "true"], 1, &["/no/such/thing"]),
        (&["record", "--witness", "ebpf", "--", "true"], 1, &["needs root", "--witness notify"]),
    ];
    for (args, code, words) in cases {
        let Output { status, stdout, stderr } = call(args);
        let talk = text(&stderr);
        assert_eq!(status.code(), Some(code), "{args:?}: {talk}");
        for word in words {
            assert!(talk.contains(word), "{args:?} does not say {word:?}: {talk}");
        }
        assert!(stdout.is_empty(), "{args:?}: {}", text(&stdout));
        assert!(!talk.contains("panicked"), "{talk}");
    }
}

#[test]
fn an_output_that_exists_is_not_touched() {
    let lab = Lab::new(Privilege::User);
    let bundle = lab.bundle();
    let first =
        lab.belljar().args(["record", "-q", "-o"]).arg(&bundle).args(["--", "true"]).output().expect("belljar runs");
    assert_eq!(first.status.code(), Some(0), "{}", text(&first.stderr));
    let before = fs::read(bundle.join("session.json")).expect("session.json");
    let again = lab.belljar().args(["record", "-o"]).arg(&bundle).args(["--", "true"]).output().expect("belljar runs");
    assert_eq!(again.status.code(), Some(2), "{}", text(&again.stderr));
    assert!(
        text(&again.stderr).contains("--output") || text(&again.stderr).contains("empty"),
        "{}",
        text(&again.stderr)
    );
    assert_eq!(fs::read(bundle.join("session.json")).expect("session.json"), before);
}

#[test]
fn a_killed_belljar_leaves_a_readable_bundle_and_nothing_else() {
    for privilege in Privilege::available() {
        let lab = Lab::new(privilege);
        let bundle = lab.bundle();
        let token = format!("belljar-token-{}-{privilege:?}", std::process::id());
        let script = format!(
            ": {token}; sleep 1000 & cat ~/Documents/customers.csv > /dev/null; while :; do echo x >> /tmp/f; sleep 0.01; done"
        );
        let mut belljar = lab
            .belljar()
            .args(["record", "-q", "-o"])
            .arg(&bundle)
            .args(["--", "sh", "-c", &script])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("belljar runs");
        let pid = belljar.id();
        wait_until("the subject runs", || processes_with(&token).len() >= 2);
        let writes = || lab.events(&bundle, "op:write path:/tmp/f").len();
        wait_until("the recording grows", || bundle.join("events.arrows").exists() && writes() > 10);
        kill(Pid::from_raw(pid as i32), Signal::SIGKILL).expect("kill");
        belljar.wait().expect("wait");
        wait_until("the jail is gone", || processes_with(&token).is_empty());
        wait_until("its control groups are gone", || control_groups_of(pid).is_empty());
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
        assert!(!mounts.contains(&*lab.work().to_string_lossy()), "{mounts}");
        assert!(!lab.events(&bundle, "verb:collect asset:customers").is_empty(), "what was seen before is there");
        assert!(writes() > 10);
        let report = lab.belljar().args(["report", "--format", "json"]).arg(&bundle).output().expect("belljar runs");
        let json: Value = serde_json::from_slice(&report.stdout).expect("a report");
        assert!(matches!(report.status.code(), Some(11 | 12)), "{:?} {}", report.status, text(&report.stderr));
        assert!(json["coverage"]["blind"].to_string().contains("ends before"), "{}", json["coverage"]);
    }
}

#[test]
fn an_interrupt_ends_the_subject_and_finishes_the_bundle() {
    let lab = Lab::new(Privilege::User);
    let bundle = lab.bundle();
    let token = format!("belljar-interrupt-{}", std::process::id());
    let script = format!(": {token}; cat ~/.netrc > /dev/null; trap '' INT TERM; while :; do sleep 0.1; done");
    let belljar = lab
        .belljar()
        .args(["record", "--json", "-o"])
        .arg(&bundle)
        .args(["--", "sh", "-c", &script])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("belljar runs");
    wait_until("the subject runs", || processes_with(&token).len() >= 2);
    std::thread::sleep(Duration::from_millis(400));
    kill(Pid::from_raw(belljar.id() as i32), Signal::SIGINT).expect("kill");
    let output = belljar.wait_with_output().expect("wait");
    let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
    assert_eq!(output.status.code(), Some(11), "{report}");
    assert_eq!(session(&bundle)["state"], "complete");
    assert!(processes_with(&token).is_empty());
}

#[test]
fn a_timeout_ends_the_subject() {
    let lab = Lab::new(Privilege::User);
    let recorded = lab.record(&["--timeout", "1s"], &["sleep", "1000"]);
    assert_eq!(recorded.code, Some(0), "{}", recorded.stderr);
    assert!(recorded.stderr.contains("1s") || recorded.stderr.contains("timeout"), "{}", recorded.stderr);
    assert_eq!(recorded.report.expect("a report")["subject"]["exit"]["signal"], 9);
}

#[test]
fn a_full_disk_is_said_and_what_was_written_is_kept() {
    let lab = Lab::new(Privilege::User);
    let small = lab.work().join("small");
    // A namespace of its own holds a tiny file system, for root and for others alike.
    let script = format!(
        "mkdir -p {0} && mount -t tmpfs -o size=1500k none {0} && cd / && {1} record -o {0}/b -- sh -c 'i=0; while [ $i -lt 30000 ]; do echo $i$i$i$i; i=$((i+1)); done > /tmp/f; head -c 4000000 /dev/urandom'; \
         code=$?; {1} events {0}/b > {2}/events; echo code $code; ls -la {0}/b >&2",
        small.display(),
        lab.belljar().get_program().to_string_lossy(),
        lab.work().display()
    );
    let mut command = Command::new("unshare");
    command.args(["-Urm", "sh", "-c", &script]).env("NO_COLOR", "1").current_dir(lab.work());
    if nix::unistd::geteuid().is_root() {
        std::os::unix::process::CommandExt::uid(&mut command, 65_534);
    }
    let output = command.output().expect("unshare runs");
    let (said, talk) = (text(&output.stdout), text(&output.stderr));
    assert!(said.contains("code 1\n") || said.contains("code 12\n"), "{said}\n{talk}");
    assert!(talk.contains("No space left on device"), "{talk}");
    assert!(!talk.contains("panicked"), "{talk}");
    assert!(fs::read_to_string(lab.work().join("events")).expect("events").lines().count() > 10);
}

#[test]
fn without_user_namespaces_the_remedy_is_named() {
    let lab = Lab::new(Privilege::User);
    let program = lab.belljar().get_program().to_string_lossy().into_owned();
    let run = |limit: &str| {
        let script = format!("{limit} exec {program} record -o {}/n-{} -- true", lab.work().display(), limit.len());
        let mut command = Command::new("unshare");
        command.args(["-Ur", "sh", "-c", &script]).env("NO_COLOR", "1").current_dir(lab.work());
        if nix::unistd::geteuid().is_root() {
            std::os::unix::process::CommandExt::uid(&mut command, 65_534);
        }
        command.output().expect("unshare runs")
    };
    assert_eq!(
        run("").status.code(),
        Some(0),
        "control: it works in a namespace with namespaces: {}",
        text(&run("").stderr)
    );
    let output = run("echo 0 > /proc/sys/user/max_user_namespaces;");
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("max_user_namespaces"), "{}", text(&output.stderr));
}

#[test]
fn standard_input_is_passed_on_and_output_is_data_only() {
    let lab = Lab::new(Privilege::User);
    let bundle = lab.bundle();
    let mut child = lab
        .belljar()
        .args(["record", "--json", "-o"])
        .arg(&bundle)
        .args(["--", "sh", "-c", "read a; echo got $a"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("belljar runs");
    std::io::Write::write_all(&mut child.stdin.take().expect("stdin"), b"typed\n").expect("write");
    let output = child.wait_with_output().expect("wait");
    serde_json::from_slice::<Value>(&output.stdout).expect("nothing but the report on stdout");
    assert!(fs::read_to_string(bundle.join("terminal.cast")).expect("cast").contains("got typed"));
}

#[test]
fn hostile_bytes_reach_no_output() {
    let lab = Lab::new(Privilege::User);
    let script = r#"printf '\033]0;owned\007\033[31m'; printf x > "/tmp/$(printf '\033[31m\302\233bad')"; cat ~/.netrc > "/tmp/$(printf '\033]52;c;x\007')""#;
    let recorded = lab.record(&[], &["sh", "-c", script]);
    let clean = |bytes: &[u8], what: &str| {
        let shown = text(bytes);
        assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{what} holds control characters: {shown:?}");
    };
    clean(recorded.stderr.as_bytes(), "stderr of record");
    let calls: [&[&str]; 6] = [
        &["report"],
        &["report", "--format", "json"],
        &["events"],
        &["events", "--format", "jsonl"],
        &["events", "--format", "csv"],
        &["events", "--format", "strace"],
    ];
    for args in calls {
        let output =
            lab.belljar().args(&args[..1]).arg(&recorded.bundle).args(&args[1..]).output().expect("belljar runs");
        assert!(!output.stdout.is_empty(), "{args:?}: {}", text(&output.stderr));
        clean(&output.stdout, &format!("{args:?}"));
        clean(&output.stderr, &format!("{args:?}"));
    }
}

#[test]
fn planted_values_are_masked_unless_asked_for() {
    let lab = Lab::new(Privilege::User);
    let recorded = lab.record(
        &["--seed", "5"],
        &["sh", "-c", "cat ~/Documents/customers.csv | head -3; cp ~/Documents/customers.csv /tmp/x"],
    );
    let screen = fs::read_to_string(recorded.bundle.join("terminal.cast")).expect("cast");
    let email = screen
        .split(',')
        .find(|field| field.contains('@'))
        .expect("an e-mail address on the subject's screen")
        .to_owned();
    for args in [
        &["report"][..],
        &["report", "--format", "json"],
        &["events"],
        &["events", "--format", "jsonl"],
        &["events", "--format", "strace"],
    ] {
        let show = |reveal: bool| {
            let mut command = lab.belljar();
            command.args(&args[..1]).arg(&recorded.bundle).args(&args[1..]);
            if reveal {
                command.arg("--reveal");
            }
            text(&command.output().expect("belljar runs").stdout)
        };
        assert!(!show(false).contains(&email), "{args:?} shows {email}");
        if args == ["events", "--format", "jsonl"] {
            assert!(show(true).contains(&email), "control: it is there when asked for");
        }
    }
}

#[test]
fn the_same_seed_plants_the_same_values() {
    let lab = Lab::new(Privilege::User);
    let screen = |seed: &str| {
        let recorded = lab.record(
            &["--seed", seed],
            &[
                "sh",
                "-c",
                "sha256sum ~/Documents/customers.csv ~/.ssh/id_ed25519 /etc/machine-id; env | sort | sha256sum",
            ],
        );
        let cast = fs::read_to_string(recorded.bundle.join("terminal.cast")).expect("cast");
        cast.lines()
            .skip(1)
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter_map(|event| event[2].as_str().map(str::to_owned))
            .collect::<String>()
    };
    let first = screen("11");
    assert!(first.contains("customers.csv"), "{first}");
    assert_eq!(first, screen("11"));
    assert_ne!(first, screen("12"));
}

#[test]
fn every_profile_that_comes_with_belljar_can_be_recorded() {
    for privilege in Privilege::available() {
        let lab = Lab::new(privilege);
        for name in belljar::profile::Profile::builtin_names() {
            let recorded = lab.record(&["--profile", name], &["true"]);
            assert_eq!(recorded.code, Some(0), "{name} ({privilege:?}): {}", recorded.stderr);
        }
        // A key is planted where Debian keeps the host's own, which nobody else may list.
        let script = "ls -A /etc/ssl/private; head -n 1 /etc/ssl/private/app.key";
        let recorded = lab.record(&["--profile", "server"], &["sh", "-c", script]);
        assert_eq!(recorded.screen(), "app.key\n-----BEGIN PRIVATE KEY-----\n", "{privilege:?}: {}", recorded.stderr);
    }
}

#[test]
fn a_relative_program_of_the_current_directory_runs() {
    for privilege in Privilege::available() {
        let lab = Lab::new(privilege);
        let program = lab.work().join("installer");
        fs::write(&program, "#!/bin/sh\necho installing in $(pwd); echo made > made\n").expect("write");
        fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("chmod");
        let recorded = lab.record(&[], &["./installer"]);
        assert_eq!(recorded.code, Some(0), "{}", recorded.stderr);
        let report = recorded.report.expect("a report");
        assert_eq!(report["subject"]["exit"]["code"], 0);
        assert!(
            fs::read_to_string(recorded.bundle.join("terminal.cast"))
                .expect("cast")
                .contains(&format!("installing in {}", lab.work().display()))
        );
        assert!(!lab.work().join("made").exists(), "what it writes goes to the layer");
        let cast = |bundle: &Path| fs::read_to_string(bundle.join("terminal.cast")).expect("cast");
        let listed = lab.record(&[], &["sh", "-c", "ls -a; ls -d *.belljar; cat *.belljar/profile.toml"]);
        assert!(cast(&listed.bundle).contains("installer"), "control: the directory is shown");
        assert!(!cast(&listed.bundle).contains("0.belljar"), "recordings are not: {}", cast(&listed.bundle));
        assert_eq!(lab.events(&recorded.bundle, "witness:layer op:file-created path:*/made").len(), 1);
        let hashed = report["subject"]["executables"].as_array().expect("executables");
        let own = Command::new("sha256sum").arg("/bin/sh").output().expect("sha256sum");
        let hash = text(&own.stdout).split(' ').next().expect("a hash").to_owned();
        assert!(hashed.iter().any(|exe| exe["sha256"] == hash.as_str()), "{hashed:?} {hash}");
    }
}
