//! Keys and the mouse: to the layer above, the filter, the subject, or through the keymap to an action.

use crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use tui_input::InputRequest;

use super::action::{ACTIONS, Action, Info, Key};
use super::app::{App, Layer, Spot, View};
use crate::query::Context;

impl App {
    /// Takes one event of the terminal.
    pub(super) fn handle(&mut self, event: &Event) {
        self.dirty = true;
        match event {
            Event::Key(key) if key.kind != KeyEventKind::Release => self.key_pressed(*key),
            Event::Mouse(mouse) => self.mouse_used(*mouse),
            Event::Paste(text) => self.pasted(text),
            _ => {}
        }
    }

    fn key_pressed(&mut self, key: KeyEvent) {
        if self.typing {
            return self.type_to_subject(key);
        }
        if self.layer.is_some() {
            return self.key_for_layer(key);
        }
        if self.bar.editing {
            return self.key_for_bar(key);
        }
        let action = self.keymap.action(Key::from(key), |place| self.applies(place));
        match action {
            Some(action) => self.act(action),
            None => self.say(format!("this key does nothing here; {} explains the others", self.key(Action::Help))),
        }
    }

    fn key_for_bar(&mut self, key: KeyEvent) {
        let assets = self.context().assets.to_vec();
        let context = Context { assets: &assets };
        match key.code {
            KeyCode::Enter => {
                if self.bar.leave(true, &context) && self.view != View::Events && !self.bar.committed().is_empty() {
                    self.show_view(View::Events);
                }
            }
            KeyCode::Esc => {
                self.bar.leave(false, &context);
            }
            KeyCode::Tab => self.bar.complete(&context),
            KeyCode::Down if self.bar.chosen + 1 < self.bar.candidates.len() => self.bar.chosen += 1,
            KeyCode::Up => self.bar.chosen = self.bar.chosen.saturating_sub(1),
            _ => {
                if let Some(request) = edit(key) {
                    self.bar.handle(request, &context);
                }
            }
        }
    }

    fn key_for_layer(&mut self, key: KeyEvent) {
        let Some(layer) = self.layer.take() else { return };
        let quit =
            key.code == KeyCode::Esc || key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
        if quit {
            return;
        }
        let (up, down) = (matches!(key.code, KeyCode::Up), matches!(key.code, KeyCode::Down));
        match layer {
            Layer::Help(at) => match key.code {
                KeyCode::Down | KeyCode::Char('j') => self.layer = Some(Layer::Help(at + 1)),
                KeyCode::Up | KeyCode::Char('k') => self.layer = Some(Layer::Help(at.saturating_sub(1))),
                KeyCode::PageDown | KeyCode::Char(' ') => self.layer = Some(Layer::Help(at + 10)),
                KeyCode::PageUp => self.layer = Some(Layer::Help(at.saturating_sub(10))),
                _ => {}
            },
            Layer::Ask(asked) => match key.code {
                KeyCode::Char('y' | 'Y') => self.agreed(asked),
                KeyCode::Char('n' | 'N') => {}
                _ => self.layer = Some(Layer::Ask(asked)),
            },
            Layer::Palette(mut input, mut at) => {
                if key.code == KeyCode::Enter {
                    if let Some(info) = self.found(input.value()).get(at) {
                        self.act(info.action);
                    }
                    return;
                }
                if up || down {
                    let len = self.found(input.value()).len();
                    at = if up { at.saturating_sub(1) } else { (at + 1).min(len.saturating_sub(1)) };
                } else if let Some(request) = edit(key) {
                    input.handle(request);
                    at = 0;
                }
                self.layer = Some(Layer::Palette(input, at));
            }
            Layer::Goto(mut input) => match written(&mut input, key) {
                Some(text) => self.go_where(&text),
                None => self.layer = Some(Layer::Goto(input)),
            },
            Layer::Note(mut input, row) => match written(&mut input, key) {
                Some(text) => self.note(row, &text),
                None => self.layer = Some(Layer::Note(input, row)),
            },
            Layer::Export(mut input) => match written(&mut input, key) {
                Some(text) => self.export_to(&text),
                None => self.layer = Some(Layer::Export(input)),
            },
            Layer::Name(mut input) => match written(&mut input, key) {
                Some(text) => self.save_filter(&text),
                None => self.layer = Some(Layer::Name(input)),
            },
            Layer::Saved(at) => match key.code {
                KeyCode::Enter => {
                    let name = self.saved.all().keys().nth(at).map(|name| format!("@{name}")).unwrap_or_default();
                    let assets = self.context().assets.to_vec();
                    if self.bar.set(&name, &Context { assets: &assets }) {
                        self.show_view(View::Events);
                    }
                }
                KeyCode::Down | KeyCode::Char('j') => {
                    self.layer = Some(Layer::Saved((at + 1).min(self.saved.all().len().saturating_sub(1))));
                }
                KeyCode::Up | KeyCode::Char('k') => self.layer = Some(Layer::Saved(at.saturating_sub(1))),
                KeyCode::Char('q') => {}
                _ => self.layer = Some(Layer::Saved(at)),
            },
            Layer::Marks(at) => {
                let marks: Vec<u64> = self.marks().into_keys().collect();
                match key.code {
                    KeyCode::Enter => {
                        if let Some(row) = marks.get(at) {
                            self.follow = false;
                            self.go_to(*row);
                        }
                    }
                    KeyCode::Down | KeyCode::Char('j') => {
                        self.layer = Some(Layer::Marks((at + 1).min(marks.len().saturating_sub(1))));
                    }
                    KeyCode::Up | KeyCode::Char('k') => self.layer = Some(Layer::Marks(at.saturating_sub(1))),
                    KeyCode::Char('q') => {}
                    _ => self.layer = Some(Layer::Marks(at)),
                }
            }
        }
    }

    /// Actions that fit what was written in the palette: by the beginning of their names first.
    pub(super) fn found(&self, text: &str) -> Vec<&'static Info> {
        let text = text.trim().to_lowercase();
        let mut found: Vec<&Info> = ACTIONS
            .iter()
            .filter(|info| self.applies(info.place))
            .filter(|info| info.name.contains(&text) || info.help.to_lowercase().contains(&text))
            .collect();
        found.sort_by_key(|info| (!info.name.starts_with(&text), !info.name.contains(&text)));
        found
    }

    fn pasted(&mut self, text: &str) {
        if self.typing {
            return self.send(text.as_bytes());
        }
        for c in text.chars().filter(|c| !c.is_control()) {
            let key = KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE);
            match (&self.layer, self.bar.editing) {
                (
                    Some(Layer::Palette(..) | Layer::Goto(_) | Layer::Note(..) | Layer::Export(_) | Layer::Name(_)),
                    _,
                ) => self.key_for_layer(key),
                (None, true) => self.key_for_bar(key),
                // Pasted text is no command.
                _ => return,
            }
        }
    }

    fn type_to_subject(&mut self, key: KeyEvent) {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        // Terminals say Ctrl-] as 0x1d, which crossterm reads as Ctrl-5.
        if control && matches!(key.code, KeyCode::Char(']' | '5')) || !self.alive() {
            self.typing = false;
            self.say("keys are belljar's again");
            return;
        }
        let application = self.screen.contents().is_some_and(tui_term::vt100::Screen::application_cursor);
        if let Some(bytes) = bytes(key, application) {
            self.screen.scroll(i64::MIN);
            self.send(&bytes);
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        if let Some(Err(error)) = self.live.as_ref().map(|live| live.controls.type_in(bytes)) {
            self.complain(format!("the subject's terminal takes no keys: {error}"));
        }
    }

    fn mouse_used(&mut self, mouse: MouseEvent) {
        if self.layer.is_some() || self.bar.editing {
            return;
        }
        let at = ratatui::layout::Position::new(mouse.column, mouse.row);
        let Some((area, spot)) = self.spots.iter().rev().find(|(area, _)| area.contains(at)).copied() else { return };
        if matches!(spot, Spot::Subject) {
            return self.mouse_in_terminal(mouse, at.x - area.x, at.y - area.y);
        }
        match (mouse.kind, spot) {
            (MouseEventKind::ScrollDown, _) => self.act(Action::Down),
            (MouseEventKind::ScrollUp, _) => self.act(Action::Up),
            (MouseEventKind::Down(MouseButton::Left), Spot::Tab(view)) => self.show_view(view),
            (MouseEventKind::Down(MouseButton::Left) | MouseEventKind::Drag(MouseButton::Left), Spot::Strip) => {
                self.follow = false;
                let share = f64::from(at.x - area.x) / f64::from(area.width.max(1));
                self.go_to_time((share * self.known.end_ns() as f64) as u64);
            }
            (MouseEventKind::Down(MouseButton::Left), Spot::List(pane)) => {
                self.pane = pane;
                let row = usize::from(at.y - area.y);
                if self.view == View::Events {
                    if pane == 0
                        && let Some(row) = self.nth(self.events_top + row as u64)
                    {
                        self.follow = false;
                        self.go_to(row);
                    }
                    return;
                }
                let len = self.list_len(self.view, pane);
                if let Some(list) = self.lists.get_mut(self.view as usize).and_then(|lists| lists.get_mut(pane)) {
                    list.selected = (list.top + row).min(len.saturating_sub(1));
                }
            }
            _ => {}
        }
    }
}

impl App {
    /// The mouse in the subject's terminal: the subject's while it has the keyboard and asks for it, else it scrolls.
    fn mouse_in_terminal(&mut self, mouse: MouseEvent, x: u16, y: u16) {
        use tui_term::vt100::{MouseProtocolEncoding, MouseProtocolMode};
        let asked =
            self.screen.contents().map(|screen| (screen.mouse_protocol_mode(), screen.mouse_protocol_encoding()));
        if self.typing
            && self.alive()
            && let Some((mode, encoding)) = asked
            && mode != MouseProtocolMode::None
        {
            if let Some(bytes) = mouse_bytes(mouse, x, y, mode, encoding == MouseProtocolEncoding::Sgr) {
                self.send(&bytes);
            }
            return;
        }
        match mouse.kind {
            MouseEventKind::ScrollUp => self.screen.scroll(3),
            MouseEventKind::ScrollDown => self.screen.scroll(-3),
            _ => {}
        }
    }
}

/// What a terminal sends for the mouse (xterm's control sequences, "Mouse Tracking"): `None` for what the program did
/// not ask for, and for places that the older encoding cannot name.
fn mouse_bytes(
    mouse: MouseEvent,
    x: u16,
    y: u16,
    mode: tui_term::vt100::MouseProtocolMode,
    sgr: bool,
) -> Option<Vec<u8>> {
    use tui_term::vt100::MouseProtocolMode as Mode;
    let number = |button| match button {
        MouseButton::Left => 0,
        MouseButton::Middle => 1,
        MouseButton::Right => 2,
    };
    let (mut code, released) = match mouse.kind {
        MouseEventKind::Down(button) => (number(button), false),
        MouseEventKind::Up(button) if mode != Mode::Press => (number(button), true),
        MouseEventKind::Drag(button) if matches!(mode, Mode::ButtonMotion | Mode::AnyMotion) => {
            (number(button) + 32, false)
        }
        MouseEventKind::Moved if mode == Mode::AnyMotion => (3 + 32, false),
        MouseEventKind::ScrollUp => (64, false),
        MouseEventKind::ScrollDown => (65, false),
        MouseEventKind::ScrollLeft => (66, false),
        MouseEventKind::ScrollRight => (67, false),
        _ => return None,
    };
    for (modifier, bit) in [(KeyModifiers::SHIFT, 4), (KeyModifiers::ALT, 8), (KeyModifiers::CONTROL, 16)] {
        if mouse.modifiers.contains(modifier) && mode != Mode::Press {
            code += bit;
        }
    }
    if sgr {
        return Some(format!("\x1b[<{code};{};{}{}", x + 1, y + 1, if released { 'm' } else { 'M' }).into_bytes());
    }
    // The older one says of a release only that it was one.
    let code = if released { code & !3 | 3 } else { code };
    let place = |at: u16| u8::try_from(at + 33).ok();
    Some(vec![0x1b, b'[', b'M', u8::try_from(code + 32).ok()?, place(x)?, place(y)?])
}

/// Gives a key to a line that is written; the line when that was Enter.
fn written(input: &mut tui_input::Input, key: KeyEvent) -> Option<String> {
    if key.code == KeyCode::Enter {
        return Some(input.value().to_owned());
    }
    if let Some(request) = edit(key) {
        input.handle(request);
    }
    None
}

/// What a key does in a line that is written.
fn edit(key: KeyEvent) -> Option<InputRequest> {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    Some(match (key.code, control) {
        (KeyCode::Char('a'), true) | (KeyCode::Home, _) => InputRequest::GoToStart,
        (KeyCode::Char('e'), true) | (KeyCode::End, _) => InputRequest::GoToEnd,
        (KeyCode::Char('u'), true) => InputRequest::DeleteLine,
        (KeyCode::Char('k'), true) => InputRequest::DeleteTillEnd,
        (KeyCode::Char('w'), true) => InputRequest::DeletePrevWord,
        (KeyCode::Char(c), false) => InputRequest::InsertChar(c),
        (KeyCode::Backspace, _) => InputRequest::DeletePrevChar,
        (KeyCode::Delete, _) => InputRequest::DeleteNextChar,
        (KeyCode::Left, true) => InputRequest::GoToPrevWord,
        (KeyCode::Right, true) => InputRequest::GoToNextWord,
        (KeyCode::Left, false) => InputRequest::GoToPrevChar,
        (KeyCode::Right, false) => InputRequest::GoToNextChar,
        _ => return None,
    })
}

/// What a terminal sends for a key (xterm's control sequences, <https://invisible-island.net/xterm/ctlseqs/>).
fn bytes(key: KeyEvent, application: bool) -> Option<Vec<u8>> {
    let arrow = |c: char| Some(format!("\x1b{}{c}", if application { 'O' } else { '[' }).into_bytes());
    let mut bytes = match key.code {
        KeyCode::Char(c) if key.modifiers.contains(KeyModifiers::CONTROL) => match c.to_ascii_uppercase() {
            ' ' | '2' => vec![0],
            c @ '@'..='_' => vec![c as u8 & 0x1f],
            c @ '3'..='7' => vec![c as u8 - b'3' + 0x1b],
            '8' | '?' => vec![0x7f],
            _ => return None,
        },
        KeyCode::Char(c) => c.to_string().into_bytes(),
        KeyCode::Enter => vec![b'\r'],
        KeyCode::Tab => vec![b'\t'],
        KeyCode::BackTab => b"\x1b[Z".to_vec(),
        KeyCode::Backspace => vec![0x7f],
        KeyCode::Esc => vec![0x1b],
        KeyCode::Up => return arrow('A'),
        KeyCode::Down => return arrow('B'),
        KeyCode::Right => return arrow('C'),
        KeyCode::Left => return arrow('D'),
        KeyCode::Home => return arrow('H'),
        KeyCode::End => return arrow('F'),
        KeyCode::Insert => b"\x1b[2~".to_vec(),
        KeyCode::Delete => b"\x1b[3~".to_vec(),
        KeyCode::PageUp => b"\x1b[5~".to_vec(),
        KeyCode::PageDown => b"\x1b[6~".to_vec(),
        KeyCode::F(n @ 1..=4) => vec![0x1b, b'O', b'P' + n - 1],
        KeyCode::F(n @ 5..=12) => {
            let number = [15, 17, 18, 19, 20, 21, 23, 24].get(usize::from(n) - 5)?;
            format!("\x1b[{number}~").into_bytes()
        }
        _ => return None,
    };
    if key.modifiers.contains(KeyModifiers::ALT) {
        bytes.insert(0, 0x1b);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tui_term::vt100::MouseProtocolMode as Mode;

    fn sent(kind: MouseEventKind, place: (u16, u16), mode: Mode, sgr: bool) -> Option<String> {
        let mouse = MouseEvent { kind, column: 0, row: 0, modifiers: KeyModifiers::NONE };
        mouse_bytes(mouse, place.0, place.1, mode, sgr).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    #[test]
    fn the_mouse_is_said_as_terminals_say_it_and_only_as_far_as_it_was_asked_for() {
        let (down, up) = (MouseEventKind::Down(MouseButton::Left), MouseEventKind::Up(MouseButton::Left));
        let drag = MouseEventKind::Drag(MouseButton::Right);
        assert_eq!(sent(down, (0, 4), Mode::PressRelease, true).as_deref(), Some("\x1b[<0;1;5M"));
        assert_eq!(sent(up, (0, 4), Mode::PressRelease, true).as_deref(), Some("\x1b[<0;1;5m"));
        assert_eq!(sent(up, (0, 4), Mode::PressRelease, false).as_deref(), Some("\x1b[M#!%"));
        assert_eq!(sent(up, (0, 4), Mode::Press, true), None);
        assert_eq!(sent(drag, (9, 9), Mode::PressRelease, true), None);
        assert_eq!(sent(drag, (9, 9), Mode::ButtonMotion, true).as_deref(), Some("\x1b[<34;10;10M"));
        assert_eq!(sent(MouseEventKind::ScrollDown, (1, 1), Mode::AnyMotion, false).as_deref(), Some("\x1b[Ma\"\""));
        assert_eq!(sent(down, (300, 1), Mode::AnyMotion, false), None, "there is no way to say it");
    }
}
