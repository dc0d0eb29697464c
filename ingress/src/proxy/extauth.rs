//! Asks another service whether a request may pass: without its body, with its head, before any endpoint sees it.
//!
//! Whatever goes wrong keeps the request out.

use std::future::poll_fn;
use std::pin::Pin;

use http::header::{
    AUTHORIZATION, CONTENT_LENGTH, EXPECT, HOST, LOCATION, SET_COOKIE, TRANSFER_ENCODING, UPGRADE, WWW_AUTHENTICATE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use hyper::body::Body as _;
use rustls::pki_types::UnixTime;

use super::Proxy;
use super::body::{AnswerBody, RequestBody};
use super::forward::{Answered, Trip};
use super::grants::{self, Said};
use super::head;
use crate::access::Line;
use crate::clock;
use crate::filter::{self, Admitted, Stop};
use crate::peer::Peer;
use crate::refusal::Refusal;
use crate::route::Route;
use crate::route::balance::Way;
use crate::route::basic;
use crate::route::bearer::Believed;
use crate::route::extauth::{External, ExternalAuth, Stopped};

const ORIGINAL_URL: HeaderName = HeaderName::from_static("x-original-url");
const ORIGINAL_METHOD: HeaderName = HeaderName::from_static("x-original-method");
const SENT_FROM: HeaderName = HeaderName::from_static("x-sent-from");
const REDIRECT: HeaderName = HeaderName::from_static("x-auth-request-redirect");
/// As services that were written for ingress-nginx look for it.
const SENDER: HeaderValue = HeaderValue::from_static("nginx-ingress-controller");
/// Bytes of an answer's body that are read so that its connection can be kept.
const DRAINED_BYTES: usize = 64 * 1024;

const FORBIDDEN: Refusal =
    Refusal { status: StatusCode::FORBIDDEN, reason: "the authentication service refused", close: false };
const BROKEN: Refusal = Refusal {
    status: StatusCode::INTERNAL_SERVER_ERROR,
    reason: "the authentication service did not answer as one",
    close: false,
};

/// What the service gives along with a request that may pass.
#[derive(Default)]
pub(super) struct Grant {
    /// For the endpoint.
    pub fields: Vec<(HeaderName, HeaderValue)>,
    cookies: Vec<HeaderValue>,
    always: bool,
}

/// Takes off what only the service may say, whether it is asked or not.
pub(super) fn strip(route: &Route, parts: &mut Parts) {
    if let Some(external) = &route.extauth {
        for name in &external.rules.copied {
            parts.headers.remove(name);
        }
    }
    if let Some(bearer) = &route.policy.bearer {
        for (name, _) in &bearer.headers {
            parts.headers.remove(name);
        }
    }
}

impl Grant {
    /// Hands its cookies on with an answer that may carry them.
    pub(super) fn hand_on(self, status: StatusCode, headers: &mut HeaderMap) {
        if self.always || status.is_success() || status.is_redirection() {
            for cookie in self.cookies {
                headers.append(SET_COOKIE, cookie);
            }
        }
    }
}

impl Proxy {
    /// Lets a request pass that shows a password, or that the service allows; both, unless one is enough.
    ///
    /// # Errors
    /// The answer for who is not let in.
    pub(super) async fn prove(
        &self,
        (route, admitted): (&Route, &Admitted),
        (parts, host): (&mut Parts, &str),
        peer: &Peer,
        line: &mut Option<Line>,
    ) -> Result<Grant, Stop> {
        let mut shown = admitted.shown.as_deref().map_or(Vec::new(), |shown| filter::mutual::told(shown, parts));
        if let (Some(line), Some(user)) = (line.as_mut(), admitted.shown.as_ref().and_then(|shown| shown.user.as_ref()))
        {
            line.known_as(user);
        }
        if !admitted.proves {
            return Ok(Grant { fields: shown, ..Grant::default() });
        }
        if let Some(line) = line.as_mut().filter(|_| route.policy.users.is_some() || route.extauth.is_some()) {
            // As nginx has it, also of one who is not let in: the status says so.
            let user = parts.headers.get(AUTHORIZATION).and_then(basic::user);
            user.iter().for_each(|user| line.known_as(user));
        }
        let now = || UnixTime::now().as_secs();
        match route.policy.bearer.as_ref().map(|rules| filter::bearer::prove(rules, &parts.headers, now())) {
            Some(Ok(Believed { subject, fields })) => {
                line.iter_mut().zip(&subject).for_each(|(line, subject)| line.known_as(subject));
                shown.extend(fields);
                if route.policy.satisfied_by_any {
                    return Ok(Grant { fields: shown, ..Grant::default() });
                }
            }
            Some(Err(stop)) => {
                let others = route.policy.users.is_some() || route.extauth.is_some();
                if !(route.policy.satisfied_by_any && others) {
                    return Err(stop);
                }
            }
            None => {}
        }
        let password = match &route.policy.users {
            Some(users) => Some(filter::password::prove(users, parts.headers.get(AUTHORIZATION)).await),
            None => None,
        };
        match (password, &route.extauth) {
            (Some(Ok(())), _) if route.policy.satisfied_by_any => Ok(Grant { fields: shown, ..Grant::default() }),
            (Some(Err(stop)), Some(_)) if !route.policy.satisfied_by_any => Err(stop),
            (Some(Err(stop)), None) => Err(stop),
            (_, Some(external)) => self.ask(external, (parts, host, shown), peer, line).await,
            (_, None) => Ok(Grant { fields: shown, ..Grant::default() }),
        }
    }

    async fn ask(
        &self,
        external: &External,
        (parts, host, shown): (&Parts, &str, Vec<(HeaderName, HeaderValue)>),
        peer: &Peer,
        line: &mut Option<Line>,
    ) -> Result<Grant, Stop> {
        let rules = &*external.rules;
        let place = rules.cache.as_ref().and_then(|_| grants::place(external, super::asked(parts, host, peer), &shown));
        if let Some(said) = place.as_ref().and_then(|place| self.grants.find(place, clock::now())) {
            return granted(rules, said, shown, stopped(parts, host, peer));
        }
        let mut asked = question(rules, parts, peer, self);
        asked.headers_mut().extend(shown.iter().cloned());
        let wire = external.route.wiring.wire(&peer.scheme);
        let trip = Trip { route: &external.route, wire, ends: None, way: Way::Turn, ticket: None, watch: None };
        let Answered { response, lease, in_flight, .. } =
            self.forward(trip, None, asked, line).await.map_err(|_| Stop::from(BROKEN))?;
        let status = response.status();
        let (head, incoming) = response.into_parts();
        drain(AnswerBody::upstream(incoming, lease, self.timeouts.idle, in_flight)).await;
        let values = |name| head.headers.get_all(name).iter().cloned();
        let fields = rules.copied.iter().flat_map(|name| values(name).map(move |value| (name.clone(), value)));
        let (fields, cookies) = (fields.collect(), values(&SET_COOKIE).collect());
        let said = Said { status, fields, cookies, challenges: values(&WWW_AUTHENTICATE).collect() };
        if let (Some(place), Some(time)) = (place, grants::holds(external, status, &head.headers)) {
            self.grants.keep(place, said.clone(), (clock::now(), time));
        }
        granted(rules, said, shown, stopped(parts, host, peer))
    }
}

/// What comes of an answer, of now or of before.
fn granted(
    rules: &ExternalAuth,
    said: Said,
    shown: Vec<(HeaderName, HeaderValue)>,
    stopped: Stopped<'_>,
) -> Result<Grant, Stop> {
    let Said { status, mut fields, challenges, cookies } = said;
    match status {
        status if status.is_success() => {
            fields.extend(shown);
            Ok(Grant { fields, cookies, always: rules.always_cookie })
        }
        StatusCode::UNAUTHORIZED => Err(unknown(rules, challenges, stopped)),
        StatusCode::FORBIDDEN => Err(FORBIDDEN.into()),
        _ => Err(BROKEN.into()),
    }
}

fn stopped<'r>(parts: &'r Parts, host: &'r str, peer: &'r Peer) -> Stopped<'r> {
    Stopped {
        scheme: if filter::is_plain(parts, peer) { "http" } else { "https" },
        host,
        authority: parts.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or(host),
        target: parts.uri.path_and_query().map_or("/", |target| target.as_str()),
    }
}

/// What the service gets to see.
fn question(rules: &ExternalAuth, parts: &Parts, peer: &Peer, proxy: &Proxy) -> Request<RequestBody> {
    let mut request = Request::new(());
    *request.method_mut() = rules.method.clone().unwrap_or(Method::GET);
    *request.uri_mut() = rules.target.clone().into();
    // As the client speaks: HTTP/2 has cookies in crumbs.
    *request.version_mut() = parts.version;
    let headers = request.headers_mut();
    headers.clone_from(&parts.headers);
    for name in [CONTENT_LENGTH, TRANSFER_ENCODING, EXPECT, UPGRADE] {
        headers.remove(name);
    }
    let Stopped { scheme, authority, target, .. } = stopped(parts, "", peer);
    let text = |text: &str| HeaderValue::from_str(text).ok();
    for (name, value) in [
        (ORIGINAL_URL, text(&format!("{scheme}://{authority}{target}"))),
        (ORIGINAL_METHOD, text(parts.method.as_str())),
        (REDIRECT, rules.wanted.clone().or_else(|| text(target))),
        (SENT_FROM, Some(SENDER)),
        (HOST, Some(rules.host.clone())),
    ] {
        // What the client says under these names is never the service's to believe.
        headers.remove(&name);
        if let Some(value) = value {
            headers.insert(name, value);
        }
    }
    let (mut parts, ()) = request.into_parts();
    head::rewrite_request(&mut parts, peer, &proxy.heads, None, || proxy.ids.next());
    Request::from_parts(parts, RequestBody::none())
}

/// Who is not known signs in, or hears how.
fn unknown(rules: &ExternalAuth, challenges: Vec<HeaderValue>, stopped: Stopped<'_>) -> Stop {
    let place = rules.signin.as_ref().and_then(|signin| signin.place(stopped));
    let mut reply = match place {
        Some(place) => filter::Reply::new(StatusCode::FOUND, "sent to sign in", [(LOCATION, place)]),
        None => filter::Reply::new(StatusCode::UNAUTHORIZED, "the authentication service knows nobody", []),
    };
    if reply.status == StatusCode::UNAUTHORIZED {
        for challenge in challenges {
            reply.headers.append(WWW_AUTHENTICATE, challenge);
        }
    }
    Stop::Reply(reply)
}

/// Reads a short body to its end, so that its connection can be kept; a long one is not worth it.
pub(super) async fn drain(mut body: AnswerBody) {
    let mut left = DRAINED_BYTES;
    while let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        match left.checked_sub(frame.data_ref().map_or(0, bytes::Bytes::len)) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}
