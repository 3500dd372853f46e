//! One event with everything it refers to at hand: what the query language evaluates, what
//! analysis reads, what a report prints. Live, ingest makes it from a witness's batch; in replay
//! the bundle reader makes it from the recording. Nobody behind this type knows which.

use belljar_sandbox::event::{Authority, Decision, Kind, ObjectKind, ProcessKey, Witness};
use belljar_sandbox::witness::syscalls::Call;

use super::{AssetSet, Verbs};

/// A thing calls act on: a file, a peer, a pipe. Interned once a session.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Object {
    /// What the name is.
    pub kind: ObjectKind,
    /// As the subject's system names it: bytes, never trusted.
    pub name: Box<[u8]>,
}

/// What is known of a process at the time of the event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// Its key in the session.
    pub key: ProcessKey,
    /// The key of the process that made it; `None` for the first.
    pub parent: Option<ProcessKey>,
    /// Process id in the jail.
    pub pid: u32,
    /// Process id on the host.
    pub host_pid: u32,
    /// Path of its program, empty before it is known.
    pub exe: Vec<u8>,
    /// Its arguments, each ended by NUL.
    pub argv: Vec<u8>,
    /// When it came to be, nanoseconds since the session began.
    pub started_ns: u64,
    /// When it ended, and its raw wait status where known.
    pub ended: Option<(u64, Option<i32>)>,
}

impl Process {
    /// The last part of the program's path: what people call the process.
    pub fn name(&self) -> &[u8] {
        let exe = self.exe.as_slice();
        exe.rsplit(|b| *b == b'/').next().unwrap_or(exe)
    }
}

/// One event, resolved.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Its number in the session, from 1.
    pub seq: u64,
    /// Nanoseconds since the session began.
    pub time_ns: u64,
    /// Who saw it.
    pub witness: Witness,
    /// What it tells of.
    pub kind: Kind,
    /// The call, for [`Kind::Call`] with a number the table knows.
    pub call: Option<&'static Call>,
    /// Whose doing it was; `None` when the process is not known.
    pub process: Option<&'a Process>,
    /// Thread id in the jail.
    pub tid: u32,
    /// Raw arguments.
    pub args: [u64; 6],
    /// What the call returned, where known.
    pub result: Option<i64>,
    /// How long it took, where known.
    pub duration_ns: Option<u64>,
    /// What the sandbox answered.
    pub decision: Decision,
    /// Whether the arguments are those the kernel used.
    pub authority: Authority,
    /// What the call acts on.
    pub object: Option<&'a Object>,
    /// The second thing named.
    pub target: Option<&'a Object>,
    /// argv of an exec, or other text of the call.
    pub detail: &'a [u8],
    /// Bytes that went with it, as far as kept.
    pub payload: &'a [u8],
    /// How many bytes there were.
    pub payload_len: u64,
    /// What analysis saw in it: empty until it was analysed.
    pub verbs: Verbs,
    /// Which assets it touched: empty until it was analysed.
    pub assets: AssetSet,
}

impl Record<'_> {
    /// An event of which nothing is known.
    pub fn blank() -> Self {
        Self {
            seq: 0,
            time_ns: 0,
            witness: Witness::Notify,
            kind: Kind::Notice,
            call: None,
            process: None,
            tid: 0,
            args: [0; 6],
            result: None,
            duration_ns: None,
            decision: Decision::Allowed,
            authority: Authority::Observed,
            object: None,
            target: None,
            detail: &[],
            payload: &[],
            payload_len: 0,
            verbs: Verbs::default(),
            assets: AssetSet::default(),
        }
    }
}

impl Record<'_> {
    /// What happened, in one word: the call's name, or the name of another kind of event. This
    /// is the field `op` everywhere.
    pub fn op(&self) -> &'static str {
        use belljar_sandbox::event::LayerChange;
        match self.kind {
            Kind::Call { .. } => self.call.map_or("unknown", |call| call.name),
            Kind::ProcessStart => "process-start",
            Kind::ProcessImage => "process-image",
            Kind::ProcessEnd => "process-end",
            Kind::Layer(LayerChange::Created) => "file-created",
            Kind::Layer(LayerChange::Changed) => "file-changed",
            Kind::Layer(LayerChange::Deleted) => "file-deleted",
            Kind::TerminalOutput => "terminal-output",
            Kind::Lost => "lost",
            Kind::Notice => "notice",
            Kind::Traffic(traffic) => traffic.name(),
            Kind::Counted { .. } => "counted",
            Kind::Plaintext { sent: true } => "tls-sent",
            Kind::Plaintext { sent: false } => "tls-received",
        }
    }
}
