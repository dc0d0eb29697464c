//! A whole federation in one test process: a hub and simulated members on this machine's loopback, and eyes to look at it.
//!
//! Composed from the same parts as `fedgate up`; only the hub can be restarted or killed while its members go on.
//! Start at [`Federation`]. Everything here panics where a test cannot go on, and says why.

pub mod dns;
pub mod federation;
pub mod hub;
pub mod kubectl;
pub mod network;
pub mod objects;
pub mod wait;
pub mod web;
pub mod wire;

pub use federation::{Federation, FederationConfig, Member};
pub use kubectl::Kubectl;
pub use wait::{eventually, same};
