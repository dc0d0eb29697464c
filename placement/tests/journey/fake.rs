//! A small Kubernetes-like API in memory: the verbs that placement uses, faults, and a count of writes.
//!
//! Server-side apply is a model of it: leaves are owned by managers, and a leaf that changes hands changes the entry.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use federation_types::text;
use http::{Method, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, StreamBody};
use hub_client::Caller;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::Notify;

/// One API server.
#[derive(Clone)]
pub struct Fake(Arc<Inner>);

struct Inner {
    name: String,
    state: Mutex<State>,
    changed: Notify,
    down: AtomicBool,
    writes: AtomicUsize,
}

#[derive(Default)]
struct State {
    revision: u64,
    /// Collection path without namespace, namespace, name.
    objects: BTreeMap<(String, String, String), Value>,
    log: Vec<Event>,
    actors: BTreeSet<String>,
}

#[derive(Clone)]
struct Event {
    revision: u64,
    collection: String,
    old: Option<Value>,
    new: Option<Value>,
}

type Reply = UnsyncBoxBody<Bytes, Infallible>;
type Answer = Result<Value, (u16, Value)>;

fn refuse(code: u16, reason: &str, message: &str) -> (u16, Value) {
    (code, json!({"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message}))
}

/// The kinds that every fake serves: path, plural, kind, namespaced.
const KINDS: &[(&str, &str, &str, bool)] = &[
    ("/api/v1", "configmaps", "ConfigMap", true),
    ("/api/v1", "secrets", "Secret", true),
    ("/api/v1", "services", "Service", true),
    ("/api/v1", "pods", "Pod", true),
    ("/api/v1", "namespaces", "Namespace", false),
    ("/apis/apps/v1", "deployments", "Deployment", true),
    ("/apis/apps/v1", "replicasets", "ReplicaSet", true),
    ("/apis/apps/v1", "statefulsets", "StatefulSet", true),
    ("/apis/apps/v1", "daemonsets", "DaemonSet", true),
    ("/apis/apps/v1", "controllerrevisions", "ControllerRevision", true),
    ("/apis/batch/v1", "jobs", "Job", true),
    ("/apis/fedgate.dev/v1alpha1", "clusters", "Cluster", false),
    ("/apis/fedgate.dev/v1alpha1", "placements", "Placement", true),
    ("/apis/fedgate.dev/v1alpha1", "clusterplacements", "ClusterPlacement", false),
    ("/apis/fedgate.dev/v1alpha1", "overrides", "Override", true),
    ("/apis/fedgate.dev/v1alpha1", "clusteroverrides", "ClusterOverride", false),
    ("/apis/fedgate.dev/v1alpha1", "placementbindings", "PlacementBinding", true),
];

impl Fake {
    pub fn new(name: &str) -> Self {
        let fake = Self(Arc::new(Inner {
            name: name.to_owned(),
            state: Mutex::default(),
            changed: Notify::new(),
            down: AtomicBool::new(false),
            writes: AtomicUsize::new(0),
        }));
        fake.put(
            "/api/v1",
            "namespaces",
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-system"}}),
        );
        fake
    }

    pub fn caller(&self) -> Caller {
        let fake = self.clone();
        let service = tower::service_fn(move |request| {
            let fake = fake.clone();
            async move { fake.serve(request).await }
        });
        Caller::new(kube::Client::new(service, "default"))
    }

    /// Refuses connections, or answers again.
    pub fn set_down(&self, down: bool) {
        self.0.down.store(down, Ordering::SeqCst);
        self.0.changed.notify_waiters();
    }

    /// Writes that clients made so far.
    pub fn writes(&self) -> usize {
        self.0.writes.load(Ordering::SeqCst)
    }

    /// Who wrote, by impersonation.
    pub fn actors(&self) -> Vec<String> {
        self.0.state.lock().actors.iter().cloned().collect()
    }

    /// Creates or replaces an object as a user of this API would.
    pub fn put(&self, base: &str, plural: &str, object: Value) -> Value {
        let collection = format!("{base}/{plural}");
        let key = (collection, text::namespace(&object).to_owned(), text::name(&object).to_owned());
        let old = self.0.state.lock().objects.get(&key).cloned();
        let mut object = object;
        if let Some(old) = &old {
            for field in ["uid", "managedFields", "creationTimestamp"] {
                if let Some(value) = old["metadata"].get(field) {
                    object["metadata"][field] = value.clone();
                }
            }
            if let (None, Some(status)) = (object.get("status"), old.get("status")) {
                object["status"] = status.clone();
            }
            disown(&mut object, old);
        }
        self.store(key, Some(object)).unwrap_or_default()
    }

    pub fn get(&self, base: &str, plural: &str, namespace: &str, name: &str) -> Option<Value> {
        self.0.state.lock().objects.get(&(format!("{base}/{plural}"), namespace.to_owned(), name.to_owned())).cloned()
    }

    pub fn all(&self, base: &str, plural: &str) -> Vec<Value> {
        let collection = format!("{base}/{plural}");
        self.0.state.lock().objects.iter().filter(|((c, ..), _)| *c == collection).map(|(_, o)| o.clone()).collect()
    }

    /// Removes an object as a user of this API would.
    pub fn remove(&self, base: &str, plural: &str, namespace: &str, name: &str) {
        self.store((format!("{base}/{plural}"), namespace.to_owned(), name.to_owned()), None);
    }

    fn store(&self, key: (String, String, String), new: Option<Value>) -> Option<Value> {
        let mut state = self.0.state.lock();
        let old = state.objects.get(&key).cloned();
        if old.is_none() && new.is_none() {
            return None;
        }
        state.revision += 1;
        let revision = state.revision;
        let new = new.map(|mut object| {
            if object["metadata"].get("uid").is_none() {
                object["metadata"]["uid"] = format!("{}-{revision}", self.0.name).into();
            }
            let spec_changed = old.as_ref().is_none_or(|o| o.get("spec") != object.get("spec"));
            if object.get("spec").is_some() {
                let before = old.as_ref().and_then(|o| text::int_at(o, &["metadata", "generation"])).unwrap_or(0);
                object["metadata"]["generation"] = (before + i64::from(spec_changed)).into();
            }
            object["metadata"]["resourceVersion"] = revision.to_string().into();
            object
        });
        match &new {
            Some(object) => state.objects.insert(key.clone(), object.clone()),
            None => state.objects.remove(&key),
        };
        state.log.push(Event { revision, collection: key.0, old, new: new.clone() });
        drop(state);
        self.0.changed.notify_waiters();
        new
    }

    async fn serve(&self, request: Request<Body>) -> Result<Response<Reply>, std::io::Error> {
        if self.0.down.load(Ordering::SeqCst) {
            return Err(std::io::Error::new(std::io::ErrorKind::ConnectionRefused, "connection refused"));
        }
        let (parts, body) = request.into_parts();
        let bytes = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
        let sent: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        let query = query(parts.uri.query().unwrap_or(""));
        let content = parts.headers.get("content-type").and_then(|c| c.to_str().ok()).unwrap_or("").to_owned();
        if parts.method != Method::GET {
            self.0.writes.fetch_add(1, Ordering::SeqCst);
            if let Some(actor) = parts.headers.get("impersonate-user").and_then(|a| a.to_str().ok()) {
                self.0.state.lock().actors.insert(actor.to_owned());
            }
        }
        if let Some(found) = discovery(parts.uri.path()) {
            return Ok(answer(Ok(found)));
        }
        let Some(target) = target(parts.uri.path()) else {
            return Ok(answer(Err(refuse(404, "NotFound", "the server could not find the requested resource"))));
        };
        if query.get("watch").is_some_and(|w| w == "true") {
            return Ok(self.watch(&target, &query));
        }
        Ok(answer(match (parts.method.as_str(), target.name.is_empty()) {
            ("GET", true) => Ok(self.list(&target, &query)),
            ("GET", false) => self.find(&target),
            ("POST", _) => self.create(&target, sent),
            ("PUT", _) => self.replace(&target, sent),
            ("PATCH", _) if content.contains("apply") => self.apply(&target, sent, &query),
            ("PATCH", _) => self.merge(&target, &sent),
            ("DELETE", _) => self.delete(&target, &sent),
            _ => Err(refuse(405, "MethodNotAllowed", "no")),
        }))
    }

    fn find(&self, target: &Target) -> Answer {
        let found = self.0.state.lock().objects.get(&target.key()).cloned();
        found.ok_or_else(|| refuse(404, "NotFound", &format!("{} {:?} not found", target.plural, target.name)))
    }

    fn list(&self, target: &Target, query: &BTreeMap<String, String>) -> Value {
        let state = self.0.state.lock();
        let items: Vec<Value> = state
            .objects
            .iter()
            .filter(|((c, ns, _), o)| *c == target.collection && target.within(ns) && selected(o, query))
            .map(|(_, o)| o.clone())
            .collect();
        json!({"kind": "List", "metadata": {"resourceVersion": state.revision.to_string()}, "items": items})
    }

    fn create(&self, target: &Target, object: Value) -> Answer {
        let target = Target { name: text::name(&object).to_owned(), ..target.clone() };
        if self.find(&target).is_ok() {
            return Err(refuse(409, "AlreadyExists", "already exists"));
        }
        self.needs_namespace(&target)?;
        Ok(self.store(target.key(), Some(object)).expect("stored"))
    }

    fn replace(&self, target: &Target, object: Value) -> Answer {
        let old = self.find(target)?;
        let sent = text::str_at(&object, &["metadata", "resourceVersion"]);
        if !sent.is_empty() && sent != text::str_at(&old, &["metadata", "resourceVersion"]) {
            return Err(refuse(409, "Conflict", "the object has been modified"));
        }
        let mut next = if target.subresource == "status" { old.clone() } else { object.clone() };
        let kept = if target.subresource == "status" { &object } else { &old };
        match kept.get("status") {
            Some(status) => next["status"] = status.clone(),
            None => {
                next.as_object_mut().expect("an object").remove("status");
            }
        }
        Ok(self.store(target.key(), Some(next)).expect("stored"))
    }

    fn merge(&self, target: &Target, patch: &Value) -> Answer {
        let old = self.find(target)?;
        let uid = text::uid(patch);
        if !uid.is_empty() && uid != text::uid(&old) {
            return Err(refuse(409, "Conflict", "uid differs"));
        }
        let mut next = old.clone();
        merge(&mut next, patch);
        if target.subresource == "status" {
            let (status, annotations) = (next["status"].take(), next["metadata"]["annotations"].take());
            next = old.clone();
            if !status.is_null() {
                next["status"] = status;
            }
            if !annotations.is_null() {
                next["metadata"]["annotations"] = annotations;
            }
        }
        disown(&mut next, &old);
        Ok(self.store(target.key(), Some(next)).expect("stored"))
    }

    fn apply(&self, target: &Target, mut sent: Value, query: &BTreeMap<String, String>) -> Answer {
        let manager = query.get("fieldManager").cloned().unwrap_or_default();
        let uid = text::uid(&sent).to_owned();
        let version = text::str_at(&sent, &["metadata", "resourceVersion"]).to_owned();
        for field in ["uid", "resourceVersion"] {
            sent["metadata"].as_object_mut().expect("metadata").remove(field);
        }
        let wanted = leaves(&sent);
        let old = self.find(target).ok();
        if old.is_none() && !uid.is_empty() {
            return Err(refuse(409, "Conflict", "uid precondition: no such object"));
        }
        self.needs_namespace(target)?;
        let mut next = old.clone().unwrap_or_else(|| json!({"metadata": {}}));
        if let Some(old) = &old {
            let other_uid = !uid.is_empty() && uid != text::uid(old);
            let other_version = !version.is_empty() && version != text::str_at(old, &["metadata", "resourceVersion"]);
            if other_uid || other_version {
                return Err(refuse(409, "Conflict", "precondition failed"));
            }
            conflicts(old, &wanted, (&manager, query.get("force").is_some()))?;
            for (path, _) in owned(old, &manager) {
                if !wanted.contains_key(&path) {
                    unset(&mut next, &path);
                }
            }
        }
        merge(&mut next, &sent);
        let mut entries: Vec<Value> = managed(&next).into_iter().filter(|e| e["manager"] != manager.as_str()).collect();
        for entry in &mut entries {
            let fields = entry["fieldsV1"].as_object_mut().expect("fields");
            fields
                .retain(|path, _| wanted.get(path).is_none_or(|v| old.as_ref().and_then(|o| leaf(o, path)) == Some(v)));
        }
        let fields: serde_json::Map<String, Value> = wanted.keys().map(|p| (p.clone(), json!({}))).collect();
        entries.push(json!({"manager": manager, "operation": "Apply", "fieldsV1": fields}));
        next["metadata"]["managedFields"] = entries.into();
        if old.as_ref() == Some(&next) {
            return Ok(next);
        }
        Ok(self.store(target.key(), Some(next)).expect("stored"))
    }

    fn delete(&self, target: &Target, options: &Value) -> Answer {
        let old = self.find(target)?;
        let uid = text::str_at(options, &["preconditions", "uid"]);
        if !uid.is_empty() && uid != text::uid(&old) {
            return Err(refuse(409, "Conflict", "uid precondition"));
        }
        self.store(target.key(), None);
        Ok(old)
    }

    fn needs_namespace(&self, target: &Target) -> Result<(), (u16, Value)> {
        let key = ("/api/v1/namespaces".to_owned(), String::new(), target.namespace.clone());
        if target.namespace.is_empty() || self.0.state.lock().objects.contains_key(&key) {
            return Ok(());
        }
        Err(refuse(404, "NotFound", &format!("namespaces {:?} not found", target.namespace)))
    }

    fn watch(&self, target: &Target, query: &BTreeMap<String, String>) -> Response<Reply> {
        let from: u64 = query.get("resourceVersion").and_then(|v| v.parse().ok()).unwrap_or(0);
        let (fake, target, query) = (self.clone(), target.clone(), query.clone());
        let stream = futures_util::stream::unfold(from, move |seen| {
            let (fake, target, query) = (fake.clone(), target.clone(), query.clone());
            async move {
                loop {
                    let notified = fake.0.changed.notified();
                    let mut notified = std::pin::pin!(notified);
                    notified.as_mut().enable();
                    if fake.0.down.load(Ordering::SeqCst) {
                        return None;
                    }
                    let (frames, last) = fake.frames(seen, &target, &query);
                    if !frames.is_empty() {
                        let frame = http_body::Frame::data(Bytes::from(frames));
                        return Some((Ok::<_, Infallible>(frame), last));
                    }
                    notified.await;
                }
            }
        });
        Response::new(Reply::new(StreamBody::new(stream)))
    }

    fn frames(&self, seen: u64, target: &Target, query: &BTreeMap<String, String>) -> (Vec<u8>, u64) {
        let state = self.0.state.lock();
        let mut bytes = Vec::new();
        let mut last = seen;
        for event in state.log.iter().filter(|e| e.revision > seen && e.collection == target.collection) {
            last = event.revision;
            let fits =
                |o: &Option<Value>| o.clone().filter(|o| target.within(text::namespace(o)) && selected(o, query));
            let frame = match (fits(&event.old), fits(&event.new)) {
                (_, Some(new)) => json!({"type": "MODIFIED", "object": new}),
                (Some(mut old), None) => {
                    old["metadata"]["resourceVersion"] = event.revision.to_string().into();
                    json!({"type": "DELETED", "object": old})
                }
                (None, None) => continue,
            };
            bytes.extend(frame.to_string().into_bytes());
            bytes.push(b'\n');
        }
        (bytes, last)
    }
}

#[derive(Clone)]
struct Target {
    collection: String,
    plural: String,
    namespace: String,
    name: String,
    subresource: String,
}

impl Target {
    fn key(&self) -> (String, String, String) {
        (self.collection.clone(), self.namespace.clone(), self.name.clone())
    }

    fn within(&self, namespace: &str) -> bool {
        self.namespace.is_empty() || self.namespace == namespace
    }
}

fn target(path: &str) -> Option<Target> {
    let (base, rest) = KINDS.iter().find_map(|(base, ..)| Some((*base, path.strip_prefix(&format!("{base}/"))?)))?;
    let mut parts: Vec<&str> = rest.split('/').collect();
    let mut namespace = String::new();
    if parts.len() > 2 && parts[0] == "namespaces" && parts[2] != "status" {
        parts[1].clone_into(&mut namespace);
        parts.drain(..2);
    }
    let plural = parts[0].to_owned();
    KINDS.iter().find(|(b, p, ..)| *b == base && *p == plural)?;
    let part = |i: usize| parts.get(i).map(|p| (*p).to_owned()).unwrap_or_default();
    Some(Target { collection: format!("{base}/{plural}"), plural, namespace, name: part(1), subresource: part(2) })
}

fn discovery(path: &str) -> Option<Value> {
    let of = |base: &str| {
        let resources: Vec<Value> = KINDS
            .iter()
            .filter(|(b, ..)| *b == base)
            .map(|(_, plural, kind, namespaced)| {
                json!({"name": plural, "kind": kind, "namespaced": namespaced, "verbs": ["get", "list", "watch", "create"]})
            })
            .collect();
        json!({"resources": resources})
    };
    match path {
        "/apis" => {
            let group =
                |name: &str, version: &str| json!({"name": name, "preferredVersion": {"groupVersion": version}});
            Some(
                json!({"groups": [group("apps", "apps/v1"), group("batch", "batch/v1"), group("fedgate.dev", "fedgate.dev/v1alpha1")]}),
            )
        }
        "/apis/apiregistration.k8s.io/v1/apiservices" => Some(json!({"items": []})),
        "/api/v1" | "/apis/apps/v1" | "/apis/batch/v1" => Some(of(path)),
        _ => None,
    }
}

fn answer(answer: Answer) -> Response<Reply> {
    let (code, value) = answer.map_or_else(|(code, status)| (code, status), |value| (200, value));
    let mut response = Response::new(Reply::new(http_body_util::Full::new(Bytes::from(value.to_string()))));
    *response.status_mut() = http::StatusCode::from_u16(code).expect("a code");
    response
}

fn query(text: &str) -> BTreeMap<String, String> {
    let decode = |s: &str| s.replace("%2F", "/").replace("%3D", "=").replace("%21", "!").replace("%2C", ",");
    text.split('&').filter_map(|p| p.split_once('=')).map(|(k, v)| (k.to_owned(), decode(v))).collect()
}

fn selected(object: &Value, query: &BTreeMap<String, String>) -> bool {
    let labels = query.get("labelSelector").map_or("", String::as_str);
    let fields = query.get("fieldSelector").map_or("", String::as_str);
    let by_label =
        labels.split(',').filter(|t| !t.is_empty()).all(|term| match (term.strip_prefix('!'), term.split_once('=')) {
            (Some(absent), _) => text::label(object, absent).is_none(),
            (None, Some((key, value))) => text::label(object, key) == Some(value),
            (None, None) => text::label(object, term).is_some(),
        });
    let by_field = fields.split(',').filter(|t| !t.is_empty()).all(|term| match term.split_once('=') {
        Some(("metadata.name", name)) => text::name(object) == name,
        Some((path, value)) => text::str_at(object, &path.split('.').collect::<Vec<_>>()) == value,
        None => false,
    });
    by_label && by_field
}

fn merge(into: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *into = patch.clone();
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    let fields = into.as_object_mut().expect("an object");
    for (key, value) in patch {
        if value.is_null() {
            fields.remove(key);
        } else {
            merge(fields.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

/// Leaves of an object but for its identity: path by `\u{1}` → value.
fn leaves(object: &Value) -> BTreeMap<String, Value> {
    fn walk(value: &Value, path: &str, out: &mut BTreeMap<String, Value>) {
        match value {
            Value::Object(fields) if !fields.is_empty() => {
                for (key, value) in fields {
                    walk(value, &format!("{path}\u{1}{key}"), out);
                }
            }
            other => {
                out.insert(path.to_owned(), other.clone());
            }
        }
    }
    let mut out = BTreeMap::new();
    walk(object, "", &mut out);
    out
}

fn leaf<'v>(object: &'v Value, path: &str) -> Option<&'v Value> {
    path.split('\u{1}').skip(1).try_fold(object, |at, key| at.get(key))
}

fn unset(object: &mut Value, path: &str) {
    let mut keys: Vec<&str> = path.split('\u{1}').skip(1).collect();
    let last = keys.pop().expect("a key");
    if let Some(parent) = keys.iter().try_fold(object, |at, key| at.get_mut(*key)) {
        parent.as_object_mut().map(|fields| fields.remove(last));
    }
}

fn managed(object: &Value) -> Vec<Value> {
    text::list_at(object, &["metadata", "managedFields"]).cloned().collect()
}

fn owned(object: &Value, manager: &str) -> Vec<(String, Value)> {
    let entry = managed(object).into_iter().find(|e| e["manager"] == manager);
    entry.and_then(|e| e["fieldsV1"].as_object().cloned()).into_iter().flatten().collect()
}

/// Takes leaves that changed away from whoever applied them.
fn disown(next: &mut Value, old: &Value) {
    let mut entries = managed(old);
    for entry in &mut entries {
        if let Some(fields) = entry["fieldsV1"].as_object_mut() {
            fields.retain(|path, _| leaf(next, path) == leaf(old, path));
        }
    }
    if !entries.is_empty() {
        next["metadata"]["managedFields"] = entries.into();
    }
}

fn conflicts(
    old: &Value,
    wanted: &BTreeMap<String, Value>,
    (manager, force): (&str, bool),
) -> Result<(), (u16, Value)> {
    let identity = ["\u{1}apiVersion", "\u{1}kind", "\u{1}metadata\u{1}name", "\u{1}metadata\u{1}namespace"];
    let mine: BTreeSet<String> = owned(old, manager).into_iter().map(|(p, _)| p).collect();
    let clash = wanted.iter().find(|(path, value)| {
        !identity.contains(&path.as_str()) && !mine.contains(*path) && leaf(old, path).is_some_and(|v| v != *value)
    });
    match clash {
        Some((path, _)) if !force => {
            let (_, mut status) = refuse(409, "Conflict", "Apply failed with 1 conflict");
            status["details"] =
                json!({"causes": [{"reason": "FieldManagerConflict", "field": path.replace('\u{1}', ".")}]});
            Err((409, status))
        }
        _ => Ok(()),
    }
}
