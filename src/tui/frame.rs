//! The frame that all views share: who and how it goes on the first line, tabs, the view, the strip of time, filter
//! and hints. What there is no room for goes, in an order: hints last but the header, and of that the counts last.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr as _;

use super::action::Action;
use super::app::{App, Spot, View};
use super::text::{Cells, clock, count, cut, put, short, time};
use super::{layers, strip, views};
use crate::bundle::State;

/// How much room there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Room {
    /// One line that says what counts.
    Line,
    /// A list under a header: from 40x12.
    List,
    /// A main and a detail pane: from 80x24.
    Normal,
    /// Two panes side by side: from 100 columns.
    Wide,
    /// All there is: from 120x36.
    Full,
}

impl Room {
    /// Of a screen.
    pub(super) fn of(area: Rect) -> Self {
        match (area.width, area.height) {
            (120.., 36..) => Self::Full,
            (100.., 24..) => Self::Wide,
            (80.., 24..) => Self::Normal,
            (40.., 12..) => Self::List,
            _ => Self::Line,
        }
    }
}

/// Draws everything; returns where the cursor of a line that is written stands.
pub(super) fn draw(app: &mut App, buf: &mut Buffer) -> Option<Position> {
    let area = buf.area;
    app.spots.clear();
    app.lines.forget();
    if area.is_empty() {
        return None;
    }
    let room = Room::of(area);
    if room == Room::Line {
        line(app, buf, area);
        return None;
    }
    let strip = match room {
        Room::Full | Room::Wide => 3,
        Room::Normal => 2,
        _ => 0,
    };
    let (tabs, hints) = (u16::from(room > Room::List), u16::from(room > Room::List));
    header(app, buf, Rect { height: 1, ..area }, room);
    let mut y = area.y + 1;
    if tabs > 0 {
        draw_tabs(app, buf, Rect { y, height: 1, ..area }, room);
        y += 1;
    }
    let body = area.height.saturating_sub(1 + tabs + strip + 1 + hints);
    let body = Rect { y, height: body, ..area };
    views::draw(app, buf, body, room);
    y += body.height;
    if strip > 0 {
        let place = Rect { y, height: strip, ..area };
        strip::draw(app, buf, place);
        y += strip;
    }
    let filter = Rect { y, height: 1, ..area };
    let mut cursor = draw_filter(app, buf, filter);
    if hints > 0 {
        draw_hints(app, buf, Rect { y: y + 1, height: 1, ..area });
    }
    if app.bar.editing {
        layers::candidates(app, buf, body, filter);
    }
    if let Some(place) = layers::draw(app, buf, area) {
        cursor = Some(place);
    }
    cursor
}

/// Events known, and lost.
fn counts(app: &App) -> (u64, u64) {
    let recorded = app.known.session.as_ref().map_or(0, |session| session.lost);
    match &app.live {
        Some(live) if live.alive() => {
            let (events, lost, _) = live.counts();
            (events.max(app.recording.rows()), lost.max(app.known.lost))
        }
        _ => (app.recording.rows(), app.known.lost.max(recorded)),
    }
}

fn line(app: &App, buf: &mut Buffer, area: Rect) {
    let theme = app.theme;
    let (events, lost) = counts(app);
    let told = app.known.findings.iter().filter(|finding| !finding.declared).count();
    let lines = [
        format!("{}{told} lost {lost} {}", theme.sign("✕", "x"), app.mode()),
        format!("{} events {}", count(events), clock(app.cursor_ns)),
        if let Some((text, ..)) = &app.message { text.clone() } else { "make me larger".into() },
    ];
    for (row, text) in lines.iter().enumerate() {
        let style = if row == 0 { theme.bright() } else { theme.dim() };
        put(buf, area, row as u16, &Cells::new(area.width, theme).rest(text, style).line());
    }
    if let Some(super::app::Layer::Ask(asked)) = app.layer {
        put(buf, area, 0, &Cells::new(area.width, theme).rest(layers::question(asked).0, theme.bad()).line());
    }
}

fn header(app: &App, buf: &mut Buffer, area: Rect, room: Room) {
    let theme = app.theme;
    let bar = Span::styled(theme.sign(" │ ", " | "), theme.dim());
    let (events, lost) = counts(app);
    let session = app.known.session.as_ref();
    let mode = app.mode();
    let sign = match mode {
        "LIVE" | "RUNNING" | "PLAY" => theme.sign("●", "*"),
        "FROZEN" | "PAUSED" | "REPLAY" => theme.sign("‖", "="),
        _ => theme.sign("■", "#"),
    };
    let mode_style = match mode {
        "LIVE" | "RUNNING" => theme.good().patch(theme.bright()),
        "FROZEN" | "CUT OFF" => theme.bad(),
        _ => theme.bright(),
    };
    let end = app.known.end_ns();
    let when = if app.live.is_some() {
        clock(app.now_ns())
    } else if room >= Room::Normal {
        format!("{} / {}", time(app.cursor_ns), clock(end))
    } else {
        clock(app.cursor_ns)
    };
    let speed = if (app.play.speed - 1.0).abs() < 0.001 && !app.play.reverse {
        String::new()
    } else {
        let back = if app.play.reverse { "-" } else { "" };
        format!(" {back}{}{}", super::update::speed(app.play.speed), theme.sign("×", "x"))
    };
    // What never goes: mode, losses, verdict of the recording.
    let mut right = vec![Span::raw(format!("{} ev", count(events)))];
    if app.alive() && room >= Room::Normal {
        let rate = app.known.histogram.rate(app.now_ns());
        right.extend([bar.clone(), Span::raw(format!("{}/s", short(rate)))]);
    }
    let lost_style = if lost > 0 { theme.bad() } else { theme.text() };
    right.extend([bar.clone(), Span::styled(format!("lost {}", count(lost)), lost_style)]);
    if room >= Room::Normal {
        let is_calls =
            |witness: &&crate::bundle::WitnessInfo| witness.used && matches!(witness.name.as_str(), "ebpf" | "notify");
        let witness = session.and_then(|session| session.witnesses.iter().find(is_calls));
        let witness = witness.map_or("?", |witness| witness.name.as_str());
        right.extend([bar.clone(), Span::raw(app.shown(witness))]);
    }
    let state = match app.known.state {
        _ if app.live.as_ref().is_some_and(|live| live.counts().2) => Some("RECORDING FAILED"),
        State::CutOff => Some("CUT OFF"),
        State::Failed => Some("FAILED"),
        _ if app.known.trouble.is_some() => Some("DAMAGED"),
        _ => None,
    };
    if let Some(state) = state {
        right.extend([bar.clone(), Span::styled(state, theme.bad())]);
    }
    right.push(Span::raw(" "));
    let right = Line::from(right);
    let width = right.width() as u16;
    let mut left = vec![Span::styled(" belljar", theme.bright()), bar.clone()];
    if room == Room::List {
        left.clear();
    }
    left.push(Span::styled(format!("{sign} {mode}"), mode_style));
    left.push(Span::raw(format!(" {when}{speed}")));
    let over = session.filter(|_| mode == "ENDED" && room >= Room::Normal);
    if let Some(exit) = over.and_then(|session| session.exit.as_ref()) {
        let (text, style) = match (exit.code, exit.signal) {
            (Some(code), _) => (format!(" exit {code}"), if code == 0 { theme.text() } else { theme.warn() }),
            (None, Some(signal)) => (format!(" signal {signal}"), theme.warn()),
            (None, None) => (String::new(), theme.text()),
        };
        left.push(Span::styled(text, style));
    }
    if let Some(session) = session.filter(|_| room >= Room::Normal) {
        let argv = session.argv.iter().map(|arg| app.show(arg.as_bytes(), 60)).collect::<Vec<_>>().join(" ");
        let used: usize = left.iter().map(|span| span.content.width()).sum();
        let free = usize::from(area.width.saturating_sub(width)).saturating_sub(used + 4);
        left.extend([bar, Span::raw(cut(&argv, free, theme))]);
    }
    buf.set_line(area.x, area.y, &Line::from(left), area.width.saturating_sub(width));
    buf.set_line(area.right().saturating_sub(width), area.y, &right, width.min(area.width));
}

fn draw_tabs(app: &mut App, buf: &mut Buffer, area: Rect, room: Room) {
    let theme = app.theme;
    let told = app.known.findings.iter().filter(|finding| !finding.declared).count();
    let mut x = area.x;
    for (at, (view, long, short)) in View::ALL.into_iter().enumerate() {
        let name = if room >= Room::Wide { long } else { short };
        let more =
            if view == View::Findings && told > 0 { format!("{}{told}", theme.sign("·", ":")) } else { String::new() };
        let text = format!("{} {name}{more}", at + 1);
        let (text, style) = if view == app.view {
            (format!("[{text}]"), theme.border(true).patch(theme.bright()))
        } else {
            (format!(" {text} "), if view == View::Findings && told > 0 { theme.text() } else { theme.dim() })
        };
        let width = text.width() as u16;
        if x + width > area.right() {
            break;
        }
        buf.set_string(x, area.y, &text, style);
        app.spots.push((Rect { x, width, ..area }, Spot::Tab(view)));
        x += width + u16::from(room >= Room::Wide);
    }
}

fn draw_filter(app: &App, buf: &mut Buffer, area: Rect) -> Option<Position> {
    let theme = app.theme;
    let label = if area.width >= 100 { " Filter " } else { " " };
    let label = format!("{label}{} ", theme.sign("▸", ">"));
    let start = label.width() as u16;
    let (state, style) = match (&app.bar.error, &app.hits) {
        (Some(error), _) => {
            let help = error.help.as_ref().map_or(String::new(), |help| format!(": {help}"));
            (format!("{} {}{help}", theme.sign("⚠", "!"), error.message), theme.warn())
        }
        (None, Some(hits)) => {
            let found = format!("{} of {}", count(hits.rows.len()), count(hits.looked));
            match (&hits.trouble, hits.done) {
                (Some(trouble), _) => (format!("{} {found}, then: {trouble}", theme.sign("✗", "x")), theme.bad()),
                (None, true) => (
                    format!("{} {found} {} {} ms", theme.sign("✓", "v"), theme.sign("·", "-"), hits.took.as_millis()),
                    theme.good(),
                ),
                (None, false) => {
                    let share = hits.looked * 100 / app.recording.rows().max(1);
                    (format!("{found} {} {share}%", theme.sign("…", "...")), theme.dim())
                }
            }
        }
        (None, None) if app.bar.editing => (format!("all {} events", count(app.recording.rows())), theme.dim()),
        (None, None) => (String::new(), theme.dim()),
    };
    let room = usize::from(area.width.saturating_sub(start));
    let state = cut(&state, room * 2 / 3, theme);
    let state_width = state.width() as u16;
    let text = if app.bar.editing || !app.bar.text().is_empty() {
        app.open_redactor.text(app.bar.text().as_bytes(), 4096).to_string()
    } else {
        format!("no filter {} {} writes one", theme.sign("·", "-"), app.key(Action::Filter))
    };
    let text_style = match (app.bar.editing, app.bar.text().is_empty()) {
        (false, true) => theme.dim(),
        _ => theme.text(),
    };
    let free = room.saturating_sub(usize::from(state_width) + 2);
    let label_style = if app.bar.editing { theme.border(true) } else { theme.dim() };
    // While it is written its end is what is looked at.
    let skip = if app.bar.editing { app.bar.column().saturating_sub(free.saturating_sub(1)) } else { 0 };
    let shown: String = text.chars().skip(skip).collect();
    let shown = if app.bar.editing { shown } else { cut(&shown, free, theme) };
    let line = Cells::new(area.width, theme).text(&label, label_style).left(&shown, free, text_style).line();
    put(buf, area, 0, &line);
    buf.set_stringn(area.right().saturating_sub(state_width + 1), area.y, &state, usize::from(state_width), style);
    app.bar.editing.then(|| Position::new(area.x + start + (app.bar.column() - skip) as u16, area.y))
}

fn draw_hints(app: &App, buf: &mut Buffer, area: Rect) {
    let theme = app.theme;
    if let Some((text, bad, _)) = &app.message {
        let style = if *bad { theme.bad() } else { theme.border(true) };
        put(buf, area, 0, &Cells::new(area.width, theme).rest(&format!(" {text}"), style).line());
        return;
    }
    if let Some(trouble) = app.known.trouble.as_ref() {
        put(buf, area, 0, &Cells::new(area.width, theme).rest(&format!(" {trouble}"), theme.bad()).line());
        return;
    }
    let mut cells = Cells::new(area.width, theme);
    for (key, what) in hints(app) {
        if cells.room() < key.width() + what.width() + 3 {
            break;
        }
        cells = cells.text(" ", theme.text()).text(&key, theme.bright()).text(&format!(" {what} "), theme.dim());
    }
    put(buf, area, 0, &cells.line());
}

/// Keys and what they do, what is nearest first.
fn hints(app: &App) -> Vec<(String, &'static str)> {
    if app.typing {
        return vec![("Ctrl-]".into(), "takes the keyboard back from the subject")];
    }
    if app.bar.editing {
        return [("Enter", "take"), ("Tab", "complete"), ("Esc", "as before"), ("Up/Down", "choose")]
            .map(|(key, what)| (key.to_owned(), what))
            .to_vec();
    }
    let own: &[(Action, &str)] = match app.view {
        View::Overview => &[(Action::Open, "its events"), (Action::NextPane, "pane")],
        View::Events => &[
            (Action::NextPane, "detail"),
            (Action::Earlier, "-1 s"),
            (Action::Later, "+1 s"),
            (Action::Repeats, "fold"),
            (Action::Reveal, "reveal"),
        ],
        View::Flow | View::Findings => &[(Action::Open, "evidence"), (Action::NextPane, "chain")],
        View::Network => &[(Action::Open, "its events"), (Action::NextPane, "what was said")],
        View::Files => &[(Action::Unfold, "unfold"), (Action::Open, "its events"), (Action::NextPane, "what is left")],
        View::Processes if app.known.repeats.is_empty() => &[(Action::Open, "its events")],
        View::Processes => &[(Action::Open, "its events"), (Action::Unfold, "unfold")],
        View::Terminal if app.alive() => &[(Action::Keyboard, "type")],
        View::Terminal => &[],
    };
    let mut all: Vec<(Action, &str)> = vec![(Action::Help, "help"), (Action::Quit, "quit"), (Action::Filter, "filter")];
    if app.hits.is_some() {
        all.extend([(Action::NextMatch, "next match"), (Action::Around, "among all")]);
    }
    all.extend(own);
    all.push((Action::NextClient, "next client event"));
    if app.live.is_none() {
        all.extend([(Action::Play, "play"), (Action::Step, "step"), (Action::Goto, "go to")]);
    } else if app.alive() {
        all.extend([(Action::Follow, "follow"), (Action::Freeze, "freeze"), (Action::Kill, "kill")]);
    }
    all.extend([
        (Action::Back, "less filter"),
        (Action::Mark, "mark"),
        (Action::Copy, "copy"),
        (Action::Export, "export"),
    ]);
    all.push((Action::Palette, "all"));
    all.into_iter().map(|(action, what)| (app.key(action).to_owned(), what)).collect()
}
