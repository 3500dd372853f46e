//! What is an attempt on the system itself: a table of calls, of places that make programs run by
//! themselves or steer the kernel, and of programs that switch the machine off.
//!
//! Installing software writes all over `/etc`; only places that make something run without being
//! asked are here. Technique ids are MITRE ATT&CK for Enterprise, version 15.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::LazyLock;

use super::finding::{Confidence, Severity};
use crate::store::{Record, Verb, ops};

/// One sort of attempt.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Detector {
    /// What it is an attempt at.
    pub(super) verb: Verb,
    /// How bad.
    pub(super) severity: Severity,
    /// How sure it is that it means harm.
    pub(super) confidence: Confidence,
    /// What was tried, as in "tried to ...".
    pub(super) deed: &'static str,
    /// ATT&CK technique, where one fits.
    pub(super) attack: Option<&'static str>,
}

/// When a call is meant.
#[derive(Clone, Copy, Debug)]
enum When {
    /// Whatever its arguments.
    Always,
    /// It signals everybody, or process 1 (and is not process 1 itself); signal 0 only asks.
    SignalsAll,
    /// It attaches to another process or writes to its memory (ptrace(2)).
    Traces,
    /// It types into a terminal (TIOCSTI, ioctl_tty(2)).
    Types,
}

const fn row(
    verb: Verb,
    severity: Severity,
    confidence: Confidence,
    attack: Option<&'static str>,
    deed: &'static str,
) -> Detector {
    Detector { verb, severity, confidence, deed, attack }
}

use Confidence::{Proven, Suspected};
use Severity::{High, Medium};
use Verb::{Control, Disrupt, ShutDown};

static CALLS: &[(&[&str], When, Detector)] = &[
    (&["reboot"], When::Always, row(ShutDown, High, Proven, Some("T1529"), "switch the machine off or restart it")),
    (
        &["kexec_load", "kexec_file_load"],
        When::Always,
        row(ShutDown, High, Proven, Some("T1529"), "replace the running kernel"),
    ),
    (
        &["init_module", "finit_module", "create_module"],
        When::Always,
        row(Control, High, Proven, Some("T1547.006"), "load a kernel module"),
    ),
    (&["delete_module"], When::Always, row(Disrupt, High, Proven, Some("T1562.001"), "remove a kernel module")),
    (&["bpf"], When::Always, row(Control, Medium, Suspected, Some("T1205.002"), "put a program into the kernel")),
    (&["ptrace"], When::Traces, row(Control, High, Proven, Some("T1055.008"), "take over another process")),
    (
        &["process_vm_writev"],
        When::Always,
        row(Control, High, Proven, Some("T1055"), "write to another process's memory"),
    ),
    (&["ioctl"], When::Types, row(Control, High, Proven, Some("T1056"), "type into a terminal as its user")),
    (&["swapoff"], When::Always, row(Disrupt, Medium, Proven, Some("T1499"), "switch swap space off")),
    (
        &["clock_settime", "clock_settime64", "settimeofday", "stime"],
        When::Always,
        row(Disrupt, Medium, Proven, None, "set the machine's clock"),
    ),
    (
        &["kill", "tkill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo"],
        When::SignalsAll,
        row(Disrupt, High, Proven, Some("T1489"), "signal every process, or the first one"),
    ),
];

/// Places, with `*` for any bytes. Written to, or found written to.
static PLACES: &[(&[&str], Detector)] = &[
    (
        &[
            "*/.bashrc",
            "*/.bash_profile",
            "*/.bash_login",
            "*/.profile",
            "*/.zshrc",
            "*/.zshenv",
            "*/.zprofile",
            "/etc/profile",
            "/etc/profile.d/*",
            "/etc/bash.bashrc",
            "/etc/zsh/*",
        ],
        row(Control, Medium, Suspected, Some("T1546.004"), "run at every login of the user"),
    ),
    (
        &["*/.config/autostart/*", "/etc/xdg/autostart/*"],
        row(Control, Medium, Suspected, Some("T1547.013"), "run at every start of the desktop"),
    ),
    (
        &["/etc/cron*", "/var/spool/cron/*", "/etc/at.*", "/var/spool/at/*"],
        row(Control, Medium, Suspected, Some("T1053.003"), "run by the clock"),
    ),
    (
        &[
            "/etc/systemd/*",
            "/usr/lib/systemd/*",
            "/lib/systemd/*",
            "*/.config/systemd/user/*",
            "*/.local/share/systemd/user/*",
            "/etc/init.d/*",
            "/etc/rc*.d/*",
            "/etc/rc.local",
        ],
        row(Control, Medium, Suspected, Some("T1543.002"), "run as a service"),
    ),
    (
        &["*/.ssh/authorized_keys", "*/.ssh/authorized_keys2"],
        row(Control, High, Suspected, Some("T1098.004"), "let somebody log in by key"),
    ),
    (&["/etc/ld.so.preload"], row(Control, High, Suspected, Some("T1574.006"), "load its code into every program")),
    (
        &["/etc/sudoers", "/etc/sudoers.d/*"],
        row(Control, High, Suspected, Some("T1548.003"), "become root without asking"),
    ),
    (
        &["/etc/udev/rules.d/*", "/lib/udev/rules.d/*", "/usr/lib/udev/rules.d/*"],
        row(Control, Medium, Suspected, Some("T1546.017"), "run when a device appears"),
    ),
    (
        &[
            "/proc/sys/kernel/core_pattern",
            "/proc/sys/kernel/modprobe",
            "/proc/sys/kernel/hotplug",
            "/dev/mem",
            "/dev/kmem",
            "/dev/port",
        ],
        row(Control, High, Proven, Some("T1611"), "steer the kernel"),
    ),
    (
        &["/proc/sysrq-trigger", "/sys/power/state", "/sys/power/disk"],
        row(ShutDown, High, Proven, Some("T1529"), "switch the machine off or to sleep"),
    ),
    (
        &["/dev/sd*", "/dev/nvme*", "/dev/vd*", "/dev/mmcblk*", "/dev/dm-*"],
        row(Disrupt, High, Proven, Some("T1561"), "write to a disk past its files"),
    ),
];

static PROGRAMS: &[&[u8]] = &[b"shutdown", b"poweroff", b"halt", b"reboot", b"telinit"];
static SWITCH_OFF: Detector =
    row(ShutDown, High, Suspected, Some("T1529"), "run a program that switches the machine off");

/// Client data removed or emptied.
pub(super) static REMOVED: Detector = row(Disrupt, High, Suspected, Some("T1485"), "destroy client data");

/// Rows of [`CALLS`], by the number of their call's name in [`ops`].
static BY_OP: LazyLock<Vec<Option<(When, &Detector)>>> = LazyLock::new(|| {
    let of = |name: &&str| CALLS.iter().find(|(names, _, _)| names.contains(name)).map(|(_, when, row)| (*when, row));
    ops().names().iter().map(of).collect()
});

/// What the event's call is an attempt at, by its name and arguments.
pub(super) fn by_call(record: &Record<'_>) -> Option<&'static Detector> {
    let (when, detector) = (*BY_OP.get(usize::from(ops().of(record.kind)))?)?;
    let name = record.op();
    let [first, second, third, ..] = record.args;
    let meant = match when {
        When::Always => true,
        When::SignalsAll => {
            let signal = if name.starts_with("tg") || name == "rt_tgsigqueueinfo" { third } else { second };
            let (pid, signal) = (first as i32, signal as i32);
            let own = record.process.is_some_and(|p| p.pid == 1);
            signal != 0 && (pid == -1 && name == "kill" || pid == 1 && !own)
        }
        // POKETEXT, POKEDATA, POKEUSER, SETREGS, SETFPREGS, ATTACH, SETREGSET, SEIZE.
        When::Traces => matches!(first, 4 | 5 | 6 | 13 | 15 | 16 | 0x4205 | 0x4206),
        When::Types => second as u32 == 0x5412,
    };
    meant.then_some(detector)
}

/// What writing to this path is an attempt at.
pub(super) fn by_place(path: &[u8]) -> Option<&'static Detector> {
    let fits = |patterns: &&[&str]| patterns.iter().any(|pattern| fits(pattern.as_bytes(), path));
    PLACES.iter().find(|(patterns, _)| fits(patterns)).map(|(_, detector)| detector)
}

/// What running this program is an attempt at.
pub(super) fn by_program(path: &[u8]) -> Option<&'static Detector> {
    let name = Path::new(OsStr::from_bytes(path)).file_name()?;
    PROGRAMS.contains(&name.as_bytes()).then_some(&SWITCH_OFF)
}

/// Whether `text` is `pattern`, with `*` for any bytes. Takes time in proportion to both lengths:
/// the path is the subject's.
fn fits(pattern: &[u8], text: &[u8]) -> bool {
    let mut parts = pattern.split(|b| *b == b'*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(at) = memchr::memmem::find(rest, part) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_bytes() {
        for (pattern, text, want) in [
            ("/etc/cron*", "/etc/cron.d/x", true),
            ("/etc/cron*", "/etc/cro", false),
            ("*/.bashrc", "/home/a/.bashrc", true),
            ("*/.bashrc", "/home/a/.bashrc.bak", false),
            ("/etc/rc*.d/*", "/etc/rc5.d/S01x", true),
            ("/etc/rc*.d/*", "/etc/rc5/x", false),
            ("/etc/profile", "/etc/profile", true),
            ("/etc/profile", "/etc/profile2", false),
            ("a*a", "a", false),
        ] {
            assert_eq!(fits(pattern.as_bytes(), text.as_bytes()), want, "{pattern} {text}");
        }
    }

    #[test]
    fn persistence_and_programs_are_told_from_ordinary_ones() {
        assert_eq!(by_place(b"/home/u/.config/autostart/x.desktop").and_then(|d| d.attack), Some("T1547.013"));
        assert_eq!(by_place(b"/proc/sysrq-trigger").map(|d| d.verb), Some(ShutDown));
        assert_eq!(by_place(b"/etc/hosts"), None);
        assert_eq!(by_place(b"/home/u/.config/app/settings"), None);
        assert!(by_program(b"/sbin/poweroff").is_some());
        assert!(by_program(b"/usr/bin/python3").is_none());
    }
}
