//! Rights to custom kinds in a member: joining cannot know them, so the hub adds them when a definition of its own arrives.
//!
//! Two roles that joining makes and binds hold one rule a kind; the hub may change these two and no other.
//! Knows nothing of definitions: whoever calls decides that a kind may be reached.

use federation_types::{Gvr, text};
use hub_client::{ApiError, Caller, WriteOptions};
use serde_json::{Value, json};

pub(crate) const RBAC: &str = "rbac.authorization.k8s.io/v1";

/// The roles and what they allow: the hub sees, its executor writes.
pub(crate) const ROLES: [(&str, &[&str]); 2] = [
    ("fedgate:hub:custom", &["get", "list", "watch"]),
    ("fedgate:executor:custom", &["get", "list", "watch", "create", "update", "patch", "delete"]),
];

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

    use super::{with, without};

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
