//! Checking a policy's expressions against the schemas of what it matches: warnings for its status.
//!
//! Source: `k8s.io/apiserver/pkg/admission/plugin/policy/validating/typechecking.go`.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::{Compiler, Problem, Scope, items, text};
use crate::cel::{Decl, DeclKind};
use crate::facts::{Facts, Resource, Shape, TypeId};

/// Types that one policy is checked against at most; upstream's number.
const MAX_TYPES: usize = 10;

/// What `status.typeChecking.expressionWarnings` has to say of a policy; empty where all is well.
pub fn warnings(facts: &Facts, policy: &Json) -> Vec<Json> {
    let empty = Json::Null;
    let spec = policy.get("spec").unwrap_or(&empty);
    let kinds = kinds(facts, spec);
    let mut out = Vec::new();
    for (i, validation) in items(spec, "validations").iter().enumerate() {
        for field in ["expression", "messageExpression"] {
            let own = text(validation, field);
            if own.is_empty() {
                continue;
            }
            let found: Vec<String> = kinds.iter().filter_map(|kind| check(facts, spec, kind, own)).collect();
            if !found.is_empty() {
                out.push(json!({"fieldRef": format!("spec.validations[{i}].{field}"), "warning": found.join("\n")}));
            }
        }
    }
    out
}

/// The kinds that the rules name, without wildcards, in order.
fn kinds<'f>(facts: &'f Facts, spec: &Json) -> Vec<&'f Resource> {
    let empty = Json::Null;
    let constraints = spec.get("matchConstraints").unwrap_or(&empty);
    let mut found = BTreeSet::new();
    for rule in items(constraints, "resourceRules") {
        let words = |field: &str| -> Vec<&str> {
            let all: Vec<&str> = items(rule, field).iter().filter_map(Json::as_str).collect();
            if all.iter().any(|one| one.contains('*')) && field != "resources" { Vec::new() } else { all }
        };
        for group in words("apiGroups") {
            for version in words("apiVersions") {
                for plural in words("resources").into_iter().filter(|one| !one.contains(['*', '/'])) {
                    if let Some(resource) = facts.resource(group, version, plural) {
                        found.insert((&*resource.group, &*resource.version, &*resource.kind, &*resource.plural));
                    }
                }
            }
        }
    }
    let found = found.into_iter().take(MAX_TYPES);
    found.filter_map(|(group, version, _, plural)| facts.resource(group, version, plural)).collect()
}

/// What is wrong with an expression about objects of one kind.
fn check(facts: &Facts, spec: &Json, kind: &Resource, expression: &str) -> Option<String> {
    let typed = |resource: &Resource| {
        let name = format!("{}0", resource.kind);
        Arc::new(decl(facts, resource.ty, &mut Vec::new()).named(&name))
    };
    let reference = spec.get("paramKind").filter(|own| own.is_object());
    let params = reference.and_then(|reference| {
        let (api_version, wanted) = (text(reference, "apiVersion"), text(reference, "kind"));
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        facts.resources().find(|own| own.group == *group && own.version == *version && own.kind == *wanted)
    });
    let mut compiler = Compiler::typed(typed(kind), params.map(typed));
    let scope = Scope { params: reference.is_some(), authorizer: true, patches: false };
    for variable in items(spec, "variables") {
        // What is wrong with a variable is told where it is used.
        if compiler.variable(text(variable, "name"), text(variable, "expression"), scope).is_err() {
            continue;
        }
    }
    let version =
        if kind.group.is_empty() { kind.version.to_string() } else { format!("{}/{}", kind.group, kind.version) };
    let gvk = format!("{version}, Kind={}", kind.kind);
    match compiler.compile(expression, scope, &[]) {
        Ok(_) => None,
        Err(Problem::Invalid(detail)) => Some(format!("{gvk}: {detail}\n")),
        Err(Problem::Internal(detail)) => Some(format!("{gvk}: type checking error: {detail}\n")),
    }
}

/// The declared type of a type of the table; what contains itself is anything.
fn decl(facts: &Facts, ty: TypeId, within: &mut Vec<TypeId>) -> Decl {
    if within.contains(&ty) {
        return Decl::any();
    }
    within.push(ty);
    let made = match facts.shape(ty) {
        Shape::Struct(object) => {
            let fields: Vec<(String, Decl)> =
                object.fields.iter().map(|field| (field.name.to_string(), decl(facts, field.ty, within))).collect();
            Decl::object("object", fields.iter().map(|(name, decl)| (name.as_str(), decl.clone())))
        }
        Shape::Map { value, .. } => Decl::map(decl(facts, *value, within), 0),
        Shape::List(list) => Decl::list(decl(facts, list.item, within), 0),
        Shape::String | Shape::Quantity => Decl::simple(DeclKind::String),
        Shape::Bytes => Decl::simple(DeclKind::Bytes),
        Shape::Int32 | Shape::Int64 => Decl::simple(DeclKind::Int),
        Shape::Float => Decl::simple(DeclKind::Double),
        Shape::Bool => Decl::simple(DeclKind::Bool),
        Shape::Time | Shape::MicroTime => Decl::simple(DeclKind::Timestamp),
        Shape::IntOrString | Shape::Any(_) => Decl::any(),
    };
    within.pop();
    made
}
