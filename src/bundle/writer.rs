//! Writes a bundle while the session runs.
//!
//! Rows gather as columns and go to disk as whole compressed batches: by count or size here, by
//! time when ingest says [`Writer::hand_on`]. Encoding and writing is another thread's work, see
//! [`super::encoder`]. Nothing is synced to the disk: the promise is for a crash of belljar, not
//! of the machine.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use belljar_sandbox::event::{ObjectKind, ProcessKey};
use serde::Serialize;

use super::BundleError;
use super::cast::Cast;
use super::encoder::{Encoder, Files, Rows};
use super::layer::LayerLog;
use super::part::Part;
use super::rows::References;
use super::session::{Header, Outcome, Session, State};
use crate::store::{Process, Record};

/// Rows of a full batch.
const BATCH_ROWS: usize = 64 << 10;
/// Bytes of names and payloads that make a batch full before that.
const BATCH_BYTES: usize = 4 << 20;
/// Longest payload written; readers refuse batches far above that.
pub(crate) const MAX_PAYLOAD: usize = 16 << 20;
/// Room kept so that a full disk still takes `session.json`.
const RESERVE_BYTES: u64 = 1 << 20;
const RESERVE: &str = ".reserve";

/// One event to be written.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// The event, with verbs and assets as analysis saw them, and the payload cut to what is to
    /// be kept.
    pub record: &'a Record<'a>,
    /// Its op's number in [`crate::store::ops`].
    pub op: u16,
    /// Whose doing it was, known or not.
    pub process: ProcessKey,
    /// The number [`Writer::object`] gave for its object.
    pub object: Option<u32>,
    /// The same for its target.
    pub target: Option<u32>,
}

/// A bundle that is being written.
pub struct Writer {
    dir: PathBuf,
    session: Session,
    encoder: Encoder,
    rows: Rows,
    cast: Cast,
    next_object: u32,
    next_payload: u64,
    failed: Option<String>,
}

impl Writer {
    /// Makes the bundle: its directory (mode 0700), every file, and `session.json` as `running`.
    /// Refuses a place that exists and is not an empty directory.
    pub fn create(dir: &Path, header: &Header) -> Result<Self, BundleError> {
        make_dir(dir)?;
        let session = Session::start(header);
        let rows = Rows::new();
        reserve(dir);
        Part::create(dir, "profile.toml")?.append(header.profile_toml.as_bytes())?;
        let mut writer = Self {
            encoder: Encoder::start(Files::create(dir, &rows)?, dir)?,
            rows,
            cast: Cast::new(header, &session),
            next_object: 0,
            next_payload: 0,
            failed: None,
            dir: dir.to_owned(),
            session,
        };
        writer.write_session()?;
        writer.flush()?;
        Ok(writer)
    }

    /// The session as it stands.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Bundle's directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Events that are on disk, readable. What is being written counts once it was waited for.
    pub fn written_events(&self) -> u64 {
        self.encoder.written().events
    }

    /// Bytes of all rows on disk; the same goes for them.
    pub fn written_bytes(&self) -> u64 {
        self.encoder.written().bytes
    }

    /// Whether anything waits to be handed on.
    pub fn is_pending(&self) -> bool {
        !self.rows.is_empty() || !self.cast.lines.is_empty()
    }

    /// Writes an object down; its number is how many came before.
    pub fn object(&mut self, kind: ObjectKind, name: &[u8]) -> u32 {
        let id = self.next_object;
        self.rows.objects.push(id, kind, name);
        self.next_object = id.saturating_add(1);
        self.rows.waiting.objects += 1;
        self.rows.waiting.bytes += name.len();
        id
    }

    /// Writes down what is known of a process after the event `seq` changed it.
    pub fn process(&mut self, seq: u64, process: &Process) {
        self.rows.processes.push(seq, process);
        self.rows.waiting.processes += 1;
        self.rows.waiting.bytes += process.exe.len() + process.argv.len();
    }

    /// Writes an event down. What it points to must have been written before.
    pub fn append(&mut self, row: &Row<'_>) -> Result<(), BundleError> {
        self.alive()?;
        let Row { record, op, process, object, target } = *row;
        let detail = self.payload(record.detail);
        let payload = self.payload(record.payload);
        self.rows.events.push(record, op, References { process, object, target, detail, payload });
        self.rows.waiting.events += 1;
        if self.rows.waiting.events >= BATCH_ROWS || self.rows.waiting.bytes >= BATCH_BYTES {
            self.hand_on()?;
        }
        Ok(())
    }

    fn payload(&mut self, data: &[u8]) -> Option<u64> {
        if data.is_empty() {
            return None;
        }
        let id = self.next_payload;
        self.next_payload += 1;
        let data = data.get(..MAX_PAYLOAD).unwrap_or(data);
        self.rows.payloads.push(id, data);
        self.rows.waiting.payloads += 1;
        self.rows.waiting.bytes += data.len();
        Some(id)
    }

    /// Writes a finding down, as a line of `findings.jsonl`, after the events so far.
    pub fn finding(&mut self, finding: &impl Serialize) -> Result<(), BundleError> {
        self.alive()?;
        line("findings.jsonl", finding, &mut self.rows.findings)
    }

    /// Writes terminal output down; `time_ns` counts from the session's beginning.
    pub fn terminal(&mut self, time_ns: u64, bytes: &[u8]) {
        self.cast.output(time_ns, bytes);
        self.rows.waiting.bytes += bytes.len();
    }

    /// The list of what the subject left on disk, to be filled beside the events.
    pub fn layer_log(&self) -> Result<LayerLog, BundleError> {
        LayerLog::create(&self.dir)
    }

    /// An empty `traffic.pcapng`, for the gateway to fill beside the events.
    pub fn traffic(&self) -> Result<fs::File, BundleError> {
        let path = self.dir.join("traffic.pcapng");
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        made.map_err(|source| BundleError::Create { path, source })
    }

    /// Hands all that waits to the thread that writes; waits for what was handed on before, and
    /// returns its error. After an error the bundle takes no more rows; what was written stays
    /// readable.
    pub fn hand_on(&mut self) -> Result<(), BundleError> {
        self.alive()?;
        if !self.is_pending() {
            return Ok(());
        }
        self.rows.terminal.append(&mut self.cast.lines);
        let result = self.encoder.take(&mut self.rows);
        self.note(result)
    }

    /// Brings all that waits to the disk, as [`Writer::hand_on`], and waits until it is there.
    pub fn flush(&mut self) -> Result<(), BundleError> {
        self.hand_on()?;
        let result = self.encoder.wait();
        self.note(result)
    }

    fn alive(&self) -> Result<(), BundleError> {
        self.failed.as_ref().map_or(Ok(()), |why| Err(BundleError::GivenUp(why.clone())))
    }

    /// Remembers the first error.
    fn note(&mut self, result: Result<(), BundleError>) -> Result<(), BundleError> {
        if let Err(error) = &result {
            self.failed = Some(error.to_string());
        }
        result
    }

    /// Ends the bundle: the rest of the rows, end marks, `session.json`. The latter is written
    /// even when nothing else could be; then the error is returned all the same.
    pub fn finish(mut self, outcome: Outcome) -> Result<Session, BundleError> {
        self.cast.end();
        let mut result = if self.failed.is_some() { Ok(()) } else { self.flush() };
        if self.failed.is_none() {
            let ended = self.encoder.end().and_then(|mut files| files.finish());
            result = self.note(ended);
        }
        let error = outcome.error.or_else(|| self.failed.clone());
        self.session.state = if error.is_some() { State::Failed } else { State::Complete };
        self.session.error = error;
        self.session.exit = outcome.exit;
        self.session.duration_ns = Some(outcome.duration_ns);
        let mut totals = outcome.totals;
        totals.unwritten = totals.events.saturating_sub(self.written_events());
        self.session.lost = totals.all_lost();
        self.session.totals = totals;
        self.session.executables = outcome.executables;
        self.session.coverage = outcome.coverage;
        // Gone it makes room; not gone it is in no one's way.
        let _ = fs::remove_file(self.dir.join(RESERVE));
        self.write_session()?;
        result.map(|()| self.session)
    }

    /// Replaces `session.json` in one step: a reader sees the old one or the new one.
    fn write_session(&self) -> Result<(), BundleError> {
        let encode = |e: serde_json::Error| BundleError::Encode { file: "session.json", reason: e.to_string() };
        let mut bytes = serde_json::to_vec_pretty(&self.session).map_err(encode)?;
        bytes.push(b'\n');
        let (path, temporary) = (self.dir.join("session.json"), self.dir.join(".session.json.new"));
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)
            .and_then(|mut file| file.write_all(&bytes))
            .and_then(|()| fs::rename(&temporary, &path))
            .map_err(|source| BundleError::Write { file: path, written: 0, events: self.written_events(), source })
    }
}

fn line(file: &'static str, value: &impl Serialize, to: &mut Vec<u8>) -> Result<(), BundleError> {
    let json = serde_json::to_vec(value).map_err(|e| BundleError::Encode { file, reason: e.to_string() })?;
    to.extend_from_slice(&json);
    to.push(b'\n');
    Ok(())
}

fn make_dir(dir: &Path) -> Result<(), BundleError> {
    let create = |source| BundleError::Create { path: dir.to_owned(), source };
    let exists = || BundleError::Exists { path: dir.to_owned() };
    match fs::read_dir(dir) {
        Ok(mut entries) => {
            if entries.next().is_some() {
                return Err(exists());
            }
            fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).map_err(create)
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotADirectory => Err(exists()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                fs::create_dir_all(parent).map_err(create)?;
            }
            DirBuilder::new().mode(0o700).create(dir).map_err(create)
        }
        Err(e) => Err(create(e)),
    }
}

/// Takes up room that `session.json` can have when the disk is full. Without it (no room, file
/// system without `fallocate`) the recording works all the same.
fn reserve(dir: &Path) {
    let path = dir.join(RESERVE);
    if let Ok(file) = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        let _ = rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, RESERVE_BYTES);
    }
}
