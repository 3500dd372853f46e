//! A conversation: finds out by its first bytes what a connection speaks, whatever its port, and hands it to who speaks
//! that. A client that says nothing waits to be greeted: then the port says by what.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::stream::Stream;
use super::{Hub, dns, ftp, http, raw, smtp, through, tls};
use crate::event::Protocol;
use crate::gateway::record::Peer;
use crate::gateway::tls::hello::is_hello;

/// After how long a client is taken to wait for a greeting.
const GREET: Duration = Duration::from_millis(250);
/// After how long without a byte a connection is closed.
pub(super) const IDLE: Duration = Duration::from_mins(5);
/// Why it is, in the event of its end.
pub(super) const SILENT: &str = "nothing was said for too long";
/// Protocols within protocols: TLS in a proxy's tunnel in TLS is three.
const DEPTH_MAX: u8 = 6;

/// Who talks, and under which covers.
#[derive(Clone)]
pub(super) struct Talk {
    pub hub: Arc<Hub>,
    pub peer: Arc<Peer>,
    /// Whether TLS was taken off.
    pub in_tls: bool,
    depth: u8,
}

impl Talk {
    pub(super) fn new(hub: Arc<Hub>, peer: Arc<Peer>) -> Self {
        Self { hub, peer, in_tls: false, depth: 0 }
    }

    /// The same, one cover further in.
    pub(super) fn within(&self, in_tls: bool) -> Self {
        Self { in_tls: self.in_tls || in_tls, depth: self.depth + 1, ..self.clone() }
    }

    /// The same with somebody else: a proxy's client asked for it.
    pub(super) fn with(&self, peer: Peer) -> Self {
        Self { peer: Arc::new(peer), depth: self.depth + 1, ..self.clone() }
    }
}

/// What the first bytes are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spoken {
    Tls,
    Http,
    Dns,
    Smtp,
    Ftp,
    Unknown,
}

/// Serves a connection until it ends.
pub(super) fn converse(talk: Talk, mut stream: Stream) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        if talk.depth > DEPTH_MAX {
            return talk.hub.recorder.cut(&talk.peer, "too many protocols within protocols");
        }
        let port = talk.peer.called.port();
        if let Some(awaited) = talk.hub.awaited.take(&talk.peer) {
            return ftp::data(talk, stream, awaited).await;
        }
        let name = talk.peer.name();
        let place = if name.is_empty() { talk.peer.called.ip().to_string().into_bytes() } else { name };
        if talk.hub.options.allow.iter().any(|allowed| allowed.covers(&place, port)) {
            let name = String::from_utf8_lossy(&place).into_owned();
            return through::serve(talk, stream, name).await;
        }
        let spoken = match tokio::time::timeout(GREET, stream.first()).await {
            Ok(Ok([]) | Err(_)) => return,
            Ok(Ok(_)) => {
                // A few bytes more, should they come in pieces.
                sniff(stream.at_least(8, Duration::from_millis(100)).await, port)
            }
            Err(_) => match port {
                25 | 465 | 587 | 2525 => Spoken::Smtp,
                21 | 990 => Spoken::Ftp,
                _ => match talk.hub.options.banner(port) {
                    Some(banner) => return raw::greet(talk.clone(), stream, banner.to_vec()).await,
                    None => match tokio::time::timeout(IDLE, stream.first()).await {
                        Ok(Ok([_, ..])) => sniff(stream.at_least(8, Duration::from_millis(100)).await, port),
                        Ok(_) => return,
                        Err(_) => return talk.hub.recorder.cut(&talk.peer, SILENT),
                    },
                },
            },
        };
        match spoken {
            Spoken::Tls => tls::serve(talk, stream).await,
            Spoken::Http => http::serve(talk, stream).await,
            Spoken::Dns => serve_dns(talk, stream).await,
            Spoken::Smtp => smtp::serve(talk, stream).await,
            Spoken::Ftp => ftp::serve(talk, stream).await,
            Spoken::Unknown => raw::serve(talk, stream, Protocol::Tcp).await,
        }
    })
}

/// Methods of HTTP and its extensions (the IANA registry), as a request begins with them.
const METHODS: [&[u8]; 20] = [
    b"GET ",
    b"HEAD ",
    b"POST ",
    b"PUT ",
    b"DELETE ",
    b"OPTIONS ",
    b"PATCH ",
    b"CONNECT ",
    b"TRACE ",
    b"PRI * H",
    b"PROPFIND ",
    b"PROPPATCH ",
    b"MKCOL ",
    b"COPY ",
    b"MOVE ",
    b"LOCK ",
    b"UNLOCK ",
    b"REPORT ",
    b"SEARCH ",
    b"QUERY ",
];

/// Whether these bytes begin a request of HTTP.
pub(super) fn is_http(bytes: &[u8]) -> bool {
    let begins = |method: &&[u8]| bytes.starts_with(method.get(..bytes.len().min(method.len())).unwrap_or(method));
    !bytes.is_empty() && METHODS.iter().any(begins)
}

fn sniff(bytes: &[u8], port: u16) -> Spoken {
    let starts = |word: &[u8]| bytes.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word));
    if is_hello(bytes) {
        Spoken::Tls
    } else if is_http(bytes) {
        Spoken::Http
    } else if starts(b"EHLO") || starts(b"HELO") {
        Spoken::Smtp
    } else if port == 21 && (starts(b"USER") || starts(b"AUTH") || starts(b"FEAT")) {
        Spoken::Ftp
    } else if matches!(port, 53 | 853) || is_question(bytes) {
        Spoken::Dns
    } else {
        Spoken::Unknown
    }
}

/// A length, then a header of a question with one name (RFC 1035, sections 4.1.1 and 4.2.2).
fn is_question(bytes: &[u8]) -> bool {
    matches!(bytes, [_, low, _, _, 0 | 1, 0 | 0x10 | 0x20, 0, 1, ..] if *low >= 17)
}

/// DNS on a stream: each message with its length before it.
async fn serve_dns(talk: Talk, mut stream: Stream) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut message = Vec::new();
    loop {
        let read = async {
            let length = stream.read_u16().await?;
            message.resize(usize::from(length), 0);
            stream.read_exact(&mut message).await
        };
        match tokio::time::timeout(IDLE, read).await {
            Ok(Ok(_)) => {}
            Ok(Err(_)) => return,
            Err(_) => return talk.hub.recorder.cut(&talk.peer, SILENT),
        }
        let Some(reply) = dns::answer(&talk.hub, &talk.peer, &message, dns::Way::Stream(talk.in_tls)) else { continue };
        let framed = [&(reply.len() as u16).to_be_bytes()[..], &reply].concat();
        if !matches!(tokio::time::timeout(IDLE, stream.write_all(&framed)).await, Ok(Ok(()))) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes_tell_what_is_spoken() {
        for (bytes, port, want) in [
            (&b"GET / HTTP/1.1"[..], 9999, Spoken::Http),
            (b"PRI * HTTP/2.0", 1, Spoken::Http),
            (b"GE", 25, Spoken::Http),
            (b"\x16\x03\x01\x02\x00\x01\x00", 80, Spoken::Tls),
            (b"ehlo x\r\n", 80, Spoken::Smtp),
            (b"USER anna\r\n", 21, Spoken::Ftp),
            (b"USER anna\r\n", 6667, Spoken::Unknown),
            (b"\0\x1d\x12\x34\x01\0\0\x01\0", 4444, Spoken::Dns),
            (b"SSH-2.0-x", 22, Spoken::Unknown),
            (b"\0\0", 443, Spoken::Unknown),
        ] {
            assert_eq!(sniff(bytes, port), want, "{}", String::from_utf8_lossy(bytes));
        }
    }
}
