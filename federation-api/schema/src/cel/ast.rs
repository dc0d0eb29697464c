//! The parsed expression: what the parser makes, the checker annotates and the planner consumes.
//!
//! Every node has a number; positions, types and chosen overloads are kept beside the tree, by that number.

use std::sync::Arc;

/// The number of a node within its expression; 0 is no node.
pub type Id = u32;

/// One node.
#[derive(Debug, Clone)]
pub struct Expr {
    pub id: Id,
    pub kind: Kind,
}

/// What a node is.
#[derive(Debug, Clone)]
pub enum Kind {
    Literal(Literal),
    Ident(Arc<str>),
    /// `operand.field`; with `test` it is `has(operand.field)`.
    Select {
        operand: Box<Expr>,
        field: Arc<str>,
        test: bool,
    },
    Call(Box<Call>),
    List(Vec<Element>),
    Map(Vec<Entry>),
    Struct {
        name: Arc<str>,
        fields: Vec<Field>,
    },
    Comprehension(Box<Comprehension>),
}

/// A constant as it was written.
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    String(Arc<str>),
    Bytes(Arc<[u8]>),
}

/// `target.function(args)` or `function(args)`; operators are functions with names like `_+_`.
#[derive(Debug, Clone)]
pub struct Call {
    pub function: Arc<str>,
    pub target: Option<Expr>,
    pub args: Vec<Expr>,
}

/// One element of a list; an optional one is left out where it has no value.
#[derive(Debug, Clone)]
pub struct Element {
    pub value: Expr,
    pub optional: bool,
}

/// One entry of a map.
#[derive(Debug, Clone)]
pub struct Entry {
    pub key: Expr,
    pub value: Expr,
    pub optional: bool,
}

/// One field of an object that is made.
#[derive(Debug, Clone)]
pub struct Field {
    pub id: Id,
    pub name: Arc<str>,
    pub value: Expr,
    pub optional: bool,
}

/// What all loops expand to.
#[derive(Debug, Clone)]
pub struct Comprehension {
    pub range: Expr,
    pub var: Arc<str>,
    pub second: Option<Arc<str>>,
    pub accumulator: Arc<str>,
    pub init: Expr,
    pub condition: Expr,
    pub step: Expr,
    pub result: Expr,
}

impl Expr {
    /// The text of a string literal.
    pub fn as_string(&self) -> Option<&str> {
        match &self.kind {
            Kind::Literal(Literal::String(text)) => Some(text),
            _ => None,
        }
    }

    /// The name, where the node is nothing but a name.
    pub fn as_ident(&self) -> Option<&Arc<str>> {
        match &self.kind {
            Kind::Ident(name) => Some(name),
            _ => None,
        }
    }

    /// `a.b.c` as one name, where the node is nothing but names and dots.
    pub fn qualified_name(&self) -> Option<String> {
        match &self.kind {
            Kind::Ident(name) => Some(name.to_string()),
            Kind::Select { operand, field, test: false } => {
                let mut name = operand.qualified_name()?;
                name.push('.');
                name.push_str(field);
                Some(name)
            }
            _ => None,
        }
    }

    /// Calls `visit` for this node and all below it.
    pub fn walk<'e>(&'e self, visit: &mut dyn FnMut(&'e Expr)) {
        visit(self);
        match &self.kind {
            Kind::Literal(_) | Kind::Ident(_) => {}
            Kind::Select { operand, .. } => operand.walk(visit),
            Kind::Call(call) => {
                call.target.iter().for_each(|target| target.walk(visit));
                call.args.iter().for_each(|arg| arg.walk(visit));
            }
            Kind::List(elements) => elements.iter().for_each(|element| element.value.walk(visit)),
            Kind::Map(entries) => {
                for entry in entries {
                    entry.key.walk(visit);
                    entry.value.walk(visit);
                }
            }
            Kind::Struct { fields, .. } => fields.iter().for_each(|field| field.value.walk(visit)),
            Kind::Comprehension(fold) => {
                for part in [&fold.range, &fold.init, &fold.condition, &fold.step, &fold.result] {
                    part.walk(visit);
                }
            }
        }
    }
}
