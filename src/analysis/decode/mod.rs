//! Undoes what bytes are packed in and searches what comes out, again and again, under budgets.
//!
//! A [`Node`] is a stream of bytes as it comes, piece by piece. It searches them, and keeps open
//! what it has found to begin in them: a compressed or framed container, a run of base 64, text
//! with escapes. What these give is the stream of a node of their own. A cheap gate stands before
//! each: magic numbers found by vector instructions, one byte in sixteen for runs, one sign for
//! escapes. Ordinary payload opens nothing.
//!
//! Budgets are counted, not timed, so that a replay says the same as the session did. What they
//! cut short is counted in [`Cuts`] and said in the verdict's coverage.

pub(super) mod base85;
mod compressed;
mod escapes;
mod formats;
mod lz4;
mod protocol;
mod radix;
mod sqlite;
mod texts;
mod zip;

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use super::encoding::{Encoding, Path};
use super::matcher::Hits;
use super::search::{Search, Trace};
use compressed::{Brotli, Inflate, may_be_brotli, may_be_deflate};
use escapes::Sort;
use formats::{KIND_LENGTH, MAGIC_LENGTH, Magic, is_text, kind, magic};
use radix::Alphabet;
use sqlite::Sqlite;
use texts::Text;

/// Bytes that a decoder may give at a time.
const ROOM: usize = 64 << 10;
/// Layers undone within each other.
const MAX_DEPTH: usize = 6;
/// Bytes that one stream may be unpacked to, and how many more for each that came in: what a zip
/// bomb reaches at once and ordinary data, packed four to one in three layers, does not.
const STREAM_BYTES: u64 = 64 << 20;
const STREAM_RATIO: u64 = 64;
/// The same for all of a session's streams together.
const SESSION_BYTES: u64 = 4 << 30;
const SESSION_RATIO: u64 = 16;
/// Bytes waited for before guessing at a format that has no magic number: more than nearly all digests have, which look
/// like packed bytes and are in every other text.
const GUESS: usize = 48;

/// How a decoder stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// There may be more.
    More,
    /// What it was for has ended.
    Done,
    /// It is something else, or broken.
    Failed,
}

/// Undoes one layer.
trait Decoder: Send {
    /// Takes some of `input` and appends what it gives to `out`: at most [`ROOM`], or one block
    /// of a format that has only whole ones (4 MiB). Returns how many bytes it took.
    fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> (usize, Step);
    /// Bytes of memory that it may hold.
    fn weight(&self) -> usize;
}

/// What was cut short, for the coverage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cuts {
    /// Layers that lay deeper than is undone.
    pub(super) depth: u64,
    /// Streams that would have given more bytes than is unpacked.
    pub(super) bytes: u64,
    /// Streams that were not unpacked further to keep memory bounded.
    pub(super) memory: u64,
    /// Streams whose packing could not be followed because part of them was not captured.
    pub(super) gaps: u64,
}

/// What all streams of a session share.
#[derive(Debug, Default)]
pub(super) struct Work {
    pub(super) cuts: Cuts,
    taken: u64,
    made: u64,
    /// Memory that decoders wrote into, to be written into again.
    spare: Vec<Vec<u8>>,
}

/// What a node needs to do its work.
pub(super) struct Context<'c> {
    pub(super) search: &'c Search,
    pub(super) work: &'c mut Work,
    pub(super) hits: &'c mut Hits,
    /// What the stream may still be unpacked to.
    left: u64,
    cut: bool,
    /// Whether what is found was told before.
    muted: bool,
}

impl Context<'_> {
    /// Lets a decoder write, and `node` take what it wrote, as far as that may be.
    fn made<T>(&mut self, node: &mut Node, decode: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let mut out = self.work.spare.pop().unwrap_or_default();
        let told = decode(&mut out);
        if self.left < out.len() as u64 {
            self.cut = true;
        } else if !out.is_empty() {
            self.left -= out.len() as u64;
            if node.path.is_compressed() {
                self.hits.unpacked(&out);
            }
            node.take(&out, self);
        }
        out.clear();
        // A few blocks of lz4 or brotli are not to be held for ever.
        if out.capacity() <= 2 * ROOM {
            self.work.spare.push(out);
        }
        told
    }
}

/// A stream of bytes: of an event, or of what a decoder gives.
#[derive(Default)]
pub(super) struct Node {
    path: Path,
    trace: Trace,
    /// Bytes that came by.
    seen: u64,
    /// The same since something may have begun, as far as guessing needs it.
    since: u8,
    /// What the bytes are is in the path.
    named: bool,
    /// Its bytes were made of digits that may have begun with the second of two.
    halves: bool,
    /// How many sorts of escapes were undone around it, with nothing between.
    texts: u8,
    deep: Option<Box<Deep>>,
}

/// What is open in a stream.
#[derive(Default)]
struct Deep {
    container: Option<Open>,
    runs: [Option<Open>; Alphabet::COUNT],
    guesses: Vec<Open>,
    texts: Vec<(Sort, Text)>,
    /// Bytes made of the stream, all layers together.
    made: u64,
    /// The budget is used up: nothing is opened any more.
    spent: bool,
}

/// A decoder and the stream that it gives.
struct Open {
    decoder: Box<dyn Decoder>,
    node: Node,
}

impl Node {
    fn inside(path: Path) -> Self {
        Self { path, ..Self::default() }
    }

    /// What is packed without a magic number may begin with the next byte.
    pub(super) fn begin(&mut self) {
        self.since = 0;
    }

    /// Something between what came and what comes is missing.
    pub(super) fn gap(&mut self, work: &mut Work) {
        work.cuts.gaps += u64::from(self.deep.as_ref().is_some_and(|deep| deep.is_open()));
        (self.trace, self.deep) = (Trace::default(), None);
    }

    /// Memory that is held beside the node itself.
    pub(super) fn weight(&self) -> usize {
        self.deep.as_ref().map_or(0, |deep| deep.weight())
    }

    /// Lets go of what is open; returns whether anything was.
    pub(super) fn close(&mut self) -> bool {
        self.deep.take().is_some_and(|deep| deep.is_open())
    }

    /// The next bytes of a stream of the session's.
    pub(super) fn push(&mut self, bytes: &[u8], search: &Search, work: &mut Work, hits: &mut Hits) {
        work.taken += bytes.len() as u64;
        hits.begin();
        let made = self.deep.as_ref().map_or(0, |deep| deep.made);
        let spent = self.deep.as_ref().is_some_and(|deep| deep.spent);
        let stream = (STREAM_BYTES + STREAM_RATIO * (self.seen + bytes.len() as u64)).saturating_sub(made);
        let session = (SESSION_BYTES + SESSION_RATIO * work.taken).saturating_sub(work.made);
        let left = if spent { 0 } else { stream.min(session) };
        let mut context = Context { search, work, hits, left, cut: spent, muted: false };
        self.take(bytes, &mut context);
        let (used, cut) = (left - context.left, context.cut);
        work.made += used;
        if cut {
            self.deep();
        }
        if let Some(deep) = &mut self.deep {
            deep.made += used;
            if cut && !deep.spent {
                work.cuts.bytes += 1;
                **deep = Deep { made: deep.made, spent: true, ..Deep::default() };
            } else if !deep.is_open() && deep.made == 0 {
                self.deep = None;
            }
        }
    }

    fn take(&mut self, bytes: &[u8], context: &mut Context<'_>) {
        if !self.named && self.path.depth() > 0 {
            self.name(bytes);
        }
        self.search(bytes, context);
        if !self.contained(bytes, context) {
            self.guess(bytes, context);
            self.run(Alphabet::Hex, bytes, context);
            if self.run(Alphabet::Base85, bytes, context) | self.has_open(Alphabet::Base64) {
                self.run(Alphabet::Base64, bytes, context);
            }
            self.texts(bytes, context);
        }
        self.seen += bytes.len() as u64;
        self.trace.keep(bytes);
    }

    /// Searches what comes, which is then to be kept.
    fn search(&mut self, bytes: &[u8], context: &mut Context<'_>) {
        let (path, muted) = (self.path, context.muted);
        let mut note = |id, inner| {
            if !muted {
                context.hits.note(id, path.then(inner));
            }
        };
        context.search.advance(&mut self.trace, bytes, &mut note);
        if self.halves {
            context.search.between(&self.trace, bytes, note);
        }
    }

    /// Says in the path what the stream is, once its first bytes tell.
    fn name(&mut self, bytes: &[u8]) {
        let before = self.trace.all();
        if self.seen > before.len() as u64 {
            self.named = true;
            return;
        }
        let found = if before.is_empty() {
            kind(bytes)
        } else {
            kind(&[before, bytes.get(..KIND_LENGTH).unwrap_or(bytes)].concat())
        };
        if let Some(kind) = found {
            self.path = self.path.and(kind);
            self.named = true;
        }
    }

    fn deep(&mut self) -> &mut Deep {
        self.deep.get_or_insert_default()
    }

    /// Whether something may be opened here.
    fn may_open(&self, context: &mut Context<'_>) -> bool {
        if self.path.depth() >= MAX_DEPTH {
            context.work.cuts.depth += 1;
            return false;
        }
        !context.cut
    }

    /// Containers. Returns whether all bytes belong to one.
    fn contained(&mut self, bytes: &[u8], context: &mut Context<'_>) -> bool {
        let mut from = 0;
        if let Some(mut open) = self.deep.as_mut().and_then(|deep| deep.container.take()) {
            let (taken, step) = open.push(bytes, context);
            self.since = GUESS as u8;
            match step {
                Step::More => {
                    self.deep().container = Some(open);
                    return true;
                }
                Step::Done => from = taken,
                Step::Failed => {}
            }
        }
        // A magic number may have begun in what came before.
        if from == 0 {
            let edge = Edge::new(&self.trace, bytes, MAGIC_LENGTH - 1);
            let over = |(at, magic): &(usize, Magic)| *at < edge.before && at + magic.length > edge.before;
            if let Some((at, magic)) = magic(edge.bytes()).filter(over) {
                let head = edge.bytes().get(at..edge.before).unwrap_or_default();
                match self.contain(magic, head, bytes, context) {
                    Some(end) => from = end,
                    None => return true,
                }
            }
        }
        while let Some((at, magic)) = magic(bytes.get(from..).unwrap_or_default()) {
            let rest = bytes.get(from + at..).unwrap_or_default();
            match self.contain(magic, &[], rest, context) {
                Some(end) => from += at + end.max(1),
                None => return true,
            }
        }
        false
    }

    /// Opens a container that begins with `head`, then `bytes`. Returns where it ended, or `None`
    /// when it goes on.
    fn contain(&mut self, magic: Magic, head: &[u8], bytes: &[u8], context: &mut Context<'_>) -> Option<usize> {
        let is_noise = magic.encoding == Encoding::Zlib
            && head.is_empty()
            && !may_be_deflate(bytes.get(magic.length..).unwrap_or_default());
        if is_noise || !self.may_open(context) {
            return Some(0);
        }
        let Some(decoder) = (magic.open)() else { return Some(0) };
        let mut open = Open { decoder, node: Self::inside(self.path.and(magic.encoding)) };
        if open.push(head, context).1 != Step::More {
            return Some(0);
        }
        match open.push(bytes, context) {
            (_, Step::More) => {
                self.since = GUESS as u8;
                self.deep().container = Some(open);
                None
            }
            (taken, Step::Done) => Some(taken),
            (_, Step::Failed) => Some(0),
        }
    }

    /// Formats without a magic number, tried where a stream begins.
    fn guess(&mut self, bytes: &[u8], context: &mut Context<'_>) {
        if let Some(deep) = &mut self.deep {
            deep.guesses.retain_mut(|open| open.push(bytes, context).1 == Step::More);
        }
        let before = usize::from(self.since);
        self.since = (before + bytes.len()).min(GUESS) as u8;
        if before >= GUESS || before + bytes.len() < GUESS {
            return;
        }
        let mut head = self.trace.last(before).to_vec();
        head.extend_from_slice(bytes.get(..GUESS.saturating_sub(before)).unwrap_or(bytes));
        // Text and programs are neither.
        if is_text(&head) || head.starts_with(b"\x7fELF") || !self.may_open(context) {
            return;
        }
        let first = head.first().copied().unwrap_or_default();
        let deflate = may_be_deflate(&head).then(|| Box::new(Inflate::raw()) as Box<dyn Decoder>);
        let brotli = may_be_brotli(&head).then(|| Brotli::new(first)).flatten();
        let brotli = brotli.map(|brotli| Box::new(brotli) as Box<dyn Decoder>);
        let sqlite = head.starts_with(sqlite::MAGIC).then(|| Box::<Sqlite>::default() as Box<dyn Decoder>);
        let decoders = [(Encoding::Deflate, deflate), (Encoding::Brotli, brotli), (Encoding::Sqlite, sqlite)];
        for (encoding, decoder) in decoders {
            let Some(decoder) = decoder else { continue };
            let mut open = Open { decoder, node: Self::inside(self.path.and(encoding)) };
            let head = head.get(..before).unwrap_or_default();
            if open.push(head, context).1 == Step::More && open.push(bytes, context).1 == Step::More {
                self.deep().guesses.push(open);
            }
        }
    }

    /// Runs of characters of an alphabet. Returns whether there were any.
    fn run(&mut self, alphabet: Alphabet, bytes: &[u8], context: &mut Context<'_>) -> bool {
        let slot = alphabet as usize;
        let (mut from, mut any) = (0, false);
        if let Some(mut open) = self.deep.as_mut().and_then(|deep| deep.runs.get_mut(slot)?.take()) {
            let (taken, step) = open.push(bytes, context);
            if step == Step::More {
                self.keep_run(slot, open);
                return true;
            }
            (from, any) = (taken, true);
        }
        let before = if from == 0 { alphabet.trailing(self.trace.all()) } else { 0 };
        while let Some(run) = alphabet.next_run(bytes, from, before) {
            let lead = if run.start == 0 { self.trace.last(before) } else { &[] };
            let end = run.end.min(run.start + radix::TELLING);
            (from, any) = (run.end, true);
            let head = bytes.get(run.start..end).unwrap_or_default();
            let earlier = lead.len();
            let head = if lead.is_empty() { Cow::Borrowed(head) } else { Cow::Owned([lead, head].concat()) };
            for at in alphabet.starts(&head) {
                let Some((encoding, decoder)) = alphabet.decoder(&head) else { break };
                if !self.may_open(context) {
                    return true;
                }
                let mut node = Self::inside(self.path.and(encoding));
                node.halves = encoding == Encoding::Hex;
                let mut open = Open { decoder, node };
                if open.push(head.get(at..earlier).unwrap_or_default(), context).1 != Step::More {
                    continue;
                }
                let start = run.start + at.saturating_sub(earlier);
                let (taken, step) = open.push(bytes.get(start..).unwrap_or_default(), context);
                match (at, step) {
                    (0, Step::More) => {
                        self.keep_run(slot, open);
                        from = bytes.len();
                    }
                    (_, Step::More) => self.deep().guesses.push(open),
                    _ => from = from.max(start + taken),
                }
            }
        }
        any
    }

    fn has_open(&self, alphabet: Alphabet) -> bool {
        self.deep.as_ref().and_then(|deep| deep.runs.get(alphabet as usize)).is_some_and(Option::is_some)
    }

    fn keep_run(&mut self, slot: usize, open: Open) {
        if let Some(place) = self.deep().runs.get_mut(slot) {
            *place = Some(open);
        }
    }
}

/// The last bytes that came, and the first of those that come: short, and not in memory of its own.
struct Edge {
    bytes: [u8; 2 * EDGE],
    length: usize,
    /// How many of them came before.
    before: usize,
}

/// Bytes either side of an edge: one less than the longest thing that is looked for there.
const EDGE: usize = 11;

impl Edge {
    fn new(trace: &Trace, bytes: &[u8], reach: usize) -> Self {
        let before = trace.last(reach.min(EDGE));
        let after = bytes.get(..reach.min(EDGE)).unwrap_or(bytes);
        let mut edge = Self { bytes: [0; 2 * EDGE], length: 0, before: before.len() };
        if before.is_empty() {
            return edge;
        }
        for (to, from) in edge.bytes.iter_mut().zip(before.iter().chain(after)) {
            *to = *from;
            edge.length += 1;
        }
        edge
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

impl Deep {
    fn is_open(&self) -> bool {
        let runs = self.runs.iter().any(Option::is_some);
        self.container.is_some() || runs || !self.guesses.is_empty() || !self.texts.is_empty()
    }

    fn weight(&self) -> usize {
        let opens = self.container.iter().chain(self.runs.iter().flatten()).chain(&self.guesses);
        let opens: usize = opens.map(|open| size_of::<Open>() + open.decoder.weight() + open.node.weight()).sum();
        let texts: usize = self.texts.iter().map(|(_, text)| size_of::<(Sort, Text)>() + text.weight()).sum();
        size_of::<Self>() + opens + texts
    }
}

impl Open {
    /// Undoes `bytes` and searches what comes out. Returns how many were taken.
    fn push(&mut self, bytes: &[u8], context: &mut Context<'_>) -> (usize, Step) {
        let mut at = 0;
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            let (taken, step, given) = context.made(&mut self.node, |out| {
                let (taken, step) = self.decoder.step(rest.get(..ROOM).unwrap_or(rest), out);
                (taken, step, out.len())
            });
            at += taken;
            if context.cut {
                return (at, Step::Failed);
            }
            match step {
                Step::Done | Step::Failed => return (at, step),
                // A decoder that filled its room may have more.
                Step::More if given >= ROOM => {}
                Step::More if at >= bytes.len() => return (at, Step::More),
                Step::More if taken == 0 && given == 0 => return (at, Step::Failed),
                Step::More => {}
            }
        }
    }
}

/// Whether there is a run of text long enough to be undone.
pub(super) fn text_run(bytes: &[u8]) -> bool {
    Alphabet::Base85.next_run(bytes, 0, 0).is_some()
}
