//! WebSocket: messages are recorded as they are meant, unmasked and put together. Nothing is said but what the protocol
//! itself asks for.

use futures_util::StreamExt as _;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::stream::Io;
use super::talk::{IDLE, Talk};
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
        let Ok(Some(Ok(message))) = tokio::time::timeout(IDLE, socket.next()).await else { return };
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
