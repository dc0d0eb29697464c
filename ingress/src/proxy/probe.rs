//! Finds out beside the requests whether an endpoint that could not be reached is back, so that no client waits for it.

use std::sync::Arc;

use crate::clock;
use crate::metrics::Count;
use crate::proxy::Proxy;
use crate::proxy::forward::Trip;
use crate::proxy::upstream::{ConnectError, Target};
use crate::route::Endpoint;

impl Proxy {
    /// Connects to `endpoint` in a task of its own, unless somebody just has; what it finds decides when it is asked again.
    pub(super) fn probe(&self, trip: Trip<'_>, endpoint: &Arc<Endpoint>) {
        if !endpoint.begin_probe(clock::now()) {
            return;
        }
        let (backend, wire, endpoint) = (trip.route.backend.clone(), trip.wire.clone(), endpoint.clone());
        let (pool, shard) = (self.pool.clone(), self.shard.clone());
        let timeouts = self.timeouts.clone();
        self.tasks.spawn(async move {
            let target = Target { endpoint: &endpoint, wire: &wire, ends: None };
            match pool.connect(target, &timeouts).await {
                Ok(mut lease) => {
                    endpoint.reached(clock::now());
                    // It waits for the first request.
                    lease.settle();
                }
                Err(error) => {
                    if matches!(error, ConnectError::Timeout) {
                        endpoint.is_unanswered(clock::now());
                    }
                    tracing::debug!(%error, backend = &*backend.name, address = %endpoint.key.address, "still not there");
                    if backend.eject(&endpoint, clock::now()) {
                        shard.count(Count::Ejection);
                    }
                }
            }
        });
    }
}
