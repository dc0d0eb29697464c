//! Types that come from schemas: what fields there are, how large values can be, how JSON becomes a value.
//!
//! It knows OpenAPI's words, not what is checked with them. Source: `k8s.io/apiserver/pkg/cel/common/schemas.go`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value as Json;

use super::escape::{escape, is_reserved};
use super::types::Type;

/// The largest request that is read, in bytes; sizes without a limit of their own are derived from it.
pub const MAX_REQUEST_BYTES: i64 = 3 * 1024 * 1024;
/// A date or time as text, with quotes, in bytes.
const TIME_BYTES: i64 = 32;
const DATE_BYTES: i64 = 12;

/// A declared type with what is known of its values' sizes.
#[derive(Debug, Clone)]
pub struct Decl {
    pub kind: DeclKind,
    /// Most elements, entries or characters; 0 where it has none or nothing is known.
    pub max: i64,
    /// Fewest bytes that a value takes in JSON.
    pub min_size: i64,
}

/// What a declared type is.
#[derive(Debug, Clone)]
pub enum DeclKind {
    Dyn,
    Null,
    Bool,
    Int,
    Uint,
    Double,
    String,
    Bytes,
    Duration,
    Date,
    Timestamp,
    List {
        element: Arc<Decl>,
        equality: ListEquality,
    },
    Map {
        value: Arc<Decl>,
    },
    Object {
        name: Arc<str>,
        fields: BTreeMap<Arc<str>, DeclField>,
    },
    /// A type of a library.
    Native(Type),
}

/// How lists compare and add up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListEquality {
    Atomic,
    Set,
    /// By these fields of the elements.
    Map(Vec<String>),
}

/// A field of an object.
#[derive(Debug, Clone)]
pub struct DeclField {
    /// The name in JSON; the identifier is the key in the object's table.
    pub json: Arc<str>,
    pub decl: Arc<Decl>,
}

impl Decl {
    /// A type without size limits.
    pub fn simple(kind: DeclKind) -> Decl {
        let min_size = match kind {
            DeclKind::Bool | DeclKind::Null => 4,
            DeclKind::String | DeclKind::Bytes | DeclKind::Map { .. } | DeclKind::List { .. } => 2,
            DeclKind::Object { .. } => 2,
            DeclKind::Duration => 3,
            DeclKind::Date => DATE_BYTES,
            DeclKind::Timestamp => 21,
            _ => 1,
        };
        Decl { kind, max: 0, min_size }
    }

    /// Anything.
    pub fn any() -> Decl {
        Decl::simple(DeclKind::Dyn)
    }

    /// A list of at most `max` elements.
    pub fn list(element: Decl, max: i64) -> Decl {
        let kind = DeclKind::List { element: Arc::new(element), equality: ListEquality::Atomic };
        Decl { kind, max, min_size: 2 }
    }

    /// A map from strings, of at most `max` entries.
    pub fn map(value: Decl, max: i64) -> Decl {
        Decl { kind: DeclKind::Map { value: Arc::new(value) }, max, min_size: 2 }
    }

    /// An object with these fields; names that cannot be identifiers are left out.
    pub fn object<'n>(name: &str, fields: impl IntoIterator<Item = (&'n str, Decl)>) -> Decl {
        let fields = fields.into_iter().filter_map(|(json, decl)| {
            let field = DeclField { json: json.into(), decl: Arc::new(decl) };
            Some((Arc::from(escape(json)?), field))
        });
        Decl::simple(DeclKind::Object { name: name.into(), fields: fields.collect() })
    }

    /// The static type.
    pub fn ty(&self) -> Type {
        match &self.kind {
            DeclKind::Dyn => Type::Dyn,
            DeclKind::Null => Type::Null,
            DeclKind::Bool => Type::Bool,
            DeclKind::Int => Type::Int,
            DeclKind::Uint => Type::Uint,
            DeclKind::Double => Type::Double,
            DeclKind::String => Type::String,
            DeclKind::Bytes => Type::Bytes,
            DeclKind::Duration => Type::Duration,
            DeclKind::Date | DeclKind::Timestamp => Type::Timestamp,
            DeclKind::List { element, .. } => Type::list(element.ty()),
            DeclKind::Map { value } => Type::map(Type::String, value.ty()),
            DeclKind::Object { name, .. } => Type::Object(name.clone()),
            DeclKind::Native(ty) => ty.clone(),
        }
    }

    /// A field by its identifier; words that cannot be identifiers may be written plainly.
    pub fn field(&self, identifier: &str) -> Option<&DeclField> {
        let DeclKind::Object { fields, .. } = &self.kind else { return None };
        fields.get(identifier).or_else(|| is_reserved(identifier).then(|| fields.get(&*format!("__{identifier}__")))?)
    }

    /// The type of a field or entry, by its name in JSON.
    pub(crate) fn child(&self, json: &str) -> Option<&Decl> {
        match &self.kind {
            DeclKind::Map { value } => Some(value),
            DeclKind::Object { fields, .. } => {
                let direct = fields.get(json).filter(|field| &*field.json == json);
                direct.or_else(|| fields.values().find(|field| &*field.json == json)).map(|field| &*field.decl)
            }
            _ => None,
        }
    }

    /// The type of an element of a list.
    pub(crate) fn element(&self) -> Option<&Decl> {
        match &self.kind {
            DeclKind::List { element, .. } => Some(element),
            _ => None,
        }
    }

    /// Names all unnamed objects below by where they are: `root.spec.@idx`.
    #[must_use]
    pub fn named(mut self, name: &str) -> Decl {
        match &mut self.kind {
            DeclKind::Object { name: own, fields } => {
                if &**own == "object" {
                    *own = name.into();
                }
                let base = own.clone();
                for (identifier, field) in fields.iter_mut() {
                    let decl = Arc::unwrap_or_clone(field.decl.clone());
                    field.decl = Arc::new(decl.named(&format!("{base}.{identifier}")));
                }
            }
            DeclKind::Map { value } => {
                *value = Arc::new(Arc::unwrap_or_clone(value.clone()).named(&format!("{name}.@elem")));
            }
            DeclKind::List { element, .. } => {
                *element = Arc::new(Arc::unwrap_or_clone(element.clone()).named(&format!("{name}.@idx")));
            }
            _ => {}
        }
        self
    }

    /// Calls `visit` for all objects in this type.
    pub(crate) fn objects(self: &Arc<Self>, visit: &mut dyn FnMut(&Arc<str>, &Arc<Decl>)) {
        match &self.kind {
            DeclKind::Object { name, fields } => {
                visit(name, self);
                fields.values().for_each(|field| field.decl.objects(visit));
            }
            DeclKind::Map { value } => value.objects(visit),
            DeclKind::List { element, .. } => element.objects(visit),
            _ => {}
        }
    }

    /// The type of a structural schema; none for what expressions do not see.
    ///
    /// `root` says that this is the root of a resource, which has a kind, a version and a name in any case.
    pub fn from_schema(schema: &Json, root: bool) -> Option<Decl> {
        let flag = |name: &str| schema.get(name).and_then(Json::as_bool).unwrap_or(false);
        let number = |name: &str| schema.get(name).and_then(Json::as_i64).map(|n| n.max(0));
        if flag("x-kubernetes-int-or-string") {
            let max = number("maxLength").map_or(MAX_REQUEST_BYTES - 2, |length| length.saturating_mul(4));
            return Some(Decl { max, ..Decl::any() });
        }
        match schema.get("type").and_then(Json::as_str).unwrap_or("") {
            "array" => list_of(schema, number("maxItems")),
            "object" => match schema.get("additionalProperties").filter(|inner| inner.is_object()) {
                Some(inner) => {
                    let value = Decl::from_schema(inner, is_embedded(inner))?;
                    let max = number("maxProperties").unwrap_or((MAX_REQUEST_BYTES - 2) / (value.min_size + 6));
                    Some(Decl::map(value, max))
                }
                None => Some(object_of(schema, root || is_embedded(schema))),
            },
            "string" => Some(string_of(schema, number("maxLength"))),
            "boolean" => Some(Decl::simple(DeclKind::Bool)),
            "number" => Some(Decl::simple(DeclKind::Double)),
            "integer" => Some(Decl::simple(DeclKind::Int)),
            _ => None,
        }
    }
}

fn is_embedded(schema: &Json) -> bool {
    schema.get("x-kubernetes-embedded-resource").and_then(Json::as_bool).unwrap_or(false)
}

fn list_of(schema: &Json, max_items: Option<i64>) -> Option<Decl> {
    let items = schema.get("items")?;
    let element = Decl::from_schema(items, is_embedded(items))?;
    let max = max_items.unwrap_or((MAX_REQUEST_BYTES - 2) / (element.min_size + 1));
    let equality = match schema.get("x-kubernetes-list-type").and_then(Json::as_str) {
        Some("set") => ListEquality::Set,
        Some("map") => {
            let keys = schema.get("x-kubernetes-list-map-keys").and_then(Json::as_array).into_iter().flatten();
            ListEquality::Map(keys.filter_map(Json::as_str).map(str::to_owned).collect())
        }
        _ => ListEquality::Atomic,
    };
    Some(Decl { kind: DeclKind::List { element: Arc::new(element), equality }, max, min_size: 2 })
}

fn object_of(schema: &Json, root: bool) -> Decl {
    let required: Vec<&str> =
        schema.get("required").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str).collect();
    let (mut fields, mut min_size) = (BTreeMap::new(), 2);
    let mut add = |name: &str, decl: Decl, counts: bool| {
        if counts {
            min_size += name.len() as i64 + decl.min_size + 4;
        }
        if let Some(identifier) = escape(name) {
            fields.insert(identifier.into(), DeclField { json: name.into(), decl: Arc::new(decl) });
        }
    };
    let properties = schema.get("properties").and_then(Json::as_object);
    for (name, property) in properties.into_iter().flatten() {
        if let Some(decl) = Decl::from_schema(property, is_embedded(property)) {
            let counts = required.contains(&&**name) && property.get("default").is_none();
            add(name, decl, counts);
        }
    }
    if root && !has_type_and_meta(schema) {
        for name in ["apiVersion", "kind"] {
            add(name, plain_string(), false);
        }
        let named = [("name", plain_string()), ("generateName", plain_string())];
        add("metadata", Decl::object("object", named), false);
    }
    Decl { kind: DeclKind::Object { name: "object".into(), fields }, max: 0, min_size }
}

fn plain_string() -> Decl {
    Decl { max: MAX_REQUEST_BYTES - 2, ..Decl::simple(DeclKind::String) }
}

/// Whether a schema says itself what every resource has.
fn has_type_and_meta(schema: &Json) -> bool {
    let is = |path: &str, wanted: &str| schema.pointer(path).and_then(Json::as_str) == Some(wanted);
    is("/properties/kind/type", "string")
        && is("/properties/apiVersion/type", "string")
        && is("/properties/metadata/type", "object")
        && is("/properties/metadata/properties/name/type", "string")
        && is("/properties/metadata/properties/generateName/type", "string")
}

fn string_of(schema: &Json, max_length: Option<i64>) -> Decl {
    let sized = |kind: DeclKind, max: i64| Decl { max, ..Decl::simple(kind) };
    match schema.get("format").and_then(Json::as_str).unwrap_or("") {
        "byte" => return sized(DeclKind::Bytes, max_length.unwrap_or(MAX_REQUEST_BYTES - 2)),
        "duration" => return sized(DeclKind::Duration, TIME_BYTES),
        "date" => return sized(DeclKind::Date, DATE_BYTES),
        "date-time" => return sized(DeclKind::Timestamp, TIME_BYTES),
        _ => {}
    }
    let longest = schema
        .get("enum")
        .and_then(Json::as_array)
        .filter(|values| !values.is_empty())
        .map(|values| values.iter().filter_map(Json::as_str).map(|text| text.len() as i64).max().unwrap_or(0));
    let max = match (max_length, longest) {
        (Some(length), _) => length.saturating_mul(4),
        (None, Some(longest)) => longest,
        (None, None) => MAX_REQUEST_BYTES - 2,
    };
    sized(DeclKind::String, max)
}
