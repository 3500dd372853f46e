//! Profiles: one TOML file says which device the sandbox pretends to be, which client data is
//! planted, what is declared and what counts as a violation. This module turns it into the
//! sandbox's words and the verdict's rules.
//!
//! A profile is read once, with the files it names, and checked whole; after that nothing here
//! touches the file system. Every fault names file, line and column.

mod check;
mod declaration;
mod error;
mod realise;
mod schema;
#[cfg(test)]
mod tests;
mod values;

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use data_encoding::{BASE64, HEXLOWER};
use sha2::{Digest as _, Sha256};
use toml::Spanned;

pub use declaration::Declaration;
pub use error::{Fault, ProfileError};
pub use realise::Realised;

use crate::query::nearest;
use check::Checker;
use schema::Document;

/// The profiles that come with belljar: name and text.
const BUILTIN: &[(&str, &str)] = &[
    ("workstation", include_str!("../../profiles/workstation.toml")),
    ("server", include_str!("../../profiles/server.toml")),
    ("finance", include_str!("../../profiles/finance.toml")),
    ("communications", include_str!("../../profiles/communications.toml")),
    ("energy", include_str!("../../profiles/energy.toml")),
    ("government", include_str!("../../profiles/government.toml")),
    ("health", include_str!("../../profiles/health.toml")),
    ("router", include_str!("../../profiles/router.toml")),
    ("point-of-sale", include_str!("../../profiles/point-of-sale.toml")),
];

/// The most bytes a profile or a declaration may have.
const LONGEST_TEXT: u64 = 4 << 20;
/// The most bytes a file that a profile plants may have.
const LONGEST_SOURCE: u64 = 64 << 20;
/// The most bytes an effective profile may have, which carries such files itself: one of the
/// longest, in base 64, with some room.
const LONGEST_EFFECTIVE: u64 = 96 << 20;

/// A checked profile.
#[derive(Clone, Debug)]
pub struct Profile {
    document: Document,
    text: String,
}

/// A profile as it was in force: the text of the recording's `profile.toml`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// TOML with every default, every planted file and the seed; loads again as a profile that
    /// plants the same bytes.
    pub text: String,
    /// SHA-256 of the text, lower-case hexadecimal.
    pub sha256: String,
}

impl Profile {
    /// Loads a profile that comes with belljar, by name, or else a file.
    pub fn load(name_or_path: &str) -> Result<Self, ProfileError> {
        if let Some((name, text)) = BUILTIN.iter().find(|(name, _)| *name == name_or_path) {
            return Self::parse(name, text, None);
        }
        let path = Path::new(name_or_path);
        let text = match read_text(path, LONGEST_TEXT) {
            Err(ProfileError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                let near = nearest(name_or_path, Self::builtin_names());
                let advice = near.map_or_else(
                    || format!("known: {}, or a file", Self::builtin_names().collect::<Vec<_>>().join(", ")),
                    |near| format!("did you mean `{near}`?"),
                );
                return Err(ProfileError::Unknown { name: name_or_path.to_owned(), advice });
            }
            other => other?,
        };
        Self::parse(name_or_path, &text, Some(path.parent().unwrap_or(Path::new(""))))
    }

    /// Loads the effective profile of a recording. A recording may come from anyone, so that no
    /// other file is read, whatever it names.
    pub fn recorded(path: &Path) -> Result<Self, ProfileError> {
        Self::parse(&path.to_string_lossy(), &read_text(path, LONGEST_EFFECTIVE)?, None)
    }

    /// The names of the profiles that come with belljar.
    pub fn builtin_names() -> impl Iterator<Item = &'static str> {
        BUILTIN.iter().map(|(name, _)| *name)
    }

    /// Reads a profile from its text. `file` names it in faults; files it names are looked for
    /// below `folder`, or refused where there is none.
    fn parse(file: &str, text: &str, folder: Option<&Path>) -> Result<Self, ProfileError> {
        let mut document: Document = toml::from_str(text).map_err(|error| Fault::of_toml(file, text, &error))?;
        let checker = Checker { file, text };
        checker.document(&document)?;
        for asset in &mut document.asset {
            inline(&checker, folder, &mut asset.source, &mut asset.content, &mut asset.content_base64)?;
        }
        for entry in &mut document.file {
            inline(&checker, folder, &mut entry.source, &mut entry.content, &mut entry.content_base64)?;
        }
        for route in &mut document.route {
            inline(&checker, folder, &mut route.source, &mut route.content, &mut route.content_base64)?;
        }
        Ok(Self { document, text: text.to_owned() })
    }

    /// The profile's name.
    pub fn name(&self) -> &str {
        &self.document.profile.name.0.0
    }

    /// What it says of itself: one line.
    pub fn description(&self) -> &str {
        &self.document.profile.description
    }

    /// The seed it fixes, if it does: the effective profile of a recording does.
    pub fn seed(&self) -> Option<u64> {
        self.document.profile.seed
    }

    /// Its text as written, comments and all.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Puts the supplier's declaration in place of the profile's own.
    pub fn declare(&mut self, declaration: Declaration) {
        self.document.declaration = Some(declaration.0);
    }

    /// The profile in force under this seed.
    pub fn effective(&self, seed: u64) -> Result<Effective, ProfileError> {
        let mut document = self.document.clone();
        document.profile.seed = Some(seed);
        let text = toml::to_string(&document)?;
        if text.len() as u64 > LONGEST_EFFECTIVE {
            return Err(ProfileError::TooLong { length: text.len() as u64 >> 20, most: LONGEST_EFFECTIVE >> 20 });
        }
        let sha256 = HEXLOWER.encode(&Sha256::digest(text.as_bytes()));
        Ok(Effective { text, sha256 })
    }
}

/// Reads the file that `source` names into the content, so that the profile stands for itself.
fn inline(
    checker: &Checker<'_>,
    folder: Option<&Path>,
    source: &mut Option<Spanned<String>>,
    content: &mut Option<Spanned<String>>,
    base64: &mut Option<Spanned<String>>,
) -> Result<(), ProfileError> {
    if let Some(base64) = base64
        && let Err(error) = BASE64.decode(base64.get_ref().as_bytes())
    {
        checker.fault(base64.span(), format!("this is no base64: {error}"))?;
    }
    let Some(named) = source.take() else { return Ok(()) };
    let Some(folder) = folder else {
        return Ok(checker.fault(named.span(), "a recorded profile carries its files; give content instead")?);
    };
    let path = folder.join(named.get_ref());
    match read(&path, LONGEST_SOURCE) {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => *content = Some(Spanned::new(named.span(), text)),
            Err(error) => *base64 = Some(Spanned::new(named.span(), BASE64.encode(error.as_bytes()))),
        },
        Err(error) => checker.fault(named.span(), format!("cannot read {}: {error}", path.display()))?,
    }
    Ok(())
}

fn read_text(path: &Path, most: u64) -> Result<String, ProfileError> {
    let fail = |source| ProfileError::Read { path: path.to_owned(), source };
    let bytes = read(path, most).map_err(fail)?;
    String::from_utf8(bytes).map_err(|_| fail(io::Error::other("it is not UTF-8 text")))
}

fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    // A pipe or a device might never end, or end the memory.
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::other(format!("it is longer than {} MiB", most >> 20)));
    }
    Ok(bytes)
}
