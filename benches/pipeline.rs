//! What everything behind the queue costs: events as the tracing witness of root delivers them -
//! every call with result, duration and all six registers, payloads of all writes, the same names
//! again and again - through ingest, analysis with a real profile's markers, and the bundle.
//!
//! Two workloads: `mixed`, in the proportions of `strace -f` over a compiler, Python's imports,
//! git, find and tar; and `hot`, one process that writes 64 bytes without end. For each: events
//! a second by the clock and by processor time of each thread, bytes an event by file and by
//! column. `cargo bench --bench pipeline -- [EVENTS] [mixed|hot|plain|undetected|burn]...`: `plain` leaves analysis out,
//! `undetected` its detectors, `burn` keeps one processor busy meanwhile. Figures stand in `benches/README.md`.

// A benchmark that cannot run has nothing better to do than to say so.
#![allow(clippy::expect_used, clippy::print_stdout)]

mod common;

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use belljar::analysis::Analysis;
use belljar::analysis::detectors::builtin;
use belljar::analysis::rules::Rules;
use belljar::bundle::{Outcome, Reader, Writer};
use belljar::ingest::{self, Options};
use belljar::profile::Profile;
use belljar_sandbox::event::{Abi, Batch, Event, Kind, ObjectKind, ProcessKey, Queue, Span, Witness};
use nix::sys::resource::{UsageWho, getrusage};

use common::header;

/// Events that the witness hands on under one lock.
const PUSH: usize = 256;
const PROCESSES: u64 = 16;

/// What a call acts on.
type Named = (ObjectKind, Span);
const NOTHING: Named = (ObjectKind::None, Span { start: 0, len: 0 });

struct Noise(u64);

impl Noise {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// A synthetic session: what calls follow on each other.
struct Feed {
    noise: Noise,
    time: u64,
    process: u64,
    /// What stands in each process's registers: calls that take fewer leave the others as they are.
    registers: [[u64; 6]; PROCESSES as usize],
    text: Vec<u8>,
    name: String,
    line: String,
    count: u64,
}

impl Feed {
    fn new() -> Self {
        let mut noise = Noise(0x5eed);
        let mut text = Vec::new();
        while text.len() < 1 << 20 {
            let n = noise.below(5_000);
            text.extend_from_slice(
                format!("static int value{n} = table[{}]; /* the quick, brown */\n", n % 97).as_bytes(),
            );
        }
        let (name, line) = (String::new(), String::new());
        Self { noise, time: 0, process: 0, registers: [[0; 6]; PROCESSES as usize], text, name, line, count: 0 }
    }

    fn start(batch: &mut Batch) {
        for key in 1..=PROCESSES as u32 {
            let start = Event::new(0, Witness::Ebpf, Kind::ProcessStart, ProcessKey(key), key);
            let args = [u64::from(key - 1), u64::from(key), u64::from(key) + 4000, 0, 0, 0];
            batch.events.push(Event { args, ..start });
            let (object, detail) = (batch.put(b"/usr/bin/python3"), batch.put(b"python3\0-m\0app\0"));
            let image = Event::new(0, Witness::Ebpf, Kind::ProcessImage, ProcessKey(key), key);
            batch.events.push(Event { object_kind: ObjectKind::File, object, detail, ..image });
        }
    }

    /// One call. Its registers past `args` keep what they held, or what other code left there.
    fn call(&mut self, batch: &mut Batch, nr: u32, args: &[u64], result: i64, named: Named) {
        let registers = &mut self.registers[self.process as usize];
        for (register, arg) in registers.iter_mut().zip(args) {
            *register = *arg;
        }
        if self.noise.below(4) == 0 {
            let pick = self.noise.below(6) as usize;
            if pick >= args.len() {
                registers[pick] = 0x7f3a_5c00_0000 + self.noise.below(64) * 0x1230;
            }
        }
        let slow = if self.noise.below(8) == 0 { self.noise.below(3_000) } else { 0 };
        let duration = 120 + self.noise.below(250) + slow;
        self.time += duration + 80 + self.noise.below(500);
        let kind = Kind::Call { abi: Abi::X86_64, nr };
        let process = self.process as u32 + 1;
        let (object_kind, object) = named;
        batch.events.push(Event {
            args: *registers,
            result: Some(result),
            duration_ns: Some(duration),
            object_kind,
            object,
            ..Event::new(self.time, Witness::Ebpf, kind, ProcessKey(process), process)
        });
    }

    fn payload(&self, batch: &mut Batch, len: usize) {
        let at = (self.count as usize * 4093) % (self.text.len() - len);
        let payload = batch.put(&self.text[at..at + len]);
        if let Some(event) = batch.events.last_mut() {
            (event.payload, event.payload_len) = (payload, len as u64);
        }
    }

    fn file(&mut self, batch: &mut Batch, name: std::fmt::Arguments<'_>) -> Named {
        self.name.clear();
        let _ = self.name.write_fmt(name);
        (ObjectKind::File, batch.put(self.name.as_bytes()))
    }

    fn buffer(&mut self) -> u64 {
        0x55e6_7637_0000 + self.process * 0x100_0000 + self.noise.below(24) * 0x8f0
    }

    /// A handful of calls that belong together.
    fn mixed(&mut self, batch: &mut Batch) {
        const CWD: u64 = 0xffff_ff9c;
        self.count += 1;
        if self.noise.below(3) == 0 {
            self.process = self.noise.below(PROCESSES);
        }
        let (path, stat, fd) = (self.buffer(), 0x7ffd_192c_0000 + self.process * 0x10_0000, 3 + self.noise.below(4));
        let (pick, n) = (self.noise.below(100), self.noise.below(3_000));
        match pick {
            // Python looks for a module, then reads it.
            0..30 => {
                for place in ["/usr/lib/python3.11", "/usr/lib/python3.11/lib-dynload", "/srv/app"] {
                    let name = self.file(batch, format_args!("{place}/m{n}.cpython-311.so"));
                    self.call(batch, 262, &[CWD, path, stat, 0], -2, name);
                }
                let name = self.file(batch, format_args!("/usr/lib/python3.11/p{}/__pycache__/m{n}.pyc", n % 50));
                let size = 900 + n * 7;
                self.call(batch, 262, &[CWD, path, stat, 0], 0, name);
                self.call(batch, 257, &[CWD, path, 0x8_0000, 0], fd as i64, name);
                self.call(batch, 5, &[fd, stat], 0, name);
                self.call(batch, 16, &[fd, 0x5401, stat], -25, name);
                self.call(batch, 8, &[fd, 0, 1], 0, name);
                self.call(batch, 0, &[fd, path + 0x20, size], size as i64 - 1, name);
                self.call(batch, 0, &[fd, path + 0x20 + size, 1], 0, name);
                self.call(batch, 3, &[fd], 0, name);
            }
            // A shared library.
            30..40 => {
                let name = self.file(batch, format_args!("/usr/lib/x86_64-linux-gnu/lib{}.so.6", n % 200));
                self.call(batch, 257, &[CWD, path, 0x8_0000, 0], fd as i64, name);
                self.call(batch, 0, &[fd, stat, 832], 832, name);
                self.call(batch, 5, &[fd, stat], 0, name);
                let base = 0x7f79_2400_0000 + (n << 12);
                for part in 0..4 {
                    let at = base + part * 0x2_6000;
                    self.call(batch, 9, &[at, 0x2_6000, 5, 0x812, fd, part * 0x26], at as i64, name);
                }
                self.call(batch, 3, &[fd], 0, name);
                self.call(batch, 10, &[base, 0x4000, 1], 0, NOTHING);
            }
            // find and git: directories and what is in them.
            40..65 => {
                let dir = self.file(batch, format_args!("/usr/share/doc/package{n}"));
                self.call(batch, 257, &[CWD, path, 0x9_0800, 0], fd as i64, dir);
                self.call(batch, 5, &[fd, stat], 0, dir);
                self.call(batch, 72, &[fd, 1], 0, dir);
                self.call(batch, 72, &[fd, 1030, 0], fd as i64 + 5, dir);
                self.call(batch, 217, &[fd, path + 0x40, 32768], 240, dir);
                for entry in ["copyright", "changelog.gz", "README", "NEWS.gz"] {
                    let name = self.file(batch, format_args!("/usr/share/doc/package{n}/{entry}"));
                    self.call(batch, 262, &[fd, path + 0x80, stat, 0x100], 0, name);
                }
                self.call(batch, 217, &[fd, path + 0x40, 32768], 0, dir);
                self.call(batch, 3, &[fd], 0, dir);
            }
            // tar: a file goes into the archive.
            65..70 => {
                let name = self.file(batch, format_args!("/srv/app/src/part{}/file{n}.rs", n % 40));
                self.call(batch, 262, &[CWD, path, stat, 0x100], 0, name);
                self.call(batch, 257, &[CWD, path, 0x2_0900, 0], fd as i64, name);
                self.call(batch, 5, &[fd, stat], 0, name);
                self.call(batch, 0, &[fd, path + 0x1000, 9216], 9216, name);
                let archive = self.file(batch, format_args!("/tmp/backup.tar"));
                self.call(batch, 1, &[1, path, 10240], 10240, archive);
                self.payload(batch, 10240);
                self.call(batch, 3, &[fd], 0, name);
            }
            // The compiler: looks around, maps memory, writes what it made.
            70..85 => {
                for up in 0..3 {
                    let name = self.file(batch, format_args!("/usr/lib/gcc/x86_64-linux-gnu/{}", n % 30 + up));
                    self.call(batch, 89, &[path, stat, 1023], -22, name);
                }
                let name = self.file(batch, format_args!("/usr/include/part{}/h{n}.h", n % 60));
                self.call(batch, 21, &[path, 4], 0, name);
                self.call(batch, 257, &[CWD, path, 0x100, 0], fd as i64, name);
                self.call(batch, 0, &[fd, path, 4096], 4096, name);
                self.call(batch, 8, &[fd, n, 0], n as i64, name);
                self.call(batch, 3, &[fd], 0, name);
                self.call(
                    batch,
                    12,
                    &[0x55e6_7800_0000 + n * 0x2_1000],
                    0x55e6_7800_0000 + n as i64 * 0x2_1000,
                    NOTHING,
                );
                self.call(batch, 13, &[11, stat, 0, 8], 0, NOTHING);
                self.call(batch, 14, &[0, stat, stat + 128, 8], 0, NOTHING);
                if n % 4 == 0 {
                    let made = self.file(batch, format_args!("/tmp/cc{}.s", n % 100));
                    self.call(batch, 1, &[4, path, 4096], 4096, made);
                    self.payload(batch, 4096);
                }
            }
            // A service: answers on a socket, writes its log.
            _ => {
                let peer = (ObjectKind::Tcp, self.file(batch, format_args!("10.0.0.{}:443", n % 8)).1);
                self.call(batch, 45, &[5, path, 4096, 0, 0, 0], 200 + (n as i64 % 50), peer);
                self.call(batch, 44, &[5, path, 120 + n % 200, 0x4000, 0, 0], 120 + (n as i64 % 200), peer);
                self.payload(batch, 120 + n as usize % 200);
                let log = self.file(batch, format_args!("/var/log/app.log"));
                self.line.clear();
                let _ = writeln!(self.line, "2026-11-24 16:12:{:02} INFO request {} took {n} us", n % 60, self.count);
                let bytes = batch.put(self.line.as_bytes());
                let len = u64::from(bytes.len);
                self.call(batch, 1, &[6, path, len], len as i64, log);
                if let Some(event) = batch.events.last_mut() {
                    (event.payload, event.payload_len) = (bytes, len);
                }
            }
        }
    }

    /// One write of 64 bytes.
    fn hot(&mut self, batch: &mut Batch) {
        self.count += 1;
        let file = self.file(batch, format_args!("/home/anna/out.dat"));
        self.call(batch, 1, &[3, 0x55e6_7637_02a0, 64], 64, file);
        self.line.clear();
        let _ = write!(self.line, "{:063}", self.count);
        self.line.push('\n');
        let payload = batch.put(self.line.as_bytes());
        if let Some(event) = batch.events.last_mut() {
            (event.payload, event.payload_len) = (payload, 64);
        }
    }

    fn run(&mut self, queue: &Queue, events: u64, hot: bool) {
        let mut done = 0;
        while done < events {
            let pushed = queue.push(|batch| {
                let before = batch.events.len();
                if done == 0 {
                    Self::start(batch);
                }
                while batch.events.len() - before < PUSH {
                    if hot { self.hot(batch) } else { self.mixed(batch) }
                }
                batch.events.len() - before
            });
            let Ok(pushed) = pushed else { return };
            done += pushed as u64;
        }
    }
}

/// Processor time of the process or of the calling thread.
fn time(who: UsageWho) -> Duration {
    let usage = getrusage(who).expect("getrusage");
    let (user, system) = (usage.user_time(), usage.system_time());
    Duration::from_micros(
        (user.tv_sec() + system.tv_sec()) as u64 * 1_000_000 + (user.tv_usec() + system.tv_usec()) as u64,
    )
}

fn record(dir: &Path, events: u64, hot: bool, plain: bool, undetected: bool) {
    let assets = Profile::load("workstation").and_then(|profile| profile.realise(1)).expect("a profile").assets;
    let markers: usize = assets.iter().map(|asset| asset.markers.len()).sum();
    let mut rules = Rules::default();
    if undetected {
        rules.off = builtin().iter().map(|detector| detector.name.clone()).collect();
    }
    let mut analysis = Analysis::new(assets, rules).expect("markers").captured(65_536);
    let mut writer = Writer::create(dir, &header()).expect("a new bundle");
    let queue = Arc::new(Queue::new(8192, 8 << 20));
    let fed = Arc::clone(&queue);
    let (all, clock) = (time(UsageWho::RUSAGE_SELF), Instant::now());
    let feeder = std::thread::spawn(move || {
        let mut feed = Feed::new();
        let before = time(UsageWho::RUSAGE_THREAD);
        feed.run(&fed, events, hot);
        fed.close();
        time(UsageWho::RUSAGE_THREAD).saturating_sub(before)
    });
    let own = time(UsageWho::RUSAGE_THREAD);
    let totals = if plain {
        ingest::run(&queue, &mut (), &mut writer, Options::default(), |_| {})
    } else {
        ingest::run(&queue, &mut analysis, &mut writer, Options::default(), |_| {})
    };
    let own = time(UsageWho::RUSAGE_THREAD).saturating_sub(own);
    let feeder = feeder.join().expect("feeder");
    let totals = totals.expect("room");
    let events = totals.events;
    writer.finish(Outcome { totals, ..Outcome::default() }).expect("finished");
    let (all, clock) = (time(UsageWho::RUSAGE_SELF).saturating_sub(all), clock.elapsed());
    let each = |time: Duration| time.as_nanos() as f64 / events as f64;
    println!(
        "{events} events, {markers} markers: {:.2} M events/s by the clock; processor time an event: {:.0} ns behind the \
         queue ({:.0} ingest, {:.0} others), {:.0} feeder",
        events as f64 / clock.as_secs_f64() / 1e6,
        each(all.saturating_sub(feeder)),
        each(own),
        each(all.saturating_sub(feeder).saturating_sub(own)),
        each(feeder),
    );
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    println!("{}", status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("VmHWM: unknown"));
    for name in ["events.arrows", "objects.arrows", "payloads.arrows", "processes.arrows"] {
        columns(&dir.join(name), events);
    }
}

/// Prints how many bytes an event each column of a file takes, by the frames' own words.
fn columns(path: &Path, events: u64) {
    let bytes = std::fs::read(path).expect("part");
    let each = |size: i64| size as f64 / events as f64;
    let (mut at, mut names, mut sizes) = (0, Vec::new(), Vec::<i64>::new());
    while let Some(length) = bytes.get(at + 4..at + 8).and_then(<[u8]>::first_chunk::<4>) {
        let header = u32::from_le_bytes(*length) as usize;
        let Some(message) = bytes.get(at + 8..at + 8 + header).filter(|h| !h.is_empty()) else { break };
        let message = arrow_ipc::root_as_message(message).expect("a message");
        if let Some(schema) = message.header_as_schema() {
            for field in schema.fields().into_iter().flatten() {
                let binary = matches!(field.type_type(), arrow_ipc::Type::Binary | arrow_ipc::Type::LargeBinary);
                names.push((field.name().unwrap_or("?").to_owned(), if binary { 3 } else { 2 }));
            }
            sizes = vec![0; names.len()];
        }
        if let Some(batch) = message.header_as_record_batch() {
            let mut buffers = batch.buffers().into_iter().flatten();
            for ((_, count), size) in names.iter().zip(&mut sizes) {
                *size += buffers.by_ref().take(*count).map(arrow_ipc::Buffer::length).sum::<i64>();
            }
        }
        at += 8 + header + message.bodyLength() as usize;
    }
    print!("{}: {:.2} bytes an event:", path.file_name().unwrap_or_default().display(), each(bytes.len() as i64));
    for ((name, _), size) in names.iter().zip(sizes).filter(|(_, size)| each(*size) >= 0.01) {
        print!(" {name} {:.2}", each(size));
    }
    println!();
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let has = |word: &str| words.iter().any(|w| w == word);
    let events = words.iter().find_map(|word| word.parse().ok()).unwrap_or(5_000_000);
    let burner = has("burn").then(|| Command::new("sh").args(["-c", "while :; do :; done"]).spawn().expect("sh"));
    for (name, hot) in [("mixed", false), ("hot", true)] {
        if has(name) || !has("mixed") && !has("hot") {
            let base = tempfile::tempdir().expect("tempdir");
            println!("{name}:");
            let dir = base.path().join("bundle");
            record(&dir, events, hot, has("plain"), has("undetected"));
            if has("read") {
                let clock = Instant::now();
                let mut reader = Reader::open(&dir).expect("opens");
                reader.records(|_| std::ops::ControlFlow::Continue(())).expect("reads");
                println!("read: {:.2} M events/s", events as f64 / clock.elapsed().as_secs_f64() / 1e6);
            }
        }
    }
    if let Some(mut child) = burner {
        let _ = child.kill();
        let _ = child.wait();
    }
}
