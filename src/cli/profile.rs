//! `belljar profile`: what profiles there are, what one plants, what is wrong with one, and a new
//! one to start from.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use anyhow::Context as _;
use belljar_sandbox::decoy::kind::{KINDS, TOKENS};
use belljar_sandbox::decoy::{Asset, Content, Plant};
use belljar_sandbox::spec::Limits;

use super::error::Failure;
use super::options::ProfileCommand;
use super::output;
use crate::bundle::Reader;
use crate::profile::{Declaration, Profile, ProfileError};
use crate::redact::plain;
use crate::store::Verb;

/// The seed of what `show` and `check` make: any will do, the values are not shown.
const SEED: u64 = 1;

pub(super) fn run(command: ProfileCommand) -> anyhow::Result<u8> {
    let mut out = output::stdout();
    match command {
        ProfileCommand::List => list(&mut out)?,
        ProfileCommand::Show { profile } => show(&profile, &mut out)?,
        ProfileCommand::Check { profiles } => {
            for profile in profiles {
                check(&profile, &mut out)?;
            }
        }
        ProfileCommand::New { file, from, declaration_from } => {
            let shown = plain(file.as_os_str().as_encoded_bytes());
            if let Some(bundle) = declaration_from {
                new(&file, &declaration(&bundle)?)?;
                writeln!(out, "wrote {shown}; give it reasons, then: belljar record --declaration {shown} -- CMD")?;
            } else {
                new(&file, load(&from)?.text())?;
                writeln!(out, "wrote {shown}; try: belljar profile check {shown}")?;
            }
        }
    }
    out.flush()?;
    Ok(0)
}

/// Prints the profiles that come with belljar, and what the tables of one's own may name.
fn list(out: &mut dyn Write) -> anyhow::Result<()> {
    for name in Profile::builtin_names() {
        writeln!(out, "{name:14}  {}", Profile::load(name)?.description())?;
    }
    writeln!(out, "\nKinds of assets, with the class and the rows they have unless the profile says so:")?;
    for info in KINDS {
        let rows = info.rows.map_or_else(String::new, |rows| rows.to_string());
        writeln!(out, "  {:16} {:10} {rows:>4}  {}", info.name, info.class, info.help)?;
    }
    let tokens: Vec<_> = TOKENS.iter().map(|(name, _)| *name).collect();
    writeln!(out, "\nForms of secrets in variables: {}", tokens.join(", "))?;
    Ok(())
}

/// Prints what a profile pretends and plants; no value of it.
fn show(name_or_file: &str, out: &mut dyn Write) -> anyhow::Result<()> {
    let profile = load(name_or_file)?;
    let real = profile.realise(SEED)?;
    let (user, identity) = (&real.user, &real.identity);
    let dmi = |wanted: &str| identity.dmi.iter().find(|(file, _)| file == wanted).map_or("", |(_, value)| value);
    let ([a, b, c, d], length) = identity.ipv4;
    writeln!(out, "{}: {}\n", plain(profile.name().as_bytes()), plain(profile.description().as_bytes()))?;
    writeln!(out, "device  {} {}, {a}.{b}.{c}.{d}/{length}", dmi("sys_vendor"), dmi("product_name"))?;
    writeln!(
        out,
        "user    {} ({}:{}), {}",
        user.name,
        user.uid,
        user.gid,
        plain(user.home.as_os_str().as_encoded_bytes())
    )?;
    writeln!(out, "limits  {}\n", limits(&real.limits))?;

    writeln!(out, "{:18} {:10} {:>7}  where", "asset", "class", "markers")?;
    for asset in &real.assets {
        writeln!(out, "{:18} {:10} {:>7}  {}", asset.name, asset.class, asset.markers.len(), places(asset))?;
    }
    let furniture = |plant: &&Plant| !real.assets.iter().any(|asset| holds(asset, &plant.path));
    writeln!(out, "\nwithout markers:")?;
    for plant in real.plants.iter().filter(furniture) {
        let end = if plant.content == Content::Directory { "/" } else { "" };
        writeln!(out, "  {}{end}", plain(&plant.path))?;
    }

    let rules = profile.rules();
    writeln!(out, "\n{:10} {:12} unexplained from", "verb", "violation from")?;
    for verb in Verb::ALL {
        let threshold = rules.threshold(verb);
        let word = |from: Option<crate::analysis::finding::Confidence>| from.map_or("never", |from| from.name());
        writeln!(out, "{:10} {:14} {}", verb.name(), word(threshold.violation), word(threshold.unexplained))?;
    }
    for detector in &rules.own {
        let (severity, sure) = (detector.severity.name(), detector.confidence.name());
        let (name, deed) = (plain(detector.name.as_bytes()), plain(detector.deed.as_bytes()));
        writeln!(out, "detector: {name}: {} ({severity}, {sure}): {deed}", detector.verb)?;
    }
    if !rules.off.is_empty() {
        writeln!(out, "detectors switched off: {}", plain(rules.off.join(", ").as_bytes()))?;
    }
    for allow in &rules.declaration {
        let verbs: Vec<_> = allow.verbs.iter().map(|verb| verb.name()).collect();
        let part = |word: &str, list: &[String]| {
            if list.is_empty() { String::new() } else { format!(" {word} {}", plain(list.join(", ").as_bytes())) }
        };
        writeln!(
            out,
            "declared: {}{}{}{}{}: {}",
            verbs.join(", "),
            part("class", &allow.classes),
            part("asset", &allow.assets),
            part("at", &allow.paths),
            part("to", &allow.hosts),
            plain(allow.reason.as_bytes())
        )?;
    }
    Ok(())
}

/// Loads a profile and makes all it plants; says so, or fails with what is wrong and where.
fn check(name_or_file: &str, out: &mut dyn Write) -> anyhow::Result<()> {
    let shown = plain(name_or_file.as_bytes());
    if Declaration::is_one(Path::new(name_or_file)) {
        let (entries, drafted) = Declaration::load(Path::new(name_or_file))?.entries();
        let rest = if drafted > 0 { format!(", {drafted} still to be explained") } else { String::new() };
        let what = if entries == 1 { "entry" } else { "entries" };
        writeln!(out, "{shown}: good, as a declaration (record --declaration {shown}): {entries} {what}{rest}")?;
        return Ok(());
    }
    let profile = load(name_or_file)?;
    let real = profile.realise(SEED)?;
    profile.effective(SEED)?;
    let markers: usize = real.assets.iter().map(|asset| asset.markers.len()).sum();
    writeln!(
        out,
        "{}: good: {} assets with {markers} markers, {} paths, {} detectors, {} declared",
        shown,
        real.assets.len(),
        real.plants.len(),
        profile.rules().detectors().len(),
        profile.rules().declaration.len()
    )?;
    Ok(())
}

/// The draft of a declaration that covers what a recorded run showed.
fn declaration(bundle: &Path) -> anyhow::Result<String> {
    let reader = Reader::open(bundle)?;
    let product = reader.session().and_then(|session| session.argv.first()).map_or("", String::as_str);
    let product = product.rsplit('/').next().unwrap_or_default();
    Ok(Declaration::template(product, &super::report::findings(&reader)?)?)
}

/// Writes a file to start from. Never overwrites.
fn new(path: &Path, text: &str) -> anyhow::Result<()> {
    let shown = plain(path.as_os_str().as_encoded_bytes());
    // create_new: no file is opened that was there a moment before.
    let file = OpenOptions::new().write(true).create_new(true).open(path);
    let mut file = match file {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let failure = Failure::usage(format!("{shown} exists")).hint("choose another name, or move it away");
            return Err(failure.into());
        }
        other => other.with_context(|| format!("cannot make {shown}"))?,
    };
    file.write_all(text.as_bytes()).with_context(|| format!("cannot write {shown}"))
}

/// A profile that does not exist is a slip of the command line; one at fault is not.
fn load(name_or_file: &str) -> anyhow::Result<Profile> {
    Profile::load(name_or_file).map_err(|error| match error {
        ProfileError::Unknown { .. } => {
            Failure::usage(error.to_string()).hint("`belljar profile list` lists them").into()
        }
        other => other.into(),
    })
}

fn limits(limits: &Limits) -> String {
    let none = || "none".to_owned();
    let size = |bytes: u64| match bytes {
        whole if whole.is_multiple_of(1 << 30) => format!("{} GiB", whole >> 30),
        whole if whole.is_multiple_of(1 << 20) => format!("{} MiB", whole >> 20),
        bytes => format!("{bytes} bytes"),
    };
    format!(
        "disk {}, memory {}, processes {}, descriptors {}, time {}",
        size(limits.disk),
        limits.memory.map_or_else(none, size),
        limits.processes.map_or_else(none, |count| count.to_string()),
        limits.descriptors.map_or_else(none, |count| count.to_string()),
        limits.time.map_or_else(none, |time| format!("{} s", time.as_secs()))
    )
}

/// Where an asset stands: its paths, its variables.
fn places(asset: &Asset) -> String {
    let paths = asset.paths.iter().map(|path| plain(path));
    paths.chain(asset.variables.iter().map(|name| format!("${name}"))).collect::<Vec<_>>().join(" ")
}

fn holds(asset: &Asset, path: &[u8]) -> bool {
    asset
        .paths
        .iter()
        .any(|own| own == path || own.strip_suffix(b"/").is_some_and(|folder| path == folder || path.starts_with(own)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(print: impl FnOnce(&mut dyn Write) -> anyhow::Result<()>) -> String {
        let mut out = Vec::new();
        print(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn listed() {
        insta::assert_snapshot!(printed(list));
    }

    #[test]
    fn the_workstation_shown() {
        insta::assert_snapshot!(printed(|out| show("workstation", out)));
    }

    #[test]
    fn the_server_shown() {
        insta::assert_snapshot!(printed(|out| show("server", out)));
    }

    #[test]
    fn a_declaration_is_checked_as_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("draft.toml");
        let finding = serde_json::json!({
            "id": 1, "verb": "store", "confidence": "proven", "severity": "low", "declared": false, "asset": "customers",
            "class": "identity", "markers": [], "channel": "file", "destination": "/var/tmp/x", "encodings": [],
            "decision": "allowed", "outcome": "succeeded", "error": null, "process": null, "title": "it left customers",
            "attack": null, "chain": [], "outcome_basis": "result", "events": 1
        });
        let draft = Declaration::template("app", &[serde_json::from_value(finding).unwrap()]).unwrap();
        std::fs::write(&path, &draft).unwrap();
        let name = path.to_str().unwrap();
        let said = printed(|out| check(name, out));
        assert!(said.contains("draft.toml: good, as a declaration"), "{said}");
        assert!(said.ends_with("1 entry, 1 still to be explained\n"), "{said}");
        std::fs::write(&path, draft.replace("TO BE EXPLAINED", "a cache")).unwrap();
        assert!(printed(|out| check(name, out)).ends_with(": 1 entry\n"));
        // What is wrong with it is said of a declaration.
        std::fs::write(&path, draft.replace("\"store\"", "\"stor\"")).unwrap();
        let error = check(name, &mut Vec::new()).unwrap_err().to_string();
        assert!(error.contains("unknown verb `stor`"), "{error}");
    }

    #[test]
    fn a_new_profile_is_good_and_never_overwrites() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("my.toml");
        new(&path, load("workstation").unwrap().text()).unwrap();
        let name = path.to_str().unwrap();
        assert!(printed(|out| check(name, out)).contains("my.toml: good: 17 assets"));
        std::fs::write(&path, "mine").unwrap();
        let error = new(&path, "other").unwrap_err();
        assert!(error.to_string().ends_with("my.toml exists"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    }

    #[test]
    fn an_unknown_profile_is_a_usage_error_and_a_faulty_one_is_not() {
        let error = check("workstatoin", &mut Vec::new()).unwrap_err();
        assert_eq!(error.downcast_ref::<Failure>().unwrap().code, super::super::error::USAGE);
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = check(file.path().to_str().unwrap(), &mut Vec::new()).unwrap_err();
        assert!(error.downcast_ref::<ProfileError>().is_some());
    }
}
