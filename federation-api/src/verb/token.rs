//! TokenRequest: a token for a service account, bound to what the request names.

use std::time::Duration;

use auth::service_account::{
    BoundKind, BoundObject, DEFAULT_LIFETIME, MAX_LIFETIME, MIN_LIFETIME, TokenReference, TokenSpec,
};
use federation_schema::decode::Expected;
use http::StatusCode;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::call::Call;
use crate::error::{ApiError, Cause};
use crate::kind::{self, storage_name};
use crate::request::options::WriteOptions;
use crate::{admission, decode, object};

/// Answers a POST to serviceaccounts/NAME/token.
///
/// # Errors
/// 404 for an unknown account or bound object, 422 for a lifetime out of bounds, 405 where this server issues no tokens.
pub(crate) async fn create(call: &mut Call) -> Result<Answer, ApiError> {
    let account = call.cache.get(&call.key()).ok_or_else(|| ApiError::NotFound(call.subject()))?.value();
    if call.server.tokens.is_none() {
        return Err(ApiError::NotSupported("this server issues no service account tokens".to_owned()));
    }
    let of = call.kind.clone();
    let expected = of.subresource("token").and_then(Expected::subresource);
    let expected = expected.ok_or_else(|| ApiError::Internal("the table of kinds has no TokenRequest".to_owned()))?;
    let options = WriteOptions::read(&call.query, "CreateOptions")?;
    let body = call.read_body().await?;
    let mut request = decode::object(call, &body, expected, options.validation)?;
    let meta = object::meta_mut(&mut request);
    meta.insert("name".to_owned(), object::name(&account).into());
    meta.insert("namespace".to_owned(), object::namespace(&account).into());
    admission::requests(call, &mut request, &options).await?;
    let spec = spec(call, &account, &request)?;
    let tokens = call.server.tokens.as_ref().expect("checked above, and never unset");
    let issued = tokens.issue(&spec, (call.server.now)()).map_err(|error| ApiError::Internal(error.to_string()))?;
    let meta = object::meta_mut(&mut request);
    meta.insert("creationTimestamp".to_owned(), call.server.timestamp().into());
    request["spec"]["audiences"] = json!(spec.audiences);
    request["spec"]["expirationSeconds"] = spec.lifetime.as_secs().into();
    let expires = issued.expires.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    request["status"] = json!({"token": issued.token.expose(), "expirationTimestamp": expires});
    Ok(Answer::object(StatusCode::CREATED, crate::json::canonical(&request)))
}

fn spec(call: &Call, account: &Value, request: &Value) -> Result<TokenSpec, ApiError> {
    let invalid = |field: &str, value: &Value, detail: &str| {
        let cause = Cause::invalid(field, &value.to_string(), detail);
        ApiError::invalid(kind::kind_subject(&call.kind, object::name(account)), cause)
    };
    let lifetime = match request.pointer("/spec/expirationSeconds") {
        None | Some(Value::Null) => DEFAULT_LIFETIME,
        Some(seconds) => match seconds.as_u64().map(Duration::from_secs) {
            Some(life) if life < MIN_LIFETIME => {
                return Err(invalid(
                    "spec.expirationSeconds",
                    seconds,
                    "may not specify a duration less than 10 minutes",
                ));
            }
            Some(life) if life <= MAX_LIFETIME => life,
            _ => {
                let detail = "may not specify a duration larger than 2^32 seconds";
                return Err(invalid("spec.expirationSeconds", seconds, detail));
            }
        },
    };
    let asked = request.pointer("/spec/audiences").and_then(Value::as_array);
    let asked: Vec<String> = asked.into_iter().flatten().filter_map(|a| a.as_str().map(str::to_owned)).collect();
    let audiences = if asked.is_empty() { vec![crate::account::ISSUER.to_owned()] } else { asked };
    let reference = TokenReference {
        namespace: object::namespace(account).to_owned(),
        name: object::name(account).to_owned(),
        uid: object::uid(account).to_owned(),
        bound: bound(call, account, request.pointer("/spec/boundObjectRef"))?,
    };
    Ok(TokenSpec { reference, audiences, lifetime })
}

fn bound(call: &Call, account: &Value, asked: Option<&Value>) -> Result<Option<BoundObject>, ApiError> {
    let Some(asked) = asked.filter(|asked| !asked.is_null()) else { return Ok(None) };
    let text = |key: &str| asked.get(key).and_then(Value::as_str).unwrap_or("");
    let (kind, plural) = match (text("apiVersion"), text("kind")) {
        ("v1" | "", "Pod") => (BoundKind::Pod, "pods"),
        ("v1" | "", "Secret") => (BoundKind::Secret, "secrets"),
        ("v1" | "", "Node") => (BoundKind::Node, "nodes"),
        (version, other) => {
            return Err(ApiError::BadRequest(format!("cannot bind token for {version}, Kind={other}")));
        }
    };
    let name = text("name");
    let key = if kind == BoundKind::Node { name.to_owned() } else { format!("{}/{name}", object::namespace(account)) };
    let found = call.server.cache.resource(&storage_name("", plural)).get(&key);
    let missing = || ApiError::NotFound(crate::error::Subject::new("", plural, name));
    let uid = found.ok_or_else(missing)?.text(&["metadata", "uid"]).unwrap_or_default();
    if !text("uid").is_empty() && text("uid") != uid {
        let message =
            format!("the UID in the bound object reference ({}) does not match the UID in record", text("uid"));
        return Err(ApiError::BadRequest(message));
    }
    Ok(Some(BoundObject { kind, name: name.to_owned(), uid }))
}
