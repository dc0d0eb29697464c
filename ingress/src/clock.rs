//! Milliseconds since this process began to count: small enough for one atomic, monotonic.

use std::sync::OnceLock;
use std::time::Instant;

/// Now, in milliseconds; never 0, so that 0 can mean "never".
#[must_use]
pub fn now() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let passed = START.get_or_init(Instant::now).elapsed().as_millis();
    u64::try_from(passed).map_or(u64::MAX, |passed| passed + 1)
}
