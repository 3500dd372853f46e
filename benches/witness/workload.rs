//! What is run: programs built and files made for it, in one directory that the jail shows at its
//! own path.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// One command whose time is taken by `timeit`.
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    pub(crate) argv: Vec<String>,
    /// Made anew before every run, as a copy of this directory.
    pub(crate) fresh: Option<(PathBuf, PathBuf)>,
}

/// Modules of Python's library: forty that every installation has.
const MODULES: &str = "argparse, ast, asyncio, base64, bisect, calendar, cmd, collections, concurrent.futures, \
                       configparser, contextlib, copy, csv, datetime, decimal, difflib, email.message, fractions, \
                       functools, getpass, glob, gzip, hashlib, heapq, html.parser, http.client, inspect, ipaddress, \
                       json, logging, mimetypes, optparse, pathlib, pickle, random, sqlite3, statistics, tarfile, \
                       unittest, xml.dom.minidom";

/// Files of the repository that git looks at and adds.
const FILES: usize = 500;

/// Functions of the C file that is compiled.
const FUNCTIONS: usize = 400;

fn run(command: &mut Command) {
    let status = command.stdout(Stdio::null()).status().expect("the program runs");
    assert!(status.success(), "{command:?} failed");
}

/// Builds the three C programs.
pub(crate) fn programs(dir: &Path) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/witness");
    for name in ["timeit", "writer", "opener"] {
        let mut cc = Command::new("cc");
        cc.args(["-O2", "-pthread", "-o"]).arg(dir.join(name)).arg(source.join(name).with_extension("c"));
        run(&mut cc);
    }
}

/// The commands; programs that are not installed are said to be missing.
pub(crate) fn workloads(dir: &Path, writes: u64, opens: u64) -> Vec<Workload> {
    let program = |name: &str| dir.join(name).to_string_lossy().into_owned();
    let shell = |script: String| vec!["sh".to_owned(), "-c".to_owned(), script];
    let mut all = Vec::new();
    let mut add = |name, needs: &str, argv: Vec<String>, fresh| {
        if super::common::is_there(needs) {
            all.push(Workload { name, argv, fresh });
        } else {
            println!("{needs} is missing: `{name}` was not measured");
        }
    };
    let function =
        |n| format!("int f{n}(int a, int *b) {{ for (int i = 0; i < a; i++) b[i] = b[i] * {n} + a; return b[a]; }}");
    let text = (0..FUNCTIONS).map(function).collect::<Vec<_>>().join("\n");
    fs::write(dir.join("many.c"), format!("#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n{text}\n"))
        .expect("write");
    let compile = ["gcc", "-O2", "-c", "many.c", "-o", "many.o"].map(str::to_owned).to_vec();
    add("gcc -O2 -c", "gcc", compile, None);
    // The system's own: another may lie where the jail does not show it.
    let python = ["/usr/bin/python3".to_owned(), "-c".to_owned(), format!("import {MODULES}")].to_vec();
    add("python3, 40 imports", "/usr/bin/python3", python, None);
    if super::common::is_there("git") {
        repository(&dir.join("repository.made"));
    }
    let git = shell("cd repository && git -c safe.directory='*' status && git -c safe.directory='*' add -A".to_owned());
    add("git status, git add, 500 files", "git", git, Some((dir.join("repository.made"), dir.join("repository"))));
    // Some of it only root may read: find says so by its status.
    add("find /usr", "find", shell("find /usr -xdev 2> /dev/null; true".to_owned()), None);
    add("tar cf - /usr/include \\| cat", "tar", shell("tar cf - /usr/include | cat > /dev/null".to_owned()), None);
    add("4 threads, opens and closes", "true", vec![program("opener"), opens.to_string()], None);
    add("64-byte writes", "true", vec![program("writer"), writes.to_string()], None);
    all
}

/// A repository whose files have changed and are not yet added.
fn repository(dir: &Path) {
    fs::create_dir(dir).expect("mkdir");
    run(Command::new("git").args(["init", "-q"]).arg(dir));
    for n in 0..FILES {
        let sub = dir.join(format!("part{}", n % 20));
        fs::create_dir_all(&sub).expect("mkdir");
        fs::write(sub.join(format!("file{n}.txt")), format!("line {n}\n").repeat(50)).expect("write");
    }
}

impl Workload {
    /// Puts things back to where every run begins.
    pub(crate) fn prepare(&self) {
        if let Some((from, to)) = &self.fresh {
            let _ = fs::remove_dir_all(to);
            run(Command::new("cp").arg("-a").arg(from).arg(to));
        }
    }
}
