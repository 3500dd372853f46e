//! Takes TCP connections and gives each a task of its own.
//!
//! There is room for so many; the last of it is kept for processes that have few, so that none can take it all.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use super::Hub;
use super::stream::Stream;
use super::talk::{Talk, converse};
use crate::event::{ObjectKind, Protocol, Traffic};
use crate::gateway::record::{Peer, Said, count};

/// How long to wait when there is no descriptor for a connection.
const PAUSE: Duration = Duration::from_millis(20);
/// The part of the room that is kept for processes with few connections, and how many those have at most.
const RESERVE: usize = 10;
const FEW: usize = 64;

/// Takes connections for ever.
pub(super) async fn accept(hub: Arc<Hub>, listener: TcpListener) {
    loop {
        let Ok((stream, source)) = listener.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        // The address that was called: the connection was redirected, its addresses were not changed.
        let Ok(called) = stream.local_addr() else { continue };
        let unmapped =
            |address: std::net::SocketAddr| std::net::SocketAddr::new(address.ip().to_canonical(), address.port());
        let peer = Arc::new(hub.meet(ObjectKind::Tcp, unmapped(called), unmapped(source)));
        let Some(place) = Place::take(&hub, &peer) else { continue }; // closed by being dropped
        let open = Open::new(Arc::clone(&hub), peer);
        tokio::spawn(async move {
            let _place = place;
            let open = open;
            serve(&open, stream).await;
        });
    }
}

async fn serve(open: &Open, stream: TcpStream) {
    let _ = stream.set_nodelay(true); // a connection that is slower is one all the same
    converse(Talk::new(Arc::clone(&open.hub), Arc::clone(&open.peer)), Stream::of_socket(stream)).await;
}

/// One connection's part of the room there is.
pub(super) struct Place {
    hub: Arc<Hub>,
    host_pid: u32,
}

impl Place {
    /// `None`, and counted, where there is none left for this process.
    pub(super) fn take(hub: &Arc<Hub>, peer: &Peer) -> Option<Self> {
        let mut room = hub.room.lock().unwrap_or_else(PoisonError::into_inner);
        if !room.take(peer.host_pid) {
            count(&hub.recorder.counters.turned_away);
            return None;
        }
        Some(Self { hub: Arc::clone(hub), host_pid: peer.host_pid })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.hub.room.lock().unwrap_or_else(PoisonError::into_inner).give(self.host_pid);
    }
}

/// Who has how many connections.
pub(super) struct Room {
    most: usize,
    taken: usize,
    by_process: HashMap<u32, usize>,
}

impl Room {
    pub(super) fn new(most: usize) -> Self {
        Self { most, taken: 0, by_process: HashMap::new() }
    }

    /// Takes one, if this process may have another.
    fn take(&mut self, process: u32) -> bool {
        let own = self.by_process.get(&process).copied().unwrap_or_default();
        let left = self.most.saturating_sub(self.taken);
        if left == 0 || (left <= self.most / RESERVE && own >= FEW) {
            return false;
        }
        self.taken += 1;
        self.by_process.insert(process, own + 1);
        true
    }

    fn give(&mut self, process: u32) {
        self.taken = self.taken.saturating_sub(1);
        match self.by_process.get_mut(&process) {
            Some(own) if *own > 1 => *own -= 1,
            _ => drop(self.by_process.remove(&process)),
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_cannot_take_all_the_room() {
        let mut room = Room::new(1000);
        let greedy = (0..2000).filter(|_| room.take(1)).count();
        assert_eq!(greedy, 900);
        assert_eq!((0..2000).filter(|_| room.take(2)).count(), FEW, "another process gets some of what is left");
        room.give(1);
        assert!(!room.take(1), "what is given back belongs to the reserve first");
        assert_eq!((10..1000).filter(|process| room.take(*process)).count(), 1000 - 900 - FEW + 1);
        assert!(!room.take(3), "full");
        for _ in 0..FEW {
            room.give(2);
        }
        assert!(!room.by_process.contains_key(&2), "no memory of who has none");
    }
}
