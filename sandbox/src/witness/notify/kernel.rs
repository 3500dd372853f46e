//! The kernel interfaces that no safe crate wraps: the notification ioctls of seccomp_unotify(2), reading another
//! process's memory without a file, exit information of a pidfd, and sockets taken from the subject.
//!
//! The only unsafe code of the witness; everything here is one system call on memory that is ours.

#![allow(unsafe_code)]

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Structure sizes are part of the ioctl numbers; these stand in linux/seccomp.h for every kernel since 5.0.
const NOTIF_RECV: u64 = 0xc050_2100;
const NOTIF_SEND: u64 = 0xc018_2101;
const NOTIF_ID_VALID: u64 = 0x4008_2102;
const NOTIF_SET_FLAGS: u64 = 0x4008_2104;
/// `SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP` (Linux 6.6): wake the other side on this CPU.
const SYNC_WAKE_UP: u64 = 1;
/// `PIDFD_GET_INFO` and its exit information (linux/pidfd.h, Linux 6.13 and 6.15), first version of the structure.
const PIDFD_GET_INFO: u64 = 0xc040_ff0b;
const PIDFD_INFO_EXIT: u64 = 1 << 3;
/// `PIDFD_THREAD` (Linux 6.9) is `O_EXCL`.
pub(super) const PIDFD_THREAD: u32 = libc::O_EXCL as u32;

fn ioctl<T>(fd: BorrowedFd<'_>, request: u64, argument: &mut T) -> io::Result<()> {
    // SAFETY: every request of this module reads and writes at most the structure whose size is part of its number,
    // and `argument` is that structure.
    match unsafe { libc::ioctl(fd.as_raw_fd(), request as _, std::ptr::from_mut(argument)) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A notification with nothing in it; the kernel refuses one that is not all zero.
pub(super) fn empty_notification() -> libc::seccomp_notif {
    libc::seccomp_notif {
        id: 0,
        pid: 0,
        flags: 0,
        data: libc::seccomp_data { nr: 0, arch: 0, instruction_pointer: 0, args: [0; 6] },
    }
}

/// Waits for the next trapped call.
pub(super) fn receive(listener: BorrowedFd<'_>, notification: &mut libc::seccomp_notif) -> io::Result<()> {
    *notification = empty_notification();
    ioctl(listener, NOTIF_RECV, notification)
}

/// What the subject gets.
#[derive(Clone, Copy, Debug)]
pub(super) enum Answer {
    /// The kernel goes on with the call.
    Continue,
    /// The call returns this: zero or more, or a negative errno.
    Return(i64),
}

/// Answers a call. `ENOENT` means that its caller is gone.
pub(super) fn respond(listener: BorrowedFd<'_>, id: u64, answer: Answer) -> io::Result<()> {
    let mut response = libc::seccomp_notif_resp { id, val: 0, error: 0, flags: 0 };
    match answer {
        Answer::Continue => response.flags = libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32,
        Answer::Return(value) if value < 0 => response.error = value as i32,
        Answer::Return(value) => response.val = value,
    }
    ioctl(listener, NOTIF_SEND, &mut response)
}

/// Whether the caller of a notification still waits in the call: only then was what has been read of it its own.
pub(super) fn is_valid(listener: BorrowedFd<'_>, mut id: u64) -> bool {
    ioctl(listener, NOTIF_ID_VALID, &mut id).is_ok()
}

/// Asks for wake-ups on the caller's own CPU. Kernels before 6.6 do not know it; it only makes things faster.
pub(super) fn set_sync_wake_up(listener: BorrowedFd<'_>) -> bool {
    // SAFETY: this request takes its argument by value.
    unsafe { libc::ioctl(listener.as_raw_fd(), NOTIF_SET_FLAGS as _, SYNC_WAKE_UP) == 0 }
}

/// `process_vm_readv`: for subjects whose `/proc/PID/mem` may not be opened because of its owner.
pub(super) fn read_memory(tid: i32, address: u64, into: &mut [u8]) -> io::Result<usize> {
    let local = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    let remote = libc::iovec { iov_base: address as *mut libc::c_void, iov_len: into.len() };
    // SAFETY: one local element that describes `into`; the remote one is only followed in the other process.
    let read = unsafe { libc::process_vm_readv(tid, &raw const local, 1, &raw const remote, 1, 0) };
    usize::try_from(read).map_err(|_| io::Error::last_os_error())
}

/// `struct pidfd_info` (linux/pidfd.h), first version: 64 bytes.
#[repr(C)]
#[derive(Default)]
struct PidfdInfo {
    mask: u64,
    cgroup: u64,
    pid: u32,
    tgid: u32,
    ppid: u32,
    ids: [u32; 8],
    exit_code: i32,
}

/// The raw wait status of a process that has been waited for; `None` before that, and before Linux 6.15.
pub(super) fn exit_status(pidfd: BorrowedFd<'_>) -> Option<i32> {
    let mut info = PidfdInfo { mask: PIDFD_INFO_EXIT, ..PidfdInfo::default() };
    const { assert!(size_of::<PidfdInfo>() == 64) };
    ioctl(pidfd, PIDFD_GET_INFO, &mut info).ok()?;
    (info.mask & PIDFD_INFO_EXIT != 0).then_some(info.exit_code)
}

/// The largest socket address there is: `struct sockaddr_storage`.
pub(super) const ADDRESS_MAX: usize = 128;

type AddressCall = unsafe extern "C" fn(libc::c_int, *mut libc::sockaddr, *mut libc::socklen_t) -> libc::c_int;

fn address_by(call: AddressCall, socket: BorrowedFd<'_>, into: &mut [u8; ADDRESS_MAX]) -> io::Result<usize> {
    let mut length = ADDRESS_MAX as libc::socklen_t;
    // SAFETY: getpeername and getsockname write at most `length` bytes into the buffer of that size.
    match unsafe { call(socket.as_raw_fd(), into.as_mut_ptr().cast(), &raw mut length) } {
        0 => Ok((length as usize).min(ADDRESS_MAX)),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The raw address of a socket's peer; returns its length.
pub(super) fn peer_address(socket: BorrowedFd<'_>, into: &mut [u8; ADDRESS_MAX]) -> io::Result<usize> {
    address_by(libc::getpeername, socket, into)
}

/// The raw address of a socket itself; returns its length.
pub(super) fn own_address(socket: BorrowedFd<'_>, into: &mut [u8; ADDRESS_MAX]) -> io::Result<usize> {
    address_by(libc::getsockname, socket, into)
}

/// An integer socket option at `SOL_SOCKET`.
pub(super) fn socket_option(socket: BorrowedFd<'_>, option: i32) -> Option<i32> {
    let (mut value, mut length) = (0_i32, size_of::<i32>() as libc::socklen_t);
    // SAFETY: `value` and `length` describe four bytes of ours.
    let status = unsafe {
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, option, (&raw mut value).cast(), &raw mut length)
    };
    (status == 0).then_some(value)
}

fn errno_or(value: isize) -> i64 {
    if value < 0 { -i64::from(io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)) } else { value as i64 }
}

/// `connect` with a copied address. Returns 0 or a negative errno.
pub(super) fn connect(socket: BorrowedFd<'_>, address: &[u8]) -> i64 {
    // SAFETY: the address is `address.len()` readable bytes.
    let status =
        unsafe { libc::connect(socket.as_raw_fd(), address.as_ptr().cast(), address.len() as libc::socklen_t) };
    errno_or(status as isize)
}

/// `sendto` with copied bytes and address, without waiting and without a signal. Returns the bytes sent or a
/// negative errno.
pub(super) fn send_to(socket: BorrowedFd<'_>, bytes: &[u8], flags: i32, address: &[u8]) -> i64 {
    // SAFETY: both slices are readable for their lengths.
    let sent = unsafe {
        libc::sendto(
            socket.as_raw_fd(),
            bytes.as_ptr().cast(),
            bytes.len(),
            flags | libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
            address.as_ptr().cast(),
            address.len() as libc::socklen_t,
        )
    };
    errno_or(sent)
}
