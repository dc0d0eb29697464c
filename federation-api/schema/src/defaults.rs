//! The values that an API server fills in where the user said nothing, and the way to take them out again.
//! What the hub invented never travels to a member: members default for themselves. Pure.

mod amounts;
mod follow;
mod pod;
mod printed;
mod status;
mod table;

use std::collections::HashMap;
use std::sync::LazyLock;

use base64::Engine as _;
use federation_types::label;
use serde_json::{Map, Value};

use crate::facts::{Facts, Shape, TypeId, kubernetes};
use printed::Printed;
pub use status::set_status;
use table::{RULES, Rule, Set, When};

/// Nesting below which nothing is filled in; decoding bounds it as well.
const MAX_DEPTH: usize = 128;

/// The rules by type, what is printed anyway, and which types lead to a type that has some.
struct Plan {
    rules: HashMap<TypeId, Vec<&'static Rule>>,
    printed: Printed,
    leads: HashMap<TypeId, bool>,
}

/// Sets what is absent or null in an object of a built-in kind.
pub fn set_defaults(object: &mut Value) {
    if let Some(ty) = type_of(object) {
        fill(kubernetes(), &PLAN, (ty, object), MAX_DEPTH);
    }
    amounts::set(object);
}

/// Takes out every value that equals what would be filled in, and objects that are empty for it.
///
/// Where what is left would be filled in otherwise, everything stays: some defaults depend on what the user left out.
pub fn strip_defaults(object: &mut Value) {
    let Some(ty) = type_of(object) else { return };
    pod::strip(object);
    let mut bare = object.clone();
    empty(kubernetes(), &PLAN, (ty, &mut bare), MAX_DEPTH);
    let (mut again, mut whole) = (bare.clone(), object.clone());
    fill(kubernetes(), &PLAN, (ty, &mut again), MAX_DEPTH);
    fill(kubernetes(), &PLAN, (ty, &mut whole), MAX_DEPTH);
    if again == whole {
        *object = bare;
    }
    amounts::strip(object);
}

/// Puts a Secret's `stringData` into its `data`, as upstream's conversion does on every write.
pub fn fold_string_data(object: &mut Value) {
    let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or("");
    if text("apiVersion") != "v1" || text("kind") != "Secret" {
        return;
    }
    let Some(map) = object.as_object_mut() else { return };
    let Some(Value::Object(strings)) = map.remove("stringData") else { return };
    if strings.is_empty() {
        return;
    }
    let data = map.entry("data").or_insert_with(|| Value::Object(Map::new()));
    let Some(data) = data.as_object_mut() else { return };
    for (name, value) in strings {
        let bytes = value.as_str().unwrap_or("");
        data.insert(name, Value::from(base64::engine::general_purpose::STANDARD.encode(bytes)));
    }
}

static PLAN: LazyLock<Plan> = LazyLock::new(|| Plan::new(kubernetes()));

impl Plan {
    fn new(facts: &Facts) -> Self {
        let mut by_name: HashMap<String, Vec<&'static Rule>> = HashMap::new();
        for rule in RULES {
            by_name.entry(rule.type_name()).or_default().push(rule);
        }
        let named = facts.types().filter_map(|(id, ty)| Some((id, by_name.get(ty.published_name())?.clone())));
        let mut plan = Self { rules: named.collect(), printed: printed::printed(facts), leads: HashMap::new() };
        for resource in facts.resources() {
            plan.explore(facts, resource.ty, &mut Vec::new());
        }
        plan
    }

    /// Whether a type or one below it has rules. A type that is being explored adds nothing to itself.
    fn explore(&mut self, facts: &Facts, ty: TypeId, open: &mut Vec<TypeId>) -> bool {
        if let Some(known) = self.leads.get(&ty) {
            return *known;
        }
        if open.contains(&ty) {
            return false;
        }
        open.push(ty);
        let mut leads = self.rules.contains_key(&ty) || self.printed.contains_key(&ty);
        match facts.shape(ty) {
            Shape::Struct(of) => {
                for field in &of.fields {
                    leads |= self.explore(facts, field.ty, open);
                }
            }
            Shape::List(list) => leads |= self.explore(facts, list.item, open),
            Shape::Map { value, .. } => leads |= self.explore(facts, *value, open),
            _ => {}
        }
        open.pop();
        self.leads.insert(ty, leads);
        leads
    }

    fn leads(&self, ty: TypeId) -> bool {
        self.leads.get(&ty).copied().unwrap_or(false)
    }

    /// Puts in what is printed though it is empty.
    fn print(&self, ty: TypeId, map: &mut Map<String, Value>) {
        for (name, zero) in self.printed.get(&ty).into_iter().flatten() {
            match map.get_mut(name) {
                None => {
                    map.insert(name.clone(), zero.clone());
                }
                Some(there) if there.is_null() => *there = zero.clone(),
                Some(_) => {}
            }
        }
    }

    /// Takes out what is printed anyway; a specification stays.
    fn unprint(&self, ty: TypeId, map: &mut Map<String, Value>) {
        for (name, zero) in self.printed.get(&ty).into_iter().flatten() {
            if name != "spec" && map.get(name) == Some(zero) {
                map.remove(name);
            }
        }
    }

    fn rules(&self, ty: TypeId) -> &[&'static Rule] {
        self.rules.get(&ty).map_or(&[], Vec::as_slice)
    }
}

/// The type of an object of Kubernetes; our own kinds say what they say.
fn type_of(object: &Value) -> Option<TypeId> {
    let text = |name: &str| object.get(name).and_then(Value::as_str);
    let (version, kind) = (text("apiVersion")?, text("kind")?);
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    if group == label::GROUP {
        return None;
    }
    kubernetes().by_kind(group, version, kind).map(|resource| resource.ty)
}

/// From the outside in: what a type fills in may be filled further below.
fn fill(facts: &Facts, plan: &Plan, (ty, value): (TypeId, &mut Value), depth: usize) {
    if depth == 0 || !plan.leads(ty) {
        return;
    }
    if let Value::Object(map) = value {
        for rule in plan.rules(ty) {
            rule.set(map);
        }
        plan.print(ty, map);
    }
    below(facts, ty, value, &mut |ty, value| fill(facts, plan, (ty, value), depth - 1));
}

/// From the inside out, and the last rule first, so that conditions see what they saw.
fn empty(facts: &Facts, plan: &Plan, (ty, value): (TypeId, &mut Value), depth: usize) {
    if depth == 0 || !plan.leads(ty) {
        return;
    }
    below(facts, ty, value, &mut |ty, value| empty(facts, plan, (ty, value), depth - 1));
    if let Value::Object(map) = value {
        plan.unprint(ty, map);
        for rule in plan.rules(ty).iter().rev() {
            rule.strip(map);
        }
    }
}

fn below(facts: &Facts, ty: TypeId, value: &mut Value, visit: &mut dyn FnMut(TypeId, &mut Value)) {
    match (facts.shape(ty), value) {
        (Shape::Struct(of), Value::Object(map)) => {
            for (name, value) in map.iter_mut() {
                if let Some(field) = of.field(name) {
                    visit(field.ty, value);
                }
            }
        }
        (Shape::List(list), Value::Array(items)) => items.iter_mut().for_each(|item| visit(list.item, item)),
        (Shape::Map { value: of, .. }, Value::Object(map)) => map.values_mut().for_each(|value| visit(*of, value)),
        _ => {}
    }
}

impl Rule {
    fn type_name(&self) -> String {
        let package = if self.ty.contains(".pkg.") { "io.k8s" } else { "io.k8s.api" };
        format!("{package}.{}", self.ty)
    }

    /// What is filled in beside these fields; none where the rule is not for them.
    fn value(&self, map: &Map<String, Value>) -> Option<Value> {
        let holds = match self.when {
            When::Always => true,
            When::Is(path, wanted) => lookup(map, path).and_then(Value::as_str).unwrap_or("") == wanted,
            When::Has(path) => lookup(map, path).is_some(),
            When::Lacks(path) => lookup(map, path).is_none(),
        };
        match self.value {
            _ if !holds => None,
            Set::Int(number) => Some(number.into()),
            Set::Bool(flag) => Some(flag.into()),
            Set::Text(text) => Some(text.into()),
            Set::Json(text) => Some(serde_json::from_str(text).expect("the table's JSON is tested to parse")),
            Set::SameAs(path) => lookup(map, path).cloned(),
            Set::Follows(value) => value(map),
        }
    }

    fn set(&self, map: &mut Map<String, Value>) {
        if lookup(map, self.path).is_none_or(|there| self.fills_empty(there))
            && let Some(value) = self.value(map)
        {
            put(map, self.path, value);
        }
    }

    /// Where Go cannot tell empty from none, or does not want to.
    fn fills_empty(&self, there: &Value) -> bool {
        match (there, self.value) {
            (Value::String(there), Set::Text(text)) => there.is_empty() && !text.is_empty(),
            (Value::String(there), Set::SameAs(_) | Set::Follows(_)) => there.is_empty(),
            (Value::Array(there), Set::Json(_) | Set::Follows(_)) => there.is_empty(),
            (Value::Object(there), Set::SameAs(_)) => there.is_empty(),
            (Value::Number(there), Set::SameAs(_)) => there.as_i64() == Some(0),
            _ => false,
        }
    }

    fn strip(&self, map: &mut Map<String, Value>) {
        if self.stays {
            return;
        }
        let Some(there) = lookup(map, self.path).cloned() else { return };
        let mut without = map.clone();
        take(&mut without, self.path);
        if self.value(&without).or_else(|| self.value(map)).is_some_and(|invented| invented == there) {
            *map = without;
        }
    }
}

fn lookup<'v>(map: &'v Map<String, Value>, path: &str) -> Option<&'v Value> {
    let mut names = path.split('.');
    let first = map.get(names.next()?)?;
    names.try_fold(first, |at, name| at.get(name)).filter(|value| !value.is_null())
}

fn put(map: &mut Map<String, Value>, path: &str, value: Value) {
    let Some((head, rest)) = path.split_once('.') else {
        map.insert(path.to_owned(), value);
        return;
    };
    let below = map.entry(head).or_insert_with(|| Value::Object(Map::new()));
    if below.is_null() {
        *below = Value::Object(Map::new());
    }
    if let Value::Object(below) = below {
        put(below, rest, value);
    }
}

/// Removes what the path names, and what is empty for it; a specification stays.
fn take(map: &mut Map<String, Value>, path: &str) {
    let Some((head, rest)) = path.split_once('.') else {
        map.remove(path);
        return;
    };
    let Some(below) = map.get_mut(head).and_then(Value::as_object_mut) else { return };
    take(below, rest);
    if below.is_empty() && head != "spec" {
        map.remove(head);
    }
}

#[cfg(test)]
mod tests;
