//! How fast markers are searched: the choice of automaton, whole payloads against streams of
//! small ones. Run with `cargo bench --bench matcher`; throughput is printed by criterion.

#![allow(clippy::expect_used, reason = "a benchmark ends where something is wrong")]

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use belljar::analysis::matcher::{Direction, Hits, Matcher};
use belljar_sandbox::decoy::{Asset, Marker};
use belljar_sandbox::event::ProcessKey;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;

const NAMES: [&str; 8] = ["anna", "peter", "maria", "josef", "karl", "ingrid", "hans", "olga"];

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

/// 720 values in the shapes of planted ones: names, addresses, telephones, IBANs, cards, tokens.
fn asset() -> Asset {
    let mut next = numbers();
    let mut pick = |n: u64| next() % n;
    let mut values: Vec<String> = Vec::new();
    for _ in 0..120 {
        let (first, last) = (NAMES[pick(8) as usize], NAMES[pick(8) as usize]);
        values.push(format!("{first} {last}{}", pick(10_000)));
        values.push(format!("{first}.{last}{}@example.com", pick(100_000)));
        values.push(format!("+49 {} {}", pick(1000), pick(100_000_000)));
        values.push(format!("DE{:020}", pick(10_u64.pow(19))));
        values.push(format!("4{:015}", pick(10_u64.pow(15))));
        values.push(format!("{:016x}{:016x}", pick(u64::MAX), pick(u64::MAX)));
    }
    Asset {
        name: "customers".into(),
        class: "identity".into(),
        paths: Vec::new(),
        variables: Vec::new(),
        markers: values.into_iter().map(|v| Marker { name: String::new(), value: v.into_bytes() }).collect(),
    }
}

/// A megabyte of text that shares words with the markers.
fn text() -> Vec<u8> {
    let mut next = numbers();
    let mut text = Vec::new();
    while text.len() < 1 << 20 {
        text.extend_from_slice(format!("{} {} the quick, ", NAMES[(next() % 8) as usize], next() % 100_000).as_bytes());
    }
    text.truncate(1 << 20);
    text
}

fn bench(c: &mut Criterion) {
    let (asset, text) = (asset(), text());
    let mut matcher = Matcher::new(std::slice::from_ref(&asset)).expect("720 markers");
    let mut group = c.benchmark_group("markers");
    group.throughput(Throughput::Bytes(text.len() as u64)).sample_size(20);
    let mut hits = Hits::default();
    group.bench_function("whole", |b| {
        b.iter(|| {
            hits.clear();
            matcher.scan(black_box(&text), &mut hits);
        });
    });
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
    for (name, kind) in
        [("aho-corasick DFA", AhoCorasickKind::DFA), ("aho-corasick contiguous NFA", AhoCorasickKind::ContiguousNFA)]
    {
        let values = asset.markers.iter().map(|m| &m.value);
        let other = AhoCorasick::builder().kind(Some(kind)).build(values).expect("720 markers");
        group.bench_function(name, |b| b.iter(|| other.find_overlapping_iter(black_box(&text)).count()));
    }
    group.finish();
    c.bench_function("build", |b| {
        b.iter(|| Matcher::new(black_box(std::slice::from_ref(&asset))).expect("720 markers"));
    });
}

criterion_group!(benches, bench);
criterion_main!(benches);
