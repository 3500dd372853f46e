//! Rows that wait to be written, as columns: one set of builders per file. A set is emptied into
//! a batch; what a batch holds is bounded by the writer.

use std::sync::Arc;

use arrow_array::builder::{BinaryBuilder, Int32Builder, Int64Builder, PrimitiveBuilder, UInt8Builder};
use arrow_array::builder::{UInt16Builder, UInt32Builder, UInt64Builder};
use arrow_array::types::ArrowDictionaryKeyType;
use arrow_array::{ArrayRef, DictionaryArray, RecordBatch};
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

/// What an event row points to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct References {
    pub(crate) process: ProcessKey,
    pub(crate) object: Option<u32>,
    pub(crate) target: Option<u32>,
    pub(crate) detail: Option<u32>,
    pub(crate) payload: Option<u32>,
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
    seq: UInt64Builder,
    time: UInt64Builder,
    witness: UInt8Builder,
    kind: UInt8Builder,
    op: UInt16Builder,
    abi: UInt8Builder,
    nr: UInt32Builder,
    process: UInt32Builder,
    tid: UInt32Builder,
    args: [UInt64Builder; 6],
    result: Int64Builder,
    duration: UInt64Builder,
    decision: UInt8Builder,
    authority: UInt8Builder,
    object: UInt32Builder,
    target: UInt32Builder,
    detail: UInt32Builder,
    payload: UInt32Builder,
    bytes: UInt64Builder,
    verbs: UInt8Builder,
    assets: UInt64Builder,
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
            seq: UInt64Builder::new(),
            time: UInt64Builder::new(),
            witness: UInt8Builder::new(),
            kind: UInt8Builder::new(),
            op: UInt16Builder::new(),
            abi: UInt8Builder::new(),
            nr: UInt32Builder::new(),
            process: UInt32Builder::new(),
            tid: UInt32Builder::new(),
            args: Default::default(),
            result: Int64Builder::new(),
            duration: UInt64Builder::new(),
            decision: UInt8Builder::new(),
            authority: UInt8Builder::new(),
            object: UInt32Builder::new(),
            target: UInt32Builder::new(),
            detail: UInt32Builder::new(),
            payload: UInt32Builder::new(),
            bytes: UInt64Builder::new(),
            verbs: UInt8Builder::new(),
            assets: UInt64Builder::new(),
        }
    }

    pub(crate) fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    pub(crate) fn push(&mut self, record: &Record<'_>, op: u16, to: References) {
        self.seq.append_value(record.seq);
        self.time.append_value(record.time_ns);
        self.witness.append_value(record.witness as u8);
        self.kind.append_value(kind_number(record.kind));
        self.op.append_value(op);
        if let Kind::Call { abi, nr } | Kind::Counted { abi, nr } = record.kind {
            self.abi.append_value(abi as u8);
            self.nr.append_value(nr);
        } else {
            self.abi.append_null();
            self.nr.append_null();
        }
        self.process.append_value(to.process.0);
        self.tid.append_value(record.tid);
        for (column, arg) in self.args.iter_mut().zip(record.args) {
            column.append_value(arg);
        }
        self.result.append_option(record.result);
        self.duration.append_option(record.duration_ns);
        self.decision.append_value(record.decision as u8);
        self.authority.append_value(record.authority as u8);
        self.object.append_option(to.object);
        self.target.append_option(to.target);
        self.detail.append_option(to.detail);
        self.payload.append_option(to.payload);
        self.bytes.append_value(record.payload_len);
        self.verbs.append_value(record.verbs.0);
        self.assets.append_value(record.assets.0);
    }

    pub(crate) fn take(&mut self) -> Result<RecordBatch, ArrowError> {
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(self.seq.finish()),
            Arc::new(self.time.finish()),
            words(&mut self.witness, &self.witness_words)?,
            words(&mut self.kind, &self.kind_words)?,
            words(&mut self.op, &self.op_words)?,
            words(&mut self.abi, &self.abi_words)?,
            Arc::new(self.nr.finish()),
            Arc::new(self.process.finish()),
            Arc::new(self.tid.finish()),
        ];
        columns.extend(self.args.iter_mut().map(|column| Arc::new(column.finish()) as ArrayRef));
        columns.extend([
            Arc::new(self.result.finish()) as ArrayRef,
            Arc::new(self.duration.finish()),
            words(&mut self.decision, &self.decision_words)?,
            words(&mut self.authority, &self.authority_words)?,
            Arc::new(self.object.finish()),
            Arc::new(self.target.finish()),
            Arc::new(self.detail.finish()),
            Arc::new(self.payload.finish()),
            Arc::new(self.bytes.finish()),
            Arc::new(self.verbs.finish()),
            Arc::new(self.assets.finish()),
        ]);
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
    id: UInt32Builder,
    data: BinaryBuilder,
}

impl PayloadRows {
    pub(crate) fn new() -> Self {
        Self { schema: schema::payloads(), id: UInt32Builder::new(), data: BinaryBuilder::new() }
    }

    pub(crate) fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    pub(crate) fn push(&mut self, id: u32, data: &[u8]) {
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
