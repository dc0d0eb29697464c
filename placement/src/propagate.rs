//! Controller: PlacementBinding → the copies in members, and what became of them → binding status.
//!
//! One queue a member, so that a member that is slow or lost delays no other; the binding's status is written by
//! one reconcile a binding, once a pass. Deletes only what a row says to withdraw, by UID and ownership.

mod apply;
mod books;
mod definition;
mod live;
mod member;
pub mod plan;
mod record;

pub(crate) use member::{DRAIN, Fleet};
pub(crate) use record::record;
