//! `belljar man`: one manual page with every command, the filter language and the field registry.

use std::io::{self, Write as _};

use clap::{Command, CommandFactory as _};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::options::Cli;
use super::output;
use crate::query::LANGUAGE;
use crate::query::field::FIELDS;

pub(super) fn run() -> anyhow::Result<u8> {
    let mut page = Vec::new();
    render(&mut page)?;
    let mut out = output::stdout();
    out.write_all(&page)?;
    out.flush()?;
    Ok(0)
}

fn render(page: &mut Vec<u8>) -> io::Result<()> {
    let mut cli = Cli::command();
    cli.build();
    let man = Man::new(cli.clone());
    man.render_title(page)?;
    man.render_name_section(page)?;
    man.render_synopsis_section(page)?;
    man.render_description_section(page)?;
    commands(&cli, "", page)?;
    section("FILTERS", LANGUAGE, page)?;
    fields(page)?;
    section("EXIT STATUS AND EXAMPLES", &cli.get_after_long_help().map(ToString::to_string).unwrap_or_default(), page)
}

/// Each command's description and options under a heading of its own.
fn commands(parent: &Command, prefix: &str, page: &mut Vec<u8>) -> io::Result<()> {
    for command in parent.get_subcommands() {
        let name = format!("{prefix}{}", command.get_name());
        if command.has_subcommands() {
            commands(command, &format!("{name} "), page)?;
            continue;
        }
        let mut part = Vec::new();
        let man = Man::new(command.clone());
        man.render_synopsis_section(&mut part)?;
        man.render_description_section(&mut part)?;
        if command.get_arguments().next().is_some() {
            man.render_options_section(&mut part)?;
        }
        // These sections are those of one command here: below its heading, not beside it. The
        // lines on quotes stand at the top of the page already.
        let part = String::from_utf8_lossy(&part);
        let body = part.lines().filter(|line| !line.starts_with(".ie ") && !line.starts_with(".el "));
        let body = body.map(|line| if line.starts_with(".SH ") { ".PP" } else { line });
        let body: String = body.flat_map(|line| [line, "\n"]).collect();
        let mut heading = Roff::new();
        heading.control("SH", [format!("BELLJAR {}", name.to_uppercase()).as_str()]);
        heading.to_writer(page)?;
        page.extend_from_slice(body.as_bytes());
        if let Some(help) = command.get_after_long_help().filter(|_| name != "events") {
            text(&help.to_string(), page)?;
        }
    }
    Ok(())
}

fn section(title: &str, body: &str, page: &mut Vec<u8>) -> io::Result<()> {
    let mut roff = Roff::new();
    roff.control("SH", [title]);
    roff.to_writer(page)?;
    text(body, page)
}

/// Text as it stands, line by line.
fn text(body: &str, page: &mut Vec<u8>) -> io::Result<()> {
    let mut roff = Roff::new();
    roff.control("PP", []).control("nf", []).text([roman(body)]).control("fi", []);
    roff.to_writer(page)
}

fn fields(page: &mut Vec<u8>) -> io::Result<()> {
    let mut roff = Roff::new();
    roff.control("SH", ["FIELDS"]);
    for field in FIELDS {
        let signs: Vec<_> = field.operators().iter().map(|op| op.sign()).collect();
        let aliases =
            if field.aliases.is_empty() { String::new() } else { format!(" (also {})", field.aliases.join(", ")) };
        roff.control("TP", []);
        roff.text([bold(field.name), roman(format!("{aliases}, {}: {}", field.type_name(), signs.join(" ")))]);
        roff.text([roman(field.help)]);
        let choices = field.choices(&crate::query::Context::default());
        // Calls and errors have their own manual pages.
        if (1..=20).contains(&choices.len()) {
            roff.control("br", []).text([roman(choices.join(", "))]);
        }
    }
    roff.to_writer(page)
}
