//! How the gateway tells what it sees: events of connections, into the session's queue.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use crate::event::{Authority, Event, Kind, ObjectKind, ProcessKey, Protocol, Queue, Traffic, Witness};

/// Most bytes of one event.
pub(super) const PART: usize = 64 << 10;
/// Bytes of one connection, and of all, that are kept whatever they are. All are looked at for client data, and kept
/// where it is in them.
const KEPT_OF_ONE: u64 = 1 << 20;
const KEPT_OF_ALL: u64 = 64 << 20;
/// How often one who waits for room looks whether there is.
const LOOK: Duration = Duration::from_millis(1);
/// Longest name kept.
const NAME_MAX: usize = 1024;

/// What the gateway has counted.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub connections: AtomicU64,
    pub tls: AtomicU64,
    pub tls_refused: AtomicU64,
    pub turned_away: AtomicU64,
    pub cut: AtomicU64,
    pub datagrams_dropped: AtomicU64,
    pub unattributed: AtomicU64,
    pub quic: AtomicU64,
    pub unparsed: AtomicU64,
    pub lost: AtomicU64,
    pub not_kept: AtomicU64,
    foreign: AtomicU64,
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Where events go.
pub(super) struct Recorder {
    queue: Arc<Queue>,
    start_ns: u64,
    kept: AtomicU64,
    numbers: AtomicU64,
    /// Whether the capture is behind: packets that come now may find no room.
    pub(super) behind: Arc<AtomicBool>,
    pub(super) counters: Counters,
}

/// One connection, or pair of addresses that send each other datagrams.
pub(super) struct Peer {
    number: u64,
    kind: ObjectKind,
    /// The address that was called.
    pub(super) called: SocketAddr,
    /// The jail's side.
    pub(super) source: SocketAddr,
    pub(super) host_pid: u32,
    name: Mutex<Vec<u8>>,
    kept: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
    ending: OnceLock<&'static str>,
}

/// What an event says besides who and where.
#[derive(Clone, Copy, Default)]
pub(super) struct Said<'a> {
    pub protocol: Protocol,
    /// Whether TLS was taken off.
    pub in_tls: bool,
    pub detail: &'a [u8],
    pub payload: &'a [u8],
    pub result: Option<i64>,
    /// `args[4]`.
    pub number: u64,
    /// Takes the place of the target.
    pub target: Option<&'a [u8]>,
}

impl Recorder {
    pub(super) fn new(queue: Arc<Queue>, start_ns: u64) -> Self {
        Self {
            queue,
            start_ns,
            kept: AtomicU64::new(0),
            numbers: AtomicU64::new(0),
            behind: Arc::default(),
            counters: Counters::default(),
        }
    }

    /// Says that there is a gateway, before the subject can call it.
    pub(super) fn begin(&self) {
        let now = crate::jail::monotonic_ns().saturating_sub(self.start_ns);
        let pushed = self.queue.push(|batch| {
            let detail = batch.put(b"every name and address is answered");
            batch.events.push(Event { detail, ..Event::new(now, Witness::Gateway, Kind::Notice, ProcessKey(0), 0) });
        });
        if pushed.is_err() {
            count(&self.counters.lost);
        }
    }

    /// A new connection.
    pub(super) fn peer(
        &self,
        kind: ObjectKind,
        called: SocketAddr,
        source: SocketAddr,
        host_pid: u32,
        name: Option<Vec<u8>>,
    ) -> Peer {
        Peer {
            number: self.numbers.fetch_add(1, Ordering::Relaxed) + 1,
            kind,
            called,
            source,
            host_pid,
            name: Mutex::new(name.unwrap_or_default()),
            kept: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            ending: OnceLock::new(),
        }
    }

    /// A connection within another: what a proxy's client asked for.
    pub(super) fn another(&self, outer: &Peer, port: u16) -> Peer {
        let called = SocketAddr::new(outer.called.ip(), port);
        self.peer(outer.kind, called, outer.source, outer.host_pid, None)
    }

    /// Records that something was seen of a connection.
    pub(super) fn tell(&self, what: Traffic, peer: &Peer, said: Said<'_>) {
        let payload = said.payload.get(..PART).unwrap_or(said.payload);
        let length = said.payload.len() as u64;
        let mut total = length;
        let mut number = said.number;
        match what {
            Traffic::Sent | Traffic::Request => {
                peer.sent.fetch_add(length, Ordering::Relaxed);
            }
            Traffic::Received | Traffic::Response => {
                peer.received.fetch_add(length, Ordering::Relaxed);
            }
            Traffic::ConnectionEnd => {
                total = peer.sent.load(Ordering::Relaxed);
                number = peer.received.load(Ordering::Relaxed);
            }
            _ => {}
        }
        let keep = payload.is_empty() || self.may_keep(peer, payload.len() as u64);
        let detail = match (what, peer.ending.get()) {
            (Traffic::ConnectionEnd, Some(why)) => why.as_bytes(),
            _ => said.detail,
        };
        let now = crate::jail::monotonic_ns().saturating_sub(self.start_ns);
        let object = peer.called.to_string();
        let name = peer.name();
        let target = said.target.map_or_else(
            || {
                if name.is_empty() {
                    Vec::new()
                } else {
                    [&name, format!(":{}", peer.called.port()).as_bytes()].concat()
                }
            },
            <[u8]>::to_vec,
        );
        let target_kind = match (target.is_empty(), said.target) {
            (true, _) => ObjectKind::None,
            (false, Some(_)) => ObjectKind::Other,
            (false, None) => peer.kind,
        };
        let protocol = said.protocol as u64 | if said.in_tls { Protocol::IN_TLS } else { 0 };
        let pushed = self.queue.push(|batch| {
            let object = batch.put(object.as_bytes());
            let target = batch.put(&target);
            let detail = batch.put(detail);
            let payload = batch.put(payload);
            batch.events.push(Event {
                args: [
                    peer.number,
                    u64::from(peer.host_pid),
                    u64::from(peer.source.port()),
                    protocol,
                    number,
                    u64::from(keep),
                ],
                result: said.result,
                // What arrived is what was sent, whatever the subject's memory says.
                authority: Authority::Enforced,
                object_kind: peer.kind,
                object,
                target_kind,
                target,
                detail,
                payload,
                payload_len: total,
                ..Event::new(now, Witness::Gateway, Kind::Traffic(what), ProcessKey(0), 0)
            });
        });
        if pushed.is_err() {
            count(&self.counters.lost);
        }
    }

    /// Bytes in the clear, in as many events as they need.
    pub(super) fn bytes(&self, what: Traffic, peer: &Peer, protocol: Protocol, in_tls: bool, bytes: &[u8]) {
        for payload in bytes.chunks(PART) {
            self.tell(what, peer, Said { protocol, in_tls, payload, ..Said::default() });
        }
    }

    /// The body of an answer of the gateway's own: its beginning is kept.
    pub(super) fn answered(&self, peer: &Peer, protocol: Protocol, in_tls: bool, body: &[u8]) {
        let (kept, rest) = body.split_at(body.len().min(KEPT_OF_ONE as usize));
        self.bytes(Traffic::Received, peer, protocol, in_tls, kept);
        if !rest.is_empty() {
            peer.received.fetch_add(rest.len() as u64, Ordering::Relaxed);
            count(&self.counters.not_kept);
        }
    }

    /// Waits until there is room for many more bytes. Who moves much asks before each part, and so waits alone: the
    /// half of the queue that is left, and the thread, are for everybody else.
    pub(super) async fn room(&self) {
        while !self.has_room() {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Whether there is room for many more bytes.
    pub(super) fn has_room(&self) -> bool {
        !self.behind.load(Ordering::Relaxed) && !self.queue.is_half_full()
    }

    /// Notes that a connection is ended at a limit, and why; its end says so.
    pub(super) fn cut(&self, peer: &Peer, why: &'static str) {
        if peer.ending.set(why).is_ok() {
            count(&self.counters.cut);
        }
    }

    /// Counts a packet that is neither TCP nor UDP; how many there have been.
    pub(super) fn foreign(&self) -> u64 {
        self.counters.foreign.fetch_add(1, Ordering::Relaxed)
    }

    fn may_keep(&self, peer: &Peer, length: u64) -> bool {
        let keep = peer.kept.fetch_add(length, Ordering::Relaxed) + length <= KEPT_OF_ONE
            && self.kept.fetch_add(length, Ordering::Relaxed) + length <= KEPT_OF_ALL;
        if !keep {
            count(&self.counters.not_kept);
        }
        keep
    }
}

impl Peer {
    /// The name that the subject knows the other end by; empty where there is none.
    pub(super) fn name(&self) -> Vec<u8> {
        self.name.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sets the name, as a protocol told it. A port is taken off.
    pub(super) fn called_by(&self, name: &[u8]) {
        let name = match name.iter().rposition(|byte| *byte == b':') {
            Some(colon) if !name.ends_with(b"]") && memchr::memchr_iter(b':', name).count() == 1 => {
                name.get(..colon).unwrap_or(name)
            }
            _ => name,
        };
        if !name.is_empty() && name.len() <= NAME_MAX {
            *self.name.lock().unwrap_or_else(PoisonError::into_inner) = name.to_ascii_lowercase();
        }
    }

    /// Its number in the session.
    pub(super) fn number(&self) -> u64 {
        self.number
    }
}
