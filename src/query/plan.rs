//! An expression compiled to a predicate over records, which allocates nothing when it is asked.

use memchr::memmem::Finder;

use super::ast::{Expr, Number, Op, Pattern, Value};
use super::field::{Field, Scalar};
use super::{Context, Error, parser};
use crate::store::Record;

/// A filter ready to be asked.
#[derive(Clone, Debug)]
pub struct Query {
    expr: Expr,
    node: Node,
}

impl Query {
    /// Reads a filter; the empty one matches every event.
    pub fn parse(input: &str, context: &Context<'_>) -> Result<Self, Error> {
        parser::parse(input, context).map(Self::new)
    }

    /// Compiles an expression.
    pub fn new(expr: Expr) -> Self {
        let node = compile(&expr);
        Self { expr, node }
    }

    /// What it was made from.
    pub fn expr(&self) -> &Expr {
        &self.expr
    }

    /// What it was compiled to.
    pub(crate) fn node(&self) -> &Node {
        &self.node
    }

    /// Whether the event fits.
    pub fn matches(&self, record: &Record<'_>, context: &Context<'_>) -> bool {
        self.node.matches(record, context)
    }
}

impl PartialEq for Query {
    fn eq(&self, other: &Self) -> bool {
        self.expr == other.expr
    }
}

impl Eq for Query {}

/// A compiled expression.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    /// All of these.
    All(Vec<Node>),
    /// One of these.
    Any(Vec<Node>),
    /// Not this.
    Not(Box<Node>),
    /// A field passes a test.
    Field { field: &'static Field, test: Test },
    /// Object or target contains one of these.
    Search(Vec<Matcher>),
}

/// What a value must be.
#[derive(Clone, Debug)]
pub(crate) enum Test {
    /// Within one of these, ends included.
    Within(Vec<(i128, i128)>),
    /// Like one of these.
    Text(Vec<Matcher>),
}

fn compile(expr: &Expr) -> Node {
    match expr {
        Expr::All => Node::All(Vec::new()),
        Expr::And(parts) => Node::All(parts.iter().map(compile).collect()),
        Expr::Or(parts) => Node::Any(parts.iter().map(compile).collect()),
        Expr::Not(part) => Node::Not(Box::new(compile(part))),
        Expr::Search(patterns) => {
            Node::Search(patterns.iter().map(|pattern| Matcher::new(pattern, false, true)).collect())
        }
        Expr::Compare { field, op, values } => {
            let test = if field.is_numeric() {
                Test::Within(values.iter().map(|value| within(*op, value)).collect())
            } else {
                let exact = matches!(op, Op::Equal | Op::NotEqual);
                let inside = matches!(op, Op::Contains | Op::NotContains);
                let patterns = values.iter().filter_map(|value| match value {
                    Value::Text(pattern) => Some(Matcher::new(pattern, exact, inside)),
                    _ => None,
                });
                Test::Text(patterns.collect())
            };
            let node = Node::Field { field, test };
            if matches!(op, Op::NotEqual | Op::NotContains) { Node::Not(Box::new(node)) } else { node }
        }
    }
}

fn within(op: Op, value: &Value) -> (i128, i128) {
    match value {
        Value::Any | Value::Text(_) => (i128::MIN, i128::MAX),
        Value::Range(from, to) => {
            (from.map_or(i128::MIN, |number| number.value), to.map_or(i128::MAX, |number| number.value))
        }
        Value::Number(Number { value, step }) => match op {
            Op::Greater => (value + 1, i128::MAX),
            Op::GreaterEqual => (*value, i128::MAX),
            Op::Less => (i128::MIN, value - 1),
            Op::LessEqual => (i128::MIN, *value),
            _ => (*value, value + step - 1),
        },
    }
}

impl Node {
    /// Whether the field of this term may have the value.
    pub(crate) fn takes(&self, value: Scalar<'_>) -> bool {
        matches!(self, Self::Field { test, .. } if test.matches(value))
    }

    /// Whether the event fits.
    pub(crate) fn matches(&self, record: &Record<'_>, context: &Context<'_>) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.matches(record, context)),
            Self::Any(parts) => parts.iter().any(|part| part.matches(record, context)),
            Self::Not(part) => !part.matches(record, context),
            Self::Field { field, test } => {
                let mut found = false;
                field.each(record, context, &mut |value| found = found || test.matches(value));
                found
            }
            Self::Search(matchers) => [record.object, record.target]
                .into_iter()
                .flatten()
                .any(|object| matchers.iter().any(|matcher| matcher.matches(&object.name))),
        }
    }
}

impl Test {
    pub(super) fn matches(&self, value: Scalar<'_>) -> bool {
        match (self, value) {
            (Self::Within(ranges), Scalar::Int(value)) => {
                ranges.iter().any(|(from, to)| (*from..=*to).contains(&value))
            }
            (Self::Text(matchers), Scalar::Bytes(value)) => matchers.iter().any(|matcher| matcher.matches(value)),
            _ => false,
        }
    }
}

/// A pattern ready to be compared: `first`, then each of `middle` somewhere behind, then `last`.
#[derive(Clone, Debug)]
pub(crate) struct Matcher {
    first: Vec<u8>,
    middle: Vec<Finder<'static>>,
    /// `None`: no star, so `first` is the whole text.
    last: Option<Vec<u8>>,
    /// Upper and lower case are the same; all parts are in lower case.
    fold: bool,
}

impl Matcher {
    fn new(pattern: &Pattern, exact: bool, inside: bool) -> Self {
        let fold = !exact && !pattern.0.iter().flatten().any(u8::is_ascii_uppercase);
        let mut parts = pattern.0.clone();
        if inside {
            parts.insert(0, Vec::new());
            parts.push(Vec::new());
        }
        let last = if parts.len() > 1 { parts.pop() } else { None };
        let mut parts = parts.into_iter();
        let first = parts.next().unwrap_or_default();
        let middle = parts.filter(|part| !part.is_empty()).map(|part| Finder::new(&part).into_owned()).collect();
        Self { first, middle, last, fold }
    }

    fn same(&self, text: &[u8], part: &[u8]) -> bool {
        if self.fold { text.eq_ignore_ascii_case(part) } else { text == part }
    }

    pub(super) fn matches(&self, text: &[u8]) -> bool {
        let Some(last) = &self.last else { return self.same(text, &self.first) };
        let Some((head, rest)) = text.split_at_checked(self.first.len()) else { return false };
        let Some((mut rest, tail)) = rest.len().checked_sub(last.len()).and_then(|at| rest.split_at_checked(at)) else {
            return false;
        };
        self.same(head, &self.first)
            && self.same(tail, last)
            && self.middle.iter().all(|part| match self.find(rest, part) {
                Some(at) => {
                    rest = rest.get(at + part.needle().len()..).unwrap_or_default();
                    true
                }
                None => false,
            })
    }

    fn find(&self, text: &[u8], part: &Finder<'static>) -> Option<usize> {
        if !self.fold {
            return part.find(text);
        }
        let needle = part.needle();
        let first = *needle.first()?;
        let mut at = 0;
        loop {
            at += memchr::memchr2(first, first.to_ascii_uppercase(), text.get(at..)?)?;
            if text.get(at..at + needle.len())?.eq_ignore_ascii_case(needle) {
                return Some(at);
            }
            at += 1;
        }
    }
}
