//! What ingest asks of analysis: to look at every event once, in order, before it is written.

use crate::store::{AssetSet, Record, Verbs};

/// What an observer saw in one event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// What was attempted in it.
    pub verbs: Verbs,
    /// Which planted assets it touched.
    pub assets: AssetSet,
    /// Whether the recording is to keep all that was captured of the payload: the event is
    /// evidence, and evidence must be checkable from the bundle alone.
    pub keep_payload: bool,
}

/// Looks at the session as it happens.
pub trait Observer {
    /// Looks at one event. Its payload is all that the witness captured; its `verbs` and `assets`
    /// are empty: they become what is returned.
    fn observe(&mut self, record: &Record<'_>) -> Touched;

    /// There will be no further event: what only the whole shows can be said now.
    fn ended(&mut self) {}

    /// Findings made since the last call, one JSON value each; ingest appends them to
    /// `findings.jsonl` after the events that they rest on.
    fn findings(&mut self) -> Vec<serde_json::Value> {
        Vec::new()
    }
}

/// Sees nothing: a recording without analysis.
impl Observer for () {
    fn observe(&mut self, _: &Record<'_>) -> Touched {
        Touched::default()
    }
}
