//! `belljar profile`.

use super::options::ProfileCommand;

pub(super) fn run(_: ProfileCommand) -> anyhow::Result<u8> {
    anyhow::bail!("not built yet")
}
