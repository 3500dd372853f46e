//! What is left of a file: the copy that the recording keeps, against what was planted there, or against the copy of
//! what was there before. Where the recording has none, it says so.

use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use belljar_sandbox::event::LayerChange;
use data_encoding::BASE64;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line as Text;
use serde::Deserialize;
use similar::{ChangeTag, TextDiff};

use super::super::app::App;
use super::super::entries::Entry;
use super::super::text::{Cells, bytes, count, panel};
use super::list;
use crate::recording::left;

/// Most bytes of a file compared.
const READ: u64 = 256 << 10;
/// Most bytes read of the layer's list.
const LIST: u64 = 16 << 20;
/// Longest time that a comparison may take: after that it is coarser.
const PATIENCE: Duration = Duration::from_millis(20);
/// Lines around what differs.
const AROUND: usize = 3;
/// Most lines made.
const LINES: usize = 4000;
/// Bytes shown of a line.
const WIDTH: usize = 400;

/// A line of what is left: what it is, and its text, made safe to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Piece {
    sign: char,
    text: String,
}

/// What is left of one file.
pub(in super::super) struct Left {
    /// The row that told it.
    row: u64,
    /// Its lines.
    pub(in super::super) pieces: Rc<Vec<Piece>>,
    /// What it is held against.
    against: &'static str,
}

fn piece(sign: char, text: impl Into<String>) -> Piece {
    Piece { sign, text: text.into() }
}

/// The lines for the selected file; none where nothing is left of one.
pub(in super::super) fn pieces(app: &mut App) -> Rc<Vec<Piece>> {
    let Some(Entry::File(at)) = app.entry() else { return Rc::default() };
    let Some(file) = app.known.files.get(at) else { return Rc::default() };
    let (Some((change, size)), row, name) = (file.left, file.left_row, file.object.name.clone()) else {
        return Rc::default();
    };
    if let Some(left) = app.left.as_ref().filter(|left| left.row == row) {
        return Rc::clone(&left.pieces);
    }
    let earlier = match app.below.get(&*name) {
        Some(planted) => Some(planted.clone()),
        None if change == LayerChange::Created => None,
        None => earlier(app.recording.dir(), &name),
    };
    let against = match (app.below.contains_key(&*name), &earlier, change) {
        (true, ..) => "against what was planted there",
        (false, Some(_), _) => "against what was there before",
        (false, None, LayerChange::Created) => "",
        (false, None, _) => "what was there before is not recorded",
    };
    let hash = app.recording.row(row, |record| String::from_utf8_lossy(record.detail).into_owned());
    let pieces = match hash {
        // Of what was deleted nothing is left, and that is known.
        Ok(_) if change == LayerChange::Deleted && earlier.is_some() => compare(app, earlier.as_deref(), &[], 0),
        Ok(hash) => match copy(app.recording.dir(), &hash.unwrap_or_default()) {
            Some(now) => compare(app, earlier.as_deref(), &now, size),
            None => vec![piece('!', "the recording has no copy of what is left")],
        },
        Err(error) => vec![piece('!', crate::redact::plain(error.to_string().as_bytes()))],
    };
    let pieces = Rc::new(pieces);
    app.left = Some(Left { row, pieces: Rc::clone(&pieces), against });
    pieces
}

/// A copy that the recording has, up to a size.
fn copy(dir: &Path, hash: &str) -> Option<Vec<u8>> {
    // The name of a copy is its hash, and nothing else.
    let is_hash = hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hash.then(|| read(&dir.join("layer/files").join(hash), READ)).flatten()
}

/// What the layer's list says of one path.
#[derive(Deserialize)]
struct Line {
    path: String,
    path_base64: Option<String>,
    before_sha256: Option<String>,
}

/// What was at this path before, where the recording has a copy of it.
fn earlier(dir: &Path, name: &[u8]) -> Option<Vec<u8>> {
    let list = read(&dir.join("layer/layer.jsonl"), LIST)?;
    // Few lines say so: only those are taken apart.
    let says = |line: &&[u8]| memchr::memmem::find(line, b"before_sha256").is_some();
    let lines = list.split(|byte| *byte == b'\n').filter(says);
    let line =
        lines.filter_map(|line| serde_json::from_slice::<Line>(line).ok()).find(|line| match &line.path_base64 {
            Some(path) => BASE64.decode(path.as_bytes()).is_ok_and(|path| path == name),
            None => line.path.as_bytes() == name,
        })?;
    copy(dir, &line.before_sha256?)
}

fn compare(app: &App, below: Option<&[u8]>, now: &[u8], size: u64) -> Vec<Piece> {
    let mut pieces = Vec::new();
    if now.len() as u64 >= READ && size > READ {
        pieces.push(piece('!', format!("only its first {} are compared", bytes(READ))));
    }
    let before = below.map_or(&[][..], |before| before.get(..READ as usize).unwrap_or(before));
    if memchr::memchr(0, before).is_some() || memchr::memchr(0, now).is_some() {
        let same = before.iter().zip(now).take_while(|(a, b)| a == b).count();
        pieces.push(piece(
            ' ',
            format!("{} were there, {} are left", bytes(before.len() as u64), bytes(now.len() as u64)),
        ));
        pieces.push(piece(' ', format!("no text; the first {} bytes are the same", count(same as u64))));
        return pieces;
    }
    let diff = TextDiff::configure().timeout(PATIENCE).diff_lines(before, now);
    for (at, group) in diff.grouped_ops(AROUND).iter().enumerate() {
        if at > 0 {
            pieces.push(piece('@', ""));
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let sign = match change.tag() {
                ChangeTag::Equal => ' ',
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
            };
            let line = change.value();
            // A line without an end may be where what is compared was cut.
            let text = match line.strip_suffix(b"\n") {
                Some(line) => app.show(line, WIDTH),
                None => app.redactor.fragment(line, WIDTH).to_string(),
            };
            pieces.push(piece(sign, text));
            if pieces.len() >= LINES {
                pieces.push(piece('!', "there is more"));
                return pieces;
            }
        }
    }
    if pieces.is_empty() {
        pieces.push(piece(' ', "its contents are what they were"));
    }
    pieces
}

fn read(path: &Path, limit: u64) -> Option<Vec<u8>> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    // A bundle is anybody's: what lies there may be no file.
    let file =
        std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file).and_then(|_| std::fs::File::open(path).ok());
    file?.take(limit).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

pub(super) fn draw(app: &mut App, buf: &mut Buffer, area: Rect) {
    let theme = app.theme;
    let focus = app.pane == 1;
    let pieces = pieces(app);
    let file = match app.entry() {
        Some(Entry::File(at)) => app.known.files.get(at).cloned(),
        _ => None,
    };
    let Some((file, (change, size))) = file.and_then(|file| file.left.map(|left| (file, left))) else {
        panel(buf, area, theme, focus, ["What is left", "", ""]);
        return;
    };
    let title = format!("What is left {} {}", theme.sign("·", "-"), app.show(&file.object.name, 200));
    let right = format!("{}, {}", left(change), bytes(size));
    let against = app.left.as_ref().map_or("", |left| left.against);
    let inner = panel(buf, area, theme, focus, [&title, &right, against]);
    list(app, buf, inner, 1, pieces.len(), focus, None, |app, at, width| {
        let Some(piece) = pieces.get(at) else { return Text::default() };
        let style = match piece.sign {
            '+' => app.theme.good(),
            '-' | '!' => app.theme.bad(),
            '@' => app.theme.dim(),
            _ => app.theme.text(),
        };
        let text = if piece.sign == '@' { app.theme.sign("···", "...") } else { &piece.text };
        let sign = if piece.sign == '@' { ' ' } else { piece.sign };
        Cells::new(width, app.theme).text(&format!(" {sign} "), style).rest(text, style).line()
    });
}
