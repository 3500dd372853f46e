//! What is known of a recording at one moment: counts, who did what with which asset, what was found. Made by the
//! index, shared with the screen, never changed.

use std::sync::Arc;

use belljar_sandbox::event::{LayerChange, Protocol};

use super::tree::Repeats;
use crate::analysis::finding::Finding;
use crate::bundle::{Reader, Session, State};
use crate::store::{AssetSet, Histogram, Object, Process, RowSet, Verbs};

/// What was done with one asset.
#[derive(Clone, Copy, Debug, Default)]
pub struct AssetUse {
    /// Events by verb, in the order of [`crate::store::Verb::ALL`].
    pub verbs: [u64; 8],
    /// Those that the sandbox refused.
    pub denied: u64,
    /// The first row that touched it.
    pub first: u64,
}

/// What one process did.
#[derive(Clone, Debug, Default)]
pub struct ProcessUse {
    /// As last known.
    pub process: Process,
    /// Steps from the first process of its tree.
    pub depth: u16,
    /// Its events.
    pub events: u64,
    /// Those that touched client data or were otherwise found worth a verb.
    pub client: u64,
    /// What those were.
    pub verbs: Verbs,
    /// Its calls that the sandbox refused.
    pub denied: u64,
    /// The fold it is told in, with what is below it, by index.
    pub fold: Option<usize>,
    /// Within how many folds it lies.
    pub within: u16,
}

/// One destination.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Name (or address) and port, as the subject called it.
    pub object: Arc<Object>,
    /// The protocols spoken, a bit each, by number.
    pub protocols: u16,
    /// Whether TLS was taken off.
    pub tls: bool,
    /// Connections, and calls that tried to make one.
    pub tries: u64,
    /// Bytes the subject sent or tried to.
    pub sent: u64,
    /// Bytes it got.
    pub received: u64,
    /// Events with a verb.
    pub client: u64,
    /// Which.
    pub verbs: Verbs,
    /// Calls that the sandbox refused.
    pub denied: u64,
    /// The first row about it.
    pub first: u64,
    /// Rows that say what went on, the first of them.
    pub rows: Vec<u64>,
}

impl Peer {
    /// The words for its protocols.
    pub fn protocols(&self) -> String {
        let spoken = Protocol::ALL.into_iter().filter(|protocol| self.protocols >> *protocol as u16 & 1 == 1);
        let mut words: Vec<&str> = if self.tls { vec!["tls"] } else { Vec::new() };
        words.extend(spoken.map(Protocol::name));
        words.join(" ")
    }
}

/// One file or device.
#[derive(Clone, Debug)]
pub struct FileUse {
    /// Its path.
    pub object: Arc<Object>,
    /// Calls that read it, and how many bytes.
    pub reads: (u64, u64),
    /// Calls that wrote it, and how many bytes.
    pub writes: (u64, u64),
    /// All events about it.
    pub events: u64,
    /// What was seen in them.
    pub verbs: Verbs,
    /// Assets touched by them.
    pub assets: AssetSet,
    /// Calls that the sandbox refused.
    pub denied: u64,
    /// What was left of it on disk, and its size.
    pub left: Option<(LayerChange, u64)>,
    /// The row that tells that.
    pub left_row: u64,
    /// The first row about it.
    pub first: u64,
}

/// What is known of a recording.
#[derive(Clone, Debug)]
pub struct Known {
    /// What the bundle says of the session.
    pub session: Option<Session>,
    /// How far the recording got.
    pub state: State,
    /// Rows looked at.
    pub looked: u64,
    /// Rows there are.
    pub rows: u64,
    /// Row and time of the beginning of each batch looked at.
    pub starts: Arc<Vec<(u64, u64)>>,
    /// Counts over time.
    pub histogram: Histogram,
    /// Rows that have a verb.
    pub client: RowSet,
    /// Rows that do not only repeat the row before: another doing, thing or outcome.
    pub heads: RowSet,
    /// Rows that are output of the terminal, or say its size.
    pub screen: RowSet,
    /// Events by verb.
    pub verbs: [u64; 8],
    /// Events that the sandbox refused.
    pub denied: u64,
    /// Events that witnesses say they lost.
    pub lost: u64,
    /// By index of the session's assets.
    pub assets: Vec<AssetUse>,
    /// In the order of their tree.
    pub processes: Arc<Vec<ProcessUse>>,
    /// Those of them that are told in one line.
    pub repeats: Arc<Vec<Repeats>>,
    /// Those with client data first.
    pub peers: Arc<Vec<Peer>>,
    /// By directory and name.
    pub files: Arc<Vec<FileUse>>,
    /// Events about things that were too many to be listed.
    pub unlisted: u64,
    /// Last state of each, by id.
    pub findings: Arc<Vec<Finding>>,
    /// What cannot be read.
    pub trouble: Option<String>,
}

impl Known {
    pub(super) fn begin(reader: &Reader, rows: u64) -> Self {
        let assets = reader.session().map_or(0, |session| session.assets.len());
        Self {
            session: reader.session().cloned(),
            state: reader.state(),
            looked: 0,
            rows,
            starts: Arc::default(),
            histogram: Histogram::default(),
            client: RowSet::default(),
            heads: RowSet::default(),
            screen: RowSet::default(),
            verbs: [0; 8],
            denied: 0,
            lost: 0,
            assets: vec![AssetUse::default(); assets],
            processes: Arc::default(),
            repeats: Arc::default(),
            peers: Arc::default(),
            files: Arc::default(),
            unlisted: 0,
            findings: Arc::default(),
            trouble: None,
        }
    }

    /// The session's end, nanoseconds: as recorded, or as far as it was looked at.
    pub fn end_ns(&self) -> u64 {
        let recorded = self.session.as_ref().and_then(|session| session.duration_ns).unwrap_or_default();
        recorded.max(self.histogram.end())
    }
}
