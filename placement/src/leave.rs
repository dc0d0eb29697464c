//! Controller: a Cluster that is being removed → its objects stay and lose our marks → the Cluster goes.
//!
//! Holds every Cluster with a finalizer, since a member that is forgotten first can no longer be told. Deletes nothing in
//! a member; a member that does not answer is waited for, and `cluster remove --force` does without.

use std::time::Duration;

use federation_types::{Gvr, label, text};
use hub_client::{ApiError, At, Caller, Collection, Hub, Queue, ReconcileError, Reflector, WriteOptions, drive};
use member_cluster::{Members, clusters};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::kinds::discover;

/// Keeps a Cluster until its member is free of our marks.
pub const FINALIZER: &str = "fedgate.dev/release";
/// Clusters that leave at once.
const WIDTH: usize = 4;
/// Between attempts while the member does not answer.
const AWAY: Duration = Duration::from_secs(5);
/// Marks in a member: labels, then annotations.
const MARKS: ([&str; 2], [&str; 2]) = ([label::HUB, label::TEMPLATE_UID], [label::EPOCH, label::HASH]);

/// What a reconcile needs.
pub(crate) struct Leaving {
    pub(crate) hub: Hub,
    pub(crate) members: Members,
    pub(crate) hub_uid: String,
}

/// What to do about one Cluster.
#[derive(Debug, PartialEq, Eq)]
enum Action {
    Keep,
    /// Write these finalizers.
    Hold(Vec<String>),
    /// Take the marks off in the member, then write these finalizers.
    Release(Vec<String>),
}

/// Runs until `stop`.
pub(crate) async fn run(leaving: Leaving, stop: CancellationToken) {
    let queue = Queue::new();
    let keys = queue.clone();
    let registered = Reflector::new(leaving.hub.clone(), Collection::all(clusters()), |_| Some(()))
        .on_change(move |change| keys.add(change.key.1.clone()));
    let reconcile = |name: String| leaving.reconcile(name);
    tokio::join!(registered.run(stop.clone()), drive("leave", queue, WIDTH, reconcile, stop.clone()));
}

fn plan(object: &Value) -> Action {
    let held: Vec<String> =
        text::list_at(object, &["metadata", "finalizers"]).filter_map(|f| f.as_str().map(str::to_owned)).collect();
    let ours = held.iter().any(|f| f == FINALIZER);
    let deleting = !text::str_at(object, &["metadata", "deletionTimestamp"]).is_empty();
    match (deleting, ours) {
        (false, false) => Action::Hold(held.into_iter().chain([FINALIZER.to_owned()]).collect()),
        (true, true) => Action::Release(held.into_iter().filter(|f| f != FINALIZER).collect()),
        _ => Action::Keep,
    }
}

impl Leaving {
    async fn reconcile(&self, name: String) -> Result<(), ReconcileError> {
        let Some(object) = self.hub.get(&clusters(), "", &name).await? else { return Ok(()) };
        let finalizers = match plan(&object) {
            Action::Keep => return Ok(()),
            Action::Hold(finalizers) => finalizers,
            Action::Release(finalizers) => {
                self.release(&name).await?;
                finalizers
            }
        };
        let gvr = clusters();
        let version = text::str_at(&object, &["metadata", "resourceVersion"]);
        let patch = json!({"metadata": {"finalizers": finalizers, "resourceVersion": version}});
        match self.hub.merge_patch(At::new(&gvr, "", &name), &patch, &WriteOptions::default()).await {
            Err(e) if e.is_not_found() => Ok(()),
            other => other.map(|_| ()).map_err(ReconcileError::from),
        }
    }

    /// Takes our marks off everything in the member.
    async fn release(&self, name: &str) -> Result<(), ReconcileError> {
        let away = |why: String| ReconcileError::Wait(AWAY, format!("{name} keeps our marks: {why}"));
        let Some(member) = self.members.get(name) else {
            return Err(away("there is no connection to it".to_owned()));
        };
        let writer = member.writer("").await.map_err(|e| away(e.to_string()))?;
        let mut resources: Vec<Gvr> = discover(&self.hub).await?.into_iter().map(|kind| kind.gvr).collect();
        resources.push(Gvr::new("v1", "namespaces"));
        for gvr in &resources {
            self.release_all(&writer, gvr).await.map_err(|e| away(format!("{gvr}: {e}")))?;
        }
        Ok(())
    }

    async fn release_all(&self, writer: &Caller, gvr: &Gvr) -> Result<(), ApiError> {
        let marked = Collection::all(gvr.clone()).labelled(format!("{}={}", label::HUB, self.hub_uid));
        let found = match writer.list(&marked).await {
            // A kind that the member does not serve, or does not let the executor see, holds nothing of ours.
            Err(e) if matches!(e.code(), 403..=405) => return Ok(()),
            other => other?.items,
        };
        let (labels, annotations) = MARKS;
        for object in found {
            let nulls = |keys: [&str; 2]| keys.into_iter().map(|k| (k.to_owned(), Value::Null)).collect::<Value>();
            let patch = json!({"metadata": {"uid": text::uid(&object), "labels": nulls(labels),
                "annotations": nulls(annotations)}});
            let at = At::new(gvr, text::namespace(&object), text::name(&object));
            match writer.merge_patch(at, &patch, &WriteOptions::default()).await {
                // Gone, or another object of that name: not ours any more.
                Err(e) if e.is_not_found() || e.is_conflict() => {}
                other => drop(other?),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Action, FINALIZER, plan};

    #[test]
    fn a_cluster_is_held_and_then_released() {
        assert_eq!(plan(&json!({"metadata": {}})), Action::Hold(vec![FINALIZER.to_owned()]));
        let held = json!({"metadata": {"finalizers": ["a", FINALIZER]}});
        assert_eq!(plan(&held), Action::Keep);
        let mut leaving = held.clone();
        leaving["metadata"]["deletionTimestamp"] = "t".into();
        assert_eq!(plan(&leaving), Action::Release(vec!["a".to_owned()]));
        leaving["metadata"]["finalizers"] = json!(["a"]);
        assert_eq!(plan(&leaving), Action::Keep);
    }
}
