//! The words of the house as types: names, keys, our kinds, the endpoint model, the extension traits.
//!
//! Pure: no I/O, no clock, no tokio. Everyone depends on this crate, it depends on nobody of ours.

pub mod binding;
pub mod cluster;
pub mod condition;
pub mod endpoint;
pub mod extension;
pub mod key;
pub mod label;
pub mod meta;
pub mod name;
pub mod overrides;
pub mod placement;
pub mod text;

pub use binding::PlacementBinding;
pub use cluster::Cluster;
pub use condition::Condition;
pub use key::{Gvk, Gvr, ObjectKey, Revision};
pub use meta::{Meta, Object};
pub use name::{ClusterName, NameError};
pub use overrides::Override;
pub use placement::Placement;
