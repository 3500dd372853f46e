//! Protocols of lines (SMTP, FTP): one line at a time, with a limit, and what is said on both sides recorded.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::stream::Stream;
use super::talk::{IDLE, SILENT, Talk};
use crate::event::{Protocol, Traffic};
use crate::gateway::record::{PART, Said};

/// Longest line that is taken for one.
const LINE_MAX: usize = 8192;

/// A conversation in lines.
pub(super) struct Lines {
    pub talk: Talk,
    pub protocol: Protocol,
    stream: Stream,
    buffer: Vec<u8>,
}

impl Lines {
    pub(super) fn new(talk: Talk, protocol: Protocol, stream: Stream) -> Self {
        Self { talk, protocol, stream, buffer: Vec::new() }
    }

    /// The next line, without its end. `None` at the end, or when it gets too long.
    pub(super) async fn line(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.buffer) {
                let mut line: Vec<u8> = self.buffer.drain(..=end).collect();
                while line.last().is_some_and(|byte| matches!(byte, b'\r' | b'\n')) {
                    line.pop();
                }
                return Some(line);
            }
            if self.buffer.len() > LINE_MAX {
                return None;
            }
            self.talk.hub.recorder.room().await;
            self.read().await?;
        }
    }

    /// Everything up to a line that is a dot, which is not part of it (RFC 5321, section 4.5.2), in parts handed to
    /// `take`. Returns whether the end came.
    pub(super) async fn until_dot(&mut self, mut take: impl FnMut(&[u8])) -> bool {
        let mut part = Vec::new();
        loop {
            let Some(line) = self.line().await else {
                // A line without end: what there is of it is a part of the text all the same.
                part.append(&mut self.buffer);
                take(&part);
                if self.read().await.is_none() {
                    return false;
                }
                part.clear();
                continue;
            };
            if line == b"." {
                take(&part);
                return true;
            }
            part.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
            part.extend_from_slice(b"\r\n");
            if part.len() >= PART {
                take(&part);
                part.clear();
            }
        }
    }

    async fn read(&mut self) -> Option<()> {
        self.buffer.reserve(4096);
        let Ok(read) = tokio::time::timeout(IDLE, self.stream.read_buf(&mut self.buffer)).await else {
            self.talk.hub.recorder.cut(&self.talk.peer, SILENT);
            return None;
        };
        (read.ok()? > 0).then_some(())
    }

    /// Says something. `None` when nobody listens any more.
    pub(super) async fn say(&mut self, text: &str) -> Option<()> {
        self.talk.hub.recorder.bytes(
            Traffic::Received,
            &self.talk.peer,
            self.protocol,
            self.talk.in_tls,
            text.as_bytes(),
        );
        tokio::time::timeout(IDLE, self.stream.write_all(text.as_bytes())).await.ok()?.ok()
    }

    /// Records what was said.
    pub(super) fn heard(&self, bytes: &[u8]) {
        self.talk.hub.recorder.bytes(Traffic::Sent, &self.talk.peer, self.protocol, self.talk.in_tls, bytes);
    }

    /// Records a name and secret.
    pub(super) fn presented(&self, scheme: &str, name: &[u8], secret: &[u8]) {
        let detail = format!("{scheme} {}", String::from_utf8_lossy(name));
        let said = Said {
            protocol: self.protocol,
            in_tls: self.talk.in_tls,
            detail: detail.as_bytes(),
            payload: secret,
            ..Said::default()
        };
        self.talk.hub.recorder.tell(Traffic::Credential, &self.talk.peer, said);
    }

    /// Records what came of a line that was not finished, and why it is not waited for, if that is so.
    pub(super) fn unfinished(&mut self) {
        if self.buffer.len() > LINE_MAX {
            self.talk.hub.recorder.cut(&self.talk.peer, "a line is too long");
        }
        let rest = std::mem::take(&mut self.buffer);
        self.heard(&rest);
    }

    /// Notes that no more commands are taken.
    pub(super) fn too_many(&self) {
        self.talk.hub.recorder.cut(&self.talk.peer, "too many commands");
    }

    /// The connection itself, for something else to be spoken on it. What had been sent before that was agreed on is
    /// forgotten, as it must be (RFC 3207, section 4.2).
    pub(super) fn into_stream(self) -> (Talk, Stream) {
        (self.talk, self.stream)
    }
}
