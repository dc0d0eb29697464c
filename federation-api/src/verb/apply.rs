//! Server-side apply: the merge and its ownership are the schema's, the life of the object is the pipeline's.

use federation_schema::decode::{FieldValidation, Format};
use federation_schema::managed::Typing;
use federation_schema::patch::apply::{self as surgery, ApplyError, Conflict};
use serde_json::{Map, Value, json};

use crate::answer::Answer;
use crate::call::Call;
use crate::convert;
use crate::decode;
use crate::error::{ApiError, Cause};
use crate::object;
use crate::record;
use crate::request::options::WriteOptions;
use crate::verb::write::{self, Intent, Part};

/// Answers a PATCH of type apply.
///
/// # Errors
/// 422 without a field manager, 409 for conflicts, and what every write may be refused for.
pub(crate) async fn apply(call: &mut Call, part: Part, options: &WriteOptions) -> Result<Answer, ApiError> {
    if options.field_manager.is_empty() {
        let cause = Cause::required("fieldManager", "is required for apply patch");
        return Err(ApiError::invalid_options("PatchOptions", vec![cause]));
    }
    let body = call.read_body().await?;
    let mut config = decode::untyped(call, &body, Format::Yaml, options.validation)?;
    check(call, &mut config)?;
    let intent = Intent { options, part, creates: part == Part::Main, applies: true };
    let written = write::update(call, intent, |call, old| applied(call, old, &config, intent)).await?;
    Ok(written.into_answer())
}

/// The configuration has to be one for the object of the path.
fn check(call: &Call, config: &mut Value) -> Result<(), ApiError> {
    if !config.is_object() {
        return Err(ApiError::BadRequest("error decoding patch: the configuration is no object".to_owned()));
    }
    if config.get("metadata").is_some_and(|meta| !meta.is_object() && !meta.is_null()) {
        return Err(ApiError::BadRequest("metadata: expected an object".to_owned()));
    }
    for key in ["apiVersion", "kind"] {
        if config.get(key).and_then(Value::as_str).unwrap_or("").is_empty() {
            return Err(ApiError::BadRequest(format!("{key} must be set in the applied configuration")));
        }
    }
    if object::name(config).is_empty() {
        object::set_meta(config, "name", call.info.name.clone());
    }
    decode::check_identity(call, config)?;
    convert::to_stored(&call.kind, &call.stored, config);
    let namespace = object::namespace(config);
    if namespace.is_empty() {
        object::set_meta(config, "namespace", call.namespace().to_owned());
    }
    Ok(())
}

fn applied(call: &mut Call, old: Option<&Value>, config: &Value, intent: Intent<'_>) -> Result<Value, ApiError> {
    if old.is_none() && !intent.creates {
        return Err(ApiError::NotFound(call.subject()));
    }
    let missing = json!({"apiVersion": call.stored.api_version(), "kind": call.stored.kind, "metadata": Map::new()});
    let live = old.unwrap_or(&missing);
    let now = call.server.timestamp();
    let api_version = call.stored.api_version();
    let circumstances = (intent.options.field_manager.as_str(), now.as_str(), api_version.as_str());
    let write = record::circumstances(call, intent.part, circumstances);
    let typing = Typing::new(call.stored.facts(), call.stored.ty);
    let outcome = surgery::apply(typing, live, config, &write, intent.options.force).map_err(refused)?;
    let validation = FieldValidation::Ignore;
    let mut new = decode::patched(call, call.stored.ty, outcome.object, (config, validation))?;
    // The configuration pins a revision only if it names one itself.
    if object::meta_text(config, "resourceVersion").is_empty() {
        object::set_meta(&mut new, "resourceVersion", Value::Null);
    }
    if object::uid(config).is_empty() && old.is_none() {
        object::set_meta(&mut new, "uid", Value::Null);
    }
    Ok(new)
}

fn refused(error: ApplyError) -> ApiError {
    match error {
        ApplyError::BadRequest(text) | ApplyError::Schema(text) => ApiError::BadRequest(text),
        ApplyError::Conflicts(conflicts) => {
            let message = ApplyError::Conflicts(conflicts.clone()).to_string();
            let cause = |conflict: &Conflict| Cause {
                reason: "FieldManagerConflict".to_owned(),
                message: conflict.message(),
                field: conflict.path.clone(),
            };
            ApiError::ApplyConflict(message, conflicts.iter().map(cause).collect())
        }
        ApplyError::Live(text) => ApiError::Internal(text),
    }
}
