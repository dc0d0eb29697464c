//! Following a hub over its API: from nothing to answers, through changes, silence and a restart.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use dns::{FollowOptions, Transport, Turn, Zone, ZoneOptions, answer, follow};
use federation_types::ClusterName;
use federation_types::endpoint::marker;
use http::{Request, Response, StatusCode};
use http_body_util::channel::{Channel, Sender};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hub_client::Hub;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(20);
const SERVICES: &str = "/api/v1/services";
const SLICES: &str = "/apis/discovery.k8s.io/v1/endpointslices";
const CLUSTERS: &str = "/apis/fedgate.dev/v1alpha1/clusters";

/// Those who watch, by path.
type Watches = HashMap<String, Vec<Sender<Bytes, Infallible>>>;

/// A hub that lists what it is told to, and says in watches what it is told to say.
#[derive(Clone, Default)]
struct FakeHub {
    items: Arc<Mutex<HashMap<&'static str, Vec<Value>>>>,
    watches: Arc<Mutex<Watches>>,
}

impl FakeHub {
    fn put(&self, path: &'static str, object: Value) {
        self.items.lock().unwrap().entry(path).or_default().push(object);
    }

    fn hub(&self) -> Hub {
        let fake = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let answer = fake.answer(&request);
            async move { Ok::<_, Infallible>(answer) }
        });
        Hub::new(kube::Client::new(service, "default"))
    }

    fn answer(&self, request: &Request<Body>) -> Response<UnsyncBoxBody<Bytes, Infallible>> {
        let path = request.uri().path();
        let items = self.items.lock().unwrap();
        let Some(items) = items.get(path) else {
            let mut refused = Response::new(Full::from("{}").boxed_unsync());
            *refused.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            return refused;
        };
        if request.uri().query().unwrap_or("").contains("watch=true") {
            let (sender, body) = Channel::<Bytes, Infallible>::new(16);
            self.watches.lock().unwrap().entry(path.to_owned()).or_default().push(sender);
            return Response::new(body.boxed_unsync());
        }
        let list = json!({"metadata": {"resourceVersion": "5"}, "items": items});
        Response::new(Full::from(list.to_string()).boxed_unsync())
    }

    /// Sends an event to everybody who watches `path`, as soon as somebody does.
    async fn say(&self, path: &str, kind: &str, object: &Value) {
        let frame = Bytes::from(format!("{}\n", json!({"type": kind, "object": object})));
        let senders = wait_for(|| self.watches.lock().unwrap().remove(path)).await;
        for mut sender in senders {
            // A watch that was given up in the meantime needs no event.
            if sender.send_data(frame.clone()).await.is_ok() {
                self.watches.lock().unwrap().entry(path.to_owned()).or_default().push(sender);
            }
        }
    }
}

async fn wait_for<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let patiently = async {
        loop {
            match look() {
                Some(found) => return found,
                None => tokio::time::sleep(Duration::from_millis(2)).await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, patiently).await.expect("it happens")
}

fn service() -> Value {
    json!({"metadata": {"namespace": "test", "name": "web"}, "spec": {"clusterIP": "10.0.0.1"}})
}

fn slice(cluster: &str, addresses: &[&str]) -> Value {
    json!({
        "metadata": {
            "namespace": "test",
            "name": format!("web-x.{cluster}"),
            "resourceVersion": "7",
            "labels": {"fedgate.dev/cluster": cluster, "fedgate.dev/hub": "h", "kubernetes.io/service-name": "web"},
        },
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080}],
        "endpoints": addresses.iter().map(|address| json!({"addresses": [address]})).collect::<Vec<_>>(),
    })
}

struct Following {
    zones: Arc<ArcSwap<Zone>>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Following {
    fn start(hub: &FakeHub, snapshot: PathBuf) -> Self {
        let options = FollowOptions { zone: ZoneOptions::default(), snapshot: Some(snapshot) };
        let zones = Arc::new(ArcSwap::from_pointee(Zone::unknown(&options.zone)));
        let stop = CancellationToken::new();
        let task = tokio::spawn(follow(hub.hub(), options, Arc::clone(&zones), stop.clone()));
        Self { zones, stop, task }
    }

    /// Response code and number of answers for the service's name.
    fn ask(&self) -> (u8, u8) {
        let query = b"\0\x01\0\0\0\x01\0\0\0\0\0\0\x03web\x04test\x03svc\x0aclusterset\x05local\0\0\x01\0\x01";
        let mut out = Vec::new();
        answer(&self.zones.load(), query, Transport::Udp, Turn::default(), &mut out).unwrap();
        (out[3] & 15, out[7])
    }

    async fn until(&self, rcode: u8, answers: u8) {
        wait_for(|| (self.ask() == (rcode, answers)).then_some(())).await;
    }

    async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.task).await.expect("ends soon").unwrap();
    }
}

#[tokio::test]
async fn answers_follow_the_hub_and_outlive_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("dns.json");
    let hub = FakeHub::default();
    let following = Following::start(&hub, path.clone());
    assert_eq!(following.ask(), (2, 0), "nothing is known, nothing is denied");

    let [east, west] = ["east", "west"].map(|name| ClusterName::new(name).unwrap());
    for name in ["east", "west"] {
        hub.put(CLUSTERS, json!({"metadata": {"name": name}}));
    }
    hub.put(SERVICES, service());
    hub.put(SLICES, slice("east", &["10.1.0.1", "10.1.0.2"]));
    hub.put(SLICES, marker(&east));
    following.until(0, 2).await;
    // What is there of a cluster counts when all of it is there.
    hub.say(SLICES, "ADDED", &slice("west", &["10.2.0.1"])).await;
    hub.say(SLICES, "ADDED", &marker(&west)).await;
    following.until(0, 3).await;
    hub.say(SLICES, "MODIFIED", &slice("east", &["10.1.0.2"])).await;
    following.until(0, 2).await;
    // West is lost: first its marker, then its slices. Its endpoints stay.
    hub.say(SLICES, "DELETED", &marker(&west)).await;
    hub.say(SLICES, "DELETED", &slice("west", &[])).await;
    hub.say(SLICES, "MODIFIED", &slice("east", &["10.1.0.2", "10.1.0.3"])).await;
    following.until(0, 3).await;
    following.stop().await;

    let silent = FakeHub::default();
    let following = Following::start(&silent, path.clone());
    following.until(0, 3).await;
    following.stop().await;

    // The hub is back, and west was removed meanwhile.
    hub.items.lock().unwrap().insert(CLUSTERS, vec![json!({"metadata": {"name": "east"}})]);
    let following = Following::start(&hub, path);
    following.until(0, 2).await;
    hub.say(SERVICES, "DELETED", &service()).await;
    following.until(3, 0).await;
    following.stop().await;
}
