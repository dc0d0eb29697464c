//! Named quantities, and what a pod asks for as a whole.
//!
//! Pure. Source: upstream's `pkg/quota/v1/resources.go`, `component-helpers/resource/helpers.go`.

use std::collections::{BTreeMap, BTreeSet};

use federation_schema::quantity::{Quantity, QuantityFormat};
use serde_json::{Map, Value};

/// Quantities by the names of what they are of.
pub(crate) type Amounts = BTreeMap<String, Quantity>;

/// Resources that a pod may ask for as a whole, over the heads of its containers.
const POD_LEVEL: &[&str] = &["cpu", "memory"];

/// Which half of `resources` is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Requests,
    Limits,
}

impl Side {
    pub(crate) fn field(self) -> &'static str {
        match self {
            Side::Requests => "requests",
            Side::Limits => "limits",
        }
    }
}

/// A list of resources; what is no quantity is left out, decoding has refused it.
pub(crate) fn read(list: Option<&Value>) -> Amounts {
    let entries = list.and_then(Value::as_object).into_iter().flatten();
    entries.filter_map(|(name, value)| Some((name.clone(), Quantity::from_value(value).ok()?))).collect()
}

pub(crate) fn to_json(amounts: &Amounts) -> Value {
    Value::Object(amounts.iter().map(|(name, value)| (name.clone(), value.to_string().into())).collect::<Map<_, _>>())
}

/// `a=1,b=2`, as messages have it.
pub(crate) fn print(amounts: &Amounts) -> String {
    let one = |(name, value): (&String, &Quantity)| format!("{name}={value}");
    amounts.iter().map(one).collect::<Vec<_>>().join(",")
}

/// A whole number of something.
pub(crate) fn count(number: usize) -> Quantity {
    Quantity::from_units(i64::try_from(number).unwrap_or(i64::MAX), QuantityFormat::DecimalSi)
}

/// Adds the second to the first; what no longer fits stays at what it was.
pub(crate) fn add(to: &mut Amounts, more: &Amounts) {
    for (name, value) in more {
        let sum = to.get(name).map_or(Some(*value), |own| own.checked_add(*value));
        if let Some(sum) = sum {
            to.insert(name.clone(), sum);
        }
    }
}

fn raise(to: &mut Amounts, other: &Amounts) {
    for (name, value) in other {
        if to.get(name).is_none_or(|own| value > own) {
            to.insert(name.clone(), *value);
        }
    }
}

/// The first without the second, never below zero.
pub(crate) fn minus(of: &Amounts, less: &Amounts) -> Amounts {
    let one = |(name, value): (&String, &Quantity)| {
        let rest = less.get(name).map_or(Some(*value), |less| value.checked_sub(*less));
        (name.clone(), rest.filter(|rest| !rest.is_negative()).unwrap_or(Quantity::ZERO))
    };
    of.iter().map(one).collect()
}

/// Those whose names are among `names`.
pub(crate) fn mask(amounts: &Amounts, names: &BTreeSet<String>) -> Amounts {
    amounts.iter().filter(|(name, _)| names.contains(*name)).map(|(name, value)| (name.clone(), *value)).collect()
}

/// The containers of a pod: those that run together, and those that run before.
pub(crate) fn containers<'v>(pod: &'v Value, list: &str) -> &'v [Value] {
    pod.pointer("/spec").and_then(|spec| spec.get(list)).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// What a container asks for.
pub(crate) fn of_container(container: &Value, side: Side) -> Amounts {
    read(container.get("resources").and_then(|resources| resources.get(side.field())))
}

/// What a pod asks for: its containers together, or its hungriest init container; the pod's own word above both.
///
/// `overhead` is added where something is asked for anyway.
pub(crate) fn of_pod(pod: &Value, side: Side, overhead: bool) -> Amounts {
    let mut total = Amounts::new();
    for container in containers(pod, "containers") {
        add(&mut total, &of_container(container, side));
    }
    let (mut sidecars, mut first) = (Amounts::new(), Amounts::new());
    for container in containers(pod, "initContainers") {
        let mut own = of_container(container, side);
        if container.get("restartPolicy").and_then(Value::as_str) == Some("Always") {
            add(&mut total, &own);
            add(&mut sidecars, &own);
            raise(&mut first, &sidecars);
        } else {
            add(&mut own, &sidecars);
            raise(&mut first, &own);
        }
    }
    raise(&mut total, &first);
    let whole = read(pod.pointer("/spec/resources").and_then(|resources| resources.get(side.field())));
    total.extend(whole.into_iter().filter(|(name, _)| POD_LEVEL.contains(&name.as_str())));
    if overhead {
        let more = read(pod.pointer("/spec/overhead"));
        match side {
            Side::Requests => add(&mut total, &more),
            Side::Limits => {
                let set = total.iter().filter(|(_, value)| !value.is_zero()).map(|(name, _)| name.clone()).collect();
                add(&mut total, &mask(&more, &set));
            }
        }
    }
    total
}

/// Whether a pod says for itself what it needs.
pub(crate) fn has_pod_level(pod: &Value) -> bool {
    let named = |side: Side| {
        let own = read(pod.pointer("/spec/resources").and_then(|resources| resources.get(side.field())));
        own.keys().any(|name| POD_LEVEL.contains(&name.as_str()))
    };
    named(Side::Requests) || named(Side::Limits)
}

/// Whether no container of a pod asks for any processor or memory.
pub(crate) fn is_best_effort(pod: &Value) -> bool {
    let asks = |amounts: Amounts| {
        amounts
            .iter()
            .any(|(name, value)| POD_LEVEL.contains(&name.as_str()) && !value.is_zero() && !value.is_negative())
    };
    let all = containers(pod, "containers").iter().chain(containers(pod, "initContainers"));
    let mut all = all.map(|container| (of_container(container, Side::Requests), of_container(container, Side::Limits)));
    !has_pod_level(pod) && !all.any(|(requests, limits)| asks(requests) || asks(limits))
}

/// The class of a pod's quality of service.
pub(crate) fn qos_class(pod: &Value) -> &'static str {
    if is_best_effort(pod) {
        return "BestEffort";
    }
    let fixed = |requests: Amounts, limits: Amounts| {
        POD_LEVEL.iter().all(|name| {
            let limit = limits.get(*name).filter(|limit| !limit.is_zero());
            limit.is_some() && requests.get(*name).is_none_or(|request| Some(request) == limit)
        })
    };
    let guaranteed = if has_pod_level(pod) {
        let whole = |side: Side| read(pod.pointer("/spec/resources").and_then(|resources| resources.get(side.field())));
        fixed(whole(Side::Requests), whole(Side::Limits))
    } else {
        let mut all = containers(pod, "containers").iter().chain(containers(pod, "initContainers"));
        all.all(|container| fixed(of_container(container, Side::Requests), of_container(container, Side::Limits)))
    };
    if guaranteed { "Guaranteed" } else { "Burstable" }
}

#[cfg(test)]
mod tests {
    use super::{Side, is_best_effort, of_pod, print};
    use serde_json::json;

    #[test]
    fn pods_are_summed_as_upstream_does() {
        let container = |cpu: &str| json!({"resources": {"requests": {"cpu": cpu}, "limits": {"cpu": cpu}}});
        let mut sidecar = container("300m");
        sidecar["restartPolicy"] = json!("Always");
        for (spec, requests, limits) in [
            (json!({"containers": [container("100m"), container("0.2")]}), "cpu=300m", "cpu=300m"),
            (json!({"containers": [container("100m")], "initContainers": [container("1")]}), "cpu=1", "cpu=1"),
            (
                json!({"containers": [container("100m")], "initContainers": [sidecar, container("1")]}),
                "cpu=1300m",
                "cpu=1300m",
            ),
            (json!({"containers": [{}], "overhead": {"cpu": "1"}}), "cpu=1", ""),
            (json!({"containers": [container("1")], "resources": {"requests": {"cpu": "3"}}}), "cpu=3", "cpu=1"),
        ] {
            let pod = json!({"spec": spec});
            assert_eq!(print(&of_pod(&pod, Side::Requests, true)), requests, "{pod}");
            assert_eq!(print(&of_pod(&pod, Side::Limits, true)), limits, "{pod}");
        }
        assert!(is_best_effort(&json!({"spec": {"containers": [{}]}})));
        assert!(!is_best_effort(&json!({"spec": {"containers": [container("1m")]}})));
    }
}
