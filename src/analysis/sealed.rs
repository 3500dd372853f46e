//! Bytes that say nothing for themselves: records of TLS, whose contents are searched where the gateway opens them.
//!
//! Whatever is sent over TCP to another machine arrives at the gateway, which searches it: in the clear where it could
//! open it, as it came where it could not. To search a cipher's bytes in the call that sent them would find nothing, and
//! takes as long as searching what they mean.

/// Content type of records of application data, and their version whatever is spoken (RFC 8446, 5.1 and 5.2).
const HEAD: [u8; 3] = [23, 3, 3];
/// Bytes of a record's head, with its length.
pub(super) const HEAD_LENGTH: usize = 5;
/// Longest record: 2^14 bytes, and what TLS 1.2 allows a cipher to add (RFC 5246, 6.2.3).
const LONGEST: usize = (1 << 14) + 2048;

/// Whether these bytes are records of application data from the first to the last, which may be cut short.
pub(super) fn is_sealed(mut bytes: &[u8]) -> bool {
    let mut any = false;
    while let Some((head, rest)) = bytes.split_first_chunk::<HEAD_LENGTH>() {
        let [kind @ .., high, low] = *head;
        let length = usize::from(u16::from_be_bytes([high, low]));
        if kind != HEAD || !(1..=LONGEST).contains(&length) {
            return false;
        }
        any = true;
        bytes = rest.get(length..).unwrap_or_default();
    }
    any && HEAD.starts_with(bytes.get(..HEAD.len()).unwrap_or(bytes))
}

#[cfg(test)]
mod tests {
    use belljar_sandbox::event::{Kind, Traffic};

    use super::*;
    use crate::analysis::tests::{MAIL, start, step, tcp};

    #[test]
    fn only_whole_chains_of_records_are() {
        let record = |kind: u8, content: &[u8]| [&[kind, 3, 3, 0, content.len() as u8], content].concat();
        let one = record(23, b"sixteen or more of them");
        assert!(is_sealed(&one) && is_sealed(&[&one[..], &one].concat()));
        assert!(is_sealed(&one[..20]), "cut short");
        assert!(is_sealed(&[&one[..], &[23, 3]].concat()));
        for other in [
            [&one[..], b"and more"].concat(),
            record(22, b"a handshake"),
            [&one[..], &record(21, b"an alert")].concat(),
            one[..4].to_vec(),
            b"\x17\x03\x03\x00\x00".to_vec(),
            b"\x17\x03\x03\xff\xff".to_vec(),
            Vec::new(),
        ] {
            assert!(!is_sealed(&other), "{other:?}");
        }
    }

    #[test]
    fn what_is_sealed_is_searched_where_it_is_opened() {
        let record = [&[23, 3, 3, 0, MAIL.len() as u8], MAIL.as_bytes()].concat();
        for answered in [false, true] {
            let mut session = start();
            session.read_customers(1);
            let peer = tcp("198.51.100.7:443");
            if answered {
                session.feed(step("", 1, peer.clone()).kind(Kind::Traffic(Traffic::Connection)));
            }
            session.feed(step("write", 1, peer.clone()).payload(&record));
            assert_eq!(session.findings().len(), if answered { 1 } else { 2 }, "what looks like it may be none");
            // It was none: the gateway has it as it came.
            session.feed(step("", 1, peer).kind(Kind::Traffic(Traffic::Sent)).payload(&record));
            assert_eq!(session.findings().len(), 2);
        }
    }
}
