//! Journeys through the whole house: a hub and simulated members in this process, seen as their users see them.
//!
//! Each test has a federation of its own and asks only what can be asked over the network.

mod authors;
mod conflicts;
mod definitions;
mod demo;
mod hostile;
mod outage;

mod placing;
mod planes;
mod registration;
mod removal;
mod restart;
mod rollout;
mod shift;
mod shop;
