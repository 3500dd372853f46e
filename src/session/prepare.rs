//! From what the analyst asked for to what the sandbox is to build: profile, declaration, place,
//! user, limits. Nothing is made yet; every refusal here leaves no trace.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use belljar_sandbox::gateway::{self, Allowed, Authority, trust};
use belljar_sandbox::spec::{Bind, Rootfs, Spec, Stdin, User};
use belljar_sandbox::witness::ebpf::Settings;

use super::SessionError;
use super::calls::Wanted;
use super::place::{homes, place};
use crate::analysis::rules::Rules;
use crate::bundle::{Clocks, Header, Privilege, ProfileInfo, WitnessInfo};
use crate::profile::{Declaration, Profile};
use crate::store::AssetInfo;

/// All payload bytes, however many.
pub const FULL: u64 = u64::MAX;
/// Payload bytes of one call that analysis sees, whatever is kept of them.
const CAPTURE: usize = 64 << 10;

/// What the analyst asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// The subject's command.
    pub command: Vec<OsString>,
    /// Profile: name or file.
    pub profile: String,
    /// The supplier's declaration, in place of the profile's.
    pub declaration: Option<PathBuf>,
    /// Seed of the planted data; random when not given.
    pub seed: Option<u64>,
    /// Where to record; made from the command's name and the time when not given.
    pub output: Option<PathBuf>,
    /// Host paths to show.
    pub binds: Vec<Bind>,
    /// Working directory in the jail.
    pub workdir: Option<PathBuf>,
    /// Environment variables on top of the profile's.
    pub env: Vec<(OsString, OsString)>,
    /// Account in the jail.
    pub user: Option<String>,
    /// A directory that holds a whole system.
    pub rootfs: Option<PathBuf>,
    /// Destinations that are passed through to the real network.
    pub allow_hosts: Vec<Allowed>,
    /// How long the subject may run.
    pub timeout: Option<Duration>,
    /// Payload bytes kept per call; [`FULL`] for all.
    pub payload: u64,
    /// Where the subject's standard input comes from.
    pub stdin: Stdin,
    /// Columns and rows of its terminal.
    pub terminal: (u16, u16),
    /// Which witness of system calls is wanted.
    pub witness: Wanted,
    /// Bytes of the ebpf witness's ring, where it is not to have the usual ones.
    pub ebpf_ring: Option<u32>,
    /// Whether the ebpf witness may not freeze the subject.
    pub ebpf_no_freeze: bool,
    /// Whether TLS libraries are probed for what passes through them in the clear.
    pub tls_probes: bool,
}

/// A session that can be held.
pub struct Prepared {
    /// What the sandbox builds.
    pub(super) spec: Spec,
    /// What the recording says of it.
    pub(super) header: Header,
    /// What counts as what.
    pub(super) rules: Rules,
    /// Where it is recorded.
    pub output: PathBuf,
    /// Payload bytes kept per call.
    pub(super) payload: usize,
    /// What the world outside is to be.
    pub(super) gateway: Gateway,
    /// What the analyst should know before it starts.
    pub(super) notes: Vec<String>,
    /// Which witness of system calls is wanted.
    pub(super) witness: Wanted,
    /// How the ebpf witness is to see.
    pub(super) settings: Settings,
}

impl Prepared {
    /// What is planted, values included: what a screen masks.
    pub fn assets(&self) -> &[belljar_sandbox::decoy::Asset] {
        &self.spec.assets
    }

    /// What is planted.
    pub fn plants(&self) -> &[belljar_sandbox::decoy::Plant] {
        &self.spec.plants
    }

    /// By which rules it is judged.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }
}

/// The world outside: who vouches for it, and what the profile says of it.
pub(super) struct Gateway {
    pub(super) authority: Arc<Authority>,
    pub(super) options: gateway::Options,
}

/// Makes a session ready.
pub fn prepare(request: Request) -> Result<Prepared, SessionError> {
    if request.tls_probes && request.witness == Wanted::Notify {
        return Err(SessionError::Request(
            "--tls-probes needs the ebpf witness; leave out --witness notify".to_owned(),
        ));
    }
    let mut profile = Profile::load(&request.profile)?;
    if let Some(path) = &request.declaration {
        profile.declare(Declaration::load(path)?);
    }
    let current =
        std::env::current_dir().map_err(|cause| SessionError::Own { what: "find the current directory", cause })?;
    let program = request.command.first().map_or(OsStr::new(""), OsString::as_os_str);
    let place =
        place(&current, program, &homes(), |path| std::fs::canonicalize(path).ok().filter(|path| path.is_file()));
    let output = request.output.unwrap_or_else(|| name_bundle(program));
    let seed = request.seed.or(profile.seed()).unwrap_or_else(random_seed);
    let mut realised = profile.realise(seed)?;
    if let Some(name) = &request.user
        && *name != realised.user.name
    {
        realised.user = account(name)?;
        for (key, value) in
            [("HOME", realised.user.home.as_os_str()), ("USER", OsStr::new(name)), ("LOGNAME", OsStr::new(name))]
        {
            set(&mut realised.env, key.into(), value.to_owned());
        }
    }
    for (key, value) in request.env {
        set(&mut realised.env, key, value);
    }
    let mut argv = request.command;
    if let (Some(first), Some(path)) = (argv.first_mut(), place.program) {
        *first = path;
    }
    let mut limits = realised.limits;
    limits.time = request.timeout.or(limits.time);
    let binds = place.binds.into_iter().chain(request.binds).collect();
    let workdir = request.workdir.or(place.workdir).unwrap_or_else(|| realised.user.home.clone());
    let rules = profile.rules();
    let effective = profile.effective(seed)?;
    let header = Header {
        argv: argv.iter().map(|arg| arg.to_string_lossy().into_owned()).collect(),
        privilege: if nix::unistd::geteuid().is_root() { Privilege::Root } else { Privilege::Rootless },
        witnesses: witnesses(),
        clocks: Clocks::now(),
        profile: ProfileInfo { name: profile.name().to_owned(), sha256: effective.sha256, seed },
        profile_toml: effective.text,
        assets: realised
            .assets
            .iter()
            .map(|asset| AssetInfo { name: asset.name.clone(), class: asset.class.clone() })
            .collect(),
        terminal: request.terminal,
        payload_limit: request.payload,
        capture_limit: CAPTURE as u64,
    };
    // The subject must find neither this recording nor earlier ones beside its program.
    let mut hidden = vec![without_links(&current.join(&output))];
    hidden.extend(recordings(&current));
    let authority = Authority::new().map_err(|error| SessionError::Request(error.to_string()))?;
    let rootfs = request.rootfs.map_or(Rootfs::Host, Rootfs::Image);
    let mut plants = trust::plants(&authority, &rootfs, &realised.user.home);
    plants.extend(realised.plants);
    for (name, value) in trust::variables() {
        // A value of the profile's or the caller's own stands.
        if !realised.env.iter().any(|(known, _)| known == name) {
            realised.env.push((name.into(), value.into()));
        }
    }
    let spec = Spec {
        argv,
        env: realised.env,
        workdir,
        user: realised.user,
        rootfs,
        binds,
        hidden,
        identity: realised.identity,
        plants,
        assets: realised.assets,
        limits,
        stdin: request.stdin,
        terminal: request.terminal,
        capture: CAPTURE,
    };
    let payload = usize::try_from(request.payload).unwrap_or(usize::MAX);
    let settings = Settings {
        capture: CAPTURE as u32,
        keep: u32::try_from(payload.min(CAPTURE)).unwrap_or(u32::MAX),
        everything: request.payload == FULL,
        ring: request.ebpf_ring.unwrap_or(Settings::RING),
        freeze: !request.ebpf_no_freeze,
        tls: request.tls_probes,
    };
    let options = gateway::Options { allow: request.allow_hosts, ..profile.gateway() };
    let mut notes = place.notes;
    for allowed in &options.allow {
        let port = allowed.port.map(|port| format!(":{port}")).unwrap_or_default();
        notes.push(format!("connections to {}{port} are passed through to the real network", allowed.host));
    }
    let gateway = Gateway { authority: Arc::new(authority), options };
    Ok(Prepared { spec, header, rules, output, payload, gateway, notes, witness: request.witness, settings })
}

/// All but the witness of system calls, which is known once the kernel has been asked.
fn witnesses() -> Vec<WitnessInfo> {
    let used = |name: &str, reason: &str| WitnessInfo { name: name.to_owned(), used: true, reason: reason.to_owned() };
    vec![
        used("layer", "what the subject left on disk, read when it had ended"),
        used("terminal", "the subject's own screen"),
        used("gateway", "answers every name and address; packets are in traffic.pcapng, with the secrets of TLS"),
    ]
}

fn set(env: &mut Vec<(OsString, OsString)>, key: OsString, value: OsString) {
    env.retain(|(name, _)| *name != key);
    env.push((key, value));
}

/// An account of the jail besides the profile's: those of the system.
fn account(name: &str) -> Result<User, SessionError> {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let known = passwd.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, uid, gid, _, home, ..] = fields.as_slice() else { return None };
        let uid: u32 = uid.parse().ok()?;
        let user = User { name: (*name).to_owned(), uid, gid: gid.parse().ok()?, home: PathBuf::from(home) };
        (uid < 1000 || uid == 65_534).then_some(user)
    });
    let mut root = vec![User { name: "root".into(), uid: 0, gid: 0, home: "/root".into() }];
    root.extend(known.filter(|user| user.uid != 0));
    root.into_iter().find(|user| user.name == name).ok_or_else(|| {
        SessionError::Request(format!("there is no account {name:?} in the jail; --user takes root, the profile's own user or an account of the system"))
    })
}

/// `./NAME-YYYYmmdd-HHMMSS.belljar`, in local time.
fn name_bundle(program: &OsStr) -> PathBuf {
    let name = Path::new(program).file_name().map_or(&b"session"[..], OsStr::as_bytes);
    // The program's name is the supplier's choice: only tame characters become a file's name.
    let tame: String = name
        .iter()
        .take(64)
        .map(|byte| if byte.is_ascii_alphanumeric() || b"._-+".contains(byte) { char::from(*byte) } else { '_' })
        .collect();
    let now = jiff::Zoned::now().strftime("%Y%m%d-%H%M%S").to_string();
    PathBuf::from(format!("./{}-{now}.belljar", tame.trim_start_matches(['.', '-'])))
}

/// The path of something that is yet to be made, in a directory whose own path has no links.
fn without_links(path: &Path) -> PathBuf {
    let real = path.parent().and_then(|parent| std::fs::canonicalize(parent).ok());
    real.zip(path.file_name()).map_or_else(|| path.to_owned(), |(parent, name)| parent.join(name))
}

/// Recordings in a directory, by their names' ending.
fn recordings(dir: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|extension| extension == "belljar"))
}

/// A seed below 2^53, which every JSON reader holds exactly.
fn random_seed() -> u64 {
    (uuid::Uuid::new_v4().as_u128() as u64) >> 11
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_is_named_after_the_program() {
        let name = name_bundle(OsStr::from_bytes(b"/opt/ven dor/.in\x1bstall\xff"));
        let name = name.to_str().expect("tame");
        assert!(name.starts_with("./in_stall_-") && name.ends_with(".belljar"), "{name}");
    }
}
