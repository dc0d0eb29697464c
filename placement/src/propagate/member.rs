//! One room a member: its queue of copies, its watches of what we own there, its workers.
//!
//! A room lives as long as the member's connection; what it learns goes into the shared books.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use federation_types::{Gvr, label};
use hub_client::{ApiError, Collection, Queue, Reflection, Reflector, drive};
use member_cluster::{Member, Members};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::apply::apply;
use super::books::Books;
use super::live::{Live, Seen};
use crate::world::World;

/// Applies in flight a member: enough to hide one round trip behind another, few enough for API fairness there.
const WIDTH: usize = 16;
/// Longest wait for requests in flight when we are told to stop: each is one request, and repeated after the start.
pub(crate) const DRAIN: Duration = Duration::from_secs(5);
/// Drift of one copy is put back this often within [`DRIFT_WINDOW`]; more is a fight with another manager.
const DRIFT_MAX: u32 = 5;
const DRIFT_WINDOW: Duration = Duration::from_secs(60);
/// Longest wait for the first list of a kind before objects are read one by one.
const FIRST_LIST: Duration = Duration::from_secs(10);

/// All members' rooms.
pub(crate) struct Fleet {
    pub world: Arc<World>,
    pub members: Members,
    pub books: Books,
    /// Bindings whose status has to be written.
    pub record: Queue<String>,
    /// Guards the rooms; held for look-ups and swaps only.
    rooms: Mutex<BTreeMap<String, Arc<Room>>>,
    tasks: TaskTracker,
}

/// One member's room.
pub(crate) struct Room {
    pub member: Arc<Member>,
    pub queue: Queue<String>,
    /// Field manager of our applies: other hubs are other managers.
    pub manager: String,
    /// Guards the watches; held for look-ups and inserts only.
    watches: Mutex<BTreeMap<Gvr, Reflection<Live>>>,
    /// What our own writes answered, until the watch has caught up. Guards the map; held for single changes.
    answered: Arc<Mutex<HashMap<Place, Arc<Live>>>>,
    /// Drift put back per binding within the running window. Guards the counts; held for single changes.
    drifts: Mutex<HashMap<String, (Instant, u32)>>,
    stop: CancellationToken,
}

/// Resource, namespace and name.
pub(crate) type Place = (Gvr, String, String);

impl Fleet {
    pub(crate) fn new(world: Arc<World>, members: Members, record: Queue<String>) -> Arc<Self> {
        let tasks = TaskTracker::new();
        Arc::new(Self { world, members, books: Books::default(), record, rooms: Mutex::default(), tasks })
    }

    /// The room of a connected member.
    pub(crate) fn room(&self, member: &str) -> Option<Arc<Room>> {
        self.rooms.lock().get(member).cloned()
    }

    /// Wants a look at every copy of `binding`.
    pub(crate) fn wake(&self, binding: &str, clusters: impl Iterator<Item = String>) {
        let rooms = self.rooms.lock();
        for member in clusters {
            if let Some(room) = rooms.get(&member) {
                room.queue.add(binding.to_owned());
            }
        }
    }

    /// Wants a look at every copy in one member.
    pub(crate) fn wake_all(&self, member: &str) {
        let Some(room) = self.room(member) else { return };
        for ((_, name), binding) in self.world.bindings.all() {
            if binding.spec.clusters.iter().any(|r| r.name == member) {
                room.queue.add(name);
            }
        }
    }

    /// Opens and closes rooms as members come and go, until `stop`.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut changes = self.members.changes();
        loop {
            changes.mark_unchanged();
            self.refresh(&stop);
            tokio::select! {
                () = stop.cancelled() => break,
                changed = changes.changed() => if changed.is_err() { break },
            }
        }
        stop.cancelled().await;
        self.tasks.close();
        if tokio::time::timeout(DRAIN, self.tasks.wait()).await.is_err() {
            tracing::warn!("members with requests in flight were not waited for any longer");
        }
    }

    fn refresh(self: &Arc<Self>, stop: &CancellationToken) {
        let members: BTreeMap<String, Arc<Member>> =
            self.members.all().into_iter().map(|m| (m.name.to_string(), m)).collect();
        let mut opened = Vec::new();
        {
            let mut rooms = self.rooms.lock();
            rooms.retain(|name, room| {
                let stays = members.get(name).is_some_and(|m| Arc::ptr_eq(m, &room.member));
                if !stays {
                    room.stop.cancel();
                }
                stays
            });
            for (name, member) in members {
                if !rooms.contains_key(&name) {
                    let room = Room::new(member, &self.world.hub_uid, stop.child_token());
                    rooms.insert(name.clone(), room.clone());
                    opened.push((name, room));
                }
            }
        }
        for (name, room) in opened {
            self.open(room);
            self.wake_all(&name);
        }
        // Rows of clusters without a connection have to say so.
        for ((_, name), _) in self.world.bindings.all() {
            self.record.add(name);
        }
    }

    fn open(self: &Arc<Self>, room: Arc<Room>) {
        let closed = room.member.closed().clone();
        let (fleet, working) = (self.clone(), room.clone());
        let reconcile = move |name: String| apply(fleet.clone(), working.clone(), name);
        let (queue, stop) = (room.queue.clone(), room.stop.clone());
        let ending = stop.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = drive("propagate", queue, WIDTH, reconcile, ending) => {}
                () = closed.cancelled() => stop.cancel(),
            }
        });
    }

    /// What the member's watch says of one object; begins to watch its kind at the first question.
    ///
    /// # Errors
    /// If the kind was never listed there and the member does not answer.
    pub(crate) async fn seen(self: &Arc<Self>, room: &Arc<Room>, place: &Place) -> Result<Seen, ApiError> {
        let watch = self.watch(room, &place.0)?;
        if !watch.state().synced {
            // A member that does not answer would be waited for in vain.
            room.member.uid().await?;
            // Not within time: the object itself will be asked for.
            tokio::select! {
                _ = watch.synced() => {}
                () = tokio::time::sleep(FIRST_LIST) => {}
            }
        }
        Ok(room.known(place))
    }

    fn watch(self: &Arc<Self>, room: &Arc<Room>, gvr: &Gvr) -> Result<Reflection<Live>, ApiError> {
        let mut watches = room.watches.lock();
        if let Some(watch) = watches.get(gvr) {
            return Ok(watch.clone());
        }
        let reader = room.member.reader_of(gvr, "")?;
        let of = Collection::all(gvr.clone()).labelled(format!("{}={}", label::HUB, self.world.hub_uid));
        let manager = room.manager.clone();
        let (fleet, answered, kind) = (self.clone(), room.answered.clone(), gvr.clone());
        let (member, queue) = (room.member.name.to_string(), room.queue.clone());
        let reflector =
            Reflector::new(reader, of, move |object| Some(Live::of(&object, &manager))).on_change(move |change| {
                let place = (kind.clone(), change.key.0.clone(), change.key.1.clone());
                let echo = settle(&answered, &place, change.new.map(|n| n.resource_version.as_str()));
                for binding in fleet.bindings_at(&place) {
                    // An echo of our own write, or a new status alone, needs no look at the copy, only a new record.
                    if !echo && change.old.map(|o| mark(o)) != change.new.map(|n| mark(n)) {
                        queue.add(binding.clone());
                    }
                    fleet.record.add(binding);
                }
                tracing::trace!(cluster = %member, resource = %kind, name = %change.key.1, "seen in member");
            });
        let watch = reflector.reflection();
        watches.insert(gvr.clone(), watch.clone());
        drop(watches);
        self.tasks.spawn(reflector.run(room.stop.clone()));
        self.tasks.spawn(self.clone().look_again(room.clone(), watch.clone()));
        Ok(watch)
    }

    /// Looks at every copy again whenever a watch that was lost stands again: backoffs end with the outage.
    async fn look_again(self: Arc<Self>, room: Arc<Room>, watch: Reflection<Live>) {
        let mut states = watch.changes();
        let follow = async {
            while states.wait_for(|s| s.synced && !s.live).await.is_ok() && states.wait_for(|s| s.live).await.is_ok() {
                self.wake_all(room.member.name.as_str());
            }
        };
        tokio::select! {
            () = follow => {}
            () = room.stop.cancelled() => {}
        }
    }

    /// Bindings whose copies are at this place.
    fn bindings_at(&self, (gvr, namespace, name): &Place) -> Vec<String> {
        let Some(kind) = self.world.kind_of(gvr) else { return Vec::new() };
        let key = crate::world::TemplateKey { gvr: gvr.clone(), namespace: namespace.clone(), name: name.clone() };
        self.world.bindings_of(&kind.gvk(), &key).iter().map(|b| b.metadata.name.clone()).collect()
    }
}

/// What of a copy a step depends on.
fn mark(live: &Live) -> (&str, &str, &str, &str, &str, bool) {
    (&live.uid, &live.hub, &live.template, &live.hash, &live.owned, live.deleting)
}

/// Forgets what our own write answered once the watch is as far; says whether the watch saw that very write.
fn settle(answered: &Mutex<HashMap<Place, Arc<Live>>>, place: &Place, version: Option<&str>) -> bool {
    let mut answered = answered.lock();
    let Some(ours) = answered.get(place) else { return false };
    let echo = version == Some(ours.resource_version.as_str());
    if version.is_none_or(|seen| !older(seen, &ours.resource_version)) {
        answered.remove(place);
    }
    echo
}

/// Whether a resourceVersion is older than another of the same object; what is no number never is.
fn older(seen: &str, than: &str) -> bool {
    match (seen.parse::<u64>(), than.parse::<u64>()) {
        (Ok(seen), Ok(than)) => seen < than,
        _ => false,
    }
}

impl Room {
    fn new(member: Arc<Member>, hub_uid: &str, stop: CancellationToken) -> Arc<Self> {
        Arc::new(Self {
            member,
            queue: Queue::new(),
            manager: format!("fedgate-{hub_uid}"),
            watches: Mutex::default(),
            answered: Arc::default(),
            drifts: Mutex::default(),
            stop,
        })
    }

    /// The newest that is known of an object, without asking.
    pub(crate) fn known(&self, place: &Place) -> Seen {
        if let Some(live) = self.answered.lock().get(place) {
            return Seen::There(live.clone());
        }
        let Some(watch) = self.watches.lock().get(&place.0).cloned() else { return Seen::Unknown };
        let state = watch.state();
        match watch.get(&place.1, &place.2) {
            Some(live) if state.live => Seen::There(live),
            None if state.synced && state.live => Seen::NotOurs,
            _ => Seen::Unknown,
        }
    }

    /// The last that was known of an object, however long ago.
    pub(crate) fn last_known(&self, place: &Place) -> Option<Arc<Live>> {
        if let Some(live) = self.answered.lock().get(place) {
            return Some(live.clone());
        }
        let watch = self.watches.lock().get(&place.0).cloned()?;
        watch.get(&place.1, &place.2)
    }

    /// Keeps what our own write answered, until the watch is as far.
    pub(crate) fn answered(&self, place: &Place, live: Live) -> Arc<Live> {
        let live = Arc::new(live);
        let watch = self.watches.lock().get(&place.0).and_then(|w| w.get(&place.1, &place.2));
        if watch.is_none_or(|seen| older(&seen.resource_version, &live.resource_version)) {
            self.answered.lock().insert(place.clone(), live.clone());
        }
        live
    }

    /// Forgets what our own write answered: it is not true any more.
    pub(crate) fn forget(&self, place: &Place) {
        self.answered.lock().remove(place);
    }

    /// Counts one drift of a copy; says whether it has been too many within the window.
    pub(crate) fn drifted_too_often(&self, binding: &str) -> bool {
        let mut drifts = self.drifts.lock();
        let now = Instant::now();
        drifts.retain(|_, (since, _)| now.duration_since(*since) < DRIFT_WINDOW);
        let (_, count) = drifts.entry(binding.to_owned()).or_insert((now, 0));
        *count += 1;
        *count > DRIFT_MAX
    }
}
