//! The notify witness on real programs and on hostile ones.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on says so")]

#[path = "notify/harness.rs"]
mod harness;

use belljar_sandbox::event::{Abi, Authority, Decision, Kind, ObjectKind, ProcessKey};
use harness::{Options, Run, Seen, run};

fn plain(command: &[&str]) -> Run {
    run(&Options::default(), command)
}

fn namespaced(command: &[&str]) -> Run {
    run(&Options { namespaces: true, ..Options::default() }, command)
}

fn ok(run: &Run) {
    assert_eq!(run.status, 0, "stderr: {}", run.stderr);
}

#[test]
fn a_shell_and_its_children_are_followed() {
    let run = run(
        &Options { files: vec![("data", "client data\n")], ..Options::default() },
        &["sh", "-c", "cat data > copy; echo done | tr a-z A-Z"],
    );
    ok(&run);
    assert_eq!(run.stdout, "DONE\n");
    let place = run.folder.path().to_str().expect("text");
    let copied = run
        .calls("write")
        .find(|seen| seen.payload == b"client data\n")
        .or_else(|| run.calls("copy_file_range").find(|seen| seen.payload == b"client data\n"));
    let copied = copied.expect("cat copies by one of these");
    let to =
        if copied.name() == "write" { copied.object() } else { String::from_utf8_lossy(&copied.target).into_owned() };
    assert_eq!(to, format!("{place}/copy"));
    let shout = run.write_of(b"DONE\n");
    assert_eq!(shout.event.object_kind, ObjectKind::Pipe);

    // The first process is the subject; every other one's line leads to it.
    let starts = run.starts();
    assert_eq!(starts[&ProcessKey(1)].event.args[0], 0);
    assert!(starts.len() >= 3);
    for (key, start) in &starts {
        assert!(*key == ProcessKey(1) || start.event.args[0] >= 1 && start.event.args[0] < u64::from(key.0));
    }
    for kind in [Kind::ProcessEnd, Kind::ProcessImage] {
        for key in starts.keys() {
            assert!(run.of_kind(kind).any(|seen| seen.event.process == *key), "{kind:?} of {key:?}");
        }
    }
    let programs: Vec<String> = run.of_kind(Kind::ProcessImage).map(Seen::object).collect();
    for program in ["/cat", "/tr"] {
        assert!(programs.iter().any(|path| path.ends_with(program)), "{programs:?}");
    }
    let cat = run.of_kind(Kind::ProcessImage).find(|seen| seen.object().ends_with("/cat")).expect("cat");
    assert_eq!(cat.detail, b"cat\0data\0");
    assert!(cat.payload.split(|byte| *byte == 0).any(|entry| entry == b"TOKEN=planted-token"));
    let exec = run.calls("execve").find(|seen| seen.detail == b"cat\0data\0" && seen.event.result.is_none());
    let exec = exec.expect("exec of cat");
    assert!(exec.object().ends_with("/cat"));
    assert!(exec.payload.split(|byte| *byte == 0).any(|entry| entry == b"TOKEN=planted-token"));
    for end in run.of_kind(Kind::ProcessEnd) {
        assert_eq!(end.event.args[0], 0);
    }
}

#[test]
fn python_is_followed() {
    let run = run(
        &Options { files: vec![("data", "from python")], ..Options::default() },
        &["/usr/bin/env", "python3", "-c", "open('out','w').write(open('data').read())"],
    );
    ok(&run);
    let place = run.folder.path().to_str().expect("text");
    assert_eq!(run.write_of(b"from python").object(), format!("{place}/out"));
}

#[test]
fn threads_are_told_apart_and_belong_to_one_process() {
    let run = plain(&["{subject}", "threads"]);
    ok(&run);
    let writes: Vec<_> = (0..8).map(|n| run.write_of(format!("thread {n}").as_bytes())).collect();
    let mut threads: Vec<u32> = writes.iter().map(|seen| seen.event.tid).collect();
    threads.sort_unstable();
    threads.dedup();
    assert_eq!(threads.len(), 8);
    assert!(writes.iter().all(|seen| seen.event.process == ProcessKey(1)));
    assert!(writes.iter().all(|seen| seen.object() == "/dev/null" && seen.event.object_kind == ObjectKind::Device));
    assert_eq!(run.starts().len(), 1);
}

#[test]
fn an_exec_from_a_secondary_thread_keeps_the_process() {
    let run = plain(&["{subject}", "thread-exec"]);
    ok(&run);
    let (before, after) = (run.write_of(b"before"), run.write_of(b"after"));
    assert_eq!((before.event.process, before.event.tid), (after.event.process, after.event.tid));
    assert_eq!(run.starts().len(), 1);
    let images: Vec<_> = run.of_kind(Kind::ProcessImage).map(|seen| seen.detail.clone()).collect();
    assert_eq!(images.len(), 2);
    assert!(images[1].ends_with(b"\0say\0after\0"), "{images:?}");
}

#[test]
fn a_failed_exec_is_no_new_program() {
    let run = plain(&["{subject}", "exec-fails"]);
    ok(&run);
    let failed = run.calls("execve").find(|seen| seen.object() == "/nonexistent/program").expect("tried");
    assert_eq!(failed.event.result, Some(-i64::from(libc::ENOENT)));
    let kinds: Vec<_> = run
        .seen
        .iter()
        .filter_map(|seen| match seen.event.kind {
            Kind::ProcessImage => Some("image"),
            _ if seen.payload == b"still here" => Some("still"),
            _ if seen.payload == b"now another" => Some("another"),
            _ => None,
        })
        .collect();
    assert_eq!(kinds, ["image", "still", "image", "another"]);
}

#[test]
fn a_vfork_child_is_read_from_its_own_memory_after_exec() {
    let run = plain(&["{subject}", "vfork"]);
    ok(&run);
    let child = run.write_of(b"the child's").event.process;
    assert_eq!(run.write_of(b"the parent's").event.process, child);
    assert_eq!(run.write_of(b"the parent's again").event.process, ProcessKey(1));
    assert_eq!(run.starts()[&child].event.args[0], 1);
}

#[test]
fn two_thousand_children_are_each_known() {
    let run = plain(&["{subject}", "storm", "2000"]);
    ok(&run);
    assert_eq!(run.starts().len(), 2001);
    let mut ends = 0;
    for n in 0..2000 {
        let child = run.write_of(format!("child {n}").as_bytes()).event.process;
        assert_eq!(run.starts()[&child].event.args[0], 1);
        let end = run.of_kind(Kind::ProcessEnd).find(|seen| seen.event.process == child).expect("its end");
        assert_eq!(end.event.args[0], (n & 127) << 8);
        ends += 1;
    }
    assert_eq!(ends, 2000);
    assert_eq!((run.stats.stale, run.stats.callers_unknown, run.stats.descriptors_short), (0, 0, 0));
}

#[test]
fn a_crowd_alive_at_once_is_kept_apart() {
    let run = plain(&["{subject}", "crowd", "1500"]);
    ok(&run);
    assert_eq!(run.starts().len(), 1501);
    for n in 0..1500 {
        let first = run.write_of(format!("child {n}").as_bytes()).event;
        assert_eq!(run.write_of(format!("again {n}").as_bytes()).event.process, first.process);
    }
    assert_eq!((run.stats.stale, run.stats.callers_unknown), (0, 0));
    assert_eq!(run.of_kind(Kind::ProcessEnd).count(), 1501);
}

#[test]
fn an_orphan_is_still_its_parents_child() {
    let run = plain(&["{subject}", "orphan"]);
    ok(&run);
    let orphan = run.write_of(b"orphan").event.process;
    let starts = run.starts();
    let parent = starts[&orphan].event.args[0];
    assert!(parent > 1, "{parent}");
    assert_eq!(starts[&ProcessKey(parent as u32)].event.args[0], 1);
}

#[test]
fn narrow_calls_are_decoded_by_their_own_table() {
    let options = Options {
        namespaces: true,
        files: vec![("planted", "0123456789abcdef")],
        assets: vec!["{}/planted"],
        ..Options::default()
    };
    let run = run(&options, &["{subject}", "int80", "{}/planted"]);
    ok(&run);
    let narrow: Vec<_> = run.seen.iter().filter(|seen| seen.abi() == Some(Abi::I386)).collect();
    let shown: Vec<_> = narrow
        .iter()
        .map(|seen| (seen.name(), seen.object(), String::from_utf8_lossy(&seen.payload).into_owned()))
        .collect();
    let place = format!("{}/planted", run.folder.path().to_str().expect("text"));
    let planted = "0123456789abcdef";
    let text = |object: &str, payload: &str| (object.to_owned(), payload.to_owned());
    let expected = [
        ("open", text("/dev/null", "")),
        ("write", text("/dev/null", "narrow bytes")),
        ("writev", text("/dev/null", "narrownar")),
        ("socketcall", text("", "")),
        ("socketcall", text("203.0.113.7:4433", "")),
        ("open", text(&place, "")),
        ("pread64", text(&place, "456789abcd")),
        ("mmap", text(&place, planted)),
        ("mmap2", text(&place, planted)),
    ]
    .map(|(name, (object, payload))| (name, object, payload));
    assert_eq!(shown, expected);
    let connect = narrow[4];
    assert_eq!((connect.detail.as_slice(), connect.event.object_kind), (&b"connect"[..], ObjectKind::Tcp));
    // Performed for it, on copied arguments: the network of its own has no way out.
    assert_eq!(run.stdout, format!("-{}\n", libc::ENETUNREACH));
    assert_eq!(connect.event.result, Some(-i64::from(libc::ENETUNREACH)));
    assert_eq!(connect.event.authority, Authority::Enforced);
}

#[test]
fn an_x32_call_is_recorded_and_ends_the_process() {
    let run = plain(&["{subject}", "x32"]);
    assert_eq!(run.status, 128 + 9);
    let call = run.seen.iter().find(|seen| seen.abi() == Some(Abi::X32)).expect("recorded");
    assert_eq!((call.event.decision, call.event.authority), (Decision::Denied, Authority::Enforced));
    assert_eq!((call.name(), call.event.process), ("getpid", ProcessKey(1)));
    assert!(run.seen.iter().all(|seen| seen.payload != b"never"));
    assert_eq!(run.stats.killed, 1);
    let end = run.of_kind(Kind::ProcessEnd).next().expect("end");
    assert_eq!(end.event.args[0], 9);
}

#[test]
fn numbers_that_nobody_knows_get_enosys_and_are_recorded() {
    let run = plain(&["{subject}", "unknown"]);
    ok(&run);
    assert_eq!(run.stdout, "-1 1 -1 1 1\n");
    let numbers: Vec<_> = run
        .seen
        .iter()
        .filter(|seen| seen.name() == "?")
        .map(|seen| (seen.event.kind, seen.event.result, seen.event.decision))
        .collect();
    let call = |abi, nr| (Kind::Call { abi, nr }, Some(-i64::from(libc::ENOSYS)), Decision::Denied);
    assert_eq!(numbers, [call(Abi::X86_64, 999), call(Abi::X86_64, u32::MAX), call(Abi::I386, 999)]);
    assert_eq!(run.stats.unknown_numbers, 3);
}

#[test]
fn refused_calls_get_the_tables_errno() {
    let run = plain(&["{subject}", "refused"]);
    ok(&run);
    let call = run.calls("io_uring_setup").next().expect("recorded");
    let errno = -call.event.result.expect("refused");
    assert_eq!(run.stdout, format!("-1 {errno}\n"));
    assert_eq!((call.event.decision, call.event.authority), (Decision::Denied, Authority::Enforced));
    assert_eq!(run.stats.refused.get("io_uring_setup"), Some(&1));
}

#[test]
fn four_thousand_byte_paths_that_are_no_text() {
    let run = plain(&["{subject}", "long"]);
    ok(&run);
    let opens: Vec<_> =
        run.calls("open").chain(run.calls("openat")).filter(|seen| seen.object.contains(&0xfe)).collect();
    // The last name of the first is 255 bytes at most, so whether it can be made depends on its length.
    assert_eq!(opens.len(), 2);
    let mut place = run.folder.path().to_str().expect("text").as_bytes().to_vec();
    for _ in 0..15 {
        place.push(b'/');
        place.extend([0xff; 250]);
    }
    for open in &opens {
        assert!(open.object.starts_with(&place), "{}", open.object());
    }
    let deep = run.write_of(b"deep");
    assert!(deep.object.starts_with(&place) && deep.object.ends_with(&[0xfe; 100]));
    let cut = run.calls("open").chain(run.calls("openat")).find(|seen| seen.object.ends_with(b"aaaa")).expect("cut");
    let name = cut.object.rsplit(|byte| *byte == b'/').next().expect("name");
    assert_eq!(name, [b'a'; 4096]);
}

#[test]
fn closing_all_descriptors_blinds_nobody() {
    let run = plain(&["{subject}", "close-all"]);
    ok(&run);
    let lost = run.write_of(b"into nothing");
    assert_eq!((lost.object(), lost.event.object_kind), (String::new(), ObjectKind::None));
    assert_eq!(run.write_of(b"open again").object(), "/dev/null");
    assert!(run.stats.names_unknown >= 2);
}

#[test]
fn connects_that_lead_out_are_performed_and_others_observed() {
    let run = namespaced(&["{subject}", "connect"]);
    ok(&run);
    let unreachable = -i64::from(libc::ENETUNREACH);
    // No interface is up in there, not even loopback; without any IPv6 the errno is another.
    let got: Vec<i64> = run.stdout.split_whitespace().map(|word| word.parse().expect("errno")).collect();
    let [_, _, _, _, six] = got[..] else { panic!("{got:?}") };
    assert_eq!(got, [unreachable, unreachable, unreachable, unreachable, six]);
    assert!(six < 0);
    let place = run.folder.path().to_str().expect("text");
    let connects: Vec<_> = run
        .calls("connect")
        .map(|seen| (seen.object(), seen.event.object_kind, seen.event.authority, seen.event.result))
        .collect();
    let (enforced, observed) = (Authority::Enforced, Authority::Observed);
    assert_eq!(
        connects,
        [
            ("203.0.113.9:80".into(), ObjectKind::Tcp, enforced, Some(unreachable)),
            ("127.0.0.1:9".into(), ObjectKind::Tcp, observed, None),
            ("203.0.113.9:80".into(), ObjectKind::Tcp, enforced, Some(unreachable)),
            ("[2001:db8::1]:443".into(), ObjectKind::Tcp, enforced, Some(six)),
            (format!("{place}/no.sock"), ObjectKind::Unix, observed, None),
            ("@hidden".into(), ObjectKind::Unix, observed, None),
        ]
    );
    let send = run.calls("sendto").next().expect("sent");
    assert_eq!((send.target.as_slice(), send.payload.as_slice()), (&b"203.0.113.9:80"[..], &b"datagram"[..]));
    assert_eq!((send.event.target_kind, send.event.result), (ObjectKind::Udp, Some(unreachable)));
    assert_eq!(run.stats.performed, 4);
}

#[test]
fn unix_sockets_are_named_and_messages_read_whole() {
    let run = plain(&["{subject}", "socket-pair"]);
    ok(&run);
    let place = run.folder.path().to_str().expect("text");
    let socket = format!("{place}/here.sock");
    assert_eq!(run.objects("bind"), [socket.as_str()]);
    let write = run.write_of(b"to server");
    assert_eq!((write.object(), write.event.object_kind), (socket.clone(), ObjectKind::Unix));
    let message = run.calls("sendmsg").next().expect("sent");
    assert_eq!((message.payload.as_slice(), message.event.payload_len), (&b"one two"[..], 7));
    assert_eq!(message.detail, format!("SCM_RIGHTS {place}/passed\0").as_bytes());
    assert_eq!(message.object(), socket);
    assert_eq!(run.calls("sendmmsg").next().expect("sent").payload, b"one two");
}

#[test]
fn what_is_read_of_planted_files_is_known() {
    let options = Options {
        files: vec![("planted/customers.csv", "0123456789abcdefghijklmnop")],
        assets: vec!["{}/planted/"],
        ..Options::default()
    };
    let run = run(&options, &["{subject}", "read", "{}/planted/customers.csv"]);
    ok(&run);
    let place = run.folder.path().to_str().expect("text");
    let of = |names: &[&str]| -> Vec<String> {
        run.seen
            .iter()
            .filter(|seen| names.contains(&seen.name()) && seen.object().ends_with("customers.csv"))
            .map(|seen| String::from_utf8_lossy(&seen.payload).into_owned())
            .collect()
    };
    assert_eq!(of(&["read", "pread64"]), ["0123", "4567", "123"]);
    assert_eq!(of(&["readv", "preadv", "mmap"]), ["89abc", "23456", "0123456789abcdefghijklmnop"]);
    let sendfile = run.calls("sendfile").next().expect("sent");
    assert_eq!((sendfile.payload.as_slice(), sendfile.object()), (&b"5678"[..], format!("{place}/copy")));
    let copy = run.calls("copy_file_range").next().expect("copied");
    assert_eq!((copy.payload.as_slice(), copy.target.as_slice()), (&b"def"[..], format!("{place}/copy").as_bytes()));
    // Anything else carries no bytes.
    let other = run.calls("read").find(|seen| seen.object() == "/etc/passwd").expect("read");
    assert_eq!((other.payload.len(), other.event.payload_len), (0, 9));
}

/// The paths of `subject.c`'s mode `paths`, with its directory as `{}`.
const PATHS: [(&str, Option<i32>); 16] = [
    ("{}/sub", None),
    ("{}/sub/file", None),
    ("{}/sub/file", None),
    ("{}/sub/file", None),
    ("{}/link", None),
    ("{}/sub/missing", Some(libc::ENOENT)),
    ("{}/sub/no/such", Some(libc::ENOENT)),
    ("{}/sub/file/x", Some(libc::ENOTDIR)),
    ("{}/loop", Some(libc::ELOOP)),
    ("{}/sub/moved", None),
    ("{}/sub", None),
    ("{}/sub", None),
    ("{}/sub/deeper", None),
    ("/etc/passwd", None),
    ("/proc/{pid}/task/{pid}/comm", None),
    ("/proc/{pid}/nothing", Some(libc::ENOENT)),
];

fn check_paths(run: &Run, place: &str) {
    ok(run);
    let pid = run.starts()[&ProcessKey(1)].event.args[1].to_string();
    let opens: Vec<_> = run
        .calls("openat")
        .chain(run.calls("open"))
        .filter(|seen| !seen.object().starts_with("/lib") && !seen.object().starts_with("/usr/lib"))
        .filter(|seen| seen.event.args[2] & libc::O_CREAT as u64 == 0 && seen.object() != "/etc/ld.so.cache")
        .map(|seen| (seen.object(), seen.event.result))
        .collect();
    let expected: Vec<_> = PATHS
        .iter()
        .map(|(path, errno)| (path.replace("{}", place).replace("{pid}", &pid), errno.map(|errno| -i64::from(errno))))
        .collect();
    assert_eq!(opens, expected);
    let rename = run.calls("rename").next().expect("renamed");
    assert_eq!(
        (rename.object(), rename.target.as_slice()),
        (format!("{place}/sub/file"), format!("{place}/sub/moved").as_bytes())
    );
    let link = run.calls("symlink").find(|seen| seen.detail == b"/sub/file").expect("linked");
    assert_eq!(link.object(), format!("{place}/absolute"));
    assert_eq!(run.write_of(b"gone").object(), format!("{place}/sub/moved"));
}

#[test]
fn paths_are_the_subjects() {
    let run = plain(&["{subject}", "paths", "{}"]);
    let place = run.folder.path().to_str().expect("text").to_owned();
    check_paths(&run, &place);
}

#[test]
fn paths_are_the_subjects_in_a_root_and_namespaces_of_its_own() {
    let options = Options { namespaces: true, root: true, files: vec![("desk/x", "")], ..Options::default() };
    let run = run(&options, &["{subject}", "paths", "/desk"]);
    check_paths(&run, "/desk");
    assert!(run.starts()[&ProcessKey(1)].event.args[1] < 10, "ids are the jail's");
}

#[test]
fn a_changed_root_is_seen_through() {
    let options = Options { namespaces: true, root: true, files: vec![("desk/x", "")], ..Options::default() };
    let run = run(&options, &["{subject}", "chroot", "/desk"]);
    ok(&run);
    let opens: Vec<_> = run
        .calls("openat")
        .chain(run.calls("open"))
        .map(Seen::object)
        .filter(|path| path.starts_with("/desk"))
        .collect();
    let own = "/desk/cage/etc/own";
    assert_eq!(opens, [own, "/desk", own, own, own, "/desk/cage/etc/own", "/desk/file-outside"]);
}

#[test]
fn a_program_that_hides_its_memory_is_read_all_the_same() {
    // Owning its user namespace is what gives the right, as in the jail.
    let run = namespaced(&["{subject}", "undumpable"]);
    ok(&run);
    assert_eq!(run.write_of(b"hidden").object(), "/dev/null");
    assert_eq!(run.write_of(b"hidden child").object(), "/dev/null");
}

#[test]
fn rubbish_arguments_to_every_call_harm_nobody() {
    let run = run(&Options { namespaces: true, root: true, ..Options::default() }, &["{subject}", "rubbish"]);
    ok(&run);
    assert_eq!(run.write_of(b"survived").object(), "/dev/null");
    let short = run.write_of(b"eeeeeeeeee");
    assert_eq!(short.event.payload_len, 20);
    assert!(run.stats.memory_failed > 50);
}

#[test]
fn thread_ids_that_come_round_again_are_who_they_are_now() {
    // More threads than there are ids here, where the kernel's default of 32,768 stands.
    let run = plain(&["{subject}", "reuse", "40000"]);
    ok(&run);
    let last = run.write_of(b"at last");
    assert_ne!(last.event.process, ProcessKey(1));
    assert_eq!(run.starts()[&last.event.process].event.args[0], 1);
    assert_eq!(run.calls("write").filter(|seen| seen.payload == b"x").count(), 40_000 / 512 + 1);
}
