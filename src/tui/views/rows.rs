//! The rows of lists and trees: one thing on one line.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Line;

use super::super::app::{App, View};
use super::super::entries::Entry;
use super::super::text::{Cells, bytes, clock, count, cut, cut_middle, panel, short, time};
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
            let short =
                ["asset", "class", theme.mark(Verb::Collect), theme.mark(Verb::Store), theme.mark(Verb::Transmit)];
            let [asset, class, collect, store, transmit] =
                if width >= 46 { ["asset", "class", "collect", "store", "transmit"] } else { short };
            let refused = if width >= 46 { "refused" } else { theme.sign("✕", "x") };
            asset_columns(cells, [asset, class, collect, store, transmit, refused], [dim; 6], width)
        }
        View::Network => {
            let texts = ["  destination", "tries", "sent", "received", "client", "verbs", "spoken"].map(str::to_owned);
            peer_columns(cells, width, &texts, [dim; 7])
        }
        View::Files => {
            let texts = ["  file", "left", "verbs", "reads", "read", "writes", "written", "assets"].map(str::to_owned);
            file_columns(cells, width, &texts, [dim; 8])
        }
        View::Processes => {
            let texts = [" process", "pid", "events", "client", "refused", "verbs", "ended", "lifetime"];
            process_columns(cells, width, &texts.map(str::to_owned), [dim; 8])
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
    let numbers = if width >= 46 { [9, 8, 10, 9] } else { [7, 7, 7, 7] };
    let used = class_width + numbers.iter().sum::<usize>();
    let name_width = usize::from(width).saturating_sub(used + 1).clamp(8, 34);
    let mut cells = cells.left(&format!(" {name}"), name_width, styles[0]).left(class, class_width, styles[1]);
    for ((text, width), style) in [collect, store, transmit, refused].into_iter().zip(numbers).zip(&styles[2..]) {
        cells = cells.right(text, width, *style);
    }
    cells.line()
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
    // The title before everything else: words give way to their signs.
    let (weigh, tail) = match width {
        100.. => (12, 34),
        60.. => (3, 22),
        _ => (3, 2),
    };
    let title = usize::from(width).saturating_sub(tail + weigh + 2);
    let mut cells = Cells::new(width, theme)
        .left(weight.get(..weigh.min(weight.len())).unwrap_or(weight), weigh, style)
        .left(theme.mark(finding.verb), 2, theme.verb(finding.verb))
        .left(&app.shown(&finding.title), title, theme.text());
    if width >= 100 {
        cells = cells.text("  ", theme.dim()).left(finding.confidence.name(), 10, theme.dim());
    } else {
        cells = cells.text(" ", theme.dim());
    }
    if width >= 60 {
        cells = cells.left(end, 11, end_style).right(&format!("#{}", count(event)), 10, theme.dim());
    } else {
        cells = cells.rest(end.split(' ').next().unwrap_or_default(), end_style);
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
    let narrow = width < 60;
    let verb = if narrow {
        theme.mark(finding.verb).to_owned()
    } else {
        format!("{} {}", theme.mark(finding.verb), finding.verb)
    };
    let tail = if narrow { 2 } else { 11 };
    let end = if narrow { end.split(' ').next().unwrap_or_default() } else { end };
    let mut cells = Cells::new(width, theme)
        .text(theme.sign("  ┗", "  `"), theme.dim())
        .text(arrow, theme.verb(finding.verb))
        .left(&format!(" {who}"), if width >= 100 { 22 } else { 14 }, theme.text());
    if !narrow {
        cells = cells.text(arrow, theme.verb(finding.verb));
    }
    cells = cells.text(" ", theme.text()).left(&verb, if narrow { 2 } else { 13 }, theme.verb(finding.verb));
    let room = cells.room().saturating_sub(tail + 1);
    let to = cut_middle(&format!("{to}{through}"), room, theme);
    cells.left(&to, room, theme.text()).text(" ", theme.text()).left(end, tail, end_style).line()
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
    process_cells(app, width, names, style, counts, one.verbs, life)
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
    process_cells(app, width, names, theme.dim(), [fold.events, 0, fold.denied], Verbs::default(), life)
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

/// What there is no room for goes: the process id and what was refused.
fn process_columns(cells: Cells, width: u16, texts: &[String; 8], styles: [Style; 8]) -> Line<'static> {
    let narrow = width < 60;
    let name = if narrow { usize::from(width).saturating_sub(8 + 8 + 8).max(8) } else { process(width) };
    let mut cells = cells.left(&texts[0], name, styles[0]);
    if !narrow {
        cells = cells.right(&texts[1], 7, styles[1]);
    }
    cells = cells.right(&texts[2], if narrow { 8 } else { 9 }, styles[2]);
    if !narrow {
        cells = cells.right(&texts[3], 8, styles[3]).right(&texts[4], 8, styles[4]);
    }
    cells = cells.text("  ", styles[0]).left(&texts[5], if narrow { 6 } else { 8 }, styles[5]);
    cells.left(&texts[6], if narrow { 8 } else { 10 }, styles[6]).rest(&texts[7], styles[7]).line()
}

/// The columns that are left for a process's bar.
fn bar_room(width: u16) -> usize {
    let room = usize::from(width).saturating_sub(process(width) + 7 + 9 + 8 + 8 + 2 + 8 + 10);
    if room >= 8 { room } else { 0 }
}

/// The same of a process and of those that are told in one line.
fn process_cells(
    app: &App,
    width: u16,
    [name, pid, ended]: [String; 3],
    style: Style,
    [events, client, denied]: [u64; 3],
    verbs: Verbs,
    (from, to): (u64, Option<u64>),
) -> Line<'static> {
    let (theme, dim) = (app.theme, app.theme.dim());
    let bar = bar_room(width);
    let life = if bar > 0 { lifetime(app, from, to, bar) } else { String::new() };
    let texts = [name, pid, count(events), count(client), count(denied), marks(app, verbs), ended, life];
    let told = if client > 0 { theme.text() } else { dim };
    let refused = if denied > 0 { theme.bad() } else { dim };
    let styles = [style, dim, theme.text(), told, refused, gravest(app, verbs), dim, theme.border(true)];
    process_columns(Cells::new(width, theme), width, &texts, styles)
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
    let (text, dim) = (theme.text(), theme.dim());
    file_columns(
        Cells::new(width, theme),
        width,
        &[
            format!("    {}", app.show(name, 200)),
            what.to_owned(),
            marks(app, one.verbs),
            number(one.reads.0),
            size(one.reads.1),
            number(one.writes.0),
            size(one.writes.1),
            assets.join(" "),
        ],
        [
            if one.verbs.0 != 0 { theme.bright() } else { text },
            theme.warn(),
            gravest(app, one.verbs),
            text,
            dim,
            text,
            dim,
            dim,
        ],
    )
}

/// What was done with client data and what is left come first; the sizes go where there is no room, then the counts.
fn file_columns(cells: Cells, width: u16, texts: &[String; 8], styles: [Style; 8]) -> Line<'static> {
    let (counted, sized) = (width >= 60, width >= 100);
    let name = if counted { file(width) } else { usize::from(width).saturating_sub(9 + 5).max(10) };
    let mut cells = cells.left(&texts[0], name, styles[0]).text(" ", styles[7]).left(&texts[1], 8, styles[1]);
    cells = cells.left(&texts[2], if counted { 6 } else { 5 }, styles[2]);
    if counted {
        cells = cells.right(&texts[3], 7, styles[3]);
    }
    if sized {
        cells = cells.right(&texts[4], 11, styles[4]);
    }
    if counted {
        cells = cells.right(&texts[5], 7, styles[5]);
    }
    if sized {
        cells = cells.right(&texts[6], 11, styles[6]);
    }
    cells.text("  ", styles[7]).rest(&texts[7], styles[7]).line()
}

fn peer_line(app: &App, at: usize, width: u16) -> Line<'static> {
    let theme = app.theme;
    let Some(one) = app.known.peers.get(at) else { return Line::default() };
    let refused = if one.denied > 0 {
        format!("  {} {} refused", theme.sign("✕", "x"), count(one.denied))
    } else {
        String::new()
    };
    let (text, dim) = (theme.text(), theme.dim());
    let told = one.client > 0;
    peer_columns(
        Cells::new(width, theme),
        width,
        &[
            format!("  {}", app.show(&one.object.name, 200)),
            count(one.tries),
            bytes(one.sent),
            bytes(one.received),
            count(one.client),
            marks(app, one.verbs),
            format!("{}{refused}", one.protocols()),
        ],
        [
            if told { theme.bright() } else { text },
            text,
            text,
            dim,
            if told { theme.bad() } else { dim },
            gravest(app, one.verbs),
            dim,
        ],
    )
}

/// What there is no room for goes: what was received, what was spoken.
fn peer_columns(cells: Cells, width: u16, texts: &[String; 7], styles: [Style; 7]) -> Line<'static> {
    let narrow = width < 60;
    let name = if narrow { usize::from(width).saturating_sub(7 + 11 + 7).max(10) } else { destination(width) };
    let mut cells =
        cells.left(&texts[0], name, styles[0]).right(&texts[1], 7, styles[1]).right(&texts[2], 11, styles[2]);
    if !narrow {
        cells = cells.right(&texts[3], 11, styles[3]).right(&texts[4], 8, styles[4]);
    }
    cells.text("  ", styles[6]).left(&texts[5], if narrow { 5 } else { 9 }, styles[5]).rest(&texts[6], styles[6]).line()
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
        let narrow = width < 60;
        let link = if narrow { link.split(' ').next().unwrap_or_default() } else { link };
        let ends = if narrow { [0, 8, 1] } else { [11, 12, 10] };
        let room = usize::from(width).saturating_sub(4 + 1 + ends.iter().sum::<usize>());
        Cells::new(width, app.theme)
            .right(&(at + 1).to_string(), 3, app.theme.dim())
            .text(" ", app.theme.dim())
            .left(&when.map(time).unwrap_or_default(), ends[0], app.theme.dim())
            .left(&format!("#{}", count(item.event)), ends[1], app.theme.text())
            .left(&cut_middle(&app.shown(&item.what), room, app.theme), room, app.theme.text())
            .text(" ", style)
            .left(link, ends[2], style)
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
