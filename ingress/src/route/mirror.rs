//! Who gets copies of a route's requests.
//!
//! Values only.

use http::HeaderValue;

use crate::route::Route;

/// Copies of a route's requests, and where they go.
#[derive(Debug)]
pub struct Mirror {
    pub route: Route,
    /// `https` where its endpoints are spoken to over TLS.
    pub scheme: HeaderValue,
    pub host: HeaderValue,
    /// What stands before the client's own target, or in its place.
    pub prefix: Box<str>,
    pub follows: bool,
    /// Bodies are copied, too.
    pub body: bool,
}
