//! A recording as a screen looks at it, whether it is finished or still being made: any event by its number, what is
//! known of the whole so far, and the events that fit a filter.
//!
//! There is one source, the bundle. A live screen reads what the session's own writer has just written (it does so
//! several times a second), so live and replay are the same code, and memory does not grow with the recording. Two
//! threads look through it: `index` once from beginning to end, `search` for each filter. Neither is ever waited for.

mod fetch;
mod index;
mod known;
mod scan;
mod search;
mod tree;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::bundle::{Access, BundleError};
use crate::query::Query;
use crate::store::Record;

pub use fetch::Fetch;
pub(crate) use index::{directory, left};
pub use known::{AssetUse, FileUse, Known, Peer, ProcessUse};
pub use search::Hits;
pub use tree::Repeats;

/// What the threads and the screen share.
pub(crate) struct Shared<T>(Mutex<Arc<T>>);

impl<T> Shared<T> {
    fn new(value: T) -> Self {
        Self(Mutex::new(Arc::new(value)))
    }

    fn get(&self) -> Arc<T> {
        // Only ever replaced whole: a thread that panicked has left nothing half done.
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn set(&self, value: T) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(value);
    }
}

/// Makes this thread one of those that take what time the screen (and the subject) leave.
pub(crate) fn yield_to_the_screen() {
    // Refused, it is a little less smooth.
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), 10);
}

/// A recording, open for a screen.
pub struct Recording {
    dir: PathBuf,
    access: Access,
    known: Arc<Shared<Known>>,
    search: search::Search,
    stop: Arc<AtomicBool>,
    indexer: Option<JoinHandle<()>>,
}

impl Recording {
    /// Opens the bundle in `dir` and begins to look through it.
    pub fn open(dir: &Path) -> Result<Self, BundleError> {
        // Says best what is no bundle at all, and what its session is.
        let reader = crate::bundle::Reader::open(dir)?;
        let access = Access::open(dir)?;
        let first = Known::begin(&reader, access.rows());
        let assets = first.session.as_ref().map(|session| session.assets.clone()).unwrap_or_default();
        let known = Arc::new(Shared::new(first));
        let stop = Arc::new(AtomicBool::new(false));
        let searching = Arc::new(AtomicBool::new(false));
        let indexer = {
            let (dir, known) = (dir.to_owned(), Arc::clone(&known));
            let when = index::When { stop: Arc::clone(&stop), wait: Arc::clone(&searching) };
            let run = move || {
                yield_to_the_screen();
                index::run(&dir, reader, &known, &when);
            };
            std::thread::Builder::new().name("belljar-index".into()).spawn(run).ok()
        };
        let search = search::Search::start(dir, assets, Arc::clone(&stop), searching);
        Ok(Self { dir: dir.to_owned(), access, known, search, stop, indexer })
    }

    /// The bundle's directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What is known of it now.
    pub fn known(&self) -> Arc<Known> {
        self.known.get()
    }

    /// Events that can be looked at now.
    pub fn rows(&self) -> u64 {
        self.access.rows()
    }

    /// Looks for events that came since.
    pub fn poll(&mut self) -> Result<bool, BundleError> {
        self.access.poll()
    }

    /// Shows one event, by its row from 0.
    pub fn row<T>(&mut self, row: u64, visit: impl FnOnce(&Record<'_>) -> T) -> Result<Option<T>, BundleError> {
        self.access.row(row, visit)
    }

    /// Whether a row can be shown at once.
    pub fn is_at_hand(&self, row: u64) -> bool {
        self.access.is_at_hand(row)
    }

    /// The last row at or before this time; 0 when there is none. Times go up with rows but for events of several
    /// witnesses that came at nearly the same moment.
    pub fn row_at(&mut self, time_ns: u64) -> Result<u64, BundleError> {
        let known = self.known();
        // When each batch begins is known where it was looked through; else the column of times is read in some.
        let (mut first, mut after) = (0, self.access.batches());
        while first < after {
            let middle = first.midpoint(after);
            let begins = match known.starts.get(middle) {
                Some((_, time)) => *time,
                None => self.access.begins(middle)?,
            };
            if begins <= time_ns { first = middle + 1 } else { after = middle }
        }
        let Some((mut low, rows)) = first.checked_sub(1).and_then(|batch| self.access.batch(batch)) else {
            return Ok(0);
        };
        let mut high = low + rows as u64;
        while low < high {
            let middle = low.midpoint(high);
            match self.access.time(middle)? {
                Some(time) if time <= time_ns => low = middle + 1,
                _ => high = middle,
            }
        }
        Ok(low.saturating_sub(1))
    }

    /// The time of a row.
    pub fn time(&mut self, row: u64) -> Result<Option<u64>, BundleError> {
        self.access.time(row)
    }

    /// Looks for the events that fit, those near the row `at` first; `None` ends a search.
    pub fn filter(&mut self, query: Option<Query>, at: u64) {
        self.search.begin(query, at);
    }

    /// What was found so far; `None` without a filter.
    pub fn hits(&self) -> Option<Arc<Hits>> {
        self.search.hits()
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.search.end();
        if let Some(indexer) = self.indexer.take() {
            // One that panicked has already left the screen what it knew.
            let _ = indexer.join();
        }
    }
}
