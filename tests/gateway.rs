//! The gateway, with the clients that people use: each must get an answer that it accepts, and what it said must be in
//! the recording, in the clear, by name and by process. As root and without privilege.
//!
//! A client that is missing fails the test, which says what to install; `.ci/run` installs all.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::io::Read;
use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common::{Lab, Privilege, need};

#[test]
fn clients_of_the_web_are_answered_and_read() {
    need(&[("curl", "curl"), ("wget", "wget"), ("python3", "python3"), ("openssl", "openssl"), ("git", "git")]);
    for privilege in Privilege::available() {
        let lab = Lab::new(privilege);
        let recorded = lab.script(
            &[],
            r#"
curl -sS https://h2.example.com/v1/a -d said=curl-two; echo " curl2 $?"
curl -sS --http1.1 https://h1.example.com/v1/a -d said=curl-one; echo " curl1 $?"
curl -sS http://plain.example.com/ -d said=plain; echo " plain $?"
curl -sS -6 http://six.example.com/ ; echo " six $?"
curl -sS -x http://proxy.example.com:3128 https://behind.example.com/x; echo " proxy $?"
curl -sS --doh-url https://doh.example.com/dns-query https://overdoh.example.com/; echo " doh $?"
wget -q -O - https://wget.example.com/data.json; echo " wget $?"
python3 -c 'import urllib.request as u; print(u.urlopen("https://py.example.com/x", b"said=python").read())'; echo "urllib $?"
git ls-remote https://git.example.com/a/b.git; echo "git $?"
echo | openssl s_client -connect ossl.example.com:443 -servername ossl.example.com -verify_return_error 2>&1 | grep -c 'Verify return code: 0'
curl -sS --cacert /dev/null https://pinned.example.com/; echo "pinned $?"
"#,
        );
        let shown = recorded.screen();
        for line in ["curl2 0", "curl1 0", "plain 0", "six 0", "proxy 0", "doh 0", "wget 0", "urllib 0", "git 128"] {
            assert!(shown.contains(line), "{line} ({privilege:?}):\n{shown}");
        }
        assert!(shown.contains("not found") || shown.contains("Repository not found"), "git says why:\n{shown}");
        lab.expect(
            &recorded,
            &[],
            &[
                "op:http-request url:https://h2.example.com/v1/a protocol:h2 tls:yes method:POST proc:curl",
                "op:sent payload~said=curl-two tls:yes target:h2.example.com:443",
                "op:received protocol:h2 tls:yes target:h2.example.com:443",
                "op:http-request url:https://h1.example.com/v1/a protocol:http/1.1 tls:yes",
                "op:sent payload~said=plain tls:no target:plain.example.com:80",
                "op:connection object:*2001:2::* target:six.example.com:80",
                r#"op:http-request detail:"CONNECT behind.example.com:443""#,
                "op:http-request url:https://behind.example.com/x tls:yes",
                "op:dns-query payload:overdoh.example.com tls:yes",
                "op:http-request url:https://wget.example.com/data.json proc:wget",
                "op:sent payload~said=python proc:python3*",
                "op:http-request url~info/refs",
                "op:tls-hello target:ossl.example.com:443 proc:openssl",
                "op:tls-refused target:pinned.example.com:443",
            ],
        );
        let coverage = &recorded.report.as_ref().expect("a report")["coverage"];
        let (all, read) = (coverage["connections"].as_u64().unwrap(), coverage["decrypted"].as_u64().unwrap());
        assert!(all >= 11 && read < all, "{coverage}");
        assert_eq!(coverage["lost"], 0);
    }
}

#[test]
fn languages_trust_the_authority() {
    need(&[("node", "nodejs"), ("npm", "npm"), ("pip", "python3-pip"), ("java", "default-jdk-headless")]);
    let privilege = Privilege::available()[0];
    let lab = Lab::new(privilege);
    std::fs::write(
        lab.work().join("Get.java"),
        r#"import java.net.*; import java.net.http.*; import java.security.KeyStore;
public class Get { public static void main(String[] a) throws Exception {
  for (String kind : new String[] {"JKS", "PKCS12"}) {
    KeyStore store = KeyStore.getInstance(kind);
    try (var file = new java.io.FileInputStream(System.getProperty("java.home") + "/lib/security/cacerts")) { store.load(file, "changeit".toCharArray()); }
    System.out.println(kind + " " + store.isCertificateEntry("example-trust-root-g1"));
  }
  System.out.println("java " + HttpClient.newHttpClient().send(HttpRequest.newBuilder(URI.create("https://java.example.com/x")).build(), HttpResponse.BodyHandlers.ofString()).statusCode());
} }"#,
    )
    .expect("write");
    let recorded = lab.script(&[], r#"
node -e 'require("https").get("https://node.example.com/x", r => console.log("node " + r.statusCode)).on("error", e => console.log(e))'
java Get.java
pip download --disable-pip-version-check --no-cache-dir no-such-package-here 2>&1 | tail -3
cd /tmp && npm view no-such-package-here 2>&1 | grep -m1 -o E404
"#,
    );
    let shown = recorded.screen();
    for line in ["node 200", "JKS true", "PKCS12 true", "java 200", "E404", "No matching distribution"] {
        assert!(shown.contains(line), "{line}:\n{shown}");
    }
    lab.expect(
        &recorded,
        &[],
        &[
            "op:http-request target:node.example.com:443 proc:node",
            "op:http-request target:java.example.com:443 proc:java",
            "op:http-request url~/simple/no-such-package-here",
            "op:http-request url~/no-such-package-here proc:node*",
        ],
    );
}

#[test]
fn names_mail_files_and_strangers_are_heard() {
    need(&[("dig", "bind9-dnsutils"), ("python3", "python3"), ("ping", "iputils-ping")]);
    let script = r#"
import smtplib, ftplib, io, socket, ssl, struct
def attempt(name, what):
    try: print(name, what())
    except Exception as error: print(name, "failed", repr(error))
def mail():
    s = smtplib.SMTP("mail.example.com", 587, timeout=9); s.starttls(context=ssl.create_default_context())
    s.login("anna", "s3cret"); return s.sendmail("a@b.c", ["d@e.f"], "Subject: hi\r\n\r\nthe letter\r\n")
def files(passive):
    f = ftplib.FTP("ftp.example.com", timeout=9); f.login("anna", "hunter2"); f.set_pasv(passive)
    said = f.storbinary("STOR x", io.BytesIO(b"a file by ftp")); f.nlst(); f.quit(); return said
def raw():
    s = socket.create_connection(("203.0.113.5", 4444), 3); s.sendall(b"to nobody known"); s.close(); return "ok"
def udp(address, family):
    s = socket.socket(family, socket.SOCK_DGRAM); s.settimeout(5); s.sendto(b"\x23" + bytes(47), (address, 123)); return len(s.recv(99))
def quic():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5); s.connect(("198.51.100.1", 443))
    s.send(b"\xc3\0\0\0\x01" + bytes(1300))
    try: return s.recv(9)
    except ConnectionRefusedError: return "refused"
def websocket():
    s = socket.create_connection(("ws.example.com", 80), 3)
    s.sendall(b"GET /chat HTTP/1.1\r\nHost: ws.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
    answer = s.recv(999)
    text = b"behind a mask"
    s.sendall(bytes([0x81, 0x80 | len(text)]) + b"\1\2\3\4" + bytes(c ^ (i % 4 + 1) for i, c in enumerate(text)))
    s.sendall(bytes([0x89, 0x80]) + b"\1\2\3\4")
    pong = s.recv(9)
    return b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in answer and pong[0] == 0x8a
def malformed():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5)
    s.sendto(b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x3fshort", ("10.20.0.1", 53))
    return s.recv(99)[:2]
attempt("mail", mail); attempt("passive", lambda: files(True)); attempt("active", lambda: files(False))
attempt("raw", raw); attempt("time", lambda: udp("198.51.100.1", socket.AF_INET)); attempt("time6", lambda: udp("2001:db8::7", socket.AF_INET6))
attempt("quic", quic); attempt("websocket", websocket); attempt("malformed", malformed)
"#;
    for privilege in Privilege::available() {
        let lab = Lab::new(privilege);
        std::fs::write(lab.work().join("talk.py"), script).expect("write");
        let recorded = lab.script(
            &[],
            r#"
python3 talk.py
for kind in A AAAA MX TXT SRV HTTPS ANY; do dig +short +time=3 +tries=1 $kind _x._tcp.dig.example.com | head -1 | sed "s/^/$kind /"; done
dig +short +tcp +time=3 overtcp.example.com | sed 's/^/tcp /'
dig +short -x $(dig +short back.example.com) | sed 's/^/PTR /'
"#,
        );
        let shown = recorded.screen();
        for line in [
            "mail {}",
            "passive 226",
            "active 226",
            "raw ok",
            "time 48",
            "time6 48",
            "quic refused",
            "websocket True",
            "malformed b'\\x124'",
            "\nA 198.1",
            "\nAAAA 2001:2::",
            "MX 10 mail.",
            "TXT \"v=spf1",
            "SRV 10 10 443 dig.example.com.",
            "HTTPS 1 .",
            "tcp 198.1",
            "PTR back.example.com.",
        ] {
            assert!(shown.contains(line), "{line:?} ({privilege:?}):\n{shown}");
        }
        lab.expect(
            &recorded,
            &[],
            &[
                r#"op:sent protocol:smtp tls:yes payload~"the letter" proc:python3*"#,
                r#"op:credential protocol:smtp detail:"smtp anna" payload:anna:s3cret"#,
                "op:credential protocol:ftp payload:anna:hunter2",
                r#"op:sent protocol:ftp payload:"a file by ftp""#,
                r#"op:sent protocol:tcp payload:"to nobody known" object:203.0.113.5:4444 proc:python3*"#,
                "op:sent protocol:udp object:198.51.100.1:123 proc:python3*",
                "op:sent protocol:udp object:*2001:db8::7*",
                "op:connection protocol:quic",
                r#"op:sent protocol:websocket payload:"behind a mask""#,
                r#"op:dns-query detail:"not understood""#,
                "op:dns-query payload:overtcp.example.com proc:dig",
            ],
        );
    }
}

#[test]
fn a_ping_is_answered_and_recorded() {
    need(&[("ping", "iputils-ping")]);
    for privilege in Privilege::available() {
        let lab = Lab::new(privilege);
        // As the jail's root, who may open such sockets in a network of its own.
        let recorded = lab.record(
            &["--user", "root"],
            &["sh", "-c", "ping -c 1 -W 3 198.51.100.77 | grep -c 'bytes from'; ping -6 -c 1 -W 3 2001:db8::77 | grep -c 'bytes from'"],
        );
        let shown = recorded.screen();
        assert_eq!(shown, "1\n1\n", "{privilege:?}");
        lab.expect(
            &recorded,
            &[],
            &["op:packet protocol:icmp object:198.51.100.77:0", "op:packet protocol:icmp object:*2001:db8::77*"],
        );
    }
}

#[test]
fn the_packets_open_decrypted() {
    need(&[("tshark", "tshark")]);
    need(&[("curl", "curl")]);
    for privilege in Privilege::available() {
        let lab = Lab::new(privilege);
        let recorded = lab.script(
            &[],
            "curl -sS --http1.1 https://one.example.com/secret-one -d word=alpha; \
             curl -sS --tls-max 1.2 --http1.1 https://two.example.com/secret-two; \
             curl -sS https://three.example.com/secret-three",
        );
        let packets = recorded.bundle.join("traffic.pcapng");
        let tshark = |arguments: &[&str]| {
            let output = Command::new("tshark").arg("-r").arg(&packets).args(arguments).output().expect("tshark runs");
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        let shown = tshark(&[
            "-Y",
            "http or http2",
            "-T",
            "fields",
            "-e",
            "http.request.uri",
            "-e",
            "http2.headers.path",
            "-e",
            "http.file_data",
        ]);
        for path in ["/secret-one", "/secret-two", "/secret-three"] {
            assert!(shown.contains(path), "{path} ({privilege:?}):\n{shown}");
        }
        let names = tshark(&["-N", "n", "-z", "hosts", "-q"]);
        assert!(names.contains("one.example.com"), "{names}");
        let comments = tshark(&["-Y", "frame.comment", "-T", "fields", "-e", "frame.comment"]);
        assert!(comments.contains("(curl)"), "{comments}");
    }
}

#[test]
fn nothing_reaches_the_host() {
    let heard = Arc::new(AtomicU64::new(0));
    // Every address of the host, both protocols and families, and an abstract socket, which belong to networks, too.
    let tcp: Vec<TcpListener> =
        ["0.0.0.0:0", "[::]:0"].iter().filter_map(|address| TcpListener::bind(address).ok()).collect();
    let udp: Vec<UdpSocket> =
        ["0.0.0.0:0", "[::]:0"].iter().filter_map(|address| UdpSocket::bind(address).ok()).collect();
    assert!(!tcp.is_empty() && !udp.is_empty());
    let name = format!("belljar-test-{}", std::process::id());
    let hidden = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).expect("a name")).expect("bind");
    let ports: Vec<u16> = tcp.iter().map(|socket| socket.local_addr().expect("address").port()).collect();
    let udp_ports: Vec<u16> = udp.iter().map(|socket| socket.local_addr().expect("address").port()).collect();
    let addresses = Command::new("hostname").arg("-I").output().expect("hostname runs");
    let mut addresses: Vec<String> =
        String::from_utf8_lossy(&addresses.stdout).split_whitespace().map(str::to_owned).collect();
    addresses.extend(
        ["127.0.0.1", "::1", "169.254.1.1", "fe80::1%eth0", "224.0.0.1", "ff02::1%eth0", "255.255.255.255"]
            .map(str::to_owned),
    );
    for listener in tcp {
        let heard = Arc::clone(&heard);
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                heard.fetch_add(1, Ordering::SeqCst);
                let _ = stream.read(&mut [0; 16]);
            }
        });
    }
    for socket in udp {
        let heard = Arc::clone(&heard);
        std::thread::spawn(move || {
            while socket.recv(&mut [0; 2048]).is_ok() {
                heard.fetch_add(1, Ordering::SeqCst);
            }
        });
    }
    {
        let heard = Arc::clone(&heard);
        std::thread::spawn(move || {
            while hidden.accept().is_ok() {
                heard.fetch_add(1, Ordering::SeqCst);
            }
        });
    }
    let script = format!(
        r#"
import socket, struct
ports, udp_ports, addresses, name = {ports:?}, {udp_ports:?}, {addresses:?}, {name:?}
tried = 0
def attempt(what):
    global tried
    tried += 1
    try: what()
    except OSError: pass
for address in addresses:
    for kind, list in [(socket.SOCK_STREAM, ports), (socket.SOCK_DGRAM, udp_ports)]:
        for port in list:
            def call():
                family, _, _, _, target = socket.getaddrinfo(address, port, type=kind)[0]
                s = socket.socket(family, kind); s.settimeout(0.3)
                s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
                if kind == socket.SOCK_DGRAM: s.sendto(b"leak", target)
                else: s.connect(target); s.sendall(b"leak")
            attempt(call)
def abstract():
    s = socket.socket(socket.AF_UNIX); s.connect("\0" + name)
attempt(abstract)
def raw(address, port):
    s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
    s.sendto(struct.pack("!HHHH", 4444, port, 12, 0) + b"leak", (address, 0))
def frame(port):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); s.bind(("eth0", 0x0800))
    udp = struct.pack("!HHHH", 4444, port, 12, 0) + b"leak"
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, bytes([127, 0, 0, 9]), bytes([127, 0, 0, 1]))
    s.send(b"\xff" * 6 + b"\2" * 6 + b"\x08\0" + ip + udp)
for port in udp_ports:
    attempt(lambda: frame(port))
    for address in addresses:
        if ":" not in address: attempt(lambda: raw(address, port))
print("tried", tried)
"#
    );
    // The control: from outside a jail the same script is heard.
    let control = Command::new("python3").args(["-c", &script]).output().expect("python3 runs");
    assert!(String::from_utf8_lossy(&control.stdout).contains("tried"), "{}", String::from_utf8_lossy(&control.stderr));
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert!(heard.load(Ordering::SeqCst) > 3, "the control was not heard");
    for privilege in Privilege::available() {
        let lab = Lab::new(privilege);
        std::fs::write(lab.work().join("leak.py"), &script).expect("write");
        for user in [&[][..], &["--user", "root"]] {
            std::thread::sleep(std::time::Duration::from_millis(200));
            heard.store(0, Ordering::SeqCst);
            let recorded = lab.record(user, &["python3", "leak.py"]);
            assert!(recorded.screen().contains("tried"), "{}\n{}", recorded.screen(), recorded.stderr);
            std::thread::sleep(std::time::Duration::from_millis(200));
            assert_eq!(heard.load(Ordering::SeqCst), 0, "the host heard the subject ({privilege:?}, {user:?})");
        }
    }
}

#[test]
fn the_profile_says_what_is_answered() {
    let lab = Lab::new(Privilege::available()[0]);
    let base = std::fs::read_to_string("profiles/workstation.toml").expect("the profile");
    let own = r#"
[network]
nxdomain = ["*.gone.example"]
banner = { "2222" = "SSH-2.0-OpenSSH_9.2p1\r\n" }

[[route]]
host = "licence.example"
path = "/v1/*"
method = "POST"
status = 402
headers = { "content-type" = "application/json" }
content = '{"paid":false}'
"#;
    std::fs::write(lab.work().join("own.toml"), format!("{base}\n{own}")).expect("write");
    let recorded = lab.record(
        &["--profile", "own.toml"],
        &[
            "sh",
            "-c",
            "curl -sS -w ' %{http_code}' -X POST https://licence.example/v1/check; echo; curl -sS https://a.gone.example/; \
             python3 -c 'import socket; print(socket.create_connection((\"203.0.113.4\", 2222), 3).recv(30))'",
        ],
    );
    let shown = recorded.screen();
    for line in [r#"{"paid":false} 402"#, "Could not resolve host: a.gone.example", "SSH-2.0-OpenSSH_9.2p1"] {
        assert!(shown.contains(line), "{line}:\n{shown}\n{}", recorded.stderr);
    }
}
