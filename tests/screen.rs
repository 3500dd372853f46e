//! The screen as an analyst has it: in a real terminal (tmux), over a real session, with real keys.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// A terminal of its own, with one program in it.
struct Pane {
    socket: PathBuf,
    _place: tempfile::TempDir,
    place: PathBuf,
}

impl Pane {
    /// Runs a shell line in a terminal of this size.
    fn new(width: u16, height: u16, line: &str) -> Self {
        let place = tempfile::tempdir().expect("a place");
        let this = Self { socket: place.path().join("tmux"), place: place.path().to_owned(), _place: place };
        let size = [width.to_string(), height.to_string()];
        // The shell outlives the program: what it printed at its end is to be seen, and how it left the terminal.
        let line = format!(
            "cd {}; {line}; echo \"ended with $?\"; stty -a | grep -o ' -\\?icanon'; exec sleep 100",
            this.place.display()
        );
        this.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", &size[0], "-y", &size[1], "sh", "-c", &line]);
        this
    }

    fn tmux(&self, args: &[&str]) -> String {
        let mut command = Command::new("tmux");
        command.arg("-S").arg(&self.socket).args(args);
        command.env("LC_ALL", "C.UTF-8").env("TERM", "xterm-256color").env_remove("NO_COLOR");
        command.env("XDG_CONFIG_HOME", &self.place);
        let output = command.output().expect("tmux is installed");
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn keys(&self, keys: &[&str]) {
        for key in keys {
            self.tmux(&["send-keys", key]);
            std::thread::sleep(Duration::from_millis(60));
        }
    }

    fn text(&self, text: &str) {
        self.tmux(&["send-keys", "-l", text]);
    }

    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// Waits until the screen shows this.
    fn wait(&self, text: &str) -> String {
        let begun = Instant::now();
        loop {
            let screen = self.screen();
            if screen.contains(text) {
                return screen;
            }
            assert!(begun.elapsed() < Duration::from_mins(1), "no {text:?} on:\n{screen}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Pane {
    fn drop(&mut self) {
        let _ = Command::new("tmux").arg("-S").arg(&self.socket).arg("kill-server").output();
    }
}

fn belljar() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_belljar"))
}

#[test]
fn the_demo_is_played_filtered_and_left() {
    let pane = Pane::new(120, 40, &format!("{} demo", belljar().display()));
    pane.wait("REPLAY");
    pane.wait("6 of 17 planted assets touched");
    pane.keys(&["Enter"]);
    pane.wait("asset:customers");
    pane.wait("that fit");
    pane.keys(&["/"]);
    pane.text(" verb:trans");
    pane.wait("transmit");
    pane.keys(&["Tab", "Enter"]);
    pane.wait("verb:transmit");
    pane.keys(&["BSpace", "BSpace"]);
    pane.wait("no filter");
    pane.keys(&["7", "Enter", "Enter"]);
    pane.wait("Detail");
    pane.keys(&["?"]);
    pane.wait("Keys here");
    pane.keys(&["Escape"]);
    // Sizes that come and go, down to almost nothing: it is still there afterwards.
    for (width, height) in [(30, 5), (2, 2), (200, 60), (81, 25), (1, 1), (100, 30)] {
        pane.tmux(&["resize-window", "-x", &width.to_string(), "-y", &height.to_string()]);
        std::thread::sleep(Duration::from_millis(80));
    }
    pane.wait("Events");
    pane.keys(&["q"]);
    let end = pane.wait("ended with 0");
    assert!(end.contains(" icanon") && !end.contains("-icanon"), "the terminal is as it was: {end}");
}

#[test]
fn a_signal_leaves_the_terminal_as_it_was() {
    let pane = Pane::new(80, 24, &format!("sh -c 'echo $$ > pid; exec {} demo'", belljar().display()));
    pane.wait("REPLAY");
    let pid = std::fs::read_to_string(pane.place.join("pid")).expect("its id");
    let pid = nix::unistd::Pid::from_raw(pid.trim().parse().expect("a number"));
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).expect("it runs");
    let end = pane.wait("ended with");
    assert!(end.contains(" icanon") && !end.contains("-icanon"), "{end}");
}

#[test]
fn a_live_subject_is_watched_typed_to_frozen_and_ended() {
    let subject = "head -c 20 ~/Documents/customers.csv > /var/tmp/copy; d=$(cat ~/Documents/customers.csv); echo \"$d\" > /var/tmp/more; \
                   echo ready; read line; echo got-$line; n=0; while true; do n=$((n+1)); echo tick-$n; sleep 0.1; done";
    let line = format!("{} run -o x.belljar -- sh -c '{subject}'", belljar().display());
    let pane = Pane::new(120, 40, &line);
    pane.wait("LIVE");
    pane.keys(&["8"]);
    pane.wait("ready");
    pane.keys(&["Enter"]);
    pane.wait("keys go to the subject");
    pane.text("hello");
    pane.keys(&["Enter"]);
    pane.wait("got-hello");
    pane.keys(&["C-]"]);
    pane.wait("tick-3");
    if nix::unistd::geteuid().is_root() {
        pane.keys(&["F"]);
        pane.wait("FROZEN");
        std::thread::sleep(Duration::from_millis(300));
        let frozen = pane.screen();
        std::thread::sleep(Duration::from_millis(700));
        let ticks = |screen: &str| screen.matches("tick-").count();
        assert_eq!(ticks(&frozen), ticks(&pane.screen()), "a frozen subject prints nothing");
        pane.keys(&["F"]);
        pane.wait("LIVE");
    }
    pane.keys(&["7"]);
    pane.wait("left values of customers");
    pane.keys(&["q"]);
    pane.wait("End the subject and leave");
    pane.keys(&["n"]);
    pane.wait("LIVE");
    pane.keys(&["q", "y"]);
    let end = pane.wait("ended with 10");
    assert!(end.contains("recording  x.belljar"), "{end}");
    // The same screen over what was recorded, which says what the analyst did.
    let events = Command::new(belljar()).arg("events").arg(pane.place.join("x.belljar")).output().expect("belljar");
    let events = String::from_utf8_lossy(&events.stdout);
    assert!(events.contains("notice"), "{events}");
    let sentences = Command::new(belljar())
        .args(["replay", "--plain"])
        .arg(pane.place.join("x.belljar"))
        .output()
        .expect("belljar");
    let sentences = String::from_utf8_lossy(&sentences.stdout);
    assert!(sentences.lines().any(|line| line.contains("store: ") && line.contains("/var/tmp/more")), "{sentences}");
}

#[test]
fn without_a_terminal_it_says_so() {
    let output = Command::new(belljar()).arg("demo").output().expect("belljar");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--plain"));
    let output = Command::new(belljar()).args(["demo", "--plain"]).output().expect("belljar");
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8_lossy(&output.stdout);
    for verb in ["collect: ", "transmit: ", "shut-down: "] {
        assert!(text.contains(verb), "{verb}: {text}");
    }
}
