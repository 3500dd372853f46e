//! When sending or keeping is suspected to be a leak though nothing of the client's was recognised in it: whoever does it
//! had the data (or a way to it), what goes out cannot be read, and as much of it goes as what was read may make. All
//! three, or there is no suspicion: opaque bytes alone are what every program sends, and words that were read and hold no
//! client data speak for themselves.
//!
//! Bytes that no known format begins are a cipher's, or as good: of those a part of the data, such as a row of a
//! table, is enough, but no more than the data itself makes. Packed ones are undone, and what comes out is looked at in
//! their place; where they cannot be undone, only many of them are held against whoever sends them.

use std::collections::{HashMap, HashSet};

use super::claims::Claim;
use super::finding::{Channel, Confidence, Link};
use super::matcher::Hits;
use super::place::channel;
use super::{Analysis, Touched};
use crate::store::{AssetSet, Object, Record, Verb};

/// Least opaque bytes to a destination: a row of a table, or a key with a short message under it. Two digests are fewer.
const LEAST: u64 = 80;
/// The share of what was read that must have been sent, as a divisor: nothing that people keep shrinks more when it is
/// packed. More than [`ENOUGH`] is never asked for: parts of the data are data.
const SHRINK: u64 = 16;
const ENOUGH: u64 = 4096;
/// What is made of data by a cipher and spelled out is at most so many times as much, and a key and a head more.
const SPELLED: u64 = 2;
const HEAD: u64 = 512;
/// Destinations whose bytes are counted.
const MAX_DESTINATIONS: usize = 16_384;
/// Runs of text remembered. Beyond, one that is said again counts again.
const MAX_RUNS: usize = 65_536;
/// Shortest run of letters and digits that can be told from a word or a name.
const RUN: usize = 24;
/// Longest run that may be an identifier or a token.
const LONGEST_RUN: usize = 1024;
/// How close to chance bytes must be: the share of the most entropy that as many bytes can have. A few random bytes
/// repeat some and come to 0.9 of it; a thousand and more come to 0.97, packed ones as well, and machine code to 0.8.
const CHANCE_OF_FEW: f64 = 0.88;
const CHANCE_OF_MANY: f64 = 0.94;
const MANY: usize = 1024;

/// What was read of each asset, and what unreadable bytes went to each destination.
#[derive(Debug, Default)]
pub(super) struct Amounts {
    read: HashMap<usize, u64>,
    opaque: HashMap<u64, Unread>,
    /// Runs of text that were sent before: who says them again says nothing new.
    said: HashSet<u64>,
}

/// What went to one place and cannot be read.
#[derive(Clone, Copy, Debug, Default)]
struct Unread {
    all: u64,
    /// Of it, what is no text and no known format.
    strange: u64,
    /// Something in a known format went there: what follows may be its rest.
    packed: bool,
}

impl Unread {
    fn add(&mut self, bytes: &[u8], opaque: u64) {
        self.packed |= is_packed(bytes);
        self.all = self.all.saturating_add(opaque);
        if !self.packed && !is_words(bytes) {
            self.strange = self.strange.saturating_add(opaque);
        }
    }

    /// Whether it may be a part of so much data, or all of it, under a cipher.
    fn is_part_of(&self, read: u64) -> bool {
        (LEAST..=read.saturating_mul(SPELLED).saturating_add(HEAD)).contains(&self.strange)
    }
}

impl Amounts {
    /// How many of the bytes cannot be told from chance and were not said before.
    fn opaque(&mut self, bytes: &[u8], hash: impl Fn(&[u8]) -> u64) -> u64 {
        if !is_words(bytes) {
            return if is_chance(bytes, 256) { bytes.len() as u64 } else { 0 };
        }
        let new = |run: &&[u8]| {
            let run = hash(run);
            !self.said.contains(&run) && (self.said.len() >= MAX_RUNS || self.said.insert(run))
        };
        spelled(bytes).filter(new).map(|run| weight(run) as u64).sum()
    }

    /// Remembers what may be identifiers.
    fn said(&mut self, bytes: &[u8], hash: impl Fn(&[u8]) -> u64) {
        if is_words(bytes.get(..HEAD as usize).unwrap_or(bytes)) {
            let room = MAX_RUNS.saturating_sub(self.said.len());
            self.said.extend(runs(bytes).filter(|run| run.len() <= LONGEST_RUN).map(hash).take(room));
        }
    }

    /// Counts bytes to a place, so many of them opaque; `None` when there are too many places.
    fn count(&mut self, place: u64, bytes: &[u8], opaque: u64) -> Option<Unread> {
        if self.opaque.len() >= MAX_DESTINATIONS && !self.opaque.contains_key(&place) {
            return None;
        }
        let unread = self.opaque.entry(place).or_default();
        unread.add(bytes, opaque);
        Some(*unread)
    }

    fn read(&self, asset: usize) -> u64 {
        self.read.get(&asset).copied().unwrap_or_default()
    }
}

impl Analysis {
    /// Counts what was read of an asset.
    pub(super) fn has_read(&mut self, asset: usize, record: &Record<'_>) {
        let moved = record.result.map_or(record.payload.len() as u64, |result| u64::try_from(result).unwrap_or(0));
        let read = self.amounts.read.entry(asset).or_default();
        *read = read.saturating_add(moved.min(record.payload_len.max(record.payload.len() as u64)));
    }

    /// Bytes in which no client data was found go out of the machine.
    pub(super) fn suspect(
        &mut self,
        record: &Record<'_>,
        touched: &mut Touched,
        (to, channel): (&Object, Channel),
        hits: &Hits,
    ) {
        let Some(process) = record.process else { return };
        let (place, besides) = (self.hasher.object(to), hits.assets());
        // What was packed and could be undone speaks for itself.
        let is_packed =
            is_packed(record.payload) || self.amounts.opaque.get(&place).is_some_and(|unread| unread.packed);
        let bytes = if is_packed && !hits.inside().is_empty() { hits.inside() } else { record.payload };
        let origins = self.lineage.reach(process.key);
        if origins.iter().all(|origin| besides.contains(origin.asset)) {
            // An identifier that goes out now is none of what is read later.
            self.amounts.said(bytes, |run| self.hasher.any(run));
            return;
        }
        let opaque = self.amounts.opaque(bytes, |run| self.hasher.any(run));
        let Some(sent) = self.amounts.count(place, bytes, opaque) else { return };
        for origin in origins.into_iter().filter(|origin| !besides.contains(origin.asset)) {
            let read = self.amounts.read(origin.asset);
            if sent.all >= (read / SHRINK).clamp(LEAST, ENOUGH) || sent.is_part_of(read) {
                self.suspicion(record, touched, (to, channel), "sent what cannot be read to", origin.asset);
            }
        }
    }

    /// Says that what goes to a place next is packed, by a format without a beginning of its own.
    pub(super) fn comes_packed(&mut self, to: &Object) {
        let key = self.hasher.object(to);
        if let Some(unread) = self.amounts.opaque.get_mut(&key) {
            unread.packed = true;
        } else if self.amounts.opaque.len() < MAX_DESTINATIONS {
            self.amounts.opaque.insert(key, Unread { packed: true, ..Unread::default() });
        }
    }

    /// Bytes in which no client data was found are kept on disk, and went there through the hands of somebody who had
    /// read some: `held`, which is what this very process holds, or what was poured into the file. (What its ancestors
    /// read counts for less: a shell reads a lot.)
    pub(super) fn hoard(&mut self, held: AssetSet, record: &Record<'_>, touched: &mut Touched, to: &Object) {
        let followed = |asset: &usize| self.assets.get(*asset).is_some_and(|asset| asset.class != "device");
        let assets: Vec<usize> = held.iter().filter(followed).collect();
        if assets.is_empty() {
            return;
        }
        // What is left is counted anew: it was written before.
        let key = self.hasher.any(("kept", record.process.is_some(), self.hasher.object(to)));
        let opaque = if is_words(record.payload) { 0 } else { self.amounts.opaque(record.payload, |_| 0) };
        let Some(kept) = self.amounts.count(key, record.payload, opaque) else { return };
        for asset in assets {
            if kept.is_part_of(self.amounts.read(asset)) {
                let key = self.store_key(asset, &to.name);
                let phrase = if record.process.is_some() {
                    "wrote what cannot be read to"
                } else {
                    "has what cannot be read in"
                };
                let claim = Claim::of(Verb::Store, Some(asset), channel(to), phrase, &to.name, record);
                let claim = Claim { confidence: Confidence::Suspected, link: Link::Lineage, ..claim };
                self.claim(key, record, touched, claim);
            }
        }
    }

    /// The process tried to reach out of the machine and could not; what it would have sent, nobody knows. Or it did
    /// what needs no bytes to be strange.
    pub(super) fn reached(
        &mut self,
        record: &Record<'_>,
        touched: &mut Touched,
        to: &Object,
        phrase: &'static str,
        besides: AssetSet,
    ) {
        let Some(process) = record.process else { return };
        for origin in self.lineage.reach(process.key) {
            if !besides.contains(origin.asset) {
                self.suspicion(record, touched, (to, channel(to)), phrase, origin.asset);
            }
        }
    }

    fn suspicion(
        &mut self,
        record: &Record<'_>,
        touched: &mut Touched,
        (to, channel): (&Object, Channel),
        phrase: &'static str,
        asset: usize,
    ) {
        let key = self.hasher.any((Verb::Transmit as u8, asset, None::<u8>, &*to.name));
        let claim = Claim::of(Verb::Transmit, Some(asset), channel, phrase, &to.name, record);
        let claim = Claim { confidence: Confidence::Suspected, link: Link::Lineage, ..claim };
        self.claim(key, record, touched, claim);
    }
}

/// Runs of letters and digits that are longer than words.
fn runs(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes
        .split(|byte| !(byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'_')))
        .filter(|run| run.len() >= RUN)
}

/// The runs of a text that spell out what cannot be told from chance.
fn spelled(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    runs(bytes)
        .filter(|run| run.iter().any(u8::is_ascii_digit) && run.iter().any(u8::is_ascii_alphabetic))
        .filter(|run| is_chance(run, if is_hex(run) { 16 } else { 64 }))
}

fn is_hex(run: &[u8]) -> bool {
    run.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b'-')
}

/// How many bytes a run spells: of digits half, of base 64 three quarters, of an identifier none. Programs make one for
/// each message; whoever hides data in such is not seen by this.
fn weight(run: &[u8]) -> usize {
    match run {
        run if is_uuid(run) => 0,
        run if is_hex(run) => run.len() / 2,
        run => run.len() * 3 / 4,
    }
}

/// An identifier with its version and variant in place (RFC 9562, 4).
fn is_uuid(run: &[u8]) -> bool {
    run.len() == 36
        && run.iter().enumerate().all(|(at, byte)| (*byte == b'-') == matches!(at, 8 | 13 | 18 | 23))
        && run.get(14).is_some_and(|version| (b'1'..=b'8').contains(version))
        && run.get(19).is_some_and(|variant| matches!(variant.to_ascii_lowercase(), b'8' | b'9' | b'a' | b'b'))
        && is_hex(run)
}

/// Whether the bytes are text, in whatever alphabet.
fn is_words(bytes: &[u8]) -> bool {
    let plain = bytes.iter().filter(|byte| matches!(byte, 0x20..=0x7e | b'\n' | b'\r' | b'\t')).count();
    plain * 4 >= bytes.len() * 3 || std::str::from_utf8(bytes).is_ok()
}

/// What files and messages begin with whose contents look like chance and are not: what is packed (and undone by the
/// decoders), pictures, sound, and what git keeps.
const PACKED: [&[u8]; 22] = [
    b"\x1f\x8b",
    b"\x78\x01",
    b"\x78\x5e",
    b"\x78\x9c",
    b"\x78\xda",
    b"\x28\xb5\x2f\xfd",
    b"\xfd7zXZ",
    b"BZh",
    b"\x04\x22\x4d\x18",
    b"PK\x03\x04",
    b"7z\xbc\xaf",
    b"\x89PNG",
    b"\xff\xd8\xff",
    b"GIF8",
    b"RIFF",
    b"OggS",
    b"ID3",
    b"fLaC",
    b"%PDF",
    b"wOF2",
    b"PACK",
    b"\xfftOc",
];

fn is_packed(bytes: &[u8]) -> bool {
    PACKED.iter().any(|magic| bytes.starts_with(magic))
}

/// Whether the bytes are spread as evenly as chance spreads as many over as large an alphabet.
fn is_chance(bytes: &[u8], alphabet: usize) -> bool {
    let mut counts = [0_u32; 256];
    for byte in bytes {
        if let Some(count) = counts.get_mut(usize::from(*byte)) {
            *count += 1;
        }
    }
    let all = bytes.len() as f64;
    let entropy: f64 =
        counts.iter().filter(|count| **count > 0).map(|count| f64::from(*count) / all).map(|p| -p * p.log2()).sum();
    let chance = if bytes.len() < MANY { CHANCE_OF_FEW } else { CHANCE_OF_MANY };
    entropy >= chance * (bytes.len().min(alphabet) as f64).log2()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn opaque(bytes: &[u8]) -> u64 {
        let hasher = super::super::place::Hasher::default();
        Amounts::default().opaque(bytes, |run| hasher.any(run))
    }

    proptest! {
        #[test]
        fn chance_is_opaque_however_it_is_spelled(bytes in prop::collection::vec(any::<u8>(), 96..4096)) {
            prop_assert_eq!(opaque(&bytes), bytes.len() as u64);
            for spelled in [data_encoding::HEXLOWER.encode(&bytes), data_encoding::BASE64URL_NOPAD.encode(&bytes)] {
                let request = format!("GET /x?q={spelled} HTTP/1.1\r\n");
                prop_assert!(opaque(request.as_bytes()) >= bytes.len() as u64 - 1);
            }
        }
    }

    #[test]
    fn identifiers_and_what_was_said_before_accuse_nobody() {
        let digest =
            |n: u8| data_encoding::HEXLOWER.encode(&super::super::digests::digest(Encoding::Sha256, &[&[n]])[..32]);
        let message = |ids: &[String]| {
            let ids = ids.join("\",\"");
            sent(Traffic::Request, format!("POST /v1 HTTP/1.1\r\nhost: x\r\n\r\n{{\"ids\":[\"{ids}\"]}}").as_bytes())
        };
        let uuid = |n: u8| {
            let digits = digest(n);
            format!("{}-{}-4{}-b{}-{}", &digits[..8], &digits[8..12], &digits[12..15], &digits[15..18], &digits[18..30])
        };
        let mut session = start();
        let before: Vec<String> = (0..3).map(digest).collect();
        session.feed(message(&before));
        session.read_customers(1);
        session.feed(message(&before));
        for n in 0..40 {
            session.feed(message(&[uuid(n), uuid(0), digest(7)]));
        }
        assert_eq!(found(&session, Verb::Transmit), 0, "{:?}", session.findings());
        session.feed(message(&(3..6).map(digest).collect::<Vec<_>>()));
        assert_eq!(found(&session, Verb::Transmit), 1, "three that are new are as much as a row");
    }

    #[test]
    fn what_people_and_programs_say_is_not() {
        let program = std::fs::read("/bin/sh").unwrap();
        let numbers: Vec<u8> = (0..4096_u32).flat_map(|n| (n * 3).to_le_bytes()).collect();
        for text in [
            &b"POST /v1/telemetry/heartbeat HTTP/1.1\r\nHost: telemetry.vendor.example\r\nUser-Agent: updater/4.2.1 (linux; x86_64)\r\nAccept: application/json\r\n\r\n"[..],
            br#"{"version":"4.2.1","uptime":120394,"events":[{"name":"started","count":1},{"name":"update_checked","count":12}]}"#,
            "Größe der Datei: überprüft – это обычный текст, который читают люди. それは普通の文章です。".as_bytes(),
            &numbers,
            &[0; 4096],
        ] {
            assert_eq!(opaque(text), 0, "{}", String::from_utf8_lossy(text));
        }
        let code = program.chunks(4096).filter(|page| opaque(page) >= LEAST).count();
        assert_eq!(code, 0, "of {} pages of a program", program.len() / 4096);
    }

    use super::super::encoding::Encoding;
    use super::super::tests::{Session, Step, file, opaque as cipher, start, step, tcp};
    use belljar_sandbox::event::{Kind, LayerChange, Protocol, Traffic};

    fn found(session: &Session, verb: Verb) -> usize {
        session.findings().iter().filter(|finding| finding.verb == verb).count()
    }

    fn write(bytes: &[u8]) -> Step {
        step("write", 1, file("/home/u/.cache/x")).payload(bytes)
    }

    fn sent(what: Traffic, bytes: &[u8]) -> Step {
        let step = step("", 1, tcp("203.0.113.9:80")).kind(Kind::Traffic(what)).payload(bytes);
        step.args([1, 0, 0, Protocol::Http1 as u64, 0, 0])
    }

    #[test]
    fn a_row_under_a_cipher_is_suspected_and_a_key_is_not() {
        let row = &cipher()[..110];
        let packed = [&b"\x1f\x8b\x08\0\0\0\0\0\0\x03"[..], row].concat();
        let much = cipher().repeat(40);
        for (bytes, is_suspected) in
            [(row, true), (&row[..64], false), (&packed, false), (&much, false), (&b"words ".repeat(30), false)]
        {
            let mut session = start();
            session.read_customers(1);
            session.feed(write(bytes));
            assert_eq!(found(&session, Verb::Store) == 1, is_suspected, "{} bytes", bytes.len());
        }
        let mut session = start();
        session.feed(write(row));
        session.read_customers(2);
        session.feed(write(row));
        assert_eq!(
            session.findings().len(),
            1,
            "who has read nothing keeps nothing, and a parent reads not what its child does"
        );
    }

    #[test]
    fn what_was_poured_into_a_file_and_cannot_be_read_there_is_suspected() {
        let left = |path| step("", 0, file(path)).kind(Kind::Layer(LayerChange::Created)).payload(&cipher()[..110]);
        let mut session = start();
        session.read_customers(1);
        session.feed(step("mmap", 1, file("/tmp/mapped")).args([0, 4096, 3, 1, 3, 0]));
        session.feed(left("/tmp/other"));
        assert_eq!(found(&session, Verb::Store), 0);
        session.feed(left("/tmp/mapped"));
        assert_eq!(found(&session, Verb::Store), 1);
    }

    #[test]
    fn of_packed_bytes_it_takes_more() {
        let head = "POST / HTTP/1.1\r\nhost: x\r\ncontent-encoding: br\r\n\r\n";
        let row = &cipher()[..110];
        let read = |session: &mut Session| {
            session.feed(step("read", 1, file(super::super::tests::CUSTOMERS)).payload(vec![b'.'; 6000]));
        };
        let (mut bare, mut packed) = (start(), start());
        read(&mut bare);
        read(&mut packed);
        bare.feed(sent(Traffic::Sent, row));
        packed.feed(sent(Traffic::Request, head.as_bytes())).feed(sent(Traffic::Sent, row));
        assert_eq!((found(&bare, Verb::Transmit), found(&packed, Verb::Transmit)), (1, 0));
        packed.feed(sent(Traffic::Sent, &cipher().repeat(2)));
        assert_eq!(found(&packed, Verb::Transmit), 1);
    }

    #[test]
    fn what_was_packed_speaks_for_itself() {
        let gzip = |bytes: &[u8]| {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            std::io::Write::write_all(&mut encoder, bytes).expect("memory");
            encoder.finish().expect("memory")
        };
        let events = (0..60).map(|n| format!("{{\"event\":\"started\",\"after\":{}}},", n * n));
        let events = events.collect::<Vec<_>>().concat();
        let spelled = data_encoding::BASE64URL_NOPAD.encode(&cipher()[..110]);
        for (body, is_suspected) in [
            (events.clone().into_bytes(), false),
            (format!("{events}\"{spelled}\"").into_bytes(), true),
            (cipher()[..200].to_vec(), true),
        ] {
            let mut session = start();
            session.read_customers(1).feed(sent(Traffic::Sent, &gzip(&body)));
            assert_eq!(found(&session, Verb::Transmit) == 1, is_suspected, "{}", String::from_utf8_lossy(&body));
        }
    }
}
