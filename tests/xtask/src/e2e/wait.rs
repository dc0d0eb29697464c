//! Waiting for what other processes do: a condition, a limit, and the last answer when it is not met.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Between two looks at another process; short against every limit used.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Repeats `look` until it succeeds.
///
/// # Errors
/// The last failure, when the limit has passed.
pub fn until<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Result<T>) -> Result<T> {
    let started = Instant::now();
    loop {
        match look() {
            Ok(found) => return Ok(found),
            Err(error) if started.elapsed() >= limit => {
                return Err(error).with_context(|| format!("{what}: not within {limit:?}"));
            }
            Err(_) => thread::sleep(LOOK_EVERY),
        }
    }
}

/// # Errors
/// The two differ.
pub fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: T, expected: T) -> Result<()> {
    if found != expected {
        bail!("{what}: {found:?}, expected {expected:?}");
    }
    Ok(())
}
