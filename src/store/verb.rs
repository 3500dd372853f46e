//! What a finding says was attempted, and which planted assets an event touched: small sets that
//! ride along with every record.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What was done, or attempted, with client data or to the client's system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Verb {
    /// Read client data.
    Collect = 0,
    /// Left client data somewhere it was not.
    Store = 1,
    /// Encoded, hashed, packed or encrypted it.
    Process = 2,
    /// Presented planted credentials.
    Use = 3,
    /// Sent it, or tried to.
    Transmit = 4,
    /// Took hold of the system: persistence, other processes, modules.
    Control = 5,
    /// Damaged data or service.
    Disrupt = 6,
    /// Switched the system off.
    ShutDown = 7,
}

impl Verb {
    /// All verbs, in the order reports list them.
    pub const ALL: [Self; 8] = [
        Self::Collect,
        Self::Store,
        Self::Process,
        Self::Use,
        Self::Transmit,
        Self::Control,
        Self::Disrupt,
        Self::ShutDown,
    ];

    /// The word used everywhere.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Collect => "collect",
            Self::Store => "store",
            Self::Process => "process",
            Self::Use => "use",
            Self::Transmit => "transmit",
            Self::Control => "control",
            Self::Disrupt => "disrupt",
            Self::ShutDown => "shut-down",
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A set of verbs: bit `verb as u8`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verbs(pub u8);

impl Verbs {
    /// Adds a verb.
    pub fn insert(&mut self, verb: Verb) {
        self.0 |= 1 << verb as u8;
    }

    /// Whether the verb is in the set.
    pub fn contains(self, verb: Verb) -> bool {
        self.0 & 1 << verb as u8 != 0
    }

    /// The verbs, in order.
    pub fn iter(self) -> impl Iterator<Item = Verb> {
        Verb::ALL.into_iter().filter(move |verb| self.contains(*verb))
    }
}

/// A set of the session's assets: bit = index in the session's list. A profile holds at most
/// [`AssetSet::CAPACITY`] assets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AssetSet(pub u64);

impl AssetSet {
    /// How many assets a session can tell apart.
    pub const CAPACITY: usize = 64;

    /// Adds an asset by its index; indexes past the capacity are ignored.
    pub fn insert(&mut self, index: usize) {
        if index < Self::CAPACITY {
            self.0 |= 1 << index;
        }
    }

    /// Whether the asset is in the set.
    pub fn contains(self, index: usize) -> bool {
        index < Self::CAPACITY && self.0 & 1 << index != 0
    }

    /// The indexes, ascending.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        // Asked several times an event, of sets that are nearly always empty.
        let mut left = self.0;
        std::iter::from_fn(move || {
            let index = left.trailing_zeros() as usize;
            left &= left.checked_sub(1)?;
            Some(index)
        })
    }
}

/// Name and class of one asset: all that the recording keeps of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssetInfo {
    /// `customers`.
    pub name: String,
    /// `identity`.
    pub class: String,
}
