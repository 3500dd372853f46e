//! Every command and option, with its help. Help, manual page and completions are generated from
//! here. Options that other tools have under another name and with the same meaning are hidden
//! aliases; where the meaning differs, `guess.rs` answers.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use belljar_sandbox::gateway::Allowed;
use belljar_sandbox::spec::Bind;
use clap::builder::{OsStringValueParser, TypedValueParser as _};
use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};

pub use crate::export::Format as EventsFormat;
use crate::query::{self, LANGUAGE};
use crate::session::{FULL, Wanted};

/// Run a vendor's program under glass and see what it tries to do with client data.
///
/// Belljar runs a program inside a sandbox furnished with planted client data, records what it
/// asks of the system, and says what it did with that data, with evidence.
#[derive(Debug, Parser)]
#[command(name = "belljar", version, arg_required_else_help = true, disable_help_subcommand = true)]
#[command(max_term_width = 100, after_help = "`belljar COMMAND --help` says more, with examples.", after_long_help = EXAMPLES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Examples:
  belljar demo                                  see what there is to be seen
  belljar run -- ./installer                    run it, and watch what it does
  belljar record -o first.belljar -- ./installer --silent
                                                run it, record it, say what it did
  belljar replay first.belljar                  watch it again
  belljar report first.belljar                  say it again, later
  belljar events first.belljar --filter 'class:identity verb:transmit'
  belljar doctor                                what this machine can do

Exit codes of record and report:
  0    no violation and nothing unexplained
  10   violation
  11   unexplained: client data was touched, and nothing declares why
  12   not testable: evidence was lost or is incomplete
  2    the command line is wrong
  1    belljar itself failed
  127  the subject was not found";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a program under glass and watch on the screen what it tries to do
    Run(Box<RunArgs>),
    /// Run a program under glass and record what it tries to do
    Record(Box<RecordArgs>),
    /// Watch a recording on the screen
    Replay(ReplayArgs),
    /// Watch a recording that comes with belljar, in which everything happens
    Demo(DemoArgs),
    /// Print the events of a recording
    Events(EventsArgs),
    /// Print the verdict of a recording, with its evidence
    Report(ReportArgs),
    /// List, show, check and make profiles
    #[command(subcommand)]
    Profile(ProfileCommand),
    /// Say what this machine can do, and how to mend what it cannot
    Doctor(DoctorArgs),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
    /// Print the configuration file: colours, mouse and keys of the screen
    #[command(
        long_about = "Print the configuration file with what is so without one: colours, mouse and keys of the screen.\n\nExample:\n  mkdir -p ~/.config/belljar && belljar config > ~/.config/belljar/config.toml"
    )]
    Config,
    /// Print the manual page
    #[command(long_about = "Print the manual page, in the format of man(7).\n\nExample:\n  belljar man | man -l -")]
    Man,
}

fn witness(text: &str) -> Result<Wanted, String> {
    match text {
        "auto" => Ok(Wanted::Auto),
        "ebpf" => Ok(Wanted::Ebpf),
        "notify" => Ok(Wanted::Notify),
        _ => Err("it can be auto, ebpf or notify".to_owned()),
    }
}

/// Options of `belljar record`.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  belljar record -- ./installer --silent
  belljar record -p server -o audit.belljar --timeout 5m -- python3 agent.py
  belljar record --bind ./vendor:/opt/vendor --env LICENSE=demo -- /opt/vendor/bin/app
  belljar record --json -- ./app > report.json
  belljar record -- sh -c 'dpkg -i vendor.deb && vendor-agent --once'

The current directory is shown to the program at the same path; what it writes there, or
anywhere, goes to the recording and never to this machine. Every name and address it asks for is
answered by belljar; nothing reaches the real network but what --allow-host lets through.")]
pub struct RecordArgs {
    /// Profile: which device to pretend to be, which client data to plant
    #[arg(short, long, value_name = "NAME|FILE", default_value = "workstation", value_hint = ValueHint::FilePath)]
    pub profile: String,

    /// Where to put the recording; refuses an existing non-empty directory
    /// [default: ./NAME-YYYYmmdd-HHMMSS.belljar]
    #[arg(short, long, value_name = "DIR", value_hint = ValueHint::DirPath, aliases = ["out", "bundle", "output-dir"])]
    pub output: Option<PathBuf>,

    /// Witness of system calls: auto, ebpf or notify; auto says which it took and why
    ///
    /// ebpf needs root and sees every call with its result at little cost; notify needs no privilege and sees what it
    /// traps. auto takes ebpf where it can be had.
    #[arg(long, value_name = "WITNESS", default_value = "auto", value_parser = witness)]
    pub witness: Wanted,

    /// Read what passes through OpenSSL, GnuTLS and NSS in the clear, by probes in the libraries
    ///
    /// Pinned connections, too. Needs the ebpf witness. The program can find the probes if it looks for them, and each
    /// call of a library's function costs some microseconds more; other processes of this machine that use the same
    /// library pay for it, too, but are not recorded.
    #[arg(long)]
    pub tls_probes: bool,

    /// Bytes of the ebpf witness's ring; for tests of what is said of losses
    #[arg(long, value_name = "BYTES", hide = true)]
    pub ebpf_ring: Option<u32>,

    /// Do not freeze the program when the ring fills up; for the same tests
    #[arg(long, hide = true)]
    pub ebpf_no_freeze: bool,

    /// Seed of the planted data: the same seed plants the same values [default: random, recorded]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,

    /// Stop the program after this long: 30s, 5m, 1h
    #[arg(long, value_name = "DURATION", value_parser = duration, aliases = ["time-limit", "max-time"])]
    pub timeout: Option<Duration>,

    /// Run inside this image instead of this machine's system directories
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, aliases = ["root", "chroot"])]
    pub rootfs: Option<PathBuf>,

    /// Show a path of this machine to the program, read-only unless :rw; may be given again
    ///
    /// DST is the path in the sandbox, the same one when left out. What the program writes below an :rw path goes to
    /// the recording, never to this machine. Write a colon in a path as \:
    #[arg(long = "bind", value_name = "SRC[:DST][:rw]", value_parser = OsStringValueParser::new().try_map(|v| bind(&v)), aliases = ["volume", "bind-mount"])]
    pub binds: Vec<Bind>,

    /// Directory to start in, inside the sandbox [default: the current one]
    #[arg(short, long, value_name = "DIR", aliases = ["cwd", "chdir", "working-dir", "working-directory"])]
    pub workdir: Option<PathBuf>,

    /// Set an environment variable; may be given again
    #[arg(long, value_name = "K=V", value_parser = OsStringValueParser::new().try_map(|v| variable(&v)))]
    pub env: Vec<(OsString, OsString)>,

    /// Account to run as, inside the sandbox [default: the profile's]
    #[arg(short, long, value_name = "NAME", alias = "username")]
    pub user: Option<String>,

    /// Pass connections to this name on to the real network; may be given again
    ///
    /// Without it nothing leaves the sandbox. A leading *. stands for every name below. What is passed on is recorded
    /// all the same, and TLS is read where the program accepts the session's certificate.
    #[arg(long, value_name = "NAME[:PORT]", value_parser = allowed, alias = "pass-host")]
    pub allow_host: Vec<Allowed>,

    /// The supplier's declaration of what the program does [default: the profile's]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub declaration: Option<PathBuf>,

    /// Payload bytes kept per call, or full for all
    ///
    /// Whatever is said here, evidence is kept whole, and with the ebpf witness what goes into pipes, unix sockets and
    /// terminals, up to 8 MiB a call.
    #[arg(short = 's', long, value_name = "BYTES", default_value = "256", value_parser = payload, aliases = ["string-limit", "snaplen"])]
    pub payload: u64,

    /// Print the JSON report on standard output, and nothing else there
    #[arg(long)]
    pub json: bool,

    /// Say nothing but what went wrong
    #[arg(short, long, conflicts_with = "verbose", alias = "silent")]
    pub quiet: bool,

    /// Say more; twice, even more
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub verbose: u8,

    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "CMD", value_hint = ValueHint::CommandWithArguments)]
    pub command: Vec<OsString>,
}

/// Options of `belljar run`: those of `record`.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  belljar run -- ./installer
  belljar run -p server -- python3 agent.py
  belljar run --plain -- ./app | tee app.log

In view 8 the program's own terminal is shown; Enter gives it the keyboard, Ctrl-] takes it back. F freezes
the program, K ends it, q leaves. What was recorded can be watched again with `belljar replay`.")]
pub struct RunArgs {
    /// What `record` takes.
    #[command(flatten)]
    pub record: RecordArgs,

    /// No screen: one sentence for each event that touches client data
    #[arg(long)]
    pub plain: bool,
}

/// Options of `belljar replay`.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  belljar replay app.belljar
  belljar replay app.belljar --speed 10
  belljar replay app.belljar --plain | less

Space plays and pauses, ] and [ go to the next and previous event that touches client data, / filters, ? explains
the keys. A recording that is still being made can be watched, too.")]
pub struct ReplayArgs {
    /// The recording
    #[arg(value_name = "BUNDLE", value_hint = ValueHint::DirPath)]
    pub bundle: PathBuf,

    /// How fast it plays: from 0.1 to 1000 times
    #[arg(long, value_name = "X", default_value = "1", value_parser = speed)]
    pub speed: f64,

    /// No screen: one sentence for each event that touches client data
    #[arg(long)]
    pub plain: bool,
}

fn speed(text: &str) -> Result<f64, String> {
    let number = text.trim_end_matches(['x', 'X']).parse::<f64>().ok();
    number.filter(|speed| (0.1..=1000.0).contains(speed)).ok_or_else(|| "it can be from 0.1 to 1000".to_owned())
}

/// Options of `belljar demo`.
#[derive(Args, Debug)]
pub struct DemoArgs {
    /// No screen: one sentence for each event that touches client data
    #[arg(long)]
    pub plain: bool,
}

const EVENTS_HELP: &str = "\
Examples:
  belljar events app.belljar
  belljar events app.belljar --filter 'op:open* path~/.ssh/ outcome:ok'
  belljar events app.belljar --filter 'class:identity verb:transmit' --fields t,proc,op,object
  belljar events app.belljar --format jsonl | jq 'select(.bytes > 4096)'
  belljar events app.belljar --follow --filter 'host:*'
  belljar events --fields help

Formats:
  text shortens long values and says by how much; the others shorten nothing but payloads for
  strace. Bytes that are no plain text are written as \\n, \\xNN or \\u{NNNN}, a backslash as \\\\;
  jsonl adds the untouched bytes as NAME_base64 where the two differ. Times are nanoseconds in
  jsonl and csv. What an event does not have is left out in jsonl and empty in csv; fields with
  several values are lists in jsonl and joined with | in csv. Values of planted data are masked
  unless --reveal is given, and what is masked has no NAME_base64.

Filters:
";

/// Options of `belljar events`.
#[derive(Args, Debug)]
#[command(override_usage = "belljar events [OPTIONS] <BUNDLE>", after_long_help = format!("{EVENTS_HELP}{}", indent(LANGUAGE)))]
pub struct EventsArgs {
    /// The recording
    #[arg(value_name = "BUNDLE", required_unless_present = "fields", value_hint = ValueHint::DirPath)]
    pub bundle: Option<PathBuf>,

    /// Only events that fit: op:write bytes>4k, host:*.example.com (the whole language: --help)
    #[arg(long, value_name = "EXPR", default_value = "", hide_default_value = true, aliases = ["query", "where", "expr"])]
    pub filter: String,

    /// Columns, joined with commas; `help` lists them all
    #[arg(long, value_name = "A,B,C", value_delimiter = ',', aliases = ["columns", "field"])]
    pub fields: Vec<String>,

    /// text, jsonl, csv or strace
    #[arg(long, value_name = "FORMAT", default_value = "text", hide_possible_values = true)]
    pub format: EventsFormat,

    /// Wait for more events until the recording ends
    #[arg(short, long)]
    pub follow: bool,

    /// Show the values of planted data
    #[arg(long)]
    pub reveal: bool,
}

/// How a report is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// For people
    #[default]
    Text,
    /// For programs: schema belljar.report/1
    Json,
}

/// Options of `belljar report`.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  belljar report app.belljar
  belljar report app.belljar --format json -o app.json
  belljar report app.belljar > /dev/null; echo $?     the verdict alone: 0, 10, 11 or 12")]
pub struct ReportArgs {
    /// The recording
    #[arg(value_name = "BUNDLE", value_hint = ValueHint::DirPath)]
    pub bundle: PathBuf,

    /// text or json
    #[arg(long, value_name = "FORMAT", default_value = "text", hide_possible_values = true)]
    pub format: ReportFormat,

    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath, alias = "out")]
    pub output: Option<PathBuf>,

    /// Show the values of planted data
    #[arg(long)]
    pub reveal: bool,
}

/// The commands of `belljar profile`.
#[derive(Debug, Subcommand)]
pub enum ProfileCommand {
    /// List the profiles that come with belljar
    List,
    /// Print a profile
    Show {
        /// Profile
        #[arg(value_name = "NAME|FILE", value_hint = ValueHint::FilePath)]
        profile: String,
    },
    /// Say what is wrong with profiles, if anything
    Check {
        /// Profiles
        #[arg(value_name = "NAME|FILE", required = true, value_hint = ValueHint::FilePath)]
        profiles: Vec<String>,
    },
    /// Write a new profile to start from
    New {
        /// File to write; never overwrites one
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// Profile to copy
        #[arg(long, value_name = "NAME|FILE", default_value = "workstation")]
        from: String,
        /// Write the draft of a declaration instead, made from all that a recorded run showed
        #[arg(long, value_name = "BUNDLE", value_hint = ValueHint::DirPath, conflicts_with = "from")]
        declaration_from: Option<PathBuf>,
    },
}

/// Options of `belljar doctor`.
#[derive(Args, Debug)]
pub struct DoctorArgs {}

/// Options of `belljar completions`.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  belljar completions bash > ~/.local/share/bash-completion/completions/belljar
  belljar completions zsh > ~/.zfunc/_belljar
  belljar completions fish > ~/.config/fish/completions/belljar.fish")]
pub struct CompletionsArgs {
    /// Shell
    #[arg(value_name = "SHELL")]
    pub shell: clap_complete::Shell,
}

fn indent(text: &str) -> String {
    text.lines().map(|line| if line.is_empty() { "\n".to_owned() } else { format!("  {line}\n") }).collect()
}

/// `SRC[:DST][:rw|:ro]`; `\:` is a colon of a path. Relative sources are the caller's, and a
/// target left out is the source's absolute path.
pub fn bind(text: &OsStr) -> Result<Bind, String> {
    let mut parts = vec![Vec::new()];
    let mut bytes = text.as_bytes().iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match (byte, parts.last_mut()) {
            (b'\\', Some(part)) if bytes.peek() == Some(&b':') => part.extend(bytes.next()),
            (b':', _) => parts.push(Vec::new()),
            (byte, Some(part)) => part.push(byte),
            (_, None) => {}
        }
    }
    let mode = if parts.len() > 1 { parts.pop_if(|last| last == b"rw" || last == b"ro") } else { None };
    let writable = mode.as_deref() == Some(b"rw");
    let path = |part: &Vec<u8>| Path::new(OsStr::from_bytes(part)).to_path_buf();
    let (source, target) = match parts.as_slice() {
        [source] => (path(source), None),
        [source, target] => (path(source), Some(path(target))),
        _ => return Err("write SRC, SRC:DST or SRC:DST:rw; a colon of a path as \\:".to_owned()),
    };
    let source = std::path::absolute(&source).map_err(|error| format!("the path before `:` does not do: {error}"))?;
    let target = target.unwrap_or_else(|| source.clone());
    if !target.is_absolute() {
        return Err("the path inside the sandbox must begin with /".to_owned());
    }
    Ok(Bind { source, target, writable })
}

/// `K=V`.
pub fn variable(text: &OsStr) -> Result<(OsString, OsString), String> {
    let bytes = text.as_bytes();
    match bytes.iter().position(|b| *b == b'=') {
        Some(at) if at > 0 => {
            let (name, value) = (bytes.get(..at), bytes.get(at + 1..));
            let part = |part: Option<&[u8]>| OsStr::from_bytes(part.unwrap_or_default()).to_owned();
            Ok((part(name), part(value)))
        }
        _ => Err("write NAME=VALUE; nothing is taken over from the caller's environment by name alone".to_owned()),
    }
}

fn size(text: &str) -> Result<u64, String> {
    query::size(text).ok_or_else(|| "write a number of bytes, such as 256, 4k or 1M".to_owned())
}

fn payload(text: &str) -> Result<u64, String> {
    if text == "full" { Ok(FULL) } else { size(text).map_err(|error| format!("{error}, or full")) }
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration = query::duration(text).filter(|duration| !duration.is_zero());
    duration.ok_or_else(|| "write a duration, such as 30s, 5m or 1h".to_owned())
}

/// `NAME`, `NAME:PORT`, `[ADDRESS]:PORT`.
fn allowed(text: &str) -> Result<Allowed, String> {
    let wrong = || format!("{text:?} is no NAME or NAME:PORT");
    if text.parse::<std::net::Ipv6Addr>().is_ok() {
        return Ok(Allowed { host: text.to_owned(), port: None });
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, Some(port.parse().map_err(|_| wrong())?)),
        None => (text, None),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
    let bare = host.strip_prefix("*.").unwrap_or(host);
    if bare.is_empty() || bare.contains(['*', '/', ' ']) {
        return Err(wrong());
    }
    Ok(Allowed { host: host.to_ascii_lowercase(), port })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn definitions_agree_with_each_other() {
        Cli::command().debug_assert();
    }

    fn record(args: &[&str]) -> Result<RecordArgs, clap::Error> {
        match Cli::try_parse_from(["belljar", "record"].iter().chain(args))?.command {
            Command::Record(args) => Ok(*args),
            _ => unreachable!("record was asked for"),
        }
    }

    #[test]
    fn what_follows_the_program_is_the_program_s() {
        let args = record(&["-q", "python3", "-c", "x", "--json", "-p", "y", "--", "-z"]).unwrap();
        assert_eq!(args.command, ["python3", "-c", "x", "--json", "-p", "y", "--", "-z"]);
        assert!(args.quiet && !args.json);
        let args = record(&["--", "-odd", "--json"]).unwrap();
        assert_eq!(args.command, ["-odd", "--json"]);
        assert!(record(&[]).is_err());
    }

    #[test]
    fn names_of_other_tools_work_where_they_mean_the_same() {
        let args = record(&[
            "--volume=/a:/b:ro",
            "--cwd=/c",
            "--out=d",
            "--time-limit=5m",
            "--string-limit=4k",
            "--env=A=b=c",
            "true",
        ]);
        let args = args.unwrap();
        assert_eq!(args.binds, [Bind { source: "/a".into(), target: "/b".into(), writable: false }]);
        assert_eq!(args.workdir.as_deref(), Some(Path::new("/c")));
        assert_eq!(args.output.as_deref(), Some(Path::new("d")));
        assert_eq!((args.timeout, args.payload), (Some(Duration::from_mins(5)), 4096));
        assert_eq!(args.env, [("A".into(), "b=c".into())]);
        assert!(record(&["--witness=strace", "true"]).is_err());
        assert!(record(&["--timeout=0", "true"]).is_err());
    }

    #[test]
    fn binds_are_paths_with_an_optional_mode() {
        let read = |text: &[u8]| {
            bind(OsStr::from_bytes(text)).map(|b| {
                let bytes = |path: &Path| path.as_os_str().as_bytes().escape_ascii().to_string();
                (bytes(&b.source), bytes(&b.target), b.writable)
            })
        };
        let made = |source: &str, target: &str, writable| Ok((source.to_owned(), target.to_owned(), writable));
        assert_eq!(read(b"/a"), made("/a", "/a", false));
        assert_eq!(read(b"/a:rw"), made("/a", "/a", true));
        assert_eq!(read(b"/a:/b:rw"), made("/a", "/b", true));
        assert_eq!(read(br"/a\:1:/b"), made("/a:1", "/b", false));
        assert_eq!(read(b"/\xff:/b"), made(r"/\xff", "/b", false));
        assert!(read(b"rel").unwrap().0.ends_with("/rel"));
        for bad in [&b""[..], b":/b", b"/a:b", b"/a:/b:/c", b"/a:/b:rx", b"/a:"] {
            assert!(read(bad).is_err(), "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn variables_need_a_name_and_a_sign() {
        assert_eq!(variable(OsStr::new("A=")), Ok(("A".into(), "".into())));
        assert!(variable(OsStr::new("A")).is_err());
        assert!(variable(OsStr::new("=a")).is_err());
    }
}
