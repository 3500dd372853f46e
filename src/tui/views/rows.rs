//! The rows of lists and trees: one thing on one line.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Line;

use super::super::app::{App, View};
use super::super::entries::Entry;
use super::super::text::{Cells, bytes, clock, count, cut, panel, short, time};
use super::list;
use crate::analysis::finding::{Confidence, Ending, Finding, Link, Severity};
use crate::recording::{directory, left};
use crate::store::{Verb, Verbs};

/// What stands above the columns.
pub(super) fn heading(app: &App, view: View, width: u16) -> Option<Line<'static>> {
    let (theme, dim) = (app.theme, app.theme.dim());
    let cells = Cells::new(width, theme);
    Some(match view {
        View::Overview => {
            asset_columns(cells, ["asset", "class", "collect", "store", "transmit", "refused"], [dim; 6], width)
        }
        View::Network => {
            let cells =
                cells.left("  destination", destination(width), dim).right("tries", 7, dim).right("sent", 11, dim);
            cells
                .right("received", 11, dim)
                .right("client", 8, dim)
                .text("  ", dim)
                .left("verbs", 9, dim)
                .rest("spoken", dim)
                .line()
        }
        View::Files => {
            let cells = cells.left("  file", file(width), dim).right("reads", 8, dim).right("read", 11, dim);
            cells
                .right("writes", 8, dim)
                .right("written", 11, dim)
                .text("  ", dim)
                .left("left", 8, dim)
                .left("verbs", 6, dim)
                .rest("assets", dim)
                .line()
        }
        View::Processes => {
            let cells = cells.left(" process", process(width), dim).right("pid", 7, dim).right("events", 9, dim);
            cells
                .right("client", 8, dim)
                .right("refused", 8, dim)
                .text("  ", dim)
                .left("verbs", 8, dim)
                .left("ended", 10, dim)
                .rest("lifetime", dim)
                .line()
        }
        _ => return None,
    })
}

fn destination(width: u16) -> usize {
    (usize::from(width) * 2 / 5).clamp(20, 56)
}

fn file(width: u16) -> usize {
    (usize::from(width) * 2 / 5).clamp(20, 64)
}

fn process(width: u16) -> usize {
    (usize::from(width) / 3).clamp(18, 44)
}

fn asset_columns(cells: Cells, texts: [&str; 6], styles: [Style; 6], width: u16) -> Line<'static> {
    let [name, class, collect, store, transmit, refused] = texts;
    let class_width = if width > 60 { 11 } else { 0 };
    let name_width = usize::from(width).saturating_sub(class_width + 9 + 8 + 10 + 9).clamp(10, 34);
    cells
        .left(&format!(" {name}"), name_width, styles[0])
        .left(class, class_width, styles[1])
        .right(collect, 9, styles[2])
        .right(store, 8, styles[3])
        .right(transmit, 10, styles[4])
        .right(refused, 9, styles[5])
        .line()
}

/// The shapes of verbs.
pub(super) fn marks(app: &App, verbs: Verbs) -> String {
    verbs.iter().map(|verb| app.theme.mark(verb)).collect()
}

fn gravest(app: &App, verbs: Verbs) -> Style {
    verbs.iter().last().map_or_else(|| app.theme.text(), |verb| app.theme.verb(verb))
}

/// One row.
pub(super) fn line(app: &App, entry: Entry, width: u16) -> Line<'static> {
    match entry {
        Entry::Asset(at) if app.view == View::Overview => asset(app, at, width),
        Entry::Asset(at) => {
            let class = app.context().assets.get(at).map_or("", |asset| asset.class.as_str());
            let used = app.known.assets.get(at).copied().unwrap_or_default();
            let touched: u64 = used.verbs.iter().sum();
            Cells::new(width, app.theme)
                .text(app.theme.sign("▾ ", "v "), app.theme.dim())
                .text(&app.show(app.asset(at).as_bytes(), 80), app.theme.bright())
                .text(&format!("  {}  {} events", app.show(class.as_bytes(), 40), count(touched)), app.theme.dim())
                .line()
        }
        Entry::System(verb) => Cells::new(width, app.theme)
            .text(app.theme.sign("▾ ", "v "), app.theme.dim())
            .text(&format!("{} {verb}", app.theme.mark(verb)), app.theme.bright())
            .text("  about no asset", app.theme.dim())
            .line(),
        Entry::Finding(at) => match app.known.findings.get(at) {
            Some(found) if app.view == View::Flow => way(app, found, width),
            Some(found) => finding(app, found, width),
            None => Line::default(),
        },
        Entry::Process(at) => process_line(app, at, width),
        Entry::Repeats(fold, open) => repeats_line(app, fold, open, width),
        Entry::Dir(first, len, open) => {
            let name = app.known.files.get(first).map_or(&[][..], |file| directory(&file.object.name));
            let name = if name.is_empty() { "(no directory)".to_owned() } else { app.show(name, 200) };
            Cells::new(width, app.theme)
                .text(if open { app.theme.sign("▾ ", "v ") } else { app.theme.sign("▸ ", "> ") }, app.theme.dim())
                .text(&name, app.theme.bright())
                .text(&format!("  {len}"), app.theme.dim())
                .line()
        }
        Entry::File(at) => file_line(app, at, width),
        Entry::Peer(at) => peer_line(app, at, width),
    }
}

fn asset(app: &App, at: usize, width: u16) -> Line<'static> {
    let theme = app.theme;
    let used = app.known.assets.get(at).copied().unwrap_or_default();
    let class = app.context().assets.get(at).map_or("", |asset| asset.class.as_str());
    let number = |verb: Verb| {
        let count = used.verbs.get(verb as usize).copied().unwrap_or_default();
        if count == 0 {
            (theme.sign("·", ".").to_owned(), theme.dim())
        } else {
            (format!("{} {}", theme.mark(verb), short(count)), theme.verb(verb))
        }
    };
    let (collect, store, transmit) = (number(Verb::Collect), number(Verb::Store), number(Verb::Transmit));
    let refused = if used.denied == 0 {
        theme.sign("·", ".").to_owned()
    } else {
        format!("{} {}", theme.sign("✕", "x"), short(used.denied))
    };
    let name_style = if used.verbs == [0; 8] { theme.dim() } else { theme.text() };
    asset_columns(
        Cells::new(width, theme),
        [
            &app.show(app.asset(at).as_bytes(), 80),
            &app.show(class.as_bytes(), 40),
            &collect.0,
            &store.0,
            &transmit.0,
            &refused,
        ],
        [
            name_style,
            theme.dim(),
            collect.1,
            store.1,
            transmit.1,
            if used.denied == 0 { theme.dim() } else { theme.bad() },
        ],
        width,
    )
}

fn severity(app: &App, finding: &Finding) -> (&'static str, Style) {
    match finding.severity {
        _ if finding.declared => ("ok declared", app.theme.dim()),
        Severity::High => ("!! HIGH    ", app.theme.bad()),
        Severity::Medium => ("!  MEDIUM  ", app.theme.warn()),
        Severity::Low => ("-  LOW     ", app.theme.dim()),
    }
}

fn ending(app: &App, finding: &Finding) -> (&'static str, Style) {
    match finding.outcome {
        Ending::Succeeded => (app.theme.sign("✓ happened", "v happened"), app.theme.text()),
        Ending::Failed => (app.theme.sign("◇ failed", "o failed"), app.theme.dim()),
        Ending::Refused => (app.theme.sign("✕ refused", "x refused"), app.theme.bad()),
    }
}

/// A finding on one line.
pub(super) fn finding(app: &App, finding: &Finding, width: u16) -> Line<'static> {
    let theme = app.theme;
    let (weight, style) = severity(app, finding);
    let (end, end_style) = ending(app, finding);
    let event = finding.chain.last().map_or(0, |item| item.event);
    let tail = if width >= 70 { 34 } else { 0 };
    let weigh = if tail > 0 { 12 } else { 3 };
    let title = usize::from(width).saturating_sub(tail + weigh + 2);
    let mut cells = Cells::new(width, theme)
        .left(weight.get(..weigh.min(weight.len())).unwrap_or(weight), weigh, style)
        .left(theme.mark(finding.verb), 2, theme.verb(finding.verb))
        .left(&app.shown(&finding.title), title, theme.text());
    if tail > 0 {
        cells = cells
            .text("  ", theme.dim())
            .left(finding.confidence.name(), 10, theme.dim())
            .left(end, 11, end_style)
            .right(&format!("#{}", count(event)), 10, theme.dim());
    }
    cells.line()
}

/// A finding as the way data went: from the asset above, through whom, to where.
fn way(app: &App, finding: &Finding, width: u16) -> Line<'static> {
    let theme = app.theme;
    let arrow = match (finding.confidence, theme.ascii) {
        (Confidence::Proven, false) => "━━▶",
        (Confidence::Derived, false) => "──▶",
        (Confidence::Suspected, false) => "╌╌▶",
        (Confidence::Proven, true) => "==>",
        (Confidence::Derived, true) => "-->",
        (Confidence::Suspected, true) => "..>",
    };
    let who = finding.process.as_ref().map_or_else(
        || "?".to_owned(),
        |actor| {
            let exe = app.shown(&actor.exe);
            format!("{} {}", exe.rsplit('/').next().unwrap_or(&exe), actor.pid)
        },
    );
    let (end, end_style) = ending(app, finding);
    let to = finding.destination.as_ref().map_or_else(|| app.shown(&finding.title), |to| app.shown(to));
    let through = if finding.encodings.is_empty() {
        String::new()
    } else {
        format!(" as {}", app.shown(&finding.encodings.join("+")))
    };
    let verb = format!("{} {}", theme.mark(finding.verb), finding.verb);
    let tail = 11;
    let mut cells = Cells::new(width, theme)
        .text(theme.sign("  ┗", "  `"), theme.dim())
        .text(arrow, theme.verb(finding.verb))
        .left(&format!(" {who}"), if width >= 100 { 22 } else { 14 }, theme.text())
        .text(arrow, theme.verb(finding.verb));
    cells = cells.text(" ", theme.text()).left(&verb, 13, theme.verb(finding.verb));
    let room = cells.room().saturating_sub(tail);
    cells.left(&format!("{to}{through}"), room, theme.text()).left(end, tail, end_style).line()
}

/// What stands before the name of a process, by its depth and the open folds around it.
fn branch(app: &App, depth: usize) -> String {
    let depth = depth.min(12);
    if depth > 0 { format!("{}{}", "  ".repeat(depth - 1), app.theme.sign("└ ", "` ")) } else { String::new() }
}

fn process_line(app: &App, at: usize, width: u16) -> Line<'static> {
    let theme = app.theme;
    let Some(one) = app.known.processes.get(at) else { return Line::default() };
    let name = app.show(one.process.name(), 80);
    let branch = branch(app, usize::from(one.depth) + usize::from(one.within));
    let ended = match one.process.ended {
        None => theme.sign("●", "*").to_owned(),
        Some((_, None)) => "ended".to_owned(),
        Some((_, Some(status))) => match status & 0x7f {
            0 => format!("exit {}", status >> 8 & 0xff),
            signal => format!("sig {signal}"),
        },
    };
    let counts = [one.events, one.client, one.denied];
    let style = if one.client > 0 { theme.bright() } else { theme.text() };
    let life = (one.process.started_ns, one.process.ended.map(|(end, _)| end));
    let names = [format!(" {branch}{name}"), one.process.pid.to_string(), ended];
    process_columns(app, names, style, counts, one.verbs, life, width)
}

/// Processes that are told in one line: how many, what they did in sum, how they ended, from the first to the last.
fn repeats_line(app: &App, fold: usize, open: bool, width: u16) -> Line<'static> {
    let theme = app.theme;
    let Some(fold) = app.known.repeats.get(fold) else { return Line::default() };
    let Some(first) = app.known.processes.get(fold.range.start) else { return Line::default() };
    let branch = branch(app, usize::from(first.depth) + usize::from(first.within.saturating_sub(1)));
    let sign = if open { theme.sign("▾", "v") } else { theme.sign("▸", ">") };
    let below = match fold.range.len().saturating_sub(fold.count) {
        0 => String::new(),
        below => format!(" +{} below", count(below as u64)),
    };
    let many = format!("{}{}{below}", theme.sign("×", "x"), count(fold.count as u64));
    let ended = match fold.failed {
        0 => "exit 0".to_owned(),
        failed => format!("{} failed", short(failed as u64)),
    };
    // The name gives way to the numbers.
    let room = process(width).saturating_sub(branch.chars().count() + many.len() + 5);
    let name = cut(&app.show(first.process.name(), 80), room.max(4), theme);
    let names = [format!(" {branch}{sign} {name} {many}"), String::new(), ended];
    let life = (fold.started_ns, Some(fold.ended_ns));
    process_columns(app, names, theme.dim(), [fold.events, 0, fold.denied], Verbs::default(), life, width)
}

/// A process, or those that are told in one line, in little room.
pub(super) fn process_brief(app: &App, entry: Entry, width: u16) -> Line<'static> {
    let theme = app.theme;
    let at = match entry {
        Entry::Process(at) => Some(at),
        Entry::Repeats(fold, _) => app.known.repeats.get(fold).map(|fold| fold.range.start),
        _ => None,
    };
    let Some(one) = at.and_then(|at| app.known.processes.get(at)) else { return Line::default() };
    let indent = "  ".repeat(usize::from(one.depth).min(5));
    let name = app.show(one.process.name(), 60);
    let (name, verbs, events) = match entry {
        Entry::Repeats(fold, _) => {
            let (many, events) = app.known.repeats.get(fold).map_or((0, 0), |fold| (fold.count, fold.events));
            let times = theme.sign("×", "x");
            (format!(" {indent}{name} {times}{}", count(many as u64)), Verbs::default(), events)
        }
        _ => (format!(" {indent}{name} {}", one.process.pid), one.verbs, one.events),
    };
    let style = if verbs.0 != 0 { theme.text() } else { theme.dim() };
    Cells::new(width, theme)
        .left(&name, usize::from(width).saturating_sub(13), style)
        .left(&marks(app, verbs), 6, verbs.iter().last().map_or(style, |verb| theme.verb(verb)))
        .right(&short(events), 6, theme.dim())
        .line()
}

fn process_columns(
    app: &App,
    [name, pid, ended]: [String; 3],
    style: Style,
    [events, client, denied]: [u64; 3],
    verbs: Verbs,
    (from, to): (u64, Option<u64>),
    width: u16,
) -> Line<'static> {
    let theme = app.theme;
    let cells = Cells::new(width, theme)
        .left(&name, process(width), style)
        .right(&pid, 7, theme.dim())
        .right(&count(events), 9, theme.text())
        .right(&count(client), 8, if client > 0 { theme.text() } else { theme.dim() })
        .right(&count(denied), 8, if denied > 0 { theme.bad() } else { theme.dim() })
        .text("  ", theme.text())
        .left(&marks(app, verbs), 8, gravest(app, verbs))
        .left(&ended, 10, theme.dim());
    let room = cells.room();
    if room >= 8 { cells.rest(&lifetime(app, from, to, room), theme.border(true)).line() } else { cells.line() }
}

/// A bar from a process's beginning to its end, of the session's time.
fn lifetime(app: &App, from: u64, to: Option<u64>, width: usize) -> String {
    let end = app.known.end_ns().max(1);
    let column = |time: u64| (u128::from(time) * width as u128 / (u128::from(end) + 1)) as usize;
    let (from, last) = (column(from), column(to.unwrap_or(end)).min(width.saturating_sub(1)));
    let bar = app.theme.sign("━", "=");
    format!(
        "{}{}{}",
        " ".repeat(from),
        bar.repeat(last.saturating_sub(from)),
        if to.is_some() { app.theme.sign("╸", "|") } else { bar }
    )
}

fn file_line(app: &App, at: usize, width: u16) -> Line<'static> {
    let theme = app.theme;
    let Some(one) = app.known.files.get(at) else { return Line::default() };
    let name = one.object.name.get(directory(&one.object.name).len()..).unwrap_or_default();
    let number = |n: u64| if n == 0 { theme.sign("·", ".").to_owned() } else { count(n) };
    let size = |n: u64| if n == 0 { theme.sign("·", ".").to_owned() } else { bytes(n) };
    let what = one.left.map_or("", |(change, _)| left(change));
    let assets: Vec<String> = one.assets.iter().map(|asset| app.show(app.asset(asset).as_bytes(), 40)).collect();
    Cells::new(width, theme)
        .left(
            &format!("    {}", app.show(name, 200)),
            file(width),
            if one.verbs.0 != 0 { theme.bright() } else { theme.text() },
        )
        .right(&number(one.reads.0), 8, theme.text())
        .right(&size(one.reads.1), 11, theme.dim())
        .right(&number(one.writes.0), 8, theme.text())
        .right(&size(one.writes.1), 11, theme.dim())
        .text("  ", theme.text())
        .left(what, 8, theme.warn())
        .left(&marks(app, one.verbs), 6, gravest(app, one.verbs))
        .rest(&assets.join(" "), theme.dim())
        .line()
}

fn peer_line(app: &App, at: usize, width: u16) -> Line<'static> {
    let theme = app.theme;
    let Some(one) = app.known.peers.get(at) else { return Line::default() };
    let refused = if one.denied > 0 {
        format!("  {} {} refused", theme.sign("✕", "x"), count(one.denied))
    } else {
        String::new()
    };
    let client = if one.client > 0 { theme.bad() } else { theme.dim() };
    Cells::new(width, theme)
        .text("  ", theme.dim())
        .left(
            &app.show(&one.object.name, 200),
            destination(width) - 2,
            if one.client > 0 { theme.bright() } else { theme.text() },
        )
        .right(&count(one.tries), 7, theme.text())
        .right(&bytes(one.sent), 11, theme.text())
        .right(&bytes(one.received), 11, theme.dim())
        .right(&count(one.client), 8, client)
        .text("  ", theme.text())
        .left(&marks(app, one.verbs), 9, gravest(app, one.verbs))
        .rest(&format!("{}{refused}", one.protocols()), theme.dim())
        .line()
}

/// The chain of the selected finding.
pub(super) fn chain(app: &mut App, buf: &mut Buffer, area: Rect) {
    let focus = app.pane == 1;
    let Some(finding) = app.finding().cloned() else {
        panel(buf, area, app.theme, focus, ["Chain of evidence", "", ""]);
        return;
    };
    let exact = finding.chain.iter().filter(|item| item.link != Link::Lineage).count();
    let title = format!("Chain of evidence {} {}", app.theme.sign("·", "-"), app.shown(&finding.title));
    let right = format!("{exact} seen, {} inferred, {} events", finding.chain.len() - exact, count(finding.events));
    let inner = panel(buf, area, app.theme, focus, [&title, &right, "Enter goes to the event"]);
    let theme = app.theme;
    let names = |list: &[String]| list.iter().take(6).map(|name| app.shown(name)).collect::<Vec<_>>().join(", ");
    let mut facts = format!("{} {}", finding.confidence.name(), finding.verb);
    for (what, text) in [
        ("of", finding.asset.as_ref().map(|asset| app.shown(asset))),
        ("to", finding.destination.as_ref().map(|to| app.shown(to))),
        ("values", (!finding.markers.is_empty()).then(|| names(&finding.markers))),
        ("ATT&CK", finding.attack.as_ref().map(|id| app.shown(id))),
    ] {
        if let Some(text) = text {
            facts.push_str(&format!("  {what} {text}"));
        }
    }
    let head = Cells::new(inner.width, theme).rest(&format!(" {facts}"), theme.dim()).line();
    // Only what may be in sight is read.
    let top = app.lists.get(app.view as usize).map_or(0, |lists| lists[1].top);
    let first = top.saturating_sub(usize::from(inner.height));
    let mut times = Vec::new();
    for item in finding.chain.iter().skip(first).take(3 * usize::from(inner.height)) {
        times.push(super::events::event(app, item.event.saturating_sub(1)).map(|event| event.time_ns));
    }
    list(app, buf, inner, 1, finding.chain.len(), focus, Some(head), |app, at, width| {
        let Some(item) = finding.chain.get(at) else { return Line::default() };
        let when = at.checked_sub(first).and_then(|at| times.get(at)).copied().flatten();
        let (link, style) = match item.link {
            Link::Exact => (app.theme.sign("━ exact", "= exact"), app.theme.text()),
            Link::Content => (app.theme.sign("━ content", "= content"), app.theme.text()),
            Link::Lineage => (app.theme.sign("─ lineage", "- lineage"), app.theme.dim()),
        };
        let room = usize::from(width).saturating_sub(4 + 12 + 11 + 11);
        Cells::new(width, app.theme)
            .right(&(at + 1).to_string(), 3, app.theme.dim())
            .text(" ", app.theme.dim())
            .left(&when.map(time).unwrap_or_default(), 11, app.theme.dim())
            .left(&format!("#{}", count(item.event)), 12, app.theme.text())
            .left(&app.shown(&item.what), room, app.theme.text())
            .left(link, 10, style)
            .line()
    });
}

/// What was said to the selected destination.
pub(super) fn conversation(app: &mut App, buf: &mut Buffer, area: Rect) {
    let focus = app.pane == 1;
    let Some((name, rows)) = app.selected_peer().map(|peer| (peer.object.name.clone(), peer.rows.clone())) else {
        panel(buf, area, app.theme, focus, ["What was said", "", ""]);
        return;
    };
    let title = format!("What was said {} {}", app.theme.sign("·", "-"), app.show(&name, 200));
    let right = if rows.len() >= 64 { "the first 64".to_owned() } else { rows.len().to_string() };
    let inner = panel(buf, area, app.theme, focus, [&title, &right, "Enter goes to the event"]);
    // Only what is in sight is read.
    let top = app.lists.get(View::Network as usize).map_or(0, |lists| lists[1].top);
    let height = usize::from(inner.height) + 1;
    let first = top.saturating_sub(1);
    let mut lines = Vec::new();
    for row in rows.iter().skip(first).take(height + 2) {
        lines.push(super::events::event(app, *row).map(|event| (event.said(), event)));
    }
    list(app, buf, inner, 1, rows.len(), focus, None, |app, at, width| {
        let Some(Some((said, event))) = at.checked_sub(first).and_then(|at| lines.get(at)) else {
            return Line::default();
        };
        Cells::new(width, app.theme)
            .left(&format!(" {}", clock(event.time_ns)), 8, app.theme.dim())
            .right(&format!("#{}", count(event.seq)), 10, app.theme.dim())
            .left(&format!("  {}", marks(app, event.verbs)), 5, gravest(app, event.verbs))
            .left(event.op, 15, app.theme.text())
            .rest(said, app.theme.text())
            .line()
    });
}

/// A row as text alone, for the clipboard.
pub(in super::super) fn plain(app: &App, entry: Entry) -> String {
    let text: String = line(app, entry, 1000).spans.iter().map(|span| span.content.as_ref()).collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
