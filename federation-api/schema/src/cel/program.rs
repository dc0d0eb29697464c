//! A compiled expression: what it costs at most, and what it is.

use std::collections::HashMap;
use std::sync::Arc;

use super::check::Checked;
use super::declared::Decl;
use super::estimate::{self, CostRange};
use super::eval::{Bindings, Machine};
use super::plan::Node;
use super::types::Type;
use super::value::{EvalError, Value};

/// What a single evaluation may cost; upstream's number.
pub const PER_CALL_LIMIT: u64 = 1_000_000;

/// A compiled expression.
#[derive(Debug)]
pub struct Program {
    checked: Checked,
    node: Node,
    sizes: HashMap<Arc<str>, Arc<Decl>>,
}

/// What came of an evaluation, and what it cost.
#[derive(Debug)]
pub struct Evaluation<'a> {
    pub outcome: Result<Value<'a>, EvalError>,
    pub cost: u64,
}

impl Program {
    pub(crate) fn new(checked: Checked, node: Node, sizes: HashMap<Arc<str>, Arc<Decl>>) -> Self {
        Program { checked, node, sizes }
    }

    /// The type that the checker found.
    pub fn output(&self) -> &Type {
        self.checked.ty(self.checked.expr.id)
    }

    /// What it costs at least and at most, given the sizes of the declared variables.
    pub fn estimate(&self) -> CostRange {
        estimate::cost(&self.checked, &self.sizes)
    }

    /// Whether the expression refers to a variable.
    pub fn mentions(&self, variable: &str) -> bool {
        let mut found = false;
        self.checked.expr.walk(&mut |expr| {
            found |= expr.as_ident().is_some_and(|name| name.strip_prefix('.').unwrap_or(name) == variable);
        });
        found
    }

    /// Whether an optional value is used anywhere.
    pub fn uses_optionals(&self) -> bool {
        let mut found = false;
        self.checked.expr.walk(&mut |expr| found |= self.checked.ty(expr.id).optional_inner().is_some());
        found
    }

    /// Runs the expression; at most `budget` may be spent, and never more than `PER_CALL_LIMIT`.
    pub fn evaluate<'a>(&self, bindings: &dyn Bindings<'a>, budget: u64) -> Evaluation<'a> {
        let mut machine = Machine::new(bindings, budget.min(PER_CALL_LIMIT));
        let outcome = machine.eval(&self.node);
        Evaluation { outcome, cost: machine.cost() }
    }
}
