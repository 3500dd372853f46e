//! The wire: every address and port that the subject calls ends in the gateway's sockets. Run as root and as an
//! ordinary user; both must hold.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener};
use std::os::fd::OwnedFd;

use belljar_sandbox::jail::Jail;
use common::{pass, spec};
use std::time::{Duration, Instant};

/// Takes connections until the jail is empty; says for each which address was called and what was said.
fn listen(socket: OwnedFd) -> std::sync::mpsc::Receiver<(String, Vec<u8>)> {
    let (tell, told) = std::sync::mpsc::channel();
    let listener = TcpListener::from(socket);
    listener.set_nonblocking(false).unwrap();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let called = stream.local_addr().unwrap();
            let ip = match called.ip() {
                IpAddr::V4(ip) => ip.to_string(),
                IpAddr::V6(ip) => format!("[{ip}]"),
            };
            stream.write_all(b"hello\n").unwrap();
            let mut said = Vec::new();
            let _ = stream.read_to_end(&mut said);
            if tell.send((format!("{ip}:{}", called.port()), said)).is_err() {
                return;
            }
        }
    });
    told
}

#[test]
fn any_address_and_port_answers() {
    let script = r#"
import socket
for family, address in [(2, ("203.0.113.9", 443)), (2, ("10.20.0.77", 8)), (2, ("127.0.0.1", 80)), (10, ("2001:db8::7", 8443))]:
    s = socket.socket(family, socket.SOCK_STREAM)
    try:
        s.connect(address)
        print(address[0], s.recv(6))
        s.sendall(b"from " + address[0].encode())
    except OSError as e:
        print(address[0], e.errno)
    s.close()
"#;
    let mut spec = spec(&["python3", "-c", script]);
    spec.terminal = (200, 50);
    let mut jail = Jail::spawn(&spec, pass()).expect("jail");
    let wire = jail.take_wire().expect("a wire");
    let told = listen(wire.tcp4);
    let told6 = listen(wire.tcp6.expect("IPv6"));
    let mut terminal = std::fs::File::from(jail.take_terminal().unwrap());
    jail.go();
    let deadline = Instant::now() + Duration::from_secs(20);
    while !jail.wait(Duration::from_millis(50)).unwrap() {
        assert!(Instant::now() < deadline, "the subject hangs");
    }
    let mut screen = [0; 4096];
    let n = terminal.read(&mut screen).unwrap();
    let screen = String::from_utf8_lossy(&screen[..n]);
    let wanted = "203.0.113.9 b'hello\\n'\r\n10.20.0.77 b'hello\\n'\r\n127.0.0.1 111\r\n2001:db8::7 b'hello\\n'\r\n";
    assert_eq!(screen, wanted);
    let heard: Vec<_> = told.iter().take(2).collect();
    assert_eq!(heard[0], ("203.0.113.9:443".into(), b"from 203.0.113.9".to_vec()));
    assert_eq!(heard[1], ("10.20.0.77:8".into(), b"from 10.20.0.77".to_vec()));
    assert_eq!(told6.recv().unwrap(), ("[2001:db8::7]:8443".into(), b"from 2001:db8::7".to_vec()));
}
