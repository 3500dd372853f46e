//! Without a screen: one sentence for each event that touches client data, for screen readers, logs and terminals
//! that can do no more.

use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use super::sentence::sentence;
use crate::bundle::{Reader, State};
use crate::redact::Redactor;

/// How often a running recording is looked at.
const FOLLOW: Duration = Duration::from_millis(100);

/// Prints the sentences of the recording in `dir`, as they come while it still runs.
pub fn print(dir: &Path, redactor: &Redactor, out: &mut impl Write) -> anyhow::Result<()> {
    let mut reader = Reader::open(dir)?;
    let assets = reader.session().map(|session| session.assets.clone()).unwrap_or_default();
    loop {
        // Before the events: those that come after the last look belong to a session that still ran.
        let running = reader.state() == State::Running;
        let mut failed = None;
        reader.records(|record| {
            if record.verbs.0 == 0 {
                return ControlFlow::Continue(());
            }
            match writeln!(out, "{}", sentence(record, redactor, &assets)) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            }
        })?;
        if let Some(error) = failed {
            return Err(error.into());
        }
        out.flush()?;
        if !running {
            return Ok(());
        }
        std::thread::sleep(FOLLOW);
        reader.poll()?;
    }
}
