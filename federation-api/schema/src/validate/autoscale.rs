//! Autoscalers: how many replicas of what.
//!
//! Source: kubernetes `pkg/apis/autoscaling/validation`.

use serde_json::Value;

use super::read::{at, invalid, text};
use crate::field::{FieldError, FieldPath, format};

pub(super) fn check(new: &Value, errors: &mut Vec<FieldError>) {
    let (spec, path) = (at(new, "spec"), FieldPath::root("spec"));
    let (min, max) = (at(spec, "minReplicas").as_i64(), at(spec, "maxReplicas").as_i64().unwrap_or(0));
    let at_max = path.child("maxReplicas");
    if min.is_some_and(|min| max < min) {
        errors.push(FieldError::invalid(&at_max, max, "must be greater than or equal to `minReplicas`"));
    }
    let (target, at_target) = (at(spec, "scaleTargetRef"), path.child("scaleTargetRef"));
    for name in ["kind", "name"] {
        let value = text(target, name);
        if value.is_empty() {
            errors.push(FieldError::required(&at_target.child(name), ""));
        } else {
            invalid(errors, &at_target.child(name), value, format::path_segment(value));
        }
    }
    // What the published types declare is judged last.
    if let Some(min) = min.filter(|min| *min < 1) {
        errors.push(FieldError::invalid(&path.child("minReplicas"), min, "must be greater than or equal to 1"));
    }
    if max == 0 {
        errors.push(FieldError::required(&at_max, ""));
    } else if max < 0 {
        errors.push(FieldError::invalid(&at_max, max, "must be greater than or equal to 1"));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::check;

    /// Protocol: E5
    #[test]
    fn replicas_are_between_bounds() {
        let target = json!({"kind": "Deployment", "name": "d"});
        let cases: [(Value, &[&str]); 4] = [
            (json!({"minReplicas": 1, "maxReplicas": 2, "scaleTargetRef": target}), &[]),
            (
                json!({"minReplicas": 1, "scaleTargetRef": target}),
                &[
                    "spec.maxReplicas: Invalid value: 0: must be greater than or equal to `minReplicas`",
                    "spec.maxReplicas: Required value",
                ],
            ),
            (
                json!({"minReplicas": 0, "maxReplicas": 1, "scaleTargetRef": target}),
                &["spec.minReplicas: Invalid value: 0: must be greater than or equal to 1"],
            ),
            (
                json!({"scaleTargetRef": {"kind": "D"}}),
                &["spec.scaleTargetRef.name: Required value", "spec.maxReplicas: Required value"],
            ),
        ];
        for (spec, expected) in cases {
            let mut errors = Vec::new();
            check(&json!({"spec": spec}), &mut errors);
            assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>(), expected, "{spec}");
        }
    }
}
