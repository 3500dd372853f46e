//! The screen: a recording, live or replayed, in a terminal. Live and replay are one screen over one source
//! (`crate::recording`); live has the subject beside it.
//!
//! The terminal is taken here and given back however this ends: by leaving, a signal, a panic, or for as long as
//! belljar is suspended.

mod action;
mod app;
mod bar;
pub mod config;
mod entries;
mod export;
mod frame;
mod input;
mod layers;
mod live;
pub mod plain;
mod saved;
mod screen;
mod strip;
mod terminal;
#[cfg(test)]
mod tests;
mod text;
mod theme;
mod update;
mod views;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossterm::event;
use rustix::process::setpriority_process;

use crate::analysis::rules::Rules;
use crate::bundle::BundleError;
use crate::redact::Redactor;

use app::App;
use terminal::{Pending, Terminal};

pub use config::Config;
pub use live::Live;

/// Shortest time between two frames: 30 a second are enough to be smooth.
const FRAME: Duration = Duration::from_millis(33);
/// The same where the analyst has done something: that is not held back for a frame that would have come anyhow.
const AT_ONCE: Duration = Duration::from_millis(8);
/// How often things are looked at when nothing moves.
const IDLE: Duration = Duration::from_millis(200);

/// Columns and rows around the subject's terminal, until its pane says what it has.
const AROUND: (u16, u16) = (2, 9);

/// The size that the subject's terminal begins with: of its pane in this terminal.
pub fn subject_size() -> (u16, u16) {
    let (columns, rows) = crossterm::terminal::size().unwrap_or((80, 24));
    (columns.saturating_sub(AROUND.0).max(2), rows.saturating_sub(AROUND.1).max(2))
}

/// Why there is no screen, or no longer one.
#[derive(Debug, thiserror::Error)]
pub enum ScreenError {
    /// The recording.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The terminal.
    #[error("cannot use the terminal: {0}; --plain needs none")]
    Terminal(#[from] io::Error),
}

/// What a screen is made of.
pub struct Sight {
    /// Masks the planted values.
    pub redactor: Redactor,
    /// By which findings are judged.
    pub rules: Rules,
    /// Whether only ASCII may be shown.
    pub ascii: bool,
    /// Looks and keys.
    pub config: Config,
    /// Speed of a replay.
    pub speed: f64,
    /// The files that were planted, by path.
    pub below: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The subject, where it lives.
    pub live: Option<Arc<Live>>,
}

/// Shows the bundle in `dir` until the analyst leaves.
pub fn show(dir: &Path, sight: Sight) -> Result<(), ScreenError> {
    let open = Redactor::plain(sight.ascii);
    let (theme, keymap) = sight.config.looks(sight.ascii);
    let saved = saved::Saved::open(sight.config.filters.clone());
    let mut app = App::new(dir, (sight.redactor, open), sight.rules, theme, keymap, saved, sight.live)?;
    let (columns, rows) = if app.live.is_some() { subject_size() } else { screen::recorded_size(dir) };
    app.screen = screen::Screen::new(columns, rows);
    app.below = sight.below;
    app.play.speed = sight.speed.clamp(0.1, 1000.0);
    app.mouse = sight.config.mouse;
    terminal::guarded(move |pending| run(&mut app, pending))
}

/// A screen without a terminal: what a benchmark draws and asks.
pub struct Offscreen(App);

impl Offscreen {
    /// Over the bundle in `dir`.
    pub fn open(dir: &Path, sight: Sight) -> Result<Self, ScreenError> {
        let open = Redactor::plain(sight.ascii);
        let (theme, keymap) = sight.config.looks(sight.ascii);
        let saved = saved::Saved::open(sight.config.filters.clone());
        Ok(Self(App::new(dir, (sight.redactor, open), sight.rules, theme, keymap, saved, sight.live)?))
    }

    /// Takes one event of a terminal.
    pub fn handle(&mut self, event: &event::Event) {
        self.0.handle(event);
        self.0.tick(Duration::ZERO);
    }

    /// Draws a frame.
    pub fn draw(&mut self, width: u16, height: u16) -> ratatui::buffer::Buffer {
        self.0.tick(Duration::ZERO);
        let mut buf = ratatui::buffer::Buffer::empty(ratatui::layout::Rect::new(0, 0, width, height));
        frame::draw(&mut self.0, &mut buf);
        buf
    }

    /// Events looked through so far, and all there are.
    pub fn looked(&self) -> (u64, u64) {
        (self.0.known.looked, self.0.recording.rows())
    }

    /// Whether what was drawn last lacks events that are still read.
    pub fn waits(&self) -> bool {
        self.0.lines.waits()
    }

    /// Events that fit the filter so far, and whether all were looked at; `None` without one.
    pub fn found(&self) -> Option<(u64, bool)> {
        self.0.hits.as_ref().map(|hits| (hits.rows.len(), hits.done))
    }
}

/// The thread of the screen before the subject's and all others, where belljar may say so: a frame takes a millisecond,
/// and whoever pressed a key waits for it.
struct First;

impl First {
    fn come() -> Self {
        let _ = setpriority_process(Some(rustix::thread::gettid()), -5); // refused, it waits for its turn
        Self
    }
}

impl Drop for First {
    fn drop(&mut self) {
        let _ = setpriority_process(Some(rustix::thread::gettid()), 0);
    }
}

fn run(app: &mut App, pending: &Pending) -> Result<(), ScreenError> {
    let mut terminal = Terminal::enter(app.mouse)?;
    let _first = First::come();
    let mut ticked = Instant::now();
    let mut drawn: Option<Instant> = None;
    let mut pace = FRAME;
    while !app.quit {
        // What comes by itself is looked for when the next frame is due.
        let next = drawn.and_then(|drawn| FRAME.checked_sub(drawn.elapsed())).unwrap_or(FRAME);
        let wait = match drawn {
            None => Duration::ZERO,
            Some(drawn) if app.dirty => pace.saturating_sub(drawn.elapsed()),
            _ if app.play.on || app.alive() || app.known.looked < app.known.rows || app.bar.editing => next,
            _ if app.export.is_some() || app.lines.waits() || app.hits.as_ref().is_some_and(|hits| !hits.done) => next,
            _ => IDLE,
        };
        if !terminal::wait(wait) {
            break;
        }
        if event::poll(Duration::ZERO)? {
            // All that has come, before the next frame: a resize storm is one frame.
            pace = AT_ONCE;
            loop {
                app.handle(&event::read()?);
                if app.quit || !event::poll(Duration::ZERO)? {
                    break;
                }
            }
        }
        if pending.ended() {
            if let Some(live) = &app.live {
                live.controls.end();
            }
            break;
        }
        if pending.suspended() || std::mem::take(&mut app.suspend) {
            terminal.suspend()?;
            drawn = None;
            app.redraw = true;
        }
        let passed = ticked.elapsed();
        ticked = Instant::now();
        app.tick(passed);
        terminal.mouse(app.mouse)?;
        if let Some(text) = app.copy.take() {
            Terminal::copy(&text)?;
        }
        if std::mem::take(&mut app.redraw) {
            terminal.clear()?;
            app.dirty = true;
        }
        if app.dirty && drawn.is_none_or(|drawn| drawn.elapsed() >= pace) {
            (app.dirty, pace, drawn) = (false, FRAME, Some(Instant::now()));
            terminal.draw(|buf| frame::draw(app, buf))?;
        }
    }
    Ok(())
}
