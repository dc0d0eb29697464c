//! Tells users: addresses into `status.loadBalancer` of our Ingresses, problems as Events on them.
//!
//! The leader's part; a controller of the house's one shape. Touches no status that another controller wrote.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use federation_types::Gvr;
use hub_client::{ApiError, At, Hub, Queue, ReconcileError, WriteOptions, drive};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::route::{Problem, Subject};
use crate::snapshot::{IngressObject, Named};
use crate::watch::Outcome;

/// Statuses that are written at once.
const WIDTH: usize = 4;
/// Between two looks at what builds came to.
const LOOK_PAUSE: Duration = Duration::from_millis(100);
/// Field manager and reporter of what is written here.
const COMPONENT: &str = "fedgate-ingress";

/// What a reconcile of one object does.
#[derive(Debug, Clone, PartialEq)]
enum Action {
    /// Sets the whole list of addresses.
    Publish(Vec<Value>),
    /// Reports a problem that was not reported before.
    Report(Problem),
}

/// An object of which something may be said.
type Key = (Subject, Named);

/// What the last build says of one object.
#[derive(Debug, Clone, Default)]
struct Told {
    /// Where it is one.
    ingress: Option<Arc<IngressObject>>,
    ours: bool,
    problems: Vec<Problem>,
}

/// Follows `outcomes` until `stop`; runs in one process at a time.
pub async fn publish(
    hub: Hub,
    mut outcomes: watch::Receiver<Outcome>,
    addresses: Vec<String>,
    stop: CancellationToken,
) {
    let queue = Queue::new();
    let wanted: Arc<[Value]> = addresses.iter().map(|address| entry(address)).collect();
    let reported = Arc::new(Mutex::new(BTreeSet::new()));
    // Guards what the last build says by Ingress; replaced as a whole, never held across an await.
    let latest = Arc::new(Mutex::new(Arc::new(BTreeMap::new())));
    let current = latest.clone();
    let reconcile = |key: Key| {
        let (hub, wanted, reported, current) = (hub.clone(), wanted.clone(), reported.clone(), current.clone());
        async move {
            let told = Arc::clone(&current.lock());
            let actions = told.get(&key).map_or_else(Vec::new, |told| plan(told, &wanted, &reported.lock()));
            for action in actions {
                commit(&hub, &key.1, action, &reported).await?;
            }
            Ok(())
        }
    };
    let feed = async {
        while outcomes.changed().await.is_ok() {
            let now = {
                let outcome = outcomes.borrow_and_update();
                if !outcome.synced {
                    continue;
                }
                Arc::new(by_object(&outcome))
            };
            let before = std::mem::replace(&mut *latest.lock(), now.clone());
            changed(&before, &now).for_each(|key| queue.add(key.clone()));
            // Thousands of Ingresses are looked through here: not for each of a thousand edits a second.
            tokio::time::sleep(LOOK_PAUSE).await;
        }
    };
    tokio::select! {
        () = feed => {}
        () = drive("ingress-status", queue.clone(), WIDTH, reconcile, stop.clone()) => {}
    }
}

fn by_object(outcome: &Outcome) -> BTreeMap<Key, Told> {
    let told = |ingress: &Arc<IngressObject>| Told {
        ingress: Some(ingress.clone()),
        ours: outcome.accepted.contains(&ingress.key),
        problems: Vec::new(),
    };
    let of = |ingress: &Arc<IngressObject>| ((Subject::Ingress, ingress.key.clone()), told(ingress));
    let mut all: BTreeMap<Key, Told> = outcome.ingresses.iter().map(of).collect();
    for problem in &outcome.problems {
        let key = (problem.of, problem.on.clone());
        let told = match problem.of {
            Subject::Ingress => all.get_mut(&key).filter(|told| told.is_of(&problem.uid)),
            Subject::Class | Subject::Parameters | Subject::ClusterParameters => Some(all.entry(key).or_default()),
        };
        if let Some(told) = told {
            told.problems.push(problem.clone());
        }
    }
    all
}

impl Told {
    fn is_of(&self, uid: &str) -> bool {
        self.ingress.as_ref().is_some_and(|ingress| ingress.uid == uid)
    }
}

/// The objects of which something else is said than before.
fn changed<'t>(before: &'t BTreeMap<Key, Told>, now: &'t BTreeMap<Key, Told>) -> impl Iterator<Item = &'t Key> {
    let same = |was: &Told, is: &Told| {
        let object = match (&was.ingress, &is.ingress) {
            (Some(was), Some(is)) => Arc::ptr_eq(was, is),
            (was, is) => was.is_none() && is.is_none(),
        };
        object && was.ours == is.ours && was.problems == is.problems
    };
    now.iter().filter(move |(key, is)| !before.get(key).is_some_and(|was| same(was, is))).map(|(key, _)| key)
}

/// Pure: what is to be done for one object.
fn plan(told: &Told, wanted: &[Value], reported: &BTreeSet<String>) -> Vec<Action> {
    let Told { ingress, ours, problems } = told;
    let mut actions = Vec::new();
    if let Some(ingress) = ingress.as_ref().filter(|_| !wanted.is_empty()) {
        match (*ours, same(&ingress.published, wanted)) {
            (true, false) => actions.push(Action::Publish(wanted.to_vec())),
            // It was ours and changed its class: what we wrote goes, what another wrote stays.
            (false, true) => actions.push(Action::Publish(Vec::new())),
            (true, true) | (false, false) => {}
        }
    }
    let new = problems.iter().filter(|problem| !reported.contains(&event_name(problem)));
    actions.extend(new.cloned().map(Action::Report));
    actions
}

/// Whether a published list says the same; the API may have added `ipMode`.
fn same(published: &[Value], wanted: &[Value]) -> bool {
    let address = |entry: &Value| entry.get("ip").or(entry.get("hostname")).cloned();
    published.iter().map(address).eq(wanted.iter().map(address))
}

async fn commit(
    hub: &Hub,
    key: &Named,
    action: Action,
    reported: &Mutex<BTreeSet<String>>,
) -> Result<(), ReconcileError> {
    match action {
        Action::Publish(addresses) => {
            let gvr = Gvr::new("networking.k8s.io/v1", "ingresses");
            let at = At { gvr: &gvr, namespace: &key.namespace, name: &key.name };
            let how = WriteOptions { subresource: "status", field_manager: COMPONENT, ..WriteOptions::default() };
            let patch = json!({"status": {"loadBalancer": {"ingress": addresses}}});
            gone_is_fine(hub.merge_patch(at, &patch, &how).await)
        }
        Action::Report(problem) => {
            let event = event(&problem, &jiff::Timestamp::now().to_string());
            let made = hub.create(&Gvr::new("v1", "events"), namespace(&problem), &event).await;
            if !made.as_ref().is_err_and(ApiError::is_already_exists) {
                gone_is_fine(made)?;
            }
            reported.lock().insert(event_name(&problem));
            Ok(())
        }
    }
}

fn gone_is_fine(answer: Result<Value, ApiError>) -> Result<(), ReconcileError> {
    match answer {
        Ok(_) => Ok(()),
        Err(error) if error.is_not_found() => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// An entry of `status.loadBalancer.ingress`.
fn entry(address: &str) -> Value {
    match address.parse::<IpAddr>() {
        Ok(ip) => json!({"ip": ip}),
        Err(_) => json!({"hostname": address}),
    }
}

/// The same problem has the same name, so that it is one Event however often a process restarts.
fn event_name(problem: &Problem) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in [&*problem.uid, problem.kind.reason(), &*problem.message].join("\0").bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    // 253 is the limit of a name.
    let name: String = problem.on.name.chars().take(200).collect();
    format!("{name}.{hash:016x}")
}

/// Where its Event is; those of the cluster's objects are in the default namespace.
fn namespace(problem: &Problem) -> &str {
    match &*problem.on.namespace {
        "" => "default",
        own => own,
    }
}

fn event(problem: &Problem, now: &str) -> Value {
    let (api_version, kind) = problem.of.api();
    let mut object = json!({"apiVersion": api_version, "kind": kind, "name": &*problem.on.name, "uid": problem.uid});
    if !problem.on.namespace.is_empty() {
        object["namespace"] = json!(&*problem.on.namespace);
    }
    json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": event_name(problem), "namespace": namespace(problem)},
        "involvedObject": object,
        "type": "Warning",
        "reason": problem.kind.reason(),
        "message": problem.message.chars().take(1024).collect::<String>(),
        "source": {"component": COMPONENT},
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::{Action, by_object, changed, entry, event, event_name, plan};
    use crate::route::{Problem, ProblemKind, Subject};
    use crate::snapshot::{IngressObject, Named};
    use crate::watch::Outcome;

    fn ingress(name: &str, published: &[Value]) -> Arc<IngressObject> {
        let object = json!({
            "metadata": {"namespace": "n", "name": name, "uid": name},
            "status": {"loadBalancer": {"ingress": published}},
        });
        Arc::new(IngressObject::read(&object))
    }

    /// Ingress: 46, 75
    #[test]
    fn addresses_are_published_once_and_only_on_ours() {
        let wanted = [entry("10.0.0.1"), entry("lb.example")];
        assert_eq!(wanted, [json!({"ip": "10.0.0.1"}), json!({"hostname": "lb.example"})]);
        let moded = [json!({"ip": "10.0.0.1", "ipMode": "VIP"}), wanted[1].clone()];
        let other = [json!({"ip": "9.9.9.9"})];
        for (published, ours, expected) in [
            (&[][..], true, vec![Action::Publish(wanted.to_vec())]),
            (&other[..], true, vec![Action::Publish(wanted.to_vec())]),
            (&wanted[..], true, vec![]),
            (&moded[..], true, vec![]),
            (&wanted[..], false, vec![Action::Publish(vec![])]),
            (&other[..], false, vec![]),
            (&[][..], false, vec![]),
        ] {
            let mut outcome = Outcome { ingresses: vec![ingress("i", published)], ..Outcome::default() };
            if ours {
                outcome.accepted.insert(Named::new("n", "i"));
            }
            let actions =
                plan(&by_object(&outcome)[&(Subject::Ingress, Named::new("n", "i"))], &wanted, &BTreeSet::new());
            assert_eq!(actions, expected, "{published:?} {ours}");
        }
    }

    /// Ingress: 74
    #[test]
    fn a_problem_is_reported_once() {
        let problem = Problem {
            of: Subject::Ingress,
            on: Named::new("n", "i"),
            uid: "i".into(),
            kind: ProblemKind::ServiceMissing,
            message: "spec.defaultBackend.service: there is no Service n/x".into(),
        };
        let mut outcome = Outcome { ingresses: vec![ingress("i", &[])], ..Outcome::default() };
        outcome.problems.push(problem.clone());
        outcome.problems.push(Problem { uid: "the one before".into(), ..problem.clone() });
        let told = &by_object(&outcome)[&(Subject::Ingress, Named::new("n", "i"))];
        assert_eq!(plan(told, &[], &BTreeSet::new()), [Action::Report(problem.clone())]);
        assert!(plan(told, &[], &[event_name(&problem)].into()).is_empty());
        let object = event(&problem, "2026-01-01T00:00:00Z");
        assert_eq!(object["reason"], "ServiceNotFound");
        assert_eq!(object["involvedObject"]["uid"], "i");
    }

    /// Ingress: 84
    #[test]
    fn what_is_wrong_with_a_class_is_reported_on_it() {
        let problem = |of, namespace: &str| Problem {
            of,
            on: Named::new(namespace, "p"),
            uid: "u".into(),
            kind: ProblemKind::ParametersUnsupported,
            message: "spec.defaults[colour]: is no annotation that is known here".into(),
        };
        let (class, own) = (problem(Subject::Class, ""), problem(Subject::Parameters, "n"));
        let problems = vec![class.clone(), own.clone()];
        let outcome = Outcome { problems, ingresses: vec![ingress("i", &[])], ..Outcome::default() };
        let told = by_object(&outcome);
        assert_eq!(told.len(), 3);
        let wanted = [entry("10.0.0.1")];
        assert_eq!(
            plan(&told[&(Subject::Class, class.on.clone())], &wanted, &BTreeSet::new()),
            [Action::Report(class.clone())]
        );
        assert!(
            plan(&told[&(Subject::Ingress, Named::new("n", "i"))], &wanted, &BTreeSet::new()).is_empty(),
            "not ours"
        );
        let (class, own) = (event(&class, "now"), event(&own, "now"));
        assert_eq!(
            (&class["metadata"]["namespace"], &class["involvedObject"]["kind"]),
            (&json!("default"), &json!("IngressClass"))
        );
        assert_eq!(class["involvedObject"].get("namespace"), None);
        assert_eq!((&own["metadata"]["namespace"], &own["involvedObject"]["namespace"]), (&json!("n"), &json!("n")));
        assert_eq!(own["involvedObject"]["apiVersion"], "fedgate.dev/v1alpha1");
    }

    /// Ingress: 72
    #[test]
    fn only_what_changed_is_looked_at() {
        let (a, b) = (ingress("a", &[]), ingress("b", &[]));
        let mut outcome = Outcome { ingresses: vec![a, b], ..Outcome::default() };
        let names = |before: &Outcome, now: &Outcome| {
            let (before, now) = (by_object(before), by_object(now));
            changed(&before, &now).map(|(_, key)| key.name.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(names(&Outcome::default(), &outcome), ["a", "b"]);
        let before = outcome.clone();
        assert!(names(&before, &outcome).is_empty());
        outcome.accepted.insert(Named::new("n", "b"));
        assert_eq!(names(&before, &outcome), ["b"]);
        let before = outcome.clone();
        outcome.ingresses[0] = ingress("a", &[json!({"ip": "10.0.0.1"})]);
        assert_eq!(names(&before, &outcome), ["a"]);
    }
}
