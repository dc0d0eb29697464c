//! What an update may keep though a new definition could not have it: rules are never tightened on what is stored.

use serde_json::Value;

use super::MAX_SELECTABLE_FIELDS;
use super::schema::key_complaints;
use super::view::{Definition, Version};
use super::webhook;
use crate::field::FieldPath;
use crate::structural::{Items, Schema, check, default_check};

/// The rules that hold for a definition.
#[derive(Debug)]
pub(super) struct Rules {
    pub known_review: bool,
    pub fixed_names: bool,
    pub schema: bool,
    pub known_types: bool,
    pub structural: bool,
    pub pruned_defaults: bool,
    pub atomic_sets: bool,
    pub map_keys: bool,
    pub ca_bundle: bool,
    /// Versions whose schema did not change; their rules may cost more than new ones.
    pub unchanged: Vec<String>,
    /// Versions (and "" for what all share) that may keep too many selectable fields.
    pub too_many_selectable: Vec<String>,
}

impl Rules {
    /// For a new definition.
    pub(super) fn strict() -> Self {
        Self {
            known_review: true,
            fixed_names: false,
            schema: true,
            known_types: true,
            structural: true,
            pruned_defaults: true,
            atomic_sets: true,
            map_keys: true,
            ca_bundle: false,
            unchanged: Vec::new(),
            too_many_selectable: Vec::new(),
        }
    }

    /// For an update of `old`.
    pub(super) fn of_update(new: &Definition<'_>, old: &Definition<'_>, old_json: &Value) -> Self {
        let nowhere = |test: &dyn Fn(&Schema) -> bool| !old.schemas().any(|schema| check::any(schema, test));
        let established = is_established(old_json);
        let conversion = old.spec.get("conversion");
        let reviews = conversion.and_then(|of| of.pointer("/webhook/conversionReviewVersions"));
        let bundle = conversion.and_then(|of| of.pointer("/webhook/clientConfig/caBundle")).and_then(Value::as_str);
        let no_schema = |version: &Version<'_>| version.schema_json.is_none();
        Self {
            known_review: reviews.and_then(Value::as_array).is_none_or(|reviews| webhook::understands(reviews)),
            fixed_names: established,
            schema: old.shared.schema_json.is_some() || !old.versions.iter().any(no_schema),
            known_types: nowhere(&|schema| !schema.ty.is_empty() && !super::schema::is_type(&schema.ty)),
            structural: old.schemas().all(|schema| {
                check::unsupported(schema).is_none() && check::structural(schema, &FieldPath::Nil).is_empty()
            }),
            pruned_defaults: !old.schemas().any(default_check::has_unpruned),
            atomic_sets: nowhere(&has_granular_set),
            map_keys: nowhere(&|schema| !key_complaints(schema, &FieldPath::Nil).is_empty()),
            ca_bundle: established && bundle.is_none_or(super::spec::is_pem),
            unchanged: unchanged(new, old),
            too_many_selectable: too_many_selectable(new, old),
        }
    }
}

/// Whether a `set` has items that are not owned as a whole.
pub(super) fn has_granular_set(schema: &Schema) -> bool {
    match schema.items.as_deref() {
        Some(Items::One(item)) if schema.list_type() == "set" => match &*item.ty {
            "array" => !matches!(item.list_type(), "" | "atomic"),
            "object" => item.map_type() != "atomic",
            _ => false,
        },
        _ => false,
    }
}

fn is_established(definition: &Value) -> bool {
    let conditions = definition.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
    conditions
        .into_iter()
        .any(|of| of.get("type") == Some(&"Established".into()) && of.get("status") == Some(&"True".into()))
}

fn unchanged(new: &Definition<'_>, old: &Definition<'_>) -> Vec<String> {
    let schema = |of: &Definition<'_>, version: &Version<'_>| version.schema_json.or(of.shared.schema_json).cloned();
    let same = |version: &&Version<'_>| {
        let before = old.versions.iter().find(|old| old.name == version.name);
        before.is_some_and(|before| schema(old, before) == schema(new, version))
    };
    new.versions.iter().filter(same).map(|version| version.name.to_owned()).collect()
}

fn too_many_selectable(new: &Definition<'_>, old: &Definition<'_>) -> Vec<String> {
    let keeps = |new: &Version<'_>, old: &Version<'_>| {
        old.selectable.len() > MAX_SELECTABLE_FIELDS && new.selectable == old.selectable
    };
    let mut kept = Vec::new();
    if keeps(&new.shared, &old.shared) {
        kept.push(String::new());
    }
    for version in &new.versions {
        if old.versions.iter().any(|old| old.name == version.name && keeps(version, old)) {
            kept.push(version.name.to_owned());
        }
    }
    kept
}
