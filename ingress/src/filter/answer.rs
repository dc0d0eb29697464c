//! Changes of an answer's head that a policy asks for.

use http::header::{LOCATION, REFRESH, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Response};

use super::cors;
use crate::route::policy::{AnswerRules, Policy};

/// Applies what the policy says to the head of an answer, whoever made it.
pub fn rewrite<B>(policy: &Policy, origin: Option<&HeaderValue>, response: &mut Response<B>) {
    let status = response.status();
    let headers = response.headers_mut();
    if let Some(cors) = &policy.cors
        && let Some(origin) = cors::allowed(cors, origin)
    {
        cors::tell(cors, &origin, headers);
    }
    if let Some(rules) = &policy.answers {
        apply(rules, headers);
        let usual = matches!(status.as_u16(), 200 | 201 | 204 | 206 | 301..=304 | 307 | 308);
        for added in rules.added.iter().filter(|added| added.always || usual) {
            headers.append(&added.name, added.value.clone());
        }
    }
}

fn apply(rules: &AnswerRules, headers: &mut HeaderMap) {
    for name in &rules.unset {
        headers.remove(name);
    }
    for (name, value) in &rules.set {
        headers.insert(name, value.clone());
    }
    if let Some((from, to)) = &rules.location {
        let moved = |place: &str| place.strip_prefix(&**from).map(|rest| format!("{to}{rest}"));
        let location = headers.get(LOCATION).and_then(|at| moved(at.to_str().ok()?));
        let refresh = headers.get(REFRESH).and_then(|at| {
            let text = at.to_str().ok()?;
            let place = text.to_ascii_lowercase().find("url=")? + "url=".len();
            Some(format!("{}{}", &text[..place], moved(&text[place..])?))
        });
        for (name, text) in [(LOCATION, location), (REFRESH, refresh)] {
            if let Some(Ok(value)) = text.map(|text| HeaderValue::from_str(&text)) {
                headers.insert(name, value);
            }
        }
    }
    if rules.cookie_domain.is_none() && rules.cookie_path.is_none() {
        return;
    }
    let cookies: Vec<HeaderValue> = headers.get_all(SET_COOKIE).iter().map(|cookie| cookie_of(rules, cookie)).collect();
    headers.remove(SET_COOKIE);
    for cookie in cookies {
        headers.append(SET_COOKIE, cookie);
    }
}

/// The cookie with its `Domain` and `Path` changed.
fn cookie_of(rules: &AnswerRules, cookie: &HeaderValue) -> HeaderValue {
    let Ok(text) = cookie.to_str() else { return cookie.clone() };
    let mut parts = text.split(';').map(|part| match part.split_once('=') {
        Some((name, value)) if name.trim().eq_ignore_ascii_case("domain") => match &rules.cookie_domain {
            Some((from, to))
                if value.trim().trim_start_matches('.').eq_ignore_ascii_case(from.trim_start_matches('.')) =>
            {
                // A dot in front stays as it was, as with nginx.
                let dot = if value.trim_start().starts_with('.') { "." } else { "" };
                format!("{name}={dot}{}", to.trim_start_matches('.'))
            }
            _ => part.to_owned(),
        },
        Some((name, value)) if name.trim().eq_ignore_ascii_case("path") => match &rules.cookie_path {
            Some((from, to)) => match value.trim().strip_prefix(&**from) {
                Some(rest) => format!("{name}={to}{rest}"),
                None => part.to_owned(),
            },
            None => part.to_owned(),
        },
        _ => part.to_owned(),
    });
    let first = parts.next().unwrap_or_default();
    let changed = parts.fold(first, |all, part| format!("{all};{part}"));
    HeaderValue::from_str(&changed).unwrap_or_else(|_| cookie.clone())
}
