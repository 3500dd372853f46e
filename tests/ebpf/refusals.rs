//! Where the kernel will not have the program: why is said, and `auto` goes on with notify.

use std::process::Command;

use serde_json::Value;

use super::{is_full, root, session};
use crate::common::Lab;

/// Runs belljar by way of `before`, with the arguments of a recording of `true`.
fn record(lab: &Lab, before: &[&str], witness: &str) -> (Option<i32>, String, Option<Value>) {
    let bundle = lab.bundle();
    let mut command = match before {
        [program, rest @ ..] => {
            let mut command = Command::new(program);
            command.args(rest).arg(lab.belljar().get_program());
            command
        }
        [] => Command::new(lab.belljar().get_program()),
    };
    let output = command
        .current_dir(lab.work())
        .args(["record", "-v", "--seed", "1", "--witness", witness, "-o"])
        .arg(&bundle)
        .args(["--", "true"])
        .output()
        .expect("belljar runs");
    let kept = bundle.join("session.json").exists().then(|| session(&bundle));
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned(), kept)
}

fn witness(session: &Value) -> (String, String) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let witnesses = session["witnesses"].as_array().expect("witnesses");
    let calls = witnesses.iter().find(|w| w["name"] == "ebpf" || w["name"] == "notify").expect("one of calls");
    (text(&calls["name"]), text(&calls["reason"]))
}

#[test]
fn a_kernel_that_refuses_is_quoted_and_notify_goes_on() {
    let Some(lab) = root() else { return };
    if !is_full(&lab) {
        return; // there is nothing to refuse
    }
    lab.build_fixture("nobpf");
    let nobpf = lab.work().join("nobpf");
    let empty = lab.work().join("empty");
    std::fs::create_dir(&empty).expect("mkdir");
    let hide = format!("mount --bind '{}' /sys/kernel/btf && exec \"$@\"", empty.display());
    let ways: [(&[&str], &str); 2] = [
        (&[nobpf.to_str().expect("text")], "CAP_BPF"),
        (&["unshare", "-m", "--propagation", "private", "sh", "-c", &hide, "sh"], "/sys/kernel/btf/vmlinux"),
    ];
    let (code, said, kept) = record(&lab, &[], "auto");
    assert_eq!(code, Some(0), "control: {said}");
    assert_eq!(witness(&kept.expect("a recording")).0, "ebpf", "control: here the kernel takes it");
    for (before, why) in ways {
        let (code, said, kept) = record(&lab, before, "auto");
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("witness notify") && said.contains(why), "{said}");
        let (name, reason) = witness(&kept.expect("a recording"));
        assert_eq!(name, "notify");
        assert!(reason.contains(why), "{reason}");

        let (code, said, kept) = record(&lab, before, "ebpf");
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(why) && said.contains("--witness notify"), "{said}");
        assert!(kept.is_none(), "nothing is left of a session that was none");

        let [program, rest @ ..] = before else { unreachable!() };
        let doctor =
            Command::new(program).args(rest).arg(lab.belljar().get_program()).arg("doctor").output().expect("it runs");
        let text = String::from_utf8_lossy(&doctor.stdout).into_owned();
        assert!(text.contains("ebpf") && text.contains(why), "{text}");
        assert_eq!(doctor.status.code(), Some(0), "belljar works without: {text}");
    }
}
