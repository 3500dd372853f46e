//! Takes TLS off: the certificate is made for the name that was asked for, the secrets go to the capture, and what is
//! inside is a conversation like any other. A client that does not believe the certificate is recorded as refusing.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::KeyLog;
use rustls::server::{Acceptor, ClientHello, ResolvesServerCert, ServerConfig, ServerSessionMemoryCache};
use rustls::sign::CertifiedKey;
use tokio_rustls::LazyConfigAcceptor;

use super::silence::Watched;
use super::stream::Stream;
use super::talk::{Talk, converse};
use crate::event::Traffic;
use crate::gateway::GatewayError;
use crate::gateway::capture::Log;
use crate::gateway::record::{Said, count};
use crate::gateway::tls::authority::Algorithm;
use crate::gateway::tls::hello::{self, Hello};

/// How long a handshake may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Protocols that are spoken whoever asks, in the order they are liked.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

struct Secrets(Arc<Log>);

impl std::fmt::Debug for Secrets {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Secrets")
    }
}

impl KeyLog for Secrets {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        use data_encoding::HEXLOWER;
        self.0.secret(&format!("{label} {} {}", HEXLOWER.encode(client_random), HEXLOWER.encode(secret)));
    }
}

/// One certificate, whatever is asked for: the name is known by then.
#[derive(Debug)]
struct One(Arc<CertifiedKey>);

impl ResolvesServerCert for One {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

#[derive(Debug)]
struct Nobody;

impl ResolvesServerCert for Nobody {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        None
    }
}

/// What all connections' TLS has in common.
pub(in crate::gateway) struct Base(ServerConfig);

impl Base {
    pub(super) fn new(log: Arc<Log>) -> Result<Self, GatewayError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| GatewayError::Tls(error.to_string()))?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Nobody));
        config.key_log = Arc::new(Secrets(log));
        config.session_storage = ServerSessionMemoryCache::new(1024);
        Ok(Self(config))
    }

    fn for_one(&self, certificate: Arc<CertifiedKey>, offered: &[Vec<u8>], spoken: Spoken<'_>) -> Arc<ServerConfig> {
        let mut config = self.0.clone();
        config.cert_resolver = Arc::new(One(certificate));
        config.alpn_protocols = match spoken {
            Spoken::Exactly(chosen) => chosen.map(<[u8]>::to_vec).into_iter().collect(),
            Spoken::Any => {
                let asked = |name: &&&[u8]| offered.iter().any(|offer| offer == **name);
                let known: Vec<_> = PROTOCOLS.iter().filter(asked).map(|name| name.to_vec()).collect();
                // Whatever it is: the bytes inside will tell.
                if known.is_empty() { offered.first().cloned().into_iter().collect() } else { known }
            }
        };
        Arc::new(config)
    }
}

/// Serves a connection that begins with a handshake.
pub(super) async fn serve(talk: Talk, stream: Stream) {
    if let Some((talk, stream)) = take_off(talk, stream).await {
        converse(talk, stream).await;
    }
}

/// The same for mail, which goes on without a greeting (RFC 3207).
pub(super) async fn serve_mail(talk: Talk, stream: Stream) {
    if let Some((talk, stream)) = take_off(talk, stream).await {
        super::smtp::go_on(talk, stream).await;
    }
}

/// The same for FTP (RFC 4217).
pub(super) async fn serve_files(talk: Talk, stream: Stream) {
    if let Some((talk, stream)) = take_off(talk, stream).await {
        super::ftp::go_on(talk, stream).await;
    }
}

/// The same for who is passed through: what is spoken inside is what the real server chose.
pub(super) async fn take_off_for(talk: Talk, stream: Stream, chosen: Option<&[u8]>) -> Option<(Talk, Stream)> {
    take_off_speaking(talk, stream, Spoken::Exactly(chosen)).await
}

/// What may be spoken inside.
#[derive(Clone, Copy)]
enum Spoken<'a> {
    /// Whichever is offered of those that the services know; else the first offered.
    Any,
    /// This protocol, or none.
    Exactly(Option<&'a [u8]>),
}

async fn take_off(talk: Talk, stream: Stream) -> Option<(Talk, Stream)> {
    take_off_speaking(talk, stream, Spoken::Any).await
}

/// Reads the hello without taking it. It may be longer than one segment; what has come when no more comes is read.
pub(super) async fn read_hello(stream: &mut Stream) -> Hello {
    let wanted = stream
        .at_least(5, PATIENCE)
        .await
        .get(3..5)
        .map_or(0, |length| length.iter().fold(0, |n, byte| n << 8 | usize::from(*byte)) + 5);
    hello::read(stream.at_least(wanted, Duration::from_secs(5)).await).unwrap_or_default()
}

/// Records the hello of a connection that will be passed on unread.
pub(super) async fn unread(talk: &Talk, stream: &mut Stream) {
    tell_hello(talk, stream).await;
    count(&talk.hub.recorder.counters.tls_refused);
    let detail = b"passed through unread: its client has refused the certificate before";
    let said = Said { in_tls: true, detail, result: Some(0), ..Said::default() };
    talk.hub.recorder.tell(Traffic::Refusal, &talk.peer, said);
}

async fn tell_hello(talk: &Talk, stream: &mut Stream) -> Hello {
    count(&talk.hub.recorder.counters.tls);
    let seen = read_hello(stream).await;
    if !seen.name.is_empty() {
        talk.peer.called_by(&seen.name);
    }
    let detail = {
        let protocols: Vec<_> = seen.protocols.iter().map(|name| String::from_utf8_lossy(name)).collect();
        let hidden = if seen.encrypted { " ech" } else { "" };
        format!("sni={} alpn={} ja4={}{hidden}", String::from_utf8_lossy(&seen.name), protocols.join(","), seen.ja4())
    };
    let said = Said { in_tls: true, detail: detail.as_bytes(), payload: &seen.name, ..Said::default() };
    talk.hub.recorder.tell(Traffic::Hello, &talk.peer, said);
    seen
}

async fn take_off_speaking(talk: Talk, mut stream: Stream, spoken: Spoken<'_>) -> Option<(Talk, Stream)> {
    let seen = tell_hello(&talk, &mut stream).await;
    let handshake = async {
        let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        let name = start.client_hello().server_name().map(str::to_owned).unwrap_or_default();
        let address = talk.peer.called.ip();
        let algorithm = if seen.wants_rsa() { Algorithm::Rsa } else { Algorithm::Ecdsa };
        let authority = Arc::clone(&talk.hub.authority);
        let make = move || authority.certificate(name.as_bytes(), address, algorithm);
        let certificate = if algorithm == Algorithm::Ecdsa || talk.hub.authority.has_rsa() {
            make()
        } else {
            // The others must not wait for the key.
            tokio::task::spawn_blocking(make).await.map_err(io::Error::other)?
        };
        let certificate = certificate.ok_or_else(|| io::Error::other("no certificate can be made for that name"))?;
        start.into_stream(talk.hub.tls.for_one(certificate, &seen.protocols, spoken)).await
    };
    match tokio::time::timeout(PATIENCE, handshake).await {
        Ok(Ok(stream)) => {
            let watched = Watched::new(talk.clone(), stream);
            return Some((talk.within(true), Stream::new(watched)));
        }
        Ok(Err(error)) => refused(&talk, &error),
        Err(_) => refused(&talk, &io::Error::other("the handshake was not finished in time")),
    }
    None
}

/// The alert that an error of a stream in TLS is, if it is one.
pub(super) fn alert(error: &io::Error) -> Option<rustls::AlertDescription> {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::AlertReceived(alert)) => Some(*alert),
        _ => None,
    }
}

/// Records that a client would not speak under the certificate, and why.
pub(super) fn refused(talk: &Talk, error: &io::Error) {
    count(&talk.hub.recorder.counters.tls_refused);
    let (detail, result) = match alert(error) {
        Some(alert) => (
            format!("alert {alert:?}: the client does not accept the certificate, or ends"),
            Some(-i64::from(u8::from(alert))),
        ),
        None => (error.to_string(), None),
    };
    let said = Said { in_tls: true, detail: detail.as_bytes(), result, ..Said::default() };
    talk.hub.recorder.tell(Traffic::Refusal, &talk.peer, said);
}
