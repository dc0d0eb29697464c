//! The runtime's Controller: it owns what it applies, sees what happens to it, keeps a finalizer, records Events.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::events::v1::Event as Recorded;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::controller::{Action, Controller};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::runtime::finalizer::{self, finalizer};
use kube::runtime::{conditions, watcher};
use kube::{Api, Client, Resource as _, ResourceExt as _};
use serde_json::json;

use crate::{becomes, map, value};

const FINALIZER: &str = "example.com/copied";

/// Why a reconcile is tried again.
#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error("the API: {0}")]
    Api(#[from] kube::Error),
    #[error("the finalizer: {0}")]
    Finalizer(#[from] Box<finalizer::Error<Problem>>),
}

struct Shared {
    maps: Api<ConfigMap>,
    recorder: Recorder,
}

pub async fn run(hub: Client, maps: Api<ConfigMap>) -> Result<()> {
    let recorder = Recorder::new(hub.clone(), Reporter::from("copier"));
    let shared = Arc::new(Shared { maps: maps.clone(), recorder });
    let sources = watcher::Config::default().labels("role=source");
    let running = Controller::new(maps.clone(), sources)
        .owns(maps.clone(), watcher::Config::default().labels("role=copy"))
        .run(reconcile, |_, _, _| Action::requeue(Duration::from_millis(100)), shared)
        .for_each(async |outcome| {
            if let Err(error) = outcome {
                eprintln!("a reconcile is tried again: {error}");
            }
        });
    let running = tokio::spawn(running);
    let outcome = use_it(&hub, &maps).await;
    running.abort();
    outcome
}

async fn use_it(hub: &Client, maps: &Api<ConfigMap>) -> Result<()> {
    let is = |wanted: &'static str| move |map: Option<&ConfigMap>| map.and_then(value) == Some(wanted);
    maps.create(&PostParams::default(), &map("source", "1")).await?;
    becomes(maps, "source-copy", is("1")).await?;
    let source = maps.get("source").await?;
    ensure!(source.finalizers() == [FINALIZER], "its finalizer: {:?}", source.finalizers());
    let copy = maps.get("source-copy").await?;
    let owner = copy.owner_references().first().context("the copy has an owner")?;
    ensure!(Some(&owner.uid) == source.uid().as_ref() && owner.controller == Some(true), "{owner:?}");
    let managers: Vec<_> = copy.managed_fields().iter().map(|entry| (&entry.manager, &entry.operation)).collect();
    let applied = (&Some("copier".to_owned()), &Some("Apply".to_owned()));
    ensure!(managers == [applied], "its managers: {managers:?}");

    maps.patch("source", &PatchParams::default(), &Patch::Merge(json!({"data": {"key": "2"}}))).await?;
    becomes(maps, "source-copy", is("2")).await?;
    // What is owned is restored, changed or gone.
    maps.patch("source-copy", &PatchParams::default(), &Patch::Merge(json!({"data": {"key": "x"}}))).await?;
    becomes(maps, "source-copy", is("2")).await?;
    let first = copy.uid().context("a uid")?;
    maps.delete("source-copy", &DeleteParams::default()).await?;
    becomes(maps, "source-copy", conditions::is_deleted(&first)).await?;
    becomes(maps, "source-copy", is("2")).await?;

    let uid = source.uid().context("a uid")?;
    let second = maps.get("source-copy").await?.uid().context("a uid")?;
    maps.delete("source", &DeleteParams::default()).await?;
    becomes(maps, "source", conditions::is_deleted(&uid)).await?;
    // The collector follows.
    becomes(maps, "source-copy", conditions::is_deleted(&second)).await?;
    let namespace = source.namespace().context("a namespace")?;
    let events: Api<Recorded> = Api::namespaced(hub.clone(), &namespace);
    let events = events.list(&ListParams::default().fields("regarding.name=source")).await?;
    let copied = events.iter().find(|event| event.reason.as_deref() == Some("Copied")).context("an Event Copied")?;
    let times = copied.series.as_ref().map_or(1, |series| series.count);
    ensure!(times >= 2, "it is a series: {copied:?}");
    ensure!(events.iter().any(|event| event.reason.as_deref() == Some("Forgotten")), "an Event Forgotten");
    Ok(())
}

async fn reconcile(source: Arc<ConfigMap>, shared: Arc<Shared>) -> Result<Action, Problem> {
    let step = |event| async {
        match event {
            finalizer::Event::Apply(source) => copy(&source, &shared).await,
            finalizer::Event::Cleanup(source) => {
                record(&source, &shared, "Forgotten").await?;
                Ok(Action::await_change())
            }
        }
    };
    Ok(finalizer(&shared.maps, FINALIZER, Arc::clone(&source), step).await.map_err(Box::new)?)
}

async fn copy(source: &ConfigMap, shared: &Shared) -> Result<Action, Problem> {
    let name = format!("{}-copy", source.name_any());
    let copy = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "labels": {"role": "copy"},
            "ownerReferences": source.controller_owner_ref(&()).as_slice()},
        "data": {"key": value(source)}});
    shared.maps.patch(&name, &PatchParams::apply("copier").force(), &Patch::Apply(copy)).await?;
    record(source, shared, "Copied").await?;
    Ok(Action::requeue(Duration::from_secs(300)))
}

async fn record(source: &ConfigMap, shared: &Shared, reason: &str) -> Result<(), Problem> {
    let event = Event {
        type_: EventType::Normal,
        reason: reason.to_owned(),
        note: Some("as it should be".to_owned()),
        action: "Copying".to_owned(),
        secondary: None,
    };
    Ok(shared.recorder.publish(&event, &source.object_ref(&())).await?)
}
