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
use super::facts::Facts;
use super::finding::{Basis, ChainItem, Channel, Confidence, Ending, Link};
use super::lineage::Lineage;
use super::matcher::{Direction, Hit, Hits};
use super::place::{Place, place};
use super::salts::Salts;
use super::{Analysis, Claim, MAX_WRITERS, Touched, ending};
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
        match act(inner, record) {
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
            Act::Remove | Act::Truncate => {
                let named = self.paths.of(record.object);
                for asset in named.iter() {
                    self.destroy(
                        asset,
                        record,
                        touched,
                        if call.name.contains("truncate") { "cut" } else { "removed" },
                    );
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
            for asset in self.paths.of(record.object).iter() {
                self.destroy(asset, record, touched, "emptied");
            }
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
        let place = if self.fifos.contains(&flow) { Place::Local } else { place };
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
            Place::Disk if !self.fifos.contains(&flow) => {
                // Its own place is where it was already.
                hits.retain(|hit| !own.contains(hit.id.asset));
                self.contents(Verb::Store, &hits, record, touched, to, "wrote to");
                if !hits.is_empty() {
                    self.wrote(to, record);
                }
                self.pour(record, flow, "wrote to", &to.name);
                self.filled(record.payload_len, to, record, touched);
            }
            Place::Remote => {
                self.matcher.scan(&to.name, &mut hits);
                let to = self.by_name(to);
                self.contents(Verb::Transmit, &hits, record, touched, &to, sent);
                // The gateway, where there is one, sees what is meant, without TLS around it.
                if !self.gateway.any {
                    self.suspect(record, touched, (&to, channel(record, &to)), record.payload, hits.assets());
                }
            }
            Place::Local | Place::Disk => {
                for asset in hits.assets().iter() {
                    self.imply(asset, hits.of(asset), record, touched);
                }
                self.pour(record, flow, "wrote to", &to.name);
            }
            Place::Nowhere => {}
        }
        self.hits = hits;
    }

    /// Marker bytes on their way to a place where they do not belong.
    fn contents(
        &mut self,
        verb: Verb,
        hits: &Hits,
        record: &Record<'_>,
        touched: &mut Touched,
        to: &Object,
        phrase: &'static str,
    ) {
        for asset in hits.assets().iter() {
            let key = self.hasher.any((verb as u8, asset, &to.name));
            // A file that is known to have been put there shows nothing new about who had it.
            if record.process.is_some() || !self.ledger.knows(key) {
                self.imply(asset, hits.of(asset), record, touched);
            } else {
                self.confirm(asset, hits.of(asset), record);
            }
            let before = self.origin(record, asset);
            self.claim(
                key,
                record,
                touched,
                Claim {
                    verb,
                    asset: Some(asset),
                    confidence: Confidence::Proven,
                    channel: channel(record, to),
                    destination: Some(&to.name),
                    markers: hits.of(asset),
                    link: Link::Content,
                    phrase,
                    thing: &to.name,
                    deed: None,
                    before,
                    ending: ending(record),
                },
            );
        }
    }

    fn connect(&mut self, record: &Record<'_>, touched: &mut Touched) {
        let Some(to) = record.target.filter(|target| is_peer(target)).or(record.object) else { return };
        if to.kind == ObjectKind::Tcp
            && let Some(process) = record.process.filter(|_| self.peers.len() < MAX_WRITERS)
        {
            self.peers.insert(process.key, Arc::new(to.clone()));
        }
        if place(to) != Place::Remote {
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
        let from_assets = self.paths.of(from);
        let flowing = from.and_then(|from| self.lineage.flow(self.flow(from))).map_or(0, |holding| holding.assets().0);
        let flow = self.flow(to);
        match place(to) {
            Place::Disk => {
                let own = self.paths.of(Some(to));
                for asset in AssetSet((from_assets.0 | flowing) & !own.0).iter() {
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

    /// A whole asset went to another path; its bytes were not seen.
    fn put(&mut self, asset: usize, record: &Record<'_>, touched: &mut Touched, to: &Object, phrase: &'static str) {
        let key = self.hasher.any((Verb::Store as u8, asset, &to.name));
        let before = self.origin(record, asset);
        self.claim(
            key,
            record,
            touched,
            Claim {
                verb: Verb::Store,
                asset: Some(asset),
                confidence: Confidence::Suspected,
                channel: channel(record, to),
                destination: Some(&to.name),
                markers: &[],
                link: Link::Exact,
                phrase,
                thing: &to.name,
                deed: None,
                before,
                ending: ending(record),
            },
        );
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
        self.contents(Verb::Store, &hits, record, touched, object, "made");
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
        self.handed(&hits, record, touched, Channel::Argv, program);
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
        self.handed(&hits, record, touched, Channel::Env, program);
        self.hits = hits;
    }

    /// Whether the asset was planted in this environment variable.
    fn holds_variable(&self, asset: usize, name: &[u8]) -> bool {
        self.assets.get(asset).is_some_and(|asset| asset.variables.iter().any(|v| v.as_bytes() == name))
    }

    fn handed(&mut self, hits: &Hits, record: &Record<'_>, touched: &mut Touched, channel: Channel, program: &Object) {
        for asset in hits.assets().iter() {
            self.imply(asset, hits.of(asset), record, touched);
            let before = self.origin(record, asset);
            let key = self.hasher.any((Verb::Process as u8, asset, channel as u8, &program.name));
            self.claim(
                key,
                record,
                touched,
                Claim {
                    verb: Verb::Process,
                    asset: Some(asset),
                    confidence: Confidence::Proven,
                    channel,
                    destination: Some(&program.name),
                    markers: hits.of(asset),
                    link: Link::Content,
                    phrase: if channel == Channel::Argv {
                        "put it in the arguments of"
                    } else {
                        "put it in the environment of"
                    },
                    thing: &program.name,
                    deed: None,
                    before,
                    ending: ending(record),
                },
            );
        }
    }

    /// A file that the session left behind.
    pub(super) fn layer(&mut self, change: LayerChange, record: &Record<'_>, touched: &mut Touched) {
        let Some(object) = record.object else { return };
        let own = self.paths.of(Some(object));
        touched.assets.0 |= own.0;
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
        hits.retain(|hit| !own.contains(hit.id.asset));
        self.payloads_cut += u64::from(self.is_cut(record, Direction::Out));
        touched.keep_payload |= !hits.is_empty();
        self.contents(Verb::Store, &hits, record, touched, object, "has it in");
        self.hits = hits;
    }

    /// Client data was read, or may have been.
    fn collect(
        &mut self,
        asset: usize,
        markers: &[Hit],
        record: &Record<'_>,
        touched: &mut Touched,
        phrase: &'static str,
        link: Link,
    ) {
        let Some(object) = record.object else { return };
        let key = self.collect_key(asset, record);
        let confidence = if markers.is_empty() { Confidence::Suspected } else { Confidence::Proven };
        self.claim(
            key,
            record,
            touched,
            Claim {
                verb: Verb::Collect,
                asset: Some(asset),
                confidence,
                channel: channel(record, object),
                destination: None,
                markers,
                link,
                phrase,
                thing: &object.name,
                deed: None,
                before: None,
                ending: ending(record),
            },
        );
        if ending(record).0 == Ending::Succeeded {
            self.gain(asset, record, phrase, &object.name, link);
        }
    }

    /// Marker bytes in the hands of a process show that it has the data. Where that was seen
    /// coming, it is confirmed; else it came by a way that was not seen (the environment, the
    /// kernel, a memory map), which is a finding of its own.
    pub(super) fn imply(&mut self, asset: usize, markers: &[Hit], record: &Record<'_>, touched: &mut Touched) {
        if self.confirm(asset, markers, record) {
            return;
        }
        if matches!(record.kind, Kind::Layer(_)) && self.collected.contains_key(&asset) {
            return;
        }
        let source = match self.assets.get(asset) {
            Some(asset) if !asset.variables.is_empty() => Channel::Env,
            Some(asset) if asset.class == "device" => Channel::Device,
            _ => Channel::Other,
        };
        let key = self.collect_key(asset, record);
        self.claim(
            key,
            record,
            touched,
            Claim {
                verb: Verb::Collect,
                asset: Some(asset),
                confidence: Confidence::Proven,
                channel: source,
                destination: None,
                markers,
                link: Link::Content,
                phrase: "had it at hand for",
                thing: record.op().as_bytes(),
                deed: None,
                before: None,
                ending: (Ending::Succeeded, Basis::LaterEvent, None),
            },
        );
        self.gain(asset, record, "had it at hand for", record.op().as_bytes(), Link::Content);
    }

    /// Says of the collection that the data came from, where one was seen, that it worked.
    fn confirm(&mut self, asset: usize, markers: &[Hit], record: &Record<'_>) -> bool {
        let Some(first) = self.origin(record, asset).and_then(|chain| chain.first().map(|item| item.event)) else {
            return false;
        };
        let keys = self.collected.get(&asset).cloned().unwrap_or_default();
        let mut ledger = std::mem::take(&mut self.ledger);
        for key in keys {
            ledger.confirm(key, first, markers, |id| self.marker_name(id));
        }
        self.ledger = ledger;
        true
    }

    /// Which finding a program's collect of an asset is; remembered, to be confirmed later.
    fn collect_key(&mut self, asset: usize, record: &Record<'_>) -> u64 {
        let exe = record.process.map(|process| process.exe.as_slice()).unwrap_or_default();
        let key = self.hasher.any((Verb::Collect as u8, asset, exe));
        let keys = self.collected.entry(asset).or_default();
        if keys.len() < 64 && !keys.contains(&key) {
            keys.push(key);
        }
        key
    }

    /// The process holds the asset from now on.
    fn gain(&mut self, asset: usize, record: &Record<'_>, phrase: &'static str, thing: &[u8], link: Link) {
        let Some(process) = record.process else { return };
        self.follow(record, phrase, thing, link, |lineage, step| {
            lineage.gain(process.key, asset, || step().into_iter().collect());
        });
    }

    /// How whoever did this came by the asset, as far as was seen. For a file left behind, who
    /// wrote it.
    pub(super) fn origin(&self, record: &Record<'_>, asset: usize) -> Option<Arc<[ChainItem]>> {
        if let Some(process) = record.process {
            if let Some(origin) = self.lineage.held(process.key).and_then(|holding| holding.origin(asset)) {
                return Some(Arc::clone(&origin.chain));
            }
            return self.lineage.reach(process.key).into_iter().find(|o| o.asset == asset).map(|o| o.chain);
        }
        let object = record.object?;
        let flow = self.flow(object);
        if let Some(origin) = self.lineage.flow(flow).and_then(|holding| holding.origin(asset)) {
            return Some(Arc::clone(&origin.chain));
        }
        let writer = self.writers.get(&flow)?;
        let process = writer.process.as_deref()?;
        let wrote = Record { seq: writer.event, process: Some(process), ..*record };
        Some(Arc::from([self.item(&wrote, Some(process), "opened for writing", &object.name, Link::Lineage)]))
    }

    /// What the process holds goes into the object.
    fn pour(&mut self, record: &Record<'_>, flow: u64, phrase: &'static str, thing: &[u8]) {
        let Some(process) = record.process.filter(|process| self.lineage.held(process.key).is_some()) else { return };
        self.follow(record, phrase, thing, Link::Lineage, |lineage, step| {
            lineage.pour(process.key, flow, step);
        });
    }

    /// The process gets what is in the object.
    fn draw(&mut self, record: &Record<'_>, flow: u64, phrase: &'static str, thing: &[u8]) {
        let Some(process) = record.process else { return };
        self.follow(record, phrase, thing, Link::Lineage, |lineage, step| lineage.draw(process.key, flow, step));
    }

    /// The process reads the memory of another, or writes to it. That of none is its own.
    fn reach_into(&mut self, record: &Record<'_>, pid: u64, phrase: &'static str, gives: bool) {
        let other = u32::try_from(pid).ok().and_then(|pid| self.pids.get(&pid).copied());
        let (Some(process), Some(other)) = (record.process, other) else { return };
        if ending(record).0 == Ending::Succeeded && other != process.key {
            let (from, to) = if gives { (process.key, other) } else { (other, process.key) };
            self.follow(record, phrase, b"", Link::Lineage, |lineage, step| lineage.pass(from, to, step));
        }
    }

    /// The process has the object in its memory.
    fn share(&mut self, record: &Record<'_>, flow: u64, writes: bool, phrase: &'static str, thing: &[u8]) {
        let Some(process) = record.process else { return };
        self.follow(record, phrase, thing, Link::Lineage, |lineage, step| {
            lineage.share(process.key, flow, writes, step);
        });
    }

    /// Lends lineage out, with the step of the chain that this event is, which is made only when it is needed.
    fn follow(
        &mut self,
        record: &Record<'_>,
        phrase: &'static str,
        thing: &[u8],
        link: Link,
        act: impl FnOnce(&mut Lineage, &dyn Fn() -> Option<ChainItem>),
    ) {
        let mut lineage = std::mem::replace(&mut self.lineage, Lineage::new(AssetSet::default()));
        act(&mut lineage, &|| Some(self.item(record, record.process, phrase, thing, link)));
        self.lineage = lineage;
    }

    /// Searches the payload as the next part of a stream.
    fn search(&mut self, record: &Record<'_>, object: Option<&Object>, direction: Direction) -> Hits {
        let mut hits = self.none();
        if !record.payload.is_empty() {
            let process = record.process.map(|process| process.key).unwrap_or_default();
            // The bytes of a connection, and what they mean, are two streams.
            let in_clear = u64::from(matches!(record.kind, Kind::Plaintext { .. }));
            let stream = object.map_or(0, |object| self.facts(object).stream) ^ in_clear;
            let key = (process, stream, direction);
            if let Some(at) = placed_at(record) {
                self.matcher.scan_at(key, at, record.payload, &mut hits);
            } else {
                let whole = !self.is_cut(record, direction);
                self.matcher.scan_stream(key, record.payload, whole, &mut hits);
            }
            self.try_salts(record, direction, &mut hits);
        }
        hits
    }

    /// Tries what looks like digests with salts that the process had before, and remembers the payload.
    pub(super) fn try_salts(&mut self, record: &Record<'_>, direction: Direction, hits: &mut Hits) {
        let Some(process) = record.process.map(|process| process.key) else { return };
        if direction == Direction::Out && Salts::may_hold(record.payload) {
            let mut held = AssetSet::default();
            for origin in self.lineage.reach(process) {
                held.insert(origin.asset);
            }
            self.salts.search(process, record.payload, held, &self.assets, hits);
            hits.settle();
        }
        self.salts.note(process, direction, record.payload);
    }

    /// Whether fewer bytes were looked at than moved. Of a read only the room for it is known
    /// before its result is: there, what was captured is all that came, unless it fills the
    /// limit. (Reads of what is no client data are not captured, nor counted.)
    fn is_cut(&self, record: &Record<'_>, direction: Direction) -> bool {
        let seen = record.payload.len() as u64;
        match direction {
            Direction::Out => record.payload_len > seen.max(self.captured),
            Direction::In => {
                let moved = record.result.and_then(|result| u64::try_from(result).ok());
                moved.unwrap_or(record.payload_len) > seen && seen >= self.captured.max(1)
            }
        }
    }

    /// The reused, emptied list of hits; to be put back.
    pub(super) fn none(&mut self) -> Hits {
        let mut hits = std::mem::take(&mut self.hits);
        hits.clear();
        hits
    }
}

/// Every program that looks up a name reads this file, and the machine's own name stands in it: no interest in that.
const HOSTS: &[u8] = b"/etc/hosts";

/// What a process was started with it has anyhow; whose else's it reads is a detector's matter.
fn is_environment(name: &[u8]) -> bool {
    name.starts_with(b"/proc/") && name.ends_with(b"/environ")
}

/// Where in a file a call puts its bytes, if it says so: `pwrite64`, `pwritev` (pwrite(2), readv(2)) have the offset
/// fourth. That of `pwritev2` may be -1, for where the file stands.
fn placed_at(record: &Record<'_>) -> Option<u64> {
    let placed = matches!(record.call?.name, "pwrite64" | "pwritev" | "pwritev2");
    Some(record.args[3])
        .filter(|at| placed && matches!(record.kind, Kind::Call { abi: Abi::X86_64, .. }) && *at != u64::MAX)
}

/// By which way bytes go to an object, or come from it.
pub(super) fn channel(record: &Record<'_>, object: &Object) -> Channel {
    match record.kind {
        Kind::Plaintext { .. } => Channel::Https,
        _ => super::place::channel(object),
    }
}

/// Whether this names somebody to send to.
fn is_peer(object: &Object) -> bool {
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
