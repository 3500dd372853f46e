//! What was planted in a recorded session, made again from the profile and the seed that the
//! recording carries: what must be masked, and by which rules it is judged.

use belljar_sandbox::decoy::Asset;

use crate::analysis::rules::Rules;
use crate::bundle::Reader;
use crate::profile::{Profile, ProfileError};

/// The rules of the session, and its assets with their values.
pub(super) fn planted(reader: &Reader) -> Result<(Rules, Vec<Asset>), ProfileError> {
    let path = reader.dir().join("profile.toml");
    let profile = Profile::recorded(&path)?;
    // The effective profile carries the seed; session.json says it a second time.
    let seed = profile.seed().or(reader.session().map(|session| session.profile.seed)).unwrap_or_default();
    Ok((profile.rules(), profile.realise(seed)?.assets))
}
