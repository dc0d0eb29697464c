//! Objects of a custom kind from one version to another: the version's name alone, or what a webhook makes of it.
//!
//! Source: k8s.io/apiextensions-apiserver `pkg/apiserver/conversion`.

use federation_schema::structural::meta::Malformed;
use serde_json::Value;

use super::definition::{Shared, Version};
use super::webhook::Webhook;
use crate::error::ApiError;
use crate::object;
use crate::server::Server;

/// `spec.conversion`.
#[derive(Debug)]
pub(crate) enum Conversion {
    /// Only `apiVersion` changes.
    None,
    /// Somebody else does it.
    Webhook(Box<Webhook>),
}

impl Conversion {
    pub(super) fn read(conversion: &Value) -> Self {
        if conversion["strategy"] == "Webhook" {
            Self::Webhook(Box::new(Webhook::read(&conversion["webhook"])))
        } else {
            Self::None
        }
    }
}

/// Converts objects of any versions to one version, and drops what that does not know; those of it already stay.
///
/// # Errors
/// 500 in upstream's words.
pub(crate) async fn convert(
    server: &Server,
    shared: &Shared,
    to: &Version,
    objects: Vec<Value>,
) -> Result<Vec<Value>, ApiError> {
    let mut done = match &shared.conversion {
        Conversion::None => objects,
        Conversion::Webhook(webhook) => webhook.convert(server, &to.api_version, objects).await?,
    };
    for value in &mut done {
        value["apiVersion"] = Value::from(&*to.api_version);
        to.shape.coerce(value, Malformed::Refuse).map_err(ApiError::Plain)?;
    }
    Ok(done)
}

/// An object of another version in that version, with all that it says: what the version does not know stays, until the
/// object is stored.
///
/// # Errors
/// As [`convert`].
pub(crate) async fn whole(server: &Server, shared: &Shared, to: &Version, object: Value) -> Result<Value, ApiError> {
    let mut done = match &shared.conversion {
        Conversion::None => object,
        Conversion::Webhook(webhook) => {
            let done = webhook.convert(server, &to.api_version, vec![object]).await?.pop();
            done.expect("as many as were given")
        }
    };
    done["apiVersion"] = Value::from(&*to.api_version);
    Ok(done)
}

/// The object as it is stored; none where that is how it is already.
///
/// # Errors
/// As [`convert`].
pub(crate) async fn to_stored(server: &Server, shared: &Shared, value: &Value) -> Result<Option<Value>, ApiError> {
    let stored = shared.stored_version();
    if value["apiVersion"] == *stored.api_version {
        return Ok(None);
    }
    let mut object = value.clone();
    object::set_meta(&mut object, "resourceVersion", Value::Null);
    let converted = convert(server, shared, stored, vec![object]).await?.pop();
    let mut converted = converted.expect("as many as were given");
    stored.shape.default(&mut converted);
    Ok(Some(converted))
}
