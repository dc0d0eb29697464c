//! A server in this process and a caller who may do everything.

use std::time::Duration;

use auth::UserInfo;
use bytes::{Bytes, BytesMut};
use federation_api::{Api, Body, InProcess, StoreConfig};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use member_cluster::AddressPolicy;
use serde_json::{Value, json};
use tower::Service;

/// No test waits longer for anything.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A server with a `default` namespace.
pub struct Hub {
    pub api: Api,
    admin: InProcess,
}

/// A complete answer.
#[derive(Debug)]
pub struct Reply {
    pub code: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// An open watch.
pub struct Watch {
    body: Body,
    buffer: BytesMut,
}

impl Hub {
    pub async fn start() -> Self {
        Self::with(
            Api::builder()
                .endpoints(AddressPolicy::AllowLoopback)
                .open(StoreConfig::Memory)
                .await
                .expect("a store in memory"),
        )
        .await
    }

    pub async fn with(api: Api) -> Self {
        let hub = Self::again(api);
        hub.namespace("default").await;
        hub
    }

    /// A server over a store that has its namespaces already.
    pub fn again(api: Api) -> Self {
        let admin = api.in_process(UserInfo::new("admin", ["system:masters"]));
        Self { api, admin }
    }

    pub async fn namespace(&self, name: &str) {
        let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        self.post("/api/v1/namespaces", &body).await.expect(201);
    }

    pub async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Reply {
        self.send_as(&self.admin, method, path, (headers, body.into())).await
    }

    pub async fn send_as(
        &self,
        caller: &InProcess,
        method: Method,
        path: &str,
        (headers, body): (&[(&str, &str)], Bytes),
    ) -> Reply {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body)).expect("a request");
        let response = tokio::time::timeout(PATIENCE, caller.clone().call(request)).await.expect("an answer in time");
        let (parts, body) = response.expect("infallible").into_parts();
        let body = tokio::time::timeout(PATIENCE, body.collect()).await.expect("a body in time");
        Reply { code: parts.status, headers: parts.headers, body: body.expect("infallible").to_bytes() }
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, &[], "").await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Reply {
        self.send(Method::POST, path, &[("content-type", "application/json")], body.to_string()).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Reply {
        self.send(Method::PUT, path, &[("content-type", "application/json")], body.to_string()).await
    }

    pub async fn patch(&self, path: &str, kind: &str, body: &Value) -> Reply {
        let kind = format!("application/{kind}");
        self.send(Method::PATCH, path, &[("content-type", &kind)], body.to_string()).await
    }

    pub async fn delete(&self, path: &str) -> Reply {
        self.send(Method::DELETE, path, &[], "").await
    }

    /// Creates a ConfigMap in `default` and returns it.
    pub async fn config_map(&self, name: &str) -> Value {
        self.post(CONFIG_MAPS, &config_map(name)).await.expect(201)
    }

    pub async fn watch(&self, path: &str) -> Watch {
        self.watch_as(path, "application/json").await
    }

    pub async fn watch_as(&self, path: &str, accept: &str) -> Watch {
        let request = Request::builder().uri(path).header("accept", accept);
        let request = request.body(Full::<Bytes>::default()).expect("a request");
        let response = self.admin.clone().call(request).await.expect("infallible");
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        Watch { body: response.into_body(), buffer: BytesMut::new() }
    }
}

pub const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";

pub fn config_map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"key": "value"}})
}

impl Reply {
    /// The body as JSON, after checking the code.
    #[track_caller]
    pub fn expect(self, code: u16) -> Value {
        let body = String::from_utf8_lossy(&self.body);
        assert_eq!(self.code.as_u16(), code, "{body}");
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("no JSON ({error}): {body}"))
    }

    /// The message and reason of a refusal, after checking the code.
    #[track_caller]
    pub fn refused(self, code: u16) -> (String, String) {
        let status = self.expect(code);
        assert_eq!(status["kind"], "Status", "{status}");
        assert_eq!(status["status"], "Failure", "{status}");
        let text = |key: &str| status[key].as_str().unwrap_or("").to_owned();
        (text("reason"), text("message"))
    }

    pub fn warnings(&self) -> Vec<String> {
        self.headers.get_all("warning").iter().map(|w| w.to_str().expect("text").to_owned()).collect()
    }
}

impl Watch {
    /// The next event.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.buffer.iter().position(|b| *b == b'\n') {
                let line = self.buffer.split_to(end + 1);
                return Some(serde_json::from_slice(&line).expect("an event is JSON"));
            }
            let frame = tokio::time::timeout(PATIENCE, self.body.frame()).await.expect("an event in time")?;
            let frame = frame.expect("infallible");
            self.buffer.extend_from_slice(&frame.into_data().expect("data"));
        }
    }

    /// The next `count` events as `TYPE name`.
    pub async fn told(&mut self, count: usize) -> Vec<String> {
        let mut told = Vec::new();
        for _ in 0..count {
            let event = self.next().await.expect("another event");
            let name = event["object"]["metadata"]["name"].as_str().unwrap_or("");
            told.push(format!("{} {name}", event["type"].as_str().unwrap_or("")));
        }
        told
    }
}

/// The resourceVersion of an object or list.
pub fn rev(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"].as_str().expect("a revision").parse().expect("a number")
}

/// The names of a list's items.
pub fn names(list: &Value) -> Vec<String> {
    let items = list["items"].as_array().expect("items");
    items.iter().map(|item| item["metadata"]["name"].as_str().expect("a name").to_owned()).collect()
}
