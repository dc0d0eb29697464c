//! What a kubelet does, as far as a playground needs it: pods get an address, listen on their ports and answer.
//!
//! An address is one of the machine's loopback network, so every pod has its own and no rights are needed.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use bytes::Bytes;
use federation_types::{Gvr, text};
use http::{Request, Response};
use http_body_util::Full;
use hub_client::{At, Caller, Collection, DeleteOptions, Queue, ReconcileError, Reflector, WriteOptions, drive};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::DuplexStream;
use tokio_util::sync::CancellationToken;

use crate::gate::Gate;

/// Pods started or stopped at once.
const WIDTH: usize = 8;

/// Where a pod listens that declares no port, as most images do; the first needs rights that not everybody has.
const UNDECLARED: [u16; 2] = [80, 8080];

/// Where a member's pods live.
#[derive(Clone)]
pub struct Machine {
    inner: Arc<Inner>,
}

struct Inner {
    api: Caller,
    gate: Gate,
    /// The member's name, for the pods' answers.
    cluster: String,
    node: String,
    /// Second octet of the pods' addresses: 127.N.0.0/16.
    network: u8,
    /// Guards the running pods by namespace, name and UID; never held across an await.
    running: Mutex<HashMap<String, Running>>,
    /// The last address given out: the next pod gets a later one, so that a listener that is still closing is not met.
    last: AtomicU16,
}

struct Running {
    address: Ipv4Addr,
    stop: CancellationToken,
}

/// What is particular to a member's machine.
pub struct MachineConfig {
    pub api: Caller,
    pub gate: Gate,
    pub cluster: String,
    pub node: String,
    pub network: u8,
}

impl Machine {
    /// A machine without pods.
    #[must_use]
    pub fn new(config: MachineConfig) -> Self {
        let MachineConfig { api, gate, cluster, node, network } = config;
        Self {
            inner: Arc::new(Inner {
                api,
                gate,
                cluster,
                node,
                network,
                running: Mutex::default(),
                last: AtomicU16::new(0),
            }),
        }
    }

    /// Runs the member's pods until `stop`.
    pub async fn run(&self, stop: CancellationToken) {
        let queue: Queue<(String, String)> = Queue::new();
        let keys = queue.clone();
        let pods = Reflector::new(self.inner.api.clone(), Collection::all(pods()), |_| Some(()))
            .on_change(move |change| keys.add(change.key.clone()));
        let machine = self.clone();
        let reconcile = move |key: (String, String)| {
            let machine = machine.clone();
            async move { machine.reconcile(&key.0, &key.1).await }
        };
        let hold = stop.clone();
        tokio::join!(pods.run(stop.clone()), drive("kubelet", queue, WIDTH, reconcile, hold));
        for (_, pod) in self.inner.running.lock().drain() {
            pod.stop.cancel();
        }
    }

    async fn reconcile(&self, namespace: &str, name: &str) -> Result<(), ReconcileError> {
        let at = pods();
        let found = self.inner.api.get(&at, namespace, name).await?;
        self.stop_strangers(namespace, name, found.as_ref());
        let Some(pod) = found else { return Ok(()) };
        let uid = text::uid(&pod);
        if !text::str_at(&pod, &["metadata", "deletionTimestamp"]).is_empty() {
            self.stop_pod(uid);
            let how = DeleteOptions { uid, grace: Some(0), ..DeleteOptions::default() };
            return match self.inner.api.delete(At::new(&at, namespace, name), &how).await {
                Err(e) if !e.is_conflict() => Err(e.into()),
                _ => Ok(()),
            };
        }
        if matches!(text::str_at(&pod, &["status", "phase"]), "Succeeded" | "Failed") {
            self.stop_pod(uid);
            return Ok(());
        }
        self.start(&pod).await
    }

    /// Ends pods of this name that are not the one the API knows (deleted and made anew under the same name).
    fn stop_strangers(&self, namespace: &str, name: &str, found: Option<&Value>) {
        let uid = found.map(text::uid).unwrap_or_default();
        let tag = format!("{namespace}/{name}/");
        self.inner.running.lock().retain(|key, pod| {
            let stays = !key.starts_with(&tag) || key.ends_with(uid) && !uid.is_empty();
            if !stays {
                pod.stop.cancel();
            }
            stays
        });
    }

    fn stop_pod(&self, uid: &str) {
        self.inner.running.lock().retain(|key, pod| {
            let ends = key.ends_with(uid);
            if ends {
                pod.stop.cancel();
            }
            !ends
        });
    }

    async fn start(&self, pod: &Value) -> Result<(), ReconcileError> {
        let (namespace, name) = (text::namespace(pod), text::name(pod));
        let key = format!("{namespace}/{name}/{}", text::uid(pod));
        if self.inner.running.lock().contains_key(&key) {
            return Ok(());
        }
        let address = self
            .address_for(pod)
            .ok_or_else(|| ReconcileError::Reject(format!("no address left in 127.{}.0.0/16", self.inner.network)))?;
        let stop = CancellationToken::new();
        let problem = self.listen(pod, address, &stop).await;
        self.inner.running.lock().insert(key, Running { address, stop });
        let api = &self.inner.api;
        let gvr = pods();
        let at = At::new(&gvr, namespace, name);
        if text::str_at(pod, &["spec", "nodeName"]).is_empty() {
            let bound = json!({"spec": {"nodeName": self.inner.node}});
            api.merge_patch(at, &bound, &WriteOptions::default()).await?;
        }
        let how = WriteOptions { subresource: "status", ..WriteOptions::default() };
        let status = json!({"status": status(pod, address, problem.as_deref())});
        api.merge_patch(at, &status, &how).await?;
        Ok(())
    }

    /// The address the pod had before a restart, or the next free one.
    fn address_for(&self, pod: &Value) -> Option<Ipv4Addr> {
        let running = self.inner.running.lock();
        let used: HashSet<Ipv4Addr> = running.values().map(|pod| pod.address).collect();
        let had = text::str_at(pod, &["status", "podIP"]).parse::<Ipv4Addr>().ok();
        let ports = ports_of(pod);
        let free = |ip: &Ipv4Addr| !used.contains(ip) && ports.iter().all(|port| !is_taken(*ip, *port));
        had.filter(free).or_else(|| {
            (0..u16::MAX)
                .map(|_| self.inner.last.fetch_add(1, Ordering::Relaxed).wrapping_add(1).to_be_bytes())
                .filter(|n| !matches!(n, [0, 0] | [255, 255]))
                .map(|n| Ipv4Addr::new(127, self.inner.network, n[0], n[1]))
                .find(free)
        })
    }

    /// Opens all container ports; what could not be opened is said.
    async fn listen(&self, pod: &Value, address: Ipv4Addr, stop: &CancellationToken) -> Option<String> {
        let answer: Arc<str> = format!("{} in {}\n", text::name(pod), self.inner.cluster).into();
        let (pod_name, cluster): (Arc<str>, Arc<str>) = (text::name(pod).into(), self.inner.cluster.as_str().into());
        let guessed = container_ports(pod).is_empty();
        for port in ports_of(pod) {
            let (answer, pod_name, cluster) = (answer.clone(), pod_name.clone(), cluster.clone());
            let serve = move |pipe: DuplexStream| serve(pipe, answer.clone(), pod_name.clone(), cluster.clone());
            let at = SocketAddr::new(IpAddr::V4(address), port);
            if let Err(e) = self.inner.gate.listen(at, serve, stop.clone()).await {
                if guessed {
                    tracing::debug!(address = %at, error = %e, "a port that the pod did not ask for");
                    continue;
                }
                return Some(format!("cannot listen on {at}: {e}"));
            }
        }
        None
    }
}

fn pods() -> Gvr {
    Gvr::new("v1", "pods")
}

/// Whether another process has it: a second playground on this machine, say.
fn is_taken(address: Ipv4Addr, port: u16) -> bool {
    TcpListener::bind((address, port)).is_err_and(|error| error.kind() == ErrorKind::AddrInUse)
}

/// The ports that a pod listens on: those that it declares, or what it may mean.
fn ports_of(pod: &Value) -> Vec<u16> {
    let declared = container_ports(pod);
    if declared.is_empty() { UNDECLARED.to_vec() } else { declared }
}

fn container_ports(pod: &Value) -> Vec<u16> {
    let mut ports: Vec<u16> = text::list_at(pod, &["spec", "containers"])
        .flat_map(|c| text::list_at(c, &["ports"]))
        .filter(|p| matches!(text::str_at(p, &["protocol"]), "" | "TCP"))
        .filter_map(|p| u16::try_from(text::int_at(p, &["containerPort"])?).ok())
        .collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

async fn serve(pipe: DuplexStream, answer: Arc<str>, pod: Arc<str>, cluster: Arc<str>) {
    let respond = hyper::service::service_fn(move |_request: Request<Incoming>| {
        let response = Response::builder()
            .header("content-type", "text/plain")
            .header("x-pod", &*pod)
            .header("x-cluster", &*cluster)
            .body(Full::new(Bytes::copy_from_slice(answer.as_bytes())));
        async move { Ok::<_, Infallible>(response.expect("names of pods and clusters are header values")) }
    });
    if let Err(e) = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(pipe), respond).await {
        tracing::trace!(error = %e, "a pod's connection ended");
    }
}

fn status(pod: &Value, address: Ipv4Addr, problem: Option<&str>) -> Value {
    let now = text::str_at(pod, &["metadata", "creationTimestamp"]);
    let ends = matches!(text::str_at(pod, &["spec", "restartPolicy"]), "Never" | "OnFailure");
    let ready = problem.is_none() && !ends;
    let condition = |kind: &str, holds: bool| {
        let mut condition = json!({"type": kind, "status": if holds { "True" } else { "False" },
            "lastTransitionTime": now});
        if let (Some(problem), false) = (problem, holds) {
            condition["reason"] = "PortUnavailable".into();
            condition["message"] = problem.into();
        }
        condition
    };
    let containers: Vec<Value> = text::list_at(pod, &["spec", "containers"])
        .map(|c| {
            let state = if ends {
                json!({"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": now, "finishedAt": now}})
            } else {
                json!({"running": {"startedAt": now}})
            };
            json!({"name": c["name"], "image": c["image"], "imageID": "", "ready": ready, "started": !ends,
                "restartCount": 0, "state": state})
        })
        .collect();
    json!({
        "phase": if ends { "Succeeded" } else { "Running" },
        "podIP": address.to_string(), "podIPs": [{"ip": address.to_string()}], "hostIP": "127.0.0.1",
        "hostIPs": [{"ip": "127.0.0.1"}], "startTime": now, "qosClass": "BestEffort",
        "conditions": [condition("PodScheduled", true), condition("Initialized", true),
            condition("ContainersReady", ready), condition("Ready", ready)],
        "containerStatuses": containers,
    })
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::is_taken;

    #[test]
    fn an_address_of_another_playground_is_passed_over() {
        let other = TcpListener::bind((Ipv4Addr::new(127, 99, 7, 1), 0)).expect("a free port");
        let port = other.local_addr().expect("bound").port();
        assert!(is_taken(Ipv4Addr::new(127, 99, 7, 1), port));
        assert!(!is_taken(Ipv4Addr::new(127, 99, 7, 2), port));
    }
}
