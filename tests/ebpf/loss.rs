//! Lost events: with a ring that is far too small and nobody who stops the subject, some are lost,
//! and everything says so. The hidden options `--ebpf-ring BYTES` and `--ebpf-no-freeze` make it
//! happen; without them the same subject loses nothing.

use super::{is_full, recorded, root, session};

/// Writes of the subject; far more than the ring holds.
const FLOOD: u64 = 200_000;

#[test]
fn what_is_lost_is_said_everywhere() {
    let Some(lab) = root() else { return };
    lab.build_fixture("flood");
    let flood = FLOOD.to_string();
    let control = recorded(&lab, &[], &["./flood", &flood]);
    assert_eq!(control.code, Some(0), "control: {}", control.stderr);
    assert_eq!(lab.count(&control.bundle, "op:write payload:flood") as u64, FLOOD, "control: all are there");
    assert_eq!(lab.count(&control.bundle, "op:lost"), 0);
    if !is_full(&lab) {
        return; // the notify witness makes its subject wait: it cannot lose
    }
    let taken = lab.record(&["--ebpf-ring", "4096", "--ebpf-no-freeze"], &["./flood", &flood]);
    assert_eq!(taken.code, Some(12), "{}", taken.stderr);
    let report = taken.report.expect("a report");
    assert_eq!(report["verdict"], "not-testable", "{report}");
    let lost = session(&taken.bundle)["lost"].as_u64().unwrap();
    assert!(lost > 0);
    assert_eq!(report["coverage"]["lost"], lost);
    assert!(report["coverage"]["blind"].to_string().contains("lost"), "{}", report["coverage"]);
    let events = lab.events(&taken.bundle, "op:lost");
    let sum: u64 = events.iter().map(|event| event["args"][0].as_u64().unwrap()).sum();
    assert_eq!(sum, lost, "the losses of the stream are those of the session");
    assert!(events.iter().all(|event| event["witness"] == "ebpf" && event["detail"].is_string()), "{events:?}");
    // They stand where they happened: before what was seen afterwards.
    let after = lab.events(&taken.bundle, "op:write payload:ebb");
    let last = after.last().expect("the reader came back")["seq"].as_u64().unwrap();
    assert!(events.iter().all(|event| event["seq"].as_u64().unwrap() < last), "{events:?} {last}");
    let seen = lab.count(&taken.bundle, "op:write payload:flood") as u64;
    assert!(seen < FLOOD && seen + lost >= FLOOD, "{seen} seen, {lost} lost of {FLOOD}");
    let shown = lab.belljar().arg("report").arg(&taken.bundle).output().unwrap();
    assert_eq!(shown.status.code(), Some(12));
    assert!(String::from_utf8_lossy(&shown.stdout).contains(&lost.to_string()), "the report gives the number");
}

/// With a ring that the flood would fill several times over, the subject is stopped in time.
#[test]
fn a_subject_that_calls_too_fast_is_frozen_and_nothing_is_lost() {
    let Some(lab) = root() else { return };
    if !is_full(&lab) {
        return; // as above
    }
    lab.build_fixture("flood");
    let flood = FLOOD.to_string();
    let taken = recorded(&lab, &["--ebpf-ring", "16777216"], &["./flood", &flood]);
    assert_eq!(lab.count(&taken.bundle, "op:write payload:flood") as u64, FLOOD);
    assert_eq!(lab.count(&taken.bundle, "op:lost"), 0);
    let notices = lab.events(&taken.bundle, "op:notice");
    assert!(notices.iter().any(|notice| notice["detail"].to_string().contains("was frozen")), "{notices:?}");
}
