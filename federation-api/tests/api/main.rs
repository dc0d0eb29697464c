//! The API server over its HTTP surface: requests in, answers out, over the real store in memory.

mod audit;
mod clients;
mod crd;
mod crd_life;
mod crd_objects;
mod crd_publish;
mod create;
mod delete;
mod edges;
mod errors;
mod flow;
mod formats;
mod history;
mod hostile;
mod hub;
mod hubs;
mod legacy;
mod kinds;
mod list;
mod patch;
mod policy;
mod quota;
mod protocol;
mod restart;
mod versions;
mod watch;
