//! PUT of one object: the whole of it is replaced, but for what an update cannot change.

use federation_schema::decode::Expected;

use crate::answer::Answer;
use crate::call::Call;
use crate::convert;
use crate::decode;
use crate::error::ApiError;
use crate::kind;
use crate::request::options::WriteOptions;
use crate::verb::write::{self, Intent, Part};

/// Answers a PUT to an object.
///
/// # Errors
/// Whatever is wrong with the object; 404, 409.
pub(crate) async fn update(call: &mut Call) -> Result<Answer, ApiError> {
    let creates = kind::put_creates(&call.kind);
    replace(call, Part::Main, creates).await
}

/// A PUT to an object or to a part of it.
///
/// # Errors
/// As [`update`].
pub(crate) async fn replace(call: &mut Call, part: Part, creates: bool) -> Result<Answer, ApiError> {
    let options = WriteOptions::read(&call.query, "UpdateOptions")?;
    let body = call.read_body().await?;
    let kind = call.kind.clone();
    let expected = Expected::object(&kind);
    let mut sent = decode::object(call, &body, expected, options.validation)?;
    decode::check_name(call, &sent)?;
    convert::to_stored(&call.kind, &call.stored, &mut sent);
    let intent = Intent { options: &options, part, creates, applies: false };
    let written = write::update(call, intent, |_, _| Ok(sent.clone())).await?;
    Ok(written.into_answer(call))
}
