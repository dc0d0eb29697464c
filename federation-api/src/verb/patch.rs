//! PATCH: JSON patch, merge patch, strategic merge patch, server-side apply.
//!
//! The surgery is the schema's; this chooses it by media type and runs it over the newest object.

use bytes::Bytes;
use federation_schema::decode::FieldValidation;
use federation_schema::decode::printed::{drop_printed, print_empty};
use federation_schema::facts::{Facts, TypeId};
use federation_schema::patch::{self as surgery, PatchError};
use serde_json::Value;

use crate::answer::Answer;
use crate::call::Call;
use crate::convert;
use crate::decode;
use crate::error::{ApiError, Cause, Details, Status};
use crate::object;
use crate::request::options::WriteOptions;
use crate::verb::write::{self, Intent, Part};

/// The formats of patches on kinds without patch strategies, as messages list them.
const ACCEPTED_PLAIN: &str = "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";

/// How a patch is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Merge,
    Strategic,
}

/// A patch, parsed once and run as often as races demand.
pub(crate) struct Patch {
    form: Form,
    body: Value,
    /// What its own syntax has to complain about.
    complaints: Vec<String>,
    validation: FieldValidation,
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
    if call.content_type() == crate::verb::apply::MEDIA_TYPE {
        return crate::verb::apply::apply(call, part, &options).await;
    }
    check_force(&options)?;
    let body = call.read_body().await?;
    let patch = Patch::read(call, &body, options.validation)?;
    let intent = Intent { options: &options, part, creates: false, applies: false };
    let written = write::update(call, intent, |call, old| {
        let old = old.ok_or_else(|| ApiError::NotFound(call.subject()))?;
        patch.patched(call, old)
    })
    .await?;
    Ok(written.into_answer(call))
}

/// The words of the router that upstream has in front of its built-in kinds.
fn unsupported() -> ApiError {
    let mut status = Status::failure(415, "UnsupportedMediaType", "415: Unsupported Media Type".to_owned());
    status.details = Some(Details::default());
    ApiError::Foreign(Box::new(status))
}

/// Only an apply can be forced.
///
/// # Errors
/// 422.
pub(crate) fn check_force(options: &WriteOptions) -> Result<(), ApiError> {
    if options.force {
        let cause = Cause::forbidden("force", "may not be specified for non-apply patch");
        return Err(ApiError::invalid_options("PatchOptions", vec![cause]));
    }
    Ok(())
}

/// Whether kinds of a group take strategic merge patches: custom ones and our own have no merge keys.
pub(crate) fn takes_strategic(group: &str, custom: bool) -> bool {
    !custom && group != federation_types::label::GROUP
}

impl Patch {
    /// Parses a patch of the request's media type.
    ///
    /// # Errors
    /// 415, 400.
    pub(crate) fn read(call: &mut Call, body: &Bytes, validation: FieldValidation) -> Result<Self, ApiError> {
        let plain = !takes_strategic(&call.kind.group, call.kind.custom().is_some());
        let form = match call.content_type() {
            "application/json-patch+json" => Form::Json,
            "application/merge-patch+json" => Form::Merge,
            "application/strategic-merge-patch+json" if !plain => Form::Strategic,
            _ if plain => return Err(ApiError::UnsupportedMediaType(ACCEPTED_PLAIN.to_owned())),
            _ => return Err(unsupported()),
        };
        let (body, findings) = decode::patch_json(body)?;
        let prefix = if form == Form::Json { "json patch " } else { "" };
        let mut complaints: Vec<String> = findings.iter().map(|finding| format!("{prefix}{finding}")).collect();
        match (form, &body) {
            (Form::Json, body) => complaints.extend(surgery::json::unknown_members(body)),
            (_, Value::Object(_)) => {}
            (Form::Merge, other) => return Err(ApiError::BadRequest(decode::no_map(other, "error decoding patch: "))),
            (Form::Strategic, other) => return Err(ApiError::BadRequest(decode::no_map(other, ""))),
        }
        Ok(Self { form, body, complaints, validation })
    }

    /// Runs the patch over an object of the call's kind.
    ///
    /// # Errors
    /// As the surgery says; 400 where the outcome is another object.
    pub(crate) fn patched(&self, call: &mut Call, old: &Value) -> Result<Value, ApiError> {
        let mut shown = old.clone();
        convert::from_stored(&call.kind, &call.stored, &mut shown);
        let mut new = self.run(call, call.kind.ty, shown)?;
        decode::check_identity(call, &new)?;
        convert::to_stored(&call.kind, &call.stored, &mut new);
        // The patch names a revision only if it says so itself.
        let untouched = object::meta_text(&new, "resourceVersion") == object::meta_text(old, "resourceVersion");
        if untouched && !self.names_revision() {
            object::set_meta(&mut new, "resourceVersion", Value::Null);
        }
        Ok(new)
    }

    /// Runs the patch over any value of that type.
    ///
    /// # Errors
    /// As the surgery says; 422 where the outcome does not fit the type.
    pub(crate) fn run(&self, call: &mut Call, ty: TypeId, old: Value) -> Result<Value, ApiError> {
        let patch = self.body.clone();
        let text = |object: &Value, key: &str| object.get(key).and_then(Value::as_str).unwrap_or("").to_owned();
        let (version, kind) = (text(&old, "apiVersion"), text(&old, "kind"));
        let outcome = match self.form {
            Form::Json => json_patched(call.kind.facts(), ty, old, patch),
            Form::Merge => surgery::merge::apply(old, patch),
            Form::Strategic => surgery::strategic::apply(call.stored.clone().facts(), ty, old, patch),
        };
        let mut outcome = outcome.map_err(refused)?;
        if let (Form::Strategic, Some(map)) = (self.form, outcome.as_object_mut()) {
            // Upstream fills the fields of a Go type, which is of its kind whatever the patch says.
            map.insert("apiVersion".to_owned(), version.clone().into());
            map.insert("kind".to_owned(), kind.clone().into());
        }
        let (new_version, new_kind) = (text(&outcome, "apiVersion"), text(&outcome, "kind"));
        let shown = match self.form {
            Form::Json | Form::Merge => String::from_utf8_lossy(&crate::json::canonical(&outcome)).into_owned(),
            Form::Strategic => decode::printed(&self.body),
        };
        if (&new_version, &new_kind) != (&version, &kind) {
            return Err(decode::not_registered(&shown, &new_version, &new_kind));
        }
        decode::patched(call, ty, outcome, (&shown, &self.complaints), self.validation)
    }

    fn names_revision(&self) -> bool {
        self.form != Form::Json && self.body.pointer("/metadata/resourceVersion").is_some_and(Value::is_string)
    }
}

/// A JSON patch sees what Go would print.
fn json_patched(facts: &Facts, ty: TypeId, old: Value, patch: Value) -> Result<Value, PatchError> {
    let mut shown = old.clone();
    print_empty(facts, ty, &mut shown);
    let mut new = surgery::json::apply(shown, patch)?;
    drop_printed(facts, ty, &mut new, &old);
    Ok(new)
}

fn refused(error: PatchError) -> ApiError {
    match error {
        PatchError::Malformed(text) => ApiError::BadRequest(text),
        PatchError::TooLarge(text) => ApiError::Foreign(Box::new(Status::failure(413, "RequestEntityTooLarge", text))),
        // Upstream keeps the reason to itself; clients match the text.
        PatchError::Unprocessable(_) => {
            ApiError::Unprocessable("the server rejected our request due to an error in our request".to_owned())
        }
        PatchError::Schema(text) => ApiError::Plain(text),
    }
}
