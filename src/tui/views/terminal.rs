//! The subject's own terminal, as it stands at the moment. What the emulator leaves in a cell is looked at once more:
//! no control character and nothing that deceives reaches the analyst's terminal, and planted values are masked.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::widgets::Widget as _;
use tui_term::widget::PseudoTerminal;

use super::super::app::{App, Spot};
use super::super::text::{Cells, panel, put, time};
use super::super::theme::Palette;

pub(super) fn draw(app: &mut App, buf: &mut Buffer, area: Rect) {
    let alive = app.alive();
    let at = if alive { String::new() } else { format!("at {}", time(app.cursor_ns)) };
    let bottom = match (app.typing, alive) {
        (true, _) => "keys go to the subject; Ctrl-] takes them back".to_owned(),
        (false, true) => format!("{} gives it the keyboard", app.key(super::super::action::Action::Keyboard)),
        _ => String::new(),
    };
    let bottom = match app.screen.scrolled() {
        0 => bottom,
        lines => format!("{lines} lines up; {} goes down", app.key(super::super::action::Action::PageDown)),
    };
    let inner = panel(buf, area, app.theme, app.typing || app.pane == 0, ["Terminal of the subject", &at, &bottom]);
    if alive && inner.width >= 2 && inner.height >= 2 {
        fit(app, inner);
    }
    show(app, buf, inner);
    app.page = usize::from(inner.height);
    app.spots.push((inner, Spot::Subject));
}

/// Gives the subject's terminal the size of its pane.
fn fit(app: &mut App, inner: Rect) {
    let now = app.screen.contents().map(tui_term::vt100::Screen::size);
    if now != Some((inner.height, inner.width)) {
        app.screen.resize(inner.width, inner.height);
        if let Some(Err(error)) = app.live.as_ref().map(|live| live.controls.resize(inner.width, inner.height)) {
            app.complain(format!("cannot give the subject's terminal its size: {error}"));
        }
    }
}

/// The screen of the subject, cleaned.
pub(in super::super) fn show(app: &mut App, buf: &mut Buffer, area: Rect) {
    let theme = app.theme;
    let App { screen, recording, known, cursor, .. } = app;
    match screen.to(*cursor, recording, known) {
        Ok(true) => {}
        Ok(false) => app.dirty = true,
        Err(error) => app.complain(error),
    }
    if area.width < 2 || area.height < 2 {
        return;
    }
    // Before anything is cut to the area.
    let masked = app.screen.masked(&app.redactor);
    let Some(contents) = app.screen.contents() else {
        let text = " what the subject printed cannot be shown; the recording has it (terminal.cast)";
        put(buf, area, 0, &Cells::new(area.width, theme).rest(text, theme.warn()).line());
        return;
    };
    let mut cursor = tui_term::widget::Cursor::default();
    if !app.typing || app.screen.scrolled() > 0 {
        cursor.hide();
    }
    PseudoTerminal::new(contents).cursor(cursor).render(area, buf);
    if app.live.is_none() && contents_empty(app) {
        let text = format!(" nothing was printed until {}", time(app.cursor_ns));
        put(buf, area, 0, &Cells::new(area.width, theme).rest(&text, theme.dim()).line());
        return;
    }
    clean(app, buf, area);
    for (y, x) in masked.into_iter().filter(|(y, x)| *y < area.height && *x < area.width) {
        if let Some(cell) = buf.cell_mut((area.x + x, area.y + y)) {
            cell.set_char(if theme.ascii { '*' } else { '•' });
        }
    }
}

fn contents_empty(app: &App) -> bool {
    app.known.screen.rank(app.cursor + 1) == 0
}

fn clean(app: &App, buf: &mut Buffer, area: Rect) {
    for at in area.positions() {
        let Some(cell) = buf.cell_mut(at) else { continue };
        let symbol = cell.symbol();
        let shown = app.redactor.text(symbol.as_bytes(), 64).to_string();
        // Escaped, it would be another text: nothing of it is shown.
        let same = shown == symbol || symbol == "\\" || shown.contains('•') || shown.contains('*');
        if !same {
            cell.set_char('?');
        }
        if app.theme.palette == Palette::Mono {
            let kept = cell.modifier & (Modifier::BOLD | Modifier::REVERSED | Modifier::UNDERLINED | Modifier::DIM);
            cell.set_style(Style::reset().add_modifier(kept));
        } else {
            cell.modifier -= Modifier::SLOW_BLINK | Modifier::RAPID_BLINK | Modifier::HIDDEN;
            if matches!(cell.fg, Color::Reset) && matches!(cell.bg, Color::Reset) {
                cell.fg = Color::Reset;
            }
        }
    }
}
