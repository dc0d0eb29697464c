//! The data plane over real sockets: little upstream servers, raw clients, hostile bytes.

mod access;
mod announced;
mod churn;
mod copies;
mod delivery;
mod express;
mod failures;
mod fixture;
mod forward;
mod frames;
mod framing;
mod h2;
mod h2spec;
mod handshakes;
mod hostile;
mod interim;
mod malformed;
mod mutual;
mod nginx;
mod passthrough;
mod policies;
mod secure;
mod smuggle;
mod tunnels;
mod watched;
mod wires;
