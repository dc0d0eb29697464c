//! What is well typed and still refused: literals that no function can read, mixed lists and maps.
//!
//! Source: cel-go `cel/validator.go`.

mod formats;

use std::collections::HashSet;

use super::ast::{Expr, Id, Kind, Literal};
use super::check::Checked;
use super::source::Issues;
use super::types::Type;
use super::value::{Timestamp, parse_duration, parse_timestamp};
use crate::pattern;

/// Takes what is wrong into the issues.
pub(crate) fn validate(checked: &Checked, issues: &mut Issues) {
    // What is in the arguments of `format` may be of any types.
    let mut exempt = HashSet::new();
    checked.expr.walk(&mut |expr| {
        if let Kind::Call(call) = &expr.kind
            && &*call.function == "format"
        {
            expr.walk(&mut |inner| {
                exempt.insert(inner.id);
            });
        }
    });
    checked.expr.walk(&mut |expr| match &expr.kind {
        Kind::Call(call) if &*call.function == "format" => formats::validate(checked, issues, (expr.id, call)),
        Kind::Call(call) => {
            if let (Some(Kind::Literal(Literal::Int(seconds))), "timestamp") =
                (call.args.first().map(|arg| &arg.kind), &*call.function)
                && Timestamp::new(*seconds, 0).is_none()
            {
                issues.report(call.args[0].id, "invalid timestamp argument");
            }
            let Some(text) = call.args.first().and_then(Expr::as_string) else { return };
            let wrong = match &*call.function {
                "duration" => parse_duration(text).is_none(),
                "timestamp" => parse_timestamp(text).is_none(),
                "matches" => pattern::compile(text).is_err(),
                _ => false,
            };
            if wrong {
                issues.report(call.args[0].id, format!("invalid {} argument", call.function));
            }
        }
        Kind::List(_) | Kind::Map(_) if exempt.contains(&expr.id) => {}
        Kind::List(elements) => {
            let all: Vec<(Id, bool)> = elements.iter().map(|element| (element.value.id, element.optional)).collect();
            same(checked, issues, &all);
        }
        Kind::Map(entries) => {
            let keys: Vec<(Id, bool)> = entries.iter().map(|entry| (entry.key.id, false)).collect();
            let values: Vec<(Id, bool)> = entries.iter().map(|entry| (entry.value.id, entry.optional)).collect();
            same(checked, issues, &keys);
            same(checked, issues, &values);
        }
        _ => {}
    });
}

/// All nodes have the type of the first one.
fn same(checked: &Checked, issues: &mut Issues, nodes: &[(Id, bool)]) {
    let ty = |(id, optional): &(Id, bool)| -> Type {
        let ty = checked.ty(*id);
        if *optional { ty.optional_inner().unwrap_or(ty).clone() } else { ty.clone() }
    };
    let Some(first) = nodes.first().map(ty) else { return };
    for node in &nodes[1..] {
        let other = ty(node);
        if !first.is_equivalent(&other) {
            issues.report(node.0, format!("expected type '{first}' but found '{other}'"));
            return;
        }
    }
}
