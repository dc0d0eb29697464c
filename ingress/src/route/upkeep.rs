//! How the endpoints of a service are looked after: when a failing one is kept out, how a new one is warmed up.
//!
//! Plain values with reasons for their defaults; one per backend, whatever its routes say.

use std::sync::Arc;
use std::time::Duration;

use http::header::HeaderValue;
use http::uri::Uri;

use crate::route::balance::scramble;
use crate::route::circuit::Circuit;
use crate::route::endpoint::Endpoint;

/// First ejection; doubles with each further one in close succession.
pub const EJECT_BASE_MS: u64 = 1_000;
/// Longest ejection: an endpoint that came back is found again within this time.
pub const EJECT_MAX_MS: u64 = 30_000;
/// Shortest interval of active checks.
pub const CHECK_MIN: Duration = Duration::from_millis(100);
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
    /// Asks endpoints how they are; none by default, since Kubernetes' readiness already says it.
    pub check: Option<Arc<HealthCheck>>,
    pub circuit: Option<Circuit>,
}

/// How endpoints are asked how they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// Path and query; 2xx and 3xx are well.
    pub path: Uri,
    /// Absent is the endpoint's address.
    pub host: Option<HeaderValue>,
    pub interval: Duration,
    pub timeout: Duration,
    /// Failures in a row that make an endpoint unwell.
    pub fails: u32,
    /// Successes in a row that make it well again.
    pub passes: u32,
}

/// A check that cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    #[error("{0:?} is no path")]
    Path(String),
    #[error("the interval is shorter than {CHECK_MIN:?}")]
    Interval,
    #[error("the timeout is 0 or longer than the interval")]
    Timeout,
    #[error("a threshold is 0")]
    Threshold,
}

impl HealthCheck {
    /// Asks for `path` every 10 seconds, gives 2 for the answer, and believes the third failure and the second success.
    ///
    /// # Errors
    /// [`CheckError::Path`]
    pub fn new(path: &str) -> Result<Self, CheckError> {
        let uri = Some(path).filter(|path| path.starts_with('/') && !path.contains('#'));
        let uri = uri.and_then(|path| path.parse().ok()).ok_or_else(|| CheckError::Path(path.to_owned()))?;
        let (interval, timeout) = (Duration::from_secs(10), Duration::from_secs(2));
        Ok(Self { path: uri, host: None, interval, timeout, fails: 3, passes: 2 })
    }

    /// The same at another pace.
    ///
    /// # Errors
    /// [`CheckError`] for a pace that endpoints or this process could not bear.
    pub fn paced(self, interval: Duration, timeout: Duration) -> Result<Self, CheckError> {
        if interval < CHECK_MIN {
            return Err(CheckError::Interval);
        }
        if timeout.is_zero() || timeout > interval {
            return Err(CheckError::Timeout);
        }
        Ok(Self { interval, timeout, ..self })
    }

    /// The same with other thresholds.
    ///
    /// # Errors
    /// [`CheckError::Threshold`]
    pub fn believing(mut self, fails: u32, passes: u32) -> Result<Self, CheckError> {
        if fails == 0 || passes == 0 {
            return Err(CheckError::Threshold);
        }
        (self.fails, self.passes) = (fails, passes);
        Ok(self)
    }
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{CheckError, HealthCheck};

    #[test]
    fn checks_that_cannot_be_made_are_refused() {
        for bad in ["", "health", "http://other/", "/a#b", "/a b", "/\u{1}"] {
            assert_eq!(HealthCheck::new(bad), Err(CheckError::Path(bad.into())), "{bad:?}");
        }
        let check = HealthCheck::new("/healthz?full=1").expect("a path");
        let paced = |interval, timeout| {
            check
                .clone()
                .paced(Duration::from_millis(interval), Duration::from_millis(timeout))
                .map(|check| check.fails)
        };
        assert_eq!(paced(1000, 500), Ok(3));
        assert_eq!(paced(10, 5), Err(CheckError::Interval));
        assert_eq!(paced(1000, 1001), Err(CheckError::Timeout));
        assert_eq!(paced(1000, 0), Err(CheckError::Timeout));
        assert!(check.believing(0, 1).is_err());
    }
}
