//! The type checker: every node gets a type, every call its overloads, every name its meaning.
//!
//! Source: cel-go `checker/checker.go`; texts are its texts, since clients see them.

mod calls;

use std::collections::HashMap;
use std::sync::Arc;

use super::ast::{Comprehension, Element, Entry, Expr, Field, Id, Kind, Literal};
use super::env::Env;
use super::source::Issues;
use super::types::{Mapping, Type, most_general};

/// A tree with what was found out about it.
#[derive(Debug, Clone)]
pub(crate) struct Checked {
    pub(crate) expr: Expr,
    types: Vec<Option<Type>>,
    overloads: HashMap<Id, Vec<&'static str>>,
    /// Names that are types: their value is the type.
    type_names: HashMap<Id, Type>,
    /// Names in JSON of fields of objects that are made.
    json_names: HashMap<Id, Arc<str>>,
}

impl Checked {
    pub(crate) fn ty(&self, id: Id) -> &Type {
        self.types.get(id as usize).and_then(Option::as_ref).unwrap_or(&Type::Dyn)
    }

    pub(crate) fn overloads(&self, id: Id) -> &[&'static str] {
        self.overloads.get(&id).map_or(&[], |list| list)
    }

    pub(crate) fn type_name(&self, id: Id) -> Option<&Type> {
        self.type_names.get(&id)
    }

    pub(crate) fn json_name(&self, field: &Field) -> Arc<str> {
        self.json_names.get(&field.id).cloned().unwrap_or_else(|| field.name.clone())
    }
}

struct Checker<'e> {
    env: &'e Env,
    issues: Issues,
    types: Vec<Option<Type>>,
    overloads: HashMap<Id, Vec<&'static str>>,
    type_names: HashMap<Id, Type>,
    json_names: HashMap<Id, Arc<str>>,
    mapping: Mapping,
    scopes: Vec<(Arc<str>, Type)>,
}

/// Checks a tree; it is usable only if there are no issues.
pub(crate) fn check(env: &Env, mut expr: Expr, issues: Issues) -> (Checked, Issues) {
    let mut checker = Checker {
        env,
        types: vec![None; issues.offsets.len()],
        issues,
        overloads: HashMap::new(),
        type_names: HashMap::new(),
        json_names: HashMap::new(),
        mapping: Mapping::default(),
        scopes: Vec::new(),
    };
    checker.check(&mut expr);
    let Checker { mapping, types, overloads, type_names, json_names, issues, .. } = checker;
    let types = types.into_iter().map(|ty| ty.map(|ty| mapping.substitute(&ty, true))).collect();
    (Checked { expr, types, overloads, type_names, json_names }, issues)
}

impl Checker<'_> {
    fn set(&mut self, id: Id, ty: Type) {
        self.types[id as usize] = Some(ty);
    }

    fn get(&self, id: Id) -> Type {
        self.types[id as usize].clone().unwrap_or(Type::Error)
    }

    fn substituted(&self, id: Id) -> Type {
        self.mapping.substitute(&self.get(id), false)
    }

    fn undeclared(&mut self, id: Id, name: &str) {
        self.issues.report(id, format!("undeclared reference to '{name}' (in container '')"));
        self.set(id, Type::Error);
    }

    fn mismatch(&mut self, id: Id, expected: &Type, found: &Type) {
        self.issues.report(id, format!("expected type '{expected}' but found '{found}'"));
    }

    fn local(&self, name: &str) -> Option<&Type> {
        self.scopes.iter().rev().find(|(own, _)| &**own == name).map(|(_, ty)| ty)
    }

    fn check(&mut self, expr: &mut Expr) {
        let id = expr.id;
        match &mut expr.kind {
            Kind::Literal(literal) => {
                let ty = literal_type(literal);
                self.set(id, ty);
            }
            Kind::Ident(_) => self.ident(expr),
            Kind::Select { .. } => self.select(expr),
            Kind::Call(_) => self.call(expr),
            Kind::List(elements) => {
                let ty = self.list(elements);
                self.set(id, ty);
            }
            Kind::Map(entries) => {
                let ty = self.map(entries);
                self.set(id, ty);
            }
            Kind::Struct { name, fields } => {
                let name = name.clone();
                self.object(id, &name, fields);
            }
            Kind::Comprehension(fold) => {
                let ty = self.fold(fold);
                self.set(id, ty);
            }
        }
    }

    /// The type of a global name, and whether it is the name of a type.
    fn global(&self, name: &str) -> Option<(Type, Option<Type>)> {
        if let Some(ty) = self.env.find_variable(name) {
            return Some((ty.clone(), None));
        }
        let ty = self.env.find_type(name)?;
        Some((Type::Type(Some(Arc::new(ty.clone()))), Some(ty)))
    }

    fn ident(&mut self, expr: &mut Expr) {
        let Kind::Ident(name) = &expr.kind else { return };
        let name = name.clone();
        if let Some(ty) = self.local(&name).cloned() {
            self.set(expr.id, ty);
            return;
        }
        let plain = name.strip_prefix('.').unwrap_or(&name);
        match self.global(plain) {
            Some((ty, names)) => {
                self.set(expr.id, ty);
                if let Some(of) = names {
                    self.type_names.insert(expr.id, of);
                }
                // A global that a loop variable hides keeps its dot.
                if self.local(plain).is_none() {
                    expr.kind = Kind::Ident(plain.into());
                }
            }
            None => self.undeclared(expr.id, &name),
        }
    }

    fn select(&mut self, expr: &mut Expr) {
        let id = expr.id;
        if let Some(name) = expr.qualified_name() {
            let first = name.split('.').next().unwrap_or("");
            if self.local(first).is_none()
                && let Some((ty, names)) = self.global(name.strip_prefix('.').unwrap_or(&name))
            {
                self.set(id, ty);
                if let Some(of) = names {
                    self.type_names.insert(id, of);
                }
                expr.kind = Kind::Ident(name.into());
                return;
            }
        }
        let Kind::Select { operand, field, test } = &mut expr.kind else { return };
        let (field, test) = (field.clone(), *test);
        let result = self.field(id, operand, &field, false);
        let result = if test { Type::Bool } else { self.mapping.substitute(&result, false) };
        self.set(id, result);
    }

    /// The type of a field of whatever the operand is.
    fn field(&mut self, id: Id, operand: &mut Expr, field: &str, optional: bool) -> Type {
        self.check(operand);
        let operand = self.substituted(operand.id);
        let (target, wrapped) = match operand.optional_inner() {
            Some(inner) => (inner.clone(), true),
            None => (operand, false),
        };
        let result = match &target {
            Type::Map(_, value) => (**value).clone(),
            Type::Object(name) => self.field_type(id, name, field).unwrap_or(Type::Error),
            Type::Var(_) => {
                self.mapping.assignable(&Type::Dyn, &target);
                Type::Dyn
            }
            Type::Dyn | Type::Error => Type::Dyn,
            _ => {
                self.issues.report(id, format!("type '{target}' does not support field selection"));
                Type::Dyn
            }
        };
        if wrapped || optional { Type::optional(result) } else { result }
    }

    fn field_type(&mut self, id: Id, object: &str, field: &str) -> Option<Type> {
        if !self.env.is_struct(object) {
            if object.starts_with("kubernetes.") {
                self.issues.report(id, format!("undefined field '{field}'"));
            } else {
                self.issues.report(id, format!("unexpected failed resolution of '{object}'"));
            }
            return None;
        }
        let found = self.env.field_type(object, field);
        if found.is_none() {
            self.issues.report(id, format!("undefined field '{field}'"));
        }
        found
    }

    /// The type of an optional entry without its wrapping.
    fn unwrapped(&mut self, value: Id, optional: bool) -> Type {
        let ty = self.get(value);
        if !optional {
            return ty;
        }
        match ty.optional_inner() {
            Some(inner) => inner.clone(),
            None if ty.is_dyn() => ty,
            None => {
                self.mismatch(value, &Type::optional(ty.clone()), &ty);
                ty
            }
        }
    }

    fn join(&mut self, before: Option<Type>, now: Type) -> Type {
        let Some(before) = before else { return now };
        if self.mapping.assignable(&before, &now) {
            return most_general(&before, &now);
        }
        // The validators complain where types must agree.
        Type::Dyn
    }

    fn list(&mut self, elements: &mut [Element]) -> Type {
        let mut joined = None;
        for element in elements {
            self.check(&mut element.value);
            let ty = self.unwrapped(element.value.id, element.optional);
            joined = Some(self.join(joined, ty));
        }
        Type::list(joined.unwrap_or_else(|| self.mapping.fresh()))
    }

    fn map(&mut self, entries: &mut [Entry]) -> Type {
        let (mut keys, mut values) = (None, None);
        for entry in entries {
            self.check(&mut entry.key);
            let ty = self.get(entry.key.id);
            keys = Some(self.join(keys, ty));
            self.check(&mut entry.value);
            let ty = self.unwrapped(entry.value.id, entry.optional);
            values = Some(self.join(values, ty));
        }
        let key = keys.unwrap_or_else(|| self.mapping.fresh());
        let value = values.unwrap_or_else(|| self.mapping.fresh());
        Type::map(key, value)
    }

    fn object(&mut self, id: Id, name: &str, fields: &mut [Field]) {
        let plain = name.strip_prefix('.').unwrap_or(name);
        let Some(ty) = self.env.find_type(plain) else {
            self.undeclared(id, name);
            return;
        };
        if !self.env.is_struct(plain) {
            self.issues.report(id, format!("'{}' is not a message type", ty.name()));
            self.set(id, Type::Error);
            return;
        }
        self.set(id, ty);
        for field in fields {
            self.check(&mut field.value);
            let wanted = self.field_type(field.id, plain, &field.name).unwrap_or(Type::Error);
            let given = self.unwrapped(field.value.id, field.optional);
            if !self.mapping.assignable(&wanted, &given) {
                let message =
                    format!("expected type of field '{}' is '{wanted}' but provided type is '{given}'", field.name);
                self.issues.report(field.id, message);
            }
            if let Some(json) = self.env.json_name(plain, &field.name) {
                self.json_names.insert(field.id, json);
            }
        }
    }

    fn fold(&mut self, fold: &mut Comprehension) -> Type {
        self.check(&mut fold.range);
        self.check(&mut fold.init);
        let range = self.substituted(fold.range.id);
        let accumulated = self.get(fold.init.id);
        let depth = self.scopes.len();
        self.scopes.push((fold.accumulator.clone(), accumulated.clone()));
        let two = fold.second.is_some();
        let (first, second) = match &range {
            Type::List(element) if two => (Type::Int, (**element).clone()),
            Type::List(element) => ((**element).clone(), Type::Dyn),
            Type::Map(key, value) => ((**key).clone(), (**value).clone()),
            Type::Dyn | Type::Error | Type::Var(_) => {
                self.mapping.assignable(&Type::Dyn, &range);
                (Type::Dyn, Type::Dyn)
            }
            other => {
                let message = format!(
                    "expression of type '{other}' cannot be range of a comprehension (must be list, map, or dynamic)"
                );
                self.issues.report(fold.range.id, message);
                (Type::Error, Type::Error)
            }
        };
        let inner = self.scopes.len();
        self.scopes.push((fold.var.clone(), first));
        if let Some(name) = &fold.second {
            self.scopes.push((name.clone(), second));
        }
        self.check(&mut fold.condition);
        self.assert(fold.condition.id, &Type::Bool);
        self.check(&mut fold.step);
        self.assert(fold.step.id, &accumulated);
        self.scopes.truncate(inner);
        self.check(&mut fold.result);
        self.scopes.truncate(depth);
        self.substituted(fold.result.id)
    }

    fn assert(&mut self, id: Id, wanted: &Type) {
        let found = self.get(id);
        if !self.mapping.assignable(wanted, &found) {
            self.mismatch(id, wanted, &found);
        }
    }
}

fn literal_type(literal: &Literal) -> Type {
    match literal {
        Literal::Null => Type::Null,
        Literal::Bool(_) => Type::Bool,
        Literal::Int(_) => Type::Int,
        Literal::Uint(_) => Type::Uint,
        Literal::Double(_) => Type::Double,
        Literal::String(_) => Type::String,
        Literal::Bytes(_) => Type::Bytes,
    }
}
