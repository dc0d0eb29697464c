//! The next step of one copy: look, plan, write to the member as the executor, keep the outcome.
//!
//! A restart with nothing changed ends here without a write: the content's hash and what we own are recorded.

use std::sync::Arc;
use std::time::Duration;

use federation_types::binding::{BindingCluster, Phase};
use federation_types::{PlacementBinding, label, text};
use hub_client::caller::At;
use hub_client::{ApiError, Caller, DeleteOptions, ReconcileError, WriteOptions};
use member_cluster::members::IdentityError;
use serde_json::{Value, json};

use super::books::Outcome;
use super::definition;
use super::live::{Live, Seen};
use super::member::{Fleet, Place, Room};
use super::plan::{Action, Inputs, plan};
use crate::bind::{CASCADE, retry};
use crate::interpret::{self, Shape};
use crate::kinds::Kind;
use crate::render::{self, Manifest, Source, Stamp, Target, overrides_for};
use crate::schedule::Template;
use crate::world::World;

/// Wait before a copy that something in the member forbids is looked at again: what is not ours, no watch tells of.
const FORBIDDEN: Duration = Duration::from_secs(60);
/// Wait before a copy in the way, or on its way out, is looked at again; its watch is usually faster.
const IN_THE_WAY: Duration = Duration::from_secs(2);
/// Wait while the health loop says that a member is unreachable; its change wakes all its copies earlier.
const LOST: Duration = Duration::from_secs(60);

/// Wait after a start until the hub's kinds have been read.
const UNREAD: Duration = Duration::from_millis(100);

/// One copy at work.
struct Copy<'a> {
    fleet: &'a Arc<Fleet>,
    room: &'a Arc<Room>,
    binding: &'a PlacementBinding,
    row: &'a BindingCluster,
    kind: Kind,
    place: Place,
    last: Outcome,
}

/// What is to be written, as far as it can be said.
struct Rendered {
    manifest: Result<Manifest, String>,
    generation: i64,
}

/// Brings one copy of one binding up to date.
pub(super) async fn apply(fleet: Arc<Fleet>, room: Arc<Room>, name: String) -> Result<(), ReconcileError> {
    let Some(binding) = fleet.world.bindings.get(label::SYSTEM_NAMESPACE, &name) else {
        fleet.books.forget(&name, |_| false);
        return Ok(());
    };
    let member = room.member.name.as_str();
    let Some(row) = binding.spec.clusters.iter().find(|r| r.name == member) else { return Ok(()) };
    let template = &binding.spec.template;
    let last = fleet.books.last(&binding, member);
    if last.phase == Phase::Gone && row.withdraw {
        return Ok(());
    }
    let Some(kind) = fleet.world.kind(&template.api_version, &template.kind) else {
        if !fleet.world.knows_kinds() {
            // Nothing can be said yet, so what was said before the start stands.
            return Err(ReconcileError::Wait(UNREAD, "the hub's kinds have not been read yet".to_owned()));
        }
        return unserved(&fleet, &room, &binding, row).await;
    };
    let place = (kind.gvr.clone(), template.namespace.clone(), template.name.clone());
    let copy = Copy { fleet: &fleet, room: &room, binding: &binding, row, kind, place, last };
    copy.step().await
}

/// A copy whose kind the hub does not serve any more: it stays, unless it shall go, which the member itself can tell how.
async fn unserved(
    fleet: &Arc<Fleet>,
    room: &Arc<Room>,
    binding: &PlacementBinding,
    row: &BindingCluster,
) -> Result<(), ReconcileError> {
    let template = &binding.spec.template;
    let member = room.member.name.as_str();
    let last = fleet.books.last(binding, member);
    if !row.withdraw {
        let why = format!("the hub does not serve {} {} now; held", template.api_version, template.kind);
        keep(fleet, binding, member, last.with(Phase::Failed, why));
        return Ok(());
    }
    match definition::served_by(&room.member.reader, &template.api_version, &template.kind).await {
        Ok(Some(kind)) => {
            let place = (kind.gvr.clone(), template.namespace.clone(), template.name.clone());
            Copy { fleet, room, binding, row, kind, place, last }.step().await
        }
        Ok(None) => {
            keep(fleet, binding, member, last.with(Phase::Gone, "the member does not serve this kind"));
            Ok(())
        }
        Err(error) => Err(ReconcileError::Retry(error.to_string())),
    }
}

impl Copy<'_> {
    async fn step(&self) -> Result<(), ReconcileError> {
        if let Some(since) = self.unreachable() {
            self.keep(self.last.clone().with(Phase::Unreachable, format!("unreachable since {since}")));
            return Err(ReconcileError::Wait(LOST, format!("{} is unreachable", self.member())));
        }
        let rendered = match self.rendered().await? {
            Some(rendered) => rendered,
            // The template is gone or another: its binding is about to say so.
            None => return Ok(()),
        };
        if !self.row.withdraw
            && let Some(definition) = definition::of(self.world(), &self.kind.gvr)
            && !matches!(self.room.known(&self.place), Seen::There(_))
        {
            match definition::missing(self.room, &self.place, &definition, &self.world().hub_uid).await {
                Ok(None) => {}
                Ok(Some(why)) => {
                    self.keep(self.last.clone().with(Phase::Pending, why.clone()));
                    return Err(ReconcileError::Wait(definition::AWAITED, why));
                }
                Err(error) => return self.failed(error),
            }
        }
        let mut seen = match self.fleet.seen(self.room, &self.place).await {
            Ok(seen) => seen,
            Err(error) => return self.failed(error),
        };
        let mut action = self.plan(&seen, &rendered).await?;
        if action == Action::Look {
            seen = match self.look().await {
                Ok(seen) => seen,
                Err(error) => return self.failed(error),
            };
            action = self.plan(&seen, &rendered).await?;
        }
        self.act(action, &seen, &rendered).await
    }

    fn member(&self) -> &str {
        self.room.member.name.as_str()
    }

    fn world(&self) -> &World {
        &self.fleet.world
    }

    fn unreachable(&self) -> Option<String> {
        self.world().clusters.get("", self.member())?.unreachable_since.clone()
    }

    fn keep(&self, outcome: Outcome) {
        keep(self.fleet, self.binding, self.member(), outcome);
    }

    /// The manifest for this member; `None` where the template is not the binding's any more.
    async fn rendered(&self) -> Result<Option<Rendered>, ReconcileError> {
        if self.row.withdraw {
            return Ok(Some(Rendered { manifest: Err("withdrawn".to_owned()), generation: 0 }));
        }
        let (gvr, namespace, name) = &self.place;
        let template = self.world().hub.get(gvr, namespace, name).await.map_err(retry)?;
        let Some(template) = template.filter(|t| text::uid(t) == self.binding.spec.template.uid) else {
            return Ok(None);
        };
        let generation = text::int_at(&template, &["metadata", "generation"]).unwrap_or(0);
        Ok(Some(Rendered { manifest: self.render(&template).map_err(|e| e.to_string()), generation }))
    }

    fn render(&self, template: &Value) -> Result<Manifest, render::RenderError> {
        let world = self.world();
        let facts = world.clusters.get("", self.member()).map(|c| c.facts.clone()).ok_or_else(|| {
            render::RenderError::Refused { field: "cluster".to_owned(), reason: "is no member any more".to_owned() }
        })?;
        let overrides = world.overrides(&self.binding.spec.template.namespace);
        let meant = overrides_for(&Template::of(template), &overrides)?;
        let source = Source { template, overrides: &meant, hub_uid: &world.hub_uid, hub_range: &world.hub_range };
        // A count that is no count places nothing: schedule never writes one.
        let replicas = self.row.replicas.and_then(|r| u64::try_from(r).ok());
        let autoscaled = world.is_autoscaled(&self.kind.kind, &self.binding.spec.template);
        render::render(&source, &Target { facts: &facts, replicas, autoscaled })
    }

    async fn plan(&self, seen: &Seen, rendered: &Rendered) -> Result<Action, ReconcileError> {
        let spec = &self.binding.spec;
        let recorded = self.last.row(self.member());
        let inputs = Inputs {
            row: Some(self.row),
            recorded: Some(&recorded),
            seen,
            manifest: rendered.manifest.as_ref().map(|m| m.hash.as_str()).map_err(String::as_str),
            hub_uid: &self.world().hub_uid,
            template_uid: &spec.template.uid,
            epoch: spec.epoch,
            conflict: &spec.conflict,
            on_delete: &spec.on_delete,
            suspended: self.world().is_suspended(self.binding),
            finished: self.finished(seen, rendered).await?,
        };
        Ok(plan(&inputs))
    }

    /// Whether the copy ran to its end before it vanished from the member.
    async fn finished(&self, seen: &Seen, rendered: &Rendered) -> Result<bool, ReconcileError> {
        let runs_once = matches!(interpret::shape(&self.kind.gvk(), &Value::Null), Shape::Once | Shape::Single);
        let same = rendered.manifest.as_ref().is_ok_and(|m| m.hash == self.last.applied_hash);
        if !runs_once || !same || matches!(seen, Seen::There(_) | Seen::Unknown) {
            return Ok(false);
        }
        let bindings = crate::world::ours("placementbindings");
        let name = &self.binding.metadata.name;
        let stored = self.world().hub.get(&bindings, label::SYSTEM_NAMESPACE, name).await.map_err(retry)?;
        let rows = stored.iter().flat_map(|b| text::list_at(b, &["status", "clusters"]));
        let mut said = rows.filter(|r| text::str_at(r, &["name"]) == self.member()).filter_map(|r| r.get("status"));
        Ok(said.any(|status| interpret::has_finished(&self.kind.gvk(), status)))
    }

    async fn look(&self) -> Result<Seen, ApiError> {
        let (gvr, namespace, name) = &self.place;
        let reader = self.room.member.reader_of(gvr, &self.binding.spec.executor)?;
        let found = reader.get(gvr, namespace, name).await?;
        Ok(match found {
            Some(object) => Seen::There(Arc::new(Live::of(&object, &self.room.manager))),
            None => Seen::Absent,
        })
    }

    async fn act(&self, action: Action, seen: &Seen, rendered: &Rendered) -> Result<(), ReconcileError> {
        match action {
            Action::Hold | Action::Look => Ok(()),
            Action::Settled { uid } => {
                self.settled(uid, seen, rendered);
                Ok(())
            }
            Action::Stop(phase, why) => {
                self.keep(self.last.clone().with(phase, why.clone()));
                Err(ReconcileError::Wait(FORBIDDEN, why))
            }
            Action::Await(why) => {
                let phase = if self.row.withdraw { Phase::Deleting } else { Phase::Pending };
                self.keep(self.last.clone().with(phase, why.clone()));
                Err(ReconcileError::Wait(IN_THE_WAY, why))
            }
            Action::Acknowledge(why) => {
                self.room.forget(&self.place);
                self.keep(self.last.clone().with(Phase::Gone, why));
                Ok(())
            }
            Action::Apply { uid, resource_version, force } => {
                let Ok(manifest) = &rendered.manifest else { return Ok(()) };
                if self.flaps(seen, manifest) {
                    let why = "another manager keeps changing fields that we own; paused".to_owned();
                    self.keep(self.last.clone().with(Phase::Conflict, why.clone()));
                    return Err(ReconcileError::Wait(FORBIDDEN, why));
                }
                let stamp = Stamp { epoch: self.binding.spec.epoch, uid: &uid, resource_version: &resource_version };
                self.write(&manifest.stamped(stamp), force, (manifest, rendered.generation)).await
            }
            Action::Delete { uid } => self.delete(&uid).await,
            Action::Release { uid } => self.release(&uid).await,
        }
    }

    fn settled(&self, uid: String, seen: &Seen, rendered: &Rendered) {
        let Ok(manifest) = &rendered.manifest else { return };
        let owned = match seen {
            Seen::There(live) if self.last.owned_hash.is_empty() || self.last.applied_hash != manifest.hash => {
                live.owned.clone()
            }
            _ => self.last.owned_hash.clone(),
        };
        self.keep(Outcome {
            phase: Phase::Applied,
            applied_generation: rendered.generation,
            applied_hash: manifest.hash.clone(),
            owned_hash: owned,
            uid,
            message: String::new(),
        });
    }

    /// Whether this write would only put back, once too often, what somebody else keeps changing.
    fn flaps(&self, seen: &Seen, manifest: &Manifest) -> bool {
        let drift = matches!(seen, Seen::There(live) if live.hash == manifest.hash);
        if drift {
            tracing::info!(cluster = self.member(), binding = %self.binding.metadata.name, name = %self.place.2, "drift is put back");
        }
        drift && self.room.drifted_too_often(&self.binding.metadata.name)
    }

    async fn write(
        &self,
        object: &Value,
        force: bool,
        (manifest, generation): (&Manifest, i64),
    ) -> Result<(), ReconcileError> {
        let writer = match self.writer().await {
            Ok(writer) => writer,
            Err(outcome) => return outcome,
        };
        let how = WriteOptions { field_manager: &self.room.manager, force, ..WriteOptions::default() };
        let mut answer = writer.apply(&self.place.0, object, &how).await;
        if matches!(&answer, Err(e) if e.is_not_found()) && !self.place.1.is_empty() {
            match self.ensure_namespace(&writer).await {
                Ok(()) => answer = writer.apply(&self.place.0, object, &how).await,
                Err(error) => return self.failed(error),
            }
        }
        match answer {
            Ok(written) => {
                let live = self.room.answered(&self.place, Live::of(&written, &self.room.manager));
                self.keep(Outcome {
                    phase: Phase::Applied,
                    applied_generation: generation,
                    applied_hash: manifest.hash.clone(),
                    owned_hash: live.owned.clone(),
                    uid: live.uid.clone(),
                    message: String::new(),
                });
                Ok(())
            }
            Err(error) => self.failed(error),
        }
    }

    /// Makes the namespace where there is none; one that is there is nobody's business of ours.
    async fn ensure_namespace(&self, writer: &Caller) -> Result<(), ApiError> {
        let namespaces = federation_types::Gvr::new("v1", "namespaces");
        let name = &self.place.1;
        if self.room.member.reader.get(&namespaces, "", name).await?.is_some() {
            return Ok(());
        }
        let uid = self.world().namespaces.get("", name).map(|n| n.uid.clone()).unwrap_or_default();
        let object = render::namespace_manifest(name, &uid, &self.world().hub_uid);
        let how = WriteOptions { field_manager: &self.room.manager, ..WriteOptions::default() };
        writer.apply(&namespaces, &object, &how).await.map(|_| ())
    }

    /// Makes sure that nothing goes with a definition, and gives back the right to its kind.
    async fn let_go(&self) -> Result<(), ReconcileError> {
        let (member, name) = (&self.room.member.reader, &self.place.2);
        let held = match definition::held(member, name, &self.world().hub_uid).await {
            Ok(held) => held,
            Err(error) => return self.failed(error),
        };
        let (wait, why) = match held {
            None => {
                return match definition::revoke(member, name).await {
                    Ok(()) => Ok(()),
                    Err(error) => self.failed(error),
                };
            }
            Some(definition::Held::Unseen(why)) => (definition::AWAITED, why),
            Some(definition::Held::Objects(count)) => {
                (IN_THE_WAY, format!("{count} objects of this kind are still there; held, since they would go with it"))
            }
        };
        self.keep(self.last.clone().with(Phase::Deleting, why.clone()));
        Err(ReconcileError::Wait(wait, why))
    }

    async fn delete(&self, uid: &str) -> Result<(), ReconcileError> {
        if definition::is_definition(&self.kind) {
            self.let_go().await?;
        }
        let writer = match self.writer().await {
            Ok(writer) => writer,
            Err(outcome) => return outcome,
        };
        let cascade = self.binding.metadata.annotations.get(CASCADE).map_or("Background", String::as_str);
        let (gvr, namespace, name) = &self.place;
        let how = DeleteOptions { uid, propagation: cascade, ..DeleteOptions::default() };
        self.room.forget(&self.place);
        match writer.delete(At::new(gvr, namespace, name), &how).await {
            Ok(None) => {
                self.keep(self.last.clone().with(Phase::Gone, ""));
                Ok(())
            }
            Ok(Some(_)) => {
                self.keep(self.last.clone().with(Phase::Deleting, ""));
                // Looked at once more at once: most objects are gone with the answer.
                match self.look().await {
                    Ok(Seen::Absent) => {
                        self.keep(self.last.clone().with(Phase::Gone, ""));
                        Ok(())
                    }
                    _ => Err(ReconcileError::Wait(IN_THE_WAY, "is being deleted there".to_owned())),
                }
            }
            Err(error) => self.failed(error),
        }
    }

    async fn release(&self, uid: &str) -> Result<(), ReconcileError> {
        let writer = match self.writer().await {
            Ok(writer) => writer,
            Err(outcome) => return outcome,
        };
        let patch = json!({"metadata": {
            "uid": uid,
            "labels": {label::HUB: null, label::TEMPLATE_UID: null},
            "annotations": {label::EPOCH: null, label::HASH: null},
        }});
        let (gvr, namespace, name) = &self.place;
        let how = WriteOptions { field_manager: &self.room.manager, ..WriteOptions::default() };
        self.room.forget(&self.place);
        match writer.merge_patch(At::new(gvr, namespace, name), &patch, &how).await {
            Ok(_) => {
                self.keep(self.last.clone().with(Phase::Gone, "left there without our marks"));
                Ok(())
            }
            Err(error) => self.failed(error),
        }
    }

    async fn writer(&self) -> Result<Caller, Result<(), ReconcileError>> {
        self.room.member.writer(&self.binding.spec.executor).await.map_err(|error| match error {
            IdentityError::Api(error) => self.failed(error),
            changed @ IdentityError::Changed { .. } => {
                self.keep(self.last.clone().with(Phase::Conflict, changed.to_string()));
                Err(ReconcileError::Wait(FORBIDDEN, changed.to_string()))
            }
        })
    }

    /// Sorts a failed call into a phase, and into when to try again.
    fn failed(&self, error: ApiError) -> Result<(), ReconcileError> {
        let message = error.to_string();
        if error.is_unreachable() {
            self.keep(self.last.clone().with(Phase::Unreachable, message.clone()));
            return Err(ReconcileError::Retry(message));
        }
        if error.is_conflict() {
            let fields = field_conflict(&error);
            if fields {
                self.keep(self.last.clone().with(Phase::Conflict, message.clone()));
                return Err(ReconcileError::Wait(FORBIDDEN, message));
            }
            // A precondition did not hold: what was known is old.
            self.room.forget(&self.place);
            return Err(ReconcileError::Retry(message));
        }
        self.keep(self.last.clone().with(Phase::Failed, message.clone()));
        match error.code() {
            400 | 422 => Err(ReconcileError::Wait(FORBIDDEN, message)),
            _ => Err(ReconcileError::Retry(message)),
        }
    }
}

fn field_conflict(error: &ApiError) -> bool {
    matches!(error, ApiError::Status { causes, .. } if causes.iter().any(|c| c.reason == "FieldManagerConflict"))
}

fn keep(fleet: &Fleet, binding: &PlacementBinding, member: &str, outcome: Outcome) {
    if fleet.books.keep(&binding.metadata.name, member, outcome) {
        fleet.record.add(binding.metadata.name.clone());
    }
}
