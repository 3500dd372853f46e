//! The session's certificate authority: one key, made for this session and forgotten with it, that the jail's trust
//! stores are told to trust, and certificates by it for whatever name is asked for.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_RSA_SHA256, SanType, SerialNumber, date_time_ymd,
};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};

/// What the authority is called. Trust stores by hash of the name (OpenSSL's) depend on it: see [`super::trust`].
pub(super) const ORGANISATION: &str = "Example Trust Services";
pub(super) const COMMON_NAME: &str = "Example Trust Root G1";
/// Certificates kept ready.
const KEPT: usize = 4096;
const DAY: Duration = Duration::from_hours(24);

/// No key or certificate could be made.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot make the session's certificate authority: {0}; this is a fault of the machine's random numbers, or of belljar"
)]
pub struct AuthorityError(String);

/// What a certificate's key is for. The authority's own is of elliptic curves in either case: clients that ask for RSA
/// by their choice of ciphers look at the server's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::gateway) enum Algorithm {
    Ecdsa,
    Rsa,
}

/// Certificates by what they are for: a kind of key, and a name or an address as text.
type Kept = HashMap<(Algorithm, Vec<u8>), Arc<CertifiedKey>>;

/// The authority of one session.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: Certificate,
    /// All certificates have this key: making one takes as long as everything else.
    key: KeyPair,
    /// The same for clients that know no elliptic curves; made when the first of them comes, since it takes long.
    rsa: OnceLock<Option<KeyPair>>,
    kept: Mutex<Kept>,
}

impl fmt::Debug for Authority {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Authority") // its key is nobody's business
    }
}

impl Authority {
    /// A new one.
    pub fn new() -> Result<Self, AuthorityError> {
        let failed = |error: rcgen::Error| AuthorityError(error.to_string());
        let key = KeyPair::generate().map_err(failed)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, ORGANISATION);
        params.distinguished_name.push(DnType::CommonName, COMMON_NAME);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        params.not_before = date_time_ymd(2021, 3, 1);
        params.not_after = date_time_ymd(2046, 3, 1);
        let certificate = params.self_signed(&key).map_err(failed)?;
        Ok(Self {
            issuer: Issuer::new(params, key),
            certificate,
            key: KeyPair::generate().map_err(failed)?,
            rsa: OnceLock::new(),
            kept: Mutex::default(),
        })
    }

    /// Whether a certificate for RSA can be made at once.
    pub(in crate::gateway) fn has_rsa(&self) -> bool {
        self.rsa.get().is_some()
    }

    /// Its certificate as PEM.
    pub fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// Its certificate as DER.
    pub fn der(&self) -> &[u8] {
        self.certificate.der()
    }

    /// A certificate for a name, or an address where there is none. `None` when the name cannot be in a certificate.
    ///
    /// The first one for RSA takes a tenth of a second, or several.
    pub(in crate::gateway) fn certificate(
        &self,
        name: &[u8],
        address: IpAddr,
        algorithm: Algorithm,
    ) -> Option<Arc<CertifiedKey>> {
        let place = if name.is_empty() { address.to_string().into_bytes() } else { name.to_vec() };
        let place = (algorithm, place);
        let key = match algorithm {
            Algorithm::Ecdsa => &self.key,
            Algorithm::Rsa => self.rsa.get_or_init(|| KeyPair::generate_for(&PKCS_RSA_SHA256).ok()).as_ref()?,
        };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(certificate) = kept.get(&place) {
            return Some(Arc::clone(certificate));
        }
        let made = Arc::new(self.make(name, address, key)?);
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(place, Arc::clone(&made));
        Some(made)
    }

    fn make(&self, name: &[u8], address: IpAddr, key: &KeyPair) -> Option<CertifiedKey> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let text = std::str::from_utf8(name).ok()?;
        if text.is_empty() {
            params.subject_alt_names = vec![SanType::IpAddress(address)];
            params.distinguished_name.push(DnType::CommonName, address.to_string());
        } else {
            params.subject_alt_names = vec![SanType::DnsName(text.try_into().ok()?)];
            // A common name has at most 64 characters (RFC 5280, appendix A.1).
            if text.len() <= 64 {
                params.distinguished_name.push(DnType::CommonName, text);
            }
        }
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        params.not_before = date_time_ymd(1970, 1, 1) + now.saturating_sub(DAY * 30);
        params.not_after = date_time_ymd(1970, 1, 1) + now + DAY * 60;
        let digest = Sha256::digest([name, address.to_string().as_bytes(), key.public_key_raw()].concat());
        params.serial_number = digest.first_chunk::<16>().map(|bytes| SerialNumber::from_slice(bytes));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(key, &self.issuer).ok()?;
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let chain = vec![certificate.der().clone(), self.certificate.der().clone()];
        Some(CertifiedKey::new(chain, any_supported_type(&der).ok()?))
    }
}
