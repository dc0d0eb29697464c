//! The Kubernetes-compatible API server as a service in the process.
//!
//! # The life of a request
//! ```text
//! bytes → TLS → Api::call
//!   → RequestInfo::parse        which verb on which resource
//!   → authenticate              certificate, token … or the caller's typed identity → UserInfo
//!   → impersonate               each wish is a right to ask for
//!   → authorize                 RBAC over the stored roles, as new as the last write
//!   → another server's          APIServices that name a Service: handed on as the user, answered as it comes
//!   → the facts' Resource       unknown: 404
//!   → verb                      get list watch ← cache;  create update patch delete → the write pipeline:
//!       decode → (patch) → prepare → admission → defaults → managed fields → validate → store.txn(expected)
//!       → wait until the cache holds the revision
//!   → render                    JSON, YAML, Table … as accepted
//! ```
//!
//! # Using it
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use federation_api::{Api, StoreConfig};
//! let api = Api::builder().open(StoreConfig::Memory).await?;
//! let user = auth::UserInfo::new("system:serviceaccount:fedgate-system:placement", ["system:masters"]);
//! let hub = kube::Client::new(api.in_process(user), "default");
//! # Ok(()) }
//! ```
//! A request body may be any `http_body::Body<Data = Bytes>`; the answer's is [`Body`]. Sockets are served by
//! [`listen()`] with a `rustls` configuration that asks for client certificates (`auth::server_config`).
//!
//! # Mirrored resources
//! A resource named by [`Builder::mirrored`] has a clock of its own: the store's feed and a mirror put into one ring,
//! [`Api::resource_cache`] is the handle ([`cache::ResourceCache::put`], [`remove`](cache::ResourceCache::remove),
//! [`snapshot`](cache::ResourceCache::snapshot)). Entries of a mirror have `stored() == 0`; writes of stored objects
//! compare and swap on the store's revision, which the entry keeps beside the one that clients see.
//!
//! # Invariants
//! - Reads are served from [`cache`], which follows the store in commit order; the store is read only for history that
//!   the rings have forgotten.
//! - A write answers after the cache holds it; a read without a resourceVersion sees every acknowledged write.
//! - Nobody is answered before authentication and authorization but by their refusals.
//! - Every bound is a named constant in [`limit`], [`listen`](mod@listen), [`cache`] or beside its use.

mod access;
mod account;
mod admission;
mod aggregation;
mod answer;
mod call;
mod check;
mod compact;
mod compress;
mod convert;
mod custom;
mod decode;
mod endpoint;
mod expire;
mod filter;
mod flow;
mod health;
mod hook;
mod issuer;
mod kind;
mod kinds;
mod legacy;
mod metrics;
mod name;
mod object;
mod record;
mod render;
mod reset;
mod server;
mod service;
mod tunnel;
mod verb;
mod warning;
mod wire;

pub mod audit;
pub mod body;
pub mod cache;
pub mod controller;
pub mod error;
pub mod json;
pub mod limit;
pub mod listen;
pub mod mirror;
pub mod request;

pub use admission::ServiceRange;
pub use body::Body;
pub use error::{ApiError, Status};
pub use health::PostStart;
pub use listen::listen;
pub use server::{Builder, Now, OpenError, StoreConfig};
pub use service::{Api, Authenticated, InProcess};
