//! Writes the table of kinds from what Kubernetes publishes: OpenAPI, discovery and Go types in the Go module cache.

mod golang;
mod openapi;
mod table;
#[cfg(test)]
mod tests;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::invoke;
use crate::provision::golang::Go;

const OURS: &str = "federation-api/schema/src/facts/fedgate.yaml";
const TABLE: &str = "federation-api/schema/src/facts/kubernetes.facts";

/// The release that the table is read from, and its staging modules' version.
const KUBERNETES: &str = "v1.37.2";
const STAGING: &str = "v0.37.2";

/// The modules that hold a type of the table.
const PACKAGES: [&str; 4] = ["api", "apimachinery", "apiextensions-apiserver", "kube-aggregator"];

#[derive(Debug, clap::Args)]
pub struct Codegen {
    /// Fail if the committed table differs, write nothing
    #[arg(long)]
    check: bool,
}

impl Codegen {
    /// # Errors
    /// The modules cannot be fetched or read, or with `--check` the table differs.
    pub fn run(&self, workspace: &Path) -> Result<()> {
        let modules = Modules::find().or_else(|_| Modules::fetch(workspace))?;
        let fresh = table::render(&modules, &workspace.join(OURS))?;
        let path = workspace.join(TABLE);
        if !self.check {
            return fs::write(&path, fresh).with_context(|| path.display().to_string());
        }
        let committed = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        ensure!(committed == fresh, "{TABLE} is stale: run `cargo xtask codegen`");
        Ok(())
    }
}

/// The Go module cache.
struct Modules {
    root: PathBuf,
}

impl Modules {
    fn find() -> Result<Self> {
        let root = match env::var_os("GOMODCACHE") {
            Some(set) => PathBuf::from(set),
            None => PathBuf::from(env::var_os("HOME").context("no home directory")?).join("go/pkg/mod"),
        };
        let modules = Self { root: root.join("k8s.io") };
        let staging = PACKAGES.map(|name| modules.module(name));
        for directory in staging.iter().chain([&modules.kubernetes("")]) {
            if !directory.is_dir() {
                bail!("{} is missing: run `cargo xtask codegen`, which fetches it", directory.display());
            }
        }
        Ok(modules)
    }

    /// Downloads the modules, at the versions that the rig's go.mod pins.
    fn fetch(workspace: &Path) -> Result<Self> {
        let mut download = Go::find()?.command(&workspace.join("tests/rig"));
        download.args(["mod", "download", "k8s.io/kubernetes"]);
        invoke::run(download.args(PACKAGES.map(|name| format!("k8s.io/{name}"))))?;
        Self::find()
    }

    fn module(&self, name: &str) -> PathBuf {
        self.root.join(format!("{name}@{STAGING}"))
    }

    /// A file of the main repository.
    fn kubernetes(&self, path: &str) -> PathBuf {
        self.root.join(format!("kubernetes@{KUBERNETES}")).join(path)
    }

    /// The folder of a package that OpenAPI names (`io.k8s.api.apps.v1`); nothing for one that is not upstream's.
    fn package(&self, package: &str) -> Option<PathBuf> {
        let (module, path) = package.strip_prefix("io.k8s.")?.split_once('.')?;
        PACKAGES.contains(&module).then(|| self.module(module).join(path.replace('.', "/")))
    }
}
