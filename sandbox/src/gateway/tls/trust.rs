//! Makes the jail's software trust the session's authority: the trust stores of the usual systems and languages, and the
//! environment variables by which programs are told of another one.
//!
//! Bundles keep what the host's have, with the authority added, so that a program that looks finds what it expects.

use std::fs;
use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use sha2::Digest as _;

use super::authority::Authority;
use crate::decoy::{Content, Owner, Plant};
use crate::spec::Rootfs;

/// Bundles of PEM certificates: Debian and Alpine, RHEL and Fedora, SUSE, and names that programs were built with.
const BUNDLES: [&str; 9] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/tls/cert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/var/lib/ca-certificates/ca-bundle.pem",
    "/usr/lib/ssl/cert.pem",
    "/usr/local/share/certs/ca-root-nss.crt",
];
/// The one that always is there, for the variables to name.
const MAIN: &str = BUNDLES[0];
/// Places where tools that rebuild the bundles look for more.
const ANCHORS: [&str; 4] = [
    "/usr/local/share/ca-certificates/example-trust-root-g1.crt",
    "/etc/pki/ca-trust/source/anchors/example-trust-root-g1.pem",
    "/etc/pki/trust/anchors/example-trust-root-g1.pem",
    "/etc/ca-certificates/trust-source/anchors/example-trust-root-g1.crt",
];
/// OpenSSL's directories are looked up by a hash of the name: `openssl x509 -subject_hash`, and the one of versions
/// before 1.0. A test has openssl work them out.
pub(super) const HASHES: [&str; 2] = ["197ce40b", "06a8551c"];
const HASHED: [&str; 2] = ["/etc/ssl/certs", "/etc/pki/tls/certs"];
/// Java's stores, besides those of the runtimes that are there.
const JAVA: [&str; 2] = ["/etc/ssl/certs/java/cacerts", "/etc/pki/ca-trust/extracted/java/cacerts"];
/// Policies of browsers (Chromium and its kin, Firefox).
const CHROMIUM: [&str; 4] =
    ["/etc/chromium/policies", "/etc/chromium-browser/policies", "/etc/opt/chrome/policies", "/etc/opt/edge/policies"];
const FIREFOX: &str = "/etc/firefox/policies/policies.json";
/// Variables that name a bundle.
const VARIABLES: [&str; 14] = [
    "SSL_CERT_FILE",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "GIT_SSL_CAINFO",
    "PIP_CERT",
    "AWS_CA_BUNDLE",
    "CARGO_HTTP_CAINFO",
    "DENO_CERT",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
    "HTTPLIB2_CA_CERTS",
    "NIX_SSL_CERT_FILE",
    "PERL_LWP_SSL_CA_FILE",
    "npm_config_cafile",
];
/// Longest bundle of the host that is taken over.
const BUNDLE_MAX: u64 = 8 << 20;

/// Files to plant. What is planted later at the same path wins.
pub fn plants(authority: &Authority, rootfs: &Rootfs) -> Vec<Plant> {
    let root = match rootfs {
        Rootfs::Host => PathBuf::from("/"),
        Rootfs::Image(image) => image.clone(),
    };
    let on_host = |path: &str| root.join(path.trim_start_matches('/'));
    let pem = authority.pem();
    let mut list = Vec::new();
    let mut file = |path: &str, bytes: Vec<u8>| {
        list.push(Plant {
            path: path.as_bytes().to_vec(),
            content: Content::File(bytes),
            mode: 0o644,
            owner: Owner::Root,
            mtime: 1_704_067_200,
        });
    };
    let main =
        bundle(&on_host(MAIN)).or_else(|| BUNDLES.iter().find_map(|path| bundle(&on_host(path)))).unwrap_or_default();
    for path in BUNDLES {
        // What is not there on the host is planted all the same where its directory is: the first name always.
        let own = bundle(&on_host(path));
        let has_place = Path::new(path)
            .parent()
            .is_some_and(|parent| root.join(parent.strip_prefix("/").unwrap_or(parent)).is_dir());
        if own.is_some() || path == MAIN || has_place && !path.starts_with("/usr") {
            file(path, [own.as_ref().unwrap_or(&main), pem.as_bytes()].concat());
        }
    }
    for path in ANCHORS {
        file(path, pem.clone().into_bytes());
    }
    for directory in HASHED {
        for hash in HASHES {
            file(&format!("{directory}/{hash}.0"), pem.clone().into_bytes());
        }
    }
    let store = java(authority.der());
    for path in JAVA {
        file(path, store.clone());
    }
    for runtime in fs::read_dir(on_host("/usr/lib/jvm")).into_iter().flatten().flatten() {
        for below in ["lib/security/cacerts", "jre/lib/security/cacerts"] {
            if runtime.path().is_dir()
                && !runtime.path().is_symlink()
                && fs::symlink_metadata(runtime.path().join(below)).is_ok()
            {
                file(&format!("/usr/lib/jvm/{}/{below}", runtime.file_name().to_string_lossy()), store.clone());
            }
        }
    }
    let policy = format!("{{\"CACertificates\":[\"{}\"]}}\n", BASE64.encode(authority.der()));
    for browser in CHROMIUM {
        file(&format!("{browser}/managed/trust.json"), policy.clone().into_bytes());
    }
    let policy = format!(
        "{{\"policies\":{{\"Certificates\":{{\"ImportEnterpriseRoots\":true,\"Install\":[\"{}\"]}}}}}}\n",
        ANCHORS[0]
    );
    file(FIREFOX, policy.into_bytes());
    list
}

/// The certificates that the host itself trusts, as PEM.
pub(in crate::gateway) fn host_bundle() -> Option<Vec<u8>> {
    BUNDLES.iter().find_map(|path| bundle(Path::new(path)))
}

/// Variables to set, by name and value.
pub fn variables() -> Vec<(&'static str, &'static str)> {
    VARIABLES.iter().map(|name| (*name, MAIN)).collect()
}

fn bundle(path: &Path) -> Option<Vec<u8>> {
    let meta = fs::metadata(path).ok()?;
    let mut bytes = (meta.is_file() && meta.len() <= BUNDLE_MAX).then(|| fs::read(path).ok()).flatten()?;
    if bytes.last().is_some_and(|byte| *byte != b'\n') {
        bytes.push(b'\n');
    }
    Some(bytes)
}

/// A Java key store (JKS, version 2) that trusts one certificate, under Java's usual password. Its digest is that of
/// `sun.security.provider.JavaKeyStore`: password in UTF-16, a phrase, the contents.
fn java(der: &[u8]) -> Vec<u8> {
    let mut store = Vec::with_capacity(der.len() + 128);
    let text = |store: &mut Vec<u8>, text: &str| {
        store.extend((text.len() as u16).to_be_bytes());
        store.extend_from_slice(text.as_bytes());
    };
    store.extend(0xfeed_feed_u32.to_be_bytes());
    store.extend(2u32.to_be_bytes());
    store.extend(1u32.to_be_bytes()); // one entry,
    store.extend(2u32.to_be_bytes()); // a trusted certificate
    text(&mut store, "example-trust-root-g1");
    store.extend(1_704_067_200_000_u64.to_be_bytes());
    text(&mut store, "X.509");
    store.extend((der.len() as u32).to_be_bytes());
    store.extend_from_slice(der);
    let password: Vec<u8> = "changeit".encode_utf16().flat_map(u16::to_be_bytes).collect();
    let digest = sha1::Sha1::digest([password.as_slice(), b"Mighty Aphrodite", &store].concat());
    store.extend_from_slice(&digest);
    store
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::*;

    /// What `openssl x509` says of the authority's certificate.
    fn openssl(pem: &str, option: &str) -> String {
        let mut child = Command::new("openssl")
            .args(["x509", "-noout", option])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("openssl is installed (apt-get install openssl)");
        child.stdin.take().expect("a pipe").write_all(pem.as_bytes()).expect("written");
        let output = child.wait_with_output().expect("openssl ends");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    #[test]
    fn directories_of_openssl_find_the_authority() {
        let pem = Authority::new().expect("an authority").pem();
        assert_eq!([openssl(&pem, "-subject_hash"), openssl(&pem, "-subject_hash_old")], HASHES);
    }

    #[test]
    fn every_store_holds_the_authority() {
        let authority = Authority::new().expect("an authority");
        let list = plants(&authority, &Rootfs::Host);
        let find = |path: &str| {
            let plant = list.iter().find(|plant| plant.path == path.as_bytes()).expect("planted");
            match &plant.content {
                Content::File(bytes) => bytes.clone(),
                other => panic!("{path} is {other:?}"),
            }
        };
        let contains = |bytes: &[u8], part: &[u8]| memchr::memmem::find(bytes, part).is_some();
        assert!(contains(&find(MAIN), authority.pem().as_bytes()));
        assert!(contains(&find(JAVA[0]), authority.der()));
        assert!(contains(&find("/etc/ssl/certs/197ce40b.0"), authority.pem().as_bytes()));
        if let Some(own) = bundle(Path::new(MAIN)) {
            assert!(find(MAIN).starts_with(&own), "what the host trusts is trusted, too");
        }
        assert!(variables().iter().all(|(_, value)| *value == MAIN));
    }
}
