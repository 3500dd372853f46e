//! Brings the kernel's half into the kernel: settings, maps, verification, attachment.
//!
//! The object is built beforehand (`bpf/build.sh`) and travels inside belljar. Loading it takes as long as building a
//! jail, so the two go side by side.

use std::os::fd::{AsFd, OwnedFd};

use aya::maps::{Array, MapData, MapError};
use aya::programs::{BtfTracePoint, ProgramError};
use aya::{Btf, Ebpf, EbpfError as AyaError, EbpfLoader};

use super::ring::Ring;
use super::steps::Steps;
use crate::event::Abi;

/// The program for this machine, at an address that readers of ELF like.
#[cfg(target_arch = "x86_64")]
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("CARGO_MANIFEST_DIR"), "/bpf/witness.x86.o"));

/// Which function is attached to which tracepoint. The order matters: nothing is adopted before its forks are seen.
const PROGRAMS: [(&str, &str); 5] = [
    ("ended", "sched_process_exit"),
    ("executed", "sched_process_exec"),
    ("forked", "sched_process_fork"),
    ("leave", "sys_exit"),
    ("enter", "sys_enter"),
];

/// How much is to be seen.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Most payload bytes taken of calls that hand bytes out of the subject, and of reads of planted data.
    pub capture: u32,
    /// Most payload bytes taken of other calls.
    pub keep: u32,
    /// Whether the payload of every call is taken like that of pipes: whole.
    pub everything: bool,
    /// Bytes of the ring, a power of two of at least one page.
    pub ring: u32,
    /// Whether the subject is frozen before the ring is full. Only a test wants it not to be.
    pub freeze: bool,
    /// Whether the functions of TLS libraries are probed.
    pub tls: bool,
}

impl Settings {
    /// The ring of ordinary sessions: at two million calls a second half of it lasts for a tenth of a second.
    pub const RING: u32 = 64 << 20;
}

/// Most bytes taken of a call whose payload is kept whole.
pub(super) const WHOLE: u32 = 8 << 20;

/// Why the witness cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum EbpfError {
    /// Not privileged.
    #[error("the ebpf witness needs root (CAP_BPF and CAP_PERFMON); run belljar as root, or use --witness notify")]
    Privilege,
    /// Locked down.
    #[error(
        "the kernel is locked down to confidentiality, where no program may read its memory; boot without \
         lockdown=confidentiality, or use --witness notify"
    )]
    Lockdown,
    /// No types of the kernel.
    #[error(
        "the kernel does not describe its own types (/sys/kernel/btf/vmlinux: {0}); use a kernel with \
         CONFIG_DEBUG_INFO_BTF=y, or --witness notify"
    )]
    Btf(String),
    /// Maps or relocations.
    #[error("the kernel does not take the witness's program ({0}); it needs Linux 5.17 or later; use --witness notify")]
    Load(String),
    /// The verifier.
    #[error(
        "the kernel refuses the witness's program `{program}` ({cause}); please report this with `uname -r`; \
         use --witness notify"
    )]
    Refused {
        /// Which one.
        program: &'static str,
        /// What it said.
        cause: String,
    },
    /// A map could not be used.
    #[error("cannot use the ebpf witness's map `{map}` ({cause}); use --witness notify")]
    Map {
        /// Which one.
        map: &'static str,
        /// What the kernel said.
        cause: String,
    },
    /// A thread.
    #[error("cannot start the thread `{name}` of the ebpf witness ({cause}); raise the limit on processes (ulimit -u)")]
    Thread {
        /// Which one.
        name: &'static str,
        /// What the kernel said.
        cause: std::io::Error,
    },
    /// The jail cannot be looked into.
    #[error("cannot look at the jail's first process {pid} in /proc ({cause}); mount /proc without hidepid")]
    Proc {
        /// Host id of that process.
        pid: i32,
        /// What the kernel said.
        cause: rustix::io::Errno,
    },
}

/// The program in the kernel, seeing nothing yet.
pub struct Loaded {
    pub(super) ebpf: Ebpf,
    pub(super) ring: Ring,
    pub(super) ring_fd: OwnedFd,
    pub(super) control: Array<MapData, [u32; 8]>,
    pub(super) epochs: Array<MapData, u32>,
    pub(super) losses: Array<MapData, u32>,
    pub(super) processors: u32,
    pub(super) quiet: Vec<(Abi, u32)>,
    pub(super) settings: Settings,
    pub(super) tls: Option<String>,
}

impl Loaded {
    /// Why TLS libraries will not be probed, though that was asked for.
    pub fn tls_refused(&self) -> Option<&str> {
        self.tls.as_deref()
    }

    /// Loads and attaches. `thread` is the one that will call [`super::Witness::start`].
    pub fn new(settings: Settings, thread: rustix::process::Pid) -> Result<Self, EbpfError> {
        // The loader reads the kernel's types for itself, whatever it is given; so do we, beside it.
        let (loader, btf) = std::thread::scope(|scope| {
            let own = scope.spawn(Btf::from_sys_fs);
            (EbpfLoader::new(), own.join())
        });
        let btf = btf
            .map_err(|_| EbpfError::Btf("reading them failed".into()))?
            .map_err(|error| EbpfError::Btf(chain(&error)))?;
        let locked = std::fs::read_to_string("/sys/kernel/security/lockdown").unwrap_or_default();
        if locked.contains("[confidentiality]") {
            return Err(EbpfError::Lockdown);
        }
        let processors = aya::util::nr_cpus().map_or(1, |count| count as u32);
        let plans = Steps::new();
        let settings = Settings { ring: settings.ring.next_power_of_two().max(4096), ..settings };
        let (whole, everything) = (WHOLE, u32::from(settings.everything));
        let thread = thread.as_raw_pid() as u32;
        // Half is left for what comes until the subject stands still.
        let high_water = u64::from(settings.ring) / 2;
        let mut loader = loader;
        loader
            // Task storage: aya loads it, but has no way of its own to use it.
            .allow_unsupported_maps()
            .btf(Some(&btf))
            .override_global("plans", plans.calls.as_slice(), true)
            .override_global("socket_plans", plans.sockets.as_slice(), true)
            .override_global("capture", &settings.capture, true)
            .override_global("keep", &settings.keep, true)
            .override_global("whole", &whole, true)
            .override_global("everything", &everything, true)
            .override_global("priming_tid", &thread, true)
            .override_global("high_water", &high_water, true)
            .map_max_entries("ring", settings.ring)
            .map_max_entries("desks", processors)
            .map_max_entries("losses", processors);
        let mut ebpf = loader.load(OBJECT).map_err(|error| match &error {
            AyaError::MapError(MapError::CreateError { io_error, .. })
                if io_error.kind() == std::io::ErrorKind::PermissionDenied =>
            {
                EbpfError::Privilege
            }
            _ => EbpfError::Load(chain(&error)),
        })?;
        for (name, tracepoint) in PROGRAMS {
            program(&mut ebpf, name)?.load(tracepoint, &btf).map_err(|error| match &error {
                ProgramError::LoadError { io_error, .. }
                    if io_error.kind() == std::io::ErrorKind::PermissionDenied && !nix::unistd::geteuid().is_root() =>
                {
                    EbpfError::Privilege
                }
                _ => EbpfError::Refused { program: name, cause: chain(&error) },
            })?;
        }
        for (name, _) in PROGRAMS {
            program(&mut ebpf, name)?
                .attach()
                .map_err(|error| EbpfError::Refused { program: name, cause: chain(&error) })?;
        }
        let tls = if settings.tls { super::tls::load(&mut ebpf).err() } else { None };
        let missing = |map| move || EbpfError::Map { map, cause: "it is missing".into() };
        let wrong = |map| move |error: MapError| EbpfError::Map { map, cause: chain(&error) };
        let ring = ebpf.take_map("ring").ok_or_else(missing("ring"))?;
        let aya::maps::Map::RingBuf(ring) = ring else {
            return Err(EbpfError::Map { map: "ring", cause: "it is no ring".into() });
        };
        let ring_fd = ring
            .fd()
            .as_fd()
            .try_clone_to_owned()
            .map_err(|error| EbpfError::Map { map: "ring", cause: error.to_string() })?;
        let mapped = Ring::map(ring_fd.as_fd(), settings.ring)
            .map_err(|errno| EbpfError::Map { map: "ring", cause: errno.to_string() })?;
        let mut take = |map: &'static str| ebpf.take_map(map).ok_or_else(missing(map));
        let (control, epochs, losses) = (take("control")?, take("epochs")?, take("losses")?);
        Ok(Self {
            ring: mapped,
            ring_fd,
            control: control.try_into().map_err(wrong("control"))?,
            epochs: epochs.try_into().map_err(wrong("epochs"))?,
            losses: losses.try_into().map_err(wrong("losses"))?,
            processors,
            quiet: plans.quiet,
            settings,
            tls,
            ebpf,
        })
    }
}

fn program<'a>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut BtfTracePoint, EbpfError> {
    let refused = |cause: String| EbpfError::Refused { program: name, cause };
    ebpf.program_mut(name)
        .ok_or_else(|| refused("it is missing".into()))?
        .try_into()
        .map_err(|error: ProgramError| refused(chain(&error)))
}

/// An error and what it came of, in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    // The verifier's log can be long; its end says why.
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let first = lines.first().copied().unwrap_or_default();
    match lines.len() {
        0 | 1 => first.to_owned(),
        count => {
            let tail = lines.get(count.saturating_sub(3).max(1)..).unwrap_or_default().join("; ");
            format!("{first} ... {tail}")
        }
    }
}
