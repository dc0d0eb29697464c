//! Who shows a token, and whether it is believed.

use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::{Reply, Stop};
use crate::route::bearer::{Bearer, Believed};

/// Lets in who shows a good token; gives whose it is, and what endpoints are told of it.
///
/// # Errors
/// 401 with the challenge of RFC 6750 §3: without a token no error is named.
pub fn prove(rules: &Bearer, headers: &HeaderMap, now: u64) -> Result<Believed, Stop> {
    let unknown = |reason, challenge| {
        let challenge = (WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        Stop::Reply(Reply::new(StatusCode::UNAUTHORIZED, reason, [challenge]))
    };
    let mut shown = headers.get_all(AUTHORIZATION).iter();
    let token = match (shown.next(), shown.next()) {
        (Some(one), None) => one.to_str().ok().and_then(|text| text.split_once(' ')),
        _ => None,
    };
    let token = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token.trim());
    let Some(token) = token else { return Err(unknown("there is no token", "Bearer")) };
    rules.judge(token, now).map_err(|error| {
        tracing::debug!(%error, "a token is not believed");
        unknown("the token is not believed", "Bearer error=\"invalid_token\"")
    })
}
