//! An event as a sentence, for the clipboard, screen readers and logs: who did what to what, and how it ended.

use belljar_sandbox::event::{Decision, Kind, LayerChange, Traffic};
use nix::errno::Errno;

use super::text::{bytes, time};
use crate::export::about;
use crate::query::field::{decision, error_name};
use crate::redact::Redactor;
use crate::store::meaning::{Act, act};
use crate::store::{AssetInfo, Record, Verb};

/// Bytes shown of a name that is not what the event is about.
const NAME: usize = 60;

/// The sentence, masked and escaped.
pub(super) fn sentence(record: &Record<'_>, redactor: &Redactor, assets: &[AssetInfo]) -> String {
    let verbs: Vec<&str> = record.verbs.iter().map(Verb::name).collect();
    let verbs = if verbs.is_empty() { String::new() } else { format!("{}: ", verbs.join(" and ")) };
    let asset = record.assets.iter().next().and_then(|at| assets.get(at));
    let asset = asset.map(|asset| format!(" ({})", redactor.text(asset.name.as_bytes(), NAME))).unwrap_or_default();
    let size = if record.payload_len > 0 { format!(", {}", bytes(record.payload_len)) } else { String::new() };
    let who = record.process.map(|process| redactor.text(process.name(), NAME).to_string());
    // What a witness found by itself nobody did.
    let who = who.filter(|name| !name.is_empty()).unwrap_or_else(|| "an unknown process".to_owned());
    let [about, said] = about(record, redactor);
    let what = match record.kind {
        Kind::Layer(LayerChange::Created) => format!("the layer has {about}{asset}, which is new{size}"),
        Kind::Layer(LayerChange::Changed) => format!("the layer has {about}{asset} changed{size}"),
        Kind::Layer(LayerChange::Deleted) => format!("the layer no longer has {about}{asset}"),
        Kind::Notice => "the jail says".to_owned(),
        Kind::Lost => format!("{} events were lost here", record.args[0]),
        _ => {
            let did = did(record);
            let gap = if about.is_empty() || did.is_empty() { "" } else { " " };
            format!("{who} {did}{gap}{about}{asset}{size}")
        }
    };
    let said = if said.is_empty() { said } else { format!(": {said}") };
    format!("#{} {} {verbs}{what}{said}{}", record.seq, time(record.time_ns), end(record))
}

/// How it ended, where that is not as it should.
fn end(record: &Record<'_>) -> String {
    match (record.decision, record.result.and_then(error_name)) {
        (Decision::Allowed, Some(_)) if has_begun(record) => String::new(),
        (Decision::Allowed, Some(error)) => format!(", which failed with {error}"),
        (Decision::Allowed, None) => String::new(),
        (other, _) => format!(", which was {}", decision(other)),
    }
}

/// A connection that is made without anybody waiting for it: no failure.
fn has_begun(record: &Record<'_>) -> bool {
    record.result == Some(-(Errno::EINPROGRESS as i64))
}

/// What was done, as it stands before what it was done to.
fn did(record: &Record<'_>) -> String {
    let [base, past] = match record.kind {
        Kind::Traffic(traffic) => return said(traffic).to_owned(),
        Kind::ProcessStart => return "started".to_owned(),
        Kind::ProcessImage => return "runs".to_owned(),
        Kind::ProcessEnd => return "ended".to_owned(),
        Kind::TerminalOutput => return "printed to".to_owned(),
        Kind::Plaintext { sent: true } => return "handed over, to be sent in TLS, by".to_owned(),
        Kind::Plaintext { sent: false } => return "got, received in TLS, by".to_owned(),
        Kind::Call { .. } => match act(None, record) {
            Act::Open { truncate: true, .. } => ["empty", "emptied"],
            Act::Open { write: true, .. } => ["open for writing", "opened for writing"],
            Act::Open { .. } => ["open", "opened"],
            Act::Read => ["read", "read"],
            Act::Map { write: true } => ["map for writing", "mapped for writing"],
            Act::Map { .. } => ["map", "mapped"],
            Act::Write => ["write to", "wrote to"],
            Act::Copy { object_is_destination: false } => ["copy", "copied"],
            Act::Send => ["send to", "sent to"],
            Act::Receive => ["receive from", "received from"],
            Act::Connect if has_begun(record) => return "began to connect to".to_owned(),
            Act::Connect => ["connect to", "connected to"],
            Act::Remove => ["remove", "removed"],
            Act::Truncate => ["cut", "cut"],
            Act::Exec => ["run", "ran"],
            _ => return called(record),
        },
        _ => return called(record),
    };
    let is_done = record.result.is_some_and(|result| result >= 0) && record.decision == Decision::Allowed;
    match (is_done, record.result) {
        (true, _) => past.to_owned(),
        // Let through, and nobody saw how it went.
        (false, None) if record.decision == Decision::Allowed => format!("asked to {base}"),
        (false, _) => format!("tried to {base}"),
    }
}

/// A call that there is no word for, by its name.
fn called(record: &Record<'_>) -> String {
    let has_object = record.object.or(record.target).is_some_and(|object| !object.name.is_empty());
    format!("called {}{}", record.op(), if has_object { " on" } else { "" })
}

fn said(traffic: Traffic) -> &'static str {
    match traffic {
        Traffic::Connection => "has a connection to",
        Traffic::ConnectionEnd => "has no connection any more to",
        Traffic::Query => "asked for a name of",
        Traffic::Hello => "began TLS with",
        Traffic::Refusal => "did not agree on TLS with",
        Traffic::Request => "sent a request to",
        Traffic::Response => "was answered by",
        Traffic::Sent => "sent what arrived at",
        Traffic::Received => "was sent something by",
        Traffic::Credential => "presented a secret to",
        Traffic::Packet => "sent a packet to",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use belljar_sandbox::event::{Abi, ObjectKind, ProcessKey};
    use belljar_sandbox::witness::syscalls::by_name;

    use super::*;
    use crate::store::{Object, Process};

    static PROCESS: LazyLock<Process> =
        LazyLock::new(|| Process { key: ProcessKey(1), exe: b"/usr/bin/curl".to_vec(), ..Process::default() });

    fn told(record: Record<'_>) -> String {
        let redactor = Redactor::new([&b"ada@example.com"[..]].into_iter(), false, false).unwrap();
        let assets = [AssetInfo { name: "customers".to_owned(), class: "identity".to_owned() }];
        sentence(&Record { seq: 7, ..record }, &redactor, &assets)
    }

    fn call(name: &str, object: Option<&Object>, result: Option<i64>, decision: Decision) -> String {
        let call = by_name(name);
        let kind = Kind::Call { abi: Abi::X86_64, nr: call.unwrap().x86_64.unwrap() };
        told(Record { kind, call, object, result, decision, process: Some(&PROCESS), ..Record::blank() })
    }

    #[test]
    fn sentences_say_who_did_what_and_how_it_ended() {
        let file = Object { kind: ObjectKind::File, name: b"/srv/ada@example.com\x1b"[..].into() };
        let peer = Object { kind: ObjectKind::Tcp, name: b"198.18.0.7:443"[..].into() };
        let (yes, no) = (Decision::Allowed, Decision::Denied);
        assert_eq!(call("read", Some(&file), Some(9), yes), r"#7 00:00.000 curl read /srv/••••\x1b");
        assert_eq!(
            call("read", Some(&file), Some(-5), yes),
            r"#7 00:00.000 curl tried to read /srv/••••\x1b, which failed with EIO"
        );
        assert_eq!(call("read", Some(&file), None, yes), r"#7 00:00.000 curl asked to read /srv/••••\x1b");
        assert_eq!(
            call("connect", Some(&peer), Some(-115), yes),
            "#7 00:00.000 curl began to connect to 198.18.0.7:443"
        );
        assert_eq!(call("connect", Some(&peer), Some(0), yes), "#7 00:00.000 curl connected to 198.18.0.7:443");
        assert_eq!(
            call("connect", Some(&peer), Some(-101), no),
            "#7 00:00.000 curl tried to connect to 198.18.0.7:443, which was denied"
        );
        assert_eq!(call("reboot", None, Some(-1), no), "#7 00:00.000 curl called reboot, which was denied");
        assert_eq!(call("flock", Some(&peer), Some(0), yes), "#7 00:00.000 curl called flock on 198.18.0.7:443");
    }

    #[test]
    fn what_nobody_did_has_a_subject_too() {
        let file = Object { kind: ObjectKind::File, name: b"/tmp/x"[..].into() };
        let mut record = Record {
            kind: Kind::Layer(LayerChange::Created),
            object: Some(&file),
            payload_len: 2048,
            ..Record::blank()
        };
        record.verbs.insert(Verb::Store);
        record.assets.insert(0);
        assert_eq!(told(record), "#7 00:00.000 store: the layer has /tmp/x (customers), which is new, 2.0 KiB");
        record.kind = Kind::Layer(LayerChange::Deleted);
        assert_eq!(told(record), "#7 00:00.000 store: the layer no longer has /tmp/x (customers)");
        let asked = Record {
            kind: Kind::Traffic(Traffic::Request),
            process: Some(&PROCESS),
            object: Some(&file),
            detail: b"GET https://a.example/ada@example.com",
            ..Record::blank()
        };
        assert_eq!(told(asked), "#7 00:00.000 curl sent a request to /tmp/x: GET https://a.example/••••");
        // Nothing is left standing without its words.
        for traffic in Traffic::ALL {
            let text = told(Record { kind: Kind::Traffic(traffic), ..Record::blank() });
            assert!(text.starts_with("#7 00:00.000 an unknown process ") && !text.contains("  "), "{text}");
        }
    }
}
