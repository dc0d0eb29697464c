//! The only code of placement that knows foreign kinds' fields: replicas, pod templates, health, status, dependencies.
//!
//! One table row a kind; a kind without a row is placed whole and is healthy once applied.

mod depend;
mod fold;
mod health;
mod scope;

use federation_types::Gvk;
use federation_types::text;
use serde_json::Value;

pub use depend::{Dependency, dependencies};
pub use fold::{Folded, HOLDS_BACK, MemberState, fold};
pub use health::{Health, has_finished, health, summary};
pub use scope::{Scope, scope};

pub use crate::schedule::Shape;

/// Where a kind keeps what placing needs.
struct Row {
    group: &'static str,
    kind: &'static str,
    /// Path of the replica count; empty where there is none.
    replicas: &'static [&'static str],
    /// Path of the pod spec; empty where there is none.
    pod_spec: &'static [&'static str],
    spread: Spread,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Spread {
    Whole,
    Divide,
    Once,
    Single,
}

const POD_TEMPLATE: &[&str] = &["spec", "template", "spec"];
const REPLICAS: &[&str] = &["spec", "replicas"];

const TABLE: &[Row] = &[
    Row { group: "apps", kind: "Deployment", replicas: REPLICAS, pod_spec: POD_TEMPLATE, spread: Spread::Divide },
    Row { group: "apps", kind: "StatefulSet", replicas: REPLICAS, pod_spec: POD_TEMPLATE, spread: Spread::Divide },
    Row { group: "apps", kind: "ReplicaSet", replicas: REPLICAS, pod_spec: POD_TEMPLATE, spread: Spread::Divide },
    Row {
        group: "",
        kind: "ReplicationController",
        replicas: REPLICAS,
        pod_spec: POD_TEMPLATE,
        spread: Spread::Divide,
    },
    Row { group: "apps", kind: "DaemonSet", replicas: &[], pod_spec: POD_TEMPLATE, spread: Spread::Whole },
    Row { group: "batch", kind: "Job", replicas: &[], pod_spec: POD_TEMPLATE, spread: Spread::Once },
    Row {
        group: "batch",
        kind: "CronJob",
        replicas: &[],
        pod_spec: &["spec", "jobTemplate", "spec", "template", "spec"],
        spread: Spread::Once,
    },
    Row { group: "", kind: "Pod", replicas: &[], pod_spec: &["spec"], spread: Spread::Single },
];

fn row(gvk: &Gvk) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.group == gvk.group && row.kind == gvk.kind)
}

/// Group, version and kind as the object says.
#[must_use]
pub fn gvk(object: &Value) -> Gvk {
    Gvk::new(text::str_at(object, &["apiVersion"]), text::str_at(object, &["kind"]))
}

/// How templates of this kind spread over clusters.
#[must_use]
pub fn shape(gvk: &Gvk, object: &Value) -> Shape {
    match row(gvk) {
        None => Shape::Whole,
        Some(row) => match row.spread {
            Spread::Whole => Shape::Whole,
            Spread::Once => Shape::Once,
            Spread::Single => Shape::Single,
            Spread::Divide => {
                // Absent means one, as upstream defaults it; a negative count is refused by the API.
                let count = text::int_at(object, row.replicas).unwrap_or(1);
                Shape::Replicas(u64::try_from(count).unwrap_or(0))
            }
        },
    }
}

/// The pod spec inside an object of this kind.
#[must_use]
pub fn pod_spec<'v>(gvk: &Gvk, object: &'v Value) -> Option<&'v Value> {
    text::at(object, pod_spec_path(gvk)?)
}

/// Where the pod spec of this kind is.
#[must_use]
pub fn pod_spec_path(gvk: &Gvk) -> Option<&'static [&'static str]> {
    row(gvk).map(|row| row.pod_spec)
}

/// Where the replica count of this kind is; `None` for kinds that are not divided.
#[must_use]
pub fn replicas_path(gvk: &Gvk) -> Option<&'static [&'static str]> {
    row(gvk).map(|row| row.replicas).filter(|path| !path.is_empty())
}

/// Whether the kind has a pod template, so that somebody who applies it expects pods.
#[must_use]
pub fn runs_pods(gvk: &Gvk) -> bool {
    row(gvk).is_some()
}

#[cfg(test)]
mod tests {
    use federation_types::Gvk;
    use serde_json::json;

    use super::{pod_spec, replicas_path, runs_pods, shape};
    pub use crate::schedule::Shape;

    #[test]
    fn shapes_by_kind() {
        for (api, kind, spec, want) in [
            ("apps/v1", "Deployment", json!({"replicas": 6}), Shape::Replicas(6)),
            ("apps/v1", "Deployment", json!({}), Shape::Replicas(1)),
            ("apps/v1", "Deployment", json!({"replicas": -3}), Shape::Replicas(0)),
            ("apps/v1", "StatefulSet", json!({"replicas": 2}), Shape::Replicas(2)),
            ("apps/v1", "DaemonSet", json!({}), Shape::Whole),
            ("batch/v1", "Job", json!({"parallelism": 4}), Shape::Once),
            ("batch/v1", "CronJob", json!({}), Shape::Once),
            ("v1", "Pod", json!({}), Shape::Single),
            ("v1", "ConfigMap", json!({}), Shape::Whole),
            ("example.com/v1", "Deployment", json!({"replicas": 6}), Shape::Whole),
        ] {
            assert_eq!(shape(&Gvk::new(api, kind), &json!({"spec": spec})), want, "{api} {kind}");
        }
    }

    #[test]
    fn pod_specs_are_found() {
        let cron = json!({"spec": {"jobTemplate": {"spec": {"template": {"spec": {"x": 1}}}}}});
        assert_eq!(pod_spec(&Gvk::new("batch/v1", "CronJob"), &cron), Some(&json!({"x": 1})));
        assert_eq!(pod_spec(&Gvk::new("v1", "ConfigMap"), &cron), None);
        assert!(replicas_path(&Gvk::new("batch/v1", "Job")).is_none());
        assert!(runs_pods(&Gvk::new("batch/v1", "Job")) && !runs_pods(&Gvk::new("v1", "Service")));
    }
}
