//! The digests that a value may be disguised as.

use blake2::{Blake2b512, Blake2s256};
use hmac::{EagerHash, Hmac, KeyInit as _, Mac as _};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};
use sha3::{Sha3_256, Sha3_384, Sha3_512};

use super::encoding::Encoding;

/// Longest digest.
pub(super) const LONGEST: usize = 64;
/// Every digest searched, with its length in bytes.
pub(super) const ALL: [(Encoding, usize); 12] = [
    (Encoding::Md5, 16),
    (Encoding::Sha1, 20),
    (Encoding::Sha224, 28),
    (Encoding::Sha256, 32),
    (Encoding::Sha384, 48),
    (Encoding::Sha512, 64),
    (Encoding::Sha3256, 32),
    (Encoding::Sha3384, 48),
    (Encoding::Sha3512, 64),
    (Encoding::Blake2b, 64),
    (Encoding::Blake2s, 32),
    (Encoding::Blake3, 32),
];
/// Those that keyed and salted ones are tried with: what libraries offer first.
pub(super) const SALTED: [(Encoding, usize); 4] =
    [(Encoding::Md5, 16), (Encoding::Sha1, 20), (Encoding::Sha256, 32), (Encoding::Sha512, 64)];

/// A digest, zeros behind it.
pub(super) type Output = [u8; LONGEST];

fn fill(digest: &[u8]) -> Output {
    let mut output = [0; LONGEST];
    for (to, from) in output.iter_mut().zip(digest) {
        *to = *from;
    }
    output
}

fn hash<D: Digest>(parts: &[&[u8]]) -> Output {
    let mut digest = D::new();
    for part in parts {
        digest.update(part);
    }
    fill(&digest.finalize())
}

fn keyed<D: EagerHash>(key: &[u8], value: &[u8]) -> Output {
    // RFC 2104 takes keys of any length.
    let Ok(mut mac) = Hmac::<D>::new_from_slice(key) else { return [0; LONGEST] };
    mac.update(value);
    fill(&mac.finalize().into_bytes())
}

/// The digest of `parts` one behind the other; zeros where `which` names none.
pub(super) fn digest(which: Encoding, parts: &[&[u8]]) -> Output {
    match which {
        Encoding::Md5 => hash::<Md5>(parts),
        Encoding::Sha1 => hash::<Sha1>(parts),
        Encoding::Sha224 => hash::<Sha224>(parts),
        Encoding::Sha256 => hash::<Sha256>(parts),
        Encoding::Sha384 => hash::<Sha384>(parts),
        Encoding::Sha512 => hash::<Sha512>(parts),
        Encoding::Sha3256 => hash::<Sha3_256>(parts),
        Encoding::Sha3384 => hash::<Sha3_384>(parts),
        Encoding::Sha3512 => hash::<Sha3_512>(parts),
        Encoding::Blake2b => hash::<Blake2b512>(parts),
        Encoding::Blake2s => hash::<Blake2s256>(parts),
        Encoding::Blake3 => {
            let mut hasher = blake3::Hasher::new();
            for part in parts {
                hasher.update(part);
            }
            fill(hasher.finalize().as_bytes())
        }
        _ => [0; LONGEST],
    }
}

/// The keyed digest (HMAC) of `value`; zeros where `which` has none.
pub(super) fn hmac(which: Encoding, key: &[u8], value: &[u8]) -> Output {
    match which {
        Encoding::Md5 => keyed::<Md5>(key, value),
        Encoding::Sha1 => keyed::<Sha1>(key, value),
        Encoding::Sha256 => keyed::<Sha256>(key, value),
        Encoding::Sha512 => keyed::<Sha512>(key, value),
        _ => [0; LONGEST],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::HEXLOWER;

    /// First bytes of the digests of `abc`, as the standards and sum programs give them.
    #[test]
    fn digests_are_those_of_the_standards() {
        let known = [
            (Encoding::Md5, "900150983cd24fb0"),
            (Encoding::Sha1, "a9993e364706816a"),
            (Encoding::Sha224, "23097d223405d822"),
            (Encoding::Sha256, "ba7816bf8f01cfea"),
            (Encoding::Sha384, "cb00753f45a35e8b"),
            (Encoding::Sha512, "ddaf35a193617aba"),
            (Encoding::Sha3256, "3a985da74fe225b2"),
            (Encoding::Sha3384, "ec01498288516fc9"),
            (Encoding::Sha3512, "b751850b1a57168a"),
            (Encoding::Blake2b, "ba80a53f981c4d0d"),
            (Encoding::Blake2s, "508c5e8c327c14e2"),
            (Encoding::Blake3, "6437b3ac38465133"),
        ];
        assert_eq!(known.map(|(which, _)| which), ALL.map(|(which, _)| which));
        for (which, hex) in known {
            assert_eq!(HEXLOWER.encode(&digest(which, &[b"a", b"bc"])[..8]), hex, "{which:?}");
        }
        // RFC 4231, test case 2, and RFC 2202.
        let text = b"what do ya want for nothing?";
        assert_eq!(HEXLOWER.encode(&hmac(Encoding::Sha256, b"Jefe", text)[..8]), "5bdcc146bf60754e");
        assert_eq!(HEXLOWER.encode(&hmac(Encoding::Md5, b"Jefe", text)[..8]), "750c783e6ab0b503");
    }
}
