//! Probes on the functions of TLS libraries through which text passes in the clear: OpenSSL and its kin, GnuTLS, and
//! NSPR, through which NSS is used.
//!
//! A probe is on a file, whoever maps it: the libraries of the jail's usual directories get theirs before the subject
//! begins; what it brings along is found when it opens or executes it, by [`Prober::notice`], and gets them while it
//! starts. What can be probed is what is exported, or has not been stripped.

use std::collections::HashSet;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use aya::Ebpf;
use aya::programs::UProbe;
use aya::programs::uprobe::{UProbeAttachLocation, UProbeAttachPoint, UProbeLink, UProbeScope};
use rustix::fs::{Mode, OFlags};

use super::loader::EbpfError;
use crate::witness::paths;

/// Bits of a cookie; `bpf/tls.h` says what they mean.
const SENT: u64 = 0x100;
const BEHIND: u64 = 0x200;
const LAYERED: u64 = 0x400;
const WIDE: u64 = 0x800;

/// The functions. A function's number is its place, counted from 1.
const FUNCTIONS: [(&str, u64); 12] = [
    // OpenSSL, LibreSSL, BoringSSL: (connection, buffer, int), or size_t and how much by pointer.
    ("SSL_write", SENT),
    ("SSL_write_ex", SENT | BEHIND),
    ("SSL_read", 0),
    ("SSL_read_ex", BEHIND),
    // GnuTLS: (session, buffer, size_t, ...). Since 3.6.3 `send` is nothing but a jump to `send2`.
    ("gnutls_record_send", SENT | WIDE),
    ("gnutls_record_send2", SENT | WIDE),
    ("gnutls_record_recv", WIDE),
    ("gnutls_record_recv_seq", WIDE),
    // NSPR: (descriptor, buffer, int, ...). NSS puts a layer of its own upon the descriptors it serves.
    ("PR_Write", SENT | LAYERED),
    ("PR_Send", SENT | LAYERED),
    ("PR_Read", LAYERED),
    ("PR_Recv", LAYERED),
];
const SEND: usize = 4;
const SEND2: usize = 5;

/// The name of a function, and whether it sends, by the number in a record.
pub(super) fn function(number: u32) -> (&'static str, bool) {
    let name = (number & 0xff).checked_sub(1).and_then(|index| FUNCTIONS.get(index as usize));
    (name.map_or("", |(name, _)| name), u64::from(number) & SENT != 0)
}

/// Directories where libraries lie, in the jail; below `/usr/lib` those of other interfaces, too.
const DIRECTORIES: [&str; 5] = ["/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/local/lib64", "/lib64"];
/// Most files that get probes in one session.
const FILES_MAX: usize = 256;
/// Most files that wait to be looked at; more are left out.
const WAITING: usize = 1024;
/// Most bytes of files that are looked at in one session: the subject may make any number, of any size.
const LOOK_MAX: u64 = 16 << 30;

/// Whether a file of this name may be one of the libraries.
fn is_library(path: &[u8]) -> bool {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
    let named =
        [&b"libssl"[..], b"libgnutls", b"libnspr4", b"libboringssl"].iter().any(|begin| name.starts_with(begin));
    named && memchr::memmem::find(name, b".so").is_some()
}

/// What was attached to what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Probed {
    /// Files.
    pub files: u32,
    /// Functions of them.
    pub functions: u32,
    /// Functions that the kernel would not have probed.
    pub refused: u32,
}

/// Attaches probes.
struct Attacher {
    ebpf: Ebpf,
    root: OwnedFd,
    /// Files that were looked at, by device and inode.
    seen: HashSet<(u64, u64)>,
    links: Vec<UProbeLink>,
    /// Bytes of files looked at.
    looked: u64,
    probed: Probed,
}

impl Attacher {
    /// Looks at a file of the jail, and attaches to what it has.
    fn look(&mut self, path: &[u8]) {
        let Ok(place) = paths::find(self.root.as_fd(), path, true) else { return };
        // Opened only once it is known to be a plain file: a pipe of the subject's would hold us up.
        let plain = rustix::fs::fstat(&place)
            .is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::RegularFile);
        if !plain || self.seen.len() >= 1 << 14 {
            return;
        }
        let through = format!("/proc/self/fd/{}", place.as_raw_fd());
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let Ok(file) = rustix::fs::open(&through, flags, Mode::empty()).map(File::from) else { return };
        let Ok(about) = file.metadata() else { return };
        if !self.seen.insert((about.dev(), about.ino())) || self.probed.files as usize >= FILES_MAX {
            return;
        }
        self.looked = self.looked.saturating_add(about.len());
        if self.looked > LOOK_MAX {
            return;
        }
        let names = FUNCTIONS.map(|(name, _)| name);
        let Some(mut offsets) = super::symbols::find(&file, &names) else { return };
        if offsets.get(SEND2).is_some_and(|at| *at != 0)
            && let Some(send) = offsets.get_mut(SEND)
        {
            *send = 0;
        }
        let before = self.probed.functions;
        for (index, offset) in offsets.into_iter().enumerate().filter(|(_, offset)| *offset != 0) {
            let how = FUNCTIONS.get(index).map_or(0, |(_, how)| *how);
            let cookie = (index as u64 + 1) | how;
            // The return's first: a call whose beginning alone is seen leaves something behind.
            let done = [LEAVE, ENTER].iter().try_for_each(|name| {
                self.links.push(attach(&mut self.ebpf, name, offset, cookie, &through)?);
                Ok::<(), String>(())
            });
            match done {
                Ok(()) => self.probed.functions += 1,
                Err(_) => self.probed.refused += 1,
            }
        }
        self.probed.files += u32::from(self.probed.functions > before);
    }

    fn look_around(&mut self, init_pid: i32) {
        let root = format!("/proc/{init_pid}/root");
        let list = |directory: &Path| -> Vec<std::fs::DirEntry> {
            std::fs::read_dir(directory).into_iter().flatten().flatten().collect()
        };
        for directory in DIRECTORIES {
            // Nothing of the subject's has run yet: what leads where is still the host's or the image's word.
            for entry in list(Path::new(&format!("{root}{directory}"))) {
                let (name, path) = (entry.file_name(), Path::new(directory).join(entry.file_name()));
                if is_library(name.as_bytes()) {
                    self.look(path.as_os_str().as_bytes());
                } else if memchr::memmem::find(name.as_bytes(), b"-linux-").is_some() {
                    for entry in list(&entry.path()) {
                        if is_library(entry.file_name().as_bytes()) {
                            self.look(path.join(entry.file_name()).as_os_str().as_bytes());
                        }
                    }
                }
            }
        }
    }
}

const ENTER: &str = "tls_enter";
const LEAVE: &str = "tls_leave";

fn program<'a>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut UProbe, String> {
    let program = ebpf.program_mut(name).ok_or("it is missing")?;
    program.try_into().map_err(|error: aya::programs::ProgramError| error.to_string())
}

fn attach(ebpf: &mut Ebpf, name: &'static str, offset: u64, cookie: u64, path: &str) -> Result<UProbeLink, String> {
    let point = UProbeAttachPoint { location: UProbeAttachLocation::AbsoluteOffset(offset), cookie: Some(cookie) };
    let program = program(ebpf, name)?;
    let id = program.attach(point, path, UProbeScope::AllProcesses).map_err(|error| super::loader::chain(&error))?;
    program.take_link(id).map_err(|error| super::loader::chain(&error))
}

/// Brings the programs into the kernel, attached to nothing yet. Gives the reason when it will not have them.
pub(super) fn load(ebpf: &mut Ebpf) -> Result<(), String> {
    if !Path::new("/sys/bus/event_source/devices/uprobe").exists() {
        return Err("the kernel has no uprobes; use one with CONFIG_UPROBE_EVENTS=y".into());
    }
    for name in [ENTER, LEAVE] {
        program(ebpf, name)?.load().map_err(|error| super::loader::chain(&error))?;
    }
    Ok(())
}

/// The thread that attaches, and the way to it.
pub(super) struct Prober {
    thread: JoinHandle<Attacher>,
    over: Arc<AtomicBool>,
}

/// Tells the prober of files. Dropping it ends the prober.
pub(super) struct Teller {
    paths: SyncSender<Vec<u8>>,
    told: HashSet<Vec<u8>>,
}

impl Prober {
    /// Attaches to what the jail has, and begins to wait for what the subject brings.
    pub(super) fn start(ebpf: Ebpf, init_pid: i32) -> Result<(Self, Teller), EbpfError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(format!("/proc/{init_pid}/root"), flags, Mode::empty())
            .map_err(|cause| EbpfError::Proc { pid: init_pid, cause })?;
        let mut attacher =
            Attacher { ebpf, root, seen: HashSet::new(), links: Vec::new(), looked: 0, probed: Probed::default() };
        attacher.look_around(init_pid);
        let (paths, waiting): (_, Receiver<Vec<u8>>) = sync_channel(WAITING);
        let over = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&over);
        let name = "belljar-tls";
        let thread = std::thread::Builder::new()
            .name(name.into())
            .spawn(move || {
                while let Ok(path) = waiting.recv() {
                    if !is_over.load(Ordering::Relaxed) {
                        attacher.look(&path);
                    }
                }
                attacher
            })
            .map_err(|cause| EbpfError::Thread { name, cause })?;
        Ok((Self { thread, over }, Teller { paths, told: HashSet::new() }))
    }

    /// Takes the probes away; the teller must be gone.
    pub(super) fn finish(self) -> Option<Probed> {
        self.over.store(true, Ordering::Relaxed);
        let Attacher { links, probed, ebpf, .. } = self.thread.join().ok()?;
        // The kernel takes a tenth of a second for each, one after the other however they are closed; what is left to do for
        // the recording goes on beside it. Without a thread they are dropped here.
        let _ = std::thread::Builder::new().name("belljar-tls-end".into()).spawn(move || drop((links, ebpf)));
        Some(probed)
    }
}

impl Teller {
    /// Names may mean other files from now on.
    pub(super) fn forget(&mut self) {
        self.told.clear();
    }

    /// A process has opened this file, or begins to execute it.
    pub(super) fn notice(&mut self, path: &[u8], executed: bool) {
        if (executed || is_library(path)) && self.told.len() < 1 << 14 && !self.told.contains(path) {
            self.told.insert(path.to_vec());
            let _ = self.paths.try_send(path.to_vec()); // when it is that far behind, it would be too late anyway
        }
    }
}
