//! Whether a request's client has shown the certificate that its host asks for.
//!
//! Over TLS before anything else, as nginx does; without TLS nobody has shown anything.

use std::sync::Arc;

use http::header::LOCATION;
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode};

use super::{Arrived, Reply, Stop};
use crate::refusal::Refusal;
use crate::route::mutual::{FIELDS, Mutual, Verdict};

const UNASKED: Refusal = Refusal {
    status: StatusCode::MISDIRECTED_REQUEST,
    reason: "this connection was set up before its host asked for certificates",
    close: true,
};

/// What endpoints are told of a client that may pass.
pub type Shown = Option<Arc<Verdict>>;

/// Judges a client that came over TLS.
///
/// # Errors
/// 400, 403, 421 or a redirect.
pub(super) fn over_tls(arrived: &Arrived<'_>) -> Result<Shown, Stop> {
    match arrived.mutual {
        Some(mutual) if arrived.peer.scheme.as_bytes() == b"https" => judge(arrived, mutual),
        _ => Ok(None),
    }
}

/// Judges a client that came without, who was not sent to HTTPS.
///
/// # Errors
/// As of [`over_tls`].
pub(super) fn without_tls(arrived: &Arrived<'_>, shown: Shown) -> Result<Shown, Stop> {
    match arrived.mutual {
        Some(mutual) if shown.is_none() => judge(arrived, mutual),
        _ => Ok(shown),
    }
}

fn judge(arrived: &Arrived<'_>, mutual: &Arc<Mutual>) -> Result<Shown, Stop> {
    let peer = arrived.peer;
    if mutual.asks() && peer.server_name.is_some() && !peer.presented.as_ref().is_some_and(|shown| shown.asked) {
        return Err(UNASKED.into());
    }
    let verdict = peer.judged(mutual);
    let Some(refusal) = verdict.refusal else { return Ok(Some(verdict)) };
    Err(match mutual.page() {
        Some(page) if refusal.status == StatusCode::BAD_REQUEST => {
            Stop::Reply(Reply::new(StatusCode::FOUND, refusal.reason, [(LOCATION, page.clone())]))
        }
        _ => refusal.into(),
    })
}

/// Takes off what only we may say, and gives what we say instead.
pub fn told(shown: &Verdict, parts: &mut Parts) -> Vec<(HeaderName, HeaderValue)> {
    for name in &FIELDS {
        parts.headers.remove(name);
    }
    shown.fields.clone()
}
