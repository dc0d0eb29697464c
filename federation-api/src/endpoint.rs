//! Paths that are no resources: health, version, metrics, and what the wire tells of the API itself.

use std::sync::Arc;

use bytes::Bytes;
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
use crate::wire::discovery::Discovery;
use crate::wire::document::Caching;
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
    let Asked { info, query, headers, .. } = *asked;
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
            let found = openapi(server, asked).map_err(not_acceptable)?;
            found.map(|found| found.map(Body::full)).ok_or(ApiError::NoSuchPage)
        }
        ("api" | "apis", _) => {
            let table = server.kinds.table();
            let merged = server.aggregation.discovery(&table, |all| all.answer(&info.path, headers));
            let found =
                merged.unwrap_or_else(|| table.discovery().answer(&info.path, headers)).map_err(not_acceptable)?;
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

/// OpenAPI documents; the index names those of other servers too.
fn openapi(server: &Server, asked: &Asked<'_>) -> Result<Option<Response<Bytes>>, NegotiateError> {
    let table = server.kinds.table();
    let path = &asked.info.path;
    let local = |headers: &HeaderMap| table.openapi().answer(&server.openapi, path, (asked.raw_query, headers));
    let answer = local(asked.headers)?;
    let is_index = path.trim_end_matches('/') == "/openapi/v3";
    if !is_index || answer.is_none() {
        return Ok(answer);
    }
    let own = || {
        let index = local(&HeaderMap::new()).ok().flatten();
        let index = index.expect("it has answered just now");
        serde_json::from_slice(index.body()).expect("we wrote it")
    };
    let merged = server.aggregation.index(&table, own);
    Ok(merged.map(|index| index.answer(asked.headers, Caching::Revalidate)).or(answer))
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
    let issuer: Vec<&str> = issuer.into_iter().filter(|_| server.tokens.is_some()).collect();
    let read = |all: &Discovery| all.paths().map(str::to_owned).collect::<Vec<String>>();
    let of_apis = server.aggregation.discovery(&table, read).unwrap_or_else(|| read(table.discovery()));
    let mut paths: Vec<&str> = of_apis.iter().map(String::as_str).chain(own).chain(issuer).collect();
    paths.sort_unstable();
    json!({"paths": paths})
}

fn not_acceptable(error: NegotiateError) -> ApiError {
    match error {
        NegotiateError::NotAcceptable => ApiError::NotAcceptable(crate::wire::negotiate::PRODUCED.to_owned()),
        NegotiateError::Unsupported(taken) => ApiError::UnsupportedMediaType(taken.to_owned()),
    }
}
