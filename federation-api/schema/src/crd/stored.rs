//! What a stored definition may have and no new one: schemas that are not structural, fields that are not pruned.
//!
//! Source: `apiextensions-apiserver/pkg/controller/nonstructuralschema`.

use serde_json::Value;

use crate::field::{FieldError, FieldPath, aggregate};
use crate::structural::{check, parse};

/// What the condition `NonStructuralSchema` says; none where the definition is in order.
pub fn violations(definition: &Value) -> Option<String> {
    let spec = FieldPath::root("spec");
    let mut errors = Vec::new();
    if definition.pointer("/spec/preserveUnknownFields") == Some(&Value::Bool(true)) {
        errors.push(FieldError::invalid(&spec.child("preserveUnknownFields"), true, "must be false"));
    }
    let versions = definition.pointer("/spec/versions").and_then(Value::as_array);
    for (index, version) in versions.into_iter().flatten().enumerate() {
        let Some(Ok(schema)) = version.pointer("/schema/openAPIV3Schema").map(parse) else { continue };
        let all = spec.child("versions");
        let one = all.index(index);
        let at = one.child("schema");
        errors.extend(check::structural(&schema, &at.child("openAPIV3Schema")));
    }
    (!errors.is_empty()).then(|| aggregate(&errors))
}

#[cfg(test)]
mod tests {
    use super::violations;
    use serde_json::json;

    /// Protocol: R2
    #[test]
    fn what_is_not_structural_is_told() {
        let definition = |preserve: bool, schema| {
            json!({"spec": {"preserveUnknownFields": preserve, "versions": [
            {"name": "v1"}, {"name": "v2", "schema": {"openAPIV3Schema": schema}}]}})
        };
        let fine = json!({"type": "object", "properties": {"a": {"type": "string"}}});
        let untyped = json!({"type": "object", "properties": {"a": {}}});
        let told = "spec.versions[1].schema.openAPIV3Schema.properties[a].type: Required value: must not be empty for specified object fields";
        assert_eq!(violations(&definition(false, fine.clone())), None);
        assert_eq!(violations(&definition(false, untyped)).as_deref(), Some(told));
        let preserving = "spec.preserveUnknownFields: Invalid value: true: must be false";
        assert_eq!(violations(&definition(true, fine)).as_deref(), Some(preserving));
    }
}
