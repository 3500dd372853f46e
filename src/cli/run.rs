//! `belljar run`: a session with its screen. The session has a thread of its own; the screen looks at what that
//! writes. At the end comes what `record` prints.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use belljar_sandbox::spec::Stdin;

use super::options::RunArgs;
use super::output;
use super::planted::files;
use super::record::{coded, request};
use super::replay::needs_terminal;
use crate::redact::Redactor;
use crate::session::{self, Ended, Prepared, SessionError, Status};
use crate::tui::{self, Config, Live, Sight};

/// How often it is looked whether the recording is there.
const LOOK: Duration = Duration::from_millis(10);

pub(super) fn run(args: &RunArgs) -> anyhow::Result<u8> {
    if !args.plain {
        needs_terminal()?;
    }
    let config = Config::load()?;
    let stdin = if args.plain { Stdin::Null } else { Stdin::Terminal };
    let prepared = session::prepare(request(&args.record, stdin, tui::subject_size())).map_err(coded)?;
    let markers = prepared.assets().iter().flat_map(|asset| &asset.markers).map(|marker| marker.value.as_slice());
    let redactor = Redactor::new(markers, false, output::is_ascii())?;
    let ended = if args.plain { plain(prepared, &redactor)? } else { screen(prepared, redactor, config)? };
    let report = super::report::Source::of(&ended)?;
    let mut out = output::stdout();
    if args.record.json {
        report.json(&mut out)?;
    } else if !args.record.quiet {
        report.text(&mut out)?;
    }
    out.flush()?;
    Ok(ended.outcome.verdict.exit_code())
}

type Held = std::thread::JoinHandle<Result<Ended, SessionError>>;

fn start(prepared: Prepared, live: &Arc<Live>) -> anyhow::Result<Held> {
    let live = Arc::clone(live);
    let session = move || {
        let ended = session::run(prepared, &live.controls, &|status: Status<'_>| live.tell(&status));
        live.end();
        ended
    };
    Ok(std::thread::Builder::new().name("belljar-session".into()).spawn(session)?)
}

fn finish(session: Held) -> anyhow::Result<Ended> {
    session.join().map_err(|_| anyhow::anyhow!("the session's thread failed"))?.map_err(coded)
}

/// Waits until there is a recording to look at; `false` when the session ended without one.
fn recorded(prepared: &std::path::Path, session: &Held) -> bool {
    while !prepared.join("session.json").is_file() || !prepared.join("payloads.arrows").is_file() {
        if session.is_finished() {
            return false;
        }
        std::thread::sleep(LOOK);
    }
    true
}

fn screen(prepared: Prepared, redactor: Redactor, config: Config) -> anyhow::Result<Ended> {
    let (bundle, rules, below) = (prepared.output.clone(), prepared.rules().clone(), files(prepared.plants()));
    let live = Arc::new(Live::shown());
    let session = start(prepared, &live)?;
    if recorded(&bundle, &session) {
        let sight = Sight {
            redactor,
            rules,
            ascii: output::is_ascii(),
            config,
            speed: 1.0,
            below,
            live: Some(Arc::clone(&live)),
        };
        let shown = tui::show(&bundle, sight);
        // Whatever ended the screen: nothing goes on unseen.
        live.controls.end();
        if let Err(error) = shown {
            finish(session)?;
            return Err(error.into());
        }
    }
    finish(session)
}

fn plain(prepared: Prepared, redactor: &Redactor) -> anyhow::Result<Ended> {
    let bundle = prepared.output.clone();
    eprintln!("belljar: recording to {}", crate::redact::plain(bundle.as_os_str().as_encoded_bytes()));
    let live = Arc::new(Live::default());
    let session = start(prepared, &live)?;
    if recorded(&bundle, &session) {
        // A reader that went away ends the talk, not the session.
        let _ = tui::plain::print(&bundle, redactor, &mut output::stdout());
    }
    finish(session)
}
