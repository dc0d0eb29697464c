//! The load programs of tests/bench: they connect, wait for a start signal, and print one line of JSON.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::ground::Running;

#[derive(Deserialize)]
pub struct Report {
    pub done: usize,
    pub seconds: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub p999_ms: f64,
    pub errors: usize,
}

/// A load program, connected and waiting for its start signal.
pub struct Load {
    running: Running,
    log: PathBuf,
}

impl Load {
    /// # Errors
    /// It did not get as far as `ready`; the error carries what it said.
    pub fn connect(command: &mut Command, log: &Path) -> Result<Self> {
        command.env("RUST_BACKTRACE", "0").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(File::create(log)?);
        let mut load = Self { running: Running::start(command)?, log: log.to_path_buf() };
        ensure!(load.running.read_line()? == "ready", "the load did not start: {}", load.complaint()?);
        Ok(load)
    }

    /// Gives the start signal and waits for the report.
    ///
    /// # Errors
    /// The load failed; the error carries what it said.
    pub fn run<R: serde::de::DeserializeOwned>(&mut self) -> Result<R> {
        self.running.stdin()?.write_all(b"start\n")?;
        let said = self.running.read_line()?;
        ensure!(!said.is_empty(), "the load failed: {}", self.complaint()?);
        serde_json::from_str(&said).with_context(|| format!("the load said: {said}"))
    }

    fn complaint(&self) -> Result<String> {
        Ok(fs::read_to_string(&self.log)?)
    }
}
