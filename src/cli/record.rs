//! `belljar record`.

use super::options::RecordArgs;

pub(super) fn run(_: RecordArgs) -> anyhow::Result<u8> {
    anyhow::bail!("not built yet")
}
