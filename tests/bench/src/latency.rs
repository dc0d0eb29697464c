//! What a load program prints: one line of JSON.

use std::time::Duration;

use serde::Serialize;

/// How often something was done, in what time, and how long one took.
#[derive(Serialize)]
pub struct Report {
    pub done: usize,
    pub seconds: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub p999_ms: f64,
    /// What was tried and is not in the other figures.
    pub errors: usize,
}

impl Report {
    /// Sorts the samples, one for each time it was done.
    pub fn of(mut samples: Vec<Duration>, elapsed: Duration) -> Self {
        samples.sort_unstable();
        Self {
            done: samples.len(),
            seconds: elapsed.as_secs_f64(),
            p50_ms: quantile(&samples, 500),
            p99_ms: quantile(&samples, 990),
            p999_ms: quantile(&samples, 999),
            errors: 0,
        }
    }
}

/// Milliseconds; 0 of nothing.
fn quantile(sorted: &[Duration], permille: usize) -> f64 {
    let index = (sorted.len() * permille).div_ceil(1000).saturating_sub(1);
    sorted.get(index).map_or(0.0, |sample| sample.as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Report;

    #[test]
    fn quantiles_are_samples() {
        let samples = (1..=200).rev().map(Duration::from_millis).collect();
        let report = Report::of(samples, Duration::from_secs(2));
        assert_eq!((report.done, report.p50_ms, report.p99_ms, report.p999_ms), (200, 100.0, 198.0, 200.0));
        assert_eq!(Report::of(Vec::new(), Duration::ZERO).p99_ms, 0.0);
    }
}
