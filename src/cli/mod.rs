//! The command line: one file per subcommand, the options of all of them in [`options`].
//!
//! Data goes to standard output, talk to standard error. Exit codes: 0 done (no violation and
//! nothing unexplained), 10 violation, 11 unexplained, 12 not testable, 2 usage, 1 belljar itself
//! failed, 127 subject not found.

mod completions;
mod demo;
mod doctor;
pub mod error;
mod events;
mod guess;
mod man;
pub mod options;
pub mod output;
mod planted;
mod profile;
mod record;
mod replay;
mod report;
mod run;

use std::process::ExitCode;

use clap::Parser as _;

use options::{Cli, Command};

/// Parses the command line, runs the command, and says what went wrong where something did.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return error::usage(&error),
    };
    let code = match cli.command {
        Command::Run(args) => run::run(&args),
        Command::Record(args) => record::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Events(args) => events::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Profile(command) => profile::run(command),
        Command::Doctor(args) => doctor::run(args),
        Command::Completions(args) => completions::run(&args),
        Command::Config => replay::config(),
        Command::Man => man::run(),
    };
    code.map_or_else(|error| error::report(&error), ExitCode::from)
}
