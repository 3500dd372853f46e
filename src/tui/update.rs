//! What actions do.

use super::action::{Action, Place};
use super::app::{App, Asked, Layer, View};
use super::entries::Entry;
use super::export::{Export, Wanted};
use super::theme::Theme;
use crate::bundle::What;
use crate::query::ast::Pattern;
use crate::store::Object;
use tui_input::Input;

/// Longest text copied: terminals cut or refuse longer ones.
const COPY: usize = 8 << 10;
/// Speeds of the replay.
const SPEEDS: (f64, f64) = (0.1, 1000.0);

impl App {
    /// Whether an action of this place makes sense now.
    pub(super) fn applies(&self, place: Place) -> bool {
        match place {
            Place::Anywhere => true,
            Place::Events => self.view == View::Events,
            Place::Tree => matches!(self.view, View::Flow | View::Files | View::Processes),
            Place::Replay => self.live.is_none(),
            Place::Live => self.alive(),
            Place::Terminal => self.alive() && self.view == View::Terminal,
        }
    }

    /// Does it.
    pub(super) fn act(&mut self, action: Action) {
        self.dirty = true;
        match action {
            Action::Overview => self.show_view(View::Overview),
            Action::Events => self.show_view(View::Events),
            Action::Flow => self.show_view(View::Flow),
            Action::Network => self.show_view(View::Network),
            Action::Files => self.show_view(View::Files),
            Action::Processes => self.show_view(View::Processes),
            Action::Findings => self.show_view(View::Findings),
            Action::Terminal => self.show_view(View::Terminal),
            Action::Down => self.move_by(1),
            Action::Up => self.move_by(-1),
            Action::PageDown => self.move_by(self.page.max(2) as i64 - 1),
            Action::PageUp => self.move_by(1 - self.page.max(2) as i64),
            Action::First => self.move_by(i64::MIN),
            Action::Last => self.move_by(i64::MAX),
            Action::Open => self.open(),
            Action::Back => self.back(),
            Action::Escape => {
                (self.pane, self.zoom) = (0, false);
                self.message = None;
            }
            Action::NextPane => self.pane = (self.pane + 1) % self.panes(),
            Action::PreviousPane => self.pane = (self.pane + self.panes() - 1) % self.panes(),
            Action::Zoom => self.zoom = !self.zoom,
            Action::Fold => self.fold(true),
            Action::Unfold => self.fold(false),
            Action::Earlier => self.seek(-1),
            Action::Later => self.seek(1),
            Action::MuchEarlier => self.seek(-10),
            Action::MuchLater => self.seek(10),
            Action::NextClient => self.next_client(true),
            Action::PreviousClient => self.next_client(false),
            Action::Step => self.step(1),
            Action::StepBack => self.step(-1),
            Action::Goto => self.layer = Some(Layer::Goto(Input::default())),
            Action::Play => self.play_or_pause(),
            Action::Faster => self.speed(2.0),
            Action::Slower => self.speed(0.5),
            Action::Reverse => {
                self.play.reverse = !self.play.reverse;
                self.say(if self.play.reverse { "backwards" } else { "forwards" });
            }
            Action::Follow => {
                self.follow = !self.follow;
                self.say(if self.follow { "follows the newest event" } else { "stays where it is" });
            }
            Action::Filter => {
                let assets = self.context().assets.to_vec();
                self.bar.edit(&crate::query::Context { assets: &assets });
            }
            Action::Clear => {
                let assets = self.context().assets.to_vec();
                self.bar.set("", &crate::query::Context { assets: &assets });
            }
            Action::Around => {
                (self.around, self.reshow) = (!self.around, true);
                self.say(if self.around {
                    "all events are shown; those that fit are marked"
                } else {
                    "only events that fit are shown"
                });
            }
            Action::NextMatch => self.next_match(true),
            Action::PreviousMatch => self.next_match(false),
            Action::Repeats => {
                (self.folded, self.reshow) = (!self.folded, true);
                self.say(if self.folded {
                    "events that repeat the one before are folded"
                } else {
                    "every event is shown"
                });
            }
            Action::Save if self.bar.committed().is_empty() => self.say("there is no filter to be given a name"),
            Action::Save => self.layer = Some(Layer::Name(Input::default())),
            Action::Saved if self.saved.all().is_empty() => {
                self.say(format!("no filter has a name yet: {} gives it one", self.key(Action::Save)));
            }
            Action::Saved => self.layer = Some(Layer::Saved(0)),
            Action::Export if self.export.is_some() => self.say("an export still goes on"),
            Action::Export => {
                let name = self.recording.dir().file_stem().unwrap_or_default().to_string_lossy();
                let name: String = name.chars().filter(|c| !c.is_control()).collect();
                self.layer = Some(Layer::Export(Input::new(format!("{name}-events.csv"))));
            }
            Action::Mark => self.mark(),
            Action::Note => self.layer = Some(Layer::Note(Input::default(), self.cursor)),
            Action::Marks if self.notes.marks().is_empty() => {
                self.say(format!("no event is marked yet: {} marks one", self.key(Action::Mark)));
            }
            Action::Marks => self.layer = Some(Layer::Marks(0)),
            Action::Reveal if !super::views::events::is_masked(self) => self.say("nothing of this event is masked"),
            Action::Reveal => self.layer = Some(Layer::Ask(Asked::Reveal(self.cursor))),
            Action::Copy => self.copy(),
            Action::Keyboard => {
                self.typing = true;
                self.say("keys go to the subject; Ctrl-] takes them back");
            }
            Action::Freeze => self.freeze(),
            Action::Kill => self.layer = Some(Layer::Ask(Asked::Kill)),
            Action::Palette => self.layer = Some(Layer::Palette(Input::default(), 0)),
            Action::Help => self.layer = Some(Layer::Help(0)),
            Action::Theme => {
                self.theme = self.theme.next();
                self.say(format!("colours: {}", self.theme.palette.name()));
            }
            Action::Mouse => {
                self.mouse = !self.mouse;
                self.say(if self.mouse { "the mouse is belljar's" } else { "the mouse is the terminal's" });
            }
            Action::Redraw => self.redraw = true,
            Action::Suspend => self.suspend = true,
            Action::Quit if self.alive() => self.layer = Some(Layer::Ask(Asked::Quit)),
            Action::Quit => self.quit = true,
        }
    }

    /// Does what was asked about.
    pub(super) fn agreed(&mut self, asked: Asked) {
        match asked {
            Asked::Reveal(row) => {
                // Written down before it is shown, or not shown.
                match self.notes.add(What::Reveal, row + 1, self.cursor_ns, "") {
                    Ok(()) => {
                        self.revealed = Some(row);
                        self.show_view(View::Events);
                        self.pane = 2;
                        self.say(format!("the bytes of #{} are shown; notes.jsonl says so", row + 1));
                    }
                    Err(error) => self.complain(error),
                }
            }
            Asked::Kill => {
                if let Some(live) = &self.live {
                    live.controls.end();
                    self.say("the subject is being ended");
                }
            }
            Asked::Quit => {
                if let Some(live) = &self.live {
                    live.controls.end();
                }
                self.quit = true;
            }
        }
    }

    fn move_by(&mut self, by: i64) {
        let to = |at: u64, len: u64| match by {
            i64::MIN => 0,
            i64::MAX => len.saturating_sub(1),
            by => at.saturating_add_signed(by).min(len.saturating_sub(1)),
        };
        match (self.view, self.pane) {
            // Live it stands at the newest output anyway; of a replay the moment is chosen by lines, pages scroll.
            (View::Terminal, _) if self.alive() || by.unsigned_abs() > 1 && by.unsigned_abs() < 1000 => {
                self.screen.scroll(by.saturating_neg());
            }
            (View::Events, 1) => self.field = to(self.field as u64, u64::MAX) as usize,
            (View::Events | View::Terminal, _) => {
                self.follow = false;
                self.play.on = false;
                let rank = to(self.rank(), self.len());
                if let Some(row) = self.nth(rank) {
                    self.go_to(row);
                }
            }
            (view, pane) => {
                let len = self.list_len(view, pane) as u64;
                if let Some(list) = self.lists.get_mut(view as usize).and_then(|lists| lists.get_mut(pane)) {
                    list.selected = to(list.selected as u64, len) as usize;
                }
                // The chain below belongs to another finding now.
                if pane == 0
                    && let Some([_, below]) = self.lists.get_mut(view as usize)
                {
                    below.selected = 0;
                }
            }
        }
    }

    /// How many rows a list has.
    pub(super) fn list_len(&self, view: View, pane: usize) -> usize {
        match (view, pane) {
            (View::Overview, 1) => self.known.findings.len(),
            (View::Flow | View::Findings, 1) => self.finding().map_or(0, |finding| finding.chain.len()),
            (View::Network, 1) => self.selected_peer().map_or(0, |peer| peer.rows.len()),
            (View::Files, 1) => self.left.as_ref().map_or(0, |left| left.pieces.len()),
            (_, 0) => self.entries.of(view).len(),
            _ => 0,
        }
    }

    /// The finding whose chain is shown.
    pub(super) fn finding(&self) -> Option<&crate::analysis::finding::Finding> {
        match self.entry()? {
            Entry::Finding(at) => self.known.findings.get(at),
            Entry::Asset(at) => {
                let name = self.asset(at);
                self.known.findings.iter().find(|finding| finding.asset.as_deref() == Some(name))
            }
            Entry::System(verb) => self.known.findings.iter().find(|finding| finding.verb == verb),
            _ => None,
        }
    }

    /// The destination that is selected, or whose event is.
    pub(super) fn selected_peer(&self) -> Option<&crate::recording::Peer> {
        match self.entry()? {
            Entry::Peer(at) => self.known.peers.get(at),
            _ => None,
        }
    }

    fn selected(&self, pane: usize) -> usize {
        self.lists.get(self.view as usize).and_then(|lists| lists.get(pane)).map_or(0, |list| list.selected)
    }

    fn open(&mut self) {
        let at = self.selected(self.pane);
        match (self.view, self.pane) {
            (View::Events, 0) => self.pane = 1,
            (View::Events, 1) => self.pane = 2,
            (View::Events | View::Terminal, _) => {}
            (View::Overview, 1) => {
                self.show_view(View::Findings);
                if let Some([list, _]) = self.lists.get_mut(View::Findings as usize) {
                    list.selected = at;
                }
            }
            (View::Findings | View::Flow, 1) => {
                if let Some(event) = self.finding().and_then(|finding| finding.chain.get(at)).map(|item| item.event) {
                    self.show_event(event.saturating_sub(1));
                }
            }
            (View::Files, 1) => {
                if let Some(Entry::File(at)) = self.entry()
                    && let Some(row) = self.known.files.get(at).map(|file| file.left_row)
                {
                    self.show_event(row);
                }
            }
            (View::Network, 1) => {
                if let Some(row) = self.selected_peer().and_then(|peer| peer.rows.get(at)).copied() {
                    self.show_event(row);
                }
            }
            _ => self.open_entry(),
        }
    }

    fn open_entry(&mut self) {
        let Some(entry) = self.entry() else { return };
        match entry {
            Entry::Asset(at) => {
                let name = Pattern::literal(self.asset(at)).to_string();
                self.drill(&format!("asset:{name}"));
            }
            Entry::System(verb) => self.drill(&format!("verb:{verb}")),
            Entry::Finding(_) => self.pane = 1,
            Entry::Process(at) => {
                if let Some(key) = self.known.processes.get(at).map(|one| one.process.key.0) {
                    self.drill(&format!("key:{key}"));
                }
            }
            Entry::Dir(..) | Entry::Repeats(..) => self.fold_entry(entry),
            Entry::File(at) => {
                if let Some((object, first)) = self.known.files.get(at).map(|file| (file.object.clone(), file.first)) {
                    self.drill_object("path", &object, first);
                }
            }
            Entry::Peer(at) => {
                if let Some((object, first)) = self.known.peers.get(at).map(|peer| (peer.object.clone(), peer.first)) {
                    self.drill_object("peer", &object, first);
                }
            }
        }
    }

    /// Filters by a name of the subject's, unless that would spell out planted data.
    fn drill_object(&mut self, field: &str, object: &Object, first: u64) {
        if self.redactor.masks(&object.name) {
            self.say("its name holds planted data, which no filter shall spell out: this is the first event about it");
            self.show_event(first);
            return;
        }
        // What is shown is what a filter reads.
        let name = self.open_redactor.text(&object.name, usize::MAX).to_string().replace('"', "\\\"");
        if field == "peer" {
            self.drill(&format!("(object=\"{name}\" or target=\"{name}\")"));
        } else {
            self.drill(&format!("{field}=\"{name}\""));
        }
    }

    /// Goes to an event, with no filter that would hide it.
    fn show_event(&mut self, row: u64) {
        self.follow = false;
        self.play.on = false;
        if self.hits.as_ref().is_some_and(|hits| !hits.rows.contains(row)) {
            self.act(Action::Clear);
        }
        self.show_view(View::Events);
        self.go_to(row);
    }

    fn back(&mut self) {
        let assets = self.context().assets.to_vec();
        if !self.bar.pop(&crate::query::Context { assets: &assets }) {
            self.say("there is no filter to be taken off");
        }
    }

    fn fold(&mut self, fold: bool) {
        let Some(entry) = self.entry() else { return };
        let is_open = |entry: Entry| match entry {
            Entry::Dir(_, _, open) | Entry::Repeats(_, open) => Some(open),
            Entry::Asset(_) | Entry::System(_) => Some(!self.toggled.contains(&entry.key(&self.known))),
            _ => None,
        };
        // A row within folds what holds it.
        let what = if fold && is_open(entry) != Some(true) { self.head(entry) } else { Some(entry) };
        let Some(what) = what.filter(|what| is_open(*what) == Some(fold)) else { return };
        let at = self.entries.of(self.view).iter().position(|row| *row == what);
        if let (Some(at), Some([list, _])) = (at, self.lists.get_mut(self.view as usize)) {
            list.selected = at;
        }
        self.fold_entry(what);
    }

    /// The row above that holds this one.
    fn head(&self, entry: Entry) -> Option<Entry> {
        let rows = self.entries.of(self.view);
        let at = rows.iter().position(|row| *row == entry)?;
        let place = match entry {
            Entry::Process(at) => at,
            Entry::Repeats(fold, _) => self.known.repeats.get(fold)?.range.start,
            _ => 0,
        };
        rows.iter().take(at).rev().copied().find(|row| match *row {
            Entry::Repeats(fold, true) => self.known.repeats.get(fold).is_some_and(|fold| fold.range.contains(&place)),
            row => matches!(row, Entry::Dir(..) | Entry::Asset(_) | Entry::System(_)) && !is_head(entry),
        })
    }

    fn fold_entry(&mut self, entry: Entry) {
        let key = entry.key(&self.known);
        if !self.toggled.remove(&key) {
            self.toggled.insert(key);
        }
        self.list_entries();
    }

    fn seek(&mut self, seconds: i64) {
        self.follow = false;
        self.play.on = false;
        self.go_to_time(self.cursor_ns.saturating_add_signed(seconds * 1_000_000_000));
    }

    fn next_client(&mut self, forwards: bool) {
        let rows = &self.known.client;
        let found = if forwards { rows.at_or_after(self.cursor + 1) } else { rows.before(self.cursor) };
        match found {
            Some(row) => {
                self.follow = false;
                self.play.on = false;
                self.go_to(row);
            }
            None if forwards => self.say("no later event touches client data"),
            None => self.say("no earlier event touches client data"),
        }
    }

    fn next_match(&mut self, forwards: bool) {
        let Some(hits) = self.hits.clone() else {
            return self.say(format!("there is no filter: {} writes one", self.key(Action::Filter)));
        };
        let found = if forwards { hits.rows.at_or_after(self.cursor + 1) } else { hits.rows.before(self.cursor) };
        match found {
            Some(row) => {
                self.follow = false;
                self.play.on = false;
                self.go_to(row);
            }
            None if !hits.done => self.say("not found so far; the search goes on"),
            None if forwards => self.say("no later event fits"),
            None => self.say("no earlier event fits"),
        }
    }

    /// Writes what is shown to a file.
    pub(super) fn export_to(&mut self, path: &str) {
        let hits = self.hits.as_ref().filter(|_| !self.around);
        if hits.is_some_and(|hits| !hits.done) {
            return self.complain("not all events that fit are found yet: try again then");
        }
        let wanted = Wanted {
            dir: self.recording.dir().to_owned(),
            rows: hits.map(|hits| hits.rows.clone()).ok_or(self.recording.rows()),
            assets: self.context().assets.to_vec(),
            redactor: self.redactor.clone(),
        };
        match Export::start(path, wanted) {
            Ok(export) => self.export = Some(export),
            Err(error) => self.complain(format!("cannot write {}: {error}", crate::redact::plain(path.as_bytes()))),
        }
    }

    /// Gives the filter a name.
    pub(super) fn save_filter(&mut self, name: &str) {
        let filter = self.bar.committed().to_owned();
        match self.saved.put(name, &filter) {
            Ok(()) => {
                self.bar.names = self.saved.clone();
                self.say(format!("@{} stands for this filter from now on", name.trim().trim_start_matches('@')));
            }
            Err(error) => self.complain(error),
        }
    }

    fn step(&mut self, by: i64) {
        self.follow = false;
        self.play.on = false;
        let rank = self.rank().saturating_add_signed(by).min(self.len().saturating_sub(1));
        if let Some(row) = self.nth(rank) {
            self.go_to(row);
        }
    }

    /// Goes where the analyst wrote: `02:41`, `1:02:41.5`, `40%`, `#388`, `388`.
    pub(super) fn go_where(&mut self, text: &str) {
        let text = text.trim();
        self.follow = false;
        self.play.on = false;
        if let Some(share) = text.strip_suffix('%').and_then(|share| share.trim().parse::<f64>().ok()) {
            let end = self.known.end_ns() as f64;
            self.go_to_time((end * share.clamp(0.0, 100.0) / 100.0) as u64);
        } else if let Ok(event) = text.trim_start_matches('#').replace([',', ' '], "").parse::<u64>() {
            self.go_to(event.saturating_sub(1));
        } else if let Some(time) = clock(text) {
            self.go_to_time(time);
        } else {
            self.complain("write a time like 02:41 or 2.5s, a share like 40%, or an event like #388");
        }
    }

    fn play_or_pause(&mut self) {
        if self.live.is_some() {
            self.paused = !self.paused;
            self.say(if self.paused { "the screen stands still; the subject goes on" } else { "the screen goes on" });
            return;
        }
        self.play.on = !self.play.on;
        let end = self.known.end_ns() as f64;
        if self.play.on && !self.play.reverse && self.play.at_ns >= end {
            self.play.at_ns = 0.0;
        }
    }

    fn speed(&mut self, by: f64) {
        self.play.speed = (self.play.speed * by).clamp(SPEEDS.0, SPEEDS.1);
        self.say(format!("{}{}", speed(self.play.speed), self.theme.sign("×", "x")));
    }

    fn mark(&mut self) {
        let event = self.cursor + 1;
        let marked = self.notes.marks().iter().any(|mark| mark.event == event);
        let what = if marked { What::Unmark } else { What::Mark };
        match self.notes.add(what, event, self.cursor_ns, "") {
            Ok(()) if marked => self.say(format!("#{event} is no longer marked")),
            Ok(()) => self.say(format!("#{event} is marked; {} adds a note", self.key(Action::Note))),
            Err(error) => self.complain(error),
        }
    }

    /// Writes a note on an event.
    pub(super) fn note(&mut self, row: u64, text: &str) {
        let time = self.recording.time(row).ok().flatten().unwrap_or_default();
        match self.notes.add(What::Mark, row + 1, time, text.trim()) {
            Ok(()) => self.say(format!("#{} is marked and noted", row + 1)),
            Err(error) => self.complain(error),
        }
    }

    fn freeze(&mut self) {
        let Some(live) = self.live.clone() else { return };
        let freeze = !live.controls.frozen();
        live.controls.freeze(freeze);
        self.say(if freeze { "the subject is being frozen" } else { "the subject goes on" });
    }

    fn copy(&mut self) {
        let text = match self.view {
            View::Events | View::Terminal => super::views::events::sentence(self),
            _ => self.entry().map(|entry| super::views::plain(self, entry)),
        };
        let Some(mut text) = text else { return };
        if text.len() > COPY {
            let end = (0..=COPY).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
            text.truncate(end);
        }
        self.copy = Some(text);
        self.say("copied, masked, if the terminal lets programs copy (OSC 52)");
    }
}

/// Whether a row holds the rows below it, up to the next of its sort.
fn is_head(row: Entry) -> bool {
    matches!(row, Entry::Dir(..) | Entry::Asset(_) | Entry::System(_))
}

/// A speed as it is shown.
pub(super) fn speed(speed: f64) -> String {
    if speed >= 1.0 { format!("{speed:.0}") } else { format!("{speed:.2}") }
}

/// A time as people write it, nanoseconds: `02:41.5`, `1:02:41`, `90s`.
fn clock(text: &str) -> Option<u64> {
    if !text.contains(':') {
        return crate::query::duration(text).and_then(|time| u64::try_from(time.as_nanos()).ok());
    }
    let mut seconds = 0.0;
    for part in text.split(':') {
        let part: f64 = part.parse().ok().filter(|part: &f64| part.is_finite() && *part >= 0.0)?;
        seconds = seconds * 60.0 + part;
    }
    Some((seconds * 1e9) as u64)
}

/// The looks that a theme may have, for the configuration.
pub(super) fn themed(name: &str, theme: Theme) -> Option<Theme> {
    let found = super::theme::Palette::ALL.iter().find(|(_, known)| *known == name)?;
    Some(Theme { palette: found.0, ..theme })
}

#[cfg(test)]
mod tests {
    use super::clock;

    #[test]
    fn times_are_read_as_people_write_them() {
        assert_eq!(clock("02:41"), Some(161_000_000_000));
        assert_eq!(clock("1:00:00.5"), Some(3_600_500_000_000));
        assert_eq!(clock("2.5s"), Some(2_500_000_000));
        assert_eq!(clock("x:1"), None);
    }
}
