//! Applies Overrides: typed rules first, then patches, in the order that the contract gives.
//!
//! What does not apply is an error that names the override and the rule; nothing is skipped in silence.

use std::collections::BTreeMap;

use federation_schema::patch;
use federation_types::overrides::{EnvRule, ImageRule, KeysRule, Rule, WordsRule};
use federation_types::text::str_at;
use federation_types::{Gvk, Override, label};
use serde_json::{Map, Value, json};

use super::RenderError;
use super::image::Image;
use crate::interpret;
use crate::schedule::{ClusterFacts, Template, filter, selects_template};

/// The overrides that mean `template`, in the order in which they apply: ClusterOverrides, then Overrides, by name.
///
/// # Errors
/// Names the override whose selector cannot be read.
pub fn overrides_for<'a>(template: &Template, all: &'a [Override]) -> Result<Vec<&'a Override>, RenderError> {
    let mut meant = Vec::new();
    for one in all.iter().filter(|o| o.metadata.namespace.is_empty() || o.metadata.namespace == template.namespace) {
        let selected = selects_template(&one.spec.select, template).map_err(|wrong| RenderError::Override {
            source_name: shown(one),
            rule: 0,
            reason: format!("spec.select{wrong}"),
        })?;
        if selected.is_some() {
            meant.push(one);
        }
    }
    meant.sort_by_key(|o| (!o.metadata.namespace.is_empty(), o.metadata.name.clone()));
    Ok(meant)
}

fn shown(one: &Override) -> String {
    let kind = if one.metadata.namespace.is_empty() { "ClusterOverride" } else { "Override" };
    format!("{kind} {}", one.metadata.name)
}

/// Applies the rules of `one` that mean the cluster.
///
/// # Errors
/// [`RenderError::Override`] names the rule that does not apply.
pub(super) fn apply(gvk: &Gvk, object: Value, one: &Override, facts: &ClusterFacts) -> Result<Value, RenderError> {
    let identity = identity(&object);
    let mut object = object;
    for (i, rule) in one.spec.rules.iter().enumerate() {
        let failed = |reason| RenderError::Override { source_name: shown(one), rule: i, reason };
        if let Some(wanted) = &rule.clusters
            && filter::selects(wanted, facts).is_err()
        {
            continue;
        }
        object = apply_rule(gvk, object, rule).map_err(failed)?;
        if self::identity(&object) != identity {
            return Err(failed("must not change apiVersion, kind, metadata.name or metadata.namespace".to_owned()));
        }
        if let Some(key) = reserved_key(&object) {
            return Err(failed(format!("must not set {key}: keys of {} are reserved", label::PREFIX)));
        }
    }
    Ok(object)
}

fn apply_rule(gvk: &Gvk, mut object: Value, rule: &Rule) -> Result<Value, String> {
    for (i, image) in rule.image.iter().enumerate() {
        each_container(gvk, &mut object, &image.container, |c| set_image(c, image)).map_err(at("image", i))?;
    }
    for (i, env) in rule.env.iter().enumerate() {
        each_container(gvk, &mut object, &env.container, |c| set_env(c, env)).map_err(at("env", i))?;
    }
    for (field, list) in [("command", &rule.command), ("args", &rule.args)] {
        for (i, words) in list.iter().enumerate() {
            each_container(gvk, &mut object, &words.container, |c| set_words(c, field, words)).map_err(at(field, i))?;
        }
    }
    for (field, keys) in [("labels", &rule.labels), ("annotations", &rule.annotations)] {
        if let Some(keys) = keys {
            set_keys(&mut object, field, keys);
        }
    }
    if !rule.json_patch.is_empty() {
        object = patch::json::apply(object, Value::Array(rule.json_patch.clone()))
            .map_err(|wrong| format!("jsonPatch: {wrong}"))?;
    }
    if let Some(merge) = &rule.merge_patch {
        object = patch::merge::apply(object, merge.clone()).map_err(|wrong| format!("mergePatch: {wrong}"))?;
    }
    Ok(object)
}

fn at(field: &'static str, index: usize) -> impl Fn(String) -> String {
    move |reason| format!("{field}[{index}]: {reason}")
}

/// Runs `change` on the container of this name, or on every one where the name is empty.
fn each_container(
    gvk: &Gvk,
    object: &mut Value,
    name: &str,
    mut change: impl FnMut(&mut Map<String, Value>) -> Result<(), String>,
) -> Result<(), String> {
    let pod = interpret::pod_spec_path(gvk)
        .and_then(|path| path.iter().try_fold(object, |at, key| at.get_mut(*key)))
        .ok_or_else(|| format!("a {} has no containers", gvk.kind))?;
    let mut found = false;
    for list in ["initContainers", "containers"] {
        let containers = pod.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
        for container in containers.filter_map(Value::as_object_mut) {
            if name.is_empty() || container.get("name").and_then(Value::as_str) == Some(name) {
                found = true;
                change(container)?;
            }
        }
    }
    if found { Ok(()) } else { Err(format!("there is no container {name:?}")) }
}

fn set_image(container: &mut Map<String, Value>, rule: &ImageRule) -> Result<(), String> {
    let current = container.get("image").and_then(Value::as_str).unwrap_or("");
    let mut image = Image::parse(current);
    for (part, value) in [(&mut image.registry, &rule.registry), (&mut image.repository, &rule.repository)] {
        if !value.is_empty() {
            part.clone_from(value);
        }
    }
    if !rule.tag.is_empty() {
        image.tag.clone_from(&rule.tag);
        // A digest names one content: with another tag it would still be the old one.
        image.digest.clear();
    }
    if !rule.digest.is_empty() {
        image.digest.clone_from(&rule.digest);
    }
    if image.repository.is_empty() {
        return Err("the container has no image and the rule names no repository".to_owned());
    }
    container.insert("image".to_owned(), image.to_string().into());
    Ok(())
}

#[allow(clippy::unnecessary_wraps, reason = "one signature for all changes of a container")]
fn set_env(container: &mut Map<String, Value>, rule: &EnvRule) -> Result<(), String> {
    let mut list = match container.remove("env") {
        Some(Value::Array(list)) => list,
        _ => Vec::new(),
    };
    list.retain(|v| !rule.remove.iter().any(|name| name == str_at(v, &["name"])));
    for (name, value) in &rule.set {
        let entry = json!({"name": name, "value": value});
        match list.iter_mut().find(|v| str_at(v, &["name"]) == name) {
            Some(old) => *old = entry,
            None => list.push(entry),
        }
    }
    if !list.is_empty() {
        container.insert("env".to_owned(), Value::Array(list));
    }
    Ok(())
}

#[allow(clippy::unnecessary_wraps, reason = "one signature for all changes of a container")]
fn set_words(container: &mut Map<String, Value>, field: &str, rule: &WordsRule) -> Result<(), String> {
    let mut list = match container.remove(field) {
        Some(Value::Array(list)) => list,
        _ => Vec::new(),
    };
    list.retain(|word| !rule.remove.iter().any(|gone| word.as_str() == Some(gone)));
    list.extend(rule.append.iter().map(|word| Value::from(word.as_str())));
    if !list.is_empty() {
        container.insert(field.to_owned(), Value::Array(list));
    }
    Ok(())
}

fn set_keys(object: &mut Value, field: &str, rule: &KeysRule) {
    let meta = &mut object["metadata"][field];
    if !meta.is_object() {
        *meta = json!({});
    }
    if let Some(map) = meta.as_object_mut() {
        map.retain(|key, _| !rule.remove.contains(key));
        map.extend(rule.set.iter().map(|(key, value)| (key.clone(), value.as_str().into())));
    }
}

fn identity(object: &Value) -> [String; 4] {
    [["apiVersion"].as_slice(), &["kind"], &["metadata", "name"], &["metadata", "namespace"]]
        .map(|path| str_at(object, path).to_owned())
}

fn reserved_key(object: &Value) -> Option<String> {
    let of = |field: &str| -> BTreeMap<String, Value> {
        object["metadata"][field].as_object().into_iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect()
    };
    of("labels").into_keys().chain(of("annotations").into_keys()).find(|key| key.starts_with(label::PREFIX))
}
