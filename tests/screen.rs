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
fn it_is_suspended_and_goes_on_with_the_terminal_each_time_as_it_should_be() {
    let pane = Pane::new(100, 30, "PS1='shell> ' bash --norc --noprofile -i");
    pane.wait("shell>");
    pane.text(&format!("sh -c 'echo $$ > pid; exec {} demo'", belljar().display()));
    pane.keys(&["Enter"]);
    pane.wait("REPLAY");
    pane.keys(&["2", "C-z"]);
    pane.wait("Stopped");
    pane.text("stty -a | grep -o ' -\\?icanon' | sed s/^/mode/");
    pane.keys(&["Enter"]);
    let stopped = pane.wait("mode ");
    assert!(stopped.contains("mode icanon") && !stopped.contains("REPLAY"), "{stopped}");
    // Another size meanwhile, of which nobody told it.
    pane.tmux(&["resize-window", "-x", "120", "-y", "36"]);
    pane.text("clear; fg");
    pane.keys(&["Enter"]);
    let again = pane.wait("[2 Events]");
    assert!(!again.contains("shell>"), "all of it is drawn: {again}");
    // By a signal, too.
    let pid = std::fs::read_to_string(pane.place.join("pid")).expect("its id");
    let pid = nix::unistd::Pid::from_raw(pid.trim().parse().expect("a number"));
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTSTP).expect("it runs");
    pane.wait("shell>");
    pane.text("clear; fg");
    pane.keys(&["Enter"]);
    pane.wait("[2 Events]");
    pane.keys(&["j", "q"]);
    pane.wait("shell>");
    pane.text("exit");
    pane.keys(&["Enter"]);
    pane.wait("ended with 0");
}

/// The demo at one end of a terminal of which this is the other end.
fn at_a_terminal(controlling: bool) -> (std::fs::File, std::process::Child) {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
    grantpt(&ours).expect("granted");
    unlockpt(&ours).expect("unlocked");
    let size = rustix::termios::Winsize { ws_col: 120, ws_row: 40, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(&ours, size).expect("a size");
    let name = ptsname(&ours, Vec::new()).expect("a name").into_string().expect("ASCII");
    let open = || {
        let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY;
        rustix::fs::open(name.as_str(), flags, rustix::fs::Mode::empty()).expect("its other end")
    };
    let mut command = Command::new("setsid");
    if controlling {
        command.arg("--ctty");
    }
    command.arg("--wait").arg(belljar()).arg("demo").env("TERM", "xterm-256color");
    let child = command.stdin(open()).stdout(open()).stderr(open()).spawn().expect("util-linux");
    (ours.into(), child)
}

/// Waits for the end; fails when it does not come.
fn ended(child: &mut std::process::Child) -> std::process::ExitStatus {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("a child") {
            return status;
        }
        assert!(begun.elapsed() < Duration::from_mins(1), "it does not end");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_terminal_that_is_slow_is_not_drawn_for_more_often_than_it_shows() {
    use std::io::{Read as _, Write as _};
    let (mut terminal, mut child) = at_a_terminal(true);
    let mut writer = terminal.try_clone().expect("a descriptor");
    // A line of some 60 kilobits: a frame takes it half a second and more.
    let reader = std::thread::spawn(move || {
        let (mut all, mut piece) = (Vec::new(), [0; 400]);
        while let Ok(n @ 1..) = terminal.read(&mut piece) {
            all.extend_from_slice(&piece[..n]);
            std::thread::sleep(Duration::from_millis(50));
        }
        all
    });
    std::thread::sleep(Duration::from_secs(1));
    // Four hundred keys, each of which changes the screen, faster than it can show any of them.
    for _ in 0..100 {
        writer.write_all(b"2jj3").expect("it reads");
        std::thread::sleep(Duration::from_millis(5));
    }
    writer.write_all(b"q").expect("it reads");
    assert!(ended(&mut child).success());
    drop(writer);
    let all = reader.join().expect("a reader");
    let frames = String::from_utf8_lossy(&all).matches("Detail").count();
    assert!(frames < 100, "{frames} frames for 400 keys");
    assert!(all.windows(8).any(|bytes| bytes == b"\x1b[?1049l"), "the terminal is given back");
}

#[test]
fn a_terminal_that_goes_away_ends_it() {
    use std::io::Read as _;
    // With the signal of a controlling terminal, and without any.
    for controlling in [true, false] {
        let (mut terminal, mut child) = at_a_terminal(controlling);
        let mut piece = [0; 4096];
        let mut shown = Vec::new();
        while !String::from_utf8_lossy(&shown).contains("REPLAY") {
            let n = terminal.read(&mut piece).expect("it draws");
            shown.extend_from_slice(&piece[..n]);
        }
        drop(terminal);
        ended(&mut child);
    }
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
