//! Passes a connection through to the real network, where the analyst has asked for that by name: everything said is
//! recorded on its way. TLS is read on both sides of us, where the client takes our certificate and the server's is
//! good by the host's own trust store.
//!
//! This is the only place that opens a socket in the host's network.

use std::collections::HashSet;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::stream::{Io, Stream};
use super::talk::{IDLE, Talk, is_http};
use super::{forward, tls};
use crate::event::{Protocol, Traffic};
use crate::gateway::record::{PART, Said};
use crate::gateway::tls::hello::is_hello;
use crate::gateway::tls::trust;

/// How long the other end may take to be reached.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a client is given to say something before the server is heard.
const FIRST: Duration = Duration::from_millis(250);

/// A destination that is let through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// Name or address; `*.` in front stands for every name below.
    pub host: String,
    /// Port; any where there is none.
    pub port: Option<u16>,
}

impl Allowed {
    /// Whether a destination is meant.
    pub(super) fn covers(&self, name: &[u8], port: u16) -> bool {
        let host = self.host.as_bytes();
        let fits = match host.strip_prefix(b"*") {
            Some(rest) => name.len() > rest.len() && name.ends_with(rest),
            None => host.eq_ignore_ascii_case(name),
        };
        fits && self.port.is_none_or(|own| own == port)
    }
}

/// Destinations whose clients have refused our certificate: their next connections pass unread, so that they work.
#[derive(Default)]
pub(in crate::gateway) struct Pinned(Mutex<HashSet<String>>);

/// Such destinations that are remembered; the others go on being refused.
const PINNED_MAX: usize = 1024;

impl Pinned {
    fn lock(&self) -> MutexGuard<'_, HashSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has(&self, name: &str) -> bool {
        self.lock().contains(name)
    }

    fn add(&self, name: &str) {
        let mut known = self.lock();
        if known.len() < PINNED_MAX {
            known.insert(name.to_owned());
        }
    }
}

/// Serves a connection to somebody who is let through. `name` is a name, or an address as text.
pub(super) async fn serve(talk: Talk, mut stream: Stream, name: String) {
    let port = talk.peer.called.port();
    let connected = tokio::time::timeout(PATIENCE, TcpStream::connect((name.as_str(), port))).await;
    let upstream = match connected {
        Ok(Ok(upstream)) => upstream,
        Ok(Err(error)) => return failed(&talk, &error),
        Err(_) => return failed(&talk, &io::Error::from(io::ErrorKind::TimedOut)),
    };
    let begins = match tokio::time::timeout(FIRST, stream.first()).await {
        Ok(Ok(bytes)) => bytes.to_vec(),
        Ok(Err(_)) => return,
        Err(_) => Vec::new(),
    };
    if !is_hello(&begins) {
        return pass(talk, stream, upstream, &begins).await;
    }
    if talk.hub.pinned.has(&name) {
        tls::unread(&talk, &mut stream).await;
        return both(&talk, stream, upstream, Protocol::Tcp).await;
    }
    // The server chooses what is spoken, among what the client offers.
    let host = name.clone();
    let offered = tls::read_hello(&mut stream).await.protocols;
    let secured = async {
        let name = ServerName::try_from(name).map_err(io::Error::other)?;
        TlsConnector::from(trusting(offered)?).connect(name, upstream).await
    };
    let upstream = match tokio::time::timeout(PATIENCE, secured).await {
        Ok(Ok(upstream)) => upstream,
        Ok(Err(error)) => return failed(&talk, &error),
        Err(_) => return failed(&talk, &io::Error::from(io::ErrorKind::TimedOut)),
    };
    let chosen = upstream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
    let Some((inner, mut stream)) = tls::take_off_for(talk.clone(), stream, chosen.as_deref()).await else {
        talk.hub.pinned.add(&host);
        return;
    };
    let begins = match tokio::time::timeout(FIRST, stream.first()).await {
        Ok(Ok(bytes)) => bytes.to_vec(),
        Ok(Err(_)) => return,
        Err(_) => Vec::new(),
    };
    pass(inner, stream, upstream, &begins).await;
}

/// Passes on what begins with these bytes: requests one by one, anything else as it comes. What a proxy is asked to let
/// through is its client's own affair.
async fn pass(talk: Talk, stream: Stream, upstream: impl Io + 'static, begins: &[u8]) {
    if !is_http(begins) || begins.starts_with(b"CONNECT ") {
        return both(&talk, stream, upstream, Protocol::Tcp).await;
    }
    if let Err(error) = forward::serve(talk.clone(), stream, upstream, begins.starts_with(b"PRI ")).await {
        failed(&talk, &error);
    }
}

fn failed(talk: &Talk, error: &io::Error) {
    let detail = format!("not passed through: {error}");
    talk.hub.recorder.tell(Traffic::Received, &talk.peer, Said { detail: detail.as_bytes(), ..Said::default() });
}

/// Trust as the host has it, to speak one of these protocols.
fn trusting(offered: Vec<Vec<u8>>) -> io::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    let bundle =
        trust::host_bundle().ok_or_else(|| io::Error::other("the host has no bundle of trusted certificates"))?;
    let certificates = CertificateDer::pem_slice_iter(&bundle).filter_map(Result::ok);
    roots.add_parsable_certificates(certificates);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = offered;
    Ok(Arc::new(config))
}

/// Copies both ways until both have ended.
pub(super) async fn both(talk: &Talk, client: Stream, server: impl AsyncRead + AsyncWrite, protocol: Protocol) {
    let (from_client, to_client) = tokio::io::split(client);
    let (from_server, to_server) = tokio::io::split(server);
    tokio::join!(
        one(talk, Traffic::Sent, protocol, from_client, to_server),
        one(talk, Traffic::Received, protocol, from_server, to_client)
    );
}

async fn one(
    talk: &Talk,
    what: Traffic,
    protocol: Protocol,
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
) {
    let mut buffer = vec![0; PART];
    while let Ok(Ok(n @ 1..)) = tokio::time::timeout(IDLE, from.read(&mut buffer)).await {
        let bytes = buffer.get(..n).unwrap_or_default();
        talk.hub.recorder.bytes(what, &talk.peer, protocol, talk.in_tls, bytes);
        if to.write_all(bytes).await.is_err() {
            return;
        }
    }
    let _ = to.shutdown().await; // the other end may have gone first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_asked_for_is_let_through() {
        let allowed = |host: &str, port| Allowed { host: host.into(), port };
        assert!(allowed("api.example.com", None).covers(b"api.example.com", 443));
        assert!(!allowed("api.example.com", Some(443)).covers(b"api.example.com", 80));
        assert!(!allowed("example.com", None).covers(b"evil-example.com", 443));
        assert!(allowed("*.example.com", None).covers(b"a.example.com", 443));
        assert!(!allowed("*.example.com", None).covers(b"example.com", 443));
        assert!(!allowed("*.example.com", None).covers(b"badexample.com", 443));
    }
}
