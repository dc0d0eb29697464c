//! How long a request waits for its answer: as long as it may where its bytes are acknowledged, a moment where nobody is there.
//!
//! Looks only when a request has waited for a while; must not know how connections are spoken over.

use std::time::{Duration, Instant};

use crate::announce::Ends;
use crate::clock;
use crate::failure::Cause;
use crate::proxy::Proxy;
use crate::proxy::upstream::hearing::{self, Hearing};
use crate::route::{Backend, Endpoint};

/// Most requests are answered before anybody looks.
const FIRST: Duration = Duration::from_millis(500);
/// While something is not acknowledged yet.
const CLOSE: Duration = Duration::from_millis(100);
/// Between two looks after a peer that has everything: it may take its time.
const LONGEST: Duration = Duration::from_secs(2);

const FAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// One request's wait for the head of its answer.
#[derive(Debug)]
pub struct Vigil {
    end: Instant,
    next: Instant,
    pause: Duration,
    /// Since when nothing is acknowledged.
    silent: Option<Instant>,
    /// The clock's milliseconds at its beginning.
    since: u64,
}

/// A request on its way.
#[derive(Clone, Copy)]
pub struct Waiting<'w> {
    pub backend: &'w Backend,
    pub endpoint: &'w Endpoint,
    /// Of the connection that it was sent over.
    pub ends: Option<Ends>,
    /// Until when it may be sent to somebody else, by the clock's milliseconds; 0 for never.
    pub moves_until: u64,
}

/// What a look has shown.
#[derive(Debug, Clone, Copy)]
struct Seen {
    hearing: Hearing,
    /// How long nothing may be acknowledged.
    patience: Duration,
    /// Others have found the endpoint gone.
    forsaken: bool,
}

impl Vigil {
    /// A wait from `began` on that ends after `limit` at the latest.
    #[must_use]
    pub fn new((began, since): (Instant, u64), limit: Duration) -> Self {
        Self { end: after(began, limit), next: began + FIRST, pause: FIRST, silent: None, since }
    }

    /// When somebody has to look.
    #[must_use]
    pub fn due(&self) -> Instant {
        self.next.min(self.end)
    }

    /// It may wait as long again.
    pub fn extend(&mut self, limit: Duration) {
        self.end = after(Instant::now(), limit);
    }

    /// Why there is no use in waiting on, if so.
    fn judge(&mut self, now: Instant, seen: Seen) -> Option<Cause> {
        if now >= self.end {
            return Some(Cause::ResponseTimeout);
        }
        let in_vain = match seen.hearing {
            Hearing::Nothing => {
                self.next = now + CLOSE;
                now.duration_since(*self.silent.get_or_insert(now)) >= seen.patience
            }
            Hearing::Open => {
                (self.silent, self.next) = (None, now + CLOSE);
                false
            }
            Hearing::Well | Hearing::Unknown => {
                (self.silent, self.next) = (None, now + self.pause);
                self.pause = (self.pause * 2).min(LONGEST);
                seen.forsaken
            }
        };
        in_vain.then_some(Cause::Vanished)
    }
}

/// Times that no clock can tell are as good as [`FAR`].
fn after(began: Instant, limit: Duration) -> Instant {
    began.checked_add(limit).unwrap_or(began + FAR)
}

impl Proxy {
    /// Looks after a request whose wait is due: why there is no use in waiting on, if so.
    pub fn look(&self, vigil: &mut Vigil, waiting: Waiting<'_>) -> Option<Cause> {
        let hearing = waiting.ends.map_or(Hearing::Unknown, hearing::of);
        // Who can be asked elsewhere loses nothing by it; others hope that the peer is back in a moment.
        let now = clock::now();
        let moves = now < waiting.moves_until && waiting.backend.has_another(waiting.endpoint, now);
        let patience = if moves { Duration::ZERO } else { self.timeouts.unacknowledged };
        let forsaken = moves && waiting.endpoint.has_vanished(vigil.since);
        vigil.judge(Instant::now(), Seen { hearing, patience, forsaken })
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{CLOSE, FIRST, LONGEST, Seen, Vigil};
    use crate::failure::Cause;
    use crate::proxy::upstream::hearing::Hearing;

    const MINUTE: Duration = Duration::from_secs(60);

    fn seen(hearing: Hearing) -> Seen {
        Seen { hearing, patience: Duration::ZERO, forsaken: false }
    }

    /// Ingress: 61
    #[test]
    fn a_slow_endpoint_has_its_time_and_a_silent_one_has_not() {
        let began = Instant::now();
        let at = |ms: u64| began + Duration::from_millis(ms);
        let mut slow = Vigil::new((began, 1), MINUTE);
        let mut looks = 0;
        while slow.due() < began + MINUTE {
            let due = slow.due();
            assert_eq!(slow.judge(due, seen(Hearing::Well)), None);
            assert!(slow.due() > due && slow.due() <= due + LONGEST);
            looks += 1;
        }
        assert!(looks < 40, "{looks}");
        assert_eq!(slow.judge(began + MINUTE, seen(Hearing::Well)), Some(Cause::ResponseTimeout));

        let mut gone = Vigil::new((began, 1), MINUTE);
        assert_eq!(gone.due(), began + FIRST);
        assert_eq!(gone.judge(at(500), seen(Hearing::Open)), None);
        assert_eq!(gone.due(), at(500) + CLOSE);
        assert_eq!(gone.judge(at(600), seen(Hearing::Nothing)), Some(Cause::Vanished));

        let mut fixed = Vigil::new((began, 1), MINUTE);
        let patient = Seen { patience: Duration::from_secs(3), ..seen(Hearing::Nothing) };
        for (ms, hearing, wanted) in [
            (500, Hearing::Nothing, None),
            (3_400, Hearing::Nothing, None),
            // It was only for a moment.
            (3_450, Hearing::Well, None),
            (3_600, Hearing::Nothing, None),
            (6_500, Hearing::Nothing, None),
            (6_600, Hearing::Nothing, Some(Cause::Vanished)),
        ] {
            assert_eq!(fixed.judge(at(ms), Seen { hearing, ..patient }), wanted, "{ms}");
        }
        let mut left = Vigil::new((began, 1), MINUTE);
        let forsaken = Seen { forsaken: true, ..seen(Hearing::Well) };
        assert_eq!(left.judge(at(500), forsaken), Some(Cause::Vanished));
        let mut brief = Vigil::new((began, 1), Duration::from_millis(50));
        assert_eq!((brief.due(), brief.judge(at(50), seen(Hearing::Open))), (at(50), Some(Cause::ResponseTimeout)));
        brief.extend(MINUTE);
        assert!(brief.due() > at(50));
        let mut endless = Vigil::new((began, 1), Duration::MAX);
        endless.extend(Duration::MAX);
        assert_eq!(endless.due(), began + FIRST);
    }
}
