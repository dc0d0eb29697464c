//! A schema as a layer of facts, so that decode, apply and selectors treat custom kinds like built-in ones.
//!
//! Where a schema says nothing, values are deduced: objects granular, lists atomic.
//! Source: `kube-openapi/pkg/schemaconv`, `apiextensions-apiserver/pkg/controller/openapi/builder`.

use super::{Additional, Schema};
use crate::facts::{
    self, Facts, FactsBuilder, FactsError, Field, List, ListType, Patch, Resource, Shape, Struct, Text, TypeId,
};

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// The facts of one version of a custom kind above the built-in ones; no schema means that anything goes.
///
/// The type of `resource` is set here; a subresource `status` gets the same.
///
/// # Errors
/// Where the built-in facts define the kind already.
pub fn facts(schema: Option<&Schema>, mut resource: Resource) -> Result<Facts, FactsError> {
    let mut builder = FactsBuilder::above(facts::kubernetes());
    let mut layer = Layer { builder: &mut builder };
    let any = Schema { preserve: Some(true), ty: "object".into(), ..Schema::default() };
    let root = layer.object(schema.unwrap_or(&any), true);
    let name = type_name(&resource.group, &resource.version, &resource.kind);
    resource.ty = builder.define(name, Shape::Struct(root))?;
    for subresource in &mut resource.subresources {
        if subresource.name == "status" {
            subresource.ty = Some(resource.ty);
        }
    }
    builder.group(facts::Group { name: resource.group.clone(), versions: Box::from([resource.version.clone()]) });
    builder.resource(resource);
    builder.build()
}

/// `com.example.v1.Kind`: how OpenAPI names the type of a custom kind.
pub fn type_name(group: &str, version: &str, kind: &str) -> String {
    let mut parts: Vec<&str> = group.split('.').collect();
    parts.reverse();
    format!("{}.{version}.{kind}", parts.join("."))
}

struct Layer<'b> {
    builder: &'b mut FactsBuilder,
}

impl Layer<'_> {
    fn ty(&mut self, schema: &Schema) -> TypeId {
        match &*schema.ty {
            "object" => self.object_type(schema),
            "array" => self.list(schema),
            "integer" | "number" => TypeId::FLOAT,
            "boolean" => TypeId::BOOL,
            "string" if matches!(&*schema.format, "" | "byte") => TypeId::STRING,
            _ if !schema.properties.is_empty() => self.object_type(schema),
            _ => TypeId::JSON,
        }
    }

    fn object_type(&mut self, schema: &Schema) -> TypeId {
        let atomic = schema.map_type() == "atomic";
        if !schema.properties.is_empty() || schema.embedded {
            let object = self.object(schema, schema.embedded);
            return self.builder.object(object);
        }
        let value = schema.map_value().map_or(TypeId::JSON, |schema| self.ty(schema));
        self.builder.map(value, atomic)
    }

    fn object(&mut self, schema: &Schema, embedded: bool) -> Struct {
        let mut fields = Vec::with_capacity(schema.properties.len() + 3);
        for (name, property) in &schema.properties {
            if embedded && super::prune::is_meta(name) {
                continue;
            }
            let ty = self.ty(property);
            fields.push(field(name, ty, property, schema.limits().required.contains(name)));
        }
        if embedded {
            let none = Schema::default();
            let meta = self.builder.named(OBJECT_META);
            for (name, ty) in [("apiVersion", TypeId::STRING), ("kind", TypeId::STRING), ("metadata", meta)] {
                fields.push(field(name, ty, &none, false));
            }
        }
        let open = schema.preserves()
            || matches!(schema.additional.as_deref(), Some(Additional::Allowed(true)))
            || schema.properties.is_empty() && schema.additional.is_none() && !embedded;
        Struct { fields: fields.into(), inline: Box::default(), atomic: schema.map_type() == "atomic", open }
    }

    fn list(&mut self, schema: &Schema) -> TypeId {
        let item = schema.item().map_or(TypeId::JSON, |item| self.ty(item));
        let kind = match schema.list_type() {
            "set" => ListType::Set,
            "map" => ListType::Map(schema.list_keys.iter().map(|key| Text::Owned(key.to_string())).collect()),
            "atomic" => ListType::Atomic,
            _ => ListType::Unset,
        };
        self.builder.list(List { item, kind, wrapped: false })
    }
}

fn field(name: &str, ty: TypeId, schema: &Schema, required: bool) -> Field {
    let default = schema.default.as_deref().filter(|default| !default.is_object() && !default.is_array());
    Field {
        name: Text::Owned(name.to_owned()),
        tag: 0,
        ty,
        required,
        nillable: true,
        default: Text::Owned(default.map_or_else(String::new, ToString::to_string)),
        patch: Patch::default(),
        one_of: Box::default(),
    }
}
