//! Labels, annotations, names and namespaces that the house reserves or reads.
//!
//! One place, so that a grep for a key finds its meaning.

/// API group and version of our kinds.
pub const API_VERSION: &str = "fedgate.dev/v1alpha1";
/// API group of our kinds.
pub const GROUP: &str = "fedgate.dev";
/// Namespace of the hub's own objects: bindings, credentials, component accounts.
pub const SYSTEM_NAMESPACE: &str = "fedgate-system";
/// Prefix of every label and annotation of ours.
pub const PREFIX: &str = "fedgate.dev/";

/// Label in a member: UID of the hub that owns the object. Slices inherit it from their Service.
pub const HUB: &str = "fedgate.dev/hub";
/// Label in a member: UID of the template at the hub.
pub const TEMPLATE_UID: &str = "fedgate.dev/template-uid";
/// Annotation in a member: the binding's epoch at which the object was applied.
pub const EPOCH: &str = "fedgate.dev/epoch";
/// Annotation in a member: hash of the content that was applied.
pub const HASH: &str = "fedgate.dev/hash";
/// Label of a mirrored object at the hub: the member that runs it.
pub const CLUSTER: &str = "fedgate.dev/cluster";
/// Label of a completeness marker among the mirrored slices, see [`crate::endpoint`].
pub const MARKER: &str = "fedgate.dev/mirror-marker";
/// Annotation that the write pipeline alone sets: who last changed a template, placement or override.
pub const AUTHOR: &str = "fedgate.dev/author";

/// Annotation of a binding: how dependents are treated when its template goes, `Orphan` or `Foreground`; the hub keeps
/// the template until it is recorded.
pub const CASCADE: &str = "fedgate.dev/cascade";

/// Annotation: the clusters that a template (or a namespace's templates) goes to.
pub const CLUSTERS: &str = "fedgate.dev/clusters";
/// Annotation: `divided` or `duplicated`.
pub const REPLICAS: &str = "fedgate.dev/replicas";
/// Annotation: for example `region>=2`.
pub const SPREAD: &str = "fedgate.dev/spread";
/// Annotation: for example `5m,return=10m`.
pub const FAILOVER: &str = "fedgate.dev/failover";

/// Annotation of a Service: `v1` or `v2`, the PROXY header that its pods want from the data plane.
pub const PROXY_PROTOCOL: &str = "fedgate.dev/proxy-protocol";

/// Annotation of a Service: `"true"` where Ingresses of every namespace may ask it whether a request may pass.
pub const AUTH_SERVICE: &str = "fedgate.dev/auth-service";

/// `spec.controller` of the IngressClass that our data plane serves.
pub const INGRESS_CONTROLLER: &str = "fedgate.dev/ingress";
/// Name of the IngressClass that exists from the first start.
pub const INGRESS_CLASS: &str = "fedgate";
/// Annotation on a credentials Secret: the only server that the credentials are shown to.
pub const CREDENTIALS_SERVER: &str = "fedgate.dev/server";
/// Type of the Secrets that hold a member's credentials.
pub const CREDENTIALS_TYPE: &str = "fedgate.dev/cluster-credentials";
/// The executor that a member write impersonates where neither Cluster nor Placement names another.
pub const DEFAULT_EXECUTOR: &str = "fedgate:executor:default";

/// The service account of a component in [`SYSTEM_NAMESPACE`], as a user name.
#[must_use]
pub fn component_user(component: &str) -> String {
    format!("system:serviceaccount:{SYSTEM_NAMESPACE}:{component}")
}
