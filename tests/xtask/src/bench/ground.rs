//! What every contestant stands on: real members, and the tools on the PATH.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command};

use anyhow::{Context, Result, bail};

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
pub struct Running {
    child: Child,
    said: Option<BufReader<ChildStdout>>,
}

impl Running {
    /// # Errors
    /// It cannot be started.
    pub fn start(command: &mut Command) -> Result<Self> {
        let mut child = command.spawn().with_context(|| format!("start {}", invoke::line(command)))?;
        let said = child.stdout.take().map(BufReader::new);
        Ok(Self { child, said })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its standard input, if that is a pipe.
    ///
    /// # Errors
    /// It is none.
    pub fn stdin(&mut self) -> Result<&mut ChildStdin> {
        self.child.stdin.as_mut().context("standard input is no pipe")
    }

    /// The next line of its standard output, if that is a pipe; empty at the end.
    ///
    /// # Errors
    /// It is none, or cannot be read.
    pub fn read_line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.said.as_mut().context("standard output is no pipe")?.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// The system cannot say.
    pub fn wait(&mut self) -> Result<()> {
        self.child.wait()?;
        Ok(())
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// The system cannot say.
    pub fn ended(&mut self) -> Result<Option<std::process::ExitStatus>> {
        Ok(self.child.try_wait()?)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Err(error) = end_tree(&mut self.child) {
            eprintln!("end {}: {error:#}", self.child.id());
        }
    }
}

/// Ends the process and the workers that it started.
fn end_tree(child: &mut Child) -> Result<()> {
    if child.try_wait()?.is_some() {
        return Ok(());
    }
    let tree = super::cpu::tree(child.id())?;
    child.kill()?;
    child.wait()?;
    for pid in tree.into_iter().filter(|pid| *pid != child.id()) {
        // A worker that ends with its parent is gone by now: that is as good.
        drop(invoke::attempt(&mut invoke::command("kill", ["-KILL", &pid.to_string()]))?);
    }
    Ok(())
}
