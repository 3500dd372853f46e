//! Which parts of the host make up the jail's system, and which of them stay hidden.
//!
//! The list is one of what is shown: a directory that is not named here is not there. `/etc` is
//! shown less everything that only its owner may read (keys, password hashes, credentials of
//! daemons) and less what tells this machine from another; the profile furnishes those.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// What one top-level name of the host is in the jail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// A directory of the host, read-only below the session's layer.
    Directory(PathBuf),
    /// A link, as on the host (`/bin -> usr/bin`).
    Link(PathBuf, PathBuf),
}

/// Directories that hold programs, libraries and their settings, and the package managers'
/// records of them (without which `dpkg -i` could not work). File system hierarchy standard 3.0;
/// `/nix` on NixOS.
const SHOWN: [&str; 13] = [
    "/usr",
    "/etc",
    "/opt",
    "/nix",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/var/lib/dpkg",
    "/var/lib/rpm",
    "/var/lib/apk",
];

/// Files of `/etc` that tell who this machine is or whom it trusts, readable or not.
const IDENTIFYING: [&str; 14] = [
    "machine-id",
    "hostname",
    "hosts",
    "resolv.conf",
    "mailname",
    "adjtime",
    "mtab",
    "fstab",
    "motd",
    "subuid",
    "subgid",
    "passwd-",
    "group-",
    "krb5.keytab",
];

/// How deep below `/etc`, and how many entries, the search for secrets goes; whatever lies deeper is hidden with its directory.
const DEPTH: usize = 12;

/// The shown parts of this host, in the order they are to be mounted.
pub(crate) fn parts() -> Vec<Part> {
    SHOWN
        .iter()
        .map(PathBuf::from)
        .filter_map(|path| {
            let kind = fs::symlink_metadata(&path).ok()?.file_type();
            if kind.is_symlink() {
                fs::read_link(&path).ok().map(|target| Part::Link(path, target))
            } else {
                kind.is_dir().then_some(Part::Directory(path))
            }
        })
        .collect()
}

/// Paths below `etc` (relative to it) that the jail must not show.
pub(crate) fn secrets(etc: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        IDENTIFYING.iter().map(PathBuf::from).filter(|name| etc.join(name).symlink_metadata().is_ok()).collect();
    walk(etc, Path::new(""), 0, &mut found);
    found.sort();
    found.dedup();
    found
}

fn walk(root: &Path, below: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(root.join(below)) else { return };
    for entry in entries.flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_symlink() {
            continue; // shows nothing that its target does not
        }
        let path = below.join(entry.file_name());
        let readable = entry.metadata().is_ok_and(|meta| {
            let bits = if kind.is_dir() { 0o005 } else { 0o004 };
            meta.permissions().mode() & bits == bits
        });
        if !readable || is_private_key(&path) || (kind.is_dir() && depth >= DEPTH) {
            found.push(path);
        } else if kind.is_dir() {
            walk(root, &path, depth + 1, found);
        }
    }
}

/// Private keys by name: some are readable to all by mistake, and must not be shown even so.
fn is_private_key(path: &Path) -> bool {
    let name = path.file_name().map_or(&b""[..], OsStrExt::as_bytes);
    name.ends_with(b".key") || (name.starts_with(b"ssh_host_") && name.ends_with(b"_key"))
}

/// The owner of a host path, and its permission bits; `None` when it is not there.
pub(crate) fn owner(path: &Path) -> Option<(u32, u32, u32)> {
    fs::metadata(path).ok().map(|meta| (meta.uid(), meta.gid(), meta.mode() & 0o7777))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_its_owner_may_read_is_hidden() {
        let etc = tempfile::tempdir().expect("tempdir");
        let write = |name: &str, mode: u32| {
            let path = etc.path().join(name);
            fs::create_dir_all(path.parent().expect("parent")).expect("mkdir");
            fs::write(&path, b"x").expect("write");
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("chmod");
        };
        write("shadow", 0o640);
        write("profile", 0o644);
        write("machine-id", 0o444);
        write("ssl/certs/ca.pem", 0o644);
        write("ssl/private/host.pem", 0o644);
        write("ssl/site.key", 0o644);
        write("ssh/ssh_host_rsa_key", 0o644);
        fs::set_permissions(etc.path().join("ssl/private"), fs::Permissions::from_mode(0o710)).expect("chmod");
        let found = secrets(etc.path());
        let expected = ["machine-id", "shadow", "ssh/ssh_host_rsa_key", "ssl/private", "ssl/site.key"];
        assert_eq!(found, expected.map(PathBuf::from));
    }

    #[test]
    fn the_host_has_programs_to_show() {
        assert!(parts().iter().any(|part| *part == Part::Directory("/usr".into())));
        let hidden = ["/home", "/root", "/srv", "/var", "/run", "/tmp"];
        for part in parts() {
            let (Part::Directory(path) | Part::Link(path, _)) = part;
            assert!(!hidden.iter().any(|h| path == Path::new(h)), "{path:?}");
        }
    }
}
