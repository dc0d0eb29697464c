//! All resources together, and the one task that follows the store.
//!
//! Store keys read `/registry/GROUP/RESOURCE/KEY` (`core` for the core group); the value is canonical JSON
//! without a resourceVersion. Write paths wait for [`Cache::applied`], so that whoever wrote can read it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use federation_store::{Event as StoreEvent, Kv, Page, Store, StoreError, WatchError};
use futures_util::StreamExt;
use parking_lot::RwLock;
use tokio::task::JoinHandle;

use super::clock::{Clock, Progress};
use super::past::{self, Past};
use super::resource::{Expired, ResourceCache, Snapshot};

/// What every key of ours begins with.
pub const REGISTRY: &str = "/registry/";
/// Keys read at once while loading; bounds the memory of a start.
const LOAD_PAGE: usize = 1_000;
/// Pause before the store's watch is opened anew after it broke.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Why the cache cannot start or answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CacheError {
    #[error("the store cannot be read")]
    Store(#[from] StoreError),
    #[error("the store holds a key that is none of ours: {0}")]
    ForeignKey(String),
}

/// Every resource's cache. Dropping it ends the task that follows the store.
pub struct Cache {
    shared: Arc<Shared>,
    feed: JoinHandle<()>,
}

pub(super) struct Shared {
    pub(super) store: Arc<dyn Store>,
    progress: Arc<Progress>,
    /// Clocks of resources that are mirrored as well as stored, by storage name.
    mirrored: HashMap<String, Clock>,
    /// Guards the map only; resources are added, never removed.
    resources: RwLock<HashMap<String, Arc<ResourceCache>>>,
}

impl Cache {
    /// Loads everything and begins to follow the store.
    ///
    /// `mirrored` names the resources (`core/pods`) that get a clock of their own.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn open(store: Arc<dyn Store>, mirrored: HashMap<String, Clock>) -> Result<Self, CacheError> {
        let rev = store.current().await?;
        let shared = Arc::new(Shared { store, progress: Progress::new(rev), mirrored, resources: RwLock::default() });
        shared.load(rev).await?;
        let feed = tokio::spawn(Arc::clone(&shared).follow(rev));
        Ok(Self { shared, feed })
    }

    /// The cache of a resource, by its storage name (`core/configmaps`, `apps/deployments`).
    #[must_use]
    pub fn resource(&self, storage: &str) -> Arc<ResourceCache> {
        self.shared.resource(storage)
    }

    /// Storage names of all resources that were ever used, with the number of their objects.
    #[must_use]
    pub fn sizes(&self) -> Vec<(String, usize)> {
        let resources = self.shared.resources.read();
        resources.iter().map(|(name, cache)| (name.clone(), cache.snapshot().len())).collect()
    }

    /// Ends, for lists, everything that was older at the call before, see [`ResourceCache::compact`].
    pub fn compact(&self) {
        let resources: Vec<_> = self.shared.resources.read().values().cloned().collect();
        resources.iter().for_each(|resource| resource.compact());
    }

    /// Waits until every transaction that was acknowledged before the call is in the cache.
    ///
    /// # Errors
    /// Where the store does not answer.
    pub async fn fresh(&self) -> Result<u64, StoreError> {
        let rev = self.shared.store.current().await?;
        self.shared.progress.reached(rev).await;
        Ok(rev)
    }

    /// Waits until the store's revision `rev` is in the cache.
    pub async fn applied(&self, rev: u64) {
        self.shared.progress.reached(rev).await;
    }

    /// A resource as it was at a revision that the ring no longer reaches: read from the store.
    ///
    /// # Errors
    /// [`Expired`] where the store does not reach back that far either, or the resource has a clock of its own.
    pub async fn past(&self, storage: &str, rev: u64) -> Result<Snapshot, Expired> {
        past::snapshot(&self.shared, storage, rev).await
    }

    /// The events of a resource after `rev`, read from the store's log, up to and with `until`.
    #[must_use]
    pub fn events(&self, storage: &str, rev: u64, until: u64) -> Past {
        Past::new(&self.shared, storage, rev, until)
    }

    /// Whether the task that follows the store still runs.
    #[must_use]
    pub fn is_following(&self) -> bool {
        !self.feed.is_finished()
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        self.feed.abort();
    }
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache").field("sizes", &self.sizes()).finish_non_exhaustive()
    }
}

impl Shared {
    fn resource(&self, storage: &str) -> Arc<ResourceCache> {
        if let Some(found) = self.resources.read().get(storage) {
            return Arc::clone(found);
        }
        let mut resources = self.resources.write();
        let made = resources.entry(storage.to_owned()).or_insert_with(|| {
            let own = self.mirrored.get(storage).cloned();
            ResourceCache::new(own.unwrap_or_else(|| Clock::Store(Arc::clone(&self.progress))))
        });
        Arc::clone(made)
    }

    async fn load(&self, rev: u64) -> Result<(), CacheError> {
        let mut by_storage: HashMap<String, Vec<Kv>> = HashMap::new();
        for kv in self.read_all(rev).await? {
            let (storage, _) = split_key(&kv.key).ok_or_else(|| foreign(&kv.key))?;
            by_storage.entry(storage.to_owned()).or_default().push(kv);
        }
        for (storage, kvs) in by_storage {
            let objects = kvs.iter().filter_map(|kv| split_key(&kv.key).map(|(_, key)| (key, &kv.val[..], kv.mod_rev)));
            self.resource(&storage).load(objects);
        }
        Ok(())
    }

    async fn read_all(&self, rev: u64) -> Result<Vec<Kv>, StoreError> {
        let mut all = Vec::new();
        let mut page = Page { start_after: None, limit: Some(LOAD_PAGE) };
        loop {
            let read = self.store.snapshot(REGISTRY.as_bytes(), Some(rev), page.clone()).await?;
            page.start_after = read.kvs.last().map(|kv| kv.key.clone());
            all.extend(read.kvs);
            if !read.more {
                return Ok(all);
            }
        }
    }

    async fn follow(self: Arc<Self>, from: u64) {
        let mut at = from;
        loop {
            match self.follow_once(&mut at).await {
                WatchError::Store(StoreError::Closed) => {
                    tracing::info!("the store is closed, the watch cache stops");
                    return;
                }
                WatchError::Compacted { oldest } => {
                    tracing::warn!(at, oldest, "the watch cache fell behind and reads everything anew");
                    match self.reload().await {
                        Ok(rev) => at = rev,
                        Err(error) => tracing::error!(%error, "the watch cache cannot read the store"),
                    }
                }
                WatchError::Store(error) => tracing::error!(%error, "the store's watch broke"),
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    async fn follow_once(&self, at: &mut u64) -> WatchError {
        let mut batches = self.store.watch(REGISTRY.as_bytes(), *at);
        while let Some(next) = batches.next().await {
            match next {
                Ok(batch) => {
                    for event in &batch.events {
                        self.apply(event);
                    }
                    *at = batch.rev;
                    self.progress.advance(batch.rev);
                }
                Err(error) => return error,
            }
        }
        WatchError::Store(StoreError::Closed)
    }

    fn apply(&self, event: &StoreEvent) {
        let Some((storage, key)) = split_key(event.key()) else {
            tracing::error!(key = %printable(event.key()), "ignoring a key that is none of ours");
            return;
        };
        let resource = self.resource(storage);
        match event {
            StoreEvent::Put { kv, .. } => {
                resource.put(key, &kv.val, kv.mod_rev);
            }
            StoreEvent::Del { rev, .. } => {
                resource.remove(key, *rev);
            }
        }
    }

    /// Brings every resource to the store's state by events: what changed in between is not told.
    async fn reload(&self) -> Result<u64, CacheError> {
        let rev = self.store.current().await?;
        let mut kvs = self.read_all(rev).await?;
        kvs.sort_by_key(|kv| kv.mod_rev);
        let mut known: HashMap<String, Vec<&str>> = HashMap::new();
        for kv in &kvs {
            let (storage, key) = split_key(&kv.key).ok_or_else(|| foreign(&kv.key))?;
            known.entry(storage.to_owned()).or_default().push(key);
            let resource = self.resource(storage);
            if resource.get(key).is_none_or(|entry| entry.stored() < kv.mod_rev) {
                resource.put(key, &kv.val, kv.mod_rev);
            }
        }
        let resources: Vec<_> =
            self.resources.read().iter().map(|(name, cache)| (name.clone(), Arc::clone(cache))).collect();
        for (storage, resource) in resources {
            let kept: std::collections::HashSet<&str> =
                known.remove(&storage).unwrap_or_default().into_iter().collect();
            let snapshot = resource.snapshot();
            let gone = snapshot
                .range(&super::Scope::All, "")
                .filter(|entry| entry.stored() > 0 && !kept.contains(entry.key()));
            for entry in gone {
                resource.remove(entry.key(), rev);
            }
        }
        self.progress.advance(rev);
        Ok(rev)
    }
}

/// `/registry/apps/deployments/ns/name` → (`apps/deployments`, `ns/name`).
pub(super) fn split_key(key: &Bytes) -> Option<(&str, &str)> {
    let rest = std::str::from_utf8(key).ok()?.strip_prefix(REGISTRY)?;
    let group = rest.find('/')?;
    let resource = group + 1 + rest[group + 1..].find('/')?;
    Some((&rest[..resource], &rest[resource + 1..]))
}

fn foreign(key: &Bytes) -> CacheError {
    CacheError::ForeignKey(printable(key))
}

fn printable(key: &Bytes) -> String {
    String::from_utf8_lossy(key).into_owned()
}
