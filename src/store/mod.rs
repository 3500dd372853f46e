//! The resolved view of events that ingest, bundle, query, analysis and reports share.

mod record;
mod verb;

pub use record::{Object, Process, Record};
pub use verb::{AssetInfo, AssetSet, Verb, Verbs};
