//! Digests with salt: what looks like a digest in bytes that leave is compared with those of the
//! values that the process may hold, made with each word that it wrote or received before, as
//! salt before or behind the value or as the key of an HMAC.
//!
//! Only a few last bytes that came and went are kept of each process; words are made of them when
//! something looks like a digest. What is tried is bounded for the session; what was not tried is
//! counted.

use std::collections::{HashMap, HashSet, VecDeque};

use belljar_sandbox::decoy::Asset;
use belljar_sandbox::event::ProcessKey;
use data_encoding::{BASE64_NOPAD, BASE64URL_NOPAD, HEXLOWER_PERMISSIVE};
use foldhash::fast::RandomState;

use super::decode::text_run;
use super::digests;
use super::encoding::{Encoding, Path};
use super::matcher::{Direction, Hits, MIN_MARKER, MarkerId};
use super::patterns::SHORTEST;
use crate::store::AssetSet;

/// Bytes kept of each payload, and of a process's payloads each way.
const PART: usize = 512;
const KEPT: usize = 4096;
/// Processes whose last bytes are kept.
const MAX_PROCESSES: usize = 4096;
/// What a word may be long to be tried as salt, and how many are.
const WORD: std::ops::RangeInclusive<usize> = 4..=64;
const MAX_WORDS: usize = 96;
/// Candidates looked at in one payload.
const MAX_CANDIDATES: usize = 64;
/// Digests made in a session: a third of a second of work.
const MAX_DIGESTS: u64 = 1_000_000;
/// Salts whose digests are remembered.
const MAX_TABLES: usize = 64;
/// Shortest digest that is tried in base 64 or raw.
const LENGTHS: [usize; 4] = [16, 20, 32, 64];

/// First bytes of a digest, and whose and what it is.
type Table = HashMap<[u8; SHORTEST], (MarkerId, Path), RandomState>;
/// What a table was made of: the word, the length of the digests, and the assets.
type TableKey = (Box<[u8]>, usize, u64);

/// The last bytes of a process.
#[derive(Debug, Default)]
struct Memory {
    came: VecDeque<u8>,
    went: VecDeque<u8>,
}

/// What is remembered to be tried.
#[derive(Debug, Default)]
pub(super) struct Salts {
    processes: HashMap<ProcessKey, Memory, RandomState>,
    tables: HashMap<TableKey, Table, RandomState>,
    made: u64,
    /// Payloads in which something looked like a digest and was not tried to the end.
    pub(super) untried: u64,
}

impl Salts {
    /// Remembers what a process wrote or received.
    pub(super) fn note(&mut self, process: ProcessKey, direction: Direction, bytes: &[u8]) {
        if !self.processes.contains_key(&process) && self.processes.len() >= MAX_PROCESSES {
            return;
        }
        let memory = self.processes.entry(process).or_default();
        let kept = if direction == Direction::In { &mut memory.came } else { &mut memory.went };
        let bytes = bytes.get(..PART).unwrap_or(bytes);
        let excess = (kept.len() + bytes.len() + 1).saturating_sub(KEPT);
        kept.drain(..excess.min(kept.len()));
        kept.extend(bytes);
        // Payloads are words apart.
        kept.push_back(0);
    }

    /// A process ended.
    pub(super) fn forget(&mut self, process: ProcessKey) {
        self.processes.remove(&process);
    }

    /// Whether something in `bytes` may be a digest.
    pub(super) fn may_hold(bytes: &[u8]) -> bool {
        LENGTHS.contains(&bytes.len()) || text_run(bytes)
    }

    /// Tries what looks like digests in `bytes` against the markers of `held` assets.
    pub(super) fn search(
        &mut self,
        process: ProcessKey,
        bytes: &[u8],
        held: AssetSet,
        assets: &[Asset],
        hits: &mut Hits,
    ) {
        let candidates = candidates(bytes);
        if candidates.is_empty() || held.0 == 0 {
            return;
        }
        let lengths: HashSet<usize> = candidates.iter().map(|(digest, _)| digest.len()).collect();
        for word in self.words(process, bytes) {
            for length in &lengths {
                let key = (Box::from(&*word), *length, held.0);
                if !self.tables.contains_key(&key) {
                    let Some(table) = self.table(&word, *length, held, assets) else {
                        self.untried += 1;
                        return;
                    };
                    if self.tables.len() >= MAX_TABLES {
                        self.tables.clear();
                    }
                    self.tables.insert(key.clone(), table);
                }
                let Some(table) = self.tables.get(&key) else { continue };
                for (digest, outer) in candidates.iter().filter(|(digest, _)| digest.len() == *length) {
                    if let Some((id, inner)) = digest.first_chunk().and_then(|start| table.get(start)) {
                        hits.note(*id, outer.then(*inner));
                    }
                }
            }
        }
    }

    /// The words to be tried, those of the payload itself first.
    fn words(&self, process: ProcessKey, bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut texts = vec![bytes.get(..KEPT).unwrap_or(bytes).to_vec()];
        if let Some(memory) = self.processes.get(&process) {
            texts.extend([&memory.came, &memory.went].map(|kept| kept.iter().copied().collect()));
        }
        let mut seen = HashSet::new();
        let mut words = Vec::new();
        let mut texts: Vec<_> = texts
            .iter()
            .map(|text| {
                // Payloads as a whole, then the words in them; the last first.
                let payloads = text.split(|byte| *byte == 0).map(<[u8]>::trim_ascii);
                let parts = text.split(|byte| !byte.is_ascii_alphanumeric() && !b"+/-_".contains(byte));
                payloads.rev().chain(parts.rev()).filter(|word| WORD.contains(&word.len()))
            })
            .collect();
        // In turn: what came may be so much that what went would never be tried.
        while words.len() < MAX_WORDS {
            let mut any = false;
            for word in texts.iter_mut().filter_map(Iterator::next) {
                any = true;
                if words.len() < MAX_WORDS && seen.insert(word) {
                    words.push(word.to_vec());
                    // A random salt is often written down in hexadecimal digits.
                    words.extend(HEXLOWER_PERMISSIVE.decode(word).ok().filter(|bytes| WORD.contains(&bytes.len())));
                }
            }
            if !any {
                break;
            }
        }
        words
    }

    /// All digests of that length with this word; `None` when the session's budget is used up.
    fn table(&mut self, word: &[u8], length: usize, held: AssetSet, assets: &[Asset]) -> Option<Table> {
        let mut table = Table::default();
        let held = assets.iter().enumerate().filter(|(index, _)| held.contains(*index));
        for (asset, planted) in held {
            for (marker, planted) in planted.markers.iter().enumerate() {
                if planted.value.len() < MIN_MARKER || planted.value == word {
                    continue;
                }
                let small = planted.value.to_ascii_lowercase();
                let small = Some(small).filter(|small| *small != planted.value);
                for value in [Some(&planted.value), small.as_ref()].into_iter().flatten() {
                    for (which, _) in digests::SALTED.iter().filter(|(_, long)| *long == length) {
                        let salted = Path::CLEAR.and(Encoding::Salted).and(*which);
                        let keyed = Path::CLEAR.and(Encoding::Hmac).and(*which);
                        let all = [
                            (digests::digest(*which, &[word, value]), salted),
                            (digests::digest(*which, &[value, word]), salted),
                            (digests::digest(*which, &[word, b":", value]), salted),
                            (digests::digest(*which, &[value, b":", word]), salted),
                            (digests::hmac(*which, word, value), keyed),
                        ];
                        self.made += all.len() as u64;
                        for (digest, path) in all {
                            let Some(start) = digest.first_chunk() else { continue };
                            table.entry(*start).or_insert((MarkerId { asset, marker }, path));
                        }
                    }
                }
            }
            if self.made > MAX_DIGESTS {
                return None;
            }
        }
        Some(table)
    }
}

/// What looks like a digest: bytes of such a length, alone or in hexadecimal digits or base 64.
fn candidates(bytes: &[u8]) -> Vec<(Vec<u8>, Path)> {
    let mut found = Vec::new();
    if LENGTHS.contains(&bytes.len()) {
        found.push((bytes.to_vec(), Path::CLEAR));
    }
    for word in bytes.split(|byte| !byte.is_ascii_alphanumeric() && !b"+/-_".contains(byte)) {
        if found.len() >= MAX_CANDIDATES {
            break;
        }
        let hex = HEXLOWER_PERMISSIVE.decode(word).ok().map(|bytes| (bytes, Encoding::Hex));
        let base64 = [BASE64_NOPAD, BASE64URL_NOPAD].into_iter().find_map(|alphabet| alphabet.decode(word).ok());
        let base64 = base64.map(|bytes| (bytes, Encoding::Base64));
        let decoded = [hex, base64].into_iter().flatten().filter(|(bytes, _)| LENGTHS.contains(&bytes.len()));
        found.extend(decoded.map(|(bytes, layer)| (bytes, Path::CLEAR.and(layer))));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use belljar_sandbox::decoy::Marker;
    use data_encoding::{BASE64, HEXLOWER};

    const VALUE: &[u8] = b"anna.berg@example.com";
    const ALL: AssetSet = AssetSet(1);
    const PROCESS: ProcessKey = ProcessKey(1);

    fn assets() -> Vec<Asset> {
        let markers = vec![Marker { name: String::new(), value: VALUE.to_vec() }];
        vec![Asset { name: "a".into(), class: "b".into(), paths: Vec::new(), variables: Vec::new(), markers }]
    }

    fn layers(salts: &mut Salts, bytes: &[u8], held: AssetSet) -> Vec<Vec<String>> {
        assert!(Salts::may_hold(bytes));
        let mut hits = Hits::default();
        salts.search(PROCESS, bytes, held, &assets(), &mut hits);
        hits.settle();
        hits.all().iter().map(|hit| hit.path.names()).collect()
    }

    #[test]
    fn what_came_does_not_keep_what_went_from_being_tried() {
        let mut salts = Salts::default();
        for part in 0..KEPT / PART {
            let words: Vec<String> = (0..PART / 8).map(|word| format!("w{part:02}{word:03}")).collect();
            salts.note(PROCESS, Direction::In, words.join(" ").as_bytes());
        }
        salts.note(PROCESS, Direction::Out, b"{\"salt\": \"Xk93-Qa\"}");
        let (which, length) = digests::SALTED[0];
        let digest = digests::digest(which, &[b"Xk93-Qa", VALUE]);
        assert_eq!(layers(&mut salts, &digest[..length], ALL), [["salted", which.name()]]);
    }

    #[test]
    fn salts_that_came_or_went_before_are_tried() {
        for (which, length) in digests::SALTED {
            let name = which.name();
            let mut salts = Salts::default();
            salts.note(PROCESS, Direction::In, b"{\"salt\": \"Xk93-Qa\", \"n\": 1}");
            let before = digests::digest(which, &[b"Xk93-Qa", VALUE]);
            let behind = digests::digest(which, &[VALUE, b":", b"Xk93-Qa"]);
            let keyed = digests::hmac(which, b"Xk93-Qa", VALUE);
            let other = digests::digest(which, &[b"Xk93-Qb", VALUE]);
            let json = format!("{{\"id\": \"{}\"}}", HEXLOWER.encode(&before[..length]));
            assert_eq!(layers(&mut salts, json.as_bytes(), ALL), [["hex", "salted", name]]);
            assert_eq!(layers(&mut salts, &behind[..length], ALL), [["salted", name]]);
            let keyed = format!("id={}&and=more&and=still-more", BASE64.encode(&keyed[..length]));
            if length >= 24 {
                assert_eq!(layers(&mut salts, keyed.as_bytes(), ALL), [["base64", "hmac", name]]);
            }
            assert!(layers(&mut salts, &other[..length], ALL).is_empty(), "the control");
            assert!(layers(&mut salts, &before[..length], AssetSet(0)).is_empty(), "what it does not hold");
            salts.forget(PROCESS);
            assert!(layers(&mut salts, &before[..length], ALL).is_empty(), "another process's");
        }
    }

    #[test]
    fn a_salt_may_come_with_its_digest_and_be_random() {
        let salt = [0x80, 0x11, 0xfe, 0x07, 0x55, 0x9a, 0xc3, 0x00];
        let digest = digests::digest(Encoding::Md5, &[&salt, VALUE]);
        let line = format!("{}${}\n", HEXLOWER.encode(&salt), HEXLOWER.encode(&digest[..16]));
        assert_eq!(layers(&mut Salts::default(), line.as_bytes(), ALL), [["hex", "salted", "md5"]]);
    }

    #[test]
    fn work_is_bounded_and_what_is_not_tried_is_counted() {
        let mut salts = Salts { made: MAX_DIGESTS, ..Salts::default() };
        assert!(layers(&mut salts, &[b'x'; 32], ALL).is_empty());
        assert_eq!(salts.untried, 1);
    }
}
