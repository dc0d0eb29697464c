//! LimitRanges: fills in what containers do not ask for, and refuses pods and claims that ask for too much or too little.
//!
//! Templates are left alone, as upstream leaves Deployments alone: only pods and claims themselves are judged. What it
//! writes into a bare Pod is the user's own policy, and travels to members like the rest of the Pod.
//! Source: k8s.io/kubernetes `plugin/pkg/admission/limitranger/admission.go`.

use federation_schema::quantity::Quantity;
use serde_json::{Value, json};

use super::amounts::{self, Amounts, Side};
use super::{Operation, Review};
use crate::cache::Scope;
use crate::call::Call;
use crate::error::ApiError;
use crate::kind;
use crate::object;
use crate::verb::write::Part;

/// What tells which values are ours.
const ANNOTATION: &str = "kubernetes.io/limit-ranger";
/// Above this many units values are compared as whole numbers.
const MAX_MILLI_UNITS: i64 = i64::MAX / 1000;

/// What the limits of one type are held against.
struct Asked<'a> {
    kind: &'a str,
    requests: Amounts,
    limits: Amounts,
}

/// Fills in what the containers of a new Pod leave open.
///
/// # Errors
/// None.
pub(crate) fn admit(call: &mut Call, new: &mut Value, review: &Review<'_>) -> Result<(), ApiError> {
    if is_pod(call) && applies(call, review) {
        for range in ranges(call) {
            fill(&range, new);
        }
    }
    Ok(())
}

/// Judges a new Pod, or a claim.
///
/// # Errors
/// 403 with every complaint of the first LimitRange that has any.
pub(crate) fn validate(call: &Call, new: &Value, review: &Review<'_>) -> Result<(), ApiError> {
    if !applies(call, review) {
        return Ok(());
    }
    for range in ranges(call) {
        let complaints = if is_pod(call) { judge_pod(&range, new) } else { judge_claim(&range, new) };
        let text = match complaints.as_slice() {
            [] => continue,
            [one] => one.clone(),
            several => format!("[{}]", several.join(", ")),
        };
        return Err(ApiError::Forbidden(kind::subject(&call.kind, object::name(new)), text));
    }
    Ok(())
}

fn is_pod(call: &Call) -> bool {
    call.kind.group.is_empty() && call.kind.plural == "pods"
}

fn applies(call: &Call, review: &Review<'_>) -> bool {
    let claim = call.kind.group.is_empty() && call.kind.plural == "persistentvolumeclaims";
    let going = review.old.is_some_and(object::is_deleting);
    let pod = is_pod(call) && review.operation == Operation::Create;
    review.part == Part::Main && !going && (pod || claim)
}

fn ranges(call: &Call) -> Vec<Value> {
    let ranges = call.server.cache.resource("core/limitranges").snapshot();
    if ranges.is_empty() {
        return Vec::new();
    }
    let scope = Scope::Namespace(call.namespace().to_owned());
    ranges.range(&scope, "").filter(|entry| entry.stored() > 0).map(|entry| entry.value()).collect()
}

fn items<'v>(range: &'v Value, kind: &'v str) -> impl Iterator<Item = &'v Value> {
    let limits = range.pointer("/spec/limits").and_then(Value::as_array).into_iter().flatten();
    limits.filter(move |limit| limit.get("type").and_then(Value::as_str) == Some(kind))
}

fn fill(range: &Value, pod: &mut Value) {
    let mut defaults = [(Side::Requests, Amounts::new()), (Side::Limits, Amounts::new())];
    for item in items(range, "Container") {
        defaults[0].1.extend(amounts::read(item.get("defaultRequest")));
        defaults[1].1.extend(amounts::read(item.get("default")));
    }
    let mut told = Vec::new();
    for (list, what) in [("containers", "container"), ("initContainers", "init container")] {
        let containers = pod.pointer_mut("/spec").and_then(|spec| spec.get_mut(list)).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            for (side, defaults) in &defaults {
                let set = fill_container(container, *side, defaults);
                if !set.is_empty() {
                    let side = if *side == Side::Requests { "request" } else { "limit" };
                    let name = container.get("name").and_then(Value::as_str).unwrap_or("");
                    told.push(format!("{} {side} for {what} {name}", set.join(", ")));
                }
            }
        }
    }
    if !told.is_empty() {
        object::set_annotation(pod, ANNOTATION, Some(&format!("LimitRanger plugin set: {}", told.join("; "))));
    }
}

/// Names of the resources that were set.
fn fill_container(container: &mut Value, side: Side, defaults: &Amounts) -> Vec<String> {
    let own = amounts::of_container(container, side);
    let missing: Vec<_> = defaults.iter().filter(|(name, _)| !own.contains_key(*name)).collect();
    if missing.is_empty() || !container.is_object() {
        return Vec::new();
    }
    for field in ["resources", side.field()] {
        let at = if field == "resources" { &mut *container } else { &mut container["resources"] };
        if !at.get(field).is_some_and(Value::is_object) {
            at[field] = json!({});
        }
    }
    for (name, value) in &missing {
        container["resources"][side.field()][name.as_str()] = value.to_string().into();
    }
    missing.into_iter().map(|(name, _)| name.clone()).collect()
}

fn judge_pod(range: &Value, pod: &Value) -> Vec<String> {
    let mut complaints = Vec::new();
    let limits = range.pointer("/spec/limits").and_then(Value::as_array).into_iter().flatten();
    for item in limits {
        match item.get("type").and_then(Value::as_str) {
            Some("Container") => {
                let all =
                    amounts::containers(pod, "containers").iter().chain(amounts::containers(pod, "initContainers"));
                for container in all {
                    let requests = amounts::of_container(container, Side::Requests);
                    let limits = amounts::of_container(container, Side::Limits);
                    judge(item, &Asked { kind: "Container", requests, limits }, &mut complaints);
                }
            }
            Some("Pod") => {
                let requests = amounts::of_pod(pod, Side::Requests, false);
                let limits = amounts::of_pod(pod, Side::Limits, false);
                judge(item, &Asked { kind: "Pod", requests, limits }, &mut complaints);
            }
            _ => {}
        }
    }
    complaints
}

fn judge(item: &Value, asked: &Asked<'_>, complaints: &mut Vec<String>) {
    let of = |field: &str| amounts::read(item.get(field));
    complaints.extend(of("min").iter().filter_map(|(name, enforced)| asked.min(name, *enforced)));
    complaints.extend(of("max").iter().filter_map(|(name, enforced)| asked.max(name, *enforced)));
    complaints.extend(of("maxLimitRequestRatio").iter().filter_map(|(name, enforced)| asked.ratio(name, *enforced)));
}

fn judge_claim(range: &Value, claim: &Value) -> Vec<String> {
    const KIND: &str = "PersistentVolumeClaim";
    let requests = amounts::read(claim.pointer("/spec/resources/requests"));
    let asked = Asked { kind: KIND, requests, limits: Amounts::new() };
    let mut complaints = Vec::new();
    for item in items(range, KIND) {
        let of = |field: &str| amounts::read(item.get(field));
        complaints.extend(of("min").iter().filter_map(|(name, enforced)| asked.min(name, *enforced)));
        complaints.extend(of("max").iter().filter_map(|(name, enforced)| asked.max_request(name, *enforced)));
    }
    complaints
}

impl Asked<'_> {
    fn min(&self, name: &str, enforced: Quantity) -> Option<String> {
        let (request, limit) = (self.requests.get(name), self.limits.get(name));
        let text = format!("minimum {name} usage per {} is {enforced}", self.kind);
        match (request, limit) {
            (None, _) => Some(format!("{text}.  No request is specified")),
            (Some(request), _) if *request < enforced => Some(format!("{text}, but request is {request}")),
            (_, Some(limit)) if *limit < enforced => Some(format!("{text}, but limit is {limit}")),
            _ => None,
        }
    }

    fn max(&self, name: &str, enforced: Quantity) -> Option<String> {
        let (request, limit) = (self.requests.get(name), self.limits.get(name));
        let text = format!("maximum {name} usage per {} is {enforced}", self.kind);
        match (request, limit) {
            (_, None) => Some(format!("{text}.  No limit is specified")),
            (_, Some(limit)) if *limit > enforced => Some(format!("{text}, but limit is {limit}")),
            (Some(request), _) if *request > enforced => Some(format!("{text}, but request is {request}")),
            _ => None,
        }
    }

    fn max_request(&self, name: &str, enforced: Quantity) -> Option<String> {
        let text = format!("maximum {name} usage per {} is {enforced}", self.kind);
        match self.requests.get(name) {
            None => Some(format!("{text}.  No request is specified")),
            Some(request) if *request > enforced => Some(format!("{text}, but request is {request}")),
            Some(_) => None,
        }
    }

    fn ratio(&self, name: &str, enforced: Quantity) -> Option<String> {
        let text = format!("{name} max limit to request ratio per {} is {enforced}", self.kind);
        let given = |amounts: &Amounts| amounts.get(name).copied().filter(|value| !value.is_zero());
        let Some(request) = given(&self.requests) else {
            return Some(format!("{text}, but no request is specified or request is 0"));
        };
        let Some(limit) = given(&self.limits) else {
            return Some(format!("{text}, but no limit is specified or limit is 0"));
        };
        let ratio = in_units(limit) / in_units(request);
        (ratio > in_units(enforced)).then(|| format!("{text}, but provided ratio is {ratio:.6}"))
    }
}

#[allow(clippy::cast_precision_loss, reason = "a ratio of such numbers is not exact upstream either")]
fn in_units(value: Quantity) -> f64 {
    match value.units() {
        Some(units) if units.abs() > MAX_MILLI_UNITS => units as f64,
        _ => value.millis().unwrap_or(i64::MAX) as f64 / 1000.0,
    }
}

#[cfg(test)]
mod tests {
    use super::{fill, judge_claim, judge_pod};
    use serde_json::{Value, json};

    fn pod(requests: &Value, limits: &Value) -> Value {
        json!({"metadata": {"name": "p"}, "spec": {"containers": [
            {"name": "c", "resources": {"requests": requests, "limits": limits}}]}})
    }

    /// Protocol: A5
    #[test]
    fn what_is_open_is_filled_in() {
        let range = json!({"spec": {"limits": [{"type": "Container",
            "default": {"cpu": "500m", "memory": "500Mi"}, "defaultRequest": {"cpu": "100m"}}]}});
        let mut some = pod(&json!({"memory": "1Mi"}), &json!({"cpu": "1"}));
        fill(&range, &mut some);
        assert_eq!(
            some["spec"]["containers"][0]["resources"],
            json!({"requests": {"cpu": "100m", "memory": "1Mi"}, "limits": {"cpu": "1", "memory": "500Mi"}})
        );
        assert_eq!(
            some["metadata"]["annotations"]["kubernetes.io/limit-ranger"],
            "LimitRanger plugin set: cpu request for container c; memory limit for container c"
        );
        let mut bare = json!({"metadata": {}, "spec": {"containers": [{"name": "c"}]}});
        fill(&range, &mut bare);
        assert_eq!(bare["spec"]["containers"][0]["resources"]["limits"]["memory"], "500Mi");
        let once = bare.clone();
        fill(&range, &mut bare);
        assert_eq!(bare, once);
    }

    /// Protocol: A5
    #[test]
    fn complaints_are_upstreams() {
        let range = |of: &str, rules: Value| {
            let mut item = rules;
            item["type"] = of.into();
            json!({"spec": {"limits": [item]}})
        };
        let cpu = |value: &str| json!({"cpu": value});
        let container = |rules| range("Container", rules);
        for (range, requests, limits, want) in [
            (
                container(json!({"min": cpu("50m")})),
                cpu("10m"),
                cpu("1"),
                "minimum cpu usage per Container is 50m, but request is 10m",
            ),
            (
                container(json!({"min": cpu("50m")})),
                json!({}),
                json!({}),
                "minimum cpu usage per Container is 50m.  No request is specified",
            ),
            (
                container(json!({"max": cpu("500m")})),
                cpu("100m"),
                cpu("600m"),
                "maximum cpu usage per Container is 500m, but limit is 600m",
            ),
            (
                container(json!({"max": cpu("500m")})),
                cpu("100m"),
                json!({}),
                "maximum cpu usage per Container is 500m.  No limit is specified",
            ),
            (
                container(json!({"maxLimitRequestRatio": cpu("2")})),
                cpu("100m"),
                cpu("500m"),
                "cpu max limit to request ratio per Container is 2, but provided ratio is 5.000000",
            ),
            (
                range("Pod", json!({"max": cpu("1")})),
                cpu("100m"),
                cpu("2"),
                "maximum cpu usage per Pod is 1, but limit is 2",
            ),
            (range("Pod", json!({"max": cpu("1")})), cpu("1"), cpu("1000m"), ""),
        ] {
            assert_eq!(judge_pod(&range, &pod(&requests, &limits)).join("|"), want);
        }
        let storage = range("PersistentVolumeClaim", json!({"min": {"storage": "1Gi"}, "max": {"storage": "2Gi"}}));
        let claim = |size: &str| json!({"spec": {"resources": {"requests": {"storage": size}}}});
        assert_eq!(
            judge_claim(&storage, &claim("3Gi")),
            ["maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi"]
        );
        assert_eq!(judge_claim(&storage, &claim("1Gi")), [""; 0]);
    }
}
