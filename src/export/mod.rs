//! Events as text, JSON lines, CSV: pure functions from a record to bytes, made from the field
//! registry. Every byte of the subject goes through the [`Redactor`].

mod about;
mod strace;

use std::fmt::Write as _;
use std::io::{self, Write};

use data_encoding::BASE64;
use serde_json::{Map, Value};
use unicode_width::UnicodeWidthStr as _;

pub(crate) use about::about;

use crate::query::Context;
use crate::query::field::{FIELDS, Field, Scalar, Type, error_name};
use crate::redact::{Redactor, Shown};
use crate::store::Record;

/// How events are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Aligned columns, for people
    #[default]
    Text,
    /// One JSON object per line
    #[value(alias("json"), alias("ndjson"))]
    Jsonl,
    /// Comma-separated values with a header
    Csv,
    /// PID call(arguments) = result
    Strace,
}

/// Columns of text output when none are asked for. The object stands last: it is of any length.
pub(crate) const TEXT_FIELDS: [&str; 10] =
    ["seq", "t", "pid", "proc", "op", "result", "bytes", "decision", "verb", "object"];

/// Bytes of one value shown in text.
const TEXT_LIMIT: usize = 512;
/// Bytes of a payload shown in text.
const TEXT_PAYLOAD: usize = 64;

/// Writes events in one format.
pub(crate) struct Printer<'p> {
    format: Format,
    fields: Vec<&'static Field>,
    /// Whether the columns are the format's own: then the last one says what an event is about, not its object alone.
    is_usual: bool,
    redactor: &'p Redactor,
    line: String,
    cell: String,
}

impl<'p> Printer<'p> {
    /// For the given columns, or the format's own when there are none.
    pub(crate) fn new(format: Format, fields: Vec<&'static Field>, redactor: &'p Redactor) -> Self {
        let is_usual = fields.is_empty();
        let fields = match (is_usual, format) {
            (false, _) => fields,
            (true, Format::Text) => TEXT_FIELDS.iter().filter_map(|name| Field::find(name)).collect(),
            (true, _) => FIELDS.iter().collect(),
        };
        Self { format, fields, is_usual, redactor, line: String::new(), cell: String::new() }
    }

    /// What stands above the events.
    pub(crate) fn header(&mut self, out: &mut dyn Write) -> io::Result<()> {
        match self.format {
            Format::Text => {
                self.line.clear();
                for at in 0..self.fields.len() {
                    let Some(field) = self.fields.get(at) else { continue };
                    self.cell.clear();
                    self.cell.push_str(field.name);
                    self.add_cell(field, at + 1 == self.fields.len());
                }
                self.end_line(out)
            }
            Format::Csv => csv_row(self.fields.iter().map(|field| field.name.as_bytes().to_vec()), out),
            Format::Jsonl | Format::Strace => Ok(()),
        }
    }

    /// One event.
    pub(crate) fn record(&mut self, record: &Record<'_>, context: &Context<'_>, out: &mut dyn Write) -> io::Result<()> {
        match self.format {
            Format::Text => self.text(record, context, out),
            Format::Jsonl => {
                serde_json::to_writer(&mut *out, &self.json(record, context))?;
                out.write_all(b"\n")
            }
            Format::Csv => {
                csv_row(self.fields.iter().map(|field| csv_cell(field, record, context, self.redactor)), out)
            }
            Format::Strace => {
                self.line.clear();
                strace::line(record, self.redactor, &mut self.line).map_err(io::Error::other)?;
                self.end_line(out)
            }
        }
    }

    fn end_line(&mut self, out: &mut dyn Write) -> io::Result<()> {
        self.line.truncate(self.line.trim_end().len());
        self.line.push('\n');
        out.write_all(self.line.as_bytes())
    }

    fn text(&mut self, record: &Record<'_>, context: &Context<'_>, out: &mut dyn Write) -> io::Result<()> {
        self.line.clear();
        for at in 0..self.fields.len() {
            let Some(field) = self.fields.get(at) else { continue };
            self.cell.clear();
            let (cell, redactor) = (&mut self.cell, self.redactor);
            if self.is_usual && field.name == "object" {
                let about = about(record, redactor);
                cell.push_str(about.join("  ").trim());
            } else {
                field.each(record, context, &mut |value| {
                    if !cell.is_empty() {
                        cell.push(if field.name == "argv" { ' ' } else { ',' });
                    }
                    text_value(field, value, redactor, cell);
                });
            }
            if self.cell.is_empty() {
                self.cell.push('-');
            }
            self.add_cell(field, at + 1 == self.fields.len());
        }
        self.end_line(out)
    }

    /// Puts the cell into its column: numbers to the right, the last one as it is.
    fn add_cell(&mut self, field: &Field, last: bool) {
        let width = width(field).max(field.name.len());
        let gap = width.saturating_sub(self.cell.width());
        // Writing to a String cannot fail.
        let _ = match (last, field.is_numeric()) {
            (true, _) => write!(self.line, "{}", self.cell),
            (false, true) => write!(self.line, "{:gap$}{}  ", "", self.cell),
            (false, false) => write!(self.line, "{}{:gap$}  ", self.cell, ""),
        };
    }

    fn json(&self, record: &Record<'_>, context: &Context<'_>) -> Value {
        let mut object = Map::new();
        for field in &self.fields {
            let mut values = Vec::new();
            let mut raw = Vec::new();
            let mut is_same = true;
            field.each(record, context, &mut |value| match value {
                Scalar::Int(number) => values.push(integer(number)),
                Scalar::Bytes(bytes) => {
                    let text = shown(field, bytes, usize::MAX, self.redactor).to_string();
                    is_same &= text.as_bytes() == bytes;
                    raw.push(bytes);
                    values.push(Value::String(text));
                }
            });
            let twin = !is_same && !raw.iter().any(|bytes| self.redactor.masks(bytes));
            let encoded = raw.iter().filter(|_| twin).map(|bytes| Value::String(BASE64.encode(bytes))).collect();
            for (name, mut values) in [(field.name.to_owned(), values), (format!("{}_base64", field.name), encoded)] {
                if field.many && !values.is_empty() {
                    object.insert(name, Value::Array(values));
                } else if let Some(only) = values.pop() {
                    object.insert(name, only);
                }
            }
        }
        Value::Object(object)
    }
}

fn shown<'a>(field: &Field, bytes: &'a [u8], limit: usize, redactor: &'a Redactor) -> Shown<'a> {
    if field.kind == Type::Bytes { redactor.fragment(bytes, limit) } else { redactor.text(bytes, limit) }
}

fn integer(number: i128) -> Value {
    match u64::try_from(number) {
        Ok(number) => number.into(),
        Err(_) => i64::try_from(number).map_or(Value::Null, Into::into),
    }
}

/// One value as people read it; times and names can be pasted into a filter.
fn text_value(field: &Field, value: Scalar<'_>, redactor: &Redactor, out: &mut String) {
    // Writing to a String cannot fail.
    let _ = match (field.kind, value) {
        (Type::Time, Scalar::Int(ns)) => time(ns, out),
        (Type::Duration, Scalar::Int(ns)) => duration(ns, out),
        (Type::Result, Scalar::Int(result)) => match i64::try_from(result).ok().and_then(error_name) {
            Some(name) => write!(out, "{name}"),
            None => write!(out, "{result}"),
        },
        (_, Scalar::Int(number)) => write!(out, "{number}"),
        (Type::Bytes, Scalar::Bytes(bytes)) => write!(out, "{}", shown(field, bytes, TEXT_PAYLOAD, redactor)),
        (_, Scalar::Bytes(bytes)) => write!(out, "{}", shown(field, bytes, TEXT_LIMIT, redactor)),
    };
}

/// `mm:ss.uuuuuu`, with hours where there are any.
pub(crate) fn time(ns: i128, out: &mut String) -> std::fmt::Result {
    let (seconds, micros) = (ns / 1_000_000_000, ns % 1_000_000_000 / 1_000);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 {
        write!(out, "{hours}:")?;
    }
    write!(out, "{minutes:02}:{seconds:02}.{micros:06}")
}

fn duration(ns: i128, out: &mut String) -> std::fmt::Result {
    // The largest unit that leaves a whole part; the last is for what is shorter than any.
    let units = [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us")];
    match units.into_iter().find(|(unit, _)| ns >= *unit) {
        Some((unit, name)) => write!(out, "{}.{:03}{name}", ns / unit, ns % unit * 1_000 / unit),
        None => write!(out, "{ns}ns"),
    }
}

/// Usual width of a column.
fn width(field: &Field) -> usize {
    match field.name {
        "t" | "op" | "proc" | "category" => 14,
        "exe" | "path" | "host" | "target" => 24,
        "verb" | "asset" | "class" | "object" => 16,
        "seq" | "bytes" | "result" | "errno" | "took" | "decision" | "authority" | "witness" | "kind" => 8,
        "argv" | "detail" | "payload" => 32,
        _ => 6,
    }
}

fn csv_cell(field: &Field, record: &Record<'_>, context: &Context<'_>, redactor: &Redactor) -> Vec<u8> {
    let mut cell = String::new();
    let mut is_first = true;
    field.each(record, context, &mut |value| {
        if !is_first {
            cell.push('|');
        }
        is_first = false;
        // Writing to a String cannot fail.
        let _ = match value {
            Scalar::Int(number) => write!(cell, "{number}"),
            Scalar::Bytes(bytes) => {
                let text = shown(field, bytes, usize::MAX, redactor).to_string();
                // Spreadsheets run what begins like a formula; the subject chose these bytes.
                match text.strip_prefix(['=', '+', '-', '@']).zip(text.bytes().next()) {
                    Some((rest, first)) if cell.is_empty() => write!(cell, "\\x{first:02x}{rest}"),
                    _ => write!(cell, "{text}"),
                }
            }
        };
    });
    cell.into_bytes()
}

fn csv_row(cells: impl Iterator<Item = Vec<u8>>, out: &mut dyn Write) -> io::Result<()> {
    let mut row = csv::WriterBuilder::new().buffer_capacity(512).from_writer(out);
    row.write_record(cells).map_err(|error| match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    })?;
    row.flush()
}

#[cfg(test)]
mod tests;
