//! The compiled objects: schemas in the order in which they are tried, levels with their limits.
//!
//! A level keeps its seats and queues from plan to plan. Source: k8s.io/apiserver `pkg/util/flowcontrol/apf_controller.go`.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};
use std::sync::{Arc, OnceLock};

use auth::UserInfo;
use federation_schema::flowcontrol;
use http::HeaderValue;
use serde::Deserialize;

use super::SEATS;
use super::level::{Level, Limits, Queuing};
use super::metrics::Stats;
use super::rule::Rule;
use crate::cache::{Scope, Snapshot};
use crate::request::RequestInfo;

/// Everything that classification needs.
pub(super) struct Plan {
    pub(super) revs: (u64, u64),
    pub(super) schemas: Vec<Arc<Schema>>,
    pub(super) levels: Vec<Arc<Level>>,
}

/// A FlowSchema whose level exists.
pub(crate) struct Schema {
    pub(super) name: Box<str>,
    pub(super) uid: HeaderValue,
    precedence: i32,
    distinguisher: Option<Distinguisher>,
    rules: Vec<Rule>,
    pub(super) level: Arc<Level>,
    pub(super) stats: Arc<Stats>,
}

/// What tells the flows of one schema apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
enum Distinguisher {
    ByUser,
    ByNamespace,
}

/// Where a request belongs.
pub(crate) struct Matched {
    pub(super) schema: Arc<Schema>,
    /// A hash of schema and distinguisher.
    pub(super) flow: u64,
}

#[derive(Deserialize)]
struct Object<S> {
    metadata: Meta,
    spec: S,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Meta {
    name: String,
    uid: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SchemaSpec {
    priority_level_configuration: Reference,
    #[serde(default = "default_precedence")]
    matching_precedence: i32,
    #[serde(default)]
    distinguisher_method: Option<Method>,
    #[serde(default)]
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
struct Reference {
    name: String,
}

#[derive(Deserialize)]
struct Method {
    r#type: Distinguisher,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct LevelSpec {
    exempt: Option<Shares>,
    limited: Option<Limited>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Shares {
    nominal_concurrency_shares: Option<u32>,
    lendable_percent: Option<u32>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Limited {
    nominal_concurrency_shares: Option<u32>,
    lendable_percent: Option<u32>,
    borrowing_limit_percent: Option<u32>,
    limit_response: Response,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Response {
    queuing: Option<Queuing>,
}

fn default_precedence() -> i32 {
    1000
}

impl Plan {
    /// Compiles the objects; what of `before` goes on keeps its seats, queues and counters.
    pub(super) fn compile(schemas: &Snapshot, levels: &Snapshot, before: Option<&Self>) -> Self {
        let revs = (schemas.rev(), levels.rev());
        let mut configs: Vec<Object<LevelSpec>> = parse(levels);
        let mut flows: Vec<Object<SchemaSpec>> = parse(schemas);
        // The mandatory ones are in force even where somebody has just deleted them.
        for object in flowcontrol::mandatory() {
            let name = object["metadata"]["name"].as_str().unwrap_or("");
            match object["kind"].as_str() {
                Some("FlowSchema") if flows.iter().all(|flow| flow.metadata.name != name) => {
                    flows.extend(serde_json::from_value(object));
                }
                Some("PriorityLevelConfiguration") if configs.iter().all(|level| level.metadata.name != name) => {
                    configs.extend(serde_json::from_value(object));
                }
                _ => {}
            }
        }
        let levels = compile_levels(configs, before);
        let by_name: HashMap<&str, &Arc<Level>> = levels.iter().map(|level| (&*level.name, level)).collect();
        let mut compiled: Vec<Arc<Schema>> = flows
            .into_iter()
            .filter_map(|flow| {
                let level = by_name.get(flow.spec.priority_level_configuration.name.as_str())?;
                Some(Arc::new(Schema::new(flow, Arc::clone(level), before)))
            })
            .collect();
        compiled.sort_by(|a, b| (a.precedence, &a.name).cmp(&(b.precedence, &b.name)));
        Self { revs, schemas: compiled, levels }
    }

    /// The first schema that matches; the last one, catch-all, matches everybody who is somebody.
    pub(super) fn classify(&self, user: &UserInfo, info: &RequestInfo) -> Matched {
        let found = self.schemas.iter().find(|schema| schema.rules.iter().any(|rule| rule.matches(user, info)));
        let schema = found.or(self.schemas.last()).expect("the mandatory schemas are always there");
        Matched { flow: schema.flow(user, info), schema: Arc::clone(schema) }
    }
}

impl Schema {
    fn new(flow: Object<SchemaSpec>, level: Arc<Level>, before: Option<&Plan>) -> Self {
        let Object { metadata, spec } = flow;
        let old = before.into_iter().flat_map(|plan| &plan.schemas);
        let old = old.filter(|old| *old.name == *metadata.name && old.level.name == level.name);
        let stats = old.map(|old| Arc::clone(&old.stats)).next().unwrap_or_default();
        Self {
            uid: header(&metadata.uid),
            name: metadata.name.into(),
            precedence: spec.matching_precedence,
            distinguisher: spec.distinguisher_method.map(|method| method.r#type),
            rules: spec.rules,
            level,
            stats,
        }
    }

    fn flow(&self, user: &UserInfo, info: &RequestInfo) -> u64 {
        static SEED: OnceLock<std::hash::RandomState> = OnceLock::new();
        let mut hasher = SEED.get_or_init(std::hash::RandomState::new).build_hasher();
        hasher.write(self.name.as_bytes());
        hasher.write_u8(0xff);
        match self.distinguisher {
            Some(Distinguisher::ByUser) => hasher.write(user.name.as_bytes()),
            Some(Distinguisher::ByNamespace) => hasher.write(info.namespace.as_bytes()),
            None => {}
        }
        hasher.finish()
    }
}

/// Levels with their part of all seats, by name.
///
/// Source: k8s.io/apiserver `pkg/util/flowcontrol/apf_controller.go` (finishQueueSetReconfigsLocked).
fn compile_levels(configs: Vec<Object<LevelSpec>>, before: Option<&Plan>) -> Vec<Arc<Level>> {
    let shares = |spec: &LevelSpec| match (&spec.limited, &spec.exempt) {
        (Some(limited), _) => limited.nominal_concurrency_shares.unwrap_or(30),
        (None, exempt) => exempt.as_ref().and_then(|e| e.nominal_concurrency_shares).unwrap_or(0),
    };
    let all: u64 = configs.iter().map(|level| u64::from(shares(&level.spec))).sum();
    let part = |percent: u32, of: u32| u32::try_from((u64::from(of) * u64::from(percent) + 50) / 100).unwrap_or(of);
    let pool = before.map_or_else(Arc::default, |plan| plan.levels.first().map(|l| l.pool()).unwrap_or_default());
    let levels = configs.into_iter().map(|config| {
        let Object { metadata, spec } = config;
        let nominal = match all {
            0 => 0,
            all => (u64::from(SEATS) * u64::from(shares(&spec))).div_ceil(all),
        };
        let nominal = u32::try_from(nominal).unwrap_or(SEATS);
        let lendable = match (&spec.limited, &spec.exempt) {
            (Some(limited), _) => limited.lendable_percent,
            (None, exempt) => exempt.as_ref().and_then(|exempt| exempt.lendable_percent),
        };
        let lendable = part(lendable.unwrap_or(0).min(100), nominal);
        let limits = spec.limited.map(|limited| Limits {
            nominal,
            min: nominal - lendable,
            max: limited
                .borrowing_limit_percent
                .map_or(SEATS.max(nominal), |p| nominal.saturating_add(part(p, nominal))),
            queuing: limited.limit_response.queuing,
        });
        let old = before.into_iter().flat_map(|plan| &plan.levels).find(|level| *level.name == *metadata.name);
        Arc::new(Level::new(metadata.name, header(&metadata.uid), limits, (old.map(|l| &**l), &pool)))
    });
    let mut levels: Vec<Arc<Level>> = levels.collect();
    levels.sort_by(|a, b| a.name.cmp(&b.name));
    pool.settle(levels.iter().map(|level| &**level));
    levels
}

fn header(uid: &str) -> HeaderValue {
    HeaderValue::from_str(uid).unwrap_or(HeaderValue::from_static(""))
}

/// Objects that do not read take no part; validation does not let them in.
fn parse<S: for<'de> Deserialize<'de>>(snapshot: &Snapshot) -> Vec<Object<S>> {
    let entries = snapshot.range(&Scope::All, "");
    let read = entries.filter_map(|entry| match serde_json::from_slice(entry.bytes()) {
        Ok(object) => Some(object),
        Err(error) => {
            tracing::warn!(%error, name = entry.key(), "a flow control object takes no part");
            None
        }
    });
    read.collect()
}
