//! The services: what answers the subject. One thread serves all connections; a connection that is slow, or hostile,
//! waits for itself alone. What all share is the [`Hub`].

pub(super) mod answers;
mod credentials;
mod dns;
mod forward;
mod ftp;
mod http;
mod lines;
mod raw;
mod silence;
mod smtp;
mod stream;
mod talk;
mod tcp;
pub(super) mod through;
mod tls;
mod udp;
mod websocket;

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

use super::capture::Log;
use super::names::Names;
use super::owner::Owners;
use super::record::{Peer, Recorder, count};
use super::tls::authority::Authority;
use super::{GatewayError, Options};
use crate::event::ObjectKind;

/// Connections at once; more are closed at once, and counted.
const CONNECTIONS_MAX: usize = 20_000;
/// Descriptors that belljar needs besides.
const OWN_DESCRIPTORS: usize = 1024;

/// What all services share.
pub(super) struct Hub {
    pub recorder: Arc<Recorder>,
    pub names: Arc<Names>,
    pub owners: Owners,
    pub authority: Arc<Authority>,
    pub log: Arc<Log>,
    pub options: Options,
    pub tls: tls::Base,
    /// Room for connections.
    room: Mutex<tcp::Room>,
    /// Sockets for connections to the jail.
    pub active: Mutex<Vec<OwnedFd>>,
    /// Connections that FTP awaits.
    pub awaited: ftp::Awaited,
    /// Who is let through, and does not let itself be read.
    pub pinned: through::Pinned,
    /// Who says nothing in TLS.
    pub silences: silence::Silences,
}

impl Hub {
    pub(super) fn new(
        recorder: Arc<Recorder>,
        owners: Owners,
        authority: Arc<Authority>,
        log: Arc<Log>,
        options: Options,
        active: Vec<OwnedFd>,
    ) -> Result<Self, GatewayError> {
        Ok(Self {
            tls: tls::Base::new(Arc::clone(&log))?,
            names: Arc::default(),
            recorder,
            owners,
            authority,
            log,
            options,
            room: Mutex::new(tcp::Room::new(CONNECTIONS_MAX.min(descriptors()))),
            active: Mutex::new(active),
            awaited: ftp::Awaited::default(),
            pinned: through::Pinned::default(),
            silences: silence::Silences::default(),
        })
    }

    /// A new connection: who it is, and what it called by which name.
    pub(super) fn meet(&self, kind: ObjectKind, called: SocketAddr, source: SocketAddr) -> Peer {
        let protocol = if kind == ObjectKind::Tcp { libc::IPPROTO_TCP } else { libc::IPPROTO_UDP } as u8;
        let owner = self.owners.of(protocol, source, called);
        match &owner {
            Some(owner) => {
                let flow = (protocol, source.port(), called.ip(), called.port());
                self.log.process(flow, format!("process {} ({})", owner.pid, owner.name));
            }
            None => count(&self.recorder.counters.unattributed),
        }
        count(&self.recorder.counters.connections);
        let name = self.names.name(called.ip());
        self.recorder.peer(kind, called, source, owner.map_or(0, |owner| owner.pid), name)
    }
}

/// How many connections the limit of descriptors allows (`getrlimit(2)`). Past it they could not even be closed.
fn descriptors() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
    limit.saturating_sub(OWN_DESCRIPTORS).max(limit / 2)
}

/// Serves until it is told to stop. What is still open then is closed.
pub(super) fn run(hub: Hub, wire: Sockets, stop: &Notify) -> Result<(), GatewayError> {
    let own = |what| move |cause| GatewayError::Own { what, cause };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(own("start the gateway's services"))?;
    let hub = Arc::new(hub);
    runtime.block_on(async {
        for listener in [Some(wire.tcp4), wire.tcp6].into_iter().flatten() {
            let listener = std::net::TcpListener::from(listener);
            let listener = tokio::net::TcpListener::from_std(listener).map_err(own("take connections"))?;
            tokio::spawn(tcp::accept(Arc::clone(&hub), listener));
        }
        let sender = Arc::new(udp::Sender { raw4: wire.raw4, raw6: wire.raw6 });
        for socket in [Some(wire.udp4), wire.udp6].into_iter().flatten() {
            let socket = std::net::UdpSocket::from(socket);
            let socket = tokio::net::UdpSocket::from_std(socket).map_err(own("take datagrams"))?;
            tokio::spawn(udp::receive(Arc::clone(&hub), socket, Arc::clone(&sender)));
        }
        stop.notified().await;
        Ok(())
    })
    // Dropping the runtime drops every connection, each of which records its end.
}

/// The sockets that the services need.
pub(super) struct Sockets {
    pub tcp4: OwnedFd,
    pub tcp6: Option<OwnedFd>,
    pub udp4: OwnedFd,
    pub udp6: Option<OwnedFd>,
    pub raw4: OwnedFd,
    pub raw6: Option<OwnedFd>,
}
