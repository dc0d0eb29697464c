//! What an API server does by itself: first objects, what each namespace holds, aggregated roles, the end of
//! namespaces, and garbage collection.
//!
//! Plain callers of the API with an identity each, in the same process. They see what is stored and never what members
//! run: a mirrored object belongs to its member's own controllers.

mod api_services;
pub mod bootstrap;
mod cluster_roles;
mod collect;
mod flow_control;
mod identity;
mod namespaces;
mod policies;
mod resources;
mod standing;
mod tokens;

use std::sync::Arc;

use hub_client::Hub;
use tokio_util::sync::CancellationToken;

/// Selects what is stored here: every mirrored object carries the label of its member.
const STORED: &str = "!fedgate.dev/cluster";

/// What the controllers need to run.
pub struct Controllers {
    /// A connection as a member of `system:masters`: some of what is written here cannot be granted by a role.
    pub system: Hub,
    /// A connection as the service account `collector`.
    pub collector: Hub,
    /// PEM of the authority that signs this server's certificate, for `kube-root-ca.crt`.
    pub root_ca_pem: Arc<str>,
    /// Whether templates here may have a PlacementBinding that has a say in their deletion.
    pub places: bool,
}

impl Controllers {
    /// Runs all controllers until `stop`.
    ///
    /// # Cancel safety
    /// Dropping it stops between two writes; the next run goes on from what is stored.
    pub async fn run(self, stop: CancellationToken) {
        let Self { system, collector, root_ca_pem, places } = self;
        tokio::join!(
            standing::run(system.clone(), root_ca_pem.clone(), stop.clone()),
            tokens::run(system.clone(), root_ca_pem, stop.clone()),
            identity::run(system.clone(), stop.clone()),
            cluster_roles::run(system.clone(), stop.clone()),
            api_services::run(system.clone(), stop.clone()),
            policies::run(system.clone(), stop.clone()),
            flow_control::run(system, places, stop.clone()),
            namespaces::run(collector.clone(), stop.clone()),
            collect::run(collector, places, stop),
        );
    }
}

#[cfg(test)]
mod tests;
