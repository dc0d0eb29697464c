//! The end of old revisions for lists: as with etcd, a page's token lives five to ten minutes.
//!
//! Without this a token would live as long as a quiet resource's ring, and clients that wait for its end wait in vain.

use std::sync::Weak;
use std::time::Duration;

use bytes::Bytes;
use federation_store::{Cond, Op};

use crate::server::Server;

/// Time between two compactions; upstream's `--etcd-compaction-interval`.
pub const EVERY: Duration = Duration::from_secs(300);
/// Written at every compaction, as etcd's clients do: the revision of a list that goes on differs from the old one.
const KEY: &str = "/fedgate/compacted";

/// Compacts until the server is gone.
pub(crate) async fn run(server: Weak<Server>) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let Some(server) = server.upgrade() else { return };
        if server.is_draining() {
            return;
        }
        compact(&server).await;
    }
}

/// One compaction.
pub(crate) async fn compact(server: &Server) {
    let key = Bytes::from_static(KEY.as_bytes());
    let op = Op::Put { key: key.clone(), val: Bytes::from(server.timestamp()) };
    if let Err(error) = server.store.txn(vec![(key, Cond::Any)], vec![op]).await {
        tracing::warn!(%error, "a compaction could not be recorded");
        return;
    }
    // What was listed before the mark was written is older than it.
    match server.cache.fresh().await {
        Ok(_) => server.cache.compact(),
        Err(error) => tracing::warn!(%error, "the store does not answer"),
    }
}
