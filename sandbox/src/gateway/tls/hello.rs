//! Reads a ClientHello (RFC 8446, section 4.1.2) as it stands on the wire, for the record: the name, the protocols, and
//! a fingerprint of the software that made it (JA4, FoxIO's published specification). rustls decides what is answered;
//! what is read here only ever is shown.

use std::fmt::Write as _;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

/// What a ClientHello says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::gateway) struct Hello {
    pub name: Vec<u8>,
    pub protocols: Vec<Vec<u8>>,
    version: u16,
    versions: Vec<u16>,
    ciphers: Vec<u16>,
    extensions: Vec<u16>,
    algorithms: Vec<u16>,
    /// Whether the true name may be hidden (Encrypted Client Hello).
    pub encrypted: bool,
}

const NAME: u16 = 0;
const ALGORITHMS: u16 = 13;
const PROTOCOLS: u16 = 16;
const VERSIONS: u16 = 43;
const ENCRYPTED: u16 = 0xfe0d;

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(head)
    }
    fn number(&mut self, bytes: usize) -> Option<usize> {
        Some(self.take(bytes)?.iter().fold(0, |n, byte| n << 8 | usize::from(*byte)))
    }
    /// A vector whose length comes first, in so many bytes.
    fn vector(&mut self, bytes: usize) -> Option<Reader<'a>> {
        let length = self.number(bytes)?;
        Some(Reader(self.take(length)?))
    }
    fn u16s(&mut self) -> Vec<u16> {
        std::iter::from_fn(|| self.number(2).map(|n| n as u16)).collect()
    }
}

/// Whether these bytes begin a TLS record of a handshake.
pub(in crate::gateway) fn is_hello(bytes: &[u8]) -> bool {
    matches!(bytes, [22, 3, 0..=4, ..])
}

/// Reads what stands in the first records. `None` when it is no whole ClientHello.
pub(in crate::gateway) fn read(bytes: &[u8]) -> Option<Hello> {
    // The message may be cut into several records.
    let (mut records, mut message) = (Reader(bytes), Vec::new());
    while let Some([22, 3, _]) = records.take(3) {
        let Some(record) = records.vector(2) else { break };
        message.extend_from_slice(record.0);
    }
    let mut reader = Reader(&message);
    if reader.number(1)? != 1 {
        return None;
    }
    let mut body = reader.vector(3)?;
    let mut hello = Hello { version: body.number(2)? as u16, ..Hello::default() };
    body.take(32)?;
    body.vector(1)?;
    hello.ciphers = body.vector(2)?.u16s();
    body.vector(1)?;
    let mut extensions = body.vector(2).unwrap_or(Reader(&[]));
    while let Some(kind) = extensions.number(2) {
        let mut data = extensions.vector(2)?;
        hello.extensions.push(kind as u16);
        match kind as u16 {
            NAME => {
                let mut names = data.vector(2)?;
                while let Some(kind) = names.number(1) {
                    let name = names.vector(2)?;
                    if kind == 0 {
                        hello.name = name.0.to_ascii_lowercase();
                    }
                }
            }
            PROTOCOLS => {
                let mut list = data.vector(2)?;
                while let Some(protocol) = list.vector(1) {
                    hello.protocols.push(protocol.0.to_vec());
                }
            }
            VERSIONS => hello.versions = data.vector(1)?.u16s(),
            ALGORITHMS => hello.algorithms = data.vector(2)?.u16s(),
            ENCRYPTED => hello.encrypted = true,
            _ => {}
        }
    }
    Some(hello)
}

/// Values that mean nothing and keep servers tolerant (RFC 8701).
fn is_grease(value: u16) -> bool {
    let [high, low] = value.to_be_bytes();
    high == low && low & 15 == 10
}

/// `ecdsa_secp256r1_sha256` (RFC 8446, section 4.2.3).
const ECDSA: u16 = 0x0403;
/// Of TLS 1.2, those with ECDSA: AES-GCM and ChaCha20 (RFC 5289, RFC 7905).
const ECDSA_CIPHERS: [u16; 3] = [0xc02b, 0xc02c, 0xcca9];
/// All of TLS 1.3 (RFC 8446, appendix B.4), which say nothing of keys.
const CIPHERS_13: std::ops::RangeInclusive<u16> = 0x1301..=0x1305;

impl Hello {
    /// Whether the client can take no certificate with an ECDSA key.
    pub(in crate::gateway) fn wants_rsa(&self) -> bool {
        let newest = self.versions.contains(&0x0304) && self.ciphers.iter().any(|cipher| CIPHERS_13.contains(cipher));
        // Without the extension of TLS 1.2 the ciphers alone decide.
        let signs = self.algorithms.is_empty() || self.algorithms.contains(&ECDSA);
        let agrees = newest || self.ciphers.iter().any(|cipher| ECDSA_CIPHERS.contains(cipher));
        // Of a hello that could not be read nothing is known.
        let fits = signs && agrees;
        !fits && !self.ciphers.is_empty()
    }

    /// The fingerprint.
    pub(in crate::gateway) fn ja4(&self) -> String {
        let real = |list: &[u16]| list.iter().copied().filter(|value| !is_grease(*value)).collect::<Vec<_>>();
        let version = real(&self.versions).into_iter().max().unwrap_or(self.version);
        let version = match version {
            0x0304 => "13",
            0x0303 => "12",
            0x0302 => "11",
            0x0301 => "10",
            0x0300 => "s3",
            _ => "00",
        };
        let (mut ciphers, mut extensions) = (real(&self.ciphers), real(&self.extensions));
        let counts = format!("{:02}{:02}", ciphers.len().min(99), extensions.len().min(99));
        let protocol = match self.protocols.first().map(Vec::as_slice) {
            Some([first, .., last]) if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() => {
                format!("{}{}", char::from(*first), char::from(*last))
            }
            Some([only]) if only.is_ascii_alphanumeric() => format!("{0}{0}", char::from(*only)),
            Some([first, .., last]) => format!("{:x}{:x}", first >> 4, last & 15),
            _ => "00".into(),
        };
        let name = if self.extensions.contains(&NAME) { 'd' } else { 'i' };
        ciphers.sort_unstable();
        extensions.retain(|kind| !matches!(*kind, NAME | PROTOCOLS));
        extensions.sort_unstable();
        let list = |values: &[u16]| values.iter().map(|value| format!("{value:04x}")).collect::<Vec<_>>().join(",");
        let mut third = list(&extensions);
        let algorithms = real(&self.algorithms);
        if !algorithms.is_empty() {
            // Writing to a String cannot fail.
            let _ = write!(third, "_{}", list(&algorithms));
        }
        let hash = |text: &str, empty: bool| {
            if empty {
                "0".repeat(12)
            } else {
                HEXLOWER.encode(Sha256::digest(text.as_bytes()).get(..6).unwrap_or_default())
            }
        };
        let second = hash(&list(&ciphers), ciphers.is_empty());
        format!("t{version}{name}{counts}{protocol}_{second}_{}", hash(&third, extensions.is_empty()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A hello with these parts, in one record.
    fn hello(ciphers: &[u16], extensions: &[(u16, Vec<u8>)]) -> Vec<u8> {
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.push(0);
        body.extend((ciphers.len() as u16 * 2).to_be_bytes());
        body.extend(ciphers.iter().flat_map(|c| c.to_be_bytes()));
        body.extend([1, 0]);
        let list: Vec<u8> = extensions
            .iter()
            .flat_map(|(kind, data)| [&kind.to_be_bytes()[..], &(data.len() as u16).to_be_bytes(), data].concat())
            .collect();
        body.extend((list.len() as u16).to_be_bytes());
        body.extend(list);
        let mut message = vec![1, 0];
        message.extend((body.len() as u16).to_be_bytes());
        message.extend(body);
        let mut record = vec![22, 3, 1];
        record.extend((message.len() as u16).to_be_bytes());
        record.extend(message);
        record
    }

    #[test]
    fn the_published_example_has_its_fingerprint() {
        // The worked example of JA4's technical details: t13d1516h2_8daaf6152771_e5627efa2ab1.
        let ciphers = [
            0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c, 0x009d,
            0x002f, 0x0035,
        ];
        let algorithms = [0x0403u16, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601];
        let mut list = (algorithms.len() as u16 * 2).to_be_bytes().to_vec();
        list.extend(algorithms.iter().flat_map(|a| a.to_be_bytes()));
        let name = b"\0\x06\0\0\x03a.b".to_vec();
        let mut extensions = vec![
            (0x001b, vec![]),
            (NAME, name),
            (0x0033, vec![]),
            (PROTOCOLS, b"\0\x03\x02h2".to_vec()),
            (0x4469, vec![]),
            (0x0017, vec![]),
            (0x002d, vec![]),
            (ALGORITHMS, list),
            (0x0005, vec![]),
            (0x0023, vec![]),
            (0x0012, vec![]),
            (VERSIONS, vec![4, 3, 4, 3, 3]),
            (0xff01, vec![]),
            (0x000b, vec![]),
            (0x000a, vec![]),
            (0x0015, vec![]),
        ];
        extensions.insert(0, (0x0a0a, vec![]));
        let bytes = hello(&[&[0x1a1a], &ciphers[..]].concat(), &extensions);
        assert!(is_hello(&bytes));
        let read = read(&bytes).expect("a hello");
        assert_eq!(read.name, b"a.b");
        assert_eq!(read.ja4(), "t13d1516h2_8daaf6152771_e5627efa2ab1");
    }

    #[test]
    fn clients_without_elliptic_curves_are_told_by_their_hello() {
        let list = |values: &[u16]| {
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_be_bytes()).collect();
            [&(bytes.len() as u16).to_be_bytes()[..], &bytes].concat()
        };
        let versions = |values: &[u16]| list(values).split_off(1);
        for (ciphers, algorithms, offered, want) in [
            (&[0x1301, 0xc02b, 0xc02f][..], &[0x0403, 0x0804][..], &[0x0304, 0x0303][..], false),
            (&[0x1301, 0xc02f], &[0x0804, 0x0401], &[0x0304, 0x0303], true),
            (&[0xc02f, 0xc030], &[0x0403, 0x0401], &[0x0303], true),
            (&[0xc02f, 0x1301], &[0x0403], &[0x0303], true),
            (&[0xc02b], &[], &[0x0303], false),
        ] {
            let mut extensions = vec![(VERSIONS, versions(offered))];
            if !algorithms.is_empty() {
                extensions.push((ALGORITHMS, list(algorithms)));
            }
            let read = read(&hello(ciphers, &extensions)).expect("a hello");
            assert_eq!(read.wants_rsa(), want, "{ciphers:x?} {algorithms:x?}");
        }
        assert!(!Hello::default().wants_rsa(), "what could not be read");
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(mut bytes: Vec<u8>) {
            if bytes.len() > 6 {
                bytes[..6].copy_from_slice(&[22, 3, 1, 0, 90, 1]);
            }
            if let Some(hello) = read(&bytes) {
                prop_assert!(hello.ja4().len() == 36);
            }
        }
    }
}
