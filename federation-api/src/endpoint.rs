//! Paths that are no resources: health, version, metrics, and what the wire tells of the API itself.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use serde_json::json;

use crate::answer;
use crate::body::Body;
use crate::error::ApiError;
use crate::health;
use crate::issuer;
use crate::request::RequestInfo;
use crate::request::query::Query;
use crate::server::Server;
use crate::wire::negotiate::NegotiateError;
use crate::wire::version::{self, Build};

/// What a request for such a path says.
pub(crate) struct Asked<'a> {
    pub(crate) info: &'a RequestInfo,
    pub(crate) query: &'a Query,
    pub(crate) raw_query: Option<&'a str>,
    pub(crate) headers: &'a HeaderMap,
}

/// Answers a path that is no resource.
///
/// # Errors
/// 404 for paths that nobody knows, 406 for formats that nobody writes.
pub(crate) async fn answer(
    server: &Arc<Server>,
    method: &Method,
    asked: &Asked<'_>,
) -> Result<Response<Body>, ApiError> {
    let Asked { info, query, raw_query, headers } = *asked;
    let path = info.path.trim_end_matches('/');
    let mut parts = path.trim_start_matches('/').splitn(2, '/');
    let (root, rest) = (parts.next().unwrap_or(""), parts.next());
    if matches!(root, "livez" | "readyz" | "healthz") {
        return health::answer(server, root, rest, query).await;
    }
    if !matches!(*method, Method::GET | Method::HEAD) {
        let known = matches!(root, "version" | "" | "openapi" | "api" | "apis" | "metrics");
        return Err(if known { ApiError::NoSuchMethod } else { ApiError::NoSuchPage });
    }
    match (root, rest) {
        ("version", None) => {
            let build = Build { commit: "", date: "1970-01-01T00:00:00Z", platform: platform() };
            Ok(answer::json(StatusCode::OK, version::version(server.facts, build).to_string()))
        }
        ("", None) => Ok(answer::json(StatusCode::OK, paths(server).to_string())),
        ("openapi", Some(_)) => {
            let table = server.kinds.table();
            let found =
                table.openapi().answer(&server.openapi, &info.path, (raw_query, headers)).map_err(not_acceptable)?;
            found.map(|found| found.map(Body::full)).ok_or(ApiError::NoSuchPage)
        }
        ("api" | "apis", _) => {
            let found = server.kinds.table().discovery().answer(&info.path, headers).map_err(not_acceptable)?;
            let unknown = if root == "api" { ApiError::UnknownPath } else { ApiError::NoSuchPage };
            found.map(|found| found.map(Body::full)).ok_or(unknown)
        }
        (".well-known" | "openid", Some(_)) => {
            issuer::answer(server, path.trim_start_matches('/')).ok_or(ApiError::NoSuchPage)
        }
        ("metrics", None) => Ok(metrics(server.render_metrics())),
        ("metrics", Some("slis")) => Ok(metrics(server.health.slis())),
        _ => Err(ApiError::NoSuchPage),
    }
}

fn metrics(text: String) -> Response<Body> {
    let mut response = answer::text(StatusCode::OK, text);
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8; escaping=underscores");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// As Go names it: clients compare.
fn platform() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "linux/arm64",
        _ => "linux/amd64",
    }
}

/// What `GET /` lists.
fn paths(server: &Server) -> serde_json::Value {
    let own = [
        "/healthz",
        "/healthz/etcd",
        "/healthz/log",
        "/healthz/ping",
        "/livez",
        "/livez/etcd",
        "/livez/log",
        "/livez/ping",
        "/metrics",
        "/metrics/slis",
        "/openapi/v2",
        "/openapi/v3",
        "/readyz",
        "/readyz/etcd",
        "/readyz/log",
        "/readyz/ping",
        "/readyz/shutdown",
        "/version",
    ];
    let table = server.kinds.table();
    let issuer = ["/.well-known/openid-configuration", "/openid/v1/jwks"];
    let issuer = issuer.into_iter().filter(|_| server.tokens.is_some());
    let mut paths: Vec<&str> = table.discovery().paths().chain(own).chain(issuer).collect();
    paths.sort_unstable();
    json!({"paths": paths})
}

fn not_acceptable(error: NegotiateError) -> ApiError {
    match error {
        NegotiateError::NotAcceptable => ApiError::NotAcceptable(crate::wire::negotiate::PRODUCED.to_owned()),
        NegotiateError::Unsupported(taken) => ApiError::UnsupportedMediaType(taken.to_owned()),
    }
}
