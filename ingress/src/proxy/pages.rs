//! Answers of a default backend in the place of errors: it is told what happened in fields, and asked for `/`.
//!
//! Source: ingress-nginx's template `CUSTOM_ERRORS` and its image `custom-error-pages`.

use http::header::{ACCEPT, HOST};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};

use super::body::{AnswerBody, RequestBody};
use super::forward::Trip;
use super::head;
use super::{Back, Proxy};
use crate::access::Line;
use crate::filter::Stop;
use crate::peer::Peer;
use crate::route::Route;
use crate::route::balance::Way;

const CODE: HeaderName = HeaderName::from_static("x-code");
const FORMAT: HeaderName = HeaderName::from_static("x-format");
const INGRESS: HeaderName = HeaderName::from_static("x-ingress-name");
const NAMESPACE: HeaderName = HeaderName::from_static("x-namespace");
const ORIGINAL_URI: HeaderName = HeaderName::from_static("x-original-uri");
const SERVICE: HeaderName = HeaderName::from_static("x-service-name");
const SERVICE_PORT: HeaderName = HeaderName::from_static("x-service-port");

/// What is kept of a request until it is known whether it ends in an error.
pub(super) struct Asked {
    method: Method,
    /// The root, with the query of the request, as with ingress-nginx.
    target: Uri,
    headers: HeaderMap,
}

/// Keeps it, where the route has somebody to ask.
pub(super) fn keep(route: &Route, parts: &Parts) -> Option<Asked> {
    route.pages.as_ref()?;
    let mut headers = HeaderMap::new();
    headers.extend(parts.headers.get(HOST).map(|host| (HOST, host.clone())));
    headers.extend(parts.headers.get(ACCEPT).map(|accept| (FORMAT, accept.clone())));
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    headers.extend(HeaderValue::from_str(target).ok().map(|target| (ORIGINAL_URI, target)));
    let method = if parts.method == Method::HEAD { Method::HEAD } else { Method::GET };
    let query = parts.uri.query().and_then(|query| format!("/?{query}").parse().ok());
    Some(Asked { method, target: query.unwrap_or(Uri::from_static("/")), headers })
}

/// The status for which the default backend is asked: one that the route names, or that nobody is there.
pub(super) fn error(route: &Route, passed: &Result<Response<AnswerBody>, Stop>) -> Option<StatusCode> {
    let pages = route.pages.as_ref()?;
    let status = match passed {
        Ok(response) => response.status(),
        Err(Stop::Refusal(refusal)) => refusal.status,
        Err(Stop::Reply(_)) => return None,
    };
    let nobody = passed.is_err() && route.backend.endpoints().is_empty() && status == StatusCode::SERVICE_UNAVAILABLE;
    (nobody || pages.codes.contains(&status.as_u16())).then_some(status)
}

impl Proxy {
    /// Asks the default backend of `route` what to say of `status`.
    ///
    /// # Errors
    /// Where it does not answer either.
    pub(super) async fn page(
        &self,
        route: &Route,
        (status, asked): (StatusCode, Asked),
        peer: &Peer,
        line: &mut Option<Line>,
    ) -> Result<Response<AnswerBody>, Stop> {
        let Some(pages) = &route.pages else { return Err(super::NO_ROUTE.into()) };
        let mut request = Request::new(());
        *request.method_mut() = asked.method;
        *request.uri_mut() = asked.target;
        *request.headers_mut() = asked.headers;
        let (mut parts, ()) = request.into_parts();
        head::rewrite_request(&mut parts, peer, &self.heads, None, || self.ids.next());
        let (service, port) = route.backend.name.rsplit_once(':').unwrap_or((&route.backend.name, ""));
        let service = service.rsplit_once('/').map_or(service, |(_, name)| name);
        parts.headers.insert(CODE, HeaderValue::from(status.as_u16()));
        for (name, value) in [
            (NAMESPACE, &*route.ingress.namespace),
            (INGRESS, &*route.ingress.name),
            (SERVICE, service),
            (SERVICE_PORT, port),
        ] {
            parts.headers.extend(HeaderValue::from_str(value).ok().map(|value| (name, value)));
        }
        let other = &*pages.route;
        let wire = other.wiring.wire(&peer.scheme);
        let trip = Trip { route: other, wire, ends: peer.ends, way: Way::Turn, ticket: None, watch: None };
        let outgoing = Request::from_parts(parts, RequestBody::none());
        let answered = self.forward(trip, None, outgoing, line).await?;
        let back = Back { peer, policy: &other.policy, watch: None, upgrade: None, open: None };
        Ok(self.respond(answered, back)?)
    }
}
