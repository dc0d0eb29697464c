//! Where things are: the repository, the cache outside it, the build directory.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The repository's top folder.
pub fn repository() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.ancestors().nth(2).expect("xtask lies two folders below the top").to_path_buf()
}

/// Downloads and builds that outlive a clone; every entry's name carries its version or hash.
///
/// # Errors
/// Neither `XDG_CACHE_HOME` nor `HOME` is set.
pub fn cache() -> Result<PathBuf> {
    let base = match env::var_os("XDG_CACHE_HOME") {
        Some(set) => PathBuf::from(set),
        None => PathBuf::from(env::var_os("HOME").context("neither XDG_CACHE_HOME nor HOME is set")?).join(".cache"),
    };
    Ok(base.join("fedgate"))
}

/// Cargo's build directory.
pub fn target() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(set) => PathBuf::from(set),
        None => repository().join("target"),
    }
}

/// The product's binary under test: `FEDGATE_BINARY`, or else the release build.
pub fn fedgate() -> PathBuf {
    env::var_os("FEDGATE_BINARY").map_or_else(|| target().join("release/fedgate"), PathBuf::from)
}
