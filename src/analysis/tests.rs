//! What makes which finding, and what makes none: hand-made events in the order a witness would
//! give them.

// Steps are built to be read: each helper gives just what a field takes.
#![allow(clippy::unnecessary_wraps, clippy::needless_pass_by_value)]

use belljar_sandbox::decoy::{Asset, Marker};
use belljar_sandbox::event::{Abi, Authority, Decision, Kind, LayerChange, ObjectKind, ProcessKey, Witness};
use belljar_sandbox::witness::syscalls;
use nix::errno::Errno;
use proptest::prelude::*;

use super::finding::{Basis, Channel, Confidence, Ending, Finding, Link, Severity};
use super::rules::{Allow, Rules};
use super::verdict::{Coverage, Outcome, Status};
use super::*;
use crate::store::Verb;

pub(crate) const CUSTOMERS: &str = "/home/u/Documents/customers.csv";
pub(crate) const MAIL: &str = "anna.berg@example.com";
pub(crate) const CARD: &str = "4929123412341234";
const TOKEN: &str = "ghp_A1b2C3d4E5f6G7h8";
const MACHINE: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";

fn asset(name: &str, class: &str, paths: &[&str], variables: &[&str], values: &[&str]) -> Asset {
    let marker = |(n, value): (usize, &&str)| Marker { name: format!("{name}[{n}]"), value: value.as_bytes().to_vec() };
    Asset {
        name: name.into(),
        class: class.into(),
        paths: paths.iter().map(|path| path.as_bytes().to_vec()).collect(),
        variables: variables.iter().map(|v| (*v).into()).collect(),
        markers: values.iter().enumerate().map(marker).collect(),
    }
}

pub(crate) fn assets() -> Vec<Asset> {
    vec![
        asset("customers", "identity", &[CUSTOMERS], &[], &[MAIL, CARD]),
        asset("token", "secret", &[], &["GITHUB_TOKEN"], &[TOKEN]),
        asset("machine-id", "device", &["/etc/machine-id"], &[], &[MACHINE]),
        asset("contracts", "contact", &["/home/u/Documents/contracts/"], &[], &["Contract 88-1234-XY"]),
    ]
}

pub(crate) fn object(kind: ObjectKind, name: &str) -> Option<Object> {
    Some(Object { kind, name: name.as_bytes().into() })
}

pub(crate) fn file(path: &str) -> Option<Object> {
    object(ObjectKind::File, path)
}

pub(crate) fn tcp(peer: &str) -> Option<Object> {
    object(ObjectKind::Tcp, peer)
}

/// One hand-made event.
pub(crate) struct Step {
    pub(crate) kind: Kind,
    pub(crate) op: &'static str,
    pub(crate) process: u32,
    pub(crate) args: [u64; 6],
    pub(crate) result: Option<i64>,
    pub(crate) decision: Decision,
    pub(crate) object: Option<Object>,
    pub(crate) target: Option<Object>,
    pub(crate) detail: Vec<u8>,
    pub(crate) payload: Vec<u8>,
    pub(crate) more: u64,
}

pub(crate) fn step(op: &'static str, process: u32, object: Option<Object>) -> Step {
    Step {
        kind: Kind::Call { abi: Abi::X86_64, nr: 0 },
        op,
        process,
        args: [0; 6],
        result: None,
        decision: Decision::Allowed,
        object,
        target: None,
        detail: Vec::new(),
        payload: Vec::new(),
        more: 0,
    }
}

impl Step {
    pub(crate) fn args(self, args: [u64; 6]) -> Self {
        Self { args, ..self }
    }
    pub(crate) fn result(self, result: i64) -> Self {
        Self { result: Some(result), ..self }
    }
    pub(crate) fn payload(self, payload: impl AsRef<[u8]>) -> Self {
        Self { payload: payload.as_ref().to_vec(), ..self }
    }
    pub(crate) fn detail(self, detail: impl AsRef<[u8]>) -> Self {
        Self { detail: detail.as_ref().to_vec(), ..self }
    }
    pub(crate) fn target(self, target: Option<Object>) -> Self {
        Self { target, ..self }
    }
    pub(crate) fn kind(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }
    fn denied(self) -> Self {
        Self { decision: Decision::Denied, result: Some(-1), ..self }
    }
}

/// A session that is fed with steps. Process 1 is the subject's first; n > 1 is a child of 1.
pub(crate) struct Session {
    pub(crate) analysis: Analysis,
    seq: u64,
    pub(crate) last: Touched,
}

pub(crate) const READ_ONLY: [u64; 6] = [0; 6];
pub(crate) const CREATE: [u64; 6] = [0, 0, 0o1101, 0, 0, 0];

impl Session {
    fn new(rules: Rules) -> Self {
        let analysis = Analysis::new(assets(), rules).expect("few markers").captured(65_536);
        let mut session = Self { analysis, seq: 0, last: Touched::default() };
        let given = format!("HOME=/home/u\0GITHUB_TOKEN={TOKEN}\0SESSION={MACHINE}\0");
        session.feed(step("", 1, file("/usr/bin/python3")).kind(Kind::ProcessImage).detail("python3\0").payload(given));
        session
    }

    pub(crate) fn feed(&mut self, step: Step) -> &mut Self {
        self.seq += 1;
        let process = Process {
            key: ProcessKey(step.process),
            parent: (step.process > 1).then_some(ProcessKey(1)),
            pid: step.process + 6,
            host_pid: 1000 + step.process,
            exe: if step.process == 1 { b"/usr/bin/python3".to_vec() } else { b"/usr/bin/curl".to_vec() },
            argv: b"prog\0arg\0".to_vec(),
            started_ns: 0,
            ended: None,
        };
        let call = syscalls::by_name(step.op);
        // Number and name of a call belong together, as a witness has them.
        let kind = match call.map(|call| (call.x86_64, call.i386)) {
            Some((Some(nr), _)) => Kind::Call { abi: Abi::X86_64, nr },
            Some((None, Some(nr))) => Kind::Call { abi: Abi::I386, nr },
            _ => step.kind,
        };
        let record = Record {
            seq: self.seq,
            time_ns: self.seq * 1_000_000_000,
            witness: Witness::Notify,
            kind,
            call,
            process: (step.process > 0).then_some(&process),
            tid: step.process,
            args: step.args,
            result: step.result,
            duration_ns: None,
            decision: step.decision,
            authority: Authority::Observed,
            object: step.object.as_ref(),
            target: step.target.as_ref(),
            detail: &step.detail,
            payload: &step.payload,
            payload_len: step.payload.len() as u64 + step.more,
            verbs: Verbs::default(),
            assets: AssetSet::default(),
        };
        assert!(matches!(step.kind, Kind::Call { .. }) == record.call.is_some(), "{}", step.op);
        self.last = self.analysis.observe(&record);
        self
    }

    pub(crate) fn read_customers(&mut self, process: u32) -> &mut Self {
        self.feed(step("openat", process, file(CUSTOMERS)).args(READ_ONLY));
        self.feed(step("read", process, file(CUSTOMERS)).payload(format!("id,mail\n1,{MAIL},{CARD}\n")))
    }

    pub(crate) fn findings(&self) -> Vec<Finding> {
        self.analysis.ledger.all()
    }

    fn verbs(&self) -> Vec<(Verb, Option<String>, Confidence)> {
        self.findings().into_iter().map(|f| (f.verb, f.asset, f.confidence)).collect()
    }

    pub(crate) fn outcome(&mut self) -> Outcome {
        self.analysis.finish(Coverage { witness: "notify".into(), events: self.seq, ..Coverage::default() })
    }
}

pub(crate) fn start() -> Session {
    Session::new(Rules::default())
}

fn named(asset: &str) -> Option<String> {
    Some(asset.to_owned())
}

/// The session that the README shows: read, keep a copy, try to send.
pub(crate) fn leak() -> Session {
    let mut session = start();
    session.read_customers(1);
    session.feed(step("openat", 1, file("/var/tmp/.cache")).args(CREATE));
    session.feed(step("write", 1, file("/var/tmp/.cache")).payload(format!("1,{MAIL},{CARD}\n")));
    session.feed(step("connect", 1, tcp("203.0.113.9:80")).result(-101));
    let left = step("", 0, file("/var/tmp/.cache")).kind(Kind::Layer(LayerChange::Created));
    session.feed(left.args([0o100_644, 0, 0, 0, 0, 0]).payload(format!("1,{MAIL},{CARD}\n")));
    session
}

#[test]
fn a_leak_is_collected_stored_and_tried_to_be_sent() {
    let mut session = leak();
    let outcome = session.outcome();
    assert_eq!(outcome.verdict, Status::Violation);
    let [collect, store, transmit] = outcome.findings.as_slice() else { panic!("{:#?}", outcome.findings) };

    assert_eq!((collect.id, collect.verb, collect.confidence), (1, Verb::Collect, Confidence::Proven));
    assert_eq!(collect.markers, ["customers[0]", "customers[1]"]);
    assert_eq!((collect.outcome, collect.outcome_basis), (Ending::Succeeded, Basis::LaterEvent));
    assert_eq!(collect.attack.as_deref(), Some("T1005"));

    assert_eq!((store.verb, store.confidence, store.severity), (Verb::Store, Confidence::Proven, Severity::High));
    assert_eq!((store.outcome, store.outcome_basis), (Ending::Succeeded, Basis::Layer));
    assert_eq!(store.destination.as_deref(), Some("/var/tmp/.cache"));
    let links: Vec<(u64, Link)> = store.chain.iter().map(|item| (item.event, item.link)).collect();
    assert_eq!(links, [(2, Link::Exact), (5, Link::Content), (7, Link::Content)]);

    assert_eq!((transmit.verb, transmit.confidence), (Verb::Transmit, Confidence::Suspected));
    assert_eq!((transmit.outcome, transmit.error.as_deref()), (Ending::Failed, Some("ENETUNREACH")));
    assert_eq!(transmit.channel, Channel::Tcp);
    assert_eq!(transmit.destination.as_deref(), Some("203.0.113.9:80"));
    assert_eq!(transmit.chain.len(), 2);
    assert_eq!(outcome.coverage.connections, 1);

    let text = serde_json::to_string(&outcome.findings).expect("plain data");
    assert!(!text.contains(MAIL) && !text.contains(CARD));
}

#[test]
fn innocent_behaviour_makes_no_finding() {
    let mut session = start();
    for path in ["/etc/ld.so.cache", "/lib/x86_64-linux-gnu/libc.so.6", "/usr/lib/python3/os.py", "/home/u/Documents"] {
        session.feed(step("openat", 1, file(path)).args(READ_ONLY));
        session.feed(step("mmap", 1, file(path)).args([0, 4096, 1, 2, 3, 0]));
        session.feed(step("read", 1, file(path)).payload("import sys"));
    }
    session.feed(step("getdents64", 1, file("/home/u/Documents/contracts/")));
    session.feed(step("newfstatat", 1, file(CUSTOMERS)));
    session.feed(step("openat", 1, file(CUSTOMERS)).args([0, 0, 0o10_000_000, 0, 0, 0]));
    session.feed(step("openat", 1, file("/tmp/own")).args(CREATE));
    session.feed(step("write", 1, file("/tmp/own")).payload("hello"));
    session.feed(step("unlink", 1, file("/tmp/own")));
    // No asset was read: a connection is not suspicious. Nor is the environment's mere presence.
    session.feed(step("connect", 1, tcp("203.0.113.9:443")));
    session.feed(step("sendto", 1, tcp("203.0.113.9:443")).payload("GET / HTTP/1.1"));
    session.feed(step("getcwd", 3, None));
    session.feed(step("kill", 1, object(ObjectKind::Process, "9")).args([9, 15, 0, 0, 0, 0]));
    session.feed(step("kill", 1, object(ObjectKind::Process, "1")).args([1, 0, 0, 0, 0, 0]));
    session.feed(step("write", 1, object(ObjectKind::Terminal, "/dev/pts/0")).payload(MAIL));
    assert!(session.last.assets.contains(0) && session.last.verbs == Verbs::default());
    session.feed(step("", 0, None).kind(Kind::TerminalOutput).payload(MAIL));
    assert_eq!(session.findings(), []);
    let outcome = session.outcome();
    assert_eq!(outcome.verdict.exit_code(), 0);
    assert_eq!(outcome.criteria.iter().filter(|c| c.status == Status::NotTestable).count(), 2);
}

#[test]
fn an_open_without_a_read_is_suspected_and_a_failed_one_says_so() {
    let mut session = start();
    session.feed(step("openat", 1, file(CUSTOMERS)).args(READ_ONLY).result(-13));
    let [finding] = session.findings().try_into().expect("one");
    assert_eq!((finding.confidence, finding.outcome), (Confidence::Suspected, Ending::Failed));
    assert_eq!(finding.error.as_deref(), Some("EACCES"));
    // What was not had cannot be sent.
    session.feed(step("connect", 1, tcp("203.0.113.9:443")));
    assert_eq!(session.findings().len(), 1);
    session.feed(step("openat", 1, file(CUSTOMERS)).args(READ_ONLY));
    let finding = session.findings().remove(0);
    assert_eq!((finding.outcome, finding.outcome_basis, finding.error), (Ending::Succeeded, Basis::NotObserved, None));
    assert_eq!(finding.title, "python3 opened customers; what it read was not seen");
}

#[test]
fn the_environment_is_collected_only_when_it_is_put_to_use() {
    let mut session = start();
    session.feed(step("write", 1, file("/tmp/x")).payload(format!("token={TOKEN}")));
    assert_eq!(
        session.verbs(),
        [(Verb::Collect, named("token"), Confidence::Proven), (Verb::Store, named("token"), Confidence::Proven),]
    );
    assert_eq!(session.findings()[0].channel, Channel::Env);
}

#[test]
fn arguments_and_new_variables_of_programs_are_looked_at() {
    let mut session = start();
    session.read_customers(1);
    let inherited = format!("GITHUB_TOKEN={TOKEN}\0SESSION={MACHINE}\0");
    session.feed(step("execve", 2, file("/usr/bin/curl")).detail("curl\0-d\0x\0").payload(&inherited));
    assert_eq!(session.findings().len(), 1, "what was given is no deed");
    let mut cut = step("execve", 2, file("/usr/bin/curl")).payload(format!("SESSION={}", &MACHINE[..20]));
    cut.more = 50;
    session.feed(cut);
    assert_eq!(session.findings().len(), 1, "nor is a cut-off rest of it");
    session.feed(
        step("execve", 2, file("/usr/bin/curl")).detail(format!("curl\0-d\0{MAIL}\0")).payload(format!("X={CARD}\0")),
    );
    session.feed(step("", 2, file("/usr/bin/curl")).kind(Kind::ProcessImage).detail(format!("curl\0-d\0{MAIL}\0")));
    let found = session.findings();
    assert_eq!(found.len(), 3);
    assert_eq!((found[1].verb, found[1].channel), (Verb::Process, Channel::Argv));
    assert_eq!((found[1].outcome, found[1].outcome_basis), (Ending::Succeeded, Basis::LaterEvent));
    assert_eq!(found[1].markers, ["customers[0]"]);
    assert_eq!((found[2].verb, found[2].channel), (Verb::Process, Channel::Env));
    assert_eq!(found[2].markers, ["customers[1]"]);
}

#[test]
fn bytes_to_a_peer_are_a_proven_transmission_however_the_call_names_it() {
    for named_by_target in [false, true] {
        let mut session = start();
        session.read_customers(1);
        let peer = object(ObjectKind::Udp, "198.51.100.7:9999");
        let (object, target) =
            if named_by_target { (object(ObjectKind::Udp, "0.0.0.0:0"), peer) } else { (peer, None) };
        session.feed(step("sendto", 1, object).target(target).payload(CARD));
        let finding = session.findings().remove(1);
        assert_eq!((finding.verb, finding.confidence), (Verb::Transmit, Confidence::Proven));
        assert_eq!(finding.destination.as_deref(), Some("198.51.100.7:9999"));
        assert_eq!((finding.channel, finding.severity), (Channel::Udp, Severity::High));
        assert_eq!(session.outcome().verdict, Status::Violation);
    }
}

#[test]
fn loopback_and_unix_sockets_do_not_leave_the_machine() {
    let mut session = start();
    session.read_customers(1);
    session.feed(step("connect", 1, tcp("127.0.0.1:8080")));
    session.feed(step("write", 1, tcp("127.0.0.1:8080")).payload(MAIL));
    session.feed(step("sendto", 1, object(ObjectKind::Unix, "/run/x")).payload(MAIL));
    session.feed(step("connect", 1, object(ObjectKind::Udp, "192.0.2.1:53")));
    assert_eq!(session.findings().len(), 1);
    assert_eq!(session.outcome().coverage.connections, 0);
}

/// Bytes like those of a cipher.
pub(crate) fn opaque() -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    })
    .take(256)
    .collect()
}

#[test]
fn a_connection_that_fails_is_an_attempt() {
    let mut session = start();
    session.read_customers(1);
    session.feed(step("connect", 1, tcp("203.0.113.9:443")).result(-(Errno::ECONNREFUSED as i64)));
    let finding = session.findings().remove(1);
    assert_eq!(
        (finding.verb, finding.confidence, finding.outcome),
        (Verb::Transmit, Confidence::Suspected, Ending::Failed)
    );
}

#[test]
fn a_pipe_hands_the_suspicion_on() {
    let pipe = || object(ObjectKind::Pipe, "pipe:[42]");
    let mut session = start();
    session.feed(step("", 2, None).kind(Kind::ProcessStart).args([1, 9, 1009, 0, 0, 0]));
    session.feed(step("", 3, None).kind(Kind::ProcessStart).args([1, 10, 1010, 0, 0, 0]));
    session.read_customers(2);
    session.feed(step("connect", 3, tcp("203.0.113.9:443")));
    assert_eq!(session.findings().len(), 1, "before it read the pipe");
    session.feed(step("write", 2, pipe()).payload(b"\x1f\x8bpacked"));
    session.feed(step("read", 3, pipe()));
    session.feed(step("connect", 3, tcp("203.0.113.9:443")));
    assert_eq!(session.findings().len(), 1, "a connection alone says nothing");
    session.feed(step("write", 3, tcp("203.0.113.9:443")).payload(opaque()));
    let finding = session.findings().remove(1);
    let chain: Vec<Link> = finding.chain.iter().map(|item| item.link).collect();
    assert_eq!(chain, [Link::Exact, Link::Lineage, Link::Lineage, Link::Lineage]);
    assert_eq!((finding.verb, finding.severity), (Verb::Transmit, Severity::Medium));
}

#[test]
fn what_is_written_before_the_caller_is_let_in_is_handed_on() {
    let mut session = start();
    session.read_customers(2);
    session.feed(step("write", 2, tcp("127.0.0.1:4321")).payload("packed"));
    session.feed(step("accept", 3, tcp("127.0.0.1:4321")));
    session.feed(step("read", 3, tcp("127.0.0.1:35758")));
    session.feed(step("write", 3, tcp("203.0.113.9:443")).payload(opaque()));
    assert_eq!(session.findings().len(), 2);
}

#[test]
fn a_read_that_waits_for_the_bytes_gets_them() {
    let pipe = || object(ObjectKind::Pipe, "pipe:[42]");
    let mut session = start();
    session.feed(step("read", 3, pipe()));
    session.read_customers(2);
    session.feed(step("write", 2, pipe()).payload("packed"));
    session.feed(step("write", 3, tcp("203.0.113.9:443")).payload("GET / HTTP/1.1\r\n\r\n"));
    assert_eq!(session.findings().len(), 1, "what can be read is no suspicion");
    session.feed(step("write", 3, tcp("203.0.113.9:443")).payload(opaque()));
    assert_eq!(session.findings().len(), 2);
}

#[test]
fn devices_are_low_and_do_not_spread() {
    let mut session = start();
    session.feed(step("read", 1, file("/etc/machine-id")).payload(MACHINE));
    session.feed(step("write", 1, object(ObjectKind::Pipe, "pipe:[1]")).payload("x"));
    session.feed(step("", 2, None).kind(Kind::ProcessStart).args([u64::MAX, 0, 0, 0, 0, 0]));
    session.feed(step("write", 1, tcp("203.0.113.9:443")).payload(opaque()));
    let found = session.findings();
    assert_eq!(
        found.iter().map(|f| (f.verb, f.severity)).collect::<Vec<_>>(),
        [(Verb::Collect, Severity::Low), (Verb::Transmit, Severity::Low)]
    );
    assert_eq!(found[0].attack.as_deref(), Some("T1082"));
}

#[test]
fn its_own_place_is_no_store_but_another_is() {
    let mut session = start();
    session.read_customers(1);
    session.feed(step("pwrite64", 1, file(CUSTOMERS)).payload(MAIL));
    session.feed(step("", 0, file(CUSTOMERS)).kind(Kind::Layer(LayerChange::Changed)).payload(MAIL));
    session
        .feed(step("rename", 1, file("/home/u/Documents/contracts/a")).target(file("/home/u/Documents/contracts/b")));
    assert_eq!(session.findings().len(), 1);
    session.feed(step("rename", 1, file(CUSTOMERS)).target(file("/tmp/stolen")).result(0));
    let finding = session.findings().remove(1);
    assert_eq!((finding.verb, finding.confidence), (Verb::Store, Confidence::Suspected));
    assert_eq!(finding.destination.as_deref(), Some("/tmp/stolen"));
    session.feed(step("", 0, file("/tmp/stolen")).kind(Kind::Layer(LayerChange::Created)).payload(MAIL));
    let finding = session.findings().remove(1);
    assert_eq!((finding.confidence, finding.outcome_basis), (Confidence::Proven, Basis::Layer));
    session.feed(step("", 0, file(CUSTOMERS)).kind(Kind::Layer(LayerChange::Deleted)));
    assert_eq!(session.findings().len(), 2, "what was moved was not destroyed");
}

#[test]
fn moving_without_reading_is_a_store_and_no_collection() {
    let mut session = start();
    session.feed(step("rename", 1, file(CUSTOMERS)).target(file("/tmp/stolen")));
    session.feed(step("", 0, file("/tmp/stolen")).kind(Kind::Layer(LayerChange::Created)).payload(MAIL));
    session.feed(step("", 0, file(CUSTOMERS)).kind(Kind::Layer(LayerChange::Deleted)));
    assert_eq!(session.verbs(), [(Verb::Store, named("customers"), Confidence::Proven)]);
}

#[test]
fn a_value_split_over_two_writes_or_reads_is_found() {
    for cut in 1..MAIL.len() {
        let mut session = start();
        // The room for a read is larger than what comes.
        let mut first = step("read", 1, file(CUSTOMERS)).payload(&MAIL[..cut]);
        first.more = 4000;
        session.feed(first);
        session.feed(step("read", 1, file(CUSTOMERS)).payload(&MAIL[cut..]));
        session.feed(step("write", 1, file("/tmp/x")).payload(&MAIL[..cut]));
        session.feed(step("writev", 1, file("/tmp/x")).payload(&MAIL[cut..]));
        let found = session.verbs();
        assert_eq!(found.len(), 2, "{cut}");
        assert!(found.iter().all(|(_, _, confidence)| *confidence == Confidence::Proven), "{cut}");
    }
}

#[test]
fn a_copy_inside_the_kernel_is_proven_by_the_layer() {
    let mut session = start();
    session.feed(step("openat", 1, file(CUSTOMERS)).args(READ_ONLY));
    session.feed(step("copy_file_range", 1, file(CUSTOMERS)).target(file("/tmp/copy")));
    assert!(session.findings().iter().all(|f| f.confidence == Confidence::Suspected));
    session.feed(step("", 0, file("/tmp/copy")).kind(Kind::Layer(LayerChange::Created)).payload(MAIL));
    assert_eq!(
        session.verbs(),
        [
            (Verb::Collect, named("customers"), Confidence::Proven),
            (Verb::Store, named("customers"), Confidence::Proven)
        ]
    );
}

#[test]
fn what_only_the_layer_saw_is_still_found_and_its_writer_named() {
    let mut session = start();
    session.feed(step("openat", 2, file("/tmp/map")).args(CREATE));
    session.feed(step("", 0, file("/tmp/map")).kind(Kind::Layer(LayerChange::Created)).payload(CARD));
    session.feed(step("", 0, file("/tmp/nobody")).kind(Kind::Layer(LayerChange::Created)).payload(CARD));
    let stores: Vec<Finding> = session.findings().into_iter().filter(|f| f.verb == Verb::Store).collect();
    assert_eq!(stores[0].process.as_ref().map(|p| p.exe.as_str()), Some("/usr/bin/curl"));
    assert_eq!(stores[1].process, None);
    assert_eq!(stores[1].title, "an unknown process left values of customers in /tmp/nobody");
}

#[test]
fn names_made_of_client_data_are_stored_data_and_masked() {
    let mut session = start();
    session.feed(step("mkdir", 1, file(&format!("/tmp/{MAIL}"))));
    session.feed(step("symlink", 1, file("/tmp/l")).detail(CARD));
    session.feed(step("openat", 1, file(&format!("/tmp/{CARD}"))).args(READ_ONLY));
    let stores: Vec<Finding> = session.findings().into_iter().filter(|f| f.verb == Verb::Store).collect();
    assert_eq!(stores.len(), 2);
    assert_eq!(stores[0].destination.as_deref(), Some("/tmp/••••"));
}

#[test]
fn attempts_on_the_system() {
    let cases = [
        (step("reboot", 1, None).denied(), Verb::ShutDown, Ending::Refused),
        (step("finit_module", 1, file("/tmp/x.ko")).denied(), Verb::Control, Ending::Refused),
        (step("bpf", 1, None).denied(), Verb::Control, Ending::Refused),
        (
            step("ptrace", 1, object(ObjectKind::Process, "5")).args([16, 5, 0, 0, 0, 0]),
            Verb::Control,
            Ending::Succeeded,
        ),
        (step("clock_settime", 1, None).denied(), Verb::Disrupt, Ending::Refused),
        (step("kill", 1, None).args([u64::from(u32::MAX), 9, 0, 0, 0, 0]), Verb::Disrupt, Ending::Succeeded),
        (step("kill", 1, None).args([1, 9, 0, 0, 0, 0]).result(-1), Verb::ShutDown, Ending::Failed),
        (step("openat", 1, file("/home/u/.bashrc")).args(CREATE), Verb::Control, Ending::Succeeded),
        (step("unlink", 1, file(CUSTOMERS)).result(0), Verb::Disrupt, Ending::Succeeded),
        (step("openat", 1, file(CUSTOMERS)).args(CREATE), Verb::Disrupt, Ending::Succeeded),
        (step("execve", 1, file("/sbin/poweroff")), Verb::ShutDown, Ending::Succeeded),
    ];
    for (step, verb, outcome) in cases {
        let (op, mut session) = (step.op, start());
        session.feed(step);
        session.analysis.ended();
        let found = session.findings();
        assert_eq!(found.len(), 1, "{op}: {found:#?}");
        assert_eq!((found[0].verb, found[0].outcome), (verb, outcome), "{op}");
        assert!(session.last.verbs.contains(verb) && session.last.keep_payload);
    }
    let mut session = start();
    session.feed(step("ptrace", 1, None)); // PTRACE_TRACEME: of itself
    session.feed(step("openat", 1, file("/home/u/.bashrc")).args(READ_ONLY));
    assert_eq!(session.findings(), []);
    session.feed(step("reboot", 1, None).denied());
    assert_eq!(session.outcome().coverage.refused_calls, ["reboot"]);
    assert_eq!(
        session.findings()[0].title,
        "python3 tried to switch the machine off or restart it (reboot): refused with EPERM"
    );
}

#[test]
fn what_no_single_event_shows_is_counted() {
    let mass = |session: &Session| session.verbs().iter().filter(|(_, asset, _)| asset.is_none()).count();
    let mut session = start();
    for number in 0..4 {
        session.feed(step("unlink", 1, file(&format!("/home/u/Documents/contracts/{number}"))).result(0));
    }
    assert_eq!(mass(&session), 0, "four may be a choice");
    session.feed(step("write", 1, file(CUSTOMERS)).payload("x"));
    assert_eq!(mass(&session), 1);

    let mut session = start();
    session.feed(step("kill", 1, None).args([4321, 9, 0, 0, 0, 0]).result(-3));
    assert_eq!((session.findings()[0].verb, session.findings()[0].outcome), (Verb::Disrupt, Ending::Failed));

    let mut session = start();
    session.feed(step("dup2", 1, tcp("203.0.113.9:4444")).args([3, 0, 0, 0, 0, 0]).result(0));
    assert_eq!(session.findings(), [], "a service may be given its connection so");
    session.feed(step("", 2, file("/bin/sh")).kind(Kind::ProcessStart));
    session.feed(step("dup2", 2, file("/dev/null")).args([3, 0, 0, 0, 0, 0]).result(0));
    assert_eq!(session.findings(), []);
}

#[test]
fn what_is_left_of_client_data_is_looked_at() {
    let left = |text: &str| step("", 0, file(CUSTOMERS)).kind(Kind::Layer(LayerChange::Changed)).payload(text);
    let mut session = start();
    session.feed(left(&format!("id,mail\n1,{MAIL}\n")));
    assert_eq!(session.findings(), [], "some of it is there");
    session.feed(left("\x01\x02encrypted"));
    assert_eq!(session.verbs(), [(Verb::Disrupt, named("customers"), Confidence::Proven)]);
}

#[test]
fn deleted_client_data_is_confirmed_by_the_layer() {
    let mut session = start();
    session.feed(step("unlink", 1, file(CUSTOMERS)));
    session.feed(step("", 0, file(CUSTOMERS)).kind(Kind::Layer(LayerChange::Deleted)));
    let [finding] = session.findings().try_into().expect("one");
    assert_eq!((finding.outcome_basis, finding.chain.len()), (Basis::Layer, 2));
    assert_eq!(finding.confidence, Confidence::Proven);
}

#[test]
fn what_happens_to_a_directory_happens_to_what_is_in_it() {
    let gone = |path| step("", 0, file(path)).kind(Kind::Layer(LayerChange::Deleted));
    let mut session = start();
    session.feed(gone("/home/u/Doc"));
    assert_eq!(session.findings(), []);
    session.feed(gone("/home/u/Documents"));
    let lost: Vec<_> = session.findings().into_iter().map(|f| (f.verb, f.asset)).collect();
    assert_eq!(lost, [(Verb::Disrupt, named("customers")), (Verb::Disrupt, named("contracts"))]);
    let mut session = start();
    session.feed(step("rename", 1, file("/home/u/Documents")).target(file("/tmp/d")).result(0));
    session.feed(gone("/home/u/Documents"));
    assert!(session.findings().iter().all(|finding| finding.verb == Verb::Store));
    assert_eq!(session.findings().len(), 2);
}

#[test]
fn what_was_never_planted_is_not_missed() {
    let mut session = start();
    session.feed(step("openat", 1, file("/home/u/Documents/contracts/config")).args(READ_ONLY).result(-2));
    assert_eq!(session.findings(), []);
    session.feed(step("openat", 1, file("/home/u/Documents/contracts/1")).args(READ_ONLY).result(-13));
    session.feed(step("openat", 1, file(CUSTOMERS)).args(READ_ONLY).result(-2));
    assert_eq!(session.findings().len(), 2);
}

#[test]
fn what_is_declared_does_not_fail() {
    let declaration = vec![
        Allow { verbs: vec![Verb::Collect], classes: vec!["identity".into()], ..Allow::default() },
        Allow {
            verbs: vec![Verb::Store, Verb::Transmit],
            paths: vec!["/var/tmp/".into()],
            hosts: vec!["203.0.113.9".into()],
            ..Allow::default()
        },
    ];
    let feed = |session: &mut Session| {
        session.read_customers(1);
        session.feed(step("write", 1, file("/var/tmp/x")).payload(MAIL));
        session.feed(step("sendto", 1, tcp("203.0.113.9:80")).payload(MAIL));
    };
    let mut session = Session::new(Rules { declaration, ..Rules::default() });
    feed(&mut session);
    let outcome = session.outcome();
    assert_eq!((outcome.findings.len(), outcome.verdict), (3, Status::NotObserved));
    assert!(outcome.findings.iter().all(|finding| finding.declared));
    session.feed(step("sendto", 1, tcp("203.0.113.10:80")).payload(MAIL));
    assert_eq!(session.outcome().verdict, Status::Violation);
    let mut control = start();
    feed(&mut control);
    assert_eq!(control.outcome().verdict, Status::Violation);
}

#[test]
fn losses_make_the_rest_not_testable_but_take_nothing_back() {
    let mut session = start();
    session.feed(step("", 0, None).kind(Kind::Lost).args([5, 0, 0, 0, 0, 0]));
    let outcome = session.outcome();
    assert_eq!((outcome.verdict.exit_code(), outcome.coverage.lost), (12, 5));
    assert!(outcome.criteria.iter().all(|c| c.status == Status::NotTestable));
    session.feed(step("openat", 1, file(CUSTOMERS)).args(READ_ONLY));
    assert_eq!(session.outcome().verdict.exit_code(), 11);
    let truncated = Coverage { truncated: true, ..Coverage::default() };
    assert_eq!(start().analysis.finish(truncated).verdict.exit_code(), 12);
}

#[test]
fn repetition_grows_a_finding_and_makes_no_new_one() {
    let mut session = start();
    session.read_customers(1);
    session.analysis.take_new();
    for _ in 0..1000 {
        session.feed(step("sendto", 1, tcp("203.0.113.9:80")).payload(MAIL));
    }
    let new = session.analysis.take_new();
    assert_eq!(new.len(), 2, "the transmission, and the collection it confirms");
    assert_eq!((new[1].events, new[1].chain.len()), (1001, 2));
    session.feed(step("sendto", 1, tcp("203.0.113.9:80")).payload(MAIL));
    assert_eq!(session.analysis.take_new(), []);
    for n in 0..5000 {
        session.feed(step("sendto", 1, tcp(&format!("203.0.113.9:{n}"))).payload(MAIL));
    }
    let outcome = session.outcome();
    assert!(outcome.findings.len() < 5000 && outcome.coverage.unlisted > 0);
}

fn any_object() -> impl Strategy<Value = Option<Object>> {
    let kinds = prop::sample::select(vec![
        ObjectKind::None,
        ObjectKind::File,
        ObjectKind::Pipe,
        ObjectKind::Unix,
        ObjectKind::Tcp,
        ObjectKind::Udp,
        ObjectKind::Socket,
        ObjectKind::Terminal,
        ObjectKind::Device,
        ObjectKind::Memfd,
        ObjectKind::Anon,
        ObjectKind::Process,
        ObjectKind::Other,
    ]);
    let names = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        prop::sample::select(vec![
            CUSTOMERS,
            "/etc/machine-id",
            "/tmp/x",
            "1.2.3.4:5",
            "::1:5",
            ":",
            "[",
            "/tmp/anna.berg@example.com"
        ])
        .prop_map(|name| name.as_bytes().to_vec()),
    ];
    prop::option::of((kinds, names).prop_map(|(kind, name)| Object { kind, name: name.into() }))
}

proptest! {
    #[test]
    fn nothing_that_a_subject_does_makes_it_panic_or_spell_out_a_value(
        events in prop::collection::vec(
            (0..600_usize, 0..5_u32, any::<[u64; 6]>(), any::<Option<i64>>(), any_object(), any_object(), any::<u8>(), 0..3_usize),
            0..60,
        )
    ) {
        let calls: Vec<&'static str> = syscalls::all().map(|call| call.name).collect();
        let mut session = start();
        for (call, process, args, result, object, target, choice, payload) in events {
            let payload = [b"".as_slice(), b"\0x=anna.berg@example.com\0", b"4929123412341234\xff"][payload];
            let kind = match choice {
                0..10 => Kind::ProcessStart,
                10..20 => Kind::ProcessImage,
                20..25 => Kind::ProcessEnd,
                25..35 => Kind::Layer(LayerChange::Created),
                35..40 => Kind::Layer(LayerChange::Deleted),
                40..45 => Kind::Lost,
                45..50 => Kind::TerminalOutput,
                _ => Kind::Call { abi: Abi::X86_64, nr: 0 },
            };
            let op = if matches!(kind, Kind::Call { .. }) { calls[call % calls.len()] } else { "" };
            let decision = if choice % 7 == 0 { Decision::Denied } else { Decision::Allowed };
            let made = Step {
                kind, op, process, args, result, decision, object, target,
                detail: payload.to_vec(), payload: payload.to_vec(), more: u64::from(choice),
            };
            session.feed(made);
        }
        let outcome = session.outcome();
        let text = serde_json::to_string(&outcome.findings).expect("plain data");
        prop_assert!(!text.contains(MAIL) && !text.contains(CARD), "{}", text);
        prop_assert!(!text.chars().any(char::is_control));
    }
}

#[test]
fn what_a_tls_library_is_given_is_sent_to_whom_the_process_speaks() {
    let given = || {
        let step = step("", 1, object(ObjectKind::Other, "SSL_write")).kind(Kind::Plaintext { sent: true });
        step.payload(format!("card={CARD}")).result(30)
    };
    let sent = |session: &Session| {
        let found = session.findings().into_iter().filter(|f| f.verb == Verb::Transmit).collect::<Vec<_>>();
        let [finding] = found.try_into().expect("one");
        assert_eq!((finding.confidence, finding.channel), (Confidence::Proven, Channel::Https));
        assert_eq!((finding.outcome, finding.outcome_basis), (Ending::Succeeded, Basis::Result));
        finding.destination.expect("a destination")
    };
    // Whom it connected to last; the suspicion and the proof are one finding.
    let mut session = start();
    session.read_customers(1);
    session.feed(step("connect", 1, tcp("203.0.113.9:443")));
    session.feed(given());
    assert_eq!(sent(&session), "203.0.113.9:443");
    // Whom the thread spoke to meanwhile.
    let mut session = start();
    session.read_customers(1);
    session.feed(given().target(tcp("198.51.100.7:8443")));
    assert_eq!(sent(&session), "198.51.100.7:8443");
    // Nobody that is known.
    let mut session = start();
    session.read_customers(1);
    session.feed(given());
    assert_eq!(sent(&session), "tls");
    // In the machine it is handed on, not sent.
    let mut session = start();
    session.read_customers(1);
    session.feed(step("connect", 1, tcp("127.0.0.1:443")));
    session.feed(given());
    assert!(session.findings().iter().all(|f| f.verb != Verb::Transmit));
    let got = step("", 2, object(ObjectKind::Other, "SSL_read")).kind(Kind::Plaintext { sent: false });
    session.feed(got.payload(format!("card={CARD}")).target(tcp("203.0.113.9:443")));
    assert_eq!(session.verbs().last(), Some(&(Verb::Collect, named("customers"), Confidence::Proven)));
}
