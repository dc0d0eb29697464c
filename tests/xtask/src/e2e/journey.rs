//! What a journey carries from step to step, and how its steps are walked and told.

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::Value;

use super::hub::Hub;
use super::members::{Members, Setup};
use crate::provision::Toolbox;
use crate::{invoke, paths};

/// One step: what a reader calls it, and what it does.
pub type Step<T = Journey> = (&'static str, fn(&mut T) -> Result<()>);

#[derive(Default)]
pub struct Outcome {
    pub passed: usize,
    pub failed: Vec<String>,
    pub skipped: Vec<(String, String)>,
}

/// Dropped in this order: the hub first, then what it talks to.
pub struct Journey {
    pub hub: Hub,
    pub members: Members,
    /// How often the crash journey kills the hub.
    pub kills: u32,
    /// Objects whose creation the hub has acknowledged, in the crash journey.
    pub acknowledged: Vec<String>,
}

impl Journey {
    /// Starts the members; the hub is the first step's business.
    pub fn open(title: &str, programs: PathBuf, toolbox: &Toolbox, kills: u32) -> Result<Self> {
        let dir = paths::target().join("e2e").join(title);
        if dir.exists() {
            std::fs::remove_dir_all(&dir).with_context(|| format!("remove {}", dir.display()))?;
        }
        let setup = Setup { programs, dir: dir.join("rig"), members: 3, fsync: false, path: toolbox.path()? };
        let members = Members::start(setup)?;
        Ok(Self { hub: Hub::new(dir.join("hub")), members, kills, acknowledged: Vec::new() })
    }

    /// Walks the steps in order; what comes after a failure is skipped, as it builds on it.
    pub fn walk(&mut self, title: &str, steps: &[Step], outcome: &mut Outcome) {
        walk(self, (title, steps), outcome, Self::show_log);
    }

    fn show_log(&self) {
        match self.hub.last_words() {
            Ok(log) if log.is_empty() => {}
            Ok(log) => println!("--- the end of the hub's log ({})\n{log}", self.hub.dir().display()),
            Err(error) => println!("--- no log of the hub: {error:#}"),
        }
    }

    pub fn hub_kubectl(&self, line: &str) -> Command {
        self.hub.kubectl(&self.members, line.split_whitespace())
    }

    pub fn member_kubectl(&self, name: &str, line: &str) -> Command {
        self.members.kubectl(name, line.split_whitespace())
    }

    pub fn fedgate(&self, line: &str) -> Command {
        self.hub.fedgate(&self.members, line.split_whitespace())
    }

    /// A member's own answer to `kubectl get … -o json`.
    pub fn member_get(&self, name: &str, what: &str) -> Result<Value> {
        let answer = invoke::read(&mut self.member_kubectl(name, &format!("get {what} -o json")))?;
        serde_json::from_str(&answer).context("kubectl's JSON")
    }

    /// The hub's answer to `kubectl get … -o json`.
    pub fn hub_get(&self, what: &str) -> Result<Value> {
        let answer = invoke::read(&mut self.hub_kubectl(&format!("get {what} -o json")))?;
        serde_json::from_str(&answer).context("kubectl's JSON")
    }

    pub fn names(&self) -> Vec<String> {
        self.members.names().map(str::to_owned).collect()
    }
}

/// Walks the steps of whatever they are done to; `explain` shows more of a failure.
pub fn walk<T>(subject: &mut T, (title, steps): (&str, &[Step<T>]), outcome: &mut Outcome, explain: impl Fn(&T)) {
    let mut broken: Option<&str> = None;
    for (name, act) in steps {
        if let Some(earlier) = broken {
            outcome.skipped.push((format!("{title}: {name}"), format!("\"{earlier}\" failed before")));
            continue;
        }
        let started = Instant::now();
        match act(subject) {
            Ok(()) => {
                outcome.passed += 1;
                println!("  ok     {:6.1} s  {name}", started.elapsed().as_secs_f64());
            }
            Err(error) => {
                println!("  FAILED {:6.1} s  {name}\n{error:#}", started.elapsed().as_secs_f64());
                explain(subject);
                outcome.failed.push(format!("{title}: {name}"));
                broken = Some(name);
            }
        }
    }
}
