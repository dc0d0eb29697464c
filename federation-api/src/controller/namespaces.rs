//! The end of a namespace: deletes all that is stored in it, says what is left and why, and lets it go at last.
//!
//! Never lets go while something could not be looked at: what cannot be listed may still be there.

mod condition;

use std::collections::BTreeMap;
use std::time::Duration;

use federation_types::text::{list_at, name, str_at, uid};
use federation_types::{Gvr, ObjectKey};
use futures_util::future::join_all;
use hub_client::error::ApiError;
use hub_client::{At, Collection, DeleteOptions, Hub, Queue, ReconcileError, Reflector, WriteOptions, drive};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::STORED;
use super::resources::{Discovered, Resource};

/// The entry in `spec.finalizers` that is ours to take away.
const FINALIZER: &str = "kubernetes";
/// Namespaces that are emptied at once.
const WIDTH: usize = 4;
/// Objects of a namespace that are deleted at once: commits that come together share one write to the disk.
const DELETED_AT_ONCE: usize = 32;

/// What was found in a namespace that is going.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Findings {
    /// Groups whose resources are unknown.
    discovery: Vec<String>,
    /// Resources that could not be listed, or objects that could not be deleted.
    content: Vec<String>,
    /// `RESOURCE.GROUP` and how many objects of it are left.
    remaining: BTreeMap<String, usize>,
    /// Finalizers and how many objects each one holds.
    finalizers: BTreeMap<String, usize>,
}

/// What to do after one round of deletions.
#[derive(Debug, PartialEq)]
struct Plan {
    /// The new conditions, if they differ from the stored ones.
    conditions: Option<Value>,
    /// The finalizers that stay; `None` while the namespace cannot go.
    finalize: Option<Vec<Value>>,
    /// When to look again.
    wait: Duration,
}

pub(super) async fn run(hub: Hub, stop: CancellationToken) {
    let namespaces = Gvr::new("v1", "namespaces");
    let queue: Queue<String> = Queue::new();
    let add = queue.clone();
    let reflector = Reflector::new(hub.clone(), Collection::all(namespaces.clone()), |ns| {
        is_ending(&ns).then(|| str_at(&ns, &["metadata", "resourceVersion"]).to_owned())
    })
    .on_change(move |change| {
        if change.new.is_some() {
            add.add(change.key.1.clone());
        }
    });
    let reconcile = |namespace: String| {
        let (hub, namespaces) = (&hub, &namespaces);
        async move { reconcile(hub, namespaces, &namespace).await }
    };
    tokio::join!(reflector.run(stop.clone()), drive("namespaces", queue.clone(), WIDTH, reconcile, stop));
}

async fn reconcile(hub: &Hub, namespaces: &Gvr, name: &str) -> Result<(), ReconcileError> {
    let Some(namespace) = hub.get(namespaces, "", name).await?.filter(is_ending) else { return Ok(()) };
    let discovered = Discovered::read(hub).await?;
    let findings = empty(hub, &discovered, name).await;
    let Plan { conditions, finalize, wait } = plan(&namespace, &findings, Timestamp::now());
    let mut namespace = namespace;
    if let Some(conditions) = conditions {
        let status = json!({"status": {"phase": "Terminating", "conditions": conditions}});
        let how = WriteOptions { subresource: "status", ..WriteOptions::default() };
        match hub.merge_patch(At::new(namespaces, "", name), &status, &how).await {
            Ok(updated) => namespace = updated,
            Err(error) if error.is_not_found() => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
    let Some(finalizers) = finalize else {
        return Err(ReconcileError::Wait(wait, "the namespace is not empty".to_owned()));
    };
    namespace["spec"]["finalizers"] = Value::Array(finalizers);
    let how = WriteOptions { subresource: "finalize", ..WriteOptions::default() };
    match hub.replace(namespaces, &namespace, &how).await {
        Ok(_) => Ok(()),
        Err(error) if error.is_not_found() => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Deletes all that is stored in a namespace, pods first, and tells what is left.
async fn empty(hub: &Hub, discovered: &Discovered, namespace: &str) -> Findings {
    let mut findings = Findings { discovery: discovered.failures.clone(), ..Findings::default() };
    let resources: Vec<&Resource> =
        discovered.with_verbs(&["delete", "list"]).filter(|resource| resource.namespaced).collect();
    let is_pods = |resource: &Resource| resource.gvr.group.is_empty() && resource.gvr.resource == "pods";
    for resource in resources.iter().filter(|resource| is_pods(resource)) {
        empty_resource(hub, resource, namespace, &mut findings).await;
    }
    // Pods may need the namespace's other objects to end well.
    if findings.remaining.is_empty() && findings.content.is_empty() {
        for resource in resources.iter().filter(|resource| !is_pods(resource)) {
            empty_resource(hub, resource, namespace, &mut findings).await;
        }
    }
    findings
}

async fn empty_resource(hub: &Hub, resource: &Resource, namespace: &str, findings: &mut Findings) {
    let gvr = &resource.gvr;
    let label = label(gvr);
    let stored = Collection::all(gvr.clone()).within(namespace).labelled(STORED);
    let listed = match hub.list(&stored).await {
        Ok(listed) => listed.items,
        Err(error) => {
            findings.content.push(format!("{label}: {error}"));
            return;
        }
    };
    let (ending, standing): (Vec<&Value>, Vec<&Value>) =
        listed.iter().partition(|object| !object["metadata"]["deletionTimestamp"].is_null());
    for object in ending {
        findings.leave(&label, object);
    }
    for some in standing.chunks(DELETED_AT_ONCE) {
        let outcomes = join_all(some.iter().map(|object| delete(hub, gvr, object))).await;
        for (object, outcome) in some.iter().zip(outcomes) {
            findings.take(resource, object, outcome);
        }
    }
}

fn label(gvr: &Gvr) -> String {
    format!("{}.{}", gvr.resource, gvr.group)
}

async fn delete(hub: &Hub, gvr: &Gvr, object: &Value) -> Result<Option<Value>, ApiError> {
    let at = At::new(gvr, str_at(object, &["metadata", "namespace"]), name(object));
    let how = DeleteOptions { uid: uid(object), propagation: "Background", ..DeleteOptions::default() };
    hub.delete(at, &how).await
}

impl Findings {
    /// Notes what came of a deletion.
    fn take(&mut self, resource: &Resource, object: &Value, outcome: Result<Option<Value>, ApiError>) {
        let gvr = &resource.gvr;
        let label = label(gvr);
        match outcome {
            // Gone at once: the answer is a Status. Otherwise it is the object, which somebody else has to release.
            Ok(None) => {}
            Ok(Some(answer)) if answer["kind"] == "Status" => {}
            Ok(Some(answer)) => self.leave(&label, &answer),
            Err(error) if error.is_conflict() => self.leave(&label, object),
            Err(error) => {
                let key = ObjectKey {
                    group: gvr.group.clone(),
                    resource: gvr.resource.clone(),
                    namespace: str_at(object, &["metadata", "namespace"]).to_owned(),
                    name: name(object).to_owned(),
                };
                self.leave(&label, object);
                self.content.push(format!("{key}: {error}"));
            }
        }
    }

    fn leave(&mut self, resource: &str, object: &Value) {
        *self.remaining.entry(resource.to_owned()).or_insert(0) += 1;
        for finalizer in list_at(object, &["metadata", "finalizers"]).filter_map(Value::as_str) {
            *self.finalizers.entry(finalizer.to_owned()).or_insert(0) += 1;
        }
    }

    fn is_clean(&self) -> bool {
        let Self { discovery, content, remaining, finalizers: _ } = self;
        discovery.is_empty() && content.is_empty() && remaining.is_empty()
    }
}

fn plan(namespace: &Value, findings: &Findings, now: Timestamp) -> Plan {
    let stored = &namespace["status"]["conditions"];
    let conditions = condition::merged(stored, findings, now);
    let finalize = findings.is_clean().then(|| {
        list_at(namespace, &["spec", "finalizers"]).filter(|finalizer| **finalizer != FINALIZER).cloned().collect()
    });
    let since = str_at(namespace, &["metadata", "deletionTimestamp"]).parse::<Timestamp>();
    let age = since.map_or(0, |since| now.as_second() - since.as_second());
    // Quick while somebody may be looking, slow for what waits for a person.
    let wait = Duration::from_millis(match age {
        ..10 => 300,
        10..60 => 2_000,
        _ => 15_000,
    });
    Plan { conditions: (conditions != *stored).then_some(conditions), finalize, wait }
}

/// Whether a namespace is being deleted and still waits for us.
fn is_ending(namespace: &Value) -> bool {
    !namespace["metadata"]["deletionTimestamp"].is_null()
        && list_at(namespace, &["spec", "finalizers"]).any(|finalizer| finalizer == FINALIZER)
}

#[cfg(test)]
mod tests;
