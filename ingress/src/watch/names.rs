//! Resolves the names outside that Services stand for: again and again, since nobody tells of their changes.
//!
//! A name that does not resolve keeps its last addresses. Knows the machine's resolver and nothing of routes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

/// Between two looks at a name; the machine's resolver does not say for how long an answer holds.
const AGAIN: Duration = Duration::from_secs(30);
/// Longest wait for one name.
const PATIENCE: Duration = Duration::from_secs(5);
/// Addresses of one name.
const ADDRESSES_MAX: usize = 32;
/// Names that are followed at all.
const NAMES_MAX: usize = 1000;

/// Addresses by name.
pub type Resolved = BTreeMap<Box<str>, Vec<IpAddr>>;

/// The wish list and what came of it.
pub struct Names {
    wanted: watch::Sender<BTreeSet<Box<str>>>,
    /// Guards the answers; held for a clone or an insertion.
    known: Arc<Mutex<Resolved>>,
}

impl Names {
    /// Follows nothing yet; the future does the work until `stop` and tells `moved` of every change.
    pub fn start(moved: Arc<Notify>, stop: CancellationToken) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (wanted, wishes) = watch::channel(BTreeSet::new());
        let known = Arc::new(Mutex::new(Resolved::new()));
        let work = follow(wishes, known.clone(), moved, stop);
        (Self { wanted, known }, work)
    }

    /// Follows exactly these, and gives what is known of them.
    pub fn of(&self, names: BTreeSet<Box<str>>) -> Resolved {
        let known = self
            .known
            .lock()
            .iter()
            .filter(|(name, _)| names.contains(*name))
            .map(|(n, a)| (n.clone(), a.clone()))
            .collect();
        self.wanted.send_if_modified(|wanted| {
            let changed = *wanted != names;
            *wanted = names;
            changed
        });
        known
    }
}

async fn follow(
    mut wishes: watch::Receiver<BTreeSet<Box<str>>>,
    known: Arc<Mutex<Resolved>>,
    moved: Arc<Notify>,
    stop: CancellationToken,
) {
    loop {
        let wanted = wishes.borrow_and_update().clone();
        known.lock().retain(|name, _| wanted.contains(name));
        for name in wanted.iter().take(NAMES_MAX) {
            let looked = tokio::select! {
                () = stop.cancelled() => return,
                looked = look(name) => looked,
            };
            let Some(addresses) = looked else { continue };
            let changed = known.lock().insert(name.clone(), addresses.clone()).is_none_or(|before| before != addresses);
            if changed {
                moved.notify_one();
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            changed = wishes.changed() => {
                if changed.is_err() {
                    return;
                }
            }
            () = tokio::time::sleep(AGAIN), if !wanted.is_empty() => {}
        }
    }
}

async fn look(name: &str) -> Option<Vec<IpAddr>> {
    match tokio::time::timeout(PATIENCE, tokio::net::lookup_host((name, 0))).await {
        Ok(Ok(found)) => {
            let addresses: BTreeSet<IpAddr> = found.map(|address| address.ip().to_canonical()).collect();
            Some(addresses.into_iter().take(ADDRESSES_MAX).collect())
        }
        Ok(Err(error)) => {
            tracing::debug!(name, %error, "a name of a Service does not resolve");
            None
        }
        Err(_) => {
            tracing::debug!(name, "a name of a Service is not resolved in time");
            None
        }
    }
}
