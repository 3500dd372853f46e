//! What can fail while a jail is built, each step with its cause and its remedy.
//!
//! Most steps happen in the cloned child, which may neither allocate nor print: it leaves the
//! step's number, which item of it and the errno in shared memory, and the parent words it here.

use std::io;
use std::path::PathBuf;

use nix::errno::Errno;

/// One step of building the jail inside its namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Step {
    /// Waiting for the id maps.
    Handshake = 1,
    /// Becoming the jail's own root.
    Credentials,
    /// Tying the jail's life to belljar's.
    DeathSignal,
    /// Making all mounts private.
    Private,
    /// Taking hold of a host directory or file.
    Source,
    /// The memory file system that holds the session's layer.
    Stage,
    /// Planting a file.
    Plant,
    /// Attaching a host directory below the overlay.
    Lower,
    /// An overlay.
    Overlay,
    /// A device or single file shown in the jail.
    Bind,
    /// The jail's `/proc`.
    Proc,
    /// Making a dangerous part of `/proc` read-only.
    ProcMask,
    /// The jail's terminals.
    DevPts,
    /// Changing to the new root.
    Pivot,
    /// The host name.
    Hostname,
    /// The network interface.
    Network,
    /// A socket of the gateway.
    Gateway,
    /// The subject's terminal.
    Terminal,
    /// The subject's limits.
    Limits,
    /// Forking the subject's process.
    Fork,
    /// Entering the working directory.
    Workdir,
    /// Becoming the subject's user.
    User,
    /// Standard input, output and errors.
    Stdio,
    /// Switching off new privileges.
    NoNewPrivs,
    /// The system-call filter.
    Filter,
    /// Finding the subject's program.
    Lookup,
    /// Executing the subject.
    Exec,
}

impl Step {
    const ALL: [Self; 27] = [
        Self::Handshake,
        Self::Credentials,
        Self::DeathSignal,
        Self::Private,
        Self::Source,
        Self::Stage,
        Self::Plant,
        Self::Lower,
        Self::Overlay,
        Self::Bind,
        Self::Proc,
        Self::ProcMask,
        Self::DevPts,
        Self::Pivot,
        Self::Hostname,
        Self::Network,
        Self::Gateway,
        Self::Terminal,
        Self::Limits,
        Self::Fork,
        Self::Workdir,
        Self::User,
        Self::Stdio,
        Self::NoNewPrivs,
        Self::Filter,
        Self::Lookup,
        Self::Exec,
    ];

    /// The step with this number, if there is one.
    pub(crate) fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|step| *step as u32 == number)
    }

    /// The step in words, after "cannot".
    fn describe(self) -> &'static str {
        match self {
            Self::Handshake => "hand the identity maps to the jail",
            Self::Credentials => "become root inside the jail",
            Self::DeathSignal => "tie the jail's life to belljar's",
            Self::Private => "make the jail's mounts private",
            Self::Source => "open a host path for the jail",
            Self::Stage => "mount the memory file system of the session's layer",
            Self::Plant => "plant a file",
            Self::Lower => "attach a host directory below the jail's root",
            Self::Overlay => "mount an overlay",
            Self::Bind => "show a host path in the jail",
            Self::Proc => "mount the jail's /proc",
            Self::ProcMask => "make a part of /proc read-only",
            Self::DevPts => "mount the jail's terminals",
            Self::Pivot => "change to the jail's root",
            Self::Hostname => "set the jail's host name",
            Self::Network => "set up the jail's eth0",
            Self::Gateway => "open a socket of the gateway",
            Self::Terminal => "open the subject's terminal",
            Self::Limits => "set the subject's limits",
            Self::Fork => "fork the subject's process",
            Self::Workdir => "enter the subject's working directory",
            Self::User => "become the subject's user",
            Self::Stdio => "connect the subject's input and output",
            Self::NoNewPrivs => "switch off new privileges",
            Self::Filter => "install the system-call filter",
            Self::Lookup => "find the subject's program",
            Self::Exec => "execute the subject's program",
        }
    }

    /// What to do about it.
    fn remedy(self, errno: Errno) -> &'static str {
        match (self, errno) {
            (Self::Overlay, Errno::EINVAL) => {
                "the kernel log (dmesg) says why; without privilege no directory can be shown that has mounts below it: run \
                 belljar from another directory, or as root; in a container, give a system with --rootfs"
            }
            (Self::Overlay, Errno::EPERM) => "mounting overlayfs in a user namespace needs Linux 5.11 or later",
            (Self::Proc, Errno::EPERM) => {
                "the host's own /proc is partly hidden (a container?): run belljar outside it, or with --security-opt \
                 systempaths=unconfined"
            }
            (Self::Filter, Errno::EINVAL) => "seccomp user notification needs Linux 5.0 and CONFIG_SECCOMP_FILTER",
            (Self::Filter, Errno::EBUSY) => "belljar itself runs under another seccomp supervisor: run it outside",
            (
                Self::Network | Self::Gateway,
                Errno::ENOENT | Errno::EOPNOTSUPP | Errno::EPROTONOSUPPORT | Errno::EAFNOSUPPORT,
            ) => "the kernel lacks a part of the network: sudo modprobe -a veth nf_tables nft_tproxy",
            (Self::Workdir, _) => "give a directory that exists in the jail with --workdir, or show one with --bind",
            (Self::Lookup | Self::Exec, Errno::ENOENT) => {
                "the jail shows the host's system directories only; show a program from elsewhere with --bind"
            }
            (Self::Exec, Errno::EACCES) => "the file must be executable by the subject's user",
            (Self::Exec, Errno::ENOEXEC) => "the file is no program of this machine's processor",
            (Self::Source, Errno::ENOENT) => "the path does not exist on the host",
            (Self::Source, Errno::EACCES) => "belljar's user may not read it",
            (Self::Plant | Self::Stage, Errno::ENOSPC) => "raise `disk` under [limits] in the profile",
            (_, Errno::EPERM) => "run `belljar doctor`: something on this machine forbids it",
            (_, Errno::ENOSPC | Errno::EUSERS) => "raise user.max_*_namespaces with sysctl, or end other sandboxes",
            (_, Errno::ENOMEM) => "free memory",
            (_, Errno::EMFILE | Errno::ENFILE) => "raise the limit of open files (ulimit -n)",
            _ => "run `belljar doctor` for what this machine can do",
        }
    }
}

/// Why a jail could not be built.
#[derive(Debug, thiserror::Error)]
pub enum JailError {
    /// The kernel refused the namespaces.
    #[error("cannot create the jail's namespaces: {errno}; {}", clone_remedy(*errno))]
    Namespaces {
        /// Its reason.
        errno: Errno,
    },
    /// A step inside the jail failed.
    #[error("cannot {}{}: {errno}; {}", step.describe(), on(item.as_deref()), step.remedy(*errno))]
    Step {
        /// Which step.
        step: Step,
        /// What it was about: a path.
        item: Option<String>,
        /// Its reason.
        errno: Errno,
    },
    /// The subject's program is not there.
    #[error("no program {program:?} in the jail: {errno}; {}", Step::Lookup.remedy(Errno::ENOENT))]
    NotFound {
        /// As given.
        program: String,
        /// The kernel's reason.
        errno: Errno,
    },
    /// Identity maps could not be written.
    #[error("cannot write {}: {cause}; user namespaces may be switched off: see `belljar doctor`", path.display())]
    IdMap {
        /// The map.
        path: PathBuf,
        /// The kernel's reason.
        cause: io::Error,
    },
    /// A host path cannot serve as a source.
    #[error("cannot use {}: {cause}; {remedy}", path.display())]
    Host {
        /// The path.
        path: PathBuf,
        /// The kernel's reason.
        cause: io::Error,
        /// What to do.
        remedy: &'static str,
    },
    /// A value of the spec cannot be passed to the kernel.
    #[error("{what} {value:?} cannot be used: {reason}")]
    Value {
        /// What it is.
        what: &'static str,
        /// The value.
        value: String,
        /// Why not.
        reason: &'static str,
    },
    /// Something of the parent's own set-up failed.
    #[error("cannot {what}: {cause}")]
    Parent {
        /// What.
        what: &'static str,
        /// Why.
        cause: io::Error,
    },
    /// The child died before it could say why.
    #[error("the jail's first process died while it was being set up; out of memory, or killed from outside")]
    Died,
}

fn on(item: Option<&str>) -> String {
    item.map_or_else(String::new, |item| format!(" ({item})"))
}

fn clone_remedy(errno: Errno) -> &'static str {
    match errno {
        Errno::EPERM => {
            "user namespaces are forbidden here: sysctl kernel.unprivileged_userns_clone=1 (Debian), \
             kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu), or run belljar as root"
        }
        Errno::ENOSPC | Errno::EUSERS => {
            "raise them: sysctl -w user.max_user_namespaces=15000 user.max_net_namespaces=15000"
        }
        Errno::EINVAL | Errno::ENOSYS => {
            "the kernel lacks user, pid, net, ipc, uts or cgroup namespaces (Linux 5.7 is needed)"
        }
        _ => "run `belljar doctor`",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_has_its_number_and_words() {
        for step in Step::ALL {
            assert_eq!(Step::from_number(step as u32), Some(step));
            assert!(!step.describe().is_empty());
        }
        assert_eq!(Step::from_number(0), None);
        assert_eq!(Step::from_number(Step::Exec as u32 + 1), None);
    }

    #[test]
    fn errors_name_step_cause_and_remedy() {
        let error = JailError::Step { step: Step::Overlay, item: Some("/usr".into()), errno: Errno::EPERM };
        assert_eq!(
            error.to_string(),
            "cannot mount an overlay (/usr): EPERM: Operation not permitted; mounting overlayfs in a user namespace needs Linux 5.11 or later"
        );
    }
}
