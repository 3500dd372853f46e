//! Profiles as a whole: what the two that come with belljar plant, and how faults are told.

use std::collections::HashSet;
use std::fs;
use std::time::Duration;

use belljar_sandbox::decoy::{Asset, Content, Owner};
use proptest::prelude::*;

use super::values::{Mac, Maybe, Mode, Network, Size, Value};
use super::*;
use crate::analysis::finding::{Confidence, Finding};
use crate::store::{AssetSet, Verb};

const HEAD: &str = "[profile]\nname = \"acme\"\n";

fn parse(text: &str) -> Result<Profile, ProfileError> {
    Profile::parse("acme.toml", text, Some(Path::new("/nowhere")))
}

fn good(text: &str) -> Profile {
    parse(&format!("{HEAD}{text}")).unwrap_or_else(|error| panic!("{error}"))
}

/// Every fault of a list of texts, as it is told.
fn faults(texts: &[&str]) -> String {
    let fault = |text: &&str| match parse(text) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("no fault in {text}"),
    };
    texts.iter().map(fault).collect::<Vec<_>>().join("\n\n")
}

fn with_head(texts: &[&str]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| format!("{HEAD}{text}")).collect();
    faults(&texts.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn the_profiles_plant_what_they_say() {
    for (name, wanted, files) in [
        (
            "workstation",
            &["customers", "contracts", "clients-db", "contacts", "ssh-key", "aws-credentials", "netrc", "firefox"][..],
            &[
                "/home/anna/Documents/customers.csv",
                "/home/anna/Documents/clients.db",
                "/home/anna/.ssh/id_ed25519",
                "/home/anna/.ssh/id_ed25519.pub",
                "/home/anna/.ssh/known_hosts",
                "/home/anna/.aws/credentials",
                "/home/anna/.netrc",
                "/home/anna/.git-credentials",
                "/home/anna/.bash_history",
                "/home/anna/.config/chromium/Default/Login Data",
                "/home/anna/.mozilla/firefox/profiles.ini",
            ][..],
        ),
        (
            "server",
            &["customers", "backup", "app-env", "tls-key", "ssh-key"],
            &["/srv/app/.env", "/var/lib/app/customers.db", "/root/.ssh/id_ed25519", "/etc/ssl/private/app.key"],
        ),
    ] {
        let profile = Profile::load(name).unwrap();
        assert_eq!(profile.name(), name);
        let real = profile.realise(11).unwrap();
        assert_eq!(real, profile.realise(11).unwrap(), "same seed, same bytes");
        let names: HashSet<_> = real.assets.iter().map(|asset| asset.name.as_str()).collect();
        for asset in wanted.iter().chain(&["machine-id", "hostname", "serial", "uuid", "mac", "tokens"]) {
            assert!(names.contains(asset), "{name}: {asset}");
        }
        for file in files {
            let plant = real.plants.iter().find(|plant| plant.path == file.as_bytes());
            assert!(plant.is_some_and(|plant| matches!(plant.content, Content::File(_))), "{name}: {file}");
        }
        let values: Vec<_> = real.assets.iter().flat_map(|asset| &asset.markers).map(|marker| &marker.value).collect();
        assert_eq!(values.len(), values.iter().collect::<HashSet<_>>().len());
        let other = profile.realise(12).unwrap();
        let other: HashSet<_> = other.assets.iter().flat_map(|asset| &asset.markers).map(|m| &m.value).collect();
        assert!(values.iter().all(|value| !other.contains(value)), "another seed shares nothing");
        // Its own defaults: the profile spells them out for the reader, and changes none.
        assert_eq!(profile.rules(), crate::analysis::rules::Rules::default(), "{name}");
    }
}

#[test]
fn every_sector_has_assets_classes_identity_and_detectors_of_its_own() {
    let (mut products, mut detectors) = (HashSet::new(), HashSet::new());
    for name in Profile::builtin_names() {
        let profile = Profile::load(name).unwrap_or_else(|error| panic!("{error}"));
        let real = profile.realise(5).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(profile.name(), name);
        let classes: HashSet<&str> = real.assets.iter().map(|asset| asset.class.as_str()).collect();
        assert!(real.assets.len() >= 10 && classes.len() >= 4, "{name}: {classes:?}");
        let silent = real.assets.iter().find(|asset| asset.markers.is_empty());
        assert!(silent.is_none(), "{name}: {silent:?}");
        let product = real.identity.dmi.iter().find(|(file, _)| file == "product_name").map(|(_, value)| value.clone());
        assert!(products.insert(product), "{name} is a device of its own");
        let own = profile.rules().own;
        assert_eq!(own.is_empty(), matches!(name, "workstation" | "server"), "{name}");
        assert!(own.into_iter().all(|detector| detectors.insert(detector.name)), "{name}");
        let effective = profile.effective(5).unwrap();
        assert_eq!(Profile::parse("profile.toml", &effective.text, None).unwrap().rules(), profile.rules(), "{name}");
    }
}

#[test]
fn environment_and_owners() {
    let real = Profile::load("workstation").unwrap().realise(1).unwrap();
    let value = |name: &str| {
        let mut found = real.env.iter().filter(|(known, _)| known == name);
        let value = found.next().and_then(|(_, value)| value.to_str());
        assert!(found.next().is_none(), "{name} is set once");
        value
    };
    assert_eq!((value("HOME"), value("USER"), value("LOGNAME")), (Some("/home/anna"), Some("anna"), Some("anna")));
    assert_eq!(
        (value("SHELL"), value("TERM"), value("EDITOR")),
        (Some("/bin/bash"), Some("xterm-256color"), Some("nano"))
    );
    assert!(value("DATABASE_URL").is_some_and(|url| url.starts_with("postgres://")));
    let tokens = real.assets.iter().find(|asset| asset.name == "tokens").unwrap();
    assert!(tokens.markers.iter().any(|m| Some(m.value.as_slice()) == value("DATABASE_URL").map(str::as_bytes)));
    assert!(real.plants.iter().all(|plant| plant.owner == Owner::User && plant.path.starts_with(b"/home/anna")));
    let server = Profile::load("server").unwrap().realise(1).unwrap();
    assert!(server.plants.iter().any(|plant| plant.owner == Owner::Root && plant.path.starts_with(b"/srv")));
}

#[test]
fn the_effective_profile_stands_for_itself() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("logo.bin"), b"\xff\x00logo").unwrap();
    fs::write(folder.path().join("prices.txt"), "PL-2026-0042").unwrap();
    let text = format!(
        "{HEAD}[user]\nname = \"bo\"\n[environment]\nA = \"1\"\n[limits]\nmemory = \"none\"\ntime = \"5m\"\nprocesses = 12\n\
         [verdict]\ncollect = {{ violation = \"proven\" }}\n\
         [[file]]\npath = \"/srv/logo\"\nsource = \"logo.bin\"\nmode = \"0600\"\nowner = \"user\"\n\
         [[asset]]\nname = \"prices\"\nkind = \"file\"\npath = \"~/p\"\nsource = \"prices.txt\"\nmarkers = \"PL-2026-0042\"\n\
         [[declaration.allow]]\nverb = \"collect\"\nasset = \"prices\"\npath = \"~/p\"\nreason = \"r\"\n"
    );
    let file = folder.path().join("acme.toml");
    fs::write(&file, text).unwrap();
    let mut profile = Profile::load(file.to_str().unwrap()).unwrap();
    for name in ["acme", "workstation", "server"] {
        let seed = u64::MAX;
        let effective = profile.effective(seed).unwrap();
        assert_eq!(effective.sha256.len(), 64);
        let again = Profile::parse("profile.toml", &effective.text, None).unwrap();
        assert_eq!((again.seed(), again.name()), (Some(seed), if name == "acme" { "acme" } else { again.name() }));
        assert_eq!(again.realise(seed).unwrap(), profile.realise(seed).unwrap());
        assert_eq!(again.rules(), profile.rules());
        assert_eq!(again.effective(seed).unwrap(), effective, "and says so again");
        if name == "acme" {
            let logo = again.realise(seed).unwrap().plants;
            assert!(
                logo.iter()
                    .any(|plant| plant.content == Content::File(b"\xff\x00logo".to_vec()) && plant.mode == 0o600)
            );
            assert_eq!(again.rules().declaration[0].paths, ["/home/bo/p"]);
        }
        profile = Profile::load(if name == "acme" { "workstation" } else { "server" }).unwrap();
    }
}

/// Else who reads the one file would be told to have read the other data.
#[test]
fn no_value_stands_in_a_file_of_another_asset() {
    for name in Profile::builtin_names() {
        let real = Profile::load(name).unwrap().realise(1).unwrap();
        let own = |asset: &Asset, path: &[u8]| {
            asset.paths.iter().any(|own| path == own.as_slice() || own.ends_with(b"/") && path.starts_with(own))
        };
        for plant in &real.plants {
            let Content::File(content) = &plant.content else { continue };
            for asset in real.assets.iter().filter(|asset| !own(asset, &plant.path)) {
                // Where nothing else of the file is client data the value is there for its own sake.
                let is_anybodys = real.assets.iter().any(|other| own(other, &plant.path));
                for marker in asset.markers.iter().filter(|_| is_anybodys) {
                    let found = memchr::memmem::find(content, &marker.value).is_some();
                    assert!(!found, "{name}: {} stands in {}", marker.name, String::from_utf8_lossy(&plant.path));
                }
            }
        }
    }
}

#[test]
fn a_recorded_profile_reads_no_other_file() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("x"), "x").unwrap();
    let file = folder.path().join("profile.toml");
    fs::write(&file, format!("{HEAD}[[file]]\npath = \"/x\"\nsource = \"x\"\n")).unwrap();
    assert!(Profile::load(file.to_str().unwrap()).is_ok());
    let error = Profile::recorded(&file).unwrap_err().to_string();
    assert!(error.contains("profile.toml:5:10: a recorded profile carries its files"), "{error}");
}

#[test]
fn a_recorded_profile_may_be_as_long_as_the_files_it_carries() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("x"), vec![b'x'; LONGEST_TEXT as usize + 1]).unwrap();
    let file = folder.path().join("mine.toml");
    fs::write(&file, format!("{HEAD}[[file]]\npath = \"/x\"\nsource = \"x\"\n")).unwrap();
    let effective = Profile::load(file.to_str().unwrap()).unwrap().effective(1).unwrap();
    let recorded = folder.path().join("profile.toml");
    fs::write(&recorded, &effective.text).unwrap();
    assert_eq!(Profile::recorded(&recorded).unwrap().effective(1).unwrap(), effective);
    // As a profile that somebody wrote it is too long.
    let error = Profile::load(recorded.to_str().unwrap()).unwrap_err().to_string();
    assert!(error.contains("longer than 4 MiB"), "{error}");
}

#[test]
fn a_declaration_of_its_own_replaces_the_profiles() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("declaration.toml");
    fs::write(&file, "[declaration]\nproduct = \"Sync\"\n[[declaration.allow]]\nverb = [\"transmit\"]\nhost = \"a.example\"\nreason = \"r\"\n")
        .unwrap();
    let mut profile = Profile::load("workstation").unwrap();
    profile.declare(Declaration::load(&file).unwrap());
    let rules = profile.rules();
    assert!(rules.declares(Verb::Transmit, Some(("customers", "identity")), b"a.example:443"));
    assert!(!rules.declares(Verb::Transmit, Some(("customers", "identity")), b"b.example:443"));
    assert!(profile.effective(1).unwrap().text.contains("a.example"));
    fs::write(&file, "[declaration]\n[[declaration.allow]]\nverb = [\"transmitt\"]\nreason = \"r\"\n").unwrap();
    let error = Declaration::load(&file).unwrap_err().to_string();
    assert!(error.contains("declaration.toml:3:9: unknown verb `transmitt`; did you mean `transmit`?"), "{error}");
}

#[test]
fn a_drafted_declaration_covers_what_the_run_showed() {
    let finding = |verb: &str, asset: Option<&str>, destination: Option<&str>| -> Finding {
        serde_json::from_value(serde_json::json!({
            "id": 1, "verb": verb, "confidence": "proven", "severity": "low", "declared": false, "asset": asset,
            "class": asset.map(|_| "identity"), "markers": [], "channel": "file", "destination": destination,
            "encodings": [], "decision": "allowed", "outcome": "succeeded", "error": null, "process": null,
            "title": "it \"did\" this", "attack": null, "chain": [], "events": 1, "outcome_basis": "result"
        }))
        .unwrap()
    };
    let run = [
        finding("collect", Some("customers"), None),
        finding("transmit", Some("customers"), Some("a.example:443")),
        finding("store", Some("customers"), Some("/tmp/\u{2022}\u{2022}\u{2022}\u{2022}.log")),
        finding("control", None, Some("/etc/cron.d/x")),
        finding("shut-down", None, Some("reboot")),
    ];
    let text = Declaration::template("sync", &run).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("declaration.toml");
    fs::write(&file, &text).unwrap();
    let mut profile = Profile::load("workstation").unwrap();
    profile.declare(Declaration::load(&file).unwrap_or_else(|error| panic!("{error}")));
    let rules = profile.rules();
    let asset = Some(("customers", "identity"));
    for (verb, asset, place, want) in [
        (Verb::Collect, asset, "/home/anna/Documents/customers.csv", true),
        (Verb::Transmit, asset, "a.example:443", true),
        (Verb::Transmit, asset, "b.example:443", false),
        (Verb::Store, asset, "/tmp/anna@x.example.log", true),
        (Verb::Store, asset, "/tmp/y/x.log", false),
        (Verb::Control, None, "/etc/cron.d/x", true),
        (Verb::Control, None, "/etc/cron.d/y", false),
        (Verb::ShutDown, None, "reboot", false),
    ] {
        assert_eq!(rules.declares(verb, asset, place.as_bytes()), want, "{verb} {place}\n{text}");
    }
    assert!(text.contains("# not to be declared: it \"did\" this (shut-down)"), "{text}");
}

#[test]
fn thresholds_and_limits_are_taken() {
    let profile = good(
        "[verdict]\ntransmit = { violation = \"none\" }\ncollect = { violation = \"proven\" }\n[limits]\ndisk = \"64M\"\nmemory = 1024\n",
    );
    let rules = profile.rules();
    assert_eq!(rules.threshold(Verb::Transmit).violation, None);
    assert_eq!(rules.threshold(Verb::Transmit).unexplained, Some(Confidence::Suspected), "kept");
    assert_eq!(rules.threshold(Verb::Collect).violation, Some(Confidence::Proven));
    let limits = profile.realise(1).unwrap().limits;
    assert_eq!((limits.disk, limits.memory, limits.time), (64 << 20, Some(1024), None));
}

#[test]
fn detectors_are_added_and_switched_off() {
    let own = "[[detector]]\nname = \"ledger\"\nverb = \"disrupt\"\nseverity = \"high\"\nconfidence = \"proven\"\n\
               deed = \"change the ledger\"\nreason = \"it is signed\"\nwhen = 'written:/srv/ledger/*'\n";
    let profile = good(&format!("[detectors]\noff = [\"cron\"]\n[detectors.limits]\nprocesses = 9\n{own}"));
    let rules = profile.rules();
    let names: Vec<String> = rules.detectors().into_iter().map(|detector| detector.name).collect();
    assert!(names.contains(&"ledger".to_owned()) && !names.contains(&"cron".to_owned()));
    assert_eq!((rules.limits.processes, rules.limits.changed_files), (9, 5));
    let effective = profile.effective(1).unwrap();
    assert_eq!(Profile::parse("profile.toml", &effective.text, None).unwrap().rules(), rules);
    insta::assert_snapshot!(with_head(&[
        "[detectors]\noff = [\"crom\"]\n",
        &own.replace("\"ledger\"", "\"cron\""),
        &own.replace("written:", "writen:"),
        &own.replace("written:/srv/ledger/*", "not op:read"),
        &own.replace("\"high\"", "\"huge\""),
    ]));
}

#[test]
fn as_many_assets_as_a_session_tells_apart_and_no_more() {
    let with = |count: usize| {
        let asset = |at| format!("[[asset]]\nname = \"a{at}\"\nkind = \"netrc\"\npath = \"/a{at}\"\n");
        parse(&(HEAD.to_owned() + &(0..count).map(asset).collect::<String>()))
    };
    let most = AssetSet::CAPACITY - 5;
    assert_eq!(with(most).unwrap().realise(1).unwrap().assets.len(), AssetSet::CAPACITY);
    assert!(with(most + 1).unwrap_err().to_string().contains("at most 59"));
}

#[test]
fn two_entries_cannot_plant_one_path() {
    let netrc = "[[asset]]\nname = \"n\"\nkind = \"netrc\"\npath = \"~/.netrc\"\n";
    for (more, yes) in [
        ("[[file]]\npath = \"~/.netrc\"\ncontent = \"\"\n", false),
        ("[[file]]\npath = \"~/.netrc/x\"\ncontent = \"\"\n", false),
        ("[[file]]\npath = \"~/.netrc/\"\n", false),
        (
            "[[file]]\npath = \"~/.netrcs\"\ncontent = \"\"\n[[file]]\npath = \"~/d/\"\n[[file]]\npath = \"~/d/\"\n",
            true,
        ),
    ] {
        let real = good(&format!("{netrc}{more}")).realise(1);
        assert_eq!(real.is_ok(), yes, "{more}");
        if let Err(error) = real {
            assert!(error.to_string().contains("asset `n`"), "{error}");
        }
    }
}

#[test]
fn faults_of_shape() {
    insta::assert_snapshot!(faults(&[
        "",
        "[profile]\nname = \"acme\"\n[device]\nhostnam = \"x\"\n",
        "[profile]\nname = \"acme\"\n[devise]\n",
        "[profile]\nname = 5\n",
        "[profile]\nname = \"Acme Ltd\"\n",
        "[profile]\nname = \"acme\nseed = 1\n",
        "[profile]\nname = \"acme\"\nname = \"b\"\n",
        "[profile]\nname = \"acme\"\nseed = -1\n",
    ]));
}

#[test]
fn faults_of_values() {
    insta::assert_snapshot!(with_head(&[
        "[device]\nmac = \"01:02:03:04:05:06\"\n",
        "[device]\nmac = \"3c:fd:fe\"\n",
        "[device]\nmachine_id = \"ABC\"\n",
        "[device]\nhostname = \"-x\"\n",
        "[device]\nipv4 = \"10.0.0.1\"\n",
        "[device]\nipv4 = \"127.0.0.1/8\"\n",
        "[limits]\ndisk = \"2 GB\"\n",
        "[limits]\ndisk = 0\n",
        "[limits]\ntime = \"soon\"\n",
        "[limits]\nprocesses = \"many\"\n",
        "[user]\nuid = -1\n",
        "[user]\nname = \"1a\"\n",
        "[verdict]\ntransmitt = { violation = \"proven\" }\n",
        "[verdict]\ntransmit = { violation = \"prooven\" }\n",
        "[environment]\n\"A=B\" = \"x\"\n",
    ]));
}

#[test]
fn faults_of_assets() {
    let asset = |rest: &str| format!("{HEAD}[[asset]]\nname = \"a\"\n{rest}\n");
    let csv = "kind = \"customers-csv\"\npath = \"/a\"";
    let texts = [
        asset("kind = \"customer-csv\"\npath = \"/a\""),
        asset("kind = \"customers-csv\""),
        asset("kind = \"customers-csv\"\npath = \"Documents/a\""),
        asset("kind = \"customers-csv\"\npath = \"/a/../b\""),
        asset("kind = \"customers-csv\"\npath = \"/sys/a\""),
        asset("kind = \"customers-csv\"\npath = \"/etc/machine-id\""),
        asset("kind = \"customers-csv\"\npath = \"/a/\""),
        asset(&format!("{csv}\nrows = 0")),
        asset(&format!("{csv}\ncontent = \"x\"")),
        asset(&format!("{csv}\nmode = \"rw\"")),
        asset(&format!("{csv}\nowner = \"anna\"")),
        asset(&format!("{csv}\n[[asset]]\nname = \"a\"\n{csv}")),
        asset(&format!("{csv}\n[[asset]]\nname = \"serial\"\n{csv}")),
        asset("kind = \"netrc\"\npath = \"/a\"\nrows = 4"),
        asset("kind = \"environment\""),
        asset("kind = \"environment\"\nvariables = { A = \"gitub\" }"),
        asset("kind = \"environment\"\npath = \"/a\"\nvariables = { A = \"github\" }"),
        asset("kind = \"file\"\npath = \"/a\""),
        asset("kind = \"file\"\npath = \"/a\"\ncontent = \"x\"\nsource = \"y\""),
        asset("kind = \"file\"\npath = \"/a\"\nsource = \"missing.txt\""),
        asset("kind = \"file\"\npath = \"/a\"\ncontent = \"x\"\nmarkers = [\"x\"]"),
        asset(&format!("{csv}\n[[declaration.allow]]\nverb = \"collect\"\nclass = \"idenity\"\nreason = \"r\"")),
        asset(&format!("{csv}\n[[declaration.allow]]\nverb = []\nreason = \"r\"")),
    ];
    insta::assert_snapshot!(faults(&texts.iter().map(String::as_str).collect::<Vec<_>>()));
}

#[test]
fn faults_of_names_and_files() {
    let told = |name: &str| Profile::load(name).unwrap_err().to_string();
    assert_eq!(
        told("workstatoin"),
        "no profile is called `workstatoin`, nor is there such a file; did you mean `workstation`?"
    );
    assert_eq!(
        told("nope.toml"),
        "no profile is called `nope.toml`, nor is there such a file; known: workstation, server, finance, communications, energy, government, health, router, point-of-sale, or a file"
    );
    assert_eq!(told("/dev/null"), "cannot read /dev/null: it is not a regular file");
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), b"\xff").unwrap();
    assert!(told(file.path().to_str().unwrap()).ends_with("it is not UTF-8 text"));
}

#[test]
fn marks_stand_under_the_fault_whatever_precedes_it() {
    let error = parse("[profile]\nname = \"acme\"\ndescription = \"東京\"; x = 1\n").unwrap_err().to_string();
    let lines: Vec<_> = error.lines().collect();
    assert!(lines[0].starts_with("acme.toml:3:19:"), "{error}");
    assert_eq!(lines[2].chars().count(), " 3 | ".chars().count() + 19, "{error}");
}

fn round_trip<T: Value + PartialEq + std::fmt::Debug>(value: T) -> Result<(), TestCaseError> {
    prop_assert_eq!(T::read(&value.write()), Ok(value));
    Ok(())
}

proptest! {
    #[test]
    fn values_read_what_they_write(size in 1_u64..1 << 60, millis in 1_u64..1 << 40, mode in 0_u32..0o10000, mac: [u8; 6]) {
        round_trip(Size(size))?;
        round_trip(Maybe(Some(Size(size << 3))))?;
        round_trip(Duration::from_millis(millis))?;
        round_trip(Mode(mode))?;
        round_trip(Mac([mac[0] & 0xfe | 2, mac[1], mac[2], mac[3], mac[4], mac[5]]))?;
        round_trip(Network([10, mac[1], mac[2], mac[3]], 1 + mac[4] % 30))?;
    }

    #[test]
    fn no_text_panics(text in "\\PC*|(\\[?\\[?[a-z._]{0,12}\\]?\\]?( = )?[\"0-9a-z{}\\n]{0,12}){0,8}") {
        // The result does not matter; faults of any text must print.
        if let Err(error) = parse(&text) {
            prop_assert!(!error.to_string().is_empty());
        }
    }
}
