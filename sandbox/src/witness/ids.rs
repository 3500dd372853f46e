//! Maps keyed by numbers of the kernel's: ids, inodes, addresses.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Ids are small numbers that are not chosen by anybody: one multiplication spreads them.
#[derive(Clone, Copy, Default)]
pub(super) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }
    fn write_i32(&mut self, id: i32) {
        self.write_u64(id as u64);
    }
    fn write_u64(&mut self, id: u64) {
        self.0 = (self.0.rotate_left(5) ^ id).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

pub(super) type IdMap<K, V> = HashMap<K, V, BuildHasherDefault<IdHasher>>;
