//! Patterns in expressions.

use ::regex::Regex;

use super::super::value::{EvalError, Value};
use super::{Row, text, wrong};
use crate::pattern::compile;

pub(super) const TABLE: &[Row] = &[("matches", matches), ("find", find), ("findAll", find_all)];

type Out<'a> = Result<Value<'a>, EvalError>;

fn compiled(args: &[Value<'_>]) -> Result<Regex, EvalError> {
    match args.get(1) {
        Some(Value::String(pattern)) => compile(pattern).map_err(EvalError::new),
        _ => Err(EvalError::no_such_overload()),
    }
}

fn matches<'a>(args: &[Value<'a>]) -> Out<'a> {
    with_pattern("matches", &compiled(args)?, args)
}

fn find<'a>(args: &[Value<'a>]) -> Out<'a> {
    let pattern = compiled(args).map_err(|error| EvalError::new(format!("Illegal regex: {error}")))?;
    with_pattern("find", &pattern, args)
}

fn find_all<'a>(args: &[Value<'a>]) -> Out<'a> {
    let pattern = compiled(args).map_err(|error| EvalError::new(format!("Illegal regex: {error}")))?;
    with_pattern("findAll", &pattern, args)
}

/// One of the functions with a pattern that is compiled already.
///
/// # Errors
/// Arguments of other types.
pub(crate) fn with_pattern<'a>(function: &str, pattern: &Regex, args: &[Value<'a>]) -> Out<'a> {
    let Some(Value::String(own)) = args.first() else { return wrong() };
    match (function, args.get(2)) {
        ("matches", _) => Ok(Value::Bool(pattern.is_match(own))),
        ("find", _) => Ok(text(pattern.find(own).map_or("", |found| found.as_str()))),
        (_, most) => {
            let most = match most {
                Some(Value::Int(most)) => usize::try_from(*most).unwrap_or(usize::MAX),
                _ => usize::MAX,
            };
            Ok(Value::list(pattern.find_iter(own).take(most).map(|found| text(found.as_str())).collect()))
        }
    }
}
