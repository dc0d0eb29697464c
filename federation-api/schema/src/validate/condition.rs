//! Conditions of webhooks: expressions that say which requests they are for.
//!
//! What they may refer to is here for both, the judgement at a write and the evaluation at a request.
//! Source: k8s.io/kubernetes `pkg/apis/admissionregistration/validation/validation.go`.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use serde_json::Value;

use super::read::{invalid, list, text};
use crate::cel::{Env, Program, Type};
use crate::field::{FieldError, FieldPath, format};

/// Conditions of one webhook.
const MAX_CONDITIONS: usize = 64;

/// `object`, `oldObject` and `request`, and whom to ask about rights.
static ENV: LazyLock<Env> = LazyLock::new(|| {
    let variables = ["object", "oldObject", "request"];
    let env = variables.iter().fold(Env::new(), |env, name| env.variable(name, Type::Dyn));
    env.variable("authorizer", Type::object("kubernetes.authorization.Authorizer"))
        .variable("authorizer.requestResource", Type::object("kubernetes.authorization.ResourceCheck"))
});

/// Compiles a condition.
///
/// # Errors
/// Upstream's text.
pub fn compile_condition(expression: &str) -> Result<Program, String> {
    let program = ENV.compile(expression.trim()).map_err(|error| format!("compilation failed: {error}"))?;
    match program.output() {
        Type::Bool | Type::Dyn => Ok(program),
        _ => Err("must evaluate to bool".to_owned()),
    }
}

pub(super) fn check(webhook: &Value, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    let conditions = list(webhook, "matchConditions");
    if conditions.len() > MAX_CONDITIONS {
        errors.push(FieldError::too_many(path, conditions.len(), MAX_CONDITIONS));
        return;
    }
    let mut names = BTreeSet::new();
    for (i, condition) in conditions.iter().enumerate() {
        let path = path.index(i);
        let (name, expression) = (text(condition, "name"), text(condition, "expression"));
        let at_expression = path.child("expression");
        if expression.trim().is_empty() {
            errors.push(FieldError::required(&at_expression, ""));
        } else if let Err(detail) = compile_condition(expression) {
            errors.push(FieldError::invalid(&at_expression, expression.trim(), detail));
        }
        if name.is_empty() {
            errors.push(FieldError::required(&path.child("name"), ""));
        } else {
            invalid(errors, &path.child("name"), name, format::label_key(name));
            if !names.insert(name) {
                errors.push(FieldError::duplicate(&path.child("name"), name));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::compile_condition;

    /// Protocol: A4
    #[test]
    fn conditions_are_compiled() {
        for (expression, want) in [
            ("object.metadata.name == 'x' && request.resource.group == ''", ""),
            ("!has(object.spec)", ""),
            ("authorizer.requestResource.check('delete').allowed()", ""),
            ("... [}", "compilation failed: ERROR"),
            ("1 + 2", "must evaluate to bool"),
            ("params.x", "compilation failed: ERROR"),
        ] {
            let told = compile_condition(expression).err().unwrap_or_default();
            assert!(told.starts_with(want) && told.is_empty() == want.is_empty(), "{expression}: {told}");
        }
    }
}
