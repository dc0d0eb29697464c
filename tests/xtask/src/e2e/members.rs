//! The member clusters of one journey: started by the rig, gone when this is dropped,
//! or when this process ends in whatever way (the rig reads our end of a pipe).

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::invoke;

pub struct Setup {
    /// The folder that `provision::rig::build` returned.
    pub programs: PathBuf,
    /// Kubeconfigs, logs and the members' stores; what was there is removed.
    pub dir: PathBuf,
    pub members: usize,
    /// Whether etcd syncs its log to the disk.
    pub fsync: bool,
    pub path: OsString,
}

#[derive(Deserialize)]
struct RigState {
    members: Vec<Member>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Member {
    name: String,
    kubeconfig: PathBuf,
    pids: std::collections::BTreeMap<String, u32>,
}

pub struct Members {
    setup: Setup,
    rig: Child,
    state: RigState,
}

impl Members {
    /// Returns when every member's nodes are Ready.
    ///
    /// # Errors
    /// A member did not come up; the rig's log says why.
    pub fn start(setup: Setup) -> Result<Self> {
        fs::create_dir_all(&setup.dir)?;
        let log = setup.dir.join("rig.log");
        let mut up = invoke::command(setup.programs.join("rig"), ["up", "--until-eof", "--members"]);
        up.arg(setup.members.to_string()).arg("--dir").arg(&setup.dir).env("PATH", &setup.path);
        if setup.fsync {
            up.arg("--fsync");
        }
        up.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(File::create(&log)?);
        let mut rig = up.spawn().context("start the rig")?;
        let mut said = String::new();
        BufReader::new(rig.stdout.take().context("the rig's output")?).read_line(&mut said)?;
        if said.trim() != "ready" {
            rig.wait()?;
            bail!("the rig did not get ready: {}", fs::read_to_string(&log)?);
        }
        let raw = fs::read(setup.dir.join("rig.json")).context("rig.json")?;
        let state = serde_json::from_slice(&raw).context("rig.json")?;
        Ok(Self { setup, rig, state })
    }

    pub fn program(&self) -> PathBuf {
        self.setup.programs.join("rig")
    }

    /// The folder that the rig was started from.
    pub fn programs(&self) -> PathBuf {
        self.setup.programs.clone()
    }

    pub fn path(&self) -> OsString {
        self.setup.path.clone()
    }

    pub fn dir(&self) -> &Path {
        &self.setup.dir
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.state.members.iter().map(|member| member.name.as_str())
    }

    pub fn kubeconfig(&self, name: &str) -> &Path {
        &self.member(name).kubeconfig
    }

    /// The process id of one part of a member (`kube-apiserver`, `etcd`), as of the start.
    pub fn pid(&self, name: &str, part: &str) -> u32 {
        self.member(name).pids[part]
    }

    fn member(&self, name: &str) -> &Member {
        let found = self.state.members.iter().find(|member| member.name == name);
        found.expect("callers name members that the rig was asked for")
    }

    /// A command in the network namespace from which every member is reached. It dies with this process.
    pub fn command<A: AsRef<OsStr>>(&self, program: &str, arguments: impl IntoIterator<Item = A>) -> Command {
        let mut command = invoke::command(self.program(), ["exec", "--bound", "--dir"]);
        command.arg(&self.setup.dir).arg(program).args(arguments).env("PATH", &self.setup.path);
        command
    }

    /// The same inside a member's own namespace.
    pub fn command_in<A: AsRef<OsStr>>(
        &self,
        name: &str,
        program: &str,
        arguments: impl IntoIterator<Item = A>,
    ) -> Command {
        let mut command = invoke::command(self.program(), ["exec", "--bound", "--member", name, "--dir"]);
        command.arg(&self.setup.dir).arg(program).args(arguments).env("PATH", &self.setup.path);
        command
    }

    /// kubectl, straight to a member's own API server.
    pub fn kubectl<A: AsRef<OsStr>>(&self, name: &str, arguments: impl IntoIterator<Item = A>) -> Command {
        let mut kubectl = self.command("kubectl", ["--request-timeout=20s", "--kubeconfig"]);
        kubectl.arg(self.kubeconfig(name)).args(arguments).env("HOME", &self.setup.dir);
        kubectl
    }

    /// Breaks or mends something: `stop-api cont-api kill-api start-api link-down link-up`.
    ///
    /// # Errors
    /// The rig refuses, because that part is not in the state from which this is possible.
    pub fn fault(&self, name: &str, action: &str) -> Result<()> {
        let mut fault = invoke::command(self.program(), ["fault", "--dir"]);
        invoke::read(fault.arg(&self.setup.dir).args([name, action])).map(|_| ())
    }

    /// Every process of the rig, as of the start.
    pub fn pids(&self) -> Vec<u32> {
        let parts = self.state.members.iter().flat_map(|member| member.pids.values().copied());
        parts.chain([self.rig.id()]).collect()
    }

    /// Kills the supervisor alone, as no orderly end does.
    ///
    /// # Errors
    /// It has ended already.
    pub fn kill(&mut self) -> Result<()> {
        self.rig.kill().context("kill the rig")
    }

    /// Blocks until the rig ends by itself, which it does when a part of a member fails.
    ///
    /// # Errors
    /// It ended in failure.
    pub fn wait(mut self) -> Result<()> {
        let held_open = self.rig.stdin.take();
        let status = self.rig.wait()?;
        drop(held_open);
        if !status.success() {
            bail!("the rig ended: {status}: {}", fs::read_to_string(self.setup.dir.join("rig.log"))?);
        }
        Ok(())
    }
}

impl Drop for Members {
    fn drop(&mut self) {
        drop(self.rig.stdin.take());
        if let Err(error) = self.rig.wait() {
            eprintln!("wait for the rig: {error}");
        }
    }
}
