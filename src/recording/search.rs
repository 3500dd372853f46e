//! Looks for the events that fit a filter, beside the screen: batch by batch, the one that is looked at first and the
//! others by how far they are from it, on as many threads as there are processors. What was found is shared as it
//! grows; a new filter ends the search for the old one within a batch.
//!
//! Only what the filter asks for is read (`super::scan`): `verb:transmit` decodes two columns, not twenty-six.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::Shared;
use super::scan::{Scan, set};
use crate::bundle::{Access, BundleError};
use crate::query::{Context, Query};
use crate::store::{AssetInfo, RowSet};

/// Most threads: each keeps a few MiB of what it decoded.
const THREADS: usize = 4;
/// How often what was found is shared.
const SHARE: Duration = Duration::from_millis(30);
/// As long as it is that little, what was found is shared at once.
const FEW: u64 = 64;
/// How often a running recording is looked at for more.
const FOLLOW: Duration = Duration::from_millis(100);

/// What a search has found.
#[derive(Clone, Debug, Default)]
pub struct Hits {
    /// Rows that fit.
    pub rows: RowSet,
    /// How many rows were looked at.
    pub looked: u64,
    /// Whether all there is was looked at.
    pub done: bool,
    /// How long it took until all there was had been looked at for the first time.
    pub took: Duration,
    /// What ended it before that.
    pub trouble: Option<String>,
}

/// What is looked for.
#[derive(Clone)]
struct Request {
    query: Query,
    /// The row at which the analyst looks.
    at: u64,
}

struct Wanted {
    request: Mutex<Option<Request>>,
    /// Goes up with every request.
    generation: AtomicU64,
    changed: Condvar,
    hits: Shared<Option<Arc<Hits>>>,
    stop: Arc<AtomicBool>,
    /// Whether a search goes on, for which others leave the processors.
    busy: Arc<AtomicBool>,
}

impl Wanted {
    fn is_current(&self, generation: u64) -> bool {
        self.generation.load(Ordering::Acquire) == generation && !self.stop.load(Ordering::Relaxed)
    }
}

pub(super) struct Search {
    wanted: Arc<Wanted>,
    worker: Option<JoinHandle<()>>,
}

impl Search {
    pub(super) fn start(dir: &Path, assets: Vec<AssetInfo>, stop: Arc<AtomicBool>, busy: Arc<AtomicBool>) -> Self {
        let wanted = Arc::new(Wanted {
            request: Mutex::new(None),
            generation: AtomicU64::new(0),
            changed: Condvar::new(),
            hits: Shared::new(None),
            stop,
            busy,
        });
        let (dir, shared) = (dir.to_owned(), Arc::clone(&wanted));
        let run = move || work(dir, &assets, &shared);
        let worker = std::thread::Builder::new().name("belljar-search".into()).spawn(run).ok();
        Self { wanted, worker }
    }

    pub(super) fn begin(&mut self, query: Option<Query>, at: u64) {
        let first = query.as_ref().map(|_| Arc::new(Hits::default()));
        let mut place = self.wanted.request.lock().unwrap_or_else(PoisonError::into_inner);
        self.wanted.busy.store(query.is_some(), Ordering::Relaxed);
        *place = query.map(|query| Request { query, at });
        self.wanted.hits.set(first);
        self.wanted.generation.fetch_add(1, Ordering::Release);
        self.wanted.changed.notify_all();
    }

    pub(super) fn hits(&self) -> Option<Arc<Hits>> {
        (*self.wanted.hits.get()).clone()
    }

    pub(super) fn end(&mut self) {
        self.begin(None, 0);
        if let Some(worker) = self.worker.take() {
            let _ = worker.join(); // its last hits stand
        }
    }
}

fn work(dir: PathBuf, assets: &[AssetInfo], wanted: &Wanted) {
    let mut done = 0;
    let mut readers = Readers { dir, open: Vec::new() };
    // So that the first filter finds them open; what goes wrong is said when one is asked for.
    let _ = readers.follow();
    while !wanted.stop.load(Ordering::Relaxed) {
        let request = {
            let place = wanted.request.lock().unwrap_or_else(PoisonError::into_inner);
            let idle = |_: &mut Option<Request>| wanted.is_current(done);
            let place = wanted.changed.wait_while(place, idle).unwrap_or_else(PoisonError::into_inner);
            done = wanted.generation.load(Ordering::Acquire);
            place.clone()
        };
        let Some(request) = request else { continue };
        let found = Found { wanted, generation: done, state: Mutex::default(), begun: Instant::now() };
        if let Err(error) = search(&mut readers, &request, &Context { assets }, &found) {
            found.fail(&error);
        }
    }
}

/// The recording, opened for each thread by itself.
struct Readers {
    dir: PathBuf,
    open: Vec<Access>,
}

impl Readers {
    /// Looks for what was written since; returns whether there is more.
    fn follow(&mut self) -> Result<bool, BundleError> {
        if self.open.is_empty() {
            let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS);
            for _ in 0..threads {
                self.open.push(Access::open(&self.dir)?);
            }
            return Ok(true);
        }
        let mut more = false;
        for access in &mut self.open {
            more |= access.poll()?;
        }
        Ok(more)
    }
}

/// What one search has found, put together by its threads.
struct Found<'w> {
    wanted: &'w Wanted,
    generation: u64,
    state: Mutex<(Hits, Option<Instant>)>,
    begun: Instant,
}

impl Found<'_> {
    fn is_current(&self) -> bool {
        self.wanted.is_current(self.generation)
    }

    fn add(&self, first: u64, looked: usize, rows: &[u64]) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (hits, shared) = &mut *state;
        let soon = hits.rows.len() < FEW && rows.iter().any(|word| *word != 0);
        hits.rows.extend(set(rows).map(|at| first + at as u64));
        hits.looked += looked as u64;
        if soon || shared.is_none_or(|shared| shared.elapsed() >= SHARE) {
            self.share(hits);
            *shared = Some(Instant::now());
        }
    }

    fn finish(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.is_current() {
            return;
        }
        if !state.0.done {
            state.0.took = self.begun.elapsed();
        }
        state.0.done = true;
        self.wanted.busy.store(false, Ordering::Relaxed);
        self.share(&state.0);
    }

    fn fail(&self, error: &BundleError) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.0.trouble = Some(crate::redact::plain(error.to_string().as_bytes()));
        if self.is_current() {
            self.wanted.busy.store(false, Ordering::Relaxed);
        }
        self.share(&state.0);
    }

    fn share(&self, hits: &Hits) {
        // Under the lock that requests are made under: what an old search found is never shown for a new one.
        let _request = self.wanted.request.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_current() {
            self.wanted.hits.set(Some(Arc::new(hits.clone())));
        }
    }
}

fn search(
    readers: &mut Readers,
    request: &Request,
    context: &Context<'_>,
    found: &Found<'_>,
) -> Result<(), BundleError> {
    readers.follow()?;
    let mut next = 0;
    loop {
        let batches = readers.open.iter().map(Access::batches).min().unwrap_or_default();
        let mut order: Vec<usize> = (next..batches).collect();
        let is_before = |access: &Access, index: usize| {
            access.batch(index).is_some_and(|(first, rows)| first + rows as u64 <= request.at)
        };
        let near = readers.open.first().map_or(0, |access| {
            let all: Vec<usize> = (0..batches).collect();
            all.partition_point(|index| is_before(access, *index))
        });
        order.sort_by_key(|index| index.abs_diff(near));
        let taken = AtomicUsize::new(0);
        let one = |access: &mut Access| -> Result<(), BundleError> {
            let mut scan = Scan::new(&request.query);
            while let Some(index) = order.get(taken.fetch_add(1, Ordering::Relaxed)).filter(|_| found.is_current()) {
                let Some(mut block) = access.block(*index) else { continue };
                let rows = scan.fit(access, &mut block, context)?;
                found.add(block.first(), block.rows(), &rows);
            }
            Ok(())
        };
        if order.len() < 2 {
            readers.open.first_mut().map_or(Ok(()), one)?;
        } else {
            std::thread::scope(|scope| {
                let threads: Vec<_> = readers.open.iter_mut().map(|access| scope.spawn(|| one(access))).collect();
                // A thread that panicked has told nothing: the search ends without its batch.
                threads.into_iter().try_for_each(|thread| thread.join().unwrap_or(Ok(())))
            })?;
        }
        if !found.is_current() {
            return Ok(());
        }
        next = batches;
        found.finish();
        // What comes later in a running session is looked at as it comes.
        loop {
            std::thread::sleep(FOLLOW);
            if !found.is_current() {
                return Ok(());
            }
            if readers.follow()? {
                break;
            }
        }
    }
}
