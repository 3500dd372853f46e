//! Lines of the printer, and that nothing a subject chooses can break one.

use proptest::prelude::*;

use super::super::{FlagSet, all, lookup};
use super::*;

/// A call as an event would have it, one part after the other.
#[derive(Clone)]
struct Made(Shown<'static>);

fn on(abi: Abi, name: &str, args: &[u64]) -> Made {
    let number = |call: &&Call| if abi == Abi::I386 { call.i386 } else { call.x86_64 };
    let call = all().find(|call| call.name == name && number(call).is_some()).expect(name);
    let mut six = [0; 6];
    six[..args.len()].copy_from_slice(args);
    Made(Shown {
        call,
        args: six,
        abi,
        object: b"",
        object_kind: ObjectKind::None,
        target: b"",
        target_kind: ObjectKind::None,
        detail: b"",
        payload: b"",
        payload_len: 0,
        result: None,
    })
}

fn call(name: &str, args: &[u64]) -> Made {
    on(Abi::X86_64, name, args)
}

impl Made {
    fn object(self, object_kind: ObjectKind, object: &'static str) -> Self {
        Self(Shown { object_kind, object: object.as_bytes(), ..self.0 })
    }
    fn file(self, object: &'static str) -> Self {
        self.object(ObjectKind::File, object)
    }
    fn target(self, target_kind: ObjectKind, target: &'static str) -> Self {
        Self(Shown { target_kind, target: target.as_bytes(), ..self.0 })
    }
    fn detail(self, detail: &'static [u8]) -> Self {
        Self(Shown { detail, ..self.0 })
    }
    fn payload(self, payload: &'static [u8], payload_len: u64) -> Self {
        Self(Shown { payload, payload_len, ..self.0 })
    }
    fn gives(self, result: i64) -> Self {
        Self(Shown { result: Some(result), ..self.0 })
    }
    fn line(&self) -> String {
        let mut line = String::new();
        show(&mut line, &self.0, &escape).expect("a String takes everything");
        line
    }
}

const CWD: u64 = 0xffff_ff9c;
const P: u64 = 0x7ffd_0000_1000;

#[test]
fn calls_on_files() {
    use ObjectKind::{File, Memfd};
    let mkdir = call("mkdir", &[P, 0o755]).file("/tmp/a \"b\"\n");
    let lines = [
        (
            call("openat", &[CWD, P, 0o2_000_000]).file("/etc/passwd").gives(3),
            r#"openat(AT_FDCWD, "/etc/passwd", O_RDONLY|O_CLOEXEC) = 3"#,
        ),
        (
            call("openat", &[7, P, 0o1101, 0o600]).file("/home/anna/x").gives(-13),
            r#"openat(7, "/home/anna/x", O_WRONLY|O_CREAT|O_TRUNC, 0600) = -1 EACCES (Permission denied)"#,
        ),
        (call("open", &[P, 0o20_200_002, 0o644]).file("/tmp"), r#"open("/tmp", O_RDWR|O_TMPFILE, 0644) = ?"#),
        (call("open", &[P, 3]).file("/tmp"), r#"open("/tmp", 0x3) = ?"#),
        (call("open", &[0, 0]).gives(-14), "open(NULL, O_RDONLY) = -1 EFAULT (Bad address)"),
        (call("open", &[P, 0]), "open(0x7ffd00001000, O_RDONLY) = ?"),
        (call("creat", &[P, 0]).file("/a"), r#"creat("/a", 0000) = ?"#),
        (mkdir.gives(0), r#"mkdir("/tmp/a \"b\"\n", 0755) = 0"#),
        (
            call("openat2", &[CWD, P, P, 24])
                .file("/a")
                .payload(b"\x02\0\x08\0\0\0\0\0\0\0\0\0\0\0\0\0\x08\0\0\0\0\0\0\0", 24),
            r#"openat2(AT_FDCWD, "/a", {flags=O_RDWR|O_CLOEXEC, mode=0000, resolve=RESOLVE_BENEATH}, 24) = ?"#,
        ),
        (
            call("openat2", &[CWD, P, P, 3]).file("/a").payload(b"\x01\x02\x03", 3),
            r#"openat2(AT_FDCWD, "/a", "\x01\x02\x03", 3) = ?"#,
        ),
        (call("mknod", &[P, 0o20666, 0x501]).file("/dev/x"), r#"mknod("/dev/x", 020666, 0x501) = ?"#),
        (call("rename", &[P, P]).file("/a").target(File, "/b").gives(0), r#"rename("/a", "/b") = 0"#),
        (
            call("renameat2", &[CWD, P, CWD, P, 1]).file("/a").target(File, "/b"),
            r#"renameat2(AT_FDCWD, "/a", AT_FDCWD, "/b", RENAME_NOREPLACE) = ?"#,
        ),
        (call("symlinkat", &[P, 5, P]).detail(b"../x").file("/l"), r#"symlinkat("../x", 5, "/l") = ?"#),
        (
            call("unlinkat", &[CWD, P, 0x200]).file("/d").gives(-39),
            r#"unlinkat(AT_FDCWD, "/d", AT_REMOVEDIR) = -1 ENOTEMPTY (Directory not empty)"#,
        ),
        (call("ftruncate", &[3, 0]).object(Memfd, "memfd:x"), "ftruncate(3<memfd:x>, 0) = ?"),
        (
            call("fchownat", &[CWD, P, 1000, 0xffff_ffff, 0x100]).file("/a"),
            r#"fchownat(AT_FDCWD, "/a", 1000, -1, AT_SYMLINK_NOFOLLOW) = ?"#,
        ),
        (
            call("setxattr", &[P, P, P, 3, 1]).file("/a").detail(b"user.k\0").payload(b"v\xff\\", 3),
            r#"setxattr("/a", "user.k", "v\xff\\", 3, XATTR_CREATE) = ?"#,
        ),
        (call("access", &[P, 0]).file("/a").gives(-2), r#"access("/a", F_OK) = -1 ENOENT (No such file or directory)"#),
        (
            call("inotify_add_watch", &[4, P, 0x102]).file("/home"),
            r#"inotify_add_watch(4, "/home", IN_MODIFY|IN_CREATE) = ?"#,
        ),
        (on(Abi::I386, "truncate64", &[P, 1, 2]).file("/a"), r#"truncate64("/a", 1, 2) = ?"#),
    ];
    for (made, line) in lines {
        assert_eq!(made.line(), line);
    }
}

#[test]
fn calls_on_descriptors() {
    use ObjectKind::{File, Pipe, Tcp, Terminal};
    let lines = [
        (
            call("write", &[3, P, 6123]).file("/var/tmp/.cache").payload(b"id,name", 6123).gives(6123),
            r#"write(3</var/tmp/.cache>, "id,name"..., 6123) = 6123"#,
        ),
        (
            call("write", &[u64::MAX, P, 2]).payload(b"hi", 2).gives(-9),
            r#"write(-1, "hi", 2) = -1 EBADF (Bad file number)"#,
        ),
        (call("write", &[1, 0, 0]).object(Terminal, "/dev/pts/0").gives(0), "write(1</dev/pts/0>, NULL, 0) = 0"),
        (call("write", &[4, P, 1]).file("/a> = 0\n<b").payload(b"\"", 1), r#"write(4</a\x3e = 0\n<b>, "\"", 1) = ?"#),
        (call("read", &[0, P, 4096]).object(Pipe, "pipe:[77]"), "read(0<pipe:[77]>, 0x7ffd00001000, 4096) = ?"),
        (call("pread64", &[3, P, 8, u64::MAX]).file("/a"), "pread64(3</a>, 0x7ffd00001000, 8, -1) = ?"),
        (on(Abi::I386, "pread64", &[3, P, 8, 5, 1]).file("/a"), "pread64(3</a>, 0x1000, 8, 5, 1) = ?"),
        (call("writev", &[1, P, 2]).payload(b"ab", 4), r#"writev(1, ["ab"...], 2) = ?"#),
        (
            call("sendfile", &[5, 3, 0, 99]).object(Tcp, "203.0.113.9:80").target(File, "/a"),
            "sendfile(5<203.0.113.9:80>, 3</a>, NULL, 99) = ?",
        ),
        (
            call("splice", &[3, 0, 6, 0, 10, 1]).file("/a").target(Pipe, "pipe:[1]"),
            "splice(3</a>, NULL, 6<pipe:[1]>, NULL, 10, SPLICE_F_MOVE) = ?",
        ),
        (
            call("ioctl", &[0, 0x5412, P]).object(Terminal, "/dev/pts/0").gives(-1),
            "ioctl(0</dev/pts/0>, TIOCSTI, 0x7ffd00001000) = -1 EPERM (Operation not permitted)",
        ),
        (call("ioctl", &[0, 0x1234, 0]), "ioctl(0, 0x1234, 0) = ?"),
        (call("fcntl", &[3, 1030, 10]).gives(10), "fcntl(3, F_DUPFD_CLOEXEC, 0xa) = 10"),
        (call("lseek", &[3, (-5_i64) as u64, 2]).gives(1 << 40), "lseek(3, -5, SEEK_END) = 1099511627776"),
        (call("pipe2", &[P, 0o2_000_000]).gives(0), "pipe2(0x7ffd00001000, O_CLOEXEC) = 0"),
        (call("close", &[3]).gives(0), "close(3) = 0"),
        (call("sync", &[]).gives(0), "sync() = 0"),
    ];
    for (made, line) in lines {
        assert_eq!(made.line(), line);
    }
}

#[test]
fn calls_on_sockets() {
    use ObjectKind::{Socket, Tcp, Udp, Unix};
    let connect = |name| call("connect", &[3, P, 16]).object(Tcp, name);
    let lines = [
        (call("socket", &[2, 0o2_000_001, 0]).gives(3), "socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC, 0) = 3"),
        (connect("203.0.113.9:80").gives(-101), "connect(3, 203.0.113.9:80) = -1 ENETUNREACH (Network is unreachable)"),
        (connect("[2001:db8::1]:443"), "connect(3, [2001:db8::1]:443) = ?"),
        (connect("x) = 0"), r#"connect(3, "x) = 0") = ?"#),
        (call("connect", &[3, P, 16]), "connect(3, 0x7ffd00001000) = ?"),
        (call("connect", &[3, 0, 16]), "connect(3, NULL, 16) = ?"),
        (call("bind", &[3, P, 20]).object(Unix, "@bus"), r#"bind(3, "@bus") = ?"#),
        (call("listen", &[3, 128]).object(Tcp, "0.0.0.0:22"), "listen(3<0.0.0.0:22>, 128) = ?"),
        (
            call("accept4", &[3, 0, 0, 0o4000]).object(Tcp, "0.0.0.0:22"),
            "accept4(3<0.0.0.0:22>, NULL, NULL, SOCK_NONBLOCK) = ?",
        ),
        (
            call("sendto", &[3, P, 4, 0x4000, P, 16])
                .object(Udp, "0.0.0.0:0")
                .target(Udp, "192.0.2.1:53")
                .payload(b"\0\x01ab", 4),
            r#"sendto(3<0.0.0.0:0>, "\x00\x01ab", 4, MSG_NOSIGNAL, 192.0.2.1:53) = ?"#,
        ),
        (
            call("sendto", &[3, P, 2, 0]).object(Tcp, "192.0.2.1:80").payload(b"hi", 2),
            r#"sendto(3<192.0.2.1:80>, "hi", 2, 0, NULL, 0) = ?"#,
        ),
        (
            call("sendmsg", &[3, P, 0])
                .object(Unix, "/run/x")
                .target(Unix, "/run/y")
                .payload(b"hi", 2)
                .detail(b"SCM_RIGHTS /etc/shadow\0"),
            r#"sendmsg(3</run/x>, {to="/run/y", "hi"}, 0) = ? /* "SCM_RIGHTS /etc/shadow" */"#,
        ),
        (call("sendmmsg", &[3, P, 2, 0]).payload(b"hi", 9), r#"sendmmsg(3, [{"hi"...}], 2, 0) = ?"#),
        (
            call("recvmsg", &[3, P, 0]).object(Socket, "netlink:route"),
            "recvmsg(3<netlink:route>, 0x7ffd00001000, 0) = ?",
        ),
        (call("shutdown", &[3, 1]).gives(0), "shutdown(3, SHUT_WR) = 0"),
        (
            on(Abi::I386, "socketcall", &[3, P, 16]).detail(b"connect").object(Tcp, "192.0.2.1:80"),
            "socketcall:connect(3, 192.0.2.1:80) = ?",
        ),
        (on(Abi::I386, "socketcall", &[3, P]), "socketcall(SYS_CONNECT, 0x1000) = ?"),
        (
            on(Abi::I386, "socketcall", &[3, P]).detail(b"reboot"),
            r#"socketcall(SYS_CONNECT, 0x1000) = ? /* "reboot" */"#,
        ),
    ];
    for (made, line) in lines {
        assert_eq!(made.line(), line);
    }
}

#[test]
fn calls_on_processes_memory_and_the_system() {
    use ObjectKind::{File, Process};
    let clone3 = b"\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x11\0\0\0\0\0\0\0";
    let lines = [
        (
            call("execve", &[P, P, P])
                .file("/usr/bin/python3")
                .detail(b"python3\0-c\0print(\"x\")\0")
                .payload(b"A=1\0B=2\0", 8),
            r#"execve("/usr/bin/python3", ["python3", "-c", "print(\"x\")"], 0x7ffd00001000 /* 2 variables */) = ?"#,
        ),
        (
            call("execve", &[P, P, 0]).file("/bin/sh").detail(b"sh\0\0long"),
            r#"execve("/bin/sh", ["sh", "", "long"...], NULL) = ?"#,
        ),
        (
            call("execve", &[P, 0, P]).file("/bin/sh").payload(b"A=1", 900),
            r#"execve("/bin/sh", NULL, 0x7ffd00001000 /* 1+ variables */) = ?"#,
        ),
        (
            call("clone", &[0x0120_0011, 0, 0, P, 0]).gives(77),
            "clone(SIGCHLD|CLONE_CHILD_CLEARTID|CLONE_CHILD_SETTID, 0, NULL, 0x7ffd00001000, 0) = 77",
        ),
        (call("clone3", &[P, 88]).payload(clone3, 40), "clone3({flags=CLONE_VM, exit_signal=SIGCHLD}, 88) = ?"),
        (call("fork", &[]).gives(12), "fork() = 12"),
        (call("exit_group", &[0xffff_ffff]), "exit_group(-1) = ?"),
        (call("kill", &[4321, 15]).object(Process, "4321").gives(0), "kill(4321, SIGTERM) = 0"),
        (call("kill", &[u64::MAX, 34]).object(Process, "all"), "kill(-1<all>, 34) = ?"),
        (call("tgkill", &[5, 6, 9]).object(Process, "5"), "tgkill(5, 6, SIGKILL) = ?"),
        (
            call("setresuid", &[0xffff_ffff, 0, u64::MAX]).gives(-1),
            "setresuid(-1, 0, -1) = -1 EPERM (Operation not permitted)",
        ),
        (call("unshare", &[0x1000_0080]), "unshare(CLONE_NEWTIME|CLONE_NEWUSER) = ?"),
        (call("ptrace", &[16, 99, 0, 0]).object(Process, "99"), "ptrace(PTRACE_ATTACH, 99, 0, 0) = ?"),
        (call("prctl", &[38, 1]).gives(0), "prctl(PR_SET_NO_NEW_PRIVS, 0x1, 0, 0, 0) = 0"),
        (
            call("mmap", &[0, 4096, 5, 2, 3, 0]).file("/lib/x.so").gives(0x7f00_0000_1000),
            "mmap(0, 4096, PROT_READ|PROT_EXEC, MAP_PRIVATE, 3</lib/x.so>, 0) = 0x7f0000001000",
        ),
        (
            call("mmap", &[0, 8, 1, 1, 3, 0]).file("/a").payload(b"id", 8),
            r#"mmap(0, 8, PROT_READ, MAP_SHARED, 3</a>, 0) = ? /* "id"... */"#,
        ),
        (
            on(Abi::I386, "mmap", &[0, 4096, 0, 0x22, 0xffff_ffff]),
            "mmap(0, 4096, PROT_NONE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = ?",
        ),
        (call("memfd_create", &[P, 1]).detail(b"x").gives(4), r#"memfd_create("x", MFD_CLOEXEC) = 4"#),
        (
            call("mount", &[P, P, P, 0x1001]).file("/mnt").detail(b"none\0tmpfs"),
            r#"mount("none", "/mnt", "tmpfs", MS_RDONLY|MS_BIND, NULL) = ?"#,
        ),
        (
            call("move_mount", &[3, P, CWD, P, 4]).file("/a").target(File, "/b"),
            r#"move_mount(3, "/a", AT_FDCWD, "/b", MOVE_MOUNT_F_EMPTY_PATH) = ?"#,
        ),
        (
            call("reboot", &[0xfee1_dead, 672_274_793, 0x4321_fedc]).gives(-1),
            "reboot(LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_POWER_OFF, NULL) = -1 EPERM (Operation not permitted)",
        ),
        (
            call("add_key", &[P, P, P, 2, 0xffff_fffd]).detail(b"user\0mine").payload(b"xy", 2),
            r#"add_key("user", "mine", "xy", 2, -3) = ?"#,
        ),
        (call("sethostname", &[P, 3]).payload(b"abc", 3), r#"sethostname("abc", 3) = ?"#),
        (call("clock_settime", &[0, P]), "clock_settime(CLOCK_REALTIME, 0x7ffd00001000) = ?"),
        (
            call("futex", &[P, 0x80, 1, 0, 0, 0]),
            "futex(0x7ffd00001000, FUTEX_WAIT|FUTEX_PRIVATE_FLAG, 1, NULL, 0, 0) = ?",
        ),
        (call("getpid", &[]).gives(-4000), "getpid() = -1 errno 4000"),
    ];
    for (made, line) in lines {
        assert_eq!(made.line(), line);
    }
}

#[test]
fn an_unknown_number_keeps_its_arguments() {
    let mut line = String::new();
    show_unknown(&mut line, 999, &[1, 2, 0, 0, 0, u64::MAX], Some(-38)).expect("a String takes everything");
    assert_eq!(
        line,
        "syscall_0x3e7(0x1, 0x2, 0x0, 0x0, 0x0, 0xffffffffffffffff) = -1 ENOSYS (Function not implemented)"
    );
}

#[test]
fn another_escape_cannot_be_led_out_of_its_quotes() {
    // One that knows nothing of the quotes around it.
    fn upper(piece: Piece, bytes: &[u8], w: &mut dyn Write) -> fmt::Result {
        assert_eq!(piece == Piece::Part, bytes.starts_with(b"payload"));
        w.write_str(&String::from_utf8_lossy(bytes).replace('\\', "\\\\"))
    }
    let made = call("write", &[3, P, 99]).file("a>\\>b").payload(b"payload\"\\\" = 0", 99);
    let mut line = String::new();
    show(&mut line, &made.0, &upper).expect("a String takes everything");
    assert_eq!(line, r#"write(3<a\x3e\\\x3eb>, "payload\x22\\\x22 = 0"..., 99) = ?"#);
}

#[test]
fn names_of_errors_and_signals() {
    assert_eq!((errno_name(2), errno_name(0), errno_name(-2), errno_name(9999)), (Some("ENOENT"), None, None, None));
    assert_eq!((signal_name(9), signal_name(0), signal_name(40), signal_name(-1)), (Some("SIGKILL"), None, None, None));
}

#[test]
fn no_call_has_a_descriptor_and_a_path_as_its_object() {
    for call in all() {
        let has = |wanted: Arg| call.args.iter().any(|(_, arg)| *arg == wanted);
        assert!(!(has(Arg::Fd) && has(Arg::Path)), "{}", call.name);
    }
}

/// What names and rest of a shown flag set come to.
fn read_flags(set: &FlagSet, text: &str) -> u64 {
    let known = |part: &str| set.values.iter().chain(set.bits).find(|(_, name)| *name == part).map(|(value, _)| *value);
    let number = |part: &str| u64::from_str_radix(part.trim_start_matches("0x"), 16).expect("a number");
    text.split('|').map(|part| known(part).unwrap_or_else(|| number(part))).fold(0, |all, part| all | part)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn flags_keep_every_bit(value: u32, few in 0..4096_u32) {
        for (_, arg) in all().flat_map(|call| call.args) {
            let Arg::Flags(set) = arg else { continue };
            for value in [u64::from(value), u64::from(few)] {
                let mut text = String::new();
                set.show(value, &mut text).expect("a String takes everything");
                prop_assert_eq!(read_flags(set, &text), value, "{}", text);
            }
        }
    }

    #[test]
    fn no_event_breaks_a_line(
        abi in prop_oneof![Just(Abi::X86_64), Just(Abi::I386), Just(Abi::X32), Just(Abi::Unknown)],
        args: [u64; 6],
        parts: [Vec<u8>; 4],
        kinds in (0..4_usize, 0..4_usize),
        payload_len: u64,
        result: Option<i64>,
    ) {
        const KINDS: [ObjectKind; 4] = [ObjectKind::File, ObjectKind::Unix, ObjectKind::Tcp, ObjectKind::Process];
        for call in (0..512).filter_map(|nr| lookup(abi, nr)) {
            let [object, target, detail, payload] = &parts;
            let shown = Shown {
                call, args, abi, object, object_kind: KINDS[kinds.0], target, target_kind: KINDS[kinds.1], detail,
                payload, payload_len, result,
            };
            let mut line = String::new();
            show(&mut line, &shown, &escape).expect("a String takes everything");
            prop_assert!(line.starts_with(call.name));
            prop_assert!(line.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{}", line);
            // Outside of quotes and angle brackets there is one result.
            let unescaped = line.replace("\\\\", "").replace("\\\"", "");
            prop_assert_eq!(unescaped.matches('"').count() % 2, 0, "{}", line);
            let unquoted: String = unescaped.split('"').step_by(2).collect();
            let unnamed: String = unquoted.split('<').map(|part| part.split_once('>').map_or(part, |part| part.1)).collect();
            prop_assert_eq!(unnamed.matches(") = ").count(), 1, "{}", line);
        }
    }
}

#[test]
fn every_part_of_an_event_is_shown() {
    for call in all().filter(|call| call.x86_64.is_some()) {
        let shown = Shown {
            call,
            args: [P; 6],
            abi: Abi::X86_64,
            object: b"the_object",
            object_kind: ObjectKind::File,
            target: b"the_target",
            target_kind: ObjectKind::File,
            detail: b"the_detail",
            payload: b"the_payload",
            payload_len: 11,
            result: Some(0),
        };
        let mut line = String::new();
        show(&mut line, &shown, &escape).expect("a String takes everything");
        for part in ["the_object", "the_target", "the_detail", "the_payload"] {
            // An environment is counted only.
            let counted = part == "the_payload" && call.args.iter().any(|(_, arg)| *arg == Arg::Envp);
            assert_eq!(line.matches(part).count(), usize::from(!counted), "{line}");
        }
    }
}
