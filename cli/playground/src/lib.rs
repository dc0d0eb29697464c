//! Simulated members: our own API server, small workload controllers, and pods that really listen.
//!
//! A member here is what a real one is to the hub: an API server behind TLS with certificates of its own.
//! Nothing of the hub is used or known; what a kubelet and a controller manager would do is done in `workload` and `pods`.

pub mod control;
pub mod gate;
pub mod member;
pub mod pods;
pub mod workload;

pub use gate::Fault;
pub use member::{FIRST_NETWORK, SimulatedMember, Simulation};
