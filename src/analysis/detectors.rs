//! What is an attempt on the system or on what surrounds the data: conditions in the filter
//! language, as data. Those that come with belljar stand in `profiles/detectors/`; a profile adds
//! its own and switches off what it does not want. What has to be counted is in `counts`.
//!
//! Many conditions are asked of every event, so each is sorted in beforehand by the ops it can
//! match and by the names it needs ([`crate::query`] knows both): an event that cannot match any
//! costs one look into a table, and an open costs what its name says, which is kept.

use std::fmt;
use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Serialize};

use super::acts::is_peer;
use super::finding::{Confidence, Severity};
use super::rules::Rules;
use crate::query::{Context, Names, Query};
use crate::store::{Object, Record, Verb, ops};

/// The detectors that come with belljar, by theme.
const BUILTIN: [&str; 6] = [
    include_str!("../../profiles/detectors/collect.toml"),
    include_str!("../../profiles/detectors/process.toml"),
    include_str!("../../profiles/detectors/persistence.toml"),
    include_str!("../../profiles/detectors/control.toml"),
    include_str!("../../profiles/detectors/disrupt.toml"),
    include_str!("../../profiles/detectors/shut-down.toml"),
];

/// One sort of attempt: a `[[detector]]` of a profile or of `profiles/detectors/`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Detector {
    /// By which a profile switches it off.
    pub name: String,
    /// What it is an attempt at.
    pub verb: Verb,
    /// How bad.
    pub severity: Severity,
    /// How sure it is that it means harm.
    pub confidence: Confidence,
    /// Id of a technique of MITRE ATT&CK for Enterprise, version 15, where one fits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attack: Option<String>,
    /// What was tried, as in "tried to ...".
    pub deed: String,
    /// Why this is worth an inspector's time.
    pub reason: String,
    /// Which events are it. One that asks for `asset` or `class` makes a finding for each asset.
    pub when: Condition,
}

/// A filter, read and compiled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Condition(Query);

impl TryFrom<String> for Condition {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let query = Query::parse(&text, &Context::default()).map_err(|error| error.to_string())?;
        if query.ops().iter().all(|can| *can) && query.names().is_none() {
            return Err("this would be asked of every event: say which `op`, `category` or `path` is meant".to_owned());
        }
        Ok(Self(query))
    }
}

impl From<Condition> for String {
    fn from(condition: Condition) -> Self {
        condition.to_string()
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expr().fmt(f)
    }
}

/// A file of detectors.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    detector: Vec<Detector>,
}

/// The detectors that come with belljar.
pub fn builtin() -> &'static [Detector] {
    static ALL: LazyLock<Vec<Detector>> = LazyLock::new(|| {
        // They are part of the program, and a test reads them all.
        BUILTIN.iter().filter_map(|text| toml::from_str::<File>(text).ok()).flat_map(|file| file.detector).collect()
    });
    &ALL
}

/// Detectors ready to be asked.
#[derive(Debug, Default)]
pub(super) struct Detectors {
    all: Vec<Ready>,
    /// By the number of an op: those to be asked of each event of it.
    always: Vec<Vec<u16>>,
    /// By the number of an op: those to be asked when a name is one that matters.
    named: Vec<Vec<u16>>,
}

#[derive(Debug)]
pub(super) struct Ready {
    pub(super) detector: Detector,
    /// Whether it makes a finding for each asset.
    pub(super) by_asset: bool,
    names: Option<Names>,
}

impl Detectors {
    /// Those in force under the rules; most sessions share those that come with belljar.
    pub(super) fn under(rules: &Rules) -> Arc<Self> {
        static USUAL: LazyLock<Arc<Detectors>> = LazyLock::new(|| Arc::new(Detectors::new(builtin().to_vec())));
        if rules.own.is_empty() && rules.off.is_empty() {
            return Arc::clone(&USUAL);
        }
        Arc::new(Self::new(rules.detectors()))
    }

    fn new(detectors: Vec<Detector>) -> Self {
        let count = ops().names().len();
        let mut made = Self { all: Vec::new(), always: vec![Vec::new(); count], named: vec![Vec::new(); count] };
        for (number, detector) in (0..).zip(detectors) {
            let query = &detector.when.0;
            let names = query.names();
            let lists = if names.is_some() { &mut made.named } else { &mut made.always };
            for (list, _) in lists.iter_mut().zip(query.ops()).filter(|(_, can)| *can) {
                list.push(number);
            }
            let by_asset = query.asks("asset") || query.asks("class");
            made.all.push(Ready { detector, by_asset, names });
        }
        made
    }

    /// Whether any is asked of events of this op: always, or when a name matters.
    pub(super) fn asked(&self, op: u16) -> (bool, bool) {
        let is_any = |lists: &[Vec<u16>]| lists.get(usize::from(op)).is_some_and(|list| !list.is_empty());
        (is_any(&self.always), is_any(&self.named))
    }

    /// Whether a name is one that some detector needs.
    pub(super) fn watches(&self, name: &[u8]) -> bool {
        self.all.iter().filter_map(|ready| ready.names.as_ref()).any(|names| names.matches(name))
    }

    /// Those that the event is. `named` says whether a name of it matters.
    pub(super) fn of<'d>(
        &'d self,
        op: u16,
        named: bool,
        record: &Record<'d>,
        context: &Context<'d>,
    ) -> impl Iterator<Item = (u16, &'d Ready)> {
        let list = |lists: &'d [Vec<u16>]| lists.get(usize::from(op)).map_or(&[][..], Vec::as_slice);
        let asked = list(&self.always).iter().chain(if named { list(&self.named) } else { &[] });
        let ready = asked.filter_map(|number| Some((*number, self.all.get(usize::from(*number))?)));
        ready.filter(|(_, ready)| ready.detector.when.0.matches(record, context))
    }
}

impl Ready {
    /// What the event does it to: the object or target that it is about, else the call itself.
    pub(super) fn thing<'r>(&self, record: &Record<'r>) -> Option<&'r Object> {
        let mut both = [record.target, record.object].into_iter().flatten().filter(|object| !object.name.is_empty());
        match &self.names {
            Some(names) => both.find(|object| names.matches(&object.name)),
            // Who is sent to is the target: the object is the socket, which goes by its own address if it has no peer.
            None => record.target.filter(|target| is_peer(target)).or(record.object).filter(|it| !it.name.is_empty()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn those_that_come_with_belljar_are_good() {
        for text in BUILTIN {
            if let Err(error) = toml::from_str::<File>(text) {
                panic!("{error}");
            }
        }
        let all = builtin();
        let names: HashSet<&str> = all.iter().map(|detector| detector.name.as_str()).collect();
        assert_eq!(names.len(), all.len(), "each has a name of its own");
        for detector in all {
            let technique = detector.attack.as_deref().is_none_or(|id| {
                id.strip_prefix('T')
                    .is_some_and(|id| id.len() >= 4 && id.bytes().all(|b| b.is_ascii_digit() || b == b'.'))
            });
            assert!(technique && !detector.reason.is_empty() && !detector.deed.is_empty(), "{}", detector.name);
        }
    }

    #[test]
    fn reads_and_writes_are_asked_nothing() {
        let detectors = Detectors::new(builtin().to_vec());
        for op in ["read", "write", "pread64", "lseek", "fstat", "newfstatat", "mmap", "futex", "recvfrom"] {
            let number = ops().names().iter().position(|name| *name == op).unwrap_or_default() as u16;
            assert_eq!(detectors.asked(number), (false, false), "{op}");
        }
    }

    #[test]
    fn names_that_matter_are_told_from_ordinary_ones() {
        let detectors = Detectors::new(builtin().to_vec());
        for name in ["/home/u/.config/autostart/x.desktop", "/proc/sysrq-trigger", "/sbin/poweroff", "/dev/video0"] {
            assert!(detectors.watches(name.as_bytes()), "{name}");
        }
        for name in ["/etc/host.conf", "/home/u/.config/app/settings", "/usr/bin/python3", "/usr/lib/python3/os.py"] {
            assert!(!detectors.watches(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn a_condition_says_what_it_is_asked_of() {
        let refused = |text: &str| Condition::try_from(text.to_owned()).err();
        assert!(refused("not op:read").is_some_and(|error| error.contains("every event")));
        assert!(refused("op:reed").is_some_and(|error| error.contains("reed")));
        assert_eq!(refused("op:open"), None);
        assert_eq!(refused("written:/etc/x or op:kill path:/y"), None);
    }
}
