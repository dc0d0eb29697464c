//! Which functions there are, with which arguments, as data; it does not know what they do.
//!
//! The set is that of Kubernetes' environment: CEL's standard, and what `apiserver/pkg/cel/environment` adds to it.

mod kubernetes;
mod standard;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use super::types::Type;

/// One signature of a function.
#[derive(Debug, Clone)]
pub(crate) struct Overload {
    pub(crate) id: &'static str,
    /// Whether it is called on a target, which then is the first argument.
    pub(crate) member: bool,
    pub(crate) args: Vec<Type>,
    pub(crate) result: Type,
}

/// A row: function, id, signature. The signature of a member starts with a dot.
type Row = (&'static str, &'static str, &'static str);

/// All signatures by function.
pub(crate) type Table = HashMap<&'static str, Vec<Overload>>;

/// What all expressions may use.
pub(crate) fn base() -> &'static Arc<Table> {
    static TABLE: LazyLock<Arc<Table>> =
        LazyLock::new(|| Arc::new(table(&[standard::ROWS, standard::COMPARISONS, kubernetes::ROWS])));
    &TABLE
}

/// What expressions that write patches may use.
pub(crate) fn with_patches() -> &'static Arc<Table> {
    static TABLE: LazyLock<Arc<Table>> = LazyLock::new(|| {
        let rows = [standard::ROWS, standard::COMPARISONS, kubernetes::ROWS, kubernetes::PATCH_ROWS];
        Arc::new(table(&rows))
    });
    &TABLE
}

fn table(parts: &[&[Row]]) -> Table {
    let mut out = Table::new();
    for (function, id, signature) in parts.iter().copied().flatten() {
        let (member, text) = match signature.strip_prefix('.') {
            Some(text) => (true, text),
            None => (false, *signature),
        };
        let (args, result) = text.split_once(" -> ").expect("every signature has a result");
        let args = split(args).into_iter().map(parse).collect();
        out.entry(function).or_default().push(Overload { id, member, args, result: parse(result) });
    }
    out
}

/// Comma-separated types; commas in brackets do not count.
fn split(text: &str) -> Vec<&str> {
    let (mut out, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, c) in text.char_indices() {
        match c {
            '<' => depth += 1,
            '>' => depth -= 1,
            ',' if depth == 0 => {
                out.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    let last = text[start..].trim();
    if !last.is_empty() {
        out.push(last);
    }
    out
}

/// A type as the tables write it: `map<K, list<V>>`.
fn parse(text: &str) -> Type {
    let inner = |prefix: &str| text.strip_prefix(prefix)?.strip_suffix('>').map(split);
    if let Some(args) = inner("list<") {
        return Type::list(parse(args[0]));
    }
    if let Some(args) = inner("map<") {
        return Type::map(parse(args[0]), parse(args[1]));
    }
    if let Some(args) = inner("opt<") {
        return Type::optional(parse(args[0]));
    }
    if let Some(args) = inner("type<") {
        return Type::Type(Some(Arc::new(parse(args[0]))));
    }
    match text {
        "dyn" => Type::Dyn,
        "bool" => Type::Bool,
        "int" => Type::Int,
        "uint" => Type::Uint,
        "double" => Type::Double,
        "string" => Type::String,
        "bytes" => Type::Bytes,
        "timestamp" => Type::Timestamp,
        "duration" => Type::Duration,
        "IP" => Type::Opaque("net.IP".into(), [].into()),
        "CIDR" => Type::Opaque("net.CIDR".into(), [].into()),
        "Quantity" => Type::object("kubernetes.Quantity"),
        "URL" => Type::object("kubernetes.URL"),
        "Semver" => Type::object("kubernetes.Semver"),
        "Format" => Type::object("kubernetes.NamedFormat"),
        "Authorizer" | "PathCheck" | "GroupCheck" | "ResourceCheck" | "Decision" => {
            Type::object(format!("kubernetes.authorization.{text}"))
        }
        param => Type::Param(param.into()),
    }
}
