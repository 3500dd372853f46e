//! The report as text and as JSON, from a real analysis of hand-made events, and its schema.

use std::path::Path;

use serde_json::Value;

use super::*;
use crate::analysis::rules::Rules;
use crate::analysis::tests::{assets, leak};
use crate::analysis::verdict::judge;
use crate::bundle::{Clocks, Privilege, State};
use crate::store::Totals;

fn session() -> Session {
    Session {
        schema: "belljar.session/1".into(),
        id: "0198c0de-0000-7000-8000-000000000000".into(),
        state: State::Complete,
        error: None,
        started: "2026-01-02T03:04:05Z".into(),
        duration_ns: Some(1_234_567_890),
        argv: ["python3", "-c", "print('anna.berg@example.com \u{1b}[31m')"].map(str::to_owned).to_vec(),
        exit: Some(Exit { code: Some(0), signal: None }),
        belljar: "0.1.0".into(),
        kernel: "6.1".into(),
        machine: "x86_64".into(),
        privilege: Privilege::Root,
        witnesses: Vec::new(),
        clocks: Clocks { monotonic_ns: 0, realtime_ns: 0 },
        profile: ProfileInfo { name: "workstation".into(), sha256: "ab".repeat(32), seed: 42 },
        assets: Vec::new(),
        payload_limit: 256,
        capture_limit: 4096,
        totals: Totals::default(),
        lost: 0,
        executables: vec![Executable { path: "/usr/bin/python3".into(), sha256: Some("cd".repeat(32)) }],
        coverage: None,
    }
}

fn redactor() -> Redactor {
    let assets = assets();
    let values = assets.iter().flat_map(|asset| &asset.markers).map(|marker| marker.value.as_slice());
    Redactor::new(values, false, false).expect("few markers")
}

fn report() -> Report {
    Report::new(Some(&session()), leak().outcome(), &redactor())
}

fn validator() -> jsonschema::Validator {
    let schema: Value = serde_json::from_str(include_str!("../../schemas/report-1.schema.json")).expect("JSON");
    jsonschema::validator_for(&schema).expect("a schema")
}

fn check(report: &Report) -> Result<(), String> {
    let value: Value = serde_json::from_str(&report.json().expect("plain data")).expect("JSON");
    validator().validate(&value).map_err(|error| format!("{error} at {}", error.instance_path()))
}

#[test]
fn the_json_is_as_it_was() {
    insta::assert_snapshot!(report().json().expect("plain data"));
}

#[test]
fn the_text_is_as_it_was() {
    insta::assert_snapshot!(text(&report(), &Rules::default(), Path::new("app.belljar"), Style::default()));
}

#[test]
fn what_is_declared_is_not_told_as_if_it_were_nothing() {
    let text_of = |declared: &[u32]| {
        let mut findings = leak().outcome().findings;
        for finding in &mut findings {
            finding.declared = declared.contains(&finding.id);
        }
        let outcome = judge(findings, &Rules::default(), Coverage::default());
        text(&Report::new(Some(&session()), outcome, &redactor()), &Rules::default(), Path::new("x"), Style::default())
    };
    let all = text_of(&[1, 2, 3]);
    assert!(all.starts_with("· NOT OBSERVED beyond what is declared (3 declared findings)\n"), "{all}");
    assert!(
        all.contains("\n· transmit   declared      #3\n") && all.contains("\n· control    not observed\n"),
        "{all}"
    );
    let some = text_of(&[3]);
    assert!(some.starts_with("✕ VIOLATION (1 declared finding besides)\n"), "{some}");
    assert!(
        some.contains("\n✕ store      violation     #2\n") && some.contains("· transmit   declared      #3\n"),
        "{some}"
    );
    // The control: nothing declared, nothing said of it.
    assert!(text_of(&[]).starts_with("✕ VIOLATION\n"));
}

#[test]
fn ascii_and_colour_say_the_same() {
    let plain = text(&report(), &Rules::default(), Path::new("app.belljar"), Style { colour: false, ascii: true });
    assert!(plain.is_ascii());
    assert!(plain.lines().all(|line| line.len() <= 100), "{plain}");
    let coloured = text(&report(), &Rules::default(), Path::new("app.belljar"), Style { colour: true, ascii: true });
    let mut stripped = coloured.clone();
    for code in ["1;31", "1;33", "33", "2", "1", "0"] {
        stripped = stripped.replace(&format!("\x1b[{code}m"), "");
    }
    assert!(coloured.contains("\x1b[1;31m") && stripped == plain);
}

#[test]
fn reports_are_of_the_schema() {
    check(&report()).expect("valid");
    let mut revealed = report();
    let assets = assets();
    let markers: Vec<_> = assets.iter().flat_map(|asset| &asset.markers).collect();
    revealed.reveal(|name| markers.iter().find(|m| m.name == name).map(|m| m.value.as_slice()));
    check(&revealed).expect("valid");
    assert!(revealed.json().expect("plain data").contains("\"customers[0]\": \"anna.berg@example.com\""));
    check(&Report::new(None, leak().outcome(), &redactor())).expect("valid when the recording lost its head");
    // The control: what is not in the schema is noticed.
    let mut wrong = report();
    wrong.schema = "belljar.report/2";
    check(&wrong).expect_err("another version");
    let mut wrong = report();
    wrong.findings[0].finding.chain[0].event = 0;
    check(&wrong).expect_err("events count from 1");
}

#[test]
fn every_key_of_the_schema_is_described_and_closed() {
    fn walk(schema: &Value, keys: &mut usize) {
        if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
            assert_eq!(schema["additionalProperties"], false, "{schema}");
            for (name, property) in properties {
                let described = property["description"].as_str().is_some_and(|text| text.len() > 5);
                assert!(described, "{name} is not described");
                *keys += 1;
            }
        }
        match schema {
            Value::Object(map) => map.values().for_each(|value| walk(value, keys)),
            Value::Array(list) => list.iter().for_each(|value| walk(value, keys)),
            _ => {}
        }
    }
    let schema = serde_json::from_str(include_str!("../../schemas/report-1.schema.json")).expect("JSON");
    let mut keys = 0;
    walk(&schema, &mut keys);
    assert!(keys > 50, "{keys}");
}

#[test]
fn no_value_and_no_escape_sequence_gets_through() {
    let mut outcome = leak().outcome();
    // As a recording would have it that somebody tampered with.
    outcome.findings[0].title = "see anna.berg@example.com\n\x1b]0;owned\x07".into();
    outcome.findings[1].chain[0].what = "4929123412341234\u{202e}".into();
    outcome.coverage.blind.push("\x1b[2J".into());
    let mut session = session();
    session.executables.push(Executable { path: "/tmp/\x1b[2J".into(), sha256: Some("\x07".into()) });
    let report = Report::new(Some(&session), outcome, &redactor());
    let style = Style { colour: false, ascii: false };
    for text in [report.json().expect("plain data"), text(&report, &Rules::default(), Path::new("x\x1b"), style)] {
        for bad in ["anna.berg@example.com", "4929123412341234", "\x1b", "\x07", "\u{202e}", "u001b"] {
            assert!(!text.contains(bad), "{bad:?} in {text}");
        }
    }
}
