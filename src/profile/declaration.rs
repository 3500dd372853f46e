//! What the supplier says the product does: a table of the profile, or a file of its own; and the
//! draft of one, made from what a run showed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use toml::Spanned;

use super::schema::{AllowTable, DeclarationDocument, DeclarationTable};
use super::values::Many;
use super::{Fault, LONGEST_TEXT, ProfileError, read_text};
use crate::analysis::finding::Finding;
use crate::store::Verb;

/// What stands in a name for a masked value (see [`crate::redact`]).
const MASK: &str = "\u{2022}\u{2022}\u{2022}\u{2022}";

/// How the reason of a drafted entry begins.
const DRAFTED: &str = "TO BE EXPLAINED";

/// A declaration from a file that holds a `[declaration]` table and nothing else.
#[derive(Clone, Debug)]
pub struct Declaration(pub(super) DeclarationTable);

impl Declaration {
    /// Loads it.
    pub fn load(path: &Path) -> Result<Self, ProfileError> {
        let text = read_text(path, LONGEST_TEXT)?;
        let file = path.to_string_lossy();
        let document: DeclarationDocument =
            toml::from_str(&text).map_err(|error| Fault::of_toml(&file, &text, &error))?;
        Ok(Self(document.declaration))
    }

    /// Whether the file is a declaration, not a profile: it has a `[declaration]` and no `[profile]`.
    pub fn is_one(path: &Path) -> bool {
        let text = read_text(path, LONGEST_TEXT).ok();
        let table: Option<toml::Table> = text.and_then(|text| toml::from_str(&text).ok());
        table.is_some_and(|table| table.contains_key("declaration") && !table.contains_key("profile"))
    }

    /// How many entries it has, and how many of them still have the reason that a draft gave them.
    pub fn entries(&self) -> (usize, usize) {
        let drafted = |entry: &&Spanned<AllowTable>| entry.get_ref().reason.starts_with(DRAFTED);
        (self.0.allow.len(), self.0.allow.iter().filter(drafted).count())
    }

    /// The text of a declaration that covers what a run of `product` showed, for the supplier to
    /// cut down, correct and give reasons for. What has no place that could be declared (a call
    /// that stops the machine, say) is listed in comments only.
    pub fn template(product: &str, findings: &[Finding]) -> Result<String, ProfileError> {
        let mut groups: BTreeMap<(Verb, Option<&str>), Vec<&Finding>> = BTreeMap::new();
        let mut without_place = String::new();
        for finding in findings {
            let has_place = finding.asset.is_some() || finding.destination.as_deref().is_some_and(is_place);
            if has_place {
                groups.entry((finding.verb, finding.class.as_deref())).or_default().push(finding);
            } else {
                // A title has no line break: it is escaped where it was made.
                let _ = writeln!(without_place, "# not to be declared: {} ({})", finding.title, finding.verb);
            }
        }
        let allow = groups.into_iter().map(|((verb, class), findings)| {
            let mut allow = AllowTable {
                verb: Many(vec![verb]),
                class: Many(class.map(str::to_owned).into_iter().collect()),
                asset: Many::default(),
                path: Many::default(),
                host: Many::default(),
                reason: format!("{DRAFTED}: {}", findings.first().map_or("", |finding| finding.title.as_str())),
            };
            // An entry without places covers any; where one finding has none, so must the entry.
            let places = |finding: &&Finding| finding.destination.as_deref().is_some_and(is_place);
            let has_places = findings.iter().all(places);
            for finding in findings {
                push(&mut allow.asset, finding.asset.clone());
                let place = finding.destination.as_deref().filter(|_| has_places).map(unmasked);
                let list = if place.as_ref().is_some_and(|place| place.starts_with('/')) {
                    &mut allow.path
                } else {
                    &mut allow.host
                };
                push(list, place);
            }
            Spanned::new(0..0, allow)
        });
        let declaration =
            DeclarationTable { product: product.to_owned(), supplier: String::new(), allow: allow.collect() };
        let table = toml::to_string(&DeclarationDocument { declaration })?;
        Ok(format!(
            "# Drafted by belljar from one run: everything that it showed. It is a question, not an answer. Strike\n\
             # what the product is not meant to do, widen what varies (`*` and `**` in paths, `*.` before hosts)\n\
             # and give the reason for what remains. Then: belljar record --declaration THIS -- PROGRAM\n\
             {without_place}\n{table}"
        ))
    }
}

/// Whether this is a path, or a host with its port: the name of a call is neither.
fn is_place(name: &str) -> bool {
    name.starts_with('/') || name.contains(['.', ':'])
}

/// The name with stars where it had values that are masked.
fn unmasked(name: &str) -> String {
    name.replace(MASK, "*")
}

fn push(list: &mut Many<String>, value: Option<String>) {
    if let Some(value) = value.filter(|value| !list.0.contains(value)) {
        list.0.push(value);
    }
}
