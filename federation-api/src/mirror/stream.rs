//! Logs, exec, attach and port-forward of a member's pods: bytes through, in both directions, without a look at them.
//!
//! Logs are read as the hub's own account, as everything mirrored is; what acts in a pod is asked for as the executor.
//! No credential of the user travels to the member.

use federation_types::ClusterName;
use futures_util::StreamExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use serde_json::Value;

use super::forward;
use super::owner::Owned;
use crate::answer::{self, Answer};
use crate::body::Body;
use crate::cache::Scope;
use crate::call::Call;
use crate::error::ApiError;
use crate::tunnel::{Tunnel, without_tokens};

/// Headers of an upgrade that both sides need to see.
const UPGRADE_HEADERS: [HeaderName; 7] = [
    header::CONNECTION,
    header::UPGRADE,
    header::SEC_WEBSOCKET_KEY,
    header::SEC_WEBSOCKET_VERSION,
    header::SEC_WEBSOCKET_ACCEPT,
    header::SEC_WEBSOCKET_EXTENSIONS,
    HeaderName::from_static("x-stream-protocol-version"),
];

/// Answers `GET pods/NAME/log` with the member's stream.
///
/// # Errors
/// 404 for a pod that nobody has, 400 for one that runs nowhere, 503 and 504 where the member does not answer, and
/// what the member refuses.
pub(crate) async fn log(call: &Call) -> Result<Answer, ApiError> {
    let owned = running(call)?;
    let place = call.server.reach.place()?;
    let member = call.server.reach.member(&owned.cluster)?;
    let mut request = forward::request(&member.reader, &owned, (Method::GET, &path(call, &owned), None))?;
    request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("*/*"));
    let response = forward::in_time(&owned, forward::send(&member.reader, &owned, request)).await?;
    let code = response.status();
    if !code.is_success() {
        let bytes = forward::in_time(&owned, forward::read(response, &owned)).await?;
        return Err(forward::refusal(call, &owned, code, &bytes));
    }
    let chunks = response.into_body().into_data_stream();
    let state = (Box::pin(chunks), place, owned.cluster);
    let lines = futures_util::stream::unfold(state, async |(mut chunks, place, cluster)| match chunks.next().await? {
        Ok(bytes) => Some((bytes, (chunks, place, cluster))),
        Err(error) => {
            tracing::debug!(%cluster, %error, "a log broke off");
            None
        }
    });
    // A member that is removed, or known by another address now, is not read any longer.
    let lines = lines.take_until(member.closed().clone().cancelled_owned());
    let mut answer = answer::text(StatusCode::OK, "");
    *answer.body_mut() = Body::stream(lines);
    Ok(Answer::Response(answer))
}

/// Answers exec, attach and port-forward: replays the upgrade to the member and joins both connections.
///
/// # Errors
/// As [`log`], and 400 where the request is no upgrade.
pub(crate) async fn upgrade(call: &mut Call) -> Result<Answer, ApiError> {
    let owned = running(call)?;
    let downstream = call.upgrade.take().filter(|_| call.headers.contains_key(header::UPGRADE));
    let downstream = downstream.ok_or_else(|| ApiError::BadRequest("Upgrade request required".to_owned()))?;
    let place = call.server.reach.place()?;
    let member = call.server.reach.member(&owned.cluster)?;
    let path = path(call, &owned);
    let response = forward::in_time(&owned, async {
        let executor = forward::executor(call, &member, &owned).await?;
        let mut request = forward::request(&executor, &owned, (call.method.clone(), &path, None))?;
        request.headers_mut().remove(header::ACCEPT);
        copy_upgrade(&call.headers, request.headers_mut());
        forward::send(&executor, &owned, request).await
    })
    .await?;
    let code = response.status();
    if code != StatusCode::SWITCHING_PROTOCOLS {
        let bytes = forward::in_time(&owned, forward::read(response, &owned)).await?;
        return Err(forward::refusal(call, &owned, code, &bytes));
    }
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = code;
    copy_upgrade(response.headers(), answer.headers_mut());
    let tunnel = Tunnel { downstream, upstream: hyper::upgrade::on(response), closed: member.closed().clone() };
    tokio::spawn(tunnel.run(owned.cluster.to_string(), place));
    Ok(Answer::Response(answer))
}

/// The member's pod that the request is about: by its mirrored name, or what a template became in its one member.
fn running(call: &Call) -> Result<Owned, ApiError> {
    let key = call.key();
    if let Some(owned) = Owned::of(call, &key) {
        return Ok(owned);
    }
    let entry = call.cache.get(&key).ok_or_else(|| ApiError::NotFound(call.subject()))?;
    let uid = entry.text(&["metadata", "uid"]).unwrap_or_default();
    let cluster = placed_in(call, &uid);
    let owned = cluster.and_then(|cluster| Owned::of_template(call, cluster));
    owned.ok_or_else(|| ApiError::BadRequest(format!("pod {} does not have a cluster assigned", entry.name())))
}

/// The member cluster that runs the pod that the request is about; none where none does.
pub(crate) fn runs_in(call: &Call) -> Option<ClusterName> {
    running(call).ok().map(|owned| owned.cluster)
}

/// The one cluster that the binding of a template names.
fn placed_in(call: &Call, uid: &str) -> Option<ClusterName> {
    let bindings = call.server.cache.resource("fedgate.dev/placementbindings");
    let snapshot = bindings.snapshot();
    let of = ["spec", "template", "uid"];
    let binding = snapshot.range(&Scope::All, "").find(|entry| entry.text(&of).as_deref() == Some(uid))?;
    let clusters: Vec<Value> = serde_json::from_slice(binding.field(&["spec", "clusters"])?).ok()?;
    let mut staying = clusters.iter().filter(|row| row["withdraw"] != Value::Bool(true));
    ClusterName::new(staying.next()?["name"].as_str()?).ok()
}

/// The subresource's path in the member, the query as it was sent.
fn path(call: &Call, owned: &Owned) -> String {
    let path = format!("{}/{}", owned.path(), call.info.subresource);
    match call.uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    }
}

fn copy_upgrade(from: &HeaderMap, to: &mut HeaderMap) {
    for name in &UPGRADE_HEADERS {
        for value in from.get_all(name) {
            to.append(name.clone(), value.clone());
        }
    }
    for value in from.get_all(header::SEC_WEBSOCKET_PROTOCOL) {
        if let Some(value) = without_tokens(value) {
            to.append(header::SEC_WEBSOCKET_PROTOCOL, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, header};

    use super::copy_upgrade;

    /// Protocol: SR6
    #[test]
    fn an_upgrade_travels_without_credentials() {
        let mut sent = HeaderMap::new();
        for (name, value) in [
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("authorization", "Bearer secret"),
            ("cookie", "secret"),
            ("impersonate-user", "root"),
            ("sec-websocket-protocol", "base64url.bearer.authorization.k8s.io.c2VjcmV0, v5.channel.k8s.io"),
            ("x-stream-protocol-version", "v5.channel.k8s.io"),
            ("x-stream-protocol-version", "v4.channel.k8s.io"),
        ] {
            sent.append(name, HeaderValue::from_static(value));
        }
        let mut copied = HeaderMap::new();
        copy_upgrade(&sent, &mut copied);
        assert_eq!(copied[header::SEC_WEBSOCKET_PROTOCOL], "v5.channel.k8s.io");
        assert_eq!(copied.get_all("x-stream-protocol-version").iter().count(), 2);
        assert!(copied.values().all(|value| !value.to_str().expect("text").contains("secret")));
        assert!(!copied.contains_key("impersonate-user"));
    }
}
