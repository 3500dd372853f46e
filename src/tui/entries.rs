//! The rows of the views that are trees, as they stand folded and unfolded: which things are listed, not how they
//! look. Made again when more is known, not for every frame.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::app::View;
use crate::recording::{Known, directory};
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
    /// Processes that are told in one line, and whether each is shown below it.
    Repeats(usize, bool),
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
        std::mem::discriminant(&self).hash(&mut hasher);
        match self {
            Self::Process(at) => known.processes.get(at).map(|one| one.process.key.0).hash(&mut hasher),
            Self::Repeats(fold, _) => known.repeats.get(fold).map(|fold| fold.key).hash(&mut hasher),
            Self::File(at) => known.files.get(at).map(|file| &file.object).hash(&mut hasher),
            Self::Finding(at) => known.findings.get(at).map(|finding| finding.id).hash(&mut hasher),
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
            processes: processes(known, toggled),
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

/// The tree of processes, but for what lies in folds that nobody opened.
fn processes(known: &Known, open: &HashSet<u64>) -> Vec<Entry> {
    let mut rows = Vec::new();
    let mut at = 0;
    while let Some(one) = known.processes.get(at) {
        let fold = one.fold.and_then(|fold| known.repeats.get(fold).map(|repeats| (fold, &repeats.range)));
        if let Some((fold, range)) = fold.filter(|(_, range)| range.start == at) {
            let is_open = open.contains(&Entry::Repeats(fold, false).key(known));
            rows.push(Entry::Repeats(fold, is_open));
            if !is_open {
                at = range.end.max(at + 1);
                continue;
            }
        }
        rows.push(Entry::Process(at));
        at += 1;
    }
    rows
}

/// Directories come unfolded where something in them touches client data or was left there.
fn files(known: &Known, toggled: &HashSet<u64>) -> Vec<Entry> {
    let mut rows = Vec::new();
    let mut at = 0;
    while let Some(first) = known.files.get(at) {
        let dir = directory(&first.object.name);
        let own = known.files.iter().skip(at).take_while(|file| directory(&file.object.name) == dir);
        let (len, told) = own.fold((0, false), |(len, told), f| (len + 1, told || f.verbs.0 != 0 || f.left.is_some()));
        let flipped = toggled.contains(&Entry::Dir(at, len, false).key(known));
        rows.push(Entry::Dir(at, len, told != flipped));
        if told != flipped {
            rows.extend((at..at + len).map(Entry::File));
        }
        at += len.max(1);
    }
    rows
}
