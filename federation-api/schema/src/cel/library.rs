//! The functions: one entry a name, whatever the types of the arguments; they know neither costs nor overloads.

mod arithmetic;
mod convert;
pub(crate) mod format;
mod lists;
mod net;
mod optional;
mod quantity;
pub(crate) mod regex;
pub(crate) mod semver;
mod strings;
mod text_format;
mod time;
pub(crate) mod url;

use std::collections::HashMap;
use std::sync::LazyLock;

use super::value::{EvalError, Value};

/// What a function does with its arguments, a target being the first of them.
pub(crate) type Function = for<'v, 'a> fn(&'v [Value<'a>]) -> Result<Value<'a>, EvalError>;

/// A row of a table of functions.
type Row = (&'static str, Function);

/// A function by its name.
pub(crate) fn find(name: &str) -> Option<(&'static str, Function)> {
    static TABLE: LazyLock<HashMap<&'static str, Function>> = LazyLock::new(|| {
        let tables = [
            arithmetic::TABLE,
            convert::TABLE,
            format::TABLE,
            lists::TABLE,
            net::TABLE,
            optional::TABLE,
            quantity::TABLE,
            regex::TABLE,
            semver::TABLE,
            strings::TABLE,
            time::TABLE,
            url::TABLE,
        ];
        tables.into_iter().flatten().copied().collect()
    });
    let name = name.strip_prefix('.').unwrap_or(name);
    TABLE.get_key_value(name).map(|(name, function)| (*name, *function))
}

/// Runs a function.
///
/// # Errors
/// What the function complains about.
pub(crate) fn call<'a>(function: Function, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    function(args)
}

fn wrong<'a>() -> Result<Value<'a>, EvalError> {
    Err(EvalError::no_such_overload())
}

fn text(text: impl Into<String>) -> Value<'static> {
    Value::from(text.into())
}
