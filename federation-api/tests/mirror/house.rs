//! A hub with member clusters, all in this process, and the mirror between them.

use std::collections::BTreeMap;
use std::sync::Arc;

use auth::UserInfo;
use federation_api::{Api, StoreConfig, mirror};
use federation_types::extension::NoPlacement;
use federation_types::label;
use http_body_util::BodyExt as _;
use hub_client::{Caller, WriteOptions};
use member_cluster::join::{Permissions, objects};
use member_cluster::{Connector, Credentials, Members};
use serde_json::{Value, json};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::hub::Hub;
use crate::line::Line;

pub const PODS: &str = "/api/v1/namespaces/default/pods";
pub const NODES: &str = "/api/v1/nodes";
pub const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
pub const CLUSTERS: &str = "/apis/fedgate.dev/v1alpha1/clusters";
const BINDINGS: &str = "/apis/fedgate.dev/v1alpha1/namespaces/fedgate-system/placementbindings";

/// An API server that is a member, and the hub's line to it.
pub struct Member {
    pub at: Hub,
    pub line: Arc<Line>,
}

/// The hub and its members; all of it ends when this is dropped.
pub struct House {
    pub hub: Hub,
    pub members: BTreeMap<&'static str, Member>,
    _running: DropGuard,
}

impl Member {
    /// A member whose executor may do as much as `permissions` says.
    pub async fn start(permissions: Permissions) -> Self {
        let at = Hub::start().await;
        at.namespace("kube-system").await;
        let admin = at.api.in_process(UserInfo::new("admin", ["system:masters"]));
        let admin = Caller::new(kube::Client::new(admin, "default"));
        let how = WriteOptions { field_manager: "test", force: true, ..WriteOptions::default() };
        for (gvr, object) in objects(permissions) {
            admin.apply(&gvr, &object, &how).await.expect("what joining applies");
        }
        Self { at, line: Line::new() }
    }

    fn connect(&self) -> Caller {
        let groups = ["system:serviceaccounts", "system:serviceaccounts:fedgate-system", "system:authenticated"];
        let reader = UserInfo::new("system:serviceaccount:fedgate-system:fedgate-hub", groups);
        self.line.connect(self.at.api.in_process(reader))
    }

    /// A pod that runs on node `n`.
    pub async fn pod(&self, name: &str, labels: &Value) -> Value {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels},
            "spec": {"nodeName": "n", "containers": [{"name": "app", "image": "app:1"}]}});
        self.at.post(PODS, &pod).await.expect(201)
    }
}

impl House {
    /// A hub and members of these names, registered and on line; nothing is waited for.
    pub async fn with(members: impl IntoIterator<Item = (&'static str, Member)>) -> Self {
        let house = Self::unregistered(members).await;
        for name in house.members.keys() {
            house.register(name, name).await;
        }
        house
    }

    /// As [`Self::with`], but the hub does not know the members yet.
    pub async fn unregistered(members: impl IntoIterator<Item = (&'static str, Member)>) -> Self {
        let members: BTreeMap<&'static str, Member> = members.into_iter().collect();
        let mut builder = Api::builder().placement(Arc::new(NoPlacement));
        for mirrored in mirror::MIRRORED {
            builder = builder.mirrored(mirrored.group, mirrored.resource);
        }
        let hub = Hub::with(builder.open(StoreConfig::Memory).await.expect("a store in memory")).await;
        hub.namespace(label::SYSTEM_NAMESPACE).await;
        let lines: BTreeMap<String, Caller> =
            members.iter().map(|(name, member)| (format!("https://{name}.test"), member.connect())).collect();
        let connect = move |target: &member_cluster::Target| {
            let setup = || member_cluster::ConnectError::Setup("no such line".to_owned());
            lines.get(&target.server).cloned().ok_or_else(setup)
        };
        let registry = Members::new(Connector::new(connect));
        let stop = CancellationToken::new();
        let caller = hub.api.in_process(UserInfo::new("system:fedgate", ["system:masters"]));
        let caller = Caller::new(kube::Client::new(caller, "default"));
        let (follows, from, hold) = (registry.clone(), caller.clone(), stop.clone());
        tokio::spawn(async move { follows.run(from, hold).await });
        tokio::spawn(mirror::run(hub.api.clone(), registry, caller, stop.clone()));
        Self { hub, members, _running: stop.drop_guard() }
    }

    /// East alone, all of it mirrored.
    pub async fn east() -> Self {
        let house = Self::with([("east", Member::start(Permissions::Apply).await)]).await;
        house.ready("east").await;
        house
    }

    pub fn member(&self, name: &str) -> &Member {
        &self.members[name]
    }

    /// Registers a Cluster `name` at the address of the member `at`.
    pub async fn register(&self, name: &str, at: &str) {
        let secret = Credentials::Token("t".to_owned()).to_secret(name);
        self.hub.post("/api/v1/namespaces/fedgate-system/secrets", &secret).await.expect(201);
        let registered = json!({"apiVersion": label::API_VERSION, "kind": "Cluster", "metadata": {"name": name},
            "spec": {"server": format!("https://{at}.test"), "credentialsRef": {"name": name}}});
        self.hub.post(CLUSTERS, &registered).await.expect(201);
    }

    /// Waits until the member takes work, so that everything of it is mirrored.
    pub async fn ready(&self, name: &str) {
        self.condition(name, "Ready", |ready| ready["status"] == "True").await;
    }

    /// Waits until a condition of a Cluster is as it should be.
    pub async fn condition(&self, name: &str, kind: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let path = format!("{CLUSTERS}?fieldSelector=metadata.name%3D{name}");
        let found = self.told(&path, |event| condition(&event["object"], kind).is_some_and(&holds)).await;
        condition(&found["object"], kind).cloned().expect("it was just seen")
    }

    /// Waits for an event of a watch that tells the present state first.
    pub async fn told(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let separator = if path.contains('?') { '&' } else { '?' };
        let mut watch = self.hub.watch(&format!("{path}{separator}watch=true")).await;
        loop {
            let event = watch.next().await.expect("another event");
            if wanted(&event) {
                return event;
            }
        }
    }

    /// Waits until the hub shows an object.
    pub async fn shows(&self, path: &str, name: &str) -> Value {
        let told = |event: &Value| event["type"] != "DELETED" && event["object"]["metadata"]["name"] == name;
        self.told(path, told).await["object"].clone()
    }

    /// A bare pod at the hub, bound to one cluster.
    pub async fn bound_pod(&self, name: &str, to: &str) -> Value {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {"containers": [{"name": "app", "image": "app:1"}]}});
        let pod = self.hub.post(PODS, &pod).await.expect(201);
        let binding = json!({"apiVersion": label::API_VERSION, "kind": "PlacementBinding", "metadata": {"name": name},
            "spec": {"template": {"apiVersion": "v1", "kind": "Pod", "namespace": "default", "name": name,
                "uid": pod["metadata"]["uid"], "generation": 1},
                "clusters": [{"name": "gone", "withdraw": true}, {"name": to}], "epoch": 1}});
        self.hub.post(BINDINGS, &binding).await.expect(201);
        pod
    }
}

fn condition<'v>(object: &'v Value, kind: &str) -> Option<&'v Value> {
    object["status"]["conditions"].as_array()?.iter().find(|one| one["type"] == kind)
}

/// The whole body of a streamed answer as text, one chunk.
pub async fn chunk(body: &mut federation_api::Body) -> Option<String> {
    let frame = tokio::time::timeout(crate::hub::PATIENCE, body.frame()).await.expect("a chunk in time")?;
    let bytes = frame.expect("infallible").into_data().expect("data");
    Some(String::from_utf8(bytes.to_vec()).expect("text"))
}
