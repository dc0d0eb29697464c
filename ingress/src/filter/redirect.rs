//! Answers that send a client elsewhere: another path, another place, HTTPS.

use http::header::{HOST, LOCATION};
use http::{HeaderValue, StatusCode};

use super::{Arrived, Reply, Stop};
use crate::route::RouteTable;
use crate::route::policy::{Https, WhenHttps};

/// What certificate authorities ask for must be answered where they ask (RFC 8555 §8.3).
const CHALLENGE: &str = "/.well-known/acme-challenge";

/// `/` goes to the root of the application.
pub(super) fn app_root(arrived: &Arrived<'_>) -> Result<(), Stop> {
    match &arrived.route.policy.app_root {
        Some(root) if arrived.parts.uri.path() == "/" => {
            let scheme = if arrived.plain() { "http" } else { "https" };
            let root = root.to_str().unwrap_or("/");
            Err(sent(StatusCode::FOUND, &format!("{scheme}://{}{root}", authority(arrived)), "app-root"))
        }
        _ => Ok(()),
    }
}

/// `www.` and the bare name of a host lead to the one that has routes.
pub(super) fn to_proper_host(arrived: &Arrived<'_>) -> Result<(), Stop> {
    let Some(host) = &arrived.route.policy.proper_host else { return Ok(()) };
    let scheme = if arrived.plain() { "http" } else { "https" };
    // The port that the client came to is where the other name is served, too.
    let port = authority(arrived).rsplit_once(':').map_or("", |(_, port)| port);
    let colon = if port.is_empty() { "" } else { ":" };
    let target = arrived.parts.uri.path_and_query().map_or("/", |target| target.as_str());
    Err(sent(StatusCode::PERMANENT_REDIRECT, &format!("{scheme}://{host}{colon}{port}{target}"), "to the proper host"))
}

/// Everything goes to another place.
pub(super) fn elsewhere(arrived: &Arrived<'_>) -> Result<(), Stop> {
    match &arrived.route.policy.redirect {
        Some(redirect) => Err(Stop::Reply(Reply::new(redirect.status, "redirect", [(LOCATION, redirect.to.clone())]))),
        None => Ok(()),
    }
}

/// Plain requests go to HTTPS.
pub(super) fn to_https(arrived: &Arrived<'_>) -> Result<(), Stop> {
    let https = &arrived.route.policy.https;
    let wanted = belongs_to_https(https, arrived.table, arrived.host);
    let path = arrived.parts.uri.path();
    if !wanted || !arrived.plain() || path.starts_with(CHALLENGE) {
        return Ok(());
    }
    let target = arrived.parts.uri.path_and_query().map_or("/", |target| target.as_str());
    let target = if https.keeps_slash { target } else { target.strip_suffix('/').unwrap_or(target) };
    let port = arrived.peer.https;
    // The port of the request is that of the plain listener: HTTPS is where browsers look for it, unless it is said.
    let place = match https.names_port || (port.named && port.number != 443) {
        true => format!("https://{}:{}{target}", arrived.host, port.number),
        false => format!("https://{}{target}", arrived.host),
    };
    Err(sent(StatusCode::PERMANENT_REDIRECT, &place, "to HTTPS"))
}

/// Whether plain requests for `host` are sent to HTTPS.
pub(super) fn belongs_to_https(https: &Https, table: &RouteTable, host: &str) -> bool {
    match https.when {
        WhenHttps::Never => false,
        WhenHttps::Certified => table.certs().has(host),
        WhenHttps::Always => true,
    }
}

fn authority<'a>(arrived: &'a Arrived<'_>) -> &'a str {
    let named = arrived.parts.headers.get(HOST).and_then(|host| host.to_str().ok());
    named.unwrap_or(arrived.host)
}

fn sent(status: StatusCode, to: &str, reason: &'static str) -> Stop {
    match HeaderValue::from_str(to) {
        Ok(to) => Stop::Reply(Reply::new(status, reason, [(LOCATION, to)])),
        Err(_) => {
            super::Refusal { status: StatusCode::BAD_REQUEST, reason: "the target is malformed", close: true }.into()
        }
    }
}
