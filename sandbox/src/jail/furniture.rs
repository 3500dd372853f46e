//! The places of a Linux system that the jail does not take from the host: empty `/home`, `/tmp`
//! and `/var`, accounts, host names, a small `/dev` and a `/sys` that tells the profile's
//! identity. Planted client data comes on top of this and wins.

use std::fs;
use std::os::unix::ffi::OsStrExt;

use crate::decoy::{Content, Owner, Plant};
use crate::spec::{Rootfs, Spec};

/// Devices bound into the jail's `/dev`, `(name, exists on every Linux)`. Null device numbers
/// and permissions: Documentation/admin-guide/devices.txt.
pub(crate) const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// Where the C library looks for what (nsswitch.conf(5)).
const NSSWITCH: &str = "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\nprotocols: files\n\
                        services: files\nethers: files\nrpc: files\n";

/// Everything the jail furnishes by itself.
pub(crate) fn plants(spec: &Spec) -> Vec<Plant> {
    let mut list = List(Vec::with_capacity(96));
    directories(&mut list, spec);
    dev(&mut list);
    sys(&mut list, spec);
    etc(&mut list, spec);
    list.0
}

struct List(Vec<Plant>);

impl List {
    fn push(&mut self, path: impl Into<Vec<u8>>, content: Content, mode: u32, owner: Owner) {
        // The first of January 2024: furniture is older than any session.
        self.0.push(Plant { path: path.into(), content, mode, owner, mtime: 1_704_067_200 });
    }
    fn dir(&mut self, path: &str, mode: u32) {
        self.push(path, Content::Directory, mode, Owner::Root);
    }
    fn file(&mut self, path: &str, text: impl Into<Vec<u8>>, mode: u32) {
        self.push(path, Content::File(text.into()), mode, Owner::Root);
    }
    fn link(&mut self, path: &str, target: &str) {
        self.push(path, Content::Symlink(target.into()), 0o777, Owner::Root);
    }
}

fn directories(list: &mut List, spec: &Spec) {
    for path in [
        "/boot",
        "/dev",
        "/etc",
        "/home",
        "/media",
        "/mnt",
        "/opt",
        "/proc",
        "/run",
        "/srv",
        "/sys",
        "/usr",
        "/var",
        "/var/cache",
        "/var/lib",
        "/var/log",
        "/var/mail",
        "/var/spool",
        "/run/user",
    ] {
        list.dir(path, 0o755);
    }
    list.dir("/root", 0o700);
    for path in ["/tmp", "/var/tmp", "/run/lock", "/dev/shm"] {
        list.dir(path, 0o1777);
    }
    list.link("/var/run", "/run");
    list.link("/var/lock", "/run/lock");
    list.push(spec.user.home.as_os_str().as_bytes(), Content::Directory, 0o750, Owner::User);
    list.push(format!("/run/user/{}", spec.user.uid), Content::Directory, 0o700, Owner::User);
}

fn dev(list: &mut List) {
    for name in DEVICES {
        list.file(&format!("/dev/{name}"), "", 0o666);
    }
    list.dir("/dev/pts", 0o755);
    for (name, target) in [
        ("ptmx", "pts/ptmx"),
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ] {
        list.link(&format!("/dev/{name}"), target);
    }
}

fn sys(list: &mut List, spec: &Spec) {
    for (name, value) in &spec.identity.dmi {
        // Serial numbers and the UUID are for root alone, as in the real sysfs
        // (drivers/firmware/dmi-id.c).
        let private = name.ends_with("_serial") || name == "product_uuid";
        list.file(&format!("/sys/class/dmi/id/{name}"), format!("{value}\n"), if private { 0o400 } else { 0o444 });
    }
    let mac = spec.identity.mac.map(|byte| format!("{byte:02x}")).join(":");
    for (name, value) in [
        ("address", mac.as_str()),
        ("operstate", "up"),
        ("mtu", "1500"),
        ("type", "1"),
        ("carrier", "1"),
        ("ifindex", "2"),
    ] {
        list.file(&format!("/sys/class/net/eth0/{name}"), format!("{value}\n"), 0o444);
    }
    for (name, value) in [
        ("address", "00:00:00:00:00:00"),
        ("operstate", "unknown"),
        ("mtu", "65536"),
        ("type", "772"),
        ("ifindex", "1"),
    ] {
        list.file(&format!("/sys/class/net/lo/{name}"), format!("{value}\n"), 0o444);
    }
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let range = if processors == 1 { "0\n".to_owned() } else { format!("0-{}\n", processors - 1) };
    for name in ["online", "possible", "present"] {
        list.file(&format!("/sys/devices/system/cpu/{name}"), range.as_str(), 0o444);
    }
    list.link("/sys/block", "class/block");
    list.dir("/sys/class/block", 0o755);
    list.dir("/sys/fs/cgroup", 0o755);
    list.dir("/sys/kernel", 0o755);
}

fn etc(list: &mut List, spec: &Spec) {
    let identity = &spec.identity;
    let host = &identity.hostname;
    list.file("/etc/machine-id", format!("{}\n", identity.machine_id), 0o444);
    list.file("/etc/hostname", format!("{host}\n"), 0o644);
    list.file(
        "/etc/hosts",
        format!("127.0.0.1\tlocalhost\n127.0.1.1\t{host}\n::1\tlocalhost ip6-localhost ip6-loopback\n"),
        0o644,
    );
    let router = crate::gateway::wire::addresses(identity).router4;
    list.file("/etc/resolv.conf", format!("nameserver {router}\n"), 0o644);
    // Names are looked up there and nowhere else: other sources would ask daemons that the jail has not.
    list.file("/etc/nsswitch.conf", NSSWITCH, 0o644);
    list.file("/etc/fstab", "", 0o644);
    list.link("/etc/mtab", "/proc/self/mounts");
    let base = match &spec.rootfs {
        Rootfs::Host => std::path::PathBuf::from("/etc"),
        Rootfs::Image(image) => image.join("etc"),
    };
    let user = &spec.user;
    let home = user.home.display();
    let (mut passwd, mut shadow) = (String::new(), String::new());
    for line in system_accounts(&base.join("passwd"), &user.name, user.uid) {
        shadow += &format!("{}:*:19700:0:99999:7:::\n", line.split(':').next().unwrap_or_default());
        passwd += &line;
        passwd.push('\n');
    }
    if passwd.is_empty() {
        passwd.push_str("root:x:0:0:root:/root:/bin/sh\n");
        shadow.push_str("root:*:19700:0:99999:7:::\n");
    }
    if user.uid != 0 {
        passwd += &format!("{0}:x:{1}:{2}:{0},,,:{home}:/bin/bash\n", user.name, user.uid, user.gid);
        shadow += &format!("{}:!:19700:0:99999:7:::\n", user.name);
    }
    let mut group: String =
        system_accounts(&base.join("group"), &user.name, user.gid).map(|line| without_members(&line) + "\n").collect();
    if group.is_empty() {
        group.push_str("root:x:0:\n");
    }
    if user.gid != 0 {
        group += &format!("{}:x:{}:\n", user.name, user.gid);
    }
    list.file("/etc/passwd", passwd, 0o644);
    list.file("/etc/group", group, 0o644);
    list.file("/etc/shadow", shadow, 0o640);
}

/// Lines of a passwd or group file that name the system's own accounts: ids below 1000 and
/// `nobody` (Debian policy 9.2.2); people stay unknown. Neither the subject's own name nor id.
fn system_accounts(file: &std::path::Path, name: &str, id: u32) -> impl Iterator<Item = String> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let name = name.to_owned();
    text.lines()
        .filter(|line| {
            let mut fields = line.split(':');
            let own = fields.next() == Some(name.as_str());
            let number = fields.nth(1).and_then(|field| field.parse::<u32>().ok());
            number.is_some_and(|n| (n < 1000 || n == 65534) && (n == 0 || (n != id && !own)))
        })
        .map(str::to_owned)
        .collect::<Vec<_>>()
        .into_iter()
}

/// A group line without its members, who are people of the host.
fn without_members(line: &str) -> String {
    line.rsplit_once(':').map_or_else(|| line.to_owned(), |(head, _)| format!("{head}:"))
}
