//! The reading end of the ring buffer, as the kernel lays it out (Documentation/bpf/ringbuf.rst): one page with the
//! consumer's position, one with the producer's, then the data, mapped twice so that no record is cut in two.
//!
//! Our own reader, because the guard must know how full the ring is while somebody else reads it, and because handing
//! back the room of many records at once spares the writers' cache.

#![allow(unsafe_code)]

use std::os::fd::BorrowedFd;
use std::ptr;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use rustix::mm::{MapFlags, ProtFlags};

/// Bits of a record's length word, and the length of its header.
const BUSY: u32 = 1 << 31;
const DISCARDED: u32 = 1 << 30;
const HEADER: u64 = 8;
/// Room is handed back whenever this much has been read.
const HAND_BACK: u64 = 256 << 10;

/// A mapped ring.
pub(super) struct Ring {
    consumer: *mut libc::c_void,
    /// The producer's page and the data behind it.
    producer: *mut libc::c_void,
    page: usize,
    size: usize,
    /// Up to where the reader has got; behind it the consumer's position follows.
    read: AtomicUsize,
}

// SAFETY: the memory is mapped for as long as the ring lives; positions are atomics, and only the one reader that
// `next` asks for moves them.
unsafe impl Send for Ring {}
// SAFETY: as above.
unsafe impl Sync for Ring {}

impl Ring {
    /// Maps the ring of `size` bytes (a power of two).
    pub(super) fn map(fd: BorrowedFd<'_>, size: u32) -> rustix::io::Result<Self> {
        let (page, size) = (rustix::param::page_size(), size as usize);
        // SAFETY: fresh mappings at places of the kernel's choice.
        let consumer = unsafe {
            rustix::mm::mmap(ptr::null_mut(), page, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, fd, 0)?
        };
        // SAFETY: as above.
        let producer = unsafe {
            rustix::mm::mmap(ptr::null_mut(), page + 2 * size, ProtFlags::READ, MapFlags::SHARED, fd, page as u64)
        };
        let producer = producer.inspect_err(|_| {
            // SAFETY: mapped above, used by nobody.
            let _ = unsafe { rustix::mm::munmap(consumer, page) };
        })?;
        Ok(Self { consumer, producer, page, size, read: AtomicUsize::new(0) })
    }

    fn consumed(&self) -> &AtomicU64 {
        // SAFETY: a position of 8 bytes at the start of a page that lives as long as self.
        unsafe { AtomicU64::from_ptr(self.consumer.cast()) }
    }

    fn produced(&self) -> u64 {
        // SAFETY: as above; it is only read, which is all that its mapping allows.
        unsafe { (*self.producer.cast::<AtomicU64>()).load(Ordering::Acquire) }
    }

    /// How many bytes wait to be read.
    pub(super) fn fill(&self) -> u64 {
        self.produced().saturating_sub(self.consumed().load(Ordering::Acquire))
    }

    /// Whether the reader has read all there is.
    pub(super) fn is_empty(&self) -> bool {
        self.read.load(Ordering::Relaxed) as u64 >= self.produced()
    }

    /// Gives the next record to `take`; `false` when there is none yet. Only one thread may read.
    pub(super) fn next(&self, take: impl FnOnce(&[u8])) -> bool {
        let produced = self.produced();
        loop {
            let at = self.read.load(Ordering::Relaxed) as u64;
            if at >= produced {
                self.hand_back();
                return false;
            }
            let offset = self.page + (at as usize & (self.size - 1));
            // SAFETY: within the data, which is mapped twice behind the producer's page.
            let header = unsafe { self.producer.byte_add(offset) };
            // SAFETY: positions are multiples of 8, and a record begins with its length.
            let length = unsafe { (*header.cast::<AtomicU32>()).load(Ordering::Acquire) };
            if length & BUSY != 0 {
                // Its writer has not finished; those behind it wait.
                self.hand_back();
                return false;
            }
            let bytes = (length & !DISCARDED) as usize;
            let next = (at + HEADER + bytes as u64).next_multiple_of(8);
            if length & DISCARDED == 0 && bytes <= self.size {
                // SAFETY: the kernel has written these bytes, and writes them again only after they are handed back.
                let record = unsafe { std::slice::from_raw_parts(header.cast::<u8>().add(8), bytes) };
                take(record);
                self.advance(next);
                return true;
            }
            self.advance(next);
        }
    }

    fn advance(&self, to: u64) {
        self.read.store(to as usize, Ordering::Relaxed);
        if to - self.consumed().load(Ordering::Relaxed) >= HAND_BACK {
            self.hand_back();
        }
    }

    fn hand_back(&self) {
        self.consumed().store(self.read.load(Ordering::Relaxed) as u64, Ordering::Release);
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: mapped by `map`, and nobody else has them.
        let _ = unsafe { rustix::mm::munmap(self.consumer, self.page) };
        // SAFETY: as above.
        let _ = unsafe { rustix::mm::munmap(self.producer, self.page + 2 * self.size) };
    }
}
