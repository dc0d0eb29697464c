//! What members run, seen and touched through the hub: both API servers are real, only the line between them is ours.

mod health;
mod house;
#[path = "../api/hub.rs"]
#[allow(dead_code, reason = "shared with the other tests of this crate")]
mod hub;
mod line;
mod shows;
mod stream;
mod writes;
