//! What the rules of a definition may cost, each and all of them.
//!
//! Source: `apiextensions-apiserver/pkg/apis/apiextensions/validation/cel_validation.go`.

use crate::field::{FieldError, FieldPath};
use crate::structural::Schema;

/// What a rule may cost at most, by estimate.
pub(super) const RULE_LIMIT: u64 = 10_000_000;
/// What all rules of a schema may cost at most, by estimate.
pub(super) const SCHEMA_LIMIT: u64 = 100_000_000;
/// The most expensive rules that a complaint names.
const NAMED: usize = 4;

/// The estimate for a whole schema.
#[derive(Debug, Default)]
pub(super) struct Total {
    sum: u64,
    /// Paths of the most expensive rules, that of the highest cost first.
    top: Vec<(String, u64)>,
}

impl Total {
    pub(super) fn add(&mut self, path: &FieldPath<'_>, cost: u64) {
        self.sum = self.sum.saturating_add(cost);
        if cost >= SCHEMA_LIMIT / 100 {
            self.top.push((path.to_string(), cost));
            self.top.sort_by_key(|(_, cost)| std::cmp::Reverse(*cost));
            self.top.truncate(NAMED);
        }
    }

    pub(super) fn judge(&self, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
        if self.sum <= SCHEMA_LIMIT {
            return;
        }
        for (rule, _) in &self.top {
            let detail = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema";
            errors.push(FieldError::forbidden(&FieldPath::root(rule), detail));
        }
        let name = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema";
        errors.push(FieldError::forbidden(path, exceeds(name, self.sum, SCHEMA_LIMIT)));
    }
}

/// Says by how much a cost is too high.
pub(super) fn exceeds(name: &str, cost: u64, limit: u64) -> String {
    let factor = cost as f64 / limit as f64;
    let factor = if factor > 100.0 {
        "more than 100x".to_owned()
    } else if factor < 1.5 {
        format!("{factor:.6}x")
    } else {
        format!("{factor:.1}x")
    };
    format!(
        "{name} exceeds budget by factor of {factor} (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)"
    )
}

/// How often a value below `schema` can stand in one object, given how often the schema's own can; none without bound.
pub(super) fn below(schema: &Schema, cardinality: Option<u64>) -> Option<u64> {
    let limits = schema.limits();
    let bound = |max: Option<i64>| max.map(|max| u64::try_from(max).unwrap_or(0));
    let factor = match &*schema.ty {
        "object" if schema.additional.is_some() => bound(limits.max_properties)?,
        "array" => bound(limits.max_items)?,
        _ => 1,
    };
    Some(cardinality?.saturating_mul(factor))
}
