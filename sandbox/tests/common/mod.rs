//! What the jail's tests share: a spec, and a run that collects the subject's screen.

#![allow(
    unreachable_pub,
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "shared by test programs, each of which uses a part"
)]

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use belljar_sandbox::jail::{Exit, Jail, JailError};
use belljar_sandbox::spec::{Identity, Limits, Rootfs, Spec, Stdin, User};

/// A spec that runs `argv` as an ordinary user.
pub fn spec(argv: &[&str]) -> Spec {
    Spec {
        argv: argv.iter().map(OsString::from).collect(),
        env: [("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"), ("HOME", "/home/anna"), ("LC_ALL", "C")]
            .map(|(key, value)| (key.into(), value.into()))
            .to_vec(),
        workdir: PathBuf::from("/home/anna"),
        user: User { name: "anna".into(), uid: 1000, gid: 1000, home: "/home/anna".into() },
        rootfs: Rootfs::Host,
        binds: Vec::new(),
        hidden: Vec::new(),
        identity: Identity {
            hostname: "ws-0417".into(),
            machine_id: "0123456789abcdef0123456789abcdef".into(),
            mac: [0x3c, 0x52, 0x82, 0x12, 0x34, 0x56],
            ipv4: ([10, 20, 0, 15], 24),
            dmi: vec![("product_name".into(), "OptiPlex".into()), ("product_serial".into(), "5CG123".into())],
        },
        plants: Vec::new(),
        assets: Vec::new(),
        limits: Limits { disk: 256 << 20, memory: None, processes: None, descriptors: None, time: None },
        stdin: Stdin::Null,
        terminal: (80, 24),
        capture: 65536,
    }
}

/// A filter that lets everything pass: the jail alone is tested here.
pub fn pass() -> Vec<libc::sock_filter> {
    vec![libc::sock_filter { code: (libc::BPF_RET | libc::BPF_K) as u16, jt: 0, jf: 0, k: libc::SECCOMP_RET_ALLOW }]
}

/// Runs to the end; the subject's screen, with line ends as the terminal made them, and its exit.
pub fn run(spec: &Spec) -> Result<(String, Option<Exit>), JailError> {
    let mut jail = Jail::spawn(spec, pass())?;
    let terminal = jail.take_terminal().expect("the terminal");
    // Kept until the end: closing the master hangs up on a subject that has closed its side.
    let mut reading = File::from(terminal.try_clone().expect("dup"));
    let reader = std::thread::spawn(move || {
        let (mut screen, mut buffer) = (Vec::new(), [0; 4096]);
        while let Ok(n @ 1..) = reading.read(&mut buffer) {
            screen.extend_from_slice(&buffer[..n]);
        }
        String::from_utf8_lossy(&screen).replace("\r\n", "\n")
    });
    jail.go();
    let deadline = Instant::now() + Duration::from_mins(1);
    while !jail.wait(Duration::from_millis(200))? {
        assert!(Instant::now() < deadline, "the subject hangs");
    }
    let exit = jail.exit();
    drop(terminal);
    Ok((reader.join().expect("reader"), exit))
}

/// Runs a shell script in the jail and returns its screen.
pub fn shell(spec: &Spec, script: &str) -> String {
    let mut spec = spec.clone();
    spec.argv = ["sh", "-c", script].map(OsString::from).to_vec();
    run(&spec).unwrap_or_else(|error| panic!("{error}")).0
}
