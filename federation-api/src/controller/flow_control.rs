//! The flow control objects that a server has by itself, kept; and of every FlowSchema, whether its level exists.
//!
//! Source: kubernetes `pkg/registry/flowcontrol/ensurer`, k8s.io/apiserver `pkg/util/flowcontrol/apf_controller.go`.

use std::time::Duration;

use federation_schema::flowcontrol::{AUTO_UPDATE, mandatory, suggested};
use federation_types::Gvr;
use federation_types::text::{name, str_at};
use hub_client::{Collection, Hub, Queue, ReconcileError, Reflection, Reflector, WriteOptions, drive};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

const VERSION: &str = "flowcontrol.apiserver.k8s.io/v1";
const PRODUCER: &str = "api-priority-and-fairness-config-producer-v1";
const CONSUMER: &str = "api-priority-and-fairness-config-consumer-v1";
/// When to look again while the first lists are not read.
const UNREAD: Duration = Duration::from_millis(20);
/// Objects reconciled at once.
const WIDTH: usize = 4;

/// What is known of a FlowSchema.
struct Schema {
    level: String,
    /// Status, reason and message of its condition Dangling.
    told: (String, String, String),
}

/// All objects that the server keeps.
pub(super) fn wanted(ours: bool) -> Vec<Value> {
    let mut objects = mandatory();
    objects.extend(suggested(ours));
    objects
}

pub(super) fn gvr(object: &Value) -> Gvr {
    let schema = object["kind"] == "FlowSchema";
    Gvr::new(VERSION, if schema { "flowschemas" } else { "prioritylevelconfigurations" })
}

/// The stored object as it has to be; none where it is.
pub(super) fn revised(stored: &Value, wanted: &Value) -> Option<Value> {
    let must = mandatory().iter().any(|object| object["kind"] == wanted["kind"] && name(object) == name(wanted));
    let said = match stored["metadata"]["annotations"][AUTO_UPDATE].as_str() {
        Some("true" | "t" | "T" | "1" | "TRUE" | "True") => Some(true),
        Some("false" | "f" | "F" | "0" | "FALSE" | "False") => Some(false),
        _ => None,
    };
    // Who has changed nothing yet has not said that he wants to keep it.
    let update = must || said.unwrap_or(stored["metadata"]["generation"] == 1);
    let mut revised = stored.clone();
    if update && !is_alike(&stored["spec"], &wanted["spec"], must && name(wanted) == "exempt") {
        revised["spec"] = wanted["spec"].clone();
    }
    if said != Some(update) {
        revised["metadata"]["annotations"][AUTO_UPDATE] = json!(update.to_string());
    }
    (revised != *stored).then_some(revised)
}

/// Whether the specs are the same, but for what people may change of the exempt level.
fn is_alike(stored: &Value, wanted: &Value, exempt: bool) -> bool {
    if !exempt {
        return stored == wanted;
    }
    let without = |spec: &Value| {
        let mut spec = spec.clone();
        spec["exempt"] = Value::Null;
        spec
    };
    without(stored) == without(wanted)
}

pub(super) async fn run(hub: Hub, ours: bool, stop: CancellationToken) {
    let queue: Queue<(bool, String)> = Queue::new();
    let wanted = wanted(ours);
    for object in &wanted {
        queue.add((object["kind"] == "FlowSchema", name(object).to_owned()));
    }
    let (of_schemas, of_levels) = (queue.clone(), queue.clone());
    let schemas =
        Reflector::new(hub.clone(), Collection::all(Gvr::new(VERSION, "flowschemas")), |object| Some(project(&object)))
            .on_change(move |change| of_schemas.add((true, change.key.1.clone())));
    let known = schemas.reflection();
    let levels =
        Reflector::new(hub.clone(), Collection::all(Gvr::new(VERSION, "prioritylevelconfigurations")), |_| Some(()));
    let names = known.clone();
    let levels = levels.on_change(move |change| {
        of_levels.add((false, change.key.1.clone()));
        let referring = names.all().into_iter().filter(|(_, schema)| schema.level == change.key.1);
        referring.for_each(|(key, _)| of_levels.add((true, key.1)));
    });
    let existing = levels.reflection();
    let reconcile = |(is_schema, name): (bool, String)| {
        let (hub, wanted, known, existing) = (&hub, &wanted, &known, &existing);
        async move {
            keep(hub, wanted, is_schema, &name).await?;
            if is_schema { tell(hub, &name, known, existing).await } else { Ok(()) }
        }
    };
    tokio::join!(
        schemas.run(stop.clone()),
        levels.run(stop.clone()),
        drive("flow-control", queue.clone(), WIDTH, reconcile, stop),
    );
}

fn project(object: &Value) -> Schema {
    let conditions = object["status"]["conditions"].as_array();
    let dangling = conditions.into_iter().flatten().find(|condition| condition["type"] == "Dangling");
    let text = |field: &str| dangling.and_then(|d| d[field].as_str()).unwrap_or("").to_owned();
    Schema {
        level: str_at(object, &["spec", "priorityLevelConfiguration", "name"]).to_owned(),
        told: (text("status"), text("reason"), text("message")),
    }
}

/// Makes an object of the table be there, and as it has to be.
async fn keep(hub: &Hub, wanted: &[Value], is_schema: bool, of: &str) -> Result<(), ReconcileError> {
    let Some(wanted) = wanted.iter().find(|w| name(w) == of && (w["kind"] == "FlowSchema") == is_schema) else {
        return Ok(());
    };
    let gvr = gvr(wanted);
    let how = WriteOptions { field_manager: PRODUCER, ..WriteOptions::default() };
    let written = match hub.get(&gvr, "", of).await? {
        None => hub.create(&gvr, "", wanted).await,
        Some(stored) => match revised(&stored, wanted) {
            Some(object) => hub.replace(&gvr, &object, &how).await,
            None => return Ok(()),
        },
    };
    match written {
        Ok(_) => Ok(()),
        // Somebody was faster: the watch brings what is true.
        Err(error) if error.is_conflict() || error.is_already_exists() || error.is_not_found() => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Writes the condition Dangling, where it says something else.
async fn tell(
    hub: &Hub,
    of: &str,
    schemas: &Reflection<Schema>,
    levels: &Reflection<()>,
) -> Result<(), ReconcileError> {
    if !schemas.state().synced || !levels.state().synced {
        return Err(ReconcileError::Wait(UNREAD, "the lists are not read".to_owned()));
    }
    let Some(schema) = schemas.get("", of) else { return Ok(()) };
    let level = &schema.level;
    let says = format!("This FlowSchema references the PriorityLevelConfiguration object named {level:?}");
    let (status, reason, message) = match levels.get("", level) {
        Some(_) => ("False", "Found", format!("{says} and it exists")),
        None => ("True", "NotFound", format!("{says} but there is no such object")),
    };
    if schema.told == (status.to_owned(), reason.to_owned(), message.clone()) {
        return Ok(());
    }
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let condition = json!({
        "type": "Dangling", "status": status, "reason": reason, "message": message, "lastTransitionTime": now,
    });
    let object = json!({
        "apiVersion": VERSION, "kind": "FlowSchema", "metadata": {"name": of}, "status": {"conditions": [condition]},
    });
    let how = WriteOptions { subresource: "status", field_manager: CONSUMER, force: true, dry_run: false };
    match hub.apply(&Gvr::new(VERSION, "flowschemas"), &object, &how).await {
        Ok(_) => Ok(()),
        Err(error) if error.is_not_found() || error.is_conflict() => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::{revised, wanted};
    use serde_json::json;

    /// Protocol: F2
    #[test]
    fn what_people_have_changed_stays_but_for_the_mandatory() {
        let find = |name: &str, kind: &str| {
            let object = wanted(true).into_iter().find(|w| w["metadata"]["name"] == name && w["kind"] == kind);
            object.expect("in the table")
        };
        let mut system = find("system", "PriorityLevelConfiguration");
        system["metadata"]["generation"] = json!(2);
        let wanted = system.clone();
        assert_eq!(revised(&system, &wanted), None);
        system["spec"]["limited"]["nominalConcurrencyShares"] = json!(7);
        assert_eq!(revised(&system, &wanted).expect("kept by us")["spec"], wanted["spec"]);
        system["metadata"]["annotations"] = json!({super::AUTO_UPDATE: "false"});
        assert_eq!(revised(&system, &wanted), None);
        system["metadata"]["annotations"] = json!({});
        let annotated = revised(&system, &wanted).expect("it says from now on");
        assert_eq!(annotated["metadata"]["annotations"][super::AUTO_UPDATE], "false");
        let wanted = find("catch-all", "FlowSchema");
        let mut catch_all = wanted.clone();
        catch_all["spec"]["matchingPrecedence"] = json!(9);
        catch_all["metadata"]["annotations"] = json!({super::AUTO_UPDATE: "false"});
        let kept = revised(&catch_all, &wanted).expect("mandatory");
        assert_eq!((&kept["spec"], &kept["metadata"]), (&wanted["spec"], &wanted["metadata"]));
        let wanted = find("exempt", "PriorityLevelConfiguration");
        let mut exempt = wanted.clone();
        exempt["spec"]["exempt"]["nominalConcurrencyShares"] = json!(5);
        assert_eq!(revised(&exempt, &wanted), None, "people may give the exempt level shares");
    }
}
