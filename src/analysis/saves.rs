//! Saving is neither storing nor destroying: programs empty a file and write into it anew what stood there, or write it
//! beside the file first and put that in its place. Both look like a deed until it is done, so what would be said of it
//! is kept back for a while.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};

use super::claims::ending;
use super::finding::Ending;
use super::ledger::HELD_NS;
use super::matcher::Hits;
use super::witnesses::Sighting;
use super::{Analysis, MAX_WRITERS, Touched};
use crate::store::{Object, Record, Verb};

/// Files that were emptied, and nothing written into them yet.
#[derive(Debug, Default)]
pub(super) struct Emptied {
    files: HashMap<u64, (Sighting, &'static str)>,
    /// In the order of time.
    order: VecDeque<(u64, u64)>,
}

impl Analysis {
    /// Whether the object is a file that was there from the beginning, as far as that is known.
    pub(super) fn is_planted(&self, object: &Object) -> bool {
        self.planted.is_empty() || self.planted.contains(&self.flow(object))
    }

    /// A file is emptied, or cut.
    pub(super) fn empties(
        &mut self,
        object: &Object,
        record: &Record<'_>,
        touched: &mut Touched,
        phrase: &'static str,
    ) {
        let own = self.paths.of(Some(object));
        if own.0 == 0 || !self.is_planted(object) {
            return;
        }
        if ending(record).0 != Ending::Succeeded || self.emptied.files.len() >= MAX_WRITERS {
            for asset in own.iter() {
                self.destroy(asset, record, touched, phrase);
            }
            return;
        }
        touched.verbs.insert(Verb::Disrupt);
        touched.assets.0 |= own.0;
        let (flow, sighting) = (self.flow(object), self.sighting(object, record));
        // Once, however often: the first is told.
        if let Entry::Vacant(place) = self.emptied.files.entry(flow) {
            place.insert((sighting, phrase));
            self.emptied.order.push_back((record.time_ns, flow));
        }
    }

    /// Client data, as it is, is written into a file.
    pub(super) fn saves(&mut self, flow: u64) {
        self.counts.saves(flow);
        self.emptied.files.remove(&flow);
    }

    /// Says of files that were emptied long enough ago, or of all, that they were destroyed.
    pub(super) fn settle(&mut self, now_ns: Option<u64>) {
        self.ledger.release(now_ns);
        while let Some((time_ns, flow)) = self.emptied.order.front().copied() {
            if now_ns.is_some_and(|now| now.saturating_sub(time_ns) < HELD_NS) {
                break;
            }
            self.emptied.order.pop_front();
            let Some((sighting, phrase)) = self.emptied.files.remove(&flow) else { continue };
            for asset in self.paths.of(Some(&sighting.object)).iter() {
                self.destroy(asset, &sighting.record(&sighting.object), &mut Touched::default(), phrase);
            }
        }
    }

    /// Which findings it would be for the first time that data was written, as it is, to a file beside its own. Each asset
    /// with the finding's key.
    pub(super) fn beside(&self, hits: &Hits, to: &Object) -> Vec<(usize, u64)> {
        let folder = |path: &[u8]| path.iter().rposition(|byte| *byte == b'/').map_or(0, |end| end + 1);
        let here = to.name.get(..folder(&to.name));
        let is_beside = |path: &Vec<u8>| !path.ends_with(b"/") && path.get(..folder(path)) == here;
        hits.in_clear()
            .iter()
            .filter(|asset| self.assets.get(*asset).is_some_and(|asset| asset.paths.iter().any(is_beside)))
            .map(|asset| (asset, self.store_key(asset, &to.name)))
            .filter(|(_, key)| !self.ledger.knows(*key))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{CARD, CREATE, CUSTOMERS, MAIL, Session, Step, file, start, step};
    use crate::ingest::Observer;
    use crate::store::Verb;

    const BESIDE: &str = "/home/u/Documents/customers.csv.tmp";

    fn told(session: &mut Session) -> Vec<(Verb, String)> {
        session.analysis.ended();
        let found = session.findings().into_iter().filter(|finding| finding.verb != Verb::Collect);
        found.map(|finding| (finding.verb, finding.destination.unwrap_or_default())).collect()
    }

    fn rows() -> String {
        format!("id,mail\n1,{MAIL},{CARD}\n2,new,none\n")
    }

    fn write(path: &str, bytes: String) -> Step {
        step("write", 1, file(path)).result(bytes.len() as i64).payload(bytes)
    }

    fn rename(from: &str, to: &str) -> Step {
        step("rename", 1, file(from)).target(file(to)).result(0)
    }

    #[test]
    fn what_is_put_in_the_place_of_the_data_is_no_store() {
        let mut session = start();
        session.read_customers(1).feed(write(BESIDE, rows()));
        assert!(session.findings().iter().all(|finding| finding.verb == Verb::Collect), "not yet");
        session.feed(rename(BESIDE, CUSTOMERS));
        assert_eq!(told(&mut session), []);
        // Without that it is one, at the end if not before.
        let left = [(Verb::Store, BESIDE.to_owned())];
        assert_eq!(told(start().read_customers(1).feed(write(BESIDE, rows()))), left);
        let elsewhere = rename(BESIDE, "/home/u/Documents/copy");
        assert_eq!(told(start().read_customers(1).feed(write(BESIDE, rows())).feed(elsewhere))[0], left[0]);
        // What is masked or packed is not the data.
        let mut keyed = rows().into_bytes();
        for byte in &mut keyed {
            *byte ^= 9;
        }
        let mut session = start();
        session.read_customers(1).feed(write(BESIDE, String::new()).payload(keyed)).feed(rename(BESIDE, CUSTOMERS));
        assert_eq!(told(&mut session)[0], left[0]);
        assert_eq!(
            told(start().read_customers(1).feed(write("/tmp/x", rows())).feed(rename("/tmp/x", CUSTOMERS))).len(),
            1
        );
    }

    #[test]
    fn what_is_emptied_and_written_anew_is_not_destroyed() {
        let empty = || step("openat", 1, file(CUSTOMERS)).args(CREATE).result(3);
        let mut session = start();
        session.feed(empty());
        assert!(session.last.verbs.contains(Verb::Disrupt), "the event says what it does");
        session.feed(write(CUSTOMERS, "id,mail\n".into())).feed(write(CUSTOMERS, rows()));
        assert_eq!(told(&mut session), []);
        let destroyed = [(Verb::Disrupt, CUSTOMERS.to_owned())];
        assert_eq!(told(start().feed(empty())), destroyed);
        assert_eq!(told(start().feed(empty()).feed(write(CUSTOMERS, "gone".into()))), destroyed);
        assert_eq!(told(start().feed(write(CUSTOMERS, rows())).feed(empty())), destroyed);
    }

    #[test]
    fn what_the_subject_made_itself_is_not_the_clients() {
        let own = "/home/u/Documents/contracts/7.tmp";
        let deeds = [step("openat", 1, file(own)).args(CREATE).result(3), step("unlink", 1, file(own)).result(0)];
        let mut session = start();
        for deed in deeds {
            session.feed(deed);
        }
        let all = told(&mut session).len();
        let mut session = start();
        session.analysis = session.analysis.planted([CUSTOMERS.as_bytes()]);
        for deed in [step("openat", 1, file(own)).args(CREATE).result(3), step("unlink", 1, file(own)).result(0)] {
            session.feed(deed);
        }
        assert_eq!((all > 0, told(&mut session)), (true, Vec::new()));
        session.feed(step("unlink", 1, file(CUSTOMERS)).result(0));
        assert_eq!(told(&mut session), [(Verb::Disrupt, CUSTOMERS.to_owned())]);
    }
}
