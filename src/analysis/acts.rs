//! What each act means: which claims an open, a write, a connect, an exec or a file left behind
//! makes about which asset.
//!
//! Two kinds of ground are kept apart. *Content*: marker bytes are in the event; what is said
//! is proven. *Lineage*: the process had to do with the asset before; what is said is suspected.

use std::sync::Arc;

use belljar_sandbox::event::{Abi, Decision, Kind, LayerChange, ObjectKind};
use belljar_sandbox::witness::syscalls::{self, Call};
use nix::errno::Errno;

use super::attempts::FORMAT;
use super::claims::ending;
use super::facts::Facts;
use super::finding::{Channel, Ending, Link};
use super::lineage::Holding;
use super::matcher::{Direction, Hits};
use super::place::Place;
use super::{Analysis, MAX_WRITERS, Touched};
use crate::store::meaning::{Act, act};
use crate::store::{AssetSet, Object, Record, Verb};

impl Analysis {
    pub(super) fn call(&mut self, call: &'static Call, record: &Record<'_>, touched: &mut Touched) {
        // i386 passes some socket calls through one number; the first argument says which.
        let inner = match record.kind {
            Kind::Call { abi: Abi::I386, .. } if call.name == "socketcall" => {
                syscalls::socketcall(record.args[0] as u32)
            }
            _ => None,
        };
        let call = inner.unwrap_or(call);
        if record.decision == Decision::Denied {
            self.refused.insert(call.name);
        }
        for object in [record.object, record.target].into_iter().flatten() {
            touched.assets.0 |= self.facts(object).own.0;
        }
        let act = act(inner, record);
        self.explains(call, act, record);
        match act {
            Act::Open { read, write, truncate } => self.open(record, touched, read, write, truncate),
            Act::Read => {
                self.payloads_cut += u64::from(self.is_cut(record, Direction::In));
                self.read(record, touched, "read");
            }
            Act::Map { write } => {
                self.read(record, touched, "mapped");
                if let Some(object) = record.object.filter(|_| write) {
                    self.wrote(object, record);
                    let flow = self.flow(object);
                    self.share(record, flow, true, "mapped for writing", &object.name);
                }
            }
            // Each such map is one of its own.
            Act::Share => {
                self.share(record, self.hasher.any(("map", record.seq)), true, "has memory in common with others", b"");
            }
            Act::Attach { write } => {
                let flow = self.hasher.any(("segment", record.args[0]));
                self.share(record, flow, write, "has a segment of memory in common with others", b"");
            }
            Act::Post => {
                let flow = self.hasher.any(("messages", record.args[0]));
                self.pour(record, flow, "left a message", b"");
            }
            Act::Fetch => {
                let flow = self.hasher.any(("messages", record.args[0]));
                self.draw(record, flow, "took a message", b"");
            }
            Act::Peek(pid) => self.reach_into(record, pid, "read the memory of a process", false),
            Act::Poke(pid) => self.reach_into(record, pid, "wrote to the memory of a process", true),
            Act::Accept => {
                if let (Some(process), Some(object)) = (record.process, record.object) {
                    let flow = self.flow(object);
                    self.lineage.listen(process.key, flow);
                    // Who called may have written before it was let in.
                    self.draw(record, flow, "took a connection at", &object.name);
                }
            }
            Act::Receive => self.read(record, touched, "received from"),
            Act::Write => {
                self.payloads_cut += u64::from(self.is_cut(record, Direction::Out));
                self.write(record, touched, record.object);
            }
            Act::Send => {
                self.payloads_cut += u64::from(self.is_cut(record, Direction::Out));
                self.write(record, touched, record.target.filter(|target| is_peer(target)).or(record.object));
            }
            Act::Copy { object_is_destination } => {
                let (object, target) = (record.object, record.target);
                let (from, to) = if object_is_destination { (target, object) } else { (object, target) };
                self.copy(record, touched, from, to);
            }
            Act::Connect => self.connect(record, touched),
            Act::Bind => self.names(record, touched, record.object),
            Act::Rename => self.rename(call.name, record, touched),
            Act::Make => {
                self.names(record, touched, record.object);
                if let Some(object) = record.object.filter(|_| is_fifo(call.name, record)) {
                    let flow = self.flow(object);
                    if self.fifos.len() < MAX_WRITERS {
                        self.fifos.insert(flow);
                    }
                }
            }
            Act::Truncate => {
                if let Some(object) = record.object {
                    self.empties(object, record, touched, "cut");
                    self.wrote(object, record);
                }
            }
            Act::Remove => {
                let planted = record.object.filter(|object| self.is_planted(object));
                let named = self.paths.of(planted);
                for asset in named.iter() {
                    self.destroy(asset, record, touched, "removed");
                }
                if let Some(object) = record.object.filter(|_| named.0 != 0) {
                    self.wrote(object, record);
                }
            }
            Act::Exec => self.exec(record, touched),
            Act::Other => {}
        }
    }

    /// What went to the subject's own screen is expected to be seen; it is noted, not held
    /// against it.
    pub(super) fn shown(&mut self, record: &Record<'_>, touched: &mut Touched) {
        let hits = self.search(record, record.object, Direction::Out);
        touched.assets.0 |= hits.assets().0;
        touched.keep_payload |= !hits.is_empty();
        self.hits = hits;
    }

    /// What was handed to a TLS library goes to whom the thread spoke meanwhile; else to whom the process connected last.
    pub(super) fn plaintext(&mut self, sent: bool, record: &Record<'_>, touched: &mut Touched) {
        let last = record.process.and_then(|process| self.peers.get(&process.key)).map(Arc::clone);
        let unknown = Object { kind: ObjectKind::Socket, name: Box::from(&b"tls"[..]) };
        let peer = record.target.filter(|target| is_peer(target)).or(last.as_deref()).unwrap_or(&unknown);
        let record = Record { object: Some(peer), target: None, ..*record };
        if sent {
            self.payloads_cut += u64::from(self.is_cut(&record, Direction::Out));
            self.write(&record, touched, Some(peer));
        } else {
            self.payloads_cut += u64::from(self.is_cut(&record, Direction::In));
            self.read(&record, touched, "received through TLS from");
        }
    }

    fn open(&mut self, record: &Record<'_>, touched: &mut Touched, read: bool, write: bool, truncate: bool) {
        if read {
            self.read(record, touched, "opened");
        }
        let Some(object) = record.object.filter(|_| write) else { return };
        if truncate {
            self.empties(object, record, touched, "emptied");
        }
        self.names(record, touched, record.object);
        if self.facts(object).place == Place::Disk {
            self.wrote(object, record);
        }
    }

    /// Bytes come in from the object, or may from now on.
    fn read(&mut self, record: &Record<'_>, touched: &mut Touched, phrase: &'static str) {
        let Some(object) = record.object else { return };
        // The payload of openat2 is its flags.
        let carries = phrase != "opened" && &*object.name != HOSTS && !is_environment(&object.name);
        let hits = if carries { self.search(record, record.object, Direction::In) } else { self.none() };
        touched.keep_payload |= !hits.is_empty();
        touched.assets.0 |= hits.assets().0;
        // What was never planted in an asset's directory is not of the asset.
        let missing = record.result == Some(-(Errno::ENOENT as i64)) && !self.paths.names(object);
        let Facts { own, flow, place, .. } = self.facts(object);
        let named = if missing { AssetSet::default() } else { own };
        for asset in named.iter() {
            self.collect(asset, hits.of(asset), record, touched, phrase, Link::Exact);
            if carries {
                self.has_read(asset, record);
            }
        }
        // Client data where none was planted: a copy. Whose, lineage may know; else it is news.
        let known = self.lineage.flow(flow).map_or(0, |holding| holding.assets().0);
        for asset in AssetSet(hits.assets().0 & !named.0).iter() {
            if named.0 != 0 || place != Place::Local && known & 1 << asset == 0 {
                self.collect(asset, hits.of(asset), record, touched, phrase, Link::Content);
            } else {
                self.gain(asset, record, phrase, &object.name, Link::Content);
            }
        }
        if let Some(process) = record.process.filter(|_| place == Place::Local) {
            self.lineage.listen(process.key, flow);
        }
        if known != 0 {
            self.draw(record, flow, phrase, &object.name);
        }
        if let Some(pid) = memory_of(&object.name) {
            self.reach_into(record, pid, "read the memory of a process", false);
        }
        self.hits = hits;
    }

    /// Bytes go out to the object, by write or send.
    fn write(&mut self, record: &Record<'_>, touched: &mut Touched, to: Option<&Object>) {
        let Some(to) = to else { return };
        let mut hits = self.search(record, Some(to), Direction::Out);
        touched.keep_payload |= !hits.is_empty();
        touched.assets.0 |= hits.assets().0;
        let in_clear = matches!(record.kind, Kind::Plaintext { .. });
        let sent = if in_clear { "sent through TLS to" } else { "sent to" };
        let Facts { own, flow, place, .. } = self.facts(to);
        match place {
            Place::Disk => {
                if hits.in_clear().0 != 0 {
                    self.saves(flow);
                }
                // Its own place is where it was already.
                hits.retain(|hit| !own.contains(hit.id.asset));
                let channel = channel(record, to);
                let beside = self.beside(&hits, to);
                self.contents(Verb::Store, &hits, record, touched, (&to.name, channel), "wrote to");
                for (asset, key) in beside {
                    self.ledger.hold(key, asset, flow, record.time_ns);
                }
                if !hits.is_empty() {
                    self.wrote(to, record);
                }
                let held = record.process.and_then(|process| self.lineage.held(process.key));
                if let Some(held) = held.map(Holding::assets).filter(|_| hits.is_empty() && own.0 == 0) {
                    self.hoard(held, record, touched, to);
                }
                self.pour(record, flow, "wrote to", &to.name);
                self.filled(record.payload_len, to, record, touched);
            }
            Place::Remote => {
                self.matcher.scan(&to.name, &mut hits);
                let to = self.by_name(to);
                let channel = channel(record, &to);
                self.contents(Verb::Transmit, &hits, record, touched, (&to.name, channel), sent);
                // The gateway, where there is one, sees what is meant, without TLS around it.
                if !self.gateway.any {
                    self.suspect(record, touched, (&to, channel), &hits);
                }
            }
            Place::Local => {
                for asset in hits.assets().iter() {
                    self.imply(asset, hits.of(asset), record, touched);
                }
                self.pour(record, flow, "wrote to", &to.name);
            }
            Place::Nowhere => {}
        }
        self.hits = hits;
    }

    fn connect(&mut self, record: &Record<'_>, touched: &mut Touched) {
        let Some(to) = record.target.filter(|target| is_peer(target)).or(record.object) else { return };
        if to.kind == ObjectKind::Tcp
            && let Some(process) = record.process.filter(|_| self.peers.len() < MAX_WRITERS)
        {
            self.peers.insert(process.key, Arc::new(to.clone()));
        }
        if self.facts(to).place != Place::Remote {
            return;
        }
        // Connecting a datagram socket sends nothing: resolvers do it to learn their own address.
        if to.kind != ObjectKind::Udp {
            self.connections += 1;
            let to = self.by_name(to);
            if ending(record).0 != Ending::Succeeded {
                self.reached(record, touched, &to, "asked to connect to", AssetSet::default());
            }
        }
    }

    /// Bytes move from one thing to another inside the kernel; nobody sees them pass.
    fn copy(&mut self, record: &Record<'_>, touched: &mut Touched, from: Option<&Object>, to: Option<&Object>) {
        let source = Record { object: from, target: None, payload: &[], ..*record };
        self.read(&source, touched, "copied from");
        let Some(to) = to else { return };
        let from = from.map(|from| self.facts(from));
        let held = from.and_then(|from| self.lineage.flow(from.flow)).map_or(0, |holding| holding.assets().0);
        let named = from.map_or(0, |from| from.own.0);
        let Facts { own, flow, place, .. } = self.facts(to);
        match place {
            Place::Disk => {
                for asset in AssetSet((named | held) & !own.0).iter() {
                    self.put(asset, record, touched, to, "copied to");
                }
                self.wrote(to, record);
                self.pour(record, flow, "copied to", &to.name);
            }
            Place::Remote => {
                // Here, too.
                if !self.gateway.any {
                    let to = self.by_name(to);
                    self.reached(record, touched, &to, "copied to", AssetSet::default());
                }
            }
            Place::Local => self.pour(record, flow, "copied to", &to.name),
            Place::Nowhere => {}
        }
    }

    fn rename(&mut self, name: &str, record: &Record<'_>, touched: &mut Touched) {
        let (Some(from), Some(to)) = (record.object, record.target) else { return };
        let own = self.paths.of(Some(to));
        let whole = self.paths.with(from);
        for asset in AssetSet(whole.0 & !own.0).iter() {
            self.put(asset, record, touched, to, if name.starts_with("link") { "linked to" } else { "moved to" });
        }
        self.names(record, touched, Some(to));
        if ending(record).0 == Ending::Succeeded && name.starts_with("link") {
            self.lineage.link(self.flow(from), self.flow(to));
        }
        if ending(record).0 == Ending::Succeeded && name.starts_with("rename") {
            let (old, new) = (self.flow(from), self.flow(to));
            self.ledger.drop_held(old, own);
            if self.planted.contains(&old) {
                self.planted.insert(new);
            }
            if whole.0 != 0 && self.moved.len() < MAX_WRITERS {
                self.moved.insert(old);
            }
            self.lineage.rename(old, new);
            if self.fifos.remove(&old) {
                self.fifos.insert(new);
            }
            if let Some(writer) = self.writers.remove(&old) {
                self.writers.insert(new, writer);
            }
        }
    }

    /// Client data in a name that is being made, or in the text that goes with it (a link's
    /// contents, an extended attribute).
    fn names(&mut self, record: &Record<'_>, touched: &mut Touched, object: Option<&Object>) {
        let Some(object) = object.filter(|object| matches!(object.kind, ObjectKind::File | ObjectKind::Unix)) else {
            return;
        };
        if self.paths.of(Some(object)).0 != 0 {
            return;
        }
        let mut hits = self.none();
        self.matcher.scan(&object.name, &mut hits);
        self.matcher.scan(record.detail, &mut hits);
        self.matcher.scan(record.payload, &mut hits);
        self.contents(Verb::Store, &hits, record, touched, (&object.name, channel(record, object)), "made");
        self.hits = hits;
    }

    /// A program is started: its arguments and what is new in its environment are looked at.
    /// What the subject itself was started with is the analyst's doing.
    pub(super) fn exec(&mut self, record: &Record<'_>, touched: &mut Touched) {
        let Some(program) = record.object else { return };
        let cut = record.payload_len > record.payload.len() as u64;
        let first = !self.begun && record.process.is_none_or(|p| p.parent.is_none_or(|parent| parent.0 == 0));
        if first {
            self.given.extend(record.payload.split(|b| *b == 0).map(Box::from));
            self.begun = record.kind == Kind::ProcessImage;
            return;
        }
        let mut hits = self.none();
        self.matcher.scan(record.detail, &mut hits);
        self.contents(
            Verb::Process,
            &hits,
            record,
            touched,
            (&program.name, Channel::Argv),
            "put it in the arguments of",
        );
        hits.clear();
        let mut entries = record.payload.split(|b| *b == 0).peekable();
        while let Some(entry) = entries.next() {
            let unfinished = cut && entries.peek().is_none();
            if entry.is_empty()
                || self.given.contains(entry)
                || unfinished && self.given.iter().any(|g| g.starts_with(entry))
            {
                continue;
            }
            let name = entry.split(|b| *b == b'=').next().unwrap_or_default();
            let mut found = Hits::default();
            self.matcher.scan(entry, &mut found);
            found.retain(|hit| !self.holds_variable(hit.id.asset, name));
            for hit in found.all() {
                hits.add(*hit);
            }
        }
        self.contents(
            Verb::Process,
            &hits,
            record,
            touched,
            (&program.name, Channel::Env),
            "put it in the environment of",
        );
        self.hits = hits;
    }

    /// Whether the asset was planted in this environment variable.
    fn holds_variable(&self, asset: usize, name: &[u8]) -> bool {
        self.assets.get(asset).is_some_and(|asset| asset.variables.iter().any(|v| v.as_bytes() == name))
    }

    /// A file that the session left behind.
    pub(super) fn layer(&mut self, change: LayerChange, record: &Record<'_>, touched: &mut Touched) {
        let Some(object) = record.object else { return };
        let own = self.paths.of(Some(object));
        touched.assets.0 |= own.0;
        self.explained(change, record, touched);
        if change == LayerChange::Deleted {
            // What was moved is told as what it is: a copy elsewhere.
            if !self.moved.contains(&self.flow(object)) {
                for asset in self.paths.with(object).iter() {
                    self.destroy(asset, record, touched, "no longer has");
                }
            }
            return;
        }
        let mut hits = self.none();
        self.matcher.scan(record.payload, &mut hits);
        if own.0 == 0 {
            self.matcher.scan(&object.name, &mut hits);
        }
        if let Some(target) = record.target {
            self.matcher.scan(&target.name, &mut hits);
        }
        // A file of client data in which none of it is left, as far as all of it was read.
        let is_whole = record.payload_len == record.payload.len() as u64 && record.payload_len > 0;
        if change == LayerChange::Changed && is_whole && self.paths.names(object) {
            for asset in own.iter().filter(|asset| hits.of(*asset).is_empty()).collect::<Vec<_>>() {
                self.destroy(asset, record, touched, "no longer has the values in");
            }
        }
        let poured = self.lineage.flow(self.flow(object)).map(Holding::assets);
        if let Some(held) = poured.filter(|_| hits.is_empty() && own.0 == 0) {
            self.hoard(held, record, touched, object);
        }
        hits.retain(|hit| !own.contains(hit.id.asset));
        self.payloads_cut += u64::from(self.is_cut(record, Direction::Out));
        touched.keep_payload |= !hits.is_empty();
        self.contents(Verb::Store, &hits, record, touched, (&object.name, Channel::File), "has it in");
        self.hits = hits;
    }
}

/// Every program that looks up a name reads this file, and the machine's own name stands in it: no interest in that.
const HOSTS: &[u8] = b"/etc/hosts";

/// What a process was started with it has anyhow; whose else's it reads is a detector's matter.
fn is_environment(name: &[u8]) -> bool {
    name.starts_with(b"/proc/") && name.ends_with(b"/environ")
}

/// By which way bytes go to an object, or come from it.
pub(super) fn channel(record: &Record<'_>, object: &Object) -> Channel {
    match record.kind {
        Kind::Plaintext { .. } => Channel::Https,
        _ => super::place::channel(object),
    }
}

/// Whether this names somebody to send to.
pub(super) fn is_peer(object: &Object) -> bool {
    matches!(object.kind, ObjectKind::Tcp | ObjectKind::Udp | ObjectKind::Socket | ObjectKind::Unix)
        && !object.name.is_empty()
}

/// Whose memory a file is: /proc/PID/mem (proc_pid_mem(5)).
fn memory_of(path: &[u8]) -> Option<u64> {
    let pid = path.strip_prefix(b"/proc/")?.strip_suffix(b"/mem")?;
    std::str::from_utf8(pid).ok()?.parse().ok()
}

/// Whether the call makes a named pipe: S_IFIFO (inode(7)).
fn is_fifo(name: &str, record: &Record<'_>) -> bool {
    let mode = match name {
        "mknod" => record.args[1],
        "mknodat" => record.args[2],
        _ => 0,
    };
    mode & FORMAT == 0o010_000
}
