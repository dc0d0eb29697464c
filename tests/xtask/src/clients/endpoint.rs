//! The endpoint under test: `fedgate up` with simulated members, every port chosen by the system.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::e2e::wait;
use crate::{invoke, paths};

/// A start takes about a second; the machine may be busy.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// Long enough to drain every connection.
const STOPPED_WITHIN: Duration = Duration::from_secs(30);

pub struct Endpoint {
    dir: PathBuf,
    child: Child,
}

impl Endpoint {
    /// Returns when the endpoint is ready; state of an earlier run is forgotten.
    ///
    /// # Errors
    /// It does not start, or is not ready in time; its log says why.
    pub fn start(dir: &Path) -> Result<Self> {
        if dir.exists() {
            fs::remove_dir_all(dir)?;
        }
        fs::create_dir_all(dir)?;
        let mut up = invoke::command(paths::fedgate(), ["up", "--no-kubeconfig", "--members", "sim:3", "--dir"]);
        up.arg(dir).env("HOME", dir).env_remove("KUBECONFIG");
        for address in ["api", "ingress", "ingress-tls", "dns", "admin"] {
            up.arg(format!("--{address}-addr=127.0.0.1:0"));
        }
        let log = File::create(dir.join("log"))?;
        let child = up.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn();
        let mut endpoint = Self { dir: dir.to_owned(), child: child.context("start fedgate up")? };
        let ended = wait::until("fedgate up", READY_WITHIN, || {
            if let Some(status) = endpoint.child.try_wait()? {
                return Ok(Some(status));
            }
            fs::metadata(endpoint.dir.join("endpoints.json")).context("it is not ready").map(|_| None)
        })?;
        if let Some(status) = ended {
            bail!("fedgate up ended: {status}; see {}", dir.join("log").display());
        }
        Ok(endpoint)
    }

    pub fn kubeconfig(&self) -> PathBuf {
        self.dir.join("kubeconfig")
    }

    /// # Errors
    /// It does not end when asked, or had ended before.
    pub fn stop(mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("the endpoint ended while clients used it: {status}; see {}", self.dir.join("log").display());
        }
        let pid = self.child.id().to_string();
        invoke::read(&mut invoke::command("kill", ["-TERM", &pid]))?;
        let status =
            wait::until("the endpoint's end", STOPPED_WITHIN, || self.child.try_wait()?.context("it is still there"))?;
        if !status.success() {
            bail!("the endpoint ended with {status}");
        }
        Ok(())
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let ended = self.child.kill().and_then(|()| self.child.wait());
            if let Err(error) = ended {
                eprintln!("end the endpoint: {error}");
            }
        }
    }
}
