//! Names of the things calls act on: what `/proc/PID/fd/N` and its like say, classed.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, FileType, Stat};
use rustix::path::Arg;

use crate::event::ObjectKind;

/// What a link of a removed file ends in (d_path of the kernel).
const DELETED: &[u8] = b" (deleted)";
/// Where devices are.
const DEV: &[u8] = b"/dev/";

/// A name and its kind, in a buffer that is used again for the next call.
#[derive(Debug, Default)]
pub(super) struct Name {
    pub kind: ObjectKind,
    pub bytes: Vec<u8>,
}

impl Name {
    pub(super) fn clear(&mut self) {
        self.kind = ObjectKind::None;
        self.bytes.clear();
    }

    pub(super) fn set(&mut self, kind: ObjectKind, bytes: &[u8]) {
        self.kind = kind;
        self.bytes.clear();
        self.bytes.extend_from_slice(bytes);
    }
}

/// Replaces `into` by what a link says.
pub(super) fn read_link(directory: BorrowedFd<'_>, name: impl Arg, into: &mut Vec<u8>) -> rustix::io::Result<()> {
    into.clear();
    // The kernel makes the text of a link of /proc in one page.
    into.reserve(4096);
    rustix::fs::readlinkat_raw(directory, name, rustix::buffer::spare_capacity(into)).map(|_| ())
}

/// What the paths below `/dev` are, so that not every write to a terminal has to ask. Right until something at those
/// paths is replaced.
#[derive(Debug, Default)]
pub(super) struct Devices(Vec<(Vec<u8>, ObjectKind)>);

impl Devices {
    /// Most paths that are remembered.
    const MAX: usize = 32;

    /// Forgets all: a call is on its way that may put something else in their place.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}

/// Names the open file that `directory/name` (a link of `/proc/PID/fd`) stands for. A socket is left as
/// `socket:[inode]` with kind [`ObjectKind::Socket`].
pub(super) fn of_link(directory: BorrowedFd<'_>, name: impl Arg + Copy, out: &mut Name) -> rustix::io::Result<()> {
    out.kind = ObjectKind::None;
    read_link(directory, name, &mut out.bytes)?;
    let stat = || rustix::fs::statat(directory, name, AtFlags::empty()).ok();
    class(out, &stat);
    Ok(())
}

/// The same, remembering devices.
pub(super) fn of_link_with(
    devices: &mut Devices,
    directory: BorrowedFd<'_>,
    name: impl Arg + Copy,
    out: &mut Name,
) -> rustix::io::Result<()> {
    out.kind = ObjectKind::None;
    read_link(directory, name, &mut out.bytes)?;
    let below_dev = out.bytes.starts_with(DEV);
    if below_dev && let Some((_, kind)) = devices.0.iter().find(|(path, _)| *path == out.bytes) {
        out.kind = *kind;
        return Ok(());
    }
    class(out, &|| rustix::fs::statat(directory, name, AtFlags::empty()).ok());
    if below_dev && matches!(out.kind, ObjectKind::Terminal | ObjectKind::Device) && devices.0.len() < Devices::MAX {
        devices.0.push((out.bytes.clone(), out.kind));
    }
    Ok(())
}

/// Names what a descriptor of our own stands for, by its link in `own_fds` (`/proc/self/fd`).
pub(super) fn of_own(own_fds: BorrowedFd<'_>, fd: BorrowedFd<'_>, out: &mut Name) -> rustix::io::Result<()> {
    out.kind = ObjectKind::None;
    read_link(own_fds, rustix::path::DecInt::from_fd(fd), &mut out.bytes)?;
    class(out, &|| rustix::fs::fstat(fd.as_fd()).ok());
    Ok(())
}

/// Sets the kind from the link's text, asking the file itself only where the text leaves a doubt.
fn class(name: &mut Name, stat: &dyn Fn() -> Option<Stat>) {
    let bytes = &mut name.bytes;
    name.kind = match bytes.as_slice() {
        [b'/', ..] => {
            if bytes.ends_with(DELETED) {
                if bytes.starts_with(b"/memfd:") {
                    bytes.truncate(bytes.len() - DELETED.len());
                    bytes.remove(0);
                    name.kind = ObjectKind::Memfd;
                    return;
                }
                // A file may really be called that; a removed one mostly has no link left.
                if stat().is_none_or(|stat| stat.st_nlink == 0) {
                    bytes.truncate(bytes.len() - DELETED.len());
                }
            }
            kind_of_path(bytes, stat)
        }
        [b'p', b'i', b'p', b'e', b':', ..] => ObjectKind::Pipe,
        [b's', b'o', b'c', b'k', b'e', b't', b':', ..] => ObjectKind::Socket,
        _ => ObjectKind::Anon,
    };
}

fn kind_of_path(path: &[u8], stat: &dyn Fn() -> Option<Stat>) -> ObjectKind {
    if !path.starts_with(DEV) {
        return ObjectKind::File;
    }
    kind_of(path, stat().map(|stat| FileType::from_raw_mode(stat.st_mode)))
}

/// What a path and the type of its file make it.
pub(super) fn kind_of(path: &[u8], file: Option<FileType>) -> ObjectKind {
    let Some(device) = path.strip_prefix(DEV) else { return ObjectKind::File };
    match file {
        Some(FileType::CharacterDevice) => {
            let terminal = device.starts_with(b"pts/") || device.starts_with(b"tty");
            if terminal || device == b"console" || device == b"ptmx" {
                ObjectKind::Terminal
            } else {
                ObjectKind::Device
            }
        }
        Some(FileType::BlockDevice) => ObjectKind::Device,
        _ => ObjectKind::File,
    }
}

/// The inode number in `socket:[inode]`.
pub(super) fn socket_inode(link: &[u8]) -> Option<u64> {
    let digits = link.strip_prefix(b"socket:[")?.strip_suffix(b"]")?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};

    fn name_of(file: &impl AsFd) -> (ObjectKind, String) {
        let own = File::open("/proc/self/fd").expect("own descriptors");
        let mut name = Name::default();
        of_link(own.as_fd(), rustix::path::DecInt::from_fd(file.as_fd()).as_c_str(), &mut name).expect("own link");
        let text = String::from_utf8(name.bytes.clone()).expect("text");
        of_own(own.as_fd(), file.as_fd(), &mut name).expect("own link");
        assert_eq!(text.as_bytes(), name.bytes);
        (name.kind, text)
    }

    #[test]
    fn kinds_come_from_what_is_open() {
        let (read, _write) = rustix::pipe::pipe().expect("pipe");
        let (kind, text) = name_of(&read);
        assert!(kind == ObjectKind::Pipe && text.starts_with("pipe:["));
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("socket");
        let (kind, text) = name_of(&socket);
        assert_eq!(kind, ObjectKind::Socket);
        assert!(socket_inode(text.as_bytes()).is_some());
        assert_eq!(name_of(&File::open("/dev/null").expect("null")).0, ObjectKind::Device);
        assert_eq!(name_of(&File::open("/dev/ptmx").expect("ptmx")).0, ObjectKind::Terminal);
        let memory = rustix::fs::memfd_create("plan", rustix::fs::MemfdFlags::CLOEXEC).expect("memfd");
        assert_eq!(name_of(&memory), (ObjectKind::Memfd, "memfd:plan".into()));
        let event = rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC).expect("eventfd");
        assert_eq!(name_of(&event), (ObjectKind::Anon, "anon_inode:[eventfd]".into()));
    }

    #[test]
    fn removed_files_keep_their_name_and_odd_names_are_not_cut() {
        let folder = tempfile::tempdir().expect("folder");
        let folder = folder.path().canonicalize().expect("path");
        let odd = folder.join("x (deleted)");
        let file = File::create(&odd).expect("file");
        assert_eq!(name_of(&file), (ObjectKind::File, odd.to_str().expect("text").into()));
        let gone = folder.join("gone");
        let file = File::create(&gone).expect("file");
        fs::remove_file(&gone).expect("removed");
        assert_eq!(name_of(&file), (ObjectKind::File, gone.to_str().expect("text").into()));
    }
}
