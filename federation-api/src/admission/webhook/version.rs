//! What a webhook sees of an object: in the version that it has registered for, whichever one the request is of.
//!
//! Views are converted as they are looked at; a custom object once a question, by whoever its definition names.
//! Source: k8s.io/apiserver `pkg/admission/plugin/webhook/generic/conversion.go`.

use federation_schema::facts::TypeId;
use serde_json::Value;

use super::matching::request_type;
use crate::admission::{Operation, Review};
use crate::call::Call;
use crate::convert;
use crate::custom::convert as custom;
use crate::error::ApiError;
use crate::kinds::Kind;
use crate::verb::subresource;

/// How a webhook is asked: as whose kind it sees the object.
#[derive(Debug, Clone)]
pub(super) struct Invocation {
    pub(super) kind: Kind,
    /// A custom object in another version than the request's.
    other: Option<Other>,
}

/// The object and what it was before, in that version.
#[derive(Debug, Clone)]
struct Other {
    new: Option<Value>,
    old: Option<Value>,
}

/// Which of the two objects of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    New,
    Old,
}

impl Invocation {
    /// An invocation as `kind`, which is the request's or another version of it.
    ///
    /// # Errors
    /// 500 where the object cannot be converted to that version.
    pub(super) async fn of(call: &Call, kind: Kind, (new, review): (&Value, &Review<'_>)) -> Result<Self, ApiError> {
        let differs = kind.custom().is_some() && kind.version != call.kind.version;
        if !differs || call.info.subresource == "scale" {
            return Ok(Self { kind, other: None });
        }
        let new = (review.operation != Operation::Delete).then_some(new);
        let other = Other { new: converted(call, &kind, new).await?, old: converted(call, &kind, review.old).await? };
        Ok(Self { kind, other: Some(other) })
    }

    /// An object of the write in the shape of the invocation's kind; `object` is the stored one, as it was then.
    pub(super) fn shown(&self, call: &Call, (side, object): (Side, &Value)) -> Value {
        if call.info.subresource == "scale" {
            return subresource::scale_of(object);
        }
        let other = self.other.as_ref().and_then(|other| match side {
            Side::New => other.new.as_ref(),
            Side::Old => other.old.as_ref(),
        });
        if let Some(other) = other {
            return other.clone();
        }
        let mut shown = object.clone();
        if request_type(call).is_none() {
            convert::from_stored(&self.kind, &call.stored, &mut shown);
        }
        shown
    }

    /// What a webhook has made of what it was shown, as the request has it, and the type of that.
    ///
    /// # Errors
    /// 500 where it is none of that version, or cannot be converted back.
    pub(super) async fn back(&self, call: &Call, mut changed: Value) -> Result<(Value, TypeId), ApiError> {
        let (Some(_), Some(own)) = (&self.other, self.kind.custom()) else { return Ok((changed, self.kind.ty)) };
        if !changed.is_object() {
            return Err(ApiError::Internal("unexpected value: expected an object".to_owned()));
        }
        own.version().shape.default(&mut changed);
        changed["apiVersion"] = Value::from(&*own.version().api_version);
        let changed = converted(call, &call.kind, Some(&changed)).await?;
        Ok((changed.expect("there was one"), call.kind.ty))
    }
}

/// An object in the version of that custom kind.
async fn converted(call: &Call, to: &Kind, object: Option<&Value>) -> Result<Option<Value>, ApiError> {
    let (Some(object), Some(to)) = (object, to.custom()) else { return Ok(object.cloned()) };
    let done = custom::whole(&call.server, &to.definition.shared, to.version(), object.clone()).await;
    done.map(Some).map_err(|error| match error {
        ApiError::Plain(why) => ApiError::Internal(why),
        other => other,
    })
}
