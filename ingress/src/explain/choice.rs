//! Whose endpoints a request goes to, which of them would be next, and why.
//!
//! Takes nobody's turn and no trial.

use std::sync::Arc;

use http::HeaderMap;

use super::{Sight, Step};
use crate::clock;
use crate::route::balance::Asked;
use crate::route::canary::Prospects;
use crate::route::{Backend, Endpoint, Mark, NAME_UNTOLD, Route, Session, Standing, Way, Wish};

/// Adds who takes the request, and of whom there it can be asked.
pub(super) fn tell(route: &Arc<Route>, asked: Asked<'_>, sight: Sight<'_>, steps: &mut Vec<Step>) {
    let mut taker = route;
    let mut tell = |outcome| steps.push(Step { name: "canary", outcome });
    match route.canaries.prospects(&asked.parts.headers) {
        Prospects::Taken(canary) => {
            tell(format!("Ingress {} takes it, as the request asks for it", canary.ingress));
            taker = canary;
        }
        Prospects::Drawn(all) => {
            for (percent, canary) in all {
                let backend = &canary.backend.name;
                tell(format!("Ingress {} takes {percent} % of such requests to {backend}", canary.ingress));
            }
        }
    }
    if let Some(mirror) = &taker.mirror {
        let to = &mirror.route.backend.name;
        steps.push(Step { name: "copy", outcome: format!("another one goes to {to}, whose answer nobody sees") });
    }
    backend(taker, asked, sight, steps);
}

/// Adds to whom a connection goes whose TLS is not ended here.
pub(super) fn passed(route: &Route, sight: Sight<'_>, steps: &mut Vec<Step>) {
    if stands(&route.backend, "the connection is closed", steps) {
        steps.push(Step { name: "choice", outcome: "in turn".to_owned() });
        candidates(&route.backend, &Wish::first(clock::now(), Way::Turn), sight, steps);
    }
}

fn backend(route: &Route, asked: Asked<'_>, sight: Sight<'_>, steps: &mut Vec<Step>) {
    let backend = &route.backend;
    if !stands(backend, "the answer is 503", steps) {
        return;
    }
    let mut tell = |name, outcome: String| steps.push(Step { name, outcome });
    if let Some(circuit) = backend.upkeep.circuit {
        let (requests, queue) = (circuit.requests, circuit.queue);
        tell("seats", format!("{requests} requests at once, {queue} more may wait; others are answered with 503"));
    }
    let headers = &asked.parts.headers;
    let wish = wish(route, asked);
    tell("choice", why(route, headers, &wish));
    candidates(backend, &wish, sight, steps);
}

/// Adds the backend; whether anybody is there, or else what comes of that.
fn stands(backend: &Backend, otherwise: &str, steps: &mut Vec<Step>) -> bool {
    let (told, stands) = match (backend.fault, backend.endpoints().len()) {
        (Some(NAME_UNTOLD), _) => (format!("{}: {NAME_UNTOLD}; if not, {otherwise}", backend.name), false),
        (Some(fault), _) => (format!("{}: {fault}, {otherwise}", backend.name), false),
        (None, 0) => (format!("{}: no endpoint is ready, {otherwise}", backend.name), false),
        (None, count) => (format!("{}, {count} endpoints", backend.name), true),
    };
    steps.push(Step { name: "backend", outcome: told });
    stands
}

/// Adds everybody there, and who is next.
fn candidates(backend: &Backend, wish: &Wish<'_>, sight: Sight<'_>, steps: &mut Vec<Step>) {
    let mut tell = |name, outcome: String| steps.push(Step { name, outcome });
    let now = wish.now;
    for endpoint in backend.endpoints() {
        let pod = endpoint.key.pod.as_deref().map_or(String::new(), |pod| format!(", pod {pod}"));
        let zone = endpoint.zone.as_deref().map_or(String::new(), |zone| format!(", zone {zone}"));
        let how = if matches!(sight, Sight::Inside { .. }) { found(endpoint, now) } else { String::new() };
        let text = format!("{} in {}{zone}{pod}{how}", endpoint.key.address, endpoint.key.cluster);
        tell("endpoint", text);
    }
    match (sight, backend.foresee(wish)) {
        (Sight::Inside { .. }, Some(next)) => {
            tell("next", format!("{} in {}, unless others ask before", next.key.address, next.key.cluster));
        }
        _ => tell("next", "which of them are left out, and who is next, only the gateway knows".to_owned()),
    }
}

fn wish<'r>(route: &'r Route, asked: Asked<'_>) -> Wish<'r> {
    let headers = &asked.parts.headers;
    let way = route.delivery.way(|| asked);
    let affinity = route.delivery.affinity.as_deref();
    let session = affinity.map_or_else(Session::default, |affinity| Session::of(affinity, headers, || 0));
    let shares = route.delivery.shares.as_deref();
    Wish { ticket: session.ticket, shares, ..Wish::first(clock::now(), session.way(way)) }
}

fn why(route: &Route, headers: &HeaderMap, wish: &Wish<'_>) -> String {
    let affinity = route.delivery.affinity.as_deref();
    let mut why = match (wish.ticket, affinity, wish.way) {
        (Some(ticket), _, _) if route.backend.holds(ticket) => "the one that its session belongs to".to_owned(),
        (Some(_), _, _) => "its session's endpoint is gone; another begins one".to_owned(),
        (None, Some(affinity), _) if affinity.read(headers).is_none() => "whoever it begins a session with".to_owned(),
        (None, _, Way::Turn) => "in turn".to_owned(),
        (None, _, Way::Cheaper) => "of two the one with the lower load and latency".to_owned(),
        (None, _, Way::Nearest(_)) => "by the hash of its key".to_owned(),
        (None, _, Way::Among(_, size)) => format!("in turn among the {size} that the hash of its key names"),
    };
    if let Some(shares) = wish.shares {
        why += &format!("; of all requests {shares}");
    }
    why
}

/// What requests have found out about an endpoint.
fn found(endpoint: &Endpoint, now: u64) -> String {
    let standing = match endpoint.standing(now) {
        Standing::Good => "well",
        Standing::Due => "was left out, one request may find out",
        Standing::Out(Mark::Unreachable) => "left out: it cannot be reached",
        Standing::Out(Mark::Failing) => "left out: it failed",
        Standing::Out(Mark::Unwell) => "left out: its check fails",
    };
    let latency =
        endpoint.latency(now).map_or(String::new(), |micros| format!(", {:.1} ms an answer", micros / 1000.0));
    format!(": {standing}{latency}")
}
