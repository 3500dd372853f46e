//! What counts as what in a session's verdict: thresholds by verb and confidence, and what the
//! supplier declared. Plain data; the profile makes it.

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

/// What the supplier says the product does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Declared {
    /// Paths it works in; one that ends in `/` means everything below.
    pub paths: Vec<String>,
    /// Hosts it talks to, as `name`, `name:port`, `address` or `address:port`; `*.` in front
    /// means every name below.
    pub hosts: Vec<String>,
    /// Data classes it may read.
    pub classes: Vec<String>,
}

/// The rules of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// By `verb as usize`.
    pub thresholds: [Threshold; 8],
    /// The declaration.
    pub declared: Declared,
}

impl Default for Rules {
    /// Reading client data wants an explanation; keeping it, sending it, using it and taking hold
    /// of the system are violations once proven.
    fn default() -> Self {
        let explain = Threshold { violation: None, unexplained: Some(Confidence::Suspected) };
        let forbid = Threshold { violation: Some(Confidence::Derived), unexplained: Some(Confidence::Suspected) };
        let mut thresholds = [forbid; 8];
        for verb in [Verb::Collect, Verb::Process] {
            if let Some(threshold) = thresholds.get_mut(verb as usize) {
                *threshold = explain;
            }
        }
        Self { thresholds, declared: Declared::default() }
    }
}

impl Rules {
    /// The verb's thresholds.
    pub fn threshold(&self, verb: Verb) -> Threshold {
        self.thresholds.get(verb as usize).copied().unwrap_or(Threshold { violation: None, unexplained: None })
    }

    /// Whether the declaration covers doing `verb` with data of `class` at `place`: the path
    /// read or written, the destination as `address:port`. Reading needs the class or the path,
    /// keeping and sending need the class and the place.
    pub fn declares(&self, verb: Verb, class: Option<&str>, place: &[u8]) -> bool {
        let declared = &self.declared;
        let by_class = class.is_none_or(|class| declared.classes.iter().any(|c| c == class));
        let by_path = || declared.paths.iter().any(|path| covers_path(path.as_bytes(), place));
        match verb {
            Verb::Collect => by_class || by_path(),
            Verb::Process | Verb::Use => by_class,
            Verb::Transmit => by_class && declared.hosts.iter().any(|host| covers_host(host, place)),
            Verb::Store | Verb::Control | Verb::Disrupt | Verb::ShutDown => by_class && by_path(),
        }
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

fn covers_path(declared: &[u8], path: &[u8]) -> bool {
    declared == path || declared.ends_with(b"/") && path.starts_with(declared)
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

    #[test]
    fn declarations_cover_what_they_name_and_no_more() {
        let rules = Rules {
            declared: Declared {
                paths: vec!["/data/".into(), "/etc/app.conf".into()],
                hosts: vec!["203.0.113.9:443".into(), "*.example.com".into(), "[2001:db8::1]:80".into()],
                classes: vec!["contact".into()],
            },
            ..Rules::default()
        };
        let contact = Some("contact");
        assert!(rules.declares(Verb::Store, contact, b"/data/x/y"));
        assert!(!rules.declares(Verb::Store, contact, b"/database"));
        assert!(!rules.declares(Verb::Store, Some("secret"), b"/data/x"));
        assert!(rules.declares(Verb::Collect, contact, b"/anywhere"));
        assert!(rules.declares(Verb::Collect, Some("secret"), b"/etc/app.conf"));
        assert!(!rules.declares(Verb::Collect, Some("secret"), b"/etc/app.conf.d"));
        assert!(rules.declares(Verb::Transmit, contact, b"203.0.113.9:443"));
        assert!(!rules.declares(Verb::Transmit, contact, b"203.0.113.9:80"));
        assert!(rules.declares(Verb::Transmit, contact, b"api.example.com:1"));
        assert!(!rules.declares(Verb::Transmit, contact, b"badexample.com:1"));
        assert!(rules.declares(Verb::Transmit, contact, b"[2001:db8::1]:80"));
        assert!(!rules.declares(Verb::ShutDown, None, b""));
    }
}
