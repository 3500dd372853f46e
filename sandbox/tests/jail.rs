//! The jail from inside: what the subject sees, and what it cannot reach. Run as root and as an
//! ordinary user; both must hold. A test of something out of reach has a control on the host.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use belljar_sandbox::decoy::{Content, Owner, Plant};
use belljar_sandbox::jail::{Exit, JailError};
use belljar_sandbox::spec::{Bind, Rootfs};
use common::{run, shell, spec};

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// The subject as root of the jail.
fn root_spec() -> belljar_sandbox::spec::Spec {
    let mut spec = spec(&[]);
    spec.user = belljar_sandbox::spec::User { name: "root".into(), uid: 0, gid: 0, home: "/root".into() };
    spec.workdir = "/".into();
    spec
}

#[test]
fn the_subject_runs_and_its_exit_is_known() {
    let (screen, exit) = run(&spec(&["sh", "-c", "echo hello; exit 7"])).expect("jail");
    assert_eq!(screen, "hello\n");
    assert_eq!(exit, Some(Exit::Code(7)));
    let (_, exit) = run(&spec(&["sh", "-c", "kill -SEGV $$"])).expect("jail");
    assert_eq!(exit, Some(Exit::Signal(libc::SIGSEGV)));
}

#[test]
fn the_subject_sees_its_own_machine() {
    let screen = shell(
        &spec(&[]),
        "id -un; hostname; cat /etc/machine-id /sys/class/net/eth0/address /sys/class/dmi/id/product_name; pwd; tty <&1; ls /home; stat -c %a /tmp; umask",
    );
    let expected = "anna\nws-0417\n0123456789abcdef0123456789abcdef\n3c:52:82:12:34:56\nOptiPlex\n/home/anna\n/dev/pts/0\nanna\n1777\n0022\n";
    assert_eq!(screen, expected);
}

#[test]
fn planted_files_are_there_with_owner_and_mode() {
    let mut spec = spec(&[]);
    spec.plants = vec![
        Plant {
            path: b"/home/anna/.ssh/id".to_vec(),
            content: Content::File(b"secret".to_vec()),
            mode: 0o600,
            owner: Owner::User,
            mtime: 1_600_000_000,
        },
        Plant {
            path: b"/usr/share/planted".to_vec(),
            content: Content::File(b"deep".to_vec()),
            mode: 0o644,
            owner: Owner::User,
            mtime: 0,
        },
        Plant {
            path: b"/var/tmp/link".to_vec(),
            content: Content::Symlink(b"/etc/hostname".to_vec()),
            mode: 0o777,
            owner: Owner::Root,
            mtime: 0,
        },
    ];
    let screen = shell(
        &spec,
        "stat -c '%U %a %Y' ~/.ssh/id; cat ~/.ssh/id; cat /usr/share/planted; ls /usr/share | wc -l; cat /var/tmp/link",
    );
    let lines: Vec<&str> = screen.lines().collect();
    assert_eq!(lines[0], "anna 600 1600000000");
    assert!(lines[1].starts_with("secretdeep"), "{screen}");
    assert!(
        lines[1].trim_start_matches("secretdeep").trim().parse::<u32>().expect("a count") > 10,
        "the host's share is below: {screen}"
    );
    assert_eq!(lines[2], "ws-0417");
}

#[test]
fn what_belongs_to_the_host_is_not_visible() {
    let marker = format!("belljar-probe-{}", std::process::id());
    let dir = tempfile::Builder::new().prefix(&marker).tempdir().expect("tempdir");
    assert!(dir.path().exists(), "control: it is there on the host");
    let screen = shell(
        &root_spec(),
        &format!(
            "ls -d {} /root/.[a-z]* /etc/ssh/*key 2>/dev/null; ls -A /home /srv /var/tmp /run/user; cat /etc/shadow",
            dir.path().display()
        ),
    );
    assert!(!screen.contains(&marker), "{screen}");
    assert!(!screen.contains("ssh_host"), "{screen}");
    for line in fs::read_to_string("/etc/shadow").unwrap_or_default().lines() {
        let hash = line.split(':').nth(1).unwrap_or_default();
        assert!(hash.len() < 8 || !screen.contains(hash), "a host password hash is visible");
    }
}

#[test]
fn files_of_the_system_look_root_owned_to_a_root_session() {
    let screen = shell(&root_spec(), "stat -c '%u' /usr/bin/env /etc/passwd; id -u; cat /proc/self/uid_map");
    let lines: Vec<&str> = screen.lines().collect();
    assert_eq!(lines[1..3], ["0", "0"], "{screen}");
    let host: u32 = lines[3].split_whitespace().nth(1).expect("a map").parse().expect("an id");
    assert_ne!(host, 0);
    if is_root() {
        assert_eq!(lines[0], "0");
        assert!(host > 0x7000_0000);
    }
}

#[test]
fn what_the_subject_writes_stays_in_the_layer() {
    let path = format!("/usr/bin/belljar-test-{}", std::process::id());
    let screen = shell(&root_spec(), &format!("echo x > {path} && cat {path}; rm -f /usr/bin/env; ls /usr/bin/env"));
    if is_root() {
        assert!(screen.starts_with("x\n"), "{screen}");
        assert!(screen.contains("No such file"), "{screen}");
    }
    assert!(!fs::exists(&path).expect("stat"));
    assert!(fs::exists("/usr/bin/env").expect("stat"));
}

#[test]
fn a_package_can_be_installed() {
    if !is_root() {
        return; // the one-id map of an ordinary user cannot hold a package's owners: said in the README
    }
    let build = tempfile::tempdir().expect("tempdir");
    let tree = build.path().join("p");
    fs::create_dir_all(tree.join("DEBIAN")).expect("mkdir");
    fs::create_dir_all(tree.join("usr/bin")).expect("mkdir");
    fs::write(
        tree.join("DEBIAN/control"),
        "Package: bj-probe\nVersion: 1\nArchitecture: all\nMaintainer: x <x@example.org>\nDescription: x\n",
    )
    .expect("write");
    fs::write(tree.join("usr/bin/bj-probe"), "#!/bin/sh\necho installed and run\n").expect("write");
    fs::set_permissions(tree.join("usr/bin/bj-probe"), fs::Permissions::from_mode(0o755)).expect("chmod");
    let deb = build.path().join("probe.deb");
    let built = std::process::Command::new("dpkg-deb")
        .args(["--build", "--root-owner-group"])
        .arg(&tree)
        .arg(&deb)
        .output()
        .expect("dpkg-deb");
    assert!(built.status.success(), "{built:?}");
    let mut spec = root_spec();
    spec.binds = vec![Bind { source: deb, target: "/mnt/probe.deb".into(), writable: false }];
    let screen = shell(&spec, "dpkg -i /mnt/probe.deb && bj-probe && dpkg -s bj-probe | grep Status");
    assert!(screen.contains("installed and run") && screen.contains("install ok installed"), "{screen}");
    assert!(!fs::exists("/usr/bin/bj-probe").expect("stat"));
}

/// A directory that holds a shell and what it needs, and nothing else.
fn small_image() -> tempfile::TempDir {
    let image = tempfile::tempdir().expect("tempdir");
    let copy = |host: &str| {
        let target = image.path().join(host.trim_start_matches('/'));
        fs::create_dir_all(target.parent().expect("parent")).expect("mkdir");
        fs::copy(host, &target).expect("copy");
    };
    for program in ["/bin/sh", "/bin/cat", "/bin/ls"] {
        copy(program);
        let needs = std::process::Command::new("ldd").arg(program).output().expect("ldd");
        let needs = String::from_utf8_lossy(&needs.stdout).into_owned();
        needs.split_whitespace().filter(|word| word.starts_with('/')).for_each(copy);
    }
    fs::create_dir_all(image.path().join("etc")).expect("mkdir");
    fs::write(image.path().join("etc/vendor-release"), "an image of its own\n").expect("write");
    fs::set_permissions(image.path(), fs::Permissions::from_mode(0o755)).expect("chmod");
    image
}

#[test]
fn an_image_takes_the_place_of_the_host() {
    let image = small_image();
    let mut spec = spec(&[]);
    spec.rootfs = Rootfs::Image(image.path().to_path_buf());
    let screen = shell(
        &spec,
        "cat /etc/vendor-release /etc/machine-id; ls /usr/bin/env; echo x > ~/mine; ls ~; echo $$ > /etc/changed",
    );
    let lines: Vec<&str> = screen.lines().collect();
    assert_eq!(lines[..2], ["an image of its own", "0123456789abcdef0123456789abcdef"], "{screen}");
    assert!(screen.contains("No such file") && lines.contains(&"mine"), "{screen}");
    assert!(!image.path().join("etc/changed").exists());
}

#[test]
fn binds_show_what_was_asked_for_and_writes_go_to_the_layer() {
    let host = tempfile::tempdir().expect("tempdir");
    fs::set_permissions(host.path(), fs::Permissions::from_mode(0o755)).expect("chmod");
    fs::write(host.path().join("data"), "from the host").expect("write");
    let mut spec = spec(&[]);
    spec.workdir = host.path().to_path_buf();
    spec.binds = vec![
        Bind { source: host.path().to_path_buf(), target: host.path().to_path_buf(), writable: true },
        Bind { source: host.path().join("data"), target: "/mnt/one".into(), writable: false },
    ];
    let screen = shell(
        &spec,
        "cat data; echo; echo changed > data && cat data; echo new > new; ls -1; stat -c %U .; cat /mnt/one; echo y > /mnt/one",
    );
    assert!(screen.starts_with("from the host\nchanged\ndata\nnew\nanna\nfrom the host"), "{screen}");
    assert!(screen.contains("Read-only file system"), "{screen}");
    assert_eq!(fs::read_to_string(host.path().join("data")).expect("read"), "from the host");
    assert!(!host.path().join("new").exists());
}

#[test]
fn the_network_leads_to_the_gateway_alone() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let port = listener.local_addr().expect("address").port();
    std::net::TcpStream::connect(("127.0.0.1", port)).expect("control: the host can connect");
    listener.set_nonblocking(true).expect("nonblocking");
    let _ = listener.accept().expect("the control's connection");
    let script = format!(
        r#"python3 -c '
import socket
for address in [("127.0.0.1", {port}), ("203.0.113.9", 80), ("10.20.0.15", {port})]:
    try:
        socket.create_connection(address, 2); print("connected")
    except OSError as e: print(e.errno)
'; cat /sys/class/net/eth0/operstate; grep -c . /proc/net/route"#
    );
    let screen = shell(&spec(&[]), &script);
    assert_eq!(screen, format!("{0}\nconnected\n{0}\nup\n3\n", libc::ECONNREFUSED));
    assert!(listener.accept().is_err(), "the jail reached the host's loopback");
}

#[test]
fn the_first_process_cannot_be_taken_hold_of() {
    let script = r#"python3 -c '
import ctypes, os, time
libc = ctypes.CDLL(None, use_errno=True)
child = os.fork()
if child == 0:
    time.sleep(5); os._exit(0)
print("own child", libc.ptrace(16, child, 0, 0))
os.kill(child, 9)
print("pid 1", libc.ptrace(16, 1, 0, 0), ctypes.get_errno())
for name in ["mem", "environ", "exe"]:
    try: open("/proc/1/" + name, "rb").read(1); print("open", name)
    except OSError as e: print(name, e.errno)
'"#;
    let mut spec = root_spec();
    spec.workdir = "/".into();
    let screen = shell(&spec, script);
    assert_eq!(screen, "own child 0\npid 1 -1 1\nmem 13\nenviron 13\nexe 13\n");
    assert_eq!(shell(&spec, "cat /proc/1/comm; tr '\\0' ' ' < /proc/1/cmdline | head -c 11"), "systemd\n/sbin/init ");
}

#[test]
fn the_kernel_cannot_be_steered() {
    let screen = shell(
        &root_spec(),
        "for f in /proc/sysrq-trigger /proc/sys/kernel/hostname /proc/sys/vm/drop_caches; do test ! -e $f || ! ( : >> $f ) 2>/dev/null || echo steered $f; done; mknod /tmp/sda b 8 0 2>&1; ls /dev",
    );
    assert!(!screen.contains("steered"), "{screen}");
    assert!(screen.contains("Operation not permitted"), "{screen}");
    assert!(!screen.contains("sda\n") && !screen.contains("vda"), "{screen}");
}

#[test]
fn limits_hold() {
    let mut small = spec(&[]);
    small.limits.disk = 4 << 20;
    let screen = shell(
        &small,
        "dd if=/dev/zero of=/tmp/a bs=1M count=3 2>/dev/null; dd if=/dev/zero of=/tmp/b bs=1M count=3 2>&1; echo still here",
    );
    assert!(screen.contains("No space left on device") && screen.contains("still here"), "{screen}");
    let mut few = spec(&[]);
    few.limits.descriptors = Some(16);
    assert_eq!(shell(&few, "ulimit -n"), "16\n");
    assert_eq!(
        shell(&spec(&[]), "ulimit -c; grep NoNewPrivs /proc/self/status; grep CapEff /proc/self/status"),
        "0\nNoNewPrivs:\t1\nCapEff:\t0000000000000000\n"
    );
}

#[test]
fn storms_end_with_the_jail() {
    let screen =
        shell(&spec(&[]), "i=0; while [ $i -lt 2000 ]; do sleep 300 & i=$((i+1)); done; echo started; kill -9 -1");
    assert!(screen.contains("started"), "{screen}");
    let (screen, exit) = run(&spec(&["sh", "-c", "exec 0<&- 1>&- 2>&-; exit 3"])).expect("jail");
    assert_eq!((screen.as_str(), exit), ("", Some(Exit::Code(3))));
}

#[test]
fn errors_say_what_and_why() {
    let error = run(&spec(&["no-such-program"])).expect_err("there is none");
    assert!(matches!(&error, JailError::NotFound { program, .. } if program == "no-such-program"), "{error}");
    let mut lost = spec(&["true"]);
    lost.workdir = "/no/such/place".into();
    let error = run(&lost).expect_err("no such directory").to_string();
    assert!(error.contains("working directory (/no/such/place): ENOENT") && error.contains("--workdir"), "{error}");
    let mut image = spec(&["true"]);
    image.rootfs = Rootfs::Image("/no/such/image".into());
    let error = run(&image).expect_err("no such image").to_string();
    assert!(error.contains("/no/such/image") && error.contains("give a directory"), "{error}");
    let (_, exit) = run(&spec(&["sh", "-c", "printf 'echo scripted' > s; chmod +x s; exec ./s"])).expect("jail");
    assert_eq!(exit, Some(Exit::Code(0)));
}
