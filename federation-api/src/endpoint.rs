//! Paths that are no resources: health, version, metrics, and what the wire tells of the API itself.

use std::sync::Arc;

use http::{HeaderMap, Method, Response, StatusCode};
use serde_json::json;

use crate::answer;
use crate::body::Body;
use crate::error::ApiError;
use crate::request::RequestInfo;
use crate::request::query::Query;
use crate::server::Server;
use crate::wire::negotiate::NegotiateError;
use crate::wire::version::{self, Build};

/// What one health check says.
struct Check {
    name: &'static str,
    healthy: bool,
}

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
    if !matches!(*method, Method::GET | Method::HEAD) {
        return Err(ApiError::UnknownPath);
    }
    let path = info.path.trim_end_matches('/');
    let mut parts = path.trim_start_matches('/').splitn(2, '/');
    match (parts.next().unwrap_or(""), parts.next()) {
        (root @ ("livez" | "readyz" | "healthz"), check) => health(server, root, check, query).await,
        ("version", None) => {
            let build = Build { commit: "", date: "1970-01-01T00:00:00Z", platform: platform() };
            Ok(answer::json(StatusCode::OK, version::version(server.facts, build).to_string()))
        }
        ("", None) => Ok(answer::json(StatusCode::OK, paths(server).to_string())),
        ("openapi", Some(_)) => {
            let found = server.openapi.answer(&info.path, raw_query, headers).map_err(not_acceptable)?;
            found.map(|found| found.map(Body::full)).ok_or(ApiError::UnknownPath)
        }
        ("api" | "apis", _) => {
            let found = server.discovery.answer(&info.path, headers).map_err(not_acceptable)?;
            found.map(|found| found.map(Body::full)).ok_or(ApiError::UnknownPath)
        }
        ("metrics", None) => {
            let text = server.metrics.render(&server.cache.sizes(), server.in_flight.counts());
            Ok(answer::text(StatusCode::OK, text))
        }
        _ => Err(ApiError::UnknownPath),
    }
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
    let own = ["/healthz", "/livez", "/metrics", "/openapi/v2", "/openapi/v3", "/readyz", "/version"];
    let mut paths: Vec<&str> = server.discovery.paths().chain(own).collect();
    paths.sort_unstable();
    json!({"paths": paths})
}

fn not_acceptable(error: NegotiateError) -> ApiError {
    match error {
        NegotiateError::NotAcceptable => ApiError::NotAcceptable(crate::wire::negotiate::PRODUCED.to_owned()),
        NegotiateError::Unsupported(taken) => ApiError::UnsupportedMediaType(taken.to_owned()),
    }
}

/// Source: k8s.io/apiserver `pkg/server/healthz/healthz.go`.
async fn health(
    server: &Arc<Server>,
    root: &str,
    only: Option<&str>,
    query: &Query,
) -> Result<Response<Body>, ApiError> {
    let mut checks = vec![
        Check { name: "ping", healthy: true },
        Check { name: "store", healthy: server.store.current().await.is_ok() },
        Check { name: "watch-cache", healthy: server.cache.is_following() },
    ];
    if root == "readyz" {
        checks.push(Check { name: "shutdown", healthy: !server.is_draining() });
    }
    if let Some(only) = only {
        checks.retain(|check| check.name == only);
        if checks.is_empty() {
            return Err(ApiError::UnknownPath);
        }
    }
    let excluded: Vec<&str> = query.all("exclude").collect();
    let healthy = checks.iter().all(|check| check.healthy || excluded.contains(&check.name));
    if healthy && query.get("verbose").is_none() {
        return Ok(answer::text(StatusCode::OK, "ok"));
    }
    let code = if healthy { StatusCode::OK } else { StatusCode::INTERNAL_SERVER_ERROR };
    Ok(answer::text(code, report(root, &checks, &excluded)))
}

fn report(root: &str, checks: &[Check], excluded: &[&str]) -> String {
    let mut out = String::new();
    for Check { name, healthy } in checks {
        out.push_str(&match (excluded.contains(name), healthy) {
            (true, _) => format!("[+]{name} excluded: ok\n"),
            (false, true) => format!("[+]{name} ok\n"),
            (false, false) => format!("[-]{name} failed: reason withheld\n"),
        });
    }
    let unknown: Vec<String> = excluded
        .iter()
        .filter(|name| checks.iter().all(|check| check.name != **name))
        .map(|name| format!("{name:?}"))
        .collect();
    if !unknown.is_empty() {
        let list = unknown.join(",");
        out.push_str(&format!("warn: some health checks cannot be excluded: no matches for {list}\n"));
    }
    let passed = checks.iter().all(|check| check.healthy || excluded.contains(&check.name));
    out.push_str(&format!("{root} check {}\n", if passed { "passed" } else { "failed" }));
    out
}
