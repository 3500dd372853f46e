//! What of the caller's surroundings the subject sees: the current directory, and its own program.
//!
//! The current directory is shown at its own path, so that `./installer` and its neighbours work;
//! what the subject writes there goes to the layer. A directory that is a home, or holds one, is
//! not shown: it would hand the analyst's own life to the subject. Then the program alone is.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use belljar_sandbox::jail::is_hidden;
use belljar_sandbox::spec::Bind;

/// What is shown, and what must be said about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Host paths to show, besides those asked for.
    pub binds: Vec<Bind>,
    /// The subject's working directory; `None` leaves it to the profile.
    pub workdir: Option<PathBuf>,
    /// The program, where it must be named otherwise than it was typed.
    pub program: Option<OsString>,
    /// What the analyst should know.
    pub notes: Vec<String>,
}

/// Decides for a caller in `current` who typed `program`. `homes` are the home directories of the
/// machine, the caller's own among them. Programs are looked for on the host (`exists`, which
/// gives a file's path without links).
pub(super) fn place(
    current: &Path,
    program: &OsStr,
    homes: &[PathBuf],
    exists: impl Fn(&Path) -> Option<PathBuf>,
) -> Place {
    let mut place = Place::default();
    let shown = match refusal(current, homes) {
        None => {
            if is_hidden(current) {
                place.binds.push(Bind { source: current.to_path_buf(), target: current.to_path_buf(), writable: true });
            }
            place.workdir = Some(current.to_path_buf());
            true
        }
        Some(reason) => {
            place
                .notes
                .push(format!("the current directory {} is not shown to the subject: {reason}", current.display()));
            false
        }
    };
    if !program.as_bytes().contains(&b'/') {
        return place;
    }
    let path = normal(&current.join(program));
    let seen = (shown && path.starts_with(current)) || !is_hidden(&path);
    if !seen && let Some(source) = exists(&path) {
        place.notes.push(format!("the program {} alone is shown to the subject", path.display()));
        place.binds.push(Bind { source, target: path.clone(), writable: false });
    }
    if !shown {
        place.program = Some(path.into_os_string());
    }
    place
}

/// Why a directory must not be shown, if so.
fn refusal(current: &Path, homes: &[PathBuf]) -> Option<String> {
    if current == Path::new("/") {
        return Some("it is the root of this machine".into());
    }
    let kernels = ["/proc", "/sys", "/dev"];
    if kernels.iter().any(|path| current.starts_with(path)) {
        return Some("the jail has its own".into());
    }
    let home = homes.iter().find(|home| home.starts_with(current))?;
    Some(if home == current {
        "it is a home directory".into()
    } else {
        format!("it holds the home directory {}", home.display())
    })
}

/// A path without `.` and `..`, as far as that can be said without looking.
fn normal(path: &Path) -> PathBuf {
    let mut parts = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::CurDir => {}
            std::path::Component::ParentDir => {
                parts.pop();
            }
            other => parts.push(other),
        }
    }
    parts
}

/// The home directories of people (and root) on this machine: from the environment and
/// `/etc/passwd`, users from id 1000 on, with directories that exist.
pub(super) fn homes() -> Vec<PathBuf> {
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let people = passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let id: u32 = fields.nth(2)?.parse().ok()?;
        let home = PathBuf::from(fields.nth(2)?);
        ((id == 0 || id >= 1000) && home.is_dir() && home != Path::new("/")).then_some(home)
    });
    let mut homes: Vec<PathBuf> =
        std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_dir()).into_iter().chain(people).collect();
    // The caller may come by another name of the same directory.
    let real: Vec<PathBuf> = homes.iter().filter_map(|home| fs::canonicalize(home).ok()).collect();
    homes.extend(real);
    homes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(current: &str, program: &str) -> Place {
        let homes = [PathBuf::from("/root"), PathBuf::from("/home/ida")];
        place(Path::new(current), OsStr::new(program), &homes, |path| Some(path.to_path_buf()))
    }

    #[test]
    fn a_working_directory_is_shown_and_written_to_the_layer() {
        let place = decide("/home/ida/vendor", "./installer");
        assert_eq!(
            place.binds,
            [Bind { source: "/home/ida/vendor".into(), target: "/home/ida/vendor".into(), writable: true }]
        );
        assert_eq!((place.workdir, place.program, place.notes.len()), (Some("/home/ida/vendor".into()), None, 0));
    }

    #[test]
    fn a_home_or_what_holds_one_is_not_shown() {
        for current in ["/home/ida", "/home", "/", "/root"] {
            let place = decide(current, "ls");
            assert!(place.binds.is_empty() && place.workdir.is_none(), "{current}");
            assert_eq!(place.notes.len(), 1);
        }
    }

    #[test]
    fn a_program_of_a_home_is_shown_alone() {
        let place = decide("/home/ida", "./installer");
        assert_eq!(
            place.binds,
            [Bind { source: "/home/ida/installer".into(), target: "/home/ida/installer".into(), writable: false }]
        );
        assert_eq!(place.program, Some("/home/ida/installer".into()));
        let place = decide("/tmp/x", "../../home/ida/bin/tool");
        assert_eq!(place.binds[1].target, Path::new("/home/ida/bin/tool"));
    }

    #[test]
    fn programs_of_the_system_need_no_bind() {
        assert!(decide("/usr/share", "/usr/bin/env").binds.is_empty());
        assert_eq!(decide("/usr/share", "env").workdir, Some("/usr/share".into()));
    }
}
