//! What a session leaves besides its events: which programs ran, what lies on disk, and how much
//! could be seen.

use std::collections::BTreeSet;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use belljar_sandbox::event::{Kind, LayerChange};
use belljar_sandbox::jail::Jail;
use belljar_sandbox::layer::{Entry, EntryKind};
use bstr::ByteSlice;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::Held;
use crate::analysis::Analysis;
use crate::bundle::Header;
use crate::ingest::{Observer, Touched};
use crate::store::{Coverage, Executable, Record};

/// Most programs that are listed with their hashes.
const MAX_PROGRAMS: usize = 256;

/// Analysis, with a look at which programs are executed.
pub(super) struct Watched {
    pub(super) analysis: Analysis,
    pub(super) programs: BTreeSet<Vec<u8>>,
}

impl Observer for Watched {
    fn observe(&mut self, record: &Record<'_>) -> Touched {
        if record.kind == Kind::ProcessImage
            && let Some(object) = record.object
            && self.programs.len() < MAX_PROGRAMS
            && !self.programs.contains(&*object.name)
        {
            self.programs.insert(object.name.to_vec());
        }
        self.analysis.observe(record)
    }

    fn ended(&mut self) {
        self.analysis.ended();
    }

    fn findings(&mut self) -> Vec<serde_json::Value> {
        self.analysis.findings()
    }
}

/// Hashes the programs as they stand now.
pub(super) fn executables(jail: &Jail, programs: &BTreeSet<Vec<u8>>) -> Vec<Executable> {
    let hash = |path: &[u8]| {
        let mut file = jail.open_file(Path::new(std::ffi::OsStr::from_bytes(path)))?;
        let (mut hash, mut buffer) = (Sha256::new(), vec![0; 256 << 10]);
        loop {
            match file.read(&mut buffer).ok()? {
                0 => return Some(data_encoding::HEXLOWER.encode(&hash.finalize())),
                n => hash.update(buffer.get(..n)?),
            }
        }
    };
    programs.iter().map(|path| Executable { path: path.to_str_lossy().into_owned(), sha256: hash(path) }).collect()
}

/// A line of `layer.jsonl`.
#[derive(Serialize)]
pub(super) struct LayerLine {
    /// Path in the jail; bytes that are no UTF-8 are replaced, `path_base64` has them then.
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_base64: Option<String>,
    /// `created`, `changed` or `deleted`.
    change: &'static str,
    /// `file`, `directory`, `symlink`, `special` or `gone`.
    kind: &'static str,
    /// Permission bits, octal.
    mode: String,
    uid: u32,
    gid: u32,
    size: u64,
    mtime: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    /// Whether `files/` holds a copy under the hash's name.
    kept: bool,
    /// Hash of the file that was there before, where `files/` holds a copy of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    before_sha256: Option<String>,
}

impl From<&Entry> for LayerLine {
    fn from(entry: &Entry) -> Self {
        Self {
            path: entry.path.to_str_lossy().into_owned(),
            path_base64: entry.path.to_str().is_err().then(|| data_encoding::BASE64.encode(&entry.path)),
            change: match entry.change {
                LayerChange::Created => "created",
                LayerChange::Changed => "changed",
                LayerChange::Deleted => "deleted",
            },
            kind: match entry.kind {
                EntryKind::File => "file",
                EntryKind::Directory => "directory",
                EntryKind::Symlink => "symlink",
                EntryKind::Special => "special",
                EntryKind::Gone => "gone",
            },
            mode: format!("{:04o}", entry.mode),
            uid: entry.uid,
            gid: entry.gid,
            size: entry.size,
            mtime: entry.mtime,
            target: (entry.kind == EntryKind::Symlink).then(|| entry.target.to_str_lossy().into_owned()),
            sha256: entry.sha256.clone(),
            kept: entry.kept,
            before_sha256: entry.before.clone(),
        }
    }
}

/// What could be seen: the counts of all witnesses, and a sentence for each that is not nought.
pub(super) fn coverage(held: &Held, header: &Header) -> Coverage {
    let mut blind = held.notes.clone();
    let stats = &held.stats;
    let counts = [
        (stats.lost_records, "system calls were lost: they came faster than they could be recorded"),
        (stats.memory_failed, "calls whose memory could not be read"),
        (stats.stale, "calls whose caller was gone before they could be believed"),
        (stats.names_unknown, "descriptors or paths whose name could not be resolved"),
        (stats.callers_unknown, "calls of processes that could not be identified"),
        (stats.unknown_numbers, "calls with a number this version does not know, answered with ENOSYS"),
        (stats.killed, "processes ended because they called by an interface that is not watched (x32)"),
        (stats.internal_errors, "mistakes of the witness itself that were caught"),
        (held.gateway.turned_away, "connections closed at once because there were too many"),
        (held.gateway.cut, "connections ended by the gateway at a limit of time or length: their ends say which"),
        (
            held.gateway.datagrams_dropped,
            "datagrams that are in traffic.pcapng alone: they came faster than they were taken",
        ),
        (held.gateway.capture.dropped, "packets that the capture had no room for"),
        (held.gateway.capture.left_out, "packets left out of traffic.pcapng because it was full"),
        (held.gateway.not_kept, "payloads of connections that were looked at and not kept"),
        (held.layer.not_read, "files or directories of the layer that could not be read"),
        (held.layer.not_kept, "files of the layer of which no copy was kept"),
    ];
    blind.extend(counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")));
    if let Some(probed) = stats.tls {
        if probed.files == 0 {
            blind.push("no TLS library was found that could be probed".into());
        }
        if probed.refused > 0 {
            blind.push(format!("{} functions of TLS libraries could not be probed", probed.refused));
        }
    }
    blind.extend(stats.error.iter().map(|error| format!("the witness of system calls ended early: {error}")));
    let gateway = &held.gateway;
    blind.extend(gateway.error.iter().map(|error| format!("the gateway ended early: {error}")));
    blind.extend(gateway.capture.error.iter().map(|error| format!("traffic.pcapng is incomplete: {error}")));
    // What a witness could not bring into the stream is lost all the same.
    let outside = stats.lost
        + stats.callers_unknown
        + stats.internal_errors
        + held.layer.not_read
        + gateway.lost
        + gateway.turned_away
        + u64::from(stats.error.is_some())
        + u64::from(gateway.error.is_some());
    Coverage {
        witness: header
            .witnesses
            .iter()
            .find(|witness| matches!(witness.name.as_str(), "ebpf" | "notify"))
            .map(|witness| witness.name.clone())
            .unwrap_or_default(),
        events: held.totals.events,
        lost: held.totals.all_lost() + outside,
        refused_calls: held.totals.refused.keys().cloned().collect(),
        counted: held.totals.counted.clone(),
        truncated: held.broken.is_some(),
        blind,
        ..Coverage::default()
    }
}
