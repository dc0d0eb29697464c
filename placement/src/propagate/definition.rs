//! Definitions of custom kinds in members: they come before their objects, and never take foreign ones along.
//!
//! Asks the member itself; knows nothing of what a custom kind means.

use std::time::Duration;

use federation_types::text::{list_at, str_at};
use federation_types::{Gvr, label};
use hub_client::{ApiError, Caller, Collection};
use member_cluster::rights;
use serde_json::Value;

use super::member::{Place, Room};
use crate::kinds::{Kind, of_version};
use crate::world::World;

const GROUP_VERSION: &str = "apiextensions.k8s.io/v1";
const KIND: &str = "CustomResourceDefinition";
/// Wait before a definition that is not established yet is looked at again: it is on its way as well.
pub(super) const AWAITED: Duration = Duration::from_millis(300);

fn definitions() -> Gvr {
    Gvr::new(GROUP_VERSION, "customresourcedefinitions")
}

/// Whether objects of this kind are definitions.
pub(super) fn is_definition(kind: &Kind) -> bool {
    kind.kind == KIND && kind.gvr.group == "apiextensions.k8s.io"
}

/// The hub's definition of a resource.
pub(super) struct Definition {
    pub name: String,
    uid: String,
}

/// The hub's definition of a resource; none for built-in ones.
pub(super) fn of(world: &World, gvr: &Gvr) -> Option<Definition> {
    let name = format!("{}.{}", gvr.resource, gvr.group);
    let templates = world.templates.read();
    let (_, known) = templates.iter().find(|(kind, _)| is_definition(kind))?;
    let uid = known.get("", &name)?.uid.clone();
    Some(Definition { name, uid })
}

/// What a copy of a custom kind still waits for in a member; none where it can be written.
///
/// # Errors
/// As the member answers.
pub(super) async fn missing(
    room: &Room,
    place: &Place,
    wanted: &Definition,
    hub_uid: &str,
) -> Result<Option<String>, ApiError> {
    let member = &room.member.reader;
    let found = member.get(&definitions(), "", &wanted.name).await?;
    let stands = |found: &Value| list_at(found, &["status", "conditions"]).any(is_established);
    // An object under a definition that is on its way out would keep it there, and its successor out.
    let current = |found: &Value| {
        let label = |name| str_at(found, &["metadata", "labels", name]);
        label(label::HUB) != hub_uid || label(label::TEMPLATE_UID) == wanted.uid
    };
    let Some(definition) = found.filter(|found| stands(found) && current(found)) else {
        return Ok(Some(format!("waits for the definition {} there", wanted.name)));
    };
    let (gvr, namespace, object) = place;
    match member.get(gvr, namespace, object).await {
        Ok(_) => Ok(None),
        Err(error) if error.is_forbidden() => ask_in(member, &definition, hub_uid, error).await.map(Some),
        Err(error) => Err(error),
    }
}

/// Asks for the right to a kind that this hub has defined; answers what is waited for then.
///
/// # Errors
/// `forbidden` where the right is not ours to take: somebody else defined the kind, or serves it, or keeps the right.
async fn ask_in(member: &Caller, definition: &Value, hub_uid: &str, forbidden: ApiError) -> Result<String, ApiError> {
    let (group, resource) = (str_at(definition, &["spec", "group"]), str_at(definition, &["spec", "names", "plural"]));
    let ours = str_at(definition, &["metadata", "labels", label::HUB]) == hub_uid;
    if !ours || !rights::is_custom(group) {
        return Err(forbidden);
    }
    let granted = match rights::is_elsewhere(member, group).await {
        Ok(true) => return Err(forbidden),
        Ok(false) => rights::grant(member, group, resource).await,
        Err(error) => Err(error),
    };
    match granted {
        Ok(_) => Ok(format!("waits for the right to {resource} there")),
        Err(kept) if kept.is_forbidden() || kept.is_not_found() => Err(forbidden),
        // Another copy was faster.
        Err(error) if error.is_conflict() => Ok(format!("waits for the right to {resource} there")),
        Err(error) => Err(error),
    }
}

/// Gives back what [`missing`] took, before a definition leaves a member.
///
/// # Errors
/// As the member answers.
pub(super) async fn revoke(member: &Caller, name: &str) -> Result<(), ApiError> {
    let Some((resource, group)) = name.split_once('.') else { return Ok(()) };
    match rights::revoke(member, group, resource).await {
        Err(error) if !error.is_forbidden() && !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}

fn is_established(condition: &Value) -> bool {
    condition["type"] == "Established" && condition["status"] == "True"
}

/// What keeps a definition in a member.
pub(super) enum Held {
    /// Objects of its kind, whoever they belong to.
    Objects(usize),
    /// We cannot see yet whether there are any.
    Unseen(String),
}

/// What keeps a definition in a member; none where it may go.
///
/// # Errors
/// As the member answers.
pub(super) async fn held(member: &Caller, name: &str, hub_uid: &str) -> Result<Option<Held>, ApiError> {
    let Some(found) = member.get(&definitions(), "", name).await? else { return Ok(None) };
    let mut served = list_at(&found, &["spec", "versions"]).filter(|version| version["served"] == true);
    let Some(version) = served.next() else { return Ok(None) };
    let group_version = format!("{}/{}", str_at(&found, &["spec", "group"]), str_at(version, &["name"]));
    let gvr = Gvr::new(&group_version, str_at(&found, &["spec", "names", "plural"]));
    match member.list(&Collection::all(gvr)).await {
        Ok(listed) if listed.items.is_empty() => Ok(None),
        Ok(listed) => Ok(Some(Held::Objects(listed.items.len()))),
        Err(error) if error.is_not_found() => Ok(None),
        // A kind that never had a copy there was never asked for.
        Err(error) if error.is_forbidden() => {
            ask_in(member, &found, hub_uid, error).await.map(|why| Some(Held::Unseen(why)))
        }
        Err(error) => Err(error),
    }
}

/// The resource under which a member serves a kind; none where it does not.
///
/// # Errors
/// As the member answers.
pub(super) async fn served_by(member: &Caller, api_version: &str, kind: &str) -> Result<Option<Kind>, ApiError> {
    let root = if api_version.contains('/') { "apis" } else { "api" };
    match member.get_path(&format!("/{root}/{api_version}")).await {
        Ok(resources) => Ok(of_version(&resources, api_version).into_iter().find(|found| found.kind == kind)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use federation_schema::facts;
    use member_cluster::rights;

    #[test]
    fn no_definition_leads_to_kinds_of_kubernetes() {
        for resource in facts::kubernetes().resources().filter(|resource| resource.group != "fedgate.dev") {
            assert!(!rights::is_custom(&resource.group), "{}", resource.group);
        }
    }
}
