//! Datagrams: all come to one socket, with the address that they were sent to. Questions for names are answered; what
//! asks for QUIC is told that nobody is there, so that it falls back to TCP; everything else is recorded.
//!
//! An answer must come from the address and port that was asked, which the one socket cannot be bound to: whole packets
//! are sent.

use std::collections::HashMap;
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::{Hub, dns};
use crate::event::{ObjectKind, Protocol, Traffic};
use crate::gateway::packet;
use crate::gateway::record::{Peer, Said, count};
use crate::gateway::recv::receive_from;

/// Pairs of addresses that are remembered.
const FLOWS_MAX: usize = 4096;
/// Datagrams that are served before others get their turn.
const TURN: usize = 32;

/// Sends whole packets.
pub(super) struct Sender {
    pub raw4: OwnedFd,
    pub raw6: Option<OwnedFd>,
}

impl Sender {
    fn send(&self, packet: &[u8], to: SocketAddr) {
        // What cannot be sent is lost, as datagrams are.
        let _ = match (to, &self.raw6) {
            (SocketAddr::V4(to), _) => {
                let to = SocketAddrV4::new(*to.ip(), 0);
                rustix::net::sendto(&self.raw4, packet, rustix::net::SendFlags::empty(), &to)
            }
            (SocketAddr::V6(to), Some(raw)) => {
                let to = SocketAddrV6::new(*to.ip(), 0, 0, 0);
                rustix::net::sendto(raw, packet, rustix::net::SendFlags::empty(), &to)
            }
            (SocketAddr::V6(_), None) => Ok(0),
        };
    }
}

type Flows = HashMap<(SocketAddr, SocketAddr), Arc<Peer>>;

/// Takes datagrams for ever.
pub(super) async fn receive(hub: Arc<Hub>, socket: UdpSocket, sender: Arc<Sender>) {
    let mut buffer = vec![0; 65_536];
    let mut flows: Flows = HashMap::new();
    let mut dropped = 0u32;
    loop {
        for _ in 0..TURN {
            let got = socket.async_io(Interest::READABLE, || receive_from(socket.as_fd(), &mut buffer));
            let Ok(got) = got.await else { break };
            if let Some(now) = got.dropped {
                let more = now.wrapping_sub(std::mem::replace(&mut dropped, now));
                hub.recorder.counters.datagrams_dropped.fetch_add(more.into(), Ordering::Relaxed);
            }
            let Some(called) = got.called else { continue };
            let message = buffer.get(..got.length).unwrap_or_default();
            serve(&hub, &mut flows, &sender, message, got.source, called);
        }
        tokio::task::yield_now().await;
    }
}

fn serve(hub: &Hub, flows: &mut Flows, sender: &Sender, message: &[u8], source: SocketAddr, called: SocketAddr) {
    let is_name = called.port() == 53 || is_question(message, called.port());
    let peer = flows.get(&(source, called)).map(Arc::clone);
    let peer = peer.unwrap_or_else(|| {
        if flows.len() >= FLOWS_MAX {
            flows.clear();
        }
        let peer = Arc::new(hub.meet(ObjectKind::Udp, called, source));
        // A question says who asks it; a connection of its own for each would say nothing more.
        if is_name {
            hub.recorder.counters.connections.fetch_sub(1, Ordering::Relaxed);
        } else {
            let protocol = if is_quic(message) { Protocol::Quic } else { Protocol::Udp };
            hub.recorder.tell(Traffic::Connection, &peer, Said { protocol, ..Said::default() });
        }
        flows.insert((source, called), Arc::clone(&peer));
        peer
    });
    if is_name {
        if let Some(reply) = dns::answer(hub, &peer, message, dns::Way::Udp) {
            sender.send(&packet::datagram(called, source, &reply), source);
        }
        return;
    }
    if is_quic(message) {
        count(&hub.recorder.counters.quic);
        hub.recorder.bytes(Traffic::Sent, &peer, Protocol::Quic, false, message);
        sender.send(&packet::unreachable(called, source, message), source);
        return;
    }
    hub.recorder.bytes(Traffic::Sent, &peer, Protocol::Udp, false, message);
    if called.port() == 123
        && let Some(reply) = time(message)
    {
        sender.send(&packet::datagram(called, source, &reply), source);
    }
}

/// A first packet of QUIC: long header, fixed bit, a version (RFC 9000, section 17.2), padded to 1200 bytes.
fn is_quic(message: &[u8]) -> bool {
    message.len() >= 1200 && matches!(message, [first, 0 | 0x6b | 0xff | 0x51, ..] if first & 0xc0 == 0xc0)
}

/// Whether a datagram to another port asks for a name: of the neighbours' names (RFC 6762, RFC 4795).
fn is_question(message: &[u8], port: u16) -> bool {
    matches!(port, 5353 | 5355) && dns::is_question(message)
}

/// The time, as a server of it says it (RFC 5905, section 7.3); `None` for what does not ask for it.
fn time(message: &[u8]) -> Option<Vec<u8>> {
    let first = *message.first()?;
    let transmitted = message.get(40..48)?;
    if first & 7 != 3 {
        return None;
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).ok()?;
    // Seconds since 1900, and a binary fraction.
    let seconds = (now.as_secs() + 2_208_988_800) as u32;
    let fraction = ((u64::from(now.subsec_nanos()) << 32) / 1_000_000_000) as u32;
    let stamp = [seconds.to_be_bytes(), fraction.to_be_bytes()].concat();
    let mut reply = vec![first & 0x38 | 4, 2, 6, 0xec];
    reply.extend([0, 0, 1, 0, 0, 0, 1, 0]); // delay and dispersion: some milliseconds
    reply.extend([192, 0, 2, 1]); // whom it has it from
    reply.extend_from_slice(&stamp);
    reply.extend_from_slice(transmitted);
    reply.extend_from_slice(&stamp);
    reply.extend_from_slice(&stamp);
    Some(reply)
}
