//! Reading a subject's memory: bytes, strings, pointer arrays and the structures of the socket calls, in both widths.
//!
//! Everything is bounded and nothing is trusted. A read that fails gives what could be read before it, and says so:
//! the kernel will give the subject its own `EFAULT`.

use std::os::fd::BorrowedFd;

use super::kernel;
use crate::witness::paths::STRING_MAX;

/// Most bytes of an argument vector that are kept. The kernel allows megabytes.
pub(super) const VECTOR_MAX: usize = 256 << 10;
/// Most elements of an I/O vector (`UIO_MAXIOV`).
const IOVEC_MAX: u64 = 1024;
/// Smallest page: a read that does not cross its end either works or fails as a whole.
const PAGE: u64 = 4096;
/// Strings are mostly short: this much is read of one at first.
const CHUNK: u64 = 256;

/// Some of what was asked for could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unreadable;

/// The memory of one thread of the subject.
#[derive(Clone, Copy)]
pub(super) struct Memory<'a> {
    /// `/proc/TID/mem`, where it could be opened.
    pub file: Option<BorrowedFd<'a>>,
    /// Host thread id.
    pub tid: i32,
    /// Whether pointers and sizes in structures have 64 bits.
    pub wide: bool,
}

/// A `struct msghdr` of either width.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Message {
    pub name: u64,
    pub name_len: u64,
    pub iov: u64,
    pub iov_count: u64,
    pub control: u64,
    pub control_len: u64,
}

fn u32_at(bytes: &[u8], offset: usize) -> u64 {
    bytes.get(offset..).and_then(|b| b.first_chunk()).map_or(0, |b| u64::from(u32::from_le_bytes(*b)))
}

fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    bytes.get(offset..).and_then(|b| b.first_chunk()).map_or(0, |b| u64::from_le_bytes(*b))
}

impl Memory<'_> {
    /// Reads as much as there is, up to the buffer's size; returns how much.
    pub(super) fn read(self, address: u64, into: &mut [u8]) -> usize {
        let mut done = 0;
        while let Some(rest) = into.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let Some(from) = address.checked_add(done as u64) else { break };
            let read = match self.file {
                Some(file) => rustix::io::pread(file, rest, from).unwrap_or(0),
                None => kernel::read_memory(self.tid, from, rest).unwrap_or(0),
            };
            if read == 0 {
                break;
            }
            done += read;
        }
        done
    }

    fn read_exactly<const N: usize>(self, address: u64) -> Result<[u8; N], Unreadable> {
        let mut bytes = [0; N];
        if self.read(address, &mut bytes) == N { Ok(bytes) } else { Err(Unreadable) }
    }

    /// One pointer or size.
    pub(super) fn word(self, address: u64) -> Result<u64, Unreadable> {
        if self.wide {
            self.read_exactly(address).map(u64::from_le_bytes)
        } else {
            self.read_exactly(address).map(|bytes| u64::from(u32::from_le_bytes(bytes)))
        }
    }

    /// Bytes of one pointer or size.
    pub(super) fn word_size(self) -> u64 {
        if self.wide { 8 } else { 4 }
    }

    /// Appends `len` bytes, but no more than make `into` hold `limit`.
    pub(super) fn bytes(self, address: u64, len: u64, limit: usize, into: &mut Vec<u8>) -> Result<(), Unreadable> {
        let start = into.len();
        let wanted = usize::try_from(len).unwrap_or(usize::MAX).min(limit.saturating_sub(start));
        into.resize(start + wanted, 0);
        let read = into.get_mut(start..).map_or(0, |buffer| self.read(address, buffer));
        into.truncate(start + read);
        if read == wanted { Ok(()) } else { Err(Unreadable) }
    }

    /// Appends a NUL-ended string without its NUL. One without a NUL within `STRING_MAX` is cut there.
    pub(super) fn string(self, address: u64, into: &mut Vec<u8>) -> Result<(), Unreadable> {
        let (start, mut at, mut chunk) = (into.len(), address, CHUNK);
        loop {
            let room = STRING_MAX.saturating_sub(into.len() - start) as u64;
            if room == 0 {
                return Ok(());
            }
            let wanted = room.min(chunk).min(PAGE - at % PAGE);
            let before = into.len();
            let read = self.bytes(at, wanted, usize::MAX, into);
            if let Some(end) = into.get(before..).and_then(|new| memchr::memchr(0, new)) {
                into.truncate(before + end);
                return Ok(());
            }
            read?;
            at = at.checked_add(wanted).ok_or(Unreadable)?;
            chunk = PAGE;
        }
    }

    /// Appends each string of a NULL-ended pointer array, each with a NUL, up to `limit` bytes. Returns whether it
    /// was all there.
    pub(super) fn strings(self, address: u64, limit: usize, into: &mut Vec<u8>) -> Result<bool, Unreadable> {
        // Linux takes NULL for an empty array.
        if address == 0 {
            return Ok(true);
        }
        let (start, mut at) = (into.len(), address);
        loop {
            let pointer = self.word(at)?;
            if pointer == 0 {
                return Ok(true);
            }
            let result = self.long_string(pointer, limit.saturating_sub(into.len() - start), into);
            into.push(0);
            if into.len() - start >= limit {
                return result.map(|()| false);
            }
            result?;
            at = at.checked_add(self.word_size()).ok_or(Unreadable)?;
        }
    }

    /// Like `string`, for those that may be longer than a path.
    fn long_string(self, address: u64, limit: usize, into: &mut Vec<u8>) -> Result<(), Unreadable> {
        let (start, mut at) = (into.len(), address);
        loop {
            let before = into.len();
            self.string(at, into)?;
            if into.len() - start >= limit {
                into.truncate(start + limit);
                return Ok(());
            }
            if into.len() - before < STRING_MAX {
                return Ok(());
            }
            at = at.checked_add(STRING_MAX as u64).ok_or(Unreadable)?;
        }
    }

    /// Appends what an I/O vector points to, until `into` holds `limit` bytes; adds its whole length to `total`.
    pub(super) fn gather(
        self,
        address: u64,
        count: u64,
        limit: usize,
        into: &mut Vec<u8>,
        total: &mut u64,
    ) -> Result<(), Unreadable> {
        let mut result = Ok(());
        let size = 2 * self.word_size();
        // Sixteen elements at a time: a hostile count of a thousand is no reason to allocate.
        let mut block = [0_u8; 256];
        let mut left = count.min(IOVEC_MAX);
        let mut at = address;
        while left > 0 {
            let take = left.min(block.len() as u64 / size);
            let Some(wanted) = block.get_mut(..(take * size) as usize) else { return Err(Unreadable) };
            let read = self.read(at, wanted);
            for element in wanted.get(..read).unwrap_or_default().chunks_exact(size as usize) {
                let (base, len) = if self.wide {
                    (u64_at(element, 0), u64_at(element, 8))
                } else {
                    (u32_at(element, 0), u32_at(element, 4))
                };
                *total = total.saturating_add(len);
                if result.is_ok() && into.len() < limit {
                    result = self.bytes(base, len, limit, into);
                }
            }
            if read < wanted.len() {
                return Err(Unreadable);
            }
            left -= take;
            at = at.checked_add(take * size).ok_or(Unreadable)?;
        }
        result
    }

    /// Bytes of one `struct mmsghdr`.
    pub(super) fn mmsghdr_size(self) -> u64 {
        if self.wide { 64 } else { 32 }
    }

    /// A `struct msghdr` (recvmsg(2), and the kernel's compat_msghdr).
    pub(super) fn message(self, address: u64) -> Result<Message, Unreadable> {
        if self.wide {
            let bytes: [u8; 56] = self.read_exactly(address)?;
            Ok(Message {
                name: u64_at(&bytes, 0),
                name_len: u32_at(&bytes, 8),
                iov: u64_at(&bytes, 16),
                iov_count: u64_at(&bytes, 24),
                control: u64_at(&bytes, 32),
                control_len: u64_at(&bytes, 40),
            })
        } else {
            let bytes: [u8; 28] = self.read_exactly(address)?;
            Ok(Message {
                name: u32_at(&bytes, 0),
                name_len: u32_at(&bytes, 4),
                iov: u32_at(&bytes, 8),
                iov_count: u32_at(&bytes, 12),
                control: u32_at(&bytes, 16),
                control_len: u32_at(&bytes, 20),
            })
        }
    }

    /// Calls `found` for each descriptor that a message passes on (`SCM_RIGHTS`, unix(7)).
    pub(super) fn passed_descriptors(self, message: &Message, mut found: impl FnMut(i32)) -> Result<(), Unreadable> {
        let mut control = [0_u8; 4096];
        let wanted = usize::try_from(message.control_len).unwrap_or(usize::MAX).min(control.len());
        let read = control.get_mut(..wanted).map_or(0, |buffer| self.read(message.control, buffer));
        let word = self.word_size() as usize;
        let mut rest = control.get(..read).unwrap_or_default();
        while rest.len() >= word + 8 {
            let len = if self.wide { u64_at(rest, 0) } else { u32_at(rest, 0) };
            let len = usize::try_from(len).unwrap_or(usize::MAX).min(rest.len());
            let (level, kind) = (u32_at(rest, word), u32_at(rest, word + 4));
            if (level, kind) == (libc::SOL_SOCKET as u64, libc::SCM_RIGHTS as u64) {
                for fd in rest.get(word + 8..len).unwrap_or_default().chunks_exact(4) {
                    found(u32_at(fd, 0) as i32);
                }
            }
            let next = len.max(word + 8).next_multiple_of(word);
            rest = rest.get(next..).unwrap_or_default();
        }
        if read == wanted { Ok(()) } else { Err(Unreadable) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// This process's own memory, both ways.
    fn with_memory(test: impl Fn(Memory<'_>)) {
        let file = std::fs::File::open("/proc/self/mem").expect("own memory");
        let tid = rustix::process::getpid().as_raw_pid();
        for file in [Some(std::os::fd::AsFd::as_fd(&file)), None] {
            test(Memory { file, tid, wide: true });
        }
    }

    fn address<T: ?Sized>(of: &T) -> u64 {
        std::ptr::from_ref(of).cast::<u8>() as u64
    }

    #[test]
    fn strings_end_at_nul_at_the_limit_or_where_memory_ends() {
        with_memory(|memory| {
            for len in [0, 1, 255, 256, 257, 4095, 4096, 5000] {
                let mut text = vec![0xc3_u8; len];
                text.push(0);
                let mut got = b"before".to_vec();
                assert_eq!(memory.string(address(text.as_slice()), &mut got), Ok(()));
                assert_eq!(got.len(), 6 + len.min(STRING_MAX));
            }
            assert_eq!(memory.string(8, &mut Vec::new()), Err(Unreadable));
            assert_eq!(memory.string(u64::MAX - 1, &mut Vec::new()), Err(Unreadable));
        });
    }

    #[test]
    fn vectors_of_strings_are_bounded() {
        with_memory(|memory| {
            let long = vec![b'x'; 10_000].into_iter().chain([0]).collect::<Vec<_>>();
            let argv = [address(b"ls\0"), address(long.as_slice()), address(b"\0"), 0];
            let mut got = Vec::new();
            assert_eq!(memory.strings(address(&argv), VECTOR_MAX, &mut got), Ok(true));
            assert_eq!(got.len(), 3 + 10_001 + 1);
            assert_eq!(got.get(..4), Some(b"ls\0x".as_slice()));
            got.clear();
            assert_eq!(memory.strings(address(&argv), 100, &mut got), Ok(false));
            assert_eq!(got.len(), 101);
            assert_eq!(memory.strings(0, 100, &mut got), Ok(true));
            assert_eq!(memory.strings(address(&[16_u64, 0]), 100, &mut Vec::new()), Err(Unreadable));
        });
    }

    #[test]
    fn io_vectors_are_gathered_up_to_the_limit_and_counted_whole() {
        with_memory(|memory| {
            let part = [7_u8; 100];
            let vector: Vec<u64> = (0..40).flat_map(|_| [address(&part), 100]).collect();
            let (mut got, mut total) = (Vec::new(), 0);
            assert_eq!(memory.gather(address(vector.as_slice()), 40, 1050, &mut got, &mut total), Ok(()));
            assert_eq!((got.len(), total), (1050, 4000));
            let broken = [address(&part), 100, 16, 5];
            let (mut got, mut total) = (Vec::new(), 0);
            assert_eq!(memory.gather(address(&broken), 2, 1050, &mut got, &mut total), Err(Unreadable));
            assert_eq!((got.len(), total), (100, 105));
        });
    }

    #[test]
    fn narrow_structures_have_narrow_fields() {
        let memory = Memory { file: None, tid: rustix::process::getpid().as_raw_pid(), wide: false };
        let header: [u32; 7] = [1, 2, 3, 4, 5, 6, 7];
        let message = memory.message(address(&header)).expect("own memory");
        assert_eq!((message.name, message.iov_count, message.control_len), (1, 4, 6));
        assert_eq!(memory.word(address(&header)), Ok(1));
    }
}
