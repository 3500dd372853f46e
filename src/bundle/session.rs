//! `session.json`: who, what, when, how it went. The one file of a bundle that is replaced.

use serde::{Deserialize, Serialize};

use crate::store::{AssetInfo, Totals};

/// The schema this belljar writes and reads.
pub(crate) const SCHEMA: &str = "belljar.session/1";

/// What is known when the session starts; [`super::Writer::create`] makes a [`Session`] of it.
#[derive(Clone, Debug)]
pub struct Header {
    /// The subject's command. Bytes that are no UTF-8 are replaced; the exec's event has them.
    pub argv: Vec<String>,
    /// What belljar was allowed to do.
    pub privilege: Privilege,
    /// Which witnesses watch, and why or why not.
    pub witnesses: Vec<WitnessInfo>,
    /// When the session began: events count from `clocks.monotonic_ns`.
    pub clocks: Clocks,
    /// The profile.
    pub profile: ProfileInfo,
    /// The effective profile's text, kept as `profile.toml`.
    pub profile_toml: String,
    /// The planted assets; events name them by index.
    pub assets: Vec<AssetInfo>,
    /// Columns and rows of the subject's terminal.
    pub terminal: (u16, u16),
    /// Payload bytes kept of an ordinary event.
    pub payload_limit: u64,
    /// Payload bytes captured for analysis, and kept where they are evidence.
    pub capture_limit: u64,
}

/// All of `session.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// `belljar.session/1`.
    pub schema: String,
    /// UUID, version 7 (RFC 9562): sorts by time.
    pub id: String,
    /// How far the recording got.
    pub state: State,
    /// Why it failed, when it did.
    #[serde(default)]
    pub error: Option<String>,
    /// When the session began, RFC 3339, UTC.
    pub started: String,
    /// How long it took, nanoseconds; absent until it ended.
    #[serde(default)]
    pub duration_ns: Option<u64>,
    /// The subject's command, made UTF-8.
    pub argv: Vec<String>,
    /// How the subject ended; absent until it did.
    #[serde(default)]
    pub exit: Option<Exit>,
    /// Version of belljar.
    pub belljar: String,
    /// Kernel release, as `uname -r` says it.
    pub kernel: String,
    /// Machine, as `uname -m` says it.
    pub machine: String,
    /// What belljar was allowed to do.
    pub privilege: Privilege,
    /// Which witnesses watched, and why or why not.
    pub witnesses: Vec<WitnessInfo>,
    /// The clocks when the session began.
    pub clocks: Clocks,
    /// The profile.
    pub profile: ProfileInfo,
    /// The planted assets; bit n of an event's `assets` is the n-th of them.
    pub assets: Vec<AssetInfo>,
    /// Payload bytes kept of an ordinary event.
    pub payload_limit: u64,
    /// Payload bytes captured for analysis, and kept where they are evidence.
    pub capture_limit: u64,
    /// Sums; zero until the session ended.
    pub totals: Totals,
    /// Events that are missing: lost by a witness, or not written.
    pub lost: u64,
}

/// How far a recording got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Still being written.
    Running,
    /// All there.
    Complete,
    /// Belljar gave up; `error` says why.
    Failed,
    /// Belljar died, or the file is missing or broken. Never written; readers conclude it.
    CutOff,
}

/// What belljar was allowed to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Privilege {
    /// It ran as root.
    Root,
    /// It ran as an ordinary user, in a user namespace.
    Rootless,
}

/// One witness of the session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WitnessInfo {
    /// `notify`, `ebpf` ...
    pub name: String,
    /// Whether it watched.
    pub used: bool,
    /// Why, or why not.
    pub reason: String,
}

/// Two clocks, read at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clocks {
    /// `CLOCK_MONOTONIC`, nanoseconds: events' times count from here.
    pub monotonic_ns: u64,
    /// `CLOCK_REALTIME`, nanoseconds since 1970.
    pub realtime_ns: u64,
}

impl Clocks {
    /// The clocks now.
    pub fn now() -> Self {
        let read = |id| {
            let now = rustix::time::clock_gettime(id);
            u64::try_from(now.tv_sec).unwrap_or_default() * 1_000_000_000
                + u64::try_from(now.tv_nsec).unwrap_or_default()
        };
        Self {
            monotonic_ns: read(rustix::time::ClockId::Monotonic),
            realtime_ns: read(rustix::time::ClockId::Realtime),
        }
    }
}

/// The profile a session ran under.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileInfo {
    /// Its name.
    pub name: String,
    /// SHA-256 of the effective profile's text, lower-case hexadecimal.
    pub sha256: String,
    /// Seed of the planted data.
    pub seed: u64,
}

/// How the subject's first process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Its exit code, when it exited.
    pub code: Option<i32>,
    /// The signal that killed it, when one did.
    pub signal: Option<i32>,
}

/// What is known when the session ends.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// How the subject ended; `None` when it never ran or was not waited for.
    pub exit: Option<Exit>,
    /// How long the session took, nanoseconds.
    pub duration_ns: u64,
    /// What ingest counted.
    pub totals: Totals,
    /// Why belljar gave up; `None` when it did not.
    pub error: Option<String>,
}

impl Session {
    /// A session that starts now.
    pub(crate) fn start(header: &Header) -> Self {
        let uname = rustix::system::uname();
        let started = jiff::Timestamp::from_nanosecond(i128::from(header.clocks.realtime_ns)).unwrap_or_default();
        Self {
            schema: SCHEMA.to_owned(),
            id: uuid::Uuid::now_v7().to_string(),
            state: State::Running,
            error: None,
            started: started.to_string(),
            duration_ns: None,
            argv: header.argv.clone(),
            exit: None,
            belljar: env!("CARGO_PKG_VERSION").to_owned(),
            kernel: uname.release().to_string_lossy().into_owned(),
            machine: uname.machine().to_string_lossy().into_owned(),
            privilege: header.privilege,
            witnesses: header.witnesses.clone(),
            clocks: header.clocks,
            profile: header.profile.clone(),
            assets: header.assets.clone(),
            payload_limit: header.payload_limit,
            capture_limit: header.capture_limit,
            totals: Totals::default(),
            lost: 0,
        }
    }
}
