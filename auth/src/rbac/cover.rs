//! Whether somebody's rules include all that other rules grant: nobody may hand out what he does not hold.
//!
//! Pure comparison; who is asked, and which verbs lift the check, is [`crate::escalation`]'s business.

use super::rule::{PolicyRule, path_covers};
use crate::attributes::quoted;
use std::collections::{BTreeMap, BTreeSet};

/// The part of `wanted` that `held` does not include, broken down to one verb and one resource or path a rule.
///
/// Empty when everything is covered.
///
/// Source: k8s.io/component-helpers `auth/rbac/validation/policy_comparator.go`.
pub fn covers(held: &[PolicyRule], wanted: &[PolicyRule]) -> Vec<PolicyRule> {
    let mut missing = Vec::new();
    for rule in wanted {
        break_down(rule, |part| {
            if !held.iter().any(|own| rule_covers(own, &part)) {
                missing.push(part);
            }
        });
    }
    missing
}

/// The missing rights as upstream lists them in a refusal: one line a set of verbs on one thing, sorted.
pub fn missing_rights(missing: &[PolicyRule]) -> String {
    let lines: BTreeSet<String> = compacted(missing).iter().map(compact_text).collect();
    lines.into_iter().collect::<Vec<_>>().join("\n")
}

fn break_down(rule: &PolicyRule, mut part: impl FnMut(PolicyRule)) {
    let one = |text: &String| vec![text.clone()];
    for group in &rule.api_groups {
        for resource in &rule.resources {
            for verb in &rule.verbs {
                let base = PolicyRule {
                    verbs: one(verb),
                    api_groups: one(group),
                    resources: one(resource),
                    ..PolicyRule::default()
                };
                if rule.resource_names.is_empty() {
                    part(base);
                    continue;
                }
                for name in &rule.resource_names {
                    part(PolicyRule { resource_names: one(name), ..base.clone() });
                }
            }
        }
    }
    for path in &rule.non_resource_urls {
        for verb in &rule.verbs {
            part(PolicyRule { verbs: one(verb), non_resource_urls: one(path), ..PolicyRule::default() });
        }
    }
}

/// `part` has at most one verb, group, resource, name and path.
fn rule_covers(own: &PolicyRule, part: &PolicyRule) -> bool {
    let has = |set: &[String], one: &String| set.iter().any(|item| item == "*" || item == one);
    part.verbs.iter().all(|verb| has(&own.verbs, verb))
        && part.api_groups.iter().all(|group| has(&own.api_groups, group))
        && part.resources.iter().all(|resource| resource_covers(&own.resources, resource))
        && names_cover(own, part)
        && part
            .non_resource_urls
            .iter()
            .all(|path| own.non_resource_urls.iter().any(|pattern| path_covers(pattern, path)))
}

fn resource_covers(own: &[String], resource: &str) -> bool {
    own.iter().any(|item| {
        item == "*"
            || item == resource
            || resource.split_once('/').is_some_and(|(_, subresource)| item.strip_prefix("*/") == Some(subresource))
    })
}

fn names_cover(own: &PolicyRule, part: &PolicyRule) -> bool {
    own.resource_names.is_empty()
        || (!part.resource_names.is_empty() && part.resource_names.iter().all(|name| own.resource_names.contains(name)))
}

/// Rules for the same thing joined, so that a refusal reads `Verbs:["get" "list"]` and not two lines.
///
/// Source: upstream's `CompactRules`, which joins only rules with one group, one resource and at most one name.
fn compacted(rules: &[PolicyRule]) -> Vec<PolicyRule> {
    let mut joined: BTreeMap<PolicyRule, Vec<String>> = BTreeMap::new();
    for rule in rules {
        let key = PolicyRule { verbs: Vec::new(), ..rule.clone() };
        joined.entry(key).or_default().extend(rule.verbs.iter().cloned());
    }
    joined.into_iter().map(|(rule, verbs)| PolicyRule { verbs, ..rule }).collect()
}

/// Source: upstream's `CompactString` of `pkg/apis/rbac/v1/evaluation_helpers.go`.
fn compact_text(rule: &PolicyRule) -> String {
    let PolicyRule { verbs, api_groups, resources, resource_names, non_resource_urls } = rule;
    let parts: Vec<String> = [
        ("APIGroups", api_groups),
        ("Resources", resources),
        ("NonResourceURLs", non_resource_urls),
        ("ResourceNames", resource_names),
        ("Verbs", verbs),
    ]
    .into_iter()
    .filter(|(_, list)| !list.is_empty())
    .map(|(key, list)| {
        let list: Vec<_> = list.iter().map(|item| quoted(item)).collect();
        format!("{key}:[{}]", list.join(" "))
    })
    .collect();
    format!("{{{}}}", parts.join(", "))
}
