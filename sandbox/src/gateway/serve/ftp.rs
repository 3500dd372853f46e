//! FTP (RFC 959, RFC 2428): lets everybody in, takes every file, and gives empty ones. Data connections come to the
//! gateway like all others (passive), or are made to the jail from sockets that were opened for that (active).

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpSocket;
use tokio::sync::oneshot;

use super::lines::Lines;
use super::smtp::split;
use super::stream::Stream;
use super::talk::{IDLE, Talk};
use super::{raw, tls};
use crate::event::Protocol;
use crate::gateway::record::Peer;

const COMMANDS_MAX: usize = 10_000;
/// How long a data connection may take to be made.
const PATIENCE: Duration = Duration::from_secs(10);

/// Data connections that are awaited at once.
const AWAITED_MAX: usize = 256;

/// What a data connection is for, and whom to tell when it has ended.
type Errand = (bool, oneshot::Sender<()>);

/// Data connections that clients were told to make: the control connection says what each is for.
#[derive(Default)]
pub(in crate::gateway) struct Awaited(Mutex<HashMap<(SocketAddr, IpAddr), oneshot::Receiver<Errand>>>);

impl Awaited {
    fn expect(&self, called: SocketAddr, source: IpAddr) -> oneshot::Sender<Errand> {
        let (tell, told) = oneshot::channel();
        let mut awaited = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if awaited.len() >= AWAITED_MAX {
            awaited.clear();
        }
        awaited.insert((called, source), told);
        tell
    }

    /// Whether a connection is one of them.
    pub(super) fn take(&self, peer: &Peer) -> Option<oneshot::Receiver<Errand>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&(peer.called, peer.source.ip()))
    }
}

/// Serves a data connection.
pub(super) async fn data(talk: Talk, mut stream: Stream, awaited: oneshot::Receiver<Errand>) {
    let Ok(Ok((upload, done))) = tokio::time::timeout(IDLE, awaited).await else { return };
    if upload {
        raw::serve(talk, stream, Protocol::Ftp).await;
    } else {
        let _ = stream.shutdown().await; // an empty file
    }
    let _ = done.send(()); // the control connection may have gone
}

/// Where data is to go.
enum Data {
    None,
    /// The client connects, to any port: all are ours.
    Passive(oneshot::Sender<Errand>),
    /// We connect.
    Active(SocketAddr),
}

/// Serves a client that has said nothing yet, or has begun.
pub(super) async fn serve(talk: Talk, stream: Stream) {
    let mut lines = Lines::new(talk, Protocol::Ftp, stream);
    if lines.say("220 FTP server ready\r\n").await.is_some() {
        commands(lines).await;
    }
}

/// Serves a client that has been greeted.
pub(super) async fn go_on(talk: Talk, stream: Stream) {
    commands(Lines::new(talk, Protocol::Ftp, stream)).await;
}

async fn commands(mut lines: Lines) {
    let (mut user, mut data) = (Vec::new(), Data::None);
    for _ in 0..COMMANDS_MAX {
        let Some(line) = lines.line().await else { return lines.unfinished() };
        lines.heard(&[&line, &b"\r\n"[..]].concat());
        let (command, rest) = split(&line);
        let said = match command.as_slice() {
            b"USER" => {
                user = rest;
                lines.say("331 and your password?\r\n").await
            }
            b"PASS" => {
                lines.presented("ftp", &user, &[&user, &b":"[..], &rest].concat());
                lines.say("230 welcome\r\n").await
            }
            b"AUTH" if !lines.talk.in_tls => {
                if lines.say("234 go ahead\r\n").await.is_some() {
                    let (talk, stream) = lines.into_stream();
                    Box::pin(tls::serve_files(talk, stream)).await;
                }
                return;
            }
            b"SYST" => lines.say("215 UNIX Type: L8\r\n").await,
            b"FEAT" => lines.say("211-Features:\r\n EPSV\r\n EPRT\r\n PASV\r\n SIZE\r\n UTF8\r\n211 end\r\n").await,
            b"PWD" | b"XPWD" => lines.say("257 \"/\"\r\n").await,
            b"PASV" => match lines.talk.peer.called.ip() {
                IpAddr::V4(ip) => {
                    data = passive(&lines.talk);
                    let [a, b, c, d] = ip.octets();
                    let port = passive_port(&lines.talk);
                    lines
                        .say(&format!("227 Entering passive mode ({a},{b},{c},{d},{},{})\r\n", port >> 8, port & 255))
                        .await
                }
                IpAddr::V6(_) => lines.say("425 use EPSV\r\n").await,
            },
            b"EPSV" => {
                data = passive(&lines.talk);
                let port = passive_port(&lines.talk);
                lines.say(&format!("229 Entering extended passive mode (|||{port}|)\r\n")).await
            }
            b"PORT" | b"EPRT" => {
                // To the client itself alone: anything else would be somebody's else.
                let own = lines.talk.peer.source.ip();
                let asked = if command == b"PORT" { port(&rest) } else { eprt(&rest) };
                match asked.filter(|address| address.ip() == own) {
                    Some(address) => {
                        data = Data::Active(address);
                        lines.say("200 ok\r\n").await
                    }
                    None => lines.say("501 not there\r\n").await,
                }
            }
            b"STOR" | b"APPE" | b"STOU" => transfer(&mut lines, std::mem::replace(&mut data, Data::None), true).await,
            b"RETR" | b"LIST" | b"NLST" | b"MLSD" => {
                transfer(&mut lines, std::mem::replace(&mut data, Data::None), false).await
            }
            b"SIZE" | b"MDTM" => lines.say("550 no such file\r\n").await,
            b"MKD" | b"XMKD" => lines.say("257 made\r\n").await,
            b"RNFR" => lines.say("350 and to?\r\n").await,
            b"QUIT" => {
                let _ = lines.say("221 bye\r\n").await; // whether it is heard does not matter
                return;
            }
            _ => lines.say("200 ok\r\n").await,
        };
        if said.is_none() {
            return;
        }
    }
    lines.too_many();
}

/// A port for data, another for each connection so that they can be told apart.
fn passive_port(talk: &Talk) -> u16 {
    49_152 + (talk.peer.number() % 16_000) as u16
}

fn passive(talk: &Talk) -> Data {
    let called = SocketAddr::new(talk.peer.called.ip(), passive_port(talk));
    Data::Passive(talk.hub.awaited.expect(called, talk.peer.source.ip()))
}

async fn transfer(lines: &mut Lines, data: Data, upload: bool) -> Option<()> {
    match data {
        Data::None => return lines.say("425 say PASV first\r\n").await,
        Data::Passive(tell) => {
            lines.say("150 ok\r\n").await?;
            let (done, ended) = oneshot::channel();
            if tell.send((upload, done)).is_err() || tokio::time::timeout(IDLE, ended).await.is_err() {
                return lines.say("425 nobody came\r\n").await;
            }
        }
        Data::Active(address) => {
            lines.say("150 ok\r\n").await?;
            let connected = connect(&lines.talk, address);
            let Ok(Some(stream)) = tokio::time::timeout(PATIENCE, connected).await else {
                return lines.say("425 nobody there\r\n").await;
            };
            let mut stream = Stream::new(stream);
            if upload {
                raw::serve(lines.talk.clone(), stream, Protocol::Ftp).await;
            } else {
                let _ = stream.shutdown().await; // an empty file
            }
        }
    }
    lines.say("226 done\r\n").await
}

async fn connect(talk: &Talk, address: SocketAddr) -> Option<tokio::net::TcpStream> {
    let socket = talk.hub.active.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
    let socket = TcpSocket::from_std_stream(std::net::TcpStream::from(socket));
    socket.bind(SocketAddr::new(talk.peer.called.ip(), 0)).ok()?;
    socket.connect(address).await.ok()
}

/// `h1,h2,h3,h4,p1,p2`.
fn port(text: &[u8]) -> Option<SocketAddr> {
    let numbers: Vec<u8> =
        std::str::from_utf8(text).ok()?.trim().split(',').map(|n| n.trim().parse().ok()).collect::<Option<_>>()?;
    let [a, b, c, d, high, low] = *numbers.as_slice() else { return None };
    Some(SocketAddr::new(Ipv4Addr::new(a, b, c, d).into(), u16::from_be_bytes([high, low])))
}

/// `|family|address|port|`, with any character for the bar.
fn eprt(text: &[u8]) -> Option<SocketAddr> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let mut parts = text.split(text.chars().next()?).skip(2);
    Some(SocketAddr::new(parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_they_are_meant() {
        assert_eq!(port(b"10,20,0,15,4,1"), Some("10.20.0.15:1025".parse().expect("address")));
        assert_eq!(port(b"10,20,0,15,4"), None);
        assert_eq!(eprt(b"|2|fd00::1|6000|"), Some("[fd00::1]:6000".parse().expect("address")));
        assert_eq!(eprt(b""), None);
    }
}
