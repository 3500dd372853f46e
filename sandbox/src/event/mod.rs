//! The event: one thing that one witness saw. This is the only type that witnesses hand on, so a
//! recording does not depend on which witness made it.
//!
//! Events are plain data in a [`Batch`]: variable-length parts (paths, payloads, argument
//! vectors) lie in the batch's arena and an event holds [`Span`]s of it, so that the thread which
//! answers the subject never allocates for one event.

mod queue;
mod traffic;

pub use queue::{Closed, Queue};
pub use traffic::{Protocol, Traffic};

/// A byte range of a batch's arena. The empty span means "not there".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Offset of the first byte.
    pub start: u32,
    /// Number of bytes.
    pub len: u32,
}

impl Span {
    /// Whether the span holds no byte.
    pub fn is_empty(self) -> bool {
        self.len == 0
    }
}

/// An independent source of evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Witness {
    /// System calls, by tracepoints (root).
    Ebpf = 0,
    /// System calls, by seccomp user notification.
    Notify = 1,
    /// Packets and decrypted bytes on the jail's network.
    Gateway = 2,
    /// What is left on disk.
    Layer = 3,
    /// The subject's own screen.
    Terminal = 4,
    /// The jail itself: starts, ends, losses.
    Jail = 5,
    /// What processes hand to TLS libraries and get from them, by probes in the libraries (root).
    Tls = 6,
}

/// What the sandbox answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Decision {
    /// The kernel went on with it.
    #[default]
    Allowed = 0,
    /// Refused with an error.
    Denied = 1,
    /// Answered without doing it.
    Faked = 2,
    /// Held until the analyst answered.
    Asked = 3,
}

/// Whether the recorded arguments are the ones the kernel used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Authority {
    /// Read from the subject's memory beside the call: a hostile thread may have changed them.
    #[default]
    Observed = 0,
    /// The call was refused, or performed on copied arguments: these are what counted.
    Enforced = 1,
}

/// The binary interface a call came in by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Abi {
    /// 64-bit x86.
    #[default]
    X86_64 = 0,
    /// 32-bit x86 (`int 0x80`, `sysenter`).
    I386 = 1,
    /// x86-64 with bit 30 of the number set.
    X32 = 2,
    /// Any other; the number is recorded, the process is killed.
    Unknown = 3,
}

/// What an event tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A system call; `nr` is the number in `abi`.
    Call {
        /// The interface.
        abi: Abi,
        /// The number in that interface.
        nr: u32,
    },
    /// A process or thread came to be (`object` empty). `args[0]` parent's [`ProcessKey`] or
    /// `u64::MAX`, `args[1]` process id in the jail, `args[2]` host process id,
    /// `args[3]` start time in clock ticks since boot.
    ProcessStart,
    /// A process has a new program: `object` its executable's path, `detail` argv and `payload`
    /// environment, each entry ended by NUL.
    ProcessImage,
    /// A process ended: `args[0]` raw wait status, or `u64::MAX` when it could not be learnt.
    ProcessEnd,
    /// A file of the session's layer: `object` its path; `op` says what happened to it,
    /// `args[0]` mode, `args[1]` uid and `args[2]` gid in the jail, `args[3]` change;
    /// `target` a symlink's target; `detail` the lowercase hex SHA-256 of the contents of a
    /// regular file; `payload` contents up to the capture limit; `payload_len` its full size.
    Layer(LayerChange),
    /// Bytes the subject wrote to its terminal (`payload`).
    TerminalOutput,
    /// `args[0]` events were lost here by `witness`, for the reason in `detail`.
    Lost,
    /// The jail says something of itself in `detail` (UTF-8); of the terminal's new size with `args[0]` columns and
    /// `args[1]` rows, which are 0 in all others.
    Notice,
    /// Something the gateway saw on the jail's network; see [`Traffic`].
    Traffic(Traffic),
    /// A thread made a call of the quiet class `args[0]` times, up to now and since this was last told; `nr` is the
    /// number in `abi`, `object` its name.
    Counted {
        /// The interface.
        abi: Abi,
        /// The number in that interface.
        nr: u32,
    },
    /// A process handed `payload` to a TLS library to be sent, or got it from there: `object` is the library's function,
    /// `args[0]` what it returned, `args[1]` the size it was given, `result` how many bytes moved (`-EIO` where it would
    /// not take them), `target` the peer with whom the thread exchanged bytes meanwhile, where it did.
    Plaintext {
        /// To be sent; else it was received.
        sent: bool,
    },
}

/// What happened to a file of the layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum LayerChange {
    /// It was not there before.
    Created = 0,
    /// It was there, and its contents or attributes are others now.
    Changed = 1,
    /// It was there, and is gone.
    Deleted = 2,
}

/// The kind of thing a call acts on; says how the bytes of `object` or `target` are to be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ObjectKind {
    /// Nothing, or not known.
    #[default]
    None = 0,
    /// A path in the jail, absolute where it could be resolved.
    File = 1,
    /// `pipe:[inode]`.
    Pipe = 2,
    /// A unix socket: its path, `@name` for abstract ones, or `socket:[inode]`.
    Unix = 3,
    /// `address:port` of the peer, or of the socket itself for bind and listen.
    Tcp = 4,
    /// The same for datagrams.
    Udp = 5,
    /// Any other socket, as `family:...`.
    Socket = 6,
    /// A terminal's path.
    Terminal = 7,
    /// A device's path.
    Device = 8,
    /// Anonymous memory with a descriptor: `memfd:name`.
    Memfd = 9,
    /// Another anonymous inode, as the kernel names it.
    Anon = 10,
    /// A process: its id in the jail, as decimal text.
    Process = 11,
    /// Anything else, as text (a host name, a key description ...).
    Other = 12,
}

/// One process of the session: never reused, where process ids are. Counted from 1; 0 is the
/// sandbox itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProcessKey(pub u32);

/// One thing that one witness saw. Spans point into the arena of the [`Batch`] that holds it.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    /// Nanoseconds of `CLOCK_MONOTONIC` since the session began.
    pub time_ns: u64,
    /// Who saw it.
    pub witness: Witness,
    /// What it tells of.
    pub kind: Kind,
    /// Whose doing it was.
    pub process: ProcessKey,
    /// Thread id in the jail; 0 when there is none.
    pub tid: u32,
    /// Raw arguments; for kinds other than calls see [`Kind`].
    pub args: [u64; 6],
    /// What the call returned (negative errno on failure); `None` when the witness cannot know.
    pub result: Option<i64>,
    /// How long the call took, where known.
    pub duration_ns: Option<u64>,
    /// What the sandbox answered.
    pub decision: Decision,
    /// Whether the arguments are those the kernel used.
    pub authority: Authority,
    /// What `object` is.
    pub object_kind: ObjectKind,
    /// What the call acts on: the file of a descriptor, a resolved path, a peer.
    pub object: Span,
    /// What `target` is.
    pub target_kind: ObjectKind,
    /// The second thing named: new name of a rename or link, destination of a `sendto`.
    pub target: Span,
    /// argv of an exec (each entry ended by NUL), or other text of the call: xattr name, mount
    /// options.
    pub detail: Span,
    /// Bytes that went with the call, up to the capture limit.
    pub payload: Span,
    /// How many bytes the call had, captured or not.
    pub payload_len: u64,
}

impl Event {
    /// An event of `kind` with every other part empty.
    pub fn new(time_ns: u64, witness: Witness, kind: Kind, process: ProcessKey, tid: u32) -> Self {
        Self {
            time_ns,
            witness,
            kind,
            process,
            tid,
            args: [0; 6],
            result: None,
            duration_ns: None,
            decision: Decision::Allowed,
            authority: Authority::Observed,
            object_kind: ObjectKind::None,
            object: Span::default(),
            target_kind: ObjectKind::None,
            target: Span::default(),
            detail: Span::default(),
            payload: Span::default(),
            payload_len: 0,
        }
    }
}

/// Events in the order they were seen, and the bytes they point to.
#[derive(Debug, Default)]
pub struct Batch {
    /// The events.
    pub events: Vec<Event>,
    /// What their spans point into.
    pub arena: Vec<u8>,
}

impl Batch {
    /// The bytes of a span of this batch; empty for a span that is not of it.
    pub fn bytes(&self, span: Span) -> &[u8] {
        let start = span.start as usize;
        self.arena.get(start..start + span.len as usize).unwrap_or_default()
    }

    /// Appends bytes to the arena. Returns the empty span when the arena would outgrow 4 GiB.
    pub fn put(&mut self, bytes: &[u8]) -> Span {
        let (Ok(start), Ok(len)) = (u32::try_from(self.arena.len()), u32::try_from(bytes.len())) else {
            return Span::default();
        };
        if start.checked_add(len).is_none() {
            return Span::default();
        }
        self.arena.extend_from_slice(bytes);
        Span { start, len }
    }

    /// Empties the batch, keeping its memory for the next one.
    pub fn clear(&mut self) {
        self.events.clear();
        self.arena.clear();
    }
}
