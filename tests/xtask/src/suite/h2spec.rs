//! h2spec against the ingress: the program is built here from its Go module, the test that runs it is the ingress's own.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::provision::golang::Go;
use crate::provision::rig;
use crate::{invoke, paths};

/// Prints the totals for TLS and for the plain port.
///
/// # Errors
/// No Go toolchain, no module registry, or a case that does not pass.
pub fn run() -> Result<()> {
    let mut test = invoke::cargo();
    test.args(["test", "--package", "ingress", "--test", "data_plane", "--locked", "h2spec"]);
    invoke::run(test.args(["--", "--ignored", "--nocapture"]).env("H2SPEC", program()?))
}

fn program() -> Result<PathBuf> {
    let sources = paths::repository().join("tests/rig/h2spec");
    let version = rig::required(&sources.join("go.mod"), "github.com/summerwind/h2spec")?;
    let program = paths::cache()?.join("tools").join(format!("h2spec-{version}"));
    if !program.is_file() {
        let partial = program.with_extension("partial");
        fs::create_dir_all(program.parent().context("a folder")?)?;
        let mut build = Go::find()?.command(&sources);
        invoke::run(build.args(["build", "-o"]).arg(&partial).arg("github.com/summerwind/h2spec/cmd/h2spec"))?;
        fs::rename(&partial, &program).context("move h2spec into place")?;
    }
    Ok(program)
}
