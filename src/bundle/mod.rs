//! The bundle: the recording of one session, a folder in which every part is a format that other
//! tools open.
//!
//! | file | format |
//! |---|---|
//! | `session.json` | [`Session`]; written as `running` at the start, replaced at the end |
//! | `profile.toml` | the effective profile |
//! | `events.arrows` | Arrow IPC stream, zstd: one row per event |
//! | `objects.arrows`, `payloads.arrows` | the same: what the events' references point to, by row number |
//! | `processes.arrows` | the same: a row whenever a process changed, the last one per key counts |
//! | `findings.jsonl` | findings as they were made |
//! | `terminal.cast` | asciicast v2 |
//! | `notes.jsonl` | the analyst's bookmarks, notes and reveals, appended |
//! | `layer/` | `layer.jsonl`, and below `files/` what the subject left and what was there before, by hash |
//!
//! Every file is only ever appended to, whole frames at a time, and rows that an event points to
//! are written before it. So a recording that ends anywhere, for whatever reason, opens up to its
//! last whole batch.

mod access;
mod cast;
mod columns;
mod encoder;
mod error;
mod frame;
mod layer;
mod notes;
mod part;
mod reader;
mod rows;
mod schema;
mod session;
mod side;
mod writer;

#[cfg(test)]
mod tests;

pub use access::{Access, Block, Brief, Look};
pub use error::BundleError;
pub use layer::LayerLog;
pub use notes::{Note, Notes, What};
pub use reader::Reader;
pub use session::{Clocks, Exit, Header, Outcome, Privilege, ProfileInfo, Session, State, WitnessInfo};
pub use writer::{Row, Writer};
