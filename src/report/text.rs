//! The report for people: verdict first, then each finding with its chain, then what could not
//! be seen. Every meaning has a mark and a word; colour only repeats it.

use std::fmt::Write as _;
use std::path::Path;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::{Entry, Report};
use crate::analysis::finding::{Basis, Channel, Finding, Link, Severity};
use crate::analysis::rules::Rules;
use crate::analysis::verdict::Status;

/// Columns at most.
const WIDTH: usize = 100;
/// Marker names listed of one finding.
const MAX_NAMES: usize = 6;
/// Names listed of calls that were only counted.
const COUNTED_SHOWN: usize = 6;

/// What the reader's terminal can show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// ANSI colours.
    pub colour: bool,
    /// Nothing but ASCII.
    pub ascii: bool,
}

impl Style {
    fn mark(self, status: Status) -> &'static str {
        match (status, self.ascii) {
            (Status::Violation, false) => "✕",
            (Status::Violation, true) => "x",
            (Status::Unexplained, _) => "?",
            (Status::NotTestable, _) => "-",
            (Status::NotObserved, false) => "·",
            (Status::NotObserved, true) => ".",
        }
    }

    /// SGR codes (ECMA-48): red, yellow, dim.
    fn paint(self, status: Status, text: &str) -> String {
        let code = match status {
            Status::Violation => "1;31",
            Status::Unexplained => "1;33",
            Status::NotTestable => "33",
            Status::NotObserved => "2",
        };
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn bold(self, text: &str) -> String {
        if self.colour { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// The report as text. `bundle` is where its recording is.
pub fn text(report: &Report, rules: &Rules, bundle: &Path, style: Style) -> String {
    let mut page = Page { out: String::new(), style };
    page.head(report);
    page.verbs(report);
    let mut entries: Vec<(Status, &Entry)> =
        report.findings.iter().map(|entry| (rules.weigh(&entry.finding), entry)).collect();
    entries.sort_by_key(|(status, entry)| (std::cmp::Reverse(*status), entry.finding.id));
    for (status, entry) in entries {
        page.finding(status, entry, &report.subject.argv);
    }
    page.coverage(report);
    let bundle = crate::redact::plain(std::os::unix::ffi::OsStrExt::as_bytes(bundle.as_os_str()));
    page.line("");
    page.wrapped("recording  ", &bundle, 11);
    page.out
}

struct Page {
    out: String,
    style: Style,
}

impl Page {
    fn line(&mut self, text: &str) {
        self.out.push_str(text.trim_end());
        self.out.push('\n');
    }

    /// `label`, then `text` wrapped, its later lines indented by `indent`.
    fn wrapped(&mut self, label: &str, text: &str, indent: usize) {
        let ascii = self.style.ascii;
        let text = if ascii {
            crate::redact::Redactor::plain(true).block(text.as_bytes(), usize::MAX).to_string()
        } else {
            text.to_owned()
        };
        let mut prefix = format!("{label:<indent$}");
        for line in wrap(&text, WIDTH.saturating_sub(indent)) {
            self.line(&format!("{prefix}{line}"));
            prefix = " ".repeat(indent);
        }
    }

    fn head(&mut self, report: &Report) {
        let style = self.style;
        let status = report.verdict;
        // Never as if there were nothing: what is declared was done all the same.
        let declared = report.findings.iter().filter(|entry| entry.finding.declared).count() as u64;
        let beyond = match (declared, status) {
            (0, _) => String::new(),
            (_, Status::NotObserved) => format!(" beyond what is declared ({})", counted(declared, "declared finding")),
            _ => format!(" ({} besides)", counted(declared, "declared finding")),
        };
        let verdict = format!("{} {}{beyond}", style.mark(status), words(status).to_uppercase());
        self.line(&style.paint(status, &verdict));
        self.line("");
        let subject = &report.subject;
        self.wrapped("subject", &command(&subject.argv), 11);
        let ended = match (subject.exit.code, subject.exit.signal) {
            (Some(code), _) => format!("exit code {code}"),
            (None, Some(signal)) => format!("killed by signal {signal}"),
            (None, None) => "end not recorded".to_owned(),
        };
        let took = subject.duration_ms.map(|ms| format!(", took {}.{:03} s", ms / 1000, ms % 1000)).unwrap_or_default();
        let started = subject.started.as_deref().map(|at| format!(", started {at}")).unwrap_or_default();
        self.wrapped("", &format!("{ended}{took}{started}"), 11);
        let profile = &report.profile;
        self.wrapped("profile", &format!("{}, seed {}", profile.name, profile.seed), 11);
        self.line("");
    }

    fn verbs(&mut self, report: &Report) {
        for criterion in &report.criteria {
            let is_declared = |id: &u32| report.findings.iter().any(|e| e.finding.id == *id && e.finding.declared);
            // The word for it alone would deny what the findings beside it say.
            let word = match criterion.status {
                Status::NotObserved if criterion.findings.iter().any(is_declared) => "declared",
                status => words(status),
            };
            let mut line = format!("{:<11}{word:<14}", criterion.verb.name());
            let shown = criterion.findings.iter().take(10);
            for (n, id) in shown.enumerate() {
                let _ = write!(line, "{}#{id}", if n == 0 { "" } else { ", " });
            }
            if criterion.findings.len() > 10 {
                let _ = write!(line, " and {} more", criterion.findings.len() - 10);
            }
            let mark = self.style.mark(criterion.status);
            let line = self.style.paint(criterion.status, &format!("{mark} {}", line.trim_end()));
            self.line(&line);
        }
    }

    fn finding(&mut self, status: Status, entry: &Entry, subject: &[String]) {
        let finding = &entry.finding;
        self.line("");
        let weight = if finding.declared { "declared" } else { words(status) };
        let severity = severity(finding.severity);
        let head = format!(
            "{} #{} {}: {weight}, {}, {severity}",
            self.style.mark(status),
            finding.id,
            finding.verb,
            finding.confidence.name()
        );
        let attack = finding.attack.as_deref().map(|id| format!(", ATT&CK {id}")).unwrap_or_default();
        let head = self.style.paint(status, &format!("{head}{attack}"));
        self.line(&head);
        for (n, line) in wrap(&finding.title, WIDTH - 4).into_iter().enumerate() {
            let line = self.style.bold(&line);
            self.line(&format!("{}{line}", if n == 0 { "    " } else { "      " }));
        }
        if let (Some(asset), Some(class)) = (&finding.asset, &finding.class) {
            self.wrapped("    asset", &format!("{asset} ({class}){}", names(finding)), 13);
        }
        for (name, value) in entry.values.iter().flatten() {
            self.wrapped("    value", &format!("{name} = {value}"), 13);
        }
        self.wrapped("    outcome", &outcome(finding), 13);
        if let Some(actor) = &finding.process {
            let argv = if actor.argv == subject { "the subject's command".to_owned() } else { command(&actor.argv) };
            self.wrapped("    process", &format!("{} {} ({argv})", actor.pid, actor.exe), 13);
        }
        for (n, item) in finding.chain.iter().enumerate() {
            let why = match item.link {
                Link::Exact => "",
                Link::Lineage => " [by lineage]",
                Link::Content => " [client data in it]",
            };
            let label = format!("    {:<8} {:>7}  ", if n == 0 { "events" } else { "" }, item.event);
            self.wrapped(&label, &format!("{}{why}", item.what), 22);
        }
        let more = finding.events.saturating_sub(finding.chain.len() as u64);
        if more > 0 {
            self.wrapped("", &format!("and {}", counted(more, "more event")), 22);
        }
    }

    fn coverage(&mut self, report: &Report) {
        let coverage = &report.coverage;
        self.line("");
        let counts = format!(
            "witness {}; {}, {} lost; {}, {} of them decrypted",
            if coverage.witness.is_empty() { "not known" } else { &coverage.witness },
            counted(coverage.events, "event"),
            grouped(coverage.lost),
            counted(coverage.connections, "connection"),
            grouped(coverage.decrypted),
        );
        self.wrapped("coverage", &counts, 11);
        if !coverage.unread.is_empty() {
            self.wrapped("unread", &format!("TLS to {}", coverage.unread.join(", ")), 11);
        }
        if !coverage.refused_calls.is_empty() {
            self.wrapped("refused", &coverage.refused_calls.join(", "), 11);
        }
        if !coverage.counted.is_empty() {
            let mut calls: Vec<_> = coverage.counted.iter().collect();
            calls.sort_by_key(|(name, count)| (std::cmp::Reverse(**count), *name));
            let shown: Vec<String> =
                calls.iter().take(COUNTED_SHOWN).map(|(name, count)| format!("{name} {}", grouped(**count))).collect();
            let more = calls.len().saturating_sub(COUNTED_SHOWN);
            let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
            let text = format!("not one by one, since they move no data: {}{rest}", shown.join(", "));
            self.wrapped("counted", &text, 11);
        }
        for (n, sentence) in coverage.blind.iter().enumerate() {
            let label = if n == 0 { "not seen   - " } else { "           - " };
            self.wrapped(label, sentence, 13);
        }
    }
}

fn words(status: Status) -> &'static str {
    match status {
        Status::Violation => "violation",
        Status::Unexplained => "unexplained",
        Status::NotTestable => "not testable",
        Status::NotObserved => "not observed",
    }
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::High => "high severity",
        Severity::Medium => "medium severity",
        Severity::Low => "low severity",
    }
}

fn names(finding: &Finding) -> String {
    let count = finding.markers.len();
    let listed: Vec<&str> = finding.markers.iter().take(MAX_NAMES).map(String::as_str).collect();
    match count {
        0 => String::new(),
        1 => format!(", 1 value: {}", listed.join(", ")),
        _ if count > MAX_NAMES => format!(", {count} values: {} ...", listed.join(", ")),
        _ => format!(", {count} values: {}", listed.join(", ")),
    }
}

fn outcome(finding: &Finding) -> String {
    let basis = match finding.outcome_basis {
        Basis::NotObserved => "let through, its result was not observed",
        Basis::Decision => "by the sandbox's decision",
        Basis::LaterEvent => "a later event shows it",
        Basis::Result => "by the call's result",
        Basis::Layer => "found on disk afterwards",
    };
    let error = finding.error.as_deref().map(|error| format!(" with {error}")).unwrap_or_default();
    // Where no file and no host is named, the destination is the call itself.
    let way = match (finding.channel, finding.destination.as_deref()) {
        (Channel::Other, None) => String::new(),
        (Channel::Other, Some(to)) if to.contains(['/', '.', ':']) => format!("; to {to}"),
        (Channel::Other, Some(call)) => format!("; in the call {call}"),
        (channel, None) => format!("; by {}", channel.name()),
        (channel, Some(to)) => format!("; by {}, to {to}", channel.name()),
    };
    let through = match finding.encodings.as_slice() {
        [] => String::new(),
        layers => format!(", seen through {}", layers.join(", ")),
    };
    format!("{}{error} ({basis}){way}{through}", finding.outcome.name())
}

/// A command line as a shell would take it, as far as quoting goes.
fn command(argv: &[String]) -> String {
    let plain = |arg: &str| !arg.is_empty() && arg.chars().all(|c| c.is_alphanumeric() || "-_./:=@%+,".contains(c));
    let quoted =
        argv.iter().map(|arg| if plain(arg) { arg.clone() } else { format!("'{}'", arg.replace('\'', r"'\''")) });
    quoted.collect::<Vec<_>>().join(" ")
}

/// `1 event`, `2 events`.
fn counted(number: u64, what: &str) -> String {
    format!("{} {what}{}", grouped(number), if number == 1 { "" } else { "s" })
}

/// A number with its thousands set apart.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Lines of at most `width` columns. Words that are longer (paths are) are cut.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split(' ') {
        let len = word.width();
        if used > 0 && used + 1 + len <= width {
            if let Some(line) = lines.last_mut() {
                line.push(' ');
                line.push_str(word);
            }
            used += 1 + len;
            continue;
        }
        if used > 0 {
            lines.push(String::new());
        }
        used = 0;
        for c in word.chars() {
            let columns = c.width().unwrap_or(0);
            if used + columns > width {
                lines.push(String::new());
                used = 0;
            }
            if let Some(line) = lines.last_mut() {
                line.push(c);
            }
            used += columns;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_break_between_words_and_within_long_ones() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("/a/very/long/path x", 8), ["/a/very/", "long/pat", "h x"]);
        assert_eq!(wrap("", 8), [""]);
        assert_eq!(wrap("東京東京", 5), ["東京", "東京"]);
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn commands_are_quoted_where_they_must() {
        let argv = ["python3", "-c", "print('x')", ""].map(str::to_owned);
        assert_eq!(command(&argv), r"python3 -c 'print('\''x'\'')' ''");
    }

    #[test]
    fn a_way_is_told_where_there_is_one() {
        let told = |channel: &str, destination: Option<&str>| {
            let finding = serde_json::json!({
                "id": 1, "verb": "control", "confidence": "proven", "severity": "low", "declared": false, "asset": null,
                "class": null, "markers": [], "channel": channel, "destination": destination, "encodings": [],
                "decision": "allowed", "outcome": "succeeded", "error": null, "process": null, "title": "it did",
                "attack": null, "chain": [], "outcome_basis": "result", "events": 1
            });
            outcome(&serde_json::from_value(finding).unwrap())
        };
        assert_eq!(told("file", Some("/x")), "succeeded (by the call's result); by file, to /x");
        assert_eq!(told("env", None), "succeeded (by the call's result); by env");
        assert_eq!(told("other", Some("write")), "succeeded (by the call's result); in the call write");
        assert_eq!(told("other", Some("/etc/x")), "succeeded (by the call's result); to /etc/x");
        assert_eq!(told("other", None), "succeeded (by the call's result)");
    }

    proptest! {
        #[test]
        fn no_line_is_too_wide_and_nothing_is_left_out(text in "[a-zäß東 ]{0,200}", width in 2..40usize) {
            let lines = wrap(&text, width);
            prop_assert!(lines.iter().all(|line| line.width() <= width));
            let joined: String = lines.concat().chars().filter(|c| *c != ' ').collect();
            prop_assert_eq!(joined, text.replace(' ', ""));
        }
    }
}
