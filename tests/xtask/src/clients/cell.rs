//! One cell of the matrix: one client's script for one verb, in a namespace and a home of its own.

use std::fmt;
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::roster::{Entrant, Provisioned};
use crate::invoke;

/// A script that hangs is a failed cell, not a hung matrix. The longest cell takes about a minute.
const LIMIT: &str = "240";
/// What `timeout` exits with when the limit has passed.
const TIMED_OUT: i32 = 124;
/// How a script says that it does not apply; its reason is in the file `skipped`.
const SKIPPED: i32 = 75;
/// Lines of a failed cell's log that are shown.
const SHOWN: usize = 30;

/// What every cell stands on.
pub struct Ground {
    pub scripts: PathBuf,
    pub kubeconfig: PathBuf,
    pub folder: PathBuf,
    pub provisioned: Provisioned,
}

pub struct Cell {
    pub entrant: &'static Entrant,
    pub verb: String,
}

pub enum Kind {
    Passed,
    Failed(String),
    Skipped(String),
}

pub struct Verdict {
    pub kind: Kind,
    pub seconds: f64,
    log: PathBuf,
}

impl Verdict {
    pub fn word(&self) -> &'static str {
        match self.kind {
            Kind::Passed => "ok",
            Kind::Failed(_) => "FAILED",
            Kind::Skipped(_) => "skipped",
        }
    }

    /// The end of a failed cell's log.
    pub fn excerpt(&self) -> Option<String> {
        if !matches!(self.kind, Kind::Failed(_)) {
            return None;
        }
        let log = fs::read(&self.log).unwrap_or_else(|error| error.to_string().into_bytes());
        let text = String::from_utf8_lossy(&log).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        let from = lines.len().saturating_sub(SHOWN);
        Some(lines[from..].iter().map(|line| format!("  | {line}\n")).collect())
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}", self.entrant.name, self.verb)
    }
}

impl Cell {
    pub fn new(entrant: &'static Entrant, verb: String) -> Self {
        Self { entrant, verb }
    }

    pub fn run(&self, ground: &Ground) -> Verdict {
        let started = Instant::now();
        let folder = ground.folder.join(self.entrant.name).join(&self.verb);
        let kind = self.attempt(ground, &folder).unwrap_or_else(|error| Kind::Failed(format!("{error:#}")));
        Verdict { kind, seconds: started.elapsed().as_secs_f64(), log: folder.join("log") }
    }

    fn attempt(&self, ground: &Ground, folder: &Path) -> Result<Kind> {
        let environment = match ground.provisioned.get(self.entrant.name) {
            Some(Ok(environment)) => environment,
            Some(Err(why)) => return Ok(Kind::Skipped(why.clone())),
            None => bail!("nobody provisioned {}", self.entrant.name),
        };
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        fs::create_dir_all(folder)?;
        // A copy: verbs of kubectl write to their kubeconfig.
        let kubeconfig = folder.join("kubeconfig");
        fs::copy(&ground.kubeconfig, &kubeconfig).context("the endpoint's kubeconfig")?;
        let log = File::create(folder.join("log"))?;
        let mut script = invoke::command("timeout", ["--kill-after=10", LIMIT, "bash"]);
        script.arg(ground.scripts.join("prelude.sh"));
        script.arg(ground.scripts.join(self.entrant.family).join(&self.verb).with_extension("sh"));
        script.current_dir(folder).env("HOME", folder).env("TMPDIR", folder).env("KUBECONFIG", kubeconfig);
        script.env("NS", self.namespace()).env("CLIENT", self.entrant.name).env("CLIENTS", &ground.scripts);
        script.env_remove("XDG_CACHE_HOME").env_remove("XDG_CONFIG_HOME").env_remove("XDG_DATA_HOME");
        script.envs(environment.iter().map(|(name, value)| (name, value)));
        let status = script.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).status().context("start bash")?;
        Ok(match status.code() {
            Some(0) => Kind::Passed,
            Some(SKIPPED) => Kind::Skipped(fs::read_to_string(folder.join("skipped"))?.trim().to_owned()),
            Some(TIMED_OUT) => Kind::Failed(format!("not done after {LIMIT} s")),
            _ => Kind::Failed(last_word(folder).unwrap_or_else(|| format!("ended by signal {:?}", status.signal()))),
        })
    }

    /// `kubectl-1.37`, `apply` → `kubectl-1-37-apply`.
    fn namespace(&self) -> String {
        format!("{}-{}", self.entrant.name, self.verb).replace('.', "-")
    }
}

/// What the script said failed.
fn last_word(folder: &Path) -> Option<String> {
    fs::read_to_string(folder.join("failed")).ok().map(|text| text.trim().to_owned())
}
