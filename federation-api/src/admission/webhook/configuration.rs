//! Webhook configurations, compiled: what each one wants to be asked about, and where it is.

use std::sync::Arc;
use std::time::Duration;

use federation_schema::validate::compile_condition;
use serde_json::Value;

use super::condition::Condition;
use crate::admission::matching::Match;
use crate::cache::Scope;
use crate::hook::Destination;
use crate::server::Server;

const STORAGES: [&str; 2] = [
    "admissionregistration.k8s.io/mutatingwebhookconfigurations",
    "admissionregistration.k8s.io/validatingwebhookconfigurations",
];

/// All webhooks of a server, in the order in which they are asked.
#[derive(Debug, Default)]
pub(super) struct Compiled {
    /// Revisions of the configurations; none before the first compilation.
    pub(super) revs: Option<[u64; 2]>,
    pub(super) mutating: Vec<Arc<Webhook>>,
    pub(super) validating: Vec<Arc<Webhook>>,
}

/// One webhook.
#[derive(Debug)]
pub(super) struct Webhook {
    /// Tells it from all others: configuration, position and name.
    pub(super) id: Arc<str>,
    pub(super) name: String,
    pub(super) mutates: bool,
    pub(super) matches: Match,
    pub(super) ignores_failure: bool,
    pub(super) has_side_effects: bool,
    pub(super) reinvokes: bool,
    pub(super) timeout: Duration,
    /// The version of AdmissionReview that it understands; empty for none of ours.
    pub(super) version: &'static str,
    pub(super) destination: Option<Destination>,
    pub(super) conditions: Vec<Condition>,
}

impl Compiled {
    pub(super) fn revisions(server: &Server) -> [u64; 2] {
        STORAGES.map(|storage| server.cache.resource(storage).snapshot().rev())
    }

    pub(super) fn build(server: &Server, revs: [u64; 2]) -> Self {
        let [mutating, validating] = STORAGES.map(|storage| {
            let mutates = storage == STORAGES[0];
            let snapshot = server.cache.resource(storage).snapshot();
            let configurations = snapshot.range(&Scope::All, "");
            let all = configurations.flat_map(|entry| {
                let object = entry.value();
                let webhooks = object.get("webhooks").and_then(Value::as_array).cloned().unwrap_or_else(Vec::new);
                let compile = |(at, webhook): (usize, &Value)| {
                    let place = format!("{}/{at}", entry.name());
                    Arc::new(Webhook::read(webhook, &place, mutates))
                };
                webhooks.iter().enumerate().map(compile).collect::<Vec<_>>()
            });
            all.collect::<Vec<_>>()
        });
        Self { revs: Some(revs), mutating, validating }
    }
}

impl Webhook {
    fn read(webhook: &Value, place: &str, mutates: bool) -> Self {
        let text = |key: &str| webhook.get(key).and_then(Value::as_str).unwrap_or("");
        let name = text("name").to_owned();
        let understood = texts(webhook, "admissionReviewVersions");
        let version = understood.iter().find_map(|version| match version.as_str() {
            "v1" => Some("v1"),
            "v1beta1" => Some("v1beta1"),
            _ => None,
        });
        let conditions = webhook.get("matchConditions").and_then(Value::as_array).into_iter().flatten();
        let expression =
            |condition: &Value| condition.get("expression").and_then(Value::as_str).unwrap_or("").to_owned();
        let compile = |condition| Condition { program: compile_condition(&expression(condition)).ok() };
        Self {
            conditions: conditions.map(compile).collect(),
            id: format!("{place}/{name}").into(),
            name,
            mutates,
            matches: Match::of_webhook(webhook),
            ignores_failure: text("failurePolicy") == "Ignore",
            has_side_effects: !matches!(text("sideEffects"), "None" | "NoneOnDryRun"),
            reinvokes: text("reinvocationPolicy") == "IfNeeded",
            timeout: super::timeout(webhook),
            version: version.unwrap_or(""),
            destination: Destination::read(webhook.get("clientConfig").unwrap_or(&Value::Null)),
        }
    }
}

fn texts(of: &Value, field: &str) -> Vec<String> {
    let list = of.get(field).and_then(Value::as_array).into_iter().flatten();
    list.filter_map(|text| text.as_str().map(str::to_owned)).collect()
}
