//! Reviews: questions in the form of objects. Answered 201, never stored.

use auth::{Attributes, ResourceAttributes, UserInfo};
use federation_schema::decode::Expected;
use federation_schema::facts::Resource;
use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::answer::Answer;
use crate::call::Call;
use crate::decode;
use crate::error::{ApiError, Cause};
use crate::kind;
use crate::object;
use crate::request::options::WriteOptions;

/// Whether objects of this kind are questions.
pub(crate) fn is_review(kind: &Resource) -> bool {
    matches!(&*kind.group, "authentication.k8s.io" | "authorization.k8s.io")
}

/// Answers a POST of a review.
///
/// # Errors
/// 400 and 422 for questions that make no sense.
pub(crate) async fn review(call: &mut Call) -> Result<Answer, ApiError> {
    let options = WriteOptions::read(&call.query, "CreateOptions")?;
    let body = call.read_body().await?;
    let kind = call.kind.clone();
    let mut review = decode::object(call, &body, Expected::object(&kind), options.validation)?;
    let status = match &*call.kind.kind {
        "SelfSubjectReview" => json!({"userInfo": user_json(&call.user)}),
        "SelfSubjectAccessReview" => access(call, &review, None).await?,
        "SubjectAccessReview" => {
            let user = asked_user(call, &review)?;
            access(call, &review, Some(user)).await?
        }
        "LocalSubjectAccessReview" => {
            check_local(call, &review)?;
            let user = asked_user(call, &review)?;
            access(call, &review, Some(user)).await?
        }
        "SelfSubjectRulesReview" => rules(call, &review)?,
        "TokenReview" => token(call, &review).await?,
        other => return Err(ApiError::NotSupported(format!("{other} is not supported by this server yet"))),
    };
    object::meta_mut(&mut review);
    if let Some(map) = review.as_object_mut() {
        map.insert("status".to_owned(), status);
    }
    Ok(Answer::object(StatusCode::CREATED, crate::json::canonical(&review)))
}

fn user_json(user: &UserInfo) -> Value {
    serde_json::to_value(user).expect("users serialise")
}

async fn access(call: &Call, review: &Value, user: Option<UserInfo>) -> Result<Value, ApiError> {
    let user = user.as_ref().unwrap_or(&call.user);
    let spec = review.get("spec").unwrap_or(&Value::Null);
    let text = |of: &Value, key: &str| of.get(key).and_then(Value::as_str).unwrap_or("").to_owned();
    let decision = match (spec.get("resourceAttributes"), spec.get("nonResourceAttributes")) {
        (Some(of), None) => {
            let keys = ["group", "version", "resource", "subresource", "namespace", "name", "verb"];
            let [group, version, resource, subresource, namespace, name, verb] = keys.map(|key| text(of, key));
            let asked = ResourceAttributes {
                group: &group,
                version: &version,
                resource: &resource,
                subresource: &subresource,
                namespace: &namespace,
                name: &name,
            };
            call.server.access.decide(&Attributes::resource(user, &verb, asked)).await?
        }
        (None, Some(of)) => {
            let (path, verb) = (text(of, "path"), text(of, "verb"));
            call.server.access.decide(&Attributes::path(user, &verb, &path)).await?
        }
        _ => {
            let cause = Cause::invalid(
                "spec.resourceAttributes",
                "null",
                "exactly one of nonResourceAttributes or resourceAttributes must be specified",
            );
            return Err(ApiError::invalid(kind::kind_subject(&call.kind, ""), cause));
        }
    };
    let mut status = Map::new();
    status.insert("allowed".to_owned(), decision.is_allowed().into());
    if matches!(decision, auth::Decision::Deny { .. }) {
        status.insert("denied".to_owned(), true.into());
    }
    if !decision.reason().is_empty() {
        status.insert("reason".to_owned(), decision.reason().into());
    }
    Ok(Value::Object(status))
}

fn asked_user(call: &Call, review: &Value) -> Result<UserInfo, ApiError> {
    let spec = review.get("spec").unwrap_or(&Value::Null);
    let strings = |key: &str| -> Vec<String> {
        let list = spec.get(key).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect()
    };
    let text = |key: &str| spec.get(key).and_then(Value::as_str).unwrap_or("").to_owned();
    let mut user = UserInfo::new(text("user"), strings("groups"));
    user.uid = text("uid");
    if let Some(extra) = spec.get("extra") {
        user.extra = serde_json::from_value(extra.clone())
            .map_err(|error| ApiError::BadRequest(format!("spec.extra: {error}")))?;
    }
    if user.name.is_empty() && user.groups.is_empty() {
        let cause = Cause::invalid("spec.user", "", "at least one of user or group must be specified");
        return Err(ApiError::invalid(kind::kind_subject(&call.kind, ""), cause));
    }
    Ok(user)
}

fn check_local(call: &Call, review: &Value) -> Result<(), ApiError> {
    let asked = review.pointer("/spec/resourceAttributes/namespace").and_then(Value::as_str).unwrap_or("");
    if asked == call.namespace() {
        return Ok(());
    }
    let cause = Cause::invalid("spec.resourceAttributes.namespace", asked, "must match metadata.namespace");
    Err(ApiError::invalid(kind::kind_subject(&call.kind, ""), cause))
}

fn rules(call: &Call, review: &Value) -> Result<Value, ApiError> {
    let namespace = review.pointer("/spec/namespace").and_then(Value::as_str).unwrap_or("");
    if namespace.is_empty() {
        return Err(ApiError::BadRequest("no namespace on request".to_owned()));
    }
    let applied = call.server.access.rules_for(&call.user, namespace);
    let mut resources = Vec::new();
    let mut paths = Vec::new();
    for rule in &applied.rules {
        if rule.non_resource_urls.is_empty() {
            resources.push(json!({
                "verbs": rule.verbs, "apiGroups": rule.api_groups,
                "resources": rule.resources, "resourceNames": rule.resource_names,
            }));
        } else {
            paths.push(json!({"verbs": rule.verbs, "nonResourceURLs": rule.non_resource_urls}));
        }
    }
    let mut status = json!({"resourceRules": resources, "nonResourceRules": paths, "incomplete": applied.incomplete});
    if !applied.errors.is_empty() {
        status["evaluationError"] = applied.errors.join("; ").into();
    }
    Ok(status)
}

async fn token(call: &Call, review: &Value) -> Result<Value, ApiError> {
    let token = review.pointer("/spec/token").and_then(Value::as_str).unwrap_or("");
    if token.is_empty() {
        return Err(ApiError::BadRequest("token is required for TokenReview in authentication".to_owned()));
    }
    let credential = auth::Credential { bearer: Some(auth::Secret::new(token)), ..auth::Credential::default() };
    let request =
        auth::AuthenticationRequest { credential: &credential, path: &call.info.path, now: (call.server.now)() };
    Ok(match call.server.authenticators.authenticate(&request).await {
        Ok(user) => json!({"authenticated": true, "user": user_json(&user)}),
        Err(error) => json!({"authenticated": false, "error": error.to_string()}),
    })
}
