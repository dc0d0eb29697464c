//! Leases over an API of one object with compare-and-swap, in paused time.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{Claim, DURATION, PAUSE, lead, lease};
use crate::caller::Caller;

/// One Lease, with its revision.
#[derive(Clone, Default)]
struct Api(Arc<(Mutex<Option<Value>>, AtomicBool)>);

impl Api {
    fn caller(&self) -> Caller {
        let api = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| api.clone().answer(request));
        Caller::new(kube::Client::new(service, "default"))
    }

    fn holder(&self) -> String {
        let held = self.0.0.lock();
        held.as_ref().and_then(|lease| lease["spec"]["holderIdentity"].as_str()).unwrap_or("").to_owned()
    }

    fn cut(&self, cut: bool) {
        self.0.1.store(cut, Ordering::SeqCst);
    }

    async fn answer(self, request: Request<Body>) -> Result<Response<Full<Bytes>>, Infallible> {
        let method = request.method().clone();
        let body = request.into_body().collect().await.expect("a body").to_bytes();
        let reply = |code: u16, body: Value| {
            let answer = Response::builder().status(code).header("content-type", "application/json");
            Ok(answer.body(Full::from(body.to_string())).expect("an answer"))
        };
        let failure = |code: u16, reason: &str| reply(code, json!({"kind": "Status", "code": code, "reason": reason}));
        if self.0.1.load(Ordering::SeqCst) {
            return failure(503, "ServiceUnavailable");
        }
        let mut held = self.0.0.lock();
        if method == Method::GET {
            return held.clone().map_or_else(|| failure(404, "NotFound"), |lease| reply(200, lease));
        }
        let mut written: Value = serde_json::from_slice(&body).expect("JSON");
        let revision = held.as_ref().map_or(Value::Null, |lease| lease["metadata"]["resourceVersion"].clone());
        if written["metadata"]["resourceVersion"] != revision {
            return failure(409, "Conflict");
        }
        let next = revision.as_str().and_then(|revision| revision.parse::<u32>().ok()).unwrap_or(0) + 1;
        written["metadata"]["resourceVersion"] = json!(next.to_string());
        *held = Some(written.clone());
        reply(200, written)
    }
}

fn claim(holder: &str) -> Claim {
    Claim { namespace: "fedgate-system".into(), name: "work".into(), holder: holder.into() }
}

/// How many of a name lead now.
struct Worker {
    leading: Arc<AtomicU32>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

fn start(api: &Api, holder: &str) -> Worker {
    let (leading, stop) = (Arc::new(AtomicU32::new(0)), CancellationToken::new());
    let count = leading.clone();
    let work = move |hold: CancellationToken| {
        let count = count.clone();
        async move {
            count.fetch_add(1, Ordering::SeqCst);
            hold.cancelled().await;
            count.fetch_sub(1, Ordering::SeqCst);
        }
    };
    let task = tokio::spawn(lead(api.caller(), claim(holder), stop.clone(), work));
    Worker { leading, stop, task }
}

impl Worker {
    fn leads(&self) -> bool {
        self.leading.load(Ordering::SeqCst) == 1
    }

    async fn until(&self, leads: bool) {
        while self.leads() != leads {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Ingress: 75
#[tokio::test(start_paused = true)]
async fn one_leads_and_the_next_follows_when_it_stops_or_falls_silent() {
    let api = Api::default();
    let one = start(&api, "one");
    one.until(true).await;
    let two = start(&api, "two");
    tokio::time::sleep(DURATION * 4).await;
    assert!(one.leads() && !two.leads(), "a lease that is renewed stays");
    one.stop.cancel();
    one.task.await.expect("no panic");
    let given = tokio::time::Instant::now();
    two.until(true).await;
    assert!(given.elapsed() <= PAUSE * 2, "it was given back");
    assert_eq!(api.holder(), "two");
    // The holder is gone without a word.
    two.task.abort();
    let three = start(&api, "three");
    let silent = tokio::time::Instant::now();
    three.until(true).await;
    assert!(silent.elapsed() >= DURATION, "not before the holder must be dead");
    let again = start(&api, "three");
    again.until(true).await;
    assert_eq!(api.holder(), "three", "who comes back under its name goes on at once");
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_cannot_renew_stops_before_another_may_start() {
    let api = Api::default();
    let one = start(&api, "one");
    one.until(true).await;
    api.cut(true);
    let lost = tokio::time::Instant::now();
    one.until(false).await;
    assert!(lost.elapsed() < DURATION);
    api.cut(false);
    one.until(true).await;
}

#[test]
fn a_lease_says_who_holds_it_and_how_often_it_moved() {
    let now: jiff::Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
    let first = lease(&claim("one"), None, &now);
    assert_eq!(
        first["spec"],
        json!({
            "holderIdentity": "one", "leaseDurationSeconds": 15, "leaseTransitions": 0,
            "acquireTime": "2026-01-01T00:00:00.000000Z", "renewTime": "2026-01-01T00:00:00.000000Z",
        })
    );
    let later: jiff::Timestamp = "2026-01-01T00:00:05Z".parse().expect("a time");
    let renewed = lease(&claim("one"), Some(&first), &later);
    assert_eq!(renewed["spec"]["acquireTime"], first["spec"]["acquireTime"]);
    assert_eq!(renewed["spec"]["renewTime"], "2026-01-01T00:00:05.000000Z");
    assert_eq!(lease(&claim("two"), Some(&renewed), &later)["spec"]["leaseTransitions"], 1);
}
