//! Placement: from a template at the hub to member clusters, and back.
//!
//! `schedule`, `render` and `interpret` are pure; everything else watches, calls one pure `plan`, and commits once.
//! Never deletes in a member because information is missing; never sees the store, only the hub's API.

mod aggregate;
pub mod bind;
mod clock;
pub mod explain;
mod history;
pub mod interpret;
pub mod kinds;
mod leave;
mod namespaces;
mod orphans;
pub mod propagate;
pub mod render;
mod resolve;
mod run;
pub mod schedule;
mod view;
mod wire;
mod world;

pub use run::{PlacementConfig, run};
pub use view::View;
