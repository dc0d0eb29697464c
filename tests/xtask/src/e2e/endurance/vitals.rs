//! What a process holds: whatever grows with time is a leak.

use std::fmt;
use std::fs;

use anyhow::{Context, Result, ensure};

/// Descriptors and threads that come and go.
const FEW: u64 = 64;
/// Memory that allocators keep and give back when it suits them, and the store's pages.
const SLACK_BYTES: u64 = 128 << 20;

#[derive(Debug, Clone, Copy)]
pub struct Vitals {
    descriptors: u64,
    threads: u64,
    resident_bytes: u64,
}

impl fmt::Display for Vitals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { descriptors, threads, resident_bytes } = self;
        write!(f, "{descriptors} descriptors, {threads} threads, {} MB", resident_bytes / 1_000_000)
    }
}

impl Vitals {
    /// # Errors
    /// There is no such process.
    pub fn of(pid: u32) -> Result<Self> {
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).context("descriptors")?.count() as u64;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).context("status")?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name}"))?;
            let number = line.split_whitespace().next().with_context(|| format!("nothing after {name}"))?;
            number.parse::<u64>().with_context(|| format!("{name} {number}"))
        };
        Ok(Self { descriptors, threads: field("Threads:")?, resident_bytes: field("VmRSS:")? * 1024 })
    }

    /// # Errors
    /// `after` holds more descriptors than those that come and go.
    pub fn has_let_go(&self, after: &Self) -> Result<()> {
        let (before, after) = (self.descriptors, after.descriptors);
        ensure!(after <= before + FEW, "descriptors grew from {before} to {after}");
        Ok(())
    }

    /// # Errors
    /// `after` holds more than what comes and goes.
    pub fn not_outgrown_by(&self, after: &Self) -> Result<()> {
        let grown = [
            ("descriptors", self.descriptors, after.descriptors, FEW),
            ("threads", self.threads, after.threads, FEW / 8),
            ("bytes of memory", self.resident_bytes, after.resident_bytes, SLACK_BYTES + self.resident_bytes / 4),
        ];
        for (what, before, after, slack) in grown {
            ensure!(after <= before + slack, "{what} grew from {before} to {after}");
        }
        Ok(())
    }
}
