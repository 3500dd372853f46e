//! `belljar demo`: a recording that comes with belljar, made by it of a program in the repository. See `demo/README.md`.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;

use super::options::DemoArgs;
use super::replay::replay;

/// The recording's files.
macro_rules! files {
    ($($name:literal),+) => { &[$(($name, include_bytes!(concat!("../../demo/recording/", $name)))),+] };
}

const FILES: &[(&str, &[u8])] = files![
    "session.json",
    "profile.toml",
    "events.arrows",
    "objects.arrows",
    "payloads.arrows",
    "processes.arrows",
    "findings.jsonl",
    "terminal.cast"
];

pub(super) fn run(args: &DemoArgs) -> anyhow::Result<u8> {
    // What is marked in it is the analyst's own and goes with it.
    let dir = std::env::temp_dir().join(format!("belljar-demo-{}", uuid::Uuid::now_v7()));
    DirBuilder::new().mode(0o700).create(&dir)?;
    let shown = unpack(&dir).map_err(anyhow::Error::from).and_then(|()| replay(&dir, 1.0, args.plain));
    let _ = std::fs::remove_dir_all(&dir); // what is left is in the directory for what is left
    shown
}

fn unpack(dir: &std::path::Path) -> std::io::Result<()> {
    FILES.iter().try_for_each(|(name, bytes)| std::fs::write(dir.join(name), bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::{Reader, State};
    use crate::store::Verb;

    #[test]
    fn the_recording_is_whole_and_shows_every_verb() {
        let dir = tempfile::tempdir().expect("temporary directory");
        unpack(dir.path()).expect("room on the disk");
        let mut reader = Reader::open(dir.path()).expect("readable");
        assert_eq!(reader.state(), State::Complete);
        let mut seen = crate::store::Verbs::default();
        reader
            .records(|record| {
                seen.0 |= record.verbs.0;
                std::ops::ControlFlow::Continue(())
            })
            .expect("readable");
        assert!(!reader.truncated());
        for verb in Verb::ALL {
            assert!(seen.contains(verb), "{verb}");
        }
        let size: usize = FILES.iter().map(|(_, bytes)| bytes.len()).sum();
        assert!(size < 400 << 10, "it is part of every binary");
    }
}
