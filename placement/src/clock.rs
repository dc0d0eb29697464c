//! The wall clock, for times that people read; the only place of placement that asks it.

use std::time::Duration;

use jiff::Timestamp;

/// Now, as RFC 3339 in UTC with seconds.
pub(crate) fn now() -> String {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now).to_string()
}

/// How long ago an RFC 3339 time was; nothing for what is no time or lies ahead.
pub(crate) fn since(text: &str) -> Option<Duration> {
    let then: Timestamp = text.parse().ok()?;
    u64::try_from(Timestamp::now().as_second() - then.as_second()).ok().map(Duration::from_secs)
}
