//! Cells of volumes, claims, classes and drivers.

use serde_json::Value;

use super::row::{Row, UNSET, at, join, or_none, scalar, text};

const CLASS: &str = "volume.beta.kubernetes.io/storage-class";

pub(super) fn volume(row: &Row<'_>) -> Vec<Value> {
    let claim = match row.has("spec.claimRef") {
        true => format!("{}/{}", row.text("spec.claimRef.namespace"), row.text("spec.claimRef.name")),
        false => String::new(),
    };
    vec![
        row.name(),
        size(row.at("spec.capacity")).into(),
        access_modes(row.list("spec.accessModes")).into(),
        row.text("spec.persistentVolumeReclaimPolicy").into(),
        phase(row).into(),
        claim.into(),
        class_name(row).into(),
        row.text_or("spec.volumeAttributesClassName", UNSET).into(),
        row.text("status.reason").into(),
        row.age(),
        row.text_or("spec.volumeMode", UNSET).into(),
    ]
}

pub(super) fn claim(row: &Row<'_>) -> Vec<Value> {
    let bound = !row.text("spec.volumeName").is_empty();
    let capacity = if bound { size(row.at("status.capacity")) } else { String::new() };
    let modes = if bound { access_modes(row.list("status.accessModes")) } else { String::new() };
    vec![
        row.name(),
        phase(row).into(),
        row.text("spec.volumeName").into(),
        capacity.into(),
        modes.into(),
        class_name(row).into(),
        row.text_or("spec.volumeAttributesClassName", UNSET).into(),
        row.age(),
        row.text_or("spec.volumeMode", UNSET).into(),
    ]
}

fn phase<'a>(row: &Row<'a>) -> &'a str {
    if row.is_leaving() { "Terminating" } else { row.text("status.phase") }
}

fn size(capacity: &Value) -> String {
    capacity.get("storage").map_or_else(|| "0".to_owned(), scalar)
}

fn class_name<'a>(row: &Row<'a>) -> &'a str {
    let annotation = row.at("metadata.annotations").get(CLASS).and_then(Value::as_str);
    annotation.unwrap_or_else(|| row.text("spec.storageClassName"))
}

fn access_modes(modes: &[Value]) -> String {
    let known =
        [("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), ("ReadWriteOncePod", "RWOP")];
    let has = |mode: &str| modes.iter().any(|one| one.as_str() == Some(mode));
    join(known.iter().filter(|(mode, _)| has(mode)).map(|(_, short)| *short), ",")
}

pub(super) fn class(row: &Row<'_>) -> Vec<Value> {
    let annotations = row.at("metadata.annotations");
    let default = ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
    let is_default = default.iter().any(|key| annotations.get(*key).and_then(Value::as_str) == Some("true"));
    let name = format!("{}{}", row.text("metadata.name"), if is_default { " (default)" } else { "" });
    vec![
        name.into(),
        row.text("provisioner").into(),
        row.text_or("reclaimPolicy", "Delete").into(),
        row.text_or("volumeBindingMode", "Immediate").into(),
        row.flag("allowVolumeExpansion").into(),
        row.age(),
    ]
}

pub(super) fn attributes_class(row: &Row<'_>) -> Vec<Value> {
    vec![row.name(), row.text("driverName").into(), row.age()]
}

pub(super) fn attachment(row: &Row<'_>) -> Vec<Value> {
    vec![
        row.name(),
        row.text("spec.attacher").into(),
        row.text("spec.source.persistentVolumeName").into(),
        row.text("spec.nodeName").into(),
        row.flag("status.attached").into(),
        row.age(),
    ]
}

pub(super) fn driver(row: &Row<'_>) -> Vec<Value> {
    let modes = join(row.list("spec.volumeLifecycleModes").iter().filter_map(Value::as_str), ",");
    let tokens = match row.has("spec.tokenRequests") {
        true => join(row.list("spec.tokenRequests").iter().map(|token| text(token, "audience")), ","),
        false => UNSET.to_owned(),
    };
    vec![
        row.name(),
        at(row.object, "spec.attachRequired").as_bool().unwrap_or(true).into(),
        row.flag("spec.podInfoOnMount").into(),
        row.flag("spec.storageCapacity").into(),
        tokens.into(),
        row.flag("spec.requiresRepublish").into(),
        or_none(&modes).into(),
        row.age(),
    ]
}

pub(super) fn csi_node(row: &Row<'_>) -> Vec<Value> {
    vec![row.name(), row.list("spec.drivers").len().into(), row.age()]
}

pub(super) fn capacity(row: &Row<'_>) -> Vec<Value> {
    let capacity = if row.has("capacity") { scalar(row.at("capacity")) } else { UNSET.to_owned() };
    vec![row.name(), row.text("storageClassName").into(), capacity.into()]
}

pub(super) fn migration(row: &Row<'_>) -> Vec<Value> {
    let (group, resource) = (row.text("spec.resource.group"), row.text("spec.resource.resource"));
    let target = if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") };
    let known = ["Running", "Failed", "Succeeded"];
    let holding = row.list("status.conditions").iter().filter(|one| text(one, "status") == "True");
    let status = holding.map(|one| text(one, "type")).rfind(|kind| known.contains(kind));
    vec![row.name(), target.into(), status.unwrap_or("Unknown").into()]
}
