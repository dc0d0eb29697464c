//! Nobody may grant what he does not hold: the check before a Role or Binding is written.
//!
//! Reads the rules in force and asks the authorizers for `escalate` and `bind`; writes nothing.

use crate::attributes::{Attributes, ResourceAttributes, quoted};
use crate::authorize::Authorizer;
use crate::rbac::{PolicyRule, RbacRules, RoleRef, covers, missing_rights};
use crate::user::{PRIVILEGED_GROUP, UserInfo};
use serde::Deserialize;
use serde_json::Value;

const GROUP: &str = "rbac.authorization.k8s.io";
/// Fields that garbage collection and bookkeeping may change without granting anything.
const BOOKKEEPING: [&str; 5] = ["ownerReferences", "finalizers", "managedFields", "resourceVersion", "generation"];

/// The write of one Role, ClusterRole, RoleBinding or ClusterRoleBinding.
#[derive(Clone, Copy, Debug)]
pub struct GrantingWrite<'a> {
    pub user: &'a UserInfo,
    pub new: &'a Value,
    /// The stored object that is replaced.
    pub old: Option<&'a Value>,
}

/// A write that would hand out more than its author holds: answer 403 with this message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Escalation {
    pub message: String,
}

/// What a write grants.
enum Grants {
    Rules { resource: &'static str, rules: Vec<PolicyRule>, aggregates: bool },
    Role { resource: &'static str, role: RoleRef },
}

impl GrantingWrite<'_> {
    /// Refuses the write if it grants rights that its author does not hold, and no authorizer lets him.
    ///
    /// Members of `system:masters` pass. Edits of bookkeeping alone pass. Label edits do not: a label can put a role's
    /// rules into an aggregated one. What is no object of RBAC passes.
    ///
    /// # Errors
    /// [`Escalation`] when it is refused, with upstream's text; also when the object cannot be read, because then
    /// nobody knows what it grants.
    ///
    /// Source: upstream's `pkg/registry/rbac/{role,clusterrole,rolebinding,clusterrolebinding}/policybased`.
    pub async fn check(&self, authorizer: &dyn Authorizer, rules: &RbacRules) -> Result<(), Escalation> {
        let Self { user, new, old } = *self;
        if user.is_in(PRIVILEGED_GROUP) || old.is_some_and(|old| is_only_bookkeeping(old, new)) {
            return Ok(());
        }
        let name = new.pointer("/metadata/name").and_then(Value::as_str).unwrap_or("");
        let namespace = new.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or("");
        let grants = match Grants::read(new, old) {
            Ok(Some(grants)) => grants,
            Ok(None) => return Ok(()),
            Err(error) => return Err(refused("roles", name, &error.to_string())),
        };
        let (verb, asked) = grants.lifting_right(name);
        let target = ResourceAttributes { namespace, group: GROUP, version: "*", ..asked };
        match authorizer.authorize(&Attributes::resource(user, verb, target)).await {
            Ok(decision) if decision.is_allowed() => return Ok(()),
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, verb, "authorizer failed"),
        }
        let held = rules.rules_for(user, namespace);
        match grants {
            Grants::Rules { resource, rules: wanted, aggregates } => {
                confirm(user, &held.rules, &wanted).map_err(|why| refused(resource, name, &why))?;
                if aggregates && !covers(&held.rules, &PolicyRule::full_authority()).is_empty() {
                    let why = "must have cluster-admin privileges to use the aggregationRule";
                    return Err(refused(resource, name, why));
                }
                Ok(())
            }
            Grants::Role { resource, role } => rules
                .role_rules(&role, namespace)
                .and_then(|wanted| confirm(user, &held.rules, wanted))
                .map_err(|why| refused(resource, name, &why)),
        }
    }
}

impl Grants {
    fn read(new: &Value, old: Option<&Value>) -> Result<Option<Self>, serde_json::Error> {
        let rules = |resource| -> Result<_, serde_json::Error> {
            let rules = match &new["rules"] {
                Value::Null => Vec::new(),
                rules => Vec::deserialize(rules)?,
            };
            let aggregates = has_aggregation(new) || old.is_some_and(has_aggregation);
            Ok(Some(Self::Rules { resource, rules, aggregates }))
        };
        let role = |resource| -> Result<_, serde_json::Error> {
            let role = RoleRef::deserialize(&new["roleRef"])?;
            Ok(Some(Self::Role { resource, role }))
        };
        match new["kind"].as_str() {
            Some("Role") => rules("roles"),
            Some("ClusterRole") => rules("clusterroles"),
            Some("RoleBinding") => role("rolebindings"),
            Some("ClusterRoleBinding") => role("clusterrolebindings"),
            _ => Ok(None),
        }
    }

    /// The verb and object that somebody needs to be let through without holding the rights.
    fn lifting_right<'a>(&'a self, name: &'a str) -> (&'static str, ResourceAttributes<'a>) {
        let on = |resource, name| ResourceAttributes { resource, name, ..ResourceAttributes::default() };
        match self {
            Self::Rules { resource, .. } => ("escalate", on(resource, name)),
            Self::Role { role, .. } if role.kind == "Role" => ("bind", on("roles", &role.name)),
            Self::Role { role, .. } => ("bind", on("clusterroles", &role.name)),
        }
    }
}

fn confirm(user: &UserInfo, held: &[PolicyRule], wanted: &[PolicyRule]) -> Result<(), String> {
    let missing = covers(held, wanted);
    if missing.is_empty() {
        return Ok(());
    }
    let groups: Vec<_> = user.groups.iter().map(|group| quoted(group)).collect();
    Err(format!(
        "user {} (groups=[{}]) is attempting to grant RBAC permissions not currently held:\n{}",
        quoted(&user.name),
        groups.join(" "),
        missing_rights(&missing)
    ))
}

fn refused(resource: &str, name: &str, why: &str) -> Escalation {
    let target = ResourceAttributes { group: GROUP, resource, name, ..ResourceAttributes::default() };
    Escalation { message: format!("{}{why}", target.forbidden_prefix()) }
}

fn has_aggregation(role: &Value) -> bool {
    role.pointer("/aggregationRule/clusterRoleSelectors")
        .and_then(Value::as_array)
        .is_some_and(|selectors| !selectors.is_empty())
}

fn is_only_bookkeeping(old: &Value, new: &Value) -> bool {
    let content = |object: &Value| {
        let mut object = object.clone();
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            for field in BOOKKEEPING {
                metadata.remove(field);
            }
        }
        object
    };
    content(old) == content(new)
}

#[cfg(test)]
mod tests;
