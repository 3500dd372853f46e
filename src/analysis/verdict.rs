//! The verdict: per verb and over all, from the findings, the rules and what could be seen.
//! Never "safe": the best that is said is "not observed".
//!
//! A violation stands whatever was lost, and so does an unexplained finding; only then does what
//! could not be seen matter. Verbs that this version cannot see well enough to say "not observed"
//! are listed as not testable, but do not by themselves make the whole verdict so: otherwise no
//! session could ever end with exit code 0, and the code would say nothing.

use serde::{Deserialize, Serialize};

use super::finding::Finding;
use super::rules::Rules;
use crate::store::Verb;

pub use crate::store::Coverage;

/// How a verb, or the whole session, stands; the later weighs more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Looked for, and not seen; or declared.
    NotObserved,
    /// It could not be seen whether it happened.
    NotTestable,
    /// Seen, and neither declared nor clearly forbidden.
    Unexplained,
    /// Seen, not declared, and forbidden by the profile.
    Violation,
}

impl Status {
    /// The word used everywhere.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotObserved => "not-observed",
            Self::NotTestable => "not-testable",
            Self::Unexplained => "unexplained",
            Self::Violation => "violation",
        }
    }

    /// Exit code of `record`, `run` and `report`.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::NotObserved => 0,
            Self::Violation => 10,
            Self::Unexplained => 11,
            Self::NotTestable => 12,
        }
    }
}

/// One verb's part of the verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Criterion {
    /// The verb.
    pub verb: Verb,
    /// How it stands.
    pub status: Status,
    /// Ids of its findings, declared ones too.
    pub findings: Vec<u32>,
}

/// What a session comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Over all verbs.
    pub verdict: Status,
    /// By verb.
    pub criteria: Vec<Criterion>,
    /// By id.
    pub findings: Vec<Finding>,
    /// What could be seen.
    pub coverage: Coverage,
}

/// Verbs of which this version sees only a part: no decoders, no service that would accept
/// planted credentials.
const PARTLY_SEEN: [Verb; 2] = [Verb::Process, Verb::Use];

/// Judges findings by the rules.
pub fn judge(findings: Vec<Finding>, rules: &Rules, coverage: Coverage) -> Outcome {
    let incomplete = coverage.lost > 0 || coverage.truncated || coverage.unlisted > 0;
    // Somebody was called who is not in the declaration, and nobody knows what would have been said.
    let unread = !coverage.unread.is_empty();
    let mut verdict = if incomplete || unread { Status::NotTestable } else { Status::NotObserved };
    let criteria = Verb::ALL
        .into_iter()
        .map(|verb| {
            let own: Vec<&Finding> = findings.iter().filter(|finding| finding.verb == verb).collect();
            let worst = own.iter().map(|finding| rules.weigh(finding)).max().unwrap_or(Status::NotObserved);
            verdict = verdict.max(worst);
            let status = match worst {
                Status::NotObserved if incomplete || PARTLY_SEEN.contains(&verb) => Status::NotTestable,
                Status::NotObserved if unread && verb == Verb::Transmit => Status::NotTestable,
                other => other,
            };
            Criterion { verb, status, findings: own.iter().map(|finding| finding.id).collect() }
        })
        .collect();
    Outcome { verdict, criteria, findings, coverage }
}
