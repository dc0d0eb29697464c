//! A checked tree as steps to run: names become places, constants are computed, functions are found.
//!
//! What is folded here costs nothing at run time, exactly where upstream's planner folds it too.

use std::sync::Arc;

use regex::Regex;

use super::ast::{Call, Comprehension, Expr, Kind, Literal};
use super::check::Checked;
use super::eval;
use super::library::{self, Function};
use super::value::{EvalError, List, Value};
use crate::pattern;

/// One step.
#[derive(Debug)]
pub(crate) enum Node {
    Const(Value<'static>),
    Attr(Box<Attr>),
    Call(Box<CallNode>),
    And(Box<[Node; 2]>),
    Or(Box<[Node; 2]>),
    NotStrictlyFalse(Box<Node>),
    /// `x in [constants]`.
    Member(Box<Node>, Value<'static>),
    /// `a.or(b)`, and with `true` `a.orValue(b)`.
    OptionalOr(Box<[Node; 2]>, bool),
    List(Vec<(Node, bool)>),
    Map(Vec<(Node, Node, bool)>),
    Struct(Arc<str>, Vec<(Arc<str>, Node, bool)>),
    Fold(Box<Fold>),
    /// `accumulator + […]` and `cel.@mapInsert(accumulator, …)`, done in place.
    Append(usize, Box<Node>),
    Insert(usize, Vec<Node>),
}

/// A value and the way down into it.
#[derive(Debug)]
pub(crate) struct Attr {
    pub(crate) base: Base,
    pub(crate) path: Vec<Step>,
}

/// Where an attribute starts.
#[derive(Debug)]
pub(crate) enum Base {
    Global(Arc<str>),
    Local(usize),
    Value(Node),
    Ternary(Box<[Node; 3]>),
}

/// One step down.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) key: StepKey,
    pub(crate) optional: bool,
    pub(crate) test: bool,
}

#[derive(Debug)]
pub(crate) enum StepKey {
    Const(Value<'static>),
    Computed(Node),
}

/// A call of a function of the library.
#[derive(Debug)]
pub(crate) struct CallNode {
    pub(crate) name: &'static str,
    /// Set where only one fits.
    pub(crate) overload: Option<&'static str>,
    pub(crate) run: Function,
    pub(crate) args: Vec<Node>,
    /// A constant pattern, compiled.
    pub(crate) pattern: Option<Regex>,
}

/// A loop.
#[derive(Debug)]
pub(crate) struct Fold {
    pub(crate) range: Node,
    pub(crate) two: bool,
    pub(crate) init: Node,
    pub(crate) condition: Node,
    pub(crate) step: Node,
    pub(crate) result: Node,
}

struct Planner<'c> {
    checked: &'c Checked,
    scopes: Vec<Arc<str>>,
}

type Planned = Result<Node, EvalError>;

const CONVERSIONS: &[&str] =
    &["bool", "bytes", "double", "duration", "dyn", "int", "string", "timestamp", "type", "uint"];

/// The steps of a tree.
///
/// # Errors
/// A constant that cannot be computed.
pub(crate) fn plan(checked: &Checked) -> Planned {
    Planner { checked, scopes: Vec::new() }.node(&checked.expr)
}

impl Planner<'_> {
    fn node(&mut self, expr: &Expr) -> Planned {
        Ok(match &expr.kind {
            Kind::Literal(literal) => Node::Const(constant(literal)),
            Kind::Ident(name) => self.ident(expr, name),
            Kind::Select { operand, field, test } => {
                let operand = self.node(operand)?;
                let key = StepKey::Const(Value::shared(field.clone()));
                descend(operand, Step { key, optional: false, test: *test })
            }
            Kind::Call(call) => self.call(expr, call)?,
            Kind::List(elements) => {
                let mut nodes = Vec::with_capacity(elements.len());
                for element in elements {
                    nodes.push((self.node(&element.value)?, element.optional));
                }
                list(nodes)
            }
            Kind::Map(entries) => {
                let mut nodes = Vec::with_capacity(entries.len());
                for entry in entries {
                    nodes.push((self.node(&entry.key)?, self.node(&entry.value)?, entry.optional));
                }
                map(nodes)?
            }
            Kind::Struct { name, fields } => {
                let mut nodes = Vec::with_capacity(fields.len());
                for field in fields {
                    nodes.push((self.checked.json_name(field), self.node(&field.value)?, field.optional));
                }
                Node::Struct(name.strip_prefix('.').unwrap_or(name).into(), nodes)
            }
            Kind::Comprehension(fold) => self.fold(fold)?,
        })
    }

    fn slot(&self, name: &str) -> Option<usize> {
        self.scopes.iter().rposition(|own| &**own == name)
    }

    fn ident(&self, expr: &Expr, name: &Arc<str>) -> Node {
        if let Some(ty) = self.checked.type_name(expr.id) {
            return Node::Const(Value::Type(ty.clone()));
        }
        let base = match self.slot(name) {
            Some(slot) => Base::Local(slot),
            None => Base::Global(name.strip_prefix('.').unwrap_or(name).into()),
        };
        Node::Attr(Box::new(Attr { base, path: Vec::new() }))
    }

    fn call(&mut self, expr: &Expr, call: &Call) -> Planned {
        let mut args = Vec::with_capacity(call.args.len() + 1);
        for arg in call.target.iter().chain(&call.args) {
            args.push(self.node(arg)?);
        }
        let overloads = self.checked.overloads(expr.id);
        let overload = if let [only] = overloads { Some(*only) } else { None };
        match (&*call.function, args.len()) {
            ("_&&_", 2) => return Ok(Node::And(pair(args))),
            ("_||_", 2) => return Ok(Node::Or(pair(args))),
            ("_?_:_", 3) => {
                let parts: Box<[Node; 3]> = Box::new(args.try_into().expect("there are three"));
                return Ok(Node::Attr(Box::new(Attr { base: Base::Ternary(parts), path: Vec::new() })));
            }
            ("_[_]" | "_[?_]" | "_?._", 2) => return Ok(index(args, &*call.function != "_[_]")),
            ("@not_strictly_false", 1) => {
                return Ok(Node::NotStrictlyFalse(Box::new(args.pop().expect("there is one"))));
            }
            ("or" | "orValue", 2) => return Ok(Node::OptionalOr(pair(args), &*call.function == "orValue")),
            ("@in", 2) if overload == Some("in_list") => {
                if let Some(member) = membership(&mut args) {
                    return Ok(member);
                }
            }
            ("_+_", 2) if self.is_accumulator(call, 0) && matches!(args[1], Node::List(_)) => {
                let Node::Attr(accumulator) = &args[0] else { unreachable!("accumulators are attributes") };
                let Base::Local(slot) = accumulator.base else { unreachable!("accumulators are local") };
                return Ok(Node::Append(slot, Box::new(args.pop().expect("there are two"))));
            }
            ("cel.@mapInsert", 2 | 3) => {
                if let Node::Attr(accumulator) = &args[0]
                    && let Base::Local(slot) = accumulator.base
                {
                    args.remove(0);
                    return Ok(Node::Insert(slot, args));
                }
            }
            _ => {}
        }
        self.library(call, overload, args)
    }

    fn is_accumulator(&self, call: &Call, arg: usize) -> bool {
        let name = call.args.get(arg).and_then(Expr::as_ident);
        name.is_some_and(|name| &**name == super::macros::ACCUMULATOR && self.slot(name).is_some())
    }

    fn library(&self, call: &Call, overload: Option<&'static str>, args: Vec<Node>) -> Planned {
        let Some((name, run)) = library::find(&call.function) else {
            return Err(EvalError::new(format!("no such overload: {}", call.function)));
        };
        let mut node = CallNode { name, overload, run, args, pattern: None };
        if let ("matches" | "find" | "findAll", Some(Node::Const(Value::String(text)))) = (name, node.args.get(1)) {
            node.pattern = Some(pattern::compile(text).map_err(EvalError::new)?);
        }
        if CONVERSIONS.contains(&name)
            && let [Node::Const(value)] = &node.args[..]
        {
            return library::call(run, std::slice::from_ref(value)).map(Node::Const);
        }
        Ok(Node::Call(Box::new(node)))
    }

    fn fold(&mut self, fold: &Comprehension) -> Planned {
        let range = self.node(&fold.range)?;
        let init = self.node(&fold.init)?;
        let outside = self.scopes.len();
        self.scopes.push(fold.accumulator.clone());
        let inside = self.scopes.len();
        self.scopes.push(fold.var.clone());
        self.scopes.extend(fold.second.clone());
        let condition = self.node(&fold.condition)?;
        let step = self.node(&fold.step)?;
        self.scopes.truncate(inside);
        let result = self.node(&fold.result)?;
        self.scopes.truncate(outside);
        Ok(Node::Fold(Box::new(Fold { range, two: fold.second.is_some(), init, condition, step, result })))
    }
}

fn pair(args: Vec<Node>) -> Box<[Node; 2]> {
    Box::new(args.try_into().expect("there are two"))
}

fn constant(literal: &Literal) -> Value<'static> {
    match literal {
        Literal::Null => Value::Null,
        Literal::Bool(value) => Value::Bool(*value),
        Literal::Int(value) => Value::Int(*value),
        Literal::Uint(value) => Value::Uint(*value),
        Literal::Double(value) => Value::Double(*value),
        Literal::String(text) => Value::shared(text.clone()),
        Literal::Bytes(bytes) => Value::Bytes(bytes.clone()),
    }
}

/// An operand with one more step down.
fn descend(operand: Node, step: Step) -> Node {
    match operand {
        Node::Attr(mut attr) if !attr.path.iter().any(|step| step.test) => {
            attr.path.push(step);
            Node::Attr(attr)
        }
        other => Node::Attr(Box::new(Attr { base: Base::Value(other), path: vec![step] })),
    }
}

fn index(mut args: Vec<Node>, optional: bool) -> Node {
    let key = match args.pop().expect("there are two") {
        Node::Const(value) => StepKey::Const(value),
        computed => StepKey::Computed(computed),
    };
    descend(args.pop().expect("there are two"), Step { key, optional, test: false })
}

/// A list of nothing but constants is one.
fn list(nodes: Vec<(Node, bool)>) -> Node {
    if !nodes.iter().all(|(node, optional)| matches!(node, Node::Const(_)) && !optional) {
        return Node::List(nodes);
    }
    let values = nodes.into_iter().filter_map(|(node, _)| match node {
        Node::Const(value) => Some(value),
        _ => None,
    });
    Node::Const(Value::list(values.collect()))
}

/// A map of nothing but constants is one.
fn map(nodes: Vec<(Node, Node, bool)>) -> Planned {
    let constant = |node: &Node| matches!(node, Node::Const(_));
    if !nodes.iter().all(|(key, value, optional)| constant(key) && constant(value) && !optional) {
        return Ok(Node::Map(nodes));
    }
    let entries = nodes.into_iter().filter_map(|(key, value, _)| match (key, value) {
        (Node::Const(key), Node::Const(value)) => Some((key, value)),
        _ => None,
    });
    eval::make_map(entries.collect()).map(Node::Const)
}

/// A test against a list of constants, which costs nothing but its left side.
fn membership(args: &mut Vec<Node>) -> Option<Node> {
    let Some(Node::Const(Value::List(List::Owned(items)))) = args.get(1) else { return None };
    if items.is_empty() {
        return Some(Node::Const(Value::Bool(false)));
    }
    let primitive = |value: &Value<'_>| {
        matches!(value, Value::Bool(_) | Value::Int(_) | Value::Uint(_) | Value::Double(_) | Value::String(_))
    };
    if !items.iter().all(primitive) {
        return None;
    }
    match (args.pop(), args.pop()) {
        (Some(Node::Const(list)), Some(left)) => Some(Node::Member(Box::new(left), list)),
        _ => None,
    }
}
