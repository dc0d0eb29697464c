//! Builds the member clusters' programs from tests/rig, once per version of their
//! sources: the control plane takes about ten minutes on two cores.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::golang::Go;
use crate::{invoke, paths};

/// kwok does nothing without stages; these make nodes and pods Ready, Jobs complete, and pods go.
const STAGES: &[&str] = &[
    "node/fast/node-initialize",
    "node/heartbeat-with-lease/node-heartbeat-with-lease",
    "pod/fast/pod-ready",
    "pod/fast/pod-complete",
    "pod/fast/pod-delete",
];

/// Returns the folder that holds `rig`, `controlplane`, `kwok` and `stages.yaml`.
///
/// # Errors
/// No Go toolchain, no module registry, or sources that do not compile.
pub fn build() -> Result<PathBuf> {
    let sources = paths::repository().join("tests/rig");
    let go = Go::find()?;
    let folder = paths::cache()?.join("rig").join(key(&sources)?);
    fs::create_dir_all(&folder)?;
    if !folder.join("controlplane").is_file() {
        eprintln!("building the member clusters' control plane: about ten minutes, once");
        let version = required(&sources.join("go.mod"), "k8s.io/kubernetes")?;
        let mut build = go.command(&sources);
        build.args(["build", "-ldflags", &stamp(&version), "-o"]);
        place(&mut build, &folder.join("controlplane"), "./controlplane")?;
    }
    let kwok = sources.join("kwok");
    if !folder.join("kwok").is_file() {
        let version = required(&kwok.join("go.mod"), "sigs.k8s.io/kwok")?;
        let mut build = go.command(&kwok);
        build.args(["build", "-ldflags", &format!("-s -w -X sigs.k8s.io/kwok/pkg/consts.Version={version}"), "-o"]);
        place(&mut build, &folder.join("kwok"), "sigs.k8s.io/kwok/cmd/kwok")?;
    }
    if !folder.join("stages.yaml").is_file() {
        fs::write(folder.join("stages.yaml"), stages(&go, &kwok)?)?;
    }
    // The runner itself is small and changes often; Go's own cache decides what to do.
    place(go.command(&sources).args(["build", "-ldflags=-s -w", "-o"]), &folder.join("rig"), ".")?;
    Ok(folder)
}

/// Finishes a `go build -o`, and puts the outcome in place in one step.
fn place(build: &mut Command, program: &Path, package: &str) -> Result<()> {
    let partial = program.with_extension("partial");
    invoke::run(build.arg(&partial).arg(package))?;
    fs::rename(&partial, program).with_context(|| format!("move {} into place", partial.display()))
}

/// Without the stamp the server's version cannot be parsed by its users.
pub fn stamp(version: &str) -> String {
    let numbers: Vec<&str> = version.trim_start_matches('v').split('.').collect();
    let package = "k8s.io/component-base/version";
    let values = [
        ("gitVersion", version),
        ("gitMajor", numbers.first().copied().unwrap_or("1")),
        ("gitMinor", numbers.get(1).copied().unwrap_or("0")),
        ("gitTreeState", "clean"),
        ("gitCommit", "0000000000000000000000000000000000000000"),
        ("buildDate", "1970-01-01T00:00:00Z"),
    ];
    let stamps = values.map(|(name, value)| format!("-X {package}.{name}={value}"));
    format!("-s -w {}", stamps.join(" "))
}

/// The version that a go.mod requires of a module.
///
/// # Errors
/// It requires none.
pub fn required(go_mod: &Path, module: &str) -> Result<String> {
    let text = fs::read_to_string(go_mod).with_context(|| format!("read {}", go_mod.display()))?;
    let mut lines = text.lines().map(|line| line.trim().trim_start_matches("require "));
    let line = lines.find_map(|line| line.strip_prefix(module)?.strip_prefix(' ').map(str::to_owned));
    let line = line.with_context(|| format!("{} does not require {module}", go_mod.display()))?;
    Ok(line.split_whitespace().next().context("a version")?.to_owned())
}

fn stages(go: &Go, kwok: &Path) -> Result<String> {
    let mut list = go.command(kwok);
    let module = invoke::read(list.args(["list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/kwok"]))?;
    let mut all = String::new();
    for stage in STAGES {
        let path = Path::new(module.trim()).join("kustomize/stage").join(stage).with_extension("yaml");
        all.push_str("---\n");
        all.push_str(&fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?);
    }
    Ok(all)
}

/// Covers all that the two slow programs are built from.
fn key(sources: &Path) -> Result<String> {
    let mut digest = Sha256::new();
    for file in ["go.mod", "go.sum", "controlplane/main.go", "kwok/go.mod", "kwok/go.sum"] {
        digest.update(file);
        digest.update(fs::read(sources.join(file)).with_context(|| format!("read tests/rig/{file}"))?);
    }
    Ok(digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect())
}
