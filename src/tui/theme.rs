//! Colours and marks. Meaning is never in a colour alone: every verb has a shape and a letter, every answer a shape
//! and a word; colour repeats them. So the theme without colours loses nothing, and a terminal that shows ASCII only
//! gets twins of the same width.

use belljar_sandbox::event::Decision;
use ratatui::style::{Color, Modifier, Style};

use crate::store::Verb;

/// A set of colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Palette {
    /// For dark backgrounds.
    Dark,
    /// For light ones.
    Light,
    /// Okabe and Ito's colours, told apart by everybody (<https://jfly.uni-koeln.de/color/>).
    Safe,
    /// None at all: bold, dim, underlined and reversed.
    Mono,
}

impl Palette {
    /// All of them, with their names.
    pub(super) const ALL: [(Self, &'static str); 4] =
        [(Self::Dark, "dark"), (Self::Light, "light"), (Self::Safe, "safe"), (Self::Mono, "mono")];

    /// Its name.
    pub(super) fn name(self) -> &'static str {
        Self::ALL.iter().find(|(palette, _)| *palette == self).map_or("", |(_, name)| name)
    }
}

/// How things look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Theme {
    /// Its colours.
    pub palette: Palette,
    /// Whether only ASCII may be shown.
    pub ascii: bool,
}

#[allow(clippy::unused_self)] // what a theme says is asked of it, whether or not it is the same in all of them
impl Theme {
    /// What the environment asks for: none of `NO_COLOR` (<https://no-color.org>) and a dumb terminal gets colours.
    pub(super) fn from_environment(ascii: bool) -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb" || term.is_empty());
        let palette = if dumb || set("NO_COLOR") { Palette::Mono } else { Palette::Dark };
        Self { palette, ascii: ascii || dumb }
    }

    /// The next one.
    pub(super) fn next(self) -> Self {
        let at = Palette::ALL.iter().position(|(palette, _)| *palette == self.palette).unwrap_or_default();
        let palette = Palette::ALL.get((at + 1) % Palette::ALL.len()).map_or(Palette::Dark, |(palette, _)| *palette);
        Self { palette, ..self }
    }

    fn colour(self, dark: Color, light: Color, safe: Color) -> Style {
        match self.palette {
            Palette::Dark => Style::new().fg(dark),
            Palette::Light => Style::new().fg(light),
            Palette::Safe => Style::new().fg(safe),
            Palette::Mono => Style::new(),
        }
    }

    /// Ordinary text: the terminal's own colours.
    pub(super) fn text(self) -> Style {
        Style::new()
    }

    /// What is there to be passed over.
    pub(super) fn dim(self) -> Style {
        if self.palette == Palette::Mono {
            return Style::new().add_modifier(Modifier::DIM);
        }
        self.colour(Color::Indexed(244), Color::Indexed(243), Color::Indexed(245))
    }

    /// What is to be seen first.
    pub(super) fn bright(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// Borders; those of the pane that has the keys.
    pub(super) fn border(self, focus: bool) -> Style {
        match (focus, self.palette) {
            (true, Palette::Mono) => Style::new().add_modifier(Modifier::BOLD),
            (true, _) => self.colour(Color::Indexed(75), Color::Indexed(25), Color::Rgb(86, 180, 233)),
            (false, _) => self.dim(),
        }
    }

    /// The row that keys act on.
    pub(super) fn selected(self, focus: bool) -> Style {
        match self.palette {
            Palette::Mono if focus => Style::new().add_modifier(Modifier::REVERSED),
            Palette::Mono => Style::new().add_modifier(Modifier::UNDERLINED),
            Palette::Light => Style::new().bg(Color::Indexed(if focus { 153 } else { 254 })),
            _ => Style::new().bg(Color::Indexed(if focus { 24 } else { 236 })),
        }
    }

    /// Of a verb.
    pub(super) fn verb(self, verb: Verb) -> Style {
        let style = match verb {
            Verb::Collect => self.colour(Color::Indexed(75), Color::Indexed(25), Color::Rgb(86, 180, 233)),
            Verb::Store => self.colour(Color::Indexed(214), Color::Indexed(130), Color::Rgb(230, 159, 0)),
            Verb::Process => self.colour(Color::Indexed(114), Color::Indexed(28), Color::Rgb(0, 158, 115)),
            Verb::Use => self.colour(Color::Indexed(186), Color::Indexed(94), Color::Rgb(240, 228, 66)),
            Verb::Transmit => self.colour(Color::Indexed(203), Color::Indexed(160), Color::Rgb(213, 94, 0)),
            Verb::Control | Verb::Disrupt | Verb::ShutDown => {
                self.colour(Color::Indexed(176), Color::Indexed(90), Color::Rgb(204, 121, 167))
            }
        };
        if self.palette == Palette::Mono { style.add_modifier(Modifier::BOLD) } else { style }
    }

    /// Something is wrong.
    pub(super) fn bad(self) -> Style {
        self.verb(Verb::Transmit).add_modifier(Modifier::BOLD)
    }

    /// Something is to be looked at.
    pub(super) fn warn(self) -> Style {
        self.verb(Verb::Store)
    }

    /// As it should be.
    pub(super) fn good(self) -> Style {
        self.verb(Verb::Process)
    }

    /// One of a pair: the shape, or its twin in ASCII.
    pub(super) fn sign(self, sign: &'static str, ascii: &'static str) -> &'static str {
        if self.ascii { ascii } else { sign }
    }

    /// The shape of a verb.
    pub(super) fn mark(self, verb: Verb) -> &'static str {
        match verb {
            Verb::Collect => self.sign("▲", "^"),
            Verb::Store => self.sign("■", "#"),
            Verb::Process => self.sign("≈", "~"),
            Verb::Use => self.sign("●", "*"),
            Verb::Transmit => self.sign("▶", ">"),
            Verb::Control => self.sign("◈", "@"),
            Verb::Disrupt => self.sign("▼", "!"),
            Verb::ShutDown => self.sign("◎", "0"),
        }
    }

    /// Its letter, for the strip.
    pub(super) fn letter(verb: Verb) -> &'static str {
        match verb {
            Verb::Collect => "C",
            Verb::Store => "S",
            Verb::Process => "P",
            Verb::Use => "U",
            Verb::Transmit => "T",
            Verb::Control => "K",
            Verb::Disrupt => "D",
            Verb::ShutDown => "X",
        }
    }

    /// The shape of an answer.
    pub(super) fn answer(self, decision: Decision) -> &'static str {
        match decision {
            Decision::Allowed => self.sign("✓", "v"),
            Decision::Denied => self.sign("✕", "x"),
            Decision::Faked => self.sign("◇", "o"),
            Decision::Asked => "?",
        }
    }

    /// Of an answer.
    pub(super) fn answered(self, decision: Decision) -> Style {
        match decision {
            Decision::Allowed => self.dim(),
            Decision::Denied => self.bad(),
            Decision::Faked | Decision::Asked => self.warn(),
        }
    }

    /// The eight heights of a bar, and none.
    pub(super) fn bar(self, eighths: usize) -> &'static str {
        const BARS: [&str; 9] = [" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];
        const ASCII: [&str; 9] = [" ", ".", ".", ":", ":", "-", "=", "+", "#"];
        let bars = if self.ascii { ASCII } else { BARS };
        bars.get(eighths.min(8)).copied().unwrap_or(" ")
    }
}
