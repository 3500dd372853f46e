//! When sending is suspected to be a leak though nothing of the client's was recognised in it: whoever sends had the
//! data (or a way to it), what is sent cannot be read, and there is enough of it to be what was read. All three, or
//! there is no suspicion: opaque bytes alone are what every program sends, and words that were read and hold no client
//! data speak for themselves.

use std::collections::HashMap;

use belljar_sandbox::event::ProcessKey;

use super::finding::{Channel, Confidence, Link};
use super::lineage::Origin;
use super::place::channel;
use super::{Analysis, Claim, Touched, ending};
use crate::store::{AssetSet, Object, Record, Verb};

/// Least opaque bytes to a destination: two identifiers (36 characters each) are no suspicion, three of them, or one
/// key with a short message under it, may be.
const LEAST: u64 = 80;
/// The share of what was read that must have been sent, as a divisor: nothing that people keep shrinks more when it is
/// packed. More than [`ENOUGH`] is never asked for: parts of the data are data.
const SHRINK: u64 = 16;
const ENOUGH: u64 = 4096;
/// Destinations whose bytes are counted.
const MAX_DESTINATIONS: usize = 16_384;
/// Ended processes remembered that held client data.
const MAX_GONE: usize = 256;
/// Shortest run of letters and digits that can be told from a word or a name.
const RUN: usize = 24;
/// How close to chance bytes must be: the share of the most entropy that as many bytes can have. A few random bytes
/// repeat some and come to 0.9 of it; a thousand and more come to 0.97, packed ones as well, and machine code to 0.8.
const CHANCE_OF_FEW: f64 = 0.88;
const CHANCE_OF_MANY: f64 = 0.94;
const MANY: usize = 1024;

/// What was read of each asset, and what unreadable bytes went to each destination.
#[derive(Debug, Default)]
pub(super) struct Amounts {
    read: HashMap<usize, u64>,
    opaque: HashMap<u64, u64>,
}

impl Analysis {
    /// Counts what was read of an asset.
    pub(super) fn has_read(&mut self, asset: usize, record: &Record<'_>) {
        let moved = record.result.map_or(record.payload.len() as u64, |result| u64::try_from(result).unwrap_or(0));
        let read = self.amounts.read.entry(asset).or_default();
        *read = read.saturating_add(moved.min(record.payload_len.max(record.payload.len() as u64)));
    }

    /// What a process holds or may come by. What the gateway saw of it may be told after its end.
    fn reach(&self, process: ProcessKey) -> Vec<Origin> {
        let gone = self.gone.iter().find(|(key, _)| *key == process).map(|(_, origins)| origins.as_slice());
        let mut all = self.lineage.reach(process);
        for origin in gone.unwrap_or_default() {
            if all.iter().all(|known| known.asset != origin.asset) {
                all.push(origin.clone());
            }
        }
        all
    }

    /// A process ends: what it held is remembered for a while.
    pub(super) fn ends(&mut self, process: ProcessKey) {
        let held = self.lineage.reach(process);
        if !held.is_empty() {
            if self.gone.len() >= MAX_GONE {
                self.gone.pop_front();
            }
            self.gone.push_back((process, held));
        }
        self.lineage.end(process);
    }

    /// Bytes in which no client data was found go out of the machine.
    pub(super) fn suspect(
        &mut self,
        record: &Record<'_>,
        touched: &mut Touched,
        (to, channel): (&Object, Channel),
        bytes: &[u8],
        besides: AssetSet,
    ) {
        let Some(process) = record.process else { return };
        let origins = self.reach(process.key);
        if origins.iter().all(|origin| besides.contains(origin.asset)) {
            return;
        }
        let key = self.hasher.object(to);
        if self.amounts.opaque.len() >= MAX_DESTINATIONS && !self.amounts.opaque.contains_key(&key) {
            return;
        }
        let sent = self.amounts.opaque.entry(key).or_default();
        *sent = sent.saturating_add(opaque(bytes) as u64);
        let sent = *sent;
        for origin in origins.into_iter().filter(|origin| !besides.contains(origin.asset)) {
            let read = self.amounts.read.get(&origin.asset).copied().unwrap_or_default();
            if sent >= (read / SHRINK).clamp(LEAST, ENOUGH) {
                self.suspicion(record, touched, (to, channel), "sent what cannot be read to", origin);
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
        for origin in self.reach(process.key) {
            if !besides.contains(origin.asset) {
                self.suspicion(record, touched, (to, channel(to)), phrase, origin);
            }
        }
    }

    fn suspicion(
        &mut self,
        record: &Record<'_>,
        touched: &mut Touched,
        (to, channel): (&Object, Channel),
        phrase: &'static str,
        origin: Origin,
    ) {
        let key = self.hasher.any((Verb::Transmit as u8, origin.asset, &to.name));
        self.claim(
            key,
            record,
            touched,
            Claim {
                verb: Verb::Transmit,
                asset: Some(origin.asset),
                confidence: Confidence::Suspected,
                channel,
                destination: Some(&to.name),
                markers: &[],
                link: Link::Lineage,
                phrase,
                thing: &to.name,
                deed: None,
                before: Some(origin.chain),
                ending: ending(record),
            },
        );
    }
}

/// How many of the bytes cannot be told from chance: all of packed or encrypted ones, and in text the runs that spell
/// such bytes out.
fn opaque(bytes: &[u8]) -> usize {
    let plain = bytes.iter().filter(|byte| matches!(byte, 0x20..=0x7e | b'\n' | b'\r' | b'\t')).count();
    // Text of other alphabets is text as well.
    if plain * 4 < bytes.len() * 3 && std::str::from_utf8(bytes).is_err() {
        return if is_chance(bytes, 256) { bytes.len() } else { 0 };
    }
    bytes
        .split(|byte| !(byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'_')))
        .filter(|run| run.len() >= RUN && run.iter().any(u8::is_ascii_digit) && run.iter().any(u8::is_ascii_alphabetic))
        .filter(|run| {
            is_chance(run, if run.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b'-') { 16 } else { 64 })
        })
        .map(<[u8]>::len)
        .sum()
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

    proptest! {
        #[test]
        fn chance_is_opaque_however_it_is_spelled(bytes in prop::collection::vec(any::<u8>(), 96..4096)) {
            prop_assert_eq!(opaque(&bytes), bytes.len());
            for spelled in [data_encoding::HEXLOWER.encode(&bytes), data_encoding::BASE64URL_NOPAD.encode(&bytes)] {
                let request = format!("GET /x?q={spelled} HTTP/1.1\r\n");
                prop_assert!(opaque(request.as_bytes()) >= spelled.len());
            }
        }
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
        let code = program.chunks(4096).filter(|page| opaque(page) as u64 >= LEAST).count();
        assert_eq!(code, 0, "of {} pages of a program", program.len() / 4096);
    }
}
