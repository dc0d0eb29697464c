//! Cells of what every cluster has: namespaces, configuration, events, leases, quotas.

use serde_json::Value;

use super::row::{Row, UNSET, cut, instant, scalar, text};

pub(super) fn name_age(row: &Row<'_>) -> Vec<Value> {
    vec![row.name(), row.age()]
}

pub(super) fn config_map(row: &Row<'_>) -> Vec<Value> {
    let count = |key: &str| row.at(key).as_object().map_or(0, serde_json::Map::len);
    vec![row.name(), (count("data") + count("binaryData")).into(), row.age()]
}

pub(super) fn secret(row: &Row<'_>) -> Vec<Value> {
    let count = row.at("data").as_object().map_or(0, serde_json::Map::len);
    vec![row.name(), row.text("type").into(), count.into(), row.age()]
}

pub(super) fn namespace(row: &Row<'_>) -> Vec<Value> {
    vec![row.name(), row.text("status.phase").into(), row.age()]
}

/// Both kinds of Event: the newer one has other names for the same fields.
pub(super) fn event(row: &Row<'_>) -> Vec<Value> {
    let either = |old: &'static str, new: &'static str| if row.has(old) { old } else { new };
    let first = either("firstTimestamp", "deprecatedFirstTimestamp");
    let last = either("lastTimestamp", "deprecatedLastTimestamp");
    let object = either("involvedObject", "regarding");
    let first = if instant(row.at(first)).is_some() { row.since(first) } else { row.since("eventTime") };
    let mut last = if instant(row.at(last)).is_some() { row.since(last) } else { first.clone() };
    let mut count = row.int(either("count", "deprecatedCount"));
    if row.has("series") {
        last = row.since("series.lastObservedTime");
        count = row.int("series.count");
    } else if count == 0 {
        count = 1;
    }
    let object = row.at(object);
    let target = match text(object, "name") {
        "" => text(object, "kind").to_lowercase(),
        name => format!("{}/{name}", text(object, "kind").to_lowercase()),
    };
    let message = row.text(either("message", "note")).trim();
    vec![
        last.into(),
        row.text("type").into(),
        row.text("reason").into(),
        target.into(),
        text(object, "fieldPath").into(),
        event_source(row).into(),
        message.into(),
        first.into(),
        count.into(),
        row.name(),
    ]
}

fn event_source(row: &Row<'_>) -> String {
    let first = |paths: &[&str]| paths.iter().map(|path| row.text(path)).find(|text| !text.is_empty()).unwrap_or("");
    let component =
        first(&["source.component", "deprecatedSource.component", "reportingComponent", "reportingController"]);
    match first(&["source.host", "deprecatedSource.host", "reportingInstance"]) {
        "" => component.to_owned(),
        instance => format!("{component}, {instance}"),
    }
}

pub(super) fn quota(row: &Row<'_>) -> Vec<Value> {
    let (mut requests, mut limits) = (Vec::new(), Vec::new());
    for (resource, hard) in row.at("status.hard").as_object().into_iter().flatten() {
        let used = row.at("status.used").get(resource).map_or_else(|| "0".to_owned(), scalar);
        let column = if resource.starts_with("limits.") { &mut limits } else { &mut requests };
        column.push(format!("{resource}: {used}/{}", scalar(hard)));
    }
    vec![row.name(), requests.join(", ").into(), limits.join(", ").into(), row.age()]
}

pub(super) fn lease(row: &Row<'_>) -> Vec<Value> {
    vec![row.name(), row.text("spec.holderIdentity").into(), row.age()]
}

pub(super) fn lease_candidate(row: &Row<'_>) -> Vec<Value> {
    let spec = |key: &str| Value::from(text(row.at("spec"), key));
    vec![row.name(), spec("leaseName"), spec("binaryVersion"), spec("emulationVersion"), row.age()]
}

pub(super) fn api_service(row: &Row<'_>) -> Vec<Value> {
    let service = match row.has("spec.service") {
        true => format!("{}/{}", row.text("spec.service.namespace"), row.text("spec.service.name")),
        false => "Local".to_owned(),
    };
    let available = row.condition("status.conditions", "Available").map_or_else(
        || "Unknown".to_owned(),
        |condition| match text(condition, "status") {
            "True" => "True".to_owned(),
            other => format!("{other} ({})", text(condition, "reason")),
        },
    );
    vec![row.name(), service.into(), available.into(), row.age()]
}

pub(super) fn storage_version(row: &Row<'_>) -> Vec<Value> {
    let versions = row.list("status.storageVersions").iter();
    let versions: Vec<String> =
        versions.map(|one| format!("{}={}", text(one, "apiServerID"), text(one, "encodingVersion"))).collect();
    let common = row.text_or("status.commonEncodingVersion", UNSET);
    vec![row.name(), common.into(), cut(&versions, 3).into(), row.age()]
}
