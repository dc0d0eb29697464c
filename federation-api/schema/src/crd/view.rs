//! A definition as upstream's internal type has it, and the defaults of the published one.

use serde_json::{Map, Value, json};

use crate::structural::{Schema, SchemaError, parse};

/// Fills in what a definition leaves out: singular, list kind, conversion, the webhook's port, stored versions.
pub fn default(definition: &mut Value) {
    let Value::Object(object) = definition else { return };
    if let Some(Value::Object(spec)) = object.get_mut("spec") {
        if let Value::Object(names) = spec.entry("names").or_insert_with(|| json!({})) {
            default_names(names);
        }
        match spec.get_mut("conversion") {
            None | Some(Value::Null) => {
                spec.insert("conversion".to_owned(), json!({"strategy": "None"}));
            }
            Some(conversion) => {
                let service = conversion.pointer_mut("/webhook/clientConfig/service").and_then(Value::as_object_mut);
                if let Some(service) = service {
                    service.entry("port").or_insert_with(|| json!(443));
                }
            }
        }
    }
    let storage = versions(definition).find(|version| is_true(version, "storage"));
    let Some(name) = storage.and_then(|version| version.get("name")).cloned() else { return };
    let Value::Object(object) = definition else { return };
    let status = object.entry("status").or_insert_with(|| json!({}));
    if let Value::Object(status) = status
        && status.get("storedVersions").and_then(Value::as_array).is_none_or(Vec::is_empty)
    {
        status.insert("storedVersions".to_owned(), Value::Array(vec![name]));
    }
}

fn default_names(names: &mut Map<String, Value>) {
    let kind = names.get("kind").and_then(Value::as_str).map_or_else(String::new, str::to_owned);
    if kind.is_empty() {
        return;
    }
    let is_empty =
        |names: &Map<String, Value>, name: &str| names.get(name).and_then(Value::as_str).is_none_or(str::is_empty);
    if is_empty(names, "singular") {
        names.insert("singular".to_owned(), Value::from(kind.to_lowercase()));
    }
    if is_empty(names, "listKind") {
        names.insert("listKind".to_owned(), Value::from(format!("{kind}List")));
    }
}

/// The items of `spec.versions`.
pub(super) fn versions(definition: &Value) -> impl Iterator<Item = &Value> {
    definition.pointer("/spec/versions").and_then(Value::as_array).into_iter().flatten()
}

pub(super) fn is_true(value: &Value, name: &str) -> bool {
    value.get(name) == Some(&Value::Bool(true))
}

pub(super) fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or("")
}

/// A definition with what its versions share taken to the top.
#[derive(Debug)]
pub struct Definition<'v> {
    pub spec: &'v Value,
    pub versions: Vec<Version<'v>>,
    /// What all versions share; its name is that of the first.
    pub shared: Version<'v>,
    pub preserves: bool,
}

/// A version, or what all of them share.
#[derive(Debug, Default)]
pub struct Version<'v> {
    pub name: &'v str,
    pub served: bool,
    pub storage: bool,
    /// Whether there is a `schema`, even one without content.
    pub has_schema: bool,
    pub schema: Option<Result<Schema, SchemaError>>,
    pub schema_json: Option<&'v Value>,
    pub subresources: Option<&'v Value>,
    pub columns: &'v [Value],
    pub selectable: &'v [Value],
    pub json: Option<&'v Value>,
}

impl<'v> Definition<'v> {
    pub fn new(definition: &'v Value) -> Self {
        static NOTHING: Value = Value::Null;
        let spec = definition.get("spec").unwrap_or(&NOTHING);
        let list: Vec<&Value> = versions(definition).collect();
        let same = |name: &str| match list.split_first() {
            Some((first, rest)) => rest.iter().all(|version| field(version, name) == field(first, name)),
            None => false,
        };
        let hoisted = ["schema", "subresources", "additionalPrinterColumns", "selectableFields"].map(same);
        let mut shared = list.first().map_or_else(Version::default, |first| Version::read(first, hoisted));
        shared.name = list.first().map_or("", |first| text(first, "name"));
        let kept = hoisted.map(|hoisted| !hoisted);
        let versions = list.into_iter().map(|version| Version::read(version, kept)).collect();
        Self { spec, versions, shared, preserves: is_true(spec, "preserveUnknownFields") }
    }

    /// The subresources of a version, wherever they stand.
    pub fn subresources(&self, version: &Version<'v>) -> Option<&'v Value> {
        version.subresources.or(self.shared.subresources)
    }

    /// Every schema, the shared one first.
    pub fn schemas(&self) -> impl Iterator<Item = &Schema> {
        let all = std::iter::once(&self.shared).chain(&self.versions);
        all.filter_map(|version| version.schema.as_ref()?.as_ref().ok())
    }

    pub fn names(&self) -> &'v Value {
        static NOTHING: Value = Value::Null;
        self.spec.get("names").unwrap_or(&NOTHING)
    }
}

fn field<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    let found = value.get(name)?;
    let empty = found.is_null() || found.as_array().is_some_and(Vec::is_empty);
    (!empty).then_some(found)
}

impl<'v> Version<'v> {
    /// Reads schema, subresources, columns and selectable fields as far as told.
    fn read(json: &'v Value, parts: [bool; 4]) -> Self {
        let part = |at: usize, name: &str| if parts[at] { field(json, name) } else { None };
        let list = |found: Option<&'v Value>| found.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let schema = part(0, "schema");
        let schema_json = schema.and_then(|schema| schema.get("openAPIV3Schema")).filter(|schema| !schema.is_null());
        Self {
            name: text(json, "name"),
            served: is_true(json, "served"),
            storage: is_true(json, "storage"),
            has_schema: schema.is_some(),
            schema: schema_json.map(parse),
            schema_json,
            subresources: part(1, "subresources"),
            columns: list(part(2, "additionalPrinterColumns")),
            selectable: list(part(3, "selectableFields")),
            json: Some(json),
        }
    }

    pub fn parsed(&self) -> Option<&Schema> {
        self.schema.as_ref()?.as_ref().ok()
    }
}

/// Whether `subresources` turns the status on.
pub(super) fn has_status(subresources: Option<&Value>) -> bool {
    subresources.is_some_and(|subresources| subresources.get("status").is_some_and(|status| !status.is_null()))
}
