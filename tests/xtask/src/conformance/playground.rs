//! The server under test: `fedgate up` in a folder of its own, ended when it is dropped.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::{invoke, paths};

/// A playground is ready within two seconds; the machine may be busy.
const READY_WITHIN: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(100);

pub struct Playground {
    dir: PathBuf,
    child: Child,
}

/// Makes the release binary, unless `FEDGATE_BINARY` names one.
///
/// # Errors
/// It does not compile.
pub fn build() -> Result<PathBuf> {
    if std::env::var_os("FEDGATE_BINARY").is_none() {
        invoke::run(invoke::cargo().args(["build", "--release", "--locked", "--package", "fedgate"]))?;
    }
    Ok(paths::fedgate())
}

impl Playground {
    /// # Errors
    /// It ended, or was not ready in time.
    pub fn start(binary: &Path, dir: PathBuf) -> Result<Self> {
        // A server that was killed says still where it was.
        if dir.exists() {
            fs::remove_dir_all(&dir)?;
        }
        fs::create_dir_all(&dir)?;
        let log = File::create(dir.join("up.log"))?;
        let mut up = Command::new(binary);
        up.args(["up", "--fresh", "--no-kubeconfig", "--dir"]).arg(&dir);
        for address in ["api", "ingress", "ingress-tls", "dns", "admin"] {
            up.arg(format!("--{address}-addr")).arg("127.0.0.1:0");
        }
        up.env("HOME", &dir).env_remove("KUBECONFIG").stdin(Stdio::null());
        let child = up.stdout(log.try_clone()?).stderr(log).spawn().context("start fedgate up")?;
        let mut playground = Self { dir, child };
        playground.wait()?;
        Ok(playground)
    }

    fn wait(&mut self) -> Result<()> {
        let until = Instant::now() + READY_WITHIN;
        while !self.dir.join("endpoints.json").is_file() {
            if let Some(status) = self.child.try_wait()? {
                bail!("fedgate up ended ({status}): {}", self.dir.join("up.log").display());
            }
            if Instant::now() > until {
                bail!("fedgate up is not ready: {}", self.dir.join("up.log").display());
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn kubeconfig(&self) -> PathBuf {
        self.dir.join("kubeconfig")
    }
}

impl Drop for Playground {
    fn drop(&mut self) {
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait()) {
            eprintln!("fedgate up did not end: {error}");
        }
    }
}
