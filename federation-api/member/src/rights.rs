//! Rights to custom kinds in a member: joining cannot know them, so the hub adds them when a definition of its own arrives.
//!
//! Two roles that joining makes and binds hold one rule a kind; the hub may change these two and no other, and a policy
//! that joining leaves in the member keeps it to rules of this form. Knows nothing of definitions: whoever calls decides
//! that a kind may be reached.

use federation_types::{Gvr, text};
use hub_client::{ApiError, Caller, Collection, WriteOptions};
use serde_json::{Value, json};

pub(crate) const RBAC: &str = "rbac.authorization.k8s.io/v1";

/// What the executor may do with custom kinds; nobody gets more.
const WRITE: &[&str] = &["get", "list", "watch", "create", "update", "patch", "delete"];

/// The roles and what they allow: the executor writes, the hub sees. The hub's is changed last, both ways: while it has a
/// right, the executor's may be half given or half taken, and is given or taken once more.
pub(crate) const ROLES: [(&str, &[&str]); 2] =
    [("fedgate:executor:custom", WRITE), ("fedgate:hub:custom", &["get", "list", "watch"])];

/// Groups with a dot in their name that are Kubernetes' own: a definition is no way to their kinds.
const OF_KUBERNETES: &[&str] = &[
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "custom.metrics.k8s.io",
    "discovery.k8s.io",
    "events.k8s.io",
    "external.metrics.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "imagepolicy.k8s.io",
    "internal.apiserver.k8s.io",
    "lifecycle.k8s.io",
    "metrics.k8s.io",
    "networking.k8s.io",
    "node.k8s.io",
    "rbac.authorization.k8s.io",
    "resource.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
    "storagemigration.k8s.io",
];

/// Whether a definition may lead to rights in a group.
#[must_use]
pub fn is_custom(group: &str) -> bool {
    group.contains('.') && !group.contains('*') && !OF_KUBERNETES.contains(&group)
}

pub(crate) fn roles() -> Gvr {
    Gvr::new(RBAC, "clusterroles")
}

/// Adds a kind to both roles; says whether it was missing in one.
///
/// # Errors
/// As the member answers: 404 where it was joined without the roles, 403 where its administrators keep them,
/// 409 where somebody else was faster.
pub async fn grant(hub: &Caller, group: &str, resource: &str) -> Result<bool, ApiError> {
    change(hub, |role, verbs| with(role, group, resource, verbs)).await
}

/// Takes a kind out of both roles; says whether it was in one.
///
/// # Errors
/// As [`grant`].
pub async fn revoke(hub: &Caller, group: &str, resource: &str) -> Result<bool, ApiError> {
    change(hub, |role, _| without(role, group, resource)).await
}

/// Whether another server of the member answers for a version of the group: its kinds are not those that were defined.
///
/// # Errors
/// As the member answers: 403 where it was joined before the hub might ask.
pub async fn is_elsewhere(hub: &Caller, group: &str) -> Result<bool, ApiError> {
    let all = hub.list(&Collection::all(Gvr::new("apiregistration.k8s.io/v1", "apiservices"))).await?;
    let theirs =
        |of: &Value| text::str_at(of, &["spec", "group"]) == group && text::at(of, &["spec", "service"]).is_some();
    Ok(all.items.iter().any(theirs))
}

/// The policy that keeps the hub's account to single custom kinds, and its binding.
pub(crate) fn guard(account: &str) -> [(Gvr, Value); 2] {
    const NAME: &str = "fedgate-custom-kinds";
    const API: &str = "admissionregistration.k8s.io/v1";
    let rule = format!(
        "has(r.apiGroups) && has(r.resources) && !has(r.nonResourceURLs) \
         && r.apiGroups.all(g, g.contains('.') && !g.contains('*') && !(g in {OF_KUBERNETES:?})) \
         && r.resources.all(x, !x.contains('*')) && r.verbs.all(v, v in {WRITE:?})"
    );
    let policy = json!({
        "apiVersion": API, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": NAME},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": [{
                "apiGroups": ["rbac.authorization.k8s.io"], "apiVersions": ["*"], "operations": ["UPDATE"],
                "resources": ["clusterroles"], "resourceNames": ROLES.map(|(name, _)| name),
            }]},
            "matchConditions": [{"name": "the-hub", "expression": format!("request.userInfo.username == '{account}'")}],
            "validations": [{
                "expression": format!("!has(object.aggregationRule) && (!has(object.rules) || object.rules == null || object.rules.all(r, {rule}))"),
                "message": "the hub may add single custom kinds here, and nothing else",
            }],
        },
    });
    let binding = json!({
        "apiVersion": API, "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": NAME},
        "spec": {"policyName": NAME, "validationActions": ["Deny"]},
    });
    [
        (Gvr::new(API, "validatingadmissionpolicies"), policy),
        (Gvr::new(API, "validatingadmissionpolicybindings"), binding),
    ]
}

async fn change(hub: &Caller, next: impl Fn(&Value, &[&str]) -> Option<Value>) -> Result<bool, ApiError> {
    let mut changed = false;
    for (name, verbs) in ROLES {
        let found = hub.get(&roles(), "", name).await?;
        let role = found.ok_or_else(|| ApiError::Status {
            code: 404,
            reason: "NotFound".to_owned(),
            message: format!("clusterroles.rbac.authorization.k8s.io \"{name}\" not found"),
            retry_after: None,
            causes: Vec::new(),
        })?;
        if let Some(role) = next(&role, verbs) {
            hub.replace(&roles(), &role, &WriteOptions::default()).await?;
            changed = true;
        }
    }
    Ok(changed)
}

/// The role with a rule for the kind; none where it has one.
fn with(role: &Value, group: &str, resource: &str, verbs: &[&str]) -> Option<Value> {
    if text::list_at(role, &["rules"]).any(|rule| is_of(rule, group, resource)) {
        return None;
    }
    let rule = json!({"apiGroups": [group], "resources": [resource], "verbs": verbs});
    let rules: Vec<Value> = text::list_at(role, &["rules"]).cloned().chain([rule]).collect();
    Some(ruled(role, rules))
}

/// The role without the kind's rule; none where it has none.
fn without(role: &Value, group: &str, resource: &str) -> Option<Value> {
    let all = text::list_at(role, &["rules"]).count();
    let rules: Vec<Value> =
        text::list_at(role, &["rules"]).filter(|rule| !is_of(rule, group, resource)).cloned().collect();
    (rules.len() < all).then(|| ruled(role, rules))
}

fn ruled(role: &Value, rules: Vec<Value>) -> Value {
    let mut role = role.clone();
    role["rules"] = rules.into();
    role
}

fn is_of(rule: &Value, group: &str, resource: &str) -> bool {
    rule["apiGroups"] == json!([group]) && rule["resources"] == json!([resource])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{is_custom, with, without};

    #[test]
    fn what_kubernetes_serves_is_no_custom_kind() {
        for group in ["", "apps", "batch", "rbac.authorization.k8s.io", "metrics.k8s.io", "*", "*.example"] {
            assert!(!is_custom(group), "{group}");
        }
        for group in ["example.com", "gateway.networking.k8s.io", "snapshot.storage.k8s.io"] {
            assert!(is_custom(group), "{group}");
        }
    }

    #[test]
    fn a_kind_is_in_a_role_once_and_leaves_the_others_alone() {
        let bare = json!({"kind": "ClusterRole", "metadata": {"name": "x"}});
        let one = with(&bare, "a.example", "widgets", &["get"]).expect("it was missing");
        assert_eq!(one["rules"], json!([{"apiGroups": ["a.example"], "resources": ["widgets"], "verbs": ["get"]}]));
        assert_eq!(with(&one, "a.example", "widgets", &["get"]), None, "there is one");
        let two = with(&one, "b.example", "widgets", &["get"]).expect("another group is another kind");
        assert_eq!(without(&two, "b.example", "widgets"), Some(one.clone()));
        assert_eq!(without(&one, "b.example", "widgets"), None);
        assert_eq!(without(&bare, "a.example", "widgets"), None);
    }
}
