//! The FlowSchemas and PriorityLevelConfigurations that every API server has.
//!
//! Data only. Source: k8s.io/apiserver `pkg/apis/flowcontrol/bootstrap/default.go`; the `fedgate-` ones are ours.

use serde_json::{Value, json};

/// Says whether the server keeps the spec as it is in this table.
pub const AUTO_UPDATE: &str = "apf.kubernetes.io/autoupdate-spec";
const API_VERSION: &str = "flowcontrol.apiserver.k8s.io/v1";

/// What nobody may change: where nothing else matches, and what is never kept waiting.
#[must_use]
pub fn mandatory() -> Vec<Value> {
    vec![
        level("exempt", json!({"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}})),
        level(
            "catch-all",
            json!({"type": "Limited", "limited": {
                "nominalConcurrencyShares": 5, "lendablePercent": 0, "limitResponse": {"type": "Reject"},
            }}),
        ),
        schema(("exempt", "exempt", 1), "", &[group("system:masters")], everything()),
        schema(("catch-all", "catch-all", 10_000), "ByUser", &everybody(), everything()),
    ]
}

/// What people may change or delete; `ours` adds the flows of this server's own components.
#[must_use]
pub fn suggested(ours: bool) -> Vec<Value> {
    let system = |name: &str| json!({"kind": "ServiceAccount", "serviceAccount": {"namespace": name, "name": "*"}});
    let managers = [user("system:kube-controller-manager"), user("system:kube-scheduler")];
    let leases = |verbs: &[&str]| resources(verbs, &["coordination.k8s.io"], &["leases"], false);
    let lease_verbs = ["get", "create", "update"];
    let nodes = [group("system:nodes")];
    let own_nodes = json!([resources(&["*"], &[""], &["nodes", "nodes/status"], true), leases(&["*"]),]);
    let probes =
        json!({"nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/healthz", "/readyz", "/livez"]}]});
    let leaders = json!({"resourceRules": [leases(&lease_verbs)]});
    let electors: Vec<Value> = managers.iter().cloned().chain([system("kube-system")]).collect();
    let mut objects = vec![
        limited("system", (30, 33), (64, 6)),
        limited("node-high", (40, 25), (64, 6)),
        limited("leader-election", (10, 0), (16, 4)),
        limited("workload-high", (40, 50), (128, 6)),
        limited("workload-low", (100, 90), (128, 6)),
        limited("global-default", (20, 50), (128, 6)),
        schema(("probes", "exempt", 2), "", &everybody(), probes),
        schema(("system-leader-election", "leader-election", 100), "ByUser", &electors, leaders.clone()),
        schema(("system-node-high", "node-high", 400), "ByUser", &nodes, json!({"resourceRules": own_nodes})),
        schema(("system-nodes", "system", 500), "ByUser", &nodes, everything()),
        schema(("kube-controller-manager", "workload-high", 800), "ByNamespace", &managers[..1], everything()),
        schema(("kube-scheduler", "workload-high", 800), "ByNamespace", &managers[1..], everything()),
        schema(
            ("kube-system-service-accounts", "workload-high", 900),
            "ByNamespace",
            &[system("kube-system")],
            everything(),
        ),
        schema(("service-accounts", "workload-low", 9000), "ByUser", &[group("system:serviceaccounts")], everything()),
        schema(("global-default", "global-default", 9900), "ByUser", &everybody(), everything()),
    ];
    if ours {
        let components = [system("fedgate-system")];
        objects.extend([
            schema(("fedgate-leader-election", "leader-election", 110), "ByUser", &components, leaders),
            schema(("fedgate-components", "workload-high", 850), "ByUser", &components, everything()),
        ]);
    }
    objects
}

fn object(kind: &str, name: &str, spec: Value) -> Value {
    let metadata = json!({"name": name, "annotations": {AUTO_UPDATE: "true"}});
    json!({"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec})
}

fn level(name: &str, spec: Value) -> Value {
    object("PriorityLevelConfiguration", name, spec)
}

fn limited(name: &str, (shares, lendable): (u32, u32), (queues, hand): (u32, u32)) -> Value {
    let queuing = json!({"queues": queues, "handSize": hand, "queueLengthLimit": 50});
    let limited = json!({
        "nominalConcurrencyShares": shares,
        "lendablePercent": lendable,
        "limitResponse": {"type": "Queue", "queuing": queuing},
    });
    level(name, json!({"type": "Limited", "limited": limited}))
}

fn schema(
    (name, level, precedence): (&str, &str, u32),
    distinguisher: &str,
    subjects: &[Value],
    rules: Value,
) -> Value {
    let mut rule = rules;
    rule["subjects"] = json!(subjects);
    let mut spec = json!({
        "priorityLevelConfiguration": {"name": level}, "matchingPrecedence": precedence, "rules": [rule],
    });
    if !distinguisher.is_empty() {
        spec["distinguisherMethod"] = json!({"type": distinguisher});
    }
    object("FlowSchema", name, spec)
}

fn everything() -> Value {
    json!({
        "resourceRules": [resources(&["*"], &["*"], &["*"], true)],
        "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
    })
}

fn resources(verbs: &[&str], groups: &[&str], resources: &[&str], cluster_scope: bool) -> Value {
    let mut rule = json!({"verbs": verbs, "apiGroups": groups, "resources": resources, "namespaces": ["*"]});
    if cluster_scope {
        rule["clusterScope"] = json!(true);
    }
    rule
}

fn everybody() -> [Value; 2] {
    [group("system:unauthenticated"), group("system:authenticated")]
}

fn group(name: &str) -> Value {
    json!({"kind": "Group", "group": {"name": name}})
}

fn user(name: &str) -> Value {
    json!({"kind": "User", "user": {"name": name}})
}
