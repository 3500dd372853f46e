//! Filters that the analyst has given a name: `@name` stands for one in the filter. They are the analyst's, not the
//! recording's, and so lie beside the configuration.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::query;

/// Longest file read.
const MAX_BYTES: u64 = 1 << 20;

/// Filters by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Saved {
    path: Option<PathBuf>,
    filters: BTreeMap<String, String>,
}

#[derive(Default, Serialize, Deserialize)]
struct File {
    #[serde(default)]
    filters: BTreeMap<String, String>,
}

impl Saved {
    /// Those in this file; without one they are kept as long as the screen.
    pub(super) fn open(path: Option<PathBuf>) -> Self {
        let small =
            |path: &PathBuf| std::fs::metadata(path).is_ok_and(|data| data.is_file() && data.len() <= MAX_BYTES);
        let text = path.as_ref().filter(|path| small(path)).and_then(|path| std::fs::read_to_string(path).ok());
        let file: File = text.and_then(|text| toml::from_str(&text).ok()).unwrap_or_default();
        let filters = file.filters.into_iter().filter(|(name, _)| is_name(name)).collect();
        Self { path, filters }
    }

    /// All of them, by name.
    pub(super) fn all(&self) -> &BTreeMap<String, String> {
        &self.filters
    }

    /// Gives a filter a name; an empty filter takes the name away.
    pub(super) fn put(&mut self, name: &str, filter: &str) -> io::Result<()> {
        let name = name.trim().trim_start_matches('@');
        if !is_name(name) {
            return Err(io::Error::other("a name is made of letters, digits, - and _"));
        }
        // What it says must not change when another one does.
        let filter = self.expand(filter).map_err(io::Error::other)?;
        if filter.trim().is_empty() {
            self.filters.remove(name);
        } else {
            self.filters.insert(name.to_owned(), filter.trim().to_owned());
        }
        let Some(path) = &self.path else { return Ok(()) };
        let dir = path.parent().ok_or_else(|| io::Error::other("no place for it"))?;
        std::fs::create_dir_all(dir)?;
        let text = toml::to_string(&File { filters: self.filters.clone() }).map_err(io::Error::other)?;
        // A whole file or the one before.
        let half = path.with_extension("half");
        std::fs::File::create(&half)?.write_all(text.as_bytes())?;
        std::fs::rename(half, path)
    }

    /// A filter with what its `@name`s stand for. One that is not known is an error: as a word of the filter it would
    /// find nothing, and nobody would see why.
    pub(super) fn expand(&self, filter: &str) -> Result<String, query::Error> {
        let (mut out, mut rest, mut quoted) = (String::new(), filter, false);
        while let Some(c) = rest.chars().next() {
            let starts = out.chars().last().is_none_or(|before| before.is_whitespace() || matches!(before, '(' | '!'));
            let end = rest.get(1..).map_or(0, |after| after.find(|c| !is_letter(c)).unwrap_or(after.len()) + 1);
            let ends = rest.get(end..).and_then(|after| after.chars().next());
            let name = rest.get(1..end).filter(|name| c == '@' && starts && !quoted && is_name(name));
            match name.map(|name| (name, self.filters.get(name))) {
                Some((_, Some(filter))) => {
                    out.push_str(&format!("({filter})"));
                    rest = rest.get(end..).unwrap_or_default();
                }
                // More than a name (`@example.com`) is a word that is looked for.
                Some((name, None)) if ends.is_none_or(|after| after.is_whitespace() || after == ')') => {
                    let at = filter.len() - rest.len();
                    return Err(self.unknown(name, at));
                }
                _ => {
                    quoted ^= c == '"' && !out.ends_with('\\');
                    out.push(c);
                    rest = rest.get(c.len_utf8()..).unwrap_or_default();
                }
            }
        }
        Ok(out)
    }

    fn unknown(&self, name: &str, at: usize) -> query::Error {
        let names: Vec<String> = self.filters.keys().map(|name| format!("`@{name}`")).collect();
        let known = if names.is_empty() {
            "none is saved yet: on the screen, `s` saves the filter that is set".to_owned()
        } else {
            format!("saved are {}", names.join(", "))
        };
        query::Error {
            message: format!("no filter is saved as `@{name}`"),
            span: at..at + 1 + name.len(),
            help: Some(format!("{known}; in quotes, `\"@{name}\"`, it is a text to look for")),
        }
    }
}

fn is_letter(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_')
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 40 && name.chars().all(is_letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_for_filters_and_last() {
        let place = tempfile::tempdir().expect("temporary directory");
        let path = place.path().join("belljar/filters.toml");
        let mut saved = Saved::open(Some(path.clone()));
        saved.put("out", "verb:transmit or op:sendto").expect("writable");
        saved.put("@big", "bytes>1M @out").expect("writable");
        let saved = Saved::open(Some(path.clone()));
        assert_eq!(saved.expand("not @out").expect("known"), "not (verb:transmit or op:sendto)");
        assert_eq!(saved.expand("@big").expect("known"), "(bytes>1M (verb:transmit or op:sendto))");
        for same in ["a@out", "path~\" @out\"", "\"@outer\"", "@", "é @no.example", "host:@no"] {
            assert_eq!(saved.expand(same).expect("no name"), same);
        }
        for (unknown, at) in [("@outer", 0..6), ("é (verb:store or @no)", 18..21)] {
            let error = saved.expand(unknown).expect_err(unknown);
            assert_eq!(error.span, at);
            assert!(error.help.is_some_and(|help| help.starts_with("saved are `@big`, `@out`;")));
        }
        assert!(saved.clone().put("more", "@outer").is_err());
        let none = Saved::open(None).expand("@x").expect_err("none is saved");
        assert_eq!(none.message, "no filter is saved as `@x`");
        assert!(none.help.is_some_and(|help| help.starts_with("none is saved yet")));
        let mut saved = saved;
        saved.put("out", "").expect("writable");
        assert!(Saved::open(Some(path)).all().keys().eq(["big"]));
        assert!(saved.put("no name", "op:read").is_err());
    }
}
