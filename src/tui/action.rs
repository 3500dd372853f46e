//! The action table: everything that can be done on the screen, once. Keymap, palette, help and hints are made of it,
//! so nothing can be done that is not named, explained, found and given another key.

use std::collections::HashMap;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// Where an action makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Anywhere.
    Anywhere,
    /// In a list of events with their detail and bytes.
    Events,
    /// In views whose rows unfold.
    Tree,
    /// While a session is replayed.
    Replay,
    /// While the subject lives.
    Live,
    /// In the terminal of a subject that lives.
    Terminal,
}

macro_rules! actions {
    ($($(#[$doc:meta])* $action:ident $name:literal [$($key:literal),*] $place:ident $help:literal;)+) => {
        /// Something that can be done.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub(super) enum Action { $(#[doc = $help] $action),+ }

        /// All actions, in the order of the help.
        pub(super) const ACTIONS: &[Info] = &[$(Info {
            action: Action::$action, name: $name, keys: &[$($key),*], place: Place::$place, help: $help,
        }),+];
    };
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Info {
    /// What is done.
    pub action: Action,
    /// Its name in the palette and in the configuration.
    pub name: &'static str,
    /// Its keys when nothing else is configured.
    pub keys: &'static [&'static str],
    /// Where it makes sense.
    pub place: Place,
    /// One line of help.
    pub help: &'static str,
}

actions! {
    Overview "overview" ["1"] Anywhere "show what was done with client data, by asset";
    Events "events" ["2"] Anywhere "show the events, one by one";
    Flow "flow" ["3"] Anywhere "show the ways that data went, from asset to destination";
    Network "network" ["4"] Anywhere "show destinations and what was said to them";
    Files "files" ["5"] Anywhere "show files by directory, and what is left of them";
    Processes "processes" ["6"] Anywhere "show processes with their lifetimes";
    Findings "findings" ["7"] Anywhere "show findings with their chains of evidence";
    Terminal "terminal" ["8"] Anywhere "show the subject's own terminal";
    Down "down" ["j", "down"] Anywhere "go to the next row";
    Up "up" ["k", "up"] Anywhere "go to the row before";
    PageDown "page-down" ["pagedown", "ctrl-f"] Anywhere "go down a page";
    PageUp "page-up" ["pageup", "ctrl-b"] Anywhere "go up a page";
    First "first" ["home"] Anywhere "go to the first row";
    Last "last" ["end", "G"] Anywhere "go to the last row";
    Open "open" ["enter"] Anywhere "go into the row: its event, or the events about it";
    Back "back" ["backspace"] Anywhere "take the last term off the filter";
    Escape "escape" ["esc"] Anywhere "leave what is open, back to the list";
    NextPane "next-pane" ["tab"] Anywhere "give the keys to the next pane";
    PreviousPane "previous-pane" ["backtab"] Anywhere "give the keys to the pane before";
    Zoom "zoom" ["\\"] Anywhere "let the pane with the keys fill the screen, or not";
    Fold "fold" ["h", "left"] Tree "fold the row";
    Unfold "unfold" ["l", "right"] Tree "unfold the row";
    Earlier "earlier" ["h", "left"] Events "go back one second";
    Later "later" ["l", "right"] Events "go on one second";
    MuchEarlier "much-earlier" ["H", "shift-left"] Anywhere "go back ten seconds";
    MuchLater "much-later" ["L", "shift-right"] Anywhere "go on ten seconds";
    NextClient "next-client-event" ["]"] Anywhere "go to the next event that touches client data";
    PreviousClient "previous-client-event" ["["] Anywhere "go to the one before";
    Step "step" ["."] Anywhere "go to the next event";
    StepBack "step-back" [","] Anywhere "go to the event before";
    Goto "goto" ["g"] Anywhere "go to a time (02:41), a share (40%) or an event (#388)";
    Play "play" ["space"] Anywhere "play or pause; live, the screen alone pauses, never the subject";
    Faster "faster" [">"] Replay "play twice as fast, up to 1000 times";
    Slower "slower" ["<"] Replay "play half as fast, down to a tenth";
    Reverse "reverse" ["r"] Replay "play backwards, or forwards again";
    Follow "follow" ["f"] Anywhere "stay at the newest event, or not";
    Filter "filter" ["/"] Anywhere "write a filter; Tab completes, Enter takes it, Esc gives it up";
    Clear "clear-filter" ["c"] Anywhere "take the whole filter off";
    Around "around" ["v"] Events "show all events with those that fit the filter marked, or those alone";
    NextMatch "next-match" ["n"] Anywhere "go to the next event that fits the filter";
    PreviousMatch "previous-match" ["N"] Anywhere "go to the one before";
    Repeats "repeats" ["z"] Events "fold events that repeat the one before, or unfold them";
    Save "save-filter" ["s"] Anywhere "give the filter a name, to be used as @name";
    Saved "saved-filters" ["@"] Anywhere "list the filters with names, to take one";
    Mark "mark" ["m"] Anywhere "mark the event, or take its mark off; kept in the recording";
    Note "note" ["i"] Anywhere "mark the event with a note";
    Marks "marks" ["'"] Anywhere "list the marks, to go to one";
    Reveal "reveal" ["x"] Anywhere "show the masked bytes of the event; asks, and is noted in the recording";
    Copy "copy" ["y"] Anywhere "copy the row, masked, to the terminal's clipboard (OSC 52)";
    Export "export" ["e"] Anywhere "write the events that are shown to a file, masked: .csv, .jsonl, .strace, .txt";
    Keyboard "keyboard" ["enter"] Terminal "give the keyboard to the subject; Ctrl-] takes it back";
    Freeze "freeze" ["F"] Live "freeze the subject, or let it go on";
    Kill "kill" ["K"] Live "end the subject; asks";
    Palette "palette" [":"] Anywhere "find an action by its name";
    Help "help" ["?"] Anywhere "explain the keys of this view";
    Theme "theme" ["T"] Anywhere "take the next set of colours: dark, light, safe, mono";
    Mouse "mouse" ["f2"] Anywhere "take the mouse, or leave it to the terminal";
    Redraw "redraw" ["ctrl-l"] Anywhere "draw the whole screen again";
    Suspend "suspend" ["ctrl-z"] Anywhere "suspend belljar; a subject that lives then waits, too";
    Quit "quit" ["q", "ctrl-c"] Anywhere "leave; asks while the subject lives";
}

impl Action {
    /// Its row in the table.
    pub(super) fn info(self) -> &'static Info {
        // Every action has one: the table and the enum are made of the same list.
        ACTIONS.iter().find(|info| info.action == self).unwrap_or(&ACTIONS[0])
    }
}

/// A key that was pressed, without what does not matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    code: KeyCode,
    modifiers: KeyModifiers,
}

impl From<KeyEvent> for Key {
    fn from(event: KeyEvent) -> Self {
        let mut modifiers = event.modifiers & (KeyModifiers::CONTROL | KeyModifiers::ALT | KeyModifiers::SHIFT);
        if matches!(event.code, KeyCode::Char(_) | KeyCode::BackTab) {
            modifiers -= KeyModifiers::SHIFT; // the character says it
        }
        Self { code: event.code, modifiers }
    }
}

impl Key {
    /// Reads a key as the table and the configuration write it: `a`, `ctrl-f`, `shift-left`, `f2`, `space`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (mut rest, mut modifiers) = (text, KeyModifiers::NONE);
        for (prefix, modifier) in
            [("ctrl-", KeyModifiers::CONTROL), ("alt-", KeyModifiers::ALT), ("shift-", KeyModifiers::SHIFT)]
        {
            if let Some(after) = rest.strip_prefix(prefix).filter(|after| !after.is_empty()) {
                (rest, modifiers) = (after, modifiers | modifier);
            }
        }
        let named = [
            ("enter", KeyCode::Enter),
            ("esc", KeyCode::Esc),
            ("tab", KeyCode::Tab),
            ("backtab", KeyCode::BackTab),
            ("backspace", KeyCode::Backspace),
            ("space", KeyCode::Char(' ')),
            ("up", KeyCode::Up),
            ("down", KeyCode::Down),
            ("left", KeyCode::Left),
            ("right", KeyCode::Right),
            ("home", KeyCode::Home),
            ("end", KeyCode::End),
            ("pageup", KeyCode::PageUp),
            ("pagedown", KeyCode::PageDown),
            ("insert", KeyCode::Insert),
            ("delete", KeyCode::Delete),
        ];
        let code = named.iter().find(|(name, _)| *name == rest).map(|(_, code)| *code).or_else(|| {
            let number = rest.strip_prefix('f').and_then(|number| number.parse().ok());
            let mut chars = rest.chars();
            match (number, chars.next(), chars.next()) {
                (Some(number @ 1..=24), ..) => Some(KeyCode::F(number)),
                (None, Some(only), None) if !only.is_control() => Some(KeyCode::Char(only)),
                _ => None,
            }
        })?;
        Some(Self { code, modifiers })
    }
}

/// Which key does what.
#[derive(Clone, Debug)]
pub(super) struct Keymap {
    keys: Vec<(Action, Vec<String>)>,
    map: HashMap<Key, Vec<Action>>,
}

impl Default for Keymap {
    fn default() -> Self {
        let keys = |info: &Info| info.keys.iter().map(|key| (*key).to_owned()).collect();
        Self::new(ACTIONS.iter().map(|info| (info.action, keys(info))).collect())
    }
}

impl Keymap {
    fn new(keys: Vec<(Action, Vec<String>)>) -> Self {
        let mut map: HashMap<Key, Vec<Action>> = HashMap::new();
        for (action, texts) in &keys {
            for key in texts.iter().filter_map(|text| Key::parse(text)) {
                map.entry(key).or_default().push(*action);
            }
        }
        Self { keys, map }
    }

    /// With other keys for some actions. Errors name what is no action or no key.
    pub(super) fn with(changes: &[(String, Vec<String>)]) -> Result<Self, String> {
        let mut keys = Self::default().keys;
        for (name, texts) in changes {
            let place = keys.iter_mut().find(|(action, _)| action.info().name == name);
            let (_, place) = place.ok_or_else(|| format!("no action is called `{name}`"))?;
            if let Some(wrong) = texts.iter().find(|text| Key::parse(text).is_none()) {
                return Err(format!("`{wrong}` is no key; write keys like `a`, `ctrl-f`, `f2`, `space`, `pagedown`"));
            }
            place.clone_from(texts);
        }
        Ok(Self::new(keys))
    }

    /// What a key does, where `applies` says which of several is meant: what belongs to the place before what is
    /// done anywhere.
    pub(super) fn action(&self, key: Key, applies: impl Fn(Place) -> bool) -> Option<Action> {
        let mut fits: Vec<Action> =
            self.map.get(&key)?.iter().copied().filter(|action| applies(action.info().place)).collect();
        fits.sort_by_key(|action| action.info().place == Place::Anywhere);
        fits.first().copied()
    }

    /// The first key of an action, as it is written.
    pub(super) fn key(&self, action: Action) -> &str {
        self.keys(action).first().map_or("", String::as_str)
    }

    /// All keys of an action.
    pub(super) fn keys(&self, action: Action) -> &[String] {
        self.keys.iter().find(|(known, _)| *known == action).map_or(&[], |(_, keys)| keys)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_action_has_a_name_a_help_and_keys_that_reach_it() {
        let names: HashSet<&str> = ACTIONS.iter().map(|info| info.name).collect();
        assert_eq!(names.len(), ACTIONS.len());
        let keymap = Keymap::default();
        for info in ACTIONS {
            assert!(!info.help.is_empty() && !info.keys.is_empty(), "{}", info.name);
            for text in info.keys {
                let key = Key::parse(text).unwrap_or_else(|| panic!("{text} is no key"));
                // In its own place, with nothing but what is there.
                let found = keymap.action(key, |place| place == info.place || place == Place::Anywhere);
                assert_eq!(found, Some(info.action), "{text}");
            }
        }
    }

    #[test]
    fn keys_can_be_changed_and_faults_are_named() {
        let changed = Keymap::with(&[("help".into(), vec!["f1".into()])]).expect("a good one");
        assert_eq!(changed.action(Key::parse("f1").expect("key"), |_| true), Some(Action::Help));
        assert_eq!(changed.action(Key::parse("?").expect("key"), |_| true), None);
        assert!(Keymap::with(&[("hepl".into(), vec![])]).expect_err("no action").contains("hepl"));
        assert!(Keymap::with(&[("help".into(), vec!["hyper-x".into()])]).expect_err("no key").contains("hyper-x"));
    }
}
