//! What the screen shows at one moment, and how time changes it. What keys change stands in `update`, what it looks
//! like in `frame` and `views`.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ratatui::layout::Rect;

use super::action::{Action, Keymap};
use super::bar::Bar;
use super::entries::{Entries, Entry};
use super::export::Export;
use super::live::Live;
use super::saved::Saved;
use super::screen::Screen;
use super::theme::Theme;
use super::views::events::Event;
use super::views::left::Left;
use crate::analysis::rules::Rules;
use crate::bundle::{BundleError, Note, Notes, State};
use crate::query::Context;
use crate::recording::{Fetch, Hits, Known, Recording};
use crate::redact::Redactor;
use crate::store::RowSet;

/// How long a message stays.
const MESSAGE: Duration = Duration::from_secs(6);

/// The views, in the order of their digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(usize)]
pub(super) enum View {
    /// What was done with client data.
    Overview,
    /// Events.
    Events,
    /// From asset to destination.
    Flow,
    /// Destinations.
    Network,
    /// Files.
    Files,
    /// Processes.
    Processes,
    /// Findings.
    Findings,
    /// The subject's terminal.
    Terminal,
}

impl View {
    /// All, with their names, long and short.
    pub(super) const ALL: [(Self, &'static str, &'static str); 8] = [
        (Self::Overview, "Overview", "Over"),
        (Self::Events, "Events", "Evts"),
        (Self::Flow, "Flow", "Flow"),
        (Self::Network, "Network", "Net"),
        (Self::Files, "Files", "File"),
        (Self::Processes, "Processes", "Proc"),
        (Self::Findings, "Findings", "Find"),
        (Self::Terminal, "Terminal", "Term"),
    ];
}

/// Where a list stands.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ListState {
    /// The row that keys act on.
    pub selected: usize,
    /// The first row shown.
    pub top: usize,
}

impl ListState {
    /// Keeps the selected row within `len` rows and on a page of `height`.
    pub(super) fn fit(&mut self, len: usize, height: usize) {
        self.selected = self.selected.min(len.saturating_sub(1));
        self.top = self.top.min(len.saturating_sub(height)).min(self.selected);
        if height > 0 && self.selected >= self.top + height {
            self.top = self.selected + 1 - height;
        }
    }
}

/// How the replay moves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Play {
    /// Whether it does.
    pub on: bool,
    /// How many seconds of the session a second takes.
    pub speed: f64,
    /// Backwards.
    pub reverse: bool,
    /// Where it is, nanoseconds.
    pub at_ns: f64,
}

/// What lies above the view.
#[derive(Debug)]
pub(super) enum Layer {
    /// The keys of this view.
    Help(usize),
    /// An action is looked for.
    Palette(tui_input::Input, usize),
    /// Something is asked before it is done.
    Ask(Asked),
    /// Where to go.
    Goto(tui_input::Input),
    /// Where to export.
    Export(tui_input::Input),
    /// A name for the filter.
    Name(tui_input::Input),
    /// One of the filters with names is chosen.
    Saved(usize),
    /// A note is written on this row.
    Note(tui_input::Input, u64),
    /// One of the marks is chosen.
    Marks(usize),
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// To show the masked bytes of this row.
    Reveal(u64),
    /// To end the subject.
    Kill,
    /// To leave while it lives.
    Quit,
}

/// What a place on the screen does when it is clicked.
#[derive(Clone, Copy, Debug)]
pub(super) enum Spot {
    /// A tab.
    Tab(View),
    /// The strip: columns are times.
    Strip,
    /// Rows of the list of this pane.
    List(usize),
    /// The subject's own terminal.
    Subject,
}

/// Everything the screen shows.
pub(super) struct App {
    /// The recording.
    pub recording: Recording,
    /// Single events of it for lists, read beside the screen.
    pub lines: Fetch<Event>,
    /// What is known of it.
    pub known: Arc<Known>,
    /// Masks the planted values.
    pub redactor: Redactor,
    /// Escapes alone, for what the analyst asked to see.
    pub open_redactor: Redactor,
    /// The time of the newest event, and when that came: a subject that does nothing makes no events, and time goes on.
    pub newest: (u64, Instant),
    /// The second of it that was drawn last.
    pub second: u64,
    /// By which findings are judged.
    pub rules: Rules,
    /// Looks.
    pub theme: Theme,
    /// Keys.
    pub keymap: Keymap,
    /// The view shown.
    pub view: View,
    /// Which of its panes has the keys.
    pub pane: usize,
    /// Whether that pane fills the view.
    pub zoom: bool,
    /// Lists by view and pane.
    pub lists: [[ListState; 2]; 8],
    /// Rows unfolded, or folded where they come unfolded.
    pub toggled: HashSet<u64>,
    /// Rows of the views that are trees.
    pub entries: Entries,
    /// The moment: a row, and its time.
    pub cursor: u64,
    /// Its time, nanoseconds.
    pub cursor_ns: u64,
    /// The first row shown of the events, as a rank among those shown.
    pub events_top: u64,
    /// The moment, and its rank, when the events were drawn last.
    pub events_drawn: (u64, u64),
    /// Whether all events are shown, with those that fit the filter marked.
    pub around: bool,
    /// Whether events that repeat the one before are folded.
    pub folded: bool,
    /// The rows shown; all of them where there is none.
    pub shown: Option<RowSet>,
    /// Whether those are to be made again.
    pub reshow: bool,
    /// Whether the newest event is kept in sight.
    pub follow: bool,
    /// Live: whether the screen stands still.
    pub paused: bool,
    /// Replay.
    pub play: Play,
    /// The filter.
    pub bar: Bar,
    /// What it found.
    pub hits: Option<Arc<Hits>>,
    /// The files that were planted, by path.
    pub below: BTreeMap<Vec<u8>, Vec<u8>>,
    /// What is left of the file that was selected last.
    pub left: Option<Left>,
    /// Filters with names.
    pub saved: Saved,
    /// The export that goes on.
    pub export: Option<Export>,
    /// What lies above.
    pub layer: Option<Layer>,
    /// What is to be said, whether it is bad, and since when.
    pub message: Option<(String, bool, Instant)>,
    /// The analyst's notes.
    pub notes: Notes,
    /// The event whose bytes are shown.
    pub revealed: Option<u64>,
    /// The field that the bytes are of.
    pub field: usize,
    /// The subject, while it lives.
    pub live: Option<Arc<Live>>,
    /// Whether keys go to it.
    pub typing: bool,
    /// Its terminal.
    pub screen: Screen,
    /// Whether the mouse is taken.
    pub mouse: bool,
    /// Text on its way to the clipboard.
    pub copy: Option<String>,
    /// Whether all is to be drawn from nothing.
    pub redraw: bool,
    /// Whether belljar is to be suspended.
    pub suspend: bool,
    /// Whether the screen is to be left.
    pub quit: bool,
    /// Whether what is shown has changed.
    pub dirty: bool,
    /// Rows of the list last drawn.
    pub page: usize,
    /// What can be clicked.
    pub spots: Vec<(Rect, Spot)>,
}

impl App {
    /// A screen over the bundle in `dir`.
    pub(super) fn new(
        dir: &Path,
        redactors: (Redactor, Redactor),
        rules: Rules,
        theme: Theme,
        keymap: Keymap,
        saved: Saved,
        live: Option<Arc<Live>>,
    ) -> Result<Self, BundleError> {
        let recording = Recording::open(dir)?;
        let known = recording.known();
        let assets = known.session.as_ref().map(|session| session.assets.clone()).unwrap_or_default();
        let redactor = redactors.0.clone();
        let lines = Fetch::start(dir, move |record| Event::of(record, &redactor, &assets));
        let mut app = Self {
            notes: Notes::open(dir),
            screen: Screen::new(80, 24),
            follow: live.is_some(),
            lines,
            recording,
            known,
            redactor: redactors.0,
            open_redactor: redactors.1,
            newest: (0, Instant::now()),
            second: 0,
            rules,
            theme,
            keymap,
            view: View::Overview,
            pane: 0,
            zoom: false,
            lists: Default::default(),
            toggled: HashSet::new(),
            entries: Entries::default(),
            cursor: 0,
            cursor_ns: 0,
            events_top: 0,
            events_drawn: (0, 0),
            around: false,
            folded: false,
            shown: None,
            reshow: false,
            below: BTreeMap::new(),
            left: None,
            saved,
            export: None,
            paused: false,
            play: Play { on: false, speed: 1.0, reverse: false, at_ns: 0.0 },
            bar: Bar::default(),
            hits: None,
            layer: None,
            message: None,
            revealed: None,
            field: 0,
            live,
            typing: false,
            mouse: true,
            copy: None,
            redraw: false,
            suspend: false,
            quit: false,
            dirty: true,
            page: 10,
            spots: Vec::new(),
        };
        app.bar.names = app.saved.clone();
        app.go_to(0);
        app.list_entries();
        Ok(app)
    }

    /// The session's time by now.
    pub(super) fn now_ns(&self) -> u64 {
        let (newest, since) = self.newest;
        let passed = if self.alive() { since.elapsed().as_nanos() as u64 } else { 0 };
        self.known.end_ns().max(newest.saturating_add(passed))
    }

    /// Whether the subject still lives.
    pub(super) fn alive(&self) -> bool {
        self.live.as_ref().is_some_and(|live| live.alive())
    }

    /// Says something in the line of hints.
    pub(super) fn say(&mut self, text: impl Into<String>) {
        self.message = Some((text.into(), false, Instant::now()));
        self.dirty = true;
    }

    /// Says what went wrong.
    pub(super) fn complain(&mut self, error: impl std::fmt::Display) {
        let text = crate::redact::plain(error.to_string().as_bytes());
        self.message = Some((text, true, Instant::now()));
        self.dirty = true;
    }

    /// Bytes of the subject as they may be shown.
    pub(super) fn show(&self, bytes: &[u8], limit: usize) -> String {
        self.redactor.text(bytes, limit).to_string()
    }

    /// Text of the bundle that was made safe once: escapes in it stay as they are.
    pub(super) fn shown(&self, text: &str) -> String {
        self.redactor.block(text.as_bytes(), 4096).to_string().replace('\n', " ")
    }

    /// What queries are asked against.
    pub(super) fn context(&self) -> Context<'_> {
        let assets = self.known.session.as_ref().map_or(&[][..], |session| &session.assets);
        Context { assets }
    }

    /// The name of an asset.
    pub(super) fn asset(&self, index: usize) -> &str {
        self.context().assets.get(index).map_or("?", |asset| asset.name.as_str())
    }

    /// Looks at what has come since, and lets the replay go on. Called some thirty times a second at most.
    pub(super) fn tick(&mut self, passed: Duration) {
        if self.message.as_ref().is_some_and(|(_, _, since)| since.elapsed() > MESSAGE) {
            self.message = None;
            self.dirty = true;
        }
        self.search_if_due();
        if let Some(live) = &self.live {
            if let Some(bytes) = live.output() {
                self.screen.feed_live(&bytes);
                self.dirty = true;
            }
            self.dirty |= live.changed();
        }
        if self.alive() && self.known.end_ns() > 0 {
            let second = self.now_ns() / 1_000_000_000;
            if self.known.end_ns() > self.newest.0 {
                self.newest = (self.known.end_ns(), Instant::now());
            }
            self.dirty |= std::mem::replace(&mut self.second, second) != second;
        }
        let hits = self.recording.hits();
        let same = match (&hits, &self.hits) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        };
        if !same {
            self.hits = hits;
            (self.dirty, self.reshow) = (true, true);
        }
        let known = self.recording.known();
        if !self.paused && !Arc::ptr_eq(&known, &self.known) {
            if let Err(error) = self.recording.poll() {
                self.complain(error);
            }
            self.learn(known);
            self.lines.retry();
            (self.dirty, self.reshow) = (true, self.reshow || self.folded);
        }
        if std::mem::take(&mut self.reshow) {
            self.show_rows();
        }
        self.look_at_export();
        if self.lines.changed() {
            self.dirty = true;
        }
        if let Some(trouble) = self.lines.trouble().filter(|_| self.message.is_none()) {
            self.complain(trouble);
        }
        if self.follow && !self.paused {
            self.go_last();
        }
        if self.play.on {
            self.play_on(passed);
        }
    }

    fn play_on(&mut self, passed: Duration) {
        let step = passed.as_secs_f64() * self.play.speed * 1e9 * if self.play.reverse { -1.0 } else { 1.0 };
        let end = self.known.end_ns() as f64;
        self.play.at_ns = (self.play.at_ns + step).clamp(0.0, end);
        if self.play.at_ns <= 0.0 && self.play.reverse || self.play.at_ns >= end && !self.play.reverse {
            self.play.on = false;
        }
        let at = self.play.at_ns as u64;
        match self.recording.row_at(at) {
            Ok(row) => {
                self.cursor = row;
                self.cursor_ns = at;
            }
            Err(error) => {
                self.play.on = false;
                self.complain(error);
            }
        }
        self.dirty = true;
    }

    /// Rows of the views that are trees, made again.
    pub(super) fn list_entries(&mut self) {
        self.entries = Entries::new(&self.known, &self.toggled);
        for (view, _, _) in View::ALL {
            let len = self.entries.of(view).len();
            if let Some([list, _]) = self.lists.get_mut(view as usize) {
                list.selected = list.selected.min(len.saturating_sub(1));
            }
        }
    }

    /// Takes what is known by now. The row that is selected stays the same thing, wherever in the list that stands.
    pub(super) fn learn(&mut self, known: Arc<Known>) {
        let selected = self.entry().map(|entry| entry.key(&self.known));
        self.known = known;
        self.list_entries();
        let rows = self.entries.of(self.view);
        let Some([list, _]) = self.lists.get_mut(self.view as usize) else { return };
        let same = |at: usize| rows.get(at).map(|entry| entry.key(&self.known)) == selected;
        // The first row means the first row: who has not moved wants to see what is most important.
        if list.selected == 0 || selected.is_none() || same(list.selected) {
            return;
        }
        if let Some(at) = (0..rows.len()).find(|at| same(*at)) {
            list.top = (list.top + at).saturating_sub(list.selected);
            list.selected = at;
        }
    }

    /// Which rows are shown: all, or those that fit, each or one for all that repeat it.
    fn show_rows(&mut self) {
        let fit = self.hits.as_ref().filter(|_| !self.around).map(|hits| &hits.rows);
        // Until all was looked through nobody knows what repeats; live, the last moments are always missing.
        let looked = self.live.is_some() || self.known.looked >= self.recording.rows();
        self.shown = match fit {
            Some(rows) if self.folded && looked => Some(rows.folded(&self.known.heads)),
            Some(rows) => Some(rows.clone()),
            None if self.folded && looked => Some(self.known.heads.clone()),
            None => None,
        };
    }

    fn look_at_export(&mut self) {
        let Some(export) = &mut self.export else { return };
        let path = crate::redact::plain(export.path().as_os_str().as_encoded_bytes());
        match export.ended() {
            Some(Ok(written)) => {
                self.export = None;
                self.say(format!("{} events written to {path}", super::text::count(written)));
            }
            Some(Err(error)) => {
                self.export = None;
                self.complain(format!("{path} is not whole: {error}"));
            }
            None => {
                let written = super::text::count(export.written());
                self.say(format!("{written} events written to {path} so far"));
            }
        }
    }

    /// How many events are shown.
    pub(super) fn len(&self) -> u64 {
        self.shown.as_ref().map_or(self.recording.rows(), RowSet::len)
    }

    /// How many events a row stands for: itself, and those folded into it.
    pub(super) fn times(&self, row: u64) -> u64 {
        let Some(shown) = self.shown.as_ref().filter(|_| self.folded) else { return 1 };
        let next = shown.at_or_after(row + 1);
        match self.hits.as_ref().filter(|_| !self.around) {
            Some(hits) => {
                next.map_or(hits.rows.len(), |next| hits.rows.rank(next)) - hits.rows.rank(row).min(hits.rows.len())
            }
            None => next.unwrap_or(self.known.looked.max(row + 1)) - row,
        }
    }

    /// The row of this rank among the events shown.
    pub(super) fn nth(&self, rank: u64) -> Option<u64> {
        match &self.shown {
            Some(rows) => rows.select(rank),
            None => (rank < self.recording.rows()).then_some(rank),
        }
    }

    /// The rank of the moment among the events shown: of the last at or before it.
    pub(super) fn rank(&self) -> u64 {
        match &self.shown {
            Some(rows) if rows.contains(self.cursor) => rows.rank(self.cursor),
            Some(rows) => rows.rank(self.cursor).saturating_sub(1),
            None => self.cursor,
        }
    }

    /// Goes to a row.
    pub(super) fn go_to(&mut self, row: u64) {
        let row = row.min(self.recording.rows().saturating_sub(1));
        if row != self.cursor {
            self.revealed = None;
            self.dirty = true;
        }
        self.cursor = row;
        match self.recording.time(row) {
            Ok(time) => self.cursor_ns = time.unwrap_or_default(),
            Err(error) => self.complain(error),
        }
        self.play.at_ns = self.cursor_ns as f64;
    }

    /// Goes to a time.
    pub(super) fn go_to_time(&mut self, time_ns: u64) {
        match self.recording.row_at(time_ns.min(self.known.end_ns())) {
            Ok(row) => self.go_to(row),
            Err(error) => self.complain(error),
        }
    }

    /// Goes to the last event shown.
    pub(super) fn go_last(&mut self) {
        if let Some(row) = self.len().checked_sub(1).and_then(|rank| self.nth(rank)).filter(|row| *row != self.cursor) {
            self.go_to(row);
        }
    }

    /// Looks for what the filter says, once it says something else.
    fn search_if_due(&mut self) {
        if let Some(super::bar::Changed(query)) = self.bar.take_changed() {
            self.hits = None;
            self.recording.filter(query, self.cursor);
            self.hits = self.recording.hits();
            (self.dirty, self.reshow) = (true, true);
        }
    }

    /// Adds a term to the filter, and shows the events that fit.
    pub(super) fn drill(&mut self, term: &str) {
        let text = format!("{} {term}", self.bar.committed()).trim().to_owned();
        let assets = self.context().assets.to_vec();
        if self.bar.set(&text, &Context { assets: &assets }) {
            self.follow = false;
            self.show_view(View::Events);
        } else {
            self.complain("this cannot be said as a filter");
        }
    }

    /// Shows a view.
    pub(super) fn show_view(&mut self, view: View) {
        if self.view != view {
            self.view = view;
            self.pane = 0;
            self.zoom = false;
            self.typing = false;
        }
        self.dirty = true;
    }

    /// How many panes of this view take keys.
    pub(super) fn panes(&self) -> usize {
        match self.view {
            View::Overview | View::Flow | View::Network | View::Files | View::Findings => 2,
            View::Events => 3,
            View::Processes | View::Terminal => 1,
        }
    }

    /// The row selected in a view's first list.
    pub(super) fn entry(&self) -> Option<Entry> {
        let list = self.lists.get(self.view as usize)?.first()?;
        self.entries.of(self.view).get(list.selected).copied()
    }

    /// The marks that stand, by row.
    pub(super) fn marks(&self) -> BTreeMap<u64, &Note> {
        self.notes.marks().into_iter().map(|note| (note.event.saturating_sub(1), note)).collect()
    }

    /// What stands in the header before everything else.
    pub(super) fn mode(&self) -> &'static str {
        match (&self.live, self.known.state) {
            (Some(live), _) if live.frozen() => "FROZEN",
            (Some(live), _) if live.alive() && self.paused => "PAUSED",
            (Some(live), _) if live.alive() => "LIVE",
            (Some(_), _) => "ENDED",
            (None, State::Running) => "RUNNING",
            (None, State::CutOff) => "CUT OFF",
            (None, _) if self.play.on => "PLAY",
            (None, _) => "REPLAY",
        }
    }

    /// The name of a key for an action.
    pub(super) fn key(&self, action: Action) -> &str {
        self.keymap.key(action)
    }
}
