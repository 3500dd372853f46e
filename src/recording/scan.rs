//! A filter asked of a whole batch of events at once, a term at a time: each term reads the columns it asks for, and
//! only where events are left that the terms before it let through. What a term says of an object, a process or a call
//! is worked out once and remembered, so that an event costs a look into a table.

use std::collections::HashMap;

use belljar_sandbox::event::{Authority, Decision, Kind, Witness};
use belljar_sandbox::witness::syscalls::lookup;
use foldhash::fast::RandomState;

use crate::bundle::{Access, Block, BundleError, Look};
use crate::query::field::Scalar;
use crate::query::{Context, Node, Query};
use crate::store::{Object, Record};

/// Calls remembered: four interfaces of a thousand.
const CALLS: usize = 4 << 10;
/// Failures remembered (`errno` is below 4096), of calls and of what is none.
const FAILURES: usize = 4 << 11;
/// Objects remembered; what a term says of those beyond is worked out each time.
const OBJECTS: usize = 4 << 20;

/// Most calls, outcomes and processes remembered: what is more is a recording that wants our memory.
const MANY: usize = 1 << 16;

/// What a term looks at, the cheapest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Basis {
    /// Verbs and assets.
    Touched,
    /// The kind of event, or the call.
    Kind,
    /// Whose doing it was.
    Process,
    /// What it acts on.
    Objects,
    /// Who saw it, and what was answered.
    Words,
    /// One number, and nothing else.
    Number(Number),
    /// Whether it failed, and of what.
    Failure,
    /// Arguments.
    Arguments,
    /// All of it.
    Whole,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Number {
    Sequence,
    Time,
    Result,
    Size,
    Thread,
    Duration,
}

impl Basis {
    fn of(node: &Node) -> Self {
        let field = match node {
            Node::Field { field, .. } => field.name,
            Node::Search(_) => return Self::Objects,
            Node::All(_) | Node::Any(_) | Node::Not(_) => return Self::Whole,
        };
        match field {
            "verb" | "asset" | "class" => Self::Touched,
            "op" | "category" | "abi" | "nr" => Self::Kind,
            "pid" | "key" | "parent" | "proc" | "exe" => Self::Process,
            "kind" | "object" | "target-kind" | "target" | "path" | "host" | "port" => Self::Objects,
            "witness" | "decision" | "authority" => Self::Words,
            "seq" => Self::Number(Number::Sequence),
            "t" => Self::Number(Number::Time),
            "result" => Self::Number(Number::Result),
            "bytes" => Self::Number(Number::Size),
            "tid" => Self::Number(Number::Thread),
            "took" => Self::Number(Number::Duration),
            "errno" | "outcome" => Self::Failure,
            "args" | "conn" | "protocol" | "tls" | "status" | "flag" | "signal" | "to-pid" | "request" | "mode" => {
                Self::Arguments
            }
            // Whatever else there is, and comes to be.
            _ => Self::Whole,
        }
    }

    fn look(self) -> Look {
        match self {
            Self::Touched => Look::TOUCHED,
            Self::Kind => Look::KIND,
            Self::Process | Self::Number(Number::Sequence) => Look::PROCESS,
            Self::Objects => Look::OBJECTS,
            Self::Words => Look::WORDS,
            Self::Number(Number::Time) => Look::TIME,
            Self::Number(Number::Result) => Look::RESULT,
            Self::Number(Number::Size) => Look::SIZE,
            Self::Number(Number::Thread) => Look::THREAD,
            Self::Number(Number::Duration) => Look::DURATION,
            Self::Failure => Look::RESULT.and(Look::KIND),
            Self::Arguments => Look::ARGUMENTS.and(Look::KIND),
            Self::Whole => Look::ALL,
        }
    }
}

/// A filter with what it remembers.
pub(super) struct Scan(Part);

#[allow(clippy::large_enum_variant)] // a filter has a handful of terms
enum Part {
    /// Cheapest first.
    All(Vec<Part>),
    Any(Vec<Part>),
    Not(Box<Part>),
    Term {
        node: Node,
        basis: Basis,
        memory: Memory,
    },
}

/// What a term said of things with small numbers: 0 where it was not asked yet, else 1 for no and 2 for yes.
#[derive(Default)]
struct Table(Vec<u8>);

impl Table {
    /// What it said; of the first `size` things it is remembered.
    fn says(&mut self, index: usize, size: usize, ask: impl FnOnce() -> bool) -> bool {
        if self.0.len() <= index && index < size {
            self.0.resize(size, 0);
        }
        match self.0.get_mut(index) {
            Some(known @ 0) => {
                let says = ask();
                *known = 1 + u8::from(says);
                says
            }
            Some(known) => *known == 2,
            None => ask(),
        }
    }
}

/// What a term said of things.
#[derive(Default)]
struct Memory {
    kinds: HashMap<Kind, bool, RandomState>,
    /// The same of calls, by interface and number.
    calls: Table,
    /// The few that there are.
    words: Vec<((Witness, Decision, Authority), bool)>,
    /// By whether it is a call, and how it failed, as -errno.
    failures: Table,
    /// By key: what it said, from which event on and until before which.
    processes: HashMap<u32, (u64, u64, bool), RandomState>,
    /// By number, as object and as target.
    objects: [Table; 2],
}

/// A bit for each event of a batch.
pub(super) type Rows = Vec<u64>;

impl Scan {
    pub(super) fn new(query: &Query) -> Self {
        Self(Part::new(query.node()))
    }

    /// The events of a batch that fit.
    pub(super) fn fit(
        &mut self,
        access: &mut Access,
        block: &mut Block,
        context: &Context<'_>,
    ) -> Result<Rows, BundleError> {
        let mut all = vec![u64::MAX; block.rows().div_ceil(64)];
        if let Some(last) = all.last_mut().filter(|_| !block.rows().is_multiple_of(64)) {
            *last = (1 << (block.rows() % 64)) - 1;
        }
        self.0.fit(access, block, context, all)
    }
}

/// The numbers of the bits that are set.
pub(super) fn set(rows: &[u64]) -> impl Iterator<Item = usize> {
    rows.iter().enumerate().flat_map(|(at, word)| {
        let mut left = *word;
        std::iter::from_fn(move || {
            let bit = (left != 0).then(|| left.trailing_zeros() as usize)?;
            left &= left - 1;
            Some(at * 64 + bit)
        })
    })
}

impl Part {
    fn new(node: &Node) -> Self {
        let sorted = |parts: &[Node]| {
            let mut parts: Vec<Self> = parts.iter().map(Self::new).collect();
            parts.sort_by_key(Self::cost);
            parts
        };
        match node {
            Node::All(parts) => Self::All(sorted(parts)),
            Node::Any(parts) => Self::Any(sorted(parts)),
            Node::Not(part) => Self::Not(Box::new(Self::new(part))),
            Node::Field { .. } | Node::Search(_) => {
                Self::Term { node: node.clone(), basis: Basis::of(node), memory: Memory::default() }
            }
        }
    }

    fn cost(&self) -> Basis {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().map(Self::cost).max().unwrap_or(Basis::Touched),
            Self::Not(part) => part.cost(),
            Self::Term { basis, .. } => *basis,
        }
    }

    /// Those of `rows` that fit.
    fn fit(
        &mut self,
        access: &mut Access,
        block: &mut Block,
        context: &Context<'_>,
        mut rows: Rows,
    ) -> Result<Rows, BundleError> {
        if rows.iter().all(|word| *word == 0) {
            return Ok(rows);
        }
        match self {
            Self::All(parts) => {
                for part in parts {
                    rows = part.fit(access, block, context, rows)?;
                }
                Ok(rows)
            }
            Self::Any(parts) => {
                let mut found = vec![0; rows.len()];
                for part in parts {
                    let more = part.fit(access, block, context, rows.clone())?;
                    for ((found, left), more) in found.iter_mut().zip(&mut rows).zip(more) {
                        *found |= more;
                        *left &= !more;
                    }
                }
                Ok(found)
            }
            Self::Not(part) => {
                let fits = part.fit(access, block, context, rows.clone())?;
                rows.iter_mut().zip(fits).for_each(|(row, fits)| *row &= !fits);
                Ok(rows)
            }
            Self::Term { node, basis, memory } => {
                access.read(block, basis.look())?;
                let mut found = vec![0; rows.len()];
                for at in set(&rows) {
                    if memory.asks(node, *basis, access, block, at, context)?
                        && let Some(word) = found.get_mut(at / 64)
                    {
                        *word |= 1 << (at % 64);
                    }
                }
                Ok(found)
            }
        }
    }
}

impl Memory {
    /// Whether a term says yes to an event.
    fn asks(
        &mut self,
        node: &Node,
        basis: Basis,
        access: &mut Access,
        block: &mut Block,
        at: usize,
        context: &Context<'_>,
    ) -> Result<bool, BundleError> {
        if self.kinds.len() + self.processes.len() > MANY {
            *self = Self { objects: std::mem::take(&mut self.objects), ..Self::default() };
        }
        match basis {
            Basis::Touched => {
                let (verbs, assets) = block.touched(at);
                Ok((verbs.0 != 0 || assets.0 != 0)
                    && node.matches(&Record { verbs, assets, ..Record::blank() }, context))
            }
            Basis::Kind => {
                let kind = block.kind(at).ok_or_else(|| access.damaged(block))?;
                if let Kind::Call { abi, nr } = kind {
                    let index = (nr as usize).saturating_mul(4).saturating_add(abi as usize);
                    let ask = || node.matches(&Record { kind, call: lookup(abi, nr), ..Record::blank() }, context);
                    return Ok(self.calls.says(index, CALLS, ask));
                }
                let ask = || node.matches(&Record { kind, ..Record::blank() }, context);
                Ok(*self.kinds.entry(kind).or_insert_with(ask))
            }
            Basis::Process => {
                let (key, seq) = block.process(at);
                match self.processes.get(&key.0) {
                    Some((from, until, says)) if (*from..*until).contains(&seq) => Ok(*says),
                    _ => {
                        let (from, until) = access.span(key, seq);
                        let says =
                            node.matches(&Record { process: access.process(key, seq), ..Record::blank() }, context);
                        self.processes.insert(key.0, (from, until, says));
                        Ok(says)
                    }
                }
            }
            Basis::Objects => {
                for (role, id) in block.objects(at).into_iter().enumerate() {
                    if let Some(id) = id
                        && self.object(node, access, role, id, context)?
                    {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Basis::Words => {
                let words = block.words(at).ok_or_else(|| access.damaged(block))?;
                if let Some((_, says)) = self.words.iter().find(|(known, _)| *known == words) {
                    return Ok(*says);
                }
                let (witness, decision, authority) = words;
                let says = node.matches(&Record { witness, decision, authority, ..Record::blank() }, context);
                self.words.push((words, says));
                Ok(says)
            }
            Basis::Number(number) => {
                let value = match number {
                    Number::Sequence => Some(block.process(at).1.into()),
                    Number::Time => block.time(at).map(i128::from),
                    Number::Result => block.result(at).map(i128::from),
                    Number::Size => block.size(at).map(i128::from),
                    Number::Thread => block.thread(at).map(i128::from),
                    Number::Duration => block.duration(at).map(i128::from),
                };
                Ok(value.is_some_and(|value| node.takes(Scalar::Int(value))))
            }
            Basis::Failure => {
                let kind = block.kind(at).ok_or_else(|| access.damaged(block))?;
                // Successes are all the same; no result is not one of them.
                let result = block.result(at).map(|result| result.min(0));
                let failure = result.map_or(0, |result| result.unsigned_abs().saturating_add(1)) as usize;
                let index = failure.saturating_mul(2) + usize::from(matches!(kind, Kind::Call { .. }));
                let ask = || node.matches(&Record { kind, result, ..Record::blank() }, context);
                Ok(self.failures.says(index, FAILURES, ask))
            }
            Basis::Arguments => {
                let record = block.record(at).ok_or_else(|| access.damaged(block))?;
                Ok(node.matches(&record, context))
            }
            Basis::Whole => {
                let says = access.whole(block, at, |record| node.matches(record, context))?;
                // What it points to may not be there: the recording was cut off.
                Ok(says.unwrap_or_default())
            }
        }
    }

    /// Whether a term says yes to an object (role 0) or a target: one of both is enough for it.
    fn object(
        &mut self,
        node: &Node,
        access: &mut Access,
        role: usize,
        id: u32,
        context: &Context<'_>,
    ) -> Result<bool, BundleError> {
        let size = access.objects().min(OBJECTS as u64) as usize;
        let Some(table) = self.objects.get_mut(role) else { return Ok(false) };
        let mut read = Ok(());
        let says = table.says(id as usize, size, || {
            let object = match access.object(id) {
                Ok(Some(object)) => object,
                Ok(None) => return false,
                Err(error) => {
                    read = Err(error);
                    return false;
                }
            };
            let pair: [Option<&Object>; 2] = if role == 0 { [Some(&object), None] } else { [None, Some(&object)] };
            node.matches(&Record { object: pair[0], target: pair[1], ..Record::blank() }, context)
        });
        read.map(|()| says)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::path::Path;

    use super::*;
    use crate::query::ast::{Expr, Number, Op, Pattern, Value};
    use crate::query::field::FIELDS;

    const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/demo/recording");

    fn compare(name: &'static str, value: Value) -> Expr {
        let field = FIELDS.iter().find(|field| field.name == name).expect("a field");
        Expr::Compare { field, op: Op::Is, values: vec![value] }
    }

    /// Values that the fields have in the demo, a few of each.
    fn values(access: &mut Access, context: &Context<'_>) -> BTreeMap<&'static str, Vec<Value>> {
        let mut found: BTreeMap<&'static str, BTreeSet<Vec<u8>>> = BTreeMap::new();
        let mut numbers: BTreeMap<&'static str, BTreeSet<i128>> = BTreeMap::new();
        for row in 0..access.rows() {
            let seen = access.row(row, |record| {
                for field in FIELDS {
                    field.each(record, context, &mut |value| match value {
                        Scalar::Int(number) => drop(numbers.entry(field.name).or_default().insert(number)),
                        Scalar::Bytes(text) => drop(found.entry(field.name).or_default().insert(text.to_vec())),
                    });
                }
            });
            seen.expect("a sound recording").expect("all of it");
        }
        let mut all: BTreeMap<&'static str, Vec<Value>> = BTreeMap::new();
        for (name, texts) in found {
            let some = texts.len().div_ceil(3);
            all.entry(name)
                .or_default()
                .extend(texts.into_iter().step_by(some).map(|text| Value::Text(Pattern::literal(text))));
        }
        for (name, seen) in numbers {
            let some = seen.len().div_ceil(3);
            let one = |value| Value::Number(Number { value, step: 1 });
            all.entry(name).or_default().extend(seen.into_iter().step_by(some).map(one));
        }
        all
    }

    #[test]
    fn a_batch_at_once_finds_what_event_by_event_finds() {
        let mut access = Access::open(Path::new(DEMO)).expect("the demo");
        let reader = crate::bundle::Reader::open(Path::new(DEMO)).expect("the demo");
        let assets = reader.session().map(|session| session.assets.clone()).expect("a session");
        let context = Context { assets: &assets };
        let values = values(&mut access, &context);
        // Without these the test says nothing of the ways by which a term is asked.
        for name in ["verb", "asset", "op", "proc", "path", "host", "bytes", "errno", "args", "payload"] {
            assert!(values.contains_key(name), "{name}");
        }
        let terms: Vec<Expr> =
            values.iter().flat_map(|(name, values)| values.iter().map(|value| compare(name, value.clone()))).collect();
        assert!(terms.len() > 100, "{}", terms.len());
        let search = Expr::Search(vec![Pattern::literal("customers")]);
        let mut filters = vec![Expr::All, search.clone(), Expr::Not(Box::new(search.clone()))];
        for (at, term) in terms.iter().enumerate() {
            let other = terms.get(at * 7 % terms.len()).expect("within").clone();
            filters.push(term.clone());
            filters.push(Expr::and(vec![term.clone(), Expr::Not(Box::new(other.clone()))]));
            filters.push(Expr::or(vec![other, Expr::and(vec![search.clone(), term.clone()])]));
        }
        let queries: Vec<Query> = filters.into_iter().map(Query::new).collect();
        let mut one_by_one: Vec<Vec<u64>> = vec![Vec::new(); queries.len()];
        for row in 0..access.rows() {
            let asked = access.row(row, |record| {
                for (rows, query) in one_by_one.iter_mut().zip(&queries) {
                    if query.matches(record, &context) {
                        rows.push(row);
                    }
                }
            });
            asked.expect("a sound recording").expect("all of it");
        }
        for (query, wanted) in queries.iter().zip(one_by_one) {
            let (mut scan, mut found) = (Scan::new(query), Vec::new());
            for index in 0..access.batches() {
                let mut block = access.block(index).expect("a batch");
                let rows = scan.fit(&mut access, &mut block, &context).expect("a sound recording");
                found.extend(set(&rows).map(|at| block.first() + at as u64));
            }
            assert_eq!(found, wanted, "{}", query.expr());
        }
    }
}
