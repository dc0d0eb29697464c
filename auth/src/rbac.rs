//! Role-based access control: stored Roles and Bindings, compiled into an index by subject.
//!
//! The index is immutable and rebuilt as a whole when a Role or Binding changes; a request reads it without a lock.
//! Must not know where the objects come from.

mod aggregate;
mod compiled;
mod cover;
mod object;
mod rule;

pub use aggregate::aggregated_rules;
pub use cover::{covers, missing_rights};
pub use object::{RbacObject, RejectedObject, RoleRef, Subject};
pub use rule::PolicyRule;

use crate::attributes::{Attributes, Target, quoted};
use crate::authorize::{AuthorizationError, Authorizer, Decision, Reason};
use crate::user::{ServiceAccountName, UserInfo};
use arc_swap::ArcSwap;
use async_trait::async_trait;
use compiled::{CompiledRole, Question};
use object::{Binding, ClusterRole};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// All grants of a server, by the subject they are made to.
#[derive(Debug, Default)]
pub struct RbacRules {
    users: HashMap<Box<str>, Grants>,
    groups: HashMap<Box<str>, Grants>,
    cluster_roles: BTreeMap<Box<str>, Arc<CompiledRole>>,
    roles: BTreeMap<(Box<str>, Box<str>), Arc<CompiledRole>>,
}

/// The rules that apply to one user in one namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppliedRules {
    pub rules: Vec<PolicyRule>,
    /// Whether an authorizer could not enumerate its policy.
    pub incomplete: bool,
    /// Bindings that name a role which does not exist.
    pub errors: Vec<String>,
}

/// RBAC as an authorizer over the current rules.
pub struct RbacAuthorizer {
    rules: ArcSwap<RbacRules>,
}

/// What one subject was granted.
#[derive(Debug, Default)]
struct Grants {
    everywhere: Vec<Grant>,
    by_namespace: HashMap<Box<str>, Vec<Grant>>,
}

/// One binding, seen from one of its subjects.
#[derive(Clone, Debug)]
struct Grant {
    /// The role, or the message that it does not exist.
    role: Result<Arc<CompiledRole>, Arc<str>>,
    reason: Reason,
}

impl RbacRules {
    /// Compiles all Roles, ClusterRoles, RoleBindings and ClusterRoleBindings of a server.
    ///
    /// Aggregated ClusterRoles get the rules of all that their selectors match, also when nobody has written them out.
    /// A binding to a role that does not exist grants nothing, and says so as the reason of a denial.
    pub fn build(objects: impl IntoIterator<Item = RbacObject>) -> Self {
        let mut cluster_roles = Vec::new();
        let mut rules = Self::default();
        let mut bindings = Vec::new();
        for object in objects {
            match object {
                RbacObject::ClusterRole(role) => cluster_roles.push(role),
                RbacObject::Role { namespace, name, rules: own } => {
                    let role = Arc::new(CompiledRole::new(own));
                    rules.roles.insert((namespace.into(), name.into()), role);
                }
                RbacObject::Binding(binding) => bindings.push(binding),
            }
        }
        rules.cluster_roles = compile(&cluster_roles);
        // The reason of an allowed request shall not depend on the order in which objects were listed.
        bindings.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        for binding in &bindings {
            rules.grant(binding);
        }
        rules
    }

    /// Allows, or has no opinion; RBAC never denies.
    pub fn authorize(&self, attributes: &Attributes<'_>) -> Decision {
        let question = Question::new(attributes);
        let namespace = match attributes.target {
            Target::Resource(target) => target.namespace,
            Target::Path(_) => "",
        };
        let mut dangling: Vec<&str> = Vec::new();
        for grant in self.grants(attributes.user, namespace) {
            match &grant.role {
                Ok(role) if role.allows(&question) => {
                    return Decision::Allow { reason: grant.reason.clone() };
                }
                Ok(_) => {}
                Err(message) => dangling.push(message),
            }
        }
        Decision::NoOpinion { reason: dangling_reason(&dangling) }
    }

    /// Every rule that applies to `user` in `namespace`; empty: only those that apply everywhere.
    pub fn rules_for(&self, user: &UserInfo, namespace: &str) -> AppliedRules {
        let mut applied = AppliedRules::default();
        for grant in self.grants(user, namespace) {
            match &grant.role {
                Ok(role) => applied.rules.extend(role.rules().iter().cloned()),
                Err(message) => applied.errors.push(message.to_string()),
            }
        }
        applied
    }

    /// The rules of the role that a binding in `namespace` (empty: a ClusterRoleBinding) names.
    ///
    /// # Errors
    /// The message that the role does not exist, or is of a kind that cannot be bound.
    pub fn role_rules(&self, role: &RoleRef, namespace: &str) -> Result<&[PolicyRule], String> {
        self.role(role, namespace).map(|role| role.rules())
    }

    fn role(&self, role: &RoleRef, namespace: &str) -> Result<&Arc<CompiledRole>, String> {
        let RoleRef { kind, name, .. } = role;
        let found = match kind.as_str() {
            "ClusterRole" => self.cluster_roles.get(name.as_str()),
            "Role" => self.roles.get(&(namespace.into(), name.as_str().into())),
            other => return Err(format!("unsupported role reference kind: {}", quoted(other))),
        };
        found.ok_or_else(|| {
            let resource = kind.to_ascii_lowercase();
            format!("{resource}.rbac.authorization.k8s.io {} not found", quoted(name))
        })
    }

    fn grants<'a>(&'a self, user: &'a UserInfo, namespace: &'a str) -> impl Iterator<Item = &'a Grant> {
        let own = self.users.get(user.name.as_str()).into_iter();
        let shared = user.groups.iter().filter_map(|group| self.groups.get(group.as_str()));
        let all = own.chain(shared);
        let everywhere = all.clone().flat_map(|grants| &grants.everywhere);
        let here = all
            .filter(move |_| !namespace.is_empty())
            .filter_map(move |grants| grants.by_namespace.get(namespace))
            .flatten();
        everywhere.chain(here)
    }

    fn grant(&mut self, binding: &Binding) {
        let role = self.role(&binding.role_ref, &binding.namespace).cloned().map_err(Arc::from);
        for subject in &binding.subjects {
            let Some((index, key)) = self.index_of(subject, &binding.namespace) else { continue };
            let reason = format!("RBAC: allowed by {}", describe(binding, subject));
            let grant = Grant { role: role.clone(), reason: reason.into() };
            let grants = index.entry(key.into()).or_default();
            if binding.namespace.is_empty() {
                grants.everywhere.push(grant);
            } else {
                grants.by_namespace.entry(binding.namespace.as_str().into()).or_default().push(grant);
            }
        }
    }

    /// Where a subject's grants are kept; `None` for a subject that can match nobody.
    fn index_of(&mut self, subject: &Subject, namespace: &str) -> Option<(&mut HashMap<Box<str>, Grants>, String)> {
        match subject.kind.as_str() {
            "User" => Some((&mut self.users, subject.name.clone())),
            "Group" => Some((&mut self.groups, subject.name.clone())),
            "ServiceAccount" => {
                let namespace = subject.namespace_or(namespace);
                (!namespace.is_empty())
                    .then(|| (&mut self.users, ServiceAccountName::new(namespace, &subject.name).to_string()))
            }
            _ => None,
        }
    }
}

impl RbacAuthorizer {
    /// An authorizer that starts with `rules`.
    pub fn new(rules: RbacRules) -> Self {
        Self { rules: ArcSwap::from_pointee(rules) }
    }

    /// Puts new rules in force for every request that is authorized from now on.
    pub fn replace(&self, rules: RbacRules) {
        self.rules.store(Arc::new(rules));
    }

    /// The rules in force.
    pub fn rules(&self) -> Arc<RbacRules> {
        self.rules.load_full()
    }
}

#[async_trait]
impl Authorizer for RbacAuthorizer {
    async fn authorize(&self, attributes: &Attributes<'_>) -> Result<Decision, AuthorizationError> {
        Ok(self.rules.load().authorize(attributes))
    }

    fn rules_for(&self, user: &UserInfo, namespace: &str) -> AppliedRules {
        self.rules.load().rules_for(user, namespace)
    }
}

fn compile(cluster_roles: &[ClusterRole]) -> BTreeMap<Box<str>, Arc<CompiledRole>> {
    cluster_roles
        .iter()
        .map(|role| {
            let mut rules = role.rules.clone();
            for gathered in aggregate::gathered(role, cluster_roles) {
                if !rules.contains(gathered) {
                    rules.push(gathered.clone());
                }
            }
            (role.name.as_str().into(), Arc::new(CompiledRole::new(rules)))
        })
        .collect()
}

fn dangling_reason(messages: &[&str]) -> Reason {
    match messages {
        [] => Reason::default(),
        [one] => format!("RBAC: {one}").into(),
        many => format!("RBAC: [{}]", many.join(", ")).into(),
    }
}

/// Source: `describeSubject` and the binding describers of upstream's `pkg/registry/rbac/validation/rule.go`.
fn describe(binding: &Binding, subject: &Subject) -> String {
    let RoleRef { kind, name: role, .. } = &binding.role_ref;
    let (what, binding_name) = match binding.namespace.as_str() {
        "" => ("ClusterRoleBinding", binding.name.clone()),
        namespace => ("RoleBinding", format!("{}/{namespace}", binding.name)),
    };
    let to = match subject.kind.as_str() {
        "ServiceAccount" => {
            format!("{}/{}", subject.name, subject.namespace_or(&binding.namespace))
        }
        _ => subject.name.clone(),
    };
    let (binding_name, role, to) = (quoted(&binding_name), quoted(role), quoted(&to));
    format!("{what} {binding_name} of {kind} {role} to {} {to}", subject.kind)
}

#[cfg(test)]
mod tests;
