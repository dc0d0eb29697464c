//! Three real member clusters to play with, until Ctrl-C.

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::e2e::members::{Members, Setup};
use crate::{e2e, paths, provision};

#[derive(clap::Args)]
pub struct Options {
    /// How many member clusters
    #[arg(long, default_value_t = 3)]
    members: usize,
    /// Where kubeconfigs and logs go
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// # Errors
/// The members cannot be built or started, or one of them ended.
pub fn run(options: &Options) -> Result<()> {
    if let Some(obstacle) = e2e::obstacle() {
        bail!(obstacle);
    }
    let programs = provision::rig::build()?;
    let toolbox = provision::Toolbox::stock(provision::For::Test);
    let dir = options.dir.clone().unwrap_or_else(|| paths::target().join("rig/dev"));
    let setup = Setup { programs, dir, members: options.members, fsync: true, path: toolbox.path()? };
    let members = Members::start(setup)?;
    let rig = format!("{} exec --dir {}", members.program().display(), members.dir().display());
    println!("ready; Ctrl-C ends all of it");
    for name in members.names() {
        println!("{rig} kubectl --kubeconfig {} get nodes", members.kubeconfig(name).display());
    }
    members.wait()
}
