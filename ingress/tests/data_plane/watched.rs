//! Following a hub: from its objects to routes, through its absence, and back from disk.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use bytes::Bytes;
use federation_types::{ClusterName, endpoint, label};
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use ingress::{Outcome, RouteTable, WatchConfig, Watcher, publish};
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::fixture::{PATIENCE, options};

/// A hub of a few lists: every change ends its watches, so that they list anew.
#[derive(Clone, Default)]
struct FakeHub(Arc<State>);

#[derive(Default)]
struct State {
    lists: Mutex<BTreeMap<String, Vec<Value>>>,
    writes: Mutex<Vec<(String, Value)>>,
    changes: watch::Sender<u64>,
    away: std::sync::atomic::AtomicBool,
}

impl FakeHub {
    fn set(&self, resource: &str, objects: Vec<Value>) {
        self.0.lists.lock().expect("no panic").insert(resource.to_owned(), objects);
        self.0.changes.send_modify(|changes| *changes += 1);
    }

    fn connect(&self) -> hub_client::Hub {
        let hub = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| hub.clone().answer(request));
        hub_client::Hub::new(kube::Client::new(service, "default"))
    }

    async fn answer(self, request: Request<Body>) -> Result<Response<Full<Bytes>>, Infallible> {
        let path = request.uri().path().to_owned();
        let query = request.uri().query().unwrap_or("").to_owned();
        if self.0.away.load(std::sync::atomic::Ordering::SeqCst) {
            return Ok(reply(503, &json!({"kind": "Status", "code": 503, "message": "away"})));
        }
        if request.method() != Method::GET {
            let body = request.into_body().collect().await.expect("a body").to_bytes();
            let body = serde_json::from_slice(&body).expect("JSON");
            self.0.writes.lock().expect("no panic").push((path, body));
            self.0.changes.send_modify(|changes| *changes += 1);
            return Ok(reply(200, &json!({})));
        }
        let mut changes = self.0.changes.subscribe();
        if query.contains("watch=") {
            changes.changed().await.expect("the hub stays");
            let gone = json!({"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "old"}});
            return Ok(reply(200, &gone));
        }
        let resource = path.rsplit('/').next().expect("a resource");
        let mut items = self.0.lists.lock().expect("no panic").get(resource).cloned().unwrap_or_default();
        if resource == "secrets" {
            let name = query.split("metadata.name%3D").nth(1).or_else(|| query.split("metadata.name=").nth(1));
            let name = name.and_then(|rest| rest.split('&').next()).expect("Secrets are read one by one");
            items.retain(|item| item["metadata"]["name"] == name);
        }
        let revision = (*changes.borrow() + 1).to_string();
        Ok(reply(200, &json!({"metadata": {"resourceVersion": revision}, "items": items})))
    }
}

fn reply(status: u16, body: &Value) -> Response<Full<Bytes>> {
    let answer = Response::builder().status(status).header("content-type", "application/json");
    answer.body(Full::from(format!("{body}\n"))).expect("an answer")
}

fn slice(cluster: &str, address: &str) -> Value {
    json!({
        "metadata": {"namespace": "n", "name": format!("web-1.{cluster}"), "labels": {
            "kubernetes.io/service-name": "web", label::CLUSTER: cluster, label::HUB: "uid",
        }},
        "addressType": "IPv4", "ports": [{"port": 8080}], "endpoints": [{"addresses": [address]}],
    })
}

fn member(name: &str) -> Value {
    json!({"metadata": {"name": name}})
}

fn marker(name: &str) -> Value {
    endpoint::marker(&ClusterName::new(name).expect("a label"))
}

fn filled() -> FakeHub {
    let hub = FakeHub::default();
    let to = |name: &str| json!({"service": {"name": name, "port": {"number": 80}}});
    hub.set("ingresses", vec![json!({
        "metadata": {"namespace": "n", "name": "i", "uid": "u"},
        "spec": {"ingressClassName": "fedgate", "defaultBackend": to("web"), "tls": [{"hosts": ["h"], "secretName": "s"}], "rules": [
            {"host": "h", "http": {"paths": [{"path": "/x", "pathType": "Prefix", "backend": to("absent")}]}},
        ]},
    })]);
    hub.set(
        "ingressclasses",
        vec![json!({"metadata": {"name": "fedgate"}, "spec": {"controller": label::INGRESS_CONTROLLER}})],
    );
    hub.set(
        "services",
        vec![json!({"metadata": {"namespace": "n", "name": "web"}, "spec": {"ports": [{"port": 80}]}})],
    );
    hub.set("clusters", vec![member("east"), member("west")]);
    hub.set(
        "endpointslices",
        vec![slice("east", "10.1.0.1"), marker("east"), slice("west", "10.2.0.1"), marker("west")],
    );
    hub
}

struct Watched {
    routes: Arc<ArcSwap<RouteTable>>,
    outcomes: watch::Receiver<Outcome>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Watched {
    fn start(hub: &FakeHub, disk: Option<&std::path::Path>) -> Self {
        let routes = Arc::new(ArcSwap::default());
        let config = WatchConfig { build: options(), snapshot: disk.map(Into::into), ..WatchConfig::default() };
        let watcher = Watcher::new(hub.connect(), routes.clone(), config);
        let (outcomes, stop) = (watcher.outcomes(), CancellationToken::new());
        let task = tokio::spawn(watcher.run(stop.clone()));
        Self { routes, outcomes, stop, task }
    }

    fn addresses(&self) -> Vec<String> {
        let table = self.routes.load();
        let endpoints = table.backend("n/web:80").map(|backend| backend.endpoints().to_vec()).unwrap_or_default();
        endpoints.iter().map(|endpoint| endpoint.key.address.to_string()).collect()
    }

    async fn until(&mut self, wanted: &[&str]) {
        let wait = async {
            while self.addresses() != wanted {
                self.outcomes.changed().await.expect("the watcher runs");
            }
        };
        let waited = tokio::time::timeout(PATIENCE, wait).await;
        assert!(waited.is_ok(), "{wanted:?} did not come");
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.expect("no panic");
    }
}

const BOTH: [&str; 2] = ["10.1.0.1:8080", "10.2.0.1:8080"];

/// Ingress: 73
#[tokio::test]
async fn routes_follow_the_hub_and_absences_need_a_marker() {
    let hub = filled();
    let mut watched = Watched::start(&hub, None);
    watched.until(&BOTH).await;
    // The hub restarted: its rings are empty, then east is complete again, without endpoints.
    hub.set("endpointslices", vec![slice("west", "10.2.0.2")]);
    hub.set("endpointslices", vec![marker("east"), slice("west", "10.2.0.2")]);
    watched.until(&["10.2.0.1:8080"]).await;
    hub.set("endpointslices", vec![marker("east"), slice("west", "10.2.0.2"), marker("west")]);
    watched.until(&["10.2.0.2:8080"]).await;
    hub.set("endpointslices", vec![marker("east")]);
    hub.set("clusters", vec![member("east")]);
    watched.until(&[]).await;
    watched.stop().await;
}

/// Ingress: 45, 73
#[tokio::test]
async fn slices_that_were_written_at_the_hub_are_routed_to_and_outlive_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let disk = dir.path().join("routes.json");
    let hub = filled();
    let own = |address: &str| {
        json!({
            "metadata": {"namespace": "n", "name": "by-hand", "labels": {"kubernetes.io/service-name": "web"}},
            "addressType": "IPv4", "ports": [{"port": 9000}], "endpoints": [{"addresses": [address]}],
        })
    };
    hub.set("endpointslices", vec![marker("east"), marker("west"), own("192.0.2.7")]);
    let mut watched = Watched::start(&hub, Some(&disk));
    watched.until(&["192.0.2.7:9000"]).await;
    // They are the store's own: nobody has to say that they are complete.
    hub.set("endpointslices", vec![own("192.0.2.8")]);
    watched.until(&["192.0.2.8:9000"]).await;
    watched.stop().await;
    hub.0.away.store(true, std::sync::atomic::Ordering::SeqCst);
    let second = Watched::start(&hub, Some(&disk));
    let wait = async {
        while second.addresses() != ["192.0.2.8:9000"] {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("served from disk");
    second.stop().await;
}

/// Ingress: 73
#[tokio::test]
async fn a_start_without_the_hub_serves_the_snapshot_on_disk() {
    let dir = tempfile::tempdir().expect("a directory");
    let disk = dir.path().join("routes.json");
    let hub = filled();
    let mut first = Watched::start(&hub, Some(&disk));
    first.until(&BOTH).await;
    first.stop().await;
    hub.0.away.store(true, std::sync::atomic::Ordering::SeqCst);
    let mut second = Watched::start(&hub, Some(&disk));
    let wait = async {
        while second.addresses() != BOTH {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("served from disk");
    assert!(!second.outcomes.borrow().synced);
    tokio::time::timeout(PATIENCE, second.outcomes.wait_for(|outcome| outcome.serving))
        .await
        .expect("ready")
        .expect("runs");
    // The hub comes back, but knows nothing of west yet.
    hub.set("endpointslices", vec![slice("east", "10.1.0.9"), marker("east")]);
    hub.0.away.store(false, std::sync::atomic::Ordering::SeqCst);
    second.until(&["10.1.0.9:8080", "10.2.0.1:8080"]).await;
    second.stop().await;
}

/// Ingress: 73, 74, 75
#[tokio::test]
async fn addresses_and_problems_are_told_once_all_is_known() {
    let hub = filled();
    let mut watched = Watched::start(&hub, None);
    let publisher = publish(hub.connect(), watched.outcomes.clone(), vec!["192.0.2.1".into()], watched.stop.clone());
    let publisher = tokio::spawn(publisher);
    let mut changes = hub.0.changes.subscribe();
    let writes = || hub.0.writes.lock().expect("no panic").clone();
    let wait = async {
        while writes().len() < 3 {
            changes.changed().await.expect("the hub stays");
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("three writes: {:?}", writes()));
    assert!(watched.outcomes.borrow_and_update().synced);
    let writes = writes();
    let published = writes.iter().find(|(path, _)| path.ends_with("/ingresses/i/status")).expect("a status");
    assert_eq!(published.1["status"]["loadBalancer"]["ingress"], json!([{"ip": "192.0.2.1"}]));
    let mut reasons: Vec<_> = writes.iter().filter_map(|(_, body)| body["reason"].as_str()).collect();
    reasons.sort_unstable();
    assert_eq!(reasons, ["SecretNotFound", "ServiceNotFound"]);
    watched.stop().await;
    publisher.await.expect("no panic");
}

/// Ingress: 73
#[tokio::test]
async fn nothing_is_ready_before_the_first_whole_set_of_routes() {
    let hub = filled();
    hub.0.away.store(true, std::sync::atomic::Ordering::SeqCst);
    let mut watched = Watched::start(&hub, None);
    assert!(!watched.outcomes.borrow().serving);
    hub.0.away.store(false, std::sync::atomic::Ordering::SeqCst);
    hub.set("endpointslices", vec![slice("east", "10.1.0.1"), marker("east")]);
    let ready = watched.outcomes.wait_for(|outcome| outcome.serving);
    drop(tokio::time::timeout(PATIENCE, ready).await.expect("in time").expect("the watcher runs"));
    assert_eq!(watched.addresses(), ["10.1.0.1:8080"], "what is told is served already");
    watched.stop().await;
}

/// Ingress: 46
#[tokio::test]
async fn parameters_that_a_class_names_are_looked_for() {
    let hub = filled();
    let parameters = json!({"apiGroup": "fedgate.dev", "kind": "IngressParameters", "scope": "Namespace", "namespace": "n", "name": "p"});
    hub.set("ingressclasses", vec![json!({
        "metadata": {"name": "fedgate"}, "spec": {"controller": label::INGRESS_CONTROLLER, "parameters": parameters},
    })]);
    let mut watched = Watched::start(&hub, None);
    let missing = |outcome: &Outcome| {
        outcome.problems.iter().any(|problem| problem.message.contains("there is no IngressParameters n/p"))
    };
    let told = watched.outcomes.wait_for(missing);
    drop(tokio::time::timeout(PATIENCE, told).await.expect("in time").expect("the watcher runs"));
    hub.set("ingressparameters", vec![json!({"metadata": {"namespace": "n", "name": "p"}})]);
    let taken_back = watched.outcomes.wait_for(|outcome| !missing(outcome));
    drop(tokio::time::timeout(PATIENCE, taken_back).await.expect("in time").expect("the watcher runs"));
    watched.stop().await;
}

/// Ingress: 84
#[tokio::test]
async fn what_parameters_say_is_followed_as_it_changes() {
    let hub = filled();
    let parameters = json!({"apiGroup": "fedgate.dev", "kind": "ClusterIngressParameters", "name": "p"});
    hub.set("ingressclasses", vec![json!({
        "metadata": {"name": "fedgate"}, "spec": {"controller": label::INGRESS_CONTROLLER, "parameters": parameters},
    })]);
    let mut watched = Watched::start(&hub, None);
    for (defaults, wanted) in [(json!({"colour": "red"}), true), (json!({"limit-rps": "5"}), false)] {
        hub.set("clusteringressparameters", vec![json!({"metadata": {"name": "p"}, "spec": {"defaults": defaults}})]);
        let told = watched.outcomes.wait_for(|outcome| {
            let said = outcome.problems.iter().any(|problem| problem.message.contains("spec.defaults[colour]"));
            outcome.synced && said == wanted
        });
        drop(tokio::time::timeout(PATIENCE, told).await.expect("in time").expect("the watcher runs"));
    }
    watched.stop().await;
}
