//! How long things took, as Prometheus text. It knows no name of a metric.

use std::array;
use std::fmt::{Arguments, Write as _};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Durations in `N` buckets.
#[derive(Debug)]
pub(crate) struct Histogram<const N: usize> {
    bounds_s: &'static [f64; N],
    /// Each only what the one before does not hold.
    buckets: [AtomicU64; N],
    count: AtomicU64,
    sum_us: AtomicU64,
}

impl<const N: usize> Histogram<N> {
    /// An empty one; `bounds_s` are the buckets' upper bounds in seconds, from the smallest.
    pub(crate) fn new(bounds_s: &'static [f64; N]) -> Self {
        let buckets = array::from_fn(|_| AtomicU64::new(0));
        Self { bounds_s, buckets, count: AtomicU64::new(0), sum_us: AtomicU64::new(0) }
    }

    pub(crate) fn observe(&self, took: Duration) {
        let took_s = took.as_secs_f64();
        if let Some(at) = self.bounds_s.iter().position(|bound| took_s <= *bound) {
            self.buckets[at].fetch_add(1, Relaxed);
        }
        self.count.fetch_add(1, Relaxed);
        self.sum_us.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }

    pub(crate) fn count(&self) -> u64 {
        self.count.load(Relaxed)
    }

    /// Appends the sum of several, which have the same bounds.
    pub(crate) fn render(all: &[&Self], name: &str, labels: &str, out: &mut String) {
        let Some(first) = all.first() else { return };
        let sum = |of: &dyn Fn(&Self) -> u64| all.iter().map(|one| of(one)).sum::<u64>();
        let mut below = 0;
        for (at, bound) in first.bounds_s.iter().enumerate() {
            below += sum(&|one| one.buckets[at].load(Relaxed));
            line(out, format_args!("{name}_bucket{{{labels},le=\"{bound}\"}} {below}"));
        }
        let count = sum(&Self::count);
        let sum_s = Duration::from_micros(sum(&|one| one.sum_us.load(Relaxed))).as_secs_f64();
        line(out, format_args!("{name}_bucket{{{labels},le=\"+Inf\"}} {count}"));
        line(out, format_args!("{name}_sum{{{labels}}} {sum_s}"));
        line(out, format_args!("{name}_count{{{labels}}} {count}"));
    }
}

/// Appends one line.
pub(crate) fn line(out: &mut String, text: Arguments<'_>) {
    writeln!(out, "{text}").expect("a String takes any text");
}
