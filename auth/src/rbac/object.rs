//! Roles and Bindings as they are stored, reduced to what decides.
//!
//! Decoding only; an object that cannot be read is refused by name and never half-read.

use super::rule::PolicyRule;
use federation_schema::field::{FieldPath, aggregate};
use federation_schema::selector::LabelSelector;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::collections::BTreeMap;

/// One stored object that takes part in RBAC.
#[derive(Clone, Debug)]
pub enum RbacObject {
    ClusterRole(ClusterRole),
    Role { namespace: String, name: String, rules: Vec<PolicyRule> },
    Binding(Binding),
}

/// What a binding refers to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RoleRef {
    #[serde(default)]
    pub api_group: String,
    pub kind: String,
    pub name: String,
}

/// Whom a binding grants to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Subject {
    pub kind: String,
    pub name: String,
    /// Of service accounts; empty in a RoleBinding means the binding's own.
    #[serde(default, deserialize_with = "nullable")]
    pub namespace: String,
}

/// An object that takes no part, and why.
#[derive(Debug, thiserror::Error)]
pub enum RejectedObject {
    #[error("{kind:?} is no kind of rbac.authorization.k8s.io that decides")]
    Kind { kind: String },
    #[error("{kind} {name:?} cannot be read")]
    Malformed { kind: String, name: String, source: serde_json::Error },
    #[error("not a JSON object with a kind")]
    NotAnObject(#[source] serde_json::Error),
    #[error("ClusterRole {name:?}: {why}")]
    Selector { name: String, why: String },
    #[error("{kind} {name:?} has {found} namespace")]
    Scope { kind: String, name: String, found: &'static str },
}

/// A ClusterRole with its aggregation.
#[derive(Clone, Debug)]
pub struct ClusterRole {
    pub(super) name: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) rules: Vec<PolicyRule>,
    pub(super) selectors: Vec<LabelSelector>,
}

/// A RoleBinding, or with an empty namespace a ClusterRoleBinding.
#[derive(Clone, Debug)]
pub struct Binding {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) role_ref: RoleRef,
    pub(super) subjects: Vec<Subject>,
}

#[derive(Deserialize)]
struct Head {
    kind: String,
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
    #[serde(default, deserialize_with = "nullable")]
    namespace: String,
    #[serde(default, deserialize_with = "nullable")]
    labels: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RoleBody {
    #[serde(default, deserialize_with = "nullable")]
    rules: Vec<PolicyRule>,
    #[serde(default)]
    aggregation_rule: Option<AggregationRule>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AggregationRule {
    #[serde(default, deserialize_with = "nullable")]
    cluster_role_selectors: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BindingBody {
    role_ref: RoleRef,
    #[serde(default, deserialize_with = "nullable")]
    subjects: Vec<Subject>,
}

impl RbacObject {
    /// Reads one object from its JSON bytes.
    ///
    /// # Errors
    /// [`RejectedObject`] when it is no Role, ClusterRole, RoleBinding or ClusterRoleBinding, or is malformed.
    pub fn from_slice(json: &[u8]) -> Result<Self, RejectedObject> {
        let value = serde_json::from_slice(json).map_err(RejectedObject::NotAnObject)?;
        Self::from_value(&value)
    }

    /// Reads one object from its JSON tree.
    ///
    /// # Errors
    /// As [`RbacObject::from_slice`].
    pub fn from_value(value: &Value) -> Result<Self, RejectedObject> {
        let Head { kind, metadata } = Head::deserialize(value).map_err(RejectedObject::NotAnObject)?;
        let Metadata { name, namespace, labels } = metadata;
        let cluster_wide = match kind.as_str() {
            "ClusterRole" | "ClusterRoleBinding" => true,
            "Role" | "RoleBinding" => false,
            _ => return Err(RejectedObject::Kind { kind }),
        };
        if namespace.is_empty() != cluster_wide {
            // A binding on the wrong side would grant everywhere, or nowhere.
            let found = if cluster_wide { "a" } else { "no" };
            return Err(RejectedObject::Scope { kind, name, found });
        }
        let malformed = |source| RejectedObject::Malformed { kind: kind.clone(), name: name.clone(), source };
        Ok(match kind.as_str() {
            "ClusterRole" => {
                let body = RoleBody::deserialize(value).map_err(malformed)?;
                let selectors = selectors(body.aggregation_rule)
                    .map_err(|why| RejectedObject::Selector { name: name.clone(), why })?;
                Self::ClusterRole(ClusterRole { name, labels, rules: body.rules, selectors })
            }
            "Role" => {
                let RoleBody { rules, .. } = RoleBody::deserialize(value).map_err(malformed)?;
                Self::Role { namespace, name, rules }
            }
            _ => {
                let BindingBody { role_ref, subjects } = BindingBody::deserialize(value).map_err(malformed)?;
                Self::Binding(Binding { namespace, name, role_ref, subjects })
            }
        })
    }
}

impl Subject {
    /// The namespace of a service account, which in a RoleBinding defaults to the binding's.
    pub(super) fn namespace_or<'a>(&'a self, binding: &'a str) -> &'a str {
        if self.namespace.is_empty() { binding } else { &self.namespace }
    }
}

fn selectors(rule: Option<AggregationRule>) -> Result<Vec<LabelSelector>, String> {
    let root = FieldPath::root("aggregationRule");
    let path = root.child("clusterRoleSelectors");
    let selectors = rule.map_or_else(Vec::new, |rule| rule.cluster_role_selectors);
    let parsed = selectors.iter().enumerate().map(|(i, selector)| LabelSelector::from_object(selector, &path.index(i)));
    parsed.collect::<Result<_, _>>().map_err(|errors| aggregate(&errors))
}

/// Reads `null` as absent, as every Kubernetes client may send it.
pub(super) fn nullable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    let value: Option<T> = Option::deserialize(deserializer)?;
    Ok(value.unwrap_or_default())
}
