//! What the data plane would do with a request, told step by step by the code that does it; nothing is sent.
//!
//! The process that serves knows Secrets, limits and endpoints as requests found them; others compile routes from what
//! the hub lets them read, and say what they cannot judge.

mod choice;
pub mod desk;
mod judge;
mod read;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use http::header::CONTENT_LENGTH;
use http::request::Parts;
use tokio::sync::Semaphore;

use crate::config::{HeadRules, Limits, Network};
use crate::filter::rate::Limiter;
use crate::filter::{self, Arrived, Stop};
use crate::peer::Peer;
use crate::proxy::{asked, head};
use crate::route::{NAME_UNTOLD, Route, RouteTable};
use crate::snapshot::Named;

pub use desk::{Denied, Desk};
pub(crate) use read::stand_in;
pub use read::{Seen, snapshot};

/// A request that is not sent.
#[derive(Debug, Clone)]
pub struct Question {
    pub parts: Parts,
    /// Whose request it is.
    pub remote: IpAddr,
    pub tls: bool,
    pub port: u16,
    /// Bytes of its body, where its head does not say.
    pub body: Option<u64>,
}

/// One step and what comes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub name: &'static str,
    pub outcome: String,
}

/// What whoever explains knows beside the routes.
#[derive(Clone, Copy)]
pub enum Sight<'s> {
    /// Routes were compiled for the explanation.
    Outside {
        /// With the Secrets that they name.
        secrets: bool,
    },
    /// These routes are being served.
    Inside {
        insight: &'s Insight,
        /// Secrets that whoever asks may read: what they let in is judged for nobody else.
        readable: &'s BTreeSet<Named>,
    },
}

/// What a process that serves goes by.
#[derive(Clone)]
pub struct Insight {
    limits: Limits,
    heads: HeadRules,
    trusted: Arc<[Network]>,
    limiter: Arc<Limiter>,
    /// The one turn in which passwords and tokens are judged for explanations; those of requests have their own.
    turn: Arc<Semaphore>,
}

impl std::fmt::Debug for Insight {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Insight").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Insight {
    pub(crate) fn new((limits, heads): (Limits, HeadRules), trusted: Arc<[Network]>, limiter: Arc<Limiter>) -> Self {
        Self { limits, heads, trusted, limiter, turn: Arc::new(Semaphore::new(1)) }
    }
}

/// The Ingress that a request goes by, whatever comes of it there.
#[must_use]
pub fn owner(table: &RouteTable, question: &Question) -> Option<Named> {
    located(table, question).map(|route| route.ingress.clone())
}

/// The route that a request or, where TLS is not ended here, its connection goes by.
fn taken<'t>(table: &'t RouteTable, question: &Question) -> Option<&'t Arc<Route>> {
    passed(table, question).map(|(_, route)| route).or_else(|| located(table, question))
}

fn located<'t>(table: &'t RouteTable, question: &Question) -> Option<&'t Arc<Route>> {
    let mut parts = question.parts.clone();
    let inspected = head::inspect(&mut parts, &HeadRules::default()).ok()?;
    let path = inspected.path.as_deref().unwrap_or_else(|| parts.uri.path());
    table.find(inspected.host.as_str(), path)
}

/// The server name of a request whose TLS is not ended here, and where that goes: clients take the name from the URL.
fn passed<'t>(table: &'t RouteTable, question: &Question) -> Option<(String, &'t Arc<Route>)> {
    let name = question.parts.uri.host().filter(|_| question.tls)?;
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let route = table.passthrough(&name)?;
    Some((name, route))
}

/// What becomes of a connection whose TLS is not ended here.
fn through(table: &RouteTable, (name, route): (&str, &Arc<Route>), remote: IpAddr, sight: Sight<'_>) -> Vec<Step> {
    let step = |name, outcome| Step { name, outcome };
    let mut steps = vec![step("request", format!("TLS for {name} from {remote}"))];
    steps.extend(place(table, route, name));
    let backend = &route.backend.name;
    let outcome = format!("its TLS goes to {backend} as it is, which ends it; nothing of the request is read here");
    steps.push(step("passthrough", outcome));
    if filter::refuses(&route.policy.access, remote) {
        let outcome = "the connection is closed: the address of the client is not allowed".to_owned();
        steps.push(step("answer", outcome));
        return steps;
    }
    choice::passed(route, sight, &mut steps);
    steps
}

/// What becomes of a request.
pub async fn explain(table: &RouteTable, question: Question, sight: Sight<'_>) -> Vec<Step> {
    if let Some((name, route)) = passed(table, &question) {
        return through(table, (&name, route), question.remote, sight);
    }
    let mut steps = Vec::new();
    let mut tell = |name, outcome: String| steps.push(Step { name, outcome });
    let Question { mut parts, remote, tls, port, body } = question;
    let (heads, trusted) = match sight {
        Sight::Inside { insight, .. } => (insight.heads.clone(), insight.trusted.clone()),
        Sight::Outside { .. } => (HeadRules::default(), Arc::default()),
    };
    let peer = Peer::new(remote, port, tls, &trusted);
    let inspected = match head::inspect(&mut parts, &heads) {
        Ok(inspected) => inspected,
        Err(refusal) => {
            tell("request", format!("refused with {}: {}", refusal.status, refusal.reason));
            return steps;
        }
    };
    let (host, path) = (inspected.host.as_str().to_owned(), inspected.path);
    let path = path.as_deref().unwrap_or_else(|| parts.uri.path()).to_owned();
    tell("request", format!("{} {host}{path} from {remote} over {}", parts.method, if tls { "HTTPS" } else { "HTTP" }));
    let Some(found) = table.locate(&host, &path) else {
        tell("route", "none: the answer is 404".to_owned());
        return steps;
    };
    let route = found.route;
    steps.extend(place(table, route, &host));
    if found.mutual.is_some() {
        let outcome = "its host asks clients for one; what follows is for a client that shows none".to_owned();
        steps.push(Step { name: "certificate", outcome });
    }
    let arrived = Arrived::new(&found, (&parts, &host), &peer, table);
    let limiter = judge::limiter(route, peer.client(&parts.headers), sight);
    let admitted = match filter::admit(&arrived, &limiter) {
        Ok(admitted) => admitted,
        Err(stop) => {
            steps.push(Step { name: "answer", outcome: stopped(&stop) });
            return steps;
        }
    };
    if let Some(limits) = &route.policy.limits {
        steps.push(Step { name: "limits", outcome: judge::limits(limits, sight) });
    }
    if !judge::proofs((table, route, &admitted), &parts, sight, &mut steps).await {
        steps.push(Step { name: "answer", outcome: "it is not let in".to_owned() });
        return steps;
    }
    match filter::rewritten(&found, &path, parts.uri.query()) {
        Ok(Some(target)) => steps.push(Step { name: "rewrite", outcome: target.to_string() }),
        Ok(None) => {}
        Err(refusal) => {
            let outcome = format!("refused with {}: {}", refusal.status, refusal.reason);
            steps.push(Step { name: "rewrite", outcome });
            return steps;
        }
    }
    let said = parts.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let taken = judge::body(route, said.or(body), sight);
    let refused = matches!(taken, Some(Err(_)));
    steps.extend(taken.map(|(Ok(outcome) | Err(outcome))| Step { name: "body", outcome }));
    if !refused {
        choice::tell(route, asked(&parts, &host, &peer), sight, &mut steps);
    }
    steps
}

/// What becomes of requests for a route that ask for nothing special.
#[must_use]
pub fn state(route: &Route) -> String {
    if let Some(host) = &route.policy.proper_host {
        return format!("redirect to {host}");
    }
    match (route.policy.closed, route.backend.fault) {
        (None, Some(NAME_UNTOLD)) => format!("open or 503: {NAME_UNTOLD}"),
        (Some(why), _) | (None, Some(why)) => format!("503: {why}"),
        (None, None) if route.policy.redirect.is_some() => "redirect".to_owned(),
        (None, None) if route.backend.endpoints().is_empty() => "503: no endpoint is ready".to_owned(),
        (None, None) => "open".to_owned(),
    }
}

/// Where a route stands, and what is wrong with its Ingress.
fn place(table: &RouteTable, route: &Arc<Route>, host: &str) -> Vec<Step> {
    let entry = table.entries().into_iter().filter(|entry| Arc::ptr_eq(entry.route, route)).min_by_key(|entry| {
        // The same default backend stands in several places.
        (entry.host != host, entry.host.len())
    });
    let place = entry.map_or(String::new(), |entry| format!(", {} {}{}", entry.kind, entry.host, entry.path));
    let problems = table.problems().iter().filter(|problem| problem.is_of(&route.ingress));
    let problems = problems.map(|problem| Step { name: "problem", outcome: problem.message.clone() });
    [Step { name: "route", outcome: format!("Ingress {}{place}", route.ingress) }].into_iter().chain(problems).collect()
}

fn stopped(stop: &Stop) -> String {
    match stop {
        Stop::Refusal(refusal) => format!("{}: {}", refusal.status, refusal.reason),
        Stop::Reply(reply) => {
            let to = reply.headers.get(http::header::LOCATION).and_then(|to| to.to_str().ok());
            format!("{} ({}){}", reply.status, reply.reason, to.map_or(String::new(), |to| format!(", to {to}")))
        }
    }
}
