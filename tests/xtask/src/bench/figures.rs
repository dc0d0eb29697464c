//! What one run of a load came to, whatever the program; and the median of several.

use serde::Deserialize;

use super::table::median;

/// Latencies in milliseconds.
#[derive(Clone, Copy)]
pub struct Figures {
    /// Requests, handshakes or messages.
    pub done: u64,
    pub per_second: f64,
    pub p50: f64,
    pub p99: f64,
    pub p999: f64,
    pub errors: u64,
}

/// What the load programs of tests/bench print.
#[derive(Deserialize)]
pub struct Printed {
    done: u64,
    seconds: f64,
    p50_ms: f64,
    p99_ms: f64,
    p999_ms: f64,
    errors: u64,
}

impl From<Printed> for Figures {
    fn from(printed: Printed) -> Self {
        let Printed { done, seconds, p50_ms, p99_ms, p999_ms, errors } = printed;
        Self { done, per_second: done as f64 / seconds, p50: p50_ms, p99: p99_ms, p999: p999_ms, errors }
    }
}

/// What one proxy did in one row, a figure a round.
#[derive(Default)]
pub struct Score {
    pub runs: Vec<Run>,
    /// System calls a request, where they were counted.
    pub calls: Option<f64>,
}

/// One round.
#[derive(Clone, Copy)]
pub struct Run {
    pub figures: Figures,
    pub cpu_micros: f64,
    pub resident_bytes: u64,
}

impl Score {
    /// The median over the rounds; nothing without one.
    pub fn median(&self, of: impl Fn(&Run) -> f64) -> Option<f64> {
        median(self.runs.iter().map(of).collect())
    }

    pub fn errors(&self) -> u64 {
        self.runs.iter().map(|run| run.figures.errors).sum()
    }
}
