//! The two network namespaces, from inside: sends the requests that the plan holds and opens the gateway's sockets.
//! Nothing here allocates (see [`super`]).

#![allow(unsafe_code)]

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use nix::errno::Errno;
use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use super::{At, Outcome, keep};
use crate::gateway::wire::{Bind, ETHERNET, FIRST_FD, OPENED, Opened};
use crate::jail::error::Step;
use crate::jail::network::{GATEWAY_FD, Side};
use crate::jail::plan::Plan;

/// The netlink sockets of one side.
struct Netlink {
    route: OwnedFd,
    netfilter: OwnedFd,
}

impl Netlink {
    fn open() -> Outcome<Self> {
        let open = |protocol: i32| {
            // SAFETY: plain integers.
            let fd = unsafe { libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, protocol) };
            // SAFETY: the kernel has just made it for us.
            Errno::result(fd).map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })
        };
        let route = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)
            .at(Step::Network, 0)?;
        Ok(Self { route, netfilter: open(libc::NETLINK_NETFILTER).at(Step::Network, 0)? })
    }
}

/// Builds both namespaces, starting in the gateway's and ending in the jail's.
pub(super) fn network(plan: &Plan) -> Outcome {
    let gateway = Netlink::open()?;
    let namespace =
        rustix::fs::open(c"/proc/self/ns/net", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).at(Step::Network, 0)?;
    keep(namespace, GATEWAY_FD).at(Step::Network, 0)?;
    sockets(false)?;
    // SAFETY: a new network namespace for this (single-threaded) process.
    Errno::result(unsafe { libc::unshare(libc::CLONE_NEWNET) }).at(Step::Network, 0)?;
    let jail = Netlink::open()?;
    for (item, request) in plan.network.iter().enumerate() {
        let side = match request.side {
            Side::Jail => &jail,
            Side::Gateway => &gateway,
        };
        let socket = if request.protocol == libc::NETLINK_ROUTE { &side.route } else { &side.netfilter };
        match ask(socket.as_fd(), &request.bytes) {
            Err(_) if request.optional => {}
            other => other.at(Step::Network, item)?,
        }
    }
    watch()?;
    sockets(true)
}

/// Opens the sockets that belong to this namespace.
fn sockets(in_jail: bool) -> Outcome {
    for (item, opened) in OPENED.iter().enumerate() {
        if opened.in_jail == in_jail {
            match open(opened) {
                Err(_) if opened.optional => {}
                other => {
                    let socket = other.at(Step::Gateway, item + 1)?;
                    keep(socket, FIRST_FD + item as i32).at(Step::Gateway, item + 1)?;
                }
            }
        }
    }
    Ok(())
}

/// Ties the sockets that see frames to the interface, which was not there when they were opened. (A socket stays in the
/// namespace it was opened in.)
fn watch() -> Outcome {
    for (item, _) in OPENED.iter().enumerate().filter(|(_, opened)| opened.bind == Bind::Interface) {
        // SAFETY: plain integers, of which all-zero is a value.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
        address.sll_ifindex = ETHERNET as i32;
        // SAFETY: kept at this number by `sockets`, and open until the process ends.
        let socket = unsafe { BorrowedFd::borrow_raw(FIRST_FD + item as i32) };
        bind(socket, &address).at(Step::Gateway, item + 1)?;
    }
    Ok(())
}

fn open(opened: &Opened) -> Result<OwnedFd, Errno> {
    // The capture has a thread of its own that waits for it; all others are served by one.
    let flags = libc::SOCK_CLOEXEC | if opened.bind == Bind::Interface { 0 } else { libc::SOCK_NONBLOCK };
    // SAFETY: plain integers.
    let fd = unsafe { libc::socket(opened.family, opened.kind | flags, opened.protocol) };
    // SAFETY: the kernel has just made it for us.
    let socket = Errno::result(fd).map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })?;
    for (level, name) in opened.options {
        let on: libc::c_int = 1;
        // SAFETY: an int behind a valid pointer, and its size.
        let set = unsafe {
            libc::setsockopt(socket.as_raw_fd(), *level, *name, ptr::from_ref(&on).cast(), size_of_val(&on) as u32)
        };
        Errno::result(set)?;
    }
    match (opened.bind, opened.family) {
        (Bind::No | Bind::Interface, _) => {}
        (Bind::Port(port), libc::AF_INET6) => {
            // SAFETY: plain integers; all-zero is the unspecified address.
            let mut address: libc::sockaddr_in6 = unsafe { std::mem::zeroed() };
            address.sin6_family = libc::AF_INET6 as u16;
            address.sin6_port = port.to_be();
            bind(socket.as_fd(), &address)?;
        }
        (Bind::Port(port), _) => {
            // SAFETY: as above.
            let mut address: libc::sockaddr_in = unsafe { std::mem::zeroed() };
            address.sin_family = libc::AF_INET as u16;
            address.sin_port = port.to_be();
            bind(socket.as_fd(), &address)?;
        }
    }
    if opened.listen {
        // SAFETY: plain integers.
        Errno::result(unsafe { libc::listen(socket.as_raw_fd(), 4096) })?;
    }
    Ok(socket)
}

fn bind<T>(socket: BorrowedFd<'_>, address: &T) -> Result<(), Errno> {
    // SAFETY: `address` is one of the kernel's address structures, and outlives the call.
    let result = unsafe { libc::bind(socket.as_raw_fd(), ptr::from_ref(address).cast(), size_of::<T>() as u32) };
    Errno::result(result).map(drop)
}

/// Sends one netlink request and reads its acknowledgement: `struct nlmsgerr` behind the
/// 16-byte header (`netlink(7)`).
fn ask(socket: BorrowedFd<'_>, request: &[u8]) -> Result<(), Errno> {
    let raw = |errno: rustix::io::Errno| Errno::from_raw(errno.raw_os_error());
    rustix::net::send(socket, request, SendFlags::empty()).map_err(raw)?;
    let mut answer = [0u8; 4096];
    let (_, length) = rustix::net::recv(socket, &mut answer[..], RecvFlags::empty()).map_err(raw)?;
    match answer.get(16..20).filter(|_| length >= 20) {
        Some(&[a, b, c, d]) => match i32::from_ne_bytes([a, b, c, d]) {
            0 => Ok(()),
            error => Err(Errno::from_raw(-error)),
        },
        _ => Err(Errno::EPROTO),
    }
}
