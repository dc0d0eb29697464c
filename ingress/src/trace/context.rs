//! `traceparent` as it comes and goes, and the numbers in it.
//!
//! Pure but for the counters that ids come from. Source: W3C Trace Context, level 2, §3.2 and §4.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderMap, HeaderName, HeaderValue};

pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The bits of a trace's number that are sure to be random.
const RANDOM: u64 = (1 << 56) - 1;
const SAMPLED: u8 = 1;
/// Of version 0: two digits, 32, 16, two, and dashes between them.
pub const LENGTH: usize = 55;

/// A trace, and who in it asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context {
    pub trace: u128,
    /// Nobody for a trace that begins here.
    pub parent: Option<u64>,
    pub sampled: bool,
}

impl Context {
    /// What the caller says, if it is said once and makes sense.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut all = headers.get_all(TRACEPARENT).iter();
        let (Some(one), None) = (all.next(), all.next()) else { return None };
        Self::read(one.as_bytes())
    }

    /// What one value of the field says.
    #[must_use]
    pub fn read(text: &[u8]) -> Option<Self> {
        let dashes = text.len() >= LENGTH && [2, 35, 52].iter().all(|at| text[*at] == b'-');
        if !dashes {
            return None;
        }
        let version = hexadecimal(&text[..2])?;
        // A later version may say more, behind another dash.
        let fits = match version {
            0 => text.len() == LENGTH,
            0xff => false,
            _ => text.get(LENGTH).is_none_or(|next| *next == b'-'),
        };
        let trace = hexadecimal(&text[3..35]).filter(|trace| *trace != 0)?;
        let parent = hexadecimal(&text[36..52]).filter(|parent| *parent != 0)?;
        let flags = hexadecimal(&text[53..LENGTH])?;
        fits.then_some(Self {
            trace,
            parent: Some(u64::try_from(parent).ok()?),
            sampled: u8::try_from(flags).ok()? & SAMPLED != 0,
        })
    }
}

/// Whether a trace is one of so many of 2^56: every process that asks says the same.
#[must_use]
pub fn is_within(trace: u128, share: u64) -> bool {
    trace & u128::from(RANDOM) < u128::from(share)
}

/// Lower case only, as the standard wants it.
fn hexadecimal(text: &[u8]) -> Option<u128> {
    text.iter().try_fold(0, |number: u128, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(value))
    })
}

/// The field that says who asks.
#[must_use]
pub fn write(trace: u128, span: u64, sampled: bool) -> HeaderValue {
    let text = format!("00-{trace:032x}-{span:016x}-{:02x}", u8::from(sampled));
    HeaderValue::from_str(&text).expect("digits and dashes are a header value")
}

/// Of 2^56 as many as `ratio`.
#[must_use]
pub fn share(ratio: f64) -> u64 {
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    // it is between 0 and 2^56
    let share = (ratio.clamp(0.0, 1.0) * (RANDOM + 1) as f64) as u64;
    share
}

/// Numbers that nobody else has, by chance.
pub struct Ids {
    seeds: [u64; 2],
    count: AtomicU64,
}

impl Default for Ids {
    fn default() -> Self {
        // RandomState is seeded by the operating system.
        let random = RandomState::new();
        Self { seeds: [random.hash_one(0), random.hash_one(1)], count: AtomicU64::new(0) }
    }
}

impl Ids {
    /// A number for a trace.
    pub fn trace(&self) -> u128 {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let half = |seed| u128::from(scrambled(count, seed));
        (half(self.seeds[0]) << 64 | half(self.seeds[1])).max(1)
    }

    /// A number for a span.
    pub fn span(&self) -> u64 {
        scrambled(self.count.fetch_add(1, Ordering::Relaxed), self.seeds[0] ^ self.seeds[1].rotate_left(32)).max(1)
    }
}

/// SplitMix64.
fn scrambled(count: u64, seed: u64) -> u64 {
    let mut mixed = seed.wrapping_add(count.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{Context, Ids, is_within, share, write};

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const PARENT: &str = "00f067aa0ba902b7";

    /// Ingress: 31
    #[test]
    fn what_a_caller_says_is_read_to_the_letter() {
        let good = |text: String| Context::read(text.as_bytes()).unwrap_or_else(|| panic!("{text}"));
        assert!(good(format!("00-{TRACE}-{PARENT}-01")).sampled);
        assert!(!good(format!("00-{TRACE}-{PARENT}-02")).sampled);
        assert!(good(format!("cc-{TRACE}-{PARENT}-09-more")).sampled, "of a version to come");
        let one = good(format!("00-{TRACE}-{PARENT}-01"));
        assert_eq!(write(one.trace, one.parent.expect("a parent"), true), format!("00-{TRACE}-{PARENT}-01"));
        let zeros = "0".repeat(32);
        for bad in [
            String::new(),
            format!("00-{TRACE}-{PARENT}-1"),
            format!("00-{TRACE}-{PARENT}-01-more"),
            format!("ff-{TRACE}-{PARENT}-01"),
            format!("cc-{TRACE}-{PARENT}-01more"),
            format!("00-{zeros}-{PARENT}-01"),
            format!("00-{TRACE}-{}-01", &zeros[..16]),
            format!("00-{}-{PARENT}-01", TRACE.to_uppercase()),
            format!("00-{TRACE}-{PARENT}-0g"),
            format!("00_{TRACE}_{PARENT}_01"),
        ] {
            assert_eq!(Context::read(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn a_share_of_the_traces_is_that_share() {
        let ids = Ids::default();
        for (ratio, low, high) in [(0.0, 0, 0), (0.25, 2200, 2800), (1.0, 10_000, 10_000)] {
            let within = |_: &i32| is_within(ids.trace(), share(ratio));
            let count = (0..10_000).filter(within).count();
            assert!((low..=high).contains(&count), "{ratio}: {count}");
        }
        let spans: HashSet<u64> = (0..10_000).map(|_| ids.span()).collect();
        assert_eq!(spans.len(), 10_000);
    }
}
