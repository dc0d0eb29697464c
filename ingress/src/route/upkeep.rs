//! How the endpoints of a service are looked after: when a failing one is kept out, how a new one is warmed up.
//!
//! Plain values with reasons for their defaults; one per backend, whatever its routes say.

use crate::route::balance::scramble;
use crate::route::endpoint::Endpoint;

/// First ejection; doubles with each further one in close succession.
pub const EJECT_BASE_MS: u64 = 1_000;
/// Longest ejection: an endpoint that came back is found again within this time.
pub const EJECT_MAX_MS: u64 = 30_000;
/// Doublings that are counted at all.
const EJECT_STEPS: u32 = 16;

/// When endpoints are kept out because of what requests met there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ejection {
    /// Failures in a row that we answer for: connection lost, no answer in time, no HTTP. 0 never ejects.
    pub broken: u32,
    /// Answers 5xx in a row of the endpoint itself. 0 never ejects.
    pub errors: u32,
    /// How many of 100 endpoints may be out for failing; those that cannot be reached at all are not bound by it.
    pub percent: u8,
    /// With fewer than this many of 100 that pass their checks, the checks are not believed.
    pub panic: u8,
    /// Milliseconds of the first ejection.
    pub base: u64,
    /// Milliseconds of the longest.
    pub longest: u64,
}

impl Default for Ejection {
    fn default() -> Self {
        Self { broken: 3, errors: 10, percent: 50, panic: 50, base: EJECT_BASE_MS, longest: EJECT_MAX_MS }
    }
}

impl Ejection {
    /// How long the `count`-th ejection in close succession lasts.
    pub(super) fn pause(&self, count: u32) -> u64 {
        let steps = count.saturating_sub(1).min(EJECT_STEPS);
        self.base.saturating_mul(1 << steps).min(self.longest)
    }
}

/// What a backend does for its endpoints.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Upkeep {
    pub ejection: Ejection,
    /// Milliseconds in which a new or returned endpoint comes to its full share; 0 gives it at once.
    pub slow_start: u64,
}

impl Upkeep {
    /// Whether an endpoint that warms up takes this turn: a tenth at first, then linearly more.
    pub(super) fn warm(&self, endpoint: &Endpoint, now: u64, turn: u64) -> bool {
        let age = endpoint.age(now);
        if age >= self.slow_start {
            return true;
        }
        let share = (age * 1000 / self.slow_start).max(100);
        scramble(turn ^ endpoint.id.rotate_left(32)) % 1000 < share
    }
}
