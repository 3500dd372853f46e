//! The rows of the views that are trees, as they stand folded and unfolded: which things are listed, not how they
//! look. Made again when more is known, not for every frame.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::app::View;
use crate::recording::Known;
use crate::store::Verb;

/// A row: indexes into what is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Entry {
    /// An asset, and whether findings name it.
    Asset(usize),
    /// A finding; below its asset in the flow.
    Finding(usize),
    /// A process.
    Process(usize),
    /// The directory of the file, how many files it holds, and whether it is unfolded.
    Dir(usize, usize, bool),
    /// A file.
    File(usize),
    /// A destination.
    Peer(usize),
    /// Findings about no asset, by verb.
    System(Verb),
}

impl Entry {
    /// What stands for the thing while more becomes known, and its index changes.
    pub(super) fn key(self, known: &Known) -> u64 {
        let mut hasher = DefaultHasher::new();
        match self {
            Self::Dir(first, ..) => known.files.get(first).map(|file| directory(&file.object.name)).hash(&mut hasher),
            Self::Peer(at) => known.peers.get(at).map(|peer| &peer.object).hash(&mut hasher),
            other => other.hash(&mut hasher),
        }
        hasher.finish()
    }
}

/// All rows, by view.
#[derive(Debug, Default)]
pub(super) struct Entries {
    assets: Vec<Entry>,
    flow: Vec<Entry>,
    network: Vec<Entry>,
    files: Vec<Entry>,
    processes: Vec<Entry>,
    findings: Vec<Entry>,
}

impl Entries {
    pub(super) fn new(known: &Known, toggled: &HashSet<u64>) -> Self {
        let mut assets: Vec<usize> = (0..known.assets.len()).collect();
        let weight = |asset: usize| known.assets.get(asset).map_or([0; 8], |used| used.verbs);
        // What was sent first, then what was kept, then what was read.
        let order = [Verb::Transmit, Verb::Store, Verb::Process, Verb::Use, Verb::Collect];
        assets.sort_by_key(|asset| {
            let counts = weight(*asset);
            order.map(|verb| counts.get(verb as usize).copied().unwrap_or_default() == 0)
        });
        Self {
            assets: assets.into_iter().map(Entry::Asset).collect(),
            flow: flow(known, toggled),
            network: (0..known.peers.len()).map(Entry::Peer).collect(),
            files: files(known, toggled),
            processes: (0..known.processes.len()).map(Entry::Process).collect(),
            findings: (0..known.findings.len()).map(Entry::Finding).collect(),
        }
    }

    /// The rows of a view.
    pub(super) fn of(&self, view: View) -> &[Entry] {
        match view {
            View::Overview => &self.assets,
            View::Flow => &self.flow,
            View::Network => &self.network,
            View::Files => &self.files,
            View::Processes => &self.processes,
            View::Findings => &self.findings,
            View::Events | View::Terminal => &[],
        }
    }
}

fn flow(known: &Known, folded: &HashSet<u64>) -> Vec<Entry> {
    let names = known.session.as_ref().map_or(&[][..], |session| &session.assets);
    let mut rows = Vec::new();
    let mut group = |head: Entry, belongs: &dyn Fn(&crate::analysis::finding::Finding) -> bool| {
        let mut own: Vec<usize> =
            known.findings.iter().enumerate().filter(|(_, finding)| belongs(finding)).map(|(at, _)| at).collect();
        own.sort_by_key(|at| known.findings.get(*at).map(|finding| finding.id));
        if !own.is_empty() {
            rows.push(head);
            if !folded.contains(&head.key(known)) {
                rows.extend(own.into_iter().map(Entry::Finding));
            }
        }
    };
    for (at, asset) in names.iter().enumerate() {
        group(Entry::Asset(at), &|finding| finding.asset.as_ref() == Some(&asset.name));
    }
    for verb in Verb::ALL {
        group(Entry::System(verb), &|finding| {
            finding.verb == verb && !names.iter().any(|asset| finding.asset.as_ref() == Some(&asset.name))
        });
    }
    rows
}

/// The directory of a path, with its slash; empty for what is in none.
pub(super) fn directory(path: &[u8]) -> &[u8] {
    let end = memchr::memrchr(b'/', path).map_or(0, |at| at + 1);
    path.get(..end).unwrap_or_default()
}

/// Directories come unfolded where something in them touches client data or was left there.
fn files(known: &Known, toggled: &HashSet<u64>) -> Vec<Entry> {
    let mut rows = Vec::new();
    let mut at = 0;
    // By directory: a path's files and the directories below it lie among each other in the order of names.
    let mut order: Vec<usize> = (0..known.files.len()).collect();
    let name = |at: usize| known.files.get(at).map_or(&[][..], |file| &file.object.name);
    order.sort_by(|a, b| directory(name(*a)).cmp(directory(name(*b))).then_with(|| name(*a).cmp(name(*b))));
    while let Some(first) = order.get(at).copied() {
        let dir = directory(name(first));
        let len = order.iter().skip(at).take_while(|file| directory(name(**file)) == dir).count();
        let own = order.get(at..at + len).unwrap_or_default();
        let told = own.iter().filter_map(|file| known.files.get(*file)).any(|f| f.verbs.0 != 0 || f.left.is_some());
        let flipped = toggled.contains(&Entry::Dir(first, len, false).key(known));
        rows.push(Entry::Dir(first, len, told != flipped));
        if told != flipped {
            rows.extend(own.iter().map(|file| Entry::File(*file)));
        }
        at += len.max(1);
    }
    rows
}
