//! The screen over the recording of `belljar demo`, drawn into a buffer, and over a recording made to deceive.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use belljar_sandbox::event::{Abi, Event, Kind, LayerChange, ObjectKind, ProcessKey, Queue, Traffic, Witness};
use crossterm::event::{Event as Input, KeyCode, KeyEvent, KeyModifiers};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::action::{ACTIONS, Action, Key, Keymap, Place};
use super::app::{App, Layer, View};
use super::entries::Entry;
use super::live::Live;
use super::saved::Saved;
use super::theme::{Palette, Theme};
use super::{frame, layers};
use crate::analysis::rules::Rules;
use crate::bundle::{self, Clocks, Header, Privilege, ProfileInfo, What, WitnessInfo, Writer};
use crate::ingest::{self, Observer, Options, Touched};
use crate::redact::Redactor;
use crate::store::{AssetInfo, AssetSet, Record, Verb, Verbs};

const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/demo/recording");
const DARK: Theme = Theme { palette: Palette::Dark, ascii: false };

fn open(dir: &Path, redactor: Redactor, theme: Theme, live: Option<Arc<Live>>) -> App {
    let mut app = App::new(
        dir,
        (redactor, Redactor::plain(theme.ascii)),
        Rules::default(),
        theme,
        Keymap::default(),
        Saved::default(),
        live,
    )
    .expect("a recording");
    settle(&mut app);
    app
}

/// Waits for the threads to have looked at all there is.
fn settle(app: &mut App) {
    let begun = Instant::now();
    loop {
        app.tick(Duration::ZERO);
        let searched = app.hits.as_ref().is_none_or(|hits| hits.done || hits.trouble.is_some());
        if app.known.looked == app.recording.rows() && !app.known.processes.is_empty() && searched {
            return;
        }
        assert!(begun.elapsed() < Duration::from_mins(1), "the threads do not end");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn demo(theme: Theme) -> App {
    let reader = bundle::Reader::open(Path::new(DEMO)).expect("the demo");
    let profile = crate::profile::Profile::recorded(&reader.dir().join("profile.toml")).expect("its profile");
    let assets = profile.realise(7).expect("assets").assets;
    let markers = assets.iter().flat_map(|asset| &asset.markers).map(|marker| marker.value.as_slice());
    open(Path::new(DEMO), Redactor::new(markers, false, theme.ascii).expect("few markers"), theme, None)
}

fn draw(app: &mut App, width: u16, height: u16) -> Buffer {
    loop {
        let mut buf = Buffer::empty(Rect::new(0, 0, width, height));
        app.dirty = false;
        frame::draw(app, &mut buf);
        if !app.lines.waits() && !app.dirty {
            return buf;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn text(buf: &Buffer) -> String {
    let mut out = String::new();
    for y in 0..buf.area.height {
        let mut line = String::new();
        let mut skip = 0;
        for x in 0..buf.area.width {
            let symbol = buf[(x, y)].symbol();
            if skip == 0 {
                line.push_str(symbol);
                skip = unicode_width::UnicodeWidthStr::width(symbol).saturating_sub(1);
            } else {
                skip -= 1;
            }
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

fn press(app: &mut App, keys: &str) {
    for c in keys.chars() {
        let code = match c {
            '\n' => KeyCode::Enter,
            '\t' => KeyCode::Tab,
            '\u{8}' => KeyCode::Backspace,
            '\u{1b}' => KeyCode::Esc,
            c => KeyCode::Char(c),
        };
        app.handle(&Input::Key(KeyEvent::new(code, KeyModifiers::NONE)));
    }
    settle(app);
}

/// The moment the snapshots are of: amid what the subject does.
const MOMENT: u64 = 2_640;

#[test]
fn every_view_at_every_size() {
    let mut app = demo(DARK);
    app.go_to(MOMENT);
    for (view, name, _) in View::ALL {
        app.show_view(view);
        for (width, height) in [(200, 60), (120, 36), (80, 24), (40, 12)] {
            let drawn = text(&draw(&mut app, width, height));
            insta::assert_snapshot!(format!("{}-{width}x{height}", name.to_lowercase()), drawn);
        }
        for (width, height) in [(20, 5), (1, 1), (0, 0), (3, 200), (200, 3), (41, 13), (99, 25)] {
            for pane in 0..app.panes() {
                app.pane = pane;
                draw(&mut app, width, height);
            }
            app.pane = 0;
        }
    }
    insta::assert_snapshot!("line-20x5", text(&draw(&mut app, 20, 5)));
}

#[test]
fn ascii_and_no_colours_lose_nothing() {
    let mono = Theme { palette: Palette::Mono, ascii: true };
    let mut app = demo(mono);
    app.go_to(MOMENT);
    for (view, _, _) in View::ALL {
        app.show_view(view);
        for (width, height) in [(120, 36), (80, 24)] {
            let buf = draw(&mut app, width, height);
            assert!(text(&buf).is_ascii(), "{}", text(&buf));
            for cell in &buf.content {
                assert_eq!((cell.fg, cell.bg), (ratatui::style::Color::Reset, ratatui::style::Color::Reset));
            }
        }
    }
    app.show_view(View::Overview);
    insta::assert_snapshot!("overview-ascii-80x24", text(&draw(&mut app, 80, 24)));
}

#[test]
fn layers_at_every_size() {
    let mut app = demo(DARK);
    press(&mut app, "2?");
    insta::assert_snapshot!("help-120x36", text(&draw(&mut app, 120, 36)));
    press(&mut app, "\u{1b}:fil");
    insta::assert_snapshot!("palette-80x24", text(&draw(&mut app, 80, 24)));
    press(&mut app, "\u{1b}/class:iden");
    let drawn = text(&draw(&mut app, 80, 24));
    assert!(drawn.contains("identity"), "the value is offered: {drawn}");
}

#[test]
fn every_action_is_reached_by_its_key_and_by_the_palette() {
    for info in ACTIONS {
        let live = matches!(info.place, Place::Live | Place::Terminal).then(|| Arc::new(Live::shown()));
        let dir = tempfile::tempdir().expect("temporary directory");
        copy(Path::new(DEMO), dir.path());
        let mut app = open(dir.path(), Redactor::plain(false), DARK, live);
        match info.place {
            Place::Events => app.show_view(View::Events),
            Place::Tree => app.show_view(View::Files),
            Place::Terminal => app.show_view(View::Terminal),
            _ => {}
        }
        assert!(app.applies(info.place), "{}", info.name);
        for key in info.keys {
            let key = Key::parse(key).expect("a key");
            let found = app.keymap.action(key, |place| app.applies(place));
            // `enter` and the arrows do something nearer there; that has its own test.
            assert!(found == Some(info.action) || info.place == Place::Anywhere, "{}", info.name);
        }
        let found = app.found(info.name);
        assert!(found.iter().any(|other| other.action == info.action), "{}", info.name);
        app.act(info.action);
        app.tick(Duration::from_millis(40));
        draw(&mut app, 120, 36);
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).expect("readable") {
        let entry = entry.expect("readable");
        std::fs::copy(entry.path(), to.join(entry.file_name())).expect("room on the disk");
    }
}

#[test]
fn drilling_down_adds_terms_and_backspace_takes_them_off() {
    let mut app = demo(DARK);
    press(&mut app, "1\n");
    assert_eq!((app.view, app.bar.committed()), (View::Events, "asset:customers"));
    let with_asset = app.len();
    assert!(with_asset > 3 && with_asset < 200, "{with_asset}");
    press(&mut app, "6jjj\n");
    assert!(app.bar.committed().starts_with("asset:customers key:"), "{}", app.bar.committed());
    assert!(app.len() < with_asset);
    press(&mut app, "\u{8}");
    assert_eq!((app.bar.committed(), app.len()), ("asset:customers", with_asset));
    press(&mut app, "\u{8}");
    assert_eq!((app.bar.committed(), app.len()), ("", app.recording.rows()));
}

#[test]
fn the_filter_works_at_every_key_and_gives_way_to_what_was_there() {
    let mut app = demo(DARK);
    press(&mut app, "/op:open");
    assert_eq!(app.len(), 0, "no call is named so");
    press(&mut app, "*");
    let opened = app.len();
    assert!(opened > 100, "{opened}");
    press(&mut app, " nosuch:");
    assert!(app.bar.error.is_some());
    press(&mut app, "x");
    assert!(app.len() <= opened, "the last good filter stays");
    press(&mut app, "\u{1b}");
    assert_eq!(app.len(), app.recording.rows());
}

#[test]
fn matches_are_gone_through_alone_or_among_all_events() {
    let mut app = demo(DARK);
    press(&mut app, "n");
    assert!(app.message.as_ref().is_some_and(|(text, ..)| text.contains("no filter")));
    press(&mut app, "2/errno:ENOENT\n");
    let (all, fit) = (app.recording.rows(), app.len());
    assert!(fit > 10 && fit < all, "{fit}");
    app.go_to(MOMENT);
    press(&mut app, "v");
    assert_eq!((app.len(), app.cursor), (all, MOMENT), "all are shown, and the moment stays");
    press(&mut app, "n");
    let next = app.cursor;
    assert!(next > MOMENT && app.hits.as_ref().is_some_and(|hits| hits.rows.contains(next)));
    let drawn = text(&draw(&mut app, 120, 36));
    assert!(drawn.contains("that fit, among all") && drawn.contains("│▸"), "{drawn}");
    press(&mut app, "N");
    assert!(app.cursor <= MOMENT && app.hits.as_ref().is_some_and(|hits| hits.rows.contains(app.cursor)));
    press(&mut app, "v");
    assert_eq!(app.len(), fit);
}

#[test]
fn what_repeats_is_folded_and_counted() {
    let mut app = demo(DARK);
    press(&mut app, "2z");
    let (all, folded) = (app.recording.rows(), app.len());
    assert!(folded < all && folded > all / 20, "{folded} of {all}");
    let mut sum = 0;
    let mut most = (0, 0);
    for rank in 0..folded {
        let row = app.nth(rank).expect("shown");
        sum += app.times(row);
        most = most.max((app.times(row), row));
    }
    assert_eq!(sum, all, "nothing is lost");
    app.go_to(most.1);
    let drawn = text(&draw(&mut app, 120, 36));
    assert!(most.0 > 1 && drawn.contains(&format!("×{}", most.0)) && drawn.contains("z unfolds"), "{drawn}");
    press(&mut app, "/op:read\n");
    let (folded, fit) = (app.len(), app.hits.as_ref().map_or(0, |hits| hits.rows.len()));
    let sum: u64 = (0..folded).filter_map(|rank| app.nth(rank)).map(|row| app.times(row)).sum();
    assert!(folded < fit && sum == fit, "{folded} rows stand for {sum} of {fit}");
    press(&mut app, "z");
    assert_eq!(app.len(), fit);
}

#[test]
fn a_filter_is_given_a_name_and_taken_by_it() {
    let place = tempfile::tempdir().expect("temporary directory");
    let path = place.path().join("filters.toml");
    let mut app = demo(DARK);
    app.saved = Saved::open(Some(path.clone()));
    press(&mut app, "2/verb:transmit\n");
    let sent = app.len();
    press(&mut app, "sout\n");
    press(&mut app, "c/@o\t\n");
    assert_eq!((app.bar.committed(), app.len()), ("@out", sent));
    press(&mut app, "c/not @out\n");
    assert_eq!(app.len(), app.recording.rows() - sent);
    press(&mut app, "c@\n");
    assert_eq!(app.len(), sent, "chosen from the list");
    assert_eq!(Saved::open(Some(path)).all()["out"], "verb:transmit");
}

/// Exports what is shown, and waits for its end.
fn export(app: &mut App, path: &Path) -> String {
    app.export_to(&path.display().to_string());
    let begun = Instant::now();
    while app.export.is_some() {
        app.tick(Duration::ZERO);
        assert!(begun.elapsed() < Duration::from_mins(1), "it does not end");
        std::thread::sleep(Duration::from_millis(2));
    }
    std::fs::read_to_string(path).expect("written")
}

#[test]
fn what_is_shown_is_exported_masked() {
    let place = tempfile::tempdir().expect("temporary directory");
    let mut app = demo(DARK);
    let reader = bundle::Reader::open(Path::new(DEMO)).expect("the demo");
    let profile = crate::profile::Profile::recorded(&reader.dir().join("profile.toml")).expect("its profile");
    let assets = profile.realise(7).expect("assets").assets;
    press(&mut app, "2/verb:transmit\n");
    for ending in ["csv", "jsonl", "txt", "strace"] {
        let written = export(&mut app, &place.path().join(format!("x.{ending}")));
        let heads = usize::from(matches!(ending, "csv" | "txt"));
        assert_eq!(written.lines().count(), app.len() as usize + heads, "{ending}");
        for marker in assets.iter().flat_map(|asset| &asset.markers).filter(|marker| marker.value.len() > 8) {
            let plain = String::from_utf8_lossy(&marker.value);
            assert!(!written.contains(plain.as_ref()), "{ending} spells out {}", marker.name);
        }
    }
    app.export_to(&place.path().join("x.csv").display().to_string());
    assert!(app.export.is_none(), "nothing is overwritten");
    app.export_to("x.exe");
    assert!(app.message.as_ref().is_some_and(|(text, bad, _)| *bad && text.contains(".csv")));
}

#[test]
fn what_is_left_of_a_file_is_shown_against_what_was_planted() {
    let dir = tempfile::tempdir().expect("temporary directory");
    copy(Path::new(DEMO), dir.path());
    let mut app = open(
        dir.path(),
        Redactor::new([b"ada@example.com".as_slice()].into_iter(), false, false).expect("few"),
        DARK,
        None,
    );
    let left: Vec<(usize, Vec<u8>, u64)> = (0..)
        .zip(app.known.files.iter())
        .filter(|(_, file)| file.left.is_some_and(|(change, _)| change == LayerChange::Changed))
        .map(|(at, file)| (at, file.object.name.to_vec(), file.left_row))
        .collect();
    // A regular file: directories and links have no contents.
    let hash = |app: &mut App, row| {
        let hash = app.recording.row(row, |record| String::from_utf8_lossy(record.detail).into_owned());
        hash.expect("readable").filter(|hash| !hash.is_empty())
    };
    let found = left.into_iter().find_map(|(at, name, row)| Some((at, name, hash(&mut app, row)?)));
    let (at, name, hash) = found.expect("something is left");
    app.show_view(View::Files);
    let select = |app: &mut App| {
        app.left = None;
        let rows = app.entries.of(View::Files);
        app.lists[View::Files as usize][0].selected =
            rows.iter().position(|row| *row == Entry::File(at)).expect("listed");
        text(&draw(app, 120, 40))
    };
    assert!(select(&mut app).contains("has no copy"), "the demo's copies are not shipped");
    std::fs::create_dir_all(dir.path().join("layer/files")).expect("room");
    std::fs::write(dir.path().join("layer/files").join(hash), "same\nmail ada@example.com\n\u{1b}[2Jnew\n")
        .expect("room");
    app.below.insert(name.clone(), b"same\nold\n".to_vec());
    let drawn = select(&mut app);
    for line in ["   same", " - old", " + mail ••••", " + \\x1b[2Jnew", "against what was planted there"] {
        assert!(drawn.contains(line), "{line}: {drawn}");
    }
    assert!(!drawn.contains("ada@"), "{drawn}");
    app.below.insert(name.clone(), b"no\0text".to_vec());
    assert!(select(&mut app).contains("no text"));
    // Not planted: the recording's own copy of what was there before.
    app.below.clear();
    assert!(select(&mut app).contains("not recorded"));
    let before = "b".repeat(64);
    std::fs::write(dir.path().join("layer/files").join(&before), "same\nolder\n").expect("room");
    let path = String::from_utf8_lossy(&name);
    let lines = [
        serde_json::json!({"path": "/other", "before_sha256": "../../session.json"}),
        serde_json::json!({"path": path, "change": "changed", "before_sha256": before}),
    ];
    std::fs::write(dir.path().join("layer/layer.jsonl"), lines.map(|line| format!("{line}\n")).concat()).expect("room");
    let drawn = select(&mut app);
    assert!(drawn.contains(" - older") && drawn.contains("against what was there before"), "{drawn}");
}

#[test]
fn what_went_off_the_top_of_the_terminal_is_scrolled_back_to() {
    let live = Arc::new(Live::shown());
    let mut app = open(Path::new(DEMO), Redactor::plain(false), DARK, Some(live));
    let lines = (0..100).map(|n| format!("line-{n}\r\n")).collect::<Vec<_>>().concat();
    press(&mut app, "8");
    draw(&mut app, 100, 30);
    app.screen.feed_live(lines.as_bytes());
    assert!(!text(&draw(&mut app, 100, 30)).contains("line-50\n"));
    app.act(Action::PageUp);
    app.act(Action::PageUp);
    let drawn = text(&draw(&mut app, 100, 30));
    assert!(drawn.contains("line-50 ") && drawn.contains("lines up"), "{drawn}");
    let wheel = |kind| crossterm::event::MouseEvent { kind, column: 10, row: 10, modifiers: KeyModifiers::NONE };
    app.handle(&Input::Mouse(wheel(crossterm::event::MouseEventKind::ScrollUp)));
    let scrolled = app.screen.scrolled();
    app.handle(&Input::Mouse(wheel(crossterm::event::MouseEventKind::ScrollDown)));
    assert_eq!(app.screen.scrolled() + 3, scrolled);
    app.act(Action::Last);
    assert_eq!(app.screen.scrolled(), 0);
}

#[test]
fn a_chain_leads_to_its_events_and_brackets_to_the_next() {
    let mut app = demo(DARK);
    press(&mut app, "7\n");
    let event = app.finding().map(|finding| finding.chain[0].event).expect("a chain");
    press(&mut app, "\n");
    assert_eq!((app.view, app.cursor + 1), (View::Events, event));
    press(&mut app, "]");
    let next = app.cursor;
    assert!(next + 1 > event && app.known.client.contains(next));
    press(&mut app, "][");
    assert_eq!(app.cursor, next);
}

#[test]
fn time_is_sought_by_clock_share_and_number_and_played_both_ways() {
    let mut app = demo(DARK);
    press(&mut app, "g#2000\n");
    assert_eq!(app.cursor, 1_999);
    press(&mut app, "g50%\n");
    let half = app.known.end_ns() / 2;
    assert!(app.cursor_ns <= half && half - app.cursor_ns < 2_000_000_000, "{} {half}", app.cursor_ns);
    press(&mut app, "g00:05\n");
    let at = app.cursor_ns;
    assert!(at <= 5_000_000_000 && at > 3_000_000_000, "{at}");
    press(&mut app, ">> ");
    app.tick(Duration::from_millis(500));
    assert!(app.cursor_ns > at + 1_900_000_000, "four times as fast: {}", app.cursor_ns);
    press(&mut app, "r");
    app.tick(Duration::from_secs(10));
    assert_eq!((app.cursor_ns, app.play.on), (0, false), "back to the beginning");
}

#[test]
fn bytes_are_masked_until_the_analyst_asks_and_that_is_written_down() {
    let dir = tempfile::tempdir().expect("temporary directory");
    copy(Path::new(DEMO), dir.path());
    let mut app = demo(DARK);
    // The same masks over a copy that may be written to.
    let redactor = std::mem::take(&mut app.redactor);
    let mut app = open(dir.path(), redactor, DARK, None);
    press(&mut app, "2/verb:transmit bytes>1k witness:gateway\n");
    press(&mut app, "g1%\n");
    let row = app.nth(0).expect("something was sent");
    app.go_to(row);
    let masked = text(&draw(&mut app, 160, 50));
    assert!(masked.contains("•• ••") && masked.contains("masked"), "{masked}");
    press(&mut app, "xn");
    assert!(text(&draw(&mut app, 160, 50)).contains("•• ••"));
    assert!(app.notes.all().is_empty());
    press(&mut app, "xy");
    let shown = text(&draw(&mut app, 160, 50));
    assert!(shown.contains("REVEALED") && !shown.contains("•• ••"), "{shown}");
    let notes = std::fs::read_to_string(dir.path().join("notes.jsonl")).expect("written");
    assert!(notes.contains("reveal") && notes.contains(&format!("\"event\":{}", row + 1)), "{notes}");
    press(&mut app, "g#1\n");
    assert!(!text(&draw(&mut app, 160, 50)).contains("REVEALED"), "another event is masked again");
    assert_eq!(app.notes.all()[0].what, What::Reveal);
}

#[test]
fn marks_are_kept_in_the_recording() {
    let dir = tempfile::tempdir().expect("temporary directory");
    copy(Path::new(DEMO), dir.path());
    let mut app = open(dir.path(), Redactor::plain(false), DARK, None);
    press(&mut app, "2g#100\nm");
    press(&mut app, "g#200\niretries at once\n");
    press(&mut app, "g#1\n'j\n");
    assert_eq!(app.cursor, 199);
    let again = open(dir.path(), Redactor::plain(false), DARK, None);
    let marks: Vec<(u64, String)> = again.notes.marks().iter().map(|n| (n.event, n.text.clone())).collect();
    assert_eq!(marks, [(100, String::new()), (200, "retries at once".to_owned())]);
}

#[test]
fn what_ends_a_subject_is_asked_first() {
    let live = Arc::new(Live::shown());
    let mut app = open(Path::new(DEMO), Redactor::plain(false), DARK, Some(Arc::clone(&live)));
    for (key, line) in [("q", "End the subject and leave"), ("K", "End the subject?")] {
        press(&mut app, key);
        assert!(matches!(app.layer, Some(Layer::Ask(_))) && !app.quit);
        assert!(text(&draw(&mut app, 80, 24)).contains(line));
        assert!(text(&draw(&mut app, 30, 4)).contains("y/n"), "asked in any room");
        press(&mut app, "n");
        assert!(app.layer.is_none() && !app.quit);
    }
    live.end();
    press(&mut app, "q");
    assert!(app.quit, "a subject that has ended asks nothing");
    let _ = layers::question(super::app::Asked::Kill);
}

/// What one process of a build does is seen to touch client data.
struct Thief(ProcessKey);

impl Observer for Thief {
    fn observe(&mut self, record: &Record<'_>) -> Touched {
        let mut touched = Touched::default();
        if record.process.is_some_and(|process| process.key == self.0) && record.call.is_some() {
            touched.verbs.insert(Verb::Collect);
            touched.assets.insert(0);
        }
        touched
    }
}

/// Takes a kind, a process, arguments and a path.
type Tell<'a> = &'a mut dyn FnMut(Kind, u32, [u64; 6], &str);

/// `make` with three hundred shells, each with a compiler and an assembler; one compiler touches client data, one shell
/// still runs, two linkers were refused something, and some of many greps failed.
fn build_recording(dir: &Path) {
    let queue = Queue::new(4096, 8 << 20);
    let mut time = 0;
    let mut tell = |kind: Kind, key: u32, args: [u64; 6], object: &str| {
        time += 1_000_000;
        let pushed = queue.push(|batch| {
            let mut event = Event::new(time, Witness::Ebpf, kind, ProcessKey(key), key + 100);
            event.args = args;
            event.object_kind = if object.is_empty() { ObjectKind::None } else { ObjectKind::File };
            event.object = batch.put(object.as_bytes());
            batch.events.push(event);
        });
        pushed.expect("open");
    };
    let start = |tell: Tell<'_>, key: u32, parent: u64, exe: &str| {
        tell(Kind::ProcessStart, key, [parent, u64::from(key) + 100, u64::from(key) + 9000, 0, 0, 0], "");
        tell(Kind::ProcessImage, key, [0; 6], exe);
        tell(Kind::Call { abi: Abi::X86_64, nr: 257 }, key, [0; 6], "/src/x.c");
    };
    start(&mut tell, 1, u64::MAX, "/usr/bin/make");
    for n in 0..300_u32 {
        let sh = 10 + n * 3;
        start(&mut tell, sh, 1, "/bin/sh");
        start(&mut tell, sh + 1, sh.into(), "/usr/lib/gcc/cc1");
        start(&mut tell, sh + 2, sh.into(), "/usr/bin/as");
        tell(Kind::ProcessEnd, sh + 1, [0; 6], "");
        tell(Kind::ProcessEnd, sh + 2, [u64::from(n % 100 == 7) << 8, 0, 0, 0, 0, 0], "");
        if n != 299 {
            tell(Kind::ProcessEnd, sh, [0; 6], "");
        }
    }
    for n in 0..40 {
        start(&mut tell, 2_000 + n, 1, "/usr/bin/grep");
        tell(Kind::ProcessEnd, 2_000 + n, [if n % 2 == 0 { 256 } else { 0 }, 0, 0, 0, 0, 0], "");
    }
    queue.close();
    let header = Header {
        argv: vec!["make".into()],
        privilege: Privilege::Root,
        witnesses: vec![WitnessInfo { name: "ebpf".into(), used: true, reason: String::new() }],
        clocks: Clocks::now(),
        profile: ProfileInfo { name: "workstation".into(), sha256: String::new(), seed: 1 },
        profile_toml: String::new(),
        assets: vec![AssetInfo { name: "customers".into(), class: "identity".into() }],
        terminal: (80, 24),
        payload_limit: 256,
        capture_limit: 65_536,
    };
    let mut writer = Writer::create(dir, &header).expect("a new bundle");
    let mut thief = Thief(ProcessKey(10 + 40 * 3 + 1));
    let totals = ingest::run(&queue, &mut thief, &mut writer, Options::default(), |_| {}).expect("room on the disk");
    writer.finish(bundle::Outcome { totals, ..bundle::Outcome::default() }).expect("finished");
}

#[test]
fn a_build_is_told_in_few_lines_that_open() {
    let place = tempfile::tempdir().expect("temporary directory");
    let dir = place.path().join("build.belljar");
    build_recording(&dir);
    let mut app = open(&dir, Redactor::plain(false), DARK, None);
    for (width, height) in [(120, 36), (80, 24)] {
        press(&mut app, "6");
        insta::assert_snapshot!(format!("build-{width}x{height}"), text(&draw(&mut app, width, height)));
    }
    let all = app.known.processes.len();
    let rows = app.entries.of(View::Processes).to_vec();
    let folded: usize = app.known.repeats.iter().map(|fold| fold.range.len()).sum();
    let shown = rows.iter().filter(|row| matches!(row, Entry::Process(_))).count();
    assert_eq!((all, folded + shown), (941, 941), "each is shown or counted");
    let selected = |app: &App| app.entry().expect("a row");
    let at = rows.iter().position(|row| matches!(row, Entry::Repeats(..))).expect("a fold");
    app.lists[View::Processes as usize][0].selected = at;
    let Entry::Repeats(fold, false) = selected(&app) else { panic!("it is folded") };
    // Its right arrow opens it, and so does Enter; from within, the left arrow leads to it and folds it.
    press(&mut app, "l");
    assert_eq!(
        (selected(&app), app.entries.of(View::Processes).len() > rows.len() + 500),
        (Entry::Repeats(fold, true), true)
    );
    insta::assert_snapshot!("build-open-80x24", text(&draw(&mut app, 80, 24)));
    press(&mut app, "jjjh");
    assert_eq!(selected(&app), Entry::Repeats(fold, false));
    press(&mut app, "\n");
    assert_eq!(selected(&app), Entry::Repeats(fold, true));
    press(&mut app, "h");
    assert_eq!(app.entries.of(View::Processes), rows);
    press(&mut app, "1");
    insta::assert_snapshot!("build-overview-120x36", text(&draw(&mut app, 120, 36)));
}

#[test]
fn the_selected_row_stays_the_same_thing_while_more_becomes_known() {
    let mut app = demo(DARK);
    press(&mut app, "6jjjj");
    let key = |app: &App| app.entry().map(|entry| entry.key(&app.known));
    let (before, at) = (key(&app), app.lists[View::Processes as usize][0].selected);
    // Another process, in the tree before it.
    let mut known = (*app.known).clone();
    let mut processes = known.processes.to_vec();
    let mut another = processes[0].clone();
    (another.process.key, another.depth) = (ProcessKey(9_000), 1);
    processes.insert(1, another);
    let mut repeats = known.repeats.to_vec();
    for fold in &mut repeats {
        fold.range = fold.range.start + 1..fold.range.end + 1;
    }
    (known.processes, known.repeats) = (Arc::new(processes), Arc::new(repeats));
    app.learn(Arc::new(known));
    assert_eq!((key(&app), app.lists[View::Processes as usize][0].selected), (before, at + 1));
}

/// Marks everything as client data, so that every view lists it.
struct Everything;

impl Observer for Everything {
    fn observe(&mut self, record: &Record<'_>) -> Touched {
        let mut verbs = Verbs::default();
        verbs.insert(Verb::ALL[(record.seq % 8) as usize]);
        let mut assets = AssetSet::default();
        assets.insert(0);
        Touched { verbs, assets, keep_payload: true }
    }
}

/// Names that would steer, recolour, retitle or deceive a terminal, or are too wide, or no text at all.
fn hostile() -> Vec<Vec<u8>> {
    let texts = [
        "\x1b[2J\x1b[H\x1b]0;owned\x07",
        "\x1b]52;c;ZXZpbA==\x07",
        "\x1bP+q544e\x1b\\",
        "\u{9b}31m",
        "\u{9d}0;x\u{9c}",
        "a\rb\nc\td\x08\x7f",
        "\u{202e}gpj.exe",
        "\u{200b}\u{2060}\u{feff}",
        "\u{2066}x\u{2069}",
        "\u{e0041}\u{e0042}",
        "e\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}",
        "東京東京東京東京東京東京",
        "👩‍👩‍👧‍👦🏳️‍🌈",
        "\u{fdfd}\u{12427}",
        "",
        "\u{ad}\u{34f}\u{115f}",
        "\u{f8ff}\u{10fffd}",
        "\0\0\0",
    ];
    let mut all: Vec<Vec<u8>> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    all.push(vec![0xff, 0xfe, 0x9b, 0x1b, 0xc3]);
    all.push((0..=255).collect());
    all.push(b"A".repeat(5_000));
    all
}

fn hostile_recording(dir: &Path) {
    let queue = Queue::new(4096, 8 << 20);
    for (n, name) in hostile().into_iter().enumerate() {
        let key = ProcessKey(n as u32 + 1);
        let path = [b"/tmp/".as_slice(), &name].concat();
        let peer = [name.as_slice(), b":443"].concat();
        let kinds = [
            (Kind::ProcessStart, ObjectKind::None),
            (Kind::ProcessImage, ObjectKind::File),
            (Kind::Call { abi: Abi::X86_64, nr: 257 }, ObjectKind::File),
            (Kind::Call { abi: Abi::X86_64, nr: 42 }, ObjectKind::Tcp),
            (Kind::Traffic(Traffic::Request), ObjectKind::Tcp),
            (Kind::TerminalOutput, ObjectKind::Terminal),
            (Kind::Notice, ObjectKind::None),
        ];
        for (kind, object_kind) in kinds {
            let pushed = queue.push(|batch| {
                let mut event = Event::new(n as u64 * 1_000_000, Witness::Notify, kind, key, 7);
                event.object_kind = object_kind;
                event.object = match object_kind {
                    ObjectKind::Tcp => batch.put(&peer),
                    ObjectKind::None => belljar_sandbox::event::Span::default(),
                    _ => batch.put(&path),
                };
                event.target_kind = ObjectKind::File;
                event.target = batch.put(&path);
                event.detail = batch.put(&[name.as_slice(), b"\0", &name, b"\0"].concat());
                event.payload = batch.put(&name);
                event.payload_len = name.len() as u64;
                event.args = if kind == Kind::ProcessStart { [u64::MAX, n as u64 + 2, 9, 0, 0, 0] } else { [0; 6] };
                batch.events.push(event);
            });
            pushed.expect("open");
        }
    }
    queue.close();
    let evil = String::from_utf8_lossy(&hostile().concat()).into_owned();
    let header = Header {
        argv: vec![evil.clone()],
        privilege: Privilege::Root,
        witnesses: vec![WitnessInfo { name: "notify".into(), used: true, reason: evil.clone() }],
        clocks: Clocks::now(),
        profile: ProfileInfo { name: evil.clone(), sha256: evil.clone(), seed: 1 },
        profile_toml: String::new(),
        assets: vec![AssetInfo { name: evil.clone(), class: evil.clone() }],
        terminal: (80, 24),
        payload_limit: 8192,
        capture_limit: 65_536,
    };
    let mut writer = Writer::create(dir, &header).expect("a new bundle");
    let options = Options { payload: 8192 };
    let totals = ingest::run(&queue, &mut Everything, &mut writer, options, |_| {}).expect("room on the disk");
    writer.finish(bundle::Outcome { totals, ..bundle::Outcome::default() }).expect("finished");
    // A bundle is anybody's: its findings may say anything, too.
    let finding = serde_json::json!({
        "id": 1, "verb": "transmit", "confidence": "proven", "severity": "high", "declared": false,
        "asset": evil, "class": evil, "markers": [evil, evil], "channel": "https", "destination": evil,
        "encodings": [evil], "decision": "allowed", "outcome": "succeeded", "error": evil,
        "process": {"pid": 7, "exe": evil, "argv": [evil]}, "title": evil, "attack": evil,
        "chain": [{"event": 3, "what": evil, "link": "exact"}, {"event": u64::MAX, "what": evil, "link": "lineage"}],
        "outcome_basis": "result", "events": 2,
    });
    std::fs::write(dir.join("findings.jsonl"), format!("{finding}\n")).expect("writable");
    let note = serde_json::json!({
        "what": "mark", "event": 3, "time_ns": 3, "written": evil, "by": evil, "text": evil,
    });
    std::fs::write(dir.join("notes.jsonl"), format!("{note}\n")).expect("writable");
}

/// Whether a cell would do anything but show its own shape.
fn is_harmless(symbol: &str) -> bool {
    Redactor::plain(false).text(symbol.as_bytes(), 99).to_string() == symbol || symbol == "\\"
}

#[test]
fn nothing_that_the_subject_names_steers_or_deceives_the_terminal() {
    let place = tempfile::tempdir().expect("temporary directory");
    let dir = place.path().join("x.belljar");
    hostile_recording(&dir);
    let mut app = open(&dir, Redactor::plain(false), DARK, None);
    assert_eq!(app.recording.rows(), hostile().len() as u64 * 7);
    for (view, name, _) in View::ALL {
        app.show_view(view);
        for (zoom, pane) in [(false, 0), (false, 1), (true, 0), (true, 1), (true, 2)] {
            (app.zoom, app.pane) = (zoom, pane.min(app.panes() - 1));
            for row in (0..app.recording.rows()).step_by(11) {
                app.go_to(row);
                app.field = (row % 30) as usize;
                for lists in &mut app.lists {
                    lists[0].selected = (row / 3) as usize;
                }
                for (width, height) in [(120, 36), (61, 17)] {
                    let buf = draw(&mut app, width, height);
                    for cell in &buf.content {
                        assert!(is_harmless(cell.symbol()), "{name}, row {row}: {:?}", cell.symbol());
                    }
                }
            }
            app.act(Action::Copy);
            let copied = app.copy.take().unwrap_or_default();
            assert!(!copied.chars().any(char::is_control), "{copied:?}");
        }
    }
    for ending in ["csv", "jsonl", "txt", "strace"] {
        let written = export(&mut app, &place.path().join(format!("x.{ending}")));
        let harmless = written.chars().all(|c| c == '\n' || is_harmless(c.encode_utf8(&mut [0; 4])));
        // Machines read these as they are, with what JSON itself escapes.
        assert!(harmless || matches!(ending, "jsonl"), "{ending}");
        assert!(!written.contains(['\u{1b}', '\u{9b}', '\u{202e}']), "{ending}");
    }
    app.act(Action::Marks);
    for cell in &draw(&mut app, 120, 36).content {
        assert!(is_harmless(cell.symbol()), "{:?}", cell.symbol());
    }
    // What is pasted or typed into the filter is shown the same way.
    app.layer = None;
    app.act(Action::Filter);
    app.handle(&Input::Paste("path:\u{202e}\u{9b}x".into()));
    for cell in &draw(&mut app, 80, 24).content {
        assert!(is_harmless(cell.symbol()), "{:?}", cell.symbol());
    }
}
