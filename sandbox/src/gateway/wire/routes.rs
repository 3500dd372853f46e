//! Addresses, routes and neighbours of the wire, as netlink requests.
//!
//! The neighbours are told to each other for good, so that no connection waits for ARP or neighbour discovery, and
//! addresses are not tried for duplicates, so that IPv6 works at once. What needs IPv6 may fail: not every kernel has it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use netlink_packet_route::link::{AfSpecInet6, AfSpecUnspec, In6AddrGenMode, LinkAttribute, LinkMessage};
use netlink_packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::{ETHERNET, ROUTER_MAC};
use crate::jail::network::{Request, Side, rtnetlink};
use crate::spec::Identity;

/// The table in which everything is local. Any number but the kernel's own (253 to 255).
const TABLE: u8 = 100;
/// Before the main table (32766), after the namespace's own addresses (0).
const PRIORITY: u32 = 100;

/// Who is who on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The jail's IPv4 address, and the length of its prefix.
    pub jail4: (Ipv4Addr, u8),
    /// Its IPv6 address; the prefix is 64 bits.
    pub jail6: Ipv6Addr,
    /// Its default route and name server.
    pub router4: Ipv4Addr,
    /// The same for IPv6.
    pub router6: Ipv6Addr,
}

/// The addresses that follow from a device's identity: the router is the first address of the IPv4 network; the IPv6
/// network is a unique local one (RFC 4193) made of the hardware address, and the interface's part of the address is
/// the usual one (RFC 4291, appendix A).
pub fn addresses(identity: &Identity) -> Addresses {
    let (octets, prefix) = identity.ipv4;
    let jail = u32::from(Ipv4Addr::from(octets));
    let mask = u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0);
    let first = (jail & mask) | 1;
    // The neighbour where the device itself is the first, or its network has no room.
    let router = if first == jail || prefix >= 31 { jail ^ if prefix >= 31 { 1 } else { 3 } } else { first };
    let mac = identity.mac;
    let network = [0xfd, mac[3], mac[4], mac[5], mac[2], mac[1], 0, 0];
    let interface = [mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]];
    let join = |interface: [u8; 8]| {
        Ipv6Addr::from(u128::from(u64::from_be_bytes(network)) << 64 | u128::from(u64::from_be_bytes(interface)))
    };
    Addresses {
        jail4: (Ipv4Addr::from(octets), prefix),
        jail6: join(interface),
        router4: Ipv4Addr::from(router),
        router6: join([0, 0, 0, 0, 0, 0, 0, 1]),
    }
}

/// The requests that make the wire of a pair of interfaces that is there, in order.
pub(crate) fn requests(identity: &Identity) -> Vec<Request> {
    let to = addresses(identity);
    let (jail4, prefix4) = to.jail4;
    vec![
        Request::new(Side::Gateway, create(RouteNetlinkMessage::NewAddress(address(to.router4.into(), prefix4)))),
        Request::new(Side::Jail, create(RouteNetlinkMessage::NewNeighbour(neighbour(to.router4.into(), ROUTER_MAC)))),
        Request::new(Side::Gateway, create(RouteNetlinkMessage::NewNeighbour(neighbour(jail4.into(), identity.mac)))),
        Request::new(Side::Jail, create(RouteNetlinkMessage::NewRoute(default_route(to.router4.into())))),
        Request::new(Side::Gateway, create(RouteNetlinkMessage::NewRoute(everything_local(AddressFamily::Inet)))),
        Request::new(Side::Gateway, create(RouteNetlinkMessage::NewRule(rule(AddressFamily::Inet)))),
        Request::optional(Side::Jail, create(RouteNetlinkMessage::NewAddress(lonely(to.jail6)))),
        Request::optional(Side::Gateway, create(RouteNetlinkMessage::NewAddress(address(to.router6.into(), 64)))),
        Request::optional(
            Side::Jail,
            create(RouteNetlinkMessage::NewNeighbour(neighbour(to.router6.into(), ROUTER_MAC))),
        ),
        Request::optional(
            Side::Gateway,
            create(RouteNetlinkMessage::NewNeighbour(neighbour(to.jail6.into(), identity.mac))),
        ),
        Request::optional(Side::Jail, create(RouteNetlinkMessage::NewRoute(default_route(to.router6.into())))),
        Request::optional(Side::Gateway, create(RouteNetlinkMessage::NewRoute(everything_local(AddressFamily::Inet6)))),
        Request::optional(Side::Gateway, create(RouteNetlinkMessage::NewRule(rule(AddressFamily::Inet6)))),
    ]
}

/// Says that the kernel is to make no address of its own for the interface: it would try it for duplicates and ask for
/// routers, which no software of the subject's does.
pub(crate) fn no_own_address(side: Side) -> Request {
    let mut link = LinkMessage::default();
    link.header.index = ETHERNET;
    let mode = AfSpecInet6::AddrGenMode(In6AddrGenMode::None);
    link.attributes = vec![LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(vec![mode])])];
    Request::optional(side, rtnetlink(RouteNetlinkMessage::SetLink(link), 0))
}

fn create(message: RouteNetlinkMessage) -> Vec<u8> {
    rtnetlink(message, NLM_F_CREATE | NLM_F_EXCL)
}

pub(crate) fn address(address: IpAddr, prefix: u8) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = family(address);
    message.header.prefix_len = prefix;
    message.header.index = ETHERNET;
    message.attributes = vec![AddressAttribute::Local(address), AddressAttribute::Address(address)];
    if address.is_ipv6() {
        message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
    }
    message
}

/// An address without a route to its neighbours: those are reached through the router, which answers for them all;
/// neighbour discovery, unlike ARP, would find none.
fn lonely(address: Ipv6Addr) -> AddressMessage {
    let mut message = self::address(address.into(), 64);
    message.attributes.pop();
    message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad | AddressFlags::Noprefixroute));
    message
}

fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv6() { AddressFamily::Inet6 } else { AddressFamily::Inet }
}

fn neighbour(address: IpAddr, mac: [u8; 6]) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = family(address);
    message.header.ifindex = ETHERNET;
    message.header.state = NeighbourState::Permanent;
    message.attributes = vec![
        NeighbourAttribute::Destination(match address {
            IpAddr::V4(address) => NeighbourAddress::Inet(address),
            IpAddr::V6(address) => NeighbourAddress::Inet6(address),
        }),
        NeighbourAttribute::LinkLayerAddress(mac.to_vec()),
    ];
    message
}

fn default_route(router: IpAddr) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family(router);
    message.header.table = 254; // main
    message.header.protocol = RouteProtocol::Static;
    message.header.scope = RouteScope::Universe;
    message.header.kind = RouteType::Unicast;
    message.header.flags = RouteFlags::Onlink;
    message.attributes = vec![
        RouteAttribute::Gateway(match router {
            IpAddr::V4(address) => RouteAddress::Inet(address),
            IpAddr::V6(address) => RouteAddress::Inet6(address),
        }),
        RouteAttribute::Oif(ETHERNET),
    ];
    message
}

fn everything_local(family: AddressFamily) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family;
    message.header.table = TABLE;
    message.header.protocol = RouteProtocol::Static;
    message.header.scope = RouteScope::Host;
    message.header.kind = RouteType::Local;
    message.attributes = vec![RouteAttribute::Oif(1)]; // the loopback, as in the kernel's own table
    message
}

fn rule(family: AddressFamily) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.family = family;
    message.header.table = TABLE;
    message.header.action = RuleAction::ToTable;
    message.attributes = vec![RuleAttribute::Iifname("jail0".into()), RuleAttribute::Priority(PRIORITY)];
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(ipv4: ([u8; 4], u8)) -> Addresses {
        addresses(&Identity {
            hostname: String::new(),
            machine_id: String::new(),
            mac: [0x3c, 0x52, 0x82, 0x12, 0x34, 0x56],
            ipv4,
            dmi: Vec::new(),
        })
    }

    #[test]
    fn the_router_is_another_address_of_the_same_network() {
        for (jail, router) in [
            (([10, 20, 0, 15], 24), [10, 20, 0, 1]),
            (([10, 20, 0, 1], 24), [10, 20, 0, 2]),
            (([192, 168, 77, 130], 25), [192, 168, 77, 129]),
            (([10, 0, 0, 4], 31), [10, 0, 0, 5]),
            (([10, 0, 0, 4], 32), [10, 0, 0, 5]),
            (([10, 0, 0, 4], 0), [0, 0, 0, 1]),
        ] {
            assert_eq!(of(jail).router4, Ipv4Addr::from(router), "{jail:?}");
        }
        let v6 = of(([10, 20, 0, 15], 24));
        assert_eq!(v6.jail6.to_string(), "fd12:3456:8252:0:3e52:82ff:fe12:3456");
        assert_eq!(v6.router6.to_string(), "fd12:3456:8252::1");
    }
}
