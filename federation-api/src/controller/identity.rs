//! The Lease by which an API server tells that it is there.
//!
//! Source: KEP-1965, upstream's `pkg/controlplane/controller/apiserveridentity`. Renewed four times within its life, not
//! every ten seconds: an idle server shall write next to nothing.

use std::time::Duration;

use federation_types::Gvr;
use hub_client::error::ApiError;
use hub_client::{At, Hub, WriteOptions};
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

const NAMESPACE: &str = "kube-system";
/// How long the Lease says that it holds.
const LIFE: Duration = Duration::from_secs(3600);
/// Time between two renewals.
const RENEWAL: Duration = Duration::from_secs(900);

pub(super) async fn run(hub: Hub, stop: CancellationToken) {
    let host = hostname();
    let holder = format!("{}_{}", name(&host), uuid::Uuid::new_v4());
    let mut tick = tokio::time::interval(RENEWAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tick.tick() => {
                if let Err(error) = renew(&hub, &host, &holder, Timestamp::now()).await {
                    tracing::warn!(%error, "this server's Lease cannot be renewed");
                }
            }
        }
    }
}

async fn renew(hub: &Hub, host: &str, holder: &str, now: Timestamp) -> Result<(), ApiError> {
    let leases = Gvr::new("coordination.k8s.io/v1", "leases");
    let (name, now) = (name(host), format!("{now:.6}"));
    let fresh = lease(&name, host, holder, &now);
    match hub.get(&leases, NAMESPACE, &name).await? {
        None => hub.create(&leases, NAMESPACE, &fresh).await.map(|_| ()),
        Some(_) => {
            let patch = json!({"spec": {"holderIdentity": holder, "renewTime": now}});
            hub.merge_patch(At::new(&leases, NAMESPACE, &name), &patch, &WriteOptions::default()).await.map(|_| ())
        }
    }
}

fn lease(name: &str, host: &str, holder: &str, now: &str) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {
            "apiserver.kubernetes.io/identity": "kube-apiserver", "kubernetes.io/hostname": host}},
        "spec": {"holderIdentity": holder, "leaseDurationSeconds": LIFE.as_secs(), "acquireTime": now, "renewTime": now},
    })
}

/// `apiserver-` and 26 characters that depend on the host.
fn name(host: &str) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let hash = Sha256::digest(host.as_bytes());
    let letters = hash.iter().take(26).map(|byte| char::from(ALPHABET[usize::from(byte & 31)]));
    format!("apiserver-{}", letters.collect::<String>())
}

fn hostname() -> String {
    let read = std::fs::read_to_string("/proc/sys/kernel/hostname").map(|name| name.trim().to_owned());
    read.ok().filter(|name| federation_types::name::is_label(name)).unwrap_or_else(|| "localhost".to_owned())
}

#[cfg(test)]
mod tests {
    use super::name;

    #[test]
    fn names_are_stable() {
        let one = name("host");
        assert_eq!((one.len(), one == name("host"), one == name("other")), (36, true, false));
        assert!(one.starts_with("apiserver-"));
    }
}
