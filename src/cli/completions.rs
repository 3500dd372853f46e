//! `belljar completions`: a script that completes belljar's commands and options.

use std::io::Write as _;

use clap::CommandFactory as _;

use super::options::{Cli, CompletionsArgs};
use super::output;

pub(super) fn run(args: &CompletionsArgs) -> anyhow::Result<u8> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "belljar", &mut script);
    let mut out = output::stdout();
    out.write_all(&script)?;
    out.flush()?;
    Ok(0)
}
