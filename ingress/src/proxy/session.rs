//! The cookie of a session on its way out.

use std::time::{SystemTime, UNIX_EPOCH};

use http::HeaderMap;
use http::header::SET_COOKIE;

use crate::peer::Peer;
use crate::route::{Endpoint, Route, Session};

/// Hands out a ticket after `endpoint` answered, unless the client has the right one.
pub fn hand_out(
    (route, session): (&Route, Session),
    (endpoint, retried): (&Endpoint, bool),
    peer: &Peer,
    to: &mut HeaderMap,
) {
    let Some(affinity) = &route.delivery.affinity else { return };
    // Its endpoint is still there but could not be asked: the session may go back to it.
    let lent = session.ticket.is_some_and(|ticket| !ticket.leads_to(endpoint) && route.backend.holds(ticket));
    let Some(ticket) = affinity.renew(session.ticket, session.key, endpoint, retried || lent) else { return };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
    to.append(SET_COOKIE, affinity.cookie(ticket, peer.scheme == "https", i64::try_from(now).unwrap_or(i64::MAX)));
}
