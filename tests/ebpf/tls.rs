//! What passes through TLS libraries is read in the clear, of the session's processes only, and only when asked for.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{is_full, recorded, root};
use crate::common::{Lab, wait_until};
use serde_json::Value;

/// The planted file that the client sends, and where it lies.
const PLANTED: &str = "~/Documents/customers.csv";

/// A laboratory with the pair of processes in it; `None` where the probes cannot be had.
fn pair() -> Option<Lab> {
    let lab = root().filter(is_full)?;
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls_pair.py");
    fs::copy(source, lab.work().join("tls_pair.py")).unwrap();
    Some(lab)
}

/// A Python whose `ssl` uses the system's library.
const PYTHON: &str = "/usr/bin/python3";

fn of(events: &[Value], op: &str, object: &str) -> Vec<Value> {
    let wanted = |event: &&Value| event["op"] == op && event["object"].as_str().is_some_and(|o| o.starts_with(object));
    events.iter().filter(wanted).cloned().collect()
}

/// Whether an event has to do with the planted customers.
fn has_customers(event: &Value) -> bool {
    event["asset"].as_array().is_some_and(|assets| assets.iter().any(|asset| asset == "customers"))
}

fn argv(event: &Value) -> Vec<String> {
    let words = event["argv"].as_array().cloned().unwrap_or_default();
    words.iter().filter_map(|word| word.as_str().map(str::to_owned)).collect()
}

#[test]
fn a_pinned_connection_is_read_where_it_begins_and_ends() {
    let Some(lab) = pair() else { return };
    let command = [PYTHON, "tls_pair.py", "/tmp", PLANTED, "eth0"];
    let taken = recorded(&lab, &["--tls-probes"], &command);
    let events = lab.events(&taken.bundle, "witness:tls");
    let (sent, received) = (of(&events, "tls-sent", "SSL_write"), of(&events, "tls-received", "SSL_read"));
    let asks = |event: &Value| argv(event).contains(&"--ask".to_owned());
    let begins = |event: &Value| event["payload"].as_str().unwrap().starts_with("id,");
    let carries: Vec<&Value> = sent.iter().filter(|event| begins(event)).collect();
    assert!(!carries.is_empty() && carries.iter().all(|event| asks(event) && has_customers(event)), "{sent:?}");
    assert!(carries.iter().all(|event| event["verb"].as_array().unwrap().iter().any(|verb| verb == "transmit")));
    // To whom: the socket that the library wrote to meanwhile.
    assert!(carries.iter().all(|event| !event["target"].as_str().unwrap_or_default().is_empty()), "{carries:?}");
    let arrived: Vec<&Value> = received.iter().filter(|event| begins(event)).collect();
    assert!(!arrived.is_empty() && arrived.iter().all(|event| !asks(event) && has_customers(event)), "{received:?}");
    assert!(received.iter().any(|event| asks(event) && event["payload"].as_str().unwrap().starts_with("answer-to-")));
    let total = |events: &[Value]| events.iter().map(|event| event["result"].as_u64().unwrap()).sum::<u64>();
    assert_eq!(total(&sent), total(&received), "what went in came out");

    let report = taken.report.unwrap();
    let findings = report["findings"].as_array().unwrap();
    let sent = findings.iter().find(|f| f["verb"] == "transmit" && f["asset"] == "customers").expect("a transmission");
    assert_eq!((&sent["confidence"], &sent["channel"]), (&"proven".into(), &"https".into()), "{sent}");
    assert!(sent["chain"].to_string().contains("sent through TLS to"), "{sent}");

    // Without the option there is nothing of it, and nothing is proven.
    let without = recorded(&lab, &[], &command);
    assert_eq!(lab.count(&without.bundle, "witness:tls"), 0);
    let report = without.report.unwrap();
    let proven = |f: &Value| f["verb"] == "transmit" && f["asset"] == "customers" && f["confidence"] == "proven";
    assert!(!report["findings"].as_array().unwrap().iter().any(proven), "control: the bytes on the wire are not clear");
}

#[test]
fn tls_of_other_processes_is_not_recorded() {
    let Some(lab) = pair() else { return };
    let bundle = lab.bundle();
    let script = format!("echo own-begin > /dev/null; read go; {PYTHON} tls_pair.py /tmp {PLANTED}");
    let mut belljar = lab
        .recording(&bundle, &["--tls-probes"], &["sh", "-c", &script])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("belljar runs");
    wait_until("the subject runs", || {
        bundle.join("events.arrows").exists() && lab.count(&bundle, "payload~own-begin") == 1
    });
    let token = format!("foreign-{}", std::process::id());
    let (folder, file) = (lab.work().join("host"), lab.work().join("foreign"));
    fs::create_dir(&folder).unwrap();
    fs::write(&file, &token).unwrap();
    let foreign = Command::new(PYTHON).arg(lab.work().join("tls_pair.py")).args([&folder, &file]).status();
    assert!(foreign.unwrap().success(), "control: another process spoke TLS through the same library");
    std::io::Write::write_all(&mut belljar.stdin.take().unwrap(), b"go\n").unwrap();
    assert!(belljar.wait().unwrap().code().is_some());
    let events = lab.events(&bundle, "witness:tls");
    assert!(events.iter().any(has_customers), "control: the session's own was seen");
    assert!(!events.iter().any(|event| event.to_string().contains(&token)), "{events:?}");
    assert_eq!(lab.count(&bundle, "witness:tls not key:*"), 0);
    // Own: the client's one message and the server's one answer, each twice.
    assert_eq!(events.iter().map(|event| event["key"].to_string()).collect::<std::collections::BTreeSet<_>>().len(), 2);
}

#[test]
fn a_library_that_is_brought_along_is_probed_when_it_is_opened() {
    let Some(lab) = pair() else { return };
    let library = of_system("libssl.so.3");
    let own = lab.work().join("own");
    fs::create_dir(&own).unwrap();
    fs::copy(&library, own.join("libssl.so.3")).unwrap();
    let path = format!("LD_LIBRARY_PATH={}", own.display());
    let options = ["--tls-probes", "--env", &path, "--env", "LULL=2"];
    let taken = recorded(&lab, &options, &[PYTHON, "tls_pair.py", "/tmp", PLANTED]);
    let opened = format!("op:open* path:{}", own.join("libssl.so.3").display());
    assert!(lab.count(&taken.bundle, &opened) > 0, "control: it is what was used");
    let sent = lab.events(&taken.bundle, "op:tls-sent");
    assert!(sent.iter().any(has_customers), "{sent:?}");
}

/// Where a library of the system lies.
fn of_system(name: &str) -> PathBuf {
    let output = Command::new("/sbin/ldconfig").arg("-p").output().expect("ldconfig runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find(|line| line.trim_start().starts_with(name) && line.contains("x86-64"));
    PathBuf::from(line.unwrap_or_else(|| panic!("no {name}")).rsplit("=> ").next().unwrap())
}

#[test]
fn gnutls_is_read_too() {
    let Some(lab) = pair() else { return };
    let script = "set -e; cd /tmp
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=pinned.example \
            -addext subjectAltName=DNS:pinned.example -keyout key.pem -out certificate.pem 2>/dev/null
        gnutls-serv --echo --quiet -p 4433 --x509keyfile key.pem --x509certfile certificate.pem >/dev/null 2>&1 & server=$!
        tries=0; until (exec 3<>/dev/tcp/127.0.0.1/4433) 2>/dev/null; do
            tries=$((tries + 1)); [ $tries -lt 100 ]; sleep 0.1; done
        (head -3 ~/Documents/customers.csv; sleep 1) |
            gnutls-cli --x509cafile certificate.pem --verify-hostname pinned.example -p 4433 127.0.0.1 >/dev/null
        kill $server";
    let taken = recorded(&lab, &["--tls-probes"], &["bash", "-c", script]);
    let events = lab.events(&taken.bundle, "witness:tls");
    let by = |op: &str, object: &str, program: &str| {
        let events = of(&events, op, object);
        events.iter().filter(|event| has_customers(event)).any(|event| argv(event).join(" ").contains(program))
    };
    assert!(by("tls-sent", "gnutls_record_send", "gnutls-cli"), "{events:?}");
    assert!(by("tls-received", "gnutls_record_recv", "gnutls-serv"), "{events:?}");
    // One call is one event, though one function calls the other.
    let mut seen: Vec<String> = events.iter().map(|event| format!("{} {}", event["tid"], event["t"])).collect();
    let all = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), all, "{events:?}");
}

#[test]
fn descriptors_of_nspr_are_read_where_a_layer_is_upon_them() {
    let Some(lab) = pair() else { return };
    lab.build_fixture_with("nspr", &["-Wl,--no-as-needed", "-l:libnspr4.so"]);
    let taken = recorded(&lab, &["--tls-probes"], &["./nspr"]);
    let events = lab.events(&taken.bundle, "witness:tls");
    let said: Vec<(&str, &str, &str)> = events
        .iter()
        .map(|event| {
            (event["op"].as_str().unwrap(), event["object"].as_str().unwrap(), event["payload"].as_str().unwrap())
        })
        .collect();
    assert_eq!(said, [("tls-sent", "PR_Write", "through-a-layer"), ("tls-received", "PR_Read", "through-a-layer")]);
    assert_eq!(lab.count(&taken.bundle, "op:write payload:plain-text"), 1, "control: without a layer it was written");
}

#[test]
fn what_cannot_be_had_is_said() {
    let Some(lab) = pair() else { return };
    let mut notify = lab.belljar();
    notify.args(["record", "--witness", "notify", "--tls-probes", "--", "true"]);
    let output = notify.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("needs the ebpf witness"), "{output:?}");
}
