//! The parsed filter. Values are already of the field's type; printing an expression gives a
//! filter that parses to the same expression.

use std::fmt::{self, Write as _};

use super::field::{Field, Type};
use super::literal;

/// A filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expr {
    /// The empty filter: every event.
    All,
    /// All of these hold; never fewer than two, none of them `And` itself.
    And(Vec<Expr>),
    /// One of these holds; never fewer than two, none of them `Or` itself.
    Or(Vec<Expr>),
    /// This does not hold.
    Not(Box<Expr>),
    /// A field compared with values: holds when one of them fits (or none, for `!=` and `!~`).
    Compare {
        /// The field.
        field: &'static Field,
        /// The operator.
        op: Op,
        /// At least one.
        values: Vec<Value>,
    },
    /// Object or target contains one of these.
    Search(Vec<Pattern>),
}

impl Expr {
    /// All of `parts`, flattened.
    pub fn and(parts: Vec<Self>) -> Self {
        Self::join(parts, Self::And, |part| match part {
            Self::And(parts) => Ok(parts),
            other => Err(other),
        })
    }

    /// One of `parts`, flattened.
    pub fn or(parts: Vec<Self>) -> Self {
        Self::join(parts, Self::Or, |part| match part {
            Self::Or(parts) => Ok(parts),
            other => Err(other),
        })
    }

    fn join(parts: Vec<Self>, make: fn(Vec<Self>) -> Self, open: fn(Self) -> Result<Vec<Self>, Self>) -> Self {
        let mut flat = Vec::with_capacity(parts.len());
        for part in parts {
            match open(part) {
                Ok(parts) => flat.extend(parts),
                Err(part) => flat.push(part),
            }
        }
        match (flat.pop(), flat.is_empty()) {
            (None, _) => Self::All,
            (Some(only), true) => only,
            (Some(last), false) => {
                flat.push(last);
                make(flat)
            }
        }
    }
}

/// How a field is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// `:` is, with globs and ranges.
    Is,
    /// `=` is exactly.
    Equal,
    /// `!=` is not exactly.
    NotEqual,
    /// `~` contains.
    Contains,
    /// `!~` does not contain.
    NotContains,
    /// `>`
    Greater,
    /// `>=`
    GreaterEqual,
    /// `<`
    Less,
    /// `<=`
    LessEqual,
}

impl Op {
    /// All of them, those that others begin with last.
    pub const ALL: [Self; 9] = [
        Self::NotEqual,
        Self::NotContains,
        Self::GreaterEqual,
        Self::LessEqual,
        Self::Is,
        Self::Equal,
        Self::Contains,
        Self::Greater,
        Self::Less,
    ];

    /// As it is written.
    pub fn sign(self) -> &'static str {
        match self {
            Self::Is => ":",
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Contains => "~",
            Self::NotContains => "!~",
            Self::Greater => ">",
            Self::GreaterEqual => ">=",
            Self::Less => "<",
            Self::LessEqual => "<=",
        }
    }

    /// Whether it compares sizes, so that it takes one number.
    pub fn is_order(self) -> bool {
        matches!(self, Self::Greater | Self::GreaterEqual | Self::Less | Self::LessEqual)
    }
}

/// What a field is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// `*` for a number: any.
    Any,
    /// Text, for fields of text and names.
    Text(Pattern),
    /// A number in the field's unit.
    Number(Number),
    /// Numbers from one to another, ends included; one end may be open.
    Range(Option<Number>, Option<Number>),
}

/// A number as it was written: `02:30` means the whole second, `2.50s` that hundredth of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number {
    /// In the field's unit (nanoseconds for times).
    pub value: i128,
    /// How much the last written digit is worth: at least 1.
    pub step: i128,
}

/// Text with stars: what stands before, between and after them. Never empty; one part when there
/// is no star.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(pub Vec<Vec<u8>>);

impl Pattern {
    /// Text without stars.
    pub fn literal(text: impl Into<Vec<u8>>) -> Self {
        Self(vec![text.into()])
    }

    /// Its text when there is no star in it.
    pub fn as_literal(&self) -> Option<&[u8]> {
        match self.0.as_slice() {
            [only] => Some(only),
            _ => None,
        }
    }

    /// Whether it is a star alone (or several).
    pub fn is_any(&self) -> bool {
        self.0.len() > 1 && self.0.iter().all(Vec::is_empty)
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let group = |part: &Self, f: &mut fmt::Formatter<'_>, open: bool| {
            if open { write!(f, "({part})") } else { write!(f, "{part}") }
        };
        match self {
            Self::All => Ok(()),
            Self::And(parts) => {
                for (at, part) in parts.iter().enumerate() {
                    f.write_str(if at == 0 { "" } else { " and " })?;
                    group(part, f, matches!(part, Self::Or(_)))?;
                }
                Ok(())
            }
            Self::Or(parts) => {
                for (at, part) in parts.iter().enumerate() {
                    f.write_str(if at == 0 { "" } else { " or " })?;
                    group(part, f, false)?;
                }
                Ok(())
            }
            Self::Not(part) => {
                f.write_str("not ")?;
                group(part, f, matches!(**part, Self::Or(_) | Self::And(_)))
            }
            Self::Compare { field, op, values } => {
                write!(f, "{}{}", field.name, op.sign())?;
                for (at, value) in values.iter().enumerate() {
                    f.write_str(if at == 0 { "" } else { "|" })?;
                    value.write(field.kind, f)?;
                }
                Ok(())
            }
            Self::Search(patterns) => {
                for (at, pattern) in patterns.iter().enumerate() {
                    f.write_str(if at == 0 { "" } else { "|" })?;
                    write!(f, "{pattern}")?;
                }
                Ok(())
            }
        }
    }
}

impl Value {
    fn write(&self, kind: Type, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = |number: &Option<Number>, f: &mut fmt::Formatter<'_>| match number {
            Some(number) => literal::write(*number, kind, f),
            None => Ok(()),
        };
        match self {
            Self::Any => f.write_char('*'),
            Self::Text(pattern) => write!(f, "{pattern}"),
            Self::Number(number) => literal::write(*number, kind, f),
            Self::Range(from, to) => {
                end(from, f)?;
                f.write_str("..")?;
                end(to, f)
            }
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, part) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_char('*')?;
            }
            if part.is_empty() && self.0.len() > 1 {
                continue;
            }
            let word = std::str::from_utf8(part).unwrap_or_default();
            let safe = |c: char| c.is_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | '@' | '%' | '+');
            let keyword = ["and", "or", "not"].iter().any(|k| k.eq_ignore_ascii_case(word));
            if !word.is_empty() && word.chars().all(safe) && !keyword {
                f.write_str(word)?;
            } else {
                quote(part, f)?;
            }
        }
        Ok(())
    }
}

fn quote(text: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let shown = crate::redact::plain(text);
    write!(f, "\"{}\"", shown.replace('"', "\\\""))
}
