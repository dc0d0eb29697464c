//! Server-side apply: the merge and its ownership are the schema's, the life of the object is the pipeline's.

use federation_schema::decode::{self as formats, FieldValidation, Finding};
use federation_schema::facts::TypeId;
use federation_schema::managed::{Typing, scale::SCALE_VERSION};
use federation_schema::patch::apply::{self as surgery, ApplyError, Conflict};
use serde_json::{Map, Value, json};

use crate::answer::Answer;
use crate::call::Call;
use crate::convert;
use crate::decode;
use crate::error::{ApiError, Cause};
use crate::object;
use crate::record::{self, Served};
use crate::request::options::WriteOptions;
use crate::verb::write::{self, Intent, Part};

/// How requests name this kind of patch.
pub(crate) const MEDIA_TYPE: &str = "application/apply-patch+yaml";

/// Answers a PATCH of type apply.
///
/// # Errors
/// 422 without a field manager, 409 for conflicts, and what every write may be refused for.
pub(crate) async fn apply(call: &mut Call, part: Part, options: &WriteOptions) -> Result<Answer, ApiError> {
    check_manager(options)?;
    let body = call.read_body().await?;
    let (config, findings) = decode::configuration(&body)?;
    check(&config, (&call.kind.api_version(), &call.kind.kind))?;
    let intent = Intent { options, part, creates: part == Part::Main, applies: true };
    let written = write::update(call, intent, |call, old| {
        let new = applied(call, old, &config, intent)?;
        judge(call, &findings, options.validation)?;
        Ok(new)
    })
    .await?;
    Ok(written.into_answer(call))
}

/// Whoever applies says who it is.
///
/// # Errors
/// 422.
pub(crate) fn check_manager(options: &WriteOptions) -> Result<(), ApiError> {
    if options.field_manager.is_empty() {
        let cause = Cause::required("fieldManager", "is required for apply patch");
        return Err(ApiError::invalid_options("PatchOptions", vec![cause]));
    }
    Ok(())
}

/// Applies to a Scale that carries its managed fields.
///
/// # Errors
/// As [`apply`].
pub(crate) fn applied_scale(
    call: &mut Call,
    (live, config): (&Value, &Value),
    ty: TypeId,
    options: &WriteOptions,
) -> Result<Value, ApiError> {
    let now = call.server.timestamp();
    let served = Served::of(call, None);
    let write = record::circumstances(call, Part::Scale, (&options.field_manager, &now, SCALE_VERSION), &served);
    let kind = call.stored.clone();
    let outcome =
        surgery::apply(Typing::new(kind.facts(), ty), live, config, &write, options.force).map_err(refused)?;
    let new = decode::patched(call, ty, outcome.object, ("", &[]), FieldValidation::Ignore)?;
    decode::check_name(call, &new)?;
    Ok(new)
}

/// The configuration has to be an object of the kind of the path.
///
/// # Errors
/// 400.
pub(crate) fn check(config: &Value, (api_version, kind): (&str, &str)) -> Result<(), ApiError> {
    if !config.is_object() {
        let text = decode::no_map(config, "error decoding patch: error unmarshaling JSON: while decoding JSON: ");
        return Err(ApiError::BadRequest(text));
    }
    let text = |key: &str| config.get(key).and_then(Value::as_str).unwrap_or("");
    if text("apiVersion") != api_version || text("kind") != kind {
        return Err(ApiError::BadRequest(format!("invalid object type: {}", gvk(text("apiVersion"), text("kind")))));
    }
    if config.get("metadata").is_some_and(|meta| !meta.is_object() && !meta.is_null()) {
        return Err(ApiError::BadRequest("metadata: expected an object".to_owned()));
    }
    Ok(())
}

/// A kind as Go prints it: `apps/v1, Kind=Deployment`, `/v1, Kind=Pod`.
fn gvk(api_version: &str, kind: &str) -> String {
    let slash = if api_version.contains('/') { "" } else { "/" };
    format!("{slash}{api_version}, Kind={kind}")
}

/// What the text of a configuration has twice: refused under Strict, else told.
pub(crate) fn judge(call: &mut Call, findings: &[Finding], validation: FieldValidation) -> Result<(), ApiError> {
    if let (FieldValidation::Strict, [Finding::Twice(told)]) = (validation, findings) {
        return Err(ApiError::BadRequest(format!("error strict decoding patch: {told}")));
    }
    let warnings = formats::judge(findings.to_vec(), validation)
        .map_err(|strict| ApiError::BadRequest(format!("error strict decoding patch: {strict}")))?;
    warnings.into_iter().for_each(|warning| call.warn(warning));
    Ok(())
}

fn applied(call: &mut Call, old: Option<&Value>, config: &Value, intent: Intent<'_>) -> Result<Value, ApiError> {
    if old.is_none() && !intent.creates {
        return Err(ApiError::NotFound(call.subject()));
    }
    let missing = json!({"apiVersion": call.stored.api_version(), "kind": call.stored.kind, "metadata": Map::new()});
    let live = old.unwrap_or(&missing);
    let now = call.server.timestamp();
    let api_version = call.kind.api_version();
    let circumstances = (intent.options.field_manager.as_str(), now.as_str(), api_version.as_str());
    let served = Served::of(call, old);
    let write = record::circumstances(call, intent.part, circumstances, &served);
    let kind = call.kind.clone();
    let typing = Typing::new(kind.facts(), kind.ty);
    let mut shown = live.clone();
    convert::from_stored(&call.kind, &call.stored, &mut shown);
    let outcome = surgery::apply(typing, &shown, config, &write, intent.options.force).map_err(refused)?;
    let mut new = decode::patched(call, kind.ty, outcome.object, ("", &[]), FieldValidation::Ignore)?;
    decode::check_name(call, &new)?;
    if let (None, Some(version)) = (old, call.old) {
        version.complete(&mut new);
    }
    federation_schema::defaults::fold_string_data(&mut new);
    convert::to_stored(&call.kind, &call.stored, &mut new);
    // The configuration pins a revision only if it names one itself.
    if object::meta_text(config, "resourceVersion").is_empty() {
        object::set_meta(&mut new, "resourceVersion", Value::Null);
    }
    if object::uid(config).is_empty() && old.is_none() {
        object::set_meta(&mut new, "uid", Value::Null);
    }
    Ok(new)
}

/// As upstream answers: what does not fit the schema is a plain error.
pub(crate) fn refused(error: ApplyError) -> ApiError {
    match error {
        ApplyError::BadRequest(text) => ApiError::BadRequest(text),
        ApplyError::Conflicts(conflicts) => {
            let message = ApplyError::Conflicts(conflicts.clone()).to_string();
            let cause = |conflict: &Conflict| Cause {
                reason: "FieldManagerConflict".to_owned(),
                message: conflict.message(),
                field: conflict.path.clone(),
            };
            ApiError::ApplyConflict(message, conflicts.iter().map(cause).collect())
        }
        ApplyError::Schema(text) | ApplyError::Live(text) => ApiError::Plain(text),
    }
}
