//! Member clusters: which there are, how to reach them, and as whom.
//!
//! [`Members`] keeps a connection for every `Cluster` of the hub; [`join`] makes a cluster one.
//! Identity is the UID of the member's kube-system namespace; a connection is used only while that is the expected one.
//! This crate must not know what is placed or mirrored.

pub mod address;
pub mod connect;
pub mod credentials;
pub mod join;
pub mod kubeconfig;
pub mod members;
pub mod rights;

pub use address::{AddressError, AddressPolicy};
pub use connect::{ConnectError, Connector, Target};
pub use credentials::{CredentialError, Credentials};
pub use members::{Member, Members};

use federation_types::Gvr;

/// `clusters.fedgate.dev`.
#[must_use]
pub fn clusters() -> Gvr {
    Gvr::new(federation_types::label::API_VERSION, "clusters")
}

/// Namespace whose UID is a cluster's identity.
pub const IDENTITY_NAMESPACE: &str = "kube-system";
