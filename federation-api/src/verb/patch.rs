//! PATCH: JSON patch, merge patch, strategic merge patch, server-side apply.
//!
//! The surgery is the schema's; this chooses it by media type and runs it over the newest object.

use bytes::Bytes;
use federation_schema::patch::{self as surgery, PatchError};
use serde_json::Value;

use crate::answer::Answer;
use crate::call::Call;
use crate::decode::{self, Expected};
use crate::error::ApiError;
use crate::object;
use crate::request::options::WriteOptions;
use crate::verb::write::{self, Intent, Part};

/// The formats of patches on built-in kinds, as messages list them.
const ACCEPTED: &str = "application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, application/apply-patch+yaml";

/// A patch, parsed once and run as often as races demand.
pub(crate) enum Patch {
    Json(Value),
    Merge(Value),
    Strategic(Value),
}

/// Answers a PATCH to an object.
///
/// # Errors
/// Whatever is wrong with the patch or its outcome; 404, 409.
pub(crate) async fn patch(call: &mut Call) -> Result<Answer, ApiError> {
    patch_part(call, Part::Main).await
}

/// A PATCH to an object or to a part of it.
///
/// # Errors
/// As [`patch`].
pub(crate) async fn patch_part(call: &mut Call, part: Part) -> Result<Answer, ApiError> {
    let options = WriteOptions::read(&call.query, "PatchOptions")?;
    if call.content_type() == "application/apply-patch+yaml" {
        return crate::verb::apply::apply(call, part, &options).await;
    }
    if options.force {
        let cause = crate::error::Cause::forbidden("force", "may not be specified for non-apply patch");
        return Err(ApiError::invalid_options("PatchOptions", vec![cause]));
    }
    let body = call.read_body().await?;
    let patch = Patch::read(call.content_type(), &body)?;
    let intent = Intent { options: &options, part, creates: false, applies: false };
    let written = write::update(call, intent, |call, old| {
        let old = old.ok_or_else(|| ApiError::NotFound(call.subject()))?;
        patch.patched(call, old)
    })
    .await?;
    Ok(written.into_answer())
}

impl Patch {
    /// Parses a patch of that media type.
    ///
    /// # Errors
    /// 415, 400.
    pub(crate) fn read(media_type: &str, body: &Bytes) -> Result<Self, ApiError> {
        let parse = || -> Result<Value, ApiError> {
            serde_json::from_slice(body).map_err(|error| ApiError::BadRequest(format!("error decoding patch: {error}")))
        };
        match media_type {
            "application/json-patch+json" => parse().map(Self::Json),
            "application/merge-patch+json" => parse().map(Self::Merge),
            "application/strategic-merge-patch+json" => parse().map(Self::Strategic),
            _ => Err(ApiError::UnsupportedMediaType(ACCEPTED.to_owned())),
        }
    }

    /// Runs the patch over an object of the call's kind.
    ///
    /// # Errors
    /// As the surgery says; 400 where the outcome is of another type.
    pub(crate) fn patched(&self, call: &Call, old: &Value) -> Result<Value, ApiError> {
        let mut new = self.run(call, call.kind.ty, old.clone())?;
        decode::check_type(&mut new, Expected::of(call.kind))?;
        if object::name(&new) != call.info.name {
            return Err(ApiError::BadRequest(format!(
                "the name of the object ({}) does not match the name on the URL ({})",
                object::name(&new),
                call.info.name
            )));
        }
        // The patch names a revision only if it is another one than the object's own.
        let untouched = object::meta_text(&new, "resourceVersion") == object::meta_text(old, "resourceVersion");
        if untouched && !self.names_revision() {
            object::set_meta(&mut new, "resourceVersion", Value::Null);
        }
        Ok(new)
    }

    /// Runs the patch over any value of that type.
    ///
    /// # Errors
    /// As the surgery says.
    pub(crate) fn run(&self, call: &Call, ty: federation_schema::facts::TypeId, old: Value) -> Result<Value, ApiError> {
        let outcome = match self {
            Self::Json(patch) => surgery::json::apply(old, patch.clone()),
            Self::Merge(patch) => surgery::merge::apply(old, patch.clone()),
            Self::Strategic(patch) => surgery::strategic::apply(call.server.facts, ty, old, patch.clone()),
        };
        outcome.map_err(refused)
    }

    fn names_revision(&self) -> bool {
        match self {
            Self::Json(_) => false,
            Self::Merge(patch) | Self::Strategic(patch) => {
                patch.pointer("/metadata/resourceVersion").is_some_and(Value::is_string)
            }
        }
    }
}

fn refused(error: PatchError) -> ApiError {
    match error {
        PatchError::Malformed(text) => ApiError::BadRequest(text),
        PatchError::TooLarge(text) => {
            ApiError::Foreign(Box::new(crate::error::Status::failure(413, "RequestEntityTooLarge", text)))
        }
        PatchError::Unprocessable(text) => ApiError::Unprocessable(text),
        PatchError::Schema(text) => ApiError::Plain(text),
    }
}
