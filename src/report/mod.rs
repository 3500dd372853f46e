//! The report: the verdict with its evidence, for programs (`belljar.report/1`) and for people.
//! Both are made of the one [`Report`]; its fields and their order are the JSON's, described in
//! `schemas/report-1.schema.json`.

mod text;

#[cfg(test)]
mod tests;

pub use text::{Style, text};

use std::collections::BTreeMap;

use serde::Serialize;

use crate::analysis::finding::Finding;
use crate::analysis::verdict::{Coverage, Criterion, Outcome, Status};
use crate::bundle::{Exit, ProfileInfo, Session};
use crate::redact::Redactor;
use crate::store::Executable;

/// The schema that [`Report`] has as JSON.
pub const SCHEMA: &str = "belljar.report/1";

/// A verdict with its evidence.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// What was tested.
    pub subject: Subject,
    /// Under which profile.
    pub profile: Profile,
    /// Over all verbs.
    pub verdict: Status,
    /// By verb.
    pub criteria: Vec<Criterion>,
    /// By id.
    pub findings: Vec<Entry>,
    /// What could be seen.
    pub coverage: Coverage,
}

/// What was tested.
#[derive(Clone, Debug, Serialize)]
pub struct Subject {
    /// Its command, safe to show.
    pub argv: Vec<String>,
    /// How its first process ended; both `None` when that is not known.
    pub exit: Exit,
    /// When it began, RFC 3339; `None` when that is not known.
    pub started: Option<String>,
    /// How long it took, milliseconds; `None` when it was cut off.
    pub duration_ms: Option<u64>,
    /// The programs that ran, in the order of their paths, safe to show.
    pub executables: Vec<Executable>,
}

/// Under which profile.
#[derive(Clone, Debug, Serialize)]
pub struct Profile {
    /// Its name.
    pub name: String,
    /// SHA-256 of its effective text, lower-case hexadecimal.
    pub sha256: String,
    /// Seed of the planted data.
    pub seed: u64,
}

/// A finding as reported.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// The finding.
    #[serde(flatten)]
    pub finding: Finding,
    /// Values of its markers by name, when they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub values: Option<BTreeMap<String, String>>,
}

impl Report {
    /// A report of `outcome`. Without a `session` (the recording lost it) what it would tell is
    /// empty. Everything that the subject or a recording could have put into a text goes through
    /// `redactor`.
    pub fn new(session: Option<&Session>, outcome: Outcome, redactor: &Redactor) -> Self {
        let show = |text: &str| redactor.text(text.as_bytes(), usize::MAX).to_string();
        let executables = session.map(|session| session.executables.as_slice()).unwrap_or_default();
        let shown = |program: &Executable| Executable {
            path: show(&program.path),
            // Not a hash: not of our making.
            sha256: program.sha256.clone().filter(|hash| is_sha256(hash)),
        };
        let mut executables: Vec<Executable> = executables.iter().map(shown).collect();
        executables.sort_by(|a, b| a.path.cmp(&b.path));
        let profile = session.map(|session| session.profile.clone());
        let ProfileInfo { name, sha256, seed } =
            profile.unwrap_or(ProfileInfo { name: String::new(), sha256: String::new(), seed: 0 });
        Self {
            schema: SCHEMA,
            subject: Subject {
                argv: session.map(|s| s.argv.iter().map(|arg| show(arg)).collect()).unwrap_or_default(),
                exit: session.and_then(|s| s.exit).unwrap_or(Exit { code: None, signal: None }),
                started: session.map(|s| show(&s.started)),
                duration_ms: session.and_then(|s| s.duration_ns).map(|ns| ns / 1_000_000),
                executables,
            },
            profile: Profile {
                name: show(&name),
                sha256: Some(sha256).filter(|hash| is_sha256(hash)).unwrap_or_default(),
                seed,
            },
            verdict: outcome.verdict,
            criteria: outcome.criteria,
            findings: outcome
                .findings
                .into_iter()
                .map(|finding| Entry { finding: clean(finding, redactor), values: None })
                .collect(),
            coverage: seen(outcome.coverage, redactor),
        }
    }

    /// Adds the values of markers to the findings. `value` gives a marker's bytes by its name.
    pub fn reveal<'v>(&mut self, value: impl Fn(&str) -> Option<&'v [u8]>) {
        for entry in &mut self.findings {
            let values = entry.finding.markers.iter();
            let values = values.filter_map(|name| Some((name.clone(), crate::redact::plain(value(name)?))));
            entry.values = Some(values.collect());
        }
    }

    /// The report as JSON, with a newline at its end.
    pub fn json(&self) -> serde_json::Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }
}

fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// The coverage with all its texts safe to show.
fn seen(mut coverage: Coverage, redactor: &Redactor) -> Coverage {
    let clean = |text: &mut String| *text = redactor.block(text.replace('\n', " ").as_bytes(), usize::MAX).to_string();
    let lists = [&mut coverage.refused_calls, &mut coverage.blind, &mut coverage.unread];
    lists.into_iter().flatten().chain([&mut coverage.witness]).for_each(clean);
    coverage
}

/// The finding with all its texts safe to show: it may come from a recording that was tampered
/// with. Its own escapes stay as they are.
fn clean(mut finding: Finding, redactor: &Redactor) -> Finding {
    let clean = |text: &mut String| *text = redactor.block(text.replace('\n', " ").as_bytes(), usize::MAX).to_string();
    let chain = finding.chain.iter_mut().map(|item| &mut item.what);
    let process = finding.process.iter_mut().flat_map(|actor| std::iter::once(&mut actor.exe).chain(&mut actor.argv));
    let options =
        [&mut finding.asset, &mut finding.class, &mut finding.destination, &mut finding.error, &mut finding.attack];
    let texts = [&mut finding.title, &mut finding.decision].into_iter().chain(options.into_iter().flatten());
    let lists = finding.markers.iter_mut().chain(&mut finding.encodings);
    texts.chain(lists).chain(process).chain(chain).for_each(clean);
    finding
}
