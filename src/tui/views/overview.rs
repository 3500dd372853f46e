//! What happened, on one page: what was done with each asset, what was found, and what the rest of the views hold.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Line;

use super::super::action::Action;
use super::super::app::{App, View};
use super::super::entries::Entry;
use super::super::frame::Room;
use super::super::text::{Cells, bytes, count, panel, put, put_selected, short, time, wrap};
use super::{events, list, rows, terminal};
use crate::analysis::verdict::{Coverage, Status, judge};
use crate::bundle::State;
use crate::store::Verb;

pub(super) fn draw(app: &mut App, buf: &mut Buffer, area: Rect, room: Room) {
    if app.zoom || room == Room::List {
        if app.pane == 0 {
            assets(app, buf, area);
        } else {
            findings(app, buf, area);
        }
        return;
    }
    if room < Room::Wide {
        let below = (area.height.saturating_sub(3)) / 2;
        let top = Rect { height: area.height.saturating_sub(3 + below), ..area };
        assets(app, buf, top);
        findings(app, buf, Rect { y: top.bottom(), height: below, ..area });
        let lines = Rect { y: area.bottom().saturating_sub(3), height: 3, ..area };
        for (row, (label, text)) in summary(app).into_iter().enumerate() {
            let line = Cells::new(lines.width, app.theme)
                .left(&format!(" {label}"), 9, app.theme.dim())
                .rest(&text, app.theme.text());
            put(buf, lines, row as u16, &line.line());
        }
        return;
    }
    let full = room == Room::Full;
    let first = if full { (area.height * 2 / 5).max(8) } else { area.height / 2 };
    // All eight verbs and a box around them, before anything that is told elsewhere.
    let second = if full { ((area.height - first) / 2).max(10) } else { area.height - first };
    let third = area.height - first - second;
    // Assets need no more; findings have sentences.
    let half = (area.width * 3 / 5).min(84);
    assets(app, buf, Rect { height: first, width: half, ..area });
    findings(app, buf, Rect { height: first, x: area.x + half, width: area.width - half, ..area });
    let y = area.y + first;
    let part = area.width / 4;
    let place = |n: u16, width: u16| Rect { x: area.x + n * part, y, width, height: second };
    verdict(app, buf, place(0, part));
    processes(app, buf, place(1, part));
    network(app, buf, place(2, part));
    coverage(app, buf, place(3, area.width - 3 * part));
    if third > 2 {
        let y = y + second;
        let width = area.width * 2 / 5;
        let left = Rect { y, height: third, width, ..area };
        let inner = panel(buf, left, app.theme, false, ["Program output", "sanitised", ""]);
        terminal::show(app, buf, inner);
        client_events(app, buf, Rect { x: area.x + width, y, width: area.width - width, height: third });
    }
}

fn assets(app: &mut App, buf: &mut Buffer, area: Rect) {
    let touched = app.known.assets.iter().filter(|used| used.verbs != [0; 8]).count();
    let right = format!("{touched} of {} planted assets touched", app.known.assets.len());
    super::entries(app, buf, area, ["Client data", &right, ""], app.pane == 0);
}

fn findings(app: &mut App, buf: &mut Buffer, area: Rect) {
    let focus = app.pane == 1;
    let all = std::sync::Arc::clone(&app.known.findings);
    let declared = all.iter().filter(|finding| finding.declared).count();
    let right = if declared > 0 { format!("{declared} declared") } else { String::new() };
    let title = format!("Findings {}", all.len());
    let inner = panel(buf, area, app.theme, focus, [&title, &right, ""]);
    if all.is_empty() {
        put(
            buf,
            inner,
            0,
            &Cells::new(inner.width, app.theme).rest(" nothing was found so far", app.theme.dim()).line(),
        );
        return;
    }
    list(app, buf, inner, 1, all.len(), focus, None, |app, at, width| {
        all.get(at).map_or_else(Line::default, |finding| rows::finding(app, finding, width))
    });
}

/// The page in three lines.
fn summary(app: &App) -> [(&'static str, String); 3] {
    let known = &app.known;
    let processes: Vec<String> = known
        .processes
        .iter()
        .filter(|one| one.client > 0)
        .take(6)
        .map(|one| format!("{} {}", app.show(one.process.name(), 30), rows::marks(app, one.verbs)))
        .collect();
    let tries: u64 = known.peers.iter().map(|peer| peer.tries).sum();
    let told = known.peers.iter().filter(|peer| peer.client > 0).count();
    let mut procs = format!("{} in all", count(known.processes.len() as u64));
    if !processes.is_empty() {
        procs.push_str(&format!("; with client data: {}", processes.join(", ")));
    }
    // What is a violation first: the line is short.
    let judged = verdicts(app);
    let group = |wanted: Status, sign: &str| {
        let verbs: Vec<&str> =
            judged.iter().filter(|(_, status)| *status == wanted).map(|(verb, _)| verb.name()).collect();
        if verbs.is_empty() { String::new() } else { format!("{sign} {}  ", verbs.join(" ")) }
    };
    let bad = group(Status::Violation, app.theme.sign("✕", "x"));
    let unexplained = group(Status::Unexplained, if bad.is_empty() { "? unexplained:" } else { "?" });
    let rest = if bad.is_empty() && unexplained.is_empty() { "no violation, nothing unexplained" } else { "" };
    [
        ("procs", procs),
        ("net", format!("{} destinations, {} tries, {told} with client data", known.peers.len(), count(tries))),
        ("verdict", format!("{bad}{unexplained}{rest}")),
    ]
}

/// Verbs that have something to be said of them. While a session runs it is what was found so far.
fn verdicts(app: &App) -> Vec<(Verb, Status)> {
    let coverage = app.known.session.as_ref().and_then(|session| session.coverage.clone()).unwrap_or(Coverage {
        truncated: app.known.state == State::CutOff,
        lost: app.known.lost,
        ..Coverage::default()
    });
    let judged = judge(app.known.findings.to_vec(), &app.rules, coverage);
    let told = |status: Status| matches!(status, Status::Violation | Status::Unexplained);
    let mut all: Vec<(Verb, Status)> = judged.criteria.iter().map(|one| (one.verb, one.status)).collect();
    all.sort_by_key(|(_, status)| !told(*status));
    all
}

fn verdict(app: &App, buf: &mut Buffer, area: Rect) {
    let theme = app.theme;
    let so_far = if app.alive() { "so far" } else { "" };
    let inner = panel(buf, area, theme, false, ["Verdict", so_far, ""]);
    for (row, (verb, status)) in verdicts(app).into_iter().enumerate() {
        let (sign, style) = match status {
            Status::Violation => (theme.sign("✕", "x"), theme.bad()),
            Status::Unexplained => ("?", theme.warn()),
            Status::NotTestable => ("-", theme.dim()),
            Status::NotObserved => (theme.sign("·", "."), theme.dim()),
        };
        let is_declared = app.known.findings.iter().any(|finding| finding.verb == verb && finding.declared);
        let word = if status == Status::NotObserved && is_declared { "declared" } else { status.name() };
        let events = app.known.verbs.get(verb as usize).copied().unwrap_or_default();
        let count = if events > 0 { short(events) } else { String::new() };
        let line = Cells::new(inner.width, theme)
            .text(&format!(" {} ", theme.mark(verb)), if events > 0 { theme.verb(verb) } else { theme.dim() })
            .left(verb.name(), 10, if events > 0 { theme.text() } else { theme.dim() })
            .text(&format!("{sign} "), style)
            .left(word, 13, style)
            .rest(&count, theme.dim())
            .line();
        put(buf, inner, row as u16, &line);
    }
}

/// The tree as it stands in its own view; where it has no room, those with client data and those that live before all
/// others.
fn processes(app: &App, buf: &mut Buffer, area: Rect) {
    let theme = app.theme;
    let all = &app.known.processes;
    let alive = all.iter().filter(|one| one.process.ended.is_none()).count();
    let right = if app.alive() { format!("{alive} alive") } else { count(all.len() as u64) };
    let inner = panel(buf, area, theme, false, ["Processes", &right, ""]);
    let height = usize::from(inner.height);
    let rows = app.entries.of(View::Processes);
    let weight = |entry: &Entry| match *entry {
        Entry::Process(at) => all.get(at).map_or(2_u8, |one| match (one.client, one.process.ended) {
            (1.., _) => 0,
            (0, None) => 1,
            (0, _) => 2,
        }),
        _ => 2,
    };
    let mut shown: Vec<(u8, usize)> = rows.iter().enumerate().map(|(n, entry)| (weight(entry), n)).collect();
    let left = if shown.len() > height { shown.len() + 1 - height } else { 0 };
    if left > 0 {
        shown.sort_unstable();
        shown.truncate(height.saturating_sub(1));
        shown.sort_unstable_by_key(|(_, n)| *n);
        let more = format!(" {left} more: {} shows all", app.key(Action::Processes));
        let line = Cells::new(inner.width, theme).rest(&more, theme.dim()).line();
        put(buf, inner, height.saturating_sub(1) as u16, &line);
    }
    for (row, entry) in shown.iter().filter_map(|(_, n)| rows.get(*n)).take(height).enumerate() {
        put(buf, inner, row as u16, &rows::process_brief(app, *entry, inner.width));
    }
}

fn network(app: &App, buf: &mut Buffer, area: Rect) {
    let theme = app.theme;
    let sent: u64 = app.known.peers.iter().map(|peer| peer.sent).sum();
    let inner = panel(buf, area, theme, false, ["Network", &format!("{} sent", bytes(sent)), ""]);
    for (row, peer) in app.known.peers.iter().take(usize::from(inner.height)).enumerate() {
        let style = if peer.client > 0 { theme.text() } else { theme.dim() };
        let line = Cells::new(inner.width, theme)
            .text(" ", style)
            .left(&app.show(&peer.object.name, 100), usize::from(inner.width).saturating_sub(11), style)
            .left(&rows::marks(app, peer.verbs), 4, peer.verbs.iter().last().map_or(style, |verb| theme.verb(verb)))
            .right(&short(peer.tries), 5, theme.dim())
            .line();
        put(buf, inner, row as u16, &line);
    }
}

fn coverage(app: &App, buf: &mut Buffer, area: Rect) {
    let theme = app.theme;
    let session = app.known.session.as_ref();
    let coverage = session.and_then(|session| session.coverage.as_ref());
    let blind = coverage.map_or(&[][..], |coverage| &coverage.blind);
    let gaps = match blind.len() {
        0 => String::new(),
        1 => "1 gap".to_owned(),
        n => format!("{n} gaps"),
    };
    let inner = panel(buf, area, theme, false, ["Coverage", &gaps, ""]);
    let mut lines: Vec<(&str, String, Style)> = Vec::new();
    if let Some(session) = session {
        let mut used: Vec<&str> = session.witnesses.iter().filter(|w| w.used).map(|w| w.name.as_str()).collect();
        // The witness of system calls before the others.
        used.sort_by_key(|name| !matches!(*name, "ebpf" | "notify"));
        lines.push(("witness", app.shown(&used.join(" ")), theme.text()));
        lines.push(("profile", app.shown(&session.profile.name), theme.text()));
    }
    let lost = app.known.lost.max(session.map_or(0, |session| session.lost));
    lines.push(("lost", count(lost), if lost > 0 { theme.bad() } else { theme.text() }));
    lines.push(("refused", count(app.known.denied), theme.text()));
    if let Some(coverage) = coverage {
        lines.push(("read", format!("{} of {} connections", coverage.decrypted, coverage.connections), theme.text()));
    }
    let mut told = |sign: &'static str, text: &str, style: Style| {
        for (n, line) in wrap(text, usize::from(inner.width).saturating_sub(4)).into_iter().enumerate() {
            lines.push(("", format!(" {} {line}", if n == 0 { sign } else { " " }), style));
        }
    };
    for text in blind {
        told(theme.sign("⚠", "!"), &app.shown(text), theme.warn());
    }
    for note in app.live.iter().flat_map(|live| live.notes()) {
        told(theme.sign("·", "-"), &note, theme.dim());
    }
    let height = usize::from(inner.height);
    if lines.len() > height && height > 1 {
        let more = format!(" {} more lines in the report", lines.len() + 1 - height);
        lines.truncate(height - 1);
        lines.push(("", more, theme.dim()));
    }
    for (row, (label, text, style)) in lines.iter().take(height).enumerate() {
        let mut cells = Cells::new(inner.width, theme);
        if !label.is_empty() {
            cells = cells.left(&format!(" {label}"), 10, theme.dim());
        }
        put(buf, inner, row as u16, &cells.rest(text, *style).line());
    }
}

/// The events with a verb around the moment.
fn client_events(app: &mut App, buf: &mut Buffer, area: Rect) {
    let theme = app.theme;
    let (all, before) = (app.known.client.len(), app.known.client.rank(app.cursor + 1));
    let right = format!("{} of {} until {}", count(before), count(all), time(app.cursor_ns));
    let inner = panel(buf, area, theme, false, ["Events that touch client data", &right, ""]);
    let height = u64::from(inner.height);
    // The last one before the moment, with what comes next below where there is room.
    let top = before.saturating_sub(height.div_ceil(2)).min(all.saturating_sub(height));
    for line in 0..height {
        let Some(row) = app.known.client.select(top + line) else { break };
        let Some(event) = events::event(app, row) else { continue };
        let text = events::brief(app, &event, inner.width);
        if top + line + 1 == before {
            put_selected(buf, inner, line as u16, &text, theme, false);
        } else {
            put(buf, inner, line as u16, &text);
        }
    }
}
