//! Keeps definitions in order: writes their status as soon as they change, and empties what is being deleted.
//!
//! One task a server, level-triggered: every change looks at the definitions that may be concerned. It writes through the
//! server's own API, so that admission, managed fields and watches see what they would see of anybody.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

use auth::UserInfo;
use federation_types::Gvr;
use http::Request;
use hub_client::error::ApiError;
use hub_client::{At, DeleteOptions, Hub, WriteOptions};
use serde_json::{Value, json};
use tokio::time::timeout;
use tower::ServiceExt as _;

use super::status::{self, Condition};
use super::{CLEANUP, GROUP, PLURAL, STORAGE};
use crate::cache::{Entry, Scope, Snapshot};
use crate::kinds::Unserved;
use crate::server::Server;
use crate::service::Api;
use crate::{kind, object};

/// How long until definitions are looked at again that could not be brought in order.
const AGAIN: Duration = Duration::from_millis(300);
/// How long the task sleeps at most: it has to notice that its server is gone.
const IDLE: Duration = Duration::from_secs(60);
/// Objects of a custom kind that are deleted at once.
const AT_ONCE: usize = 32;

/// What is remembered from one look to the next.
#[derive(Default)]
struct Memory {
    /// Revisions at which definitions were in order, by name.
    settled: BTreeMap<Box<str>, u64>,
}

/// Keeps definitions in order until the server is gone.
pub(crate) async fn run(server: Weak<Server>) {
    let Some(strong) = server.upgrade() else { return };
    let cache = strong.cache.resource(STORAGE);
    let draining = strong.draining.clone();
    drop(strong);
    let mut memory = Memory::default();
    let mut watcher = cache.watch(Scope::All, cache.revision());
    loop {
        let Some(strong) = server.upgrade() else { return };
        strong.kinds.table();
        let open = memory.look(&Api::of(Arc::clone(&strong)), &cache.snapshot()).await;
        drop(strong);
        let sleep = if open { AGAIN } else { IDLE };
        let Ok(changes) = &mut watcher else { return };
        tokio::select! {
            changed = timeout(sleep, changes.next()) => if let Ok(Err(_)) = changed {
                watcher = cache.watch(Scope::All, cache.revision());
            },
            () = draining.cancelled() => return,
        }
    }
}

impl Memory {
    /// One look at every definition that changed or waits; says whether anything is left to do.
    async fn look(&mut self, api: &Api, snapshot: &Snapshot) -> bool {
        let names: BTreeSet<Box<str>> = snapshot.range(&Scope::All, "").map(|entry| entry.name().into()).collect();
        self.settled.retain(|name, _| names.contains(name));
        let mut open = false;
        for name in names {
            let cache = api.server().cache.resource(STORAGE);
            let Some(entry) = cache.get(&name).filter(|entry| self.settled.get(&name) != Some(&entry.rev())) else {
                continue;
            };
            match keep(api, &entry).await {
                Ok(true) => {
                    let kept = cache.get(&name).filter(|entry| !is_contested(entry));
                    self.settled.extend(kept.map(|entry| (name, entry.rev())));
                }
                Ok(false) => open = true,
                Err(error) if error.is_conflict() || error.is_not_found() => open = true,
                Err(error) => {
                    tracing::warn!(%error, %name, "a custom resource definition cannot be brought in order");
                    open = true;
                }
            }
        }
        open
    }
}

/// Whether other definitions have a say in this one's status.
fn is_contested(entry: &Entry) -> bool {
    !status::holds(&entry.value(), "NamesAccepted")
}

/// Brings one definition in order; says whether it is.
async fn keep(api: &Api, entry: &Entry) -> Result<bool, ApiError> {
    let mut definition = entry.value();
    if object::is_deleting(&definition) {
        return empty(api, definition).await;
    }
    let cache = api.server().cache.resource(STORAGE).snapshot();
    let group = entry.text(&["spec", "group"]);
    let others = cache.range(&Scope::All, "").filter(|other| other.name() != entry.name());
    let others = others.filter(|other| other.text(&["spec", "group"]) == group);
    let others: Vec<Value> = others.map(|other| accepted(other)).collect();
    let others: Vec<&Value> = others.iter().collect();
    if status::update(&mut definition, &others, &api.server().timestamp()) {
        write_status(api, &definition).await?;
    }
    Ok(true)
}

fn accepted(entry: &Entry) -> Value {
    let names = entry.field(&["status", "acceptedNames"]).and_then(|raw| serde_json::from_slice::<Value>(raw).ok());
    json!({"status": {"acceptedNames": names}})
}

/// Deletes the objects of a definition that is going; says whether it is gone.
async fn empty(api: &Api, mut definition: Value) -> Result<bool, ApiError> {
    if !object::finalizers(&definition).iter().any(|finalizer| finalizer == CLEANUP) {
        return Ok(true);
    }
    let text = |pointer: &str| definition.pointer(pointer).and_then(Value::as_str).unwrap_or("").to_owned();
    let (group, plural) = (text("/spec/group"), text("/status/acceptedNames/plural"));
    let served = status::holds(&definition, "Established") && !kind::is_built_in(&group, &plural);
    let objects = api.server().cache.resource(&kind::storage_name(&group, &plural));
    if served && !objects.snapshot().is_empty() {
        let begun = Condition {
            kind: "Terminating",
            status: true,
            reason: "InstanceDeletionInProgress",
            message: "CustomResource deletion is in progress",
        };
        let before = definition["status"].clone();
        status::set(&mut definition, &begun, &api.server().timestamp());
        if definition["status"] != before {
            write_status(api, &definition).await?;
        }
        delete_all(api, &definition, &objects.snapshot()).await?;
        if !objects.snapshot().is_empty() {
            return Ok(false);
        }
    }
    let kept: Vec<String> = object::finalizers(&definition).into_iter().filter(|name| name != CLEANUP).collect();
    let patch = json!({"metadata": {
        "finalizers": kept, "uid": object::uid(&definition),
        "resourceVersion": api.server().cache.resource(STORAGE).get(object::name(&definition)).map(|e| e.rev().to_string()),
    }});
    let gvr = definitions();
    hub(api).merge_patch(At::new(&gvr, "", object::name(&definition)), &patch, &HOW).await?;
    Ok(true)
}

/// Deletes every object that is not being deleted already.
async fn delete_all(api: &Api, definition: &Value, objects: &Snapshot) -> Result<(), ApiError> {
    let versions = definition["spec"]["versions"].as_array();
    let stored = versions.into_iter().flatten().find(|version| version["storage"] == true);
    let Some(version) = stored.and_then(|version| version["name"].as_str()) else {
        tracing::warn!(name = object::name(definition), "there is no version in which objects could be deleted");
        return Ok(());
    };
    let group = definition["spec"]["group"].as_str().unwrap_or("");
    let plural = definition["status"]["acceptedNames"]["plural"].as_str().unwrap_or("");
    let gvr = Gvr::new(&format!("{group}/{version}"), plural);
    let hub = hub(api);
    let living = |entry: &&Arc<Entry>| entry.field(&["metadata", "deletionTimestamp"]).is_none();
    let living: Vec<&Arc<Entry>> = objects.range(&Scope::All, "").filter(living).collect();
    let how = DeleteOptions::default();
    for some in living.chunks(AT_ONCE) {
        let deletions = some.iter().map(|entry| hub.delete(At::new(&gvr, entry.namespace(), entry.name()), &how));
        for outcome in futures_util::future::join_all(deletions).await {
            match outcome {
                Err(error) if !error.is_not_found() => return Err(error),
                _ => {}
            }
        }
    }
    Ok(())
}

const HOW: WriteOptions<'static> =
    WriteOptions { subresource: "", field_manager: "kube-apiserver", force: false, dry_run: false };

async fn write_status(api: &Api, definition: &Value) -> Result<(), ApiError> {
    let how = WriteOptions { subresource: "status", ..HOW };
    hub(api).replace(&definitions(), definition, &how).await.map(|_| ())
}

fn definitions() -> Gvr {
    Gvr::new(&format!("{GROUP}/v1"), PLURAL)
}

/// A connection as the API server itself, which reaches versions that nobody else is served.
fn hub(api: &Api) -> Hub {
    let user = UserInfo::new("system:apiserver", ["system:masters"]);
    let service = api.in_process(user).map_request(|mut request: Request<kube::client::Body>| {
        request.extensions_mut().insert(Unserved);
        request
    });
    Hub::new(kube::Client::new(service, "default"))
}
