//! Waiting for something that shall happen: a look at it again and again, with a deadline.
//!
//! A test that fails says what it waited for and what it saw last.

use std::fmt::Debug;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);
/// For what takes milliseconds on an idle machine and must not fail on a busy one.
pub const SOON: Duration = Duration::from_secs(20);

/// Looks until it is so; the text of an `Err` says what was seen instead.
///
/// # Panics
/// When it is not so `within` the time.
pub async fn eventually<T>(what: &str, within: Duration, mut look: impl AsyncFnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + within;
    let mut last = "nothing, the first look did not end".to_owned();
    loop {
        match timeout_at(deadline, look()).await {
            Ok(Ok(found)) => return found,
            Ok(Err(seen)) => last = seen,
            Err(_) => panic!("{what}: not within {} s; last seen: {last}", within.as_secs_f32()),
        }
        assert!(Instant::now() < deadline, "{what}: not within {} s; last seen: {last}", within.as_secs_f32());
        sleep(LOOK).await;
    }
}

/// `Err` with both sides where they differ.
///
/// # Errors
/// The text for [`eventually`].
pub fn same<T: PartialEq + Debug>(what: &str, seen: T, wanted: T) -> Result<(), String> {
    if seen == wanted { Ok(()) } else { Err(format!("{what} is {seen:?}, not {wanted:?}")) }
}

/// `Err` with `what` where it does not hold.
///
/// # Errors
/// The text for [`eventually`].
pub fn holds(so: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if so { Ok(()) } else { Err(what()) }
}
