//! The events: a list, all fields of the one at the moment, and the bytes of one of them. The fields are those of the
//! registry; the field that is selected is the one whose bytes are shown.

use std::sync::Arc;

use belljar_sandbox::event::Decision;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::super::action::Action;
use super::super::app::{App, Spot, View};
use super::super::frame::Room;
use super::super::text::{Cells, bytes, clock, count, cut_middle, panel, put, put_selected, time};
use super::rows::marks;
use crate::query::Context;
use crate::query::field::{FIELDS, Scalar, Type, decision, error_name};
use crate::redact::Redactor;
use crate::store::{AssetInfo, Object, Record, Verbs};

/// Bytes of a name fetched for a line.
const NAME: usize = 300;
/// Fields that stand first in the detail.
const FIRST: [&str; 14] = [
    "verb", "asset", "class", "op", "object", "target", "decision", "errno", "result", "bytes", "proc", "argv",
    "detail", "payload",
];
/// Bytes shown of one field.
const BYTES: usize = 64 << 10;

/// What a line says of an event.
pub(in super::super) struct Event {
    pub(super) seq: u64,
    pub(super) time_ns: u64,
    pub(super) op: &'static str,
    pub(super) verbs: Verbs,
    pid: u32,
    process: String,
    decision: Decision,
    asset: String,
    object: String,
    detail: String,
    bytes: u64,
    error: Option<&'static str>,
}

impl Event {
    /// Of a record, made safe to show.
    pub(in super::super) fn of(record: &Record<'_>, redactor: &Redactor, assets: &[AssetInfo]) -> Self {
        let name = |object: Option<&Object>| {
            object.map(|object| redactor.text(&object.name, NAME).to_string()).unwrap_or_default()
        };
        let (object, target) = (name(record.object), name(record.target));
        let object = match (object.is_empty(), target.is_empty()) {
            (_, true) => object,
            (false, false) if object == target => object,
            (true, false) => target,
            (false, false) => format!("{object} -> {target}"),
        };
        let asset = record.assets.iter().next().and_then(|at| assets.get(at)).map(|asset| asset.name.as_str());
        let detail = record.detail.strip_suffix(b"\0").unwrap_or(record.detail);
        let detail: Vec<String> =
            detail.split(|byte| *byte == 0).take(16).map(|part| redactor.text(part, NAME).to_string()).collect();
        Self {
            seq: record.seq,
            time_ns: record.time_ns,
            op: record.op(),
            verbs: record.verbs,
            pid: record.process.map_or(0, |process| process.pid),
            process: record.process.map(|p| redactor.text(p.name(), 60).to_string()).unwrap_or_default(),
            decision: record.decision,
            asset: asset.map(|name| redactor.text(name.as_bytes(), 60).to_string()).unwrap_or_default(),
            object,
            detail: detail.join(" "),
            bytes: record.payload_len,
            error: record.result.and_then(error_name),
        }
    }

    /// What was said, for a conversation.
    pub(super) fn said(&self) -> String {
        let size = if self.bytes > 0 { format!("  {}", bytes(self.bytes)) } else { String::new() };
        format!("{} {}{size}", self.detail, if self.detail.is_empty() { self.object.as_str() } else { "" })
    }
}

/// One event for a line; `None` while it is still read.
pub(super) fn event(app: &mut App, row: u64) -> Option<Arc<Event>> {
    let App { recording, redactor, known, lines, .. } = app;
    if !recording.is_at_hand(row) {
        return lines.get(row);
    }
    let assets = known.session.as_ref().map_or(&[][..], |session| &session.assets);
    match recording.row(row, |record| Event::of(record, redactor, assets)) {
        Ok(event) => event.map(Arc::new),
        Err(error) => {
            app.complain(error);
            None
        }
    }
}

/// The event at the moment, as a sentence.
pub(in super::super) fn sentence(app: &mut App) -> Option<String> {
    let App { recording, redactor, known, cursor, .. } = app;
    let assets = known.session.as_ref().map_or(&[][..], |session| &session.assets);
    match recording.row(*cursor, |record| super::super::sentence::sentence(record, redactor, assets)) {
        Ok(sentence) => sentence,
        Err(error) => {
            app.complain(error);
            None
        }
    }
}

pub(super) fn draw(app: &mut App, buf: &mut Buffer, area: Rect, room: Room) {
    if app.zoom || room <= Room::List {
        match app.pane {
            0 => list(app, buf, area, true),
            1 => detail(app, buf, area),
            _ => dump(app, buf, area),
        }
        return;
    }
    let below = if room >= Room::Full { (area.height * 2 / 5).min(16) } else { (area.height / 2).min(9) };
    let top = Rect { height: area.height - below, ..area };
    list(app, buf, top, app.pane == 0);
    let bottom = Rect { y: top.bottom(), height: below, ..area };
    if room >= Room::Wide {
        let width = area.width / 2;
        detail(app, buf, Rect { width, ..bottom });
        dump(app, buf, Rect { x: bottom.x + width, width: area.width - width, ..bottom });
    } else if app.pane == 2 {
        dump(app, buf, bottom);
    } else {
        detail(app, buf, bottom);
    }
}

fn list(app: &mut App, buf: &mut Buffer, area: Rect, focus: bool) {
    let len = app.len();
    let folded = if app.folded { format!(", folded ({} unfolds)", app.key(Action::Repeats)) } else { String::new() };
    let right = match &app.hits {
        Some(hits) if app.around => {
            let (at, len) = (hits.rows.rank(app.cursor + 1), hits.rows.len());
            format!("{} of {} that fit, among all", count(at), count(len))
        }
        Some(_) => format!("{} of {} that fit", count((app.rank() + 1).min(len)), count(len)),
        None => format!("row {} of {}", count((app.cursor + 1).min(len)), count(len)),
    };
    let right = format!("{right}{folded}");
    let bottom = if app.follow { app.theme.sign("follow ●", "follow *") } else { "" };
    let inner = panel(buf, area, app.theme, focus, ["Events", &right, bottom]);
    if len == 0 {
        let why = match &app.hits {
            Some(hits) if !hits.done => "looking for events that fit",
            Some(_) => "no event fits the filter",
            None => "no event yet",
        };
        put(buf, inner, 0, &Cells::new(inner.width, app.theme).rest(&format!(" {why}"), app.theme.dim()).line());
        return;
    }
    let mut rows = inner;
    if inner.height > 3 {
        put(buf, inner, 0, &columns(app, inner.width, None));
        rows = Rect { y: inner.y + 1, height: inner.height - 1, ..inner };
    }
    lines(app, buf, rows, focus);
    super::scroll_bar(app, buf, rows, app.events_top, len);
    app.spots.push((rows, Spot::List(0)));
}

/// The lines of events around the moment.
pub(super) fn lines(app: &mut App, buf: &mut Buffer, area: Rect, focus: bool) {
    let (len, height, rank) = (app.len(), u64::from(area.height), app.rank());
    // What is found above what is looked at moves none of it.
    let (cursor, before) = std::mem::replace(&mut app.events_drawn, (app.cursor, rank));
    if cursor == app.cursor {
        app.events_top = (app.events_top + rank).saturating_sub(before);
    }
    app.events_top = app.events_top.min(len.saturating_sub(height)).min(rank);
    if rank >= app.events_top + height {
        app.events_top = rank + 1 - height;
    }
    // A jump shows what is around.
    if app.view == View::Events && focus {
        app.page = usize::from(area.height);
    }
    let marked = app.marks().into_keys().collect::<std::collections::BTreeSet<u64>>();
    for line in 0..height.min(len.saturating_sub(app.events_top)) {
        let Some(row) = app.nth(app.events_top + line) else { break };
        let Some(event) = event(app, row) else {
            let number = Cells::new(area.width, app.theme).right(&count(row + 1), 9, app.theme.dim()).line();
            put(buf, area, line as u16, &number);
            continue;
        };
        let text = columns(app, area.width, Some((&event, marked.contains(&row), app.times(row))));
        if app.events_top + line == rank {
            put_selected(buf, area, line as u16, &text, app.theme, focus);
        } else {
            put(buf, area, line as u16, &text);
        }
    }
}

/// A line of the list; without an event, its heading. What there is no room for goes: asset, process id, size, process,
/// number.
fn columns(app: &App, width: u16, event: Option<(&Event, bool, u64)>) -> Line<'static> {
    let theme = app.theme;
    let (wider, wide, sized, middle) = (width >= 140, width >= 110, width >= 96, width >= 60);
    let (op, process) = if wide { (16, 13) } else { (if middle { 14 } else { 12 }, 11) };
    let Some((event, marked, times)) = event else {
        let dim = theme.dim();
        let mut cells = Cells::new(width, theme);
        cells = if middle { cells.right("#", 9, dim).left(" time", 11, dim) } else { cells.left(" time", 7, dim) };
        if wide {
            cells = cells.right("pid", 6, dim);
        }
        if middle {
            cells = cells.left(" process", process, dim);
        }
        cells = cells.left(" op", op, dim).left("", if middle { 5 } else { 4 }, dim);
        if wider {
            cells = cells.left("asset", 12, dim);
        }
        let tail = if sized { 19 } else { 0 };
        let room = cells.room().saturating_sub(tail);
        cells = cells.left("object", room, dim);
        if sized {
            cells = cells.right("bytes", 10, dim).left(" result", 9, dim);
        }
        return cells.line();
    };
    let told = event.verbs.0 != 0;
    let base = if told { theme.text() } else { theme.dim() };
    let verb = event.verbs.iter().last();
    let fits = app.around && app.hits.as_ref().is_some_and(|hits| hits.rows.contains(event.seq.saturating_sub(1)));
    let mark = match (marked, fits) {
        (true, _) => theme.sign("◆", "m"),
        (false, true) => theme.sign("▸", ">"),
        (false, false) => " ",
    };
    let mut cells = Cells::new(width, theme).text(mark, theme.warn());
    cells = if middle {
        cells.right(&count(event.seq), 8, base).left(&format!(" {}", time(event.time_ns)), 11, base)
    } else {
        cells.left(&clock(event.time_ns), 6, base)
    };
    if wide {
        cells = cells.right(&event.pid.to_string(), 6, theme.dim());
    }
    if middle {
        cells = cells.left(&format!(" {}", event.process), process, base);
    }
    let answer = if event.decision == Decision::Allowed { " " } else { theme.answer(event.decision) };
    cells = cells
        .left(&format!(" {}", event.op), op, if told { theme.bright() } else { theme.text() })
        .text(" ", base)
        .left(&marks(app, event.verbs), 2, verb.map_or(base, |verb| theme.verb(verb)))
        .left(answer, if middle { 2 } else { 1 }, theme.answered(event.decision));
    if wider {
        cells = cells.left(&event.asset, 12, base);
    }
    let what = if event.object.is_empty() { &event.detail } else { &event.object };
    let with_asset = format!("{what}  ({})", event.asset);
    let what = if wider || event.asset.is_empty() { what } else { &with_asset };
    if times > 1 {
        cells = cells.text(&format!("{}{} ", theme.sign("×", "x"), count(times)), theme.warn());
    }
    let result = match (event.decision, event.error) {
        (_, Some(error)) => error,
        (Decision::Allowed, None) => "",
        (other, None) => decision(other),
    };
    // Where room is dear, a result has a place only where there is something to say.
    let tail = match (sized, middle) {
        (true, _) => 19,
        (false, true) if !result.is_empty() => result.len() + 1,
        _ => 0,
    };
    let room = cells.room().saturating_sub(tail);
    cells = cells.left(&cut_middle(what, room, theme), room, if told { theme.text() } else { base });
    if sized {
        let size = if event.bytes == 0 { theme.sign("·", ".").to_owned() } else { count(event.bytes) };
        cells = cells.right(&size, 10, theme.dim());
    }
    cells.rest(&format!(" {result}"), theme.answered(event.decision)).line()
}

/// An event on a short line.
pub(super) fn brief(app: &App, event: &Event, width: u16) -> Line<'static> {
    let theme = app.theme;
    let verb = event.verbs.iter().last();
    Cells::new(width, theme)
        .left(&format!(" {}", time(event.time_ns)), 11, theme.dim())
        .left(&marks(app, event.verbs), 3, verb.map_or(theme.text(), |verb| theme.verb(verb)))
        .left(event.op, 12, theme.text())
        .left(&format!(" {}", event.process), 12, theme.dim())
        .text(" ", theme.dim())
        .end(if event.object.is_empty() { &event.detail } else { &event.object }, theme.text())
        .line()
}

/// One field of an event: its name, its values as they are shown, and its bytes where it has any.
struct Value {
    name: &'static str,
    text: String,
    bytes: Vec<u8>,
}

fn values(record: &Record<'_>, context: &Context<'_>, redactor: &Redactor) -> Vec<Value> {
    let mut all = Vec::new();
    for field in FIELDS {
        let (mut texts, mut raw) = (Vec::new(), Vec::new());
        field.each(record, context, &mut |value| match value {
            Scalar::Int(number) => texts.push(match field.kind {
                Type::Time => time(u64::try_from(number).unwrap_or_default()),
                Type::Duration => format!("{:.3} ms", number as f64 / 1e6),
                Type::Size => format!("{number} ({})", bytes(u64::try_from(number).unwrap_or_default())),
                Type::Result => {
                    let name = i64::try_from(number).ok().and_then(error_name);
                    name.map_or_else(|| number.to_string(), |name| format!("{number} {name}"))
                }
                _ if field.name == "args" => format!("{number:#x}"),
                _ => number.to_string(),
            }),
            Scalar::Bytes(bytes) => {
                let shown = match field.kind {
                    Type::Bytes => redactor.fragment(bytes, NAME),
                    _ => redactor.text(bytes, 1000),
                };
                texts.push(shown.to_string());
                if !raw.is_empty() {
                    raw.push(b' ');
                }
                raw.extend_from_slice(bytes.get(..BYTES).unwrap_or(bytes));
            }
        });
        let word = matches!(field.kind, Type::Choice(_));
        if !texts.is_empty() {
            all.push(Value { name: field.name, text: texts.join(" "), bytes: if word { Vec::new() } else { raw } });
        }
    }
    // What is asked first stands first, whatever the registry's order.
    all.sort_by_key(|value| FIRST.iter().position(|name| *name == value.name).unwrap_or(FIRST.len()));
    all
}

fn fields(app: &mut App) -> Vec<Value> {
    let App { recording, redactor, known, cursor, .. } = app;
    let assets = known.session.as_ref().map_or(&[][..], |session| &session.assets);
    let context = Context { assets };
    match recording.row(*cursor, |record| values(record, &context, redactor)) {
        Ok(found) => found.unwrap_or_default(),
        Err(error) => {
            app.complain(error);
            Vec::new()
        }
    }
}

/// Whether something of the event at the moment is masked.
pub(in super::super) fn is_masked(app: &mut App) -> bool {
    fields(app).iter().any(|value| !app.redactor.masked(&value.bytes).is_empty())
}

fn detail(app: &mut App, buf: &mut Buffer, area: Rect) {
    let theme = app.theme;
    let focus = app.pane == 1;
    let fields = fields(app);
    let note = app.marks().get(&app.cursor).map(|note| app.show(note.text.as_bytes(), 300)).unwrap_or_default();
    let title = format!("Detail #{}", count(app.cursor + 1));
    let inner = panel(buf, area, theme, focus, [&title, &note, ""]);
    app.field = app.field.min(fields.len().saturating_sub(1));
    let height = usize::from(inner.height);
    let top = (app.field + 1).saturating_sub(height);
    for (row, value) in fields.iter().enumerate().skip(top).take(height) {
        let has = if value.bytes.is_empty() { " " } else { theme.sign("▸", ">") };
        let line = Cells::new(inner.width, theme)
            .text(has, theme.dim())
            .left(value.name, 12, theme.dim())
            .rest(&value.text, theme.text())
            .line();
        if focus && row == app.field {
            put_selected(buf, inner, (row - top) as u16, &line, theme, true);
        } else {
            put(buf, inner, (row - top) as u16, &line);
        }
    }
}

/// The bytes of the selected field, or of the payload where that field has none.
fn dump(app: &mut App, buf: &mut Buffer, area: Rect) {
    let theme = app.theme;
    let focus = app.pane == 2;
    let fields = fields(app);
    let chosen = fields.get(app.field).filter(|value| !value.bytes.is_empty() && app.pane != 0);
    let named = |name: &str| fields.iter().find(|value| value.name == name && !value.bytes.is_empty());
    let value = chosen.or_else(|| named("payload")).or_else(|| named("detail")).or_else(|| named("object"));
    let revealed = app.revealed == Some(app.cursor);
    let state = if revealed { "REVEALED" } else { "masked" };
    let Some(value) = value else {
        panel(buf, area, theme, focus, ["Bytes", "none", ""]);
        return;
    };
    let title = format!("Bytes of {}", value.name);
    let inner = panel(buf, area, theme, focus, [&title, state, &count(value.bytes.len() as u64)]);
    // Nine columns for where, three and one for each byte.
    let per = (usize::from(inner.width).saturating_sub(9) / 4).clamp(4, 16);
    let masked = if revealed { Vec::new() } else { app.redactor.masked(&value.bytes) };
    let hidden = |at: usize| masked.iter().any(|range| range.contains(&at));
    for (row, chunk) in value.bytes.chunks(per).take(usize::from(inner.height)).enumerate() {
        let mut hex = vec![Span::styled(format!(" {:04x}  ", row * per), theme.dim())];
        let mut text = Vec::new();
        for (n, byte) in chunk.iter().enumerate() {
            let at = row * per + n;
            if hidden(at) {
                let sign = theme.sign("••", "**");
                hex.push(Span::styled(format!("{sign} "), theme.warn()));
                text.push(Span::styled(theme.sign("•", "*"), theme.warn()));
            } else {
                let graphic = byte.is_ascii_graphic() || *byte == b' ';
                hex.push(Span::styled(format!("{byte:02x} "), if graphic { theme.text() } else { theme.dim() }));
                let sign = if graphic { char::from(*byte).to_string() } else { theme.sign("·", ".").to_owned() };
                text.push(Span::styled(sign, if graphic { theme.text() } else { theme.dim() }));
            }
        }
        hex.push(Span::raw("   ".repeat(per - chunk.len()) + " "));
        hex.extend(text);
        put(buf, inner, row as u16, &Line::from(hex));
    }
}
