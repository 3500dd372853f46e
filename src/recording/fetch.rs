//! Single events that are wanted for a screen, read beside it. Events of a list may lie far apart, each in a batch of
//! its own, and decoding forty batches takes longer than a frame may: what is there is shown, the rest with the next
//! frames.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::bundle::{Access, Block, BundleError, Look};
use crate::store::Record;

/// Events kept.
const KEPT: usize = 2048;
/// Decoded batches kept.
const BLOCKS: usize = 4;
/// What a line tells of an event: not its arguments.
const LOOK: Look = Look::TIME
    .and(Look::KIND)
    .and(Look::PROCESS)
    .and(Look::OBJECTS)
    .and(Look::RESULT)
    .and(Look::SIZE)
    .and(Look::WORDS)
    .and(Look::TOUCHED)
    .and(Look::BYTES);

/// What is made of an event.
type Make<T> = Box<dyn Fn(&Record<'_>) -> T + Send>;

struct State<T> {
    /// Wanted and not there, what was asked for first at the front.
    wanted: VecDeque<u64>,
    /// `None`: it is not in the recording, or cannot be read.
    found: HashMap<u64, Option<Arc<T>>>,
    /// The order in which they were found.
    order: VecDeque<u64>,
    /// Whether something was asked for in vain since the last frame began.
    missed: bool,
    trouble: Option<String>,
    stop: bool,
}

struct Place<T> {
    state: Mutex<State<T>>,
    asked: Condvar,
    /// Whether something was found since that was asked.
    changed: AtomicBool,
}

/// Reads events, made into `T`.
pub struct Fetch<T> {
    place: Arc<Place<T>>,
    thread: Option<JoinHandle<()>>,
}

impl<T: Send + Sync + 'static> Fetch<T> {
    /// From the bundle in `dir`.
    pub fn start(dir: &Path, make: impl Fn(&Record<'_>) -> T + Send + 'static) -> Self {
        let state = State {
            wanted: VecDeque::new(),
            found: HashMap::new(),
            order: VecDeque::new(),
            missed: false,
            trouble: None,
            stop: false,
        };
        let place =
            Arc::new(Place { state: Mutex::new(state), asked: Condvar::new(), changed: AtomicBool::new(false) });
        let (dir, shared, make): (PathBuf, _, Make<T>) = (dir.to_owned(), Arc::clone(&place), Box::new(make));
        let run = move || {
            if let Err(error) = serve(&dir, &shared, &make) {
                let mut state = shared.lock();
                state.trouble = Some(crate::redact::plain(error.to_string().as_bytes()));
                state.wanted.clear();
                shared.changed.store(true, Ordering::Release);
            }
        };
        let thread = std::thread::Builder::new().name("belljar-fetch".into()).spawn(run).ok();
        Self { place, thread }
    }

    /// An event, if it is there; else it is read, unless [`Fetch::forget`] comes first.
    pub fn get(&self, row: u64) -> Option<Arc<T>> {
        let mut state = self.place.lock();
        if let Some(found) = state.found.get(&row) {
            return found.clone();
        }
        if state.trouble.is_none() {
            state.missed = true;
            if !state.wanted.contains(&row) {
                state.wanted.push_back(row);
                self.place.asked.notify_one();
            }
        }
        None
    }

    /// What was asked for and not yet found is wanted no more: another frame begins.
    pub fn forget(&self) {
        let mut state = self.place.lock();
        state.wanted.clear();
        state.missed = false;
    }

    /// Events that were not there may be by now.
    pub fn retry(&self) {
        let mut state = self.place.lock();
        let State { found, order, .. } = &mut *state;
        found.retain(|_, event| event.is_some());
        order.retain(|row| found.contains_key(row));
    }

    /// Whether events that were asked for have been found since this was asked.
    pub fn changed(&self) -> bool {
        self.place.changed.swap(false, Ordering::Acquire)
    }

    /// Whether something that was asked for since the frame began was not there.
    pub fn waits(&self) -> bool {
        let state = self.place.lock();
        state.missed && state.trouble.is_none()
    }

    /// What ended the reading.
    pub fn trouble(&self) -> Option<String> {
        self.place.lock().trouble.clone()
    }
}

impl<T> Place<T> {
    fn lock(&self) -> std::sync::MutexGuard<'_, State<T>> {
        // Each change is whole: whoever panicked has left what can be shown.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Drop for Fetch<T> {
    fn drop(&mut self) {
        self.place.lock().stop = true;
        self.place.asked.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // nobody is there to be told
        }
    }
}

fn serve<T>(dir: &Path, place: &Place<T>, make: &Make<T>) -> Result<(), BundleError> {
    let mut access = Access::open(dir)?;
    let mut blocks: Vec<(usize, Block)> = Vec::new();
    loop {
        let row = {
            let idle = |state: &mut State<T>| !state.stop && state.wanted.is_empty();
            let state = place.asked.wait_while(place.lock(), idle).unwrap_or_else(PoisonError::into_inner);
            let Some(row) = state.wanted.front().copied().filter(|_| !state.stop) else { return Ok(()) };
            row
        };
        // Written since, as may be what it points to.
        let mut found = read(&mut access, &mut blocks, row, make)?;
        if found.is_none() && access.poll()? {
            found = read(&mut access, &mut blocks, row, make)?;
        }
        let mut state = place.lock();
        if state.wanted.front() == Some(&row) {
            state.wanted.pop_front();
        }
        if state.found.insert(row, found.map(Arc::new)).is_none() {
            state.order.push_back(row);
        }
        while state.order.len() > KEPT {
            let oldest = state.order.pop_front().unwrap_or_default();
            state.found.remove(&oldest);
        }
        place.changed.store(true, Ordering::Release);
    }
}

fn read<T>(
    access: &mut Access,
    blocks: &mut Vec<(usize, Block)>,
    row: u64,
    make: &Make<T>,
) -> Result<Option<T>, BundleError> {
    let Some((index, at)) = access.locate(row) else { return Ok(None) };
    let kept = blocks.iter().position(|(kept, _)| *kept == index);
    let block = if let Some(at) = kept {
        blocks.remove(at).1
    } else {
        let Some(mut block) = access.block(index) else { return Ok(None) };
        access.read(&mut block, LOOK)?;
        block
    };
    let made = access.partly(&block, at, |record| make(record))?;
    if blocks.len() >= BLOCKS {
        blocks.remove(0);
    }
    blocks.push((index, block));
    Ok(made)
}
