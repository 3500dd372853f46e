//! What the subject leaves on disk is seen, whoever wrote it and whatever it is called.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::time::Duration;

use belljar_sandbox::event::{Batch, LayerChange, Queue};
use belljar_sandbox::jail::{Jail, monotonic_ns};
use belljar_sandbox::layer::{Entry, EntryKind, Limits, Source, Summary, collect};
use belljar_sandbox::spec::Spec;

struct Seen {
    entries: BTreeMap<Vec<u8>, Entry>,
    contents: BTreeMap<Vec<u8>, Vec<u8>>,
    summary: Summary,
    copies: tempfile::TempDir,
}

fn layer_of(spec: &Spec, script: &str, limits: Limits) -> Seen {
    let mut spec = spec.clone();
    spec.argv = ["sh", "-c", script].map(Into::into).to_vec();
    let start_ns = monotonic_ns();
    let mut jail = Jail::spawn(&spec, common::pass()).unwrap_or_else(|error| panic!("{error}"));
    let _terminal = jail.take_terminal();
    jail.go();
    assert!(jail.wait(Duration::from_mins(1)).expect("the subject runs"));
    let copies = tempfile::tempdir().expect("tempdir");
    let blobs = std::fs::File::open(copies.path()).expect("open");
    let queue = Queue::new(1 << 16, 1 << 30);
    let mut entries = BTreeMap::new();
    let source = Source {
        stage: jail.stage(),
        roots: jail.layer(),
        blobs: Some(blobs.as_fd()),
        uid_in_jail: &|id| jail.uid_in_jail(id),
        gid_in_jail: &|id| jail.gid_in_jail(id),
        start_ns,
    };
    let mut record = |entry: &Entry| {
        entries.insert(entry.path.clone(), entry.clone());
        Ok(())
    };
    let summary = collect(&source, &queue, limits, &mut record).expect("the layer");
    queue.close();
    let mut contents: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    let mut batch = Batch::default();
    while queue.take(&mut batch, Duration::ZERO) {
        for event in &batch.events {
            contents
                .entry(batch.bytes(event.object).to_vec())
                .or_default()
                .extend_from_slice(batch.bytes(event.payload));
        }
    }
    Seen { entries, contents, summary, copies }
}

#[test]
fn every_kind_of_change_is_seen() {
    let script = "cd ~; printf 'left behind' > new; mkdir -p deep/er; ln -s /etc/passwd deep/link; mkfifo deep/pipe; \
                  chmod 000 deep/er; printf secret > locked; chmod 000 locked; \
                  echo changed >> .profile; rm gone; printf '\\377\\033[31m' > \"$(printf 'bad\\377name')\"; \
                  python3 -c 'import mmap
f = open(\"mapped\", \"w+b\"); f.truncate(4096); m = mmap.mmap(f.fileno(), 4096); m[100:106] = b\"mapped\"; m.close()'";
    let mut spec = common::spec(&[]);
    let plant = |name: &str| belljar_sandbox::decoy::Plant {
        path: format!("/home/anna/{name}").into_bytes(),
        content: belljar_sandbox::decoy::Content::File(b"planted\n".to_vec()),
        mode: 0o644,
        owner: belljar_sandbox::decoy::Owner::User,
        mtime: 0,
    };
    spec.plants = vec![plant(".profile"), plant("gone"), plant("untouched")];
    let seen = layer_of(&spec, script, Limits::default());
    let entry = |path: &str| {
        seen.entries.get(path.as_bytes()).unwrap_or_else(|| panic!("{path} is missing: {:?}", seen.entries.keys()))
    };
    let text = |path: &str| String::from_utf8_lossy(&seen.contents[path.as_bytes()]).into_owned();
    assert_eq!((entry("/home/anna/new").change, entry("/home/anna/new").kind), (LayerChange::Created, EntryKind::File));
    assert_eq!(entry("/home/anna/new").uid, 1000);
    // The hash by another program (sha256sum).
    assert_eq!(
        entry("/home/anna/new").sha256.as_deref(),
        Some("6b56f89a918f2feb33c2270465aed9b0e2ed2b3bc0ba33bd743b7ff1631181c1")
    );
    assert_eq!(text("/home/anna/new"), "left behind");
    assert_eq!(entry("/home/anna/deep/link").target, b"/etc/passwd");
    assert_eq!(entry("/home/anna/deep/pipe").kind, EntryKind::Special);
    assert_eq!((entry("/home/anna/deep/er").kind, entry("/home/anna/deep/er").mode), (EntryKind::Directory, 0));
    assert_eq!((text("/home/anna/locked").as_str(), entry("/home/anna/locked").mode), ("secret", 0));
    assert_eq!(
        (entry("/home/anna/.profile").change, text("/home/anna/.profile").as_str()),
        (LayerChange::Changed, "planted\nchanged\n")
    );
    assert_eq!(
        (entry("/home/anna/gone").change, entry("/home/anna/gone").kind),
        (LayerChange::Deleted, EntryKind::Gone)
    );
    // What was there before is copied, too.
    for path in ["/home/anna/.profile", "/home/anna/gone"] {
        let before = entry(path).before.clone().unwrap_or_else(|| panic!("{path} was there before"));
        assert_eq!(std::fs::read(seen.copies.path().join(before)).expect("a copy"), b"planted\n", "{path}");
    }
    assert_eq!(entry("/home/anna/new").before, None);
    assert!(text("/home/anna/mapped").contains("mapped"));
    assert!(seen.entries.contains_key(&b"/home/anna/bad\xffname"[..]));
    assert!(!seen.entries.keys().any(|path| path.ends_with(b"untouched") || path == b"/home/anna"));
    assert_eq!(seen.summary.not_read, 0);
    let hash = entry("/home/anna/new").sha256.clone().expect("a hash");
    assert_eq!(std::fs::read(seen.copies.path().join(hash)).expect("a copy"), b"left behind");
}

#[test]
fn what_was_below_is_copied_only_where_the_subject_was_shown_it() {
    let dir = tempfile::tempdir().expect("temporary directory");
    std::fs::create_dir(dir.path().join("shown")).expect("mkdir");
    std::fs::create_dir(dir.path().join("secret")).expect("mkdir");
    std::fs::write(dir.path().join("secret/key"), "not for it").expect("write");
    std::fs::write(dir.path().join("shown/open"), "for all").expect("write");
    std::fs::write(dir.path().join("shown/closed"), "for one").expect("write");
    let mode = |mode| std::os::unix::fs::PermissionsExt::from_mode(mode);
    std::fs::set_permissions(dir.path().join("shown/open"), mode(0o644)).expect("chmod");
    std::fs::set_permissions(dir.path().join("shown/closed"), mode(0o600)).expect("chmod");
    std::fs::set_permissions(dir.path().join("shown"), mode(0o777)).expect("chmod");
    std::os::unix::fs::symlink("../secret", dir.path().join("shown/link")).expect("symlink");
    let mut spec = common::spec(&[]);
    spec.binds = vec![belljar_sandbox::spec::Bind {
        source: dir.path().join("shown"),
        target: "/srv/shown".into(),
        writable: true,
    }];
    // The link below makes way for a directory with a file of the same name.
    let script =
        "cd /srv/shown; for f in open closed; do echo new > x; mv x $f; done; rm link; mkdir link; echo own > link/key";
    let seen = layer_of(&spec, script, Limits::default());
    let before = |path: &str| {
        let hash = seen.entries.get(path.as_bytes()).unwrap_or_else(|| panic!("{path}: {:?}", seen.entries.keys()));
        hash.before.as_ref().map(|hash| std::fs::read_to_string(seen.copies.path().join(hash)).expect("a copy"))
    };
    assert_eq!(before("/srv/shown/open").as_deref(), Some("for all"));
    assert_eq!((before("/srv/shown/closed"), before("/srv/shown/link/key")), (None, None));
}

#[test]
fn what_is_planted_in_a_hidden_folder_is_there_alone() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let all = |mode| std::os::unix::fs::PermissionsExt::from_mode(mode);
    std::fs::create_dir(dir.path().join("keys")).expect("mkdir");
    std::fs::set_permissions(dir.path(), all(0o755)).expect("chmod");
    for name in ["keys/host.pem", "keys/app.pem", "beside"] {
        std::fs::write(dir.path().join(name), "of the host").expect("write");
    }
    let mut spec = common::spec(&[]);
    spec.binds = vec![belljar_sandbox::spec::Bind {
        source: dir.path().to_path_buf(),
        target: "/srv/shown".into(),
        writable: true,
    }];
    let plant = |path: &str, content| belljar_sandbox::decoy::Plant {
        path: path.into(),
        content,
        mode: 0o777,
        owner: belljar_sandbox::decoy::Owner::User,
        mtime: 0,
    };
    let planted = || belljar_sandbox::decoy::Content::File(b"planted".to_vec());
    let folder = || belljar_sandbox::decoy::Content::Directory;
    // What is seen in the folder: the names, and what stands in the one that the host has, too.
    let script =
        "cd /srv/shown; { cat beside; ls -A keys; cat keys/app.pem; } >/tmp/seen 2>/dev/null; echo own >keys/host.pem";
    let host = "of the host";
    for (hidden, plants, expected) in [
        (false, vec![], format!("{host}app.pem\nhost.pem\n{host}")),
        (true, vec![], host.to_owned()),
        (true, vec![plant("/srv/shown/keys/app.pem", planted())], format!("{host}app.pem\nplanted")),
        (true, vec![plant("/srv/shown/keys", folder())], host.to_owned()),
    ] {
        spec.hidden = if hidden { vec![dir.path().join("keys")] } else { Vec::new() };
        let is_there = !plants.is_empty();
        spec.plants = plants;
        let seen = layer_of(&spec, script, Limits::default());
        assert_eq!(String::from_utf8_lossy(&seen.contents[&b"/tmp/seen"[..]]), expected, "{:?}", spec.plants);
        // What the host has there is nothing that was changed.
        let written =
            seen.entries.get(&b"/srv/shown/keys/host.pem"[..]).map(|entry| (entry.change, entry.before.clone()));
        match (hidden, is_there) {
            (true, true) => assert_eq!(written, Some((LayerChange::Created, None)), "{:?}", spec.plants),
            (true, false) => assert_eq!(written, None),
            (false, _) => assert!(matches!(written, Some((LayerChange::Changed, Some(_)))), "{written:?}"),
        }
    }
}

#[test]
fn large_and_sparse_files_are_read_in_pieces_and_limits_are_counted() {
    let script = "cd /tmp; head -c 300000 /dev/zero | tr '\\0' x > big; printf tail >> big; truncate -s 40G sparse; printf needle | dd of=sparse seek=30000000000 bs=1 conv=notrunc 2>/dev/null";
    let limits = Limits { chunk: 65_536, keep_file: 1000, ..Limits::default() };
    let mut spec = common::spec(&[]);
    spec.limits.disk = 64 << 30;
    let seen = layer_of(&spec, script, limits);
    let big = &seen.contents[&b"/tmp/big"[..]];
    assert_eq!((big.len(), big.ends_with(b"xtail")), (300_004, true));
    assert!(seen.contents[&b"/tmp/sparse"[..]].windows(6).any(|window| window == b"needle"));
    assert_eq!(seen.entries[&b"/tmp/sparse"[..]].sha256, None);
    assert_eq!((seen.summary.not_kept, seen.summary.not_read), (2, 0));
}
