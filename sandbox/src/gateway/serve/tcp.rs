//! Takes TCP connections and gives each a task of its own.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use super::Hub;
use super::stream::Stream;
use super::talk::{Talk, converse};
use crate::event::{ObjectKind, Protocol, Traffic};
use crate::gateway::record::{Peer, Said, count};

/// How long to wait when there is no descriptor for a connection.
const PAUSE: Duration = Duration::from_millis(20);

/// Takes connections for ever.
pub(super) async fn accept(hub: Arc<Hub>, listener: TcpListener) {
    loop {
        let Ok((stream, source)) = listener.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let Ok(permit) = Arc::clone(&hub.room).try_acquire_owned() else {
            count(&hub.recorder.counters.turned_away);
            continue; // closed by being dropped
        };
        // The address that was called: the connection was redirected, its addresses were not changed.
        let Ok(called) = stream.local_addr() else { continue };
        let unmapped =
            |address: std::net::SocketAddr| std::net::SocketAddr::new(address.ip().to_canonical(), address.port());
        let peer = Arc::new(hub.meet(ObjectKind::Tcp, unmapped(called), unmapped(source)));
        let open = Open::new(Arc::clone(&hub), Arc::clone(&peer));
        tokio::spawn(async move {
            let _permit = permit;
            let open = open;
            serve(&open, stream).await;
        });
    }
}

async fn serve(open: &Open, stream: TcpStream) {
    let _ = stream.set_nodelay(true); // a connection that is slower is one all the same
    converse(Talk::new(Arc::clone(&open.hub), Arc::clone(&open.peer)), Stream::new(stream)).await;
}

/// A connection that is recorded as begun, and as ended however it ends.
pub(super) struct Open {
    hub: Arc<Hub>,
    peer: Arc<Peer>,
}

impl Open {
    pub(super) fn new(hub: Arc<Hub>, peer: Arc<Peer>) -> Self {
        hub.recorder.tell(Traffic::Connection, &peer, Said::default());
        Self { hub, peer }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.hub.recorder.tell(Traffic::ConnectionEnd, &self.peer, Said { protocol: Protocol::Tcp, ..Said::default() });
    }
}
