//! Whole IP packets, for answers that no socket could send: their source is whatever address and port was asked.

use std::net::{IpAddr, SocketAddr};

/// Hops that an answer may take: what is left of 64 after some.
const LIFE: u8 = 54;
/// Bytes of what is refused that a refusal quotes.
const QUOTED: usize = 512;

/// The sum of RFC 1071 over all parts, each of which but the last has an even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0u64;
    for part in parts {
        let (pairs, rest) = part.as_chunks::<2>();
        sum += pairs.iter().map(|pair| u64::from(u16::from_be_bytes(*pair))).sum::<u64>();
        sum += rest.first().map_or(0, |byte| u64::from(*byte) << 8);
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

/// An IP packet of `body`, with the checksum of its protocol put in at `at`, over a pseudo-header where `pseudo`.
fn packet(from: IpAddr, to: IpAddr, protocol: u8, mut body: Vec<u8>, at: usize, pseudo: bool) -> Vec<u8> {
    let (source, destination) = (octets(from), octets(to));
    let length = body.len() as u32;
    let head = [source.as_slice(), &destination, &length.to_be_bytes(), &[0, 0, 0, protocol]].concat();
    let sum = checksum(&[if pseudo { head.as_slice() } else { &[] }, &body]);
    // 0 would say that there is none (RFC 768).
    let sum = if sum == 0 && protocol == 17 { 0xffff } else { sum };
    if let Some(place) = body.get_mut(at..at + 2) {
        place.copy_from_slice(&sum.to_be_bytes());
    }
    let mut packet = Vec::with_capacity(40 + body.len());
    if from.is_ipv4() {
        packet.extend([0x45, 0]);
        packet.extend((20 + body.len() as u16).to_be_bytes());
        packet.extend([0, 0, 0, 0, LIFE, protocol, 0, 0]);
        packet.extend(source);
        packet.extend(destination);
        let sum = checksum(&[&packet]);
        if let Some(place) = packet.get_mut(10..12) {
            place.copy_from_slice(&sum.to_be_bytes());
        }
    } else {
        packet.extend([0x60, 0, 0, 0]);
        packet.extend((body.len() as u16).to_be_bytes());
        packet.extend([protocol, LIFE]);
        packet.extend(source);
        packet.extend(destination);
    }
    packet.extend(body);
    packet
}

/// A datagram. Both addresses are of one family.
pub(super) fn datagram(from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(8 + payload.len());
    body.extend(from.port().to_be_bytes());
    body.extend(to.port().to_be_bytes());
    body.extend((8 + payload.len() as u16).to_be_bytes());
    body.extend([0, 0]);
    body.extend_from_slice(payload);
    packet(from.ip(), to.ip(), 17, body, 6, true)
}

/// "Port unreachable" for a datagram that came from `to` (RFC 792, RFC 4443).
pub(super) fn unreachable(from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let quoted = datagram(to, from, payload);
    let quoted = quoted.get(..QUOTED).unwrap_or(&quoted);
    let (kind, code, protocol) = if from.is_ipv4() { (3, 3, 1) } else { (1, 4, 58) };
    let body = [&[kind, code, 0, 0, 0, 0, 0, 0], quoted].concat();
    packet(from.ip(), to.ip(), protocol, body, 2, !from.is_ipv4())
}

/// The answer to an echo request over IPv4.
pub(super) fn echo_reply(from: IpAddr, to: IpAddr, request: &[u8]) -> Option<Vec<u8>> {
    let rest = request.get(4..)?;
    (from.is_ipv4() && request.first() == Some(&8))
        .then(|| packet(from, to, 1, [&[0, 0, 0, 0], rest].concat(), 2, false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_right() {
        // Over the whole with its own sum in it, the sum is nought.
        let v4 = datagram("203.0.113.9:53".parse().expect("ip"), "10.20.0.15:4444".parse().expect("ip"), b"abc");
        assert_eq!(checksum(&[&v4[..20]]), 0);
        let pseudo = [&v4[12..20], &[0, 17, 0, 11]].concat();
        assert_eq!(checksum(&[&pseudo, &v4[20..]]), 0);
        let v6 = datagram("[2001:db8::9]:53".parse().expect("ip"), "[fd00::15]:4444".parse().expect("ip"), b"abcd");
        let pseudo = [&v6[8..40], &[0, 0, 0, 12, 0, 0, 0, 17]].concat();
        assert_eq!(checksum(&[&pseudo, &v6[40..]]), 0);
        let echo = echo_reply(
            "203.0.113.9".parse().expect("ip"),
            "10.20.0.15".parse().expect("ip"),
            &[8, 0, 9, 9, 0, 7, 0, 1, 5],
        );
        assert_eq!(checksum(&[&echo.expect("a reply")[20..]]), 0);
    }
}
