//! JSON text → values; the typed walk itself stands beside, shared with YAML and patches.
//!
//! It knows JSON, not Kubernetes.

use serde_json::Value;

use super::{Broken, Finding, typed};
use crate::facts::{Facts, TypeId};

/// Reads JSON of a known type.
pub(super) fn typed(facts: &Facts, ty: TypeId, body: &[u8]) -> Result<(Value, Vec<Finding>), Broken> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let read = typed::read(facts, ty, &mut reader)?;
    end(&mut reader)?;
    Ok(read)
}

/// Reads any JSON; duplicate keys are findings.
pub(super) fn untyped(body: &[u8]) -> Result<(Value, Vec<Finding>), Broken> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let read = typed::read_any(&mut reader)?;
    end(&mut reader)?;
    Ok(read)
}

fn end(reader: &mut serde_json::Deserializer<serde_json::de::SliceRead<'_>>) -> Result<(), Broken> {
    reader.end().map_err(|error| Broken::Json(error.to_string()))
}
