//! One object on both servers: sends each request to both and compares what they say.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use crate::normal::{self, Epochs};

/// What requests may say instead of the object's own name, revision and uid.
pub const NAME: &str = "@NAME@";
const REVISION: &str = "@RV@";
const UID: &str = "@UID@";

/// One request; bodies may hold the words above.
#[derive(Debug, Clone, PartialEq)]
pub struct Op {
    pub method: &'static str,
    /// Below the object or, for a POST, the collection: `/status`, `/scale` or nothing.
    pub below: &'static str,
    /// Without the question mark.
    pub query: String,
    pub content_type: &'static str,
    pub body: String,
}

/// Where two servers parted.
#[derive(Debug, Clone)]
pub struct Difference {
    pub op: usize,
    pub text: String,
}

/// A server and how to talk to it.
#[derive(Clone)]
pub struct Side(pub kube::Client);

struct Reply {
    code: u16,
    body: Value,
    /// The owned fields as they stand in the answer, byte for byte.
    fields: Vec<String>,
    warnings: Vec<String>,
}

/// Both servers.
#[derive(Clone)]
pub struct Pair {
    pub ours: Side,
    pub peer: Side,
}

/// What one side last said of the object.
#[derive(Default, Clone)]
struct Known {
    object: Value,
}

/// One object's life.
pub struct Session {
    pair: Pair,
    /// `/apis/apps/v1/namespaces/default/deployments`
    collection: String,
    name: String,
    ours: Known,
    peer: Known,
    epochs: Epochs,
    sent: usize,
    /// Whether the real server has filled in what ours leaves alone: nothing after it can be compared.
    pub defaulted: bool,
}

impl Side {
    async fn send(&self, method: &str, path: &str, op: Option<(&str, String)>) -> Result<Reply> {
        let (content_type, body) = op.unwrap_or(("", String::new()));
        let mut request = http::Request::builder().method(method).uri(path).header("user-agent", "replay/1.0 (linux)");
        if !content_type.is_empty() {
            request = request.header("content-type", content_type);
        }
        let request = request.body(kube::client::Body::from(body.into_bytes())).context("a request")?;
        let response = self.0.send(request).await.with_context(|| format!("{method} {path}"))?;
        let code = response.status().as_u16();
        let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let warnings = response.headers().get_all("warning").iter().map(text).collect();
        let bytes = response.into_body().collect().await.context("the answer's body")?.to_bytes();
        let body = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
        let fields = normal::fields(&bytes);
        Ok(Reply { code, body, fields, warnings })
    }

    /// Sends and returns code and body, for those who prepare.
    ///
    /// # Errors
    /// No answer.
    pub async fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<(u16, Value)> {
        let op = body.map(|body| ("application/json", body.to_string()));
        let reply = self.send(method, path, op).await?;
        Ok((reply.code, reply.body))
    }
}

impl Known {
    fn meta(&self, field: &str) -> &str {
        self.object.pointer(&format!("/metadata/{field}")).and_then(Value::as_str).unwrap_or("")
    }
}

impl Session {
    pub fn new(pair: Pair, collection: &str, name: String) -> Session {
        Session {
            pair,
            collection: collection.to_owned(),
            name,
            ours: Known::default(),
            peer: Known::default(),
            epochs: Epochs::default(),
            sent: 0,
            defaulted: false,
        }
    }

    /// The object as the real server last showed it; null before it exists.
    pub fn live(&self) -> &Value {
        &self.peer.object
    }

    /// Lets the clock's second pass, so that later times differ from earlier ones.
    pub async fn tick(&mut self) {
        let second = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let begun = second();
        while second() == begun {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.epochs.begin(second());
    }

    fn path(&self, op: &Op) -> String {
        let mut path = match op.method {
            "POST" => self.collection.clone(),
            _ => format!("{}/{}{}", self.collection, self.name, op.below),
        };
        if !op.query.is_empty() {
            path = format!("{path}?{}", op.query);
        }
        path
    }

    fn body(&self, op: &Op, known: &Known) -> String {
        let uid = known.meta("uid");
        op.body.replace(NAME, &self.name).replace(REVISION, known.meta("resourceVersion")).replace(UID, uid)
    }

    /// Sends one request to both.
    ///
    /// # Errors
    /// A server does not answer.
    pub async fn step(&mut self, op: &Op) -> Result<Option<Difference>> {
        let path = self.path(op);
        let (a, b) = (self.body(op, &self.ours), self.body(op, &self.peer));
        let (ours, peer) = tokio::try_join!(
            self.pair.ours.send(op.method, &path, Some((op.content_type, a))),
            self.pair.peer.send(op.method, &path, Some((op.content_type, b))),
        )?;
        let at = self.sent;
        self.sent += 1;
        let different = |text: String| Ok(Some(Difference { op: at, text }));
        if ours.code != peer.code {
            let text = format!("code {} (real {}): {}\n  real: {}", ours.code, peer.code, brief(&ours), brief(&peer));
            return different(text);
        }
        let (a, b) = (normal::warnings(&ours.warnings), normal::warnings(&peer.warnings));
        if a != b {
            return different(format!("warnings {a:?}\n    real {b:?}"));
        }
        if peer.code >= 300 || peer.body.get("kind").is_some_and(|kind| kind == "Status") {
            let (a, b) = (self.refusal(&ours), self.refusal(&peer));
            return match a == b {
                true => Ok(None),
                false => different(normal::diff(&a, &b)),
            };
        }
        if op.query.contains("dryRun") || op.below == "/scale" {
            let pair = (ours.body, peer.body);
            if let Some(text) = self.compare(pair.0, pair.1).await? {
                return different(text);
            }
            if op.query.contains("dryRun") {
                return Ok(None);
            }
            let text = self.look().await?;
            return Ok(text.map(|text| Difference { op: at, text }));
        }
        let text = self.advance(ours, peer).await?;
        Ok(text.map(|text| Difference { op: at, text }))
    }

    /// Reads the object on both sides.
    async fn look(&mut self) -> Result<Option<String>> {
        let path = format!("{}/{}", self.collection, self.name);
        let (ours, peer) =
            tokio::try_join!(self.pair.ours.send("GET", &path, None), self.pair.peer.send("GET", &path, None))?;
        if ours.code != peer.code {
            return Ok(Some(format!("GET says {} (real {})", ours.code, peer.code)));
        }
        if peer.code != 200 {
            return Ok(None);
        }
        self.advance(ours, peer).await
    }

    async fn advance(&mut self, ours: Reply, peer: Reply) -> Result<Option<String>> {
        let text = self.compare(ours.body.clone(), peer.body.clone()).await?;
        let pruned = normal::object(ours.body.clone(), &self.epochs) != normal::object(peer.body.clone(), &self.epochs);
        if text.is_none() && !pruned && ours.fields != peer.fields {
            let parted = ours.fields.iter().zip(&peer.fields).find(|(a, b)| a != b);
            return Ok(Some(match parted {
                Some((a, b)) => format!("order of owned fields: {a}\n    real: {b}"),
                None => format!("{} texts of owned fields (real {})", ours.fields.len(), peer.fields.len()),
            }));
        }
        let (ours, peer) = (ours.body, peer.body);
        let (ours, peer) = (Known { object: ours }, Known { object: peer });
        let moved = |old: &Known, new: &Known| old.meta("resourceVersion") != new.meta("resourceVersion");
        let (a, b) = (moved(&self.ours, &ours), moved(&self.peer, &peer));
        (self.ours, self.peer) = (ours, peer);
        if text.is_none() && a != b {
            let said = |moved: bool| if moved { "moved" } else { "stayed" };
            return Ok(Some(format!("the revision {} (real {})", said(a), said(b))));
        }
        Ok(text)
    }

    /// What differs between two objects, but for what the real server has defaulted.
    async fn compare(&mut self, ours: Value, peer: Value) -> Result<Option<String>> {
        let (a, b) = (normal::object(ours.clone(), &self.epochs), normal::object(peer, &self.epochs));
        if a == b {
            return Ok(None);
        }
        if let Some(full) = self.completed(ours).await? {
            let pruned = normal::without_defaults(b.clone(), &a, &full);
            if pruned == a {
                // A status is never anybody's default: nothing written later depends on it.
                self.defaulted |= normal::without_status(&b) != normal::without_status(&pruned);
                if self.defaulted && std::env::var_os("REPLAY_DEFAULTS").is_some() {
                    println!("DEFAULTED {}\n{}", self.name, normal::diff(&a, &b));
                }
                return Ok(None);
            }
            return Ok(Some(normal::diff(&a, &pruned)));
        }
        Ok(Some(normal::diff(&a, &b)))
    }

    /// Our object as the real server would complete it.
    async fn completed(&self, mut object: Value) -> Result<Option<Value>> {
        let Some(meta) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return Ok(None) };
        meta.retain(|field, _| matches!(field.as_str(), "labels" | "annotations" | "namespace"));
        meta.insert("name".to_owned(), json!(format!("{}-full", self.name)));
        let path = format!("{}?dryRun=All", self.collection);
        let (code, full) = self.pair.peer.ask("POST", &path, Some(&object)).await?;
        Ok((code == 201).then_some(full))
    }

    fn refusal(&self, reply: &Reply) -> Value {
        let mut body = reply.body.clone();
        normal::refusal(&mut body, &[(self.ours.meta("uid"), UID), (self.peer.meta("uid"), UID)]);
        body
    }
}

fn brief(reply: &Reply) -> String {
    let message = reply.body.get("message").and_then(Value::as_str);
    let mut text = message.map_or_else(|| reply.body.to_string(), str::to_owned);
    if text.len() > 400 {
        let end = (0..=400).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
    }
    text
}
