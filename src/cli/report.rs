//! `belljar report`: the verdict of a recording with its evidence. What `record` prints at its end
//! is this, made from the recording that it has just written.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use belljar_sandbox::decoy::Asset;

use super::error::Failure;
use super::options::{ReportArgs, ReportFormat};
use super::output;
use super::planted::planted;
use crate::analysis::Analysis;
use crate::analysis::finding::Finding;
use crate::analysis::rules::Rules;
use crate::analysis::verdict::{self, Outcome};
use crate::bundle::{Reader, State};
use crate::ingest::Observer as _;
use crate::redact::{Redactor, plain};
use crate::report::{Report, Style, text};
use crate::session::Ended;
use crate::store::Coverage;

pub(super) fn run(args: &ReportArgs) -> anyhow::Result<u8> {
    let source = Source::open(&args.bundle, args.reveal)?;
    let mut page = Vec::new();
    match (args.format, &args.output) {
        (ReportFormat::Json, _) => source.json(&mut page)?,
        (ReportFormat::Text, None) => source.text(&mut page)?,
        (ReportFormat::Text, Some(_)) => source.print(&mut page, Style::default())?,
    }
    if let Some(path) = &args.output {
        std::fs::write(path, page).with_context(|| format!("cannot write {}", path.display()))?;
    } else {
        let mut out = output::stdout();
        out.write_all(&page).and_then(|()| out.flush()).context("cannot print the report")?;
    }
    Ok(source.report.verdict.exit_code())
}

/// A recording's report, ready to be printed.
pub(super) struct Source {
    report: Report,
    rules: Rules,
    bundle: PathBuf,
}

impl Source {
    /// The report of a session that has just ended, without values of planted data.
    pub(super) fn of(ended: &Ended) -> anyhow::Result<Self> {
        Self::make(Reader::open(&ended.bundle)?, ended.rules.clone(), &ended.assets, false)
    }

    fn open(bundle: &Path, reveal: bool) -> anyhow::Result<Self> {
        let reader = Reader::open(bundle)?;
        // A recording cut off before its profile was whole is judged by the default rules.
        let (rules, assets) = planted(&reader).unwrap_or_default();
        if reveal && assets.is_empty() {
            return Err(Failure::usage("the recording does not say what was planted")
                .hint("without its profile.toml and seed there are no values to reveal")
                .into());
        }
        Self::make(reader, rules, &assets, reveal)
    }

    fn make(mut reader: Reader, rules: Rules, assets: &[Asset], reveal: bool) -> anyhow::Result<Self> {
        let bundle = reader.dir().to_owned();
        let coverage = coverage(&mut reader, &rules)?;
        let outcome = verdict::judge(findings(&reader)?, &rules, coverage);
        Ok(Self { report: report(&reader, outcome, assets, reveal)?, rules, bundle })
    }

    /// The report for programs.
    pub(super) fn json(&self, out: &mut impl Write) -> anyhow::Result<()> {
        out.write_all(self.report.json()?.as_bytes()).context("cannot print the report")
    }

    /// The report for people, in the style that standard output can show.
    pub(super) fn text(&self, out: &mut impl Write) -> anyhow::Result<()> {
        // https://no-color.org: any value but the empty one.
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let colour = std::io::stdout().is_terminal() && !no_colour;
        self.print(out, Style { colour, ascii: output::is_ascii() })
    }

    fn print(&self, out: &mut impl Write, style: Style) -> anyhow::Result<()> {
        let page = text(&self.report, &self.rules, &self.bundle, style);
        out.write_all(page.as_bytes()).context("cannot print the report")
    }
}

fn report(reader: &Reader, outcome: Outcome, assets: &[Asset], reveal: bool) -> anyhow::Result<Report> {
    let markers = || assets.iter().flat_map(|asset| &asset.markers);
    let redactor = Redactor::new(markers().map(|marker| marker.value.as_slice()), reveal, false)?;
    let mut report = Report::new(reader.session(), outcome, &redactor);
    if reveal {
        let values: BTreeMap<&str, &[u8]> = markers().map(|m| (m.name.as_str(), m.value.as_slice())).collect();
        report.reveal(|name| values.get(name).copied());
    }
    Ok(report)
}

/// The findings as they stood last: one that grew was written again under its id.
pub(super) fn findings(reader: &Reader) -> anyhow::Result<Vec<Finding>> {
    let mut last = BTreeMap::new();
    for value in reader.findings()? {
        let finding: Finding = serde_json::from_value(value).context(
            "findings.jsonl holds a finding that this belljar cannot read; read it with the one that made it",
        )?;
        last.insert(finding.id, finding);
    }
    Ok(last.into_values().collect())
}

/// What could be seen: as the session concluded it, or, where it never came to that, counted
/// from the events that were saved.
fn coverage(reader: &mut Reader, rules: &Rules) -> anyhow::Result<Coverage> {
    let state = reader.state();
    let session = reader.session();
    let error = session.and_then(|session| session.error.clone());
    let mut coverage = match session.and_then(|session| session.coverage.clone()) {
        Some(coverage) => coverage,
        None => recount(reader, rules)?,
    };
    if let Some(error) = error {
        coverage.blind.insert(0, format!("belljar gave up: {}", plain(error.as_bytes())));
    }
    if let Some(damage) = reader.damage() {
        coverage.blind.insert(0, format!("the recording is damaged: {}", plain(damage.as_bytes())));
    }
    coverage.truncated |= reader.truncated() || state != State::Complete;
    Ok(coverage)
}

fn recount(reader: &mut Reader, rules: &Rules) -> anyhow::Result<Coverage> {
    let session = reader.session();
    let captured = session.map(|session| session.capture_limit).unwrap_or_default();
    let witness = session.and_then(|session| session.witnesses.iter().find(|witness| witness.used));
    let witness = witness.map(|witness| witness.name.clone()).unwrap_or_default();
    // Without assets it only counts.
    let mut analysis = Analysis::new(Vec::new(), rules.clone())?.captured(captured);
    let mut events = 0;
    let read = reader.records(|record| {
        events += 1;
        analysis.observe(record);
        ControlFlow::Continue(())
    });
    let mut blind = Vec::new();
    if let Err(error) = read {
        blind.push(format!("the rest of the recording cannot be read: {}", plain(error.to_string().as_bytes())));
    }
    Ok(analysis.finish(Coverage { witness, events, blind, truncated: true, ..Coverage::default() }).coverage)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::tests::{CUSTOMERS, MAIL, assets};
    use crate::bundle::{self, Clocks, Header, Privilege, ProfileInfo, WitnessInfo, Writer};
    use crate::ingest::{self, Options};
    use belljar_sandbox::event::{Abi, Event, Kind, ObjectKind, ProcessKey, Queue, Witness};
    use belljar_sandbox::witness::syscalls::by_name;
    use serde_json::Value;

    fn header() -> Header {
        Header {
            argv: vec!["cp".into()],
            privilege: Privilege::Root,
            witnesses: vec![WitnessInfo { name: "notify".into(), used: true, reason: String::new() }],
            clocks: Clocks::now(),
            profile: ProfileInfo { name: "workstation".into(), sha256: "0".repeat(64), seed: 1 },
            profile_toml: String::new(),
            assets: Vec::new(),
            terminal: (80, 24),
            payload_limit: 8,
            capture_limit: 65_536,
        }
    }

    /// Records a session that reads the customers and, when `keeps`, copies them.
    fn record(dir: &Path, keeps: bool, finish: bool) {
        let queue = Queue::new(64, 1 << 20);
        let mut events = vec![("read", CUSTOMERS)];
        if keeps {
            events.push(("write", "/tmp/copy"));
        }
        for (n, (op, path)) in events.into_iter().enumerate() {
            let nr = by_name(op).and_then(|call| call.x86_64).expect("a common call");
            let pushed = queue.push(|batch| {
                let kind = Kind::Call { abi: Abi::X86_64, nr };
                let mut event = Event::new(n as u64, Witness::Notify, kind, ProcessKey(1), 1);
                event.object_kind = ObjectKind::File;
                event.object = batch.put(path.as_bytes());
                event.payload = batch.put(MAIL.as_bytes());
                event.payload_len = MAIL.len() as u64;
                batch.events.push(event);
            });
            pushed.expect("open");
        }
        queue.close();
        let mut analysis = Analysis::new(assets(), Rules::default()).expect("few markers");
        let mut writer = Writer::create(dir, &header()).expect("a new bundle");
        let totals =
            ingest::run(&queue, &mut analysis, &mut writer, Options { payload: 8 }, |_| {}).expect("room on the disk");
        if finish {
            let outcome =
                analysis.finish(Coverage { witness: "notify".into(), events: totals.events, ..Coverage::default() });
            let coverage = Some(outcome.coverage);
            writer.finish(bundle::Outcome { totals, coverage, ..bundle::Outcome::default() }).expect("finished");
        }
    }

    fn read(dir: &Path) -> Value {
        let mut page = Vec::new();
        Source::open(dir, false).and_then(|source| source.json(&mut page)).expect("readable");
        let text = String::from_utf8(page).expect("UTF-8");
        assert!(!text.contains(MAIL));
        serde_json::from_str(&text).expect("JSON")
    }

    #[test]
    fn a_recording_reports_what_was_found_live() {
        for (keeps, verdict, verbs) in
            [(false, "unexplained", vec!["collect"]), (true, "violation", vec!["collect", "store"])]
        {
            let dir = tempfile::tempdir().expect("temporary directory");
            let bundle = dir.path().join("x.belljar");
            record(&bundle, keeps, true);
            let report = read(&bundle);
            assert_eq!(report["verdict"], verdict);
            let found: Vec<&Value> = report["findings"].as_array().into_iter().flatten().map(|f| &f["verb"]).collect();
            assert_eq!(found, verbs);
            assert_eq!((&report["coverage"]["truncated"], &report["coverage"]["lost"]), (&false.into(), &0.into()));
        }
    }

    #[test]
    fn a_cut_off_recording_says_so_and_keeps_its_findings() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let bundle = dir.path().join("x.belljar");
        record(&bundle, false, false);
        let report = read(&bundle);
        assert_eq!(report["coverage"]["truncated"], true);
        assert_eq!(report["coverage"]["events"], 1);
        assert_eq!(report["verdict"], "unexplained", "what was found stands");
        assert_eq!(report["criteria"][1]["status"], "not-testable");
    }

    #[test]
    fn what_is_no_recording_or_cannot_be_read_is_refused() {
        let dir = tempfile::tempdir().expect("temporary directory");
        assert!(Source::open(dir.path(), false).is_err());
        let bundle = dir.path().join("x.belljar");
        record(&bundle, false, true);
        std::fs::write(bundle.join("findings.jsonl"), "{\"id\":1}\n").expect("writable");
        let error = Source::open(&bundle, false).map(|_| ()).expect_err("no finding").to_string();
        assert!(error.contains("findings.jsonl"), "{error}");
    }
}
