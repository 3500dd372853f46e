//! The capture: every frame of the jail's wire, both ways, in `traffic.pcapng`, with the names that were looked up, the
//! processes that connected, and the secrets of TLS connections. A thread of its own, so that the services' work delays
//! no packet's record.
//!
//! It is also who sees what is neither TCP nor UDP, and so answers echo requests over IPv4 (over IPv6 the kernel does).

mod dissect;
mod pcapng;
mod ring;

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter};
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub(super) use dissect::Dissected;
use pcapng::{Direction, Writer};
use ring::Ring;

/// How long to wait for frames before looking at anything else.
const WAIT: Duration = Duration::from_millis(100);
/// How long the kernel is waited for at the end, should it not hand over what it has counted.
const LAST: Duration = Duration::from_millis(500);
/// Bytes of small packets that are written together; larger ones go to the file as they are.
const BUFFER: usize = 32 << 10;
/// How often what is buffered goes to the disk.
const FLUSH: Duration = Duration::from_millis(500);
/// Bytes of the file at most; what comes then is counted.
const FILE_MAX: u64 = 2 << 30;
/// Connections whose process waits to be noted.
const COMMENTS_MAX: usize = 4096;

/// A connection as packets tell it: protocol, the jail's port, the other end.
pub(super) type Flow = (u8, u16, IpAddr, u16);

#[derive(Default)]
struct Pending {
    secrets: Vec<u8>,
    names: Vec<(Vec<u8>, Vec<IpAddr>)>,
    comments: HashMap<Flow, String>,
}

/// What the services tell the capture; written before the packets that come after it.
#[derive(Default)]
pub(super) struct Log(Mutex<Pending>);

impl Log {
    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A line of a TLS key log, without its line end.
    pub(super) fn secret(&self, line: &str) {
        let mut pending = self.lock();
        pending.secrets.extend_from_slice(line.as_bytes());
        pending.secrets.push(b'\n');
    }

    /// A name that addresses were given to.
    pub(super) fn name(&self, name: &[u8], addresses: Vec<IpAddr>) {
        self.lock().names.push((name.to_vec(), addresses));
    }

    /// Who made a connection.
    pub(super) fn process(&self, flow: Flow, comment: String) {
        let mut pending = self.lock();
        if pending.comments.len() < COMMENTS_MAX {
            pending.comments.insert(flow, comment);
        }
    }
}

/// What was captured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CaptureStats {
    /// Packets in the file.
    pub packets: u64,
    /// Packets that the kernel had no room for.
    pub dropped: u64,
    /// Packets left out because the file was full.
    pub left_out: u64,
    /// Why the file could not be written to its end.
    pub error: Option<String>,
}

/// The capture at work.
pub(super) struct Capture {
    /// Rung when it is to end.
    stop: OwnedFd,
    thread: JoinHandle<CaptureStats>,
}

impl Capture {
    /// Starts capturing into `file`. `behind` says whether those who move much should wait for it; `foreign` is called for every packet of the jail that is neither TCP nor UDP.
    pub(super) fn start(
        socket: OwnedFd,
        file: File,
        log: Arc<Log>,
        behind: Arc<AtomicBool>,
        foreign: impl FnMut(Dissected<'_>) + Send + 'static,
    ) -> io::Result<Self> {
        let ring = Ring::new(socket)?;
        let writer = Writer::new(BufWriter::with_capacity(BUFFER, file))?;
        let stop = rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC)?;
        let stopping = stop.try_clone()?;
        let mut run = Run { ring, writer: Some(writer), log, behind, foreign, stats: CaptureStats::default() };
        let thread =
            std::thread::Builder::new().name("belljar-capture".into()).spawn(move || run.run(stopping.as_fd()))?;
        Ok(Self { stop, thread })
    }

    /// Records what is still in the ring, and ends.
    pub(super) fn finish(self) -> CaptureStats {
        // What is written is there at once: it cannot fail before 2^64 of them.
        let _ = rustix::io::write(&self.stop, &1u64.to_ne_bytes());
        self.thread.join().unwrap_or_else(|_| CaptureStats {
            error: Some("the capture's thread failed; its last packets are missing".into()),
            ..CaptureStats::default()
        })
    }
}

struct Run<F> {
    ring: Ring,
    writer: Option<Writer<BufWriter<File>>>,
    log: Arc<Log>,
    behind: Arc<AtomicBool>,
    foreign: F,
    stats: CaptureStats,
}

impl<F: FnMut(Dissected<'_>)> Run<F> {
    fn run(&mut self, stop: BorrowedFd<'_>) -> CaptureStats {
        let mut flushed = Instant::now();
        while !ring::rang([Some(stop), None], Duration::ZERO) {
            self.block(WAIT, Some(stop));
            self.behind.store(self.ring.is_filling(), Ordering::Relaxed);
            if flushed.elapsed() >= FLUSH {
                self.write(Writer::flush);
                flushed = Instant::now();
            }
        }
        let stopped = Instant::now();
        while self.ring.is_behind() && stopped.elapsed() < LAST {
            self.block(WAIT, None);
        }
        let log = Arc::clone(&self.log);
        self.write(|writer| told(writer, &log));
        self.write(Writer::flush);
        self.stats.dropped = self.ring.dropped();
        self.stats.clone()
    }

    fn write(&mut self, write: impl FnOnce(&mut Writer<BufWriter<File>>) -> io::Result<()>) {
        let Some(writer) = &mut self.writer else { return };
        if let Err(error) = write(writer) {
            self.stats.error = Some(error.to_string());
            self.writer = None;
        }
    }

    fn block(&mut self, wait: Duration, bell: Option<BorrowedFd<'_>>) {
        let Self { ring, writer, log, foreign, stats, .. } = self;
        let mut first = true;
        let mut failed = None;
        ring.block(wait, bell, |frame| {
            if std::mem::take(&mut first) {
                // Not before the block is there: what was told until now belongs before its packets.
                failed = writer.as_mut().and_then(|writer| told(writer, log).err());
            }
            let seen = dissect::dissect(frame.bytes);
            let comment = seen.and_then(|seen| {
                let (from, to) = dissect::ports(seen.body)?;
                let (jail, other) =
                    if frame.outgoing { (to, (seen.source, from)) } else { (from, (seen.destination, to)) };
                let mut pending = log.lock();
                if pending.comments.is_empty() {
                    return None;
                }
                pending.comments.remove(&(seen.protocol, jail, other.0, other.1))
            });
            match writer {
                Some(writer) if writer.written() < FILE_MAX => {
                    let direction = if frame.outgoing { Direction::ToJail } else { Direction::FromJail };
                    let result = writer.packet(frame.time_ns, direction, frame.len, frame.bytes, comment.as_deref());
                    stats.packets += u64::from(result.is_ok());
                    failed = failed.take().or(result.err());
                }
                Some(_) | None => stats.left_out += 1,
            }
            if let Some(seen) = seen.filter(|_| !frame.outgoing)
                && !matches!(i32::from(seen.protocol), libc::IPPROTO_TCP | libc::IPPROTO_UDP)
            {
                foreign(seen);
            }
        });
        if let Some(error) = failed {
            stats.error = Some(error.to_string());
            *writer = None;
        }
    }
}

/// Writes what the services told. Secrets must stand before the packets that they open, and names are best there.
fn told(writer: &mut Writer<BufWriter<File>>, log: &Log) -> io::Result<()> {
    let (secrets, names) = {
        let mut pending = log.lock();
        (std::mem::take(&mut pending.secrets), std::mem::take(&mut pending.names))
    };
    if !secrets.is_empty() {
        writer.secrets(&secrets)?;
    }
    names.iter().try_for_each(|(name, addresses)| writer.name(name, addresses))
}
