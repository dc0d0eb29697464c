//! `'…'.format([…])` with everything written out: the clauses have to fit the types of the arguments.

use super::super::ast::{Call, Element, Expr, Id, Kind};
use super::super::check::Checked;
use super::super::source::Issues;
use super::super::types::Type;

/// Takes what does not fit into the issues.
pub(super) fn validate(checked: &Checked, issues: &mut Issues, (id, call): (Id, &Call)) {
    let Some(target) = &call.target else { return };
    let (Some(pattern), Some(Kind::List(args))) = (target.as_string(), call.args.first().map(|arg| &arg.kind)) else {
        return;
    };
    match check(checked, issues, pattern, args) {
        Ok(used) if used < args.len() => {
            issues.report(
                id,
                "too many arguments supplied to string.format (expected {used}, got {got})"
                    .replace("{used}", &used.to_string())
                    .replace("{got}", &args.len().to_string()),
            );
        }
        Ok(_) => {}
        Err(message) => issues.report(id, message),
    }
}

/// How many arguments the clauses use.
fn check(checked: &Checked, issues: &mut Issues, pattern: &str, args: &[Element]) -> Result<usize, String> {
    let (mut rest, mut used) = (pattern, 0);
    while let Some(at) = rest.find('%') {
        rest = &rest[at + 1..];
        if let Some(tail) = rest.strip_prefix('%') {
            rest = tail;
            continue;
        }
        let Some(arg) = args.get(used) else { return Err(format!("index {used} out of range")) };
        if rest.is_empty() {
            return Err("unexpected end of string".to_owned());
        }
        let digits = rest.strip_prefix('.').map_or(0, |tail| 1 + tail.bytes().take_while(u8::is_ascii_digit).count());
        let Some(verb) = rest[digits..].chars().next() else {
            return Err("could not parse formatting clause: error while parsing precision: could not find end of \
                        precision specifier"
                .to_owned());
        };
        rest = &rest[digits + verb.len_utf8()..];
        if !"sdfebxXo".contains(verb) {
            return Err(format!("could not parse formatting clause: unrecognized formatting clause \"{verb}\""));
        }
        if let Some(message) = mismatch(checked, &arg.value, verb) {
            issues.report(arg.value.id, format!("error during formatting: {message}"));
            return Ok(args.len());
        }
        used += 1;
    }
    Ok(used)
}

/// Why a clause cannot show an argument of this type.
fn mismatch(checked: &Checked, arg: &Expr, verb: char) -> Option<String> {
    let ty = checked.ty(arg.id);
    if matches!(ty, Type::Dyn | Type::Error | Type::Var(_) | Type::Param(_)) {
        return None;
    }
    let (fits, what) = match verb {
        'd' => (matches!(ty, Type::Int | Type::Uint), "decimal clause can only be used on integers"),
        'f' => (matches!(ty, Type::Double | Type::String), "fixed-point clause can only be used on doubles"),
        'e' => (matches!(ty, Type::Double | Type::String), "scientific clause can only be used on doubles"),
        'b' => {
            (matches!(ty, Type::Int | Type::Uint | Type::Bool), "only integers and bools can be formatted as binary")
        }
        'x' | 'X' => (
            matches!(ty, Type::Int | Type::Uint | Type::String | Type::Bytes),
            "only integers, byte buffers, and strings can be formatted as hex",
        ),
        'o' => (matches!(ty, Type::Int | Type::Uint), "octal clause can only be used on integers"),
        _ => (
            !matches!(ty, Type::Object(_) | Type::Opaque(..)),
            "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, \
             and timestamps",
        ),
    };
    (!fits).then(|| format!("{what}, was given {}", ty.name()))
}
