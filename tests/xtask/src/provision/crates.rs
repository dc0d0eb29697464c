//! Programs that are crates: built once from their own lock file, into the cache.

use std::path::PathBuf;

use anyhow::Result;

use crate::{invoke, paths};

/// Returns the cache folder that holds the program.
///
/// # Errors
/// No registry, or the crate does not compile here.
pub fn install(name: &str, version: &str) -> Result<PathBuf> {
    let root = paths::cache()?.join("tools").join(format!("{name}-{version}"));
    let folder = root.join("bin");
    if folder.join(name).is_file() {
        return Ok(folder);
    }
    eprintln!("building {name} {version}: some minutes, once");
    std::fs::create_dir_all(&root)?;
    let scratch = tempfile::tempdir_in(&root)?;
    let mut install = invoke::cargo();
    install.args(["install", "--locked", "--quiet", name, "--version", version, "--root"]).arg(&root);
    invoke::run(install.arg("--target-dir").arg(scratch.path()))?;
    Ok(folder)
}
