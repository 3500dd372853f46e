//! `belljar record`: a session without a screen. Talk goes to standard error, the report to
//! standard output.

use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use belljar_sandbox::jail::JailError;
use belljar_sandbox::spec::Stdin;

use super::error::Failure;
use super::options::RecordArgs;
use crate::bundle::BundleError;
use crate::ingest::Progress;
use crate::session::{self, Request, SessionError, Status};

/// How often the line of progress changes.
const REFRESH: Duration = Duration::from_millis(200);

pub(super) fn run(args: &RecordArgs) -> anyhow::Result<u8> {
    let talk = Talk::new(args.quiet, args.verbose);
    let json = args.json;
    // What the subject prints is recorded, not shown: a common size for everybody.
    let request = request(args, stdin(), (80, 24));
    let prepared = session::prepare(request).map_err(coded)?;
    talk.say(&format!("recording to {}", prepared.output.display()));
    let ended = session::run(prepared, &std::sync::Arc::default(), &|status| match status {
        Status::Note(note) => talk.say(note),
        Status::Detail(text) => talk.detail(text),
        Status::Progress(progress) => talk.progress(progress),
    });
    talk.clear();
    let ended = ended.map_err(coded)?;
    if json || !args.quiet {
        let report = super::report::Source::of(&ended)?;
        let mut out = super::output::stdout();
        if json {
            report.json(&mut out)?;
        } else {
            report.text(&mut out)?;
        }
        out.flush()?;
    }
    Ok(ended.outcome.verdict.exit_code())
}

/// What `record` and `run` ask for alike.
pub(super) fn request(args: &RecordArgs, stdin: Stdin, terminal: (u16, u16)) -> Request {
    Request {
        stdin,
        terminal,
        witness: args.witness,
        ebpf_ring: args.ebpf_ring,
        ebpf_no_freeze: args.ebpf_no_freeze,
        tls_probes: args.tls_probes,
        command: args.command.clone(),
        profile: args.profile.clone(),
        declaration: args.declaration.clone(),
        seed: args.seed,
        output: args.output.clone(),
        binds: args.binds.clone(),
        workdir: args.workdir.clone(),
        env: args.env.clone(),
        user: args.user.clone(),
        rootfs: args.rootfs.clone(),
        allow_hosts: args.allow_host.clone(),
        timeout: args.timeout,
        payload: args.payload,
    }
}

/// What the caller got wrong has an exit code of its own.
pub(super) fn coded(error: SessionError) -> anyhow::Error {
    match &error {
        SessionError::Jail(JailError::NotFound { .. }) => Failure::not_found(error.to_string()).into(),
        SessionError::Profile(_) | SessionError::Request(_) | SessionError::Bundle(BundleError::Exists { .. }) => {
            Failure::usage(error.to_string()).into()
        }
        _ => error.into(),
    }
}

/// The subject gets what belljar is given, unless that is the analyst's own keyboard.
fn stdin() -> Stdin {
    if std::io::stdin().is_terminal() { Stdin::Null } else { Stdin::Pipe }
}

/// What is said on standard error.
struct Talk {
    quiet: bool,
    verbose: bool,
    bar: Option<indicatif::ProgressBar>,
    last: Mutex<Option<Instant>>,
}

impl Talk {
    fn new(quiet: bool, verbose: u8) -> Self {
        let bar = (!quiet && std::io::stderr().is_terminal()).then(|| {
            // No ticking thread: it would take the signals that the session waits for.
            let bar = indicatif::ProgressBar::new_spinner();
            if let Ok(style) = indicatif::ProgressStyle::with_template("{spinner} {elapsed_precise}  {msg}") {
                bar.set_style(style);
            }
            bar
        });
        Self { quiet, verbose: verbose > 0, bar, last: Mutex::new(None) }
    }

    fn say(&self, text: &str) {
        if self.quiet {
            return;
        }
        let line = format!("belljar: {}", crate::redact::plain(text.as_bytes()));
        match &self.bar {
            Some(bar) => bar.println(line),
            // Nobody to tell any more is no reason to stop recording.
            None => drop(writeln!(std::io::stderr(), "{line}")),
        }
    }

    fn detail(&self, text: &str) {
        if self.verbose {
            self.say(text);
        }
    }

    fn progress(&self, progress: Progress) {
        let Some(bar) = &self.bar else { return };
        let Ok(mut last) = self.last.lock() else { return };
        if last.is_some_and(|last| last.elapsed() < REFRESH) {
            return;
        }
        *last = Some(Instant::now());
        let bytes = indicatif::HumanBytes(progress.bytes);
        bar.set_message(format!("{} events, {} lost, {bytes}", indicatif::HumanCount(progress.events), progress.lost));
        bar.tick();
    }

    fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
