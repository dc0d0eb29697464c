//! The product under test: its server as a child in the outer namespace, and its command line.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::members::Members;
use super::wait;
use crate::{invoke, paths};

/// A cold start with an empty store takes well under a second; the machine may be busy.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// The server writes this once everything is ready.
#[derive(Deserialize, Clone)]
pub struct Endpoints {
    pub ingress: String,
    #[serde(rename = "ingressTLS")]
    pub ingress_tls: String,
    pub dns: String,
}

pub struct Hub {
    dir: PathBuf,
    /// What else it is told on its command line.
    words: Vec<String>,
    child: Option<Child>,
}

impl Hub {
    pub fn new(dir: PathBuf) -> Self {
        Self { dir, words: Vec::new(), child: None }
    }

    /// From its next start on.
    pub fn tell(&mut self, words: impl IntoIterator<Item = String>) {
        self.words.extend(words);
    }

    /// Starts the server and returns when it says that it is ready.
    ///
    /// # Errors
    /// It ended, or was not ready in time; its log says why.
    pub fn start(&mut self, members: &Members) -> Result<()> {
        fs::create_dir_all(&self.dir)?;
        let endpoints = self.dir.join("endpoints.json");
        if endpoints.exists() {
            fs::remove_file(&endpoints)?;
        }
        let binary = paths::fedgate();
        let mut serve = members.command(&binary.to_string_lossy(), ["serve", "--data-dir"]);
        serve.arg(&self.dir).args(&self.words).env("HOME", &self.dir).env_remove("KUBECONFIG");
        let log = File::options().create(true).append(true).open(self.log())?;
        let child = serve.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn();
        self.child = Some(child.context("start fedgate serve")?);
        let ended = wait::until("fedgate serve", READY_WITHIN, || {
            match self.child.as_mut().map(Child::try_wait).transpose()?.flatten() {
                Some(status) => Ok(Some(status)),
                None => self.endpoints().map(|_| None),
            }
        })?;
        if let Some(status) = ended {
            bail!("it ended: {status}");
        }
        Ok(())
    }

    /// The end of a process that is not asked: SIGKILL.
    ///
    /// # Errors
    /// It does not run.
    pub fn kill(&mut self) -> Result<()> {
        let mut child = self.child.take().context("the hub does not run")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// # Errors
    /// The server has not said yet that it is ready.
    pub fn endpoints(&self) -> Result<Endpoints> {
        let path = self.dir.join("endpoints.json");
        let raw = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        serde_json::from_slice(&raw).with_context(|| format!("read {}", path.display()))
    }

    pub fn kubeconfig(&self) -> PathBuf {
        self.dir.join("kubeconfig")
    }

    /// kubectl to the hub, as its administrator.
    pub fn kubectl<A: AsRef<OsStr>>(&self, members: &Members, arguments: impl IntoIterator<Item = A>) -> Command {
        let mut kubectl = members.command("kubectl", ["--kubeconfig"]);
        kubectl.arg(self.kubeconfig()).args(arguments).env("HOME", &self.dir);
        kubectl
    }

    /// The product's own command line, as the hub's administrator.
    pub fn fedgate<A: AsRef<OsStr>>(&self, members: &Members, arguments: impl IntoIterator<Item = A>) -> Command {
        let mut fedgate = members.command(&paths::fedgate().to_string_lossy(), arguments);
        fedgate.env("KUBECONFIG", self.kubeconfig()).env("HOME", &self.dir);
        fedgate
    }

    /// `fedgate cluster add` for one of the members, under the name it has in the rig.
    ///
    /// # Errors
    /// It was refused, or the member was not Ready in time.
    pub fn join(&self, members: &Members, name: &str) -> Result<()> {
        let mut add = self.fedgate(members, ["cluster", "add", name, "--yes", "--wait", "60s", "--context", name]);
        invoke::read(add.arg("--kubeconfig").arg(members.kubeconfig(name))).map(|_| ())
    }

    pub fn log(&self) -> PathBuf {
        self.dir.join("serve.log")
    }

    /// The end of the server's log.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn last_words(&self) -> Result<String> {
        const SHOWN: usize = 3000;
        if !self.log().exists() {
            return Ok(String::new());
        }
        let log = String::from_utf8_lossy(&fs::read(self.log())?).into_owned();
        let cut = log.char_indices().rev().nth(SHOWN).map_or(0, |(at, _)| at);
        Ok(log[cut..].to_owned())
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        if self.child.is_some()
            && let Err(error) = self.kill()
        {
            eprintln!("end the hub: {error:#}");
        }
    }
}
