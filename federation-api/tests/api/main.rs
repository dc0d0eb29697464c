//! The API server over its HTTP surface: requests in, answers out, over the real store in memory.

mod create;
mod delete;
mod errors;
mod hostile;
mod hub;
mod list;
mod patch;
mod watch;
