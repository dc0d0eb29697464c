//! Numbers against `minimum`, `maximum`, `multipleOf` and the range of their type, as kube-openapi counts.
//!
//! Source: `kube-openapi/pkg/validation/validate` (`values.go`), `go-openapi/swag/conv`.

use serde_json::{Number, Value};

use super::Limits;
use super::value::Problem;
use crate::field::quote::go_float_value;

/// The largest whole number that a float holds exactly.
const MAX_SAFE: f64 = 9_007_199_254_740_991.0;
const EPSILON: f64 = 1e-9;

/// A JSON number as Go decodes it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Num {
    Int(i64),
    Float(f64),
}

/// What the schema calls the number; empty where that is ambiguous.
#[derive(Debug, Clone, Copy)]
pub(super) struct Range<'s> {
    pub ty: &'s str,
    pub format: &'s str,
}

impl Num {
    pub(super) fn of(number: &Number) -> Self {
        match number.as_i64() {
            Some(int) => Num::Int(int),
            None => Num::Float(number.as_f64().unwrap_or(f64::NAN)),
        }
    }

    fn float(self) -> f64 {
        match self {
            Num::Int(int) => int as f64,
            Num::Float(float) => float,
        }
    }

    fn json(self) -> Value {
        match self {
            Num::Int(int) => Value::from(int),
            Num::Float(float) => Value::from(float),
        }
    }
}

/// Whether a float is a whole number, give or take what multiplication loses.
pub(super) fn is_whole(float: f64) -> bool {
    if !float.is_finite() || float.abs() > MAX_SAFE {
        return false;
    }
    let rounded = float.round();
    float == rounded || rounded != 0.0 && (float - rounded).abs() < EPSILON * rounded.abs()
}

impl Range<'_> {
    /// What is wrong if the number does not fit the type.
    fn check(self, num: Num, what: &str, path: &str) -> Option<Problem> {
        let fits = match (self.ty, self.format, num) {
            ("integer", "int32", Num::Int(int)) => i32::try_from(int).is_ok(),
            ("integer", "int32", Num::Float(float)) => float.fract() == 0.0 && float.abs() <= f64::from(i32::MAX),
            ("integer", _, Num::Int(_)) => true,
            ("integer", _, Num::Float(float)) => float.fract() == 0.0 && float.abs() < 9_223_372_036_854_775_807.0,
            (_, "float", num) => (num.float() as f32).is_finite(),
            _ => true,
        };
        let format =
            if self.format.is_empty() { "(default format)".to_owned() } else { format!("with format {}", self.format) };
        (!fits).then(|| Problem::plain(format!("{what} value must be of type {} {format} in {path}", self.ty)))
    }
}

/// Every complaint about a number.
pub(super) fn check(limits: &Limits, range: Range<'_>, num: Num, path: &str, problems: &mut Vec<Problem>) {
    problems.extend(range.check(num, "Checked", path));
    if let Some(factor) = limits.multiple_of {
        let unfit = range.check(Num::Float(factor), "MultipleOf", path);
        let native = unfit.is_none();
        problems.extend(unfit);
        problems.extend(multiple_of(path, if native { num } else { Num::Float(num.float()) }, factor));
    }
    if let Some(max) = limits.maximum {
        let unfit = range.check(Num::Float(max), "Maximum boundary", path);
        let num = if unfit.is_none() { num } else { Num::Float(num.float()) };
        problems.extend(unfit);
        let (beyond, text) = match num {
            Num::Int(int) => (if limits.exclusive_maximum { int >= max as i64 } else { int > max as i64 }, whole(max)),
            Num::Float(float) => {
                (if limits.exclusive_maximum { float >= max } else { float > max }, go_float_value(max))
            }
        };
        let than = if limits.exclusive_maximum { "less than" } else { "less than or equal to" };
        problems.extend(beyond.then(|| bound(path, num, than, &text)));
    }
    if let Some(min) = limits.minimum {
        let unfit = range.check(Num::Float(min), "Minimum boundary", path);
        let num = if unfit.is_none() { num } else { Num::Float(num.float()) };
        problems.extend(unfit);
        let (beyond, text) = match num {
            Num::Int(int) => (if limits.exclusive_minimum { int <= min as i64 } else { int < min as i64 }, whole(min)),
            Num::Float(float) => {
                (if limits.exclusive_minimum { float <= min } else { float < min }, go_float_value(min))
            }
        };
        let than = if limits.exclusive_minimum { "greater than" } else { "greater than or equal to" };
        problems.extend(beyond.then(|| bound(path, num, than, &text)));
    }
}

fn whole(float: f64) -> String {
    (float as i64).to_string()
}

fn bound(path: &str, num: Num, than: &str, limit: &str) -> Problem {
    Problem::invalid(path, num.json(), format!("{path} in body should be {than} {limit}"))
}

fn multiple_of(path: &str, num: Num, factor: f64) -> Option<Problem> {
    let positive = |factor: Value, shown: String| {
        let text = format!("factor MultipleOf declared for {path} must be positive: {shown}");
        Some(Problem::invalid(path, factor, text))
    };
    let (holds, shown) = match num {
        Num::Int(int) => {
            let step = factor as i64;
            if step <= 0 {
                return positive(step.into(), step.to_string());
            }
            (int % step == 0, step.to_string())
        }
        Num::Float(float) => {
            if factor <= 0.0 {
                return positive(factor.into(), go_float_value(factor));
            }
            let times = if factor < 1.0 { 1.0 / factor * float } else { float / factor };
            (is_whole(times), go_float_value(factor))
        }
    };
    (!holds).then(|| Problem::invalid(path, num.json(), format!("{path} in body should be a multiple of {shown}")))
}
