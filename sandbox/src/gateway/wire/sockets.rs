//! The sockets of the wire: which the jail's first process opens for the gateway, and how belljar holds them.

use std::os::fd::OwnedFd;

use super::PORT;

/// A socket to be opened, with plain numbers: the child that does it may not allocate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opened {
    /// Whether it belongs to the jail's own namespace rather than the gateway's.
    pub in_jail: bool,
    /// Address family, type and protocol (`socket(2)`).
    pub family: i32,
    pub kind: i32,
    pub protocol: i32,
    /// Options set to 1 before it is bound.
    pub options: &'static [Option],
    /// What it is bound to.
    pub bind: Bind,
    /// Whether it takes connections.
    pub listen: bool,
    /// Whether the wire works without it: IPv6 is not in every kernel.
    pub optional: bool,
}

/// Level and name of a socket option.
pub(crate) type Option = (i32, i32);

/// What a socket is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bind {
    /// Nothing.
    No,
    /// This port of every address.
    Port(u16),
    /// The interface of the wire, all protocols, once it is there.
    Interface,
}

/// Descriptor number that the first of [`OPENED`] is kept at; the others follow.
pub(crate) const FIRST_FD: i32 = 903;

const TRANSPARENT4: Option = (libc::IPPROTO_IP, libc::IP_TRANSPARENT);
const TRANSPARENT6: Option = (libc::IPPROTO_IPV6, libc::IPV6_TRANSPARENT);
const ONLY6: Option = (libc::IPPROTO_IPV6, libc::IPV6_V6ONLY);
const TO4: Option = (libc::IPPROTO_IP, libc::IP_RECVORIGDSTADDR);
const TO6: Option = (libc::IPPROTO_IPV6, libc::IPV6_RECVORIGDSTADDR);
const DROPPED: Option = (libc::SOL_SOCKET, libc::SO_RXQ_OVFL);
const NODELAY: Option = (libc::IPPROTO_TCP, libc::TCP_NODELAY);

const SOCKET: Opened = Opened {
    in_jail: false,
    family: libc::AF_INET,
    kind: libc::SOCK_STREAM,
    protocol: 0,
    options: &[],
    bind: Bind::No,
    listen: false,
    optional: false,
};
const ACTIVE: Opened = Opened { options: &[TRANSPARENT4], ..SOCKET };

/// All sockets of the wire, in the order of their descriptors.
pub(crate) const OPENED: [Opened; 16] = [
    Opened { options: &[TRANSPARENT4, NODELAY], bind: Bind::Port(PORT), listen: true, ..SOCKET },
    Opened {
        family: libc::AF_INET6,
        options: &[ONLY6, TRANSPARENT6, NODELAY],
        bind: Bind::Port(PORT),
        listen: true,
        optional: true,
        ..SOCKET
    },
    Opened { kind: libc::SOCK_DGRAM, options: &[TRANSPARENT4, TO4, DROPPED], bind: Bind::Port(PORT), ..SOCKET },
    Opened {
        family: libc::AF_INET6,
        kind: libc::SOCK_DGRAM,
        options: &[ONLY6, TRANSPARENT6, TO6, DROPPED],
        bind: Bind::Port(PORT),
        optional: true,
        ..SOCKET
    },
    // Answers to datagrams come from the address and port that was asked: only whole packets can say so.
    Opened { kind: libc::SOCK_RAW, protocol: libc::IPPROTO_RAW, ..SOCKET },
    Opened { family: libc::AF_INET6, kind: libc::SOCK_RAW, protocol: libc::IPPROTO_RAW, optional: true, ..SOCKET },
    // Protocol 0: it sees nothing until it is tied to the interface.
    Opened { family: libc::AF_PACKET, kind: libc::SOCK_RAW, bind: Bind::Interface, ..SOCKET },
    Opened {
        in_jail: true,
        family: libc::AF_NETLINK,
        protocol: libc::NETLINK_SOCK_DIAG,
        kind: libc::SOCK_RAW,
        optional: true,
        ..SOCKET
    },
    // For connections that a server opens to its client (FTP, active): more cannot be made later.
    ACTIVE,
    ACTIVE,
    ACTIVE,
    ACTIVE,
    ACTIVE,
    ACTIVE,
    ACTIVE,
    ACTIVE,
];

/// The sockets, as belljar holds them. All but the capture's are non-blocking.
#[derive(Debug)]
pub struct Wire {
    /// Takes every TCP connection over IPv4; its local address is the one that was called.
    pub tcp4: OwnedFd,
    /// The same over IPv6; `None` where the kernel has none.
    pub tcp6: std::option::Option<OwnedFd>,
    /// Takes every datagram over IPv4, with the address it was sent to beside it.
    pub udp4: OwnedFd,
    /// The same over IPv6.
    pub udp6: std::option::Option<OwnedFd>,
    /// Sends whole IPv4 packets.
    pub raw4: OwnedFd,
    /// Sends whole IPv6 packets.
    pub raw6: std::option::Option<OwnedFd>,
    /// Sees every frame of the wire, both ways.
    pub packet: OwnedFd,
    /// Asks about sockets of the jail.
    pub diag: std::option::Option<OwnedFd>,
    /// Unconnected sockets for connections to the jail.
    pub active: Vec<OwnedFd>,
}

impl Wire {
    /// From the descriptors of [`OPENED`], fetched one by one. `None` when one is missing that must be there.
    pub(crate) fn collect(mut fetch: impl FnMut(i32) -> std::option::Option<OwnedFd>) -> std::option::Option<Self> {
        let mut next = (FIRST_FD..).map(&mut fetch);
        let mut take = || next.next().flatten();
        Some(Self {
            tcp4: take()?,
            tcp6: take(),
            udp4: take()?,
            udp6: take(),
            raw4: take()?,
            raw6: take(),
            packet: take()?,
            diag: take(),
            active: (0..8).filter_map(|_| take()).collect(),
        })
    }
}
