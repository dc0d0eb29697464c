//! The parameters that a binding names.

use federation_schema::facts::Resource;
use federation_schema::field::FieldPath;
use federation_schema::selector::LabelSelector;
use serde_json::Value;

use super::definition::{Binding, Definition};
use crate::cache::Scope;
use crate::call::Call;
use crate::kind;
use crate::kinds::Kind;

/// The objects with which a policy is to be asked, each alone; null stands for none.
///
/// # Errors
/// What is wrong with the policy (`true`) or the binding, in upstream's words.
pub(super) fn collect(call: &Call, of: &Definition, binding: &Binding) -> Result<Vec<Value>, (bool, String)> {
    let Some((api_version, kind_name)) = &of.param_kind else { return Ok(vec![Value::Null]) };
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let is_it = |own: &Resource| own.group == *group && own.version == *version && own.kind == kind_name.as_str();
    let table = call.server.kinds.table();
    let custom: Option<Kind> = table.custom().find(|own| is_it(own));
    let resource = call.server.facts.resources().find(|own| is_it(own)).or(custom.as_deref());
    let Some(resource) = resource else {
        let what = format!("{api_version}, Kind={kind_name}");
        return Err((true, format!("failed to find resource referenced by paramKind: '{what}'")));
    };
    let Some(reference) = &binding.param_ref else { return Ok(vec![Value::Null]) };
    let text = |field: &str| reference.get(field).and_then(Value::as_str).unwrap_or("");
    let namespace = match (resource.namespaced, text("namespace"), call.namespace()) {
        (false, "", _) => "",
        (false, _, _) => {
            let why = "paramRef.namespace must not be provided for a cluster-scoped `paramKind`";
            return Err((false, why.to_owned()));
        }
        (true, "", "") => {
            let why = "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources";
            return Err((false, why.to_owned()));
        }
        (true, "", own) => own,
        (true, named, _) => named,
    };
    let cache = call.server.cache.resource(&kind::storage_name(&resource.group, &resource.plural));
    let mut found = Vec::new();
    if let Some(selector) = reference.get("selector").filter(|own| own.is_object()) {
        let selector = LabelSelector::from_object(selector, &FieldPath::root("selector"))
            .map_err(|_| (false, "the selector of paramRef cannot be read".to_owned()))?;
        let scope = if resource.namespaced { Scope::Namespace(namespace.to_owned()) } else { Scope::All };
        for entry in cache.snapshot().range(&scope, "") {
            let value = entry.value();
            let labels = value.pointer("/metadata/labels").and_then(Value::as_object).cloned();
            if selector.matches(&labels) {
                found.push(value);
            }
        }
    } else if let Some(entry) = cache.get(&kind::object_key(resource, namespace, text("name"))) {
        found.push(entry.value());
    }
    if found.is_empty() && text("parameterNotFoundAction") == "Deny" {
        let why = "no params found for policy binding with `Deny` parameterNotFoundAction";
        return Err((false, why.to_owned()));
    }
    Ok(found)
}
