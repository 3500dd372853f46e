//! The wire: how every packet of the jail comes to the gateway, whatever its address and port.
//!
//! `eth0` ends in the gateway's network namespace as `jail0`. There a rule for packets that come in by `jail0` looks
//! them up in a table of its own, in which every address of the world is local (AnyIP), and nftables hands every TCP
//! connection and every datagram, whatever its port, to one socket of its protocol (TPROXY). A table of its own and not
//! `local`: a default route there would make the kernel take its own answers for its own packets.
//!
//! The jail's first process is born in that namespace with every capability in it, so it sends the requests and opens
//! the sockets, with or without privilege on the host, and belljar fetches them. A socket stays in the namespace it was
//! made in: the gateway's threads need not enter it, and what they open by mistake is not the gateway's.

mod redirect;
mod routes;
mod sockets;

pub(crate) use redirect::redirect;
pub use routes::{Addresses, addresses};
pub(crate) use routes::{address, no_own_address, requests};
pub use sockets::Wire;
pub(crate) use sockets::{Bind, FIRST_FD, OPENED, Opened};

/// Interface index of both ends of the pair.
pub(crate) const ETHERNET: u32 = 2;
/// Hardware address of the gateway's end: locally administered, of no maker.
pub(crate) const ROUTER_MAC: [u8; 6] = [0x02, 0x1d, 0x7e, 0x00, 0x00, 0x01];
/// The port that redirected packets come to. Any would do: packets really sent to it are redirected to it, too.
pub(crate) const PORT: u16 = 1;
