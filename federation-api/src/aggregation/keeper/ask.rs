//! What is asked of an aggregated API server: whether it serves its group version, and all that it tells of it.
//!
//! Bounded in time and bytes; whatever else a server says is its failure, never ours.

use std::time::Duration;

use auth::UserInfo;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use serde_json::Value;

use super::super::document::{self, Documents};
use super::super::{proxy, service::Remote};
use crate::hook::whole;
use crate::server::Server;

/// How long one question may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Longest document that is read.
const MAX_DOCUMENT_BYTES: usize = 6 * 1024 * 1024;
/// Questions of which one good answer is enough: each may reach another endpoint.
const ATTEMPTS: usize = 5;
/// How long the first of them is waited for alone.
const HEDGE: Duration = Duration::from_millis(500);
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
const JSON: &str = "application/json";

/// An answer that was read.
struct Heard {
    code: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

/// Asks for what the server has to serve.
///
/// # Errors
/// What the condition says then.
pub(super) async fn probe(server: &Server, remote: &Remote) -> Result<(), String> {
    let url = format!("https://{}{}", remote.destination.authority(), remote.path());
    let attempt = async || {
        let heard = ask(server, remote, &remote.path(), JSON).await;
        let failed = |why: String| format!("failing or missing response from {url}: {why}");
        match heard {
            Ok(heard) if heard.code.is_success() => Ok(()),
            Ok(heard) => Err(failed(format!("bad status from {url}: {}", heard.code.as_u16()))),
            Err(reason) => Err(failed(format!("Get {url:?}: {reason}"))),
        }
    };
    let mut attempts = FuturesUnordered::from_iter([attempt()]);
    let mut others = Some(std::pin::pin!(tokio::time::sleep(HEDGE)));
    loop {
        let outcome = match &mut others {
            Some(late) => tokio::select! {
                outcome = attempts.next() => outcome,
                () = late => None,
            },
            None => attempts.next().await,
        };
        // Where the first answer is none, or late, another endpoint may have a better one.
        if others.is_some() && !matches!(outcome, Some(Ok(()))) {
            others = None;
            attempts.extend((1..ATTEMPTS).map(|_| attempt()));
        }
        match outcome {
            Some(Err(_)) if !attempts.is_empty() => {}
            Some(outcome) => return outcome,
            None => {}
        }
    }
}

/// Asks what the server serves.
///
/// # Errors
/// The reason, for people.
pub(super) async fn documents(server: &Server, remote: &Remote) -> Result<Documents, String> {
    let resources = resources(server, remote).await?;
    let key = remote.path();
    let index = ask(server, remote, "/openapi/v3", JSON).await;
    let index = index.ok().filter(|heard| heard.code == StatusCode::OK).and_then(|heard| parse(&heard.body).ok());
    let openapi = index.and_then(|index| document::openapi_url(&index, key.trim_start_matches('/')));
    Ok(Documents { resources, fresh: true, openapi })
}

async fn resources(server: &Server, remote: &Remote) -> Result<Vec<Value>, String> {
    let all = ask(server, remote, "/apis", AGGREGATED).await?;
    if all.code == StatusCode::SERVICE_UNAVAILABLE {
        return Err("the service is unavailable".to_owned());
    }
    if all.code == StatusCode::OK && is_aggregated(&all.headers) {
        let document = parse(&all.body)?;
        // Who does not name what it is registered for serves nothing of it.
        return Ok(document::aggregated(&document, &remote.group, &remote.version).unwrap_or_default());
    }
    let path = remote.path();
    let heard = ask(server, remote, &path, JSON).await?;
    if heard.code != StatusCode::OK {
        return Err(format!("failed to download legacy discovery for {path}: {}", heard.code));
    }
    document::legacy(&parse(&heard.body)?).ok_or_else(|| format!("{path} is no list of resources"))
}

fn is_aggregated(headers: &HeaderMap) -> bool {
    let said = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let mut parts = said.split(';').map(str::trim);
    let json = parts.next() == Some(JSON);
    let parts: Vec<&str> = parts.collect();
    json && ["g=apidiscovery.k8s.io", "v=v2", "as=APIGroupDiscoveryList"].iter().all(|part| parts.contains(part))
}

fn parse(body: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(body).map_err(|error| format!("the document is no JSON: {error}"))
}

async fn ask(server: &Server, remote: &Remote, path: &str, accept: &'static str) -> Result<Heard, String> {
    let mut request = Request::new(whole(Bytes::new()));
    *request.uri_mut() = path.parse().map_err(|error: http::uri::InvalidUri| error.to_string())?;
    request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static(accept));
    request.headers_mut().insert(header::USER_AGENT, HeaderValue::from_static("kube-aggregator"));
    // Whoever may do everything may also read what is served.
    let user = UserInfo::new("system:kube-aggregator", [auth::PRIVILEGED_GROUP]);
    proxy::introduce(&user, request.headers_mut());
    let exchange = async {
        let (response, line) = server.hooks.exchange(server, &remote.destination, request).await?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, MAX_DOCUMENT_BYTES).collect().await;
        let body = body.map_err(|error| format!("reading the answer: {error}"))?.to_bytes();
        if parts.status != StatusCode::SWITCHING_PROTOCOLS {
            server.hooks.keep(&remote.destination, line);
        }
        Ok(Heard { code: parts.status, headers: parts.headers, body })
    };
    match tokio::time::timeout(TIMEOUT, exchange).await {
        Ok(heard) => heard,
        Err(_) => Err("context deadline exceeded (Client.Timeout exceeded while awaiting headers)".to_owned()),
    }
}
