//! WebSocket: messages are recorded as they are meant, unmasked and put together. Nothing is said but what the protocol
//! itself asks for.

use futures_util::StreamExt as _;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::stream::Io;
use super::talk::{IDLE, SILENT, Talk};
use crate::event::{Protocol, Traffic};

/// Longest message, and frame, that is put together.
const MESSAGE_MAX: usize = 16 << 20;

/// The limits.
pub(super) fn config() -> WebSocketConfig {
    WebSocketConfig::default().max_message_size(Some(MESSAGE_MAX)).max_frame_size(Some(MESSAGE_MAX))
}

/// Serves a connection that has agreed to speak it.
pub(super) async fn serve(talk: Talk, stream: impl Io) {
    let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config())).await;
    let recorder = &talk.hub.recorder;
    loop {
        recorder.room().await;
        let message = match tokio::time::timeout(IDLE, socket.next()).await {
            Ok(Some(Ok(message))) => message,
            Ok(Some(Err(Error::Capacity(_)))) => return recorder.cut(&talk.peer, "a message is too long"),
            Ok(_) => return,
            Err(_) => return recorder.cut(&talk.peer, SILENT),
        };
        match message {
            Message::Text(text) => {
                recorder.bytes(Traffic::Sent, &talk.peer, Protocol::WebSocket, talk.in_tls, text.as_bytes());
            }
            Message::Binary(bytes) | Message::Ping(bytes) | Message::Pong(bytes) => {
                recorder.bytes(Traffic::Sent, &talk.peer, Protocol::WebSocket, talk.in_tls, &bytes);
            }
            Message::Close(_) => return,
            Message::Frame(_) => {}
        }
    }
}
