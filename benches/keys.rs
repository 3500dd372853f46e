//! From a key to the frame that shows what it brings, while a subject makes calls at full speed; how smooth the frames
//! come meanwhile; and what belljar costs while the subject does nothing.
//!
//! `cargo bench --bench keys` starts the real `belljar run` in a terminal of 120x40 that this program is the other end of.
//! As root, for the kernel's witness. What is measured while other programs of the machine work is told apart. Environment: `WITNESS` (`ebpf`), `KEYS` (400), `IDLE` seconds (20; 0 leaves it
//! out), `BELLJAR` another build. Figures stand in `benches/README.md`.

#![allow(clippy::expect_used, clippy::print_stdout, reason = "a benchmark ends where something is wrong")]

mod common;

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use common::number;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::Value;
use tui_term::vt100::Parser;

const WIDTH: u16 = 120;
const HEIGHT: u16 = 40;
/// What ratatui sends once for each frame that it draws.
const FRAME: &[u8] = b"\x1b[?25l";

/// belljar in a terminal, and what that shows.
struct Screen {
    terminal: File,
    child: Child,
    parser: Parser,
    /// When each frame came.
    frames: Vec<Instant>,
    /// The last bytes read, in which a frame's mark may have begun.
    tail: Vec<u8>,
}

impl Screen {
    fn start(bundle: &Path, subject: &[&str]) -> Self {
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
        grantpt(&terminal).expect("granted");
        unlockpt(&terminal).expect("unlocked");
        let size = rustix::termios::Winsize { ws_col: WIDTH, ws_row: HEIGHT, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&terminal, size).expect("a size");
        let name = ptsname(&terminal, Vec::new()).expect("a name").into_string().expect("ASCII");
        let open = || File::options().read(true).write(true).open(&name).expect("its other end");
        let belljar = std::env::var("BELLJAR").unwrap_or_else(|_| env!("CARGO_BIN_EXE_belljar").to_owned());
        let witness = std::env::var("WITNESS").unwrap_or_else(|_| "ebpf".to_owned());
        let mut command = Command::new("setsid");
        command.arg("--ctty").arg(belljar).args(["run", "-q", "--witness", &witness, "-o"]).arg(bundle);
        command.arg("--").args(subject).env("TERM", "xterm-256color").env("LC_ALL", "C.UTF-8").env_remove("NO_COLOR");
        command.current_dir(bundle.parent().expect("a directory"));
        let child = command.stdin(open()).stdout(open()).stderr(open()).spawn().expect("util-linux");
        let parser = Parser::new(HEIGHT, WIDTH, 0);
        Self { terminal: terminal.into(), child, parser, frames: Vec::new(), tail: Vec::new() }
    }

    /// Takes what is drawn until `until`; `false` when the terminal has gone.
    fn read(&mut self, until: Instant) -> bool {
        let left = Timespec::try_from(until.saturating_duration_since(Instant::now())).expect("short");
        let mut polled = [PollFd::new(&self.terminal, PollFlags::IN)];
        if poll(&mut polled, Some(&left)).expect("polled") == 0 {
            return true;
        }
        let mut piece = [0; 8_192];
        let Ok(n @ 1..) = self.terminal.read(&mut piece) else { return false };
        self.parser.process(&piece[..n]);
        self.tail.extend_from_slice(&piece[..n]);
        let frames = self.tail.windows(FRAME.len()).filter(|bytes| *bytes == FRAME).count();
        self.frames.extend(std::iter::repeat_n(Instant::now(), frames));
        self.tail.drain(..self.tail.len().saturating_sub(FRAME.len() - 1));
        true
    }

    fn look_for(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until {
            assert!(self.read(until), "belljar has ended:\n{}", self.text());
        }
    }

    fn text(&self) -> String {
        self.parser.screen().contents()
    }

    fn line(&self, at: u16) -> String {
        self.parser.screen().contents_between(at, 0, at, WIDTH)
    }

    /// Waits until it shows what is wanted: how long that was.
    fn wait(&mut self, what: &str, shows: impl Fn(&Self) -> bool) -> Duration {
        let begun = Instant::now();
        while !shows(self) {
            let there = self.read(begun + Duration::from_secs(30));
            assert!(there && begun.elapsed() < Duration::from_secs(30), "no {what} on:\n{}", self.text());
        }
        begun.elapsed()
    }

    fn press(&mut self, keys: &str) {
        self.terminal.write_all(keys.as_bytes()).expect("it reads");
    }

    /// Events as the header says them.
    fn events(&self) -> u64 {
        let header = self.line(0);
        let before = header.split(" ev").next().unwrap_or_default();
        let digits = before.rsplit(' ').next().unwrap_or_default().replace(',', "");
        digits.parse().expect("a number of events")
    }

    /// The row of the moment, as the list of events says it.
    fn row(&self) -> Option<u64> {
        let title = self.line(2);
        title.split_once("row ")?.1.split(' ').next()?.replace(',', "").parse().ok()
    }

    fn end(mut self) {
        self.press("q");
        self.wait("question", |screen| screen.text().contains("End the subject and leave"));
        self.press("y");
        while self.read(Instant::now() + Duration::from_secs(30)) {}
        self.child.wait().expect("a child");
    }
}

/// Says what there is to say of times: of those when nobody else worked, and of all.
fn told(all: &[(Duration, bool)]) -> String {
    let words = |alone: bool| {
        let mut times: Vec<Duration> = all.iter().filter(|one| one.1 || !alone).map(|one| one.0).collect();
        times.sort_unstable();
        let at = |share: usize| times.get((times.len() * share / 100).min(times.len().saturating_sub(1)));
        let at = |share| at(share).copied().unwrap_or_default();
        let (median, p95, p99, worst) = (at(50), at(95), at(99), at(100));
        format!("median {median:.1?}, p95 {p95:.1?}, p99 {p99:.1?}, worst {worst:.1?}, of {}", times.len())
    };
    format!("{}; with other load: {}", words(true), words(false))
}

/// Processor time of all but this program and what it started, in the kernel's ticks.
fn others() -> u64 {
    let numbers = |text: &str| text.split_whitespace().filter_map(|word| word.parse().ok()).collect::<Vec<u64>>();
    let stat = fs::read_to_string("/proc/stat").expect("procfs");
    let cpu = numbers(stat.lines().next().unwrap_or_default());
    // Without what was idle or waited for a disk.
    let busy: u64 = cpu.iter().enumerate().filter(|(at, _)| !matches!(at, 3 | 4 | 8..)).map(|(_, ticks)| ticks).sum();
    let mut all = Vec::new();
    for entry in fs::read_dir("/proc").expect("procfs").flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u64>() else { continue };
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        let fields = numbers(&stat.rsplit(')').next().unwrap_or_default().replacen(char::is_alphabetic, "0", 1));
        if let [_, parent, ..] = fields[..] {
            all.push((pid, parent, fields.get(11..13).map_or(0, |times| times.iter().sum::<u64>())));
        }
    }
    // Children after their parents, wherever numbers began again: until nothing is added.
    let mut own = vec![u64::from(std::process::id())];
    let mut at = 0;
    while let Some(parent) = own.get(at).copied() {
        own.extend(all.iter().filter(|one| one.1 == parent).map(|one| one.0));
        at += 1;
    }
    busy.saturating_sub(all.iter().filter(|one| own.contains(&one.0)).map(|one| one.2).sum())
}

/// Whether nobody else had a tenth of a processor since.
fn alone(before: u64, since: Instant) -> bool {
    let ticks = others().saturating_sub(before) as f64 / rustix::param::clock_ticks_per_second() as f64;
    ticks <= since.elapsed().as_secs_f64() / 10.0
}

/// Irregular pauses: none falls in step with belljar's own clock.
fn pause(state: &mut u64) -> Duration {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    Duration::from_millis(30 + (*state >> 33) % 150)
}

fn busy(dir: &Path, keys: u64) {
    let writer = dir.join("writer");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/witness/writer.c");
    let built = Command::new("cc").args(["-O2", "-o"]).arg(&writer).arg(source).status().expect("a C compiler");
    assert!(built.success(), "cc failed");
    let bundle = dir.join("busy.belljar");
    let mut screen = Screen::start(&bundle, &[&writer.to_string_lossy(), "1000000000"]);
    screen.wait("events", |screen| screen.line(0).contains("LIVE") && screen.events() > 100_000);
    let (begun, before) = (Instant::now(), screen.events());
    let mut state = 0x5eed;
    // Views: the tabs at the top and the hints at the bottom have changed, so all between has.
    let mut views = Vec::new();
    for n in 0..keys {
        let (since, before) = (Instant::now(), others());
        screen.look_for(pause(&mut state));
        let (key, tab, hint) = if n % 2 == 0 { ("2", "[2 Events]", "fold") } else { ("3", "[3 Flow]", "evidence") };
        screen.press(key);
        let took = screen.wait(tab, |screen| screen.line(1).contains(tab) && screen.line(HEIGHT - 1).contains(hint));
        views.push((took, alone(before, since)));
    }
    // The cursor, off the newest event.
    let mut moves = Vec::new();
    screen.press("2g50%\r");
    screen.look_for(Duration::from_secs(1));
    for n in 0..keys {
        let (since, before) = (Instant::now(), others());
        screen.look_for(pause(&mut state));
        let row = screen.row().expect("a row");
        let (key, wanted) = if n % 8 < 4 { ("k", row - 1) } else { ("j", row + 1) };
        screen.press(key);
        let took = screen.wait("the next row", |screen| screen.row() == Some(wanted));
        moves.push((took, alone(before, since)));
    }
    let (took, events) = (begun.elapsed(), screen.events() - before);
    println!("{:.0} events/s by the header, over {:.1} s", events as f64 / took.as_secs_f64(), took.as_secs_f64());
    println!("a key until its view is there: {}", told(&views));
    println!("a key until the next row is shown: {}", told(&moves));
    // Nothing pressed, the newest events shown.
    screen.press("f");
    screen.look_for(Duration::from_secs(1));
    let mut gaps = Vec::new();
    for _ in 0..20 {
        screen.frames.clear();
        let (since, before) = (Instant::now(), others());
        screen.look_for(Duration::from_secs(1));
        let alone = alone(before, since);
        gaps.extend(screen.frames.windows(2).map(|pair| (pair[1] - pair[0], alone)));
    }
    println!("newest events, from one frame to the next: {}", told(&gaps));
    screen.end();
    let session: Value = serde_json::from_slice(&fs::read(bundle.join("session.json")).expect("it")).expect("JSON");
    let ns = session["duration_ns"].as_f64().unwrap_or(f64::NAN);
    let recorded = session["totals"]["events"].as_f64().unwrap_or(f64::NAN);
    println!("{recorded} events recorded, {:.0}/s, lost {}", recorded / ns * 1e9, session["lost"]);
}

/// Processor time of all threads of a process so far, in seconds.
fn processor(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: u64 = fields.iter().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    ticks as f64 / rustix::param::clock_ticks_per_second() as f64
}

fn idle(dir: &Path, seconds: u64) {
    let mut screen = Screen::start(&dir.join("idle.belljar"), &["sleep", "1000"]);
    screen.wait("LIVE", |screen| screen.line(0).contains("LIVE"));
    screen.look_for(Duration::from_secs(2));
    let before = processor(screen.child.id());
    screen.look_for(Duration::from_secs(seconds));
    let spent = processor(screen.child.id()) - before;
    println!("idle subject: {:.2} % of a processor over {seconds} s", spent / seconds as f64 * 100.0);
    screen.end();
}

fn main() {
    // Only `cargo bench` passes this: `cargo test --benches` has nothing to test here.
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("load before: {}", load.trim());
    busy(dir.path(), number("KEYS", 400));
    let seconds = number("IDLE", 20);
    if seconds > 0 {
        idle(dir.path(), seconds);
    }
}
