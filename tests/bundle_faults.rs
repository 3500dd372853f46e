//! What becomes of a recording when belljar is killed, or the disk is full: each test runs itself
//! again as a child, told by an environment variable what to do there.

// Helpers of tests fail like tests.
#![allow(clippy::expect_used)]

use std::io::{BufRead, BufReader};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use belljar::bundle::{Clocks, Header, Outcome, Privilege, ProfileInfo, Reader, State, Writer};
use belljar::ingest::{self, Options};
use belljar_sandbox::event::{Event, Kind, ProcessKey, Queue, Witness};

/// Set in a child: the bundle's directory.
const CHILD: &str = "BELLJAR_TEST_BUNDLE";

fn header() -> Header {
    Header {
        argv: vec!["true".into()],
        privilege: Privilege::Rootless,
        witnesses: Vec::new(),
        clocks: Clocks::now(),
        profile: ProfileInfo { name: "workstation".into(), sha256: String::new(), seed: 1 },
        profile_toml: String::new(),
        assets: Vec::new(),
        terminal: (80, 24),
        payload_limit: 4096,
        capture_limit: 4096,
    }
}

/// Pushes an event with a payload that does not compress.
fn push(queue: &Queue, n: u64) {
    let mut state = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let noise: Vec<u8> = (0..1024)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .collect();
    let pushed = queue.push(|batch| {
        let payload = batch.put(&noise);
        let event = Event::new(n, Witness::Jail, Kind::Notice, ProcessKey(0), 0);
        batch.events.push(Event { payload, payload_len: 1024, ..event });
    });
    pushed.expect("ingest takes until the queue is closed");
}

/// This test again, as a child that finds the bundle's directory in [`CHILD`].
fn again(test: &str, wrapper: &[&str], dir: &Path) -> Command {
    let exe = std::env::current_exe().expect("own program");
    let mut argv = wrapper.iter().map(PathBuf::from).chain([exe]);
    let mut command = Command::new(argv.next().expect("never empty"));
    command.args(argv).args([test, "--exact", "--nocapture"]).env(CHILD, dir);
    command
}

fn count(reader: &mut Reader) -> u64 {
    let mut last = 0;
    reader
        .records(|record| {
            assert_eq!(record.seq, last + 1);
            assert_eq!(record.payload.len(), 1024);
            last = record.seq;
            ControlFlow::Continue(())
        })
        .expect("what is there can be read");
    last
}

#[test]
fn what_came_before_a_kill_is_there() {
    if let Some(dir) = std::env::var_os(CHILD) {
        let queue = Arc::new(Queue::new(1 << 16, 8 << 20));
        let mut writer = Writer::create(Path::new(&dir), &header()).expect("a new bundle");
        let fed = Arc::clone(&queue);
        std::thread::spawn(move || {
            for n in 1.. {
                push(&fed, n);
                if n == 500 {
                    println!("\npushed");
                }
                std::thread::sleep(Duration::from_micros(500));
            }
        });
        let options = Options { payload: 4096 };
        ingest::run(&queue, &mut (), &mut writer, options, |_| {}).expect("room");
        unreachable!("the queue is never closed");
    }
    let dir = tempfile::tempdir().expect("tempdir");
    let path = dir.path().join("bundle");
    let mut child =
        again("what_came_before_a_kill_is_there", &[], &path).stdout(Stdio::piped()).spawn().expect("child");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    assert!(lines.any(|line| line.expect("text") == "pushed"));
    let live = Reader::open(&path).expect("opens while it is written");
    assert_eq!(live.state(), State::Running);
    // The promise is 250 ms; a busy machine gets more, so that the test tells of the code alone.
    std::thread::sleep(Duration::from_secs(1));
    child.kill().expect("SIGKILL");
    child.wait().expect("child");
    assert_eq!(live.state(), State::CutOff);
    let mut reader = Reader::open(&path).expect("opens");
    assert!(reader.truncated());
    assert!(count(&mut reader) >= 500);
}

/// The child's part of the tests of a full disk: everything is pushed, the queue never stalls,
/// the error is told, and what is left is a bundle.
fn fill_up(dir: &Path, why: &str) {
    const EVENTS: u64 = 20_000;
    let queue = Arc::new(Queue::new(1 << 10, 1 << 20));
    let mut writer = Writer::create(dir, &header()).expect("a new bundle");
    let fed = Arc::clone(&queue);
    let feeder = std::thread::spawn(move || {
        (1..=EVENTS).for_each(|n| push(&fed, n));
        fed.close();
    });
    let error = ingest::run(&queue, &mut (), &mut writer, Options { payload: 4096 }, |_| {}).expect_err("no room");
    feeder.join().expect("all was taken");
    let told = error.to_string();
    assert!(told.contains("payloads.arrows") && told.contains(why), "{told}");
    let written = writer.written_events();
    assert!(told.contains(&format!("complete up to event {written},")), "{told}");
    assert_eq!((error.totals.events, error.totals.unwritten), (EVENTS, EVENTS - written));
    assert!(written > 0 && written < EVENTS, "{written}");
    let outcome = Outcome { totals: *error.totals, error: Some(told.clone()), ..Outcome::default() };
    writer.finish(outcome).expect("room was kept for session.json");
    let mut reader = Reader::open(dir).expect("opens");
    assert_eq!(count(&mut reader), written);
    let session = reader.session().expect("session");
    assert_eq!((session.state, session.error.as_ref()), (State::Failed, Some(&told)));
    assert_eq!(session.lost, EVENTS - written);
    println!("\nfilled up");
}

fn filled_up(command: &mut Command) {
    let output = command.output().expect("child");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.contains("filled up"), "{told}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_full_disk_is_told_and_loses_nothing_that_was_written() {
    if let Some(dir) = std::env::var_os(CHILD) {
        return fill_up(&Path::new(&dir).join("bundle"), "No space left on device");
    }
    let dir = tempfile::tempdir().expect("tempdir");
    let mount = format!("mount -t tmpfs -o size=16m tmpfs \"${CHILD}\" && exec \"$@\"");
    let wrapper = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", &mount, "sh"];
    filled_up(&mut again("a_full_disk_is_told_and_loses_nothing_that_was_written", &wrapper, dir.path()));
}

#[test]
fn a_file_size_limit_is_told_and_loses_nothing_that_was_written() {
    if let Some(dir) = std::env::var_os(CHILD) {
        return fill_up(Path::new(&dir), "File too large");
    }
    let dir = tempfile::tempdir().expect("tempdir");
    // 24,576 blocks of 512 bytes (POSIX): 12 MiB a file. Ignored, the signal leaves EFBIG.
    let wrapper = ["sh", "-c", "trap '' XFSZ; ulimit -f 24576; exec \"$@\"", "sh"];
    let path = dir.path().join("bundle");
    filled_up(&mut again("a_file_size_limit_is_told_and_loses_nothing_that_was_written", &wrapper, &path));
}
