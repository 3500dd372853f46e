//! Hands events on to [lineage](super::lineage): who holds client data, and where it went from there.

use std::sync::Arc;

use super::Analysis;
use super::claims::ending;
use super::finding::{ChainItem, Ending, Link};
use super::lineage::Lineage;
use crate::store::{AssetSet, Record};

impl Analysis {
    /// The process holds the asset from now on.
    pub(super) fn gain(&mut self, asset: usize, record: &Record<'_>, phrase: &'static str, thing: &[u8], link: Link) {
        let Some(process) = record.process else { return };
        self.follow(record, phrase, thing, link, |lineage, step| {
            lineage.gain(process.key, asset, || step().into_iter().collect());
        });
    }

    /// How whoever did this came by the asset, as far as was seen. For a file left behind, who
    /// wrote it.
    pub(super) fn origin(&self, record: &Record<'_>, asset: usize) -> Option<Arc<[ChainItem]>> {
        if let Some(process) = record.process {
            if let Some(origin) = self.lineage.held(process.key).and_then(|holding| holding.origin(asset)) {
                return Some(Arc::clone(&origin.chain));
            }
            return self.lineage.reach(process.key).into_iter().find(|o| o.asset == asset).map(|o| o.chain);
        }
        let object = record.object?;
        let flow = self.flow(object);
        if let Some(origin) = self.lineage.flow(flow).and_then(|holding| holding.origin(asset)) {
            return Some(Arc::clone(&origin.chain));
        }
        let writer = self.writers.get(&flow)?;
        let process = writer.process.as_deref()?;
        let wrote = Record { seq: writer.event, process: Some(process), ..*record };
        Some(Arc::from([self.item(&wrote, Some(process), "opened for writing", &object.name, Link::Lineage)]))
    }

    /// What the process holds goes into the object.
    pub(super) fn pour(&mut self, record: &Record<'_>, flow: u64, phrase: &'static str, thing: &[u8]) {
        let Some(process) = record.process.filter(|process| self.lineage.held(process.key).is_some()) else { return };
        self.follow(record, phrase, thing, Link::Lineage, |lineage, step| {
            lineage.pour(process.key, flow, step);
        });
    }

    /// The process gets what is in the object.
    pub(super) fn draw(&mut self, record: &Record<'_>, flow: u64, phrase: &'static str, thing: &[u8]) {
        let Some(process) = record.process else { return };
        self.follow(record, phrase, thing, Link::Lineage, |lineage, step| lineage.draw(process.key, flow, step));
    }

    /// The process reads the memory of another, or writes to it. That of none is its own.
    pub(super) fn reach_into(&mut self, record: &Record<'_>, pid: u64, phrase: &'static str, gives: bool) {
        let other = u32::try_from(pid).ok().and_then(|pid| self.pids.get(&pid).copied());
        let (Some(process), Some(other)) = (record.process, other) else { return };
        if ending(record).0 == Ending::Succeeded && other != process.key {
            let (from, to) = if gives { (process.key, other) } else { (other, process.key) };
            self.follow(record, phrase, b"", Link::Lineage, |lineage, step| lineage.pass(from, to, step));
        }
    }

    /// The process has the object in its memory.
    pub(super) fn share(&mut self, record: &Record<'_>, flow: u64, writes: bool, phrase: &'static str, thing: &[u8]) {
        let Some(process) = record.process else { return };
        self.follow(record, phrase, thing, Link::Lineage, |lineage, step| {
            lineage.share(process.key, flow, writes, step);
        });
    }

    /// Lends lineage out, with the step of the chain that this event is, which is made only when it is needed.
    fn follow(
        &mut self,
        record: &Record<'_>,
        phrase: &'static str,
        thing: &[u8],
        link: Link,
        act: impl FnOnce(&mut Lineage, &dyn Fn() -> Option<ChainItem>),
    ) {
        let mut lineage = std::mem::replace(&mut self.lineage, Lineage::new(AssetSet::default()));
        act(&mut lineage, &|| Some(self.item(record, record.process, phrase, thing, link)));
        self.lineage = lineage;
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{CUSTOMERS, file, opaque, start, step, tcp};
    use crate::store::Verb;

    #[test]
    fn a_named_pipe_keeps_nothing_and_hands_on() {
        let pipe = || file("/tmp/pipe");
        let copy = || step("sendfile", 2, pipe()).target(file(CUSTOMERS)).result(99);
        let mut session = start();
        session.feed(step("mknod", 1, pipe()).args([0, 0o010_600, 0, 0, 0, 0]).result(0));
        session.read_customers(2);
        // Whoever waits at its end gets what comes later.
        session.feed(step("openat", 3, pipe()).result(3));
        session.feed(copy());
        assert!(session.findings().iter().all(|finding| finding.verb == Verb::Collect), "{:#?}", session.findings());
        session.feed(step("write", 3, tcp("203.0.113.9:443")).payload(opaque()));
        assert_eq!(session.findings().last().map(|finding| finding.verb), Some(Verb::Transmit));

        let mut control = start();
        control.read_customers(2);
        control.feed(copy());
        assert_eq!(control.findings().last().map(|finding| finding.verb), Some(Verb::Store), "a file keeps it");
    }
}
