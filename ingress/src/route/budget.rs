//! The retry budget of a service: a share of its requests and a few a second, so that retries never become the load.
//!
//! Asked only when something is to be retried: a request that succeeds costs nothing here.

use parking_lot::Mutex;

/// Retries per 1,000 requests.
const SHARE: u64 = 200;
/// Retries per second whatever the number of requests.
const A_SECOND: u64 = 10;
/// Milliseconds that a budget can be saved up for.
const WINDOW_MS: u64 = 10_000;
/// A retry in the thousandths that the budget is counted in.
const ONE: u64 = 1_000;

/// Shared by all workers and all routes to one service.
#[derive(Debug, Default)]
pub struct Budget {
    /// Guards a few numbers; taken on retries only and never across a wait.
    state: Mutex<Option<State>>,
}

#[derive(Debug)]
struct State {
    left: u64,
    /// Requests and the time when it was last counted.
    requests: u64,
    now: u64,
    /// Requests of about one window.
    recent: u64,
}

impl Budget {
    /// Takes one retry off; `requests` is how many there have been so far.
    pub fn spend(&self, requests: u64, now: u64) -> bool {
        let mut state = self.state.lock();
        let first = State { left: A_SECOND * WINDOW_MS, requests: 0, now: 0, recent: 0 };
        let state = state.get_or_insert(first);
        state.refill(requests, now);
        let enough = state.left >= ONE;
        if enough {
            state.left -= ONE;
        }
        enough
    }
}

impl State {
    fn refill(&mut self, requests: u64, now: u64) {
        let (new, passed) = (requests.saturating_sub(self.requests), now.saturating_sub(self.now));
        self.recent = match WINDOW_MS.checked_sub(passed) {
            Some(rest) => self.recent * rest / WINDOW_MS + new,
            None => new.saturating_mul(WINDOW_MS) / passed,
        };
        // The seconds' share comes in thousandths by the millisecond.
        let earned = new.saturating_mul(SHARE).saturating_add(passed.saturating_mul(A_SECOND));
        let most = A_SECOND * WINDOW_MS + self.recent.saturating_mul(SHARE);
        self.left = self.left.saturating_add(earned).min(most);
        // Workers come in any order.
        (self.requests, self.now) = (self.requests.max(requests), self.now.max(now));
    }
}

#[cfg(test)]
mod tests {
    use super::Budget;

    /// Ingress: 61
    #[test]
    fn retries_stay_below_a_fifth_of_the_requests_and_ten_a_second() {
        let budget = Budget::default();
        // A minute at 1,000 requests a second, each of which would like two more tries.
        let (mut requests, mut spent) = (0u64, 0u64);
        for now in 1..=60_000 {
            requests += 1;
            spent += (0..2).map(|_| budget.spend(requests, now)).filter(|ok| *ok).count() as u64;
        }
        let allowed = requests / 5 + 60 * 10;
        assert!((allowed..allowed + 300).contains(&spent), "{spent} of {allowed}");
    }

    /// Ingress: 61
    #[test]
    fn a_quiet_service_may_retry_a_burst_and_a_busy_one_a_larger_one() {
        let burst = |requests: u64| {
            let budget = Budget::default();
            assert!(budget.spend(0, 1));
            (0..100_000).filter(|_| budget.spend(requests, 10_001)).count()
        };
        assert!((99..=200).contains(&burst(1)), "{}", burst(1));
        assert!((2_000..2_200).contains(&burst(10_000)), "{}", burst(10_000));
        let idle = Budget::default();
        assert!((0..10_000).all(|number| idle.spend(number, number * 100)), "ten a second go on for ever");
    }
}
