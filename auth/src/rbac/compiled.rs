//! A role prepared for questions: which of its rules can matter for a resource at all.
//!
//! Only a pre-selection; [`PolicyRule`] has the last word.

use super::rule::PolicyRule;
use crate::attributes::{Attributes, Target};
use std::borrow::Cow;
use std::collections::HashMap;

/// A role's rules, and for every resource the rules that name it.
#[derive(Debug)]
pub(super) struct CompiledRole {
    rules: Vec<PolicyRule>,
    by_resource: HashMap<Box<str>, Vec<u32>>,
    /// Rules with `*` or `*/SUBRESOURCE`.
    by_pattern: Vec<u32>,
    by_path: Vec<u32>,
}

/// A question with the parts that every rule needs computed once.
pub(super) struct Question<'a> {
    verb: &'a str,
    target: Target<'a>,
    /// `RESOURCE[/SUBRESOURCE]`.
    full: Cow<'a, str>,
}

impl<'a> Question<'a> {
    pub(super) fn new(attributes: &Attributes<'a>) -> Self {
        let full = match attributes.target {
            Target::Path(_) => Cow::Borrowed(""),
            Target::Resource(target) if target.subresource.is_empty() => Cow::Borrowed(target.resource),
            Target::Resource(target) => Cow::Owned([target.resource, "/", target.subresource].concat()),
        };
        Self { verb: attributes.verb, target: attributes.target, full }
    }

    fn is_allowed_by(&self, rule: &PolicyRule) -> bool {
        match self.target {
            Target::Path(path) => rule.allows_verb(self.verb) && rule.allows_path(path),
            Target::Resource(target) => {
                rule.allows_verb(self.verb)
                    && rule.allows_group(target.group)
                    && rule.allows_resource(&self.full, target.subresource)
                    && rule.allows_name(target.name)
            }
        }
    }
}

impl CompiledRole {
    pub(super) fn new(rules: Vec<PolicyRule>) -> Self {
        let mut role =
            Self { rules: Vec::new(), by_resource: HashMap::new(), by_pattern: Vec::new(), by_path: Vec::new() };
        for (index, rule) in (0..).zip(&rules) {
            for resource in &rule.resources {
                if resource == "*" || resource.starts_with("*/") {
                    role.by_pattern.push(index);
                } else {
                    role.by_resource.entry(resource.as_str().into()).or_default().push(index);
                }
            }
            if !rule.non_resource_urls.is_empty() {
                role.by_path.push(index);
            }
        }
        role.rules = rules;
        role
    }

    pub(super) fn rules(&self) -> &[PolicyRule] {
        &self.rules
    }

    pub(super) fn allows(&self, question: &Question<'_>) -> bool {
        let allowed = |index: &u32| question.is_allowed_by(&self.rules[*index as usize]);
        match question.target {
            Target::Path(_) => self.by_path.iter().any(allowed),
            Target::Resource(_) => {
                self.by_pattern.iter().any(allowed)
                    || self.by_resource.get(&*question.full).is_some_and(|rules| rules.iter().any(allowed))
            }
        }
    }
}
