//! Which witness of system calls a session has, and the jail that goes with it: the two are begun side by side, and
//! when the kernel will not have the ebpf witness, the jail is built again for the other.

use std::sync::Arc;

use belljar_sandbox::decoy::Asset;
use belljar_sandbox::event::Queue;
use belljar_sandbox::jail::Jail;
use belljar_sandbox::spec::Spec;
use belljar_sandbox::witness::Stats;
use belljar_sandbox::witness::ebpf::{self, EbpfError, Loaded, Settings};
use belljar_sandbox::witness::notify::{self, Gate, Notify};

use super::SessionError;
use crate::bundle::WitnessInfo;

/// Which witness the analyst wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wanted {
    /// The best that can be had.
    #[default]
    Auto,
    /// The one in the kernel.
    Ebpf,
    /// seccomp user notification.
    Notify,
}

/// What was chosen, and why, in the words for the analyst.
pub(super) struct Choice {
    /// The ebpf witness, when it is the one.
    loaded: Option<Loaded>,
    /// Names and reasons: of the witness, and of that of TLS where it was asked for.
    pub(super) infos: Vec<WitnessInfo>,
}

impl Choice {
    fn new(loaded: Option<Loaded>, name: &str, reason: &str) -> Self {
        let infos = vec![WitnessInfo { name: name.to_owned(), used: true, reason: format!("{name}: {reason}") }];
        Self { loaded, infos }
    }

    /// Says what becomes of the probes in TLS libraries.
    fn tls(&mut self, settings: Settings) {
        if !settings.tls {
            return;
        }
        let refused = match &self.loaded {
            None => Some("it needs the ebpf witness"),
            Some(loaded) => loaded.tls_refused(),
        };
        let reason = refused.unwrap_or("probes in the libraries, as asked; the subject can find them");
        let info = WitnessInfo { name: "tls".into(), used: refused.is_none(), reason: format!("tls: {reason}") };
        self.infos.push(info);
    }
}

/// Begins the witness and hands its choice to `chosen` as soon as it is made; builds the jail meanwhile.
pub(super) fn begin(
    wanted: Wanted,
    settings: Settings,
    spec: &Spec,
    chosen: impl FnOnce(&[WitnessInfo]) + Send,
) -> Result<(Jail, Choice), SessionError> {
    let root = nix::unistd::geteuid().is_root();
    if wanted == Wanted::Notify || (wanted == Wanted::Auto && !root) {
        let reason = if wanted == Wanted::Notify { "as asked" } else { "it needs no privilege; ebpf needs root" };
        let mut choice = Choice::new(None, "notify", reason);
        choice.tls(settings);
        chosen(&choice.infos);
        return Ok((Jail::spawn(spec, notify::program())?, choice));
    }
    // This thread will show the kernel's half the planted files.
    let thread = rustix::thread::gettid();
    let (jail, choice) = std::thread::scope(|scope| {
        let loading = scope.spawn(move || {
            let mut choice = choose(wanted, Loaded::new(settings, thread));
            if let Ok(choice) = &mut choice {
                choice.tls(settings);
                chosen(&choice.infos);
            }
            choice
        });
        (Jail::spawn(spec, notify::gate_program()), loading.join())
    });
    let choice = choice.map_err(|_| SessionError::Own {
        what: "load the ebpf witness",
        cause: std::io::Error::other("its thread failed"),
    })??;
    let jail = jail?;
    if choice.loaded.is_some() {
        return Ok((jail, choice));
    }
    drop(jail);
    Ok((Jail::spawn(spec, notify::program())?, choice))
}

fn choose(wanted: Wanted, loaded: Result<Loaded, EbpfError>) -> Result<Choice, SessionError> {
    match loaded {
        Ok(loaded) => {
            let reason =
                if wanted == Wanted::Ebpf { "as asked" } else { "every call with its result, since this is root" };
            Ok(Choice::new(Some(loaded), "ebpf", reason))
        }
        Err(error) if wanted == Wanted::Auto => Ok(Choice::new(None, "notify", &error.to_string())),
        Err(error) => Err(error.into()),
    }
}

/// The witness at work.
pub(super) enum Calls {
    Notify(Notify),
    Ebpf { witness: Box<ebpf::Witness>, gate: Gate },
}

impl Calls {
    /// Starts watching; the subject waits until then.
    pub(super) fn start(
        choice: Choice,
        jail: &mut Jail,
        capture: usize,
        assets: &[Asset],
        queue: &Arc<Queue>,
        start_ns: u64,
    ) -> Result<Self, SessionError> {
        let listener = jail.take_listener().ok_or_else(|| SessionError::Own {
            what: "take the listener",
            cause: std::io::Error::other("it was taken already"),
        })?;
        let (init_pid, queue) = (jail.init_pid(), Arc::clone(queue));
        let Some(loaded) = choice.loaded else {
            let assets = assets.to_vec();
            let context = notify::Context { listener, init_pid, start_ns, capture, assets, queue };
            return Ok(Self::Notify(Notify::start(context)?));
        };
        let freezer = jail.cgroup().freezer();
        let context = ebpf::Context { init_pid, start_ns, assets, queue, freezer };
        let witness = Box::new(ebpf::Witness::start(loaded, context)?);
        Ok(Self::Ebpf { witness, gate: Gate::start(listener)? })
    }

    /// What was counted. The jail must be over.
    pub(super) fn finish(self) -> Stats {
        match self {
            Self::Notify(notify) => notify.finish(),
            Self::Ebpf { witness, gate } => {
                let killed = gate.finish();
                Stats { killed, ..witness.finish() }
            }
        }
    }
}
