//! Numbers, times and names as the screen writes them, and the pieces a frame is made of.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::symbols::border;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Widget as _};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::theme::Theme;

/// A number with its thousands apart: `412,907`.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number in little room: `8.1k`.
pub(super) fn short(number: u64) -> String {
    match number {
        0..1_000 => number.to_string(),
        1_000..1_000_000 => format!("{:.1}k", number as f64 / 1e3),
        _ => format!("{:.1}M", number as f64 / 1e6),
    }
}

/// A number of bytes: `218 KiB`.
pub(super) fn bytes(number: u64) -> String {
    let number_f = number as f64;
    match number {
        0..1_024 => format!("{number} B"),
        1_024..1_048_576 => format!("{:.1} KiB", number_f / 1_024.0),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", number_f / 1_048_576.0),
        _ => format!("{:.1} GiB", number_f / 1_073_741_824.0),
    }
}

/// A time in the session: `02:41.240`.
pub(super) fn time(ns: u64) -> String {
    let (seconds, millis) = (ns / 1_000_000_000, ns % 1_000_000_000 / 1_000_000);
    let hours = if seconds >= 3600 { format!("{}:", seconds / 3600) } else { String::new() };
    format!("{hours}{:02}:{:02}.{millis:03}", seconds / 60 % 60, seconds % 60)
}

/// The same without parts of a second.
pub(super) fn clock(ns: u64) -> String {
    let time = time(ns);
    time.split('.').next().unwrap_or_default().to_owned()
}

/// The text in this many columns: cut with `…` where it is longer.
pub(super) fn cut(text: &str, width: usize, theme: Theme) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let dots = theme.sign("…", "~");
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        let wide = c.width().unwrap_or_default();
        if used + wide + 1 > width {
            break;
        }
        used += wide;
        out.push(c);
    }
    if width > 0 {
        out.push_str(dots);
    }
    out
}

/// The same, cut in the middle: of a path, the end says more than the way there.
pub(super) fn cut_middle(text: &str, width: usize, theme: Theme) -> String {
    if text.width() <= width || width < 12 {
        return cut(text, width, theme);
    }
    let end = (width - 1) * 2 / 3;
    let (mut tail, mut used) = (text.len(), 0);
    for (at, c) in text.char_indices().rev() {
        used += c.width().unwrap_or_default();
        if used > end {
            break;
        }
        // What has no width belongs to what is before it.
        if c.width().unwrap_or_default() > 0 {
            tail = at;
        }
    }
    let tail = text.get(tail..).unwrap_or_default();
    // From a slash on, where there is one: whole names.
    let tail = tail.find('/').filter(|at| *at < tail.len() / 2).and_then(|at| tail.get(at..)).unwrap_or(tail);
    let head = cut(text, width - tail.width(), theme);
    format!("{head}{tail}")
}

/// Words in lines of this many columns.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let Some(line) = lines.last_mut() else { break };
        if line.is_empty() {
            line.push_str(word);
        } else if line.width() + 1 + word.width() <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

/// A line of columns.
pub(super) struct Cells {
    spans: Vec<Span<'static>>,
    theme: Theme,
    left: usize,
}

impl Cells {
    /// Of this width.
    pub(super) fn new(width: u16, theme: Theme) -> Self {
        Self { spans: Vec::new(), theme, left: usize::from(width) }
    }

    /// Columns that are left.
    pub(super) fn room(&self) -> usize {
        self.left
    }

    /// A column that begins at the left.
    pub(super) fn left(mut self, text: &str, width: usize, style: Style) -> Self {
        let width = width.min(self.left);
        let text = cut(text, width, self.theme);
        let gap = width.saturating_sub(text.width());
        self.left -= width;
        self.spans.push(Span::styled(format!("{text}{:gap$}", ""), style));
        self
    }

    /// A column that ends at the right.
    pub(super) fn right(mut self, text: &str, width: usize, style: Style) -> Self {
        let width = width.min(self.left);
        let text = cut(text, width, self.theme);
        let gap = width.saturating_sub(text.width());
        self.left -= width;
        self.spans.push(Span::styled(format!("{:gap$}{text}", ""), style));
        self
    }

    /// As long as it is.
    pub(super) fn text(self, text: &str, style: Style) -> Self {
        let width = text.width();
        self.left(text, width, style)
    }

    /// What is left of the line.
    pub(super) fn rest(self, text: &str, style: Style) -> Self {
        let width = self.left;
        self.left(text, width, style)
    }

    /// What is left of the line, cut in the middle.
    pub(super) fn end(self, text: &str, style: Style) -> Self {
        let text = cut_middle(text, self.left, self.theme);
        self.rest(&text, style)
    }

    /// The line.
    pub(super) fn line(self) -> Line<'static> {
        Line::from(self.spans)
    }
}

/// Writes a line.
pub(super) fn put(buf: &mut Buffer, area: Rect, row: u16, line: &Line<'_>) {
    if row < area.height {
        buf.set_line(area.x, area.y + row, line, area.width);
    }
}

/// Writes the selected line, and marks all of its width.
pub(super) fn put_selected(buf: &mut Buffer, area: Rect, row: u16, line: &Line<'_>, theme: Theme, focus: bool) {
    put(buf, area, row, line);
    if row < area.height {
        buf.set_style(Rect { y: area.y + row, height: 1, ..area }, theme.selected(focus));
    }
}

const ASCII: border::Set<'static> = border::Set {
    top_left: "+",
    top_right: "+",
    bottom_left: "+",
    bottom_right: "+",
    vertical_left: "|",
    vertical_right: "|",
    horizontal_top: "-",
    horizontal_bottom: "-",
};

/// A box with titles; returns what is inside. Too small for a border, it is all inside.
pub(super) fn panel(buf: &mut Buffer, area: Rect, theme: Theme, focus: bool, titles: [&str; 3]) -> Rect {
    if area.width < 4 || area.height < 3 {
        return area;
    }
    let [left, right, bottom] = titles;
    let set = if theme.ascii { ASCII } else { border::PLAIN };
    let title = if focus { theme.border(true).patch(theme.bright()) } else { theme.text() };
    let room = usize::from(area.width).saturating_sub(6);
    let left = cut(left, room, theme);
    let mut block = Block::bordered().border_set(set).border_style(theme.border(focus));
    let left_width = left.width();
    if !left.is_empty() {
        block = block.title_top(Line::from(Span::styled(format!(" {left} "), title)));
    }
    if !right.is_empty() && left_width + 6 < room {
        let right = cut(right, room - left_width - 4, theme);
        block = block.title_top(Line::from(Span::styled(format!(" {right} "), theme.dim())).right_aligned());
    }
    if !bottom.is_empty() {
        let bottom = cut(bottom, room, theme);
        block = block.title_bottom(Line::from(Span::styled(format!(" {bottom} "), theme.dim())).right_aligned());
    }
    let inner = block.inner(area);
    block.render(area, buf);
    inner
}

#[cfg(test)]
mod tests {
    use super::super::theme::Palette;
    use super::*;

    #[test]
    fn what_is_cut_fits() {
        let theme = Theme { palette: Palette::Mono, ascii: false };
        assert_eq!(cut("東京都", 5, theme), "東京…");
        assert_eq!(cut("東京都", 4, theme), "東…");
        assert_eq!(cut("abc", 0, theme), "");
        let path = "/usr/lib/x86_64-linux-gnu/libssl.so.3";
        assert_eq!(cut_middle(path, 24, theme), "/usr/lib/x8…/libssl.so.3");
        assert_eq!(cut_middle(path, 8, theme), "/usr/li…");
        for width in 0..40 {
            for text in [
                path,
                "東京東京東京東京東京東京東京東京",
                "e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}",
            ] {
                assert!(cut_middle(text, width, theme).width() <= width, "{text} in {width}");
            }
        }
        assert_eq!(wrap("one two  three", 7), ["one two", "three"]);
        assert_eq!((count(412_907), count(12)), ("412,907".into(), "12".into()));
        assert_eq!((time(161_240_000_000), clock(3_601_000_000_000)), ("02:41.240".into(), "1:00:01".into()));
    }
}
