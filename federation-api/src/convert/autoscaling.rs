//! HorizontalPodAutoscalers of `autoscaling/v1`, whose stored form is `autoscaling/v2`; pure.
//!
//! What v1 has no field for travels in annotations, so that a client of v1 loses nothing.
//! Source: k8s.io/kubernetes `pkg/apis/autoscaling/v1/conversion.go`.

use serde_json::{Map, Value, json};

use crate::object;

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const CURRENT: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
/// The load that v1 aims at where it says nothing.
const DEFAULT_UTILIZATION: i64 = 80;

/// (source in a metric, [(v1's path, v2's path)]) of what is wanted and of what is.
type Fields = &'static [(&'static str, &'static [(&'static str, &'static str)])];

const WANTED: Fields = &[
    ("resource", RESOURCE_WANTED),
    ("containerResource", RESOURCE_WANTED),
    (
        "pods",
        &[
            ("metricName", "/metric/name"),
            ("selector", "/metric/selector"),
            ("targetAverageValue", "/target/averageValue"),
        ],
    ),
    (
        "object",
        &[
            ("target", "/describedObject"),
            ("metricName", "/metric/name"),
            ("selector", "/metric/selector"),
            ("targetValue", "/target/value"),
            ("averageValue", "/target/averageValue"),
        ],
    ),
    (
        "external",
        &[
            ("metricName", "/metric/name"),
            ("metricSelector", "/metric/selector"),
            ("targetValue", "/target/value"),
            ("targetAverageValue", "/target/averageValue"),
        ],
    ),
];
const RESOURCE_WANTED: &[(&str, &str)] = &[
    ("name", "/name"),
    ("container", "/container"),
    ("targetAverageUtilization", "/target/averageUtilization"),
    ("targetAverageValue", "/target/averageValue"),
];
const FOUND: Fields = &[
    ("resource", RESOURCE_FOUND),
    ("containerResource", RESOURCE_FOUND),
    (
        "pods",
        &[
            ("metricName", "/metric/name"),
            ("selector", "/metric/selector"),
            ("currentAverageValue", "/current/averageValue"),
        ],
    ),
    (
        "object",
        &[
            ("target", "/describedObject"),
            ("metricName", "/metric/name"),
            ("selector", "/metric/selector"),
            ("currentValue", "/current/value"),
            ("averageValue", "/current/averageValue"),
        ],
    ),
    (
        "external",
        &[
            ("metricName", "/metric/name"),
            ("metricSelector", "/metric/selector"),
            ("currentValue", "/current/value"),
            ("currentAverageValue", "/current/averageValue"),
        ],
    ),
];
const RESOURCE_FOUND: &[(&str, &str)] = &[
    ("name", "/name"),
    ("container", "/container"),
    ("currentAverageUtilization", "/current/averageUtilization"),
    ("currentAverageValue", "/current/averageValue"),
];

/// From v1 to v2.
pub(super) fn from_v1(object: &mut Value) {
    let noted = |key: &str| object::annotation(object, key).and_then(|text| serde_json::from_str::<Value>(text).ok());
    let list = |key: &str| noted(key).and_then(|value| value.as_array().cloned());
    let (others, current, conditions) = (list(METRICS), list(CURRENT), list(CONDITIONS));
    let behavior = noted(BEHAVIOR).map(|value| recased(value, char::to_ascii_lowercase));
    if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) {
        let target = spec.remove("targetCPUUtilizationPercentage").and_then(|target| target.as_i64());
        let mut metrics: Vec<Value> = others.iter().flatten().map(|metric| wanted(widened(metric, WANTED))).collect();
        match target {
            Some(target) => metrics.push(cpu_wanted(target)),
            None if metrics.is_empty() => metrics.push(cpu_wanted(DEFAULT_UTILIZATION)),
            None => {}
        }
        spec.insert("metrics".to_owned(), metrics.into());
        if let Some(behavior) = behavior.filter(|value| value.as_object().is_some_and(|map| !map.is_empty())) {
            spec.insert("behavior".to_owned(), behavior);
        }
    }
    if let Some(status) = object.get_mut("status").and_then(Value::as_object_mut) {
        let found = status.remove("currentCPUUtilizationPercentage").and_then(|found| found.as_i64());
        let from_field = found.map(|found| vec![cpu_found(found)]);
        let noted = current.map(|list| list.iter().map(|metric| widened(metric, FOUND)).collect());
        if let Some(metrics) = noted.or(from_field) {
            status.insert("currentMetrics".to_owned(), metrics.into());
        }
        if let Some(conditions) = conditions {
            status.insert("conditions".to_owned(), conditions.into());
        }
    }
    forget_notes(object);
}

/// From v2 to v1.
pub(super) fn to_v1(object: &mut Value) {
    forget_notes(object);
    let mut notes: Vec<(&str, Value)> = Vec::new();
    if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) {
        let metrics = taken(spec, "metrics");
        if let Some(target) = metrics.iter().find_map(cpu_target) {
            spec.insert("targetCPUUtilizationPercentage".to_owned(), target);
        }
        let others: Vec<Value> = metrics
            .iter()
            .filter(|metric| cpu_target(metric).is_none())
            .map(|metric| narrowed(metric, WANTED))
            .collect();
        if !others.is_empty() {
            notes.push((METRICS, others.into()));
        }
        if let Some(behavior) = spec.remove("behavior").filter(Value::is_object) {
            notes.push((BEHAVIOR, recased(behavior, char::to_ascii_uppercase)));
        }
    }
    if let Some(status) = object.get_mut("status").and_then(Value::as_object_mut) {
        let found = taken(status, "currentMetrics");
        if let Some(utilization) = found.iter().rev().find_map(cpu_current) {
            status.insert("currentCPUUtilizationPercentage".to_owned(), utilization);
        }
        if !found.is_empty() {
            let metrics: Vec<Value> = found.iter().map(|metric| narrowed(metric, FOUND)).collect();
            notes.push((CURRENT, metrics.into()));
        }
        let conditions = taken(status, "conditions");
        if !conditions.is_empty() {
            notes.push((CONDITIONS, conditions.into()));
        }
        // What v2 leaves out where it is zero, v1 prints.
        status.entry("currentReplicas").or_insert_with(|| 0.into());
    }
    for (key, value) in notes {
        object::set_annotation(object, key, Some(&value.to_string()));
    }
}

fn forget_notes(object: &mut Value) {
    for key in [METRICS, CURRENT, BEHAVIOR, CONDITIONS] {
        if object::annotation(object, key).is_some() {
            object::set_annotation(object, key, None);
        }
    }
}

fn taken(map: &mut Map<String, Value>, field: &str) -> Vec<Value> {
    match map.remove(field) {
        Some(Value::Array(list)) => list,
        _ => Vec::new(),
    }
}

fn cpu_wanted(utilization: i64) -> Value {
    let target = json!({"type": "Utilization", "averageUtilization": utilization});
    json!({"type": "Resource", "resource": {"name": "cpu", "target": target}})
}

fn cpu_found(utilization: i64) -> Value {
    json!({"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": utilization}}})
}

fn cpu_target(metric: &Value) -> Option<Value> {
    cpu_at(metric, "/resource/target/averageUtilization")
}

fn cpu_current(metric: &Value) -> Option<Value> {
    cpu_at(metric, "/resource/current/averageUtilization")
}

fn cpu_at(metric: &Value, pointer: &str) -> Option<Value> {
    let is_cpu = metric.get("type").and_then(Value::as_str) == Some("Resource")
        && metric.pointer("/resource/name").and_then(Value::as_str) == Some("cpu");
    metric.pointer(pointer).filter(|value| is_cpu && value.is_number()).cloned()
}

/// A metric in v1's flat form.
fn narrowed(metric: &Value, fields: Fields) -> Value {
    rebuilt(metric, fields, |source, (flat, deep)| Some((format!("/{flat}"), source.pointer(deep)?.clone())))
}

/// A metric in v2's nested form.
fn widened(metric: &Value, fields: Fields) -> Value {
    rebuilt(metric, fields, |source, (flat, deep)| Some((deep.to_owned(), source.get(flat)?.clone())))
}

fn rebuilt(metric: &Value, fields: Fields, moved: impl Fn(&Value, (&str, &str)) -> Option<(String, Value)>) -> Value {
    let mut out = json!({"type": metric.get("type").cloned().unwrap_or(Value::Null)});
    for (source, paths) in fields {
        let Some(from) = metric.get(source).filter(|from| from.is_object()) else { continue };
        let mut to = json!({});
        for (pointer, value) in paths.iter().filter_map(|path| moved(from, *path)) {
            put(&mut to, &pointer, value);
        }
        out[*source] = to;
    }
    out
}

fn put(object: &mut Value, pointer: &str, value: Value) {
    let mut place = object;
    for key in pointer.trim_start_matches('/').split('/') {
        place = &mut place[key];
    }
    *place = value;
}

/// v2's target says of which type it is; v1's fields imply it.
fn wanted(mut metric: Value) -> Value {
    for (source, _) in WANTED {
        let Some(target) = metric.pointer_mut(&format!("/{source}/target")).and_then(Value::as_object_mut) else {
            continue;
        };
        let has = |field: &str| target.get(field).is_some_and(|value| !value.is_null());
        let of = match *source {
            "resource" | "containerResource" if has("averageUtilization") => "Utilization",
            "external" if has("value") => "Value",
            "object" if !has("averageValue") => "Value",
            _ => "AverageValue",
        };
        // v1 cannot leave the value out, and writes zero where there is an average.
        if *source == "object" && of == "AverageValue" && target.get("value") == Some(&json!("0")) {
            target.remove("value");
        }
        target.insert("type".to_owned(), of.into());
    }
    metric
}

/// The behaviour's annotation has Go's names: every key with a capital.
fn recased(value: Value, case: fn(&char) -> char) -> Value {
    match value {
        Value::Object(map) => {
            let renamed = map.into_iter().filter(|(_, value)| !value.is_null()).map(|(key, value)| {
                let mut letters = key.chars();
                let first = letters.next().map(|first| case(&first));
                (first.into_iter().chain(letters).collect(), recased(value, case))
            });
            Value::Object(renamed.collect())
        }
        Value::Array(list) => list.into_iter().map(|item| recased(item, case)).collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::{from_v1, to_v1};
    use serde_json::{Value, json};

    fn through_v1(stored: &Value) -> Value {
        let mut object = stored.clone();
        to_v1(&mut object);
        from_v1(&mut object);
        object
    }

    #[test]
    fn nothing_is_lost_through_the_old_version() {
        let metrics = json!([
            {"type": "Pods", "pods": {"metric": {"name": "rps", "selector": {"matchLabels": {"a": "b"}}},
                "target": {"type": "AverageValue", "averageValue": "1k"}}},
            {"type": "Object", "object": {"describedObject": {"kind": "Service", "name": "s", "apiVersion": "v1"},
                "metric": {"name": "rps"}, "target": {"type": "Value", "value": "10k"}}},
            {"type": "External", "external": {"metric": {"name": "queue"},
                "target": {"type": "AverageValue", "averageValue": "30"}}},
            {"type": "ContainerResource", "containerResource": {"name": "memory", "container": "app",
                "target": {"type": "Utilization", "averageUtilization": 60}}},
            {"type": "Resource", "resource": {"name": "cpu",
                "target": {"type": "Utilization", "averageUtilization": 70}}},
        ]);
        let stored = json!({
            "metadata": {"name": "h", "annotations": {"kept": "yes"}},
            "spec": {"maxReplicas": 3, "metrics": metrics, "behavior": {"scaleUp": {"selectPolicy": "Max",
                "policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}]}}},
            "status": {"currentReplicas": 1, "desiredReplicas": 2,
                "conditions": [{"type": "AbleToScale", "status": "True"}],
                "currentMetrics": [{"type": "Resource", "resource": {"name": "cpu",
                    "current": {"averageUtilization": 5, "averageValue": "50m"}}}]},
        });
        assert_eq!(through_v1(&stored), stored);
    }

    #[test]
    fn fields_of_the_old_version_are_the_load_of_the_processor() {
        let mut object = json!({
            "metadata": {"name": "h"},
            "spec": {"maxReplicas": 3, "targetCPUUtilizationPercentage": 42},
            "status": {"currentCPUUtilizationPercentage": 7},
        });
        from_v1(&mut object);
        assert_eq!(object["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"], 42);
        assert_eq!(object["status"]["currentMetrics"][0]["resource"]["current"]["averageUtilization"], 7);
        to_v1(&mut object);
        assert_eq!(object["spec"], json!({"maxReplicas": 3, "targetCPUUtilizationPercentage": 42}));
        assert_eq!(object["status"], json!({"currentReplicas": 0, "currentCPUUtilizationPercentage": 7}));
        let mut silent = json!({"metadata": {"name": "h"}, "spec": {"maxReplicas": 3}});
        from_v1(&mut silent);
        assert_eq!(silent["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"], 80);
    }

    #[test]
    fn odd_annotations_are_survived() {
        for text in ["", "{", "[]", "[1]", "[{\"pods\":1}]", "{\"ScaleUp\":null}", "null"] {
            let note = |key: &str| (key.to_owned(), text.into());
            let notes: serde_json::Map<String, Value> =
                [super::METRICS, super::CURRENT, super::BEHAVIOR, super::CONDITIONS].map(note).into_iter().collect();
            let mut object = json!({"metadata": {"name": "h", "annotations": notes}, "spec": {}, "status": {}});
            from_v1(&mut object);
            assert!(object["metadata"].get("annotations").is_none(), "{text}: {object}");
        }
    }
}
