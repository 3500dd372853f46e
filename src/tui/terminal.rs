//! The analyst's terminal: taken, given back. Whatever happens on the way, it is given back first and talked to then.

use std::io::{self, Stdout, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crossterm::cursor::{Hide, Show};
use crossterm::event::{DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture};
use crossterm::execute;
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use data_encoding::BASE64;
use ratatui::backend::CrosstermBackend;
use ratatui::buffer::Buffer;
use ratatui::layout::Position;
use rustix::event::{PollFd, PollFlags, Timespec};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGTSTP};

use super::ScreenError;

/// Signals that have come.
#[derive(Debug, Default)]
pub(super) struct Pending {
    end: Arc<AtomicBool>,
    suspend: Arc<AtomicBool>,
}

impl Pending {
    /// Whether belljar was asked to end.
    pub(super) fn ended(&self) -> bool {
        self.end.load(Ordering::Relaxed)
    }

    /// Whether it was asked to be suspended.
    pub(super) fn suspended(&self) -> bool {
        self.suspend.swap(false, Ordering::Relaxed)
    }
}

/// Waits for keys, a signal or the time; `false` when the terminal has gone. crossterm cannot tell: it reads a terminal
/// that was hung up for ever, so it is asked only when there is something.
pub(super) fn wait(time: Duration) -> bool {
    let stdin = std::io::stdin();
    let Ok(time) = Timespec::try_from(time) else { return true };
    let mut poll = [PollFd::new(&stdin, PollFlags::IN)];
    // An interruption is a signal, which the caller looks for.
    let _ = rustix::event::poll(&mut poll, Some(&time));
    !poll.iter().any(|fd| fd.revents().intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL))
}

/// Runs a screen. A panic is told once the terminal is given back; those that are caught on the way (of the emulator
/// of the subject's terminal) are not told at all: they would be written over the screen.
pub(super) fn guarded(run: impl FnOnce(&Pending) -> Result<(), ScreenError>) -> Result<(), ScreenError> {
    let pending = Pending::default();
    let mut registered = Vec::new();
    for signal in [SIGTERM, SIGHUP, SIGINT] {
        registered.push(signal_hook::flag::register(signal, Arc::clone(&pending.end))?);
    }
    registered.push(signal_hook::flag::register(SIGTSTP, Arc::clone(&pending.suspend))?);
    let told = Arc::new(Mutex::new(String::new()));
    let before = std::panic::take_hook();
    {
        let told = Arc::clone(&told);
        std::panic::set_hook(Box::new(move |info| {
            *told.lock().unwrap_or_else(PoisonError::into_inner) = info.to_string();
        }));
    }
    let result = catch_unwind(AssertUnwindSafe(|| run(&pending)));
    std::panic::set_hook(before);
    for id in registered {
        signal_hook::low_level::unregister(id);
    }
    match result {
        Ok(result) => result,
        Err(payload) => {
            eprintln!("belljar: {}", told.lock().unwrap_or_else(PoisonError::into_inner));
            resume_unwind(payload)
        }
    }
}

/// The terminal, taken.
pub(super) struct Terminal {
    inner: ratatui::Terminal<CrosstermBackend<Stdout>>,
    mouse: bool,
}

impl Terminal {
    /// Takes it.
    pub(super) fn enter(mouse: bool) -> io::Result<Self> {
        take(mouse)?;
        match ratatui::Terminal::new(CrosstermBackend::new(io::stdout())) {
            Ok(inner) => Ok(Self { inner, mouse }),
            Err(error) => {
                give_back();
                Err(error)
            }
        }
    }

    /// Draws a frame: what has changed of it is sent.
    pub(super) fn draw(&mut self, draw: impl FnOnce(&mut Buffer) -> Option<Position>) -> io::Result<()> {
        self.inner.draw(|frame| {
            if let Some(at) = draw(frame.buffer_mut()) {
                frame.set_cursor_position(at);
            }
        })?;
        Ok(())
    }

    /// Forgets what is on the screen.
    pub(super) fn clear(&mut self) -> io::Result<()> {
        self.inner.clear()
    }

    /// Takes the mouse, or leaves it.
    pub(super) fn mouse(&mut self, mouse: bool) -> io::Result<()> {
        if mouse != self.mouse {
            self.mouse = mouse;
            if mouse {
                execute!(io::stdout(), EnableMouseCapture)?;
            } else {
                execute!(io::stdout(), DisableMouseCapture)?;
            }
        }
        Ok(())
    }

    /// Sends text to the terminal's clipboard: OSC 52, xterm's control sequences. Nothing of the text can end the
    /// sequence, since it is base64.
    pub(super) fn copy(text: &str) -> io::Result<()> {
        let mut out = io::stdout();
        write!(out, "\x1b]52;c;{}\x07", BASE64.encode(text.as_bytes()))?;
        out.flush()
    }

    /// Gives the terminal back, stops, and takes it again when belljar goes on.
    pub(super) fn suspend(&mut self) -> io::Result<()> {
        give_back();
        signal_hook::low_level::emulate_default_handler(SIGTSTP)?;
        take(self.mouse)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        give_back();
    }
}

fn take(mouse: bool) -> io::Result<()> {
    enable_raw_mode()?;
    let mut out = io::stdout();
    let entered = execute!(out, EnterAlternateScreen, EnableBracketedPaste, Hide)
        .and_then(|()| if mouse { execute!(out, EnableMouseCapture) } else { Ok(()) });
    if entered.is_err() {
        give_back();
    }
    entered
}

/// As it was. Errors are of a terminal that is gone.
fn give_back() {
    let _ = execute!(io::stdout(), DisableMouseCapture, DisableBracketedPaste, LeaveAlternateScreen, Show);
    let _ = disable_raw_mode();
}
