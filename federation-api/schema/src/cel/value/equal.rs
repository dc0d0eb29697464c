//! When values are equal and which one comes first.

use std::cmp::Ordering;

use super::super::declared::ListEquality;
use super::list::same_keys;
use super::{EvalError, List, Map, Value};

impl Value<'_> {
    /// Equality across number types; values of different types differ.
    pub fn equals(&self, other: &Value<'_>) -> bool {
        match (self, other) {
            (Value::Null, Value::Null) => true,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Int(_) | Value::Uint(_) | Value::Double(_), Value::Int(_) | Value::Uint(_) | Value::Double(_)) => {
                numbers(self, other) == Some(Ordering::Equal)
            }
            (Value::String(a), Value::String(b)) => **a == **b,
            (Value::Bytes(a), Value::Bytes(b)) => a == b,
            (Value::Duration(a), Value::Duration(b)) => a == b,
            (Value::Timestamp(a), Value::Timestamp(b)) => a == b,
            (Value::List(a), Value::List(b)) => lists(a, b),
            (Value::Map(a), Value::Map(b)) => maps(a, b),
            (Value::Optional(a), Value::Optional(b)) => match (a, b) {
                (Some(a), Some(b)) => a.equals(b),
                (a, b) => a.is_none() && b.is_none(),
            },
            (Value::Type(a), Value::Type(b)) => a.name() == b.name(),
            (Value::Struct(a), Value::Struct(b)) => {
                a.name == b.name
                    && a.fields.len() == b.fields.len()
                    && a.fields
                        .iter()
                        .all(|(name, value)| b.fields.iter().any(|(other, with)| name == other && value.equals(with)))
            }
            (Value::Quantity(a), Value::Quantity(b)) => a == b,
            (Value::Url(a), Value::Url(b)) => a == b,
            (Value::Ip(a), Value::Ip(b)) => a == b,
            (Value::Cidr(a, a_bits), Value::Cidr(b, b_bits)) => a == b && a_bits == b_bits,
            (Value::Semver(a), Value::Semver(b)) => a.cmp_precedence(b) == Ordering::Equal,
            (Value::Format(a), Value::Format(b)) => a.name == b.name,
            _ => false,
        }
    }

    /// Which of two values comes first.
    ///
    /// # Errors
    /// Values that have no order: NaN, and values of types that do not compare.
    pub fn compare(&self, other: &Value<'_>) -> Result<Ordering, EvalError> {
        Ok(match (self, other) {
            (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
            (Value::Int(_) | Value::Uint(_) | Value::Double(_), Value::Int(_) | Value::Uint(_) | Value::Double(_)) => {
                return numbers(self, other).ok_or_else(|| EvalError::new("NaN values cannot be ordered"));
            }
            (Value::String(a), Value::String(b)) => (**a).cmp(&**b),
            (Value::Bytes(a), Value::Bytes(b)) => a.cmp(b),
            (Value::Duration(a), Value::Duration(b)) => a.cmp(b),
            (Value::Timestamp(a), Value::Timestamp(b)) => a.cmp(b),
            _ => return Err(EvalError::no_such_overload()),
        })
    }
}

/// Exact order of numbers of any types; none with NaN.
fn numbers(a: &Value<'_>, b: &Value<'_>) -> Option<Ordering> {
    match (whole(a), whole(b)) {
        (Some(a), Some(b)) => Some(a.cmp(&b)),
        (Some(a), None) => against(a, b),
        (None, Some(b)) => against(b, a).map(Ordering::reverse),
        (None, None) => match (a, b) {
            (Value::Double(a), Value::Double(b)) => a.partial_cmp(b),
            _ => None,
        },
    }
}

fn whole(value: &Value<'_>) -> Option<i128> {
    match value {
        Value::Int(value) => Some(i128::from(*value)),
        Value::Uint(value) => Some(i128::from(*value)),
        _ => None,
    }
}

fn against(whole: i128, double: &Value<'_>) -> Option<Ordering> {
    let Value::Double(double) = double else { return None };
    // Beyond 2^64 every double is larger than every whole number here, and casts saturate.
    match double.partial_cmp(&0.0)? {
        _ if double.abs() < 1.9e19 => {
            let floor = double.floor();
            Some(whole.cmp(&(floor as i128)).then(if *double > floor { Ordering::Less } else { Ordering::Equal }))
        }
        Ordering::Greater => Some(Ordering::Less),
        _ => Some(Ordering::Greater),
    }
}

fn lists(a: &List<'_>, b: &List<'_>) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let equality = if *a.equality() == ListEquality::Atomic { b.equality() } else { a.equality() };
    let (Ok(a), Ok(b)) = (a.values(), b.values()) else { return false };
    match equality {
        ListEquality::Atomic => a.iter().zip(&b).all(|(a, b)| a.equals(b)),
        ListEquality::Set => {
            a.iter().all(|one| b.iter().any(|other| one.equals(other)))
                && b.iter().all(|one| a.iter().any(|other| one.equals(other)))
        }
        ListEquality::Map(keys) => a
            .iter()
            .all(|one| b.iter().find(|other| same_keys(one, other, keys)).is_some_and(|other| one.equals(other))),
    }
}

fn maps(a: &Map<'_>, b: &Map<'_>) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let (Ok(a), Ok(b)) = (a.entries(), b.entries()) else { return false };
    // Both sides come sorted by key, so equal maps agree entry by entry.
    let sort = |mut entries: Vec<_>| {
        entries.sort_by(|(a, _): &(super::Key<'_>, Value<'_>), (b, _)| a.cmp(b));
        entries
    };
    let (a, b) = (sort(a), sort(b));
    a.iter().zip(&b).all(|((ak, av), (bk, bv))| ak == bk && av.equals(bv))
}
