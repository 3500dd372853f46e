//! How fast bytes are searched for client data with the markers of the `workstation` profile and all their disguises:
//! plain payloads of several sorts, streams of small pieces, packed ones; and what start-up costs. Run with
//! `cargo bench --bench matcher`; throughput is printed by criterion. `INNOCENT=/usr` reads the files below that folder
//! instead, up to 300 MB, and says what was found in them. `MEMORY=10` searches one stream of so many gigabytes, a bomb and
//! 100,000 open streams instead, and says how much memory that took.

#![allow(clippy::expect_used, reason = "a benchmark ends where something is wrong")]

use std::hint::black_box;
use std::path::PathBuf;
use std::time::Instant;

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use belljar::analysis::matcher::{Direction, Hits, Matcher};
use belljar::profile::Profile;
use belljar_sandbox::decoy::Asset;
use belljar_sandbox::event::ProcessKey;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const NAMES: [&str; 8] = ["anna", "peter", "maria", "josef", "karl", "ingrid", "hans", "olga"];
const SIZE: usize = 1 << 20;

/// A fixed sequence of numbers (xorshift64), so that every run searches the same text.
fn numbers() -> impl FnMut() -> u64 {
    let mut state = 88_172_645_463_325_252_u64;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    }
}

fn assets() -> Vec<Asset> {
    Profile::load("workstation").and_then(|profile| profile.realise(1)).expect("a profile").assets
}

/// Text that shares words with the markers.
fn text() -> Vec<u8> {
    let mut next = numbers();
    let mut text = Vec::new();
    while text.len() < SIZE {
        text.extend_from_slice(format!("{} {} the quick, ", NAMES[(next() % 8) as usize], next() % 100_000).as_bytes());
    }
    text.truncate(SIZE);
    text
}

fn random() -> Vec<u8> {
    let mut next = numbers();
    (0..SIZE / 8).flat_map(|_| next().to_le_bytes()).collect()
}

/// A program of this machine.
fn program() -> Vec<u8> {
    let mut bytes = std::fs::read("/bin/bash").expect("a shell");
    bytes.truncate(SIZE);
    bytes
}

/// JSON with escapes and long words, as programs exchange it.
fn json() -> Vec<u8> {
    let mut next = numbers();
    let mut text = b"[".to_vec();
    while text.len() < SIZE {
        let (a, b) = (next(), next());
        text.extend_from_slice(
            format!("{{\"id\":\"{a:016x}{b:016x}\",\"ok\":true,\"at\":{}}},", a % 1_000_000).as_bytes(),
        );
    }
    text.truncate(SIZE);
    text
}

fn bench(c: &mut Criterion) {
    let assets = assets();
    let mut matcher = Matcher::new(&assets).expect("markers");
    let mut hits = Hits::default();
    matcher.scan(b"once, so that everything is made", &mut hits);
    let mut group = c.benchmark_group("markers");
    group.sample_size(20);
    for (name, bytes) in [("text", text()), ("random", random()), ("program", program()), ("json", json())] {
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(name, |b| {
            b.iter(|| {
                hits.clear();
                matcher.scan(black_box(&bytes), &mut hits);
            });
        });
        assert!(hits.is_empty(), "{name}: {hits:?}");
    }
    let text = text();
    group.throughput(Throughput::Bytes(text.len() as u64));
    for size in [64, 256, 4096] {
        group.bench_with_input(BenchmarkId::new("stream", size), &size, |b, size| {
            b.iter(|| {
                hits.clear();
                for chunk in text.chunks(*size) {
                    matcher.scan_stream((ProcessKey(1), 1, Direction::Out), black_box(chunk), true, &mut hits);
                }
            });
        });
    }
    let packed = zstd::encode_all(&text[..], 3).expect("memory");
    group.bench_function("unpacked from zstd", |b| {
        b.iter(|| {
            hits.clear();
            matcher.scan(black_box(&packed), &mut hits);
        });
    });
    let values: Vec<&[u8]> = assets.iter().flat_map(|asset| &asset.markers).map(|marker| &*marker.value).collect();
    for (name, kind) in
        [("aho-corasick DFA", AhoCorasickKind::DFA), ("aho-corasick contiguous NFA", AhoCorasickKind::ContiguousNFA)]
    {
        let other = AhoCorasick::builder().kind(Some(kind)).build(&values).expect("markers");
        group.bench_function(name, |b| b.iter(|| other.find_overlapping_iter(black_box(&text)).count()));
    }
    group.finish();
    let mut group = c.benchmark_group("build");
    group.sample_size(20);
    group.bench_function("until a session may go on", |b| {
        b.iter(|| Matcher::new(black_box(&assets)).expect("markers"));
    });
    group.bench_function("until everything is made", |b| {
        b.iter(|| {
            let mut matcher = Matcher::new(black_box(&assets)).expect("markers");
            matcher.scan(b"until everything is made", &mut Hits::default());
        });
    });
    group.finish();
}

/// Reads what lies below a folder and says how fast that was searched, and what was found.
fn innocent(folder: PathBuf) {
    let mut matcher = Matcher::new(&assets()).expect("markers");
    let (mut hits, mut bytes, mut files) = (Hits::default(), 0, 0);
    let mut took = std::time::Duration::ZERO;
    let mut folders = vec![folder];
    while let Some(folder) = folders.pop().filter(|_| bytes < 300_000_000) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() && entry.metadata().is_ok_and(|data| data.len() < 16 << 20) {
                let content = std::fs::read(entry.path()).unwrap_or_default();
                let begun = Instant::now();
                hits.clear();
                matcher.scan(&content, &mut hits);
                took += begun.elapsed();
                bytes += content.len();
                files += 1;
                for hit in hits.all() {
                    println!("{}: {hit:?}", entry.path().display());
                }
            }
        }
    }
    println!("{files} files, {bytes} bytes, {} MB/s", bytes as f64 / took.as_secs_f64() / 1e6);
}

/// The most memory that was resident since the last time it was asked (proc_pid_status(5), proc_pid_clear_refs(5)).
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("of ourselves");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    std::fs::write("/proc/self/clear_refs", "5").expect("of ourselves");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") >> 10
}

/// What the search holds of much, of much packed in little, and of many at once: never 500 MB.
fn memory(gigabytes: u64) {
    const WANTED: u64 = 500;
    let packed = |bytes: &[u8]| {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        std::io::Write::write_all(&mut packed, bytes).expect("memory");
        packed.finish().expect("memory")
    };
    let key = |stream| (ProcessKey(1), stream, Direction::Out);
    let mut hits = Hits::default();
    let mut matcher = Matcher::new(&assets()).expect("markers");
    let parts = [text(), random(), program(), json(), packed(&json())];
    peak_mib();
    let (mut next, mut left, begun) = (numbers(), gigabytes << 30, Instant::now());
    while left > 0 {
        // In pieces of any size, so that what is packed is cut off as often as not.
        let part = &parts[(next() % 5) as usize];
        let size = (next() as usize % (64 << 10)).clamp(1, part.len());
        let from = next() as usize % (part.len() - size + 1);
        let piece = &part[from..from + size];
        matcher.scan_stream(key(1), piece, true, &mut hits);
        left = left.saturating_sub(piece.len() as u64);
    }
    let peak = peak_mib();
    println!("{gigabytes} GiB in one stream: {peak} MiB, {:?}, {} hits", begun.elapsed(), hits.all().len());
    assert!(peak < WANTED);

    let bomb = packed(&packed(&vec![0; 1 << 30]));
    peak_mib();
    let begun = Instant::now();
    for stream in 0..100 {
        matcher.scan_stream(key(100 + stream), &bomb, true, &mut hits);
    }
    let peak = peak_mib();
    println!("100 bombs of {} bytes, 1 GiB each: {peak} MiB, {:?}", bomb.len(), begun.elapsed());
    assert!(peak < WANTED);

    let head = packed(&random());
    let begun = Instant::now();
    for stream in 0..100_000 {
        matcher.scan_stream(key(1000 + stream), &head[..200], true, &mut hits);
    }
    let peak = peak_mib();
    println!("100,000 packed streams, each begun and not ended: {peak} MiB, {:?}", begun.elapsed());
    assert!(peak < WANTED);
}

fn either(c: &mut Criterion) {
    match (std::env::var_os("INNOCENT"), std::env::var("MEMORY")) {
        (Some(folder), _) => innocent(folder.into()),
        (_, Ok(gigabytes)) => memory(gigabytes.parse().expect("MEMORY: gigabytes")),
        _ => bench(c),
    }
}

criterion_group!(benches, either);
criterion_main!(benches);
