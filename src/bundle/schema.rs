//! The columns of a bundle's files, and the words that stand for closed sets of values in them.
//!
//! Words are dictionary-encoded: a row costs one or two bytes, and whoever opens the file with
//! pandas, DuckDB or the like reads `notify` and `openat`, not numbers of ours.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, StringArray};
use arrow_schema::{DataType, Field, Schema};
use belljar_sandbox::event::{Abi, Kind, LayerChange, Traffic};

use crate::store::ops;

/// Key of a schema's metadata that names the schema and its version.
pub(crate) const KEY: &str = "belljar.schema";
pub(crate) const EVENTS: &str = "belljar.events/2";
pub(crate) const OBJECTS: &str = "belljar.objects/1";
pub(crate) const PROCESSES: &str = "belljar.processes/1";
pub(crate) const PAYLOADS: &str = "belljar.payloads/2";

/// A closed set of values and their words; the position is the number in the column.
pub(crate) type Words<T> = &'static [(T, &'static str)];

pub(crate) use crate::store::words::{ABIS, AUTHORITIES, DECISIONS, OBJECT_KINDS, WITNESSES};

/// Number and interface of a call stand in columns of their own; these here are blank.
pub(crate) const KINDS: Words<Kind> = &[
    (Kind::Call { abi: Abi::Unknown, nr: 0 }, "call"),
    (Kind::ProcessStart, "process-start"),
    (Kind::ProcessImage, "process-image"),
    (Kind::ProcessEnd, "process-end"),
    (Kind::Layer(LayerChange::Created), "file-created"),
    (Kind::Layer(LayerChange::Changed), "file-changed"),
    (Kind::Layer(LayerChange::Deleted), "file-deleted"),
    (Kind::TerminalOutput, "terminal-output"),
    (Kind::Lost, "lost"),
    (Kind::Notice, "notice"),
    (Kind::Traffic(Traffic::Connection), Traffic::Connection.name()),
    (Kind::Traffic(Traffic::ConnectionEnd), Traffic::ConnectionEnd.name()),
    (Kind::Traffic(Traffic::Query), Traffic::Query.name()),
    (Kind::Traffic(Traffic::Hello), Traffic::Hello.name()),
    (Kind::Traffic(Traffic::Refusal), Traffic::Refusal.name()),
    (Kind::Traffic(Traffic::Request), Traffic::Request.name()),
    (Kind::Traffic(Traffic::Response), Traffic::Response.name()),
    (Kind::Traffic(Traffic::Sent), Traffic::Sent.name()),
    (Kind::Traffic(Traffic::Received), Traffic::Received.name()),
    (Kind::Traffic(Traffic::Credential), Traffic::Credential.name()),
    (Kind::Traffic(Traffic::Packet), Traffic::Packet.name()),
    (Kind::Counted { abi: Abi::Unknown, nr: 0 }, "counted"),
    (Kind::Plaintext { sent: true }, "tls-sent"),
    (Kind::Plaintext { sent: false }, "tls-received"),
];

/// The number of a kind in its column: its position in [`KINDS`].
pub(crate) fn kind_number(kind: Kind) -> u8 {
    match kind {
        Kind::Call { .. } => 0,
        Kind::ProcessStart => 1,
        Kind::ProcessImage => 2,
        Kind::ProcessEnd => 3,
        Kind::Layer(LayerChange::Created) => 4,
        Kind::Layer(LayerChange::Changed) => 5,
        Kind::Layer(LayerChange::Deleted) => 6,
        Kind::TerminalOutput => 7,
        Kind::Lost => 8,
        Kind::Notice => 9,
        Kind::Traffic(traffic) => 10 + traffic as u8,
        Kind::Counted { .. } => 21,
        Kind::Plaintext { sent: true } => 22,
        Kind::Plaintext { sent: false } => 23,
    }
}

/// The words of a set, as the dictionary of its column.
pub(crate) fn dictionary<T>(words: Words<T>) -> ArrayRef {
    Arc::new(words.iter().map(|(_, word)| Some(*word)).collect::<StringArray>())
}

/// The values behind a column's dictionary as it was read: `None` for words that are not ours.
pub(crate) fn values<T: Copy>(words: Words<T>, dictionary: &StringArray) -> Vec<Option<T>> {
    dictionary
        .iter()
        .map(|word| words.iter().find(|(_, known)| Some(*known) == word).map(|(value, _)| *value))
        .collect()
}

fn word8() -> DataType {
    DataType::Dictionary(Box::new(DataType::UInt8), Box::new(DataType::Utf8))
}

fn schema(name: &str, fields: Vec<Field>) -> Arc<Schema> {
    let metadata = HashMap::from([(KEY.to_owned(), name.to_owned())]);
    Arc::new(Schema::new_with_metadata(fields, metadata))
}

/// `events.arrows`. `object` and `target` are rows of `objects.arrows`, `detail` and `payload` of
/// `payloads.arrows`; `bytes` is how many bytes went with the call, kept or not; bit n of `verbs`
/// is the n-th verb, of `assets` the n-th asset of `session.json`.
///
/// References into `payloads.arrows` are eight bytes wide, as its row numbers and offsets are,
/// though four would do: they go up by one, and zstd packs such a column of eight bytes into one
/// byte a row, of four into nearly three (`benches/README.md`).
pub(crate) fn events() -> Arc<Schema> {
    let word16 = DataType::Dictionary(Box::new(DataType::UInt16), Box::new(DataType::Utf8));
    schema(
        EVENTS,
        vec![
            Field::new("seq", DataType::UInt64, false),
            Field::new("time_ns", DataType::UInt64, false),
            Field::new("witness", word8(), false),
            Field::new("kind", word8(), false),
            Field::new("op", word16, false),
            Field::new("abi", word8(), true),
            Field::new("nr", DataType::UInt32, true),
            Field::new("process", DataType::UInt32, false),
            Field::new("tid", DataType::UInt32, false),
            Field::new("a0", DataType::UInt64, false),
            Field::new("a1", DataType::UInt64, false),
            Field::new("a2", DataType::UInt64, false),
            Field::new("a3", DataType::UInt64, false),
            Field::new("a4", DataType::UInt64, false),
            Field::new("a5", DataType::UInt64, false),
            Field::new("result", DataType::Int64, true),
            Field::new("duration_ns", DataType::UInt64, true),
            Field::new("decision", word8(), false),
            Field::new("authority", word8(), false),
            Field::new("object", DataType::UInt32, true),
            Field::new("target", DataType::UInt32, true),
            Field::new("detail", DataType::UInt64, true),
            Field::new("payload", DataType::UInt64, true),
            Field::new("bytes", DataType::UInt64, false),
            Field::new("verbs", DataType::UInt8, false),
            Field::new("assets", DataType::UInt64, false),
        ],
    )
}

/// `objects.arrows`: row n is object n.
pub(crate) fn objects() -> Arc<Schema> {
    schema(
        OBJECTS,
        vec![
            Field::new("id", DataType::UInt32, false),
            Field::new("kind", word8(), false),
            Field::new("name", DataType::Binary, false),
        ],
    )
}

/// `processes.arrows`: a row whenever a process changed, `seq` being the event that changed it;
/// the last row of a key is what is known of it. `argv` holds the first 4 KiB.
pub(crate) fn processes() -> Arc<Schema> {
    schema(
        PROCESSES,
        vec![
            Field::new("seq", DataType::UInt64, false),
            Field::new("key", DataType::UInt32, false),
            Field::new("parent", DataType::UInt32, true),
            Field::new("pid", DataType::UInt32, false),
            Field::new("host_pid", DataType::UInt32, false),
            Field::new("exe", DataType::Binary, false),
            Field::new("argv", DataType::Binary, false),
            Field::new("started_ns", DataType::UInt64, false),
            Field::new("ended_ns", DataType::UInt64, true),
            Field::new("status", DataType::Int32, true),
        ],
    )
}

/// `payloads.arrows`: row n is payload n. Details stand here too.
pub(crate) fn payloads() -> Arc<Schema> {
    schema(PAYLOADS, vec![Field::new("id", DataType::UInt64, false), Field::new("data", DataType::LargeBinary, false)])
}

/// The dictionary of the column `op`.
pub(crate) fn op_dictionary() -> ArrayRef {
    Arc::new(ops().names().iter().map(|name| Some(*name)).collect::<StringArray>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_positions() {
        for (number, (value, _)) in WITNESSES.iter().enumerate() {
            assert_eq!(*value as usize, number);
        }
        for (number, (value, _)) in DECISIONS.iter().enumerate() {
            assert_eq!(*value as usize, number);
        }
        for (number, (value, _)) in AUTHORITIES.iter().enumerate() {
            assert_eq!(*value as usize, number);
        }
        for (number, (value, _)) in ABIS.iter().enumerate() {
            assert_eq!(*value as usize, number);
        }
        for (number, (value, _)) in OBJECT_KINDS.iter().enumerate() {
            assert_eq!(*value as usize, number);
        }
        for (number, (value, _)) in KINDS.iter().enumerate() {
            assert_eq!(usize::from(kind_number(*value)), number);
        }
    }
}
