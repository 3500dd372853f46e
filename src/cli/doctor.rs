//! `belljar doctor`.

use super::options::DoctorArgs;

pub(super) fn run(_: DoctorArgs) -> anyhow::Result<u8> {
    anyhow::bail!("not built yet")
}
