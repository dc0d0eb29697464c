//! The paced requests that run beside everything else, and what became of them.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};
use serde::Deserialize;

use crate::bench::{Report, StartedLoad};

/// Of 100 POSTs a second, those of a moment; a busy machine makes it longer.
const UNDER_WAY: usize = 20;

/// The load, running.
pub struct Pace {
    load: StartedLoad,
}

/// What it said at its end.
#[derive(Deserialize)]
pub struct Said {
    #[serde(flatten)]
    report: Report,
    posts_failed: usize,
    failures: Vec<String>,
    pub certificates: usize,
}

/// Which failures are allowed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    Nothing,
    /// What was on its way to pods when they died, so many times, and must not be sent twice.
    PostsUnderWay(usize),
}

impl Pace {
    /// Returns when the first request has been answered.
    ///
    /// # Errors
    /// It was not.
    pub fn start(command: &mut Command, log: &Path) -> Result<Self> {
        Ok(Self { load: StartedLoad::connect(command, log)? })
    }

    /// Ends it and waits for the last answers.
    ///
    /// # Errors
    /// It broke.
    pub fn end(mut self) -> Result<Said> {
        self.load.run()
    }
}

impl Said {
    /// The same, printed.
    #[must_use]
    pub fn told(self, during: &str) -> Self {
        let Report { done, p50_ms, p99_ms, p999_ms, errors, .. } = &self.report;
        let posts = self.posts_failed;
        println!(
            "         {during}: {done} answers, p50 {p50_ms:.1} ms, p99 {p99_ms:.1} ms, p99.9 {p999_ms:.1} ms, \
             {errors} lost ({posts} of them POSTs)"
        );
        self
    }

    /// # Errors
    /// More was lost; with the first of it.
    pub fn lost_at_most(&self, allowed: Lost) -> Result<()> {
        let posts = match allowed {
            Lost::Nothing => 0,
            Lost::PostsUnderWay(times) => times * UNDER_WAY,
        };
        if self.report.errors > self.posts_failed || self.posts_failed > posts {
            bail!("{} requests were lost:\n{}", self.report.errors, self.failures.join("\n"));
        }
        Ok(())
    }
}
