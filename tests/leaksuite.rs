//! The leak suite: labelled subjects that collect, keep, send and destroy client data or attack the
//! machine, in many disguises and by many channels, and innocent ones that do neither. What each
//! does stands in `tests/leaksuite/*.toml`, written before it was ever run; here it is run under
//! belljar and what belljar says is held against the label.
//!
//! A subject is found when there is a finding of its verb (and asset, where it names one) that is
//! at least as sure as the label asks: `suspected` where `derived` was possible is a miss. An
//! innocent subject with anything unexplained is a false alarm, and so is a finding of a verb that a
//! subject is innocent of (`never`): who reads client data and sends something else sends none. The table of both is printed
//! (`cargo test --test leaksuite -- --nocapture`); what it must come to is in [`WANTED`].
//! `LEAK=text` runs those whose name contains it, `WITNESS=notify` asks the other witness.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Mutex;

use common::{Calls, Lab, Privilege};
use serde::Deserialize;
use serde_json::Value;

/// Least recall over subjects that need no decoder, and over those that do.
const WANTED: (f64, f64) = (0.95, 0.95);
/// Recordings at once: the processors of a small machine.
const AT_ONCE: usize = 2;

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
enum Confidence {
    Suspected,
    Derived,
    Proven,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Subject {
    name: String,
    verb: String,
    channel: String,
    #[serde(default = "plain")]
    disguise: String,
    asset: Option<String>,
    #[serde(default = "proven")]
    confidence: Confidence,
    /// Whether only a decoder or a digest can tell what it is.
    #[serde(default)]
    decoder: bool,
    run: String,
    program: String,
    #[serde(default)]
    options: Vec<String>,
    /// Would harm a machine outside a jail.
    #[serde(default)]
    dangerous: bool,
    #[serde(default)]
    needs_root: bool,
    /// Rests on calls that only the ebpf witness sees.
    #[serde(default)]
    needs_ebpf: bool,
    /// Verbs that it is innocent of: a finding of these is a false alarm.
    #[serde(default)]
    never: Vec<String>,
}

fn plain() -> String {
    "plain".to_owned()
}

fn proven() -> Confidence {
    Confidence::Proven
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Subjects {
    subject: Vec<Subject>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Innocent {
    name: String,
    run: String,
    program: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Innocents {
    innocent: Vec<Innocent>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Matrix {
    read: String,
    asset: String,
    disguise: BTreeMap<String, Disguise>,
    channel: BTreeMap<String, Channel>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Disguise {
    confidence: Confidence,
    #[serde(default)]
    decoder: bool,
    code: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Channel {
    verb: String,
    code: String,
}

impl Matrix {
    fn subjects(&self) -> Vec<Subject> {
        let mut made = Vec::new();
        for (channel, way) in &self.channel {
            for (name, disguise) in &self.disguise {
                made.push(Subject {
                    name: format!("{}-{channel}-{name}", way.verb),
                    verb: way.verb.clone(),
                    channel: channel.clone(),
                    disguise: name.clone(),
                    asset: Some(self.asset.clone()),
                    confidence: disguise.confidence,
                    decoder: disguise.decoder,
                    run: "python".to_owned(),
                    program: format!("{}\n{}\n{}", self.read, disguise.code, way.code),
                    options: Vec::new(),
                    dangerous: false,
                    needs_root: false,
                    needs_ebpf: false,
                    never: Vec::new(),
                });
            }
        }
        made
    }
}

fn read<T: for<'de> Deserialize<'de>>(name: &str) -> T {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/leaksuite").join(name);
    let text = fs::read_to_string(&path).expect("the suite");
    toml::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// One thing to run: innocent ones have no label.
struct Job {
    name: String,
    run: String,
    program: String,
    options: Vec<String>,
    label: Option<Subject>,
}

/// What came of it: `Ok` when belljar said what it should.
struct Came {
    name: String,
    label: Option<Subject>,
    is_right: bool,
    is_alarm: bool,
    said: String,
}

/// The command that runs a program, put into the working directory of the laboratory.
fn command(lab: &Lab, job: &Job) -> Vec<String> {
    let file = |ending: &str| {
        let name = format!("{}.{ending}", job.name);
        fs::write(lab.work().join(&name), &job.program).expect("a program");
        name
    };
    match job.run.as_str() {
        "sh" | "bash" => vec![job.run.clone(), file("sh")],
        "python" => vec!["python3".to_owned(), file("py")],
        "perl" => vec!["perl".to_owned(), file("pl")],
        "node" => vec!["node".to_owned(), file("js")],
        "c" => built(lab, job, "cc", &["-w"], &file("c")),
        "rust" => built(lab, job, "rustc", &["--edition", "2021", "-Awarnings"], &file("rs")),
        other => panic!("{}: nothing runs {other}", job.name),
    }
}

/// Compiles a program in the laboratory.
fn built(lab: &Lab, job: &Job, compiler: &str, options: &[&str], source: &str) -> Vec<String> {
    let program = format!("./{}", job.name);
    let built = std::process::Command::new(compiler)
        .args(options)
        .args(["-o", &program, source])
        .current_dir(lab.work())
        .status()
        .unwrap_or_else(|error| panic!("{compiler} does not run: {error}"));
    assert!(built.success(), "{} does not compile", job.name);
    vec![program]
}

fn judge(lab: &Lab, job: Job) -> Came {
    let mut options: Vec<String> = ["--seed", "4711", "--timeout", "60s"].map(str::to_owned).into();
    options.extend(job.options.iter().cloned());
    let command = command(lab, &job);

    let recorded = lab.record(
        &options.iter().map(String::as_str).collect::<Vec<_>>(),
        &command.iter().map(String::as_str).collect::<Vec<_>>(),
    );
    let _ = fs::remove_dir_all(&recorded.bundle);
    let report = recorded.report.unwrap_or_else(|| panic!("{}: no report: {}", job.name, recorded.stderr));
    let findings = report["findings"].as_array().cloned().unwrap_or_default();
    let (is_right, is_alarm) = match &job.label {
        Some(subject) => {
            let is_innocent_of = |verb: &Value| subject.never.iter().any(|never| verb == never.as_str());
            let is_alarm = findings.iter().any(|finding| is_innocent_of(&finding["verb"]));
            (findings.iter().any(|finding| fits(subject, finding)), is_alarm)
        }
        None => (report["verdict"] == "not-observed", report["verdict"] != "not-observed"),
    };
    let said = findings
        .iter()
        .map(|finding| format!("{} {}: {}", finding["verb"], finding["confidence"], finding["title"]))
        .collect::<Vec<_>>()
        .join("\n      ");
    Came { name: job.name, label: job.label, is_right, is_alarm, said }
}

fn fits(subject: &Subject, finding: &Value) -> bool {
    let sure: Option<Confidence> = serde_json::from_value(finding["confidence"].clone()).ok();
    let is_sent = subject.verb == "transmit" && matches!(subject.channel.as_str(), "http" | "https" | "dns" | "smtp");
    finding["verb"] == subject.verb.as_str()
        && subject.asset.as_ref().is_none_or(|asset| finding["asset"] == asset.as_str())
        && sure.is_some_and(|sure| sure >= subject.confidence)
        && (!is_sent || subject.confidence == Confidence::Suspected || finding["channel"] == subject.channel.as_str())
}

/// Found and all, by whatever the rows are called.
type Table = BTreeMap<String, (usize, usize)>;

fn print(title: &str, table: &Table) {
    println!("\n{title:28} found  of");
    for (row, (found, all)) in table {
        println!("{row:28} {found:5} {all:3}{}", if found < all { "  *" } else { "" });
    }
}

#[test]
fn what_is_done_is_found_and_what_is_not_is_not() {
    let (privilege, calls) = common::setups().into_iter().next().expect("a way to run");
    let only = std::env::var("LEAK").ok();
    let is_wanted = |name: &str| only.as_ref().is_none_or(|only| name.contains(only.as_str()));
    let mut subjects = read::<Matrix>("matrix.toml").subjects();
    subjects.extend(read::<Subjects>("subjects.toml").subject);
    let innocents = read::<Innocents>("innocent.toml").innocent;
    assert!(subjects.len() >= 120 && innocents.len() >= 40, "{} and {}", subjects.len(), innocents.len());
    subjects.retain(|subject| {
        (privilege == Privilege::Root || !subject.needs_root) && (calls == Calls::Ebpf || !subject.needs_ebpf)
    });
    let labelled = subjects.into_iter().map(|subject| Job {
        name: subject.name.clone(),
        run: subject.run.clone(),
        program: subject.program.clone(),
        options: subject.options.clone(),
        label: Some(subject),
    });
    let innocent = innocents.into_iter().map(|innocent| Job {
        name: innocent.name,
        run: innocent.run,
        program: innocent.program,
        options: Vec::new(),
        label: None,
    });
    let mut jobs: Vec<Job> = labelled.chain(innocent).filter(|job| is_wanted(&job.name)).collect();
    jobs.reverse();
    let holds = Lab::with(privilege, calls).jail_holds();
    let is_dangerous = |job: &Job| job.label.as_ref().is_some_and(|subject| subject.dangerous);
    assert!(holds || !jobs.iter().any(is_dangerous), "the jail does not hold");

    let (jobs, came) = (Mutex::new(jobs), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                let lab = Lab::with(privilege, calls);
                loop {
                    let Some(job) = jobs.lock().unwrap().pop() else { break };
                    let result = judge(&lab, job);
                    let is_well = result.is_right && !result.is_alarm;
                    println!("{} {}", if is_well { "right" } else { "WRONG" }, result.name);
                    came.lock().unwrap().push(result);
                }
            });
        }
    });
    summary(came.into_inner().unwrap());
}

fn summary(mut came: Vec<Came>) {
    came.sort_by(|a, b| a.name.cmp(&b.name));
    let [mut verbs, mut channels, mut disguises, mut sures] = [(); 4].map(|()| Table::new());
    let mut kinds = [(0_usize, 0_usize); 2];
    let (mut innocent, mut alarms) = (0, Vec::new());
    for came in &came {
        if came.is_alarm {
            alarms.push(format!("{}\n      {}", came.name, came.said));
        }
        innocent += usize::from(came.label.as_ref().is_none_or(|subject| !subject.never.is_empty()));
        let Some(subject) = &came.label else { continue };
        let sure = format!("{:?}", subject.confidence).to_lowercase();
        for (table, row) in [
            (&mut verbs, subject.verb.clone()),
            (&mut channels, format!("{} {}", subject.verb, subject.channel)),
            (&mut disguises, subject.disguise.clone()),
            (&mut sures, format!("{} {sure}", subject.verb)),
        ] {
            let (found, all) = table.entry(row).or_default();
            *found += usize::from(came.is_right);
            *all += 1;
        }
        let kind = &mut kinds[usize::from(subject.decoder)];
        *kind = (kind.0 + usize::from(came.is_right), kind.1 + 1);
    }
    print("by verb", &verbs);
    print("by verb and confidence", &sures);
    print("by verb and channel", &channels);
    print("by disguise", &disguises);
    println!("\nfalse alarms: {} of {innocent} subjects that are innocent, or of something", alarms.len());
    for came in came.iter().filter(|came| !came.is_right || came.is_alarm) {
        println!("  {} {}\n      {}", if came.is_alarm { "alarm" } else { "missed" }, came.name, came.said);
    }
    let recall = |(found, all): (usize, usize)| if all == 0 { 1.0 } else { found as f64 / all as f64 };
    let (open, decoded) = (recall(kinds[0]), recall(kinds[1]));
    println!("recall: {open:.3} in the open ({} subjects), {decoded:.3} through decoders ({})", kinds[0].1, kinds[1].1);
    assert!(alarms.is_empty(), "false alarms:\n{}", alarms.join("\n"));
    assert!(open >= WANTED.0 && decoded >= WANTED.1, "recall {open:.3} and {decoded:.3}, wanted {WANTED:?}");
}
