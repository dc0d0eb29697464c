//! Watchers: by pages and by a streamed list, whole objects and metadata alone; each sees everything once and goes on.

use std::collections::BTreeSet;
use std::pin::pin;

use anyhow::{Context as _, Result, ensure};
use futures_util::{Stream, TryStreamExt as _};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, PostParams};
use kube::core::PartialObjectMeta;
use kube::runtime::reflector;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, ResourceExt};

use crate::{map, value};

const MAPS: usize = 7;

pub async fn run(hub: Client, maps: Api<ConfigMap>) -> Result<()> {
    for n in 0..MAPS {
        maps.create(&PostParams::default(), &map(&format!("map-{n}"), "1")).await?;
    }
    let namespace = maps.get("map-0").await?.namespace().context("a namespace")?;
    let metadata: Api<PartialObjectMeta<ConfigMap>> = Api::namespaced(hub, &namespace);
    let config = || watcher::Config::default().labels("role=source");
    let (paged, streamed) = (config().page_size(3), config().streaming_lists());
    for (round, config) in [paged, streamed].into_iter().enumerate() {
        follow(watcher::watcher(maps.clone(), config.clone()), &maps, round).await.context("objects")?;
        follow(watcher::watcher(metadata.clone(), config), &maps, round).await.context("metadata")?;
    }
    stored(&maps, config()).await
}

/// Sees what there is, then what is made, changed and deleted.
async fn follow<K: ResourceExt>(
    events: impl Stream<Item = watcher::Result<Event<K>>>,
    maps: &Api<ConfigMap>,
    round: usize,
) -> Result<()> {
    let mut events = pin!(events);
    let mut seen = BTreeSet::new();
    loop {
        match events.try_next().await?.context("a watch has no end")? {
            Event::InitApply(object) => ensure!(seen.insert(object.name_any()), "{} twice", object.name_any()),
            Event::InitDone => break,
            Event::Init => {}
            _ => anyhow::bail!("a change before the list is over"),
        }
    }
    ensure!(seen.len() == MAPS, "{seen:?}");
    let late = format!("late-{round}");
    maps.create(&PostParams::default(), &map(&late, "1")).await?;
    let applied = |event| matches!(event, Event::Apply(object) if K::name_any(&object) == late);
    ensure!(events.try_next().await?.is_some_and(applied), "{late} is made");
    maps.delete(&late, &DeleteParams::default()).await?;
    let deleted = |event| matches!(event, Event::Delete(object) if K::name_any(&object) == late);
    ensure!(events.try_next().await?.is_some_and(deleted), "{late} is gone");
    Ok(())
}

/// A reflector's store has what the server has.
async fn stored(maps: &Api<ConfigMap>, config: watcher::Config) -> Result<()> {
    let (store, writer) = reflector::store();
    let mut events = pin!(reflector::reflector(writer, watcher::watcher(maps.clone(), config)));
    while store.len() < MAPS {
        events.try_next().await?.context("a watch has no end")?;
    }
    let mut changed = maps.get("map-3").await?;
    changed.data = map("map-3", "2").data;
    let changed = maps.replace("map-3", &PostParams::default(), &changed).await?;
    let key = reflector::ObjectRef::from_obj(&changed);
    while store.get(&key).is_none_or(|own| value(&own) != Some("2")) {
        events.try_next().await?.context("a watch has no end")?;
    }
    let own = store.get(&key).context("it is stored")?;
    ensure!(own.resource_version() == changed.resource_version(), "the same version");
    Ok(())
}
