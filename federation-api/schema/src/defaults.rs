//! The one table of values that the hub sets because clients cannot do without them, and the way to take them out again.
//! What the hub invented never travels to a member: members default for themselves.

mod amounts;

use serde_json::{Map, Value, json};

/// One default.
#[derive(Debug, Clone, Copy)]
pub struct Default {
    pub group: &'static str,
    pub kind: &'static str,
    /// Dotted; `[]` stands for every item of a list.
    pub path: &'static str,
    pub value: DefaultValue,
    /// Only where this path is absent from the object the user sent.
    pub unless: &'static str,
}

/// What is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefaultValue {
    Int(i64),
    Text(&'static str),
    /// The value of the field of this name beside it.
    SameAs(&'static str),
}

const fn int(group: &'static str, kind: &'static str, path: &'static str, value: i64) -> Default {
    Default { group, kind, path, value: DefaultValue::Int(value), unless: "" }
}

const fn text(group: &'static str, kind: &'static str, path: &'static str, value: &'static str) -> Default {
    Default { group, kind, path, value: DefaultValue::Text(value), unless: "" }
}

/// The table, in the order in which it is applied. Why each is needed:
///
/// | what | who needs it |
/// |---|---|
/// | `replicas` | `kubectl scale`, `rollout status`, helm and autoscalers read the pointer |
/// | `updateStrategy.type` | `kubectl rollout status` refuses StatefulSets and DaemonSets without it |
/// | Job `completions`, `parallelism`, `backoffLimit` | helm's and kstatus' readiness checks read the pointers |
/// | Service `type`, `sessionAffinity`, `protocol`, `targetPort` | helm, `kubectl describe` and the data planes |
/// | Secret `type` | `kubectl get secrets`, field selectors on `type` |
pub const DEFAULTS: &[Default] = &[
    int("apps", "Deployment", "spec.replicas", 1),
    int("apps", "ReplicaSet", "spec.replicas", 1),
    int("apps", "StatefulSet", "spec.replicas", 1),
    text("apps", "StatefulSet", "spec.updateStrategy.type", "RollingUpdate"),
    text("apps", "DaemonSet", "spec.updateStrategy.type", "RollingUpdate"),
    int("", "ReplicationController", "spec.replicas", 1),
    Default { unless: "spec.parallelism", ..int("batch", "Job", "spec.completions", 1) },
    int("batch", "Job", "spec.parallelism", 1),
    int("batch", "Job", "spec.backoffLimit", 6),
    text("", "Service", "spec.type", "ClusterIP"),
    text("", "Service", "spec.sessionAffinity", "None"),
    text("", "Service", "spec.ports[].protocol", "TCP"),
    Default {
        group: "",
        kind: "Service",
        path: "spec.ports[].targetPort",
        value: DefaultValue::SameAs("port"),
        unless: "",
    },
    text("", "Secret", "type", "Opaque"),
];

/// Sets what is absent or null.
pub fn set_defaults(object: &mut Value) {
    for default in of_object(object) {
        if default.unless.is_empty() || lookup(object, default.unless).is_none() {
            set(object, default.path, default.value);
        }
    }
    amounts::set(object);
}

/// Takes out every value that equals the table's, and objects that are empty for it.
pub fn strip_defaults(object: &mut Value) {
    for default in of_object(object) {
        strip(object, default.path, default.value);
    }
    amounts::strip(object);
}

fn of_object(object: &Value) -> impl Iterator<Item = &'static Default> + use<> {
    let field = |name: &str| object.get(name).and_then(Value::as_str).unwrap_or("").to_owned();
    let (version, kind) = (field("apiVersion"), field("kind"));
    DEFAULTS.iter().filter(move |default| {
        let group = version.split_once('/').map_or("", |(group, _)| group);
        default.group == group && default.kind == kind
    })
}

fn lookup<'v>(object: &'v Value, path: &str) -> Option<&'v Value> {
    path.split('.').try_fold(object, |at, name| at.get(name)).filter(|value| !value.is_null())
}

fn resolve(value: DefaultValue, beside: &Map<String, Value>) -> Option<Value> {
    match value {
        DefaultValue::Int(number) => Some(json!(number)),
        DefaultValue::Text(text) => Some(json!(text)),
        DefaultValue::SameAs(name) => beside.get(name).cloned(),
    }
}

fn set(at: &mut Value, path: &str, value: DefaultValue) {
    let Value::Object(map) = at else { return };
    let Some((head, rest)) = path.split_once('.') else {
        if map.get(path).is_none_or(Value::is_null)
            && let Some(value) = resolve(value, map)
        {
            map.insert(path.to_owned(), value);
        }
        return;
    };
    match head.strip_suffix("[]") {
        Some(list) => {
            let items = map.get_mut(list).and_then(Value::as_array_mut);
            items.into_iter().flatten().for_each(|item| set(item, rest, value));
        }
        None => {
            let below = map.entry(head).or_insert_with(|| Value::Object(Map::new()));
            if below.is_null() {
                *below = Value::Object(Map::new());
            }
            set(below, rest, value);
        }
    }
}

fn strip(at: &mut Value, path: &str, value: DefaultValue) {
    let Value::Object(map) = at else { return };
    let Some((head, rest)) = path.split_once('.') else {
        if map.contains_key(path) && map.get(path) == resolve(value, map).as_ref() {
            map.remove(path);
        }
        return;
    };
    match head.strip_suffix("[]") {
        Some(list) => {
            let items = map.get_mut(list).and_then(Value::as_array_mut);
            items.into_iter().flatten().for_each(|item| strip(item, rest, value));
        }
        None => {
            let Some(below) = map.get_mut(head) else { return };
            let had_fields = below.as_object().is_some_and(|below| !below.is_empty());
            strip(below, rest, value);
            if had_fields && head != "spec" && below.as_object().is_some_and(Map::is_empty) {
                map.remove(head);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{DEFAULTS, DefaultValue, set_defaults, strip_defaults};

    fn with_kind(version: &str, kind: &str, mut object: Value) -> Value {
        object["apiVersion"] = json!(version);
        object["kind"] = json!(kind);
        object
    }

    #[test]
    fn defaults_are_set_and_stripped() {
        let table = [
            ("apps/v1", "Deployment", json!({"spec": {}}), json!({"spec": {"replicas": 1}})),
            ("apps/v1", "Deployment", json!({"spec": {"replicas": 0}}), json!({"spec": {"replicas": 0}})),
            ("apps/v1", "Deployment", json!({"spec": {"replicas": null}}), json!({"spec": {"replicas": 1}})),
            (
                "apps/v1",
                "StatefulSet",
                json!({"spec": {}}),
                json!({"spec": {"replicas": 1, "updateStrategy": {"type": "RollingUpdate"}}}),
            ),
            (
                "apps/v1",
                "DaemonSet",
                json!({"spec": {"updateStrategy": {"rollingUpdate": {"maxSurge": 1}}}}),
                json!({"spec": {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}),
            ),
            (
                "batch/v1",
                "Job",
                json!({"spec": {}}),
                json!({"spec": {"completions": 1, "parallelism": 1, "backoffLimit": 6}}),
            ),
            (
                "batch/v1",
                "Job",
                json!({"spec": {"parallelism": 3}}),
                json!({"spec": {"parallelism": 3, "backoffLimit": 6}}),
            ),
            (
                "v1",
                "Service",
                json!({"spec": {"ports": [{"port": 80}, {"port": 53, "protocol": "UDP", "targetPort": "dns"}]}}),
                json!({"spec": {"type": "ClusterIP", "sessionAffinity": "None",
                    "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80},
                              {"port": 53, "protocol": "UDP", "targetPort": "dns"}]}}),
            ),
            ("v1", "Secret", json!({}), json!({"type": "Opaque"})),
            ("v1", "ConfigMap", json!({}), json!({})),
            ("example.com/v1", "Deployment", json!({"spec": {}}), json!({"spec": {}})),
        ];
        for (version, kind, user, expected) in table {
            let user = with_kind(version, kind, user);
            let mut object = user.clone();
            set_defaults(&mut object);
            assert_eq!(object, with_kind(version, kind, expected), "{user}");
            let again = object.clone();
            set_defaults(&mut object);
            assert_eq!(object, again, "twice is once: {user}");
            strip_defaults(&mut object);
            let mut bare = user;
            if let Some(Value::Object(spec)) = bare.get_mut("spec") {
                spec.retain(|_, value| !value.is_null());
            }
            assert_eq!(object, bare, "nothing invented is left");
        }
    }

    #[test]
    fn odd_shapes_are_left_alone() {
        for odd in [
            json!(null),
            json!([1]),
            json!({"apiVersion": 1}),
            json!({"apiVersion": "v1", "kind": "Service", "spec": "x"}),
            json!({"apiVersion": "v1", "kind": "Service", "spec": {"type": "ClusterIP", "sessionAffinity": "None", "ports": {"a": 1}}}),
        ] {
            let mut object = odd.clone();
            set_defaults(&mut object);
            assert_eq!(object, odd);
            strip_defaults(&mut object);
        }
        assert!(DEFAULTS.iter().all(|default| default.value != DefaultValue::Text("")));
    }
}
