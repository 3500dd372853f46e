//! The strip of time: what happened when, over the whole session, and where the moment is. It grows while a session
//! runs and is the scrubber of a replay: the same thing, read and clicked the same way.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::app::{App, Spot};
use super::text::{Cells, clock, put};
use super::theme::Theme;
use crate::store::Verb;

/// Columns of the labels.
const LABEL: u16 = 8;

pub(super) fn draw(app: &mut App, buf: &mut Buffer, area: Rect) {
    let theme = app.theme;
    let label = if area.width >= 100 { LABEL } else { 1 };
    let inner = Rect { x: area.x + label, width: area.width.saturating_sub(label + 1), ..area };
    if inner.width < 2 {
        return;
    }
    let end = app.known.end_ns().max(1);
    let columns = app.known.histogram.columns(usize::from(inner.width), end);
    // Heights by the logarithm: one call and ten thousand are both to be seen.
    let most = columns.iter().map(|bucket| bucket.events).max().unwrap_or_default().max(1);
    let scale = (most as f64 + 1.0).ln();
    let here = column(app.cursor_ns, end, inner.width);
    if label > 1 {
        put(buf, area, 0, &Cells::new(label, theme).left(" all", 8, theme.dim()).line());
        put(buf, area, 1, &Cells::new(label, theme).left(" client", 8, theme.dim()).line());
    }
    for (at, bucket) in columns.iter().enumerate() {
        let x = inner.x + at as u16;
        let height = match bucket.events {
            0 => 0,
            events => ((events as f64 + 1.0).ln() / scale * 8.0).ceil() as usize,
        };
        buf.set_string(x, inner.y, theme.bar(height), theme.dim());
        // The gravest thing that happened there.
        let verbs = [
            Verb::ShutDown,
            Verb::Disrupt,
            Verb::Control,
            Verb::Transmit,
            Verb::Use,
            Verb::Store,
            Verb::Process,
            Verb::Collect,
        ];
        let verb = verbs.into_iter().find(|verb| bucket.verbs.get(*verb as usize).is_some_and(|count| *count > 0));
        if let Some(verb) = verb {
            let refused = u64::from(bucket.denied) >= bucket.client();
            let sign = if refused { theme.sign("✕", "x") } else { Theme::letter(verb) };
            buf.set_string(x, inner.y + 1, sign, theme.verb(verb));
        }
    }
    // Where marks are, and where the moment is.
    let marks: Vec<u64> = app.notes.marks().iter().map(|note| note.time_ns).collect();
    for time in marks {
        let x = inner.x + column(time, end, inner.width);
        if area.height > 2 {
            buf.set_string(x, inner.y + 2, theme.sign("◆", "m"), theme.warn());
        }
    }
    if area.height > 2 {
        axis(app, buf, Rect { y: inner.y + 2, height: 1, ..inner }, end, here);
    }
    for row in 0..2.min(area.height) {
        if let Some(cell) = buf.cell_mut((inner.x + here, inner.y + row)) {
            cell.set_style(theme.selected(true));
        }
    }
    if area.height > 2 {
        buf.set_string(inner.x + here, inner.y + 2, theme.sign("▲", "^"), theme.bright());
    } else if let Some(cell) = buf.cell_mut((inner.x + here, inner.y + 1))
        && cell.symbol() == " "
    {
        buf.set_string(inner.x + here, inner.y + 1, theme.sign("▲", "^"), theme.bright());
    }
    app.spots.push((inner, Spot::Strip));
}

fn column(time: u64, end: u64, width: u16) -> u16 {
    let at = u128::from(time) * u128::from(width) / (u128::from(end) + 1);
    (at as u16).min(width.saturating_sub(1))
}

fn axis(app: &App, buf: &mut Buffer, area: Rect, end: u64, here: u16) {
    let width = if end >= 3_600_000_000_000 { 8 } else { 5 };
    let step = area.width / (area.width / 16).max(1);
    let mut x = 0;
    while x + width <= area.width {
        let time = u128::from(end) * u128::from(x) / u128::from(area.width);
        // A mark there says more, and so does the moment.
        let free = !(x..x + width).contains(&here)
            && (x..x + width).all(|x| buf.cell((area.x + x, area.y)).is_none_or(|cell| cell.symbol() == " "));
        if free {
            // Else many of them would be the same.
            let short = end < 60_000_000_000;
            let text = if short { format!("{:.1}s", time as f64 / 1e9) } else { clock(time as u64) };
            buf.set_string(area.x + x, area.y, text, app.theme.dim());
        }
        x += step;
    }
}
