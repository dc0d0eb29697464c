//! The shape of OpenAPI v2 definitions, as far as the table needs them; ours are written in the same form.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;

use super::Modules;

#[derive(Debug, Deserialize)]
pub(super) struct Definitions {
    pub definitions: BTreeMap<String, Definition>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Definition {
    #[serde(default)]
    pub properties: BTreeMap<String, Property>,
    #[serde(default)]
    pub required: Vec<String>,
    #[serde(default, rename = "x-kubernetes-group-version-kind")]
    pub kinds: Vec<Gvk>,
    #[serde(rename = "x-kubernetes-map-type")]
    pub map_type: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(super) struct Gvk {
    pub group: String,
    pub version: String,
    pub kind: String,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Property {
    #[serde(rename = "$ref")]
    pub reference: Option<String>,
    #[serde(default, rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub format: String,
    pub items: Option<Box<Property>>,
    #[serde(rename = "additionalProperties")]
    pub values: Option<Box<Property>>,
    pub default: Option<Value>,
    #[serde(default, rename = "enum")]
    pub one_of: Vec<String>,
    #[serde(rename = "x-kubernetes-list-type")]
    pub list_type: Option<String>,
    #[serde(default, rename = "x-kubernetes-list-map-keys")]
    pub list_keys: Vec<String>,
    #[serde(rename = "x-kubernetes-map-type")]
    pub map_type: Option<String>,
    #[serde(default, rename = "x-kubernetes-patch-strategy")]
    pub patch_strategy: String,
    #[serde(default, rename = "x-kubernetes-patch-merge-key")]
    pub merge_key: String,
}

/// Upstream's defaults, which only the v3 documents carry: definition → field → JSON.
pub(super) type Defaults = BTreeMap<String, BTreeMap<String, Value>>;

/// Reads the definitions of every built-in type.
pub(super) fn definitions(modules: &Modules) -> Result<Definitions> {
    let path = modules.kubernetes("api/openapi-spec/swagger.json");
    let text = fs::read(&path).with_context(|| path.display().to_string())?;
    serde_json::from_slice(&text).with_context(|| path.display().to_string())
}

/// Reads the defaults of every field of every built-in type.
pub(super) fn defaults(modules: &Modules) -> Result<Defaults> {
    let mut defaults = Defaults::new();
    let directory = modules.kubernetes("api/openapi-spec/v3");
    for entry in fs::read_dir(&directory).with_context(|| directory.display().to_string())? {
        let document: Value = serde_json::from_slice(&fs::read(entry?.path())?)?;
        let Some(schemas) = document["components"]["schemas"].as_object() else { continue };
        for (name, schema) in schemas {
            let Some(properties) = schema["properties"].as_object() else { continue };
            for (field, property) in properties {
                if let Some(default) = property.get("default") {
                    defaults.entry(name.clone()).or_default().insert(field.clone(), default.clone());
                }
            }
        }
    }
    Ok(defaults)
}

impl Property {
    /// The name of the definition that this property refers to.
    pub(super) fn target(&self) -> Option<&str> {
        self.reference.as_deref()?.strip_prefix("#/definitions/")
    }
}
