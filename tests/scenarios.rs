//! Scenarios as data: every file of `tests/scenarios/` names a subject, a profile and what the
//! recording must and must not say. As root each runs three times: as root under either witness
//! of system calls, and with all privileges dropped under the one that needs none; all must agree.
//! Where a witness truly sees another thing, `[expect.ebpf]` or `[expect.notify]` replaces single
//! fields of `[expect]`. `SCENARIO=text` runs those whose name contains it, `WITNESS=notify`
//! leaves out the other witness.
//!
//! Scenarios marked `dangerous` would harm a machine outside a jail. They run only after a probe
//! has shown, from inside, that the jail built by this very program holds.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::fs;
use std::path::Path;

use common::{Calls, Lab, Privilege, setups};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scenario {
    /// What it shows, for whoever reads a failure.
    about: String,
    /// The subject.
    command: Vec<String>,
    /// Options of `record`.
    #[serde(default)]
    options: Vec<String>,
    /// C source of `tests/fixtures/` that is built and put in the working directory.
    fixture: Option<String>,
    /// Whether it would harm a machine outside a jail.
    #[serde(default)]
    dangerous: bool,
    /// Only with privilege: what it needs, in words.
    needs_root: Option<String>,
    expect: Expect,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expect {
    /// Exit code of `record`.
    exit: i32,
    verdict: String,
    /// How the subject itself ended.
    subject_code: Option<i64>,
    subject_signal: Option<i64>,
    /// Text that must stand in the terminal's recording.
    #[serde(default)]
    screen: Vec<String>,
    #[serde(default, rename = "event")]
    events: Vec<ExpectedEvent>,
    #[serde(default, rename = "finding")]
    findings: Vec<ExpectedFinding>,
    /// Nothing else may be found.
    #[serde(default)]
    only_these: bool,
    /// Substrings of coverage's `refused_calls`.
    #[serde(default)]
    refused: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectedEvent {
    filter: String,
    #[serde(default = "one")]
    min: usize,
    max: Option<usize>,
}

fn one() -> usize {
    1
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
struct ExpectedFinding {
    verb: String,
    asset: Option<String>,
    confidence: Option<String>,
    destination: Option<String>,
    channel: Option<String>,
    outcome: Option<String>,
    error: Option<String>,
    decision: Option<String>,
    /// Through what it was seen, outermost first.
    encodings: Option<Vec<String>>,
}

/// A scenario as it is to be read for one witness.
fn read(text: &str, calls: Calls) -> Result<Scenario, toml::de::Error> {
    let mut whole: toml::Table = text.parse()?;
    if let Some(expect) = whole.get_mut("expect").and_then(toml::Value::as_table_mut) {
        let mut own = [Calls::Ebpf, Calls::Notify].map(|of| (of, expect.remove(of.name())));
        let own = own.iter_mut().find(|(of, _)| *of == calls).and_then(|(_, fields)| fields.take());
        if let Some(fields) = own {
            expect.extend(fields.try_into::<toml::Table>()?);
        }
    }
    whole.try_into()
}

impl ExpectedFinding {
    fn fits(&self, finding: &Value) -> bool {
        let is = |key: &str, wanted: &Option<String>| {
            wanted.as_ref().is_none_or(|wanted| finding[key].as_str() == Some(wanted))
        };
        finding["verb"] == self.verb.as_str()
            && is("asset", &self.asset)
            && is("confidence", &self.confidence)
            && is("destination", &self.destination)
            && is("channel", &self.channel)
            && is("outcome", &self.outcome)
            && is("error", &self.error)
            && is("decision", &self.decision)
            && self.encodings.as_ref().is_none_or(|wanted| finding["encodings"] == serde_json::json!(wanted))
    }
}

/// Runs one scenario at one privilege; returns what is wrong.
fn check(lab: &Lab, name: &str, scenario: &Scenario) -> Vec<String> {
    let mut wrong = Vec::new();
    if let Some(fixture) = &scenario.fixture {
        lab.build_fixture(fixture);
    }
    let mut options: Vec<&str> = vec!["--seed", "4711"];
    options.extend(scenario.options.iter().map(String::as_str));
    let command: Vec<&str> = scenario.command.iter().map(String::as_str).collect();
    let recorded = lab.record(&options, &command);
    let expect = &scenario.expect;
    if recorded.code != Some(expect.exit) {
        wrong.push(format!("exit {:?}, expected {}", recorded.code, expect.exit));
    }
    let Some(report) = &recorded.report else {
        wrong.push(format!("no report on stdout; stderr: {}", recorded.stderr));
        return wrong;
    };
    if report["verdict"] != expect.verdict.as_str() {
        wrong.push(format!("verdict {}, expected {}", report["verdict"], expect.verdict));
    }
    let exit = &report["subject"]["exit"];
    for (key, wanted) in [("code", expect.subject_code), ("signal", expect.subject_signal)] {
        if wanted.is_some() && exit[key].as_i64() != wanted {
            wrong.push(format!("the subject's exit is {exit}, expected {key} {wanted:?}"));
        }
    }
    let findings = report["findings"].as_array().cloned().unwrap_or_default();
    for expected in &expect.findings {
        match findings.iter().find(|finding| expected.fits(finding)) {
            None => wrong.push(format!("no finding like {expected:?}")),
            Some(finding) if finding["chain"].as_array().is_none_or(Vec::is_empty) => {
                wrong.push(format!("no chain: {finding}"));
            }
            Some(_) => {}
        }
    }
    if expect.only_these {
        for finding in findings.iter().filter(|finding| !expect.findings.iter().any(|expected| expected.fits(finding)))
        {
            wrong.push(format!("unexpected finding: {finding}"));
        }
    }
    for refused in &expect.refused {
        let calls = report["coverage"]["refused_calls"].to_string();
        if !calls.contains(refused.as_str()) {
            wrong.push(format!("refused_calls {calls} lacks {refused}"));
        }
    }
    if report["coverage"]["lost"] != 0 {
        wrong.push(format!("events were lost: {}", report["coverage"]));
    }
    let screen = fs::read_to_string(recorded.bundle.join("terminal.cast")).unwrap_or_default();
    for text in &expect.screen {
        if !screen.contains(text.as_str()) {
            wrong.push(format!("the terminal does not show {text:?}: {screen}"));
        }
    }
    for expected in &expect.events {
        let found = lab.events(&recorded.bundle, &expected.filter);
        if found.len() < expected.min || expected.max.is_some_and(|max| found.len() > max) {
            wrong.push(format!(
                "{} events match `{}`, expected {}..{:?}",
                found.len(),
                expected.filter,
                expected.min,
                expected.max
            ));
        }
    }
    if !wrong.is_empty() {
        wrong.push(format!("findings: {}", serde_json::to_string_pretty(&findings).unwrap_or_default()));
        let kept =
            std::env::temp_dir().join(format!("belljar-failed-{name}-{:?}-{}", lab.privilege(), lab.calls().name()));
        let _ = fs::remove_dir_all(&kept);
        let _ = fs::rename(&recorded.bundle, &kept);
        wrong.push(format!("the recording is kept at {}", kept.display()));
    }
    wrong
}

#[test]
fn a_witness_may_differ_in_single_fields() {
    let text = "about = 'x'\ncommand = ['true']\n[expect]\nexit = 0\nverdict = 'not-observed'\nscreen = ['a']\n\
                [expect.ebpf]\nexit = 11\nscreen = ['b']\n";
    let (ebpf, notify) = (read(text, Calls::Ebpf).unwrap(), read(text, Calls::Notify).unwrap());
    assert_eq!((ebpf.expect.exit, ebpf.expect.screen), (11, vec!["b".to_owned()]));
    assert_eq!((notify.expect.exit, notify.expect.screen), (0, vec!["a".to_owned()]));
    assert_eq!(ebpf.expect.verdict, notify.expect.verdict);
}

#[test]
fn every_scenario_says_what_it_must() {
    let only = std::env::var("SCENARIO").ok();
    let mut files: Vec<_> = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios"))
        .expect("the scenarios")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.sort();
    assert!(files.len() >= 20, "the scenarios are there");
    let mut failed = Vec::new();
    let mut ran = 0;
    for (privilege, calls) in setups() {
        let lab = Lab::with(privilege, calls);
        let holds = lab.jail_holds();
        for file in &files {
            let name = file.file_stem().expect("a name").to_string_lossy();
            if only.as_ref().is_some_and(|only| !name.contains(only.as_str())) {
                continue;
            }
            let text = fs::read_to_string(file).expect("a scenario");
            let scenario = read(&text, calls).unwrap_or_else(|error| panic!("{name}: {error}"));
            if scenario.needs_root.is_some() && privilege != Privilege::Root {
                continue;
            }
            assert!(!scenario.dangerous || holds, "the jail does not hold: {name} is not run");
            let wrong = check(&lab, &name, &scenario);
            ran += 1;
            if !wrong.is_empty() {
                failed.push(format!("{name} ({privilege:?}, {calls:?}): {}\n  {}", scenario.about, wrong.join("\n  ")));
            }
        }
    }
    println!("{ran} runs of scenarios");
    assert!(failed.is_empty(), "{} of {ran} runs failed:\n{}", failed.len(), failed.join("\n"));
}
