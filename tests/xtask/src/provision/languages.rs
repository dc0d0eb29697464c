//! Client libraries of other languages: pinned with their checksums by the lock files beside the scripts that use
//! them, and installed outside the clone, once a lock file.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::golang::Go;
use crate::{invoke, paths};

/// Written last: a folder without it was cut off.
const COMPLETE: &str = "complete";

/// The interpreter of a virtual environment that has the Python libraries.
///
/// # Errors
/// No Python with `venv`, no registry, or a wrong checksum.
pub fn python() -> Result<PathBuf> {
    let sources = sources("python");
    let lock = sources.join("requirements.txt");
    let folder = once("python", &[&lock], |folder| {
        invoke::read(invoke::command("python3", ["-m", "venv", "--clear"]).arg(folder))?;
        let mut install = invoke::command(folder.join("bin/python"), ["-m", "pip", "install", "--quiet"]);
        install.args(["--disable-pip-version-check", "--require-hashes", "--requirement"]).arg(&lock);
        invoke::read(&mut install).map(|_| ())
    })?;
    Ok(folder.join("bin/python"))
}

/// The folder whose `node_modules` has the JavaScript libraries.
///
/// # Errors
/// No node with npm, no registry, or a wrong checksum.
pub fn node() -> Result<PathBuf> {
    let sources = sources("node");
    let files = ["package.json", "package-lock.json"].map(|file| sources.join(file));
    once("node", &[&files[0], &files[1]], |folder| {
        for file in &files {
            fs::copy(file, folder.join(file.file_name().context("a file has a name")?))?;
        }
        let mut install = invoke::command("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]);
        invoke::read(install.current_dir(folder)).map(|_| ())
    })
}

/// The program of the Go libraries.
///
/// # Errors
/// No Go toolchain, no module registry, or a program that does not compile.
pub fn go() -> Result<PathBuf> {
    let sources = sources("go");
    let files = ["go.mod", "go.sum", "main.go"].map(|file| sources.join(file));
    let folder = once("go", &[&files[0], &files[1], &files[2]], |folder| {
        let mut build = Go::find()?.command(&sources);
        build.args(["build", "-ldflags=-s -w", "-o"]).arg(folder.join("clients")).arg(".");
        invoke::read(&mut build).map(|_| ())
    })?;
    Ok(folder.join("clients"))
}

/// Prometheus, with the discovery of Kubernetes and no other: distributions leave that out.
///
/// # Errors
/// No Go toolchain, or no module registry.
pub fn prometheus() -> Result<PathBuf> {
    let sources = sources("prometheus");
    let files = ["go.mod", "go.sum"].map(|file| sources.join(file));
    let folder = once("prometheus", &[&files[0], &files[1]], |folder| {
        let mut build = Go::find()?.command(&sources);
        build.args(["build", "-tags=remove_all_sd,enable_kubernetes_sd", "-ldflags=-s -w", "-o"]);
        build.arg(folder.join("prometheus")).arg("github.com/prometheus/prometheus/cmd/prometheus");
        invoke::read(&mut build).map(|_| ())
    })?;
    Ok(folder.join("prometheus"))
}

/// The program of the Rust libraries.
///
/// # Errors
/// No registry, or a program that does not compile.
pub fn rust() -> Result<PathBuf> {
    let sources = sources("rust");
    let files = ["Cargo.toml", "Cargo.lock", "src/main.rs", "src/controller.rs", "src/watchers.rs"];
    let files = files.map(|file| sources.join(file));
    let folder = once("rust", &files.each_ref().map(PathBuf::as_path), |folder| {
        let built = paths::target().join("rust-clients");
        let mut build = invoke::cargo();
        build.args(["build", "--quiet", "--locked"]).current_dir(&sources).env("CARGO_TARGET_DIR", &built);
        invoke::read(&mut build)?;
        fs::copy(built.join("debug/clients"), folder.join("clients")).context("the program").map(|_| ())
    })?;
    Ok(folder.join("clients"))
}

fn sources(language: &str) -> PathBuf {
    paths::repository().join("tests/clients").join(language)
}

/// The folder that `make` fills, keyed by what it is made from.
fn once(language: &str, from: &[&Path], make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let mut digest = Sha256::new();
    for file in from {
        digest.update(fs::read(file).with_context(|| format!("read {}", file.display()))?);
    }
    let key: String = digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let folder = paths::cache()?.join("tools").join(format!("clients-{language}-{key}"));
    if folder.join(COMPLETE).is_file() {
        return Ok(folder);
    }
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    make(&folder)?;
    fs::write(folder.join(COMPLETE), "")?;
    Ok(folder)
}
