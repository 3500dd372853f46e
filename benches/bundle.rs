//! How fast events are ingested, written and read again, and how many bytes one takes, on rows
//! like those of a real session: a few descriptors and buffers, paths that come again, growing
//! clocks, some payloads. Figures stand in `benches/README.md`.

// A benchmark that cannot run has nothing better to do than to say so.
#![allow(clippy::expect_used)]

mod common;

use std::hint::black_box;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use belljar::bundle::{Outcome, Reader, Writer};
use belljar::ingest::{self, Options};
use belljar_sandbox::event::{Abi, Event, Kind, ObjectKind, ProcessKey, Queue, Witness};
use criterion::{Criterion, Throughput};

use common::header;

const EVENTS: u64 = 1_000_000;

struct Noise(u64);

impl Noise {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// Feeds `events` events: openat, read, write, close in turn, over 20,000 paths; every 16th write
/// has a payload of 64 bytes.
fn feed(queue: &Queue, events: u64) {
    let mut noise = Noise(0x5eed);
    let mut time = 0;
    let mut path = String::new();
    let mut done = 0;
    while done < events {
        let pushed = queue.push(|batch| {
            for _ in 0..256.min(events - done) {
                time += 2_000 + noise.below(6_000);
                let step = done % 4;
                if step == 0 {
                    use std::fmt::Write;
                    path.clear();
                    let _ =
                        write!(path, "/usr/lib/python3/dist-packages/p{}/m{}.py", noise.below(200), noise.below(100));
                }
                let buffer = 0x7f3a_5c00_0000 + noise.below(32) * 0x1000;
                let fd = 3 + noise.below(4);
                let (nr, args, result) = match step {
                    0 => (257, [u64::MAX - 99, buffer, 0x8_0000, 0, 0, 0], fd as i64),
                    1 => (0, [fd, buffer, 4096, 0, 0, 0], noise.below(4096) as i64),
                    2 => (1, [fd, buffer, 64, 0, 0, 0], 64),
                    _ => (3, [fd, 0, 0, 0, 0, 0], 0),
                };
                let object = batch.put(path.as_bytes());
                let process = noise.below(8) as u32 + 1;
                let kind = Kind::Call { abi: Abi::X86_64, nr };
                let mut event = Event {
                    args,
                    result: Some(result),
                    duration_ns: Some(400 + noise.below(1_000)),
                    object_kind: ObjectKind::File,
                    object,
                    ..Event::new(time, Witness::Notify, kind, ProcessKey(process), process)
                };
                if done % 64 == 2 {
                    let line = format!("{done},Jane Doe {done},jane{done}@example.com,+1 555 {done:07}\n");
                    event.payload = batch.put(line.as_bytes());
                    event.payload_len = line.len() as u64;
                }
                batch.events.push(event);
                done += 1;
            }
        });
        if pushed.is_err() {
            return;
        }
    }
}

fn record(dir: &Path, events: u64) {
    let mut writer = Writer::create(dir, &header()).expect("a new bundle");
    let queue = Arc::new(Queue::new(1 << 16, 8 << 20));
    let fed = Arc::clone(&queue);
    let feeder = std::thread::spawn(move || {
        feed(&fed, events);
        fed.close();
    });
    let totals = ingest::run(&queue, &mut (), &mut writer, Options::default(), |_| {}).expect("room");
    feeder.join().expect("feeder");
    writer.finish(Outcome { totals, ..Outcome::default() }).expect("finished");
}

fn sum(dir: &Path) -> u64 {
    let mut reader = Reader::open(dir).expect("opens");
    let mut sum = 0;
    reader
        .records(|record| {
            sum += record.payload.len() as u64 + record.object.map_or(0, |object| object.name.len() as u64);
            ControlFlow::Continue(())
        })
        .expect("reads");
    sum
}

fn peak() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("VmHWM: unknown").to_owned()
}

fn main() {
    let base = tempfile::tempdir().expect("tempdir");
    let mut criterion = Criterion::default().configure_from_args().sample_size(10);
    let mut group = criterion.benchmark_group("bundle");
    group.throughput(Throughput::Elements(EVENTS));
    let mut n = 0;
    group.bench_function("ingest and write", |bench| {
        bench.iter(|| {
            n += 1;
            record(&base.path().join(format!("w{n}")), EVENTS);
        });
    });
    let dir = base.path().join("long");
    record(&dir, 5 * EVENTS);
    println!("after writing 5 M events: {}", peak());
    let mut all = 0;
    for name in ["events.arrows", "objects.arrows", "payloads.arrows", "processes.arrows"] {
        let size = std::fs::metadata(dir.join(name)).expect("part").len();
        println!("{name}: {:.2} bytes an event", size as f64 / (5 * EVENTS) as f64);
        all += size;
    }
    println!("all: {:.2} bytes an event", all as f64 / (5 * EVENTS) as f64);
    group.throughput(Throughput::Elements(5 * EVENTS));
    group.bench_function("read", |bench| bench.iter(|| black_box(sum(&dir))));
    group.finish();
    println!("after reading 5 M events: {}", peak());
}
