//! Sockets: making them, naming their ends, bytes out and in.
//!
//! Everything that makes, names or uses a socket is watched. Reading or setting options is passed:
//! the gateway sees what leaves, whatever options it left with.

use super::prelude::*;

calls! {
    socket 41 359 (domain: Flags(&FAMILY), type: Flags(&SOCK), protocol: Int) Network Watched;
    socketpair 53 360 (domain: Flags(&FAMILY), type: Flags(&SOCK), protocol: Int, sv: Pointer) Network Watched;
    connect 42 362 (fd: Fd, addr: SockAddr { len: 2 }, addrlen: Uint) Network Watched;
    bind 49 361 (fd: Fd, addr: SockAddr { len: 2 }, addrlen: Uint) Network Watched;
    listen 50 363 (fd: Fd, backlog: Int) Network Watched;
    accept 43 - (fd: Fd, addr: Pointer, addrlen: Pointer) Network Watched;
    accept4 288 364 (fd: Fd, addr: Pointer, addrlen: Pointer, flags: Flags(&ACCEPT)) Network Watched;
    shutdown 48 373 (fd: Fd, how: Flags(&SHUTDOWN)) Network Passed;
    getsockname 51 367 (fd: Fd, addr: Pointer, addrlen: Pointer) Network Passed;
    getpeername 52 368 (fd: Fd, addr: Pointer, addrlen: Pointer) Network Passed;
    setsockopt 54 366 (fd: Fd, level: Flags(&SOL), optname: Int, optval: InBuf { len: 4 }, optlen: Uint) Network Passed;
    getsockopt 55 365 (fd: Fd, level: Flags(&SOL), optname: Int, optval: Pointer, optlen: Pointer) Network Passed;
    // i386: the call's number and a pointer to its arguments, which the filter cannot see.
    socketcall - 102 (call: Flags(&SOCKETCALL), args: Pointer) Network Watched;

    sendto 44 369 (fd: Fd, buf: InBuf { len: 2 }, size: Uint, flags: Flags(&MSG), dest_addr: SockAddr { len: 5 }, addrlen: Uint) Send Watched;
    sendmsg 46 370 (fd: Fd, msg: InMsg, flags: Flags(&MSG)) Send Watched;
    sendmmsg 307 345 (fd: Fd, msgvec: InMmsg { count: 2 }, vlen: Uint, flags: Flags(&MSG)) Send Watched;
    recvfrom 45 371 (fd: Fd, buf: OutBuf { len: 2 }, size: Uint, flags: Flags(&MSG), src_addr: Pointer, addrlen: Pointer) Receive Watched;
    recvmsg 47 372 (fd: Fd, msg: OutMsg, flags: Flags(&MSG)) Receive Watched;
    recvmmsg 299 337 (fd: Fd, msgvec: Pointer, vlen: Uint, flags: Flags(&MSG), timeout: Pointer) Receive Watched;
    recvmmsg_time64 - 417 (fd: Fd, msgvec: Pointer, vlen: Uint, flags: Flags(&MSG), timeout: Pointer) Receive Watched;
}
