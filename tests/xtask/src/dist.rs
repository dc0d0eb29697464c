//! The release archive: the stripped binary, licence and readme, and a checksum beside it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::{invoke, paths};

#[derive(clap::Args)]
pub struct Options {
    /// Pack the last release build, do not build
    #[arg(long)]
    no_build: bool,
}

/// # Errors
/// The build fails or the archive cannot be written.
pub fn run(options: &Options) -> Result<()> {
    if !options.no_build {
        build()?;
    }
    let root = paths::repository();
    let version = product_version(&root)?;
    let name = format!("fedgate-{version}-{}", host_triple()?);
    let folder = paths::target().join("dist");
    let staged = folder.join(&name);
    if staged.exists() {
        fs::remove_dir_all(&staged)?;
    }
    fs::create_dir_all(&staged)?;
    fs::copy(paths::target().join("release/fedgate"), staged.join("fedgate")).context("the release binary")?;
    for file in ["LICENSE", "README.md", "CHANGELOG.md"] {
        fs::copy(root.join(file), staged.join(file)).with_context(|| format!("{file} at the top of the repository"))?;
    }
    let archive = folder.join(format!("{name}.tar.gz"));
    pack(&folder, &name, &archive)?;
    let sum = checksum(&archive)?;
    fs::write(folder.join(format!("{name}.tar.gz.sha256")), format!("{sum}  {name}.tar.gz\n"))?;
    println!("{}\n{sum}", archive.display());
    Ok(())
}

/// Builds the product's release binary.
///
/// # Errors
/// It does not compile.
pub fn build() -> Result<()> {
    invoke::run(invoke::cargo().args(["build", "--release", "--locked", "--package", "fedgate"]))
}

/// The same sources give the same bytes: names sorted, owners and times fixed to the commit.
fn pack(folder: &Path, name: &str, archive: &Path) -> Result<()> {
    let time = invoke::read(invoke::command("git", ["log", "-1", "--format=@%ct"]).current_dir(paths::repository()))?;
    let mut tar = invoke::command("tar", ["--create", "--sort=name", "--owner=0", "--group=0", "--numeric-owner"]);
    tar.arg(format!("--mtime={}", time.trim())).arg("--use-compress-program=gzip -n9");
    invoke::run(tar.arg("--file").arg(archive).arg("--directory").arg(folder).arg(name))
}

fn checksum(archive: &Path) -> Result<String> {
    let digest = Sha256::digest(fs::read(archive)?);
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn product_version(root: &Path) -> Result<String> {
    let mut metadata = invoke::cargo();
    metadata.args(["metadata", "--format-version=1", "--no-deps", "--locked"]).current_dir(root);
    let metadata: serde_json::Value = serde_json::from_str(&invoke::read(&mut metadata)?)?;
    let packages = metadata["packages"].as_array().context("cargo metadata lists no packages")?;
    let product = packages.iter().find(|package| package["name"] == "fedgate").context("no package fedgate")?;
    Ok(product["version"].as_str().context("package fedgate has no version")?.to_owned())
}

fn host_triple() -> Result<String> {
    let verbose = invoke::read(&mut invoke::command("rustc", ["--verbose", "--version"]))?;
    let host = verbose.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc names no host")?.to_owned())
}
