//! Events end after an hour, as upstream's do: without this they would fill the store.
//!
//! One background sweep a server; it ends with it.

use std::sync::{Arc, Weak};
use std::time::Duration;

use federation_store::{Cond, Op};
use jiff::{SignedDuration, Timestamp};

use crate::cache::{Entry, Scope};
use crate::server::Server;

/// How long an event stays after it was last seen; upstream's `--event-ttl`.
pub const EVENT_TTL: SignedDuration = SignedDuration::from_hours(1);
/// Time between two sweeps.
const EVERY: Duration = Duration::from_secs(60);
const STORAGE: &str = "core/events";

/// Sweeps until the server is gone.
pub(crate) async fn run(server: Weak<Server>) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(server) = server.upgrade() else { return };
        if server.is_draining() {
            return;
        }
        let ended = sweep(&server).await;
        if ended > 0 {
            tracing::debug!(ended, "old events were removed");
        }
    }
}

/// Removes every stored event that was last seen too long ago; says how many.
async fn sweep(server: &Arc<Server>) -> usize {
    let now = (server.now)();
    let snapshot = server.cache.resource(STORAGE).snapshot();
    let old = |entry: &&Arc<Entry>| entry.stored() > 0 && last_seen(entry).is_some_and(|seen| now > seen + EVENT_TTL);
    let mut ended = 0;
    for entry in snapshot.range(&Scope::All, "").filter(old) {
        let key = Server::store_key(STORAGE, entry.key());
        let conds = vec![(key.clone(), Cond::ModRev(entry.stored()))];
        match server.store.txn(conds, vec![Op::Del { key }]).await {
            Ok(_) => ended += 1,
            // Somebody has seen it again: it stays.
            Err(federation_store::TxnError::Failed { .. }) => {}
            Err(error) => {
                tracing::warn!(%error, "old events cannot be removed");
                return ended;
            }
        }
    }
    ended
}

/// The newest time that the event names.
fn last_seen(entry: &Entry) -> Option<Timestamp> {
    let paths: [&[&str]; 4] =
        [&["metadata", "creationTimestamp"], &["lastTimestamp"], &["eventTime"], &["series", "lastObservedTime"]];
    paths.iter().filter_map(|path| entry.text(path)?.parse().ok()).max()
}

#[cfg(test)]
mod tests {
    use super::{STORAGE, sweep};
    use crate::{Api, StoreConfig};
    use federation_store::{Cond, Op};
    use std::sync::Arc;

    /// Protocol: B2
    #[tokio::test]
    async fn only_old_events_end() {
        let now: jiff::Timestamp = "2026-01-01T12:00:00Z".parse().expect("a time");
        let api = Api::builder().now(Arc::new(move || now)).open(StoreConfig::Memory).await.expect("a store");
        let server = api.server();
        let events = [
            ("old", "2026-01-01T10:00:00Z", ""),
            ("new", "2026-01-01T11:30:00Z", ""),
            ("again", "2026-01-01T10:00:00Z", r#","series":{"lastObservedTime":"2026-01-01T11:59:00.000000Z"}"#),
        ];
        let mut rev = 0;
        for (name, made, rest) in events {
            let key = crate::server::Server::store_key(STORAGE, &format!("ns/{name}"));
            let val = format!(r#"{{"metadata":{{"name":"{name}","creationTimestamp":"{made}"}}{rest}}}"#).into();
            let conds = vec![(key.clone(), Cond::Absent)];
            rev = server.store.txn(conds, vec![Op::Put { key, val }]).await.expect("stored");
        }
        server.cache.applied(rev).await;
        assert_eq!(sweep(server).await, 1);
        server.cache.fresh().await.expect("an open store");
        let left = server.cache.resource(STORAGE).snapshot();
        assert!(left.get("ns/old").is_none() && left.get("ns/new").is_some() && left.get("ns/again").is_some());
    }
}
