//! The resolved view of events that ingest, bundle, query, analysis and reports share.

mod coverage;
mod histogram;
mod intern;
pub mod meaning;
mod op;
mod process;
mod record;
mod rowset;
mod totals;
mod verb;
pub mod words;

pub use coverage::{Coverage, Executable};
pub use histogram::{Bucket, Histogram};
pub use intern::{Interned, Interner};
pub use op::{Ops, ops};
pub use process::ProcessTable;
pub use record::{Object, Process, Record};
pub use rowset::RowSet;
pub use totals::{Counter, Totals, WitnessTotals};
pub use verb::{AssetInfo, AssetSet, Verb, Verbs};
