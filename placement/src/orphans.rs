//! Bindings of kinds that the hub does not serve: held, but for those whose template was seen to go before its definition.
//!
//! A definition leaves after its objects; whoever tears it out leaves the objects in the store, and copies stay as well. A
//! built-in kind that is not served proves nothing.

use std::sync::Arc;

use federation_schema::facts;
use federation_types::Gvr;
use federation_types::binding::TemplateRef;
use federation_types::text::str_at;
use hub_client::{Collection, ReconcileError};

use crate::bind::{commit, plan, read, retry};
use crate::world::World;

/// Brings the binding of that name up to date, where nobody else does.
pub(crate) async fn reconcile(world: Arc<World>, name: String) -> Result<(), ReconcileError> {
    let Some(fresh) = read(&world, &name).await? else { return Ok(()) };
    let template = &fresh.binding.spec.template;
    let (group, _) = template.api_version.split_once('/').unwrap_or_default();
    let built_in = facts::kubernetes().resources().any(|resource| resource.group == group);
    let served = world.kind(&template.api_version, &template.kind).is_some();
    let seen_to_go =
        world.departed.lock().contains(&template.uid) || fresh.binding.spec.clusters.iter().all(|c| c.withdraw);
    if built_in || served || !seen_to_go || is_defined(&world, group, template).await? {
        return Ok(());
    }
    let known = |name: &str| world.clusters.get("", name).is_some();
    let action = plan::withdraw(&fresh.binding, known);
    commit(&world, &name, Some(&fresh), action, None).await
}

async fn is_defined(world: &World, group: &str, template: &TemplateRef) -> Result<bool, ReconcileError> {
    let definitions = Gvr::new("apiextensions.k8s.io/v1", "customresourcedefinitions");
    let listed = world.hub.list(&Collection::all(definitions)).await.map_err(retry)?;
    Ok(listed.items.iter().any(|definition| {
        str_at(definition, &["spec", "group"]) == group
            && str_at(definition, &["spec", "names", "kind"]) == template.kind
    }))
}
