//! `recvmsg(2)` with the address that a redirected datagram was sent to: neither nix nor rustix knows it for both
//! families.

#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

/// A received datagram.
pub(super) struct Received {
    /// Its length.
    pub length: usize,
    /// Who sent it.
    pub source: SocketAddr,
    /// To whom, where the kernel says so.
    pub called: Option<SocketAddr>,
    /// How many the socket has had no room for, from its beginning (`SO_RXQ_OVFL`), where the kernel says so.
    pub dropped: Option<u32>,
}

/// Receives one datagram without waiting.
pub(super) fn receive_from(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Received> {
    let mut name = MaybeUninit::<libc::sockaddr_storage>::zeroed();
    let mut control = [0u64; 16]; // aligned as control messages must be
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: plain integers and pointers, of which all-zero is a value.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_name = name.as_mut_ptr().cast();
    message.msg_namelen = size_of::<libc::sockaddr_storage>() as u32;
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control);
    // SAFETY: every pointer of the message is to memory that outlives the call, with its size.
    let length = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_DONTWAIT) };
    let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
    // SAFETY: zeroed, then at most filled by the kernel; plain integers.
    let source = address(unsafe { name.assume_init_ref() });
    let source = source.ok_or_else(|| io::Error::other("a datagram from no address"))?;
    let (mut called, mut dropped) = (None, None);
    // SAFETY: the message is as the kernel left it; the macros walk within `msg_controllen`.
    let mut header = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    while !header.is_null() {
        // SAFETY: not null, so a whole header lies there.
        let (level, kind) = unsafe { ((*header).cmsg_level, (*header).cmsg_type) };
        let mut storage = MaybeUninit::<libc::sockaddr_storage>::zeroed();
        let size = match (level, kind) {
            (libc::SOL_IP, libc::IP_ORIGDSTADDR) => size_of::<libc::sockaddr_in>(),
            (libc::SOL_IPV6, libc::IPV6_ORIGDSTADDR) => size_of::<libc::sockaddr_in6>(),
            _ => 0,
        };
        if (level, kind) == (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) {
            // SAFETY: the kernel puts one number of this size there for this type.
            dropped = Some(unsafe { libc::CMSG_DATA(header).cast::<u32>().read_unaligned() });
        }
        if size > 0 {
            // SAFETY: the kernel puts an address of that size there for these types; the storage is larger.
            let known = unsafe {
                ptr::copy_nonoverlapping(libc::CMSG_DATA(header), storage.as_mut_ptr().cast(), size);
                storage.assume_init_ref()
            };
            called = address(known);
        }
        // SAFETY: as above.
        header = unsafe { libc::CMSG_NXTHDR(&raw const message, header) };
    }
    Ok(Received { length, source, called, dropped })
}

fn address(storage: &libc::sockaddr_storage) -> Option<SocketAddr> {
    let start = ptr::from_ref(storage);
    match i32::from(storage.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says which structure it is; the storage is larger, and aligned for all.
            let v4 = unsafe { &*start.cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
            Some(SocketAddr::new(IpAddr::V4(ip), u16::from_be(v4.sin_port)))
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let v6 = unsafe { &*start.cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            Some(SocketAddr::new(IpAddr::V6(ip), u16::from_be(v6.sin6_port)))
        }
        _ => None,
    }
}
