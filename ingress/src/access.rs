//! One line per finished request at tracing target `access`.
//!
//! Text fields are written with escapes; bodies, queries' values and credentials never appear.

use std::net::IpAddr;
use std::time::Instant;

use http::{Method, StatusCode};

use crate::snapshot::Named;

/// What is known of a request when its answer ends.
#[derive(Debug)]
pub struct Line {
    pub began: Instant,
    pub peer: IpAddr,
    pub method: Method,
    pub host: Box<str>,
    /// Without the query, which may hold secrets.
    pub path: Box<str>,
    pub status: StatusCode,
    pub ingress: Option<Named>,
    pub backend: Option<std::sync::Arc<str>>,
    pub endpoint: Option<std::net::SocketAddr>,
    pub attempts: usize,
    /// What went wrong last: a word of [`crate::failure`], or why we answered ourselves.
    pub reason: &'static str,
    pub bytes: u64,
    /// The answer did not come through whole.
    pub broken: bool,
}

impl Drop for Line {
    fn drop(&mut self) {
        let micros = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        tracing::info!(
            target: "access",
            peer = %self.peer,
            method = %self.method,
            host = ?self.host,
            path = ?self.path,
            status = self.status.as_u16(),
            ingress = self.ingress.as_ref().map(tracing::field::display),
            backend = self.backend.as_deref(),
            endpoint = self.endpoint.map(tracing::field::display),
            attempts = self.attempts,
            reason = self.reason,
            bytes = self.bytes,
            broken = self.broken,
            micros,
            "request"
        );
    }
}
