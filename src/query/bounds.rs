//! What a filter can match at most: events of which `op`, and with which names. Who asks many
//! filters of every event (analysis with its detectors) looks at these first, so that a filter
//! costs nothing where it cannot match. Both are bounds: what lies within them need not match.

use std::collections::HashMap;
use std::sync::LazyLock;

use belljar_sandbox::witness::syscalls::{self, Arg, Call};

use super::field::{Field, Scalar, category};
use super::plan::{Matcher, Node, Query, Test};
use crate::store::meaning::{Act, possible};
use crate::store::ops;

/// Names of which a filter needs one.
#[derive(Clone, Debug)]
pub struct Names(Vec<Matcher>);

impl Names {
    /// Whether this is one of them.
    pub fn matches(&self, name: &[u8]) -> bool {
        self.0.iter().any(|matcher| matcher.matches(name))
    }
}

impl Query {
    /// Whether it can match events of each op, by the op's number in [`ops`].
    pub fn ops(&self) -> Vec<bool> {
        self.node().ops()
    }

    /// Names one of which an event's object or target must have, if there are such.
    pub fn names(&self) -> Option<Names> {
        self.node().names().map(Names)
    }

    /// Whether it asks for this field anywhere.
    pub fn asks(&self, field: &str) -> bool {
        self.node().asks(field)
    }
}

impl Node {
    fn ops(&self) -> Vec<bool> {
        let count = ops().names().len();
        let join = |parts: &[Self], from: bool, with: fn(bool, bool) -> bool| {
            parts.iter().fold(vec![from; count], |all, part| {
                all.iter().zip(part.ops()).map(|(all, part)| with(*all, part)).collect()
            })
        };
        match self {
            Self::All(parts) => join(parts, true, |all, part| all && part),
            Self::Any(parts) => join(parts, false, |all, part| all || part),
            Self::Not(_) | Self::Search(_) => vec![true; count],
            Self::Field { field, test } => {
                (0..).zip(ops().names()).map(|(number, op)| can(calls(number), op, field, test)).collect()
            }
        }
    }

    fn names(&self) -> Option<Vec<Matcher>> {
        match self {
            Self::All(parts) => parts.iter().find_map(Self::names),
            Self::Any(parts) => parts.iter().map(Self::names).collect::<Option<Vec<_>>>().map(|parts| parts.concat()),
            Self::Search(matchers) => Some(matchers.clone()),
            Self::Field { field, test: Test::Text(matchers) }
                if matches!(field.name, "path" | "object" | "target" | "written") =>
            {
                Some(matchers.clone())
            }
            Self::Not(_) | Self::Field { .. } => None,
        }
    }

    fn asks(&self, name: &str) -> bool {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().any(|part| part.asks(name)),
            Self::Not(part) => part.asks(name),
            Self::Field { field, .. } => field.name == name,
            Self::Search(_) => false,
        }
    }
}

/// The calls of an op's name: two where the interfaces' arguments differ.
fn calls(op: usize) -> &'static [&'static Call] {
    static CALLS: LazyLock<Vec<Vec<&'static Call>>> = LazyLock::new(|| {
        let mut by_name: HashMap<&str, Vec<&Call>> = HashMap::new();
        for call in syscalls::all() {
            by_name.entry(call.name).or_default().push(call);
        }
        ops().names().iter().map(|name| by_name.remove(name).unwrap_or_default()).collect()
    });
    CALLS.get(op).map_or(&[], Vec::as_slice)
}

/// Whether an event of this op can have a value for the field that passes the test.
fn can(calls: &[&Call], op: &str, field: &Field, test: &Test) -> bool {
    let has = |wanted: fn(&Arg) -> bool| calls.iter().any(|call| call.args.iter().any(|(_, arg)| wanted(arg)));
    match field.name {
        "op" => test.matches(Scalar::Bytes(op.as_bytes())),
        "category" => calls.iter().any(|call| test.matches(Scalar::Bytes(category(call.category).as_bytes()))),
        "written" => {
            let writes =
                |call: &&Call| matches!(possible(call), Act::Open { .. } | Act::Make | Act::Rename | Act::Truncate);
            calls.iter().any(writes) || matches!(op, "file-created" | "file-changed")
        }
        "flag" => has(|arg| matches!(arg, Arg::Flags(_))),
        "signal" => has(|arg| *arg == Arg::Signal),
        "to-pid" => has(|arg| *arg == Arg::Pid),
        "request" => has(|arg| *arg == Arg::Command),
        "mode" => op.starts_with("file-") || has(|arg| *arg == Arg::Mode),
        _ => true,
    }
}
