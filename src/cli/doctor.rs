//! `belljar doctor`: what this machine can do, and the command that mends what it cannot.

use std::io::Write;

use belljar_sandbox::doctor::{State, checks, is_able};

use super::options::DoctorArgs;

pub(super) fn run(_: DoctorArgs) -> anyhow::Result<u8> {
    let checks = checks();
    let mut out = super::output::stdout();
    for check in &checks {
        let mark = match check.state {
            State::Found => "ok     ",
            State::Limited => "limited",
            State::Missing => "MISSING",
        };
        writeln!(out, "{mark}  {:<22} {}", check.name, check.found)?;
        if !check.remedy.is_empty() {
            writeln!(out, "         {:<22} -> {}", "", check.remedy)?;
        }
    }
    let able = is_able(&checks);
    writeln!(
        out,
        "\n{}",
        if able { "belljar works here." } else { "belljar cannot work here until what is MISSING is mended." }
    )?;
    Ok(u8::from(!able))
}
