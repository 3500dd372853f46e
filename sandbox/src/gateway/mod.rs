//! The gateway: a believable internet behind glass. Whatever address, port or name the subject asks for answers, every
//! packet is recorded, and what was said in TLS is read.
//!
//! [`wire`] brings every packet here; [`capture`] records them; [`serve`] answers. The services run on one thread, the
//! capture on another; neither can reach anything but the jail, since their sockets are of the gateway's own network.

mod capture;
mod names;
mod owner;
mod packet;
mod record;
mod recv;
mod serve;
mod tls;
pub mod wire;

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use tokio::sync::Notify;

pub use capture::CaptureStats;
pub use serve::answers::Route;
pub use serve::through::Allowed;
pub use tls::authority::{Authority, AuthorityError};
pub use tls::trust;

use crate::event::{ObjectKind, Protocol, Queue, Traffic};
use capture::{Capture, Log};
use record::{Recorder, Said};
use wire::Wire;

/// What the profile says of the world outside.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Names that do not exist; a leading `*.` stands for any labels before.
    pub nxdomain: Vec<String>,
    /// Answers to HTTP requests; the first that fits counts.
    pub routes: Vec<Route>,
    /// What a port says to a client that says nothing.
    pub banners: Vec<(u16, Vec<u8>)>,
    /// Destinations that are passed through to the real network.
    pub allow: Vec<Allowed>,
}

impl Options {
    fn banner(&self, port: u16) -> Option<&[u8]> {
        self.banners.iter().find(|(known, _)| *known == port).map(|(_, banner)| banner.as_slice())
    }
}

/// What the gateway works with.
pub struct Context {
    /// The jail's wire.
    pub wire: Wire,
    /// Where the packets go, an empty file.
    pub capture: File,
    /// The authority that the jail trusts.
    pub authority: Arc<Authority>,
    /// The profile's part.
    pub options: Options,
    /// Host process id of the jail's first process.
    pub init_pid: i32,
    /// `CLOCK_MONOTONIC` at the session's start, in nanoseconds.
    pub start_ns: u64,
    /// Where the events go.
    pub queue: Arc<Queue>,
}

/// Why the gateway could not start.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The capture.
    #[error("cannot capture the jail's packets ({0}); free memory, or raise the limit of locked memory (ulimit -l)")]
    Capture(std::io::Error),
    /// Something of the services' own.
    #[error("cannot {what}: {cause}; raise the limits on open files and processes (ulimit -n, ulimit -u)")]
    Own {
        /// What.
        what: &'static str,
        /// Why.
        cause: std::io::Error,
    },
    /// TLS cannot be spoken.
    #[error("cannot prepare TLS: {0}; this is a fault of belljar's build")]
    Tls(String),
}

/// What the gateway has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Connections, and pairs of addresses that exchanged datagrams; questions for names apart.
    pub connections: u64,
    /// Connections that spoke TLS.
    pub tls: u64,
    /// Those that did not agree on it: what they said stays unread.
    pub tls_refused: u64,
    /// Connections closed at once because there were too many.
    pub turned_away: u64,
    /// Connections ended at a limit of time or length; their ends say which.
    pub cut: u64,
    /// Datagrams that the services had no room for; the capture has them.
    pub datagrams_dropped: u64,
    /// Connections whose process was not found.
    pub unattributed: u64,
    /// First packets of QUIC, which is refused.
    pub quic: u64,
    /// Messages for the name server that could not be understood; they are recorded.
    pub unparsed: u64,
    /// Events that came after the recording had ended.
    pub lost: u64,
    /// Payloads that were looked at, and not kept because there were too many.
    pub not_kept: u64,
    /// The packets.
    pub capture: CaptureStats,
    /// What ended the services before the subject's end.
    pub error: Option<String>,
}

/// The gateway at work.
pub struct Gateway {
    recorder: Arc<Recorder>,
    capture: Capture,
    stop: Arc<Notify>,
    services: JoinHandle<Result<(), GatewayError>>,
}

impl Gateway {
    /// Starts answering.
    pub fn start(context: Context) -> Result<Self, GatewayError> {
        let Context { wire, capture: file, authority, options, init_pid, start_ns, queue } = context;
        crate::jail::raise_descriptor_limit();
        let recorder = Arc::new(Recorder::new(queue, start_ns));
        let log = Arc::new(Log::default());
        let Wire { tcp4, tcp6, udp4, udp6, raw4, raw6, packet, diag, active } = wire;
        let own = |what| move |cause| GatewayError::Own { what, cause };
        let echo = raw4.try_clone().map_err(own("answer echo requests"))?;
        let telling = Arc::clone(&recorder);
        let foreign = move |seen: capture::Dissected<'_>| foreign(&telling, &echo, &seen);
        let behind = Arc::clone(&recorder.behind);
        let capture = Capture::start(packet, file, Arc::clone(&log), behind, foreign).map_err(GatewayError::Capture)?;
        let owners = owner::Owners::new(diag, init_pid);
        let hub = serve::Hub::new(Arc::clone(&recorder), owners, authority, log, options, active)?;
        recorder.begin();
        let stop = Arc::new(Notify::new());
        let stopping = Arc::clone(&stop);
        let sockets = serve::Sockets { tcp4, tcp6, udp4, udp6, raw4, raw6 };
        let services = std::thread::Builder::new()
            .name("belljar-gateway".into())
            .spawn(move || serve::run(hub, sockets, &stopping))
            .map_err(own("start the gateway's thread"))?;
        Ok(Self { recorder, capture, stop, services })
    }

    /// Closes what is still open and gives the last counts. The jail must have ended.
    pub fn finish(self) -> Stats {
        self.stop.notify_one();
        let error = match self.services.join() {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("the gateway's thread failed; its last events are missing".into()),
        };
        let capture = self.capture.finish();
        let counters = &self.recorder.counters;
        let get = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            connections: get(&counters.connections),
            tls: get(&counters.tls),
            tls_refused: get(&counters.tls_refused),
            turned_away: get(&counters.turned_away),
            cut: get(&counters.cut),
            datagrams_dropped: get(&counters.datagrams_dropped),
            unattributed: get(&counters.unattributed),
            quic: get(&counters.quic),
            unparsed: get(&counters.unparsed),
            lost: get(&counters.lost),
            not_kept: get(&counters.not_kept),
            capture,
            error,
        }
    }
}

/// Most packets that are neither TCP nor UDP of which each is an event; the capture has them all.
const FOREIGN_MAX: u64 = 100_000;

/// Records a packet that is neither TCP nor UDP, and answers it where it is an echo request.
fn foreign(recorder: &Recorder, raw4: &std::os::fd::OwnedFd, seen: &capture::Dissected<'_>) {
    let kind = seen.body.first().copied().unwrap_or_default();
    let icmp = matches!(i32::from(seen.protocol), libc::IPPROTO_ICMP | libc::IPPROTO_ICMPV6);
    // What the kernel says to its neighbours (RFC 4443, 130 to 143, and MLD over IPv4) is nobody's doing.
    let of_kernel = i32::from(seen.protocol) == libc::IPPROTO_ICMPV6 && (130..=143).contains(&kind)
        || i32::from(seen.protocol) == libc::IPPROTO_IGMP;
    if of_kernel {
        return;
    }
    if let Some(reply) = icmp.then(|| packet::echo_reply(seen.destination, seen.source, seen.body)).flatten()
        && let std::net::IpAddr::V4(to) = seen.source
    {
        let to = std::net::SocketAddrV4::new(to, 0);
        // What cannot be sent is lost, as packets are.
        let _ = rustix::net::sendto(raw4, &reply, rustix::net::SendFlags::empty(), &to);
    }
    if recorder.foreign() > FOREIGN_MAX {
        return;
    }
    let called = std::net::SocketAddr::new(seen.destination, 0);
    let source = std::net::SocketAddr::new(seen.source, 0);
    let peer = recorder.peer(ObjectKind::Socket, called, source, 0, None);
    let detail = if icmp { format!("icmp type {kind}") } else { format!("protocol {}", seen.protocol) };
    let protocol = if icmp { Protocol::Icmp } else { Protocol::Other };
    // Behind the header of ICMP; of other protocols all.
    let payload = seen.body.get(if icmp { 8 } else { 0 }..).unwrap_or_default();
    recorder.tell(Traffic::Packet, &peer, Said { protocol, detail: detail.as_bytes(), payload, ..Said::default() });
}
