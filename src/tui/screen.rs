//! The subject's terminal as it stood at a moment, made from the bytes it printed. Those bytes are the subject's: the
//! emulator is kept behind `catch_unwind`, never smaller than 2x2 cells (smaller ones make it panic), and what comes
//! out of it is text and colours only, masked like everything else.

use std::collections::HashSet;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use belljar_sandbox::event::Kind;
use tui_term::vt100::Parser;

use crate::bundle::BundleError;
use crate::recording::{Known, Recording};
use crate::redact::Redactor;

/// Smallest and largest size believed.
const SIZES: (u16, u16) = (2, 1000);
/// Lines kept that have gone off its top.
const SCROLLBACK: usize = 2000;
/// Most bytes that the emulator is fed with in one go: what is more comes with the next frame.
const FEED: usize = 1 << 20;

/// Shortest part of a value that is masked at the edge of a row that is full: there a value probably goes on.
const AT_THE_EDGE: usize = 4;
/// The same for other rows, where a word that merely begins like a value is likelier.
const ELSEWHERE: usize = 6;

/// How long a frame waits for it.
const PATIENCE: Duration = Duration::from_millis(10);

/// The subject's terminal.
pub(super) struct Screen {
    parser: Parser,
    /// Of its output in the recording, how many pieces it was fed with.
    fed: u64,
    /// Whether it is fed while things happen, not from the recording.
    is_live: bool,
    /// Why it shows nothing.
    broken: bool,
    /// Columns and rows that it begins with.
    first: (u16, u16),
}

/// The size that the subject's terminal began with, as the recording has it; that of most terminals where it has none.
pub(super) fn recorded_size(dir: &Path) -> (u16, u16) {
    use std::io::Read as _;
    let cast = dir.join("terminal.cast");
    // A bundle is anybody's: what lies there may be no file.
    let file = std::fs::metadata(&cast).ok().filter(std::fs::Metadata::is_file).and_then(|_| File::open(&cast).ok());
    let mut head = Vec::new();
    let read = file.map(|file| file.take(4096).read_to_end(&mut head));
    let line = head.split(|byte| *byte == b'\n').next().filter(|_| matches!(read, Some(Ok(_))));
    let header: Option<serde_json::Value> = line.and_then(|line| serde_json::from_slice(line).ok());
    let number = |name: &str| header.as_ref()?.get(name)?.as_u64().and_then(|size| u16::try_from(size).ok());
    (number("width").unwrap_or(80), number("height").unwrap_or(24))
}

fn size(size: u16) -> u16 {
    size.clamp(SIZES.0, SIZES.1)
}

impl Screen {
    /// An empty one.
    pub(super) fn new(columns: u16, rows: u16) -> Self {
        let parser = Parser::new(size(rows), size(columns), SCROLLBACK);
        Self { parser, fed: 0, is_live: false, broken: false, first: (columns, rows) }
    }

    /// Takes what the subject prints now.
    pub(super) fn feed_live(&mut self, bytes: &[u8]) {
        self.is_live = true;
        self.feed(bytes);
    }

    fn feed(&mut self, bytes: &[u8]) {
        if self.broken {
            return;
        }
        let parser = &mut self.parser;
        if catch_unwind(AssertUnwindSafe(|| parser.process(bytes))).is_err() {
            self.broken = true;
        }
    }

    /// Shows what has gone off its top, by so many lines; less than 0 goes back down.
    pub(super) fn scroll(&mut self, lines: i64) {
        let parser = &mut self.parser;
        let at = (parser.screen().scrollback() as i64).saturating_add(lines).clamp(0, SCROLLBACK as i64);
        if catch_unwind(AssertUnwindSafe(|| parser.screen_mut().set_scrollback(at as usize))).is_err() {
            self.broken = true;
        }
    }

    /// How many lines it is scrolled up.
    pub(super) fn scrolled(&self) -> usize {
        if self.broken { 0 } else { self.parser.screen().scrollback() }
    }

    /// Gives it another size.
    pub(super) fn resize(&mut self, columns: u16, rows: u16) {
        let (columns, rows) = (size(columns), size(rows));
        if self.parser.screen().size() == (rows, columns) {
            return;
        }
        let parser = &mut self.parser;
        if catch_unwind(AssertUnwindSafe(|| parser.screen_mut().set_size(rows, columns))).is_err() {
            self.broken = true;
        }
    }

    /// Brings it to the moment of a row. Returns whether it is there; else there is more to be fed.
    pub(super) fn to(&mut self, row: u64, recording: &mut Recording, known: &Known) -> Result<bool, BundleError> {
        if self.is_live {
            return Ok(true);
        }
        let wanted = known.screen.rank(row + 1);
        if wanted < self.fed {
            *self = Self::new(self.first.0, self.first.1);
        }
        let (mut bytes, begun) = (0, Instant::now());
        while self.fed < wanted && bytes < FEED && begun.elapsed() < PATIENCE {
            let Some(row) = known.screen.select(self.fed) else { break };
            let fed = recording.row(row, |record| match record.kind {
                Kind::TerminalOutput => (record.payload.to_vec(), None),
                // The size it has from now on.
                _ => (Vec::new(), Some((record.args[0], record.args[1]))),
            })?;
            if let Some((piece, resized)) = fed {
                bytes += piece.len().max(64);
                self.feed(&piece);
                if let Some((columns, rows)) = resized {
                    self.resize(columns.min(1000) as u16, rows.min(1000) as u16);
                }
            }
            self.fed += 1;
        }
        Ok(self.fed >= wanted)
    }

    /// The cells, by row and column, in which planted values stand. Looked for in all that the terminal shows and as far
    /// above and below as a value may reach, whatever part of it is drawn, and across the ends of rows: a value that is
    /// wrapped or scrolled half away is masked like any other. All rows are taken together, not only those that say
    /// they were wrapped, since that is forgotten when the terminal is given another width, and programs that fill the
    /// screen wrap by themselves.
    pub(super) fn masked(&mut self, redactor: &Redactor) -> HashSet<(u16, u16)> {
        let parser = &mut self.parser;
        if self.broken || redactor.longest() == 0 {
            return HashSet::new();
        }
        let looked = catch_unwind(AssertUnwindSafe(|| {
            let at = parser.screen().scrollback();
            let (height, width) = parser.screen().size();
            let reach = (redactor.longest() / usize::from(width.max(1)) + 1).min(height.into());
            let mut rows = Vec::new();
            for offset in [at + reach, at, at.saturating_sub(reach)] {
                // It goes no further up than there are lines, so pages may overlap.
                parser.screen_mut().set_scrollback(offset);
                look(parser.screen(), at, &mut rows);
            }
            parser.screen_mut().set_scrollback(at);
            rows
        }));
        if let Ok(rows) = looked {
            find(&rows, redactor)
        } else {
            // Nothing is shown of a broken one.
            self.broken = true;
            HashSet::new()
        }
    }

    /// What it shows; `None` where the emulator gave up on what it was fed with.
    pub(super) fn contents(&self) -> Option<&tui_term::vt100::Screen> {
        (!self.broken).then(|| self.parser.screen())
    }
}

/// A row of the terminal: where it is, counted from the first one shown; its text, and the column of each byte.
struct Row {
    at: i64,
    text: Vec<u8>,
    columns: Vec<u16>,
    /// Whether something stands in its last column.
    full: bool,
}

/// Adds the rows that a screen shows, when it is scrolled up by its offset and `at` is what is looked at, below those
/// that are there already.
fn look(screen: &tui_term::vt100::Screen, at: usize, rows: &mut Vec<Row>) {
    let (height, width) = screen.size();
    for y in 0..height {
        let place = at as i64 - screen.scrollback() as i64 + i64::from(y);
        if rows.last().is_some_and(|last: &Row| last.at >= place) {
            continue;
        }
        let mut row = Row { at: place, text: Vec::new(), columns: Vec::new(), full: false };
        let mut blanks = Vec::new();
        for x in 0..width {
            let Some(cell) = screen.cell(y, x) else { continue };
            row.full = cell.has_contents() || cell.is_wide_continuation();
            if cell.has_contents() {
                // What was never written to is left out at the end of a row, and a blank within.
                row.text.resize(row.text.len() + blanks.len(), b' ');
                row.columns.append(&mut blanks);
                row.text.extend_from_slice(cell.contents().as_bytes());
                row.columns.resize(row.text.len(), x);
            } else if !cell.is_wide_continuation() {
                blanks.push(x);
            }
        }
        rows.push(row);
    }
}

/// Where values stand in these rows: over the ends of rows, and in parts at the edges of single ones.
fn find(rows: &[Row], redactor: &Redactor) -> HashSet<(u16, u16)> {
    let mut cells = HashSet::new();
    let (mut text, mut places) = (Vec::new(), Vec::new());
    for (n, row) in rows.iter().enumerate() {
        let place = |column: &u16| u16::try_from(row.at).ok().map(|y| (y, *column));
        let edge = |full: bool| if full { AT_THE_EDGE } else { ELSEWHERE };
        let follows_full = n.checked_sub(1).and_then(|n| rows.get(n)).is_some_and(|before| before.full);
        for range in redactor.masked_from(&row.text, [edge(follows_full), edge(row.full)]) {
            cells.extend(row.columns.get(range).unwrap_or_default().iter().filter_map(place));
        }
        text.extend_from_slice(&row.text);
        places.extend(row.columns.iter().map(place));
    }
    for range in redactor.masked(&text) {
        cells.extend(places.get(range).unwrap_or_default().iter().flatten());
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn it_begins_with_the_size_that_was_recorded() {
        let dir = tempfile::tempdir().expect("temporary directory");
        assert_eq!(recorded_size(dir.path()), (80, 24));
        for (text, size) in
            [("{\"version\":2,\"width\":78,\"height\":15}\n[0.1,\"o\",\"x\"]\n", (78, 15)), ("{\"width\":-1", (80, 24))]
        {
            std::fs::write(dir.path().join("terminal.cast"), text).expect("room");
            assert_eq!(recorded_size(dir.path()), size);
        }
    }

    proptest! {
        #[test]
        fn no_output_and_no_size_brings_it_down(bytes in proptest::collection::vec(any::<u8>(), 0..300), w: u16, h in 0..60_u16) {
            let mut screen = Screen::new(h, 5);
            screen.feed_live(&bytes);
            screen.scroll(i64::from(w % 40) - 9);
            screen.resize(w % 300, h);
            screen.feed_live("東京\u{1b}[1000;1000H東\u{1b}[2J".as_bytes());
            screen.feed_live(&bytes);
            let _ = screen.masked(&Redactor::new([&b"secret-value"[..]].into_iter(), false, false).expect("few"));
            let _ = screen.contents();
        }
    }
}
