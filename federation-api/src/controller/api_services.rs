//! Keeps an APIService for every group version that custom kinds are served in, and none of ours for what is served no more.
//!
//! What does not say that it is kept here is left to whoever made it. Source: k8s.io/kube-aggregator
//! `pkg/controllers/autoregister`, k8s.io/kubernetes `pkg/controlplane/controller/crdregistration`.

use std::time::Duration;

use federation_types::Gvr;
use federation_types::text::{name, str_at};
use hub_client::error::ApiError;
use hub_client::{
    At, Collection, DeleteOptions, Hub, Queue, ReconcileError, Reflection, Reflector, WriteOptions, drive,
};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::aggregation::local::{self, ALWAYS, MANAGED, ON_START};

/// APIServices reconciled at once.
const WIDTH: usize = 4;
/// When to look again while the first lists are not read.
const UNREAD: Duration = Duration::from_millis(20);

/// One write.
#[derive(Debug, PartialEq)]
enum Write {
    Create(Value),
    Replace(Value),
    Delete,
}

/// The versions that a definition serves, as names of APIServices.
type Served = Vec<String>;

pub(super) async fn run(hub: Hub, stop: CancellationToken) {
    let gvr = gvr();
    let queue: Queue<String> = Queue::new();
    let (of_definitions, of_services) = (queue.clone(), queue.clone());
    let all = Collection::all(Gvr::new("apiextensions.k8s.io/v1", "customresourcedefinitions"));
    let definitions =
        Reflector::new(hub.clone(), all, |definition| Some(served(&definition))).on_change(move |change| {
            for names in [change.old, change.new].into_iter().flatten() {
                names.iter().for_each(|name| of_definitions.add(name.clone()));
            }
        });
    // That they are there is all that has to be remembered; what is kept when the server starts is done by now.
    let kept = Collection::all(gvr.clone()).labelled(format!("{MANAGED}={ALWAYS}"));
    let services =
        Reflector::new(hub.clone(), kept, |_| Some(())).on_change(move |change| of_services.add(change.key.1.clone()));
    let known = definitions.reflection();
    let built_in: Vec<String> = local::built_in().iter().map(|object| name(object).to_owned()).collect();
    let reconcile = |name: String| {
        let (hub, gvr, known, built_in) = (&hub, &gvr, &known, &built_in);
        async move {
            if !known.state().synced {
                return Err(ReconcileError::Wait(UNREAD, "the definitions are not read".to_owned()));
            }
            // Those are settled when the server starts.
            if built_in.contains(&name) { Ok(()) } else { keep(hub, gvr, &name, known).await }
        }
    };
    tokio::join!(
        definitions.run(stop.clone()),
        services.run(stop.clone()),
        drive("api-services", queue.clone(), WIDTH, reconcile, stop),
    );
}

async fn keep(hub: &Hub, gvr: &Gvr, name: &str, known: &Reflection<Served>) -> Result<(), ReconcileError> {
    let stored = hub.get(gvr, "", name).await?;
    let is_served = known.all().iter().any(|(_, served)| served.iter().any(|own| own == name));
    let wanted = name.split_once('.').filter(|_| is_served).map(|(version, group)| local::custom(group, version));
    let written = match plan(stored.as_ref(), wanted.as_ref()) {
        None => return Ok(()),
        Some(Write::Create(object)) => hub.create(gvr, "", &object).await.map(|_| ()),
        Some(Write::Replace(object)) => hub.replace(gvr, &object, &WriteOptions::default()).await.map(|_| ()),
        Some(Write::Delete) => {
            let uid = stored.as_ref().map_or("", |stored| str_at(stored, &["metadata", "uid"]));
            let how = DeleteOptions { uid, ..DeleteOptions::default() };
            hub.delete(At::new(gvr, "", name), &how).await.map(|_| ())
        }
    };
    match written {
        // Somebody was faster: the watch brings what is true.
        Err(error) if error.is_conflict() || error.is_already_exists() || error.is_not_found() => Ok(()),
        written => written.map_err(Into::into),
    }
}

fn plan(stored: Option<&Value>, wanted: Option<&Value>) -> Option<Write> {
    match (stored, wanted) {
        (None, None) => None,
        (None, Some(wanted)) => Some(Write::Create(wanted.clone())),
        (Some(stored), None) => (managed(stored) == ALWAYS).then_some(Write::Delete),
        (Some(stored), Some(wanted)) => revised(stored, wanted).map(Write::Replace),
    }
}

/// The stored object with the wanted spec; none where it has it, or is not ours.
pub(super) fn revised(stored: &Value, wanted: &Value) -> Option<Value> {
    if !is_ours(stored) || stored["spec"] == wanted["spec"] {
        return None;
    }
    let mut object = stored.clone();
    object["spec"] = wanted["spec"].clone();
    Some(object)
}

/// Deletes what a former server has made for what this one does not serve.
///
/// # Errors
/// The first write that fails.
pub(super) async fn retire(hub: &Hub) -> Result<(), ApiError> {
    let gvr = gvr();
    let kept = Collection::all(gvr.clone()).labelled(format!("{MANAGED}={ON_START}"));
    let served = local::built_in();
    for stored in hub.list(&kept).await?.items {
        if served.iter().any(|own| name(own) == name(&stored)) {
            continue;
        }
        let how = DeleteOptions { uid: str_at(&stored, &["metadata", "uid"]), ..DeleteOptions::default() };
        match hub.delete(At::new(&gvr, "", name(&stored)), &how).await {
            Err(error) if !error.is_conflict() && !error.is_not_found() => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn managed(service: &Value) -> &str {
    str_at(service, &["metadata", "labels", MANAGED])
}

fn is_ours(service: &Value) -> bool {
    matches!(managed(service), ALWAYS | ON_START)
}

fn served(definition: &Value) -> Served {
    let group = str_at(definition, &["spec", "group"]);
    let versions = definition["spec"]["versions"].as_array().into_iter().flatten();
    let served = versions.filter(|version| version["served"] == true);
    served.map(|version| format!("{}.{group}", version["name"].as_str().unwrap_or(""))).collect()
}

fn gvr() -> Gvr {
    Gvr::new("apiregistration.k8s.io/v1", "apiservices")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Write, plan, served};
    use crate::aggregation::local::{self, MANAGED};

    /// Protocol: G1
    #[test]
    fn what_is_ours_follows_what_is_served() {
        let wanted = local::custom("a.example", "v1");
        assert_eq!(wanted["spec"]["groupPriorityMinimum"], 1000);
        let with = |label: Value, change: bool| {
            let mut stored = wanted.clone();
            stored["metadata"]["labels"] = label;
            if change {
                stored["spec"]["versionPriority"] = json!(7);
            }
            stored
        };
        let (always, start, people) = (json!({MANAGED: "true"}), json!({MANAGED: "onstart"}), json!({}));
        assert_eq!(plan(None, None), None);
        assert_eq!(plan(None, Some(&wanted)), Some(Write::Create(wanted.clone())));
        assert_eq!(plan(Some(&with(always.clone(), false)), Some(&wanted)), None);
        let mended = plan(Some(&with(always.clone(), true)), Some(&wanted));
        assert_eq!(mended, Some(Write::Replace(with(always.clone(), false))));
        assert_eq!(plan(Some(&with(always, false)), None), Some(Write::Delete));
        assert_eq!(plan(Some(&with(start, false)), None), None, "that is for the next start");
        assert_eq!(plan(Some(&with(people.clone(), true)), Some(&wanted)), None);
        assert_eq!(plan(Some(&with(people, true)), None), None);
    }

    /// Protocol: G1
    #[test]
    fn versions_that_are_not_served_have_none() {
        let definition = json!({"spec": {"group": "a.example", "versions": [
            {"name": "v1", "served": true}, {"name": "v2", "served": false}]}});
        assert_eq!(served(&definition), ["v1.a.example"]);
    }
}
