//! A finding: one conclusion with the chain of events that proves it. Written to the recording as
//! it is made, printed in reports, read back from either: the field order is that of
//! `schemas/report-1.schema.json`, which describes each field.

use serde::{Deserialize, Serialize};

use crate::store::Verb;

/// How sure a finding is; the later, the surer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    /// Lineage and volume only, or a call that may have been innocent.
    Suspected,
    /// A marker seen through encodings, compression or a digest.
    Derived,
    /// Marker bytes seen, or a call whose very arguments are the deed.
    Proven,
}

impl Confidence {
    /// The word used everywhere.
    pub fn name(self) -> &'static str {
        match self {
            Self::Suspected => "suspected",
            Self::Derived => "derived",
            Self::Proven => "proven",
        }
    }
}

/// How much it matters; the later, the more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Worth knowing.
    Low,
    /// Worth asking about.
    Medium,
    /// Harm to the client.
    High,
}

impl Severity {
    /// The word used everywhere.
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// How an attempt ended; the later wins where several events make one finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// The sandbox did not let it.
    Refused,
    /// It was tried, and the kernel said no.
    Failed,
    /// It happened.
    Succeeded,
}

impl Ending {
    /// The word used everywhere.
    pub fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Succeeded => "succeeded",
        }
    }
}

/// What an [`Ending`] rests on; the later, the firmer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    /// The call was let through and its result not seen.
    NotObserved,
    /// The sandbox's own decision.
    Decision,
    /// A later event shows that it worked.
    LaterEvent,
    /// The call's result.
    Result,
    /// The file is there afterwards.
    Layer,
}

impl Basis {
    /// The word used everywhere.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotObserved => "not-observed",
            Self::Decision => "decision",
            Self::LaterEvent => "later-event",
            Self::Result => "result",
            Self::Layer => "layer",
        }
    }
}

/// By which way it went. Protocols above TCP and UDP are named where their bytes were understood,
/// and DNS by its port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Channel {
    /// A file.
    File,
    /// The environment of a process.
    Env,
    /// The arguments of a program.
    Argv,
    /// A pipe.
    Pipe,
    /// A unix socket.
    Unix,
    /// Names being looked up: port 53.
    Dns,
    /// HTTP in the clear.
    Http,
    /// HTTP in TLS, or whatever else was read in the clear where TLS ends.
    Https,
    /// Mail.
    Smtp,
    /// Any other TCP.
    Tcp,
    /// Any other UDP.
    Udp,
    /// Ping and its like.
    Icmp,
    /// A device.
    Device,
    /// The subject's screen.
    Terminal,
    /// Anything else.
    Other,
}

impl Channel {
    /// The word used everywhere.
    pub fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Env => "env",
            Self::Argv => "argv",
            Self::Pipe => "pipe",
            Self::Unix => "unix",
            Self::Dns => "dns",
            Self::Http => "http",
            Self::Https => "https",
            Self::Smtp => "smtp",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Icmp => "icmp",
            Self::Device => "device",
            Self::Terminal => "terminal",
            Self::Other => "other",
        }
    }
}

/// Why an event is in a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Link {
    /// The event names the asset, or is itself the deed.
    Exact,
    /// The process, or the thing it acts on, had to do with the asset before.
    Lineage,
    /// Marker bytes are in it.
    Content,
}

impl Link {
    /// The word used everywhere.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Lineage => "lineage",
            Self::Content => "content",
        }
    }
}

/// One event of a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainItem {
    /// Its number.
    pub event: u64,
    /// What happened, safe to show: no marker value, no control character.
    pub what: String,
    /// Why it is here.
    pub link: Link,
}

/// The process that a finding is about; its texts are safe to show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// Process id in the jail.
    pub pid: u32,
    /// Path of its program.
    pub exe: String,
    /// Its arguments.
    pub argv: Vec<String>,
}

/// A conclusion. Fields and their order are the report's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// From 1, in the order made. A finding that grew is written again under the same id.
    pub id: u32,
    /// What was attempted.
    pub verb: Verb,
    /// How sure.
    pub confidence: Confidence,
    /// How bad.
    pub severity: Severity,
    /// Whether the supplier declared it.
    pub declared: bool,
    /// The asset; `None` where the finding is about the system.
    pub asset: Option<String>,
    /// Its data class.
    pub class: Option<String>,
    /// Names of the markers seen, in the order seen.
    pub markers: Vec<String>,
    /// By which way.
    pub channel: Channel,
    /// Where to: a path, `address:port`, a program.
    pub destination: Option<String>,
    /// Encodings the markers were seen through, outermost first.
    pub encodings: Vec<String>,
    /// What the sandbox answered.
    pub decision: String,
    /// How it ended.
    pub outcome: Ending,
    /// The error's name, where it did not succeed and one is known.
    pub error: Option<String>,
    /// Whose doing; `None` where no witness could tell.
    pub process: Option<Actor>,
    /// One sentence.
    pub title: String,
    /// ATT&CK technique, where one fits.
    pub attack: Option<String>,
    /// The events that show it: the first of each sort, in their order.
    pub chain: Vec<ChainItem>,
    /// What `outcome` rests on.
    pub outcome_basis: Basis,
    /// How many events support it, in the chain or not.
    pub events: u64,
}
