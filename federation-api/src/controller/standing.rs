//! What stands in every namespace: its default ServiceAccount and the certificate that pods trust.
//!
//! Keeps both there for as long as the namespace is not being deleted; knows no other object of it.

use std::sync::Arc;
use std::time::Duration;

use federation_types::Gvr;
use federation_types::text::{name, str_at};
use hub_client::{At, Collection, Hub, Queue, ReconcileError, Reflection, Reflector, WriteOptions, drive};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// The account of pods that name none.
const ACCOUNT: &str = "default";
/// The ConfigMap that pods read the API server's authority from.
const ROOT_CA: &str = "kube-root-ca.crt";
/// The key in it.
const CA_KEY: &str = "ca.crt";
/// Namespaces reconciled at once: as many writes share one commit.
const WIDTH: usize = 16;
/// When to look again while the first lists are not read.
const UNREAD: Duration = Duration::from_millis(20);

/// What a namespace has, and what is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Write {
    Account,
    Certificate,
    /// The ConfigMap is there and says something else.
    Mend,
}

/// The state of the two objects in one namespace.
#[derive(Clone, Copy, Debug, Default)]
struct Found {
    account: bool,
    /// Whether the certificate is the right one; `None` when the ConfigMap is absent.
    certificate: Option<bool>,
}

/// What is known of all namespaces.
struct Known {
    namespaces: Reflection<()>,
    accounts: Reflection<()>,
    certificates: Reflection<bool>,
}

pub(super) async fn run(hub: Hub, root_ca_pem: Arc<str>, stop: CancellationToken) {
    let queue: Queue<String> = Queue::new();
    let (by_name, by_namespace, by_namespace_too) = (queue.clone(), queue.clone(), queue.clone());
    let all = |resource: &str| Collection::all(Gvr::new("v1", resource));
    let namespaces = Reflector::new(hub.clone(), all("namespaces"), |namespace| {
        namespace["metadata"]["deletionTimestamp"].is_null().then_some(())
    })
    .on_change(move |change| by_name.add(change.key.1.clone()));
    let named = all("serviceaccounts").with_fields(format!("metadata.name={ACCOUNT}"));
    let accounts = Reflector::new(hub.clone(), named, |account| (name(&account) == ACCOUNT).then_some(()))
        .on_change(move |change| by_namespace.add(change.key.0.clone()));
    let named = all("configmaps").with_fields(format!("metadata.name={ROOT_CA}"));
    let expected = root_ca_pem.clone();
    let certificates = Reflector::new(hub.clone(), named, move |map| {
        (name(&map) == ROOT_CA).then(|| str_at(&map, &["data", CA_KEY]) == &*expected)
    })
    .on_change(move |change| by_namespace_too.add(change.key.0.clone()));
    let known = Known {
        namespaces: namespaces.reflection(),
        accounts: accounts.reflection(),
        certificates: certificates.reflection(),
    };
    let reconcile = |namespace: String| {
        let (hub, known, root_ca_pem) = (&hub, &known, &root_ca_pem);
        async move {
            for write in plan(known.find(&namespace)?) {
                apply(hub, &namespace, write, root_ca_pem).await?;
            }
            Ok(())
        }
    };
    tokio::join!(
        namespaces.run(stop.clone()),
        accounts.run(stop.clone()),
        certificates.run(stop.clone()),
        drive("standing", queue.clone(), WIDTH, reconcile, stop),
    );
}

async fn apply(hub: &Hub, namespace: &str, write: Write, root_ca_pem: &str) -> Result<(), ReconcileError> {
    let config_maps = Gvr::new("v1", "configmaps");
    let written = match write {
        Write::Account => hub.create(&Gvr::new("v1", "serviceaccounts"), namespace, &account_object()).await,
        Write::Certificate => hub.create(&config_maps, namespace, &certificate_object(root_ca_pem)).await,
        Write::Mend => {
            let patch = json!({"data": {CA_KEY: root_ca_pem}});
            hub.merge_patch(At::new(&config_maps, namespace, ROOT_CA), &patch, &WriteOptions::default()).await
        }
    };
    match written {
        Ok(_) => Ok(()),
        // Somebody was faster, or the namespace is going: the watch brings what is true.
        Err(error) if error.is_already_exists() || error.is_not_found() || error.code() == 403 => {
            tracing::debug!(%namespace, %error, "not written");
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

impl Known {
    /// What stands in a namespace; `None` for one that is going or gone.
    fn find(&self, namespace: &str) -> Result<Option<Found>, ReconcileError> {
        let Self { namespaces, accounts, certificates } = self;
        if !(accounts.state().synced && certificates.state().synced && namespaces.state().synced) {
            return Err(ReconcileError::Wait(UNREAD, "not everything is read yet".to_owned()));
        }
        Ok(namespaces.get("", namespace).map(|_| Found {
            account: accounts.get(namespace, ACCOUNT).is_some(),
            certificate: certificates.get(namespace, ROOT_CA).map(|right| *right),
        }))
    }
}

fn plan(found: Option<Found>) -> Vec<Write> {
    let Some(Found { account, certificate }) = found else { return Vec::new() };
    let mut writes = Vec::new();
    if !account {
        writes.push(Write::Account);
    }
    match certificate {
        None => writes.push(Write::Certificate),
        Some(false) => writes.push(Write::Mend),
        Some(true) => {}
    }
    writes
}

fn account_object() -> Value {
    json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT}})
}

fn certificate_object(root_ca_pem: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": ROOT_CA,
            "annotations": {"kubernetes.io/description": "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters."},
        },
        "data": {CA_KEY: root_ca_pem},
    })
}

#[cfg(test)]
mod tests {
    use super::{Found, Write, plan};

    #[test]
    fn what_is_written() {
        for (found, want) in [
            (None, vec![]),
            (Some(Found::default()), vec![Write::Account, Write::Certificate]),
            (Some(Found { account: true, certificate: None }), vec![Write::Certificate]),
            (Some(Found { account: true, certificate: Some(false) }), vec![Write::Mend]),
            (Some(Found { account: false, certificate: Some(true) }), vec![Write::Account]),
            (Some(Found { account: true, certificate: Some(true) }), vec![]),
        ] {
            assert_eq!(plan(found), want, "{found:?}");
        }
    }
}
