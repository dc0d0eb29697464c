//! Scopes of a quota: which objects it is about.
//!
//! Pure. Source: k8s.io/kubernetes `pkg/quota/v1/evaluator/core`.

use serde_json::Value;

use crate::admission::amounts;

/// One requirement: a plain scope is one that has to exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Requirement {
    scope: String,
    operator: String,
    values: Vec<String>,
}

impl Requirement {
    /// All requirements of a quota.
    pub(crate) fn of(quota: &Value) -> Vec<Self> {
        let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or("").to_owned();
        let list = |pointer: &str| quota.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
        let plain = list("/spec/scopes").filter_map(Value::as_str).map(|scope| Self {
            scope: scope.to_owned(),
            operator: "Exists".to_owned(),
            values: Vec::new(),
        });
        let selected = list("/spec/scopeSelector/matchExpressions").map(|requirement| Self {
            scope: text(requirement, "scopeName"),
            operator: text(requirement, "operator"),
            values: {
                let values = requirement.get("values").and_then(Value::as_array).into_iter().flatten();
                values.filter_map(|value| value.as_str().map(str::to_owned)).collect()
            },
        });
        plain.chain(selected).collect()
    }

    pub(crate) fn met_by_pod(&self, pod: &Value) -> bool {
        let deadline = pod.pointer("/spec/activeDeadlineSeconds").and_then(Value::as_i64).is_some_and(|s| s >= 0);
        match self.scope.as_str() {
            "Terminating" => deadline,
            "NotTerminating" => !deadline,
            "BestEffort" => amounts::is_best_effort(pod),
            "NotBestEffort" => !amounts::is_best_effort(pod),
            "PriorityClass" => {
                let class = pod.pointer("/spec/priorityClassName").and_then(Value::as_str).unwrap_or("");
                self.selects(&[class])
            }
            "CrossNamespacePodAffinity" => crosses_namespaces(pod),
            _ => false,
        }
    }

    pub(crate) fn met_by_claim(&self, claim: &Value) -> bool {
        if self.scope != "VolumeAttributesClass" {
            return false;
        }
        let text = |pointer: &str| claim.pointer(pointer).and_then(Value::as_str).unwrap_or("");
        self.selects(&[
            text("/spec/volumeAttributesClassName"),
            text("/status/currentVolumeAttributesClassName"),
            text("/status/modifyVolumeStatus/targetVolumeAttributesClassName"),
        ])
    }

    /// Whether one of the names is selected; empty ones are none.
    fn selects(&self, names: &[&str]) -> bool {
        let mut named = names.iter().filter(|name| !name.is_empty()).peekable();
        let listed = |name: &&&str| self.values.iter().any(|value| value == **name);
        match self.operator.as_str() {
            "Exists" => named.peek().is_some(),
            "DoesNotExist" => named.peek().is_none(),
            "In" => named.any(|name| listed(&name)),
            "NotIn" => named.peek().is_none() || named.any(|name| !listed(&name)),
            _ => false,
        }
    }
}

fn crosses_namespaces(pod: &Value) -> bool {
    let crosses = |term: &Value| {
        let named = term.get("namespaces").and_then(Value::as_array).is_some_and(|list| !list.is_empty());
        named || term.get("namespaceSelector").is_some_and(|selector| !selector.is_null())
    };
    ["podAffinity", "podAntiAffinity"].iter().any(|side| {
        let affinity = pod.pointer("/spec/affinity").and_then(|affinity| affinity.get(side)).unwrap_or(&Value::Null);
        let list = |field: &str| affinity.get(field).and_then(Value::as_array).into_iter().flatten();
        list("requiredDuringSchedulingIgnoredDuringExecution").any(crosses)
            || list("preferredDuringSchedulingIgnoredDuringExecution")
                .any(|weighted| weighted.get("podAffinityTerm").is_some_and(crosses))
    })
}

#[cfg(test)]
mod tests {
    use super::Requirement;
    use serde_json::{Value, json};

    fn met(quota: &Value, pod: &Value) -> bool {
        Requirement::of(&json!({"spec": quota})).iter().all(|requirement| requirement.met_by_pod(&json!({"spec": pod})))
    }

    /// Protocol: A5
    #[test]
    fn scopes_select_pods() {
        let of_class = |operator: &str, values: &[&str]| {
            json!({"scopeSelector": {"matchExpressions": [
                {"scopeName": "PriorityClass", "operator": operator, "values": values}]}})
        };
        let busy = json!({"containers": [{"resources": {"limits": {"cpu": "1"}}}]});
        let high = json!({"priorityClassName": "high"});
        for (quota, pod, want) in [
            (json!({}), json!({}), true),
            (json!({"scopes": ["Terminating"]}), json!({"activeDeadlineSeconds": 0}), true),
            (json!({"scopes": ["Terminating"]}), json!({}), false),
            (json!({"scopes": ["NotTerminating", "BestEffort"]}), json!({"containers": [{}]}), true),
            (json!({"scopes": ["NotTerminating", "BestEffort"]}), busy.clone(), false),
            (json!({"scopes": ["NotBestEffort"]}), busy, true),
            (of_class("In", &["high"]), high.clone(), true),
            (of_class("In", &["low"]), high.clone(), false),
            (of_class("NotIn", &["low"]), high.clone(), true),
            (of_class("NotIn", &["low"]), json!({}), true),
            (of_class("Exists", &[]), json!({}), false),
            (of_class("DoesNotExist", &[]), high, false),
            (
                json!({"scopes": ["CrossNamespacePodAffinity"]}),
                json!({"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"namespaces": ["x"]}]}}}),
                true,
            ),
        ] {
            assert_eq!(met(&quota, &pod), want, "{quota} {pod}");
        }
    }
}
