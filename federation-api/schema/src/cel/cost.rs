//! What a call costs once it has run.
//!
//! Source: cel-go `interpreter/runtimecost.go`, its `ext`, and `apiserver/pkg/cel/library/cost.go`. Clients can see
//! these numbers as expressions that are cancelled or not, so they are upstream's.

use super::value::Value;

pub(crate) const LOOKUP: u64 = 1;
pub(crate) const LIST: u64 = 10;
pub(crate) const MAP: u64 = 30;
pub(crate) const STRUCT: u64 = 40;
/// Of a character that is looked at.
pub(crate) const TRAVERSAL: f64 = 0.1;
/// Of a character of a pattern, per unit of the text.
pub(crate) const PATTERN: f64 = 0.25;
/// Of a question to the authorizer: two of them fit into a call's budget.
pub(crate) const AUTHORIZE: u64 = 350_000;
/// Texts that no budget allows are not made first and charged for afterwards.
const MAX_TEXT: u64 = 64 << 20;

fn scaled(size: u64, factor: f64) -> u64 {
    (size as f64 * factor).ceil() as u64
}

/// Whether a call would make more than any budget pays for.
pub(crate) fn is_hopeless(function: &str, args: &[Value<'_>], left: u64) -> bool {
    let bytes = |arg: Option<&Value<'_>>| arg.and_then(Value::as_str).map_or(0, |text| text.len() as u64);
    match function {
        "lists.range" => matches!(args.first(), Some(Value::Int(n)) if *n <= 1_000_000 && *n > 0 && *n as u64 > left),
        "replace" => {
            let times = bytes(args.first()).saturating_add(1) / bytes(args.get(1)).max(1);
            times.saturating_mul(bytes(args.get(2))) > MAX_TEXT
        }
        "join" => {
            let count = args.first().and_then(Value::size).unwrap_or(0);
            count.saturating_mul(bytes(args.get(1))) > MAX_TEXT
        }
        _ => false,
    }
}

/// What a call costs; the result is missing where it failed.
pub(crate) fn call(function: &str, overload: Option<&str>, args: &[Value<'_>], result: Option<&Value<'_>>) -> u64 {
    let size = |at: usize| args.get(at).map_or(1, Value::cost_size);
    let made = || result.map_or(1, Value::cost_size);
    if let Some(cost) = overload.and_then(|overload| of_list_overload(overload, args, made())) {
        return cost;
    }
    match function {
        "check" => AUTHORIZE,
        "fieldSelector" | "labelSelector" => {
            LIST + scaled(size(1), TRAVERSAL) + scaled(scaled(size(1), 0.5), (LIST + STRUCT) as f64)
        }
        "isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf" | "includes" => {
            args.first().map_or(0, traversal)
        }
        "url"
        | "lowerAscii"
        | "upperAscii"
        | "substring"
        | "trim"
        | "jsonpatch.escapeKey"
        | "cidr"
        | "isIP"
        | "isCIDR"
        | "quantity"
        | "isQuantity"
        | "semver"
        | "isSemver" => scaled(size(0), TRAVERSAL),
        "replace" | "split" | "ip.isCanonical" => scaled(size(0), 2.0 * TRAVERSAL),
        "join" => scaled(made(), 2.0 * TRAVERSAL),
        "find" | "findAll" | "matches" => pattern(size(0), size(1)),
        "ip" if matches!(args.first(), Some(Value::Cidr(..))) => 1,
        "ip" => scaled(size(0), TRAVERSAL),
        "containsIP" | "containsCIDR" => contains(function, args),
        "validate" => match args.first() {
            Some(Value::Format(format)) => pattern(size(1), format.pattern_size),
            _ => 1,
        },
        "_==_" if args.first().is_some_and(is_fixed) => 1,
        "_==_" | "_!=_" => scaled(size(0).min(size(1)), TRAVERSAL),
        _ => overload.map_or(1, |overload| of_standard(overload, args)),
    }
}

fn pattern(text: u64, pattern: u64) -> u64 {
    scaled(text + 1, TRAVERSAL).saturating_mul(scaled(pattern, PATTERN))
}

/// Values whose equality costs the same whatever they are.
fn is_fixed(value: &Value<'_>) -> bool {
    matches!(
        value,
        Value::Quantity(_)
            | Value::Ip(_)
            | Value::Cidr(..)
            | Value::Format(_)
            | Value::Url(_)
            | Value::Semver(_)
            | Value::Authorizer(_)
    )
}

fn contains(function: &str, args: &[Value<'_>]) -> u64 {
    let own = args.first().map_or(1, Value::cost_size);
    let mut cost = scaled(own + own, TRAVERSAL);
    if function == "containsCIDR" {
        cost += scaled(own, TRAVERSAL) + 1;
    }
    match args.get(1) {
        Some(other @ Value::String(_)) => cost + scaled(other.cost_size(), TRAVERSAL),
        _ => cost,
    }
}

/// CEL's own functions.
fn of_standard(overload: &str, args: &[Value<'_>]) -> u64 {
    let size = |at: usize| args.get(at).map_or(1, Value::cost_size);
    match overload {
        "starts_with_string" | "ends_with_string" => scaled(size(1), TRAVERSAL),
        "string_to_bytes" | "bytes_to_string" | "strings_quote" | "string_format" => scaled(size(0), TRAVERSAL),
        "in_list" => size(1),
        "less_string"
        | "greater_string"
        | "less_equals_string"
        | "greater_equals_string"
        | "less_bytes"
        | "greater_bytes"
        | "less_equals_bytes"
        | "greater_equals_bytes" => scaled(size(0).min(size(1)), TRAVERSAL),
        "add_string" | "add_bytes" => scaled(size(0) + size(1), TRAVERSAL),
        "contains_string" => scaled(size(0), TRAVERSAL).saturating_mul(scaled(size(1), TRAVERSAL)),
        _ => 1,
    }
}

/// The extensions that bring costs of their own.
fn of_list_overload(overload: &str, args: &[Value<'_>], made: u64) -> Option<u64> {
    let size = |at: usize| args.get(at).map_or(1, Value::cost_size);
    let allocated = |factor: f64, size: u64| ((size as f64 * factor) as u64).saturating_add(1 + LIST);
    Some(match overload {
        "list_slice" | "lists_range" | "list_reverse" => allocated(1.0, made),
        "list_flatten" => allocated(1.0, size(0)),
        "list_flatten_int" => match args.get(1) {
            Some(Value::Int(depth)) if *depth >= 0 => allocated(*depth as f64, size(0)),
            _ => allocated(1.0, size(0)),
        },
        "list_distinct" => self_compare(args.first()?, allocated),
        "list_sets_contains_list" | "list_sets_intersects_list" => size(0).saturating_mul(size(1)).saturating_add(1),
        "list_sets_equivalent_list" => size(0).saturating_mul(size(1)).saturating_mul(2).saturating_add(1),
        _ if overload.starts_with("list_") && overload.ends_with("_sort") => self_compare(args.first()?, allocated),
        _ if overload.starts_with("list_") && overload.ends_with("_sortByAssociatedKeys") => {
            self_compare(args.get(1)?, allocated)
        }
        _ => return None,
    })
}

fn self_compare(list: &Value<'_>, allocated: impl Fn(f64, u64) -> u64) -> u64 {
    let Value::List(list) = list else { return 1 };
    let texts = matches!(list.get(0), Some(Ok(Value::String(_) | Value::Bytes(_))));
    let size = list.len() as u64;
    allocated(if texts { 2.0 + TRAVERSAL } else { 2.0 }, size.saturating_mul(size))
}

/// Looking at everything in a value once.
fn traversal(value: &Value<'_>) -> u64 {
    match value {
        Value::String(text) => (text.len() as f64 * TRAVERSAL) as u64,
        Value::Bytes(bytes) => (bytes.len() as f64 * TRAVERSAL) as u64,
        Value::List(list) => list.iter().flatten().map(|item| traversal(&item)).sum(),
        Value::Map(map) => {
            map.entries().into_iter().flatten().map(|(key, value)| traversal(&key.value()) + traversal(&value)).sum()
        }
        _ => 1,
    }
}
