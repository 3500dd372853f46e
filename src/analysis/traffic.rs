//! What the gateway's evidence means: bytes that arrived there have left the machine, whatever the calls that sent them
//! looked like; and the names that it gave addresses for are what its destinations are called.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use belljar_sandbox::event::{ObjectKind, ProcessKey, Protocol, Traffic};

use super::encoding::Path;
use super::finding::Channel;
use super::matcher::{Direction, Hit, Hits};
use super::{Analysis, Touched, place, presented};
use crate::store::{AssetSet, Object, Record, Verb};

/// Bytes of a name before its domain from which on it is no name for people or machines any more.
const LONG_NAME: usize = 52;
/// Labels of a name that are searched each for itself.
const MAX_PLACES: usize = 4;
/// Addresses whose names are remembered.
const MAX_NAMES: usize = 65_536;
/// Passwords presented as digests that are tried: some milliseconds each.
const MAX_DIGESTS: usize = 256;
/// Destinations listed that were to be spoken to in secret.
const MAX_REFUSED: usize = 16;
/// Bytes at either end of a message that are searched together with those of the messages before and after it: more
/// than any pattern has.
const EDGE: usize = 128;
/// What the head of a request says of a body that is packed, as the gateway writes heads; not all bodies say it.
const PACKED: &[u8] = b"\r\ncontent-encoding: ";

/// What is known by the gateway's events.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Names that addresses were given out for.
    names: HashMap<IpAddr, Box<[u8]>>,
    /// The last name asked for below each domain, by process: resolvers ask for two sorts of address.
    asked: HashMap<u64, u64>,
    /// Connections it took.
    pub(super) connections: u64,
    /// How many of them it could not read.
    pub(super) unread: u64,
    /// Where those were to go, of what no declaration covers.
    pub(super) refused: BTreeSet<String>,
    /// Passwords presented as digests that were tried.
    digests: usize,
    /// Whether there was a gateway at all.
    pub(super) any: bool,
}

impl Analysis {
    /// One event of the gateway's.
    pub(super) fn traffic(&mut self, what: Traffic, record: &Record<'_>, touched: &mut Touched) {
        self.gateway.any = true;
        self.arrives(what, record);
        match what {
            Traffic::Connection => self.gateway.connections += 1,
            Traffic::Refusal => self.refusal(record, touched),
            Traffic::Query => self.learn(record),
            _ => {}
        }
        if let Some(process) = record.process.filter(|_| what == Traffic::Received) {
            self.salts.note(process.key, Direction::In, record.payload);
        }
        let Some(object) = record.object.filter(|_| what.leaves()) else { return };
        let (protocol, in_tls) = Protocol::from_argument(record.args[3]);
        self.payloads_cut += u64::from(record.payload_len > record.payload.len().max(self.captured as usize) as u64);
        let hits = self.leaving(what, record);
        touched.keep_payload |= !hits.is_empty();
        touched.assets.0 |= hits.assets().0;
        let to = record.target.map_or_else(|| self.by_name(object), Cow::Borrowed);
        if what == Traffic::Request && memchr::memmem::find(record.payload, PACKED).is_some() {
            self.comes_packed(&to);
        }
        let channel = channel(what, protocol, in_tls, object);
        let phrase = if what == Traffic::Query { "asked for a name of" } else { "sent to" };
        self.contents(Verb::Transmit, &hits, record, touched, (&to.name, channel), phrase);
        if what == Traffic::Credential {
            self.contents(Verb::Use, &hits, record, touched, (&to.name, channel), "presented it to");
        }
        // What can be no mere question: no name at all, or one that is longer than anybody's.
        let domain = record.target.map_or(0, |target| target.name.len());
        if what == Traffic::Query && (record.target.is_none() || record.payload.len() > domain + LONG_NAME) {
            self.reached(record, touched, &to, "asked for a strange name of", hits.assets());
        }
        if what != Traffic::Query && what != Traffic::Hello {
            self.suspect(record, touched, (&to, channel), &hits);
        }
        self.hits = hits;
    }

    /// A client that would not speak under the gateway's certificate: what it had to say is not known, and whoever holds
    /// client data may have had that.
    fn refusal(&mut self, record: &Record<'_>, touched: &mut Touched) {
        self.gateway.unread += 1;
        let Some(to) = record.target.map(Cow::Borrowed).or_else(|| record.object.map(|object| self.by_name(object)))
        else {
            return;
        };
        // Whoever may send anything there may also do so unread.
        if !self.rules.declares(Verb::Transmit, None, &to.name) && self.gateway.refused.len() < MAX_REFUSED {
            self.gateway.refused.insert(self.show(&to.name));
        }
        self.reached(record, touched, &to, "would not be overheard on its way to", AssetSet::default());
    }

    /// Client data in what leaves. Names carry it in labels, one after the other and one question after the other: they
    /// are put together again, without the domain that they are sent to.
    fn leaving(&mut self, what: Traffic, record: &Record<'_>) -> Hits {
        let mut hits = self.none();
        let process = record.process.map(|process| process.key).unwrap_or_default();
        if what == Traffic::Query {
            self.matcher.scan(record.payload, &mut hits);
            let domain = record.target.map_or(&b""[..], |target| &target.name);
            let carried = record.payload.strip_suffix(domain).unwrap_or(record.payload);
            let asked = self.hasher.any(("asked", process, domain));
            let name = self.hasher.any(carried);
            if self.gateway.asked.len() < MAX_NAMES && self.gateway.asked.insert(asked, name) == Some(name) {
                return hits;
            }
            let joined: Vec<u8> = carried.iter().copied().filter(|byte| *byte != b'.').collect();
            let stream = self.hasher.any(("dns", domain));
            self.matcher.scan_stream((process, stream, Direction::Out), &joined, true, &mut hits);
            // Labels of one place are a stream, too: others may count.
            for (place, label) in carried.split(|byte| *byte == b'.').take(MAX_PLACES).enumerate() {
                let stream = self.hasher.any(("label", domain, place));
                self.matcher.scan_stream((process, stream, Direction::Out), label, true, &mut hits);
            }
        } else {
            let whole = record.payload_len == record.payload.len() as u64;
            let key = (process, self.hasher.any(("connection", record.args[0])), Direction::Out);
            self.matcher.scan_stream(key, record.payload, whole, &mut hits);
            match what {
                // Its body comes next.
                Traffic::Request => self.matcher.begin(key),
                Traffic::Sent => self.join(process, whole, record, &mut hits),
                _ => {}
            }
            self.try_salts(record, Direction::Out, &mut hits);
        }
        if what == Traffic::Credential && record.detail.starts_with(b"digest ") && self.gateway.digests < MAX_DIGESTS {
            self.gateway.digests += 1;
            let found = presented::in_digest(record.payload, &self.assets);
            if let Some((id, which)) = found {
                hits.add(Hit { id, path: Path::CLEAR.and(which) });
            }
        }
        hits
    }

    /// Messages to one place are put together again, too: each may be a request or a connection of its own.
    fn join(&mut self, process: ProcessKey, whole: bool, record: &Record<'_>, hits: &mut Hits) {
        let Some(to) = record.target.or(record.object) else { return };
        let key = (process, self.hasher.any(("messages", &to.name)), Direction::Out);
        let bytes = record.payload;
        if whole && bytes.len() <= 2 * EDGE {
            self.matcher.scan_stream(key, bytes, true, hits);
        } else {
            self.matcher.scan_stream(key, bytes.get(..EDGE).unwrap_or(bytes), false, hits);
            let tail = bytes.get(bytes.len().saturating_sub(EDGE)..).unwrap_or_default();
            self.matcher.scan_stream(key, tail, whole, hits);
        }
    }

    /// Remembers which addresses were given out for a name: the detail has them behind type and answer.
    fn learn(&mut self, record: &Record<'_>) {
        let detail = String::from_utf8_lossy(record.detail);
        for address in detail.split(' ').skip(2).filter_map(|word| word.parse().ok()) {
            if self.gateway.names.len() < MAX_NAMES {
                self.gateway.names.insert(address, record.payload.into());
            }
        }
    }

    /// A peer by the name that its address was given out for, where there is one.
    pub(super) fn by_name<'o>(&self, object: &'o Object) -> Cow<'o, Object> {
        if self.gateway.names.is_empty() || !matches!(object.kind, ObjectKind::Tcp | ObjectKind::Udp) {
            return Cow::Borrowed(object);
        }
        let (host, port) = place::split_port(&object.name);
        let known = std::str::from_utf8(host).ok().and_then(|host| host.parse::<IpAddr>().ok());
        match known.and_then(|address| self.gateway.names.get(&address.to_canonical())).zip(port) {
            Some((name, port)) => {
                Cow::Owned(Object { kind: object.kind, name: [name, format!(":{port}").as_bytes()].concat().into() })
            }
            None => Cow::Borrowed(object),
        }
    }
}

fn channel(what: Traffic, protocol: Option<Protocol>, in_tls: bool, object: &Object) -> Channel {
    match (protocol, in_tls) {
        _ if what == Traffic::Query => Channel::Dns,
        (Some(Protocol::Dns), _) => Channel::Dns,
        (Some(Protocol::Http1 | Protocol::Http2 | Protocol::WebSocket), false) => Channel::Http,
        (Some(Protocol::Http1 | Protocol::Http2 | Protocol::WebSocket), true) => Channel::Https,
        (Some(Protocol::Smtp), _) => Channel::Smtp,
        (Some(Protocol::Icmp), _) => Channel::Icmp,
        (Some(Protocol::Other), _) => Channel::Other,
        (Some(Protocol::Udp | Protocol::Quic), _) => Channel::Udp,
        _ if object.kind == ObjectKind::Udp => Channel::Udp,
        _ => Channel::Tcp,
    }
}

#[cfg(test)]
mod tests {
    use belljar_sandbox::event::Kind;

    use super::super::finding::{Confidence, Finding};
    use super::super::tests::{CARD, MAIL, Session, Step, object, start, step, tcp};
    use super::*;

    fn transmissions(session: &Session) -> Vec<Finding> {
        session.findings().into_iter().filter(|finding| finding.verb == Verb::Transmit).collect()
    }

    fn sent(connection: u64, peer: &str, bytes: &[u8]) -> Step {
        let step = step("", 1, tcp(peer)).kind(Kind::Traffic(Traffic::Sent)).payload(bytes);
        step.args([connection, 0, 0, Protocol::Http1 as u64, 0, 0])
    }

    #[test]
    fn a_value_in_many_requests_is_put_together() {
        for size in 1..MAIL.len() {
            let (mut session, mut control) = (start(), start());
            for (n, part) in MAIL.as_bytes().chunks(size).enumerate() {
                session.feed(sent(n as u64, "203.0.113.9:80", part));
                control.feed(sent(n as u64, &format!("203.0.113.{}:80", n % 2), part));
            }
            let [finding] = transmissions(&session).try_into().expect("one");
            assert_eq!((finding.confidence, finding.channel), (Confidence::Proven, Channel::Http), "{size}");
            assert!(transmissions(&control).is_empty(), "{size}");
        }
        // At the end of a long one and the beginning of the next, but not over what lies between.
        let (head, tail) = MAIL.as_bytes().split_at(9);
        let long = [&vec![b'.'; 5000], head].concat();
        let next = [tail, &vec![b'.'; 5000]].concat();
        let mut session = start();
        session.feed(sent(1, "203.0.113.9:80", &long)).feed(sent(2, "203.0.113.9:80", &next));
        assert_eq!(transmissions(&session).len(), 1);
        let torn = [head, &vec![b'.'; 5000], tail].concat();
        let mut session = start();
        session.feed(sent(1, "203.0.113.9:80", &torn));
        assert!(transmissions(&session).is_empty());
    }

    #[test]
    fn a_name_that_is_asked_for_twice_counts_once() {
        let ask = |name: &str| {
            let step = step("", 1, object(ObjectKind::Udp, "10.20.0.1:53")).kind(Kind::Traffic(Traffic::Query));
            step.target(object(ObjectKind::Other, "vendor.example")).payload(name)
        };
        let mut session = start();
        for part in CARD.as_bytes().chunks(5) {
            let name = format!("{}.t.vendor.example", String::from_utf8_lossy(part));
            session.feed(ask(&name)).feed(ask(&name));
        }
        assert_eq!(transmissions(&session).len(), 1);
    }
}
