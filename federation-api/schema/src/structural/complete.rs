//! Whatever a junctor limits must be there outside of junctors too.
//!
//! Source: `apiextensions-apiserver/pkg/apiserver/schema/complete.go`.

use super::Schema;
use crate::field::{FieldError, FieldPath};

pub(super) fn check(schema: &Schema, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    junctors(schema, schema, path, path, errors);
}

fn junctors(
    limits: &Schema,
    structure: &Schema,
    at: &FieldPath<'_>,
    limits_at: &FieldPath<'_>,
    errors: &mut Vec<FieldError>,
) {
    let junctors = limits.junctors();
    if let Some(not) = &junctors.not {
        nested(not, Some(structure), at, &limits_at.child("not"), errors);
    }
    for (name, list) in [("allOf", &junctors.all_of), ("anyOf", &junctors.any_of), ("oneOf", &junctors.one_of)] {
        let list_at = limits_at.child(name);
        for (index, limits) in list.iter().enumerate() {
            nested(limits, Some(structure), at, &list_at.index(index), errors);
        }
    }
}

fn nested(
    limits: &Schema,
    structure: Option<&Schema>,
    at: &FieldPath<'_>,
    limits_at: &FieldPath<'_>,
    errors: &mut Vec<FieldError>,
) {
    let missing = |at: &FieldPath<'_>, limits_at: &FieldPath<'_>| {
        FieldError::required(at, format!("because it is defined in {limits_at}"))
    };
    let Some(structure) = structure else {
        errors.push(missing(at, limits_at));
        return;
    };
    junctors(limits, structure, at, limits_at, errors);
    if let Some(item) = limits.item() {
        nested(item, structure.item(), &at.child("items"), &limits_at.child("items"), errors);
    }
    let (properties_at, limits_at) = (at.child("properties"), limits_at.child("properties"));
    for (name, limits) in &limits.properties {
        let (at, limits_at) = (properties_at.key(name), limits_at.key(name));
        nested(limits, structure.properties.get(name), &at, &limits_at, errors);
    }
}
