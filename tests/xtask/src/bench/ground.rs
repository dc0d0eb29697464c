//! What every contestant stands on: real members, and the tools on the PATH.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Child, Command};

use anyhow::{Result, bail};

use crate::e2e::hub::Hub;
use crate::e2e::members::{Members, Setup};
use crate::provision::{self, For, Toolbox};
use crate::{dist, e2e, invoke, paths};

/// The hub is dropped before the members it talks to.
pub struct Ground {
    pub hub: Hub,
    pub members: Members,
    pub toolbox: Toolbox,
    pub dir: PathBuf,
}

impl Ground {
    /// Starts that many members, with etcd syncing to the disk as it does in production.
    ///
    /// # Errors
    /// No root, no namespaces, or a program that cannot be built.
    pub fn prepare(title: &str, members: usize, no_build: bool) -> Result<Self> {
        if let Some(obstacle) = e2e::obstacle() {
            bail!(obstacle);
        }
        if !no_build {
            invoke::run(invoke::cargo().args(["build", "--release", "--locked", "--package", "bench"]))?;
            dist::build()?;
        }
        let programs = provision::rig::build()?;
        let toolbox = Toolbox::stock(For::All);
        let dir = paths::target().join("bench").join(title);
        if dir.exists() {
            std::fs::remove_dir_all(&dir)?;
        }
        std::fs::create_dir_all(&dir)?;
        let path: OsString = toolbox.path()?;
        let members = Members::start(Setup { programs, dir: dir.join("rig"), members, fsync: true, path })?;
        Ok(Self { hub: Hub::new(dir.join("hub")), members, toolbox, dir })
    }

    /// Starts the hub and joins every member.
    ///
    /// # Errors
    /// One of the two failed.
    pub fn start_hub(&mut self) -> Result<()> {
        self.hub.start(&self.members)?;
        for name in self.members.names() {
            self.hub.join(&self.members, name)?;
        }
        Ok(())
    }
}

/// A program of tests/bench.
pub fn program(name: &str) -> PathBuf {
    paths::target().join("release").join(name)
}

/// A contestant's process, ended when this is dropped.
pub struct Running(Child);

impl Running {
    /// # Errors
    /// It cannot be started.
    pub fn start(command: &mut Command) -> Result<Self> {
        Ok(Self(command.spawn()?))
    }

    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// The system cannot say.
    pub fn ended(&mut self) -> Result<Option<std::process::ExitStatus>> {
        Ok(self.0.try_wait()?)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Err(error) = cpu_tree_kill(&mut self.0) {
            eprintln!("end {}: {error:#}", self.0.id());
        }
    }
}

/// Ends the process and the workers that it started.
fn cpu_tree_kill(child: &mut Child) -> Result<()> {
    let tree = super::cpu::tree(child.id())?;
    child.kill()?;
    child.wait()?;
    for pid in tree.into_iter().filter(|pid| *pid != child.id()) {
        // A worker that ends with its parent is gone by now: that is as good.
        drop(invoke::attempt(&mut invoke::command("kill", ["-KILL", &pid.to_string()]))?);
    }
    Ok(())
}
