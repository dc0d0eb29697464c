//! Schemas as OpenAPI publishes them: whole in version 3, with less in version 2, where kubectl cannot cope with more.
//!
//! They are made from the definition's own JSON, since texts for people belong to them; what is empty is left out.
//! Source: `apiextensions-apiserver/pkg/controller/openapi`, `pkg/apiserver/schema/kubeopenapi.go`.

use serde_json::{Map, Value, json};

use super::layer::type_name;
use super::{MAX_DEPTH, Schema, check};
use crate::facts::Resource;
use crate::field::FieldPath;

/// Which OpenAPI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenApiVersion {
    V2,
    V3,
}

const API_VERSION: &str = "APIVersion defines the versioned schema of this representation of an object. Servers should convert recognized schemas to the latest internal value, and may reject unrecognized values. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources";
const KIND: &str = "Kind is a string value representing the REST resource this object represents. Servers may infer this from the endpoint the client submits requests to. Cannot be updated. In CamelCase. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds";
const METADATA: &str = "Standard object's metadata. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";
const LIST_METADATA: &str = "Standard list metadata. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds";
const EMBEDDED_API_VERSION: &str = "apiVersion defines the versioned schema of this representation of an object. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources";
const EMBEDDED_KIND: &str = "kind is a string value representing the type of this object. In CamelCase. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds";

/// Keywords in the published form, but for those that hold schemas or need more than a copy.
const PLAIN: [&str; 24] = [
    "description",
    "enum",
    "example",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "externalDocs",
    "format",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "pattern",
    "title",
    "uniqueItems",
    "x-kubernetes-embedded-resource",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-validations",
];

/// The published schema of a kind; `version` is the item of `spec.versions`.
///
/// A schema that is missing or not structural is published as any object.
pub fn kind_schema(resource: &Resource, version: &Value, of: OpenApiVersion) -> Value {
    let source = version.pointer("/schema/openAPIV3Schema").filter(|schema| is_structural(schema));
    let preserved = |schema: &Value| is_true(schema, "x-kubernetes-preserve-unknown-fields");
    let mut published = match source {
        Some(schema) if of == OpenApiVersion::V3 || !preserved(schema) => {
            let mut map = node(schema, of, 0);
            let properties = properties_of(&mut map);
            properties.insert("apiVersion".to_owned(), described(API_VERSION));
            properties.insert("kind".to_owned(), described(KIND));
            properties.insert("metadata".to_owned(), reference("ObjectMeta", METADATA, of));
            map
        }
        _ => Map::from_iter([("type".to_owned(), json!("object"))]),
    };
    extensions(&mut published, resource, &resource.kind, version);
    Value::Object(published)
}

/// The published schema of the list of a kind.
pub fn list_schema(resource: &Resource, version: &Value, of: OpenApiVersion) -> Value {
    let Resource { group, version: name, kind, list_kind, plural, .. } = resource;
    let item = format!("{}{}", prefix(of), type_name(group, name, kind));
    let conventions = "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md";
    let list = json!({
        "type": "object",
        "description": format!("{list_kind} is a list of {kind}"),
        "required": ["items"],
        "properties": {
            "apiVersion": described(API_VERSION),
            "kind": described(KIND),
            "metadata": reference("ListMeta", LIST_METADATA, of),
            "items": {
                "type": "array",
                "description": format!("List of {plural}. More info: {conventions}"),
                "items": {"$ref": item},
            },
        },
    });
    let Value::Object(mut published) = list else { return list };
    extensions(&mut published, resource, list_kind, version);
    Value::Object(published)
}

fn is_structural(json: &Value) -> bool {
    super::parse(json).is_ok_and(|schema: Schema| {
        let known = |schema: &Schema| {
            matches!(&*schema.ty, "" | "array" | "boolean" | "integer" | "number" | "object" | "string")
        };
        check::unsupported(&schema).is_none()
            && !check::any(&schema, &|schema| !known(schema))
            && check::structural(&schema, &FieldPath::Nil).is_empty()
    })
}

fn extensions(published: &mut Map<String, Value>, resource: &Resource, kind: &str, version: &Value) {
    let gvk = json!([{"group": resource.group, "version": resource.version, "kind": kind}]);
    published.insert("x-kubernetes-group-version-kind".to_owned(), gvk);
    let fields = version.get("selectableFields").and_then(Value::as_array).into_iter().flatten();
    let fields: Vec<Value> = fields
        .filter_map(|field| field.get("jsonPath").and_then(Value::as_str))
        .map(|path| json!({"fieldPath": path.strip_prefix('.').unwrap_or(path)}))
        .collect();
    if !fields.is_empty() {
        published.insert("x-kubernetes-selectable-fields".to_owned(), Value::Array(fields));
    }
}

fn prefix(of: OpenApiVersion) -> &'static str {
    match of {
        OpenApiVersion::V2 => "#/definitions/",
        OpenApiVersion::V3 => "#/components/schemas/",
    }
}

fn described(text: &str) -> Value {
    json!({"description": text, "type": "string"})
}

/// A reference with a description beside it, which version 3 allows only around it.
fn reference(name: &str, text: &str, of: OpenApiVersion) -> Value {
    let target = format!("{}io.k8s.apimachinery.pkg.apis.meta.v1.{name}", prefix(of));
    match of {
        OpenApiVersion::V2 => json!({"description": text, "$ref": target}),
        OpenApiVersion::V3 => json!({"description": text, "allOf": [{"$ref": target}]}),
    }
}

fn is_true(value: &Value, name: &str) -> bool {
    value.get(name) == Some(&Value::Bool(true))
}

fn properties_of(map: &mut Map<String, Value>) -> &mut Map<String, Value> {
    let properties = map.entry("properties").or_insert_with(|| json!({}));
    properties.as_object_mut().expect("properties are written as an object")
}

/// What Go's `omitempty` leaves out; zero limits are pointers and stay.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

fn node(source: &Value, of: OpenApiVersion, depth: usize) -> Map<String, Value> {
    let mut out = Map::new();
    let Some(schema) = source.as_object().filter(|_| depth < MAX_DEPTH) else { return out };
    for name in PLAIN {
        if let Some(value) = schema.get(name).filter(|value| !is_empty(value) || name == "example") {
            out.insert(name.to_owned(), value.clone());
        }
    }
    for name in ["x-kubernetes-list-type", "x-kubernetes-map-type"] {
        out.extend(schema.get(name).filter(|value| !value.is_null()).map(|value| (name.to_owned(), value.clone())));
    }
    structure(source, of, depth, &mut out);
    if of == OpenApiVersion::V3 {
        junctors(source, depth, &mut out);
        if is_true(source, "x-kubernetes-int-or-string") {
            unfold(&mut out);
        }
        if is_true(source, "nullable") {
            out.insert("nullable".to_owned(), Value::Bool(true));
        }
        out.extend(
            schema.get("default").filter(|value| !value.is_null()).map(|value| ("default".to_owned(), value.clone())),
        );
    }
    embedded(source, of, &mut out);
    out
}

/// Type, properties, items, values and required fields.
fn structure(source: &Value, of: OpenApiVersion, depth: usize, out: &mut Map<String, Value>) {
    let v2 = of == OpenApiVersion::V2;
    let preserves = is_true(source, "x-kubernetes-preserve-unknown-fields");
    let untyped = v2 && is_true(source, "nullable");
    let opaque = untyped || v2 && preserves;
    let below = |schema: &Value| Value::Object(node(schema, of, depth + 1));
    let properties = source.get("properties").and_then(Value::as_object).filter(|map| !opaque && !map.is_empty());
    if let Some(map) = properties {
        let published = map.iter().map(|(name, schema)| (name.clone(), below(schema))).collect();
        out.insert("properties".to_owned(), Value::Object(published));
    }
    let items = source.get("items").filter(|items| !opaque && items.is_object());
    out.extend(items.map(|items| ("items".to_owned(), below(items))));
    let additional = source.get("additionalProperties");
    match additional {
        Some(Value::Bool(allowed)) => drop(out.insert("additionalProperties".to_owned(), Value::Bool(*allowed))),
        Some(schema @ Value::Object(_)) => drop(out.insert("additionalProperties".to_owned(), below(schema))),
        _ => {}
    }
    let ty = source.get("type").and_then(Value::as_str).unwrap_or("");
    let unfit = untyped || v2 && (ty == "array" && items.is_none() || ty == "object" && preserves);
    if !ty.is_empty() && !unfit {
        out.insert("type".to_owned(), Value::from(ty));
    }
    let is_nullable = |schema: Option<&Value>| schema.is_some_and(|schema| is_true(schema, "nullable"));
    let mut required = source.get("required").and_then(Value::as_array).map_or_else(Vec::new, Clone::clone);
    if v2 {
        let map = properties;
        required.retain(|name| !is_nullable(name.as_str().and_then(|name| map?.get(name))));
        if is_nullable(additional) {
            required.clear();
        }
    }
    if !required.is_empty() {
        out.insert("required".to_owned(), Value::Array(required));
    }
}

fn junctors(source: &Value, depth: usize, out: &mut Map<String, Value>) {
    let below = |schema: &Value| Value::Object(node(schema, OpenApiVersion::V3, depth + 1));
    for name in ["allOf", "anyOf", "oneOf"] {
        let list = source.get(name).and_then(Value::as_array).filter(|list| !list.is_empty());
        out.extend(list.map(|list| (name.to_owned(), list.iter().map(below).collect())));
    }
    let not = source.get("not").filter(|not| not.is_object());
    out.extend(not.map(|not| ("not".to_owned(), below(not))));
}

/// Says in plain OpenAPI that a value is an integer or a string, unless the schema says so itself.
fn unfold(out: &mut Map<String, Value>) {
    let either = json!([{"type": "integer"}, {"type": "string"}]);
    let first = out.get("allOf").and_then(|all| all.get(0)).and_then(|first| first.get("anyOf"));
    if out.get("anyOf") == Some(&either) || first == Some(&either) {
        return;
    }
    if !out.contains_key("anyOf") {
        out.insert("anyOf".to_owned(), either);
        return;
    }
    let all = out.entry("allOf").or_insert_with(|| json!([]));
    if let Value::Array(all) = all {
        all.insert(0, json!({"anyOf": either}));
    }
}

/// Objects within objects have a version, a kind and metadata.
fn embedded(source: &Value, of: OpenApiVersion, out: &mut Map<String, Value>) {
    let opaque = of == OpenApiVersion::V2 && is_true(source, "x-kubernetes-preserve-unknown-fields");
    if !is_true(source, "x-kubernetes-embedded-resource") || opaque {
        return;
    }
    let properties = properties_of(out);
    properties.insert("apiVersion".to_owned(), described(EMBEDDED_API_VERSION));
    properties.insert("kind".to_owned(), described(EMBEDDED_KIND));
    properties.insert("metadata".to_owned(), reference("ObjectMeta", METADATA, of));
    let required = out.entry("required").or_insert_with(|| json!([]));
    if let Value::Array(required) = required {
        for name in ["kind", "apiVersion"] {
            if !required.iter().any(|known| known == name) {
                required.push(Value::from(name));
            }
        }
    }
}
