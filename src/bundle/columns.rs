//! The columns of a bundle's batches, found and typed once, and one row of them as values.
//!
//! A batch may have been read with a part of its columns only, when many are looked through for little: what was not
//! read is then zero, or as if it were not there. `FrameFile` has checked that the file itself has all columns.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{ArrowPrimitiveType, Int32Type, Int64Type, UInt8Type, UInt32Type, UInt64Type};
use arrow_array::{Array, DictionaryArray, PrimitiveArray, RecordBatch};
use arrow_schema::Schema;
use belljar_sandbox::event::{Abi, Authority, Decision, Kind, ProcessKey, Witness};
use belljar_sandbox::witness::syscalls::lookup;

use super::schema::{self, Words};
use crate::store::{AssetSet, Object, Process, Record, Verbs};

/// The columns of a batch of events, found and typed once.
pub(super) struct Columns {
    pub(super) rows: usize,
    seq: PrimitiveArray<UInt64Type>,
    time: PrimitiveArray<UInt64Type>,
    witness: WordColumn<Witness>,
    kind: WordColumn<Kind>,
    abi: WordColumn<Abi>,
    nr: PrimitiveArray<UInt32Type>,
    process: PrimitiveArray<UInt32Type>,
    tid: PrimitiveArray<UInt32Type>,
    args: [PrimitiveArray<UInt64Type>; 6],
    result: PrimitiveArray<Int64Type>,
    duration: PrimitiveArray<UInt64Type>,
    decision: WordColumn<Decision>,
    authority: WordColumn<Authority>,
    object: PrimitiveArray<UInt32Type>,
    target: PrimitiveArray<UInt32Type>,
    detail: PrimitiveArray<UInt64Type>,
    payload: PrimitiveArray<UInt64Type>,
    bytes: PrimitiveArray<UInt64Type>,
    verbs: PrimitiveArray<UInt8Type>,
    assets: PrimitiveArray<UInt64Type>,
}

/// A column of words.
struct WordColumn<T> {
    keys: PrimitiveArray<UInt8Type>,
    values: Vec<Option<T>>,
}

impl<T: Copy> WordColumn<T> {
    fn new(batch: &RecordBatch, name: &str, words: Words<T>) -> Option<Self> {
        let Some(column) = batch.column_by_name(name) else {
            let values = words.first().map(|(value, _)| Some(*value)).into_iter().collect();
            return Some(Self { keys: PrimitiveArray::from_iter_values([]), values });
        };
        let column: &DictionaryArray<UInt8Type> = column.as_dictionary_opt()?;
        let values = schema::values(words, column.values().as_string_opt::<i32>()?);
        Some(Self { keys: column.keys().clone(), values })
    }

    fn get(&self, row: usize) -> Option<T> {
        self.values.get(usize::from(must(&self.keys, row)?)).copied().flatten()
    }
}

/// One row of `events.arrows`.
pub(super) struct EventRow {
    pub(super) seq: u64,
    pub(super) time_ns: u64,
    pub(super) witness: Witness,
    pub(super) kind: Kind,
    pub(super) process: ProcessKey,
    pub(super) tid: u32,
    pub(super) args: [u64; 6],
    pub(super) result: Option<i64>,
    pub(super) duration_ns: Option<u64>,
    pub(super) decision: Decision,
    pub(super) authority: Authority,
    pub(super) object: Option<u32>,
    pub(super) target: Option<u32>,
    pub(super) detail: Option<u64>,
    pub(super) payload: Option<u64>,
    pub(super) bytes: u64,
    pub(super) verbs: Verbs,
    pub(super) assets: AssetSet,
}

impl EventRow {
    /// The event with what it points to.
    pub(super) fn record<'r>(
        &self,
        process: Option<&'r Process>,
        [object, target]: [Option<&'r Object>; 2],
        [detail, payload]: [&'r [u8]; 2],
    ) -> Record<'r> {
        Record {
            seq: self.seq,
            time_ns: self.time_ns,
            witness: self.witness,
            kind: self.kind,
            call: match self.kind {
                Kind::Call { abi, nr } => lookup(abi, nr),
                _ => None,
            },
            process,
            tid: self.tid,
            args: self.args,
            result: self.result,
            duration_ns: self.duration_ns,
            decision: self.decision,
            authority: self.authority,
            object,
            target,
            detail,
            payload,
            payload_len: self.bytes,
            verbs: self.verbs,
            assets: self.assets,
        }
    }
}

/// A column; an empty one where the batch was read without it.
fn column<T: ArrowPrimitiveType>(batch: &RecordBatch, name: &str) -> Option<PrimitiveArray<T>> {
    match batch.column_by_name(name) {
        Some(column) => column.as_primitive_opt::<T>().cloned(),
        None => Some(PrimitiveArray::from_iter_values([])),
    }
}

/// A value of a column, `None` where it is null (or there is no such row).
fn option<T: ArrowPrimitiveType>(column: &PrimitiveArray<T>, row: usize) -> Option<T::Native> {
    (row < column.len() && column.is_valid(row)).then(|| column.value(row))
}

/// A value of a column that has one in every row; zero where it was not read.
fn must<T: ArrowPrimitiveType>(column: &PrimitiveArray<T>, row: usize) -> Option<T::Native> {
    if column.is_empty() { Some(T::Native::default()) } else { option(column, row) }
}

impl Columns {
    /// `None` when the batch has other columns than ours.
    pub(super) fn new(batch: &RecordBatch) -> Option<Self> {
        Some(Self {
            rows: batch.num_rows(),
            seq: column(batch, "seq")?,
            time: column(batch, "time_ns")?,
            witness: WordColumn::new(batch, "witness", schema::WITNESSES)?,
            kind: WordColumn::new(batch, "kind", schema::KINDS)?,
            abi: WordColumn::new(batch, "abi", schema::ABIS)?,
            nr: column(batch, "nr")?,
            process: column(batch, "process")?,
            tid: column(batch, "tid")?,
            args: [
                column(batch, "a0")?,
                column(batch, "a1")?,
                column(batch, "a2")?,
                column(batch, "a3")?,
                column(batch, "a4")?,
                column(batch, "a5")?,
            ],
            result: column(batch, "result")?,
            duration: column(batch, "duration_ns")?,
            decision: WordColumn::new(batch, "decision", schema::DECISIONS)?,
            authority: WordColumn::new(batch, "authority", schema::AUTHORITIES)?,
            object: column(batch, "object")?,
            target: column(batch, "target")?,
            detail: column(batch, "detail")?,
            payload: column(batch, "payload")?,
            bytes: column(batch, "bytes")?,
            verbs: column(batch, "verbs")?,
            assets: column(batch, "assets")?,
        })
    }

    /// What a row tells of; `None` when it holds a word that is not ours.
    pub(super) fn kind(&self, row: usize) -> Option<Kind> {
        Some(match self.kind.get(row)? {
            Kind::Call { .. } => Kind::Call { abi: self.abi.get(row)?, nr: must(&self.nr, row)? },
            Kind::Counted { .. } => Kind::Counted { abi: self.abi.get(row)?, nr: must(&self.nr, row)? },
            other => other,
        })
    }

    /// Object and target of a row.
    pub(super) fn objects(&self, row: usize) -> [Option<u32>; 2] {
        [option(&self.object, row), option(&self.target, row)]
    }

    /// Whose doing a row is, and the number of the event; zero where there is no such row.
    pub(super) fn process(&self, row: usize) -> (ProcessKey, u64) {
        (ProcessKey(option(&self.process, row).unwrap_or_default()), option(&self.seq, row).unwrap_or_default())
    }

    /// What analysis saw in a row.
    pub(super) fn touched(&self, row: usize) -> (Verbs, AssetSet) {
        let (verbs, assets) = (option(&self.verbs, row), option(&self.assets, row));
        (Verbs(verbs.unwrap_or_default()), AssetSet(assets.unwrap_or_default()))
    }

    /// When a row was seen, nanoseconds.
    pub(super) fn time(&self, row: usize) -> Option<u64> {
        option(&self.time, row)
    }

    /// What a row returned.
    pub(super) fn result(&self, row: usize) -> Option<i64> {
        option(&self.result, row)
    }

    /// Who saw a row, what the sandbox answered, and with what authority that is said.
    pub(super) fn words(&self, row: usize) -> Option<(Witness, Decision, Authority)> {
        Some((self.witness.get(row)?, self.decision.get(row)?, self.authority.get(row)?))
    }

    /// By which thread a row was; 0 is none.
    pub(super) fn thread(&self, row: usize) -> Option<u32> {
        option(&self.tid, row).filter(|tid| *tid != 0)
    }

    /// How long a row took.
    pub(super) fn duration(&self, row: usize) -> Option<u64> {
        option(&self.duration, row)
    }

    /// How many bytes went with a row.
    pub(super) fn size(&self, row: usize) -> Option<u64> {
        option(&self.bytes, row)
    }

    /// A row; `None` when it holds a word that is not ours.
    pub(super) fn event(&self, row: usize) -> Option<EventRow> {
        let mut args = [0; 6];
        for (arg, column) in args.iter_mut().zip(&self.args) {
            *arg = must(column, row)?;
        }
        let [object, target] = self.objects(row);
        Some(EventRow {
            seq: must(&self.seq, row)?,
            time_ns: must(&self.time, row)?,
            witness: self.witness.get(row)?,
            kind: self.kind(row)?,
            process: ProcessKey(must(&self.process, row)?),
            tid: must(&self.tid, row)?,
            args,
            result: option(&self.result, row),
            duration_ns: option(&self.duration, row),
            decision: self.decision.get(row)?,
            authority: self.authority.get(row)?,
            object,
            target,
            detail: option(&self.detail, row),
            payload: option(&self.payload, row),
            bytes: must(&self.bytes, row)?,
            verbs: Verbs(must(&self.verbs, row)?),
            assets: AssetSet(must(&self.assets, row)?),
        })
    }
}

/// Columns of the same rows, put together; `None` when they are not of as many rows.
pub(super) fn joined(a: &RecordBatch, b: &RecordBatch) -> Option<RecordBatch> {
    let fields: Vec<_> = a.schema().fields().iter().chain(b.schema().fields()).cloned().collect();
    let columns = a.columns().iter().chain(b.columns()).cloned().collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).ok()
}

/// The rows of a batch of `processes.arrows`, each with the number of the event that changed it.
pub(super) fn process_rows(batch: &RecordBatch) -> Option<Vec<(u64, Process)>> {
    let seq = column::<UInt64Type>(batch, "seq")?;
    let key = column::<UInt32Type>(batch, "key")?;
    let parent = column::<UInt32Type>(batch, "parent")?;
    let pid = column::<UInt32Type>(batch, "pid")?;
    let host_pid = column::<UInt32Type>(batch, "host_pid")?;
    let exe = batch.column_by_name("exe")?.as_binary_opt::<i32>()?;
    let argv = batch.column_by_name("argv")?.as_binary_opt::<i32>()?;
    let started = column::<UInt64Type>(batch, "started_ns")?;
    let ended = column::<UInt64Type>(batch, "ended_ns")?;
    let status = column::<Int32Type>(batch, "status")?;
    (0..batch.num_rows())
        .map(|row| {
            let process = Process {
                key: ProcessKey(option(&key, row)?),
                parent: option(&parent, row).map(ProcessKey),
                pid: option(&pid, row)?,
                host_pid: option(&host_pid, row)?,
                exe: exe.value(row).to_vec(),
                argv: argv.value(row).to_vec(),
                started_ns: option(&started, row)?,
                ended: option(&ended, row).map(|time| (time, option(&status, row))),
            };
            Some((option(&seq, row)?, process))
        })
        .collect()
}
