//! The processes as a tree, and which of them can be told in one line: a build starts thousands of compilers that end
//! again and say nothing. Siblings of one program are folded together when they have ended, when neither they nor
//! anything below them touched client data, and when no finding names one of them. Each fold counts what it holds, so
//! that nothing goes without being said.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::ops::Range;

use super::known::ProcessUse;

/// So many siblings are told in one line; fewer are shown each.
const MANY: usize = 4;

/// Siblings that are told in one line, and all that lies below them.
#[derive(Clone, Debug, Default)]
pub struct Repeats {
    /// Where they and what is below them lie in the tree.
    pub range: Range<usize>,
    /// How many siblings there are; the others of the range are below them.
    pub count: usize,
    /// Events of the whole range.
    pub events: u64,
    /// Calls of it that the sandbox refused.
    pub denied: u64,
    /// How many of it ended with anything but a status of 0.
    pub failed: usize,
    /// When its first process began.
    pub started_ns: u64,
    /// When its last one ended.
    pub ended_ns: u64,
    /// Stands for it while the tree grows: of parent and program.
    pub key: u64,
}

impl Repeats {
    fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.denied += other.denied;
        self.failed += other.failed;
        self.started_ns = self.started_ns.min(other.started_ns);
        self.ended_ns = self.ended_ns.max(other.ended_ns);
    }
}

/// The parent that a process has in the tree.
fn parent(one: &ProcessUse, keys: &HashSet<u32>) -> Option<u32> {
    // A process is never its own ancestor: keys go up. In a hostile recording they may not.
    one.process.parent.map(|parent| parent.0).filter(|parent| *parent < one.process.key.0 && keys.contains(parent))
}

/// Children behind their parents, those that are told together one behind the other; `named` are the process ids that
/// findings name.
pub(super) fn tree(mut all: Vec<ProcessUse>, named: &HashSet<u32>) -> (Vec<ProcessUse>, Vec<Repeats>) {
    all.sort_unstable_by_key(|one| std::cmp::Reverse(one.process.key.0));
    let keys: HashSet<u32> = all.iter().map(|one| one.process.key.0).collect();
    // Who has something to say, and everybody above: children come before their parents here.
    let mut loud: HashSet<u32> = HashSet::new();
    let mut children: HashMap<Option<u32>, Vec<ProcessUse>> = HashMap::new();
    for one in all {
        let (key, parent) = (one.process.key.0, parent(&one, &keys));
        if one.client > 0 || one.process.ended.is_none() || named.contains(&one.process.pid) || loud.contains(&key) {
            loud.insert(key);
            loud.extend(parent);
        }
        children.entry(parent).or_default().push(one);
    }
    let mut folds = Vec::new();
    let mut open = children.remove(&None).unwrap_or_default();
    together(&mut open, &loud, &mut folds);
    let mut tree = Vec::with_capacity(keys.len());
    while let Some(one) = open.pop() {
        if let Some(mut below) = children.remove(&Some(one.process.key.0)) {
            together(&mut below, &loud, &mut folds);
            for child in &mut below {
                child.depth = one.depth.saturating_add(1);
            }
            open.append(&mut below);
        }
        tree.push(one);
    }
    sum(&mut tree, &mut folds);
    (tree, folds)
}

/// Of siblings, last first: finds those of one program that are told together, and puts them one behind the other.
fn together(siblings: &mut [ProcessUse], loud: &HashSet<u32>, folds: &mut Vec<Repeats>) {
    if siblings.len() < MANY {
        return;
    }
    let mut quiet: HashMap<Vec<u8>, (usize, usize)> = HashMap::new();
    for (at, one) in siblings.iter().enumerate().rev().filter(|(_, one)| !loud.contains(&one.process.key.0)) {
        quiet.entry(one.process.name().to_vec()).or_insert((0, at)).0 += 1;
    }
    quiet.retain(|_, (count, _)| *count >= MANY);
    if quiet.is_empty() {
        return;
    }
    let mut numbers: HashMap<&[u8], usize> = HashMap::new();
    let mut places = HashMap::new();
    for (at, one) in siblings.iter_mut().enumerate().rev() {
        let key = one.process.key.0;
        let found = quiet.get_key_value(one.process.name()).filter(|_| !loud.contains(&key));
        let place = found.map_or(at, |(_, (_, first))| *first);
        one.fold = found.map(|(name, (count, _))| {
            *numbers.entry(name.as_slice()).or_insert_with(|| {
                let mut hasher = DefaultHasher::new();
                (one.process.parent.map(|parent| parent.0), name).hash(&mut hasher);
                folds.push(Repeats { count: *count, key: hasher.finish(), ..Repeats::default() });
                folds.len() - 1
            })
        });
        places.insert(key, (place, key));
    }
    siblings.sort_by_key(|one| {
        let (place, key) = places.get(&one.process.key.0).copied().unwrap_or_default();
        (place, std::cmp::Reverse(key))
    });
}

/// Says of each fold where it lies and what it holds, and of each process within how many folds it lies.
fn sum(tree: &mut [ProcessUse], folds: &mut [Repeats]) {
    let mut within: Vec<(usize, u16)> = Vec::new();
    let leave = |within: &mut Vec<(usize, u16)>, folds: &mut [Repeats], at: usize| {
        let Some((fold, _)) = within.pop() else { return };
        let Some(left) = folds.get_mut(fold) else { return };
        left.range.end = at;
        let left = left.clone();
        if let Some(around) = within.last().and_then(|(fold, _)| folds.get_mut(*fold)) {
            around.add(&left);
        }
    };
    for (at, one) in tree.iter_mut().enumerate() {
        while within
            .last()
            .is_some_and(|(fold, depth)| one.depth < *depth || one.depth == *depth && one.fold != Some(*fold))
        {
            leave(&mut within, folds, at);
        }
        let (started_ns, ended) = (one.process.started_ns, one.process.ended);
        let own = Repeats {
            events: one.events,
            denied: one.denied,
            failed: usize::from(!matches!(ended, None | Some((_, Some(0) | None)))),
            started_ns,
            ended_ns: ended.map_or(started_ns, |(at, _)| at),
            ..Repeats::default()
        };
        if let Some(fold) = one.fold.filter(|fold| within.last().is_none_or(|(last, _)| last != fold)) {
            within.push((fold, one.depth));
            if let Some(begun) = folds.get_mut(fold) {
                (begun.range.start, begun.started_ns) = (at, started_ns);
            }
        }
        if let Some(around) = within.last().and_then(|(fold, _)| folds.get_mut(*fold)) {
            around.add(&own);
        }
        one.within = u16::try_from(within.len()).unwrap_or(u16::MAX);
    }
    while !within.is_empty() {
        leave(&mut within, folds, tree.len());
    }
}

#[cfg(test)]
mod tests {
    use belljar_sandbox::event::ProcessKey;

    use super::*;
    use crate::store::Process;

    fn one(key: u32, parent: u32, exe: &str) -> ProcessUse {
        let process = Process {
            key: ProcessKey(key),
            parent: (parent > 0).then_some(ProcessKey(parent)),
            pid: key + 100,
            exe: exe.into(),
            started_ns: u64::from(key) * 10,
            ended: Some((u64::from(key) * 10 + 5, Some(0))),
            ..Process::default()
        };
        ProcessUse { process, events: 3, ..ProcessUse::default() }
    }

    fn told(tree: &[ProcessUse]) -> Vec<(u32, u16, Option<usize>)> {
        tree.iter().map(|one| (one.process.key.0, one.depth, one.fold)).collect()
    }

    #[test]
    fn siblings_that_say_nothing_are_one_behind_the_other_with_what_is_below_them() {
        let mut all = vec![one(1, 0, "/bin/make")];
        for n in 0..5 {
            all.extend([
                one(2 + 3 * n, 1, "/bin/cc"),
                one(3 + 3 * n, 2 + 3 * n, "/bin/cc1"),
                one(4 + 3 * n, 1, "/bin/rm"),
            ]);
        }
        all[4].denied = 2;
        all[5].process.ended = Some((900, Some(256)));
        all[0].process.ended = None;
        let (tree, folds) = tree(all, &HashSet::new());
        let keys: Vec<u32> = tree.iter().map(|one| one.process.key.0).collect();
        assert_eq!(keys, [1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 4, 7, 10, 13, 16]);
        let said = |fold: &Repeats| (fold.range.clone(), fold.count, fold.events, fold.denied, fold.failed);
        assert_eq!(folds.iter().map(said).collect::<Vec<_>>(), [(1..11, 5, 30, 2, 1), (11..16, 5, 15, 0, 0)]);
        assert_eq!((folds[0].started_ns, folds[0].ended_ns), (20, 900));
    }

    #[test]
    fn who_lives_touched_something_or_is_named_is_never_folded_nor_who_made_them() {
        let mut all: Vec<ProcessUse> = (2..12).map(|key| one(key, 1, "sh")).collect();
        all.push(one(1, 0, "make"));
        all.push(one(20, 5, "curl"));
        all[0].process.ended = None;
        all[1].client = 1;
        all.iter_mut().filter(|one| one.process.key.0 == 20).for_each(|one| one.client = 7);
        let (tree, folds) = tree(all, &HashSet::from([104]));
        let shown: Vec<u32> = tree.iter().filter(|one| one.within == 0).map(|one| one.process.key.0).collect();
        assert_eq!(shown, [1, 2, 3, 4, 5, 20]);
        assert_eq!((folds.len(), folds[0].count, folds[0].range.clone()), (1, 6, 6..12));
    }

    #[test]
    fn folds_lie_within_folds_and_few_are_none() {
        let mut all = vec![one(1, 0, "make")];
        for sh in [10, 20, 30, 40] {
            all.push(one(sh, 1, "sh"));
            all.extend((1..=4).map(|n| one(sh + n, sh, "as")));
        }
        all.extend((51..54).map(|key| one(key, 1, "ld")));
        all[0].client = 1;
        let (tree, folds) = tree(all, &HashSet::new());
        assert_eq!(told(&tree)[1..4], [(10, 1, Some(0)), (11, 2, Some(1)), (12, 2, Some(1))]);
        assert_eq!((folds[0].range.clone(), folds[0].events, folds[0].count), (1..21, 60, 4));
        assert_eq!((folds[1].range.clone(), folds[1].events), (2..6, 12));
        assert_eq!(tree.iter().map(|one| one.within).collect::<Vec<_>>()[..4], [0, 1, 2, 2]);
        assert!(tree[21..].iter().all(|one| one.within == 0 && one.fold.is_none()), "three are shown each");
    }

    #[test]
    fn parents_that_cannot_be_are_none() {
        let all = vec![one(3, 3, "a"), one(4, 9, "b"), one(9, 4, "c")];
        assert_eq!(told(&tree(all, &HashSet::new()).0), [(3, 0, None), (4, 0, None), (9, 1, None)]);
    }
}
