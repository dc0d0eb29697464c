//! Placement: from a template at the hub to member clusters, and back.
//!
//! `schedule`, `render` and `interpret` are pure; everything else watches, calls one pure `plan`, and commits once.
//! Never deletes in a member because information is missing; never sees the store, only the hub's API.

pub mod interpret;
pub mod render;
pub mod schedule;
