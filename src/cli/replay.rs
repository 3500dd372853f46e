//! `belljar replay`: a recording on the screen, or as sentences; `belljar config`, which says how that looks.

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;

use super::error::Failure;
use super::options::ReplayArgs;
use super::output;
use super::planted::{again, files};
use crate::bundle::Reader;
use crate::redact::Redactor;
use crate::tui::{self, Config, Sight};

pub(super) fn run(args: &ReplayArgs) -> anyhow::Result<u8> {
    replay(&args.bundle, args.speed, args.plain)
}

/// Shows the bundle in `dir`.
pub(super) fn replay(dir: &Path, speed: f64, plain: bool) -> anyhow::Result<u8> {
    let reader = Reader::open(dir)?;
    // Without the values nobody knows what to mask: then nothing is shown.
    let (rules, realised) = again(&reader).map_err(|error| {
        Failure::usage(format!("cannot tell which values were planted: {error}"))
            .hint("`belljar events BUNDLE --reveal` prints the events with nothing masked")
    })?;
    let markers = realised.assets.iter().flat_map(|asset| &asset.markers).map(|marker| marker.value.as_slice());
    let redactor = Redactor::new(markers, false, output::is_ascii())?;
    if plain {
        tui::plain::print(dir, &redactor, &mut output::stdout())?;
        return Ok(0);
    }
    needs_terminal()?;
    let (ascii, config, below) = (output::is_ascii(), Config::load()?, files(&realised.plants));
    let sight = Sight { redactor, rules, ascii, config, speed, below, live: None };
    tui::show(dir, sight)?;
    Ok(0)
}

/// A screen needs a terminal at both ends.
pub(super) fn needs_terminal() -> Result<(), Failure> {
    if std::io::stdin().is_terminal() && std::io::stdout().is_terminal() {
        return Ok(());
    }
    Err(Failure::usage("the screen needs a terminal on standard input and output").hint("--plain needs none"))
}

pub(super) fn config() -> anyhow::Result<u8> {
    let mut out = output::stdout();
    out.write_all(Config::example().as_bytes())?;
    out.flush()?;
    Ok(0)
}
