//! What people type who come from strace, bwrap, docker or asciinema, where belljar has it under
//! another name, has it always, or does not have it. Names with the same meaning are aliases in
//! `options.rs`; these would mean something else, or take other arguments.

/// Advice for a command that does not exist.
pub(super) fn command(name: &str) -> Option<&'static str> {
    find(COMMANDS, name)
}

/// Advice for an option that does not exist. `-e` and `--env-file=x` are both fine.
pub(super) fn option(name: &str) -> Option<&'static str> {
    find(OPTIONS, name.split_once('=').map_or(name, |(name, _)| name))
}

type Table = &'static [(&'static [&'static str], &'static str)];

fn find(table: Table, name: &str) -> Option<&'static str> {
    table.iter().find(|(names, _)| names.contains(&name)).map(|(_, advice)| *advice)
}

const COMMANDS: Table = &[
    (&["live", "tui", "watch"], "use `belljar run -- CMD`, or `belljar replay BUNDLE`"),
    (&["play"], "use `belljar replay BUNDLE`"),
    (&["export"], "not in this version; `belljar events BUNDLE --format jsonl` (or csv) hands events to other tools"),
    (&["compare", "diff"], "not in this version; compare the outputs of `belljar report BUNDLE --format json`"),
    (&["seal", "verify", "sign"], "not in this version"),
    (&["exec", "start", "trace", "strace", "rec", "capture"], "use `belljar record -- CMD`"),
    (
        &["show", "log", "logs", "list", "ls", "cat", "dump", "filter", "query"],
        "use `belljar events BUNDLE`, or `belljar report BUNDLE`",
    ),
    (&["verdict", "findings", "summary", "inspect"], "use `belljar report BUNDLE`"),
    (&["check", "validate"], "use `belljar profile check FILE` for a profile, `belljar doctor` for this machine"),
    (&["profiles"], "use `belljar profile list`"),
    (&["info", "version"], "use `belljar --version`, or `belljar doctor` for what this machine can do"),
    (&["help"], "use `belljar --help`, or `belljar COMMAND --help`"),
    (&["completion"], "use `belljar completions SHELL`"),
];

const OPTIONS: Table = &[
    // bwrap
    (
        &["--ro-bind", "--ro-bind-try", "--bind-try", "--dev-bind", "--dev-bind-try"],
        "use --bind SRC:DST (read-only), or --bind SRC:DST:rw",
    ),
    (&["--setenv", "-e", "-E"], "use --env NAME=VALUE; filters of calls go to `belljar events --filter`"),
    (
        &["--unsetenv", "--clearenv", "--env-file"],
        "nothing of the caller's environment reaches the program; set variables with --env NAME=VALUE",
    ),
    (
        &["--tmpfs", "--dir", "--file", "--symlink", "--overlay", "--tmp-overlay", "--overlay-src"],
        "whatever the program writes goes to the recording alone; show paths with --bind SRC:DST",
    ),
    (&["--proc", "--dev", "--mqueue"], "the sandbox always has its own"),
    (
        &[
            "--unshare-all",
            "--unshare-user",
            "--unshare-pid",
            "--unshare-net",
            "--unshare-ipc",
            "--unshare-uts",
            "--unshare-cgroup",
            "--new-session",
            "--die-with-parent",
            "--as-pid-1",
        ],
        "always so; no option is needed",
    ),
    (
        &["--share-net", "--network", "--net", "--publish", "-P", "--dns", "--add-host"],
        "the sandbox has its own network, always recorded; --allow-host NAME lets it reach somebody",
    ),
    (&["--ask", "--deny", "--allow"], "deciding calls while they wait is not in this version"),
    (&["--uid", "--gid"], "use --user NAME; accounts stand in the profile"),
    (
        &["--hostname", "-h", "--mac-address"],
        "the profile says who the machine pretends to be; see `belljar profile show NAME`",
    ),
    (
        &["--cap-add", "--cap-drop", "--privileged", "--security-opt", "--seccomp"],
        "the program never has a capability outside the sandbox; there is nothing to add or drop",
    ),
    (&["--chroot-dir", "--image"], "use --rootfs DIR, a directory that holds a whole system"),
    // docker
    (&["--mount"], "use --bind SRC:DST, or --bind SRC:DST:rw"),
    (
        &["--memory", "-m", "--cpus", "--pids-limit", "--ulimit", "--storage-opt"],
        "limits stand in the profile; see `belljar profile show NAME`",
    ),
    (
        &["--rm", "--detach", "-d", "--init", "--interactive", "-i", "--tty", "-t", "-it"],
        "no option is needed: the program has a terminal and standard input, and all of it ends with belljar",
    ),
    (&["--entrypoint", "--command", "-c"], "write the program and its arguments last: belljar record -- CMD ARGUMENTS"),
    (&["--name", "--title", "--label"], "name the recording with --output DIR"),
    // strace
    (&["--follow-forks", "-f", "-ff"], "children are always followed; `events` has --follow, to wait for more"),
    (&["--attach", "--pid"], "belljar starts the program itself; it cannot attach to a running one"),
    (
        &["--trace", "--trace-path", "--signal", "--status", "-z", "-Z"],
        "everything is recorded; choose afterwards with `belljar events BUNDLE --filter EXPR`",
    ),
    (
        &[
            "--relative-timestamps",
            "--absolute-timestamps",
            "--timestamps",
            "-r",
            "-tt",
            "-ttt",
            "-T",
            "--syscall-times",
        ],
        "times are always recorded; choose columns with `belljar events BUNDLE --fields t,took,op`",
    ),
    (&["--summary-only", "--summary"], "use `belljar report BUNDLE`"),
    (
        &["--output-append-mode", "-A", "--append", "--overwrite"],
        "a recording is never appended to or written over; give --output another directory",
    ),
    // asciinema
    (
        &["--idle-time-limit", "--cols", "--rows", "--window-size", "--stdin", "--raw"],
        "the terminal is recorded as it is; no option is needed",
    ),
    // our own, elsewhere
    (&["--filter", "--where", "--grep", "--fields", "--columns"], "that is an option of `belljar events BUNDLE`"),
    (&["--reveal", "--unmask"], "that is an option of `belljar events` and `belljar report`"),
    (&["--jsonl", "--csv", "--text", "--json"], "use --format text, --format jsonl (report: json) or --format csv"),
    (&["--format"], "use --json for a report on standard output; `belljar events` and `belljar report` have --format"),
    (&["--speed"], "it is an option of `belljar replay`"),
    (&["--no-color", "--color"], "set NO_COLOR=1 in the environment"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::options::Cli;
    use clap::CommandFactory as _;
    use std::collections::HashSet;

    #[test]
    fn no_advice_stands_in_the_way_of_what_exists() {
        let cli = Cli::command();
        for sub in cli.get_subcommands() {
            assert_eq!(command(sub.get_name()), None);
        }
        let record = cli.find_subcommand("record").unwrap();
        let all: HashSet<String> = record
            .get_arguments()
            .flat_map(|arg| arg.get_all_aliases().unwrap_or_default().into_iter().chain(arg.get_long()))
            .map(|name| format!("--{name}"))
            .collect();
        // `--json` and `--filter` are options of some commands and advice in others; the rest of
        // `record`'s own names must not be advised against.
        for name in all.iter().filter(|name| *name != "--json") {
            assert_eq!(option(name), None, "{name}");
        }
    }

    #[test]
    fn names_are_listed_once() {
        for table in [COMMANDS, OPTIONS] {
            let names: Vec<_> = table.iter().flat_map(|(names, _)| *names).collect();
            assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len());
        }
        assert!(option("--ro-bind=/a").is_some() && option("--bond").is_none());
    }
}
