//! The jail from inside: what the subject sees, and what it cannot reach. Run as root and as an
//! ordinary user; both must hold.

mod common;

use belljar_sandbox::jail::Exit;
use common::{run, shell, spec};

#[test]
fn the_subject_runs_and_its_exit_is_known() {
    let (screen, exit) = run(&spec(&["sh", "-c", "echo hello; exit 7"])).expect("jail");
    assert_eq!(screen, "hello\n");
    assert_eq!(exit, Some(Exit::Code(7)));
}

#[test]
fn the_subject_sees_its_own_machine() {
    let screen = shell(
        &spec(&[]),
        "id -un; hostname; cat /etc/machine-id /sys/class/net/eth0/address /sys/class/dmi/id/product_name; pwd; tty <&1; ls /home; echo $$; ls -A /root /srv /tmp 2>&1; mount | wc -l",
    );
    println!("{screen}");
    let lines: Vec<&str> = screen.lines().collect();
    assert_eq!(
        lines[..7],
        [
            "anna",
            "ws-0417",
            "0123456789abcdef0123456789abcdef",
            "3c:52:82:12:34:56",
            "OptiPlex",
            "/home/anna",
            "/dev/pts/0"
        ]
    );
}
