//! The thread that makes batches of the rows that wait, compresses them and appends them to the
//! files: about half of all that recording an event costs, so it is not done where events are taken.
//!
//! The hand-over is bounded: there are two sets of rows, one being filled and one being written.
//! Who fills faster than is written waits. Every set comes back with what became of it, so an
//! error is known one set later at the latest, and says how far the recording got.

use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use super::BundleError;
use super::part::{Part, Stream};
use super::rows::{EventRows, ObjectRows, PayloadRows, ProcessRows};

/// Rows and lines that wait to be written.
pub(crate) struct Rows {
    pub(crate) events: EventRows,
    pub(crate) objects: ObjectRows,
    pub(crate) processes: ProcessRows,
    pub(crate) payloads: PayloadRows,
    /// Lines of `findings.jsonl`.
    pub(crate) findings: Vec<u8>,
    /// Lines of `terminal.cast`.
    pub(crate) terminal: Vec<u8>,
    pub(crate) waiting: Waiting,
}

/// How much waits to be written.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Waiting {
    pub(crate) events: usize,
    pub(crate) objects: usize,
    pub(crate) processes: usize,
    pub(crate) payloads: usize,
    pub(crate) bytes: usize,
}

impl Rows {
    pub(crate) fn new() -> Self {
        Self {
            events: EventRows::new(),
            objects: ObjectRows::new(),
            processes: ProcessRows::new(),
            payloads: PayloadRows::new(),
            findings: Vec::new(),
            terminal: Vec::new(),
            waiting: Waiting::default(),
        }
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        let Waiting { events, objects, processes, payloads, .. } = self.waiting;
        events + objects + processes + payloads == 0 && self.findings.is_empty() && self.terminal.is_empty()
    }
}

/// The files that rows go to.
pub(crate) struct Files {
    events: Stream,
    objects: Stream,
    processes: Stream,
    payloads: Stream,
    findings: Part,
    terminal: Part,
    written: Written,
}

/// How much is on disk.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Written {
    /// Events, readable.
    pub(crate) events: u64,
    /// Bytes of all rows.
    pub(crate) bytes: u64,
}

impl Files {
    /// Makes the files, for rows of these schemas.
    pub(crate) fn create(dir: &Path, rows: &Rows) -> Result<Self, BundleError> {
        let files = Self {
            events: Stream::create(dir, "events.arrows", rows.events.schema())?,
            objects: Stream::create(dir, "objects.arrows", rows.objects.schema())?,
            processes: Stream::create(dir, "processes.arrows", rows.processes.schema())?,
            payloads: Stream::create(dir, "payloads.arrows", rows.payloads.schema())?,
            findings: Part::create(dir, "findings.jsonl")?,
            terminal: Part::create(dir, "terminal.cast")?,
            written: Written::default(),
        };
        files.events.part().lock();
        Ok(files)
    }

    /// Writes all that waits: what events point to first, then the events, then the findings
    /// that rest on them. A write error says how far the recording got.
    fn write(&mut self, rows: &mut Rows) -> Result<(), BundleError> {
        let result = self.write_all(rows);
        let streams = [&self.events, &self.objects, &self.processes, &self.payloads];
        self.written.bytes = streams.iter().map(|stream| stream.part().written()).sum();
        self.placed(result)
    }

    fn write_all(&mut self, rows: &mut Rows) -> Result<(), BundleError> {
        let encode = |file| move |e: arrow_schema::ArrowError| BundleError::Encode { file, reason: e.to_string() };
        let waiting = std::mem::take(&mut rows.waiting);
        if waiting.payloads > 0 {
            self.payloads.write(&rows.payloads.take().map_err(encode("payloads.arrows"))?)?;
        }
        if waiting.objects > 0 {
            self.objects.write(&rows.objects.take().map_err(encode("objects.arrows"))?)?;
        }
        if waiting.processes > 0 {
            self.processes.write(&rows.processes.take().map_err(encode("processes.arrows"))?)?;
        }
        if waiting.events > 0 {
            self.events.write(&rows.events.take().map_err(encode("events.arrows"))?)?;
            self.written.events += waiting.events as u64;
        }
        for (part, lines) in [(&mut self.findings, &mut rows.findings), (&mut self.terminal, &mut rows.terminal)] {
            if !lines.is_empty() {
                part.append(lines)?;
                lines.clear();
            }
        }
        Ok(())
    }

    /// Writes the end marks.
    pub(crate) fn finish(&mut self) -> Result<(), BundleError> {
        let streams = [&mut self.events, &mut self.objects, &mut self.processes, &mut self.payloads];
        let result = streams.into_iter().try_for_each(Stream::finish);
        self.placed(result)
    }

    /// Says in a write error how many events are readable.
    fn placed(&self, result: Result<(), BundleError>) -> Result<(), BundleError> {
        result.map_err(|error| match error {
            BundleError::Write { file, written, source, .. } => {
                BundleError::Write { file, written, events: self.written.events, source }
            }
            other => other,
        })
    }
}

/// A set of rows that came back.
struct Done {
    rows: Rows,
    result: Result<(), BundleError>,
    written: Written,
}

/// The thread and the ways to and from it.
pub(crate) struct Encoder {
    to: Option<Sender<Rows>>,
    from: Receiver<Done>,
    thread: Option<JoinHandle<Files>>,
    /// The set that is not being filled, while it is not being written either.
    spare: Option<Rows>,
    written: Written,
}

impl Encoder {
    /// Starts the thread.
    pub(crate) fn start(mut files: Files, dir: &Path) -> Result<Self, BundleError> {
        let (to, rows) = channel::<Rows>();
        let (done, from) = channel();
        let work = move || {
            for mut rows in rows {
                let result = files.write(&mut rows);
                let given_up = result.is_err();
                let told = done.send(Done { rows, result, written: files.written });
                if given_up || told.is_err() {
                    break;
                }
            }
            files
        };
        let thread = std::thread::Builder::new().name("belljar-encode".into()).spawn(work);
        let thread = thread.map_err(|source| BundleError::Create { path: dir.to_owned(), source })?;
        Ok(Self { to: Some(to), from, thread: Some(thread), spare: Some(Rows::new()), written: Written::default() })
    }

    /// How much is on disk, as far as is known here.
    pub(crate) fn written(&self) -> Written {
        self.written
    }

    /// Takes a filled set and leaves an empty one. Waits for the set before to be written, and
    /// returns its error.
    pub(crate) fn take(&mut self, rows: &mut Rows) -> Result<(), BundleError> {
        self.wait()?;
        let empty = self.spare.take().unwrap_or_else(Rows::new);
        let filled = std::mem::replace(rows, empty);
        // A set that cannot be sent is lost with the thread that should have written it.
        if self.to.as_ref().is_some_and(|to| to.send(filled).is_ok()) { Ok(()) } else { Err(gone()) }
    }

    /// Waits until all that was taken is on disk.
    pub(crate) fn wait(&mut self) -> Result<(), BundleError> {
        if self.spare.is_some() {
            return Ok(());
        }
        let Ok(Done { rows, result, written }) = self.from.recv() else { return Err(gone()) };
        self.written = written;
        self.spare = Some(rows);
        result
    }

    /// Ends the thread and gives the files back.
    pub(crate) fn end(&mut self) -> Result<Files, BundleError> {
        self.to = None;
        self.thread.take().and_then(|thread| thread.join().ok()).ok_or_else(gone)
    }
}

impl Drop for Encoder {
    /// Whoever drops a bundle may open it again right away.
    fn drop(&mut self) {
        let _ = self.end();
    }
}

/// The thread ended by itself, which nothing but a fault of ours can cause.
fn gone() -> BundleError {
    BundleError::Encode { file: "events.arrows", reason: "the thread that writes has failed".into() }
}
