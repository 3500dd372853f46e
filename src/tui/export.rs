//! The events that are shown, written to a file beside the screen: masked like everything else, by a thread of its own
//! that reads the recording for itself.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use crate::bundle::Access;
use crate::export::{Format, Printer};
use crate::query::Context;
use crate::recording::yield_to_the_screen;
use crate::redact::Redactor;
use crate::store::{AssetInfo, RowSet};

/// What is written.
pub(super) struct Wanted {
    /// The bundle.
    pub dir: PathBuf,
    /// Of which rows; all of the first so many where there is none.
    pub rows: Result<RowSet, u64>,
    /// The session's assets.
    pub assets: Vec<AssetInfo>,
    /// Masks the planted values.
    pub redactor: Redactor,
}

/// An export that goes on, or has ended.
pub(super) struct Export {
    path: PathBuf,
    written: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Export {
    /// Begins to write to a file that is not there yet; its ending says how.
    pub(super) fn start(path: &str, wanted: Wanted) -> io::Result<Self> {
        let path = PathBuf::from(path.trim());
        let format = match path.extension().and_then(|ending| ending.to_str()) {
            Some("csv") => Format::Csv,
            Some("jsonl" | "ndjson" | "json") => Format::Jsonl,
            Some("strace") => Format::Strace,
            Some("txt") => Format::Text,
            _ => return Err(io::Error::other("the name must end in .csv, .jsonl, .strace or .txt")),
        };
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let (written, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, ended) = (Arc::clone(&written), Arc::clone(&stop));
        let run = move || {
            yield_to_the_screen();
            write(&wanted, format, file, &count, &ended)
        };
        let thread = std::thread::Builder::new().name("belljar-export".into()).spawn(run)?;
        Ok(Self { path, written, stop, thread: Some(thread) })
    }

    /// How it ended, once it has.
    pub(super) fn ended(&mut self) -> Option<io::Result<u64>> {
        let thread = self.thread.take_if(|thread| thread.is_finished())?;
        let result = thread.join().unwrap_or_else(|_| Err(io::Error::other("it failed")));
        Some(result.map(|()| self.written()))
    }

    /// Events written so far.
    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Where to.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Export {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // nobody is there to be told
        }
    }
}

fn write(wanted: &Wanted, format: Format, file: File, count: &AtomicU64, stop: &AtomicBool) -> io::Result<()> {
    let mut out = BufWriter::new(file);
    let mut printer = Printer::new(format, Vec::new(), &wanted.redactor);
    let context = Context { assets: &wanted.assets };
    let mut access = Access::open(&wanted.dir).map_err(io::Error::other)?;
    printer.header(&mut out)?;
    let mut next = match &wanted.rows {
        Ok(rows) => rows.at_or_after(0),
        Err(all) => (*all > 0).then_some(0),
    };
    while let Some(row) = next {
        if stop.load(Ordering::Relaxed) {
            return Err(io::Error::other("it was left before its end"));
        }
        let printed = access.row(row, |record| printer.record(record, &context, &mut out)).map_err(io::Error::other)?;
        printed.transpose()?;
        count.fetch_add(1, Ordering::Relaxed);
        next = match &wanted.rows {
            Ok(rows) => rows.at_or_after(row + 1),
            Err(all) => Some(row + 1).filter(|row| row < all),
        };
    }
    out.flush()
}
