//! Socket addresses as text, and what they say of where the bytes go.

use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

/// `AF_INET`, `AF_INET6`, `AF_UNIX` and `AF_NETLINK` as they stand in an address's first two bytes.
const INET: u16 = libc::AF_INET as u16;
const INET6: u16 = libc::AF_INET6 as u16;
const UNIX: u16 = libc::AF_UNIX as u16;
const NETLINK: u16 = libc::AF_NETLINK as u16;

fn port(bytes: [u8; 2]) -> u16 {
    u16::from_be_bytes(bytes)
}

/// Appends an address as text: `203.0.113.9:80`, `[2001:db8::1]:80`, a unix path or `@name`, `netlink:pid:groups`,
/// `family:N` and hexadecimal bytes for others. Nothing for an address too short to have a family, or a unix one
/// without a name.
pub(super) fn format(address: &[u8], out: &mut Vec<u8>) {
    let Some((family, rest)) = address.split_first_chunk::<2>() else { return };
    // Writing to a Vec cannot fail.
    match (u16::from_le_bytes(*family), rest) {
        (INET, [p0, p1, a, b, c, d, ..]) => {
            let _ = write!(out, "{}:{}", Ipv4Addr::new(*a, *b, *c, *d), port([*p0, *p1]));
        }
        (INET6, [p0, p1, _, _, _, _, rest @ ..]) if rest.len() >= 16 => {
            let ip: [u8; 16] = rest.first_chunk().copied().unwrap_or_default();
            let _ = write!(out, "[{}]:{}", Ipv6Addr::from(ip), port([*p0, *p1]));
        }
        (UNIX, [0, name @ ..]) => {
            out.push(b'@');
            out.extend_from_slice(name);
        }
        (UNIX, path) => {
            let end = memchr::memchr(0, path).unwrap_or(path.len());
            out.extend_from_slice(path.get(..end).unwrap_or_default());
        }
        (NETLINK, [_, _, p0, p1, p2, p3, g0, g1, g2, g3, ..]) => {
            let (pid, groups) = (u32::from_le_bytes([*p0, *p1, *p2, *p3]), u32::from_le_bytes([*g0, *g1, *g2, *g3]));
            let _ = write!(out, "netlink:{pid}:{groups:#x}");
        }
        (family, rest) => {
            let _ = write!(out, "family:{family}");
            for (i, byte) in rest.iter().take(32).enumerate() {
                let _ = write!(out, "{}{byte:02x}", if i == 0 { ":" } else { "" });
            }
        }
    }
}

/// Whether this is an internet address that leads out of the machine: not loopback, and not the unspecified address,
/// which Linux takes for loopback.
pub(super) fn leads_out(address: &[u8]) -> bool {
    let Some((family, rest)) = address.split_first_chunk::<2>() else { return false };
    let out4 = |ip: Ipv4Addr| !ip.is_loopback() && !ip.is_unspecified();
    match (u16::from_le_bytes(*family), rest) {
        (INET, [_, _, a, b, c, d, ..]) => out4(Ipv4Addr::new(*a, *b, *c, *d)),
        (INET6, [_, _, _, _, _, _, rest @ ..]) => match rest.first_chunk::<16>() {
            Some(ip) => {
                let ip = Ipv6Addr::from(*ip);
                ip.to_ipv4_mapped().map_or(!ip.is_loopback() && !ip.is_unspecified(), out4)
            }
            None => false,
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(address: &[u8]) -> String {
        let mut out = Vec::new();
        format(address, &mut out);
        String::from_utf8(out).expect("text")
    }

    fn inet6(ip: &str) -> Vec<u8> {
        let mut address = vec![10, 0, 1, 187, 0, 0, 0, 0];
        address.extend(ip.parse::<Ipv6Addr>().expect("address").octets());
        address.extend([0; 4]);
        address
    }

    #[test]
    fn each_family_has_its_form() {
        assert_eq!(text(&[2, 0, 0, 80, 203, 0, 113, 9, 0, 0, 0, 0, 0, 0, 0, 0]), "203.0.113.9:80");
        assert_eq!(text(&inet6("2001:db8::1")), "[2001:db8::1]:443");
        assert_eq!(text(b"\x01\0/run/x.sock\0rubbish"), "/run/x.sock");
        assert_eq!(text(b"\x01\0\0name"), "@name");
        assert_eq!(text(b"\x01\0"), "");
        assert_eq!(text(&[16, 0, 0, 0, 7, 0, 0, 0, 3, 0, 0, 0]), "netlink:7:0x3");
        assert_eq!(text(&[40, 0, 1, 0xff]), "family:40:01ff");
        assert_eq!(text(&[2, 0, 0, 80]), "family:2:0050");
        assert_eq!(text(&[2]), "");
    }

    #[test]
    fn only_addresses_of_others_lead_out() {
        assert!(leads_out(&[2, 0, 0, 80, 203, 0, 113, 9]));
        assert!(!leads_out(&[2, 0, 0, 80, 127, 9, 0, 1]));
        assert!(!leads_out(&[2, 0, 0, 80, 0, 0, 0, 0]));
        assert!(leads_out(&inet6("2001:db8::1")));
        assert!(!leads_out(&inet6("::1")));
        assert!(!leads_out(&inet6("::ffff:127.0.0.1")));
        assert!(leads_out(&inet6("::ffff:203.0.113.9")));
        assert!(!leads_out(b"\x01\0/run/x"));
        assert!(!leads_out(&[10, 0, 1, 187, 0, 0]));
    }
}
