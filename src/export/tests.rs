//! What the formats look like, over records made by hand.

use belljar_sandbox::event::{Abi, Authority, Decision, Kind, LayerChange, ObjectKind, ProcessKey, Traffic, Witness};
use belljar_sandbox::witness::syscalls::lookup;

use super::{Format, Printer};
use crate::query::Context;
use crate::query::field::Field;
use crate::redact::Redactor;
use crate::store::{AssetInfo, AssetSet, Object, Process, Record, Verb, Verbs};

const MARKER: &[u8] = b"ada@example.com";

fn print(format: Format, fields: &[&str], reveal: bool) -> String {
    let assets = [AssetInfo { name: "customers".to_owned(), class: "identity".to_owned() }];
    let context = Context { assets: &assets };
    let redactor = Redactor::new([MARKER].into_iter(), reveal, false).unwrap();
    let fields = fields.iter().map(|name| Field::find(name).unwrap()).collect();
    let mut printer = Printer::new(format, fields, &redactor);
    let mut out = Vec::new();
    printer.header(&mut out).unwrap();
    let object = |kind, name: &[u8]| Object { kind, name: name.into() };
    let process = Process {
        key: ProcessKey(1),
        pid: 2,
        exe: b"/usr/bin/python3".to_vec(),
        argv: b"python3\0-c\0import os\n\0".to_vec(),
        ..Process::default()
    };
    let file = object(ObjectKind::File, b"/home/ada/Documents/customers.csv");
    let odd = object(ObjectKind::File, b"/tmp/\x1b[2J\xff\\, \"");
    let peer = object(ObjectKind::Tcp, b"203.0.113.9:80");
    let mut record = Record {
        seq: 1,
        time_ns: 1_234_567,
        witness: Witness::Notify,
        kind: Kind::Call { abi: Abi::X86_64, nr: 257 },
        call: lookup(Abi::X86_64, 257),
        process: Some(&process),
        tid: 2,
        args: [0xffff_ff9c, 0x7ffe_0000, 0o2_000_000, 0, 0, 0],
        result: Some(3),
        duration_ns: Some(6_200),
        decision: Decision::Allowed,
        authority: Authority::Observed,
        object: Some(&file),
        target: None,
        detail: b"",
        payload: b"",
        payload_len: 0,
        verbs: Verbs::default(),
        assets: AssetSet::default(),
    };
    record.assets.insert(0);
    record.verbs.insert(Verb::Collect);
    printer.record(&record, &context, &mut out).unwrap();
    // A write with client data and bytes that are no text, to a file with an odd name.
    record = Record {
        seq: 2,
        time_ns: 3_723_000_001_000,
        kind: Kind::Call { abi: Abi::X86_64, nr: 1 },
        call: lookup(Abi::X86_64, 1),
        args: [3, 0x7ffe_1000, 70_000, 0, 0, 0],
        result: Some(-28),
        object: Some(&odd),
        payload: b"1,ada@example.com,\x00\xfe\n",
        payload_len: 70_000,
        ..record
    };
    record.verbs.insert(Verb::Store);
    printer.record(&record, &context, &mut out).unwrap();
    record = Record {
        seq: 3,
        kind: Kind::Call { abi: Abi::X86_64, nr: 42 },
        call: lookup(Abi::X86_64, 42),
        args: [4, 0x7ffe_2000, 16, 0, 0, 0],
        result: Some(-101),
        decision: Decision::Denied,
        object: Some(&peer),
        payload: b"",
        payload_len: 0,
        verbs: Verbs::default(),
        assets: AssetSet::default(),
        ..record
    };
    printer.record(&record, &context, &mut out).unwrap();
    record = Record {
        seq: 4,
        witness: Witness::Layer,
        kind: Kind::Layer(LayerChange::Created),
        call: None,
        process: None,
        tid: 0,
        result: None,
        duration_ns: None,
        decision: Decision::Allowed,
        object: Some(&odd),
        detail: b"=cmd|calc",
        ..record
    };
    printer.record(&record, &context, &mut out).unwrap();
    record = Record { seq: 5, kind: Kind::Call { abi: Abi::X86_64, nr: 9999 }, object: None, detail: b"", ..record };
    printer.record(&record, &context, &mut out).unwrap();
    record = Record { seq: 6, kind: Kind::ProcessEnd, args: [9, 0, 0, 0, 0, 0], process: Some(&process), ..record };
    printer.record(&record, &context, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn text_is_aligned() {
    insta::assert_snapshot!(print(Format::Text, &[], false));
    insta::assert_snapshot!(print(Format::Text, &["t", "took", "op", "argv", "payload"], false));
}

#[test]
fn text_says_what_was_asked_for_and_answered() {
    let redactor = Redactor::new([MARKER].into_iter(), false, false).unwrap();
    let object = |name: &[u8]| Object { kind: ObjectKind::Tcp, name: name.into() };
    let (server, host, domain) = (object(b"198.18.0.7:443"), object(b"a.example:443"), object(b"a.example"));
    let line = |traffic, target, detail: &[u8], payload: &[u8], status| {
        let mut record = Record { kind: Kind::Traffic(traffic), witness: Witness::Gateway, ..Record::blank() };
        record.object = Some(&server);
        record.target = target;
        (record.detail, record.payload, record.args[4]) = (detail, payload, status);
        let mut out = Vec::new();
        let context = Context { assets: &[] };
        Printer::new(Format::Text, Vec::new(), &redactor).record(&record, &context, &mut out).unwrap();
        let line = String::from_utf8(out).unwrap();
        line[line.find("198").unwrap()..].trim_end().to_owned()
    };
    assert_eq!(
        line(Traffic::Query, Some(&domain), b"A NOERROR 198.18.0.7", b"x.\x1b.a.example", 0),
        r"198.18.0.7:443  A x.\x1b.a.example NOERROR 198.18.0.7"
    );
    assert_eq!(
        line(Traffic::Query, Some(&domain), b"A NXDOMAIN", b"ada@example.com.a.example", 0),
        "198.18.0.7:443  A ••••.a.example NXDOMAIN"
    );
    assert_eq!(line(Traffic::Query, None, b"not understood", b"\0\0", 0), "198.18.0.7:443  not understood");
    assert_eq!(
        line(Traffic::Request, Some(&host), b"POST https://a.example/?q=ada@example.com\x1b", b"POST", 0),
        r"198.18.0.7:443  POST https://a.example/?q=••••\x1b"
    );
    assert_eq!(
        line(Traffic::Response, Some(&host), b"Not Found", b"404", 404),
        "198.18.0.7:443 -> a.example:443  404 Not Found"
    );
    assert_eq!(line(Traffic::Sent, Some(&host), b"", b"secret", 0), "198.18.0.7:443 -> a.example:443");
}

#[test]
fn lines_of_json_name_every_field_the_event_has() {
    insta::assert_snapshot!(print(Format::Jsonl, &[], false));
}

#[test]
fn csv_has_a_header_and_no_formulas() {
    insta::assert_snapshot!(print(Format::Csv, &["seq", "t", "op", "object", "detail", "payload", "argv"], false));
}

#[test]
fn strace_looks_like_strace() {
    insta::assert_snapshot!(print(Format::Strace, &[], false));
}

#[test]
fn no_format_shows_a_marker_unless_asked() {
    let value = std::str::from_utf8(MARKER).unwrap();
    let encoded = data_encoding::BASE64.encode(b"1,ada@example.com,\x00\xfe\n");
    for format in [Format::Text, Format::Jsonl, Format::Csv, Format::Strace] {
        let fields: &[&str] = if format == Format::Strace { &[] } else { &["payload", "object"] };
        let masked = print(format, fields, false);
        assert!(masked.contains("••••") && !masked.contains(value) && !masked.contains(&encoded), "{masked}");
        // The controls: asked, they do.
        let shown = print(format, fields, true);
        assert!(shown.contains(value) && !shown.contains("••••"), "{shown}");
        assert!(format != Format::Jsonl || shown.contains(&encoded), "{shown}");
        for text in [masked, shown] {
            assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
        }
    }
}

#[test]
fn json_and_csv_read_back() {
    let json = print(Format::Jsonl, &[], false);
    let events: Vec<serde_json::Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.len(), 6);
    let raw = data_encoding::BASE64.decode(events[1]["object_base64"].as_str().unwrap().as_bytes()).unwrap();
    assert_eq!(raw, b"/tmp/\x1b[2J\xff\\, \"");
    let csv = print(Format::Csv, &[], false);
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    assert_eq!(reader.headers().unwrap().len(), crate::query::field::FIELDS.len());
    assert_eq!(reader.records().map(Result::unwrap).count(), 6);
}
