//! `belljar report`.

use super::options::ReportArgs;

pub(super) fn run(_: ReportArgs) -> anyhow::Result<u8> {
    anyhow::bail!("not built yet")
}
