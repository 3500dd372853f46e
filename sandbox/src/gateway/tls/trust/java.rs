//! Java's key store, in the older of its two formats (JKS): every Java reads it, also one that asks for PKCS #12, since
//! both are told apart by their first bytes (JEP 229).

use sha1::{Digest as _, Sha1};

/// A key store of version 2 that trusts one certificate, under Java's usual password. Its digest is that of
/// `sun.security.provider.JavaKeyStore`: password in UTF-16, a phrase, the contents.
pub(super) fn store(der: &[u8]) -> Vec<u8> {
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
    let digest = Sha1::digest([password.as_slice(), b"Mighty Aphrodite", &store].concat());
    store.extend_from_slice(&digest);
    store
}
