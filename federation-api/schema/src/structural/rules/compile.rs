//! Single rules: compile them, and say what they may cost.

use std::sync::Arc;

use crate::cel::{Decl, Env, MAX_REQUEST_BYTES, Program, Type};
use crate::crd::find_field;
use crate::structural::{Rule, Schema};

/// A rule, or why it is none.
#[derive(Debug)]
pub struct Compiled {
    pub rule: Rule,
    /// None where the rule is empty or an error stands beside.
    pub program: Option<Program>,
    pub error: Option<String>,
    pub message: Option<Program>,
    pub message_error: Option<String>,
    pub uses_old_self: bool,
    /// What an evaluation costs at most.
    pub max_cost: u64,
    pub message_max_cost: u64,
    /// How often at most the value can stand in a request.
    pub max_cardinality: u64,
    /// Normalized; empty for the value itself.
    pub field_path: String,
}

/// Compiles the rules of a node (not below) whose values have the type `decl`.
pub fn compile(schema: &Schema, decl: &Arc<Decl>) -> Vec<Compiled> {
    if schema.rules.is_empty() {
        return Vec::new();
    }
    let decl = Arc::new(Decl::clone(decl).named("selfType"));
    let base = Env::new().declared("self", &decl).sized_types(&decl);
    let plain = base.clone().declared("oldSelf", &decl);
    let optional = base.variable("oldSelf", Type::optional(decl.ty()));
    // At least a comma stands between two values.
    let max_cardinality = u64::try_from(MAX_REQUEST_BYTES / (decl.min_size + 1)).unwrap_or(0);
    let rules = schema.rules.iter().map(|rule| {
        let env = if rule.optional_old_self == Some(true) { &optional } else { &plain };
        let mut compiled = Compiled { max_cardinality, ..Compiled::empty(rule) };
        compiled.compile(env, schema);
        compiled
    });
    rules.collect()
}

impl Compiled {
    fn empty(rule: &Rule) -> Self {
        Self {
            rule: rule.clone(),
            program: None,
            error: None,
            message: None,
            message_error: None,
            uses_old_self: false,
            max_cost: 0,
            message_max_cost: 0,
            max_cardinality: 0,
            field_path: String::new(),
        }
    }

    /// A rule of a value that expressions cannot see.
    pub(super) fn without_type(rule: &Rule) -> Self {
        let error = "failed to convert to declType for CEL validation rules".to_owned();
        Self { error: Some(error), ..Self::empty(rule) }
    }

    fn compile(&mut self, env: &Env, schema: &Schema) {
        if self.rule.rule.trim().is_empty() {
            return;
        }
        let program = match program(env, &self.rule.rule, &Type::Bool) {
            Ok(program) => program,
            Err(Refusal::Type) => return self.error = Some("cel expression must evaluate to a bool".to_owned()),
            Err(Refusal::Compile(error)) => return self.error = Some(format!("compilation failed: {error}")),
            Err(Refusal::Plan(error)) => return self.error = Some(error),
        };
        self.uses_old_self = program.mentions("oldSelf");
        self.max_cost = program.estimate().max;
        self.program = Some(program);
        if !self.rule.message_expression.is_empty() {
            self.compile_message(env);
            if self.message_error.is_some() {
                return;
            }
        }
        if let Ok(found) = find_field(&self.rule.field_path, schema, true) {
            self.field_path = found.path();
        }
    }

    fn compile_message(&mut self, env: &Env) {
        match program(env, &self.rule.message_expression, &Type::String) {
            Ok(program) => {
                self.message_max_cost = program.estimate().max;
                self.message = Some(program);
            }
            Err(Refusal::Type) => {
                self.message_error = Some("messageExpression must evaluate to a string".to_owned());
            }
            Err(Refusal::Compile(error)) => {
                self.message_error = Some(format!("messageExpression compilation failed: {error}"));
            }
            Err(Refusal::Plan(error)) => {
                let error = error.strip_prefix("program ").unwrap_or(&error);
                self.message_error = Some(format!("messageExpression {error}"));
            }
        }
    }

    /// How the rule is called in complaints about it.
    pub(super) fn name(&self) -> &str {
        let message = &self.rule.message;
        if message.is_empty() { self.rule.rule.trim() } else { message.trim() }
    }
}

enum Refusal {
    Compile(String),
    Plan(String),
    Type,
}

fn program(env: &Env, source: &str, output: &Type) -> Result<Program, Refusal> {
    let program = env.compile(source).map_err(|error| {
        let text = error.to_string();
        if text.starts_with("program instantiation failed") { Refusal::Plan(text) } else { Refusal::Compile(text) }
    })?;
    if program.output() == output { Ok(program) } else { Err(Refusal::Type) }
}
