//! The analyst's configuration: colours, the mouse, other keys. `belljar config` prints the default one.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::action::{ACTIONS, Keymap};
use super::theme::{Palette, Theme};
use super::update::themed;

/// Longest file read.
const MAX_BYTES: u64 = 1 << 20;

/// Why a configuration is not taken.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}; `belljar config` prints one that works", path.display())]
pub struct ConfigError {
    path: PathBuf,
    reason: String,
}

/// What the file says.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// `auto`, or one of the sets of colours.
    theme: String,
    /// Whether the mouse is taken.
    pub mouse: bool,
    /// Keys by action.
    keys: BTreeMap<String, Vec<String>>,
    /// Where filters with names are kept.
    #[serde(skip)]
    pub filters: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self { theme: "auto".into(), mouse: true, keys: BTreeMap::new(), filters: None }
    }
}

impl Config {
    /// Reads `belljar/config.toml` in `XDG_CONFIG_HOME` or `~/.config` (XDG Base Directory Specification); without
    /// one everything is as it comes.
    pub fn load() -> Result<Self, ConfigError> {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let base = set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")));
        let base = base.map(|base| base.join("belljar"));
        let filters = base.as_ref().map(|base| base.join("filters.toml"));
        let config = match base.map(|base| base.join("config.toml")).filter(|path| path.is_file()) {
            Some(path) => Self::read(&path)?,
            None => Self::default(),
        };
        Ok(Self { filters, ..config })
    }

    fn read(path: &Path) -> Result<Self, ConfigError> {
        let wrong = |reason: String| ConfigError { path: path.to_owned(), reason };
        let size = std::fs::metadata(path).map_err(|error| wrong(error.to_string()))?.len();
        if size > MAX_BYTES {
            return Err(wrong("it is too long".into()));
        }
        let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
        Self::parse(&text).map_err(wrong)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let config: Self = toml::from_str(text).map_err(|error| error.to_string().trim_end().replace('\n', " "))?;
        let theme = Theme { palette: Palette::Dark, ascii: false };
        if config.theme != "auto" && themed(&config.theme, theme).is_none() {
            let names: Vec<&str> = Palette::ALL.iter().map(|(_, name)| *name).collect();
            return Err(format!("theme `{}` is not one of auto, {}", config.theme, names.join(", ")));
        }
        config.keymap().map(|_| ())?;
        Ok(config)
    }

    fn keymap(&self) -> Result<Keymap, String> {
        Keymap::with(&self.keys.iter().map(|(name, keys)| (name.clone(), keys.clone())).collect::<Vec<_>>())
    }

    /// Looks and keys. What the environment forbids (colours, characters) no configuration brings back.
    pub(super) fn looks(&self, ascii: bool) -> (Theme, Keymap) {
        let theme = Theme::from_environment(ascii);
        let theme = if theme.palette == Palette::Mono { theme } else { themed(&self.theme, theme).unwrap_or(theme) };
        // It was read by `parse`, which has made a keymap of it.
        (theme, self.keymap().unwrap_or_default())
    }

    /// A file that says what is so without one.
    pub fn example() -> String {
        let names: Vec<&str> = Palette::ALL.iter().map(|(_, name)| *name).collect();
        let mut out = format!(
            "# ~/.config/belljar/config.toml: what is here is what belljar does without the file.\n\n\
             # auto, {}; NO_COLOR and TERM=dumb take the colours from all of them.\ntheme = \"auto\"\n\n\
             # Whether belljar takes the mouse; F2 changes it.\nmouse = true\n\n\
             # Keys by action: `a`, `ctrl-f`, `shift-left`, `f2`, `space`, `enter`, `pagedown`.\n[keys]\n",
            names.join(", ")
        );
        for info in ACTIONS {
            let keys: Vec<String> = info.keys.iter().map(|key| format!("{key:?}")).collect();
            // Writing to a String cannot fail.
            let _ = writeln!(out, "{} = [{}]  # {}", info.name, keys.join(", "), info.help);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_says_what_is_so_without_it() {
        let config = Config::parse(&Config::example()).expect("the example is good");
        let (with, without) = (config.keymap().expect("good"), Keymap::default());
        for info in ACTIONS {
            assert_eq!(with.keys(info.action), without.keys(info.action), "{}", info.name);
        }
    }

    #[test]
    fn faults_are_named() {
        for (text, word) in
            [("theme = \"pink\"", "pink"), ("colour = 1", "colour"), ("[keys]\nfly = [\"x\"]", "fly"), ("[", "TOML")]
        {
            assert!(Config::parse(text).expect_err(text).contains(word), "{text}");
        }
    }
}
