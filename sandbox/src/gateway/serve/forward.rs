//! HTTP on its way to a real server: every request is recorded as if it had been answered here, and so is what the server
//! says. Both sides speak the same version of HTTP, over one connection each, so that nothing is translated.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use http::{Request, Response, StatusCode, header};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::http::{Target, fields, spoken, tell_credentials, tell_request, tell_response};
use super::stream::{Io, Stream};
use super::talk::{IDLE, Talk};
use super::websocket;
use crate::event::{Protocol, Traffic};

/// A body that is recorded as it passes.
struct Told {
    body: Incoming,
    talk: Talk,
    what: Traffic,
    protocol: Protocol,
    /// Runs while what it would say has no room.
    waiting: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Body for Told {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        if self.waiting.is_none() && !self.talk.hub.recorder.has_room() {
            let hub = Arc::clone(&self.talk.hub);
            self.waiting = Some(Box::pin(async move { hub.recorder.room().await }));
        }
        if let Some(waiting) = &mut self.waiting {
            ready!(waiting.as_mut().poll(cx));
            self.waiting = None;
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame {
            let tell = |bytes: &[u8]| {
                self.talk.hub.recorder.bytes(self.what, &self.talk.peer, self.protocol, self.talk.in_tls, bytes);
            };
            if let Some(data) = frame.data_ref() {
                tell(data);
            } else if let Some(trailers) = frame.trailers_ref() {
                let mut text = Vec::new();
                fields(&mut text, trailers);
                tell(&text);
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The connection to the server.
enum Server {
    One(tokio::sync::Mutex<http1::SendRequest<Told>>),
    Two(http2::SendRequest<Told>),
}

/// Serves a client that speaks HTTP, of version 2 or before.
pub(super) async fn serve(talk: Talk, client: Stream, server: impl Io + 'static, two: bool) -> io::Result<()> {
    let server = TokioIo::new(server);
    let sender = if two {
        let (sender, connection) = http2::handshake(TokioExecutor::new(), server).await.map_err(io::Error::other)?;
        tokio::spawn(connection);
        Server::Two(sender)
    } else {
        let mut builder = http1::Builder::new();
        let (sender, connection) =
            builder.preserve_header_case(true).handshake(server).await.map_err(io::Error::other)?;
        tokio::spawn(connection.with_upgrades());
        Server::One(tokio::sync::Mutex::new(sender))
    };
    let sender = Arc::new(sender);
    let service = service_fn(move |request| pass(talk.clone(), Arc::clone(&sender), request));
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().preserve_header_case(true);
    let builder = if two { builder.http2_only() } else { builder.http1_only() };
    builder.serve_connection_with_upgrades(TokioIo::new(client), service).await.map_err(io::Error::other)
}

async fn pass(talk: Talk, server: Arc<Server>, mut request: Request<Incoming>) -> hyper::Result<Response<Told>> {
    let protocol = spoken(&request);
    let target = Target::of(&talk, &request);
    tell_request(&talk, &request, &target, protocol);
    tell_credentials(&talk, &request, protocol);
    // Compressed frames could not be read.
    request.headers_mut().remove(header::SEC_WEBSOCKET_EXTENSIONS);
    let upgrade = request.headers().contains_key(header::UPGRADE).then(|| hyper::upgrade::on(&mut request));
    let told = |body, what| Told { body, talk: talk.clone(), what, protocol, waiting: None };
    let request = request.map(|body| told(body, Traffic::Sent));
    let mut response = match &*server {
        Server::One(sender) => {
            let mut sender = sender.lock().await;
            sender.ready().await?;
            let answer = sender.send_request(request);
            drop(sender);
            answer.await?
        }
        Server::Two(sender) => {
            let mut sender = sender.clone();
            sender.ready().await?;
            sender.send_request(request).await?
        }
    };
    tell_response(&talk, &response, protocol);
    if response.status() == StatusCode::SWITCHING_PROTOCOLS
        && let Some(upgrade) = upgrade
    {
        let theirs = hyper::upgrade::on(&mut response);
        let is_websocket = response
            .headers()
            .get(header::UPGRADE)
            .is_some_and(|name| name.as_bytes().eq_ignore_ascii_case(b"websocket"));
        let talk = talk.clone();
        tokio::spawn(async move {
            let (Ok(client), Ok(server)) = tokio::join!(upgrade, theirs) else { return };
            let (client, server) = (TokioIo::new(client), TokioIo::new(server));
            if is_websocket {
                messages(&talk, client, server).await;
            } else {
                super::through::both(&talk, Stream::new(client), server, Protocol::Tcp).await;
            }
        });
    }
    Ok(response.map(|body| told(body, Traffic::Received)))
}

/// Passes messages of WebSocket both ways, until one side has ended.
async fn messages(talk: &Talk, client: impl Io, server: impl Io) {
    let mut client = WebSocketStream::from_raw_socket(client, Role::Server, Some(websocket::config())).await;
    let mut server = WebSocketStream::from_raw_socket(server, Role::Client, Some(websocket::config())).await;
    loop {
        let (what, message) = tokio::select! {
            message = client.next() => (Traffic::Sent, message),
            message = server.next() => (Traffic::Received, message),
            () = tokio::time::sleep(IDLE) => return,
        };
        let Some(Ok(message)) = message else { return };
        // Both libraries answer pings by themselves.
        if let Message::Text(_) | Message::Binary(_) | Message::Ping(_) | Message::Pong(_) = &message {
            talk.hub.recorder.room().await;
            let bytes = message.clone().into_data();
            talk.hub.recorder.bytes(what, &talk.peer, Protocol::WebSocket, talk.in_tls, &bytes);
        }
        let last = message.is_close();
        let passed = if what == Traffic::Sent { server.send(message).await } else { client.send(message).await };
        if passed.is_err() || last {
            return;
        }
    }
}
