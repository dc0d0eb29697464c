//! Which account a Pod runs as: filled in, looked up, and its token mounted.
//!
//! What is filled in here never travels to members: they have admission of their own (`defaults::strip_defaults`).
//! Runs where this server issues tokens. Source: k8s.io/kubernetes `plugin/pkg/admission/serviceaccount/admission.go`.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Operation, Review};
use crate::cache::Scope;
use crate::call::Call;
use crate::error::ApiError;
use crate::kind;
use crate::name;
use crate::object;
use crate::verb::write::Part;

/// The account of pods that name none; a controller makes it in every namespace.
const DEFAULT: &str = "default";
/// How long that account is waited for in a young namespace; upstream looks ten times within 2 s.
const PATIENCE: Duration = Duration::from_secs(2);
const VOLUME: &str = "kube-api-access-";
const MOUNTED_AT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const MIRROR: &str = "kubernetes.io/config.mirror";
/// Seconds that a mounted token lives, as pods have asked for since 1.22.
const TOKEN_LIFE_S: u32 = 3607;

/// Gives a new Pod its account, and mounts the account's token.
///
/// # Errors
/// 403 where the account is not there.
pub(crate) async fn admit(call: &mut Call, new: &mut Value, review: &Review<'_>) -> Result<(), ApiError> {
    let pods = call.kind.group.is_empty() && call.kind.plural == "pods";
    if !pods || review.operation != Operation::Create || review.part != Part::Main || call.server.tokens.is_none() {
        return Ok(());
    }
    let subject = kind::subject(&call.kind, object::name(new));
    let forbidden = |text: String| ApiError::Forbidden(subject.clone(), text);
    if object::annotation(new, MIRROR).is_some() {
        let named =
            new.pointer("/spec/serviceAccountName").and_then(Value::as_str).is_some_and(|name| !name.is_empty());
        let text = "a mirror pod may not reference service accounts";
        return if named { Err(forbidden(text.to_owned())) } else { Ok(()) };
    }
    let Some(spec) = new.get_mut("spec").filter(|spec| spec.is_object()) else { return Ok(()) };
    if spec.get("serviceAccountName").and_then(Value::as_str).is_none_or(str::is_empty) {
        spec["serviceAccountName"] = DEFAULT.into();
    }
    let name = spec["serviceAccountName"].as_str().unwrap_or(DEFAULT).to_owned();
    spec["serviceAccount"] = name.as_str().into();
    let account = look_up(call, &name).await.ok_or_else(|| {
        let namespace = call.namespace();
        forbidden(format!("error looking up service account {namespace}/{name}: serviceaccount {name:?} not found"))
    })?;
    let asked = |of: &Value| of.get("automountServiceAccountToken").and_then(Value::as_bool);
    if asked(spec).or_else(|| asked(&account)).unwrap_or(true) {
        mount(spec);
    }
    let own = spec.get("imagePullSecrets").and_then(Value::as_array).is_some_and(|list| !list.is_empty());
    if let (false, Some(secrets)) = (own, account.get("imagePullSecrets").filter(|list| list.is_array())) {
        spec["imagePullSecrets"] = secrets.clone();
    }
    check_secrets(&account, new).map_err(forbidden)
}

async fn look_up(call: &Call, name: &str) -> Option<Value> {
    let key = format!("{}/{name}", call.namespace());
    let accounts = call.server.cache.resource("core/serviceaccounts");
    let from = accounts.revision();
    if let Some(found) = accounts.get(&key) {
        return Some(found.value());
    }
    let mut watcher = accounts.watch(Scope::Key(key.clone()), from).ok().filter(|_| name == DEFAULT)?;
    let appears = async {
        loop {
            if let Some(found) = accounts.get(&key) {
                return Some(found.value());
            }
            watcher.next().await.ok()?;
        }
    };
    tokio::time::timeout(PATIENCE, appears).await.ok().flatten()
}

/// Mounts the account's token into every container that has nothing at its place.
fn mount(spec: &mut Value) {
    let volumes = spec.get("volumes").and_then(Value::as_array).into_iter().flatten();
    let mut names = volumes.filter_map(|volume| volume.get("name").and_then(Value::as_str));
    let existing = names.find(|name| name.starts_with(VOLUME)).map(str::to_owned);
    let volume = existing.clone().unwrap_or_else(|| name::generate(VOLUME));
    let mut needed = false;
    for list in ["initContainers", "containers"] {
        let containers = spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
        for container in containers.filter_map(Value::as_object_mut) {
            let mounts = container.entry("volumeMounts").or_insert_with(|| json!([]));
            if mounts.is_null() {
                *mounts = json!([]);
            }
            let Some(mounts) = mounts.as_array_mut() else { continue };
            if !mounts.iter().any(|mount| mount["mountPath"] == MOUNTED_AT) {
                mounts.push(json!({"name": volume, "readOnly": true, "mountPath": MOUNTED_AT}));
                needed = true;
            }
        }
    }
    if existing.is_some() || !needed {
        return;
    }
    if !spec.get("volumes").is_some_and(Value::is_array) {
        spec["volumes"] = json!([]);
    }
    if let Some(volumes) = spec["volumes"].as_array_mut() {
        volumes.push(json!({"name": volume, "projected": {"defaultMode": 420, "sources": [
            {"serviceAccountToken": {"expirationSeconds": TOKEN_LIFE_S, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [
                {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
        ]}}));
    }
}

/// Secrets that an account which says so does not allow.
///
/// # Errors
/// Upstream's text.
fn check_secrets(account: &Value, pod: &Value) -> Result<(), String> {
    let enforced = object::annotation(account, "kubernetes.io/enforce-mountable-secrets");
    if !enforced.is_some_and(|value| matches!(value, "1" | "t" | "T" | "true" | "TRUE" | "True")) {
        return Ok(());
    }
    let list =
        |of: &Value, pointer: &str| of.pointer(pointer).and_then(Value::as_array).cloned().unwrap_or_else(Vec::new);
    let text = |of: &Value, pointer: &str| of.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let names = |field: &str| list(account, field).iter().filter_map(|one| text(one, "/name")).collect::<Vec<_>>();
    let (allowed, pulls, name) = (names("/secrets"), names("/imagePullSecrets"), object::name(account));
    let tail = format!("is not allowed because service account {name} does not reference that");
    for volume in list(pod, "/spec/volumes") {
        if let Some(secret) = text(&volume, "/secret/secretName").filter(|secret| !allowed.contains(secret)) {
            return Err(format!("volume with secret.secretName=\"{secret}\" {tail} secret"));
        }
    }
    for (field, what) in [("/spec/initContainers", "init container"), ("/spec/containers", "container")] {
        for container in list(pod, field) {
            let own = text(&container, "/name").unwrap_or_default();
            for env in list(&container, "/env") {
                let secret = text(&env, "/valueFrom/secretKeyRef/name").filter(|secret| !allowed.contains(secret));
                if let Some(secret) = secret {
                    let env = text(&env, "/name").unwrap_or_default();
                    return Err(format!(
                        "{what} {own} with envVar {env} referencing secret.secretName=\"{secret}\" {tail} secret"
                    ));
                }
            }
            for env in list(&container, "/envFrom") {
                if let Some(secret) = text(&env, "/secretRef/name").filter(|secret| !allowed.contains(secret)) {
                    return Err(format!(
                        "{what} {own} with envFrom referencing secret.secretName=\"{secret}\" {tail} secret"
                    ));
                }
            }
        }
    }
    for (i, secret) in list(pod, "/spec/imagePullSecrets").iter().enumerate() {
        if let Some(secret) = text(secret, "/name").filter(|secret| !pulls.contains(secret)) {
            return Err(format!("imagePullSecrets[{i}].name=\"{secret}\" {tail} imagePullSecret"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{MOUNTED_AT, check_secrets, mount};
    use serde_json::json;

    #[test]
    fn tokens_are_mounted_once_and_only_where_nothing_is() {
        let mut spec = json!({"containers": [{"name": "a"}, {"name": "b", "volumeMounts": [{"name": "own", "mountPath": MOUNTED_AT}]}]});
        mount(&mut spec);
        assert_eq!(spec["volumes"].as_array().map(Vec::len), Some(1));
        assert_eq!(spec["containers"][0]["volumeMounts"][0]["name"], spec["volumes"][0]["name"]);
        assert_eq!(spec["containers"][1]["volumeMounts"].as_array().map(Vec::len), Some(1));
        let once = spec.clone();
        mount(&mut spec);
        assert_eq!(spec, once);
        let mut own = json!({"containers": [{"volumeMounts": [{"mountPath": MOUNTED_AT}]}]});
        mount(&mut own);
        assert_eq!(own.get("volumes"), None);
    }

    #[test]
    fn accounts_may_name_the_secrets() {
        let account = json!({"metadata": {"name": "sa", "annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}}, "secrets": [{"name": "good"}]});
        let pod = |secret: &str| json!({"spec": {"volumes": [{"secret": {"secretName": secret}}]}});
        assert_eq!(check_secrets(&account, &pod("good")), Ok(()));
        let text = "volume with secret.secretName=\"bad\" is not allowed because service account sa does not reference that secret";
        assert_eq!(check_secrets(&account, &pod("bad")), Err(text.to_owned()));
        assert_eq!(check_secrets(&json!({}), &pod("bad")), Ok(()));
    }
}
