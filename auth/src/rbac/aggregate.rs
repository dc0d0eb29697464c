//! Aggregated ClusterRoles: the union of the rules of those that their selectors match.
//!
//! Used both when rules are compiled and by the controller that writes them out for people to read.

use super::object::{ClusterRole, RbacObject};
use super::rule::PolicyRule;
use federation_schema::selector::LabelSelector;
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
            if candidate.name == role.name || !selector.matches(&candidate.labels) {
                continue;
            }
            if sources.insert(&candidate.name, candidate).is_none() {
                open.extend(&candidate.selectors);
            }
        }
    }
    sources.into_values().flat_map(|source| &source.rules).collect()
}
