//! Runs real programs under the filter, with the witness at work, and gives back what it saw.
//!
//! The launcher (`launcher.c`) stands in for the jail: it installs the filter and gives its listener's number away
//! through a file that both have mapped or open, since every write of its own would be trapped.

use std::collections::HashMap;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use belljar_sandbox::decoy::Asset;
use belljar_sandbox::event::{Abi, Batch, Event, Kind, ProcessKey, Queue};
use belljar_sandbox::witness::Stats;
use belljar_sandbox::witness::notify::{Context, Notify, program};
use belljar_sandbox::witness::syscalls;

/// One event with its parts.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub event: Event,
    pub object: Vec<u8>,
    pub target: Vec<u8>,
    pub detail: Vec<u8>,
    pub payload: Vec<u8>,
}

impl Seen {
    /// The call's name; empty for other kinds.
    pub(crate) fn name(&self) -> &'static str {
        match self.event.kind {
            Kind::Call { abi, nr } => syscalls::lookup(abi, nr).map_or("?", |call| call.name),
            _ => "",
        }
    }

    pub(crate) fn abi(&self) -> Option<Abi> {
        match self.event.kind {
            Kind::Call { abi, .. } => Some(abi),
            _ => None,
        }
    }

    pub(crate) fn object(&self) -> String {
        String::from_utf8_lossy(&self.object).into_owned()
    }
}

/// What came of a run.
pub(crate) struct Run {
    pub seen: Vec<Seen>,
    pub stats: Stats,
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
    /// The folder the subject began in.
    pub folder: tempfile::TempDir,
}

impl Run {
    pub(crate) fn calls<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Seen> {
        self.seen.iter().filter(move |seen| seen.name() == name)
    }

    /// Objects of all calls of that name, in order.
    pub(crate) fn objects(&self, name: &str) -> Vec<String> {
        self.calls(name).map(Seen::object).collect()
    }

    /// The one write of these bytes.
    pub(crate) fn write_of(&self, bytes: &[u8]) -> &Seen {
        let found: Vec<_> = self.calls("write").filter(|seen| seen.payload == bytes).collect();
        assert_eq!(found.len(), 1, "writes of {:?}: {found:?}", String::from_utf8_lossy(bytes));
        found[0]
    }

    pub(crate) fn starts(&self) -> HashMap<ProcessKey, &Seen> {
        self.of_kind(Kind::ProcessStart).map(|seen| (seen.event.process, seen)).collect()
    }

    pub(crate) fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Seen> {
        self.seen.iter().filter(move |seen| seen.event.kind == kind)
    }
}

/// How to run.
#[derive(Default)]
pub(crate) struct Options {
    /// In its own user, pid, mount and network namespaces.
    pub namespaces: bool,
    /// In a root of its own, below the folder.
    pub root: bool,
    /// Paths that are planted; `{}` is the folder.
    pub assets: Vec<&'static str>,
    /// Files made in the folder before the run.
    pub files: Vec<(&'static str, &'static str)>,
    /// Most events that are kept (the rest is counted only); 0 for all.
    pub keep: usize,
}

/// A C program of `tests/notify`, built once.
pub(crate) fn fixture(name: &'static str) -> PathBuf {
    static BUILT: OnceLock<tempfile::TempDir> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        let folder = tempfile::tempdir().expect("folder");
        for name in ["launcher", "subject"] {
            let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/notify").join(name).with_extension("c");
            let status = Command::new("cc")
                .args(["-O1", "-Wall", "-pthread", "-o"])
                .arg(folder.path().join(name))
                .arg(source)
                .status()
                .expect("a C compiler (`cc`) is needed to build the fixtures");
            assert!(status.success(), "{name} does not build");
        }
        folder
    });
    built.path().join(name)
}

fn wait_for(page: &std::fs::File, offset: u64, child: &mut std::process::Child) -> i32 {
    for _ in 0..20_000 {
        let mut bytes = [0; 4];
        page.read_exact_at(&mut bytes, offset).expect("page");
        match i32::from_le_bytes(bytes) {
            0 => {
                if let Some(status) = child.try_wait().expect("launcher") {
                    let mut text = String::new();
                    let _ = std::io::Read::read_to_string(child.stderr.as_mut().expect("stderr"), &mut text);
                    panic!("the launcher ended early ({status}): {text}");
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            value => return value,
        }
    }
    panic!("the launcher does not come up");
}

/// Runs a command; `{}` in an argument stands for the folder, `{subject}` for the fixture.
pub(crate) fn run(options: &Options, command: &[&str]) -> Run {
    let folder = tempfile::tempdir().expect("folder");
    let place = folder.path().to_str().expect("text").to_owned();
    for (name, content) in &options.files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("parent")).expect("made");
        std::fs::write(path, content).expect("written");
    }
    let hidden = tempfile::tempdir().expect("folder");
    let (page_path, filter_path) = (hidden.path().join("page"), hidden.path().join("filter"));
    let filter: Vec<u8> = program()
        .iter()
        .flat_map(|op| {
            let [code, k] = [op.code.to_le_bytes().to_vec(), op.k.to_le_bytes().to_vec()];
            [code, vec![op.jt, op.jf], k].concat()
        })
        .collect();
    std::fs::write(&filter_path, filter).expect("filter");
    std::fs::write(&page_path, [0; 4096]).expect("page");
    let page = std::fs::File::options().read(true).write(true).open(&page_path).expect("page");
    let subject = if options.root {
        std::fs::copy(fixture("subject"), folder.path().join("subject")).expect("copied");
        "/subject".to_owned()
    } else {
        fixture("subject").to_str().expect("text").to_owned()
    };
    let fill = |text: &str| text.replace("{}", &place).replace("{subject}", &subject);
    let mut child = Command::new(fixture("launcher"))
        .args([&page_path, &filter_path])
        .arg(if options.namespaces { "n" } else { "-" })
        .arg(if options.root { place.as_str() } else { "-" })
        .args(command.iter().map(|text| fill(text)))
        .current_dir(folder.path())
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("TOKEN", "planted-token")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("launcher");

    let listener = wait_for(&page, 4, &mut child) - 1;
    let init_pid = wait_for(&page, 0, &mut child);
    let pid = rustix::process::Pid::from_raw(init_pid).expect("pid");
    let pidfd = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).expect("pidfd");
    let listener =
        rustix::process::pidfd_getfd(&pidfd, listener, rustix::process::PidfdGetfdFlags::empty()).expect("listener");
    let queue = Arc::new(Queue::new(1 << 14, 16 << 20));
    let asset = Asset {
        name: "planted".into(),
        class: "identity".into(),
        paths: options.assets.iter().map(|path| fill(path).into_bytes()).collect(),
        variables: vec![],
        markers: vec![],
    };
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let notify = Notify::start(Context {
        listener,
        init_pid,
        start_ns: now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64,
        capture: 64 << 10,
        assets: vec![asset],
        queue: Arc::clone(&queue),
    })
    .expect("the witness starts");
    page.write_all_at(&1_i32.to_le_bytes(), 8).expect("go");

    let keep = if options.keep == 0 { usize::MAX } else { options.keep };
    let source = Arc::clone(&queue);
    let consumer = std::thread::spawn(move || {
        let (mut batch, mut seen) = (Batch::default(), Vec::new());
        while source.take(&mut batch, Duration::from_millis(20)) {
            for event in &batch.events {
                if seen.len() >= keep {
                    break;
                }
                seen.push(Seen {
                    event: *event,
                    object: batch.bytes(event.object).to_vec(),
                    target: batch.bytes(event.target).to_vec(),
                    detail: batch.bytes(event.detail).to_vec(),
                    payload: batch.bytes(event.payload).to_vec(),
                });
            }
        }
        seen
    });
    let output = child.wait_with_output().expect("launcher");
    let stats = notify.finish();
    queue.close();
    let seen = consumer.join().expect("consumer");
    assert_eq!(stats.error, None);
    assert_eq!((stats.internal_errors, stats.lost), (0, 0));
    Run {
        seen,
        stats,
        status: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        folder,
    }
}
