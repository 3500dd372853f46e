//! Rows that wait to be written, as columns: one set per file. A set is emptied into a batch; what
//! a batch holds is bounded by the writer.
//!
//! Events come a million a second, so their columns are plain vectors and one byte a row says
//! which of its values are there; Arrow's validity bits are made from those bytes once a batch.

use std::sync::Arc;

use arrow_array::builder::{BinaryBuilder, Int32Builder, LargeBinaryBuilder, PrimitiveBuilder, UInt8Builder};
use arrow_array::builder::{UInt32Builder, UInt64Builder};
use arrow_array::types::{
    ArrowDictionaryKeyType, ArrowPrimitiveType, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{ArrayRef, DictionaryArray, PrimitiveArray, RecordBatch};
use arrow_buffer::{BooleanBuffer, NullBuffer, ScalarBuffer};
use arrow_schema::{ArrowError, Schema};
use belljar_sandbox::event::{Kind, ObjectKind, ProcessKey};

use super::schema::{self, kind_number};
use crate::store::{Process, Record};

/// Keys and the dictionary they point into, as one array.
fn words<K: ArrowDictionaryKeyType>(
    keys: &mut PrimitiveBuilder<K>,
    dictionary: &ArrayRef,
) -> Result<ArrayRef, ArrowError> {
    // The same dictionary array every time: the stream writes it once.
    Ok(Arc::new(DictionaryArray::<K>::try_new(keys.finish(), Arc::clone(dictionary))?))
}

/// Values as an array; the vector is left empty, with room for as many again.
fn primitive<T: ArrowPrimitiveType>(values: &mut Vec<T::Native>, nulls: Option<NullBuffer>) -> PrimitiveArray<T> {
    let room = values.len();
    let values = std::mem::replace(values, Vec::with_capacity(room));
    PrimitiveArray::new(ScalarBuffer::from(values), nulls)
}

/// What an event row points to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct References {
    pub(crate) process: ProcessKey,
    pub(crate) object: Option<u32>,
    pub(crate) target: Option<u32>,
    pub(crate) detail: Option<u64>,
    pub(crate) payload: Option<u64>,
}

/// Which of a row's values are there: bits of [`EventRows::there`].
mod there {
    pub(super) const CALL: u8 = 1 << 0;
    pub(super) const RESULT: u8 = 1 << 1;
    pub(super) const DURATION: u8 = 1 << 2;
    pub(super) const OBJECT: u8 = 1 << 3;
    pub(super) const TARGET: u8 = 1 << 4;
    pub(super) const DETAIL: u8 = 1 << 5;
    pub(super) const PAYLOAD: u8 = 1 << 6;
}

/// Rows of `events.arrows`.
pub(crate) struct EventRows {
    schema: Arc<Schema>,
    witness_words: ArrayRef,
    kind_words: ArrayRef,
    op_words: ArrayRef,
    abi_words: ArrayRef,
    decision_words: ArrayRef,
    authority_words: ArrayRef,
    there: Vec<u8>,
    seq: Vec<u64>,
    time: Vec<u64>,
    witness: Vec<u8>,
    kind: Vec<u8>,
    op: Vec<u16>,
    abi: Vec<u8>,
    nr: Vec<u32>,
    process: Vec<u32>,
    tid: Vec<u32>,
    args: [Vec<u64>; 6],
    result: Vec<i64>,
    duration: Vec<u64>,
    decision: Vec<u8>,
    authority: Vec<u8>,
    object: Vec<u32>,
    target: Vec<u32>,
    detail: Vec<u64>,
    payload: Vec<u64>,
    bytes: Vec<u64>,
    verbs: Vec<u8>,
    assets: Vec<u64>,
}

impl EventRows {
    pub(crate) fn new() -> Self {
        Self {
            schema: schema::events(),
            witness_words: schema::dictionary(schema::WITNESSES),
            kind_words: schema::dictionary(schema::KINDS),
            op_words: schema::op_dictionary(),
            abi_words: schema::dictionary(schema::ABIS),
            decision_words: schema::dictionary(schema::DECISIONS),
            authority_words: schema::dictionary(schema::AUTHORITIES),
            there: Vec::new(),
            seq: Vec::new(),
            time: Vec::new(),
            witness: Vec::new(),
            kind: Vec::new(),
            op: Vec::new(),
            abi: Vec::new(),
            nr: Vec::new(),
            process: Vec::new(),
            tid: Vec::new(),
            args: Default::default(),
            result: Vec::new(),
            duration: Vec::new(),
            decision: Vec::new(),
            authority: Vec::new(),
            object: Vec::new(),
            target: Vec::new(),
            detail: Vec::new(),
            payload: Vec::new(),
            bytes: Vec::new(),
            verbs: Vec::new(),
            assets: Vec::new(),
        }
    }

    pub(crate) fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    pub(crate) fn push(&mut self, record: &Record<'_>, op: u16, to: References) {
        let mut there = 0;
        let mut if_there = |bit, is: bool| there |= if is { bit } else { 0 };
        let (abi, nr) = match record.kind {
            Kind::Call { abi, nr } | Kind::Counted { abi, nr } => (abi as u8, nr),
            _ => (0, 0),
        };
        if_there(there::CALL, matches!(record.kind, Kind::Call { .. } | Kind::Counted { .. }));
        if_there(there::RESULT, record.result.is_some());
        if_there(there::DURATION, record.duration_ns.is_some());
        if_there(there::OBJECT, to.object.is_some());
        if_there(there::TARGET, to.target.is_some());
        if_there(there::DETAIL, to.detail.is_some());
        if_there(there::PAYLOAD, to.payload.is_some());
        self.there.push(there);
        self.seq.push(record.seq);
        self.time.push(record.time_ns);
        self.witness.push(record.witness as u8);
        self.kind.push(kind_number(record.kind));
        self.op.push(op);
        self.abi.push(abi);
        self.nr.push(nr);
        self.process.push(to.process.0);
        self.tid.push(record.tid);
        for (column, arg) in self.args.iter_mut().zip(record.args) {
            column.push(arg);
        }
        self.result.push(record.result.unwrap_or_default());
        self.duration.push(record.duration_ns.unwrap_or_default());
        self.decision.push(record.decision as u8);
        self.authority.push(record.authority as u8);
        self.object.push(to.object.unwrap_or_default());
        self.target.push(to.target.unwrap_or_default());
        self.detail.push(to.detail.unwrap_or_default());
        self.payload.push(to.payload.unwrap_or_default());
        self.bytes.push(record.payload_len);
        self.verbs.push(record.verbs.0);
        self.assets.push(record.assets.0);
    }

    pub(crate) fn take(&mut self) -> Result<RecordBatch, ArrowError> {
        fn word8(keys: &mut Vec<u8>, nulls: Option<NullBuffer>, dictionary: &ArrayRef) -> Result<ArrayRef, ArrowError> {
            let keys = primitive::<UInt8Type>(keys, nulls);
            Ok(Arc::new(DictionaryArray::try_new(keys, Arc::clone(dictionary))?))
        }
        fn number<T: ArrowPrimitiveType>(values: &mut Vec<T::Native>, nulls: Option<NullBuffer>) -> ArrayRef {
            Arc::new(primitive::<T>(values, nulls))
        }
        let there = std::mem::take(&mut self.there);
        let all = there.iter().fold(u8::MAX, |all, row| all & row);
        let nulls = |bit: u8| {
            let some = all & bit == 0;
            let valid = |row: usize| there.get(row).is_some_and(|there| there & bit != 0);
            some.then(|| NullBuffer::new(BooleanBuffer::collect_bool(there.len(), valid)))
        };
        let op = DictionaryArray::try_new(primitive::<UInt16Type>(&mut self.op, None), Arc::clone(&self.op_words))?;
        let mut columns: Vec<ArrayRef> = vec![
            number::<UInt64Type>(&mut self.seq, None),
            number::<UInt64Type>(&mut self.time, None),
            word8(&mut self.witness, None, &self.witness_words)?,
            word8(&mut self.kind, None, &self.kind_words)?,
            Arc::new(op),
            word8(&mut self.abi, nulls(there::CALL), &self.abi_words)?,
            number::<UInt32Type>(&mut self.nr, nulls(there::CALL)),
            number::<UInt32Type>(&mut self.process, None),
            number::<UInt32Type>(&mut self.tid, None),
        ];
        columns.extend(self.args.iter_mut().map(|column| number::<UInt64Type>(column, None)));
        columns.extend([
            number::<Int64Type>(&mut self.result, nulls(there::RESULT)),
            number::<UInt64Type>(&mut self.duration, nulls(there::DURATION)),
            word8(&mut self.decision, None, &self.decision_words)?,
            word8(&mut self.authority, None, &self.authority_words)?,
            number::<UInt32Type>(&mut self.object, nulls(there::OBJECT)),
            number::<UInt32Type>(&mut self.target, nulls(there::TARGET)),
            number::<UInt64Type>(&mut self.detail, nulls(there::DETAIL)),
            number::<UInt64Type>(&mut self.payload, nulls(there::PAYLOAD)),
            number::<UInt64Type>(&mut self.bytes, None),
            number::<UInt8Type>(&mut self.verbs, None),
            number::<UInt64Type>(&mut self.assets, None),
        ]);
        self.there = there;
        self.there.clear();
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
    }
}

/// Rows of `objects.arrows`.
pub(crate) struct ObjectRows {
    schema: Arc<Schema>,
    kind_words: ArrayRef,
    id: UInt32Builder,
    kind: UInt8Builder,
    name: BinaryBuilder,
}

impl ObjectRows {
    pub(crate) fn new() -> Self {
        Self {
            schema: schema::objects(),
            kind_words: schema::dictionary(schema::OBJECT_KINDS),
            id: UInt32Builder::new(),
            kind: UInt8Builder::new(),
            name: BinaryBuilder::new(),
        }
    }

    pub(crate) fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    pub(crate) fn push(&mut self, id: u32, kind: ObjectKind, name: &[u8]) {
        self.id.append_value(id);
        self.kind.append_value(kind as u8);
        self.name.append_value(name);
    }

    pub(crate) fn take(&mut self) -> Result<RecordBatch, ArrowError> {
        let columns: Vec<ArrayRef> =
            vec![Arc::new(self.id.finish()), words(&mut self.kind, &self.kind_words)?, Arc::new(self.name.finish())];
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
    }
}

/// Rows of `payloads.arrows`.
pub(crate) struct PayloadRows {
    schema: Arc<Schema>,
    id: UInt64Builder,
    data: LargeBinaryBuilder,
}

impl PayloadRows {
    pub(crate) fn new() -> Self {
        Self { schema: schema::payloads(), id: UInt64Builder::new(), data: LargeBinaryBuilder::new() }
    }

    pub(crate) fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    pub(crate) fn push(&mut self, id: u64, data: &[u8]) {
        self.id.append_value(id);
        self.data.append_value(data);
    }

    pub(crate) fn take(&mut self) -> Result<RecordBatch, ArrowError> {
        let columns: Vec<ArrayRef> = vec![Arc::new(self.id.finish()), Arc::new(self.data.finish())];
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
    }
}

/// Rows of `processes.arrows`.
pub(crate) struct ProcessRows {
    schema: Arc<Schema>,
    seq: UInt64Builder,
    key: UInt32Builder,
    parent: UInt32Builder,
    pid: UInt32Builder,
    host_pid: UInt32Builder,
    exe: BinaryBuilder,
    argv: BinaryBuilder,
    started: UInt64Builder,
    ended: UInt64Builder,
    status: Int32Builder,
}

impl ProcessRows {
    pub(crate) fn new() -> Self {
        Self {
            schema: schema::processes(),
            seq: UInt64Builder::new(),
            key: UInt32Builder::new(),
            parent: UInt32Builder::new(),
            pid: UInt32Builder::new(),
            host_pid: UInt32Builder::new(),
            exe: BinaryBuilder::new(),
            argv: BinaryBuilder::new(),
            started: UInt64Builder::new(),
            ended: UInt64Builder::new(),
            status: Int32Builder::new(),
        }
    }

    pub(crate) fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    pub(crate) fn push(&mut self, seq: u64, process: &Process) {
        self.seq.append_value(seq);
        self.key.append_value(process.key.0);
        self.parent.append_option(process.parent.map(|parent| parent.0));
        self.pid.append_value(process.pid);
        self.host_pid.append_value(process.host_pid);
        self.exe.append_value(&process.exe);
        self.argv.append_value(&process.argv);
        self.started.append_value(process.started_ns);
        self.ended.append_option(process.ended.map(|(time, _)| time));
        self.status.append_option(process.ended.and_then(|(_, status)| status));
    }

    pub(crate) fn take(&mut self) -> Result<RecordBatch, ArrowError> {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.seq.finish()),
            Arc::new(self.key.finish()),
            Arc::new(self.parent.finish()),
            Arc::new(self.pid.finish()),
            Arc::new(self.host_pid.finish()),
            Arc::new(self.exe.finish()),
            Arc::new(self.argv.finish()),
            Arc::new(self.started.finish()),
            Arc::new(self.ended.finish()),
            Arc::new(self.status.finish()),
        ];
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
    }
}
