//! Tokens in Secrets: a Secret that is made for a ServiceAccount gets its token, and goes with the account.
//!
//! Source: k8s.io/kubernetes `pkg/controller/serviceaccount/tokens_controller.go`. The token is one of the TokenRequest
//! API, bound to the Secret, so that deleting either ends it.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use federation_types::Gvr;
use federation_types::text::{annotation, name, str_at, uid};
use hub_client::{At, Collection, DeleteOptions, Hub, Queue, ReconcileError, Reflector, WriteOptions, drive};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

const KIND: &str = "kubernetes.io/service-account-token";
const ACCOUNT: &str = "kubernetes.io/service-account.name";
const ACCOUNT_UID: &str = "kubernetes.io/service-account.uid";
/// Secrets reconciled at once.
const WIDTH: usize = 4;
/// How long a token lives: as long as the API grants, its Secret is what ends it.
const LIFE_S: u64 = 1 << 32;

type Key = (String, String);

/// What is to be done about a Secret.
#[derive(Debug, PartialEq)]
enum Step {
    Delete,
    Fill { token: bool },
    Nothing,
}

pub(super) async fn run(hub: Hub, root_ca_pem: Arc<str>, stop: CancellationToken) {
    let queue: Queue<Key> = Queue::new();
    let (by_secret, by_account) = (queue.clone(), queue.clone());
    let of_kind = Collection::all(Gvr::new("v1", "secrets")).with_fields(format!("type={KIND}"));
    let secrets = Reflector::new(hub.clone(), of_kind, |secret| {
        (str_at(&secret, &["type"]) == KIND).then(|| annotation(&secret, ACCOUNT).unwrap_or("").to_owned())
    })
    .on_change(move |change| {
        if change.new.is_some() {
            by_secret.add(change.key.clone());
        }
    });
    let known = secrets.reflection();
    let accounts = Reflector::new(hub.clone(), Collection::all(Gvr::new("v1", "serviceaccounts")), |account| {
        Some(uid(&account).to_owned())
    })
    .on_change(move |change| {
        let (namespace, account) = change.key;
        for (key, _) in known.within(namespace).into_iter().filter(|(_, of)| **of == *account) {
            by_account.add(key);
        }
    });
    let reconcile = |key: Key| {
        let (hub, root_ca_pem) = (&hub, &root_ca_pem);
        async move { reconcile(hub, &key, root_ca_pem).await }
    };
    tokio::join!(
        secrets.run(stop.clone()),
        accounts.run(stop.clone()),
        drive("tokens", queue.clone(), WIDTH, reconcile, stop),
    );
}

async fn reconcile(hub: &Hub, (namespace, secret): &Key, root_ca_pem: &str) -> Result<(), ReconcileError> {
    let secrets = Gvr::new("v1", "secrets");
    let Some(found) = hub.get(&secrets, namespace, secret).await? else { return Ok(()) };
    let of = annotation(&found, ACCOUNT).unwrap_or("").to_owned();
    let account = hub.get(&Gvr::new("v1", "serviceaccounts"), namespace, &of).await?;
    let at = At::new(&secrets, namespace, secret);
    let outcome = match plan(&found, account.as_ref(), root_ca_pem) {
        Step::Nothing => return Ok(()),
        Step::Delete => {
            tracing::info!(namespace, secret, account = of, "the account of a token is gone");
            let how = DeleteOptions { uid: uid(&found), ..DeleteOptions::default() };
            hub.delete(at, &how).await.map(|_| ())
        }
        Step::Fill { token } => {
            let account_uid = account.as_ref().map_or("", |account| uid(account));
            let token = if token { Some(issue(hub, namespace, &of, &found).await?) } else { None };
            let patch = filled(&found, account_uid, token.as_deref(), root_ca_pem);
            hub.merge_patch(at, &patch, &WriteOptions::default()).await.map(|_| ())
        }
    };
    match outcome {
        Ok(()) => Ok(()),
        // The watch brings what is true now.
        Err(error) if error.is_not_found() || error.is_conflict() => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn plan(secret: &Value, account: Option<&Value>, root_ca_pem: &str) -> Step {
    if str_at(secret, &["type"]) != KIND || !secret["metadata"]["deletionTimestamp"].is_null() {
        return Step::Nothing;
    }
    let wanted = annotation(secret, ACCOUNT_UID).unwrap_or("");
    if account.is_none_or(|account| !wanted.is_empty() && wanted != uid(account)) {
        return Step::Delete;
    }
    let has = |key: &str| !str_at(secret, &["data", key]).is_empty();
    let trusted = str_at(secret, &["data", "ca.crt"]) == BASE64.encode(root_ca_pem);
    if has("token") && has("namespace") && trusted { Step::Nothing } else { Step::Fill { token: !has("token") } }
}

/// The patch onto the revision that was read.
fn filled(secret: &Value, account_uid: &str, token: Option<&str>, root_ca_pem: &str) -> Value {
    let metadata = &secret["metadata"];
    let mut data = json!({
        "ca.crt": BASE64.encode(root_ca_pem),
        "namespace": BASE64.encode(str_at(secret, &["metadata", "namespace"])),
    });
    if let Some(token) = token {
        data["token"] = BASE64.encode(token).into();
    }
    json!({
        "metadata": {"resourceVersion": metadata["resourceVersion"], "annotations": {ACCOUNT_UID: account_uid}},
        "data": data,
    })
}

async fn issue(hub: &Hub, namespace: &str, account: &str, secret: &Value) -> Result<String, ReconcileError> {
    const LATER: Duration = Duration::from_secs(10);
    let bound = json!({"kind": "Secret", "apiVersion": "v1", "name": name(secret), "uid": uid(secret)});
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
        "spec": {"audiences": [], "expirationSeconds": LIFE_S, "boundObjectRef": bound}});
    let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token");
    let answer = hub.post(&path, &request).await?;
    match str_at(&answer, &["status", "token"]) {
        "" => Err(ReconcileError::Wait(LATER, "the API issues no tokens".to_owned())),
        token => Ok(token.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::{KIND, Step, filled, plan};
    use serde_json::json;

    /// Protocol: SR2
    #[test]
    fn secrets_follow_their_account() {
        let secret = |uid: &str, data: serde_json::Value| {
            json!({"type": KIND, "data": data, "metadata": {"namespace": "ns", "annotations": {
                "kubernetes.io/service-account.name": "sa", "kubernetes.io/service-account.uid": uid}}})
        };
        let account = json!({"metadata": {"name": "sa", "uid": "1"}});
        let whole = json!({"token": "dA==", "namespace": "bnM=", "ca.crt": "UEVN"});
        for (secret, account, want) in [
            (secret("", json!({})), Some(&account), Step::Fill { token: true }),
            (secret("1", whole.clone()), Some(&account), Step::Nothing),
            (secret("1", json!({"token": "dA==", "namespace": "bnM="})), Some(&account), Step::Fill { token: false }),
            (secret("2", whole.clone()), Some(&account), Step::Delete),
            (secret("1", whole), None, Step::Delete),
            (json!({"type": "Opaque"}), None, Step::Nothing),
        ] {
            assert_eq!(plan(&secret, account, "PEM"), want, "{secret}");
        }
        let patch = filled(&secret("", json!({})), "1", Some("t"), "PEM");
        assert_eq!(patch["data"], json!({"token": "dA==", "namespace": "bnM=", "ca.crt": "UEVN"}));
    }
}
