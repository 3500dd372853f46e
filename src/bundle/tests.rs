//! What is written is read again, whatever it is; and whatever is done to a bundle, it opens to a
//! prefix of itself or says what is wrong.

use std::fs::{self, OpenOptions};
use std::ops::ControlFlow;
use std::path::Path;

use belljar_sandbox::event::{Abi, Batch, Event, Kind, LayerChange, ProcessKey, Queue, Span, Witness};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::schema::{AUTHORITIES, DECISIONS, KINDS, OBJECT_KINDS, WITNESSES};
use super::*;
use crate::ingest::{self, Observer, Options, Touched};
use crate::store::{AssetInfo, AssetSet, Record, Verbs};

pub(super) fn header() -> Header {
    Header {
        argv: vec!["sh".into(), "-c".into(), "true".into()],
        privilege: Privilege::Rootless,
        witnesses: vec![WitnessInfo { name: "notify".into(), used: true, reason: "needs no root".into() }],
        clocks: Clocks::now(),
        profile: ProfileInfo { name: "workstation".into(), sha256: "0".repeat(64), seed: u64::MAX },
        profile_toml: "name = \"workstation\"\n".into(),
        assets: vec![AssetInfo { name: "customers".into(), class: "identity".into() }],
        terminal: (80, 24),
        payload_limit: 256,
        capture_limit: 65_536,
    }
}

/// An event with its bytes.
#[derive(Clone, Debug)]
struct Loose {
    event: Event,
    object: Vec<u8>,
    target: Vec<u8>,
    detail: Vec<u8>,
    payload: Vec<u8>,
}

fn any_kind() -> impl Strategy<Value = Kind> {
    let abi = prop_oneof![Just(Abi::X86_64), Just(Abi::I386), Just(Abi::X32), Just(Abi::Unknown)];
    let call = (abi, prop_oneof![0..500_u32, any::<u32>()]).prop_map(|(abi, nr)| Kind::Call { abi, nr });
    prop_oneof![3 => call, 1 => proptest::sample::select(KINDS).prop_map(|(kind, _)| kind)]
}

fn any_event() -> impl Strategy<Value = Loose> {
    let bytes = || vec(any::<u8>(), 0..40);
    let words = (
        proptest::sample::select(WITNESSES),
        any_kind(),
        proptest::sample::select(DECISIONS),
        proptest::sample::select(AUTHORITIES),
        proptest::sample::select(OBJECT_KINDS),
        proptest::sample::select(OBJECT_KINDS),
    );
    let numbers = (
        any::<u64>(),
        0..4_u32,
        any::<u32>(),
        any::<[u64; 6]>(),
        option::of(any::<i64>()),
        option::of(any::<u64>()),
        any::<u64>(),
    );
    (words, numbers, bytes(), bytes(), bytes(), bytes()).prop_map(
        |(words, numbers, object, target, detail, payload)| {
            let (witness, kind, decision, authority, object_kind, target_kind) = words;
            let (time_ns, process, tid, mut args, result, duration_ns, payload_len) = numbers;
            // Parents that exist, and lost counts that a sum can hold.
            args[0] %= 1 << 20;
            let event = Event {
                args,
                result,
                duration_ns,
                decision: decision.0,
                authority: authority.0,
                object_kind: object_kind.0,
                target_kind: target_kind.0,
                payload_len,
                ..Event::new(time_ns, witness.0, kind, ProcessKey(process), tid)
            };
            Loose { event, object, target, detail, payload }
        },
    )
}

/// Keeps everything, marks something, and remembers what it saw.
#[derive(Default)]
struct Witnessed(Vec<String>);

impl Observer for Witnessed {
    fn observe(&mut self, record: &Record<'_>) -> Touched {
        let (verbs, assets) = (Verbs(record.seq as u8), AssetSet(record.seq << 3));
        self.0.push(format!("{:?}", Record { verbs, assets, ..*record }));
        Touched { verbs, assets, keep_payload: true }
    }

    fn findings(&mut self) -> Vec<serde_json::Value> {
        vec![serde_json::json!({ "seen": self.0.len() })]
    }
}

/// Records the events into `dir`, as one session.
fn record(dir: &Path, parts: &[Vec<Loose>], observer: &mut impl Observer) {
    let mut writer = Writer::create(dir, &header()).expect("a new bundle");
    let mut events = 0;
    let queue = Queue::new(1 << 20, 1 << 30);
    for part in parts {
        queue.push(|batch| fill(batch, part)).expect("open");
        events += part.len() as u64;
    }
    queue.close();
    let counted = ingest::run(&queue, observer, &mut writer, Options::default(), |_| {}).expect("room on the disk");
    assert_eq!((counted.events, counted.unwritten), (events, 0));
    let exit = Some(Exit { code: Some(3), signal: None });
    let outcome = Outcome { exit, duration_ns: 7, totals: counted, error: None };
    let session = writer.finish(outcome).expect("finished");
    assert_eq!(session.state, State::Complete);
}

fn fill(batch: &mut Batch, part: &[Loose]) {
    for loose in part {
        let (object, target) = (batch.put(&loose.object), batch.put(&loose.target));
        let (detail, payload) = (batch.put(&loose.detail), batch.put(&loose.payload));
        batch.events.push(Event { object, target, detail, payload, ..loose.event });
    }
}

fn read(reader: &mut Reader) -> Result<Vec<String>, BundleError> {
    let mut seen = Vec::new();
    reader.records(|record| {
        seen.push(format!("{record:?}"));
        ControlFlow::Continue(())
    })?;
    Ok(seen)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn what_is_written_is_read(parts in vec(vec(any_event(), 0..20), 1..4)) {
        let dir = tempfile::tempdir().expect("tempdir");
        let mut observer = Witnessed::default();
        record(dir.path(), &parts, &mut observer);
        let mut reader = Reader::open(dir.path()).expect("opens");
        prop_assert_eq!(read(&mut reader).expect("reads"), observer.0.clone());
        prop_assert!(!reader.truncated());
        prop_assert_eq!(reader.state(), State::Complete);
        // Again from the start, stopping on the way.
        reader.rewind();
        let mut first = None;
        reader.records(|record| { first = Some(format!("{record:?}")); ControlFlow::Break(()) }).expect("reads");
        prop_assert_eq!(first.as_ref(), observer.0.first());
        let rest = read(&mut reader).expect("reads");
        prop_assert_eq!(rest.as_slice(), observer.0.get(1..).unwrap_or_default());
        // The last row of a process is how it was last seen.
        for process in reader.processes().expect("processes") {
            let shown = format!("process: Some({process:?})");
            let of = format!("process: Some(Process {{ key: ProcessKey({})", process.key.0);
            let last = observer.0.iter().rfind(|record| record.contains(&of));
            prop_assert!(last.is_some_and(|record| record.contains(&shown)), "{}", shown);
        }
    }
}

/// A session of several batches, as a writer that is flushed often makes it.
fn small(dir: &Path, finish: bool) -> Vec<String> {
    let mut writer = Writer::create(dir, &header()).expect("a new bundle");
    for n in 0..4 {
        let queue = Queue::new(100, 1 << 20);
        let call = Kind::Call { abi: Abi::X86_64, nr: 1 };
        let part: Vec<Loose> = [Kind::ProcessStart, Kind::ProcessImage, call, Kind::Layer(LayerChange::Created)]
            .into_iter()
            .enumerate()
            .map(|(i, kind)| Loose {
                event: Event {
                    object_kind: belljar_sandbox::event::ObjectKind::File,
                    ..Event::new(i as u64, Witness::Notify, kind, ProcessKey(n + 1), n)
                },
                object: format!("/bin/{n}-{i}").into_bytes(),
                target: Vec::new(),
                detail: format!("arg-{n}-{i}\0").into_bytes(),
                payload: vec![n as u8; 30],
            })
            .collect();
        // Numbers of objects and events go on only within one ingest; here rows go in directly.
        queue.push(|batch| fill(batch, &part)).expect("open");
        let mut batch = Batch::default();
        queue.take(&mut batch, std::time::Duration::ZERO);
        for (i, event) in batch.events.iter().enumerate() {
            let object = writer.object(event.object_kind, batch.bytes(event.object));
            let seq = u64::from(n) * 4 + i as u64 + 1;
            let record = Record {
                seq,
                time_ns: event.time_ns,
                witness: event.witness,
                kind: event.kind,
                call: None,
                process: None,
                tid: event.tid,
                args: event.args,
                result: None,
                duration_ns: None,
                decision: event.decision,
                authority: event.authority,
                object: None,
                target: None,
                detail: batch.bytes(event.detail),
                payload: batch.bytes(event.payload),
                payload_len: 30,
                verbs: Verbs::default(),
                assets: AssetSet::default(),
            };
            let op = crate::store::ops().of(event.kind);
            let row = Row { record: &record, op, process: event.process, object: Some(object), target: None };
            writer.append(&row).expect("room");
            writer.process(seq, &crate::store::Process { key: event.process, ..Default::default() });
        }
        writer.finding(&serde_json::json!({ "id": n })).expect("room");
        writer.flush().expect("room");
    }
    if finish {
        writer.finish(Outcome::default()).expect("finished");
    }
    let mut reader = Reader::open(dir).expect("opens");
    assert_eq!(reader.truncated(), !finish);
    let all = read(&mut reader).expect("reads");
    assert_eq!(all.len(), 16);
    all
}

const FILES: [&str; 5] = ["events.arrows", "objects.arrows", "payloads.arrows", "processes.arrows", "session.json"];

#[test]
fn cut_off_at_any_byte_it_opens_to_a_prefix() {
    for name in FILES {
        let dir = tempfile::tempdir().expect("tempdir");
        let all = small(dir.path(), true);
        let file = OpenOptions::new().write(true).open(dir.path().join(name)).expect("part");
        let size = file.metadata().expect("metadata").len();
        let mut lengths = std::collections::BTreeSet::new();
        for length in (0..size).rev() {
            file.set_len(length).expect("cut");
            let mut reader = Reader::open(dir.path()).unwrap_or_else(|e| panic!("{name} cut at {length}: {e}"));
            let seen = read(&mut reader).unwrap_or_else(|e| panic!("{name} cut at {length}: {e}"));
            assert_eq!(seen, all[..seen.len()], "{name} cut at {length}");
            assert!(reader.findings().expect("findings").len() == 4 && reader.processes().is_ok());
            assert!(reader.truncated() || name == "session.json", "{name} cut at {length}");
            lengths.insert(seen.len());
        }
        // The control: cutting did take batches away, one after the other.
        let expected: Vec<usize> = match name {
            "processes.arrows" | "session.json" => vec![16],
            _ => vec![0, 4, 8, 12, 16],
        };
        assert_eq!(lengths.into_iter().collect::<Vec<_>>(), expected, "{name}");
    }
}

#[test]
fn damaged_anywhere_it_errs_or_opens() {
    for name in FILES.into_iter().chain(["findings.jsonl"]) {
        let dir = tempfile::tempdir().expect("tempdir");
        small(dir.path(), true);
        let path = dir.path().join(name);
        let bytes = fs::read(&path).expect("part");
        for at in (0..bytes.len()).step_by(5) {
            let mut bad = bytes.clone();
            bad[at] ^= [0x01, 0x80, 0xff][at % 3];
            fs::write(&path, &bad).expect("damage");
            if let Ok(mut reader) = Reader::open(dir.path()) {
                let _ = (read(&mut reader), reader.processes(), reader.findings(), reader.damage());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn damage_of_many_bytes_does_no_harm(changes in vec((0..FILES.len(), any::<u16>(), vec(any::<u8>(), 1..9)), 1..6)) {
        thread_local! {
            static BUNDLE: tempfile::TempDir = {
                let dir = tempfile::tempdir().expect("tempdir");
                small(dir.path(), true);
                dir
            };
        }
        let dir = tempfile::tempdir().expect("tempdir");
        BUNDLE.with(|bundle| {
            for name in FILES {
                fs::copy(bundle.path().join(name), dir.path().join(name)).expect("copy");
            }
        });
        for (file, at, with) in changes {
            let path = dir.path().join(FILES[file]);
            let mut bytes = fs::read(&path).expect("part");
            let at = usize::from(at) % bytes.len();
            let end = (at + with.len()).min(bytes.len());
            bytes[at..end].copy_from_slice(&with[..end - at]);
            fs::write(&path, bytes).expect("damage");
        }
        if let Ok(mut reader) = Reader::open(dir.path()) {
            let _ = (read(&mut reader), reader.processes(), reader.poll());
        }
    }
}

#[test]
fn a_running_session_can_be_followed() {
    let dir = tempfile::tempdir().expect("tempdir");
    let path = dir.path().join("bundle");
    let mut writer = Writer::create(&path, &header()).expect("a new bundle");
    let mut reader = Reader::open(&path).expect("opens");
    assert_eq!(reader.state(), State::Running);
    assert_eq!(read(&mut reader).expect("reads").len(), 0);
    assert!(!reader.poll().expect("polls"));
    let mut observer = Witnessed::default();
    let queue = Queue::new(100, 1 << 20);
    let event = Event { payload: Span::default(), ..Event::new(1, Witness::Jail, Kind::Notice, ProcessKey(0), 0) };
    queue.push(|batch| batch.events.extend([event, event])).expect("open");
    queue.close();
    let totals = ingest::run(&queue, &mut observer, &mut writer, Options::default(), |_| {}).expect("room");
    assert!(reader.poll().expect("polls"));
    assert_eq!(read(&mut reader).expect("reads"), observer.0);
    writer.finish(Outcome { totals, ..Outcome::default() }).expect("finished");
    assert!(!reader.poll().expect("polls"));
    assert_eq!((reader.state(), reader.truncated()), (State::Complete, false));
    assert_eq!(reader.session().map(|session| session.totals.events), Some(2));
}

#[test]
fn a_writer_that_died_leaves_a_session_that_was_cut_off() {
    let dir = tempfile::tempdir().expect("tempdir");
    let path = dir.path().join("bundle");
    let all = small(&path, false);
    let mut reader = Reader::open(&path).expect("opens");
    assert_eq!((reader.state(), reader.truncated(), reader.damage()), (State::CutOff, true, None));
    assert_eq!(read(&mut reader).expect("reads"), all);
}

#[test]
fn a_recording_overwrites_nothing() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().expect("tempdir");
    let (taken, file) = (dir.path().join("taken"), dir.path().join("file"));
    fs::create_dir(&taken).expect("mkdir");
    // The control: an empty directory will do, and so does a new one two levels down.
    for fresh in [taken.clone(), dir.path().join("a/b")] {
        drop(Writer::create(&fresh, &header()).expect("an empty place"));
        assert_eq!(fs::metadata(&fresh).expect("made").permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::metadata(fresh.join("events.arrows")).expect("made").permissions().mode() & 0o777, 0o600);
    }
    fs::write(&file, "").expect("file");
    for full in [taken, file] {
        assert!(matches!(Writer::create(&full, &header()), Err(BundleError::Exists { .. })), "{full:?}");
    }
    assert!(matches!(Reader::open(dir.path()), Err(BundleError::NotABundle { .. })));
}

#[test]
fn another_schema_is_refused() {
    let dir = tempfile::tempdir().expect("tempdir");
    small(dir.path(), true);
    let path = |name: &str| dir.path().join(name);
    let events = fs::read(path("events.arrows")).expect("events");
    fs::copy(path("objects.arrows"), path("events.arrows")).expect("swap");
    assert!(matches!(Reader::open(dir.path()), Err(BundleError::Schema { file: "events.arrows", .. })));
    fs::write(path("events.arrows"), events).expect("back");
    Reader::open(dir.path()).expect("the control");
    let session = fs::read_to_string(path("session.json")).expect("session");
    fs::write(path("session.json"), session.replace("belljar.session/1", "belljar.session/2")).expect("change");
    assert!(matches!(Reader::open(dir.path()), Err(BundleError::Schema { file: "session.json", .. })));
}

#[test]
fn payloads_are_cut_unless_they_are_evidence() {
    struct Keep(bool);
    impl Observer for Keep {
        fn observe(&mut self, _: &Record<'_>) -> Touched {
            Touched { keep_payload: self.0, ..Touched::default() }
        }
    }
    let lost = Event { args: [5, 0, 0, 0, 0, 0], ..Event::new(3, Witness::Notify, Kind::Lost, ProcessKey(0), 0) };
    let loose = |kind| Loose {
        event: Event::new(1, Witness::Notify, kind, ProcessKey(1), 1),
        object: Vec::new(),
        target: Vec::new(),
        detail: vec![b'd'; 1000],
        payload: vec![b'p'; 1000],
    };
    let mut part = vec![loose(Kind::Notice), loose(Kind::ProcessImage), loose(Kind::TerminalOutput)];
    part.push(Loose { event: lost, ..loose(Kind::Lost) });
    for (keep, expected, cut) in [(false, [256, 1000, 1000, 256], 2), (true, [1000; 4], 0)] {
        let dir = tempfile::tempdir().expect("tempdir");
        record(dir.path(), &[part.clone()], &mut Keep(keep));
        let mut reader = Reader::open(dir.path()).expect("opens");
        let mut lengths = Vec::new();
        reader
            .records(|record| {
                assert_eq!(record.detail.len(), 1000);
                lengths.push(record.payload.len());
                ControlFlow::Continue(())
            })
            .expect("reads");
        assert_eq!(lengths, expected);
        let session = reader.session().expect("session");
        assert_eq!((session.totals.payloads_cut, session.lost), (cut, 5));
        let cast = fs::read_to_string(dir.path().join("terminal.cast")).expect("cast");
        assert!(cast.starts_with("{\"version\":2,\"width\":80,") && cast.lines().count() == 2, "{cast}");
    }
}

#[test]
fn the_layer_has_its_place() {
    let dir = tempfile::tempdir().expect("tempdir");
    let mut writer = Writer::create(&dir.path().join("b"), &header()).expect("a new bundle");
    let files = writer.layer_dir().expect("layer");
    fs::write(files.join("x"), "left").expect("file");
    writer.layer_entry(&serde_json::json!({ "path": "/x" })).expect("entry");
    writer.finish(Outcome::default()).expect("finished");
    let lines = fs::read_to_string(dir.path().join("b/layer/layer.jsonl")).expect("lines");
    assert_eq!(lines, "{\"path\":\"/x\"}\n");
}
