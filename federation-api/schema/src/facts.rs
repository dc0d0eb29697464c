//! The table of kinds: what every Kubernetes type looks like and where it is served.
//!
//! Everything generic in the house (decode, patch, apply, discovery, OpenAPI, Tables) reads this and knows no kind by name.
//! It holds shapes only: no defaults that a server invents, no validation, no descriptions.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::LazyLock;

mod builder;
mod parse;

pub use builder::{FactsBuilder, FactsError};

/// Text that is borrowed from the committed table or owned by a run-time definition.
pub type Text = Cow<'static, str>;

const TABLE: &str = include_str!("facts/kubernetes.facts");

/// The facts of every built-in kind, our own included; decoded at the first call.
pub fn kubernetes() -> &'static Facts {
    static FACTS: LazyLock<Facts> =
        LazyLock::new(|| parse::table(TABLE).expect("the committed table is tested to parse"));
    &FACTS
}

/// A set of types and resources, possibly stacked upon the built-in one.
#[derive(Debug, Default)]
pub struct Facts {
    pub(crate) base: Option<&'static Facts>,
    /// Id of the first own type: those below belong to `base`.
    pub(crate) first: u32,
    pub(crate) version: Text,
    pub(crate) groups: Vec<Group>,
    pub(crate) types: Vec<Type>,
    pub(crate) names: HashMap<Text, TypeId>,
    pub(crate) resources: Vec<Resource>,
    /// Places in `resources`, sorted by group, version and plural.
    pub(crate) by_path: Vec<u32>,
    /// Places in `resources`, sorted by group, version and kind.
    pub(crate) by_kind: Vec<u32>,
}

/// An API group with its versions, the preferred one first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    pub name: Text,
    pub versions: Box<[Text]>,
}

/// A served resource: one version of one kind.
#[derive(Debug, Clone)]
pub struct Resource {
    /// Empty for the core group.
    pub group: Text,
    pub version: Text,
    pub kind: Text,
    /// Empty where the resource cannot be listed.
    pub list_kind: Text,
    pub plural: Text,
    pub singular: Text,
    pub short_names: Box<[Text]>,
    pub categories: Box<[Text]>,
    pub namespaced: bool,
    /// Sorted: `create`, `delete`, `deletecollection`, `get`, `list`, `patch`, `update`, `watch`; may be empty.
    pub verbs: Box<[Text]>,
    pub subresources: Box<[Subresource]>,
    /// Upstream's opaque hash of the storage version; may be empty.
    pub storage_hash: Text,
    pub ty: TypeId,
}

/// A subresource, such as `status` or `scale`.
#[derive(Debug, Clone)]
pub struct Subresource {
    pub name: Text,
    /// Group, version and kind of the body, which may differ from the resource's own.
    pub group: Text,
    pub version: Text,
    pub kind: Text,
    pub verbs: Box<[Text]>,
    /// Absent where the body has no schema (`pods/exec` options travel in the query).
    pub ty: Option<TypeId>,
}

/// Names a [`Type`] of the [`Facts`] it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TypeId(pub(crate) u32);

/// A type: scalars and unnamed lists and maps are shared by all that use them.
#[derive(Debug, Clone)]
pub struct Type {
    /// As OpenAPI names it, such as `io.k8s.api.core.v1.PodSpec`; empty for scalars, lists and maps.
    pub name: Text,
    pub shape: Shape,
}

/// What a value of a type looks like.
#[derive(Debug, Clone)]
pub enum Shape {
    Struct(Struct),
    Map {
        value: TypeId,
        atomic: bool,
    },
    List(List),
    String,
    /// Base64 in JSON, raw in protobuf.
    Bytes,
    Int32,
    Int64,
    Float,
    Bool,
    /// RFC 3339, whole seconds.
    Time,
    /// RFC 3339 with six decimals.
    MicroTime,
    Quantity,
    IntOrString,
    /// Any JSON; `Opaque` tells only protobuf apart.
    Any(Opaque),
}

/// Which protobuf message carries an [`Shape::Any`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opaque {
    /// `runtime.RawExtension`: an embedded object.
    Raw,
    /// `apiextensions.JSON`: any JSON value.
    Json,
    /// `meta.FieldsV1`: a set of field paths.
    Fields,
    SchemaOrArray,
    SchemaOrBool,
    SchemaOrStrings,
}

/// An object with known fields.
#[derive(Debug, Clone, Default)]
pub struct Struct {
    /// Sorted by name, as JSON shows them (inlined Go structs already flattened).
    pub fields: Box<[Field]>,
    /// Protobuf sub-messages whose fields are inline in JSON: (tag, type); their fields are in `fields` too, with tag 0.
    pub inline: Box<[(u32, TypeId)]>,
    /// `x-kubernetes-map-type: atomic`: server-side apply owns it as a whole.
    pub atomic: bool,
    /// Fields that are not named here are kept, and deduced (`x-kubernetes-preserve-unknown-fields` of custom kinds).
    pub open: bool,
}

/// A field of a [`Struct`].
#[derive(Debug, Clone)]
pub struct Field {
    pub name: Text,
    /// Protobuf tag; 0 where protobuf does not carry the field here.
    pub tag: u32,
    pub ty: TypeId,
    pub required: bool,
    /// The Go field can be nil, so that zero is a value of its own; otherwise zero and absent are the same.
    pub nillable: bool,
    /// Upstream's default as JSON text (`0`, `""`, `{}`, `"TCP"`); empty where there is none.
    pub default: Text,
    pub patch: Patch,
    /// The only values allowed (ours alone; Kubernetes publishes none).
    pub one_of: Box<[Text]>,
}

/// How strategic merge patch treats a field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Patch {
    pub merge: bool,
    pub replace: bool,
    pub retain_keys: bool,
    /// Empty for lists of scalars and where items have no key.
    pub merge_key: Text,
}

/// A list and how server-side apply merges it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct List {
    pub item: TypeId,
    pub kind: ListType,
    /// Protobuf wraps the list in a message with `items = 1` (`ExtraValue`, `Verbs`).
    pub wrapped: bool,
}

/// `x-kubernetes-list-type`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ListType {
    /// Not said, which means atomic.
    Unset,
    Atomic,
    Set,
    /// Items are told apart by these keys.
    Map(Box<[Text]>),
}

impl Facts {
    /// `v1.37.2`: the Kubernetes release the built-in facts were read from.
    pub fn version(&self) -> &str {
        self.base.map_or(&*self.version, Facts::version)
    }

    /// The type that `id` names.
    ///
    /// # Panics
    /// Where `id` comes from other facts that are larger than these.
    pub fn ty(&self, id: TypeId) -> &Type {
        match self.base {
            Some(base) if id.0 < self.first => base.ty(id),
            _ => &self.types[(id.0 - self.first) as usize],
        }
    }

    /// The shape of the type that `id` names.
    pub fn shape(&self, id: TypeId) -> &Shape {
        &self.ty(id).shape
    }

    /// Finds a named type, such as `io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta`.
    pub fn type_named(&self, name: &str) -> Option<TypeId> {
        self.names.get(name).copied().or_else(|| self.base?.type_named(name))
    }

    /// The field `name` of a struct type; none where `id` is no struct.
    pub fn field(&self, id: TypeId, name: &str) -> Option<&Field> {
        match self.shape(id) {
            Shape::Struct(s) => s.field(name),
            _ => None,
        }
    }

    /// Every named type with its id, in table order, the base's first.
    pub fn types(&self) -> impl Iterator<Item = (TypeId, &Type)> {
        let below = self.base.map(|base| base.types.iter().zip(base.first..)).into_iter().flatten();
        let all = below.chain(self.types.iter().zip(self.first..));
        all.filter(|(ty, _)| !ty.name.is_empty()).map(|(ty, id)| (TypeId(id), ty))
    }

    /// Every resource, the base's first; within a group and version in table order.
    pub fn resources(&self) -> impl Iterator<Item = &Resource> {
        self.base.map(|base| base.resources.iter()).into_iter().flatten().chain(&self.resources)
    }

    /// The resource served at `/apis/GROUP/VERSION/PLURAL`; the core group is empty.
    pub fn resource(&self, group: &str, version: &str, plural: &str) -> Option<&Resource> {
        self.find(&self.by_path, |r| r.path_key().cmp(&(group, version, plural)))
            .or_else(|| self.base?.resource(group, version, plural))
    }

    /// The resource whose objects have this kind.
    pub fn by_kind(&self, group: &str, version: &str, kind: &str) -> Option<&Resource> {
        self.find(&self.by_kind, |r| r.kind_key().cmp(&(group, version, kind)))
            .or_else(|| self.base?.by_kind(group, version, kind))
    }

    /// Groups in discovery's order: the core group first, ours and run-time ones last.
    pub fn groups(&self) -> Vec<Group> {
        let mut groups = self.base.map(Facts::groups).unwrap_or_default();
        for own in &self.groups {
            match groups.iter_mut().find(|group| group.name == own.name) {
                Some(group) => {
                    let mut versions = group.versions.to_vec();
                    versions.extend(own.versions.iter().filter(|v| !group.versions.contains(v)).cloned());
                    group.versions = versions.into();
                }
                None => groups.push(own.clone()),
            }
        }
        groups
    }

    fn find(&self, index: &[u32], order: impl Fn(&Resource) -> Ordering) -> Option<&Resource> {
        let at = index.binary_search_by(|&at| order(&self.resources[at as usize])).ok()?;
        Some(&self.resources[index[at] as usize])
    }
}

impl Type {
    /// The name that is published: a type may have a twin (`NAME@atomic`) for a field that is merged differently.
    pub fn published_name(&self) -> &str {
        self.name.split('@').next().unwrap_or("")
    }
}

impl Struct {
    /// The field of that JSON name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.binary_search_by(|field| (*field.name).cmp(name)).ok().map(|at| &self.fields[at])
    }
}

impl Resource {
    /// `v1` or `apps/v1`.
    pub fn api_version(&self) -> String {
        api_version(&self.group, &self.version)
    }

    pub(crate) fn path_key(&self) -> (&str, &str, &str) {
        (&self.group, &self.version, &self.plural)
    }

    pub(crate) fn kind_key(&self) -> (&str, &str, &str) {
        (&self.group, &self.version, &self.kind)
    }

    pub fn has_verb(&self, verb: &str) -> bool {
        self.verbs.iter().any(|v| v == verb)
    }

    /// The subresource of that name, such as `status`.
    pub fn subresource(&self, name: &str) -> Option<&Subresource> {
        self.subresources.iter().find(|sub| sub.name == name)
    }
}

impl ListType {
    /// True where apply replaces the list as a whole.
    pub fn is_atomic(&self) -> bool {
        matches!(self, Self::Unset | Self::Atomic)
    }
}

/// Joins group and version as `apiVersion` does.
pub fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

#[cfg(test)]
mod tests;
