//! Looks for the events that fit a filter, on a thread of its own, batch by batch from the first event on. What was
//! found is shared as it grows; a new filter ends the search for the old one within a few thousand events.
//!
//! Only what the filter asks for is read: `verb:transmit` decodes three columns, not twenty-six.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::Shared;
use crate::bundle::{Access, BundleError, Look};
use crate::query::ast::Expr;
use crate::query::{Context, Query};
use crate::store::{AssetInfo, RowSet};

/// Events between two looks at whether the search is still wanted.
const SLICE: u64 = 4096;
/// How often what was found is shared.
const SHARE: Duration = Duration::from_millis(30);
/// How often a running recording is looked at for more.
const FOLLOW: Duration = Duration::from_millis(100);

/// What a search has found.
#[derive(Clone, Debug, Default)]
pub struct Hits {
    /// Rows that fit.
    pub rows: RowSet,
    /// How many rows were looked at, from the first on.
    pub looked: u64,
    /// Whether all there is was looked at.
    pub done: bool,
    /// How long it took until all there was had been looked at for the first time.
    pub took: Duration,
    /// What ended it before that.
    pub trouble: Option<String>,
}

struct Wanted {
    query: Mutex<Option<Query>>,
    /// Goes up with every request.
    generation: AtomicU64,
    changed: Condvar,
    hits: Shared<Option<Arc<Hits>>>,
    stop: Arc<AtomicBool>,
}

pub(super) struct Search {
    wanted: Arc<Wanted>,
    worker: Option<JoinHandle<()>>,
}

impl Search {
    pub(super) fn start(dir: &Path, assets: Vec<AssetInfo>, stop: Arc<AtomicBool>) -> Self {
        let wanted = Arc::new(Wanted {
            query: Mutex::new(None),
            generation: AtomicU64::new(0),
            changed: Condvar::new(),
            hits: Shared::new(None),
            stop,
        });
        let (dir, shared) = (dir.to_owned(), Arc::clone(&wanted));
        let worker =
            std::thread::Builder::new().name("belljar-search".into()).spawn(move || work(&dir, &assets, &shared)).ok();
        Self { wanted, worker }
    }

    pub(super) fn begin(&mut self, query: Option<Query>) {
        let first = query.as_ref().map(|_| Arc::new(Hits::default()));
        let mut place = self.wanted.query.lock().unwrap_or_else(PoisonError::into_inner);
        *place = query;
        self.wanted.hits.set(first);
        self.wanted.generation.fetch_add(1, Ordering::Release);
        self.wanted.changed.notify_all();
    }

    pub(super) fn hits(&self) -> Option<Arc<Hits>> {
        (*self.wanted.hits.get()).clone()
    }

    pub(super) fn end(&mut self) {
        self.begin(None);
        if let Some(worker) = self.worker.take() {
            let _ = worker.join(); // its last hits stand
        }
    }
}

fn work(dir: &Path, assets: &[AssetInfo], wanted: &Wanted) {
    let mut done = 0;
    while !wanted.stop.load(Ordering::Relaxed) {
        let query = {
            let place = wanted.query.lock().unwrap_or_else(PoisonError::into_inner);
            let idle = |_: &mut Option<Query>| {
                wanted.generation.load(Ordering::Acquire) == done && !wanted.stop.load(Ordering::Relaxed)
            };
            let place = wanted.changed.wait_while(place, idle).unwrap_or_else(PoisonError::into_inner);
            done = wanted.generation.load(Ordering::Acquire);
            place.clone()
        };
        let Some(query) = query else { continue };
        let current = || wanted.generation.load(Ordering::Acquire) == done && !wanted.stop.load(Ordering::Relaxed);
        let mut hits = Hits::default();
        if let Err(error) = search(dir, &query, &Context { assets }, &current, &mut hits, &wanted.hits) {
            hits.trouble = Some(crate::redact::plain(error.to_string().as_bytes()));
            share(&wanted.hits, &hits, &current);
        }
    }
}

fn share(place: &Shared<Option<Arc<Hits>>>, hits: &Hits, current: &impl Fn() -> bool) {
    if current() {
        place.set(Some(Arc::new(hits.clone())));
    }
}

fn search(
    dir: &Path,
    query: &Query,
    context: &Context<'_>,
    current: &impl Fn() -> bool,
    hits: &mut Hits,
    place: &Shared<Option<Arc<Hits>>>,
) -> Result<(), BundleError> {
    let begun = Instant::now();
    let mut shared = begun;
    let mut access = Access::open(dir, look(query.expr()))?;
    let mut next = 0;
    let mut first = true;
    loop {
        while next < access.batches() {
            access.each(next, |row, record| {
                if query.matches(record, context) {
                    // The very first ones are shown at once.
                    let soon = hits.rows.len() < 64 && shared.elapsed() >= SHARE / 4;
                    hits.rows.push(row);
                    if soon {
                        share(place, hits, current);
                        shared = Instant::now();
                    }
                }
                hits.looked = row + 1;
                if row.is_multiple_of(SLICE) && !current() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
            if !current() {
                return Ok(());
            }
            next += 1;
            if shared.elapsed() >= SHARE {
                share(place, hits, current);
                shared = Instant::now();
            }
        }
        if first {
            hits.took = begun.elapsed();
            first = false;
        }
        hits.done = true;
        share(place, hits, current);
        // What comes later in a running session is looked at as it comes.
        loop {
            std::thread::sleep(FOLLOW);
            if !current() {
                return Ok(());
            }
            if access.poll()? {
                break;
            }
        }
    }
}

/// Which parts of an event a filter looks at.
fn look(expr: &Expr) -> Look {
    let join = |parts: &[Expr]| {
        parts.iter().map(look).fold(Look::LEAST, |a, b| Look {
            objects: a.objects || b.objects,
            bytes: a.bytes || b.bytes,
            numbers: a.numbers || b.numbers,
        })
    };
    match expr {
        Expr::All => Look::LEAST,
        Expr::And(parts) | Expr::Or(parts) => join(parts),
        Expr::Not(part) => look(part),
        Expr::Search(_) => Look { objects: true, ..Look::LEAST },
        Expr::Compare { field, .. } => match field.name {
            "seq" | "t" | "op" | "category" | "abi" | "nr" | "pid" | "key" | "parent" | "proc" | "exe" | "verb"
            | "asset" | "class" => Look::LEAST,
            "kind" | "object" | "target-kind" | "target" | "path" | "host" | "port" => {
                Look { objects: true, ..Look::LEAST }
            }
            "witness" | "tid" | "bytes" | "result" | "errno" | "outcome" | "decision" | "authority" | "took"
            | "args" => Look { numbers: true, ..Look::LEAST },
            // Whatever else there is, and comes to be.
            _ => Look::ALL,
        },
    }
}
