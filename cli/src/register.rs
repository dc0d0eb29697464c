//! The hub's side of a registration: a Secret with the credentials and the Cluster that names it.
//!
//! Used by `cluster add` and by the playground, so that a simulated member is registered as a real one.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use federation_types::cluster::conditions;
use federation_types::{Cluster, ClusterName, Gvr, label, text};
use futures_util::StreamExt as _;
use hub_client::{ApiError, Collection, Hub, WatchEvent, WatchOptions, WriteOptions};
use member_cluster::{Target, clusters};
use serde_json::{Value, json};

use crate::failure::Failure;

/// Field manager of registrations.
pub const FIELD_MANAGER: &str = "fedgate-cluster-add";

/// A member to be.
pub struct Registration {
    pub name: ClusterName,
    pub target: Target,
    pub labels: BTreeMap<String, String>,
    pub region: String,
    pub zones: Vec<String>,
}

/// Refuses a cluster that is a member under another name, and a name that another cluster has.
///
/// # Errors
/// FG-CLU-002 or FG-CLU-003; FG-HUB where the hub does not answer.
pub async fn check_identity(hub: &Hub, name: &ClusterName, uid: &str) -> Result<(), Failure> {
    let listed = hub.list(&Collection::all(clusters())).await.map_err(|e| Failure::hub("cannot list clusters", &e))?;
    for object in &listed.items {
        let (other, known) = (text::name(object), text::str_at(object, &["status", "uid"]));
        if other != name.as_str() && known == uid {
            return Err(Failure::new("FG-CLU-002", format!("this cluster is already the member {other:?}"))
                .because(format!("its kube-system namespace has UID {uid}"))
                .fix(format!("fedgate cluster remove {other}, or keep that name")));
        }
        if other == name.as_str() && !known.is_empty() && known != uid {
            return Err(Failure::new("FG-CLU-003", format!("another cluster is registered as {other:?}"))
                .because(format!("it has UID {known}, this one {uid}"))
                .fix(format!("choose another name, or fedgate cluster remove {other} first")));
        }
    }
    Ok(())
}

/// Applies the Secret and the Cluster; the same again changes nothing.
///
/// # Errors
/// As the hub answers.
pub async fn register(hub: &Hub, registration: &Registration) -> Result<(), ApiError> {
    let how = WriteOptions { field_manager: FIELD_MANAGER, force: true, ..WriteOptions::default() };
    let name = registration.name.as_str();
    let mut secret = registration.target.credentials.to_secret(name);
    secret["metadata"]["annotations"][label::CREDENTIALS_SERVER] = registration.target.server.as_str().into();
    hub.apply(&Gvr::new("v1", "secrets"), &secret, &how).await?;
    hub.apply(&clusters(), &cluster_object(registration), &how).await?;
    Ok(())
}

/// The Cluster of a registration.
#[must_use]
pub fn cluster_object(registration: &Registration) -> Value {
    let mut object = json!({
        "apiVersion": label::API_VERSION, "kind": "Cluster",
        "metadata": {"name": registration.name},
        "spec": {"server": registration.target.server, "credentialsRef": {"name": registration.name}},
    });
    if !registration.target.ca.is_empty() {
        object["spec"]["caBundle"] = STANDARD.encode(&registration.target.ca).into();
    }
    if !registration.labels.is_empty() {
        object["metadata"]["labels"] = json!(registration.labels);
    }
    if !registration.region.is_empty() {
        object["spec"]["region"] = registration.region.as_str().into();
    }
    if !registration.zones.is_empty() {
        object["spec"]["zones"] = json!(registration.zones);
    }
    object
}

/// Waits until the member is Ready.
///
/// # Errors
/// FG-CLU-005 with the last condition when time is up.
pub async fn wait_ready(hub: &Hub, name: &ClusterName, within: Duration) -> Result<(), Failure> {
    let mut last = String::from("no status yet");
    let follow = follow(hub, name, &mut last);
    match tokio::time::timeout(within, follow).await {
        Ok(done) => done.map_err(|e| Failure::hub("cannot watch the cluster", &e)),
        Err(_) => Err(Failure::new("FG-CLU-005", format!("member {name} is not Ready after {} s", within.as_secs()))
            .because(last)
            .fix(format!("fedgate cluster describe {name}"))),
    }
}

async fn follow(hub: &Hub, name: &ClusterName, last: &mut String) -> Result<(), ApiError> {
    let of = Collection::all(clusters()).with_fields(format!("metadata.name={name}"));
    loop {
        let listed = hub.list(&of).await?;
        if listed.items.iter().any(|object| is_ready(object, last)) {
            return Ok(());
        }
        let options = WatchOptions { revision: listed.revision, timeout: Duration::from_secs(300) };
        let mut events = std::pin::pin!(hub.watch(&of, &options).await?);
        while let Some(event) = events.next().await {
            if let WatchEvent::Put(object) = event?
                && is_ready(&object, last)
            {
                return Ok(());
            }
        }
    }
}

fn is_ready(object: &Value, last: &mut String) -> bool {
    let Ok(object) = serde_json::from_value::<Cluster>(object.clone()) else { return false };
    let known = object.status.unwrap_or_default().conditions;
    if let Some(problem) = known.iter().find(|c| !c.holds()) {
        *last = format!("{}: {}", problem.reason, problem.message);
    }
    federation_types::condition::holds(&known, conditions::READY)
}
