//! The health loop: asks every member how it is and writes `Cluster.status`, its only writer.
//!
//! A probe that fails once is tried again at once-ish; only the second failure in a row counts. Nothing is deleted here.

use std::sync::Arc;
use std::time::Duration;

use federation_types::cluster::{ClusterStatus, conditions};
use federation_types::{Cluster, ClusterName, Condition, Gvr, condition, text};
use hub_client::{ApiError, At, Collection, Hub, Reflection, Reflector, WriteOptions};
use member_cluster::{Member, Members, clusters};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::Seen;

/// Between probes of a healthy member.
pub const PERIOD: Duration = Duration::from_secs(5);
/// Between probes of a member that has just failed one, or is not complete yet.
pub const SOON: Duration = Duration::from_secs(1);
/// Longest wait for a probe's answer.
pub const PROBE_TIMEOUT: Duration = Duration::from_secs(3);
/// Failures in a row after which a member counts as unreachable.
pub const FAILURES: u32 = 2;

/// Writes statuses; knows all registered clusters, so that the same cluster under two names is seen.
#[derive(Clone)]
pub struct Statuses {
    hub: Hub,
    registered: Reflection<Cluster>,
    reflector: Arc<parking_lot::Mutex<Option<Reflector<Cluster>>>>,
}

/// What one probe found.
enum Probed {
    Answered { version: String, uid: String },
    Denied(String),
    Silent(String),
}

impl Statuses {
    /// Statuses of the hub's Clusters; [`Self::follow`] must run.
    pub fn new(hub: Hub) -> Self {
        let read = |object: Value| serde_json::from_value::<Cluster>(object).ok();
        let reflector = Reflector::new(hub.clone(), Collection::all(clusters()), read);
        let registered = reflector.reflection();
        // Guards the reflector until its one run takes it.
        Self { hub, registered, reflector: Arc::new(parking_lot::Mutex::new(Some(reflector))) }
    }

    /// Follows the Clusters, and says of those without a connection why they have none.
    pub async fn follow(self, members: Members, stop: CancellationToken) {
        let Some(reflector) = self.reflector.lock().take() else { return };
        let broken = async {
            let (mut changes, mut read) = (members.changes(), self.registered.changes());
            loop {
                changes.mark_unchanged();
                read.mark_unchanged();
                for ((_, name), _) in self.registered.all() {
                    if let (Some(why), Ok(name)) = (members.broken(&name), ClusterName::new(&name)) {
                        let list = vec![
                            Condition::new(conditions::READY, Some(false), "NoConnection", why.to_string()),
                            Condition::new(conditions::REACHABLE, None, "NoConnection", why.to_string()),
                        ];
                        self.write(&name, list, |_| {}).await;
                    }
                }
                // Either may know of a new cluster first.
                tokio::select! {
                    Ok(()) = changes.changed() => {}
                    Ok(()) = read.changed() => {}
                    else => std::future::pending::<()>().await,
                }
            }
        };
        tokio::select! {
            () = reflector.run(stop.clone()) => {}
            () = broken => {}
            () = stop.cancelled() => {}
        }
    }

    /// Waits until this cluster is read: who connects to it may know of it first. False where nothing is read any more.
    async fn knows(&self, name: &ClusterName) -> bool {
        let mut changes = self.registered.changes();
        changes.wait_for(|_| self.registered.get("", name.as_str()).is_some()).await.is_ok()
    }

    /// Whether it stands there now.
    async fn write(&self, name: &ClusterName, list: Vec<Condition>, more: impl Fn(&mut ClusterStatus)) -> bool {
        let Some(known) = self.registered.get("", name.as_str()) else { return false };
        let mut status = known.status.clone().unwrap_or_default();
        let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        for condition in list {
            condition::set(&mut status.conditions, condition, &now);
        }
        more(&mut status);
        if known.status.as_ref() == Some(&status) {
            return true;
        }
        let (gvr, how) = (clusters(), WriteOptions { subresource: "status", ..WriteOptions::default() });
        let patch = json!({"status": status});
        match self.hub.merge_patch(At::new(&gvr, "", name.as_str()), &patch, &how).await {
            Ok(_) => true,
            Err(error) => {
                if !error.is_not_found() {
                    tracing::warn!(cluster = %name, error = %error, "cannot write the status of a cluster");
                }
                false
            }
        }
    }

    /// Another registered name of the cluster with this UID, registered earlier.
    fn twin(&self, name: &ClusterName, uid: &str) -> Option<String> {
        let all = self.registered.all();
        let age = |c: &Cluster| (c.metadata.creation_timestamp.clone(), c.metadata.name.clone());
        let own = all.iter().find(|((_, n), _)| n == name.as_str()).map(|(_, c)| age(c))?;
        all.iter()
            .filter(|(_, c)| c.status.as_ref().is_some_and(|s| s.uid == uid))
            .filter(|((_, n), c)| n != name.as_str() && age(c) < own)
            .map(|((_, n), _)| n.clone())
            .next()
    }
}

/// Probes one member for as long as it is connected.
pub async fn watch(member: &Member, seen: &Seen, statuses: &Statuses) {
    if !statuses.knows(&member.name).await {
        return;
    }
    let mut failures = 0;
    loop {
        // Waited for from here on: what becomes complete while the status is written is told at once.
        let mut progress = std::pin::pin!(seen.progress.notified());
        progress.as_mut().enable();
        let complete = seen.is_complete();
        let probed = probe(member).await;
        failures = if matches!(probed, Probed::Silent(_)) { failures + 1 } else { 0 };
        let counts = failures == 0 || failures >= FAILURES;
        let told = !counts || report((member, seen, complete), statuses, &probed).await;
        let settled = told && complete && (failures == 0 || failures > FAILURES);
        let wait = tokio::time::sleep(if settled { PERIOD } else { SOON });
        tokio::select! {
            () = wait => {}
            () = progress, if !complete => {}
        }
    }
}

async fn probe(member: &Member) -> Probed {
    let ask = async {
        let version = member.reader.get_path("/version").await?;
        let uid = identity(member).await?;
        let ready = member.reader.get_path("/readyz").await;
        // A server that answers but is not ready is not to be counted on; one without the path is taken at its word.
        match ready {
            Err(e) if e.code() >= 500 => Err(e),
            _ => Ok::<_, ApiError>((text::str_at(&version, &["gitVersion"]).to_owned(), uid)),
        }
    };
    match tokio::time::timeout(PROBE_TIMEOUT, ask).await {
        Ok(Ok((version, uid))) => Probed::Answered { version, uid },
        Ok(Err(e)) if matches!(e.code(), 401 | 403) => Probed::Denied(e.to_string()),
        Ok(Err(e)) => Probed::Silent(e.to_string()),
        Err(_) => Probed::Silent(format!("no answer within {} s", PROBE_TIMEOUT.as_secs())),
    }
}

/// Asked anew with each probe: another cluster may have come to the address meanwhile.
async fn identity(member: &Member) -> Result<String, ApiError> {
    let namespaces = Gvr::new("v1", "namespaces");
    let found = member.reader.get(&namespaces, "", member_cluster::IDENTITY_NAMESPACE).await?;
    let uid = found.as_ref().map(text::uid).unwrap_or_default();
    if uid.is_empty() {
        let missing = format!("the member has no namespace {}", member_cluster::IDENTITY_NAMESPACE);
        return Err(ApiError::Protocol(missing));
    }
    Ok(uid.to_owned())
}

/// Whether the status says it.
async fn report((member, seen, complete): (&Member, &Seen, bool), statuses: &Statuses, probed: &Probed) -> bool {
    let (list, facts) = match probed {
        Probed::Silent(why) => {
            let unreachable = |kind| Condition::new(kind, Some(false), "Unreachable", why.clone());
            (vec![unreachable(conditions::READY), unreachable(conditions::REACHABLE)], None)
        }
        Probed::Denied(why) => (
            vec![
                Condition::new(conditions::READY, Some(false), "Unauthorized", why.clone()),
                Condition::new(conditions::REACHABLE, Some(true), "Answers", "the API server answers"),
                Condition::new(conditions::AUTHORIZED, Some(false), "Unauthorized", why.clone()),
            ],
            None,
        ),
        Probed::Answered { version, uid } => {
            let compatible = compatible(member, statuses, version, uid);
            (verdict(&compatible, complete), compatible.holds().then_some((version, uid)))
        }
    };
    let sums = seen.tally.sums();
    statuses
        .write(&member.name, list, |status| {
            if let Some((version, uid)) = facts {
                status.version.clone_from(version);
                status.uid.clone_from(uid);
            }
            if complete {
                status.nodes = Some(sums.nodes);
                status.capacity.clone_from(&sums.capacity);
                status.requested.clone_from(&sums.requested);
            }
        })
        .await
}

fn compatible(member: &Member, statuses: &Statuses, version: &str, uid: &str) -> Condition {
    let refuse =
        |reason: &str, message: String| Condition::new(conditions::API_COMPATIBLE, Some(false), reason, message);
    let expected = member.expected_uid();
    if !expected.is_empty() && expected != uid {
        let message = format!("another cluster answers: kube-system has UID {uid}, this member is known by {expected}");
        return refuse("IdentityChanged", message);
    }
    if let Some(twin) = statuses.twin(&member.name, uid) {
        return refuse("DuplicateCluster", format!("this cluster is already the member {twin:?}"));
    }
    Condition::new(conditions::API_COMPATIBLE, Some(true), "Supported", format!("Kubernetes {version}"))
}

fn verdict(compatible: &Condition, complete: bool) -> Vec<Condition> {
    let mirrored = if complete {
        Condition::new(conditions::MIRRORED, Some(true), "Complete", "pods, nodes and endpoint slices are complete")
    } else {
        Condition::new(conditions::MIRRORED, Some(false), "Listing", "pods, nodes and endpoint slices are being read")
    };
    let ready = match (compatible.holds(), complete) {
        (false, _) => Condition::new(conditions::READY, Some(false), &compatible.reason, compatible.message.clone()),
        (true, false) => Condition::new(conditions::READY, Some(false), "Listing", mirrored.message.clone()),
        (true, true) => Condition::new(conditions::READY, Some(true), "Ready", "the member takes work"),
    };
    vec![
        ready,
        Condition::new(conditions::REACHABLE, Some(true), "Answers", "the API server answers"),
        Condition::new(conditions::AUTHORIZED, Some(true), "Accepted", "the hub's credentials are accepted"),
        compatible.clone(),
        mirrored,
    ]
}

#[cfg(test)]
mod tests {
    use federation_types::Condition;
    use federation_types::condition::holds;

    use super::verdict;

    #[test]
    fn ready_needs_identity_and_completeness() {
        let good = Condition::new("APICompatible", Some(true), "Supported", "");
        let bad = Condition::new("APICompatible", Some(false), "IdentityChanged", "another");
        assert!(holds(&verdict(&good, true), "Ready"));
        assert!(!holds(&verdict(&good, false), "Ready"));
        let refused = verdict(&bad, true);
        assert!(!holds(&refused, "Ready") && holds(&refused, "Reachable"));
    }
}
