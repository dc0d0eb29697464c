//! Types of the table → OpenAPI schemas, and which types a document needs.

use std::collections::{BTreeSet, VecDeque};

use federation_schema::facts::{Facts, Field, ListType, Opaque, Resource, Shape, Struct, TypeId};
use serde_json::{Map, Value, json};

use super::words;

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";
const APIEXTENSIONS: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1";

/// Which OpenAPI is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    V2,
    V3,
}

/// Collects what is referred to and renders it.
pub(super) struct Schemas<'f> {
    facts: &'f Facts,
    dialect: Dialect,
    /// Names that were wanted once.
    known: BTreeSet<String>,
    waiting: VecDeque<Waiting>,
}

enum Waiting {
    Type(TypeId),
    /// A scalar that upstream names.
    Scalar(&'static str),
}

impl<'f> Schemas<'f> {
    pub(super) fn new(facts: &'f Facts, dialect: Dialect) -> Self {
        Self { facts, dialect, known: BTreeSet::new(), waiting: VecDeque::new() }
    }

    pub(super) fn facts(&self) -> &'f Facts {
        self.facts
    }

    /// A reference to a type of the table by name; none where there is no such type.
    pub(super) fn reference_named(&mut self, name: &str) -> Option<Value> {
        let id = self.facts.type_named(name)?;
        Some(self.reference(id))
    }

    /// A reference to a named type, which the document then contains.
    pub(super) fn reference(&mut self, id: TypeId) -> Value {
        let facts = self.facts;
        let name = facts.ty(id).published_name();
        self.want(id);
        self.link(name)
    }

    pub(super) fn want(&mut self, id: TypeId) {
        let facts = self.facts;
        let name = facts.ty(id).published_name();
        if self.known.insert(name.to_owned()) {
            let id = facts.type_named(name).unwrap_or(id);
            self.waiting.push_back(Waiting::Type(id));
        }
    }

    /// The next type that is waiting, without rendering it.
    pub(super) fn next_type(&mut self) -> Option<TypeId> {
        loop {
            match self.waiting.pop_front()? {
                Waiting::Type(id) => return Some(id),
                Waiting::Scalar(_) => {}
            }
        }
    }

    /// Wants every named type that a type refers to.
    pub(super) fn want_all(&mut self, id: TypeId) {
        let facts = self.facts;
        match facts.shape(id) {
            Shape::Struct(object) => object.fields.iter().for_each(|field| self.want_inner(field.ty)),
            _ => self.want_inner(id),
        }
    }

    fn want_inner(&mut self, id: TypeId) {
        let facts = self.facts;
        match facts.shape(id) {
            Shape::Struct(_) => self.want(id),
            Shape::List(list) => self.want_inner(list.item),
            Shape::Map { value, .. } => self.want_inner(*value),
            _ => {}
        }
    }

    /// Renders the next schema that is waiting; what it refers to waits then.
    pub(super) fn next(&mut self, resources: &[&Resource]) -> Option<(String, Value)> {
        let facts = self.facts;
        Some(match self.waiting.pop_front()? {
            Waiting::Scalar(name) => (name.to_owned(), scalar(name, self.dialect)),
            Waiting::Type(id) => {
                let name = facts.ty(id).name.to_string();
                let mut schema = match facts.shape(id) {
                    Shape::Struct(object) => self.object(object),
                    _ => self.inline(id),
                };
                self.explain(&name, &mut schema);
                let kinds = kinds(facts, id, &name, resources);
                if !kinds.is_empty() {
                    schema["x-kubernetes-group-version-kind"] = kinds.into();
                }
                (name, schema)
            }
        })
    }

    /// A reference by name; the document has to contain the definition.
    pub(super) fn link(&self, name: &str) -> Value {
        match self.dialect {
            Dialect::V2 => json!({"$ref": format!("#/definitions/{name}")}),
            Dialect::V3 => json!({"$ref": format!("#/components/schemas/{name}")}),
        }
    }

    /// A reference to a scalar that upstream names.
    pub(super) fn named_scalar(&mut self, name: &'static str) -> Value {
        if self.known.insert(name.to_owned()) {
            self.waiting.push_back(Waiting::Scalar(name));
        }
        self.link(name)
    }

    fn object(&mut self, object: &Struct) -> Value {
        let mut schema = Map::new();
        schema.insert("type".to_owned(), "object".into());
        let properties: Map<String, Value> =
            object.fields.iter().map(|field| (field.name.to_string(), self.property(field))).collect();
        if !properties.is_empty() {
            schema.insert("properties".to_owned(), properties.into());
        }
        let required: Vec<&str> = object.fields.iter().filter(|f| f.required).map(|field| &*field.name).collect();
        if !required.is_empty() {
            schema.insert("required".to_owned(), required.into());
        }
        if object.atomic {
            schema.insert("x-kubernetes-map-type".to_owned(), "atomic".into());
        }
        schema.into()
    }

    /// Adds the words of our own kinds; v2 is read by programs only.
    fn explain(&self, name: &str, schema: &mut Value) {
        let Some(words) = words::of(name).filter(|_| self.dialect == Dialect::V3) else { return };
        schema["description"] = words.meaning.into();
        let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else { return };
        for (field, meaning) in words.fields {
            if let Some(property) = properties.get_mut(*field) {
                let more = Map::from_iter([("description".to_owned(), (*meaning).into())]);
                *property = self.with(property.take(), more);
            }
        }
    }

    fn property(&mut self, field: &Field) -> Value {
        let mut more = Map::new();
        if !field.default.is_empty() && self.dialect == Dialect::V3 {
            let default = serde_json::from_str(&field.default).expect("defaults of the table are JSON");
            more.insert("default".to_owned(), default);
        }
        let patch = &field.patch;
        let strategies = [(patch.merge, "merge"), (patch.retain_keys, "retainKeys"), (patch.replace, "replace")];
        let strategies: Vec<&str> = strategies.iter().filter(|(on, _)| *on).map(|(_, name)| *name).collect();
        if !strategies.is_empty() {
            more.insert("x-kubernetes-patch-strategy".to_owned(), strategies.join(",").into());
        }
        if !patch.merge_key.is_empty() {
            more.insert("x-kubernetes-patch-merge-key".to_owned(), (*patch.merge_key).into());
        }
        if !field.one_of.is_empty() {
            more.insert("enum".to_owned(), json!(field.one_of));
        }
        if let Some((_, merged)) = self.facts.ty(field.ty).name.split_once('@') {
            more.insert("x-kubernetes-map-type".to_owned(), merged.into());
        }
        let schema = self.inline(field.ty);
        self.with(schema, more)
    }

    /// Adds siblings to a schema; a reference in v3 needs `allOf` for that.
    fn with(&self, schema: Value, more: Map<String, Value>) -> Value {
        let Value::Object(mut schema) = schema else { return schema };
        if self.dialect == Dialect::V3 && schema.contains_key("$ref") && !more.is_empty() {
            schema = Map::from_iter([("allOf".to_owned(), Value::Array(vec![schema.into()]))]);
        }
        schema.extend(more);
        schema.into()
    }

    fn inline(&mut self, id: TypeId) -> Value {
        let facts = self.facts;
        match facts.shape(id) {
            Shape::Struct(object) if facts.ty(id).name.is_empty() => self.object(object),
            Shape::Struct(_) => self.reference(id),
            Shape::Map { value, atomic } => {
                let mut schema = json!({"type": "object", "additionalProperties": self.inline(*value)});
                if *atomic {
                    schema["x-kubernetes-map-type"] = "atomic".into();
                }
                schema
            }
            Shape::List(list) => {
                let mut schema = json!({"type": "array", "items": self.inline(list.item)});
                match &list.kind {
                    ListType::Unset => {}
                    ListType::Atomic => schema["x-kubernetes-list-type"] = "atomic".into(),
                    ListType::Set => schema["x-kubernetes-list-type"] = "set".into(),
                    ListType::Map(keys) => {
                        schema["x-kubernetes-list-type"] = "map".into();
                        schema["x-kubernetes-list-map-keys"] = json!(keys);
                    }
                }
                schema
            }
            Shape::String => json!({"type": "string"}),
            Shape::Bytes => json!({"type": "string", "format": "byte"}),
            Shape::Int32 => json!({"type": "integer", "format": "int32"}),
            Shape::Int64 => json!({"type": "integer", "format": "int64"}),
            Shape::Float => json!({"type": "number", "format": "double"}),
            Shape::Bool => json!({"type": "boolean"}),
            Shape::Time => self.named_scalar("io.k8s.apimachinery.pkg.apis.meta.v1.Time"),
            Shape::MicroTime => self.named_scalar("io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime"),
            Shape::Quantity => self.named_scalar("io.k8s.apimachinery.pkg.api.resource.Quantity"),
            Shape::IntOrString => self.named_scalar("io.k8s.apimachinery.pkg.util.intstr.IntOrString"),
            Shape::Any(kind) => self.any(*kind),
        }
    }

    fn any(&mut self, kind: Opaque) -> Value {
        let name = match kind {
            Opaque::Raw => "io.k8s.apimachinery.pkg.runtime.RawExtension",
            Opaque::Fields => "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1",
            Opaque::Json => "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON",
            Opaque::SchemaOrArray => "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray",
            Opaque::SchemaOrBool => "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool",
            Opaque::SchemaOrStrings => {
                "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray"
            }
        };
        self.named_scalar(name)
    }
}

/// The schema of a scalar that upstream names.
fn scalar(name: &str, dialect: Dialect) -> Value {
    let local = name.rsplit('.').next().unwrap_or(name);
    match (local, dialect) {
        ("Time" | "MicroTime", _) => json!({"type": "string", "format": "date-time"}),
        ("Quantity", Dialect::V2) => json!({"type": "string"}),
        ("Quantity", Dialect::V3) => json!({"oneOf": [{"type": "string"}, {"type": "number"}]}),
        ("IntOrString", Dialect::V2) => json!({"type": "string", "format": "int-or-string"}),
        ("IntOrString", Dialect::V3) => {
            json!({"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]})
        }
        _ if name.starts_with(APIEXTENSIONS) => json!({}),
        _ => json!({"type": "object"}),
    }
}

/// The kinds that a type is the schema of, among the resources of the document.
fn kinds(facts: &Facts, id: TypeId, name: &str, resources: &[&Resource]) -> Vec<Value> {
    let kind = |group: &str, version: &str, kind: &str| json!({"group": group, "version": version, "kind": kind});
    if let Some(local) = name.strip_prefix(META).and_then(|rest| rest.strip_prefix('.')) {
        let mut versions: Vec<(&str, &str)> = match local {
            "DeleteOptions" | "WatchEvent" => resources.iter().map(|r| (&*r.group, &*r.version)).collect(),
            "Status" | "APIResourceList" => Vec::new(),
            _ => return Vec::new(),
        };
        versions.push(("", "v1"));
        versions.sort_unstable();
        versions.dedup();
        return versions.into_iter().map(|(group, version)| kind(group, version, local)).collect();
    }
    let own = facts.resources().filter(|r| r.ty == id).map(|r| (&*r.group, &*r.version, &*r.kind));
    let lists = facts.resources().filter(|r| !r.list_kind.is_empty() && is_list_of(facts, name, r.ty));
    let lists = lists.map(|r| (&*r.group, &*r.version, &*r.list_kind));
    let subs = facts.resources().flat_map(|r| &r.subresources).filter(|sub| sub.ty == Some(id));
    let subs = subs.map(|sub| (&*sub.group, &*sub.version, &*sub.kind));
    let all: BTreeSet<(&str, &str, &str)> = own.chain(lists).chain(subs).collect();
    all.into_iter().map(|(group, version, name)| kind(group, version, name)).collect()
}

fn is_list_of(facts: &Facts, name: &str, item: TypeId) -> bool {
    name.strip_suffix("List").is_some_and(|one| *facts.ty(item).name == *one)
}

/// `apps_v1`, `core_v1`, `rbacAuthorization_v1`.
pub(super) fn tag(group: &str, version: &str) -> String {
    let group = if group.is_empty() { "core" } else { group.strip_suffix(".k8s.io").unwrap_or(group) };
    let mut words = group.split(['.', '-']);
    let first = words.next().unwrap_or("").to_owned();
    format!("{}_{version}", words.fold(first, |name, word| name + &capitalised(word)))
}

/// `AppsV1`, `CoreV1`, `RbacAuthorizationV1`.
pub(super) fn camel(group: &str, version: &str) -> String {
    tag(group, version).split('_').map(capitalised).collect()
}

pub(super) fn capitalised(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + chars.as_str())
}
