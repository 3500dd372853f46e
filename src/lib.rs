//! Belljar puts a vendor's software under glass: see `README.md` for what it does and
//! `ARCHITECTURE.md` for how it is built.

pub mod analysis;
pub mod bundle;
pub mod cli;
pub mod export;
pub mod ingest;
pub mod profile;
pub mod query;
pub mod recording;
pub mod redact;
pub mod report;
pub mod session;
pub mod store;
pub mod tui;
