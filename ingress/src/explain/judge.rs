//! Who is let in: limits, passwords, tokens and sizes, judged by the code that judges requests, without counting any.
//!
//! What only the serving process can know is said to be so where it is not that process.

use std::net::IpAddr;
use std::sync::Arc;

use http::StatusCode;
use http::header::AUTHORIZATION;
use http::request::Parts;
use rustls::pki_types::UnixTime;

use super::{Sight, Step, stopped};
use crate::clock;
use crate::config::Limits;
use crate::filter::rate::Limiter;
use crate::filter::{Admitted, bearer, password};
use crate::route::policy::{BodyLimit, Rate, RateLimits};
use crate::route::{Route, RouteTable};
use crate::snapshot::Named;

/// What a limiter would say, with what this client has used of its share.
pub(super) fn limiter(route: &Route, remote: IpAddr, sight: Sight<'_>) -> Arc<Limiter> {
    match sight {
        Sight::Inside { insight, .. } => Arc::new(insight.limiter.as_seen_by(&route.ingress, remote, clock::now())),
        Sight::Outside { .. } => Arc::default(),
    }
}

/// What a client may ask for, once it is let in.
pub(super) fn limits(limits: &RateLimits, sight: Sight<'_>) -> String {
    let rate = |rate: Option<Rate>, of: &str| rate.map(|rate| format!("{} a {of}, {} at once", rate.count, rate.burst));
    let open = limits.open.map(|open| format!("{open} in flight"));
    let all = [rate(limits.second, "second"), rate(limits.minute, "minute"), open];
    let all: Vec<String> = all.into_iter().flatten().collect();
    let known = match sight {
        Sight::Inside { .. } => "this client is within",
        Sight::Outside { .. } => "how much of it is used up only the gateway knows",
    };
    format!("{} a client; {known}", all.join(", "))
}

/// The Secrets by which passwords and tokens are judged.
pub(super) fn secrets<'r>(table: &'r RouteTable, route: &'r Route) -> impl Iterator<Item = &'r Named> {
    let policy = &*route.policy;
    let users = policy.users.as_ref().and_then(|users| table.secret_of(users));
    users.into_iter().chain(policy.bearer.as_ref().map(|rules| &rules.secret))
}

/// Adds what it has to show and, where that can be judged, what comes of it; false if it is not let in.
///
/// What is shown is judged for those alone who may read what it is judged by: others would learn by trying.
pub(super) async fn proofs(
    (table, route, admitted): (&RouteTable, &Route, &Admitted),
    parts: &Parts,
    sight: Sight<'_>,
    steps: &mut Vec<Step>,
) -> bool {
    if !admitted.proves {
        return true;
    }
    let policy = &*route.policy;
    let shown = parts.headers.get(AUTHORIZATION);
    let may = |secret: Option<&Named>| match sight {
        Sight::Outside { secrets } => secrets,
        Sight::Inside { readable, .. } => secret.is_some_and(|secret| readable.contains(secret)),
    };
    // That nothing is shown is no secret.
    let judges = |secret| shown.is_none() || may(secret);
    let turn = match sight {
        Sight::Inside { insight, .. } if shown.is_some() && secrets(table, route).any(|secret| may(Some(secret))) => {
            Arc::clone(&insight.turn).acquire_owned().await.ok()
        }
        Sight::Inside { .. } | Sight::Outside { .. } => None,
    };
    let unknown = match sight {
        Sight::Inside { .. } => "shown, not judged: that is told to who may get the Secret that it is judged by",
        Sight::Outside { .. } => {
            "asked for; whether one is right only who reads the Secrets can tell, as the gateway does"
        }
    };
    let mut verdicts = Vec::new();
    let mut judged = |name, verdict: Option<Result<(), String>>| {
        let outcome = match &verdict {
            None => unknown.to_owned(),
            Some(Ok(())) => "it is right".to_owned(),
            Some(Err(answer)) => answer.clone(),
        };
        steps.push(Step { name, outcome });
        verdicts.push(verdict.map(|verdict| verdict.is_ok()));
    };
    if let Some(rules) = &policy.bearer {
        let verdict =
            judges(Some(&rules.secret)).then(|| bearer::prove(rules, &parts.headers, UnixTime::now().as_secs()));
        judged("token", verdict.map(|verdict| verdict.map(drop).map_err(|stop| stopped(&stop))));
    }
    if let Some(users) = &policy.users {
        let judges = judges(table.secret_of(users));
        let verdict = if judges { Some(password::verdict(users, shown, turn).await) } else { None };
        judged("password", verdict.map(|verdict| verdict.map_err(|stop| stopped(&stop))));
    }
    if let Some(external) = &route.extauth {
        let outcome = format!("{} is asked; it is not asked for an explanation", external.route.backend.name);
        steps.push(Step { name: "service", outcome });
        verdicts.push(None);
    }
    let any = policy.satisfied_by_any;
    if verdicts.len() > 1 {
        let outcome = if any { "one of these is enough" } else { "all of these are needed" };
        steps.push(Step { name: "satisfy", outcome: outcome.to_owned() });
    }
    if any { verdicts.iter().any(|verdict| *verdict != Some(false)) } else { !verdicts.contains(&Some(false)) }
}

/// Whether a body of so many bytes is taken, where there is a limit; the answer if it is not.
pub(super) fn body(route: &Route, length: Option<u64>, sight: Sight<'_>) -> Option<Result<String, String>> {
    let default = Limits::default();
    let listener = match sight {
        Sight::Inside { insight, .. } => &insight.limits,
        Sight::Outside { .. } => &default,
    };
    let known = matches!(sight, Sight::Inside { .. }) || route.policy.bodies != BodyLimit::Listener;
    if !known {
        return length.map(|length| Ok(format!("{length} bytes; the gateway may have a limit of its own")));
    }
    let limit = route.policy.bodies.of(listener.body_bytes);
    match (length, limit) {
        (Some(length), Some(limit)) if length > limit => {
            let status = StatusCode::PAYLOAD_TOO_LARGE;
            Some(Err(format!("{status}: {length} bytes are more than {limit}")))
        }
        (Some(length), Some(limit)) => Some(Ok(format!("{length} bytes of at most {limit}"))),
        (Some(length), None) => Some(Ok(format!("{length} bytes, without a limit"))),
        (None, Some(limit)) => Some(Ok(format!("at most {limit} bytes"))),
        (None, None) => None,
    }
}
