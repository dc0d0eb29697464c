//! Aggregated ClusterRoles: the union of the rules of those that their selectors match.
//!
//! Used both when rules are compiled and by the controller that writes them out for people to read.

use super::object::{ClusterRole, LabelExpression, LabelOperator, LabelSelector, RbacObject};
use super::rule::PolicyRule;
use std::collections::BTreeMap;

/// The rules that an aggregated ClusterRole should have, by its name; roles without aggregation are left out.
///
/// Ordered by the name of the role that a rule comes from, without duplicates.
///
/// Source: upstream's `pkg/controller/clusterroleaggregation`.
pub fn aggregated_rules<'a>(objects: impl IntoIterator<Item = &'a RbacObject>) -> BTreeMap<String, Vec<PolicyRule>> {
    let roles: Vec<ClusterRole> = objects
        .into_iter()
        .filter_map(|object| match object {
            RbacObject::ClusterRole(role) => Some(role.clone()),
            RbacObject::Role { .. } | RbacObject::Binding(_) => None,
        })
        .collect();
    roles
        .iter()
        .filter(|role| !role.selectors.is_empty())
        .map(|role| {
            let mut rules: Vec<PolicyRule> = Vec::new();
            for rule in gathered(role, &roles) {
                if !rules.contains(rule) {
                    rules.push(rule.clone());
                }
            }
            (role.name.clone(), rules)
        })
        .collect()
}

/// Every rule that `role` gathers, directly or through other aggregated roles; a cycle ends where it began.
pub(super) fn gathered<'a>(role: &ClusterRole, all: &'a [ClusterRole]) -> Vec<&'a PolicyRule> {
    let mut sources: BTreeMap<&str, &ClusterRole> = BTreeMap::new();
    let mut open: Vec<&LabelSelector> = role.selectors.iter().collect();
    while let Some(selector) = open.pop() {
        for candidate in all {
            if candidate.name == role.name || !matches(selector, &candidate.labels) {
                continue;
            }
            if sources.insert(&candidate.name, candidate).is_none() {
                open.extend(&candidate.selectors);
            }
        }
    }
    sources.into_values().flat_map(|source| &source.rules).collect()
}

fn matches(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    let LabelSelector { match_labels, match_expressions } = selector;
    match_labels.iter().all(|(key, value)| labels.get(key) == Some(value))
        && match_expressions.iter().all(|expression| holds(expression, labels))
}

fn holds(expression: &LabelExpression, labels: &BTreeMap<String, String>) -> bool {
    let value = labels.get(&expression.key);
    match expression.operator {
        LabelOperator::In => value.is_some_and(|value| expression.values.contains(value)),
        LabelOperator::NotIn => value.is_none_or(|value| !expression.values.contains(value)),
        LabelOperator::Exists => value.is_some(),
        LabelOperator::DoesNotExist => value.is_none(),
    }
}
