//! Tests that no single crate can hold: the house rules, and journeys through all rooms.
//!
//! Nothing is here but the targets that `Cargo.toml` names.
