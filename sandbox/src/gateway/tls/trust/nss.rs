//! The shared database of NSS (`~/.pki/nssdb`), by which Chromium and its kin trust: `cert9.db` holds the certificate
//! and what it is trusted for, `key4.db` the integrity of that, `pkcs11.txt` says how both are opened.
//!
//! The database has the empty password, as one that Chromium makes. Trust is believed only where each attribute has its
//! signature, by a key made of password and salt (NSS, lib/softoken: sftkdb.c, sftkpwd.c, lowpbe.c): an HMAC over
//! object, attribute and value. Object classes, attributes and trust are numbers of PKCS #11 and of NSS's own
//! (`nssutil/pkcs11n.h`), written with four bytes.

use aws_lc_rs::cipher::{AES_256, EncryptionContext, PaddedBlockEncryptingKey, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::{hmac, pbkdf2};
use rusqlite::{Connection, params};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use crate::gateway::tls::authority::{COMMON_NAME, ORGANISATION};

/// Columns of the object tables, one for each attribute that NSS knows: first and last number of each run.
const COLUMNS: [(u32, u32); 24] = [
    (0, 3),
    (0x10, 0x12),
    (0x80, 0x8b),
    (0x90, 0x90),
    (0x100, 0x10c),
    (0x110, 0x111),
    (0x120, 0x134),
    (0x160, 0x166),
    (0x170, 0x170),
    (0x180, 0x181),
    (0x200, 0x202),
    (0x210, 0x210),
    (0x300, 0x302),
    (0x400, 0x406),
    (0x480, 0x482),
    (0x500, 0x503),
    (0x4000_0211, 0x4000_0212),
    (0x8000_0001, 0x8000_0001),
    (0xce53_4351, 0xce53_4358),
    (0xce53_4364, 0xce53_4369),
    (0xce53_4373, 0xce53_4374),
    (0xce53_6351, 0xce53_6360),
    (0xce53_63b4, 0xce53_63b5),
    (0xd5a0_db00, 0xd5a0_db00),
];
/// Numbers of the two objects: any that are not zero.
const CERTIFICATE: u32 = 0x2490_0001;
const TRUST: u32 = 0x2490_0002;
/// `CKO_NSS_TRUST`, and what it can say: `CKT_NSS_TRUSTED_DELEGATOR`, `_VALID_DELEGATOR`, `_MUST_VERIFY_TRUST`, as
/// `certutil -t C,,` says it.
const CLASS_TRUST: u32 = 0xce53_4353;
const DELEGATOR: u32 = 0xce53_4352;
const VALID: u32 = 0xce53_435b;
const VERIFY: u32 = 0xce53_4353;

/// The settings that `certutil -N` writes.
pub(super) fn settings(directory: &str) -> Vec<u8> {
    format!(
        "library=\nname=NSS Internal PKCS #11 Module\nparameters=configdir='sql:{directory}' certPrefix='' \
         keyPrefix='' secmod='secmod.db' flags= updatedir='' updateCertPrefix='' updateKeyPrefix='' updateid='' \
         updateTokenDescription='' \nNSS=Flags=internal,critical trustOrder=75 cipherOrder=100 \
         slotParams=(1={{slotFlags=[ECC,RSA,DSA,DH,RC2,RC4,DES,RANDOM,SHA1,MD5,MD2,SSL,TLS,AES,Camellia,SEED,SHA256,\
         SHA512] askpw=any timeout=30}})\n\n"
    )
    .into_bytes()
}

/// Certificates and keys, as files. `None` when SQLite, in memory, fails.
pub(super) fn databases(der: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let signer = Signer::new(der);
    let sha1 = Sha1::digest(der).to_vec();
    let (subject, serial) = (subject(), serial(der)?);
    let class = |number: u32| number.to_be_bytes().to_vec();
    let trust: [(u32, Vec<u8>); 6] = [
        (0xce53_6358, class(DELEGATOR)), // server
        (0xce53_6359, class(VALID)),     // client
        (0xce53_635a, class(VERIFY)),    // code
        (0xce53_635b, class(VERIFY)),    // mail
        (0xce53_6360, vec![0]),          // no step-up
        (0xce53_63b4, sha1.clone()),
    ];

    let keys = Connection::open_in_memory().ok()?;
    tables(&keys, "nssPrivate")?;
    keys.execute_batch("CREATE TABLE metaData (id PRIMARY KEY UNIQUE ON CONFLICT REPLACE, item1, item2);").ok()?;
    let meta = "INSERT INTO metaData (id, item1, item2) VALUES (?1, ?2, ?3)";
    keys.execute(meta, params!["password", signer.salt, signer.check()?]).ok()?;
    for (attribute, value) in &trust {
        let name = format!("sig_cert_{TRUST:08x}_{attribute:08x}");
        keys.execute(meta, params![name, signer.sign(TRUST, *attribute, value), None::<Vec<u8>>]).ok()?;
    }

    let certificates = Connection::open_in_memory().ok()?;
    tables(&certificates, "nssPublic")?;
    let common = [
        (0x1, vec![1]), // kept,
        (0x2, vec![0]), // not secret,
        (0x170, vec![1]),
        (0x81, subject.clone()), // its own issuer
        (0x82, serial),
    ];
    let certificate = [
        (0x0, class(1)), // CKO_CERTIFICATE
        (0x3, COMMON_NAME.as_bytes().to_vec()),
        (0x11, der.to_vec()),
        (0x80, class(0)), // CKC_X_509
        (0x101, subject),
        (0x102, sha1),
    ];
    insert(&certificates, CERTIFICATE, certificate.iter().chain(&common))?;
    let kind = [(0x0, class(CLASS_TRUST)), (0x3, vec![0xa5, 0, 0x5a])]; // a label that is empty
    insert(&certificates, TRUST, kind.iter().chain(&common).chain(&trust))?;
    let file = |mut database: Connection| Some(database.serialize("main").ok()?.to_vec());
    Some((file(certificates)?, file(keys)?))
}

fn tables(database: &Connection, name: &str) -> Option<()> {
    let mut columns = String::new();
    for number in COLUMNS.iter().flat_map(|(first, last)| *first..=*last) {
        columns += &format!(", a{number:x}");
    }
    database
        .execute_batch(&format!(
            "CREATE TABLE {name} (id PRIMARY KEY UNIQUE ON CONFLICT ABORT{columns});\
             CREATE INDEX issuer ON {name} (a81);\
             CREATE INDEX subject ON {name} (a101);\
             CREATE INDEX label ON {name} (a3);\
             CREATE INDEX ckaid ON {name} (a102);"
        ))
        .ok()
}

fn insert<'a>(database: &Connection, object: u32, values: impl Iterator<Item = &'a (u32, Vec<u8>)>) -> Option<()> {
    database.execute("INSERT INTO nssPublic (id) VALUES (?1)", params![object]).ok()?;
    for (attribute, value) in values {
        let set = format!("UPDATE nssPublic SET a{attribute:x} = ?1 WHERE id = ?2");
        database.execute(&set, params![value, object]).ok()?;
    }
    Some(())
}

/// What keys are made of: here, the empty password and a salt.
struct Signer {
    salt: Vec<u8>,
    password: Vec<u8>,
    /// What the salts of single signatures are drawn from.
    seed: Vec<u8>,
}

impl Signer {
    fn new(der: &[u8]) -> Self {
        let seed = Sha256::digest(der).to_vec();
        let salt = seed.get(..20).unwrap_or_default().to_vec();
        // The password is empty.
        Self { password: Sha1::digest(&salt).to_vec(), salt, seed }
    }

    /// A salt, and the key that follows from it: with the empty password NSS goes round once.
    fn key(&self, of: &[u8]) -> (Vec<u8>, [u8; 32]) {
        let salt = Sha256::digest([&self.seed, of].concat()).to_vec();
        let mut key = [0; 32];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, std::num::NonZeroU32::MIN, &salt, &self.password, &mut key);
        (salt, key)
    }

    /// The known text by which NSS tells whether a password is right, encrypted (PBES2, AES-256 in CBC mode). What
    /// counts as the initialisation vector is the whole encoding of 14 bytes (RFC 8018 wants 16; NSS keeps to 14).
    fn check(&self) -> Option<Vec<u8>> {
        let (salt, key) = self.key(b"password");
        let mut iv = [0; 16];
        iv[..2].copy_from_slice(&[4, 14]);
        iv[2..].copy_from_slice(self.seed.get(..14)?);
        let cipher = PaddedBlockEncryptingKey::cbc_pkcs7(UnboundCipherKey::new(&AES_256, &key).ok()?).ok()?;
        let mut text = b"password-check".to_vec();
        let context = EncryptionContext::Iv128(FixedLength::from(iv));
        cipher.less_safe_encrypt(&mut text, context).ok()?;
        let aes = sequence(&[oid(b"\x60\x86\x48\x01\x65\x03\x04\x01\x2a"), iv.to_vec()]);
        let scheme = sequence(&[derivation(&salt), aes]);
        let algorithm = sequence(&[oid(b"\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0d"), scheme]);
        Some(sequence(&[algorithm, tagged(4, &text)]))
    }

    /// The signature of an attribute (PBMAC1).
    fn sign(&self, object: u32, attribute: u32, value: &[u8]) -> Vec<u8> {
        let (salt, key) = self.key(&attribute.to_be_bytes());
        let message = [&object.to_be_bytes()[..], &attribute.to_be_bytes(), value].concat();
        let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), &message);
        let scheme = sequence(&[derivation(&salt), hmac_sha256()]);
        let algorithm = sequence(&[oid(b"\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0e"), scheme]);
        sequence(&[algorithm, tagged(4, signature.as_ref())])
    }
}

/// PBKDF2 with this salt, once round, for a key of 32 bytes.
fn derivation(salt: &[u8]) -> Vec<u8> {
    let parameters = sequence(&[tagged(4, salt), tagged(2, &[1]), tagged(2, &[32]), hmac_sha256()]);
    sequence(&[oid(b"\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0c"), parameters])
}

fn hmac_sha256() -> Vec<u8> {
    sequence(&[oid(b"\x2a\x86\x48\x86\xf7\x0d\x02\x09")])
}

/// The authority's name.
fn subject() -> Vec<u8> {
    let part = |kind: u8, text: &str| tagged(0x31, &sequence(&[oid(&[0x55, 4, kind]), tagged(12, text.as_bytes())]));
    sequence(&[part(10, ORGANISATION), part(3, COMMON_NAME)])
}

/// The serial number as it stands in a certificate of version 3: it follows the version.
fn serial(der: &[u8]) -> Option<Vec<u8>> {
    let rest = der.get(memchr::memmem::find(der, &[0xa0, 3, 2, 1, 2])? + 5..)?;
    rest.get(..2 + usize::from(*rest.get(1)?)).map(<[u8]>::to_vec)
}

fn oid(bytes: &[u8]) -> Vec<u8> {
    tagged(6, bytes)
}

fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
    tagged(0x30, &parts.concat())
}

/// Tag, length, value (DER); the length is below 256 here.
fn tagged(tag: u8, value: &[u8]) -> Vec<u8> {
    let length = value.len() as u8;
    let head = if length < 128 { vec![tag, length] } else { vec![tag, 0x81, length] };
    [head.as_slice(), value].concat()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::gateway::tls::authority::Authority;

    #[test]
    fn certutil_takes_the_database_for_its_own() {
        let authority = Authority::new().expect("an authority");
        assert!(memchr::memmem::find(authority.der(), &subject()).is_some());
        let directory = tempfile::tempdir().expect("tempdir");
        let place = directory.path().to_str().expect("text");
        let (certificates, keys) = databases(authority.der()).expect("databases");
        for (name, bytes) in [("cert9.db", certificates), ("key4.db", keys), ("pkcs11.txt", settings(place))] {
            std::fs::write(directory.path().join(name), bytes).expect("write");
        }
        let certutil = |arguments: &[&str]| {
            let output = Command::new("certutil")
                .args(arguments)
                .arg("-d")
                .arg(format!("sql:{place}"))
                .output()
                .expect("certutil is installed (apt-get install libnss3-tools)");
            assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        let list = certutil(&["-L"]);
        assert!(list.lines().any(|line| line.starts_with(COMMON_NAME) && line.trim_end().ends_with("C,,")), "{list}");
        // With the password given the signatures are looked at.
        let empty = directory.path().join("empty");
        std::fs::write(&empty, "\n").expect("write");
        let file = empty.to_str().expect("text");
        let list = certutil(&["-L", "-f", file]);
        assert!(list.lines().any(|line| line.starts_with(COMMON_NAME) && line.trim_end().ends_with("C,,")), "{list}");
        assert_eq!(certutil(&["-L", "-n", COMMON_NAME, "-a"]).replace('\r', ""), authority.pem());
        certutil(&["-V", "-n", COMMON_NAME, "-u", "L", "-f", file]);
        // What is trusted otherwise than was signed is not believed.
        let spoilt = Connection::open(directory.path().join("cert9.db")).expect("open");
        spoilt
            .execute("UPDATE nssPublic SET ace536358 = ?1 WHERE id = ?2", params![VERIFY.to_be_bytes().to_vec(), TRUST])
            .expect("update");
        let list = certutil(&["-L", "-f", file]);
        assert!(!list.contains("C,,"), "{list}");
    }
}
