//! TLS that is not ended here: the client's bytes go to an endpoint as they are.
//!
//! Finds an endpoint that can be reached, then both ends talk; knows nothing of what they say.

use std::sync::Arc;

use crate::clock;
use crate::filter;
use crate::metrics::Count;
use crate::peer::Peer;
use crate::proxy::Proxy;
use crate::proxy::upstream::{Link, Target};
use crate::route::{Endpoint, Route, Way, Wish};
use crate::stream::Socket;

impl Proxy {
    /// Connects a client to an endpoint of `route` until one of them ends.
    pub async fn pass_through(&self, route: &Route, peer: &Peer, socket: Socket) {
        if filter::refuses(&route.policy.access, peer.address) {
            return self.shard.count(Count::Refused);
        }
        let Some(upstream) = self.reach(route, peer).await else {
            return tracing::debug!(backend = &*route.backend.name, "no endpoint takes a TLS connection");
        };
        self.shard.count(Count::Tunnel);
        self.tunnels.through(socket, upstream).await;
    }

    async fn reach(&self, route: &Route, peer: &Peer) -> Option<Link> {
        let mut tried = Vec::<Arc<Endpoint>>::new();
        for attempt in 0..self.limits.attempts.max(1) {
            let wish = Wish { tried: &tried, ..Wish::first(clock::now(), Way::Turn) };
            let endpoint = route.backend.pick(&wish)?.clone();
            if attempt > 0 {
                self.shard.count(Count::Retry);
            }
            let target = Target { endpoint: &endpoint, wire: route.wiring.wire(&peer.scheme), ends: peer.ends };
            match Link::connect(target, &self.timeouts).await {
                Ok(link) => {
                    endpoint.reached(clock::now());
                    link.is_left_alone();
                    return Some(link);
                }
                Err(error) => {
                    let (address, member) = (endpoint.key.address, &endpoint.key.cluster);
                    tracing::debug!(backend = &*route.backend.name, %address, %member, %error, "connect failed");
                    self.shard.count(Count::ConnectFailed);
                    if route.backend.eject(&endpoint, clock::now()) {
                        self.shard.count(Count::Ejection);
                    }
                }
            }
            tried.push(endpoint);
        }
        None
    }
}
