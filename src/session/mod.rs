//! One session from beginning to end: a jail, its witnesses, ingest, and the bundle they fill.
//! Live and headless differ only in who is told of progress.
//!
//! The thread that calls [`run`] holds the jail (the kernel ties the jail's life to it); ingest,
//! the witnesses and the terminal have threads of their own.

mod calls;
mod controls;
mod place;
mod prepare;
mod signals;
mod terminal;
mod traces;

use std::collections::BTreeSet;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use belljar_sandbox::decoy::Asset;
use belljar_sandbox::event::{Event, Kind, ProcessKey, Queue, Witness};
use belljar_sandbox::gateway::{self, Gateway, GatewayError};
use belljar_sandbox::jail::{Exit, Jail, JailError, monotonic_ns};
use belljar_sandbox::layer::{self, LayerError};
use belljar_sandbox::witness::Stats;
use belljar_sandbox::witness::ebpf::EbpfError;
use belljar_sandbox::witness::notify::NotifyError;

use crate::analysis::Analysis;
use crate::analysis::rules::Rules;
use crate::analysis::verdict::Outcome;
use crate::bundle::{self, BundleError, LayerLog, Session, Writer};
use crate::ingest::{self, IngestError, Progress};
use crate::profile::ProfileError;
use crate::store::{Executable, Totals};

use calls::{Calls, Choice};
use traces::Watched;

pub use calls::Wanted;
pub use controls::Controls;
pub use prepare::{FULL, Prepared, Request, prepare};

/// Events and bytes that may wait for ingest before the subject has to.
const QUEUE_EVENTS: usize = 8192;
/// See above.
const QUEUE_BYTES: usize = 8 << 20;
/// How long processes may outlive the subject's first one before they are ended. Long enough for
/// what an installer leaves running to show what it does.
const LINGER: Duration = Duration::from_secs(5);
/// How often the session looks at its clock and at signals.
const LOOK: Duration = Duration::from_millis(50);

/// Why a session could not be held, or not recorded to its end.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The profile or declaration.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// Something asked for does not fit.
    #[error("{0}")]
    Request(String),
    /// The jail.
    #[error(transparent)]
    Jail(#[from] JailError),
    /// The recording.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The recording stopped before the session did.
    #[error("the recording in {} is incomplete: {cause}", bundle.display())]
    Incomplete {
        /// Where it is.
        bundle: PathBuf,
        /// What stopped it.
        cause: Box<IngestError>,
    },
    /// The system-call witness.
    #[error(transparent)]
    Notify(#[from] NotifyError),
    /// The one in the kernel, where no other will do.
    #[error(transparent)]
    Ebpf(#[from] EbpfError),
    /// The gateway.
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    /// The layer witness.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// Something of belljar's own set-up.
    #[error("cannot {what}: {cause}")]
    Own {
        /// What.
        what: &'static str,
        /// Why.
        cause: std::io::Error,
    },
}

/// What the caller is told while a session goes on.
#[derive(Clone, Debug)]
pub enum Status<'a> {
    /// One sentence about the session itself.
    Note(&'a str),
    /// One that only those who ask for more want to hear.
    Detail(&'a str),
    /// The recording is at this point.
    Progress(Progress),
}

/// A session that has ended.
#[derive(Debug)]
pub struct Ended {
    /// What the bundle says of it.
    pub session: Session,
    /// What was concluded.
    pub outcome: Outcome,
    /// Where it was recorded.
    pub bundle: PathBuf,
    /// By which rules.
    pub rules: Rules,
    /// What was planted, values included.
    pub assets: Vec<Asset>,
}

/// Why the subject was ended from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    Interrupt,
    Timeout,
    Linger,
}

/// Holds a session: builds the jail, lets the subject run, records and concludes.
/// `controls` is the analyst's hand on the subject meanwhile.
pub fn run(
    prepared: Prepared,
    controls: &Arc<Controls>,
    tell: &(dyn Fn(Status<'_>) + Sync),
) -> Result<Ended, SessionError> {
    let own = |what| move |cause| SessionError::Own { what, cause };
    let mut signals = signals::Signals::block().map_err(own("watch for signals"))?;
    let Prepared { spec, mut header, rules, output, payload, gateway, notes, witness, settings } = prepared;
    for note in &notes {
        tell(Status::Note(note));
    }
    let start_ns = header.clocks.monotonic_ns;
    let (choose, chosen) = std::sync::mpsc::channel();
    let (begun, made) = std::thread::scope(|scope| {
        // The recording's files and the matcher take about as long to make as the jail does.
        let (spec, rules, output) = (&spec, &rules, &output);
        let made = scope.spawn(move || {
            let analysis = Analysis::new(spec.assets.clone(), rules.clone())
                .map_err(|error| SessionError::Request(error.to_string()))?
                .planted(spec.plants.iter().map(|plant| plant.path.as_slice()));
            // None is chosen when there will be no session; what is made here is thrown away then.
            header.witnesses.extend(chosen.recv().unwrap_or_default());
            let writer = Writer::create(output, &header)?;
            let layer_log = writer.layer_log()?;
            Ok::<_, SessionError>((writer, layer_log, analysis, header))
        });
        let begun = calls::begin(witness, settings, spec, move |infos: &[bundle::WitnessInfo]| {
            for info in infos {
                // What was asked for and is not to be had must be said in any case.
                if info.used {
                    tell(Status::Detail(&format!("witness {}", info.reason)));
                } else {
                    tell(Status::Note(&info.reason));
                }
            }
            let _ = choose.send(infos.to_vec()); // the other end waits, or has said itself why not
        });
        (begun, made.join())
    });
    let failed =
        |_| SessionError::Own { what: "prepare the recording", cause: std::io::Error::other("its thread failed") };
    let (mut writer, layer_log, analysis, header) = made.map_err(failed)??;
    let mut watched = Watched { analysis: analysis.captured(header.capture_limit), programs: BTreeSet::new() };
    let mut recording = Recording { writer: &mut writer, watched: &mut watched, layer_log, payload, gateway, controls };
    let outcome =
        begun.and_then(|(jail, choice)| hold(jail, choice, &spec, &mut signals, start_ns, tell, &mut recording));
    match outcome {
        Ok(held) => {
            let coverage = traces::coverage(&held, &header);
            let outcome = watched.analysis.finish(coverage);
            for finding in &outcome.findings {
                // Last lines win: these are the findings as they stand at the end.
                if writer.finding(finding).is_err() {
                    break; // said by `finish` below
                }
            }
            let ended = bundle::Outcome {
                exit: held.exit.map(exit),
                duration_ns: monotonic_ns().saturating_sub(start_ns),
                totals: held.totals.clone(),
                error: held.broken.as_ref().map(ToString::to_string),
                executables: held.executables,
                coverage: Some(outcome.coverage.clone()),
            };
            let session = writer.finish(ended);
            if let Some(cause) = held.broken {
                return Err(SessionError::Incomplete { bundle: output, cause: Box::new(cause) });
            }
            Ok(Ended { session: session?, outcome, bundle: output, rules, assets: spec.assets })
        }
        Err(error @ (SessionError::Jail(_) | SessionError::Ebpf(_))) => {
            // The subject never ran: there is nothing to keep, and the directory is our own.
            drop(writer);
            let _ = std::fs::remove_dir_all(&output);
            Err(error)
        }
        Err(error) => {
            let duration_ns = monotonic_ns().saturating_sub(start_ns);
            let failed = bundle::Outcome { duration_ns, error: Some(error.to_string()), ..bundle::Outcome::default() };
            // The first error is the one to be told; the bundle says it, too, where it can.
            let _ = writer.finish(failed);
            Err(error)
        }
    }
}

fn exit(exit: Exit) -> bundle::Exit {
    match exit {
        Exit::Code(code) => bundle::Exit { code: Some(code), signal: None },
        Exit::Signal(signal) => bundle::Exit { code: None, signal: Some(signal) },
    }
}

/// Where a session is recorded to while it lasts.
struct Recording<'a> {
    writer: &'a mut Writer,
    watched: &'a mut Watched,
    layer_log: LayerLog,
    payload: usize,
    gateway: prepare::Gateway,
    controls: &'a Arc<Controls>,
}

/// What a session that has been held leaves for its conclusion.
struct Held {
    exit: Option<Exit>,
    totals: Totals,
    broken: Option<IngestError>,
    stats: Stats,
    gateway: gateway::Stats,
    layer: layer::Summary,
    executables: Vec<Executable>,
    notes: Vec<String>,
}

fn hold(
    mut jail: Jail,
    choice: Choice,
    spec: &belljar_sandbox::spec::Spec,
    signals: &mut signals::Signals,
    start_ns: u64,
    tell: &(dyn Fn(Status<'_>) + Sync),
    recording: &mut Recording<'_>,
) -> Result<Held, SessionError> {
    let own = |what| move |cause| SessionError::Own { what, cause };
    let missing = |what| move || SessionError::Own { what, cause: std::io::Error::other("it was taken already") };
    let queue = Arc::new(Queue::new(QUEUE_EVENTS, QUEUE_BYTES));
    let mut notes = jail.notes().to_vec();
    for note in &notes {
        tell(Status::Note(note));
    }
    let Recording { writer, watched, layer_log, payload, gateway, controls } = recording;
    let capture = writer.traffic()?;
    let options = ingest::Options { payload: *payload };
    let mut held = std::thread::scope(|scope| {
        // Ingest ends when the queue is closed: whatever happens below, it must be.
        let closing = CloseOnDrop(&queue);
        let ingest = std::thread::Builder::new()
            .name("belljar-ingest".into())
            .spawn_scoped(scope, || {
                // If ingest panics, nobody takes events any more: the subject must not wait for it.
                let _closing = CloseOnDrop(&queue);
                ingest::run(&queue, &mut **watched, writer, options, |progress| tell(Status::Progress(progress)))
            })
            .map_err(own("start the recording's thread"))?;
        let terminal = jail.take_terminal().ok_or_else(missing("take the subject's terminal"))?;
        controls.open(terminal.try_clone().map_err(own("keep the subject's terminal"))?);
        let terminal = terminal::Terminal::start(terminal, Arc::clone(&queue), Arc::clone(controls), start_ns)
            .map_err(own("read the subject's terminal"))?;
        if let Some(stdin) = jail.take_stdin() {
            terminal::pass_stdin(stdin).map_err(own("pass standard input on"))?;
        }
        let calls = Calls::start(choice, &mut jail, spec.capture, &spec.assets, &queue, start_ns)?;
        let wire = jail.take_wire().ok_or_else(missing("take the jail's wire"))?;
        let gateway = Gateway::start(gateway::Context {
            wire,
            capture,
            authority: Arc::clone(&gateway.authority),
            options: gateway.options.clone(),
            init_pid: jail.init_pid(),
            start_ns,
            queue: Arc::clone(&queue),
        })?;
        jail.go();
        let waited = wait(&mut jail, signals, spec.limits.time, controls, &queue, start_ns);
        controls.close();
        let stop = match waited {
            Ok(stop) => stop,
            Err(error) => {
                jail.kill();
                calls.finish();
                terminal.finish();
                gateway.finish();
                return Err(error);
            }
        };
        let exit = jail.exit();
        let stats = calls.finish();
        terminal.finish();
        let gateway = gateway.finish();
        if stats.freezes > 0 {
            let note = format!(
                "the subject was frozen {} times, for {} ms in all, because it called faster than could be recorded",
                stats.freezes,
                stats.frozen_ns / 1_000_000
            );
            tell(Status::Detail(&note));
            let _ = push_note(&queue, &note, start_ns); // told by ingest's own error
        }
        if let Some(note) = stop.map(|stop| say(stop, spec.limits.time)) {
            tell(Status::Note(&note));
            // A closed queue is told by ingest's own error.
            let _ = push_note(&queue, &note, start_ns);
            notes.push(note);
        }
        let layer = {
            let copies = layer_log.copies().map_err(own("open the directory of the layer's copies"))?;
            let source = layer::Source {
                stage: jail.stage(),
                roots: jail.layer(),
                blobs: Some(copies.as_fd()),
                uid_in_jail: &|id| jail.uid_in_jail(id),
                gid_in_jail: &|id| jail.gid_in_jail(id),
                start_ns,
            };
            layer::collect(&source, &queue, layer::Limits::default(), &mut |entry| {
                layer_log.entry(&traces::LayerLine::from(entry))
            })
        };
        if let Err(cause) = layer_log.flush() {
            return Err(SessionError::Own { what: "write the list of the layer", cause });
        }
        drop(closing);
        let ingested = ingest.join().map_err(|_| SessionError::Own {
            what: "record",
            cause: std::io::Error::other("the recording's thread failed"),
        })?;
        let (totals, broken) = match ingested {
            Ok(totals) => (totals, None),
            Err(error) => ((*error.totals).clone(), Some(error)),
        };
        let layer = match layer {
            Ok(summary) => summary,
            Err(_) if broken.is_some() => layer::Summary::default(),
            Err(error) => return Err(error.into()),
        };
        Ok::<_, SessionError>(Held { exit, totals, broken, stats, gateway, layer, executables: Vec::new(), notes })
    })?;
    held.executables = traces::executables(&jail, &watched.programs);
    Ok(held)
}

struct CloseOnDrop<'a>(&'a Queue);

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Waits for the jail to be empty, ending it when its time is up.
fn wait(
    jail: &mut Jail,
    signals: &mut signals::Signals,
    limit: Option<Duration>,
    controls: &Controls,
    queue: &Queue,
    start_ns: u64,
) -> Result<Option<Stop>, SessionError> {
    let begun = Instant::now();
    let freezer = jail.cgroup().freezer();
    let (mut first_ended, mut stop) = (None, None);
    loop {
        if jail.wait(LOOK)? {
            return Ok(stop);
        }
        if let Some(frozen) = controls.freeze_wanted() {
            let done = freezer.as_ref().is_some_and(|freezer| freezer.set(frozen));
            controls.set_frozen(frozen && done);
            let note = match (done, frozen) {
                (true, true) => "the analyst froze the subject",
                (true, false) => "the analyst let the subject go on",
                (false, _) => "the subject cannot be frozen: it has no control group of its own",
            };
            let _ = push_note(queue, note, start_ns); // told by ingest's own error
        }
        if let Some((columns, rows)) = controls.new_size() {
            let _ = push_size(queue, columns, rows, start_ns);
        }
        if jail.exit().is_some() {
            first_ended.get_or_insert_with(Instant::now);
        }
        let due = if signals.interrupted() || controls.kill_wanted() {
            Some(Stop::Interrupt)
        } else if limit.is_some_and(|limit| begun.elapsed() >= limit) {
            Some(Stop::Timeout)
        } else {
            first_ended.filter(|ended| ended.elapsed() >= LINGER).map(|_| Stop::Linger)
        };
        if stop.is_none() && due.is_some() {
            stop = due;
            jail.kill();
            if controls.frozen() {
                // What is frozen dies only once it is let go.
                let _ = freezer.as_ref().is_some_and(|freezer| freezer.set(false));
                controls.set_frozen(false);
            }
        }
    }
}

fn say(stop: Stop, limit: Option<Duration>) -> String {
    match stop {
        Stop::Interrupt => "the analyst ended the subject".into(),
        Stop::Timeout => {
            format!("the subject was ended by the timeout of {} s", limit.unwrap_or_default().as_secs_f32())
        }
        Stop::Linger => {
            format!("processes that outlived the subject's first one were ended after {} s", LINGER.as_secs())
        }
    }
}

/// The size of the subject's terminal from now on, as [`Kind::Notice`] says it: `args[0]` columns, `args[1]` rows.
fn push_size(queue: &Queue, columns: u16, rows: u16, start_ns: u64) -> Result<(), belljar_sandbox::event::Closed> {
    queue.push(|batch| {
        let now = monotonic_ns().saturating_sub(start_ns);
        let mut event = Event::new(now, Witness::Jail, Kind::Notice, ProcessKey(0), 0);
        event.args = [columns.into(), rows.into(), 0, 0, 0, 0];
        event.detail = batch.put(format!("the terminal has {columns} columns and {rows} rows now").as_bytes());
        batch.events.push(event);
    })
}

fn push_note(queue: &Queue, note: &str, start_ns: u64) -> Result<(), belljar_sandbox::event::Closed> {
    queue.push(|batch| {
        let mut event =
            Event::new(monotonic_ns().saturating_sub(start_ns), Witness::Jail, Kind::Notice, ProcessKey(0), 0);
        event.detail = batch.put(note.as_bytes());
        batch.events.push(event);
    })
}
