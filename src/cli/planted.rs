//! What was planted in a recorded session, made again from the profile and the seed that the
//! recording carries: what must be masked, and by which rules it is judged.

use std::collections::BTreeMap;

use belljar_sandbox::decoy::{Asset, Content, Plant};

use crate::analysis::rules::Rules;
use crate::bundle::Reader;
use crate::profile::{Profile, ProfileError, Realised};

/// The rules of the session, and its assets with their values.
pub(super) fn planted(reader: &Reader) -> Result<(Rules, Vec<Asset>), ProfileError> {
    again(reader).map(|(rules, realised)| (rules, realised.assets))
}

/// The rules, and everything that was planted.
pub(super) fn again(reader: &Reader) -> Result<(Rules, Realised), ProfileError> {
    let path = reader.dir().join("profile.toml");
    let profile = Profile::recorded(&path)?;
    // The effective profile carries the seed; session.json says it a second time.
    let seed = profile.seed().or(reader.session().map(|session| session.profile.seed)).unwrap_or_default();
    Ok((profile.rules(), profile.realise(seed)?))
}

/// The contents of planted files, by path.
pub(super) fn files(plants: &[Plant]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let file = |plant: &Plant| match &plant.content {
        Content::File(bytes) => Some((plant.path.clone(), bytes.clone())),
        Content::Symlink(_) | Content::Directory => None,
    };
    plants.iter().filter_map(file).collect()
}
