//! Annotations about a Service that gets a copy of every request.
//!
//! Source: ingress-nginx `internal/ingress/annotations/mirror`.

use http::HeaderValue;

use super::extauth::{Place, service};
use super::read::Reader;

/// The variable that stands for what the client asked for.
const TARGET: &str = "$request_uri";

/// Who gets copies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirrorWish {
    /// Name and namespace.
    pub service: (String, String),
    pub port: u16,
    pub tls: bool,
    pub host: HeaderValue,
    /// What stands before the client's own target, or in its place.
    pub prefix: Box<str>,
    /// The client's own target follows.
    pub follows: bool,
    /// Bodies are copied, too.
    pub body: bool,
}

pub(super) fn wish(reader: &mut Reader<'_>) -> Option<MirrorWish> {
    let body = reader.one_of("mirror-request-body", &[("on", true), ("off", false)]).unwrap_or(true);
    let own = reader.header("mirror-host");
    let ((service, port, tls, target, host), follows) = reader.parsed("mirror-target", place)?;
    let prefix = if follows { target.as_str().trim_end_matches('/') } else { target.as_str() };
    Some(MirrorWish { service, port, tls, host: own.unwrap_or(host), prefix: prefix.into(), follows, body })
}

/// Where copies go, and whether the client's own target follows.
pub(super) fn place(text: &str) -> Option<(Place, bool)> {
    let (place, follows) = text.strip_suffix(TARGET).map_or((text, false), |place| (place, true));
    Some((service(place)?, follows))
}
