//! What an expression costs at least and at most, before it has run.
//!
//! Source: cel-go `checker/cost.go` and `apiserver/pkg/cel/library/cost.go`. Custom resource definitions are refused
//! by these numbers, so they are upstream's, whatever one may think of them.

mod calls;
mod range;

use std::collections::HashMap;
use std::sync::Arc;

use super::ast::{Call, Comprehension, Expr, Id, Kind, Literal};
use super::check::Checked;
use super::cost;
use super::declared::{Decl, DeclKind};
use super::types::Type;

pub use range::CostRange;

/// How large something is: characters, bytes, elements, entries.
pub(super) type Size = CostRange;

/// Sizes of what a list or map holds.
#[derive(Debug, Clone, Copy)]
struct Entries {
    list: bool,
    key: Size,
    value: Size,
}

impl Entries {
    fn union(self, other: Entries) -> Entries {
        Entries { list: self.list, key: self.key.union(other.key), value: self.value.union(other.value) }
    }
}

/// Names of a way down from a variable, `@items`, `@keys` and `@values` standing for any.
type Path = Vec<Arc<str>>;

#[derive(Debug, Clone)]
struct Local {
    name: Arc<str>,
    path: Path,
    size: Option<Size>,
    entries: Option<Entries>,
}

struct Coster<'c> {
    checked: &'c Checked,
    decls: &'c HashMap<Arc<str>, Arc<Decl>>,
    paths: HashMap<Id, Path>,
    locals: Vec<Local>,
    sizes: HashMap<Id, Size>,
    entries: HashMap<Id, Entries>,
}

/// What a call is judged by.
struct Argument<'e> {
    expr: Option<&'e Expr>,
    ty: Type,
    path: Path,
    /// What is known from the expression itself.
    size: Option<Size>,
}

/// The range of costs of an expression over variables of these types.
pub(crate) fn cost(checked: &Checked, decls: &HashMap<Arc<str>, Arc<Decl>>) -> CostRange {
    let mut coster = Coster {
        checked,
        decls,
        paths: HashMap::new(),
        locals: Vec::new(),
        sizes: HashMap::new(),
        entries: HashMap::new(),
    };
    coster.cost(&checked.expr)
}

impl Coster<'_> {
    fn cost(&mut self, expr: &Expr) -> CostRange {
        match &expr.kind {
            Kind::Literal(_) => CostRange::fixed(0),
            Kind::Ident(name) => {
                let path = match self.local(name) {
                    Some(local) => local.path.clone(),
                    None => vec![name.strip_prefix('.').map_or_else(|| name.clone(), Arc::from)],
                };
                self.paths.insert(expr.id, path);
                CostRange::fixed(cost::LOOKUP)
            }
            Kind::Select { operand, field, test } => self.select(expr, operand, field, *test),
            Kind::Call(call) => self.call(expr, call),
            Kind::List(elements) => {
                let mut sum = CostRange::fixed(cost::LIST);
                let mut value = Size { min: if elements.is_empty() { 0 } else { u64::MAX }, max: 0 };
                for element in elements {
                    sum = sum.add(self.cost(&element.value));
                    value = value.union(self.size_or_unknown(&element.value));
                }
                self.entries.insert(expr.id, Entries { list: true, key: Size::fixed(1), value });
                sum
            }
            Kind::Map(entries) => {
                let mut sum = CostRange::fixed(cost::MAP);
                let least = if entries.is_empty() { 0 } else { u64::MAX };
                let (mut key, mut value) = (Size { min: least, max: 0 }, Size { min: least, max: 0 });
                for entry in entries {
                    sum = sum.add(self.cost(&entry.key)).add(self.cost(&entry.value));
                    key = key.union(self.size_or_unknown(&entry.key));
                    value = value.union(self.size_or_unknown(&entry.value));
                }
                self.entries.insert(expr.id, Entries { list: false, key, value });
                sum
            }
            Kind::Struct { fields, .. } => {
                fields.iter().fold(CostRange::fixed(cost::STRUCT), |sum, field| sum.add(self.cost(&field.value)))
            }
            Kind::Comprehension(fold) if is_binding(fold) => self.binding(expr, fold),
            Kind::Comprehension(fold) => self.fold(expr, fold),
        }
    }

    fn local(&self, name: &str) -> Option<&Local> {
        self.locals.iter().rev().find(|local| &*local.name == name)
    }

    fn select(&mut self, expr: &Expr, operand: &Expr, field: &Arc<str>, test: bool) -> CostRange {
        let sum = self.cost(operand);
        if test {
            return sum;
        }
        let counts = matches!(self.checked.ty(operand.id), Type::Map(..) | Type::Object(_) | Type::Var(_));
        let mut path = self.path(operand);
        path.push(field.clone());
        self.paths.insert(expr.id, path);
        if counts { sum.add(CostRange::fixed(cost::LOOKUP)) } else { sum }
    }

    fn path(&self, expr: &Expr) -> Path {
        if let Some(local) = expr.as_ident().and_then(|name| self.local(name)) {
            return local.path.clone();
        }
        self.paths.get(&expr.id).cloned().unwrap_or_else(Vec::new)
    }

    fn call(&mut self, expr: &Expr, call: &Call) -> CostRange {
        if &*call.function == "dyn"
            && let [arg] = &call.args[..]
        {
            let cost = self.cost(arg);
            self.copy_sizes(expr.id, arg);
            return cost.add(CostRange::fixed(1));
        }
        let (mut args, mut costs) = (Vec::new(), Vec::new());
        for arg in &call.args {
            costs.push(self.cost(arg));
            args.push(self.argument(arg));
        }
        let overloads = self.checked.overloads(expr.id);
        if overloads.is_empty() {
            return CostRange::fixed(0);
        }
        let mut sum = CostRange::fixed(0);
        let target = call.target.as_ref().map(|target| {
            sum = self.cost(target);
            self.argument(target)
        });
        let (mut own, mut size): (CostRange, Option<Size>) = (CostRange { min: u64::MAX, max: 0 }, None);
        for overload in overloads {
            let (cost, result) = self.function(expr, (&call.function, overload), target.as_ref(), (&args, &costs));
            own = own.union(cost);
            if let Some(result) = result {
                size = Some(size.map_or(result, |size| size.union(result)));
            }
            if matches!(*overload, "index_list" | "index_map") {
                size = self.entries_of(&call.args[0]).map(|entries| entries.value);
                let mut path = self.path(&call.args[0]);
                path.push(if *overload == "index_list" { "@items" } else { "@values" }.into());
                self.paths.insert(expr.id, path);
            }
            if size.is_none() {
                size = self.size(expr);
            }
        }
        if let Some(size) = size {
            self.sizes.insert(expr.id, size);
        }
        sum.add(own)
    }

    fn argument<'e>(&mut self, expr: &'e Expr) -> Argument<'e> {
        let mut path = self.path(expr);
        if path.first().is_some_and(|first| matches!(&**first, "@result" | "__result__")) {
            path.clear();
        }
        Argument { expr: Some(expr), ty: self.checked.ty(expr.id).clone(), path, size: self.size(expr) }
    }

    fn copy_sizes(&mut self, to: Id, from: &Expr) {
        if let Some(size) = self.size(from) {
            self.sizes.insert(to, size);
        }
        if let Some(entries) = self.entries_of(from) {
            self.entries.insert(to, entries);
        }
    }

    fn entries_of(&self, expr: &Expr) -> Option<Entries> {
        let local = || expr.as_ident().and_then(|name| self.local(name)).and_then(|local| local.entries);
        self.entries.get(&expr.id).copied().or_else(local)
    }

    fn size_or_unknown(&mut self, expr: &Expr) -> Size {
        self.size(expr).unwrap_or(Size::UNKNOWN)
    }

    fn size(&mut self, expr: &Expr) -> Option<Size> {
        if let Some(size) = self.sizes.get(&expr.id) {
            return Some(*size);
        }
        if let Some(size) = literal_size(expr) {
            return Some(size);
        }
        let path = self.path(expr);
        if let Some(size) = self.declared_size(&path) {
            self.sizes.insert(expr.id, size);
            return Some(size);
        }
        if is_scalar(self.checked.ty(expr.id)) {
            return Some(Size::fixed(1));
        }
        expr.as_ident().and_then(|name| self.local(name)).and_then(|local| local.size)
    }

    /// What the declared types say about a place.
    fn declared_size(&self, path: &[Arc<str>]) -> Option<Size> {
        let (first, rest) = path.split_first()?;
        let mut at: &Decl = self.decls.get(first)?;
        for name in rest {
            at = match (&at.kind, &**name) {
                (DeclKind::List { element, .. }, "@items") => element,
                (DeclKind::Map { value }, "@values") => value,
                // Keys have no limits of their own, which upstream takes for a size of zero.
                (DeclKind::Map { .. }, "@keys") if rest.last() == Some(name) => return Some(Size::fixed(0)),
                (DeclKind::Object { .. }, name) => &at.field(name)?.decl,
                _ => return None,
            };
        }
        Some(Size { min: 0, max: at.max.max(0) as u64 })
    }

    /// The local that a loop variable is.
    fn iterated(&self, name: &Arc<str>, range: &Expr, part: Part) -> Local {
        let entries = self.entries_of(range);
        let list = entries.map_or_else(|| matches!(self.checked.ty(range.id), Type::List(_)), |known| known.list);
        let key = match part {
            Part::Key => true,
            Part::Value => false,
            Part::Only => !list,
        };
        let name_of = match (key, list) {
            (true, true) => "@indices",
            (true, false) => "@keys",
            (false, true) => "@items",
            (false, false) => "@values",
        };
        let mut path = self.path(range);
        path.push(name_of.into());
        let size = entries.map(|entries| if key { entries.key } else { entries.value });
        Local { name: name.clone(), path, size, entries: None }
    }

    fn bound(&mut self, name: &Arc<str>, to: &Expr) -> Local {
        let (path, size) = (self.path(to), self.size(to));
        Local { name: name.clone(), path, size, entries: self.entries_of(to) }
    }

    fn fold(&mut self, expr: &Expr, fold: &Comprehension) -> CostRange {
        let mut sum = self.cost(&fold.range).add(self.cost(&fold.init));
        let depth = self.locals.len();
        let accumulator = self.bound(&fold.accumulator, &fold.init);
        self.locals.push(accumulator);
        let inner = self.locals.len();
        match &fold.second {
            Some(second) => {
                let mut key = self.iterated(&fold.var, &fold.range, Part::Key);
                let value = self.iterated(second, &fold.range, Part::Value);
                // Upstream's two paths share memory unless the path to the range fills it, so the key is sized as
                // the value is. What definitions are accepted depends on it.
                let range = key.path.len() - 1;
                if range > 0 && !range.is_power_of_two() {
                    key.path.clone_from(&value.path);
                }
                self.locals.extend([key, value]);
            }
            None => {
                let only = self.iterated(&fold.var, &fold.range, Part::Only);
                self.locals.push(only);
            }
        }
        let turn = self.cost(&fold.condition);
        let turn = self.cost(&fold.step).add(turn);
        self.locals.truncate(inner);
        sum = sum.add(self.cost(&fold.result));
        self.locals.truncate(depth);
        let turns = self.size_or_unknown(&fold.range);
        sum = sum.add(turns.multiply(turn));
        match &fold.init.kind {
            Kind::Literal(_) => {
                if let Some(size) = self.size(&fold.init) {
                    self.sizes.insert(expr.id, size);
                }
            }
            Kind::List(_) | Kind::Map(_) => {
                self.sizes.insert(expr.id, turns);
                if let Some(entries) = self.entries_of(&fold.step) {
                    self.entries.insert(expr.id, entries);
                }
            }
            _ => {}
        }
        sum
    }

    fn binding(&mut self, expr: &Expr, fold: &Comprehension) -> CostRange {
        let sum = self.cost(&fold.range).add(self.cost(&fold.init));
        let depth = self.locals.len();
        let local = self.bound(&fold.accumulator, &fold.init);
        self.locals.push(local);
        let sum = sum.add(self.cost(&fold.result));
        self.copy_sizes(expr.id, &fold.result);
        self.locals.truncate(depth);
        sum
    }
}

#[derive(Clone, Copy)]
enum Part {
    Key,
    Value,
    Only,
}

/// Whether a loop never runs and only names a value.
fn is_binding(fold: &Comprehension) -> bool {
    matches!(&fold.range.kind, Kind::List(elements) if elements.is_empty())
        && matches!(fold.condition.kind, Kind::Literal(Literal::Bool(false)))
}

fn literal_size(expr: &Expr) -> Option<Size> {
    let size = match &expr.kind {
        Kind::Literal(Literal::String(text)) => text.chars().count() as u64,
        Kind::Literal(Literal::Bytes(bytes)) => bytes.len() as u64,
        Kind::Literal(_) => 1,
        Kind::List(elements) => elements.len() as u64,
        Kind::Map(entries) => entries.len() as u64,
        _ => return None,
    };
    Some(Size::fixed(size))
}

fn is_scalar(ty: &Type) -> bool {
    match ty {
        Type::Bool | Type::Double | Type::Duration | Type::Int | Type::Timestamp | Type::Uint => true,
        other => other.optional_inner().is_some_and(is_scalar),
    }
}
