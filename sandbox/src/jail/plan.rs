//! Everything the cloned child needs, made ready before the clone: the child may not allocate,
//! so it finds C strings, byte buffers and lists here and only walks them.
//!
//! On the stage (a memory file system that only this session has) stand, by number: `lN` host
//! directories, `hN` what hides some of what is in them, `fN` furniture and decoys, `uN` what the
//! subject writes, `wN` overlayfs's work space, and `r`, the jail's root.

use std::collections::BTreeMap;
use std::ffi::{CString, OsStr};
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use super::error::JailError;
use super::furniture;
use super::ids::Map;
use super::network::{self, Request};
use super::system::{self, Part};
use crate::decoy::{Content, Owner, Plant};
use crate::spec::{Rootfs, Spec, Stdin};

/// How a host path's owners appear in the jail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owners {
    /// As their own numbers: root's files are root's.
    System,
    /// The caller's files are the subject's.
    Caller,
    /// No mapping: devices.
    Device,
}

/// A host path that is taken hold of before anything is mounted.
#[derive(Debug)]
pub(crate) struct Source {
    pub path: CString,
    pub owners: Owners,
    pub directory: bool,
}

/// An overlay of the jail.
#[derive(Debug)]
pub(crate) struct Overlay {
    /// Where, relative to the root; empty for the root itself.
    pub target: CString,
    pub lower: CString,
    pub upper: CString,
    pub work: CString,
}

/// The same overlay as the layer witness needs it afterwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerRoot {
    /// Absolute path in the jail.
    pub target: PathBuf,
    /// Name of its upper directory on the stage.
    pub upper: String,
    /// Names of the directories between it and the host's, topmost first: furniture, and what hides the host's.
    pub between: Vec<String>,
    /// Host directory at the bottom, if any.
    pub host: Option<PathBuf>,
}

/// A planted inode.
#[derive(Debug)]
pub(crate) enum Node {
    Directory,
    File(Vec<u8>),
    Symlink(CString),
    /// Hides what lies below it (overlayfs: a character device 0/0).
    Whiteout,
}

/// A path on the stage.
#[derive(Debug)]
pub(crate) struct Planted {
    pub path: CString,
    pub node: Node,
    pub mode: u32,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub mtime: i64,
}

/// A device or single file shown in the jail.
#[derive(Debug)]
pub(crate) struct FileBind {
    pub source: usize,
    pub target: CString,
    pub read_only: bool,
}

/// A resource limit of the subject: `(resource, soft, hard)`.
pub(crate) type Limit = (libc::__rlimit_resource_t, u64, u64);

/// What the child does, in the order of the fields.
#[derive(Debug)]
pub(crate) struct Plan {
    pub map: Map,
    pub uid: u32,
    pub gid: u32,
    pub sources: Vec<Source>,
    /// A directory of the host to mount the stage on.
    pub stage: CString,
    pub stage_options: CString,
    pub planted: Vec<Planted>,
    pub overlays: Vec<Overlay>,
    pub layer: Vec<LayerRoot>,
    pub binds: Vec<FileBind>,
    pub pts_options: Vec<(CString, CString)>,
    pub hostname: Vec<u8>,
    pub network: Vec<Request>,
    pub limits: Vec<Limit>,
    pub workdir: CString,
    /// Descriptor of the subject's standard input; -1 is its terminal, -2 `/dev/null`.
    pub stdin: RawFd,
    pub terminal: (u16, u16),
    pub filter: Vec<libc::sock_filter>,
    /// Where this process keeps its arguments, for pid 1 to put others there.
    pub arguments: std::ops::Range<usize>,
    /// Paths the program may be at; the first that is there is executed.
    pub candidates: Vec<CString>,
    pub argv: Vec<CString>,
    pub env: Vec<CString>,
}

/// Descriptor value for [`Plan::stdin`]: the subject's terminal.
pub(crate) const STDIN_TERMINAL: RawFd = -1;
/// Descriptor value for [`Plan::stdin`]: nothing.
pub(crate) const STDIN_NULL: RawFd = -2;

/// The most host paths one jail can hold: descriptors of one message (`unix(7)`, SCM_MAX_FD 253).
pub(crate) const MAX_SOURCES: usize = 240;

fn c_string(bytes: &[u8], what: &'static str) -> Result<CString, JailError> {
    CString::new(bytes).map_err(|_| JailError::Value {
        what,
        value: String::from_utf8_lossy(bytes).into_owned(),
        reason: "it contains a NUL byte",
    })
}

/// An overlay while the plan is being made.
struct Draft {
    target: PathBuf,
    source: Option<(usize, PathBuf)>,
    planted: BTreeMap<PathBuf, Planted>,
    /// Whiteouts. They lie between furniture and the host's, so that what is planted in a hidden directory is there,
    /// alone: overlayfs looks no further down than a whiteout.
    hidden: BTreeMap<PathBuf, Planted>,
    /// Attributes of the directory itself.
    attributes: (Option<u32>, u32),
}

struct Builder<'a> {
    spec: &'a Spec,
    map: Map,
    sources: Vec<Source>,
    drafts: Vec<Draft>,
    binds: Vec<FileBind>,
}

impl Plan {
    /// Makes the plan. Reads the host's directories, changes nothing.
    pub(crate) fn new(spec: &Spec, map: Map, stdin: RawFd, filter: Vec<libc::sock_filter>) -> Result<Self, JailError> {
        let mut builder = Builder { spec, map, sources: Vec::new(), drafts: Vec::new(), binds: Vec::new() };
        builder.roots()?;
        builder.devices()?;
        let files = builder.bind_directories()?;
        for plant in furniture::plants(spec).iter().chain(&spec.plants) {
            builder.plant(plant)?;
        }
        builder.bind_files(files)?;
        builder.hide()?;
        builder.finish(stdin, filter)
    }
}

impl Builder<'_> {
    fn source(&mut self, path: &Path, owners: Owners, directory: bool) -> Result<usize, JailError> {
        if self.sources.len() >= MAX_SOURCES {
            return Err(JailError::Value {
                what: "bind",
                value: path.display().to_string(),
                reason: "a jail holds at most 240 host paths; bind their common directory",
            });
        }
        self.sources.push(Source { path: c_string(path.as_os_str().as_bytes(), "path")?, owners, directory });
        Ok(self.sources.len() - 1)
    }

    fn overlay(&mut self, target: &Path, source: Option<(PathBuf, Owners)>) -> Result<(), JailError> {
        let mut attributes = (Some(0), 0o755);
        let source = match source {
            Some((path, owners)) => {
                if let Some((uid, _, mode)) = system::owner(&path) {
                    let uid = if owners == Owners::Caller && uid == nix::unistd::geteuid().as_raw() {
                        Some(self.spec.user.uid)
                    } else {
                        self.map.uid_in_jail(uid)
                    };
                    attributes = (uid, mode);
                }
                Some((self.source(&path, owners, true)?, path))
            }
            None => None,
        };
        self.drafts.push(Draft {
            target: target.to_path_buf(),
            source,
            planted: BTreeMap::new(),
            hidden: BTreeMap::new(),
            attributes,
        });
        Ok(())
    }

    fn roots(&mut self) -> Result<(), JailError> {
        match &self.spec.rootfs {
            Rootfs::Image(image) => {
                let host = |cause, remedy| JailError::Host { path: image.clone(), cause, remedy };
                let meta = std::fs::metadata(image)
                    .map_err(|cause| host(cause, "give a directory that holds a whole system"))?;
                if !meta.is_dir() {
                    return Err(host(rustix::io::Errno::NOTDIR.into(), "unpack the image to a directory first"));
                }
                std::fs::read_dir(image).map_err(|cause| host(cause, "belljar's user must be able to read it"))?;
                self.overlay(Path::new("/"), Some((image.clone(), Owners::System)))
            }
            Rootfs::Host => {
                self.overlay(Path::new("/"), None)?;
                for part in system::parts() {
                    match part {
                        Part::Directory(path) => self.overlay(&path.clone(), Some((path, Owners::System)))?,
                        Part::Link(path, target) => {
                            self.put(&path, Node::Symlink(c_string(target.as_os_str().as_bytes(), "path")?), 0o777, 0)?;
                        }
                    }
                }
                for secret in system::secrets(Path::new("/etc")) {
                    self.put(&Path::new("/etc").join(secret), Node::Whiteout, 0, 0)?;
                }
                Ok(())
            }
        }
    }

    fn devices(&mut self) -> Result<(), JailError> {
        for name in furniture::DEVICES {
            let path = Path::new("/dev").join(name);
            let source = self.source(&path, Owners::Device, false)?;
            self.binds.push(FileBind {
                source,
                target: c_string(&path.as_os_str().as_bytes()[1..], "path")?,
                read_only: false,
            });
        }
        Ok(())
    }

    /// Directories become overlays (whatever is written goes to the layer); files are returned.
    fn bind_directories(&mut self) -> Result<Vec<usize>, JailError> {
        let mut files = Vec::new();
        for (index, bind) in self.spec.binds.iter().enumerate() {
            let host = |cause| JailError::Host {
                path: bind.source.clone(),
                cause,
                remedy: "give a path that exists and that belljar's user may read",
            };
            let source = std::fs::canonicalize(&bind.source).map_err(host)?;
            let meta = std::fs::metadata(&source).map_err(host)?;
            if !bind.target.is_absolute() {
                return Err(JailError::Value {
                    what: "bind target",
                    value: bind.target.display().to_string(),
                    reason: "a path in the jail must be absolute",
                });
            }
            if meta.is_dir() {
                self.overlay(&bind.target, Some((source, Owners::Caller)))?;
            } else {
                files.push(index);
            }
        }
        // Outer directories are mounted, and found as the place of a plant, before inner ones.
        self.drafts.sort_by_key(|draft| draft.target.components().count());
        let targets: Vec<PathBuf> = self.drafts.iter().skip(1).map(|draft| draft.target.clone()).collect();
        for target in targets {
            self.mount_point(&target)?;
        }
        Ok(files)
    }

    fn mount_point(&mut self, target: &Path) -> Result<(), JailError> {
        // The mount point lies in the overlay around it, not in the one that is mounted there.
        let place = self.drafts.iter().rposition(|d| target != d.target && target.starts_with(&d.target)).unwrap_or(0);
        self.put_in(place, target, Node::Directory, 0o755, 0, 1_704_067_200)
    }

    fn bind_files(&mut self, files: Vec<usize>) -> Result<(), JailError> {
        for index in files {
            let bind = &self.spec.binds[index];
            let host = |cause| JailError::Host {
                path: bind.source.clone(),
                cause,
                remedy: "give a file that belljar's user may read",
            };
            let source = std::fs::canonicalize(&bind.source).map_err(host)?;
            if bind.writable {
                // Writes must go to the layer, and overlayfs has no layers of single files: plant a copy.
                let bytes = std::fs::read(&source).map_err(host)?;
                let mode = system::owner(&source).map_or(0o644, |(_, _, mode)| mode);
                self.put(&bind.target, Node::File(bytes), mode, self.spec.user.uid)?;
            } else {
                self.put(&bind.target, Node::File(Vec::new()), 0o644, self.spec.user.uid)?;
                let source = self.source(&source, Owners::Caller, false)?;
                let target = bind.target.as_os_str().as_bytes();
                self.binds.push(FileBind {
                    source,
                    target: c_string(target.strip_prefix(b"/").unwrap_or(target), "path")?,
                    read_only: true,
                });
            }
        }
        Ok(())
    }

    /// Covers host paths that lie below shown directories.
    fn hide(&mut self) -> Result<(), JailError> {
        for hidden in &self.spec.hidden {
            for place in 0..self.drafts.len() {
                let draft = &self.drafts[place];
                let Some((_, source)) = &draft.source else { continue };
                if let Ok(below) = hidden.strip_prefix(source)
                    && !below.as_os_str().is_empty()
                {
                    let path = draft.target.join(below);
                    self.put_in(place, &path, Node::Whiteout, 0, 0, 0)?;
                }
            }
        }
        Ok(())
    }

    fn plant(&mut self, plant: &Plant) -> Result<(), JailError> {
        let owner = match plant.owner {
            Owner::Root => 0,
            Owner::User => self.spec.user.uid,
        };
        let node = match &plant.content {
            Content::Directory => Node::Directory,
            Content::File(bytes) => Node::File(bytes.clone()),
            Content::Symlink(target) => Node::Symlink(c_string(target, "link target")?),
        };
        let path = Path::new(OsStr::from_bytes(&plant.path));
        let place = self.place(path);
        self.put_in(place, path, node, plant.mode, owner, plant.mtime)
    }

    fn put(&mut self, path: &Path, node: Node, mode: u32, uid: u32) -> Result<(), JailError> {
        let place = self.place(path);
        self.put_in(place, path, node, mode, uid, 1_704_067_200)
    }

    /// The innermost overlay that holds a path.
    fn place(&self, path: &Path) -> usize {
        let depth = |draft: &Draft| draft.target.components().count();
        (0..self.drafts.len())
            .filter(|n| path.starts_with(&self.drafts[*n].target))
            .max_by_key(|n| depth(&self.drafts[*n]))
            .unwrap_or(0)
    }

    fn put_in(
        &mut self,
        place: usize,
        path: &Path,
        node: Node,
        mode: u32,
        uid: u32,
        mtime: i64,
    ) -> Result<(), JailError> {
        let wrong = |reason| JailError::Value { what: "planted path", value: path.display().to_string(), reason };
        if !path.is_absolute() || path.components().any(|part| matches!(part, Component::ParentDir)) {
            return Err(wrong("it must be absolute and without `..`"));
        }
        let Some(draft) = self.drafts.get_mut(place) else { return Err(wrong("there is no place for it")) };
        let below = path.strip_prefix(&draft.target).map_err(|_| wrong("it is outside its place"))?;
        let own = |id: u32, has: bool| has.then_some(id);
        let uid_on_disk = own(uid, self.map.has_uid(uid));
        let gid = if uid == 0 { 0 } else { self.spec.user.gid };
        let gid_on_disk = own(gid, self.map.has_gid(gid));
        let planted = if matches!(node, Node::Whiteout) { &mut draft.hidden } else { &mut draft.planted };
        let mut parent = PathBuf::new();
        for part in below.parent().into_iter().flat_map(Path::components) {
            parent.push(part);
            if !planted.contains_key(&parent) {
                let path = c_string(parent.as_os_str().as_bytes(), "path")?;
                let made =
                    Planted { path, node: Node::Directory, mode: 0o755, uid: uid_on_disk, gid: gid_on_disk, mtime };
                planted.insert(parent.clone(), made);
            }
        }
        if below.as_os_str().is_empty() {
            return Ok(()); // the mount point itself
        }
        let made = Planted {
            path: c_string(below.as_os_str().as_bytes(), "path")?,
            node,
            mode,
            uid: uid_on_disk,
            gid: gid_on_disk,
            mtime,
        };
        planted.insert(below.to_path_buf(), made);
        Ok(())
    }

    fn finish(self, stdin: RawFd, filter: Vec<libc::sock_filter>) -> Result<Plan, JailError> {
        let spec = self.spec;
        let root = self.map.has_uid(0).then_some(0);
        let mut planted = vec![directory("r", 0o755, root, 0)?];
        let (mut overlays, mut layer) = (Vec::new(), Vec::new());
        let mut furniture_bytes = 0u64;
        for (n, draft) in self.drafts.into_iter().enumerate() {
            let (uid, mode) = draft.attributes;
            let uid = uid.filter(|uid| self.map.has_uid(*uid));
            let mut between = Vec::new();
            if !draft.planted.is_empty() || draft.source.is_none() {
                between.push((format!("f{n}"), draft.planted));
            }
            if !draft.hidden.is_empty() {
                between.push((format!("h{n}"), draft.hidden));
            }
            let mut lower: Vec<String> = between.iter().map(|(name, _)| name.clone()).collect();
            lower.extend(draft.source.as_ref().map(|(source, _)| format!("l{source}")));
            planted.push(directory(&format!("u{n}"), mode, uid, 0)?);
            planted.push(directory(&format!("w{n}"), 0o755, uid, 0)?);
            let names = between.iter().map(|(name, _)| name.clone()).collect();
            for (name, nodes) in between {
                planted.push(directory(&name, mode, uid, 0)?);
                for (_, mut node) in nodes {
                    if let Node::File(bytes) = &node.node {
                        furniture_bytes += bytes.len() as u64 + 4096;
                    }
                    node.path = c_string(&[name.as_bytes(), b"/", node.path.as_bytes()].concat(), "path")?;
                    planted.push(node);
                }
            }
            let target = draft.target.as_os_str().as_bytes();
            overlays.push(Overlay {
                target: c_string(target.strip_prefix(b"/").unwrap_or(target), "path")?,
                lower: c_string(lower.join(":").as_bytes(), "path")?,
                upper: c_string(format!("u{n}").as_bytes(), "path")?,
                work: c_string(format!("w{n}").as_bytes(), "path")?,
            });
            layer.push(LayerRoot {
                target: draft.target,
                upper: format!("u{n}"),
                between: names,
                host: draft.source.map(|(_, path)| path),
            });
        }
        for (n, source) in self.sources.iter().enumerate() {
            if source.directory {
                planted.push(directory(&format!("l{n}"), 0o755, root, 0)?);
            }
        }
        let stage =
            ["/tmp", "/mnt", "/run", "/var"].into_iter().find(|path| Path::new(path).is_dir()).unwrap_or("/usr");
        // A file costs the kernel about a kilobyte besides its pages: bound their number too.
        let inodes = (spec.limits.disk / 4096).clamp(65_536, 4_194_304);
        let options = format!("size={},nr_inodes={inodes},mode=0755", spec.limits.disk.saturating_add(furniture_bytes));
        let mut pts_options = vec![(c"mode".into(), c"0620".into()), (c"ptmxmode".into(), c"0666".into())];
        if self.map.has_gid(5) {
            pts_options.push((c"gid".into(), c"5".into())); // group tty on every distribution
        }
        let (candidates, argv, env) = program(spec)?;
        Ok(Plan {
            map: self.map,
            uid: spec.user.uid,
            gid: spec.user.gid,
            sources: self.sources,
            stage: c_string(stage.as_bytes(), "path")?,
            stage_options: c_string(options.as_bytes(), "options")?,
            planted,
            overlays,
            layer,
            binds: self.binds,
            pts_options,
            hostname: spec.identity.hostname.clone().into_bytes(),
            network: network::requests(&spec.identity),
            limits: limits(spec),
            workdir: c_string(spec.workdir.as_os_str().as_bytes(), "working directory")?,
            stdin: match spec.stdin {
                Stdin::Terminal => STDIN_TERMINAL,
                Stdin::Null => STDIN_NULL,
                Stdin::Pipe => stdin,
            },
            terminal: spec.terminal,
            filter,
            arguments: arguments(),
            candidates,
            argv,
            env,
        })
    }
}

fn directory(path: &str, mode: u32, uid: Option<u32>, mtime: i64) -> Result<Planted, JailError> {
    Ok(Planted { path: c_string(path.as_bytes(), "path")?, node: Node::Directory, mode, uid, gid: None, mtime })
}

type Program = (Vec<CString>, Vec<CString>, Vec<CString>);

fn program(spec: &Spec) -> Result<Program, JailError> {
    let missing = JailError::Value { what: "command", value: String::new(), reason: "give a program to run" };
    let name = spec.argv.first().filter(|name| !name.is_empty()).ok_or(missing)?.as_bytes();
    let candidates = if name.contains(&b'/') {
        vec![c_string(name, "command")?]
    } else {
        let path =
            spec.env.iter().find(|(key, _)| key == "PATH").map_or(&b"/usr/bin:/bin"[..], |(_, value)| value.as_bytes());
        path.split(|byte| *byte == b':')
            .filter(|dir| !dir.is_empty())
            .map(|dir| c_string(&[dir, b"/", name].concat(), "command"))
            .collect::<Result<_, _>>()?
    };
    let argv = spec.argv.iter().map(|arg| c_string(arg.as_bytes(), "argument")).collect::<Result<_, _>>()?;
    let pair = |(key, value): &(std::ffi::OsString, std::ffi::OsString)| {
        c_string(&[key.as_bytes(), b"=", value.as_bytes()].concat(), "environment variable")
    };
    let env = spec.env.iter().map(pair).collect::<Result<_, _>>()?;
    Ok((candidates, argv, env))
}

/// The addresses of this process's argument strings: fields 48 and 49 of `/proc/self/stat`
/// (`proc_pid_stat(5)`); empty when they cannot be told.
fn arguments() -> std::ops::Range<usize> {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The second field, a name in parentheses, may hold anything; the third follows its last `)`.
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let mut numbers = fields.split_whitespace().skip(45).map_while(|field| field.parse().ok());
    let (start, end) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if start == 0 || end < start { 0..0 } else { start..end }
}

fn limits(spec: &Spec) -> Vec<Limit> {
    let mut limits = vec![
        // 1, not 0: the kernel skips helpers of core_pattern, which would run outside the jail,
        // for a limit of one byte only (fs/coredump.c).
        (libc::RLIMIT_CORE, 1, 1),
        (libc::RLIMIT_MEMLOCK, 64 << 20, 64 << 20),
    ];
    let descriptors = spec.limits.descriptors.unwrap_or(1 << 19);
    limits.push((libc::RLIMIT_NOFILE, descriptors.min(1024), descriptors));
    if let Some(processes) = spec.limits.processes {
        limits.push((libc::RLIMIT_NPROC, processes, processes));
    }
    limits
}
