//! The Scale of a custom object: where its definition says that the replicas stand.
//!
//! Source: k8s.io/apiextensions-apiserver `pkg/registry/customresource/etcd.go`.

use federation_schema::structural::custom::{Scale, nested};
use serde_json::{Value, json};

use crate::error::ApiError;
use crate::object;

/// The Scale of an object; the replicas are absent where the object has none.
///
/// # Errors
/// 500 where a value has the wrong type.
pub(crate) fn read(paths: &Scale, object: &Value) -> Result<Value, ApiError> {
    let number = |path: &str| nested(object, path, "int64", Value::is_i64).map_err(ApiError::Plain);
    let replicas = number(&paths.spec_replicas)?;
    let counted = number(&paths.status_replicas)?.and_then(Value::as_i64).unwrap_or(0);
    let mut status = json!({"replicas": counted});
    if let Some(path) = &paths.label_selector {
        let selector = nested(object, path, "string", Value::is_string).map_err(ApiError::Plain)?;
        let selector = selector.and_then(Value::as_str).filter(|text| !text.is_empty());
        if let Some(selector) = selector {
            status["selector"] = selector.into();
        }
    }
    let mut metadata = serde_json::Map::new();
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        let text = object::meta_text(object, field);
        if !text.is_empty() {
            metadata.insert(field.to_owned(), text.into());
        }
    }
    let spec = replicas.map_or_else(|| json!({}), |replicas| json!({"replicas": replicas}));
    Ok(json!({"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata, "spec": spec, "status": status}))
}

/// Refuses to show the Scale of an object without replicas.
///
/// # Errors
/// 500, as upstream has it.
pub(crate) fn require(paths: &Scale, scale: &Value) -> Result<(), ApiError> {
    if scale.pointer("/spec/replicas").is_some() {
        return Ok(());
    }
    Err(ApiError::Internal(format!("the spec replicas field {:?} does not exist", paths.spec_replicas)))
}

/// Writes the replicas into an object.
///
/// # Errors
/// 400 where there are none; 500 where something else stands in their way.
pub(crate) fn write(paths: &Scale, object: &mut Value, replicas: Option<i64>) -> Result<(), ApiError> {
    let path = paths.spec_replicas.strip_prefix('.').unwrap_or(&paths.spec_replicas);
    let replicas = replicas.ok_or_else(|| {
        ApiError::BadRequest(format!("the spec replicas field {:?} cannot be empty", paths.spec_replicas))
    })?;
    let mut at = object;
    for name in path.split('.') {
        if at.is_null() {
            *at = json!({});
        }
        let Value::Object(map) = at else {
            return Err(ApiError::Plain(format!("value cannot be set because {path:?} does not lead through objects")));
        };
        at = map.entry(name).or_insert(Value::Null);
    }
    *at = replicas.into();
    Ok(())
}
