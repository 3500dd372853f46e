//! `belljar events`: prints the events of a recording, finished or running.

use std::io::Write as _;
use std::ops::ControlFlow;
use std::time::Duration;

use anyhow::Context as _;

use super::error::{FAILED, Failure};
use super::options::{EventsArgs, EventsFormat};
use super::output;
use super::planted::planted;
use crate::bundle::{Reader, State};
use crate::export::Printer;
use crate::query::field::{FIELDS, Field};
use crate::query::{self, Query};
use crate::redact::{Redactor, plain};
use crate::store::AssetInfo;
use crate::tui::{self, Config};

/// How often a running recording is looked at: it is written at least four times a second.
const FOLLOW: Duration = Duration::from_millis(250);

pub(super) fn run(args: &EventsArgs) -> anyhow::Result<u8> {
    if args.fields.iter().any(|name| name == "help") {
        return list_fields();
    }
    let fields = fields(&args.fields)?;
    if !fields.is_empty() && args.format == EventsFormat::Strace {
        return Err(Failure::usage("--format strace has no columns to choose").hint("leave --fields out").into());
    }
    let Some(bundle) = &args.bundle else {
        return Err(Failure::usage("no recording was given").hint("belljar events BUNDLE --fields A,B,C").into());
    };
    let mut reader = Reader::open(bundle)?;
    let assets: Vec<AssetInfo> = reader.session().map(|session| session.assets.clone()).unwrap_or_default();
    let context = query::Context { assets: &assets };
    let refused = |error: query::Error, text: &str| Failure::usage(format!("--filter: {}", error.render(text)));
    // Who names no saved filter needs no configuration.
    let filter = if args.filter.contains('@') {
        tui::expand(&args.filter, &Config::load()?).map_err(|error| refused(error, &args.filter))?
    } else {
        args.filter.clone()
    };
    let query = Query::parse(&filter, &context).map_err(|error| refused(error, &filter))?;
    let redactor = redactor(&reader, args)?;
    let mut printer = Printer::new(args.format, fields, &redactor);
    let mut out = output::stdout();
    printer.header(&mut out)?;
    loop {
        // Before the events: those that come after the last look belong to a session that still ran.
        let running = args.follow && reader.state() == State::Running;
        let mut failed = None;
        reader.records(|record| {
            if query.matches(record, &context)
                && let Err(error) = printer.record(record, &context, &mut out)
            {
                failed = Some(error);
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })?;
        if let Some(error) = failed {
            return Err(error).context("cannot print events");
        }
        out.flush().context("cannot print events")?;
        if !running {
            break;
        }
        std::thread::sleep(FOLLOW);
        reader.poll()?;
    }
    incomplete(&reader);
    Ok(0)
}

/// What masks the planted values of this session.
fn redactor(reader: &Reader, args: &EventsArgs) -> anyhow::Result<Redactor> {
    let ascii = args.format != EventsFormat::Jsonl && args.format != EventsFormat::Csv && output::is_ascii();
    let assets = match planted(reader) {
        Ok((_, assets)) => assets,
        Err(_) if args.reveal => Vec::new(),
        // Without the values nobody knows what to mask.
        Err(error) => {
            let failure = Failure {
                message: format!("cannot tell which values were planted: {error}"),
                code: FAILED,
                hint: None,
            };
            return Err(failure.hint("--reveal prints the events with nothing masked").into());
        }
    };
    let markers = assets.iter().flat_map(|asset| &asset.markers).map(|marker| marker.value.as_slice());
    Ok(Redactor::new(markers, args.reveal, ascii)?)
}

/// Says on standard error what makes the recording less than whole.
fn incomplete(reader: &Reader) {
    let why = reader.damage().map(|damage| plain(damage.as_bytes()));
    match (reader.state(), why) {
        (_, Some(why)) => eprintln!("belljar: the recording is damaged: {why}; these are the events before that"),
        (State::Running, None) => eprintln!("belljar: the recording still runs; --follow waits for more"),
        (State::CutOff, None) => eprintln!("belljar: the recording was cut off; these are the events that were saved"),
        (State::Failed | State::Complete, None) => {}
    }
    if let Some(lost) = reader.session().map(|session| session.lost).filter(|lost| *lost > 0) {
        eprintln!("belljar: {lost} events are missing from this recording");
    }
}

fn fields(names: &[String]) -> Result<Vec<&'static Field>, Failure> {
    let find = |name: &String| {
        let name = name.trim();
        Field::find(name).ok_or_else(|| {
            let similar = query::nearest_field(name).map(|similar| format!("did you mean `{similar}`? "));
            Failure::usage(format!("no field is called `{}`", plain(name.as_bytes())))
                .hint(format!("{}`belljar events --fields help` lists them", similar.unwrap_or_default()))
        })
    };
    names.iter().filter(|name| !name.trim().is_empty()).map(find).collect()
}

/// The registry as a table.
fn list_fields() -> anyhow::Result<u8> {
    let mut out = output::stdout();
    writeln!(out, "{:<12} {:<9} {:<20} MEANING (OTHER NAMES)", "FIELD", "TYPE", "OPERATORS")?;
    for field in FIELDS {
        let signs: Vec<_> = field.operators().iter().map(|op| op.sign()).collect();
        let aliases = if field.aliases.is_empty() { String::new() } else { format!(" ({})", field.aliases.join(", ")) };
        writeln!(out, "{:<12} {:<9} {:<20} {}{aliases}", field.name, field.type_name(), signs.join(" "), field.help)?;
    }
    out.flush()?;
    Ok(0)
}
