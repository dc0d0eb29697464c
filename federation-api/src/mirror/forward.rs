//! Requests about a member's object, handed on to the member, their answers renamed.
//!
//! The hub has authorized the user, for what acts in the member also to act as its executor; the member judges the
//! executor (or, for reads, the hub's own account). A member
//! that cannot be reached is named in the refusal, and nothing else happens.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use auth::{Attributes, ResourceAttributes};
use bytes::{Bytes, BytesMut};
use federation_types::{ClusterName, label};
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hub_client::{ApiError as MemberError, Caller};
use member_cluster::{Member, Members};
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::owner::Owned;
use crate::answer::Answer;
use crate::call::Call;
use crate::error::{ApiError, Cause, Details, Status};
use crate::kind;
use crate::request::options::{self, DeleteOptions};

/// Longest wait for a member's answer to begin, below what clients and the hub's own limit allow.
pub(crate) const MEMBER_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest answer that is read into memory, in bytes: an object is at most 3 MiB.
const MAX_ANSWER_BYTES: usize = 4 * 1024 * 1024;
/// Deletions that wait for members at once: members that hang must not use up what all writes share.
const MAX_WAITING: usize = 64;
/// Streams that are open at once (logs, exec …): each holds two connections.
const MAX_STREAMS: usize = 1_000;

/// How the members are reached that the mirrored objects belong to; the mirror introduces them when it starts.
pub(crate) struct Reach {
    members: OnceLock<Members>,
    waiting: Semaphore,
    streams: Arc<Semaphore>,
}

impl Default for Reach {
    fn default() -> Self {
        let waiting = Semaphore::new(MAX_WAITING);
        Self { members: OnceLock::new(), waiting, streams: Arc::new(Semaphore::new(MAX_STREAMS)) }
    }
}

impl Reach {
    /// Makes the members known; only the first call counts.
    pub(crate) fn introduce(&self, members: Members) {
        self.members.get_or_init(|| members);
    }

    /// The connected member of that name.
    ///
    /// # Errors
    /// 503 saying why there is none.
    pub(super) fn member(&self, name: &ClusterName) -> Result<Arc<Member>, ApiError> {
        let known = self.members.get();
        if let Some(member) = known.and_then(|members| members.get(name.as_str())) {
            return Ok(member);
        }
        let why = known.and_then(|members| members.broken(name.as_str()));
        Err(unavailable(name, &format!("has no connection: {}", why.as_deref().unwrap_or("it is not connected yet"))))
    }

    /// A place for one stream.
    ///
    /// # Errors
    /// 429 where there is none.
    pub(super) fn place(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        Arc::clone(&self.streams).try_acquire_owned().map_err(|_| ApiError::TooManyRequests {
            message: format!("{MAX_STREAMS} streams to member clusters are open, please try again later"),
            retry_after_s: 5,
        })
    }
}

/// Deletes a member's object in the member, as its executor.
///
/// # Errors
/// 405 for kinds that are not deleted from here; 409 for preconditions; 503 and 504 where the member does not answer;
/// what the member refuses.
pub(crate) async fn delete(call: &Call, owned: &Owned, options: &DeleteOptions) -> Result<Answer, ApiError> {
    if !owned.takes_delete() {
        return Err(owned.refuse("delete"));
    }
    let body = delete_body(call, owned, options)?.to_string().into_bytes();
    let member = call.server.reach.member(&owned.cluster)?;
    let _place = call.server.reach.waiting.try_acquire().map_err(|_| ApiError::TooManyRequests {
        message: format!("{MAX_WAITING} deletions wait for member clusters, please try again later"),
        retry_after_s: 1,
    })?;
    let exchange = async {
        let executor = executor(call, &member, owned).await?;
        let request = request(&executor, owned, (Method::DELETE, &owned.path(), Some(body)))?;
        let response = send(&executor, owned, request).await?;
        let code = response.status();
        Ok((code, read(response, owned).await?))
    };
    let (code, bytes) = in_time(owned, exchange).await?;
    answer(call, owned, code, &bytes)
}

/// Evicts a member's pod in the member, as its executor: the member's own budgets decide.
///
/// # Errors
/// As [`delete`], and 429 where a budget does not allow it.
pub(crate) async fn evict(call: &Call, owned: &Owned, options: &DeleteOptions) -> Result<Answer, ApiError> {
    let eviction = json!({
        "apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": {"name": owned.name, "namespace": owned.namespace},
        "deleteOptions": delete_body(call, owned, options)?,
    });
    let member = call.server.reach.member(&owned.cluster)?;
    let _place = call.server.reach.waiting.try_acquire().map_err(|_| ApiError::TooManyRequests {
        message: format!("{MAX_WAITING} deletions wait for member clusters, please try again later"),
        retry_after_s: 1,
    })?;
    let path = format!("{}/eviction", owned.path());
    let exchange = async {
        let executor = executor(call, &member, owned).await?;
        let request = request(&executor, owned, (Method::POST, &path, Some(eviction.to_string().into_bytes())))?;
        let response = send(&executor, owned, request).await?;
        let code = response.status();
        Ok((code, read(response, owned).await?))
    };
    let (code, bytes) = in_time(owned, exchange).await?;
    if code.is_success() { Ok(crate::verb::eviction::done()) } else { Err(refusal(call, owned, code, &bytes)) }
}

/// The options as the member gets them: names of revisions are the hub's and are settled here.
fn delete_body(call: &Call, owned: &Owned, options: &DeleteOptions) -> Result<Value, ApiError> {
    let mut body = json!({"apiVersion": "v1", "kind": "DeleteOptions"});
    let mut set = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            body[key] = value;
        }
    };
    set("gracePeriodSeconds", options.grace_period_seconds.map(Value::from));
    set("orphanDependents", options.orphan_dependents.map(Value::from));
    set("propagationPolicy", options.propagation_policy.clone().map(Value::from));
    set("dryRun", options.dry_run.clone().map(Value::from));
    let wanted = options.preconditions.clone().unwrap_or_default();
    let mut uid = wanted.uid;
    if let Some(asked) = wanted.resource_version {
        let key = kind::object_key(&call.kind, &owned.namespace, &owned.shown);
        let entry = call.cache.get(&key);
        let current = entry.as_ref().map(|entry| entry.rev());
        if options::revision(&asked)? != current {
            let subject = kind::subject(&call.kind, &owned.shown);
            let current = current.map_or_else(|| "none".to_owned(), |rev| rev.to_string());
            let detail = format!(
                "the ResourceVersion in the precondition ({asked}) does not match the ResourceVersion in record ({current}). The object might have been modified"
            );
            return Err(ApiError::Conflict(subject, detail));
        }
        uid = uid.or_else(|| entry?.text(&["metadata", "uid"]));
    }
    set("preconditions", uid.map(|uid| json!({"uid": uid})));
    Ok(body)
}

/// The identity that writes to the member are made as, for a user who may act as it there.
///
/// # Errors
/// 403 where the user lacks `execute-as` on the cluster; 503 where the member does not answer or is another cluster
/// than it was.
pub(super) async fn executor(call: &Call, member: &Member, owned: &Owned) -> Result<Caller, ApiError> {
    let cluster = ResourceAttributes {
        group: label::GROUP,
        version: "*",
        resource: "clusters",
        subresource: "",
        namespace: "",
        name: owned.cluster.as_str(),
    };
    call.server.access.require(&Attributes::resource(&call.user, "execute-as", cluster)).await?;
    member.writer("").await.map_err(|error| unavailable(&owned.cluster, &format!("cannot be written to: {error}")))
}

/// A request to the member; `path` may carry a query.
///
/// # Errors
/// 400 where the query cannot be one.
pub(super) fn request(
    caller: &Caller,
    owned: &Owned,
    (method, path, body): (Method, &str, Option<Vec<u8>>),
) -> Result<Request<kube::client::Body>, ApiError> {
    let body = body.map(|bytes| ("application/json", bytes));
    let request = caller.request(method, path, body);
    request.map_err(|error| ApiError::BadRequest(format!("no request to {:?}: {error}", owned.cluster.as_str())))
}

/// Sends a request; the answer's body is unread.
///
/// # Errors
/// 503 where there is no answer.
pub(super) async fn send(
    caller: &Caller,
    owned: &Owned,
    request: Request<kube::client::Body>,
) -> Result<Response<kube::client::Body>, ApiError> {
    caller.send(request).await.map_err(|error| unavailable(&owned.cluster, &format!("does not answer: {error}")))
}

/// Waits for a member, but not longer than [`MEMBER_TIMEOUT`].
///
/// # Errors
/// 504 naming the member.
pub(super) async fn in_time<T>(
    owned: &Owned,
    exchange: impl Future<Output = Result<T, ApiError>>,
) -> Result<T, ApiError> {
    match tokio::time::timeout(MEMBER_TIMEOUT, exchange).await {
        Ok(outcome) => outcome,
        Err(_) => Err(ApiError::Timeout(format!(
            "the member cluster {:?} did not answer within {} s",
            owned.cluster.as_str(),
            MEMBER_TIMEOUT.as_secs()
        ))),
    }
}

/// Reads a whole answer, within bounds.
///
/// # Errors
/// 503 where it breaks off or is too large.
pub(super) async fn read(response: Response<kube::client::Body>, owned: &Owned) -> Result<Bytes, ApiError> {
    let mut body = response.into_body();
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| unavailable(&owned.cluster, &format!("broke off its answer: {error}")))?;
        let Ok(chunk) = frame.into_data() else { continue };
        if all.len() + chunk.len() > MAX_ANSWER_BYTES {
            return Err(unavailable(&owned.cluster, &format!("answers with more than {MAX_ANSWER_BYTES} bytes")));
        }
        all.extend_from_slice(&chunk);
    }
    Ok(all.freeze())
}

fn answer(call: &Call, owned: &Owned, code: StatusCode, bytes: &[u8]) -> Result<Answer, ApiError> {
    if !code.is_success() {
        return Err(refusal(call, owned, code, bytes));
    }
    let Ok(mut object) = serde_json::from_slice::<Value>(bytes) else {
        return Err(unavailable(&owned.cluster, "answers with something that is no JSON"));
    };
    if object["kind"] == "Status" {
        let uid = object.pointer("/details/uid").and_then(Value::as_str).unwrap_or("");
        return Ok(Answer::Status(Status::success(Details {
            name: owned.shown.clone(),
            group: call.kind.group.to_string(),
            kind: call.kind.plural.to_string(),
            uid: uid.to_owned(),
            ..Details::default()
        })));
    }
    if !object.get("metadata").is_some_and(Value::is_object) {
        return Err(unavailable(&owned.cluster, "answers with something that is no object"));
    }
    owned.kind().rename(&mut object, &owned.cluster);
    Ok(Answer::object(code, crate::json::canonical(&object)))
}

/// A member's refusal in the hub's words: the object by its name here, and whose refusal it is.
pub(super) fn refusal(call: &Call, owned: &Owned, code: StatusCode, bytes: &[u8]) -> ApiError {
    let parsed = serde_json::from_slice::<Value>(bytes).unwrap_or(Value::Null);
    let told = MemberError::from_status(code.as_u16(), &parsed, &String::from_utf8_lossy(bytes));
    let MemberError::Status { code, reason, message, retry_after, causes } = told else {
        return unavailable(&owned.cluster, &format!("does not answer: {told}"));
    };
    if code == 401 {
        return unavailable(&owned.cluster, "does not accept the hub's credentials");
    }
    let named = parsed.pointer("/details/name").and_then(Value::as_str) == Some(owned.name.as_str());
    if code == 404 && named {
        return ApiError::NotFound(kind::subject(&call.kind, &owned.shown));
    }
    let subject = kind::subject(&call.kind, &owned.shown);
    let renamed = message.replace(&format!("{:?}", owned.name), &format!("{:?}", subject.name));
    let message = format!("in the member cluster {:?}: {renamed}", owned.cluster.as_str());
    let mut status = Status::failure(code, &reason, message);
    let cause =
        |cause: hub_client::error::Cause| Cause { reason: cause.reason, message: cause.message, field: cause.field };
    status.details = Some(Details {
        name: subject.name,
        group: subject.group,
        kind: subject.resource,
        causes: causes.into_iter().map(cause).collect(),
        retry_after_seconds: retry_after.map_or(0, |wait| u32::try_from(wait.as_secs()).unwrap_or(u32::MAX)),
        ..Details::default()
    });
    ApiError::Foreign(Box::new(status))
}

/// Without a time to retry after: clients would wait in silence for a member that may be gone for days.
fn unavailable(name: &ClusterName, what: &str) -> ApiError {
    ApiError::Unavailable { message: format!("the member cluster {:?} {what}", name.as_str()), retry_after_s: 0 }
}
