//! bench api

use anyhow::{Result, bail};

#[derive(clap::Args)]
pub struct Options {}

pub fn run(_options: &Options, _no_build: bool) -> Result<()> {
    bail!("bench api is not built yet")
}
