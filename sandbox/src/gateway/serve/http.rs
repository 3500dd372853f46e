//! HTTP/1.1 and HTTP/2: every request is recorded whole, its body in parts as it comes, and answered as the profile or
//! [`super::answers`] says. Upgrades (WebSocket) and tunnels (CONNECT) become conversations of their own.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::stream::Stream;
use super::talk::{IDLE, Talk, converse};
use super::{answers, credentials, dns, websocket};
use crate::event::{Protocol, Traffic};
use crate::gateway::record::{PART, Said};

/// How long the head of a request may take.
const HEAD_PATIENCE: Duration = Duration::from_mins(1);
/// How long may pass between two parts of a body.
const BODY_PATIENCE: Duration = Duration::from_mins(1);
/// Bytes of a request's head at most. Servers take 8 to 64 KiB; twenty thousand connections may have so many.
const HEAD_MAX: usize = 64 << 10;
/// Bytes of a body that a connection of HTTP/2 may send ahead.
const WINDOW: u32 = 256 << 10;
/// Bytes of a DNS message in a request.
const MESSAGE_MAX: usize = 64 << 10;

/// Serves a connection that begins with a request.
pub(super) async fn serve(talk: Talk, stream: Stream) {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_PATIENCE).max_buf_size(HEAD_MAX).half_close(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(HEAD_MAX as u32)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .keep_alive_interval(Some(IDLE))
        .keep_alive_timeout(HEAD_PATIENCE);
    let own = talk.clone();
    let service = service_fn(move |request| {
        let talk = own.clone();
        async move { Ok::<_, Infallible>(request_of(talk, request).await) }
    });
    if let Err(error) = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).await {
        // What hyper could not read is in the packets; that it was there is said here.
        if let Some(why) = limit(&*error) {
            talk.hub.recorder.cut(&talk.peer, why);
        }
        let text = error.to_string();
        let said = Said { protocol: Protocol::Http1, in_tls: talk.in_tls, detail: text.as_bytes(), ..Said::default() };
        talk.hub.recorder.tell(Traffic::Sent, &talk.peer, said);
    }
}

/// Which limit an error is of, if it is.
fn limit(error: &(dyn std::error::Error + 'static)) -> Option<&'static str> {
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    causes.find_map(|error| {
        if let Some(error) = error.downcast_ref::<hyper::Error>() {
            return match (error.is_timeout(), error.is_parse_too_large()) {
                (true, _) => Some("no request came, or its head was not finished in time"),
                (_, true) => Some("the head of a request is too long"),
                _ => None,
            };
        }
        let stalled = error.downcast_ref::<std::io::Error>()?.kind() == std::io::ErrorKind::TimedOut;
        stalled.then_some("what was sent was not read in time")
    })
}

/// Where a request goes, as far as it says.
pub(super) struct Target {
    pub scheme: &'static str,
    pub host: String,
    pub path: String,
}

impl Target {
    pub(super) fn of<B>(talk: &Talk, request: &Request<B>) -> Self {
        let uri = request.uri();
        let from_header =
            request.headers().get(header::HOST).map(|host| String::from_utf8_lossy(host.as_bytes()).into_owned());
        let host = uri.authority().map(|authority| {
            let text = authority.as_str();
            text.rsplit_once('@').map_or(text, |(_, host)| host).to_owned()
        });
        Self {
            scheme: if talk.in_tls { "https" } else { "http" },
            path: uri.path_and_query().map_or_else(|| "/".into(), |path| path.as_str().to_owned()),
            host: host.or(from_header).unwrap_or_default(),
        }
    }
}

/// Which HTTP a request came by.
pub(super) fn spoken<B>(request: &Request<B>) -> Protocol {
    if request.version() == Version::HTTP_2 { Protocol::Http2 } else { Protocol::Http1 }
}

async fn request_of(talk: Talk, mut request: Request<Incoming>) -> Response<Full<Bytes>> {
    let protocol = spoken(&request);
    let target = Target::of(&talk, &request);
    if request.method() == Method::CONNECT {
        return tunnel(&talk, request, &target.host, protocol);
    }
    talk.peer.called_by(target.host.as_bytes());
    tell_request(&talk, &request, &target, protocol);
    tell_credentials(&talk, &request, protocol);
    if let Some(response) = websocket_upgrade(&talk, &mut request) {
        return response;
    }
    let is_dns = request.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/dns-message");
    let method = request.method().clone();
    let (head, body) = request.into_parts();
    let message = body_of(&talk, body, protocol, is_dns).await;
    let over_https = answers::question(&head, message.as_deref())
        .and_then(|question| dns::answer(&talk.hub, &talk.peer, &question, dns::Way::Stream(talk.in_tls)));
    let mut response = match over_https {
        Some(reply) => answers::plain(StatusCode::OK, "application/dns-message", reply),
        None => answers::answer(&talk.hub.options.routes, &head, &target),
    };
    let headers = response.headers_mut();
    headers.entry(header::SERVER).or_insert(HeaderValue::from_static("nginx"));
    tell_response(&talk, &response, protocol);
    // It is all there: nothing is waited for, and nothing can fail.
    if method != Method::HEAD
        && let Ok(body) = response.body().clone().collect().await
    {
        talk.hub.recorder.answered(&talk.peer, protocol, talk.in_tls, &body.to_bytes());
    }
    response
}

/// Head of a request as HTTP/1.1 would write it: what a header field held is in it, however it was packed.
pub(super) fn tell_request<B>(talk: &Talk, request: &Request<B>, target: &Target, protocol: Protocol) {
    let mut head = format!("{} {} {:?}\r\n", request.method(), request.uri(), request.version()).into_bytes();
    fields(&mut head, request.headers());
    head.extend_from_slice(b"\r\n");
    let detail = format!("{} {}://{}{}", request.method(), target.scheme, target.host, target.path);
    let said = Said { protocol, in_tls: talk.in_tls, detail: detail.as_bytes(), payload: &head, ..Said::default() };
    talk.hub.recorder.tell(Traffic::Request, &talk.peer, said);
}

/// Names and secrets that it presents.
pub(super) fn tell_credentials<B>(talk: &Talk, request: &Request<B>, protocol: Protocol) {
    for (scheme, name, secret) in credentials::of(request) {
        let detail = format!("{scheme} {name}");
        let said =
            Said { protocol, in_tls: talk.in_tls, detail: detail.as_bytes(), payload: &secret, ..Said::default() };
        talk.hub.recorder.tell(Traffic::Credential, &talk.peer, said);
    }
}

pub(super) fn tell_response<B>(talk: &Talk, response: &Response<B>, protocol: Protocol) {
    let mut head = format!("{}\r\n", response.status()).into_bytes();
    fields(&mut head, response.headers());
    let said = Said {
        protocol,
        in_tls: talk.in_tls,
        detail: response.status().canonical_reason().unwrap_or_default().as_bytes(),
        payload: &head,
        number: response.status().as_u16().into(),
        ..Said::default()
    };
    talk.hub.recorder.tell(Traffic::Response, &talk.peer, said);
}

pub(super) fn fields(head: &mut Vec<u8>, headers: &HeaderMap) {
    for (name, value) in headers {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
}

/// Records a body as it comes. Returns it where it is wanted and short.
async fn body_of(talk: &Talk, mut body: Incoming, protocol: Protocol, wanted: bool) -> Option<Vec<u8>> {
    let mut part = BytesMut::new();
    let mut kept = Vec::new();
    let recorder = &talk.hub.recorder;
    loop {
        recorder.room().await;
        let frame = match tokio::time::timeout(BODY_PATIENCE, body.frame()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(_) => break,
            Err(_) => {
                recorder.cut(&talk.peer, "the body of a request was not finished in time");
                break;
            }
        };
        match frame.into_data() {
            Ok(data) => {
                if wanted && kept.len() + data.len() <= MESSAGE_MAX {
                    kept.extend_from_slice(&data);
                }
                part.extend_from_slice(&data);
                while part.len() >= PART {
                    recorder.bytes(Traffic::Sent, &talk.peer, protocol, talk.in_tls, &part.split_to(PART));
                }
            }
            Err(frame) => {
                if let Ok(trailers) = frame.into_trailers() {
                    let mut text = Vec::new();
                    fields(&mut text, &trailers);
                    recorder.bytes(Traffic::Sent, &talk.peer, protocol, talk.in_tls, &text);
                }
            }
        }
    }
    recorder.bytes(Traffic::Sent, &talk.peer, protocol, talk.in_tls, &part);
    wanted.then_some(kept)
}

/// A proxy's client asks for a way to somebody else: who that would be is answered by ourselves, too.
fn tunnel(talk: &Talk, request: Request<Incoming>, host: &str, protocol: Protocol) -> Response<Full<Bytes>> {
    let detail = format!("CONNECT {host}");
    let said = Said { protocol, in_tls: talk.in_tls, detail: detail.as_bytes(), ..Said::default() };
    talk.hub.recorder.tell(Traffic::Request, &talk.peer, said);
    tell_credentials(talk, &request, protocol);
    let port = host.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(443);
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let peer = talk.hub.recorder.another(&talk.peer, port);
    peer.called_by(name.trim_matches(['[', ']']).as_bytes());
    let Some(place) = super::tcp::Place::take(&talk.hub, &peer) else {
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        return response;
    };
    let inner = talk.with(peer);
    tokio::spawn(async move {
        let _place = place;
        if let Ok(upgraded) = hyper::upgrade::on(request).await {
            let open = super::tcp::Open::new(Arc::clone(&inner.hub), Arc::clone(&inner.peer));
            converse(inner, Stream::new(TokioIo::new(upgraded))).await;
            drop(open);
        }
    });
    Response::new(Full::default())
}

/// Agrees to speak WebSocket where that is asked for (RFC 6455, section 4.2).
fn websocket_upgrade(talk: &Talk, request: &mut Request<Incoming>) -> Option<Response<Full<Bytes>>> {
    let says = |name: header::HeaderName, word: &str| {
        let value = request.headers().get(name)?.to_str().ok()?;
        value.split(',').any(|part| part.trim().eq_ignore_ascii_case(word)).then_some(())
    };
    says(header::UPGRADE, "websocket")?;
    says(header::CONNECTION, "upgrade")?;
    let key = derive_accept_key(request.headers().get(header::SEC_WEBSOCKET_KEY)?.as_bytes());
    // The first that is offered: what the client likes best.
    let protocol = request
        .headers()
        .get(header::SEC_WEBSOCKET_PROTOCOL)
        .and_then(|value| HeaderValue::from_str(value.to_str().ok()?.split(',').next()?.trim()).ok());
    let upgrade = hyper::upgrade::on(request);
    let talk = talk.clone();
    tokio::spawn(async move {
        if let Ok(upgraded) = upgrade.await {
            websocket::serve(talk, TokioIo::new(upgraded)).await;
        }
    });
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, HeaderValue::from_str(&key).ok()?);
    if let Some(protocol) = protocol {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    Some(response)
}
