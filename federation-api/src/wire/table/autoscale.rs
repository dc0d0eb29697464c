//! Cells of autoscalers and scales.

use serde_json::Value;

use super::row::{NONE, Row, UNKNOWN, UNSET, at, scalar, text};

pub(super) fn scale(row: &Row<'_>) -> Vec<Value> {
    vec![row.name(), row.int("spec.replicas").into(), row.int("status.replicas").into(), row.age()]
}

pub(super) fn autoscaler(row: &Row<'_>) -> Vec<Value> {
    let reference = format!("{}/{}", row.text("spec.scaleTargetRef.kind"), row.text("spec.scaleTargetRef.name"));
    let minimum = row.at("spec.minReplicas").as_i64().map_or_else(|| UNSET.to_owned(), |least| least.to_string());
    vec![
        row.name(),
        reference.into(),
        targets(row).into(),
        minimum.into(),
        row.int("spec.maxReplicas").into(),
        row.int("status.currentReplicas").into(),
        row.age(),
    ]
}

fn targets(row: &Row<'_>) -> String {
    const SHOWN: usize = 2;
    // The old version knows one metric only, as fields of its own.
    if let Some(target) = row.at("spec.targetCPUUtilizationPercentage").as_i64() {
        let current = row.at("status.currentCPUUtilizationPercentage").as_i64();
        return format!("cpu: {}/{target}%", current.map_or_else(|| UNKNOWN.to_owned(), |now| format!("{now}%")));
    }
    let (specs, statuses) = (row.list("spec.metrics"), row.list("status.currentMetrics"));
    if specs.is_empty() {
        return NONE.to_owned();
    }
    let all: Vec<String> =
        specs.iter().enumerate().map(|(at, spec)| metric(spec, statuses.get(at).unwrap_or(&Value::Null))).collect();
    let shown = all.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match all.len().checked_sub(SHOWN) {
        Some(more) if more > 0 => format!("{shown} + {more} more..."),
        _ => shown,
    }
}

fn metric(spec: &Value, status: &Value) -> String {
    let (key, named) = match text(spec, "type") {
        "External" => ("external", false),
        "Pods" => ("pods", false),
        "Object" => ("object", false),
        "Resource" => ("resource", true),
        "ContainerResource" => ("containerResource", true),
        _ => return "<unknown type>".to_owned(),
    };
    let (target, current) = (at(at(spec, key), "target"), at(at(status, key), "current"));
    let value = |of: &Value, key: &str| Some(scalar(at(of, key))).filter(|text| !text.is_empty());
    let percent = |of: &Value| at(of, "averageUtilization").as_i64().map(|number| format!("{number}%"));
    let known = |value: Option<String>| value.unwrap_or_else(|| UNKNOWN.to_owned());
    let prefix = if named { format!("{}: ", text(at(spec, key), "name")) } else { String::new() };
    let average = value(target, "averageValue");
    match (key, average) {
        ("external" | "object", Some(target)) => format!("{}/{target} (avg)", known(value(current, "averageValue"))),
        ("external" | "object", None) => {
            format!("{}/{}", known(value(current, "value")), value(target, "value").unwrap_or_else(|| "0".to_owned()))
        }
        (_, Some(target)) => format!("{prefix}{}/{target}", known(value(current, "averageValue"))),
        (_, None) => {
            format!("{prefix}{}/{}", known(percent(current)), percent(target).unwrap_or_else(|| "<auto>".to_owned()))
        }
    }
}
