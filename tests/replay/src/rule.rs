//! The named rules of patching, each as scripts of its own: what random requests meet too seldom.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::session::{Difference, NAME, Op, Pair, Session};

/// Files of scripts; read when the program runs, so that a change of them compiles nothing.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/rules");
const SCRIPTS: &[&str] = &["patch", "strategic", "apply", "owners"];

/// One script.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// `S7`
    pub rule: String,
    pub what: String,
    /// `apps/v1 Deployment`
    kind: String,
    steps: Vec<Line>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    /// `tick`, or how the request is made.
    #[serde(rename = "do")]
    verb: String,
    /// `fieldManager` of the request.
    #[serde(default)]
    by: Option<String>,
    #[serde(default)]
    force: bool,
    #[serde(default)]
    query: String,
    #[serde(default)]
    below: String,
    #[serde(default)]
    body: Value,
    /// Instead of `body`: the very bytes.
    #[serde(default)]
    raw: Option<String>,
}

/// Collections of the kinds that scripts name.
const COLLECTIONS: &[(&str, &str)] = &[
    ("apps/v1 Deployment", "/apis/apps/v1/namespaces/default/deployments"),
    ("apps/v1 StatefulSet", "/apis/apps/v1/namespaces/default/statefulsets"),
    ("apps/v1 DaemonSet", "/apis/apps/v1/namespaces/default/daemonsets"),
    ("apps/v1 ReplicaSet", "/apis/apps/v1/namespaces/default/replicasets"),
    ("batch/v1 Job", "/apis/batch/v1/namespaces/default/jobs"),
    ("batch/v1 CronJob", "/apis/batch/v1/namespaces/default/cronjobs"),
    ("v1 ConfigMap", "/api/v1/namespaces/default/configmaps"),
    ("v1 Secret", "/api/v1/namespaces/default/secrets"),
    ("v1 Service", "/api/v1/namespaces/default/services"),
    ("v1 Pod", "/api/v1/namespaces/default/pods"),
    ("v1 Node", "/api/v1/nodes"),
    ("v1 Namespace", "/api/v1/namespaces"),
    ("v1 ReplicationController", "/api/v1/namespaces/default/replicationcontrollers"),
    ("networking.k8s.io/v1 Ingress", "/apis/networking.k8s.io/v1/namespaces/default/ingresses"),
    ("rbac.authorization.k8s.io/v1 Role", "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles"),
    ("coordination.k8s.io/v1 Lease", "/apis/coordination.k8s.io/v1/namespaces/default/leases"),
    ("autoscaling/v2 HorizontalPodAutoscaler", "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers"),
    ("policy/v1 PodDisruptionBudget", "/apis/policy/v1/namespaces/default/poddisruptionbudgets"),
];

/// Every script.
///
/// # Errors
/// A file that is none.
pub fn load() -> Result<Vec<Script>> {
    let mut all = Vec::new();
    for name in SCRIPTS {
        let file = format!("{FOLDER}/{name}.yaml");
        let text = std::fs::read_to_string(&file).with_context(|| file.clone())?;
        let scripts: Vec<Script> = serde_saphyr::from_str(&text).with_context(|| file.clone())?;
        all.extend(scripts);
    }
    Ok(all)
}

impl Script {
    /// Runs the script on an object of that name.
    ///
    /// # Errors
    /// A server does not answer, or the script is wrong.
    pub async fn run(&self, pair: &Pair, name: &str) -> Result<Option<(Difference, String)>> {
        let (_, collection) =
            COLLECTIONS.iter().find(|(kind, _)| *kind == self.kind).with_context(|| format!("{}: kind", self.what))?;
        let mut session = Session::new(pair.clone(), collection, name.to_owned());
        for (at, line) in self.steps.iter().enumerate() {
            if line.verb == "tick" {
                session.tick().await;
                continue;
            }
            let op = self.op(line)?;
            if let Some(found) = session.step(&op).await? {
                return Ok(Some((found, format!("step {}: {} {}", at + 1, line.verb, op.body))));
            }
        }
        Ok(None)
    }

    fn op(&self, line: &Line) -> Result<Op> {
        let (method, content_type) = match line.verb.as_str() {
            "post" => ("POST", "application/json"),
            "put" => ("PUT", "application/json"),
            "delete" => ("DELETE", ""),
            "json" => ("PATCH", "application/json-patch+json"),
            "merge" => ("PATCH", "application/merge-patch+json"),
            "strategic" => ("PATCH", "application/strategic-merge-patch+json"),
            "apply" => ("PATCH", "application/apply-patch+yaml"),
            "cbor" => ("PATCH", "application/apply-patch+cbor"),
            "text" => ("PATCH", "text/plain"),
            other => bail!("{}: {other}?", self.what),
        };
        let below = match line.below.as_str() {
            "" => "",
            "/status" => "/status",
            "/scale" => "/scale",
            other => bail!("{}: {other}?", self.what),
        };
        let mut query = line.query.clone();
        let mut add = |text: String| {
            let and = if query.is_empty() { "" } else { "&" };
            query = format!("{query}{and}{text}");
        };
        if let Some(by) = &line.by {
            add(format!("fieldManager={by}"));
        }
        if line.force {
            add("force=true".to_owned());
        }
        let mut body = line.body.clone();
        if matches!(line.verb.as_str(), "post" | "put" | "apply") && body.is_object() {
            self.fill(&mut body, below);
        }
        let body = line.raw.clone().unwrap_or_else(|| if body.is_null() { String::new() } else { body.to_string() });
        Ok(Op { method, below, query, content_type, body })
    }

    /// Kind and name, where the script leaves them out.
    fn fill(&self, body: &mut Value, below: &str) {
        let (mut version, mut kind) = self.kind.split_once(' ').unwrap_or(("", ""));
        if below == "/scale" {
            (version, kind) = ("autoscaling/v1", "Scale");
        }
        for (field, value) in [("apiVersion", version), ("kind", kind)] {
            if body.get(field).is_none() {
                body[field] = json!(value);
            }
        }
        if body.get("metadata").is_none() {
            body["metadata"] = json!({});
        }
        if body["metadata"].is_object() && body["metadata"].get("name").is_none() {
            body["metadata"]["name"] = json!(NAME);
        }
    }
}

/// Cases and differences of each rule.
#[derive(Debug, Default)]
pub struct Tally(BTreeMap<String, (usize, usize)>);

impl Tally {
    pub fn count(&mut self, rule: &str, failed: bool) {
        let entry = self.0.entry(rule.to_owned()).or_default();
        entry.0 += 1;
        entry.1 += usize::from(failed);
    }

    pub fn differences(&self) -> usize {
        self.0.values().map(|(_, failed)| failed).sum()
    }

    pub fn print(&self) {
        println!("{:<12} {:>7} {:>12}", "rule", "cases", "differences");
        for (rule, (cases, failed)) in &self.0 {
            println!("{rule:<12} {cases:>7} {failed:>12}");
        }
    }
}
