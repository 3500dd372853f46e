//! Sums over a whole session, kept as it goes so that no report has to read the recording for
//! them: how much there was, what was refused, what was lost.

use std::collections::BTreeMap;

use belljar_sandbox::event::{Decision, Kind};
use belljar_sandbox::witness::syscalls::lookup;
use serde::{Deserialize, Serialize};

use super::words::WITNESSES;
use super::{Record, ops};

/// Sums over a session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Totals {
    /// Events numbered.
    pub events: u64,
    /// Events by the witness that saw them.
    pub witnesses: BTreeMap<String, WitnessTotals>,
    /// System calls by what they are about (`open`, `network` ...).
    pub categories: BTreeMap<String, u64>,
    /// Calls that the sandbox refused, by name.
    pub refused: BTreeMap<String, u64>,
    /// Events that a witness says it lost, by witness.
    pub lost: BTreeMap<String, u64>,
    /// Events that were seen but could not be written to the bundle.
    pub unwritten: u64,
    /// Payloads of which the bundle keeps less than the witness had captured.
    pub payloads_cut: u64,
    /// Calls that the witness counted and did not record, by name.
    pub counted: BTreeMap<String, u64>,
    /// Distinct objects named (an object may count twice in very long sessions).
    pub objects: u64,
}

/// Sums over what one witness saw.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WitnessTotals {
    /// Events.
    pub events: u64,
    /// Events by `op`.
    pub ops: BTreeMap<String, u64>,
}

impl Totals {
    /// All events that are missing in the bundle, as far as known.
    pub fn all_lost(&self) -> u64 {
        self.lost.values().fold(self.unwritten, |sum, lost| sum.saturating_add(*lost))
    }
}

/// Counts events as they pass: array additions only, words at the end.
#[derive(Debug)]
pub struct Counter {
    events: u64,
    seen: Vec<[u64; WITNESSES.len()]>,
    refused: Vec<u64>,
    lost: [u64; WITNESSES.len()],
    counted: BTreeMap<&'static str, u64>,
    /// See [`Totals::payloads_cut`].
    pub payloads_cut: u64,
}

impl Default for Counter {
    fn default() -> Self {
        let ops = ops().names().len();
        Self {
            events: 0,
            seen: vec![Default::default(); ops],
            refused: vec![0; ops],
            lost: Default::default(),
            counted: BTreeMap::new(),
            payloads_cut: 0,
        }
    }
}

impl Counter {
    /// Counts one event; `op` is its number in [`ops`].
    pub fn count(&mut self, record: &Record<'_>, op: u16) {
        self.events += 1;
        let witness = record.witness as usize;
        if let Some(count) = self.seen.get_mut(usize::from(op)).and_then(|by| by.get_mut(witness)) {
            *count += 1;
        }
        if record.decision == Decision::Denied
            && let Some(count) = self.refused.get_mut(usize::from(op))
        {
            *count += 1;
        }
        if let Kind::Counted { abi, nr } = record.kind {
            let name = lookup(abi, nr).map_or("unknown", |call| call.name);
            let sum = self.counted.entry(name).or_default();
            *sum = sum.saturating_add(record.args[0]);
        }
        if record.kind == Kind::Lost
            && let Some(lost) = self.lost.get_mut(witness)
        {
            *lost = lost.saturating_add(record.args[0]);
        }
    }

    /// Events counted so far.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Events that witnesses say they lost, so far.
    pub fn lost(&self) -> u64 {
        self.lost.iter().fold(0, |sum, lost| sum.saturating_add(*lost))
    }

    /// The sums in words.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals { events: self.events, payloads_cut: self.payloads_cut, ..Totals::default() };
        for (op, by) in self.seen.iter().enumerate() {
            let (op, sum) = (op as u16, by.iter().sum::<u64>());
            for ((_, witness), count) in WITNESSES.iter().zip(by).filter(|(_, count)| **count > 0) {
                let entry = totals.witnesses.entry((*witness).to_owned()).or_default();
                entry.events += count;
                *entry.ops.entry(ops().name(op).to_owned()).or_default() += count;
            }
            if let Some(category) = ops().category(op).filter(|_| sum > 0) {
                *totals.categories.entry(category).or_default() += sum;
            }
        }
        totals.counted = self.counted.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        for (op, count) in self.refused.iter().enumerate().filter(|(_, count)| **count > 0) {
            totals.refused.insert(ops().name(op as u16).to_owned(), *count);
        }
        for ((_, witness), lost) in WITNESSES.iter().zip(self.lost).filter(|(_, lost)| *lost > 0) {
            totals.lost.insert((*witness).to_owned(), lost);
        }
        totals
    }
}
