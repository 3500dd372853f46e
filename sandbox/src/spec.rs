//! What a session is to be: the input of the jail, free of files, formats and defaults. The
//! application makes it from a profile and its own options.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::decoy::{Asset, Plant};

/// A whole session's description.
#[derive(Clone, Debug)]
pub struct Spec {
    /// The subject's command; the first entry is looked up in the jail's `PATH` when it has no
    /// slash. Never empty.
    pub argv: Vec<OsString>,
    /// The subject's whole environment, as `(name, value)`; nothing of the caller's is added.
    pub env: Vec<(OsString, OsString)>,
    /// Current directory of the subject, in the jail.
    pub workdir: PathBuf,
    /// Who the subject is in the jail.
    pub user: User,
    /// Where the system directories come from.
    pub rootfs: Rootfs,
    /// Host paths shown to the subject on request.
    pub binds: Vec<Bind>,
    /// Host paths that stay out of sight even below a shown one: the recording itself.
    pub hidden: Vec<PathBuf>,
    /// What the machine pretends to be.
    pub identity: Identity,
    /// Files of the furnished places.
    pub plants: Vec<Plant>,
    /// The planted client data; the notify witness reads what is read of it.
    pub assets: Vec<Asset>,
    /// What the subject may use up.
    pub limits: Limits,
    /// Where standard input comes from.
    pub stdin: Stdin,
    /// Columns and rows of the subject's terminal.
    pub terminal: (u16, u16),
    /// How many bytes of one call's payload are read for analysis.
    pub capture: usize,
}

/// The subject's account in the jail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Login name.
    pub name: String,
    /// User id in the jail; 0 for root.
    pub uid: u32,
    /// Group id in the jail.
    pub gid: u32,
    /// Home directory.
    pub home: PathBuf,
}

/// Where `/usr` and its like come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rootfs {
    /// The host's own system directories, read-only below the session's layer.
    Host,
    /// A directory that holds a whole system.
    Image(PathBuf),
}

/// A host path shown in the jail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind {
    /// On the host.
    pub source: PathBuf,
    /// In the jail.
    pub target: PathBuf,
    /// Whether the subject may write: into the layer, never to the host.
    pub writable: bool,
}

/// What the machine pretends to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Host name.
    pub hostname: String,
    /// `/etc/machine-id`: 32 lower-case hexadecimal digits.
    pub machine_id: String,
    /// Hardware address of `eth0`.
    pub mac: [u8; 6],
    /// IPv4 address of `eth0` and the length of its prefix.
    pub ipv4: ([u8; 4], u8),
    /// Below `/sys/class/dmi/id`: `(file, value)`, such as `("product_serial", "5CG...")`.
    pub dmi: Vec<(String, String)>,
}

/// What the subject may use up. `None` is "no limit but the machine's".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes the subject may write in the session's layer.
    pub disk: u64,
    /// Bytes of memory of all its processes together (needs a cgroup).
    pub memory: Option<u64>,
    /// Processes and threads at once (cgroup, else rlimit).
    pub processes: Option<u64>,
    /// Open descriptors of one process.
    pub descriptors: Option<u64>,
    /// How long it may run.
    pub time: Option<Duration>,
}

/// Where the subject's standard input comes from. Output and errors always go to its terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stdin {
    /// Its terminal.
    Terminal,
    /// Nothing: `/dev/null`.
    Null,
    /// A pipe that belljar copies its own standard input to.
    Pipe,
}
