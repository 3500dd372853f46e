//! The jail's network interface, as netlink messages that are prepared before the clone: the
//! child, which may not allocate, only sends them.
//!
//! There are two network namespaces: the gateway's, which the child is born in, and the jail's.
//! `eth0` in the jail is one end of a veth pair; the other end stays with the gateway, out of
//! the subject's reach. No default route is set until a gateway answers: every connection to
//! elsewhere fails at once with `ENETUNREACH`.

use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::spec::Identity;

/// Descriptor number the child keeps the gateway's network namespace at.
pub(crate) const GATEWAY_FD: i32 = 900;

/// Interface index of the loopback, the same in every namespace.
const LOOPBACK: u32 = 1;
/// Interface index given to both ends of the pair.
const ETHERNET: u32 = 2;

/// Where a message is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The jail's namespace.
    Jail,
    /// The gateway's.
    Gateway,
}

/// The requests that build the network, in order; each asks for an acknowledgement.
pub(crate) fn requests(identity: &Identity) -> Vec<(Side, Vec<u8>)> {
    let (address, prefix) = identity.ipv4;
    vec![
        (Side::Jail, request(RouteNetlinkMessage::SetLink(up(LOOPBACK)), 0)),
        (Side::Jail, request(RouteNetlinkMessage::NewLink(pair(identity.mac)), NLM_F_CREATE | NLM_F_EXCL)),
        (Side::Jail, request(RouteNetlinkMessage::NewAddress(ipv4(address, prefix)), NLM_F_CREATE | NLM_F_EXCL)),
        (Side::Jail, request(RouteNetlinkMessage::SetLink(up(ETHERNET)), 0)),
        (Side::Gateway, request(RouteNetlinkMessage::SetLink(up(LOOPBACK)), 0)),
        (Side::Gateway, request(RouteNetlinkMessage::SetLink(up(ETHERNET)), 0)),
    ]
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
    peer.attributes = vec![LinkAttribute::IfName("jail0".into()), LinkAttribute::NetNsFd(GATEWAY_FD)];
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

fn ipv4(address: [u8; 4], prefix: u8) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.prefix_len = prefix;
    message.header.index = ETHERNET;
    let address = std::net::IpAddr::from(address);
    message.attributes = vec![AddressAttribute::Local(address), AddressAttribute::Address(address)];
    message
}

fn request(message: RouteNetlinkMessage, flags: u16) -> Vec<u8> {
    let mut packet = NetlinkMessage::from(message);
    packet.header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
    packet.finalize();
    debug_assert!(matches!(packet.payload, NetlinkPayload::InnerMessage(_)));
    let mut bytes = vec![0; packet.buffer_len()];
    packet.serialize(&mut bytes);
    bytes
}
