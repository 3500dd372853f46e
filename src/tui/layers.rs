//! What lies above the view for a while: help, the palette, questions, lines that are written, marks, candidates.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::widgets::{Clear, Widget as _};

use super::action::{ACTIONS, Place};
use super::app::{App, Asked, Layer};
use super::text::{Cells, cut, panel, put, put_selected, time, wrap};

/// A question, and what a yes does.
pub(super) fn question(asked: Asked) -> (&'static str, &'static str) {
    match asked {
        Asked::Reveal(_) => ("Show masked bytes? y/n", "The recording's notes will say that you looked."),
        Asked::Kill => ("End the subject? y/n", "All of its processes are ended at once; the recording is finished."),
        Asked::Quit => ("End the subject and leave? y/n", "The recording is finished and its verdict printed."),
    }
}

fn window(buf: &mut Buffer, area: Rect, app: &App, size: (u16, u16), titles: [&str; 3]) -> Rect {
    let (width, height) = (size.0.min(area.width), size.1.min(area.height));
    let place = Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 3, width, height };
    Clear.render(place, buf);
    panel(buf, place, app.theme, true, titles)
}

pub(super) fn draw(app: &App, buf: &mut Buffer, area: Rect) -> Option<Position> {
    let theme = app.theme;
    match app.layer.as_ref()? {
        Layer::Help(top) => help(app, buf, area, *top),
        Layer::Ask(asked) => {
            let (question, why) = question(*asked);
            let inner = window(buf, area, app, (68, 4), ["", "", "y yes   n no"]);
            put(buf, inner, 0, &Cells::new(inner.width, theme).rest(&format!(" {question}"), theme.bright()).line());
            put(buf, inner, 1, &Cells::new(inner.width, theme).rest(&format!(" {why}"), theme.text()).line());
        }
        Layer::Palette(input, at) => {
            let found = app.found(input.value());
            let height = (found.len() as u16 + 3).min(area.height.saturating_sub(2)).max(4);
            let inner = window(buf, area, app, (104, height), ["Do", "", "Enter does it   Esc leaves"]);
            let text = format!(": {}", app.open_redactor.text(input.value().as_bytes(), 200));
            put(buf, inner, 0, &Cells::new(inner.width, theme).rest(&text, theme.bright()).line());
            let rows = usize::from(inner.height.saturating_sub(1));
            let top = (at + 1).saturating_sub(rows);
            for (row, info) in found.iter().enumerate().skip(top).take(rows) {
                let keys = app.keymap.keys(info.action).join(" ");
                let line = Cells::new(inner.width, theme)
                    .left(&format!(" {}", info.name), 24, theme.text())
                    .left(&keys, 16, theme.bright())
                    .rest(info.help, theme.dim())
                    .line();
                let y = (row - top) as u16 + 1;
                if row == *at {
                    put_selected(buf, inner, y, &line, theme, true);
                } else {
                    put(buf, inner, y, &line);
                }
            }
            return Some(Position::new(inner.x + 2 + input.visual_cursor() as u16, inner.y));
        }
        Layer::Goto(input) => {
            let titles = ["Go to", "", "02:41   1:02:41.5   2.5s   40%   #388"];
            return Some(written(app, buf, area, input, titles));
        }
        Layer::Export(input) => {
            let titles = ["Export the events shown to", "", "masked; .csv .jsonl .strace .txt"];
            return Some(written(app, buf, area, input, titles));
        }
        Layer::Name(input) => {
            return Some(written(app, buf, area, input, ["Name of the filter", "", "then @name stands for it"]));
        }
        Layer::Saved(at) => {
            list(
                app,
                buf,
                area,
                ["Filters", "", "Enter takes it"],
                app.saved.all().iter(),
                *at,
                |cells, (name, filter)| {
                    cells
                        .left(&format!(" @{name}"), 20, theme.bright())
                        .rest(&app.open_redactor.text(filter.as_bytes(), 400).to_string(), theme.text())
                },
            );
        }
        Layer::Note(input, row) => {
            let title = format!("Note on #{}", row + 1);
            return Some(written(app, buf, area, input, [&title, "", "kept in notes.jsonl of the recording"]));
        }
        Layer::Marks(at) => {
            list(
                app,
                buf,
                area,
                ["Marks", "", "Enter goes there"],
                app.marks().into_iter(),
                *at,
                |cells, (row, note)| {
                    cells
                        .right(&format!("#{}", row + 1), 12, theme.text())
                        .left(&format!("  {}", time(note.time_ns)), 14, theme.dim())
                        .left(&app.shown(&note.by), 12, theme.dim())
                        .rest(&app.show(note.text.as_bytes(), 400), theme.text())
                },
            );
        }
    }
    None
}

/// A window with one line for each of these, of which one is chosen.
fn list<T>(
    app: &App,
    buf: &mut Buffer,
    area: Rect,
    titles: [&str; 3],
    items: impl ExactSizeIterator<Item = T>,
    at: usize,
    line: impl Fn(Cells, T) -> Cells,
) {
    let size = (76, (items.len() as u16 + 2).min(area.height.saturating_sub(2)).max(3));
    let inner = window(buf, area, app, size, titles);
    let rows = usize::from(inner.height);
    let top = (at + 1).saturating_sub(rows);
    for (index, item) in items.enumerate().skip(top).take(rows) {
        let line = line(Cells::new(inner.width, app.theme), item).line();
        let y = (index - top) as u16;
        if index == at {
            put_selected(buf, inner, y, &line, app.theme, true);
        } else {
            put(buf, inner, y, &line);
        }
    }
}

fn written(app: &App, buf: &mut Buffer, area: Rect, input: &tui_input::Input, titles: [&str; 3]) -> Position {
    let inner = window(buf, area, app, (60, 3), titles);
    let room = usize::from(inner.width.saturating_sub(2));
    let skip = input.visual_scroll(room);
    let text: String = app.open_redactor.text(input.value().as_bytes(), 4096).to_string().chars().skip(skip).collect();
    put(buf, inner, 0, &Cells::new(inner.width, app.theme).rest(&format!(" {text}"), app.theme.text()).line());
    Position::new(inner.x + 1 + (input.visual_cursor() - skip) as u16, inner.y)
}

fn help(app: &App, buf: &mut Buffer, area: Rect, top: usize) {
    let theme = app.theme;
    let own = |place: Place| app.applies(place) && place != Place::Anywhere;
    let mut lines: Vec<(String, &str)> = Vec::new();
    for (wanted, heading) in [(true, "in this view"), (false, "everywhere")] {
        let infos: Vec<_> =
            ACTIONS.iter().filter(|info| app.applies(info.place) && own(info.place) == wanted).collect();
        if infos.is_empty() {
            continue;
        }
        if !lines.is_empty() {
            lines.push((String::new(), ""));
        }
        lines.push((heading.to_owned(), ""));
        lines.extend(infos.into_iter().map(|info| (app.keymap.keys(info.action).join("  "), info.help)));
    }
    lines.extend([(String::new(), ""), ("signs".to_owned(), "")]);
    for (sign, what) in [
        (format!("{} C", theme.mark(crate::store::Verb::Collect)), "collect: client data was read"),
        (format!("{} S", theme.mark(crate::store::Verb::Store)), "store: it was left where it was not before"),
        (
            format!("{} P", theme.mark(crate::store::Verb::Process)),
            "process: it was encoded, hashed, packed, encrypted",
        ),
        (format!("{} U", theme.mark(crate::store::Verb::Use)), "use: planted credentials were presented"),
        (format!("{} T", theme.mark(crate::store::Verb::Transmit)), "transmit: it was sent, or that was tried"),
        (format!("{} K", theme.mark(crate::store::Verb::Control)), "control: hold was taken of the system"),
        (format!("{} D", theme.mark(crate::store::Verb::Disrupt)), "disrupt: data or service was damaged"),
        (format!("{} X", theme.mark(crate::store::Verb::ShutDown)), "shut-down: the system was switched off"),
        (theme.sign("✕  ◇", "x  o").to_owned(), "refused by the sandbox; answered by it without doing it"),
        (theme.sign("••••", "****").to_owned(), "planted client data, masked"),
    ] {
        lines.push((sign, what));
    }
    let inner =
        window(buf, area, app, (84, lines.len() as u16 + 2), ["Keys here", "", "Down scrolls   any other key leaves"]);
    let rows = usize::from(inner.height);
    let width = if inner.width > 60 { 22 } else { 14 };
    // What is too long goes on below.
    let mut wrapped: Vec<(&str, String)> = Vec::new();
    for (keys, help) in &lines {
        for (n, line) in wrap(help, usize::from(inner.width).saturating_sub(width)).into_iter().enumerate() {
            wrapped.push((if n == 0 { keys } else { "" }, line));
        }
    }
    let top = top.min(wrapped.len().saturating_sub(rows));
    for (row, (keys, help)) in wrapped.iter().skip(top).take(rows).enumerate() {
        let cells = Cells::new(inner.width, theme);
        let line = if help.is_empty() {
            cells.rest(&format!(" {keys}"), theme.dim()).line()
        } else {
            cells.left(&format!(" {keys}"), width, theme.bright()).rest(help, theme.text()).line()
        };
        put(buf, inner, row as u16, &line);
    }
}

/// What may come next in the filter, above it.
pub(super) fn candidates(app: &App, buf: &mut Buffer, body: Rect, filter: Rect) {
    let theme = app.theme;
    let offered = &app.bar.candidates;
    if offered.is_empty() || body.height < 4 {
        return;
    }
    let height = (offered.len() as u16 + 2).min(body.height);
    let place = Rect { x: filter.x, y: filter.y.saturating_sub(height), width: filter.width.min(72), height };
    Clear.render(place, buf);
    let inner = panel(buf, place, theme, true, ["", "", "Tab takes it"]);
    for (row, candidate) in offered.iter().enumerate() {
        let line = Cells::new(inner.width, theme)
            .left(&format!(" {}", cut(&app.show(candidate.text.as_bytes(), 80), 24, theme)), 26, theme.text())
            .rest(&candidate.help, theme.dim())
            .line();
        if row == app.bar.chosen {
            put_selected(buf, inner, row as u16, &line, theme, true);
        } else {
            put(buf, inner, row as u16, &line);
        }
    }
}
