//! The sink for everything that no service speaks: records what is said, and answers nothing, or a banner first.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::stream::Stream;
use super::talk::{IDLE, SILENT, Talk};
use crate::event::{Protocol, Traffic};

/// Bytes taken at a time: ten thousand silent connections must not cost more than they are worth.
const ROOM: usize = 16 << 10;

/// Says the banner, then listens.
pub(super) async fn greet(talk: Talk, mut stream: Stream, banner: Vec<u8>) {
    talk.hub.recorder.bytes(Traffic::Received, &talk.peer, Protocol::Tcp, talk.in_tls, &banner);
    if matches!(tokio::time::timeout(IDLE, stream.write_all(&banner)).await, Ok(Ok(()))) {
        serve(talk, stream, Protocol::Tcp).await;
    }
}

/// Listens until the end.
pub(super) async fn serve(talk: Talk, mut stream: Stream, protocol: Protocol) {
    let mut buffer = vec![0; ROOM];
    let recorder = &talk.hub.recorder;
    loop {
        recorder.room().await;
        match tokio::time::timeout(IDLE, stream.read(&mut buffer)).await {
            Ok(Ok(n @ 1..)) => {
                let bytes = buffer.get(..n).unwrap_or_default();
                recorder.bytes(Traffic::Sent, &talk.peer, protocol, talk.in_tls, bytes);
            }
            Ok(_) => return,
            Err(_) => return recorder.cut(&talk.peer, SILENT),
        }
    }
}
