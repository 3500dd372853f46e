//! Mail (RFC 5321): takes every message for everybody, lets everybody in (RFC 4954), and offers TLS (RFC 3207).

use data_encoding::BASE64;

use super::lines::Lines;
use super::stream::Stream;
use super::talk::Talk;
use super::tls;
use crate::event::Protocol;

/// Commands of one connection.
const COMMANDS_MAX: usize = 10_000;

fn name(talk: &Talk) -> String {
    let name = talk.peer.name();
    if name.is_empty() { "mail.example.net".to_owned() } else { String::from_utf8_lossy(&name).into_owned() }
}

/// Serves a client that has said nothing yet, or has begun.
pub(super) async fn serve(talk: Talk, stream: Stream) {
    let name = name(&talk);
    let mut lines = Lines::new(talk, Protocol::Smtp, stream);
    if lines.say(&format!("220 {name} ESMTP ready\r\n")).await.is_some() {
        commands(lines, &name).await;
    }
}

/// Serves a client that has been greeted.
pub(super) async fn go_on(talk: Talk, stream: Stream) {
    let name = name(&talk);
    commands(Lines::new(talk, Protocol::Smtp, stream), &name).await;
}

async fn commands(mut lines: Lines, name: &str) {
    for _ in 0..COMMANDS_MAX {
        let Some(line) = lines.line().await else { return lines.unfinished() };
        lines.heard(&[&line, &b"\r\n"[..]].concat());
        let (command, rest) = split(&line);
        let said = match command.as_slice() {
            b"EHLO" => {
                let tls = if lines.talk.in_tls { "" } else { "250-STARTTLS\r\n" };
                lines.say(&format!("250-{name}\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-SIZE 52428800\r\n{tls}250 AUTH PLAIN LOGIN\r\n")).await
            }
            b"HELO" => lines.say(&format!("250 {name}\r\n")).await,
            b"STARTTLS" if !lines.talk.in_tls => {
                if lines.say("220 go ahead\r\n").await.is_some() {
                    let (talk, stream) = lines.into_stream();
                    Box::pin(tls::serve_mail(talk, stream)).await;
                }
                return;
            }
            b"AUTH" => authenticate(&mut lines, &rest).await,
            b"DATA" => data(&mut lines).await,
            b"QUIT" => {
                let _ = lines.say("221 bye\r\n").await; // whether it is heard does not matter
                return;
            }
            b"MAIL" | b"RCPT" | b"RSET" | b"NOOP" => lines.say("250 ok\r\n").await,
            b"VRFY" | b"EXPN" => lines.say("252 will try\r\n").await,
            b"HELP" => lines.say("214 see RFC 5321\r\n").await,
            _ => lines.say("500 what?\r\n").await,
        };
        if said.is_none() {
            return;
        }
    }
    lines.too_many();
}

async fn data(lines: &mut Lines) -> Option<()> {
    lines.say("354 end with a dot\r\n").await?;
    let (talk, protocol) = (lines.talk.clone(), lines.protocol);
    let ended = lines
        .until_dot(|part| {
            talk.hub.recorder.bytes(crate::event::Traffic::Sent, &talk.peer, protocol, talk.in_tls, part);
        })
        .await;
    if ended { lines.say("250 queued\r\n").await } else { None }
}

async fn authenticate(lines: &mut Lines, rest: &[u8]) -> Option<()> {
    let (method, initial) = split(rest);
    let decode = |text: &[u8]| BASE64.decode(text.trim_ascii()).unwrap_or_else(|_| text.to_vec());
    match method.as_slice() {
        b"PLAIN" => {
            let answer = if initial.is_empty() { ask(lines, "334 \r\n").await? } else { initial };
            // authzid NUL authcid NUL password (RFC 4616).
            let decoded = decode(&answer);
            let mut parts = decoded.split(|byte| *byte == 0).skip(1);
            let (user, password) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            lines.presented("smtp", user, &[user, b":", password].concat());
        }
        b"LOGIN" => {
            let user = if initial.is_empty() { ask(lines, "334 VXNlcm5hbWU6\r\n").await? } else { initial };
            let password = ask(lines, "334 UGFzc3dvcmQ6\r\n").await?;
            let (user, password) = (decode(&user), decode(&password));
            lines.presented("smtp", &user, &[&user, &b":"[..], &password].concat());
        }
        _ => return lines.say("504 not that way\r\n").await,
    }
    lines.say("235 welcome\r\n").await
}

async fn ask(lines: &mut Lines, question: &str) -> Option<Vec<u8>> {
    lines.say(question).await?;
    let answer = lines.line().await?;
    lines.heard(&[&answer, &b"\r\n"[..]].concat());
    Some(answer)
}

/// A command in capitals, and what follows it.
pub(super) fn split(line: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let end = line.iter().position(|byte| matches!(byte, b' ' | b':')).unwrap_or(line.len());
    let rest = line.get(end + 1..).unwrap_or_default();
    (line.get(..end).unwrap_or_default().to_ascii_uppercase(), rest.to_vec())
}
