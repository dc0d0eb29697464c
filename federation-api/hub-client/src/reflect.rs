//! A reflection: a small projection of a resource, kept current by list and watch.
//!
//! Holds what the projection keeps and nothing else; what an absence means is for the reader to decide,
//! who can ask whether the reflection is synced.

use std::collections::BTreeMap;
use std::sync::Arc;

use federation_types::text;
use parking_lot::RwLock;
use serde_json::Value;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::caller::{Caller, Collection};
use crate::error::ApiError;
use crate::follow::{Sink, follow};

/// Namespace and name.
pub type Key = (String, String);

/// What became of one object.
#[derive(Debug)]
pub struct Change<'a, T> {
    pub key: &'a Key,
    pub old: Option<&'a Arc<T>>,
    pub new: Option<&'a Arc<T>>,
}

type Project<T> = Box<dyn Fn(Value) -> Option<T> + Send + Sync>;
type Listener<T> = Box<dyn Fn(Change<'_, T>) + Send + Sync>;

/// Reads a resource and feeds its [`Reflection`]; built first, then [`run`](Reflector::run) as a task.
pub struct Reflector<T> {
    from: Caller,
    of: Collection,
    project: Project<T>,
    listeners: Vec<Listener<T>>,
    reflection: Reflection<T>,
    state: watch::Sender<State>,
}

/// The projection; cheap to clone, always readable.
pub struct Reflection<T> {
    /// Guards the map; held for look-ups, single inserts and the swap of a whole list.
    objects: Arc<RwLock<BTreeMap<Key, Arc<T>>>>,
    state: watch::Receiver<State>,
}

/// How well a reflection knows its resource.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct State {
    /// A complete list has been seen since the start.
    pub synced: bool,
    /// The watch stands; false from the first failure until the next success.
    pub live: bool,
    /// Counts changes, so that a waiter sees that something moved.
    pub changes: u64,
}

impl<T> Clone for Reflection<T> {
    fn clone(&self) -> Self {
        Self { objects: self.objects.clone(), state: self.state.clone() }
    }
}

impl<T: Send + Sync + 'static> Reflector<T> {
    /// A reflector of `of`; `project` keeps what is needed of an object, `None` leaves it out.
    pub fn new(from: Caller, of: Collection, project: impl Fn(Value) -> Option<T> + Send + Sync + 'static) -> Self {
        let (state, receiver) = watch::channel(State::default());
        let reflection = Reflection { objects: Arc::default(), state: receiver };
        Self { from, of, project: Box::new(project), listeners: Vec::new(), reflection, state }
    }

    /// Calls `listener` at each change, in order, from the reflector's task; it must be quick.
    #[must_use]
    pub fn on_change(mut self, listener: impl Fn(Change<'_, T>) + Send + Sync + 'static) -> Self {
        self.listeners.push(Box::new(listener));
        self
    }

    /// The projection that this reflector feeds.
    #[must_use]
    pub fn reflection(&self) -> Reflection<T> {
        self.reflection.clone()
    }

    /// Puts objects in before anything was read, for example from a snapshot on disk; they count as not synced.
    pub fn preload(&self, objects: impl IntoIterator<Item = Value>) {
        for object in objects {
            self.insert(object);
        }
    }

    /// Lists and watches until `stop`, forever anew after errors.
    pub async fn run(self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = follow(&self.from, &self.of, &self) => {}
        }
    }

    fn insert(&self, object: Value) {
        let key = key_of(&object);
        let Some(new) = (self.project)(object).map(Arc::new) else {
            self.take(&key);
            return;
        };
        let old = self.reflection.objects.write().insert(key.clone(), new.clone());
        self.tell(&Change { key: &key, old: old.as_ref(), new: Some(&new) });
    }

    fn take(&self, key: &Key) {
        let old = self.reflection.objects.write().remove(key);
        if let Some(old) = old {
            self.tell(&Change { key, old: Some(&old), new: None });
        }
    }

    fn tell(&self, change: &Change<'_, T>) {
        for listener in &self.listeners {
            listener(Change { key: change.key, old: change.old, new: change.new });
        }
        self.state.send_modify(|s| s.changes += 1);
    }
}

impl<T: Send + Sync + 'static> Sink for Reflector<T> {
    fn replace(&self, objects: Vec<Value>) {
        // At once: a reader who saw a part of the list would take the rest for absent.
        let keyed = objects.into_iter().map(|object| (key_of(&object), object));
        let new: BTreeMap<Key, Arc<T>> =
            keyed.filter_map(|(key, object)| Some((key, Arc::new((self.project)(object)?)))).collect();
        let old = std::mem::replace(&mut *self.reflection.objects.write(), new.clone());
        for (key, new) in &new {
            self.tell(&Change { key, old: old.get(key), new: Some(new) });
        }
        for (key, old) in old.iter().filter(|(key, _)| !new.contains_key(*key)) {
            self.tell(&Change { key, old: Some(old), new: None });
        }
        self.state.send_modify(|s| {
            s.synced = true;
            s.changes += 1;
        });
    }

    fn put(&self, object: Value) {
        self.insert(object);
    }

    fn remove(&self, object: &Value) {
        self.take(&key_of(object));
    }

    fn live(&self, problem: Option<&ApiError>) {
        let live = problem.is_none();
        self.state.send_if_modified(|s| std::mem::replace(&mut s.live, live) != live);
    }
}

impl<T> Reflection<T> {
    /// The object of this key.
    #[must_use]
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<T>> {
        self.objects.read().get(&(namespace.to_owned(), name.to_owned())).cloned()
    }

    /// All objects, in key order.
    #[must_use]
    pub fn all(&self) -> Vec<(Key, Arc<T>)> {
        self.objects.read().iter().map(|(key, object)| (key.clone(), object.clone())).collect()
    }

    /// The objects of one namespace, in key order.
    #[must_use]
    pub fn within(&self, namespace: &str) -> Vec<(Key, Arc<T>)> {
        let objects = self.objects.read();
        let from = (namespace.to_owned(), String::new());
        let of_it = objects.range(from..).take_while(|((ns, _), _)| ns == namespace);
        of_it.map(|(key, object)| (key.clone(), object.clone())).collect()
    }

    /// How many objects there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.objects.read().len()
    }

    /// Whether there are no objects.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.objects.read().is_empty()
    }

    /// How well the resource is known at this moment.
    #[must_use]
    pub fn state(&self) -> State {
        *self.state.borrow()
    }

    /// A receiver that wakes at every change of the objects or of [`State`].
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// Waits until a complete list has been seen; false if the reflector ended before.
    pub async fn synced(&self) -> bool {
        self.state.clone().wait_for(|state| state.synced).await.is_ok()
    }
}

fn key_of(object: &Value) -> Key {
    (text::namespace(object).to_owned(), text::name(object).to_owned())
}
