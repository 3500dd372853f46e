//! What this machine can do for belljar, each with the one command that mends what it cannot.
//!
//! Probes are real: a namespace is made, a whole jail is built. What a probe cannot prove is not
//! claimed.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use crate::jail::{Cgroup, Exit, Jail, probe_user_namespace};
use crate::spec::{Identity, Limits, Rootfs, Spec, Stdin, User};
use crate::witness::ebpf::{Loaded, Settings};

/// How well a capability is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It works.
    Found,
    /// Belljar works without it, less well.
    Limited,
    /// Belljar cannot work.
    Missing,
}

/// One capability of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What it is.
    pub name: &'static str,
    /// How well it is there.
    pub state: State,
    /// What was found.
    pub found: String,
    /// A command, or a thing to do; empty when nothing is wrong.
    pub remedy: String,
}

impl Check {
    fn found(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, state: State::Found, found: found.into(), remedy: String::new() }
    }

    fn lacks(name: &'static str, state: State, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name, state, found: found.into(), remedy: remedy.into() }
    }
}

/// Probes everything belljar needs or uses. Takes some ten milliseconds.
pub fn checks() -> Vec<Check> {
    vec![kernel(), privilege(), namespaces(), notify(), ebpf(), overlay(), cgroup(), memory(), jail()]
}

fn release() -> (String, (u32, u32)) {
    let text = nix::sys::utsname::uname().map(|name| name.release().to_string_lossy().into_owned()).unwrap_or_default();
    let mut parts = text.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
    let version = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    (text, version)
}

fn kernel() -> Check {
    let (text, version) = release();
    let found = format!("Linux {text}, {}", std::env::consts::ARCH);
    if version < (5, 12) {
        let remedy = "use Linux 5.12 or later: overlayfs and mount_setattr in user namespaces are needed";
        return Check::lacks("kernel", State::Missing, found, remedy);
    }
    if version < (6, 6) {
        let remedy =
            "Linux 6.6 or later answers trapped calls faster (SYNC_WAKE_UP) and keeps overlay attributes on tmpfs";
        return Check::lacks("kernel", State::Limited, found, remedy);
    }
    Check::found("kernel", found)
}

fn privilege() -> Check {
    if nix::unistd::geteuid().is_root() {
        return Check::found(
            "privilege",
            "root: the subject gets a range of host ids of its own, host files keep their owners",
        );
    }
    let found = "no privilege: the subject has your user id on the host, and one user in the jail";
    Check::lacks(
        "privilege",
        State::Limited,
        found,
        "for package installations and owners as on a real system: sudo belljar record ...",
    )
}

fn namespaces() -> Check {
    const NAME: &str = "user namespaces";
    match probe_user_namespace() {
        Ok(()) => Check::found(NAME, "can be made"),
        Err(error) => {
            let mend = [
                (
                    "/proc/sys/kernel/unprivileged_userns_clone",
                    "0",
                    "sudo sysctl -w kernel.unprivileged_userns_clone=1",
                ),
                (
                    "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
                    "1",
                    "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
                ),
                ("/proc/sys/user/max_user_namespaces", "0", "sudo sysctl -w user.max_user_namespaces=15000"),
            ];
            let remedy = mend
                .into_iter()
                .find(|(file, bad, _)| fs::read_to_string(file).is_ok_and(|value| value.trim() == *bad))
                .map_or("run belljar as root, or outside the container that forbids them", |(_, _, command)| command);
            Check::lacks(NAME, State::Missing, error.to_string(), remedy)
        }
    }
}

fn notify() -> Check {
    const NAME: &str = "seccomp notification";
    match fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail") {
        Ok(actions) if actions.split_whitespace().any(|action| action == "user_notif") => {
            Check::found(NAME, "user_notif is there: witness `notify` works")
        }
        Ok(actions) => Check::lacks(
            NAME,
            State::Missing,
            format!("actions: {}", actions.trim()),
            "use Linux 5.0 or later with CONFIG_SECCOMP_FILTER=y",
        ),
        Err(error) => {
            Check::lacks(NAME, State::Missing, error.to_string(), "use a kernel with CONFIG_SECCOMP_FILTER=y")
        }
    }
}

fn ebpf() -> Check {
    const NAME: &str = "ebpf witness";
    let settings = Settings { capture: 256, keep: 256, everything: false, ring: 4096, freeze: false, tls: false };
    match Loaded::new(settings, rustix::thread::gettid()) {
        Ok(_) => Check::found(NAME, "the kernel took its program: witness `ebpf` works"),
        Err(error) => {
            // Every one of its errors says what was found, and then what mends it.
            let text = error.to_string();
            let (found, remedy) = text.split_once("; ").unwrap_or((&text, "use --witness notify"));
            Check::lacks(NAME, State::Limited, found, remedy)
        }
    }
}

fn overlay() -> Check {
    const NAME: &str = "overlayfs";
    let listed = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if listed.split_whitespace().any(|name| name == "overlay") {
        return Check::found(NAME, "built in or loaded");
    }
    Check::lacks(NAME, State::Missing, "the kernel does not list it", "sudo modprobe overlay")
}

fn cgroup() -> Check {
    const NAME: &str = "control groups";
    let wanted = Limits { disk: 1 << 20, memory: Some(1 << 30), processes: Some(1024), descriptors: None, time: None };
    let group = Cgroup::create(&wanted);
    if group.missing.is_empty() {
        return Check::found(NAME, "freeze, kill, memory and process limits");
    }
    let remedy = if nix::unistd::geteuid().is_root() {
        "mount -t cgroup2 none /sys/fs/cgroup/unified"
    } else {
        "systemd-run --user --scope -p Delegate=yes belljar record ..."
    };
    Check::lacks(NAME, State::Limited, group.missing.join("; "), remedy)
}

fn memory() -> Check {
    const NAME: &str = "memory";
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let free = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok())
        .unwrap_or(0)
        >> 10;
    let found = format!("{free} MiB available; what the subject writes is held in memory until the session ends");
    if free >= 1024 {
        return Check::found(NAME, found);
    }
    Check::lacks(NAME, State::Limited, found, "free memory, or lower `disk` under [limits] in the profile")
}

fn jail() -> Check {
    const NAME: &str = "a whole jail";
    let spec = Spec {
        argv: vec!["true".into()],
        env: vec![("PATH".into(), "/usr/bin:/bin".into())],
        workdir: PathBuf::from("/"),
        user: User { name: "user".into(), uid: 1000, gid: 1000, home: "/home/user".into() },
        rootfs: Rootfs::Host,
        binds: Vec::new(),
        hidden: Vec::new(),
        identity: Identity {
            hostname: "doctor".into(),
            machine_id: "0".repeat(32),
            mac: [2, 0, 0, 0, 0, 1],
            ipv4: ([10, 20, 0, 15], 24),
            dmi: Vec::new(),
        },
        plants: Vec::new(),
        assets: Vec::new(),
        limits: Limits { disk: 16 << 20, memory: None, processes: None, descriptors: None, time: None },
        stdin: Stdin::Null,
        terminal: (80, 24),
        capture: 0,
    };
    // One instruction: let every call pass.
    let pass =
        libc::sock_filter { code: (libc::BPF_RET | libc::BPF_K) as u16, jt: 0, jf: 0, k: libc::SECCOMP_RET_ALLOW };
    let ended = Jail::spawn(&spec, vec![pass]).and_then(|mut jail| {
        jail.go();
        let over = jail.wait(Duration::from_secs(10))?;
        let exit = jail.exit();
        Ok((over, exit))
    });
    match ended {
        Ok((true, Some(Exit::Code(0)))) => Check::found(NAME, "was built, ran `true`, and is gone"),
        Ok(other) => Check::lacks(
            NAME,
            State::Missing,
            format!("was built, but `true` ended as {other:?}"),
            "please report this as a fault of belljar",
        ),
        Err(error) => {
            let text = error.to_string();
            let (found, remedy) = text.split_once("; ").unwrap_or((&text, "see above"));
            Check::lacks(NAME, State::Missing, found, remedy)
        }
    }
}

/// Whether belljar can work here at all.
pub fn is_able(checks: &[Check]) -> bool {
    checks.iter().all(|check| check.state != State::Missing)
}
