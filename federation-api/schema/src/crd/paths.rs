//! The small parts of a version: columns, subresources, selectable fields, deprecation.

use serde_json::Value;

use super::view::text;
use super::{MAX_SELECTABLE_FIELDS, field_path};
use crate::field::{FieldError, FieldPath};
use crate::structural::Schema;

const COLUMN_TYPES: &str = "boolean,date,integer,number,string";
const COLUMN_FORMATS: &str = "byte,date,date-time,double,float,int32,int64,password";

pub(super) fn columns(columns: &[Value], path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    for (index, column) in columns.iter().enumerate() {
        let path = path.index(index);
        if text(column, "name").is_empty() {
            errors.push(FieldError::required(&path.child("name"), ""));
        }
        let types = format!("must be one of {COLUMN_TYPES}");
        match text(column, "type") {
            "" => errors.push(FieldError::required(&path.child("type"), types)),
            ty if COLUMN_TYPES.split(',').any(|known| known == ty) => {}
            ty => errors.push(FieldError::invalid(&path.child("type"), ty, types)),
        }
        let format = text(column, "format");
        if !format.is_empty() && !COLUMN_FORMATS.split(',').any(|known| known == format) {
            let detail = format!("must be one of {COLUMN_FORMATS}");
            errors.push(FieldError::invalid(&path.child("format"), format, detail));
        }
        match text(column, "jsonPath") {
            "" => errors.push(FieldError::required(&path.child("JSONPath"), "")),
            json_path => {
                simple_path(json_path, &path.child("JSONPath"), errors);
            }
        }
    }
}

/// Whether the path starts with a dot; complains where not.
fn simple_path(json_path: &str, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) -> bool {
    if json_path.starts_with('.') {
        return true;
    }
    errors.push(FieldError::invalid(path, json_path, "must be a simple json path starting with ."));
    false
}

pub(super) fn subresources(subresources: Option<&Value>, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    let Some(scale) = subresources.and_then(|of| of.get("scale")).filter(|scale| !scale.is_null()) else { return };
    for (name, roots, detail) in [
        ("specReplicasPath", &[".spec."][..], "should be a json path under .spec"),
        ("statusReplicasPath", &[".status."], "should be a json path under .status"),
        ("labelSelectorPath", &[".spec.", ".status."], "should be a json path under either .spec or .status"),
    ] {
        let json_path = text(scale, name);
        let scale_name = format!("scale.{name}");
        let path = path.child(&scale_name);
        if json_path.is_empty() {
            if name != "labelSelectorPath" {
                errors.push(FieldError::required(&path, ""));
            }
        } else if simple_path(json_path, &path, errors) && !roots.iter().any(|root| json_path.starts_with(root)) {
            errors.push(FieldError::invalid(&path, json_path, detail));
        }
    }
}

pub(super) fn selectable(
    fields: &[Value],
    schema: &Schema,
    path: &FieldPath<'_>,
    allow_too_many: bool,
    errors: &mut Vec<FieldError>,
) {
    let mut seen: Vec<String> = Vec::new();
    for (index, field) in fields.iter().enumerate() {
        let item = path.index(index);
        let at = item.child("jsonPath");
        let json_path = text(field, "jsonPath");
        if json_path.is_empty() {
            errors.push(FieldError::required(&at, ""));
            continue;
        }
        let found = match field_path::find(json_path, schema, false) {
            Ok(found) => found,
            Err(error) => {
                errors.push(FieldError::invalid(&at, json_path, format!("is an invalid path: {error}")));
                continue;
            }
        };
        if found.steps.first().is_some_and(|(name, _)| name == "metadata") {
            errors.push(FieldError::invalid(&at, json_path, "must not point to fields in metadata"));
        }
        if !matches!(&*found.schema.ty, "string" | "boolean" | "integer") {
            let detail = "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.";
            errors.push(FieldError::invalid(&at, json_path, detail));
        }
        let found = found.path();
        if seen.contains(&found) {
            errors.push(FieldError::duplicate(&at, json_path));
        } else {
            seen.push(found);
        }
    }
    if seen.len() > MAX_SELECTABLE_FIELDS && !allow_too_many {
        errors.push(FieldError::too_many(path, seen.len(), MAX_SELECTABLE_FIELDS));
    }
}

pub(super) fn deprecation(version: &Value, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    let Some(warning) = version.get("deprecationWarning").and_then(Value::as_str) else { return };
    let path = path.child("deprecationWarning");
    let mut complain = |detail: String| errors.push(FieldError::invalid(&path, warning, detail));
    if !super::view::is_true(version, "deprecated") {
        return complain("can only be set for deprecated versions".to_owned());
    }
    if warning.len() > 256 {
        complain("must be <= 256 characters long".to_owned());
    }
    if warning.is_empty() {
        complain("must not be an empty string".to_owned());
    }
    let hidden = |c: char| c != ' ' && (c.is_control() || c.is_whitespace());
    if let Some((at, _)) = warning.char_indices().find(|(_, c)| hidden(*c)) {
        complain(format!("must only contain printable UTF-8 characters; non-printable character found at index {at}"));
    }
}

/// The fields that a schema may use at its root where the status is a subresource.
const AT_ROOT: &str = "[Description Type Format Title Maximum ExclusiveMaximum Minimum ExclusiveMinimum MaxLength MinLength Pattern MaxItems MinItems UniqueItems MultipleOf Required Items Properties ExternalDocs Example XPreserveUnknownFields XValidations]";

/// The root of a schema may say only what stays true once the status is cut out.
pub(super) fn root_with_status(schema: &Schema, json: &Value, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    let other = schema.other.as_deref();
    let before_type = other.is_some_and(|other| other.id || other.schema || other.reference);
    if !before_type && !matches!(&*schema.ty, "" | "object") {
        let detail =
            "only \"object\" is allowed as the type at the root of the schema if the status subresource is enabled";
        errors.push(FieldError::invalid(&path.child("type"), &*schema.ty, detail));
        return;
    }
    let (limits, junctors) = (schema.limits(), schema.junctors());
    let unfit = before_type
        || schema.nullable
        || schema.default.is_some()
        || !limits.one_of.is_empty()
        || limits.max_properties.is_some()
        || limits.min_properties.is_some()
        || *junctors != Default::default()
        || schema.additional.is_some()
        || schema.embedded
        || schema.int_or_string
        || !schema.list_keys.is_empty()
        || schema.list_type.is_some()
        || schema.map_type.is_some()
        || other.is_some_and(|other| {
            !other.pattern_properties.is_empty()
                || !other.definitions.is_empty()
                || !other.dependencies.is_empty()
                || other.additional_items.is_some()
        });
    if unfit {
        let detail =
            format!("only {AT_ROOT} fields are allowed at the root of the schema if the status subresource is enabled");
        errors.push(FieldError::invalid(path, json.clone(), detail));
    }
}
