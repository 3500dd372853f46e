//! The jail's network interface, as netlink messages that are prepared before the clone: the
//! child, which may not allocate, only sends them.
//!
//! There are two network namespaces: the gateway's, which the child is born in, and the jail's.
//! `eth0` in the jail is one end of a veth pair; the other end stays with the gateway, out of
//! the subject's reach. What makes the gateway answer there is in [`crate::gateway`].

use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};

use crate::gateway::wire::{self, ETHERNET, ROUTER_MAC};
use crate::spec::Identity;

/// Descriptor number the child keeps the gateway's network namespace at.
pub(crate) const GATEWAY_FD: i32 = 900;

/// Interface index of the loopback, the same in every namespace.
const LOOPBACK: u32 = 1;

/// Where a message is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The jail's namespace.
    Jail,
    /// The gateway's.
    Gateway,
}

/// One thing to ask of the kernel: a whole netlink message, or a batch that is answered once.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Where it is sent.
    pub side: Side,
    /// By which netlink protocol.
    pub protocol: i32,
    /// The message.
    pub bytes: Vec<u8>,
    /// Whether the jail stands without it.
    pub optional: bool,
}

impl Request {
    /// One of the route protocol that must succeed.
    pub(crate) fn new(side: Side, bytes: Vec<u8>) -> Self {
        Self { side, protocol: libc::NETLINK_ROUTE, bytes, optional: false }
    }

    /// One of the route protocol that may fail.
    pub(crate) fn optional(side: Side, bytes: Vec<u8>) -> Self {
        Self { optional: true, ..Self::new(side, bytes) }
    }
}

/// The requests that build the network, in order; each asks for an acknowledgement.
pub(crate) fn requests(identity: &Identity) -> Vec<Request> {
    let (address, prefix) = identity.ipv4;
    let address = wire::address(std::net::Ipv4Addr::from(address).into(), prefix);
    let exclusive = NLM_F_CREATE | NLM_F_EXCL;
    let mut requests = vec![
        Request::new(Side::Jail, rtnetlink(RouteNetlinkMessage::SetLink(up(LOOPBACK)), 0)),
        Request::new(Side::Jail, rtnetlink(RouteNetlinkMessage::NewLink(pair(identity.mac)), exclusive)),
        wire::no_own_address(Side::Jail),
        wire::no_own_address(Side::Gateway),
        Request::new(Side::Jail, rtnetlink(RouteNetlinkMessage::NewAddress(address), exclusive)),
        Request::new(Side::Gateway, rtnetlink(RouteNetlinkMessage::SetLink(up(LOOPBACK)), 0)),
        // The gateway's end first: the jail's has a carrier from its first moment on.
        Request::new(Side::Gateway, rtnetlink(RouteNetlinkMessage::SetLink(up(ETHERNET)), 0)),
        Request::new(Side::Jail, rtnetlink(RouteNetlinkMessage::SetLink(up(ETHERNET)), 0)),
    ];
    requests.extend(wire::requests(identity));
    requests.push(wire::redirect());
    requests
}

fn up(index: u32) -> LinkMessage {
    let mut link = LinkMessage::default();
    link.header.index = index;
    link.header.flags = LinkFlags::Up;
    link.header.change_mask = LinkFlags::Up;
    link
}

fn pair(mac: [u8; 6]) -> LinkMessage {
    let mut peer = LinkMessage::default();
    peer.header.index = ETHERNET;
    peer.attributes = vec![
        LinkAttribute::IfName("jail0".into()),
        LinkAttribute::Address(ROUTER_MAC.to_vec()),
        LinkAttribute::NetNsFd(GATEWAY_FD),
    ];
    let mut link = LinkMessage::default();
    link.header.index = ETHERNET;
    link.attributes = vec![
        LinkAttribute::IfName("eth0".into()),
        LinkAttribute::Address(mac.to_vec()),
        LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
        ]),
    ];
    link
}

/// A message of the route protocol as bytes, to be acknowledged.
pub(crate) fn rtnetlink(message: RouteNetlinkMessage, flags: u16) -> Vec<u8> {
    let mut packet = NetlinkMessage::from(message);
    packet.header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
    packet.finalize();
    debug_assert!(matches!(packet.payload, NetlinkPayload::InnerMessage(_)));
    let mut bytes = vec![0; packet.buffer_len()];
    packet.serialize(&mut bytes);
    bytes
}
