//! Definitions of custom kinds in members: they come before their objects, and never take foreign ones along.
//!
//! Asks the member itself; knows nothing of what a custom kind means.

use std::time::Duration;

use federation_types::Gvr;
use federation_types::text::{list_at, str_at};
use hub_client::{ApiError, Caller, Collection};
use serde_json::Value;

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

/// Whether a member serves the objects of a definition.
///
/// # Errors
/// As the member answers.
pub(super) async fn is_established(member: &Caller, name: &str) -> Result<bool, ApiError> {
    let found = member.get(&definitions(), "", name).await?;
    let conditions = found.as_ref().and_then(|found| found.pointer("/status/conditions")).and_then(Value::as_array);
    let is_so = |condition: &Value| condition["type"] == "Established" && condition["status"] == "True";
    Ok(conditions.is_some_and(|conditions| conditions.iter().any(is_so)))
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
