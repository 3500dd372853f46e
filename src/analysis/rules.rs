//! What counts as what in a session's verdict: thresholds by verb and confidence, and what the
//! supplier declared. Plain data; the profile makes it.

use serde::{Deserialize, Serialize};

use super::detectors::{Detector, builtin};
use super::finding::{Confidence, Finding};
use crate::store::Verb;

/// From which confidence on an undeclared finding weighs how much. `None`: never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threshold {
    /// Findings at least this sure are a violation.
    pub violation: Option<Confidence>,
    /// Findings at least this sure, and no violation, are unexplained.
    pub unexplained: Option<Confidence>,
}

/// One thing that the supplier says the product does. What is left empty covers everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allow {
    /// What is done.
    pub verbs: Vec<Verb>,
    /// With data of which classes.
    pub classes: Vec<String>,
    /// With which assets, by name.
    pub assets: Vec<String>,
    /// At which paths, as globs: `*` and `?` stay within one part of a path, `**` does not; one
    /// that ends in `/` means everything below it.
    pub paths: Vec<String>,
    /// At which hosts, as `name`, `name:port`, `address` or `[address]:port`; `*.` in front means
    /// every name below. Where paths or hosts are given, other places are not covered.
    pub hosts: Vec<String>,
    /// Why, in the supplier's words.
    pub reason: String,
}

impl Allow {
    fn covers(&self, verb: Verb, asset: Option<(&str, &str)>, place: &[u8]) -> bool {
        let names = |list: &[String], name: Option<&str>| {
            list.is_empty() || name.is_some_and(|name| list.iter().any(|listed| listed == name))
        };
        let anywhere = self.paths.is_empty() && self.hosts.is_empty();
        let there = || match place.first() {
            Some(b'/') => self.paths.iter().any(|path| covers_path(path.as_bytes(), place)),
            _ => self.hosts.iter().any(|host| covers_host(host, place)),
        };
        self.verbs.contains(&verb)
            && names(&self.assets, asset.map(|(name, _)| name))
            && names(&self.classes, asset.map(|(_, class)| class))
            && (anywhere || there())
    }
}

/// The rules of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// By `verb as usize`.
    pub thresholds: [Threshold; 8],
    /// The declaration, entry by entry.
    pub declaration: Vec<Allow>,
    /// Detectors of the profile's own.
    pub own: Vec<Detector>,
    /// Names of detectors that the profile does not want.
    pub off: Vec<String>,
    /// From when on what has to be counted is a finding.
    pub limits: Limits,
}

/// From when on something that ordinary programs do as well is too much of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Files of client data changed or removed.
    pub changed_files: u32,
    /// Processes alive at once.
    pub processes: u32,
    /// Bytes written to disk, in MiB.
    pub written_mib: u64,
    /// Bytes of memory asked for at once, in MiB.
    pub memory_mib: u64,
}

impl Default for Limits {
    fn default() -> Self {
        // More than a build on many cores, a large download, a database's cache.
        Self { changed_files: 5, processes: 400, written_mib: 1024, memory_mib: 3072 }
    }
}

impl Default for Rules {
    /// Reading client data and handing it to programs want an explanation; keeping it, sending it,
    /// using it and taking hold of the system are violations once proven.
    fn default() -> Self {
        let explain = Threshold { violation: None, unexplained: Some(Confidence::Suspected) };
        let forbid = Threshold { violation: Some(Confidence::Derived), unexplained: Some(Confidence::Suspected) };
        let mut thresholds = [forbid; 8];
        thresholds[Verb::Collect as usize] = explain;
        thresholds[Verb::Process as usize] = explain;
        Self { thresholds, declaration: Vec::new(), own: Vec::new(), off: Vec::new(), limits: Limits::default() }
    }
}

impl Rules {
    /// The detectors in force: those that come with belljar, less those switched off, and the profile's own.
    pub fn detectors(&self) -> Vec<Detector> {
        let wanted = builtin().iter().filter(|detector| !self.off.contains(&detector.name));
        wanted.chain(&self.own).cloned().collect()
    }

    /// The verb's thresholds.
    pub fn threshold(&self, verb: Verb) -> Threshold {
        self.thresholds.get(verb as usize).copied().unwrap_or(Threshold { violation: None, unexplained: None })
    }

    /// Whether the declaration covers doing `verb` with the asset of this name and class, where
    /// there is one, at `place`: the path read or written, or the destination as `address:port`.
    /// One entry must cover all of it.
    pub fn declares(&self, verb: Verb, asset: Option<(&str, &str)>, place: &[u8]) -> bool {
        self.declaration.iter().any(|allow| allow.covers(verb, asset, place))
    }

    /// How an undeclared finding weighs.
    pub fn weigh(&self, finding: &Finding) -> super::verdict::Status {
        use super::verdict::Status;
        let threshold = self.threshold(finding.verb);
        let reaches = |from: Option<Confidence>| from.is_some_and(|from| finding.confidence >= from);
        match finding.declared {
            false if reaches(threshold.violation) => Status::Violation,
            false if reaches(threshold.unexplained) => Status::Unexplained,
            _ => Status::NotObserved,
        }
    }
}

/// Whether the glob covers the path. It goes back to the last `*` or `**` only, so that no glob
/// takes time beyond a low power of the lengths.
fn covers_path(glob: &[u8], path: &[u8]) -> bool {
    let below = glob.ends_with(b"/");
    let (mut at, mut of) = (0, 0);
    // Each: the glob behind the star, and up to where of the path the star has taken.
    let mut star = None::<(usize, usize)>;
    let mut deep = None::<(usize, usize)>;
    loop {
        match (glob.get(of), path.get(at)) {
            (Some(b'*'), _) if glob.get(of + 1) == Some(&b'*') => {
                of += 2;
                (deep, star) = (Some((of, at)), None);
                continue;
            }
            (Some(b'*'), _) => {
                of += 1;
                star = Some((of, at));
                continue;
            }
            (None, rest) if below || rest.is_none() => return true,
            (Some(b'?'), Some(byte)) if *byte != b'/' => {
                (at, of) = (at + 1, of + 1);
                continue;
            }
            (Some(wanted), Some(byte)) if wanted == byte => {
                (at, of) = (at + 1, of + 1);
                continue;
            }
            _ => {}
        }
        // Back to the last star, which takes one byte more; a single star takes no slash.
        if let Some((after, taken)) = star.filter(|(_, taken)| path.get(*taken).is_some_and(|byte| *byte != b'/')) {
            (at, of, star) = (taken + 1, after, Some((after, taken + 1)));
        } else if let Some((after, taken)) = deep.filter(|(_, taken)| *taken < path.len()) {
            (at, of, deep, star) = (taken + 1, after, Some((after, taken + 1)), None);
        } else {
            return false;
        }
    }
}

fn covers_host(declared: &str, destination: &[u8]) -> bool {
    let (host, port) = super::place::split_port(destination);
    // An IPv6 address has colons of its own: its port is only split off behind brackets.
    let (want_host, want_port) = match declared.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') || name.ends_with(']') => (name, Some(port)),
        _ => (declared, None),
    };
    let want_host = want_host.trim_start_matches('[').trim_end_matches(']');
    let host_fits = match want_host.strip_prefix("*.") {
        Some(below) => host.strip_suffix(below.as_bytes()).is_some_and(|rest| rest.ends_with(b".")),
        None => host.eq_ignore_ascii_case(want_host.as_bytes()),
    };
    host_fits && want_port.is_none_or(|want| want.parse().ok() == port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(allow: Allow) -> Rules {
        Rules { declaration: vec![allow], ..Rules::default() }
    }

    fn words(list: &[&str]) -> Vec<String> {
        list.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn declarations_cover_what_they_name_and_no_more() {
        let rules = rules(Allow {
            verbs: vec![Verb::Store, Verb::Transmit],
            classes: words(&["contact"]),
            paths: words(&["/data/", "/etc/app.conf", "/var/*/x?.db", "/srv/**/log"]),
            hosts: words(&["203.0.113.9:443", "*.example.com", "[2001:db8::1]:80"]),
            ..Allow::default()
        });
        let contact = Some(("cards", "contact"));
        for (yes, place) in [
            (true, "/data/x/y"),
            (false, "/database"),
            (false, "/data"),
            (true, "/etc/app.conf"),
            (false, "/etc/app.conf.d"),
            (true, "/var/lib/x1.db"),
            (false, "/var/lib/a/x1.db"),
            (false, "/var/lib/x/.db"),
            (true, "/srv/a/b/c/log"),
            (false, "/srv/a/b/c/log/d"),
            (true, "203.0.113.9:443"),
            (false, "203.0.113.9:80"),
            (true, "api.example.com:1"),
            (false, "badexample.com:1"),
            (true, "[2001:db8::1]:80"),
        ] {
            assert_eq!(rules.declares(Verb::Store, contact, place.as_bytes()), yes, "{place}");
        }
        assert!(!rules.declares(Verb::Store, Some(("ssh-key", "secret")), b"/data/x"));
        assert!(!rules.declares(Verb::Collect, contact, b"/data/x"));
        assert!(!rules.declares(Verb::Store, None, b"/data/x"), "no asset is of no class");
    }

    #[test]
    fn what_is_left_out_covers_everything() {
        let rules = rules(Allow { verbs: vec![Verb::Collect], assets: words(&["cards"]), ..Allow::default() });
        assert!(rules.declares(Verb::Collect, Some(("cards", "contact")), b"/anywhere"));
        assert!(!rules.declares(Verb::Collect, Some(("other", "contact")), b"/anywhere"));
        assert!(!rules.declares(Verb::ShutDown, None, b""));
    }

    #[test]
    fn one_entry_must_cover_the_whole() {
        // Contacts to one host and secrets to a file do not make secrets to the host.
        let declaration = vec![
            Allow {
                verbs: vec![Verb::Transmit],
                classes: words(&["contact"]),
                hosts: words(&["a.example"]),
                ..Allow::default()
            },
            Allow {
                verbs: vec![Verb::Transmit],
                classes: words(&["secret"]),
                hosts: words(&["b.example"]),
                ..Allow::default()
            },
        ];
        let rules = Rules { declaration, ..Rules::default() };
        assert!(rules.declares(Verb::Transmit, Some(("k", "secret")), b"b.example:443"));
        assert!(!rules.declares(Verb::Transmit, Some(("k", "secret")), b"a.example:443"));
    }

    #[test]
    fn globs_go_back_to_the_right_star() {
        for (glob, path, yes) in [
            ("/a/*b*c", "/a/bbbcbc", true),
            ("/a/*b*c", "/a/bbbcbd", false),
            ("/**/b/*.txt", "/x/b/y/b/z.txt", true),
            ("/**", "/", true),
            ("/*", "/a/b", false),
            ("/*/", "/a/b", true),
            ("/home/*/.ssh/", "/home/anna/.ssh/id", true),
            ("/home/*/.ssh/", "/home/anna/x/.ssh/id", false),
            ("/**/.ssh/", "/home/anna/.ssh/id", true),
            ("*", "", true),
        ] {
            assert_eq!(covers_path(glob.as_bytes(), path.as_bytes()), yes, "{glob} {path}");
        }
        // A glob that is slow for a matcher that tries everything.
        assert!(!covers_path("*a".repeat(30).as_bytes(), "a".repeat(4000).replace("aa", "ab").as_bytes()));
    }
}
