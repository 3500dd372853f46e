//! Gives every distinct object a number, so that a row holds four bytes for a path and a path is
//! written once.
//!
//! The subject chooses the names: millions of distinct paths must not exhaust memory. Past a
//! limit the interner forgets what it knew, but never reuses a number; an object seen again then
//! gets a second number, which costs a row in the recording and nothing else.
//!
//! Every event asks here once or twice, so the hash is a fast one. It is seeded by chance and
//! never shown: names that would fall together cannot be chosen.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use belljar_sandbox::event::ObjectKind;
use foldhash::fast::RandomState;

use super::Object;

/// What one entry costs beside its name: the object, its reference counts, its place in the map.
const ENTRY_BYTES: usize = 96;

/// An object and its number in the session.
#[derive(Clone, Debug)]
pub struct Interned {
    /// Its number, counted from 0 in the order objects came.
    pub id: u32,
    /// The object.
    pub object: Arc<Object>,
    /// Whether it has just got its number, and so is to be written down.
    pub new: bool,
}

/// Object -> number, within bounded memory.
#[derive(Debug)]
pub struct Interner {
    known: HashMap<Arc<Object>, u32, RandomState>,
    next: u32,
    bytes: usize,
    max_entries: usize,
    max_bytes: usize,
}

impl Default for Interner {
    /// At most 200,000 objects or 32 MiB of them at a time.
    fn default() -> Self {
        Self::new(200_000, 32 << 20)
    }
}

impl Interner {
    /// Knows at most `max_entries` objects and about `max_bytes` bytes of them at a time.
    pub fn new(max_entries: usize, max_bytes: usize) -> Self {
        Self { known: HashMap::default(), next: 0, bytes: 0, max_entries, max_bytes }
    }

    /// The number of the object of this kind and name; a new one when it is not known.
    pub fn intern(&mut self, kind: ObjectKind, name: &[u8]) -> Interned {
        if let Some((object, id)) = self.known.get_key_value(&(kind, name) as &dyn ObjectKey) {
            return Interned { id: *id, object: Arc::clone(object), new: false };
        }
        let cost = name.len() + ENTRY_BYTES;
        if self.known.len() >= self.max_entries || self.bytes + cost > self.max_bytes {
            // A fresh map, not `clear`: the old one's capacity is what is to be given back.
            self.known = HashMap::default();
            self.bytes = 0;
        }
        let object = Arc::new(Object { kind, name: name.into() });
        let id = self.next;
        self.next = self.next.saturating_add(1);
        self.bytes += cost;
        self.known.insert(Arc::clone(&object), id);
        Interned { id, object, new: true }
    }

    /// The number of an object that has one.
    pub fn known(&self, kind: ObjectKind, name: &[u8]) -> Option<u32> {
        self.known.get(&(kind, name) as &dyn ObjectKey).copied()
    }

    /// How many numbers were given out.
    pub fn count(&self) -> u32 {
        self.next
    }
}

/// Looks objects up by borrowed bytes, so that a known path costs no allocation.
trait ObjectKey {
    fn parts(&self) -> (ObjectKind, &[u8]);
}

impl ObjectKey for (ObjectKind, &[u8]) {
    fn parts(&self) -> (ObjectKind, &[u8]) {
        (self.0, self.1)
    }
}

impl ObjectKey for Arc<Object> {
    fn parts(&self) -> (ObjectKind, &[u8]) {
        (self.kind, &self.name)
    }
}

impl<'a> Borrow<dyn ObjectKey + 'a> for Arc<Object> {
    fn borrow(&self) -> &(dyn ObjectKey + 'a) {
        self
    }
}

// Must hash like the derived `Hash` of `Object`: its fields in order.
impl Hash for dyn ObjectKey + '_ {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let (kind, name) = self.parts();
        kind.hash(state);
        name.hash(state);
    }
}

impl PartialEq for dyn ObjectKey + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for dyn ObjectKey + '_ {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_object_keeps_its_number() {
        let mut interner = Interner::default();
        let first = interner.intern(ObjectKind::File, b"/etc/passwd");
        let pipe = interner.intern(ObjectKind::Pipe, b"/etc/passwd");
        let again = interner.intern(ObjectKind::File, b"/etc/passwd");
        assert!(first.new && pipe.new && !again.new);
        assert_eq!((first.id, pipe.id, again.id), (0, 1, 0));
        assert_eq!(&*again.object.name, b"/etc/passwd");
    }

    #[test]
    fn a_flood_of_names_is_forgotten_but_numbers_go_on() {
        let mut interner = Interner::new(1_000, 1 << 20);
        for n in 0..10_000_u32 {
            let path = format!("/tmp/{n}");
            assert_eq!(interner.intern(ObjectKind::File, path.as_bytes()).id, n);
            assert!(interner.known.len() <= 1_000);
        }
        // Forgotten: a new number, never an old one for another object.
        let again = interner.intern(ObjectKind::File, b"/tmp/0");
        assert!(again.new);
        assert_eq!(again.id, 10_000);
        let mut long = Interner::new(1_000_000, 64 << 10);
        for n in 0..1_000_u32 {
            let mut name = vec![b'x'; 4096];
            name.extend(n.to_le_bytes());
            long.intern(ObjectKind::File, &name);
            assert!(long.bytes <= 64 << 10 && long.known.len() <= 16);
        }
    }
}
