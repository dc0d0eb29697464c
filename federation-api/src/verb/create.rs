//! POST to a collection.

use federation_schema::decode::Expected;
use serde_json::Value;

use crate::answer::Answer;
use crate::call::Call;
use crate::convert;
use crate::decode;
use crate::error::ApiError;
use crate::kind;
use crate::object;
use crate::request::options::WriteOptions;
use crate::verb::write::{self, Intent, Part};

/// Names that are tried before a generated one is given up; upstream's number.
const MAX_NAMES: usize = 8;

/// Answers a POST.
///
/// # Errors
/// Whatever is wrong with the object, and 409 where it exists.
pub(crate) async fn create(call: &mut Call) -> Result<Answer, ApiError> {
    let options = WriteOptions::read(&call.query, "CreateOptions")?;
    let body = call.read_body().await?;
    let kind = call.kind.clone();
    let expected = Expected::object(&kind);
    let mut new = decode::object(call, &body, expected, options.validation)?;
    check_name(call, &mut new)?;
    convert::to_stored(&call.kind, &call.stored, &mut new);
    let intent = Intent { options: &options, part: Part::Main, creates: true, applies: false };
    let generated = object::name(&new).is_empty();
    if !generated {
        return write::insert(call, new, intent).await.map(|written| written.into_answer(call));
    }
    let mut last = String::new();
    for _ in 0..MAX_NAMES {
        match write::insert(call, new.clone(), intent).await {
            Err(ApiError::AlreadyExists(subject)) => last = subject.name,
            outcome => return outcome.map(|written| written.into_answer(call)),
        }
    }
    Err(ApiError::NoUniqueName(kind::subject(&call.kind, &last)))
}

fn check_name(call: &Call, new: &mut Value) -> Result<(), ApiError> {
    if object::name(new).is_empty() && object::meta_text(new, "generateName").is_empty() {
        let cause = crate::error::Cause::required("metadata.name", "name or generateName is required");
        return Err(ApiError::invalid(kind::kind_subject(&call.kind, ""), cause));
    }
    Ok(())
}
