//! The kernel's ring of captured frames (`packet_mmap.rst`, TPACKET_V3): frames are read where the kernel put them, so
//! that a fast transfer is not outrun by copying, and what did not fit is counted.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Bytes of a block; a frame lies within one.
const BLOCK: u32 = 1 << 20;
/// Blocks of the ring: 32 MiB in all, which a fast transfer fills in some tens of milliseconds.
const BLOCKS: u32 = 32;
/// After how long a block is handed over that is not full, in milliseconds.
const RETIRE_MS: u32 = 20;

/// How long a block that is not full waits before it is shown: the secrets that open its packets are told by another
/// thread, and must be written before them. A ring that fills does not wait.
const SETTLE: Duration = Duration::from_millis(80);
const LOOK: Duration = Duration::from_millis(5);
const FILLING: u32 = 8;

/// One frame, borrowed from the ring.
pub(super) struct Frame<'a> {
    /// Nanoseconds since 1970.
    pub time_ns: u64,
    /// Whether the gateway's side sent it.
    pub outgoing: bool,
    /// Its length on the wire.
    pub len: u32,
    /// Its bytes.
    pub bytes: &'a [u8],
}

/// The ring.
pub(super) struct Ring {
    socket: OwnedFd,
    base: *mut u8,
    next: u32,
    /// Frames that were shown, and that the kernel has put into the ring.
    shown: u64,
    put: u64,
    dropped: u64,
}

// SAFETY: the mapping belongs to this value alone; it may be read from whichever thread owns it.
unsafe impl Send for Ring {}

/// Waits until one of these can be read, this long at most. Whether one can.
pub(super) fn rang(of: [Option<BorrowedFd<'_>>; 2], wait: Duration) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let limit = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: wait.subsec_nanos().into() };
    let mut list: Vec<PollFd<'_>> =
        of.iter().flatten().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
    poll(&mut list, Some(&limit)).is_ok_and(|ready| ready > 0)
}

fn set<T>(socket: BorrowedFd<'_>, name: i32, value: &T) -> io::Result<()> {
    // SAFETY: `value` is the structure that the option takes, and its size.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            name,
            ptr::from_ref(value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

impl Ring {
    /// Gives the packet socket a ring.
    pub(super) fn new(socket: OwnedFd) -> io::Result<Self> {
        set(socket.as_fd(), libc::PACKET_VERSION, &(libc::tpacket_versions::TPACKET_V3 as libc::c_int))?;
        // SAFETY: plain integers, of which all-zero is a value.
        let mut request: libc::tpacket_req3 = unsafe { std::mem::zeroed() };
        request.tp_block_size = BLOCK;
        request.tp_block_nr = BLOCKS;
        request.tp_frame_size = 2048;
        request.tp_frame_nr = BLOCK / 2048 * BLOCKS;
        request.tp_retire_blk_tov = RETIRE_MS;
        set(socket.as_fd(), libc::PACKET_RX_RING, &request)?;
        let length = BLOCK as usize * BLOCKS as usize;
        // SAFETY: a fresh shared mapping of the ring that was just made, with its size.
        let base = unsafe {
            libc::mmap(
                ptr::null_mut(),
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                socket.as_raw_fd(),
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { socket, base: base.cast(), next: 0, shown: 0, put: 0, dropped: 0 })
    }

    /// Shows every frame of the next block to `see`, waiting for one at most this long, or until `bell` is rung. A block
    /// that was handed over before it was full is shown later: what belongs before it may not have been told yet. Where
    /// there is no bell all has been.
    pub(super) fn block(&mut self, wait: Duration, bell: Option<BorrowedFd<'_>>, mut see: impl FnMut(Frame<'_>)) {
        // SAFETY: `next` is below BLOCKS, so the block lies in the mapping, and begins with its descriptor.
        let block = unsafe { self.base.add(self.next as usize * BLOCK as usize) };
        #[allow(clippy::cast_ptr_alignment, reason = "blocks are a MiB each from the start of a page")]
        let header = block.cast::<libc::tpacket_block_desc>();
        // SAFETY: the header of a block is always mapped; the kernel changes its status, so it is read atomically.
        let status = unsafe { AtomicU32::from_ptr(&raw mut (*header).hdr.bh1.block_status) };
        if status.load(Ordering::Acquire) & libc::TP_STATUS_USER == 0 {
            rang([Some(self.socket.as_fd()), bell], wait); // what came is told by the status
            if status.load(Ordering::Acquire) & libc::TP_STATUS_USER == 0 {
                // The interface may have gone: an error that nobody takes would be told again at once, for ever.
                let _ = rustix::net::sockopt::socket_error(&self.socket);
                return;
            }
        }
        if status.load(Ordering::Acquire) & libc::TP_STATUS_BLK_TMO != 0 && bell.is_some() {
            let begun = Instant::now();
            while begun.elapsed() < SETTLE && !self.is_filling() && !rang([bell, None], LOOK) {}
        }
        // SAFETY: the block is ours until its status is given back; so are its numbers.
        let (count, mut offset) =
            unsafe { ((*header).hdr.bh1.num_pkts, (*header).hdr.bh1.offset_to_first_pkt as usize) };
        let room = size_of::<libc::tpacket3_hdr>() + size_of::<libc::sockaddr_ll>() + 16;
        for _ in 0..count {
            if offset + room > BLOCK as usize {
                break; // the kernel does not; a mistake here must not read on
            }
            // SAFETY: a frame header lies at this offset of a block that is ours, within its bounds.
            let frame = unsafe { block.add(offset).cast::<libc::tpacket3_hdr>().read_unaligned() };
            let start = offset + usize::from(frame.tp_mac);
            let length = (frame.tp_snaplen as usize).min((BLOCK as usize).saturating_sub(start));
            let address = offset + size_of::<libc::tpacket3_hdr>().next_multiple_of(16);
            // SAFETY: the link address follows the header, aligned to 16 bytes (TPACKET_ALIGN), within `room`.
            let link = unsafe { block.add(address).cast::<libc::sockaddr_ll>().read_unaligned() };
            if start <= BLOCK as usize {
                // SAFETY: within the block, which is ours, for as long as `see` runs.
                let bytes = unsafe { std::slice::from_raw_parts(block.add(start), length) };
                see(Frame {
                    time_ns: u64::from(frame.tp_sec) * 1_000_000_000 + u64::from(frame.tp_nsec),
                    outgoing: link.sll_pkttype == libc::PACKET_OUTGOING,
                    len: frame.tp_len,
                    bytes,
                });
            }
            if frame.tp_next_offset == 0 {
                break;
            }
            offset += frame.tp_next_offset as usize;
        }
        status.store(libc::TP_STATUS_KERNEL, Ordering::Release);
        self.next = (self.next + 1) % BLOCKS;
        self.shown += u64::from(count);
    }

    /// Whether so much waits to be shown that it should not wait.
    pub(super) fn is_filling(&self) -> bool {
        self.is_ours((self.next + FILLING) % BLOCKS)
    }

    /// Whether there are frames that were not shown yet.
    pub(super) fn is_behind(&mut self) -> bool {
        self.ask();
        self.put > self.shown
    }

    /// Whether the kernel has handed over the block with this number, which is below [`BLOCKS`].
    fn is_ours(&self, number: u32) -> bool {
        #[allow(clippy::cast_ptr_alignment, reason = "blocks are a MiB each from the start of a page")]
        // SAFETY: the header of a block of the mapping; the kernel changes its status, so it is read atomically.
        let status = unsafe {
            let header = self.base.add(number as usize * BLOCK as usize).cast::<libc::tpacket_block_desc>();
            AtomicU32::from_ptr(&raw mut (*header).hdr.bh1.block_status)
        };
        status.load(Ordering::Acquire) & libc::TP_STATUS_USER != 0
    }

    /// Frames that did not fit.
    pub(super) fn dropped(&mut self) -> u64 {
        self.ask();
        self.dropped
    }

    /// Adds up what the kernel has counted since it was last asked.
    fn ask(&mut self) {
        // SAFETY: plain integers, of which all-zero is a value.
        let mut stats: libc::tpacket_stats_v3 = unsafe { std::mem::zeroed() };
        let mut length = size_of_val(&stats) as libc::socklen_t;
        // SAFETY: room for the structure, and its size.
        let result = unsafe {
            libc::getsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                (&raw mut stats).cast(),
                &raw mut length,
            )
        };
        if result == 0 {
            self.dropped += u64::from(stats.tp_drops);
            // What did not fit is among them (net/packet/af_packet.c).
            self.put += u64::from(stats.tp_packets.saturating_sub(stats.tp_drops));
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: mapped with this size in `new`; no frame outlives `block`.
        unsafe { libc::munmap(self.base.cast(), BLOCK as usize * BLOCKS as usize) };
    }
}
