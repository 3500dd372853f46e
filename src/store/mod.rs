//! The resolved view of events that ingest, bundle, query, analysis and reports share.

mod coverage;
mod intern;
pub mod meaning;
mod op;
mod process;
mod record;
mod totals;
mod verb;
pub mod words;

pub use coverage::{Coverage, Executable};
pub use intern::{Interned, Interner};
pub use op::{Ops, ops};
pub use process::ProcessTable;
pub use record::{Object, Process, Record};
pub use totals::{Counter, Totals, WitnessTotals};
pub use verb::{AssetInfo, AssetSet, Verb, Verbs};
