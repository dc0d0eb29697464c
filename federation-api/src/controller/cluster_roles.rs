//! Writes out the rules of aggregated ClusterRoles, for people and clients to read.
//!
//! Authorization does not wait for it: the compiled rules gather for themselves.

use std::collections::BTreeMap;
use std::time::Duration;

use auth::{PolicyRule, RbacObject, aggregated_rules};
use federation_types::Gvr;
use federation_types::text::name;
use hub_client::{At, Collection, Hub, Queue, ReconcileError, Reflector, WriteOptions, drive};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// A ClusterRole as far as it matters here.
struct Role {
    decoded: RbacObject,
    rules: Vec<PolicyRule>,
}

pub(super) async fn run(hub: Hub, stop: CancellationToken) {
    let gvr = Gvr::new("rbac.authorization.k8s.io/v1", "clusterroles");
    let queue: Queue<()> = Queue::new();
    let add = queue.clone();
    let reflector = Reflector::new(hub.clone(), Collection::all(gvr.clone()), project).on_change(move |_| add.add(()));
    let roles = reflector.reflection();
    let reconcile = |()| {
        let (roles, hub, gvr) = (&roles, &hub, &gvr);
        async move {
            if !roles.state().synced {
                return Err(ReconcileError::Wait(Duration::from_millis(50), "not everything is read yet".to_owned()));
            }
            let all = roles.all();
            for (name, rules) in plan(all.iter().map(|((_, name), role)| (name.as_str(), &**role))) {
                let patch = json!({"rules": rules});
                match hub.merge_patch(At::new(gvr, "", &name), &patch, &WriteOptions::default()).await {
                    Ok(_) => {}
                    Err(error) if error.is_not_found() => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Ok(())
        }
    };
    tokio::join!(reflector.run(stop.clone()), drive("cluster-roles", queue.clone(), 1, reconcile, stop));
}

fn project(mut role: Value) -> Option<Role> {
    // The items of a list do not say what they are.
    role["kind"] = json!("ClusterRole");
    let role = &role;
    let rules = match &role["rules"] {
        Value::Null => Ok(Vec::new()),
        rules => Vec::deserialize(rules),
    };
    match (RbacObject::from_value(role), rules) {
        (Ok(decoded), Ok(rules)) => Some(Role { decoded, rules }),
        (Err(error), _) => {
            tracing::warn!(role = name(role), %error, "ClusterRole is left out of aggregation");
            None
        }
        (_, Err(error)) => {
            tracing::warn!(role = name(role), %error, "ClusterRole is left out of aggregation");
            None
        }
    }
}

/// The rules to write, by the name of their role; roles that say so already are left out.
fn plan<'a>(roles: impl Iterator<Item = (&'a str, &'a Role)>) -> BTreeMap<String, Vec<PolicyRule>> {
    let roles: BTreeMap<&str, &Role> = roles.collect();
    let mut wanted = aggregated_rules(roles.values().map(|role| &role.decoded));
    wanted.retain(|name, rules| roles.get(name.as_str()).is_some_and(|role| role.rules != *rules));
    wanted
}

#[cfg(test)]
mod tests {
    use super::{plan, project};
    use serde_json::{Value, json};

    fn planned(objects: &[Value]) -> Vec<(String, usize)> {
        let roles: Vec<_> = objects
            .iter()
            .map(|object| (object["metadata"]["name"].as_str().unwrap(), project(object.clone()).unwrap()))
            .collect();
        plan(roles.iter().map(|(name, role)| (*name, role)))
            .into_iter()
            .map(|(name, rules)| (name, rules.len()))
            .collect()
    }

    #[test]
    fn only_what_differs_is_written() {
        let rule = json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]});
        let source =
            json!({"kind": "ClusterRole", "metadata": {"name": "source", "labels": {"a": "b"}}, "rules": [rule]});
        let mut sum = json!({"kind": "ClusterRole", "metadata": {"name": "sum"}, "rules": null,
            "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}});
        assert_eq!(planned(&[source.clone(), sum.clone()]), [("sum".to_owned(), 1)]);
        sum["rules"] = json!([rule]);
        assert_eq!(planned(&[source, sum.clone()]), []);
        assert_eq!(planned(&[sum]), [("sum".to_owned(), 0)], "what is no longer gathered is taken away");
    }
}
