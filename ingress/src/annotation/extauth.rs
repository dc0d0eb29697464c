//! Annotations about a service that has to allow requests first.
//!
//! Source: ingress-nginx `internal/ingress/annotations/authreq`.

use std::sync::Arc;

use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Method, Uri};

use super::ExternalWish;
use super::read::Reader;
use crate::route::extauth::{ExternalAuth, SignIn};

const WANTED: &str = "a URL of a Service, http or https, such as http://auth.NAMESPACE.svc.cluster.local/check";

pub(super) fn wish(reader: &mut Reader<'_>) -> Option<ExternalWish> {
    let url = reader.text("auth-url")?;
    let service = service(url);
    if service.is_none() {
        reader.wrong("auth-url", WANTED);
    }
    // Nothing that changes anything: the question is whether a request may pass.
    let methods = [("GET", Method::GET), ("HEAD", Method::HEAD), ("POST", Method::POST)];
    let method = reader.one_of("auth-method", &[0, 1, 2].map(|at| (methods[at].0, at))).map(|at| methods[at].1.clone());
    let names = reader.parsed_with("auth-response-headers", |text| {
        let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
        names.map(|name| HeaderName::from_bytes(name.as_bytes())).collect::<Result<Box<[_]>, _>>()
    });
    let param = reader.token("auth-signin-redirect-param");
    let signin = reader.text("auth-signin").map(|text| SignIn::read(text, param.as_deref().unwrap_or("rd")));
    if matches!(signin, Some(None)) {
        reader.wrong(
            "auth-signin",
            "a URL or path, with the variables $host $http_host $scheme $request_uri $escaped_request_uri",
        );
    }
    let wanted = reader.header("auth-request-redirect");
    let always_cookie = reader.flag("auth-always-set-cookie").unwrap_or(false);
    let (service, port, tls, target, host) = service?;
    let copied = names.unwrap_or_default();
    let rules = ExternalAuth { method, target, host, copied, signin: signin.flatten(), always_cookie, wanted };
    Some(ExternalWish { service, port, tls, rules: Arc::new(rules) })
}

type Place = ((String, String), u16, bool, PathAndQuery, HeaderValue);

/// `http://NAME.NAMESPACE.svc[.cluster.local|.clusterset.local][:PORT]/path`
pub(super) fn service(url: &str) -> Option<Place> {
    let uri: Uri = url.parse().ok().filter(|_| !url.contains('$'))?;
    let tls = match uri.scheme_str()? {
        "http" => false,
        "https" => true,
        _ => return None,
    };
    let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'))?;
    let mut labels = authority.host().split('.');
    let (name, namespace) = (labels.next()?, labels.next()?);
    let rest: Vec<&str> = labels.collect();
    let known = matches!(rest.as_slice(), ["svc"] | ["svc", "cluster" | "clusterset", "local"]);
    let sound = |label: &str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if !known || !sound(name) || !sound(namespace) {
        return None;
    }
    let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
    let target = uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
    let host = HeaderValue::from_str(authority.as_str()).ok()?;
    Some(((name.to_ascii_lowercase(), namespace.to_ascii_lowercase()), port, tls, target, host))
}
