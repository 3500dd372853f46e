//! Storms: ten thousand short lives of every kind, and hundreds of thousands of calls that are
//! only counted. Every sum is exact.

use std::collections::BTreeMap;

use super::{counted, is_full, ops, recorded, root};
use crate::common::Lab;

/// Kinds of `tests/fixtures/storm.c`, and how many of each: 10,000 in all.
const STORMS: [(&str, u64); 6] =
    [("fork", 3000), ("vfork", 2000), ("thread", 2000), ("double", 2000), ("odd", 600), ("pidns", 400)];

/// Writes and lseeks that each of them makes.
const WRITES: u64 = 3;
const LSEEKS: u64 = 2;

/// Calls of each kind that are only counted.
const QUIET: u64 = 100_000;

/// Starts, ends and images that a storm of this many has.
fn lives(lab: &Lab, kind: &str, count: u64) -> [u64; 3] {
    let taken = recorded(lab, &[], &["./storm", kind, &count.to_string()]);
    let writes = lab.events(&taken.bundle, "op:write payload:storm-call");
    assert_eq!(writes.len() as u64, WRITES * count, "{kind}");
    // Every one's own: three a thread, no more and no fewer.
    let mut by_life: BTreeMap<(u64, u64), u64> = BTreeMap::new();
    for write in &writes {
        *by_life.entry((write["key"].as_u64().unwrap(), write["tid"].as_u64().unwrap())).or_default() += 1;
    }
    assert_eq!(by_life.len() as u64, count, "{kind}");
    assert!(by_life.values().all(|writes| *writes == WRITES), "{kind}: {by_life:?}");
    if is_full(lab) {
        assert_eq!(
            lab.count(&taken.bundle, "op:write payload:storm-call errno:EBADF") as u64,
            WRITES * count,
            "{kind}"
        );
        assert_eq!(lab.count(&taken.bundle, "op:lseek args:4242 errno:EBADF") as u64, LSEEKS * count, "{kind}");
    }
    ["process-start", "process-end", "process-image"].map(|op| ops(lab, &taken.bundle, op))
}

#[test]
fn ten_thousand_lives_are_counted_exactly() {
    let Some(lab) = root() else { return };
    lab.build_fixture("storm");
    lab.build_fixture_with("leaf", &["-static", "-nostdlib"]);
    assert_eq!(STORMS.iter().map(|(_, count)| count).sum::<u64>(), 10_000);
    for (kind, count) in STORMS {
        let calm = lives(&lab, kind, 0);
        assert_eq!(calm[0], 1, "control: without a storm there is one process");
        let stormy = lives(&lab, kind, count);
        let more: Vec<u64> = stormy.iter().zip(calm).map(|(stormy, calm)| stormy - calm).collect();
        // Threads end with their process; a witness may tell of them one by one, but then of all.
        let is_thread = kind == "thread";
        assert_eq!(more[1], more[0], "{kind}: as many ends as starts");
        if is_full(&lab) {
            assert!(more[0] == count || (is_thread && more[0] == 0), "{kind}: {} starts for {count}", more[0]);
            assert_eq!(more[2], if kind == "vfork" { count } else { 0 }, "{kind}: images are what was executed");
        }
    }
}

#[test]
fn what_is_only_counted_is_counted_exactly() {
    let Some(lab) = root() else { return };
    lab.build_fixture("quiet");
    let calm = recorded(&lab, &[], &["./quiet", "0"]);
    let loud = recorded(&lab, &[], &["./quiet", &QUIET.to_string()]);
    for name in ["futex", "clock_gettime"] {
        assert_eq!(lab.count(&loud.bundle, &format!("op:{name}")), 0, "{name} is no event");
        if is_full(&lab) {
            let key = ("x86_64".to_owned(), name.to_owned());
            let sum = |bundle| counted(&lab, bundle).get(&key).copied().unwrap_or(0);
            assert_eq!(sum(&loud.bundle) - sum(&calm.bundle), QUIET, "{name}");
        }
    }
}
