//! The closed list of what an event's `op` can be: the names of all calls the table knows, and
//! the names of the other kinds. A number for each makes counting and recording cheap.

use std::collections::HashMap;
use std::sync::OnceLock;

use belljar_sandbox::event::{Abi, Kind, LayerChange, Traffic};
use belljar_sandbox::witness::syscalls::{Category, X32_BIT, lookup};

/// Numbers at or above this are no call of any interface (x32 ends at 547).
const NUMBERS: u32 = 1024;
/// Index of "unknown": a call whose number the table does not know.
const UNKNOWN: u16 = 0;
/// Index 0 and the kinds other than calls; names of calls follow.
const FIXED: [&str; 24] = [
    "unknown",
    "process-start",
    "process-image",
    "process-end",
    "file-created",
    "file-changed",
    "file-deleted",
    "terminal-output",
    "lost",
    "notice",
    Traffic::ALL[0].name(),
    Traffic::ALL[1].name(),
    Traffic::ALL[2].name(),
    Traffic::ALL[3].name(),
    Traffic::ALL[4].name(),
    Traffic::ALL[5].name(),
    Traffic::ALL[6].name(),
    Traffic::ALL[7].name(),
    Traffic::ALL[8].name(),
    Traffic::ALL[9].name(),
    Traffic::ALL[10].name(),
    "counted",
    "tls-sent",
    "tls-received",
];
/// Index of the first of the gateway's.
const TRAFFIC: u16 = 10;
/// Index of calls that were only counted.
const COUNTED: u16 = TRAFFIC + Traffic::ALL.len() as u16;

/// All values of `op`, numbered.
#[derive(Debug)]
pub struct Ops {
    names: Vec<&'static str>,
    categories: Vec<Option<Category>>,
    calls: [Vec<u16>; 3],
}

/// The list, made once from the call table.
pub fn ops() -> &'static Ops {
    static OPS: OnceLock<Ops> = OnceLock::new();
    OPS.get_or_init(Ops::new)
}

impl Ops {
    fn new() -> Self {
        let mut names: Vec<&'static str> = FIXED.to_vec();
        let mut categories: Vec<Option<Category>> = vec![None; names.len()];
        let mut known: HashMap<&'static str, u16> = HashMap::new();
        let calls = [Abi::X86_64, Abi::I386, Abi::X32].map(|abi| {
            (0..NUMBERS)
                .map(|nr| {
                    lookup(abi, nr).map_or(UNKNOWN, |call| {
                        *known.entry(call.name).or_insert_with(|| {
                            names.push(call.name);
                            categories.push(Some(call.category));
                            (names.len() - 1) as u16
                        })
                    })
                })
                .collect()
        });
        Self { names, categories, calls }
    }

    /// All names; the index of one is its number.
    pub fn names(&self) -> &[&'static str] {
        &self.names
    }

    /// The name with this number; "unknown" for a number that none has.
    pub fn name(&self, op: u16) -> &'static str {
        self.names.get(usize::from(op)).copied().unwrap_or(FIXED[0])
    }

    /// What the call is about, as one lower-case word; `None` for events that are no calls.
    pub fn category(&self, op: u16) -> Option<String> {
        let category = self.categories.get(usize::from(op)).copied().flatten()?;
        Some(format!("{category:?}").to_lowercase())
    }

    /// The number of an event's op; agrees with [`super::Record::op`].
    pub fn of(&self, kind: Kind) -> u16 {
        match kind {
            Kind::Call { abi, nr } => {
                let calls = match abi {
                    Abi::X86_64 => &self.calls[0],
                    Abi::I386 => &self.calls[1],
                    Abi::X32 => return self.x32(nr),
                    Abi::Unknown => return UNKNOWN,
                };
                calls.get(nr as usize).copied().unwrap_or(UNKNOWN)
            }
            Kind::ProcessStart => 1,
            Kind::ProcessImage => 2,
            Kind::ProcessEnd => 3,
            Kind::Layer(LayerChange::Created) => 4,
            Kind::Layer(LayerChange::Changed) => 5,
            Kind::Layer(LayerChange::Deleted) => 6,
            Kind::TerminalOutput => 7,
            Kind::Lost => 8,
            Kind::Notice => 9,
            Kind::Traffic(traffic) => TRAFFIC + traffic as u16,
            Kind::Counted { .. } => COUNTED,
            Kind::Plaintext { sent: true } => COUNTED + 1,
            Kind::Plaintext { sent: false } => COUNTED + 2,
        }
    }

    fn x32(&self, nr: u32) -> u16 {
        self.calls[2].get((nr & !X32_BIT) as usize).copied().unwrap_or(UNKNOWN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Record;

    #[test]
    fn numbers_agree_with_the_record() {
        let kinds = [Abi::X86_64, Abi::I386, Abi::X32, Abi::Unknown]
            .into_iter()
            .flat_map(|abi| (0..600).map(move |nr| Kind::Call { abi, nr }))
            .chain([
                Kind::ProcessStart,
                Kind::ProcessImage,
                Kind::ProcessEnd,
                Kind::Layer(LayerChange::Created),
                Kind::Layer(LayerChange::Changed),
                Kind::Layer(LayerChange::Deleted),
                Kind::TerminalOutput,
                Kind::Lost,
                Kind::Notice,
                Kind::Plaintext { sent: true },
                Kind::Plaintext { sent: false },
                Kind::Call { abi: Abi::X86_64, nr: u32::MAX },
            ])
            .chain(Traffic::ALL.map(Kind::Traffic));
        for kind in kinds {
            let call = match kind {
                Kind::Call { abi, nr } => lookup(abi, nr),
                _ => None,
            };
            let record = Record { kind, call, ..Record::blank() };
            // x32 numbers come with and without their bit; the list takes both.
            if call.is_some() || !matches!(kind, Kind::Call { abi: Abi::X32, .. }) {
                assert_eq!(ops().name(ops().of(kind)), record.op(), "{kind:?}");
            }
        }
    }
}
