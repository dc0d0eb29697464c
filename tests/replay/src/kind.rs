//! The kinds that are replayed: several complete objects of each, which differ in what users change.

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::session::{NAME, Side};

/// Read when the program runs, so that a change of it compiles nothing.
const KINDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/kinds.yaml");

/// A kind and objects of it, complete with all that a real server fills in.
#[derive(Debug, Clone)]
pub struct Kind {
    /// `/apis/apps/v1/namespaces/default/deployments`
    pub collection: String,
    pub scales: bool,
    pub variants: Vec<Value>,
    /// Of `/status`; empty where the kind has none.
    pub statuses: Vec<Value>,
}

impl Kind {
    pub fn api_version(&self) -> &str {
        self.text("apiVersion")
    }

    pub fn name(&self) -> &str {
        self.text("kind")
    }

    fn text(&self, field: &str) -> &str {
        self.variants.first().and_then(|one| one.get(field)).and_then(Value::as_str).unwrap_or("")
    }
}

/// Reads the kinds, and has the real server complete their objects.
///
/// # Errors
/// An object that the real server refuses.
pub async fn load(peer: &Side) -> Result<Vec<Kind>> {
    let text = std::fs::read_to_string(KINDS).context(KINDS)?;
    let documents: Vec<Value> = serde_saphyr::from_str(&text).context(KINDS)?;
    let mut kinds = Vec::new();
    for document in documents {
        let list = |field: &str| document.get(field).and_then(Value::as_array).cloned().unwrap_or_else(Vec::new);
        let collection = document.get("collection").and_then(Value::as_str).context("a collection")?.to_owned();
        let mut variants = Vec::new();
        for (i, mut object) in list("variants").into_iter().enumerate() {
            object["metadata"]["name"] = json!(format!("expand-{i}"));
            for field in ["apiVersion", "kind"] {
                object[field] = document[field].clone();
            }
            let (code, full) = peer.ask("POST", &format!("{collection}?dryRun=All"), Some(&object)).await?;
            if code != 201 {
                bail!("{collection} variant {i}: {full}");
            }
            variants.push(stripped(full));
        }
        let scales = document.get("scales").and_then(Value::as_bool) == Some(true);
        kinds.push(Kind { collection, scales, variants, statuses: list("statuses") });
    }
    Ok(kinds)
}

fn stripped(mut object: Value) -> Value {
    if let Some(meta) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        meta.retain(|field, _| matches!(field.as_str(), "labels" | "annotations" | "finalizers"));
        let labels = meta.get_mut("labels").and_then(Value::as_object_mut);
        if let Some(labels) = labels {
            labels.remove("kubernetes.io/metadata.name");
        }
        meta.insert("name".to_owned(), json!(NAME));
    }
    if let Some(map) = object.as_object_mut() {
        map.remove("status");
    }
    object
}
