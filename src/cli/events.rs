pub(super) fn run(_: &super::options::EventsArgs) -> anyhow::Result<u8> {
    anyhow::bail!("x")
}
