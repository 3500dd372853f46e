//! The few fields of a frame that the capture itself needs: who sent it to whom by which protocol. Frames come from the
//! subject, so every length is looked at before it is believed; what does not fit is simply not dissected, and is
//! recorded all the same.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Extension headers of IPv6 that are stepped over (RFC 8200): hop-by-hop, routing, destination.
const EXTENSIONS: [u8; 3] = [0, 43, 60];
/// How many of them at most.
const EXTENSIONS_MAX: usize = 8;

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gateway) struct Dissected<'a> {
    /// Who sent it, as it says.
    pub source: IpAddr,
    /// To whom.
    pub destination: IpAddr,
    /// The protocol's number (`IPPROTO_...`).
    pub protocol: u8,
    /// What follows the IP headers.
    pub body: &'a [u8],
}

/// Dissects an Ethernet frame of IPv4 or IPv6.
pub(super) fn dissect(frame: &[u8]) -> Option<Dissected<'_>> {
    let (head, packet) = frame.split_at_checked(14)?;
    match head.get(12..14)? {
        [0x08, 0x00] => ipv4(packet),
        [0x86, 0xdd] => ipv6(packet),
        _ => None,
    }
}

fn ipv4(packet: &[u8]) -> Option<Dissected<'_>> {
    let header = usize::from(packet.first()? & 15) * 4;
    let total = usize::from(u16::from_be_bytes(*packet.get(2..)?.first_chunk()?));
    // 0 stands for "longer than can be said": segments that the kernel has not cut yet.
    let end = if total == 0 { packet.len() } else { total.min(packet.len()) };
    let address = |at: usize| Some(Ipv4Addr::from(*packet.get(at..)?.first_chunk::<4>()?));
    Some(Dissected {
        source: address(12)?.into(),
        destination: address(16)?.into(),
        protocol: *packet.get(9)?,
        body: packet.get(header.max(20)..end)?,
    })
}

fn ipv6(packet: &[u8]) -> Option<Dissected<'_>> {
    let address = |at: usize| Some(Ipv6Addr::from(*packet.get(at..)?.first_chunk::<16>()?));
    let (source, destination) = (address(8)?.into(), address(24)?.into());
    let (mut protocol, mut body) = (*packet.get(6)?, packet.get(40..)?);
    for _ in 0..EXTENSIONS_MAX {
        if !EXTENSIONS.contains(&protocol) {
            break;
        }
        let length = (usize::from(*body.get(1)?) + 1) * 8;
        (protocol, body) = (*body.first()?, body.get(length..)?);
    }
    Some(Dissected { source, destination, protocol, body })
}

/// Source and destination port of TCP or UDP.
pub(super) fn ports(body: &[u8]) -> Option<(u16, u16)> {
    let [a, b, c, d] = *body.first_chunk::<4>()?;
    Some((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_echo_request_is_told() {
        let mut frame = vec![0; 12];
        frame.extend([0x08, 0]);
        frame.extend([0x45, 0, 0, 28, 0, 0, 0, 0, 64, 1, 0, 0, 10, 20, 0, 15, 203, 0, 113, 9]);
        frame.extend([8, 0, 0, 0, 0, 7, 0, 1, 0xee, 0xee]); // two bytes of padding
        let seen = dissect(&frame).expect("IPv4");
        assert_eq!((seen.protocol, seen.body), (1, &[8, 0, 0, 0, 0, 7, 0, 1][..]));
        assert_eq!(seen.destination.to_string(), "203.0.113.9");
    }

    proptest! {
        #[test]
        fn no_frame_is_too_strange(mut frame: Vec<u8>, v6: bool) {
            if frame.len() > 14 {
                frame[12..14].copy_from_slice(if v6 { &[0x86, 0xdd] } else { &[8, 0] });
            }
            if let Some(seen) = dissect(&frame) {
                prop_assert!(seen.body.len() <= frame.len());
                let _ = ports(seen.body);
            }
        }
    }
}
