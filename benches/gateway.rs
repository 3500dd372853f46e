//! The gateway against mitmdump, and against nobody in between: new TLS connections with one request each, 200 MiB each
//! way over intercepted TLS, ten thousand connections at once, and what the gateway adds to a session's start and end.
//!
//! `cargo bench --bench gateway`, as root; needs `ip` (iproute2) and mitmdump (`MITMDUMP=/path/to/mitmdump` where it is
//! not on the path: `python3 -m venv DIR && DIR/bin/pip install mitmproxy`). Three ways in turn, the same client in each:
//! in the jail of `belljar record` (with whichever witness `WITNESS` names, `ebpf` when it says nothing); in a network
//! namespace across a veth pair from mitmdump, which takes TLS off and passes plain HTTP on to a server beside it; and
//! across the same pair from a rustls server. Rounds: `ROUNDS` (5), the first of which only warms up; `CONNECTIONS` held
//! at once (10,000). `ONLY` names parts of it (`rate get put hold start`), `BELLJAR` another build.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark ends where something is wrong"
)]

#[path = "gateway/client.rs"]
mod client;
mod common;
#[path = "gateway/server.rs"]
mod server;

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{number, peak_memory};
use serde_json::Value;

/// Nobody's address (RFC 5737); in the jail any answers.
const ANYBODY: &str = "198.51.100.10:443";
const SERVER: &str = "10.77.0.1";
const CLIENT: &str = "10.77.0.2";
/// How long new connections are made.
const RATE_MS: u64 = 4000;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    Belljar,
    Mitmdump,
    Direct,
}

struct Bench {
    dir: tempfile::TempDir,
    /// This program, where the jail sees nothing else beside it.
    program: PathBuf,
    mitmdump: String,
    belljar: String,
    witness: String,
    next: u32,
}

/// Ends a process when it goes.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn run(command: &mut Command) {
    let output = command.output().expect("the program runs");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Two network namespaces with a pair of interfaces between them.
struct Pair(String);

impl Pair {
    fn new() -> Self {
        let pair = Self(format!("gwbench{}", std::process::id()));
        let ip = |args: &[&str]| run(Command::new("ip").args(args));
        let (server, client) = (pair.server(), pair.client());
        ip(&["netns", "add", &server]);
        ip(&["netns", "add", &client]);
        ip(&["-n", &server, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", &client]);
        for (space, address) in [(&server, SERVER), (&client, CLIENT)] {
            ip(&["-n", space, "address", "add", &format!("{address}/24"), "dev", "eth0"]);
            ip(&["-n", space, "link", "set", "eth0", "up"]);
            ip(&["-n", space, "link", "set", "lo", "up"]);
        }
        pair
    }

    fn server(&self) -> String {
        format!("{}s", self.0)
    }

    fn client(&self) -> String {
        format!("{}c", self.0)
    }

    fn command(space: &str, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", space]).arg(program.as_ref()).stdin(Stdio::null());
        command
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        for space in [self.server(), self.client()] {
            let _ = Command::new("ip").args(["netns", "delete", &space]).status();
        }
    }
}

impl Bench {
    fn server(&self, pair: &Pair, what: &str, port: &str) -> Running {
        let mut command = Pair::command(&pair.server(), &self.program);
        command.args(["server", what, port]).arg(self.dir.path()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("ip runs");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
        assert_eq!(line, "ready\n");
        Running(child)
    }

    /// One run of the client; the figure it gives.
    fn once(&mut self, way: Way, what: &str, amount: u64) -> f64 {
        let amount = amount.to_string();
        if way == Way::Belljar {
            let (mut command, bundle) = self.recording(&["client", "env", ANYBODY, what, &amount]);
            run(&mut command);
            let figure = figure(&screen(&bundle));
            check(&bundle);
            let _ = fs::remove_dir_all(bundle);
            return figure;
        }
        let pair = Pair::new();
        let conf = self.dir.path().join("mitm");
        let (_serving, ca) = if way == Way::Direct {
            (vec![self.server(&pair, "tls", "443")], self.dir.path().join("direct.pem"))
        } else {
            let behind = self.server(&pair, "plain", "8080");
            let mut command = Pair::command(&pair.server(), &self.mitmdump);
            command.args(["-q", "--listen-port", "443", "--mode", "reverse:http://127.0.0.1:8080", "--set"]);
            command.arg(format!("confdir={}", conf.display()));
            let mitm = Running(command.spawn().expect("mitmdump runs"));
            (vec![mitm, behind], conf.join("mitmproxy-ca-cert.pem"))
        };
        wait_for(&pair, &self.program);
        let mut command = Pair::command(&pair.client(), &self.program);
        command.arg("client").arg(ca).arg(format!("{SERVER}:443")).args([what, &amount]);
        let output = command.stderr(Stdio::inherit()).output().expect("the client runs");
        figure(&String::from_utf8_lossy(&output.stdout))
    }

    /// A call of belljar, and the bundle it makes.
    fn recording(&mut self, args: &[&str]) -> (Command, PathBuf) {
        self.next += 1;
        let bundle = self.dir.path().join(format!("{}.belljar", self.next));
        let mut command = Command::new(&self.belljar);
        command
            .args(["record", "-q", "--witness", &self.witness, "--profile"])
            .arg(self.dir.path().join("bench.toml"))
            .arg("-o")
            .arg(&bundle)
            .arg("--")
            .arg(&self.program)
            .args(args)
            .current_dir(self.program.parent().expect("a directory"))
            .stdin(Stdio::null());
        (command, bundle)
    }

    /// Medians of rounds in which all ways have their turn.
    fn medians(&mut self, rounds: u64, ways: &[Way], what: &str, amount: u64) -> Vec<f64> {
        let mut figures = vec![Vec::new(); ways.len()];
        for round in 0..rounds {
            for (list, way) in figures.iter_mut().zip(ways) {
                let figure = self.once(*way, what, amount);
                if round > 0 {
                    list.push(figure); // the first round warms caches
                }
            }
        }
        figures.into_iter().map(median).collect()
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Waits until somebody takes connections: the server itself says so, mitmdump does not.
fn wait_for(pair: &Pair, program: &Path) {
    let begun = Instant::now();
    loop {
        let mut probe = Pair::command(&pair.client(), program);
        let there = probe.args(["probe", &format!("{SERVER}:443")]).status().expect("ip runs").success();
        if there {
            return;
        }
        assert!(begun.elapsed() < Duration::from_mins(1), "nobody takes connections");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn figure(said: &str) -> f64 {
    for line in said.lines().filter(|line| line.starts_with("failed")) {
        println!("{line}");
    }
    let figure = said.split_once("bench: ").and_then(|(_, rest)| rest.split_whitespace().next()?.parse().ok());
    figure.unwrap_or_else(|| panic!("the client says {said:?}"))
}

/// What the subject printed.
fn screen(bundle: &Path) -> String {
    let cast = fs::read_to_string(bundle.join("terminal.cast")).expect("a cast");
    let events = cast.lines().skip(1).filter_map(|line| serde_json::from_str::<Value>(line).ok());
    events.filter_map(|event| event[2].as_str().map(str::to_owned)).collect::<String>().replace('\r', "")
}

/// A figure counts only where nothing was lost: what was is said.
fn check(bundle: &Path) {
    let session: Value =
        serde_json::from_slice(&fs::read(bundle.join("session.json")).expect("session.json")).expect("JSON");
    let blind = session["coverage"]["blind"].to_string();
    if session["lost"] != 0 || blind.contains("no room") || blind.contains("came faster") {
        println!("lost {}: {blind}", session["lost"]);
    }
}

fn row(cells: &[String]) {
    println!("| {} |", cells.join(" | "));
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        Some("client") => return client::main(&args[1..]),
        Some("server") => return server::main(&args[1..]),
        Some("probe") => {
            let address = args.get(1).and_then(|address| address.parse().ok()).expect("an address");
            let there = TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok();
            std::process::exit(i32::from(!there));
        }
        _ => {}
    }
    // Only `cargo bench` passes this: `cargo test --benches` has nothing to test here.
    if !args.iter().any(|arg| arg == "--bench") {
        return;
    }
    let rounds = number("ROUNDS", 5);
    let dir = tempfile::tempdir().expect("tempdir");
    let program = dir.path().join("program");
    fs::create_dir(&program).expect("mkdir");
    let program = program.join("gwbench");
    fs::copy(std::env::current_exe().expect("this program"), &program).expect("copy");
    fs::write(dir.path().join("bulk.bin"), client::body()).expect("write");
    let profile = concat!(
        include_str!("../profiles/workstation.toml"),
        "\n[[route]]\npath = \"/bulk\"\nsource = \"bulk.bin\"\nheaders = { content-type = \"application/octet-stream\" }\n"
    );
    fs::write(dir.path().join("bench.toml"), profile).expect("write");
    let text = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let mut bench = Bench {
        dir,
        program,
        mitmdump: text("MITMDUMP", "mitmdump"),
        belljar: text("BELLJAR", env!("CARGO_BIN_EXE_belljar")),
        witness: text("WITNESS", "ebpf"),
        next: 0,
    };
    let only = text("ONLY", "rate get put hold start");
    let wanted = |what: &str| only.split(' ').any(|word| word == what);

    let mut ways = vec![Way::Belljar, Way::Direct];
    if Command::new(&bench.mitmdump).arg("--version").stdout(Stdio::null()).status().is_ok() {
        ways.push(Way::Mitmdump);
    } else {
        println!("{} is missing: it was not compared", bench.mitmdump);
    }
    println!("witness {}; {} rounds, medians", bench.witness, rounds.saturating_sub(1));
    row(&["", "belljar", "direct", "mitmdump -q", "belljar/mitmdump", "belljar/direct"].map(str::to_owned));
    println!("|---|---|---|---|---|---|");
    for (what, amount, name) in [
        ("rate", RATE_MS, "new TLS connections with a request, 8 clients, a second"),
        ("get", 0, "200 MiB download, MiB/s"),
        ("put", 0, "200 MiB upload, MiB/s"),
    ] {
        if !wanted(what) {
            continue;
        }
        let medians = bench.medians(rounds, &ways, what, amount);
        let (own, direct) = (medians[0], medians[1]);
        let mitm = medians.get(2).copied().unwrap_or(f64::NAN);
        let cell = |figure: f64| format!("{figure:.0}");
        let times = |by: f64| format!("{:.2}", own / by);
        row(&[name.to_owned(), cell(own), cell(direct), cell(mitm), times(mitm), times(direct)]);
    }
    if wanted("hold") {
        let connections = number("CONNECTIONS", 10_000).to_string();
        let (command, bundle) = bench.recording(&["client", "env", ANYBODY, "hold", &connections]);
        let (peak, took) = peak_memory(command);
        let held = figure(&screen(&bundle));
        check(&bundle);
        println!("\n{held:.0} connections at once: peak resident memory {peak:.0} MiB, {:.1} s", took.as_secs_f64());
    }
    if wanted("start") {
        start(&mut bench, rounds.max(5) * 3);
    }
}

/// A session that does nothing, and one that asks for one name and makes one connection.
fn start(bench: &mut Bench, rounds: u64) {
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..rounds {
        for (list, args) in times.iter_mut().zip([&["nothing"][..], &["client", "env", ANYBODY, "rate", "1"]]) {
            let (mut command, bundle) = bench.recording(args);
            let begun = Instant::now();
            run(&mut command);
            if round > 0 {
                list.push(begun.elapsed().as_secs_f64() * 1e3);
            }
            let _ = fs::remove_dir_all(bundle);
        }
    }
    let [nothing, some] = times.map(median);
    println!("\nrecord -q of a program that does nothing {nothing:.1} ms, that makes 8 connections {some:.1} ms");
}
