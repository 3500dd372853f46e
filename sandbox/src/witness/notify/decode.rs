//! One trapped call turned into the parts of an event, by the argument kinds of the call table.
//!
//! All buffers are used again for the next call: the common case, a write of some bytes to an open file, allocates
//! nothing.

use std::io::Write;
use std::os::fd::AsFd;

use rustix::io::Errno;

use super::assets::{self, Assets};
use super::kernel;
use super::memory::{Memory, Unreadable, VECTOR_MAX};
use super::sockets::Sockets;
use super::tasks::{Process, Task, viewer};
use crate::event::ObjectKind;
use crate::witness::address;
use crate::witness::name::{self, Devices, Name};
use crate::witness::paths::{Base, Lookup, Resolver};
use crate::witness::plan::{self, Follow, Plan, Role};
use crate::witness::syscalls::Arg;

/// `AT_FDCWD`.
const CURRENT_DIRECTORY: i32 = -100;
/// Most messages of one `sendmmsg` (`UIO_MAXIOV`).
const MESSAGES_MAX: u64 = 1024;

/// What has been read of one call.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub object: Name,
    pub target: Name,
    pub detail: Vec<u8>,
    pub payload: Vec<u8>,
    /// Bytes the call asked for, kept or not.
    pub payload_len: u64,
    /// The socket address of the call, as the subject gave it.
    pub address: Vec<u8>,
    /// Inode of the socket the call acts on.
    pub socket: Option<u64>,
    /// What the lookup of the first path gave.
    pub lookup: Option<Lookup>,
    /// Some memory could not be read.
    pub unreadable: bool,
    /// Some name could not be found out.
    pub nameless: bool,
    /// The payload is not all of it.
    pub cut: bool,
    /// A lookup through the task's descriptors has worked: it is still there.
    pub seen: bool,
}

impl Parts {
    pub(super) fn clear(&mut self) {
        let Self { object, target, detail, payload, address, .. } = self;
        object.clear();
        target.clear();
        detail.clear();
        payload.clear();
        address.clear();
        (self.payload_len, self.socket, self.lookup) = (0, None, None);
        (self.unreadable, self.nameless, self.cut, self.seen) = (false, false, false, false);
    }

    fn check(&mut self, result: Result<(), Unreadable>) {
        self.unreadable |= result.is_err();
    }

    /// The first name found is the object, the second the target; more are not kept.
    fn place(&mut self) -> Option<&mut Name> {
        if self.object.kind == ObjectKind::None {
            Some(&mut self.object)
        } else if self.target.kind == ObjectKind::None {
            Some(&mut self.target)
        } else {
            None
        }
    }
}

/// What a descriptor was found to be open to, beside its name.
struct Opened {
    /// A socket's inode.
    socket: Option<u64>,
}

/// What reading a call takes, beside its caller.
pub(super) struct Decoder {
    pub resolver: Resolver,
    pub sockets: Sockets,
    assets: Assets,
    capture: usize,
    devices: Devices,
    path: Vec<u8>,
    name: Name,
}

impl Decoder {
    pub(super) fn new(resolver: Resolver, assets: Assets, capture: usize) -> Self {
        let (sockets, devices, name) = (Sockets::default(), Devices::default(), Name::default());
        Self { resolver, sockets, assets, capture, devices, path: Vec::new(), name }
    }

    /// Reads everything the table says of a call into `parts`.
    pub(super) fn read(
        &mut self,
        task: &mut Task,
        process: &Process,
        wide: bool,
        plan: &Plan,
        args: &[u64; 6],
        parts: &mut Parts,
    ) {
        parts.clear();
        let mut base = Base::Current;
        let mut paths = 0;
        for ((_, arg), value) in plan.call.args.iter().zip(*args) {
            let length = |index: u8| args.get(usize::from(index)).copied().unwrap_or(0);
            match *arg {
                Arg::Fd => self.descriptor(task, process, value as i32, parts),
                Arg::DirFd => {
                    base = match value as i32 {
                        CURRENT_DIRECTORY => Base::Current,
                        fd => Base::Descriptor(fd),
                    };
                }
                Arg::Path => {
                    let follow = paths == 0 && follows(plan.follow, task.memory(wide), args)
                        || paths > 0 && plan.follow == Follow::Yes;
                    self.path(task, process, wide, value, base, follow, parts);
                    base = Base::Current;
                    paths += 1;
                }
                Arg::Text => {
                    if value != 0 {
                        if !parts.detail.is_empty() {
                            parts.detail.push(0);
                        }
                        let result = task.memory(wide).string(value, &mut parts.detail);
                        parts.check(result);
                    }
                }
                Arg::InBuf { len } => {
                    let len = length(len);
                    parts.payload_len = parts.payload_len.saturating_add(len);
                    let result = task.memory(wide).bytes(value, len, self.capture, &mut parts.payload);
                    parts.check(result);
                }
                Arg::OutBuf { len } => parts.payload_len = length(len),
                Arg::InIovec { count } => {
                    self.gather(task.memory(wide), value, length(count), parts);
                }
                Arg::OutIovec { count } => {
                    let result =
                        task.memory(wide).gather(value, length(count), 0, &mut parts.payload, &mut parts.payload_len);
                    parts.check(result);
                }
                Arg::InMsg => self.message(task, process, wide, value, parts),
                Arg::OutMsg => match task.memory(wide).message(value) {
                    Ok(message) => {
                        let (iov, count) = (message.iov, message.iov_count);
                        let result =
                            task.memory(wide).gather(iov, count, 0, &mut parts.payload, &mut parts.payload_len);
                        parts.check(result);
                    }
                    Err(Unreadable) => parts.unreadable = true,
                },
                Arg::InMmsg { count } => {
                    let size = task.memory(wide).mmsghdr_size();
                    for index in 0..length(count).min(MESSAGES_MAX) {
                        self.message(task, process, wide, value.saturating_add(index * size), parts);
                        if parts.unreadable {
                            break;
                        }
                    }
                }
                Arg::SockAddr { len } => {
                    self.address(task, process, wide, value, length(len), parts);
                    let named = !parts.address.is_empty();
                    if named && matches!(plan.role, Role::Connect | Role::Bind) {
                        std::mem::swap(&mut parts.object, &mut parts.target);
                        parts.target.clear();
                    }
                }
                Arg::Argv => {
                    let result = task.memory(wide).strings(value, VECTOR_MAX, &mut parts.detail);
                    parts.cut |= result == Ok(false);
                    parts.check(result.map(|_| ()));
                }
                Arg::Envp => {
                    let result = task.memory(wide).strings(value, self.capture, &mut parts.payload);
                    parts.cut |= result == Ok(false);
                    parts.payload_len = parts.payload.len() as u64;
                    parts.check(result.map(|_| ()));
                }
                Arg::Pid => {
                    if parts.object.kind == ObjectKind::None {
                        parts.object.kind = ObjectKind::Process;
                        let _ = write!(parts.object.bytes, "{}", value as i32);
                    }
                }
                Arg::Int
                | Arg::Uint
                | Arg::Hex
                | Arg::Mode
                | Arg::Flags(_)
                | Arg::Signal
                | Arg::Command
                | Arg::Offset
                | Arg::Pointer => {}
            }
        }
        self.contents(task, process, wide, plan, args, parts);
        parts.cut |= !parts.payload.is_empty() && parts.payload_len > parts.payload.len() as u64;
    }

    /// The bytes of planted files that a call is about to read, and of any file it copies from.
    fn contents(
        &mut self,
        task: &mut Task,
        process: &Process,
        wide: bool,
        plan: &Plan,
        args: &[u64; 6],
        parts: &mut Parts,
    ) {
        let (fd, length, from) = match plan.role {
            Role::Read(_) => (args.first(), parts.payload_len, &parts.object),
            Role::Map => (args.get(4), args.get(1).copied().unwrap_or(0), &parts.object),
            Role::Copy(fd, _, length) => {
                let length = args.get(usize::from(length)).copied().unwrap_or(0);
                (args.get(usize::from(fd)), length, if fd == 0 { &parts.object } else { &parts.target })
            }
            _ => return,
        };
        let copies = matches!(plan.role, Role::Copy(..));
        let Some(fd) = fd.map(|fd| *fd as i32).filter(|fd| *fd >= 0) else { return };
        parts.payload_len = length;
        if from.kind == ObjectKind::File
            && (copies || self.assets.holds(&from.bytes))
            && let Some(file) = task.take(process, fd)
        {
            let offset = assets::offset(plan.role, task.memory(wide), args, plan.call.i386.filter(|_| !wide));
            assets::read(&file, offset, length, self.capture, &mut parts.payload);
        }
    }

    /// Names a descriptor: the object of the call, or its target when it has one.
    fn descriptor(&mut self, task: &mut Task, process: &Process, fd: i32, parts: &mut Parts) {
        if fd < 0 {
            return;
        }
        let is_object = parts.object.kind == ObjectKind::None;
        let mut name = std::mem::take(&mut self.name);
        match self.name_of(task, process, fd, &mut name) {
            Some(opened) => {
                parts.seen = true;
                if is_object {
                    parts.socket = opened.socket;
                }
                if let Some(place) = parts.place() {
                    std::mem::swap(place, &mut name);
                }
            }
            // Mostly a descriptor that is not open.
            None => parts.nameless = true,
        }
        self.name = name;
    }

    /// Puts the name of a descriptor into `name`; gives a socket's inode.
    fn name_of(&mut self, task: &mut Task, process: &Process, fd: i32, name: &mut Name) -> Option<Opened> {
        name.clear();
        let number = rustix::path::DecInt::new(fd);
        let link =
            task.fds.as_ref().map(|fds| name::of_link_with(&mut self.devices, fds.as_fd(), number.as_c_str(), name));
        match link {
            Some(Ok(())) => {}
            Some(Err(Errno::NOENT | Errno::SRCH)) => return None,
            // It may not be looked at, which does not keep us from taking it.
            Some(Err(_)) | None => {
                let file = task.take(process, fd)?;
                self.resolver.name_own(&file, name).ok()?;
            }
        }
        if name.kind == ObjectKind::Socket {
            return Some(Opened { socket: self.sockets.name(task, process, fd, name) });
        }
        self.resolver.to_jail(name);
        Some(Opened { socket: None })
    }

    #[expect(clippy::too_many_arguments, reason = "one path needs all of its surroundings")]
    fn path(
        &mut self,
        task: &mut Task,
        process: &Process,
        wide: bool,
        pointer: u64,
        base: Base,
        follow: bool,
        parts: &mut Parts,
    ) {
        // Whatever names a path may replace what is there.
        self.devices.forget();
        self.path.clear();
        let result = if pointer == 0 { Ok(()) } else { task.memory(wide).string(pointer, &mut self.path) };
        parts.check(result);
        // No path, or an empty one with AT_EMPTY_PATH, means the descriptor itself.
        if self.path.is_empty() {
            if let Base::Descriptor(fd) = base {
                self.descriptor(task, process, fd, parts);
            }
            return;
        }
        let first = parts.object.kind == ObjectKind::None;
        let Some(place) = parts.place() else { return };
        let lookup = self.resolver.resolve(viewer(task, process), base, &self.path, follow, place);
        parts.seen |= lookup != Lookup::Unknown;
        parts.nameless |= lookup == Lookup::Unknown;
        if first {
            parts.lookup = Some(lookup);
        }
    }

    fn gather(&self, memory: Memory<'_>, iov: u64, count: u64, parts: &mut Parts) {
        let result = memory.gather(iov, count, self.capture, &mut parts.payload, &mut parts.payload_len);
        parts.check(result);
    }

    /// One `struct msghdr` handed in: its name, its bytes, the descriptors it passes on.
    fn message(&mut self, task: &mut Task, process: &Process, wide: bool, pointer: u64, parts: &mut Parts) {
        let Ok(message) = task.memory(wide).message(pointer) else {
            parts.unreadable = true;
            return;
        };
        if parts.target.kind == ObjectKind::None {
            self.address(task, process, wide, message.name, message.name_len, parts);
        }
        self.gather(task.memory(wide), message.iov, message.iov_count, parts);
        if message.control != 0 && message.control_len != 0 {
            let mut passed = Vec::new();
            let result = task.memory(wide).passed_descriptors(&message, |fd| passed.push(fd));
            parts.check(result);
            for fd in passed {
                let mut name = std::mem::take(&mut self.name);
                if self.name_of(task, process, fd, &mut name).is_some() {
                    parts.detail.extend_from_slice(b"SCM_RIGHTS ");
                    parts.detail.extend_from_slice(&name.bytes);
                    parts.detail.push(0);
                }
                self.name = name;
            }
        }
    }

    /// A socket address handed in: the target of the call.
    fn address(&mut self, task: &mut Task, process: &Process, wide: bool, pointer: u64, len: u64, parts: &mut Parts) {
        if pointer == 0 || len == 0 {
            return;
        }
        // The length is an int in the kernel.
        let len = u64::from(len as u32).min(kernel::ADDRESS_MAX as u64);
        parts.address.clear();
        let result = task.memory(wide).bytes(pointer, len, kernel::ADDRESS_MAX, &mut parts.address);
        parts.check(result);
        parts.target.bytes.clear();
        address::format(&parts.address, &mut parts.target.bytes);
        if parts.target.bytes.is_empty() {
            return;
        }
        let family = parts.address.first_chunk().map_or(0, |family| i32::from(u16::from_le_bytes(*family)));
        parts.target.kind = match (family, parts.object.kind) {
            (libc::AF_UNIX, _) => ObjectKind::Unix,
            (libc::AF_INET | libc::AF_INET6, kind @ (ObjectKind::Tcp | ObjectKind::Udp)) => kind,
            _ => ObjectKind::Socket,
        };
        if parts.target.kind == ObjectKind::Unix && parts.target.bytes.first() != Some(&b'@') {
            self.path.clear();
            self.path.extend_from_slice(&parts.target.bytes);
            self.resolver.resolve(viewer(task, process), Base::Current, &self.path, true, &mut parts.target);
            parts.target.kind = ObjectKind::Unix;
            self.sockets.called(&self.path, &parts.target.bytes);
        }
    }
}

/// Whether a call follows a link at the end of its first path.
fn follows(follow: Follow, memory: Memory<'_>, args: &[u64; 6]) -> bool {
    let at = |index: u8| args.get(usize::from(index)).copied().unwrap_or(0);
    match follow {
        Follow::Yes => true,
        Follow::No => false,
        Follow::Unless(index, flag) => at(index) & flag == 0,
        Follow::OnlyIf(index, flag) => at(index) & flag != 0,
        Follow::Open(index) => open_follows(at(index)),
        // The first field of struct open_how is 64 bits wide in both interfaces.
        Follow::How(index) => Memory { wide: true, ..memory }.word(at(index)).map_or(true, open_follows),
    }
}

fn open_follows(flags: u64) -> bool {
    let exclusive = plan::O_CREAT | plan::O_EXCL;
    flags & plan::O_NOFOLLOW == 0 && flags & exclusive != exclusive
}

/// Whether a call that finds no file would make one.
pub(super) fn creates(plan: &Plan, memory: Memory<'_>, args: &[u64; 6]) -> bool {
    let flags = match plan.follow {
        Follow::Open(index) => args.get(usize::from(index)).copied().unwrap_or(0),
        Follow::How(index) => {
            let pointer = args.get(usize::from(index)).copied().unwrap_or(0);
            Memory { wide: true, ..memory }.word(pointer).unwrap_or(plan::O_CREAT)
        }
        _ => 0,
    };
    flags & plan::O_CREAT != 0
}
