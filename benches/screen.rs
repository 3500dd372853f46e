//! The screen over a long recording: how long until the first frame, what a frame costs, how long a jump and a filter
//! take, how much memory it needs. `EVENTS=100000000 DIR=/somewhere cargo bench --bench screen`; a recording that is
//! in `DIR` already is taken as it is. Figures stand in `benches/README.md`.

// A benchmark that cannot run has nothing better to do than to say so.
#![allow(clippy::expect_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use belljar::analysis::rules::Rules;
use belljar::bundle::{Clocks, Header, Outcome, Privilege, ProfileInfo, Writer};
use belljar::ingest::{self, Observer, Options, Touched};
use belljar::redact::Redactor;
use belljar::store::{AssetInfo, AssetSet, Record, Verbs};
use belljar::tui::{Config, Offscreen, Sight};
use belljar_sandbox::event::{Abi, Event, Kind, ObjectKind, ProcessKey, Queue, Witness};
use crossterm::event::{Event as Input, KeyCode, KeyEvent, KeyModifiers};

/// Client data in one event of so many.
const RARE: u64 = 20_000;

struct Marks;

impl Observer for Marks {
    fn observe(&mut self, record: &Record<'_>) -> Touched {
        let (mut verbs, mut assets) = (Verbs::default(), AssetSet::default());
        if record.seq.is_multiple_of(RARE) {
            verbs = Verbs(if record.seq.is_multiple_of(3) { 16 } else { 1 });
            assets.insert(0);
        }
        Touched { verbs, assets, keep_payload: false }
    }
}

/// openat, read, write and close in turn over 20,000 paths by 40 processes, one call each 4 microseconds.
fn record(dir: &Path, events: u64) {
    let header = Header {
        argv: vec!["generated".into()],
        privilege: Privilege::Root,
        witnesses: Vec::new(),
        clocks: Clocks::now(),
        profile: ProfileInfo { name: "none".into(), sha256: String::new(), seed: 1 },
        profile_toml: String::new(),
        assets: vec![AssetInfo { name: "customers".into(), class: "identity".into() }],
        terminal: (80, 24),
        payload_limit: 256,
        capture_limit: 65_536,
    };
    let queue = Queue::new(16_384, 16 << 20);
    let mut writer = Writer::create(dir, &header).expect("a new bundle");
    let totals = std::thread::scope(|scope| {
        scope.spawn(|| {
            for key in 1..=40_u32 {
                let pushed = queue.push(|batch| {
                    let mut event = Event::new(0, Witness::Ebpf, Kind::ProcessStart, ProcessKey(key), key);
                    event.args = [u64::MAX, key.into(), key.into(), 0, 0, 0];
                    batch.events.push(event);
                });
                pushed.expect("open");
            }
            let (mut done, mut state) = (40, 0x5eed_u64);
            while done < events {
                let pushed = queue.push(|batch| {
                    for _ in 0..256.min(events - done) {
                        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                        let path = format!("/usr/lib/app/d{}/f{}.so", state >> 40 & 127, state >> 50 & 127);
                        let key = (state >> 33) as u32 % 40 + 1;
                        let nr = [257, 0, 1, 3][(done % 4) as usize];
                        let kind = Kind::Call { abi: Abi::X86_64, nr };
                        let mut event = Event::new(done * 4_000, Witness::Ebpf, kind, ProcessKey(key), key);
                        event.object_kind = ObjectKind::File;
                        event.object = batch.put(path.as_bytes());
                        event.args = [state >> 20 & 15, 0x7f00_0000_0000 + (state >> 45), 4096, 0, 0, 0];
                        event.result = Some((state >> 30 & 4095) as i64);
                        event.duration_ns = Some(300 + (state >> 55));
                        batch.events.push(event);
                        done += 1;
                    }
                });
                pushed.expect("open");
            }
            queue.close();
        });
        ingest::run(&queue, &mut Marks, &mut writer, Options::default(), |_| {}).expect("room on the disk")
    });
    writer.finish(Outcome { totals, ..Outcome::default() }).expect("finished");
}

/// Peak resident memory, KiB, from `/proc/self/status`.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("readable");
    let line = status.lines().find(|line| line.starts_with("VmHWM")).expect("there since Linux 2.6");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
}

fn press(screen: &mut Offscreen, keys: &str) {
    for c in keys.chars() {
        let code = if c == '\n' { KeyCode::Enter } else { KeyCode::Char(c) };
        screen.handle(&Input::Key(KeyEvent::new(code, KeyModifiers::NONE)));
    }
}

fn timed<T>(run: impl FnOnce() -> T) -> (Duration, T) {
    let begun = Instant::now();
    let value = run();
    (begun.elapsed(), value)
}

/// Processor time of all threads so far: where others use the machine, it says more than time.
fn processor() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Draws until all events that are in sight have been read.
fn complete(screen: &mut Offscreen) {
    screen.draw(200, 60);
    while screen.waits() {
        std::thread::sleep(Duration::from_millis(1));
        screen.draw(200, 60);
    }
}

fn jumps(screen: &mut Offscreen, when: &str) {
    press(screen, "2");
    let mut jumps: Vec<Duration> = (1..60)
        .map(|n| {
            let at = n * 37 % 100;
            timed(|| {
                press(screen, &format!("g{at}%\n"));
                complete(screen);
            })
            .0
        })
        .collect();
    jumps.sort();
    println!(
        "jump and whole frame, {when}: median {:.1?}, worst {:.1?}",
        jumps[jumps.len() / 2],
        jumps[jumps.len() - 1]
    );
}

fn filters(screen: &mut Offscreen, when: &str) {
    for filter in [
        "verb:transmit",
        "path~/d77/",
        "op:write result>4000",
        "result>4090 or took>750ns",
        "errno:ENOENT not decision:denied",
    ] {
        press(screen, "/");
        let (mut shown, begun, spent) = (None, Instant::now(), processor());
        press(screen, filter);
        let mut slowest = Duration::ZERO;
        while !screen.found().is_some_and(|(_, done)| done) {
            slowest = slowest.max(timed(|| screen.draw(200, 60)).0);
            if shown.is_none() && screen.found().is_some_and(|(found, _)| found > 0) {
                shown = Some(begun.elapsed());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let (found, _) = screen.found().expect("a filter");
        println!(
            "filter {filter}, {when}: {found} found in {:.2?} ({:.2?} of processor time), first after {:.1?}, slowest frame {slowest:.1?}",
            begun.elapsed(),
            processor().saturating_sub(spent),
            shown.unwrap_or_default()
        );
        press(screen, "\n");
        press(screen, "c");
    }
}

fn frames(screen: &mut Offscreen, when: &str) {
    press(screen, "g50%\n");
    for (view, name) in ["overview", "events", "flow", "network", "files", "processes", "findings", "terminal"]
        .into_iter()
        .enumerate()
        .map(|(at, name)| (at + 1, name))
    {
        press(screen, &view.to_string());
        let (complete, ()) = timed(|| complete(screen));
        let mut times: Vec<Duration> = (0..101).map(|_| timed(|| screen.draw(200, 60)).0).collect();
        times.sort();
        println!(
            "frame 200x60 {name}, {when}: median {:.2?}, worst {:.2?}, all of it there after {complete:.1?}",
            times[50], times[100]
        );
    }
}

fn main() {
    let events: u64 = std::env::var("EVENTS").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    let kept = std::env::var_os("DIR").map(PathBuf::from);
    let place = tempfile::tempdir().expect("a place");
    let dir = kept.unwrap_or_else(|| place.path().join("long.belljar"));
    if !dir.is_dir() {
        // In a process of its own memory would be nicer still; `peak` is taken again below.
        let (took, ()) = timed(|| record(&dir, events));
        println!("recorded {events} events in {took:.1?}");
    }
    let before = peak();
    // With their masks, so that a frame costs what it costs.
    let values: Vec<String> = (0..600).map(|n| format!("value-{n}-{}@example.com", n * 7_919)).collect();
    let redactor = Redactor::new(values.iter().map(String::as_bytes), false, false).expect("few");
    let (config, rules) = (Config::default(), Rules::default());
    let sight = Sight { redactor, rules, ascii: false, config, speed: 1.0, below: BTreeMap::default(), live: None };
    let (first, mut screen) = timed(|| {
        let mut screen = Offscreen::open(&dir, sight).expect("a recording");
        screen.draw(200, 60);
        screen
    });
    println!("first frame: {first:.1?}");
    // At once, while nothing is looked through yet.
    jumps(&mut screen, "while it is looked through");
    filters(&mut screen, "while it is looked through");
    frames(&mut screen, "while it is looked through");
    let (looked, ()) = timed(|| {
        while screen.looked().0 < screen.looked().1 {
            std::thread::sleep(Duration::from_millis(20));
            screen.draw(200, 60);
        }
    });
    println!("looked through: {looked:.1?} more, {:.1?} of processor time in all", processor());
    println!("peak resident memory by then: {} MiB", peak() >> 10);
    jumps(&mut screen, "then");
    filters(&mut screen, "then");
    frames(&mut screen, "then");
    println!("peak resident memory: {} MiB (before the screen: {} MiB)", peak() >> 10, before >> 10);
}
