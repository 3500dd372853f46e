//! Who may hold which client data: asset -> process -> pipe, file or local socket -> process.
//! Lineage explains and ranks. Alone it is never more than a suspicion, so it is kept simple: what
//! a process held is held by the children it makes from then on, by whatever it writes to, and by
//! whoever reads that.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use belljar_sandbox::event::ProcessKey;
use foldhash::fast::RandomState;

use super::finding::ChainItem;
use crate::store::AssetSet;

/// Events that one origin's chain keeps at most; where it grows longer the second is left out,
/// since the first says where the data came from and the last ones how it got here.
const MAX_STEPS: usize = 8;
/// Files, pipes and sockets that are followed at most.
const MAX_FLOWS: usize = 65_536;
/// Processes followed at most; the subject may fork without end.
pub(super) const MAX_PROCESSES: usize = 65_536;
/// Ended processes that are remembered.
const MAX_ENDED: usize = 1024;
/// Readers of one pipe or socket that are remembered: the last ones.
const MAX_READERS: usize = 8;
/// Memory that one process shares with others: as many maps of it are followed.
const MAX_SHARES: usize = 64;
/// How far up the ancestors of a process are looked at.
const MAX_ANCESTORS: usize = 32;

/// How something came to hold an asset.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    /// Index of the asset.
    pub(super) asset: usize,
    /// The events that brought it here.
    pub(super) chain: Arc<[ChainItem]>,
}

/// What something holds: at most one origin for each asset, the first.
#[derive(Clone, Debug, Default)]
pub(super) struct Holding {
    assets: AssetSet,
    origins: Vec<Origin>,
}

impl Holding {
    /// Which assets.
    pub(super) fn assets(&self) -> AssetSet {
        self.assets
    }

    /// How it came to hold the asset.
    pub(super) fn origin(&self, asset: usize) -> Option<&Origin> {
        self.origins.iter().find(|origin| origin.asset == asset)
    }

    fn add(&mut self, origin: Origin) {
        if !self.assets.contains(origin.asset) {
            self.assets.insert(origin.asset);
            self.origins.push(origin);
        }
    }

    /// Takes over what `from` holds and this does not, each with one more step.
    fn inherit(&mut self, from: &Self, keep: AssetSet, step: impl Fn() -> Option<ChainItem>) -> bool {
        let new = AssetSet(from.assets.0 & keep.0 & !self.assets.0);
        if new.0 == 0 {
            return false;
        }
        let step = step();
        for origin in from.origins.iter().filter(|origin| new.contains(origin.asset)) {
            let mut chain = origin.chain.to_vec();
            if let Some(step) = &step {
                if chain.len() >= MAX_STEPS {
                    chain.remove(1);
                }
                chain.push(step.clone());
            }
            self.add(Origin { asset: origin.asset, chain: chain.into() });
        }
        true
    }
}

#[derive(Debug, Default)]
struct Member {
    parent: Option<ProcessKey>,
    holding: Holding,
    ended: bool,
    /// What it comes to hold later goes there, too, unseen.
    shares: Vec<Share>,
}

/// Memory that a process can pass data through without a call.
#[derive(Clone, Debug)]
struct Share {
    flow: u64,
    /// Whether the process can write to it.
    writes: bool,
    /// How it came by it.
    step: Option<ChainItem>,
}

/// Who and what holds what.
#[derive(Debug)]
pub(super) struct Lineage {
    /// The assets that are followed beyond the process that read them.
    followed: AssetSet,
    members: HashMap<ProcessKey, Member, RandomState>,
    flows: HashMap<u64, Holding, RandomState>,
    /// Who answers at a local address or reads from a pipe. A read that waits was seen before the
    /// bytes that end it, so what is poured in later reaches its readers, too.
    readers: HashMap<u64, Vec<ProcessKey>, RandomState>,
    /// Who has ended, in that order.
    ended: VecDeque<ProcessKey>,
    unfollowed: u64,
}

impl Lineage {
    /// Follows these assets.
    pub(super) fn new(followed: AssetSet) -> Self {
        Self {
            followed,
            members: HashMap::default(),
            flows: HashMap::default(),
            readers: HashMap::default(),
            ended: VecDeque::new(),
            unfollowed: 0,
        }
    }

    /// A process came to be: it holds what its parent held at that time, and shares its shared memory.
    pub(super) fn start(&mut self, process: ProcessKey, parent: Option<ProcessKey>) {
        if self.members.contains_key(&process) {
            return;
        }
        if self.members.len() >= MAX_PROCESSES {
            self.unfollowed += 1;
            return;
        }
        let parent = parent.filter(|parent| *parent != process);
        let from = parent.and_then(|parent| self.members.get(&parent));
        let (holding, shares) = from.map(|from| (from.holding.clone(), from.shares.clone())).unwrap_or_default();
        for share in &shares {
            self.listen(process, share.flow);
        }
        self.members.insert(process, Member { parent, holding, ended: false, shares });
    }

    /// A process began another program: its memory is a new one, and what others put into that of before does not
    /// reach it any more.
    pub(super) fn renew(&mut self, process: ProcessKey) {
        let shares = self.members.get_mut(&process).map(|member| std::mem::take(&mut member.shares));
        for share in shares.unwrap_or_default() {
            if let Some(readers) = self.readers.get_mut(&share.flow) {
                readers.retain(|reader| *reader != process);
            }
        }
    }

    /// A process ended. What it left in files and pipes stays; what it held is remembered for a while, since what it
    /// sent last may still be on its way.
    pub(super) fn end(&mut self, process: ProcessKey) {
        let reach = self.reach(process);
        let Some(member) = self.members.get_mut(&process).filter(|member| !member.ended) else { return };
        member.ended = true;
        // Its ancestors may have ended, too, when that arrives.
        for origin in reach {
            member.holding.add(origin);
        }
        self.ended.push_back(process);
        if self.ended.len() > MAX_ENDED
            && let Some(oldest) = self.ended.pop_front()
        {
            self.members.remove(&oldest);
        }
    }

    /// Whether the process is known; if not, it is to be [started](Self::start).
    pub(super) fn knows(&self, process: ProcessKey) -> bool {
        self.members.contains_key(&process)
    }

    /// What the process itself holds.
    pub(super) fn held(&self, process: ProcessKey) -> Option<&Holding> {
        self.members.get(&process).map(|member| &member.holding).filter(|holding| holding.assets.0 != 0)
    }

    /// What the process holds, then what its living ancestors do, nearest first.
    fn within_reach(&self, process: ProcessKey) -> impl Iterator<Item = &Holding> {
        let member = |key: &ProcessKey| self.members.get(key);
        let living = move |key: &ProcessKey| *key == process || member(key).is_some_and(|member| !member.ended);
        std::iter::successors(Some(process), move |key| member(key).and_then(|member| member.parent))
            .take(MAX_ANCESTORS)
            .take_while(living)
            .map_while(move |key| member(&key).map(|member| &member.holding))
    }

    /// What the process or one of its living ancestors holds.
    pub(super) fn reach(&self, process: ProcessKey) -> Vec<Origin> {
        let mut all = Holding::default();
        for origin in self.within_reach(process).flat_map(|holding| &holding.origins) {
            all.add(origin.clone());
        }
        all.origins
    }

    /// Of which assets that is.
    pub(super) fn reach_assets(&self, process: ProcessKey) -> AssetSet {
        AssetSet(self.within_reach(process).fold(0, |all, holding| all | holding.assets.0))
    }

    /// The process got the asset.
    pub(super) fn gain(&mut self, process: ProcessKey, asset: usize, chain: impl FnOnce() -> Arc<[ChainItem]>) {
        if let Some(member) = self.members.get_mut(&process)
            && !member.holding.assets.contains(asset)
        {
            member.holding.add(Origin { asset, chain: chain() });
            self.spread(process);
        }
    }

    /// What one process holds came into the memory of another.
    pub(super) fn pass(&mut self, from: ProcessKey, to: ProcessKey, step: impl Fn() -> Option<ChainItem>) {
        let Some(holding) = self.members.get(&from).map(|member| member.holding.clone()) else { return };
        if let Some(member) = self.members.get_mut(&to)
            && member.holding.inherit(&holding, self.followed, step)
        {
            self.spread(to);
        }
    }

    /// The process wrote to `flow`: it now holds what is followed of the process's, and so does who reads from it.
    /// Returns whether that is news.
    pub(super) fn pour(&mut self, process: ProcessKey, flow: u64, step: impl Fn() -> Option<ChainItem>) -> bool {
        let keep = self.followed;
        let Some(from) = self.members.get(&process).map(|m| &m.holding).filter(|h| h.assets.0 & keep.0 != 0) else {
            return false;
        };
        if !self.flows.contains_key(&flow) && self.flows.len() >= MAX_FLOWS {
            self.unfollowed += 1;
            return false;
        }
        let into = self.flows.entry(flow).or_default();
        if !into.inherit(from, keep, step) {
            return false;
        }
        self.fill_readers(process, flow);
        true
    }

    /// What `flow` holds is within reach of all that read from it.
    fn fill_readers(&mut self, writer: ProcessKey, flow: u64) {
        let Some(poured) = self.flows.get(&flow).cloned() else { return };
        let readers = self.readers.get(&flow).cloned().unwrap_or_default();
        for reader in readers.into_iter().filter(|reader| *reader != writer) {
            let Some(member) = self.members.get_mut(&reader).filter(|member| !member.ended) else { continue };
            let step = member.shares.iter().find(|share| share.flow == flow).and_then(|share| share.step.clone());
            if member.holding.inherit(&poured, self.followed, || step.clone()) {
                self.spread(reader);
            }
        }
    }

    /// What the process has come to hold is in the memory that it shares with others. It ends, since what anything
    /// holds only grows.
    fn spread(&mut self, process: ProcessKey) {
        let Some(member) = self.members.get(&process).filter(|member| !member.shares.is_empty()) else { return };
        let shares: Vec<Share> = member.shares.iter().filter(|share| share.writes).cloned().collect();
        for share in shares {
            self.pour(process, share.flow, || share.step.clone());
        }
    }

    /// The process has `flow` in its memory from now on: what is in either is in the other, if it can write there.
    pub(super) fn share(&mut self, process: ProcessKey, flow: u64, writes: bool, step: impl Fn() -> Option<ChainItem>) {
        let Some(member) = self.members.get_mut(&process) else { return };
        if member.shares.iter().any(|share| share.flow == flow && share.writes >= writes) {
            return;
        }
        if member.shares.len() >= MAX_SHARES {
            self.unfollowed += 1;
            return;
        }
        member.shares.push(Share { flow, writes, step: step() });
        self.draw(process, flow, &step);
        self.listen(process, flow);
        if writes {
            self.pour(process, flow, step);
        }
    }

    /// The process read from `flow`: it now holds what that holds.
    pub(super) fn draw(&mut self, process: ProcessKey, flow: u64, step: impl Fn() -> Option<ChainItem>) {
        let Some(from) = self.flows.get(&flow) else { return };
        if let Some(member) = self.members.get_mut(&process)
            && member.holding.inherit(from, AssetSet(u64::MAX), step)
        {
            self.spread(process);
        }
    }

    /// The process answers at `flow`, or reads from it as from a pipe: now or when there is more.
    pub(super) fn listen(&mut self, process: ProcessKey, flow: u64) {
        if !self.readers.contains_key(&flow) && self.readers.len() >= MAX_FLOWS {
            self.unfollowed += 1;
            return;
        }
        let readers = self.readers.entry(flow).or_default();
        if !readers.contains(&process) {
            if readers.len() >= MAX_READERS {
                readers.remove(0);
            }
            readers.push(process);
        }
    }

    /// What a file or pipe holds.
    pub(super) fn flow(&self, flow: u64) -> Option<&Holding> {
        self.flows.get(&flow)
    }

    /// What was at `from` is at `to` now.
    pub(super) fn rename(&mut self, from: u64, to: u64) {
        if let Some(holding) = self.flows.remove(&from) {
            self.flows.insert(to, holding);
        }
    }

    /// What is at `from` is at `to`, too.
    pub(super) fn link(&mut self, from: u64, to: u64) {
        if let Some(holding) = self.flows.get(&from).filter(|_| self.flows.len() < MAX_FLOWS) {
            self.flows.insert(to, holding.clone());
        }
    }

    /// Processes and flows that were not followed because there were too many.
    pub(super) fn unfollowed(&self) -> u64 {
        self.unfollowed
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Link;
    use super::*;

    const ALL: AssetSet = AssetSet(u64::MAX);

    #[allow(clippy::unnecessary_wraps)] // what lineage takes
    fn step(event: u64) -> Option<ChainItem> {
        Some(ChainItem { event, what: event.to_string(), link: Link::Lineage })
    }

    fn events(origins: &[Origin]) -> Vec<u64> {
        origins.iter().flat_map(|o| o.chain.iter().map(|i| i.event)).collect()
    }

    #[test]
    fn data_goes_through_forks_pipes_and_files() {
        let mut lineage = Lineage::new(ALL);
        let [shell, reader, packer, sender, stranger] = [1, 2, 3, 4, 5].map(ProcessKey);
        lineage.start(shell, None);
        lineage.start(reader, Some(shell));
        lineage.start(packer, Some(shell));
        lineage.gain(reader, 3, || step(1).into_iter().collect());
        assert!(lineage.pour(reader, 77, || step(2)));
        assert!(!lineage.pour(reader, 77, || step(9)), "once is enough");
        lineage.draw(packer, 77, || step(3));
        lineage.pour(packer, 88, || step(4));
        lineage.rename(88, 99);
        lineage.start(sender, Some(shell));
        lineage.draw(sender, 99, || step(5));
        assert_eq!(events(&lineage.reach(sender)), [1, 2, 3, 4, 5]);
        lineage.start(stranger, Some(shell));
        assert!(lineage.reach(stranger).is_empty());
        lineage.gain(shell, 5, || step(6).into_iter().collect());
        assert_eq!(events(&lineage.reach(stranger)), [6], "an ancestor's data is within reach");
        lineage.end(shell);
        assert!(lineage.reach(stranger).is_empty());
    }

    #[test]
    fn a_child_holds_what_its_parent_held_when_it_was_made() {
        let mut lineage = Lineage::new(ALL);
        lineage.start(ProcessKey(1), None);
        lineage.gain(ProcessKey(1), 0, || step(1).into_iter().collect());
        lineage.start(ProcessKey(2), Some(ProcessKey(1)));
        lineage.end(ProcessKey(1));
        assert_eq!(events(&lineage.reach(ProcessKey(2))), [1]);
    }

    #[test]
    fn readers_get_what_is_written_while_they_wait() {
        let mut lineage = Lineage::new(ALL);
        lineage.start(ProcessKey(1), None);
        lineage.start(ProcessKey(2), None);
        lineage.listen(ProcessKey(2), 5);
        lineage.gain(ProcessKey(1), 0, || step(1).into_iter().collect());
        lineage.pour(ProcessKey(1), 5, || step(2));
        assert_eq!(events(&lineage.reach(ProcessKey(2))), [1, 2]);
    }

    #[test]
    fn chains_stay_short_and_a_process_is_not_its_own_parent() {
        let mut lineage = Lineage::new(ALL);
        lineage.start(ProcessKey(1), Some(ProcessKey(1)));
        lineage.gain(ProcessKey(1), 0, || step(0).into_iter().collect());
        for n in 1..40_u32 {
            lineage.start(ProcessKey(n + 1), None);
            lineage.pour(ProcessKey(n), u64::from(n), || step(u64::from(n) * 2));
            lineage.draw(ProcessKey(n + 1), u64::from(n), || step(u64::from(n) * 2 + 1));
        }
        let chain = events(&lineage.reach(ProcessKey(40)));
        assert_eq!(chain.len(), MAX_STEPS);
        assert_eq!((chain[0], chain[MAX_STEPS - 1]), (0, 79));
    }

    #[test]
    fn shared_memory_passes_what_either_side_comes_to_hold() {
        let mut lineage = Lineage::new(ALL);
        let [parent, giver, taker, other] = [1, 2, 3, 4].map(ProcessKey);
        lineage.start(parent, None);
        lineage.share(parent, 9, true, || step(1));
        lineage.start(giver, Some(parent));
        lineage.start(taker, Some(parent));
        lineage.start(other, Some(parent));
        lineage.renew(other);
        lineage.gain(giver, 0, || step(2).into_iter().collect());
        assert_eq!(events(&lineage.held(taker).unwrap().origins), [2, 1, 1], "through the map, out of the map");
        assert!(lineage.held(other).is_none(), "it has memory of its own since it began another program");
        lineage.end(taker);
        lineage.gain(giver, 1, || step(3).into_iter().collect());
        assert_eq!(lineage.held(taker).unwrap().assets(), AssetSet(1), "who has ended gets nothing more");
    }

    #[test]
    fn who_can_only_read_shared_memory_gives_nothing() {
        let mut lineage = Lineage::new(ALL);
        lineage.start(ProcessKey(1), None);
        lineage.start(ProcessKey(2), None);
        lineage.share(ProcessKey(1), 9, false, || step(1));
        lineage.share(ProcessKey(2), 9, true, || step(2));
        lineage.gain(ProcessKey(1), 0, || step(3).into_iter().collect());
        assert!(lineage.held(ProcessKey(2)).is_none());
        lineage.gain(ProcessKey(2), 1, || step(4).into_iter().collect());
        assert_eq!(lineage.held(ProcessKey(1)).unwrap().assets(), AssetSet(3));
    }

    #[test]
    fn a_second_name_leads_to_the_same() {
        let mut lineage = Lineage::new(ALL);
        lineage.start(ProcessKey(1), None);
        lineage.start(ProcessKey(2), None);
        lineage.gain(ProcessKey(1), 0, || step(1).into_iter().collect());
        lineage.pour(ProcessKey(1), 5, || step(2));
        lineage.link(5, 6);
        lineage.draw(ProcessKey(2), 6, || step(3));
        assert_eq!(events(&lineage.reach(ProcessKey(2))), [1, 2, 3]);
    }
}
