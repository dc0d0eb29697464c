//! Tells users: addresses into `status.loadBalancer` of our Ingresses, problems as Events on them.
//!
//! The leader's part; a controller of the house's one shape. Touches no status that another controller wrote.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use federation_types::Gvr;
use hub_client::{ApiError, At, Hub, Queue, ReconcileError, WriteOptions, drive};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::route::Problem;
use crate::snapshot::Named;
use crate::watch::Outcome;

/// Statuses that are written at once.
const WIDTH: usize = 4;
/// Field manager and reporter of what is written here.
const COMPONENT: &str = "fedgate-ingress";

/// What a reconcile of one Ingress does.
#[derive(Debug, Clone, PartialEq)]
enum Action {
    /// Sets the whole list of addresses.
    Publish(Vec<Value>),
    /// Reports a problem that was not reported before.
    Report(Problem),
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
    let current = outcomes.clone();
    let reconcile = |key: Named| {
        let (hub, wanted, reported, current) = (hub.clone(), wanted.clone(), reported.clone(), current.clone());
        async move {
            // Cloned out, so that the lock of the channel is not held while the hub answers.
            let outcome = current.borrow().clone();
            let actions = plan(&key, &outcome, &wanted, &reported.lock());
            for action in actions {
                commit(&hub, &key, action, &reported).await?;
            }
            Ok(())
        }
    };
    let feed = async {
        while outcomes.changed().await.is_ok() {
            let outcome = outcomes.borrow_and_update();
            if outcome.synced {
                outcome.ingresses.iter().for_each(|ingress| queue.add(ingress.key.clone()));
            }
        }
    };
    tokio::select! {
        () = feed => {}
        () = drive("ingress-status", queue.clone(), WIDTH, reconcile, stop.clone()) => {}
    }
}

/// Pure: what is to be done for one Ingress.
fn plan(key: &Named, outcome: &Outcome, wanted: &[Value], reported: &BTreeSet<String>) -> Vec<Action> {
    let Some(ingress) = outcome.ingresses.iter().find(|ingress| ingress.key == *key) else { return Vec::new() };
    let mut actions = Vec::new();
    if outcome.accepted.contains(key) {
        if !wanted.is_empty() && !same(&ingress.published, wanted) {
            actions.push(Action::Publish(wanted.to_vec()));
        }
    } else if !wanted.is_empty() && same(&ingress.published, wanted) {
        // It was ours and changed its class: what we wrote goes, what another wrote stays.
        actions.push(Action::Publish(Vec::new()));
    }
    let problems = outcome.problems.iter().filter(|problem| problem.ingress == *key && problem.uid == ingress.uid);
    actions.extend(problems.filter(|problem| !reported.contains(&event_name(problem))).cloned().map(Action::Report));
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
            let made = hub.create(&Gvr::new("v1", "events"), &problem.ingress.namespace, &event).await;
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
    let name: String = problem.ingress.name.chars().take(200).collect();
    format!("{name}.{hash:016x}")
}

fn event(problem: &Problem, now: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": event_name(problem), "namespace": &*problem.ingress.namespace},
        "involvedObject": {
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "namespace": &*problem.ingress.namespace, "name": &*problem.ingress.name, "uid": problem.uid,
        },
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

    use super::{Action, entry, event, event_name, plan};
    use crate::route::{Problem, ProblemKind};
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
            let actions = plan(&Named::new("n", "i"), &outcome, &wanted, &BTreeSet::new());
            assert_eq!(actions, expected, "{published:?} {ours}");
        }
        let outcome = Outcome { ingresses: vec![ingress("i", &[])], ..Outcome::default() };
        assert!(plan(&Named::new("n", "gone"), &outcome, &wanted, &BTreeSet::new()).is_empty());
    }

    /// Ingress: 74
    #[test]
    fn a_problem_is_reported_once() {
        let problem = Problem {
            ingress: Named::new("n", "i"),
            uid: "i".into(),
            kind: ProblemKind::ServiceMissing,
            message: "spec.defaultBackend.service: there is no Service n/x".into(),
        };
        let mut outcome = Outcome { ingresses: vec![ingress("i", &[])], ..Outcome::default() };
        outcome.problems.push(problem.clone());
        let key = Named::new("n", "i");
        assert_eq!(plan(&key, &outcome, &[], &BTreeSet::new()), [Action::Report(problem.clone())]);
        assert!(plan(&key, &outcome, &[], &[event_name(&problem)].into()).is_empty());
        let object = event(&problem, "2026-01-01T00:00:00Z");
        assert_eq!(object["reason"], "ServiceNotFound");
        assert_eq!(object["involvedObject"]["uid"], "i");
    }
}
