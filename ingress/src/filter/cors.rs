//! Cross-origin requests: preflights are answered here, other answers say who may read them.
//!
//! Source: Fetch standard §3.2; ingress-nginx's template `CORS`.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::{Arrived, Reply, Stop};
use crate::route::policy::{Cors, Origin, Origins};

/// Answers a preflight of an origin that may ask.
pub(super) fn preflight(arrived: &Arrived<'_>) -> Result<(), Stop> {
    let Some(cors) = &arrived.route.policy.cors else { return Ok(()) };
    if arrived.parts.method != Method::OPTIONS {
        return Ok(());
    }
    if allowed(cors, arrived.parts.headers.get(ORIGIN)).is_none() {
        return Ok(());
    }
    // What it says is told in every answer of the route.
    Err(Stop::Reply(Reply::new(StatusCode::NO_CONTENT, "CORS preflight", [])))
}

/// What the answer to a request of `origin` has to name; none where it may not read it.
pub fn allowed(cors: &Cors, origin: Option<&HeaderValue>) -> Option<HeaderValue> {
    let named = match &cors.origins {
        // To everybody, and so with nobody's credentials: browsers refuse the two together, and to name whoever asks instead
        // would let any page read with its visitors' cookies.
        Origins::Any => return Some(HeaderValue::from_static("*")),
        Origins::Listed(listed) => listed,
    };
    let origin = origin?;
    let text = origin.to_str().ok()?.to_ascii_lowercase();
    named.iter().any(|known| fits(known, &text)).then(|| origin.clone())
}

fn fits(known: &Origin, origin: &str) -> bool {
    match known {
        Origin::Exact(exact) => **exact == *origin,
        Origin::Within { scheme, rest } => {
            let host = origin.strip_prefix(&**scheme).and_then(|host| host.strip_prefix("://"));
            let label = host.and_then(|host| host.strip_suffix(&**rest)).and_then(|label| label.strip_suffix('.'));
            label
                .is_some_and(|label| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'))
        }
    }
}

/// Says in an answer's head who may read it.
pub fn tell(cors: &Cors, origin: &HeaderValue, headers: &mut HeaderMap) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    let star = origin == "*";
    if cors.credentials && !star {
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, cors.methods.clone());
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, cors.headers.clone());
    if let Some(exposed) = &cors.exposed {
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed.clone());
    }
    headers.insert(ACCESS_CONTROL_MAX_AGE, cors.max_age.clone());
    if !star {
        headers.append(VARY, HeaderValue::from_static("Origin"));
    }
}
