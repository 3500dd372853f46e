//! Makes the jail's software trust the session's authority: the trust stores of the usual systems and languages, and the
//! environment variables by which programs are told of another one.
//!
//! Bundles keep what the host's have, with the authority added, so that a program that looks finds what it expects.
//! Places that only one sort of system has are furnished where that system is: their directory tells.

mod java;
mod nss;

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use data_encoding::BASE64;

use super::authority::Authority;
use crate::decoy::{Content, Owner, Plant};
use crate::spec::Rootfs;

/// Bundles of PEM certificates: Debian and Alpine, RHEL and Fedora, SUSE, Arch, and names that programs were built with.
const BUNDLES: [&str; 11] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/cert.pem",
    "/etc/ssl1.1/cert.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/tls/cert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/var/lib/ca-certificates/ca-bundle.pem",
    "/etc/ca-certificates/extracted/tls-ca-bundle.pem",
    "/usr/lib/ssl/cert.pem",
    "/usr/local/share/certs/ca-root-nss.crt",
];
/// The one that always is there, for the variables to name.
const MAIN: &str = BUNDLES[0];
/// Places where tools that rebuild the bundles look for more, and p11-kit for trust as such (GnuTLS and NSS of RHEL,
/// Fedora and SUSE).
const ANCHORS: [&str; 4] = [
    "/usr/local/share/ca-certificates/example-trust-root-g1.crt",
    "/etc/pki/ca-trust/source/anchors/example-trust-root-g1.pem",
    "/etc/pki/trust/anchors/example-trust-root-g1.pem",
    "/etc/ca-certificates/trust-source/anchors/example-trust-root-g1.crt",
];
/// OpenSSL's directories are looked up by a hash of the name: `openssl x509 -subject_hash`, and the one of versions
/// before 1.0. A test has openssl work them out.
pub(super) const HASHES: [&str; 2] = ["197ce40b", "06a8551c"];
/// Such directories: everybody's, RHEL's and Fedora's, SUSE's, Arch's.
const HASHED: [&str; 6] = [
    "/etc/ssl/certs",
    "/etc/pki/tls/certs",
    "/etc/pki/ca-trust/extracted/pem/directory-hash",
    "/var/lib/ca-certificates/openssl",
    "/var/lib/ca-certificates/pem",
    "/etc/ca-certificates/extracted/cadir",
];
/// Java's stores, besides those of the runtimes that are there: Debian's and Alpine's, RHEL's, SUSE's.
const JAVA: [&str; 3] = [
    "/etc/ssl/certs/java/cacerts",
    "/etc/pki/ca-trust/extracted/java/cacerts",
    "/var/lib/ca-certificates/java-cacerts",
];
/// Where Java's runtimes lie: of packages, of vendors, of container images.
const RUNTIMES: [&str; 5] = ["/usr/lib/jvm", "/usr/lib64/jvm", "/usr/java", "/opt/java", "/opt"];
/// Where Python's modules lie, and the bundles among them.
const PYTHONS: [&str; 3] = ["/usr/lib", "/usr/lib64", "/usr/local/lib"];
const CERTIFI: [&str; 2] = ["certifi/cacert.pem", "pip/_vendor/certifi/cacert.pem"];
/// Policies of browsers (Chromium and its kin, Firefox).
const CHROMIUM: [&str; 4] =
    ["/etc/chromium/policies", "/etc/chromium-browser/policies", "/etc/opt/chrome/policies", "/etc/opt/edge/policies"];
const FIREFOX: &str = "/etc/firefox/policies/policies.json";
/// NSS's database of the whole system (RHEL and Fedora), and below the home directory, that of one user.
const NSS_SYSTEM: &str = "/etc/pki/nssdb";
const NSS_OF_USER: &str = ".pki/nssdb";
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

/// Files to plant, for a user with this home directory. What is planted later at the same path wins.
pub fn plants(authority: &Authority, rootfs: &Rootfs, home: &Path) -> Vec<Plant> {
    let root = match rootfs {
        Rootfs::Host => Path::new("/"),
        Rootfs::Image(image) => image,
    };
    let system = System { root };
    let pem = authority.pem();
    let mut files = BTreeMap::new();
    let mut file = |path: &str, bytes: &[u8]| {
        files.insert(system.place(Path::new(path)), bytes.to_vec());
    };
    let main = BUNDLES.iter().find_map(|path| system.read(path)).unwrap_or_default();
    for path in BUNDLES {
        // What is not there on the host is planted all the same where its directory is: the first name always.
        let own = system.read(path);
        if own.is_some() || path == MAIN || system.has_parent(path) && !path.starts_with("/usr") {
            file(path, &[own.as_ref().unwrap_or(&main), pem.as_bytes()].concat());
        }
    }
    for bundle in system.certifi() {
        if let Some(own) = system.read(&bundle) {
            file(&bundle, &[&own, pem.as_bytes()].concat());
        }
    }
    for (number, path) in ANCHORS.into_iter().enumerate() {
        if number == 0 || system.has_parent(path) {
            file(path, pem.as_bytes());
        }
    }
    for (number, directory) in HASHED.into_iter().enumerate() {
        for hash in HASHES {
            let path = format!("{directory}/{hash}.0");
            if number == 0 || system.has_parent(&path) {
                file(&path, pem.as_bytes());
            }
        }
    }
    let store = java::store(authority.der());
    for (number, path) in JAVA.into_iter().enumerate() {
        if number == 0 || system.has_parent(path) {
            file(path, &store);
        }
    }
    for path in system.runtimes() {
        file(&path, &store);
    }
    let policy = format!("{{\"CACertificates\":[\"{}\"]}}\n", BASE64.encode(authority.der()));
    for browser in CHROMIUM {
        file(&format!("{browser}/managed/trust.json"), policy.as_bytes());
    }
    let policy = format!(
        "{{\"policies\":{{\"Certificates\":{{\"ImportEnterpriseRoots\":true,\"Install\":[\"{}\"]}}}}}}\n",
        ANCHORS[0]
    );
    file(FIREFOX, policy.as_bytes());
    let plant = |path: Vec<u8>, content, mode, owner| Plant { path, content, mode, owner, mtime: 1_704_067_200 };
    let mut list: Vec<Plant> = files
        .into_iter()
        .map(|(path, bytes)| plant(path.as_os_str().as_bytes().to_vec(), Content::File(bytes), 0o644, Owner::Root))
        .collect();
    // Without SQLite the other stores are there all the same.
    if let Some((certificates, keys)) = nss::databases(authority.der()) {
        let mut databases = vec![(home.join(NSS_OF_USER), Owner::User, 0o600)];
        if system.has_parent(&format!("{NSS_SYSTEM}/cert9.db")) {
            databases.push((system.place(Path::new(NSS_SYSTEM)), Owner::Root, 0o644));
        }
        for (directory, owner, mode) in databases {
            let settings = nss::settings(&directory.to_string_lossy());
            for (name, bytes) in [("cert9.db", &certificates), ("key4.db", &keys), ("pkcs11.txt", &settings)] {
                let path = directory.join(name).into_os_string().into_encoded_bytes();
                list.push(plant(path, Content::File(bytes.clone()), mode, owner));
            }
        }
    }
    list
}

/// The directories that the jail is made of, as they lie on the host.
struct System<'a> {
    root: &'a Path,
}

impl System<'_> {
    /// A path of the jail, on the host.
    fn on_host(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// A path of the jail without links in it, as far as it is there. Links lead where they would lead in the jail.
    fn resolve(&self, path: &Path) -> PathBuf {
        let mut rest: VecDeque<OsString> = names(path);
        let mut done = PathBuf::from("/");
        let mut links = 0;
        while let Some(name) = rest.pop_front() {
            if name == ".." {
                done.pop();
                continue;
            }
            done.push(&name);
            // As many as the kernel follows (path_resolution(7)).
            if let Ok(target) = fs::read_link(self.on_host(&done))
                && links < 40
            {
                links += 1;
                done.pop();
                if target.is_absolute() {
                    done = PathBuf::from("/");
                }
                for name in names(&target).into_iter().rev() {
                    rest.push_front(name);
                }
            }
        }
        done
    }

    /// Where a file is to be planted: a link to a directory is followed, so that it stays one; the file's own is replaced.
    fn place(&self, path: &Path) -> PathBuf {
        match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) => self.resolve(parent).join(name),
            _ => path.to_path_buf(),
        }
    }

    fn has_parent(&self, path: &str) -> bool {
        Path::new(path).parent().is_some_and(|parent| self.on_host(&self.resolve(parent)).is_dir())
    }

    fn read(&self, path: &str) -> Option<Vec<u8>> {
        bundle(&self.on_host(&self.resolve(Path::new(path))))
    }

    fn children(&self, directory: &str) -> Vec<String> {
        let entries = fs::read_dir(self.on_host(&self.resolve(Path::new(directory)))).into_iter().flatten().flatten();
        let mut names: Vec<_> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names
    }

    /// The stores of Java's runtimes.
    fn runtimes(&self) -> Vec<String> {
        let mut found = Vec::new();
        for directory in RUNTIMES {
            for name in self.children(directory) {
                for below in ["lib/security/cacerts", "jre/lib/security/cacerts"] {
                    let path = format!("{directory}/{name}/{below}");
                    if fs::symlink_metadata(self.on_host(&self.place(Path::new(&path)))).is_ok() {
                        found.push(path);
                    }
                }
            }
        }
        found
    }

    /// Places where Python's certifi may have its bundle.
    fn certifi(&self) -> Vec<String> {
        let mut places = Vec::new();
        for directory in PYTHONS {
            for name in self.children(directory).into_iter().filter(|name| name.starts_with("python3")) {
                for packages in ["dist-packages", "site-packages"] {
                    places.extend(CERTIFI.map(|below| format!("{directory}/{name}/{packages}/{below}")));
                }
            }
        }
        places
    }
}

fn names(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            _ => None,
        })
        .collect()
}

/// The certificates that the host itself trusts, as PEM: those that `SSL_CERT_FILE` names, as for OpenSSL, or the
/// system's.
pub(in crate::gateway) fn host_bundle() -> Option<Vec<u8>> {
    if let Some(path) = std::env::var_os("SSL_CERT_FILE").filter(|path| !path.is_empty()) {
        return bundle(Path::new(&path));
    }
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
        let list = plants(&authority, &Rootfs::Host, Path::new("/home/anna"));
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

    /// A system's directories and links, as a package manager would have made them.
    fn system(files: &[&str], links: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("tempdir");
        let place = |path: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("mkdir");
            path
        };
        for path in files {
            if let Some(directory) = path.strip_suffix('/') {
                fs::create_dir_all(place(directory)).expect("mkdir");
            } else {
                fs::write(place(path), "# theirs\n").expect("write");
            }
        }
        for (link, target) in links {
            std::os::unix::fs::symlink(target, place(link)).expect("symlink");
        }
        root
    }

    #[test]
    fn links_of_a_layout_stay_links_and_never_lead_out_of_the_image() {
        let suse = system(
            &[
                "var/lib/ca-certificates/ca-bundle.pem",
                "var/lib/ca-certificates/pem/",
                "var/lib/ca-certificates/openssl/",
            ],
            &[
                ("etc/ssl/certs", "/var/lib/ca-certificates/pem"),
                ("etc/ssl/ca-bundle.pem", "/var/lib/ca-certificates/ca-bundle.pem"),
                ("usr/lib64/jvm/jre-17/lib/security/cacerts", "/var/lib/ca-certificates/java-cacerts"),
            ],
        );
        let fedora = system(
            &[
                "etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
                "etc/pki/ca-trust/extracted/java/cacerts",
                "etc/pki/ca-trust/source/anchors/",
                "etc/pki/nssdb/",
                "usr/lib/python3.12/site-packages/certifi/cacert.pem",
            ],
            &[
                ("etc/ssl/certs", "../pki/tls/certs"),
                ("etc/pki/tls/certs/ca-bundle.crt", "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem"),
                ("etc/pki/tls/cert.pem", "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem"),
            ],
        );
        let alpine = system(
            &["etc/ssl/certs/ca-certificates.crt", "opt/java/openjdk/lib/security/cacerts"],
            &[("etc/ssl/cert.pem", "certs/ca-certificates.crt"), ("etc/ssl1.1/cert.pem", "/etc/ssl/cert.pem")],
        );
        let circle =
            system(&[], &[("etc/ssl/certs", "/etc/ssl/certs"), ("etc/ssl/cert.pem", "../../../../etc/passwd")]);
        let authority = Authority::new().expect("an authority");
        for (root, wanted) in [
            (
                &suse,
                &[
                    ("/var/lib/ca-certificates/pem/ca-certificates.crt", "# theirs"),
                    ("/var/lib/ca-certificates/ca-bundle.pem", "# theirs"),
                    ("/etc/ssl/ca-bundle.pem", "# theirs"),
                    ("/var/lib/ca-certificates/pem/197ce40b.0", ""),
                    ("/var/lib/ca-certificates/openssl/197ce40b.0", ""),
                    ("/var/lib/ca-certificates/java-cacerts", ""),
                    ("/usr/lib64/jvm/jre-17/lib/security/cacerts", ""),
                ][..],
            ),
            (
                &fedora,
                &[
                    ("/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "# theirs"),
                    ("/etc/pki/tls/certs/ca-bundle.crt", "# theirs"),
                    ("/etc/pki/tls/certs/ca-certificates.crt", "# theirs"),
                    ("/etc/pki/tls/certs/197ce40b.0", ""),
                    ("/etc/pki/ca-trust/source/anchors/example-trust-root-g1.pem", ""),
                    ("/etc/pki/ca-trust/extracted/java/cacerts", ""),
                    ("/usr/lib/python3.12/site-packages/certifi/cacert.pem", "# theirs"),
                    ("/etc/pki/nssdb/cert9.db", ""),
                ],
            ),
            (
                &alpine,
                &[
                    ("/etc/ssl/certs/ca-certificates.crt", "# theirs"),
                    ("/etc/ssl/cert.pem", "# theirs"),
                    ("/etc/ssl1.1/cert.pem", "# theirs"),
                    ("/opt/java/openjdk/lib/security/cacerts", ""),
                ],
            ),
            (&circle, &[("/home/anna/.pki/nssdb/cert9.db", ""), ("/etc/ssl/cert.pem", "-----BEGIN")]),
        ] {
            let list = plants(&authority, &Rootfs::Image(root.path().to_path_buf()), Path::new("/home/anna"));
            for (path, begins) in wanted {
                let plant = list.iter().find(|plant| plant.path == path.as_bytes());
                let plant = plant.unwrap_or_else(|| panic!("{path} is not planted"));
                let Content::File(bytes) = &plant.content else { panic!("{path} is no file") };
                assert!(bytes.starts_with(begins.as_bytes()), "{path} keeps what it had");
                let has = |part: &[u8]| memchr::memmem::find(bytes, part).is_some();
                assert!(has(authority.pem().as_bytes()) || has(authority.der()), "{path}");
            }
        }
    }
}
