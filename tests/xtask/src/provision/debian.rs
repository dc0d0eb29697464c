//! Tools that Debian packages: installed only by root, only when the program is not there.

use std::path::Path;
use std::sync::OnceLock;

use anyhow::{Result, bail};

use super::is_root;
use crate::invoke;

/// # Errors
/// The program is missing and cannot be installed here.
pub fn install(program: &str, package: &str) -> Result<()> {
    if present(program) {
        return Ok(());
    }
    if !invoke::on_path("apt-get") {
        bail!("not on the PATH, and there is no apt-get: install {program} by hand");
    }
    if !is_root() {
        bail!("not on the PATH, and only root may: apt-get install {package}");
    }
    refresh_lists();
    let mut install = invoke::command("apt-get", ["install", "--yes", "--quiet", "--no-install-recommends", package]);
    // Packages that bring a server must not start it: the benchmarks start their own.
    install.env("DEBIAN_FRONTEND", "noninteractive").env("RUNLEVEL", "1");
    invoke::read(&mut install)?;
    if !present(program) {
        bail!("package {package} brings no {program}");
    }
    Ok(())
}

/// Old package lists name files that the mirrors no longer have. A failure shows in the install.
fn refresh_lists() {
    static DONE: OnceLock<()> = OnceLock::new();
    DONE.get_or_init(|| {
        if let Err(error) = invoke::read(&mut invoke::command("apt-get", ["update", "--quiet"])) {
            eprintln!("{error:#}");
        }
    });
}

fn present(program: &str) -> bool {
    invoke::on_path(program) || Path::new("/usr/sbin").join(program).is_file()
}
