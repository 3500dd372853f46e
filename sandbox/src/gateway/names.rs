//! Names and the addresses that stand for them: any name has an address, the same one whenever it is asked for, in
//! this session and the next, and an address tells its name.
//!
//! The addresses are of the networks set aside for testing between networks (RFC 2544, RFC 5180): nobody's, and no
//! analyst takes them for somebody's.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sha2::{Digest, Sha256};

/// The first address of 198.18.0.0/15, and how many of them are given out.
const FIRST4: u32 = 0xc612_0000;
const COUNT: u32 = (1 << 17) - 2;
/// 2001:2::/48.
const FIRST6: u128 = 0x2001_0002 << 96;
/// Names that are remembered, and tries to find a place for one. Past that two names may share an address.
const NAMES_MAX: usize = 100_000;
const TRIES: u32 = 64;

#[derive(Default)]
struct Known {
    by_name: HashMap<Vec<u8>, u32>,
    by_index: HashMap<u32, Vec<u8>>,
}

/// The names of a session.
#[derive(Default)]
pub(super) struct Names(Mutex<Known>);

/// The addresses of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    pub v4: Ipv4Addr,
    pub v6: Ipv6Addr,
    /// Whether the name is asked for the first time.
    pub new: bool,
}

fn pair(index: u32, new: bool) -> Pair {
    Pair { v4: Ipv4Addr::from(FIRST4 + index), v6: Ipv6Addr::from(FIRST6 | u128::from(index)), new }
}

impl Names {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The addresses of a name, in lower case and without its final dot.
    pub(super) fn addresses(&self, name: &[u8]) -> Pair {
        let mut known = self.lock();
        if let Some(index) = known.by_name.get(name) {
            return pair(*index, false);
        }
        let digest = Sha256::digest(name);
        let hash = digest.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
        let place = |step: u32| 1 + (hash % COUNT + step) % COUNT;
        let free = (0..TRIES).map(place).find(|index| !known.by_index.contains_key(index));
        let index = free.unwrap_or_else(|| place(0));
        if known.by_name.len() < NAMES_MAX {
            known.by_name.insert(name.to_vec(), index);
            known.by_index.entry(index).or_insert_with(|| name.to_vec());
        }
        pair(index, true)
    }

    /// The name that an address was given to.
    pub(super) fn name(&self, address: IpAddr) -> Option<Vec<u8>> {
        let index = match address {
            IpAddr::V4(address) => u32::from(address).checked_sub(FIRST4)?,
            IpAddr::V6(address) => match address.to_ipv4_mapped() {
                Some(mapped) => u32::from(mapped).checked_sub(FIRST4)?,
                None => u32::try_from(u128::from(address).checked_sub(FIRST6)?).ok()?,
            },
        };
        self.lock().by_index.get(&index).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_addresses_and_they_tell_it() {
        let (one, two) = (Names::default(), Names::default());
        let first = one.addresses(b"api.example.com");
        assert!(first.new && !one.addresses(b"api.example.com").new);
        assert_eq!(two.addresses(b"api.example.com"), first, "in the next session too");
        for address in [IpAddr::V4(first.v4), IpAddr::V6(first.v6), IpAddr::V6(first.v4.to_ipv6_mapped())] {
            assert_eq!(one.name(address).as_deref(), Some(&b"api.example.com"[..]));
        }
        assert_eq!(one.name("203.0.113.9".parse().expect("ip")), None);
        let mut all: Vec<Ipv4Addr> = (0..5_000).map(|n| one.addresses(format!("h{n}").as_bytes()).v4).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 5_000, "no two names share one");
    }

    #[test]
    fn a_flood_of_names_is_bounded() {
        let names = Names::default();
        for n in 0..150_000_u32 {
            names.addresses(&n.to_be_bytes());
        }
        assert!(names.lock().by_name.len() <= NAMES_MAX);
    }
}
