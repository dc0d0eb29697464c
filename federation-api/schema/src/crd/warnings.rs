//! What is allowed in a definition and yet does less than its author may think.
//!
//! Source: `apiextensions-apiserver/pkg/registry/customresourcedefinition/strategy.go`.

use std::collections::BTreeSet;

use serde_json::Value;

use super::view::Definition;
use crate::structural::{Items, Schema, check, format};

/// The warnings that go with a create, or with an update from `old`: only what is new.
pub fn warnings(new: &Value, old: Option<&Value>) -> Vec<String> {
    let (new, old) = (Definition::new(new), old.map(Definition::new));
    let of_old = old.as_ref().map_or_else(Vec::new, formats);
    let mut warnings: Vec<String> = formats(&new).into_iter().filter(|format| !of_old.contains(format)).collect();
    let of_old = old.as_ref().map_or_else(BTreeSet::new, sets);
    warnings.extend(sets(&new).into_iter().filter(|warning| !of_old.contains(warning)));
    warnings
}

fn visit<'s>(schema: &'s Schema, see: &mut dyn FnMut(&'s Schema)) {
    see(schema);
    check::below(schema).for_each(|schema| visit(schema, see));
}

fn formats(definition: &Definition<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for schema in definition.schemas() {
        visit(schema, &mut |schema| {
            let format = &*schema.format;
            let known = match &*schema.ty {
                "" | "string" => format::is_known(format),
                "integer" => matches!(format, "int32" | "int64"),
                "number" => matches!(format, "float" | "double"),
                _ => false,
            };
            if !format.is_empty() && !known {
                found.push(format!("unrecognized format {format:?}"));
            }
        });
    }
    found
}

fn sets(definition: &Definition<'_>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for schema in definition.schemas() {
        visit(schema, &mut |schema| {
            if schema.list_type() == "set"
                && let Some(Items::One(item)) = schema.items.as_deref()
                && matches!(&*item.ty, "object" | "array")
            {
                found.insert(format!(
                    "x-kubernetes-list-type: set for items of type {:?} is not supported by server-side apply or CEL validation rules",
                    item.ty
                ));
            }
        });
    }
    found
}
