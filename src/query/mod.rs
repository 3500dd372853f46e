//! The query language: one way to say "these events" on the screen, in `events --filter`, in
//! profile rules and in detectors.
//!
//! ```text
//! op:write and bytes>4k and path~"/cache/"
//! class:identity verb:transmit not proc:updater
//! ```
//!
//! [`field`] is the registry everything else is made from. [`lexer`] and [`parser`] turn text into
//! an [`ast::Expr`], whose values are already those of the field's type; [`plan`] compiles that
//! into a predicate which allocates nothing per record, `bounds` says what that can match at most;
//! [`complete`] offers what may come next.
//! All of it is pure: no I/O, and no input makes it panic.

pub mod ast;
mod bounds;
pub mod complete;
mod error;
pub mod field;
mod lexer;
mod literal;
mod parser;
mod plan;

use std::time::Duration;

use crate::store::AssetInfo;

pub use bounds::Names;
pub use error::Error;
pub(crate) use error::nearest;
pub(crate) use plan::Node;
pub use plan::Query;

/// What the session knows that a record points into.
#[derive(Clone, Copy, Debug, Default)]
pub struct Context<'a> {
    /// The session's assets, in the order of [`crate::store::AssetSet`]'s bits. While the list is
    /// empty any name of an asset or class is taken.
    pub assets: &'a [AssetInfo],
}

/// A number of bytes as filters write them: `256`, `4k`, `1M`.
pub fn size(text: &str) -> Option<u64> {
    literal::read(text, field::Type::Size).and_then(|number| u64::try_from(number.value).ok())
}

/// A duration as filters write it: `30s`, `5m`, `1.5h`; seconds without a unit.
pub fn duration(text: &str) -> Option<Duration> {
    literal::read(text, field::Type::Duration)
        .and_then(|number| u64::try_from(number.value).ok())
        .map(Duration::from_nanos)
}

/// The name of a field most like `name`, if any is like it at all.
pub fn nearest_field(name: &str) -> Option<&'static str> {
    error::nearest(name, field::FIELDS.iter().flat_map(|field| field.aliases.iter().copied().chain([field.name])))
}

/// The language on half a page: shown by `events --help` and in the manual.
pub const LANGUAGE: &str = r#"A filter is made of terms: a field, an operator and a value.

  op:write               the field is the value; * stands for any text
  path:/etc/*  op:open*
  op:read|write          one of several values (a comma does the same)
  path~/cache/           contains the value (* works here too; no regular expressions)
  path=/tmp/Cache        is exactly the value, letter for letter; * is a star
  errno!=ENOENT          the opposite of =
  proc!~python           the opposite of ~
  bytes>4k  bytes<=1M    numbers compare: > >= < <=; k, M and G are powers of 1024
  t:02:30..02:50         a range, ends included; t:02:30.. is open (also 1:02:30, 2.5s, 300ms)
  errno:*                has any value at all
  customers              a bare word: object or target contains it

Put a space or `and` between terms that must both hold, `or` between those of which one is
enough, `not` (or `!`) before what must not hold, and parentheses around groups: `not` binds
before `and`, `and` before `or`. Quote values with spaces: path~"my files". In quotes a star is
a star, and \n \r \t \\ \" \xNN \u{NNNN} are read as belljar prints them. Values in lower case
match upper case too, except after = and !=. A field with several values matches when any of them
does. An event without the field never matches, so `field!=x` is the same as `not field=x`."#;

#[cfg(test)]
mod tests;
