//! Making a cluster a member: what the hub needs inside of it, created with the joining user's own rights.
//!
//! Idempotent: everything is applied, nothing is deleted. Knows nothing of the hub's side of a registration.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use federation_types::{Gvr, label, text};
use hub_client::{ApiError, Caller, WriteOptions};
use serde_json::{Value, json};

use crate::IDENTITY_NAMESPACE;
use crate::credentials::Credentials;
use crate::rights::{self, RBAC};

/// Service account of the hub in a member.
pub const HUB_ACCOUNT: &str = "fedgate-hub";
/// Field manager of what joining creates.
pub const FIELD_MANAGER: &str = "fedgate-join";
/// How long the member's token controller gets to fill the account's Secret.
pub const TOKEN_WAIT: Duration = Duration::from_secs(5);
/// Life of a requested token where the member has no token controller, in seconds: a year.
pub const TOKEN_LIFE: u64 = 365 * 24 * 3600;

/// What a member says of itself before anything is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// UID of kube-system.
    pub uid: String,
    /// `gitVersion`.
    pub version: String,
}

/// How far the hub's rights in the member go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Permissions {
    /// See, never write.
    Read,
    /// See everything but other people's Secrets; write workloads, configuration and networking as the executor.
    #[default]
    Apply,
    /// The executor may do everything.
    Admin,
}

/// Asks the cluster who it is.
///
/// # Errors
/// If it does not answer or does not let this caller in.
pub async fn probe(cluster_admin: &Caller) -> Result<Probe, ApiError> {
    let version = cluster_admin.get_path("/version").await?;
    let found = cluster_admin.get(&Gvr::new("v1", "namespaces"), "", IDENTITY_NAMESPACE).await?;
    let uid = found.as_ref().map(text::uid).unwrap_or_default().to_owned();
    if uid.is_empty() {
        return Err(ApiError::Protocol(format!("no namespace {IDENTITY_NAMESPACE}: this is no Kubernetes cluster")));
    }
    Ok(Probe { uid, version: text::str_at(&version, &["gitVersion"]).to_owned() })
}

/// What joining applies in the member, in this order.
#[must_use]
pub fn objects(permissions: Permissions) -> Vec<(Gvr, Value)> {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": label::SYSTEM_NAMESPACE}});
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": HUB_ACCOUNT, "namespace": label::SYSTEM_NAMESPACE}});
    let hub = json!({"kind": "ServiceAccount", "name": HUB_ACCOUNT, "namespace": label::SYSTEM_NAMESPACE});
    let mut all = vec![
        (Gvr::new("v1", "namespaces"), namespace),
        (Gvr::new("v1", "serviceaccounts"), account),
        (rights::roles(), role("fedgate:hub", hub_rules(permissions))),
        (bindings(), binding("fedgate:hub", &hub)),
    ];
    let executor = match permissions {
        Permissions::Read => return all,
        Permissions::Apply => executor_rules(),
        Permissions::Admin => json!([
            {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
            {"nonResourceURLs": ["*"], "verbs": ["*"]},
        ]),
    };
    let user = json!({"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": label::DEFAULT_EXECUTOR});
    all.push((rights::roles(), role("fedgate:executor", executor)));
    all.push((bindings(), binding("fedgate:executor", &user)));
    // Without rules: those that the hub adds later stay when a member joins again.
    for ((name, _), subject) in rights::ROLES.into_iter().zip([&user, &hub]) {
        all.push((rights::roles(), json!({"apiVersion": RBAC, "kind": "ClusterRole", "metadata": {"name": name}})));
        all.push((bindings(), binding(name, subject)));
    }
    all.extend(rights::guard(&label::component_user(HUB_ACCOUNT)));
    all
}

/// Applies [`objects`] and returns credentials of the hub's account.
///
/// # Errors
/// The first object that the member refuses, named.
pub async fn join(cluster_admin: &Caller, permissions: Permissions) -> Result<Credentials, ApiError> {
    prepare(cluster_admin, permissions).await?;
    match token_secret(cluster_admin).await? {
        Some(token) => Ok(Credentials::Token(token)),
        None => requested_token(cluster_admin).await.map(Credentials::Token),
    }
}

/// As [`join`] for a member that has no token controller: the token is asked for at once.
///
/// # Errors
/// As [`join`].
pub async fn join_simulated(member_admin: &Caller) -> Result<Credentials, ApiError> {
    prepare(member_admin, Permissions::default()).await?;
    requested_token(member_admin).await.map(Credentials::Token)
}

async fn prepare(cluster_admin: &Caller, permissions: Permissions) -> Result<(), ApiError> {
    let how = WriteOptions { field_manager: FIELD_MANAGER, force: true, ..WriteOptions::default() };
    for (gvr, object) in objects(permissions) {
        match cluster_admin.apply(&gvr, &object, &how).await {
            // A member from before Kubernetes 1.30 knows no such policies.
            Err(error) if error.is_not_found() && gvr.group == "admissionregistration.k8s.io" => {}
            answer => drop(answer.map_err(|error| named(&object, error))?),
        }
    }
    Ok(())
}

async fn token_secret(cluster_admin: &Caller) -> Result<Option<String>, ApiError> {
    let how = WriteOptions { field_manager: FIELD_MANAGER, force: true, ..WriteOptions::default() };
    let secrets = Gvr::new("v1", "secrets");
    let wanted = json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token",
        "metadata": {"name": HUB_ACCOUNT, "namespace": label::SYSTEM_NAMESPACE,
            "annotations": {"kubernetes.io/service-account.name": HUB_ACCOUNT}}});
    cluster_admin.apply(&secrets, &wanted, &how).await.map_err(|e| named(&wanted, e))?;
    let deadline = tokio::time::Instant::now() + TOKEN_WAIT;
    loop {
        let found = cluster_admin.get(&secrets, label::SYSTEM_NAMESPACE, HUB_ACCOUNT).await?;
        let encoded = found.as_ref().map(|s| text::str_at(s, &["data", "token"])).unwrap_or_default();
        if !encoded.is_empty() {
            let token = STANDARD.decode(encoded).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            return token.map(Some).ok_or_else(|| ApiError::Protocol("the account's token is not text".to_owned()));
        }
        if tokio::time::Instant::now() >= deadline {
            return Ok(None);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn requested_token(cluster_admin: &Caller) -> Result<String, ApiError> {
    let path = format!("/api/v1/namespaces/{}/serviceaccounts/{HUB_ACCOUNT}/token", label::SYSTEM_NAMESPACE);
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
        "spec": {"expirationSeconds": TOKEN_LIFE}});
    let answer = cluster_admin.post(&path, &request).await?;
    let token = text::str_at(&answer, &["status", "token"]);
    if token.is_empty() {
        return Err(ApiError::Protocol("the member issued no token".to_owned()));
    }
    Ok(token.to_owned())
}

fn named(object: &Value, error: ApiError) -> ApiError {
    let what = format!("{} {}", text::str_at(object, &["kind"]), text::name(object));
    match error {
        ApiError::Status { code, reason, message, retry_after, causes } => {
            ApiError::Status { code, reason, message: format!("{what}: {message}"), retry_after, causes }
        }
        ApiError::Transport(why) => ApiError::Transport(format!("{what}: {why}")),
        ApiError::Protocol(why) => ApiError::Protocol(format!("{what}: {why}")),
    }
}

fn bindings() -> Gvr {
    Gvr::new(RBAC, "clusterrolebindings")
}

fn role(name: &str, rules: Value) -> Value {
    json!({"apiVersion": RBAC, "kind": "ClusterRole", "metadata": {"name": name},
        "rules": rules})
}

fn binding(name: &str, subject: &Value) -> Value {
    json!({"apiVersion": RBAC, "kind": "ClusterRoleBinding", "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        "subjects": [subject]})
}

/// Resources of the core group that the hub itself reads: not Secrets.
const SEEN_OF_CORE: &[&str] = &[
    "bindings",
    "componentstatuses",
    "configmaps",
    "endpoints",
    "events",
    "limitranges",
    "namespaces",
    "nodes",
    "persistentvolumeclaims",
    "persistentvolumes",
    "pods",
    "pods/log",
    "podtemplates",
    "replicationcontrollers",
    "resourcequotas",
    "serviceaccounts",
    "services",
];

/// Groups of Kubernetes that the hub itself reads.
const SEEN_WHOLE: &[&str] = &[
    "apps",
    "batch",
    "autoscaling",
    "networking.k8s.io",
    "policy",
    "discovery.k8s.io",
    "events.k8s.io",
    "storage.k8s.io",
    "apiextensions.k8s.io",
    "scheduling.k8s.io",
    "metrics.k8s.io",
];

/// Whether the hub's own account may read a kind in members that joined; to custom kinds it gets the right with their definition.
pub(crate) fn is_seen(gvr: &Gvr) -> bool {
    match gvr.group.as_str() {
        "" => SEEN_OF_CORE.contains(&gvr.resource.as_str()),
        group => SEEN_WHOLE.contains(&group) || rights::is_custom(group),
    }
}

/// The hub itself only reads, and impersonates the executor; other people's Secrets it never sees.
fn hub_rules(permissions: Permissions) -> Value {
    let mut rules = vec![
        json!({"apiGroups": [""], "resources": SEEN_OF_CORE, "verbs": ["get", "list", "watch"]}),
        json!({"apiGroups": SEEN_WHOLE, "resources": ["*"], "verbs": ["get", "list", "watch"]}),
        json!({"apiGroups": ["apiregistration.k8s.io"], "resources": ["apiservices"], "verbs": ["get", "list", "watch"]}),
        json!({"apiGroups": [""], "resources": ["users"], "verbs": ["impersonate"],
            "resourceNames": [label::DEFAULT_EXECUTOR]}),
        json!({"nonResourceURLs": ["/version", "/livez", "/readyz", "/healthz", "/api", "/api/*", "/apis", "/apis/*",
            "/openapi", "/openapi/*"], "verbs": ["get"]}),
    ];
    if permissions != Permissions::Read {
        // Custom kinds are let in when their definitions arrive.
        rules.push(json!({"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["clusterroles"],
            "verbs": ["get", "update", "escalate"], "resourceNames": rights::ROLES.map(|(name, _)| name)}));
    }
    rules.into()
}

/// What templates are made of; roles and admission stay with the member's own administrators.
fn executor_rules() -> Value {
    let verbs = json!(["get", "list", "watch", "create", "update", "patch", "delete"]);
    json!([
        {"apiGroups": [""], "verbs": verbs, "resources": [
            "configmaps", "endpoints", "limitranges", "namespaces", "persistentvolumeclaims", "pods",
            "replicationcontrollers", "resourcequotas", "secrets", "serviceaccounts", "services"]},
        {"apiGroups": ["apps", "batch", "autoscaling", "networking.k8s.io", "policy", "discovery.k8s.io",
            "scheduling.k8s.io", "storage.k8s.io", "apiextensions.k8s.io"], "resources": ["*"], "verbs": verbs},
        {"apiGroups": [""], "verbs": ["get", "create"], "resources": [
            "pods/log", "pods/exec", "pods/attach", "pods/portforward", "pods/eviction"]},
    ])
}

#[cfg(test)]
mod tests {
    use federation_types::Gvr;

    use super::is_seen;

    #[test]
    fn secrets_and_access_rules_are_not_the_hubs_to_see() {
        for (group_version, resource, seen) in [
            ("v1", "configmaps", true),
            ("v1", "secrets", false),
            ("apps/v1", "deployments", true),
            ("rbac.authorization.k8s.io/v1", "roles", false),
            ("admissionregistration.k8s.io/v1", "validatingwebhookconfigurations", false),
            ("example.com/v1", "widgets", true),
        ] {
            assert_eq!(is_seen(&Gvr::new(group_version, resource)), seen, "{group_version} {resource}");
        }
    }
}
