//! What the supplier says the product does: a table of the profile, or a file of its own.

use std::path::Path;

use super::schema::{DeclarationDocument, DeclarationTable};
use super::{Fault, ProfileError, read_text};

/// A declaration from a file that holds a `[declaration]` table and nothing else.
#[derive(Clone, Debug)]
pub struct Declaration(pub(super) DeclarationTable);

impl Declaration {
    /// Loads it.
    pub fn load(path: &Path) -> Result<Self, ProfileError> {
        let text = read_text(path)?;
        let file = path.to_string_lossy();
        let document: DeclarationDocument =
            toml::from_str(&text).map_err(|error| Fault::of_toml(&file, &text, &error))?;
        Ok(Self(document.declaration))
    }
}
