//! Controller: a namespace that is deleted at the hub goes in the members where we made it, and only there.
//!
//! Its deletion is kept as a binding of withdrawn rows, so that a lost member hears of it later; a namespace that is
//! merely absent from the hub, as after a restore, is no reason for anything.

use std::sync::Arc;

use federation_types::binding::{BindingCluster, BindingSpec, TemplateRef};
use federation_types::{Gvk, Gvr, label, text};
use hub_client::ReconcileError;

use crate::bind::{self, binding_name, retry};
use crate::kinds::Kind;
use crate::world::{TemplateKey, World};

/// Name and UID of a namespace that was seen on its way out.
pub(crate) type Leaving = (String, String);

/// The kind whose objects are made along with what is placed in them.
pub(crate) fn kind() -> Kind {
    Kind { gvr: Gvr::new("v1", "namespaces"), kind: "Namespace".to_owned(), namespaced: false }
}

/// Brings the withdrawal of one namespace forward.
pub(crate) async fn reconcile(world: Arc<World>, (name, uid): Leaving) -> Result<(), ReconcileError> {
    let gvk = Gvk::new("v1", "Namespace");
    let binding = binding_name(&gvk, "", &name, &uid);
    let Some(fresh) = bind::read(&world, &binding).await? else {
        let there = world.hub.get(&kind().gvr, "", &name).await.map_err(retry)?;
        let standing = |n: &serde_json::Value| text::at(n, &["metadata", "deletionTimestamp"]).is_none();
        if is_everywhere(&name) || there.as_ref().is_some_and(|n| text::uid(n) == uid && standing(n)) {
            return Ok(());
        }
        return bind::commit(&world, &binding, None, bind::plan::Action::Create(leaving(&world, name, uid)), None)
            .await;
    };
    let known = |member: &str| world.clusters.get("", member).is_some();
    let action = bind::plan::withdraw(&fresh.binding, known);
    bind::commit(&world, &binding, Some(&fresh), action, None).await
}

/// Namespaces that every cluster has of its own.
fn is_everywhere(name: &str) -> bool {
    name == "default" || name.starts_with("kube-") || name == label::SYSTEM_NAMESPACE
}

fn leaving(world: &World, name: String, uid: String) -> BindingSpec {
    // Where something shall stay, its namespace has to.
    let orphans =
        world.bindings.all().iter().any(|(_, b)| b.spec.template.namespace == name && b.spec.on_delete == "Orphan");
    let row = |name: String| BindingCluster { name, withdraw: true, ..BindingCluster::default() };
    BindingSpec {
        template: TemplateRef {
            api_version: "v1".to_owned(),
            kind: "Namespace".to_owned(),
            name,
            uid,
            ..TemplateRef::default()
        },
        clusters: world.facts().into_iter().map(|facts| row(facts.name)).collect(),
        epoch: 1,
        on_delete: if orphans { "Orphan".to_owned() } else { String::new() },
        ..BindingSpec::default()
    }
}

/// The namespace that a binding withdraws, if it is one's.
pub(crate) fn of(template: &TemplateRef) -> Option<Leaving> {
    (template.kind == "Namespace" && template.api_version == "v1")
        .then(|| (template.name.clone(), template.uid.clone()))
}

/// Whether a key names a namespace itself.
pub(crate) fn is_namespace(key: &TemplateKey) -> bool {
    key.gvr == kind().gvr
}
