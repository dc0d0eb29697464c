//! Definitions of custom kinds in members: they come before their objects, and never take foreign ones along.
//!
//! Asks the member itself; knows nothing of what a custom kind means.

use std::time::Duration;

use federation_schema::facts;
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

/// The name of the hub's definition of a resource; none for built-in ones.
pub(super) fn of(world: &World, gvr: &Gvr) -> Option<String> {
    let name = format!("{}.{}", gvr.resource, gvr.group);
    let templates = world.templates.read();
    let (_, known) = templates.iter().find(|(kind, _)| is_definition(kind))?;
    known.get("", &name).map(|_| name)
}

/// What a copy of a custom kind still waits for in a member; none where it can be written.
///
/// # Errors
/// As the member answers.
pub(super) async fn missing(room: &Room, place: &Place, name: &str, hub_uid: &str) -> Result<Option<String>, ApiError> {
    let member = &room.member.reader;
    let found = member.get(&definitions(), "", name).await?;
    let established = |found: &Value| list_at(found, &["status", "conditions"]).any(is_established);
    let Some(definition) = found.filter(established) else {
        return Ok(Some(format!("waits for the definition {name} there")));
    };
    let (gvr, namespace, object) = place;
    match member.get(gvr, namespace, object).await {
        Ok(_) => Ok(None),
        // What somebody else defined there is theirs to let us in.
        Err(error) if error.is_forbidden() && is_ours(&definition, hub_uid) && !is_built_in(&gvr.group) => {
            match rights::grant(member, &gvr.group, &gvr.resource).await {
                Ok(_) => Ok(Some(format!("waits for the right to {} there", gvr.resource))),
                Err(kept) if kept.is_forbidden() || kept.is_not_found() => Err(error),
                Err(error) => Err(error),
            }
        }
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

fn is_ours(definition: &Value, hub_uid: &str) -> bool {
    str_at(definition, &["metadata", "labels", label::HUB]) == hub_uid
}

/// Whether Kubernetes itself serves the group: a definition is no way to its kinds.
fn is_built_in(group: &str) -> bool {
    facts::kubernetes().resources().any(|resource| resource.group == group)
}

/// How many objects of a definition a member holds, whoever they belong to.
///
/// # Errors
/// As the member answers.
pub(super) async fn objects(member: &Caller, name: &str) -> Result<usize, ApiError> {
    let Some(found) = member.get(&definitions(), "", name).await? else { return Ok(0) };
    let mut served = list_at(&found, &["spec", "versions"]).filter(|version| version["served"] == true);
    let Some(version) = served.next() else { return Ok(0) };
    let group_version = format!("{}/{}", str_at(&found, &["spec", "group"]), str_at(version, &["name"]));
    let gvr = Gvr::new(&group_version, str_at(&found, &["spec", "names", "plural"]));
    match member.list(&Collection::all(gvr)).await {
        Ok(listed) => Ok(listed.items.len()),
        Err(error) if error.is_not_found() => Ok(0),
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
