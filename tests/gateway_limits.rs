//! The gateway's limits: whatever one client does - reads nothing, says nothing, never ends, opens more than there is
//! room for - another is answered meanwhile, and what was cut is counted where the report says what was not seen.
//!
//! Clients give up after ten seconds where a hostile one could hold them for a minute and more: that is what "served"
//! means here. As root by the witness that belljar chooses: what is tested is the gateway.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use common::{Lab, Privilege, Recorded};

/// A device whose internet has something long to read.
const PROFILE: &str = concat!(
    include_str!("../profiles/workstation.toml"),
    "\n[[route]]\npath = \"/bulk\"\nsource = \"bulk.txt\"\nheaders = { content-type = \"text/plain\" }\n"
);

/// What all scripts share: a hostile process says when it has begun, then another asks for twenty pages.
const SHARED: &str = r#"
import gzip, multiprocessing, os, resource, signal, socket, sys, threading, time
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
def connect(name, port=80, room=None):
    s = socket.socket()
    if room: s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
    s.settimeout(60); s.connect((name, port)); return s
def page(name):
    s = connect(name); s.settimeout(10)
    s.sendall(b"GET /page HTTP/1.1\r\nHost: good.example.com\r\nConnection: close\r\n\r\n")
    said = b""
    while part := s.recv(65536): said += part
    s.close(); return said.startswith(b"HTTP/1.1 200")
def beside(hostile, processes=1):
    begun = multiprocessing.Semaphore(0)
    others = [multiprocessing.Process(target=hostile, args=(begun.release,)) for _ in range(processes)]
    for other in others: other.start()
    for _ in others: begun.acquire()
    def good():
        try: print("served", sum(page("198.51.100.7") for _ in range(20)), flush=True)
        except Exception as error: print("not served", repr(error), flush=True)
    client = multiprocessing.Process(target=good); client.start(); client.join()
    print("still there" if all(other.is_alive() for other in others) else "gone", flush=True)
    for other in others: other.kill()
"#;

fn record(lab: &Lab, script: &str) -> (Recorded, String) {
    std::fs::write(lab.work().join("limits.toml"), PROFILE).expect("write");
    std::fs::write(lab.work().join("bulk.txt"), vec![b'x'; 3 << 20]).expect("write");
    std::fs::write(lab.work().join("hostile.py"), format!("{SHARED}{script}")).expect("write");
    let options = ["--seed", "4711", "--timeout", "5m", "--profile", "limits.toml"];
    let recorded = lab.record(&options, &["python3", "hostile.py"]);
    assert!(recorded.report.is_some(), "no report: {}", recorded.stderr);
    let shown = recorded.screen();
    (recorded, shown)
}

/// What the report says was not seen.
fn blind(recorded: &Recorded) -> String {
    recorded.report.as_ref().expect("a report")["coverage"]["blind"].to_string()
}

fn lab() -> Lab {
    Lab::new(Privilege::available()[0])
}

#[test]
fn who_does_not_read_waits_alone() {
    let (_, shown) = record(
        &lab(),
        r#"
def hostile(begun):
    held = [connect("198.51.100.66", room=4096) for _ in range(300)]
    for s in held: s.sendall(b"GET /bulk HTTP/1.1\r\nHost: slow.example.com\r\n\r\n")
    for s in held: s.recv(1)
    begun(); time.sleep(1000)
beside(hostile)
"#,
    );
    assert!(shown.contains("served 20\nstill there"), "{shown}");
}

#[test]
fn who_never_ends_a_head_waits_alone() {
    let (_, shown) = record(
        &lab(),
        r#"
def hostile(begun):
    held = [connect("198.51.100.66") for _ in range(300)]
    for s in held: s.sendall(b"GET / HTTP/1.1\r\nHost: loris.example.com\r\nX-A")
    begun()
    while True:
        for s in held:
            try: s.sendall(b"a")
            except OSError: pass # after a minute it is cut
        time.sleep(.05)
beside(hostile)
"#,
    );
    assert!(shown.contains("served 20\nstill there"), "{shown}");
}

#[test]
fn what_is_too_long_is_cut_and_counted() {
    let lab = lab();
    let (recorded, shown) = record(
        &lab,
        r#"
def endless(name, port, first, part):
    s = connect(name, port); s.sendall(first)
    try:
        for _ in range(4000): s.sendall(part)
        print(name, "no end", flush=True)
    except OSError: print(name, "cut", flush=True)
def hostile(begun):
    endless("198.51.100.61", 80, b"GET / HTTP/1.1\r\n", b"X-Long: " + b"a" * 1000 + b"\r\n")
    endless("198.51.100.62", 25, b"EHLO ", b"b" * 1000)
    begun(); time.sleep(1000)
beside(hostile)
bomb = gzip.compress(bytes(64 << 20))
s = connect("198.51.100.63")
s.sendall(b"POST / HTTP/1.1\r\nHost: bomb.example.com\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb) + bomb)
print("bomb", s.recv(999)[:12], flush=True)
"#,
    );
    for line in ["198.51.100.61 cut", "198.51.100.62 cut", "served 20\nstill there", "bomb b'HTTP/1.1 200'"] {
        assert!(shown.contains(line), "{line}:\n{shown}");
    }
    for filter in [
        r#"op:connection-end object:198.51.100.61:80 detail:"the head of a request is too long""#,
        r#"op:connection-end object:198.51.100.62:25 detail:"a line is too long""#,
        "op:sent object:198.51.100.62:25 payload~bbbbbbbb",
    ] {
        assert_eq!(lab.events(&recorded.bundle, filter).len(), 1, "{filter}");
    }
    assert!(blind(&recorded).contains("2 connections ended by the gateway at a limit"), "{}", blind(&recorded));
}

#[test]
fn who_sends_without_end_waits_alone_and_nothing_is_lost() {
    let lab = lab();
    let (recorded, shown) = record(
        &lab,
        r#"
def hostile(begun):
    s = connect("198.51.100.66"); part = bytes(range(256)) * 4096
    s.sendall(b"POST / HTTP/1.1\r\nHost: huge.example.com\r\nContent-Length: %d\r\n\r\n" % (len(part) * 64))
    for n in range(64):
        s.sendall(part)
        if n == 1: begun()
    print("huge", s.recv(999)[:12], flush=True); time.sleep(1000)
beside(hostile)
s = connect("198.51.100.67"); part = bytes(range(256)) * 4096
s.sendall(b"POST / HTTP/1.1\r\nHost: huge.example.com\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % (len(part) * 64))
for n in range(64): s.sendall(part)
print("whole", s.recv(999)[:12], flush=True); s.close()
"#,
    );
    assert!(shown.contains("served 20\nstill there"), "{shown}");
    assert!(shown.contains("whole b'HTTP/1.1 200'"), "{shown}");
    let ends = lab.events(&recorded.bundle, "op:connection-end object:198.51.100.67:80");
    let taken = ends.first().expect("an end")["bytes"].as_u64().expect("a number");
    assert!(taken >= 64 << 20, "{ends:?}");
    let blind = blind(&recorded);
    assert!(blind.contains("payloads of connections that were looked at and not kept"), "{blind}");
    assert!(!blind.contains("packets that the capture had no room for"), "{blind}");
}

#[test]
fn who_takes_all_the_room_leaves_some() {
    let lab = lab();
    let (recorded, shown) = record(
        &lab,
        r#"
def hostile(begun):
    held = []
    for _ in range(7200):
        try: held.append(connect("198.51.100.66"))
        except OSError: pass
    for s in held[::100]:
        try: s.sendall(b"GET / HTTP/1.1\r\n")
        except OSError: pass
    begun(); time.sleep(1000)
beside(hostile, processes=3)
"#,
    );
    assert!(shown.contains("served 20\nstill there"), "{shown}");
    let blind = blind(&recorded);
    assert!(blind.contains("connections closed at once because there were too many"), "{blind}");
    let taken = lab.count(&recorded.bundle, "op:connection object:198.51.100.66:80");
    assert!(taken > 5_000, "{taken} connections were taken");
    assert!(taken < 21_600, "{taken} connections were taken");
}
