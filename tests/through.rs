//! `--allow-host`: what is let through reaches a real server and is recorded on its way all the same; without the option
//! not a byte does.
//!
//! The server is this test's own, on an address of this machine. As root it has a name, too, which belljar's own view of
//! `/etc/hosts` gives it, in a mount namespace; without privilege no mount may lie below what a jail shows.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use common::{Lab, Privilege, screen_of, wait_until};

const NAME: &str = "real.vendor.example";

struct Server {
    child: Child,
    heard: Arc<Mutex<Vec<String>>>,
    /// Of TLS, HTTP and bytes.
    ports: Vec<u16>,
}

impl Server {
    fn start(lab: &Lab, address: &str) -> Self {
        let (key, certificate) = (lab.work().join("key.pem"), lab.work().join("real.pem"));
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "9"])
            .args(["-subj", "/CN=the real one", "-addext", &format!("subjectAltName=DNS:{NAME},IP:{address}")])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .arg("-keyout")
            .arg(&key)
            .arg("-out")
            .arg(&certificate)
            .output()
            .expect("openssl is installed (apt-get install openssl)");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let mut child = Command::new("node")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/real_server.js"))
            .args([address.as_ref(), key.as_os_str(), certificate.as_os_str()])
            .stdout(Stdio::piped())
            .spawn()
            .expect("node is installed (apt-get install nodejs)");
        let heard: Arc<Mutex<Vec<String>>> = Arc::default();
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let listener = Arc::clone(&heard);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                listener.lock().expect("lock").push(line);
            }
        });
        wait_until("the server listens", || !heard.lock().expect("lock").is_empty());
        let first = heard.lock().expect("lock").remove(0);
        let ports = first.split(' ').skip(1).map(|port| port.parse().expect("a port")).collect();
        Self { child, heard, ports }
    }

    fn take(&self) -> Vec<String> {
        // Whatever was sent has been received by now; it only is to be printed.
        std::thread::sleep(std::time::Duration::from_millis(300));
        std::mem::take(&mut *self.heard.lock().expect("lock"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Records with the server's certificate trusted and, as root, its name known.
fn record(lab: &Lab, options: &[&str], script: &str, address: &str) -> (std::path::PathBuf, String) {
    let bundle = lab.bundle();
    let options = [&["--seed", "4711", "--timeout", "2m"], options].concat();
    let mut call = lab.recording(&bundle, &options, &["sh", "-c", script]);
    if lab.privilege() == Privilege::Root {
        let hosts = lab.work().join("hosts");
        fs::write(&hosts, format!("127.0.0.1 localhost\n{address} {NAME}\n")).expect("write");
        let mut inside = Command::new("unshare");
        inside.args(["-m", "sh", "-c", "mount --bind \"$0\" /etc/hosts && exec \"$@\""]).arg(&hosts);
        inside.arg(call.get_program()).args(call.get_args()).current_dir(lab.work()).stdin(Stdio::null());
        inside.env("NO_COLOR", "1").env("TMPDIR", "/tmp");
        call = inside;
    }
    let output = call.env("SSL_CERT_FILE", lab.work().join("real.pem")).output().expect("it runs");
    let screen = screen_of(&bundle);
    (bundle, format!("{screen}\n{}", String::from_utf8_lossy(&output.stderr)))
}

/// An address of this machine that a jail can call: none of its own loopback.
fn own_address() -> String {
    let output = Command::new("hostname").arg("-I").output().expect("hostname is installed (apt-get install hostname)");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split_whitespace().find(|word| word.contains('.')).expect("an address of this machine").to_owned()
}

#[test]
fn what_is_let_through_is_recorded_and_nothing_else_gets_out() {
    let address = own_address();
    for privilege in Privilege::available() {
        let lab = Lab::new(privilege);
        let server = Server::start(&lab, &address);
        let [tls, plain, raw] = server.ports[..] else { panic!("three ports") };
        let host = if privilege == Privilege::Root { NAME } else { &address };
        let other = "other.vendor.example";
        fs::write(
            lab.work().join("talk.py"),
            format!(
                r#"
import socket, os
def raw():
    s = socket.create_connection(("{host}", {raw}), 2); s.sendall(b"to the real one"); return s.recv(99)
def frames():
    s = socket.create_connection(("{host}", {plain}), 2)
    s.sendall(b"GET /chat HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Extensions: permessage-deflate\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
    answer = b""
    while b"\r\n\r\n" not in answer: answer += s.recv(999)
    text = b"behind a mask"
    s.sendall(bytes([0x81, 0x80 | len(text)]) + b"\1\2\3\4" + bytes(c ^ (i % 4 + 1) for i, c in enumerate(text)))
    return s.recv(99)
for what in raw, frames:
    try: print(what.__name__, what())
    except Exception as error: print(what.__name__, "failed", repr(error))
"#
            ),
        )
        .expect("write");
        let script = format!(
            r#"
curl -sS https://{host}:{tls}/two -d said=through-two -b sid=abc123; echo "two $?"
curl -sS --http1.1 https://{host}:{tls}/one -d said=through-one -u anna:s3cret; echo "one $?"
curl -sS http://{host}:{plain}/plain -d @$HOME/Documents/customers.csv; echo "plain $?"
curl -sS http://{other}:{plain}/other -d said=other; echo "other $?"
python3 talk.py
curl -sS --capath /var --cacert real.pem https://{host}:{tls}/pinned; echo "pinned $?"
curl -sS --capath /var --cacert real.pem https://{host}:{tls}/again; echo "again $?"
"#
        );
        // The control: the same without leave.
        let (bundle, shown) = record(&lab, &[], &script, &address);
        assert_eq!(server.take(), Vec::<String>::new(), "without leave something got out ({privilege:?})\n{shown}");
        assert!(lab.events(&bundle, "op:http-request payload~/plain").len() == 1, "{shown}");
        let (bundle, shown) = record(&lab, &["--allow-host", host], &script, &address);
        let heard = server.take();
        for line in [
            "request 2.0 /two said=through-two",
            "request 1.1 /one said=through-one",
            "request 1.1 /plain ",
            "message behind a mask extensions=undefined",
            "bytes to the real one",
            "request 2.0 /again ",
        ] {
            assert!(heard.iter().any(|heard| heard.starts_with(line)), "{line:?} ({privilege:?}): {heard:#?}\n{shown}");
        }
        assert!(!heard.iter().any(|line| line.contains("/other") || line.contains("/pinned")), "{heard:#?}");
        for line in [
            "really 2.0\ntwo 0",
            "really 1.1\none 0",
            "really 1.1\nplain 0",
            "other 0",
            "raw b'really raw\\n'",
            "a real frame",
            "pinned 60",
            "really 2.0\nagain 0",
        ] {
            assert!(shown.contains(line), "{line:?} ({privilege:?}):\n{shown}\n{heard:#?}");
        }
        let expected = [
            format!("op:http-request url:https://{host}:{tls}/two protocol:h2 tls:yes method:POST proc:curl"),
            format!("op:sent payload:said=through-two protocol:h2 tls:yes host:{host} port:{tls}"),
            r#"op:credential detail:"cookie sid" payload:abc123"#.into(),
            format!("op:http-request url:https://{host}:{tls}/one protocol:http/1.1 tls:yes"),
            r#"op:credential detail:"basic anna" payload:anna:s3cret tls:yes"#.into(),
            r#"op:received payload~"really 2.0" tls:yes"#.into(),
            format!("op:http-response status:200 host:{host} port:{tls}"),
            format!("op:sent asset:customers verb:transmit host:{host} port:{plain} proc:curl"),
            r#"op:sent protocol:websocket payload:"behind a mask""#.into(),
            r#"op:received protocol:websocket payload:"a real frame""#.into(),
            r#"op:sent protocol:tcp payload:"to the real one" proc:python3*"#.into(),
            "op:tls-refused detail~UnknownCA".into(),
            r#"op:tls-refused detail~"passed through unread""#.into(),
        ];
        for filter in expected {
            assert!(!lab.events(&bundle, &filter).is_empty(), "nothing matches `{filter}` ({privilege:?})\n{shown}");
        }
        // One port only.
        let port = format!("{host}:{raw}");
        let script = format!("curl -sS http://{host}:{plain}/plain; python3 talk.py");
        let (_, shown) = record(&lab, &["--allow-host", &port], &script, &address);
        assert_eq!(server.take(), ["bytes to the real one"], "({privilege:?})\n{shown}");
    }
}
