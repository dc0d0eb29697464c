//! The time that answers take: a moving average that jumps up at once and comes down slowly (peak EWMA).
//!
//! One atomic word; two workers that write at once may lose one sample, which the next one makes good.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// In this time, in milliseconds, an old sample loses about two thirds of its weight.
const MEMORY_MS: f32 = 10_000.0;

/// Microseconds as `f32` in the high half, the sample's millisecond in the low half; 0 is nothing known.
#[derive(Debug, Default)]
pub(super) struct Latency(AtomicU64);

impl Latency {
    /// Takes one sample.
    pub(super) fn observe(&self, time: Duration, now: u64) {
        let sample = (time.as_secs_f32() * 1e6).max(1.0);
        let word = self.0.load(Ordering::Relaxed);
        let next = match split(word) {
            Some((average, at)) if sample < average => {
                let kept = kept(now, at);
                average.mul_add(kept, sample * (1.0 - kept))
            }
            _ => sample,
        };
        let stamp = now & u64::from(u32::MAX);
        self.0.store((u64::from(next.to_bits()) << 32) | stamp, Ordering::Relaxed);
    }

    /// The average at `now`: a high one fades while nobody asks, so that an endpoint gets another chance.
    pub(super) fn at(&self, now: u64) -> Option<f32> {
        let (average, at) = split(self.0.load(Ordering::Relaxed))?;
        Some(average * kept(now, at))
    }
}

fn split(word: u64) -> Option<(f32, u32)> {
    let low = u32::try_from(word & u64::from(u32::MAX)).expect("32 bits");
    let high = u32::try_from(word >> 32).expect("32 bits");
    (high != 0).then(|| (f32::from_bits(high), low))
}

/// What is left of a sample of `at`: close to `exp(-age / memory)`, without its cost.
fn kept(now: u64, at: u32) -> f32 {
    let now = u32::try_from(now & u64::from(u32::MAX)).expect("32 bits");
    #[allow(clippy::cast_precision_loss)] // ages matter to three digits
    let age = now.wrapping_sub(at) as f32 / MEMORY_MS;
    1.0 / (1.0 + age + age * age / 2.0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Latency;

    #[test]
    fn it_jumps_up_comes_down_slowly_and_fades_while_nobody_asks() {
        let latency = Latency::default();
        assert!(latency.at(5).is_none());
        latency.observe(Duration::from_millis(1), 5);
        assert!((latency.at(5).expect("known") - 1000.0).abs() < 1.0);
        latency.observe(Duration::from_millis(100), 6);
        assert!((latency.at(6).expect("known") - 100_000.0).abs() < 10.0, "a peak counts at once");
        latency.observe(Duration::from_millis(1), 106);
        let soon = latency.at(106).expect("known");
        assert!((98_000.0..100_000.0).contains(&soon), "{soon}");
        let later = latency.at(30_000).expect("known");
        assert!(later < 15_000.0, "{later}");
        // The low half of the clock may wrap.
        latency.observe(Duration::from_millis(9), (1 << 32) - 1);
        assert!(latency.at((1 << 32) + 9).expect("known") > 8_000.0);
    }
}
