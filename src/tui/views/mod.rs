//! The views. Each draws what is in sight of what is known, and nothing else: a frame costs the same over a hundred
//! events and over a hundred million.

pub(super) mod events;
pub(super) mod left;
mod overview;
mod rows;
pub(super) mod terminal;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::app::{App, Spot, View};
use super::entries::Entry;
use super::frame::Room;
use super::text::{Cells, count, panel, put, put_selected};

pub(super) use rows::plain;

/// Draws the view that is shown.
pub(super) fn draw(app: &mut App, buf: &mut Buffer, area: Rect, room: Room) {
    if area.is_empty() {
        return;
    }
    match app.view {
        View::Overview => overview::draw(app, buf, area, room),
        View::Events => events::draw(app, buf, area, room),
        View::Terminal => terminal::draw(app, buf, area),
        View::Flow | View::Findings | View::Network | View::Files => split(app, buf, area, room),
        View::Processes => {
            let (left, right) = titles(app, app.view);
            entries(app, buf, area, [&left, &right, ""], true);
        }
    }
}

/// How many processes have a line of their own.
fn shown(app: &App, view: View) -> usize {
    app.entries.of(view).iter().filter(|entry| matches!(entry, Entry::Process(_))).count()
}

/// The title of a view's list, and its counts.
fn titles(app: &App, view: View) -> (String, String) {
    let known = &app.known;
    let partial = if known.looked < known.rows {
        format!(" {} {}% looked through", app.theme.sign("·", "-"), known.looked * 100 / known.rows.max(1))
    } else {
        String::new()
    };
    let more = if known.unlisted > 0 {
        format!(", {} events about things not listed", count(known.unlisted))
    } else {
        String::new()
    };
    let sent: u64 = known.peers.iter().map(|peer| peer.tries).sum();
    let declared = known.findings.iter().filter(|finding| finding.declared).count();
    let (left, right) = match view {
        View::Flow => ("Data flow", format!("{} ways", count(known.findings.len() as u64))),
        View::Network => {
            ("Destinations", format!("{} {} {} tries{more}", known.peers.len(), app.theme.sign("·", "-"), count(sent)))
        }
        View::Files => ("Files", format!("{}{more}", count(known.files.len() as u64))),
        View::Processes => {
            let alive = known.processes.iter().filter(|one| one.process.ended.is_none()).count();
            let dot = app.theme.sign("·", "-");
            let mut right = format!("{} {dot} {alive} not ended", count(known.processes.len() as u64));
            let folded = known.processes.len() - shown(app, View::Processes);
            if folded > 0 {
                right.push_str(&format!(" {dot} {} folded", count(folded as u64)));
            }
            ("Processes", right)
        }
        View::Findings => {
            ("Findings", format!("{} {} {declared} declared", known.findings.len(), app.theme.sign("·", "-")))
        }
        _ => ("", String::new()),
    };
    (left.to_owned(), format!("{right}{partial}"))
}

/// A list of the view's rows, and below it what belongs to the selected one.
fn split(app: &mut App, buf: &mut Buffer, area: Rect, room: Room) {
    let (left, right) = titles(app, app.view);
    let legend = match app.view {
        View::Flow => {
            app.theme.sign("━ same bytes  ─ same process  ╌ suspected", "= same bytes  - same process  . suspected")
        }
        _ => "",
    };
    let rows = app.entries.of(app.view).len();
    let nothing = rows == 0 || app.view == View::Files && app.pane == 0 && left::pieces(app).is_empty();
    // Few rows leave more to what belongs to them: four lines are box, heading and one to spare.
    let spare = area.height.saturating_sub(u16::try_from(rows + 4).unwrap_or(u16::MAX));
    let below = match (app.zoom, app.pane, room) {
        _ if nothing => 0,
        (true, 0, _) | (false, _, Room::List) if app.pane == 0 => 0,
        (true, _, _) | (_, _, Room::List) => area.height,
        _ if app.view == View::Files => (area.height * 2 / 5).max(5),
        _ => (area.height * 2 / 5).max(spare.min(area.height * 3 / 4)).max(5),
    };
    let top = Rect { height: area.height - below, ..area };
    if top.height > 0 {
        entries(app, buf, top, [&left, &right, legend], app.pane == 0);
    }
    let place = Rect { y: area.y + top.height, height: below, ..area };
    if place.height > 0 {
        match app.view {
            View::Network => rows::conversation(app, buf, place),
            View::Files => left::draw(app, buf, place),
            _ => rows::chain(app, buf, place),
        }
    }
}

/// A list of rows in a box.
fn entries(app: &mut App, buf: &mut Buffer, area: Rect, titles: [&str; 3], focus: bool) {
    let view = app.view;
    let inner = panel(buf, area, app.theme, focus, titles);
    let rows: Vec<Entry> = app.entries.of(view).to_vec();
    if rows.is_empty() {
        nothing(app, buf, inner, view);
        return;
    }
    let head = rows::heading(app, view, inner.width);
    list(app, buf, inner, 0, rows.len(), focus, head, |app, at, width| {
        rows.get(at).map_or_else(Line::default, |entry| rows::line(app, *entry, width))
    });
}

/// Says why there is nothing.
fn nothing(app: &App, buf: &mut Buffer, area: Rect, view: View) {
    let what = match view {
        _ if app.known.looked < app.known.rows => "looking through the recording",
        View::Flow | View::Findings => "nothing was found so far: no client data was seen on its way",
        View::Network => "no destination was called",
        View::Files => "no file was named",
        View::Processes => "no process is known",
        _ => "nothing yet",
    };
    put(buf, area, 0, &Cells::new(area.width, app.theme).rest(&format!(" {what}"), app.theme.dim()).line());
}

/// Draws what is in sight of a list, and keeps its selected row there.
#[allow(clippy::too_many_arguments)] // one list, all of it: no two of these belong together
fn list(
    app: &mut App,
    buf: &mut Buffer,
    area: Rect,
    pane: usize,
    len: usize,
    focus: bool,
    head: Option<Line<'static>>,
    line: impl Fn(&App, usize, u16) -> Line<'static>,
) {
    let mut area = area;
    if let Some(head) = head.filter(|_| area.height > 3) {
        put(buf, area, 0, &head);
        area = Rect { y: area.y + 1, height: area.height - 1, ..area };
    }
    let height = usize::from(area.height);
    let Some(state) = app.lists.get_mut(app.view as usize).and_then(|lists| lists.get_mut(pane)) else { return };
    state.fit(len, height);
    let state = *state;
    if focus {
        app.page = height;
    }
    for row in 0..height.min(len.saturating_sub(state.top)) {
        let at = state.top + row;
        let line = line(app, at, area.width);
        if at == state.selected {
            put_selected(buf, area, row as u16, &line, app.theme, focus);
        } else {
            put(buf, area, row as u16, &line);
        }
    }
    scroll_bar(app, buf, area, state.top as u64, len as u64);
    app.spots.push((area, Spot::List(pane)));
}

/// Shows on the border which part of a longer list is in sight.
fn scroll_bar(app: &App, buf: &mut Buffer, area: Rect, top: u64, len: u64) {
    let height = u64::from(area.height);
    if len <= height || height < 2 {
        return;
    }
    let thumb = (u128::from(height) * u128::from(height) / u128::from(len)).max(1) as u64;
    let free = u128::from(height - thumb);
    let from = (u128::from(top) * free).div_ceil(u128::from(len - height)).min(free) as u16;
    for row in from..from + thumb as u16 {
        if area.right() < buf.area.right() {
            buf.set_string(area.right(), area.y + row, app.theme.sign("┃", "="), app.theme.text());
        }
    }
}
