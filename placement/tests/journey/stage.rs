//! One hub, its members and placement, as tests see them.

use std::collections::BTreeMap;
use std::time::Duration;

use federation_types::label;
use member_cluster::{Connector, Credentials, Members};
use placement::render::IpRange;
use placement::schedule::DefaultPlacement;
use placement::{PlacementConfig, run};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::fake::Fake;
use crate::{APPS, Row};

const OURS: &str = "/apis/fedgate.dev/v1alpha1";
/// Longest wait for anything that shall happen.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between looks at a condition.
const LOOK: Duration = Duration::from_millis(5);

/// A running federation over in-memory APIs.
pub struct Stage {
    pub hub: Fake,
    members: BTreeMap<String, Fake>,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Stage {
    pub async fn start(names: &[&str]) -> Self {
        let hub = Fake::new("hub");
        for namespace in ["shop", label::SYSTEM_NAMESPACE] {
            hub.put(
                "/api/v1",
                "namespaces",
                json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}),
            );
        }
        let members: BTreeMap<String, Fake> = names.iter().map(|n| ((*n).to_owned(), Fake::new(n))).collect();
        for name in names {
            let mut secret = Credentials::Token("t".to_owned()).to_secret(name);
            secret["metadata"]["namespace"] = label::SYSTEM_NAMESPACE.into();
            hub.put("/api/v1", "secrets", secret);
            hub.put(
                OURS,
                "clusters",
                json!({
                    "apiVersion": label::API_VERSION, "kind": "Cluster", "metadata": {"name": name},
                    "spec": {"server": format!("https://{name}"), "credentialsRef": {"name": name}},
                    "status": {"conditions": [{"type": "Ready", "status": "True"}], "capacity": {"cpu": "10", "memory": "10Gi", "pods": "100"}},
                }),
            );
        }
        Self::run(hub, members)
    }

    fn run(hub: Fake, members: BTreeMap<String, Fake>) -> Self {
        let stop = CancellationToken::new();
        let fakes = members.clone();
        let connector = Connector::new(move |target| {
            let name = target.server.trim_start_matches("https://");
            Ok(fakes.get(name).expect("a member of the stage").caller())
        });
        let registry = Members::new(connector);
        let config = PlacementConfig {
            hub: hub.caller(),
            members: registry.clone(),
            hub_uid: "hub-uid".to_owned(),
            default_placement: DefaultPlacement::None,
            hub_range: IpRange::parse("10.96.0.0/16").expect("a range"),
        };
        let (following, ending, caller) = (registry, stop.clone(), hub.caller());
        let tasks = vec![
            tokio::spawn(async move { following.run(caller, ending).await }),
            tokio::spawn(run(config, stop.clone())),
        ];
        Self { hub, members, stop, tasks }
    }

    pub fn member(&self, name: &str) -> &Fake {
        &self.members[name]
    }

    pub async fn stop(self) {
        self.stop.cancel();
        for task in self.tasks {
            tokio::time::timeout(PATIENCE, task).await.expect("it ends when told to").expect("it does not panic");
        }
    }

    pub async fn restart(self) -> Self {
        let (hub, members) = (self.hub.clone(), self.members.clone());
        self.stop().await;
        Self::run(hub, members)
    }

    pub async fn until<T>(&self, what: &str, look: impl FnMut() -> Option<T>) -> T {
        self.until_within(PATIENCE, what, look).await
    }

    pub async fn until_within<T>(&self, patience: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let begin = tokio::time::Instant::now();
        loop {
            if let Some(found) = look() {
                return found;
            }
            assert!(begin.elapsed() < patience, "waited in vain for {what}: {:#?}", self.bindings());
            tokio::time::sleep(LOOK).await;
        }
    }

    pub fn bindings(&self) -> Vec<Value> {
        self.hub.all(OURS, "placementbindings")
    }

    pub fn binding(&self, template: &str) -> Option<Value> {
        self.bindings().into_iter().find(|b| b["spec"]["template"]["name"] == template)
    }

    pub async fn until_row(&self, template: &str, member: &str, is: impl Fn(&Row) -> bool) -> Row {
        let what = format!("the row of {template} in {member}");
        self.until(&what, || {
            let rows = self.binding(template)?["status"]["clusters"].as_array()?.clone();
            rows.into_iter().find(|row| row["name"] == member && is(row))
        })
        .await
    }

    pub async fn until_template(&self, name: &str, is: impl Fn(&Value) -> bool) -> Value {
        self.until("the template", || self.hub.get(APPS, "deployments", "shop", name).filter(|t| is(t))).await
    }

    /// Waits until nobody has written anything for a while.
    pub async fn quiet(&self) {
        let count = || self.hub.writes() + self.members.values().map(Fake::writes).sum::<usize>();
        let mut last = count();
        let mut still = 0;
        while still < 40 {
            tokio::time::sleep(LOOK).await;
            still = if count() == last { still + 1 } else { 0 };
            last = count();
        }
    }

    /// Lets a member's controllers say that a Deployment is as wanted.
    pub fn make_ready(&self, member: &str, name: &str) {
        let member = self.member(member);
        let mut copy = member.get(APPS, "deployments", "shop", name).expect("a copy");
        let replicas = copy["spec"]["replicas"].clone();
        copy["status"] = json!({
            "observedGeneration": copy["metadata"]["generation"], "replicas": replicas, "updatedReplicas": replicas,
            "readyReplicas": replicas, "availableReplicas": replicas,
        });
        member.put(APPS, "deployments", copy);
    }
}

fn metadata(name: &str, annotations: &[(&str, &str)]) -> Value {
    let annotations: serde_json::Map<String, Value> =
        annotations.iter().map(|(k, v)| ((*k).to_owned(), (*v).into())).collect();
    json!({"name": name, "namespace": "shop", "annotations": annotations})
}

pub fn config_map(name: &str, annotations: &[(&str, &str)], value: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata(name, annotations), "data": {"a": value}})
}

pub fn deployment(name: &str, annotations: &[(&str, &str)], replicas: u64, image: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata(name, annotations),
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "app", "image": image}]}},
        },
    })
}
