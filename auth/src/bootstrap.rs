//! The roles and bindings that every server starts with, kept as a compact table.
//!
//! The table is data (`bootstrap/policy.txt`, where each rule of our own says why it is needed); here it becomes
//! objects. Writing them, and keeping what people changed, is the API server's business.

use serde_json::{Map, Value, json};

const POLICY: &str = include_str!("bootstrap/policy.txt");
const GROUP: &str = "rbac.authorization.k8s.io";
/// The service accounts of our own components in their namespace, which the policy names.
pub const COMPONENTS: [&str; 5] = ["collector", "dns", "ingress", "mirror", "placement"];
/// Set to `false` on a role or binding of the default policy, it keeps the server from mending it.
pub const AUTOUPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";

/// The default ClusterRoles, Roles, ClusterRoleBindings and RoleBindings as `rbac.authorization.k8s.io/v1` objects.
///
/// Aggregated roles come without rules. Roles stand before the bindings that name them.
pub fn objects() -> Vec<Value> {
    let mut objects: Vec<Value> = Vec::new();
    for line in POLICY.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(rule) = line.strip_prefix("  ") {
            let role = objects.last_mut().expect("a rule of the table stands below its role");
            let rules = role["rules"].as_array_mut().expect("a role of the table has rules");
            rules.push(parse_rule(rule));
        } else {
            objects.push(parse_object(line));
        }
    }
    objects
}

fn parse_object(line: &str) -> Value {
    let words: Vec<&str> = line.split(' ').collect();
    let [what, name, rest @ ..] = words.as_slice() else {
        panic!("a line of the table has at least two words: {line}")
    };
    let (namespace, name) = name.split_once('/').unwrap_or(("", name));
    match *what {
        "clusterrole" => cluster_role(name, rest),
        "role" => {
            let mut role = object("Role", namespace, name);
            role["rules"] = json!([]);
            role
        }
        "clusterbind" => binding(object("ClusterRoleBinding", "", name), rest),
        "bind" => binding(object("RoleBinding", namespace, name), rest),
        other => panic!("the table knows no {other}"),
    }
}

fn cluster_role(name: &str, options: &[&str]) -> Value {
    let mut role = object("ClusterRole", "", name);
    role["rules"] = json!([]);
    for option in options.chunks(2) {
        let [kind, label] = option else { panic!("{name}: an option of the table is a pair") };
        let label = format!("{GROUP}/{label}");
        match *kind {
            "gathers" => {
                let selector = json!({"matchLabels": {label: "true"}});
                role["aggregationRule"] = json!({"clusterRoleSelectors": [selector]});
            }
            "labelled" => role["metadata"]["labels"][label] = json!("true"),
            other => panic!("{name}: the table knows no {other}"),
        }
    }
    role
}

fn binding(mut binding: Value, words: &[&str]) -> Value {
    let [kind, role, subjects @ ..] = words else { panic!("a binding of the table names a role") };
    let kind = if *kind == "role" { "Role" } else { "ClusterRole" };
    binding["roleRef"] = json!({"apiGroup": GROUP, "kind": kind, "name": role});
    let subjects: Vec<Value> = subjects
        .chunks(2)
        .map(|subject| match subject {
            ["user", name] => json!({"apiGroup": GROUP, "kind": "User", "name": name}),
            ["group", name] => json!({"apiGroup": GROUP, "kind": "Group", "name": name}),
            ["account", name] => {
                let (namespace, name) = name.split_once('/').expect("an account of the table is NAMESPACE/NAME");
                json!({"kind": "ServiceAccount", "name": name, "namespace": namespace})
            }
            other => panic!("the table knows no subject {other:?}"),
        })
        .collect();
    if !subjects.is_empty() {
        binding["subjects"] = Value::Array(subjects);
    }
    binding
}

fn parse_rule(rule: &str) -> Value {
    let words: Vec<&str> = rule.split(' ').collect();
    let mut parsed = Map::new();
    let mut set = |key: &str, list: &str| {
        let list: Vec<&str> = list.split(',').map(|item| if item == "-" { "" } else { item }).collect();
        parsed.insert(key.to_owned(), json!(list));
    };
    match words.as_slice() {
        [verbs, "path", paths] => {
            set("nonResourceURLs", paths);
            set("verbs", verbs);
        }
        [verbs, groups, resources, names @ ..] => {
            set("apiGroups", groups);
            match names {
                [] => {}
                ["named", names] => set("resourceNames", names),
                other => panic!("the table knows no {other:?}"),
            }
            set("resources", resources);
            set("verbs", verbs);
        }
        _ => panic!("a rule of the table has at least three words: {rule}"),
    }
    Value::Object(parsed)
}

fn object(kind: &str, namespace: &str, name: &str) -> Value {
    let mut object = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": kind,
        "metadata": {
            "annotations": {AUTOUPDATE: "true"},
            "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
            "name": name,
        },
    });
    if !namespace.is_empty() {
        object["metadata"]["namespace"] = json!(namespace);
    }
    object
}

#[cfg(test)]
mod tests {
    use super::{COMPONENTS, objects};
    use crate::{Attributes, RbacObject, RbacRules, ResourceAttributes, UserInfo};
    use std::collections::BTreeSet;

    fn allowed(rules: &RbacRules, user: &UserInfo, question: &str) -> bool {
        let parts: Vec<&str> = question.split(' ').collect();
        let decision = match parts.as_slice() {
            [verb, path] if path.starts_with('/') => rules.authorize(&Attributes::path(user, verb, path)),
            [verb, what, rest @ ..] => {
                let (resource, group) = what.split_once('.').unwrap_or((what, ""));
                let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
                let namespace = rest.first().copied().unwrap_or("");
                let target =
                    ResourceAttributes { group, resource, subresource, namespace, ..ResourceAttributes::default() };
                rules.authorize(&Attributes::resource(user, verb, target))
            }
            _ => panic!("{question}"),
        };
        decision.is_allowed()
    }

    #[test]
    fn every_object_is_read_and_named_once() {
        let mut seen = BTreeSet::new();
        for object in objects() {
            RbacObject::from_value(&object).unwrap();
            let key = format!("{} {} {}", object["kind"], object["metadata"]["namespace"], object["metadata"]["name"]);
            assert!(seen.insert(key.clone()), "{key}");
            if let Some(rules) = object["rules"].as_array() {
                assert_eq!(rules.is_empty(), object.get("aggregationRule").is_some(), "{key}");
            }
        }
        assert!(seen.len() > 50);
    }

    #[test]
    fn what_people_may_do() {
        let mut policy = objects();
        for role in ["admin", "edit", "view"] {
            policy.push(serde_json::json!({"kind": "RoleBinding", "metadata": {"name": role, "namespace": "n"},
                "roleRef": {"kind": "ClusterRole", "name": role}, "subjects": [{"kind": "User", "name": role}]}));
        }
        let rules = RbacRules::build(policy.iter().map(|object| RbacObject::from_value(object).unwrap()));
        let user = |name: &str| UserInfo::new(name, ["system:authenticated"]);
        let cases: &[(UserInfo, &[&str], &[&str])] = &[
            (
                user("view"),
                &[
                    "list pods n",
                    "get pods/log n",
                    "watch placements.fedgate.dev n",
                    "get /version",
                    "get /apis/apps/v1",
                    "create selfsubjectaccessreviews.authorization.k8s.io",
                ],
                &[
                    "get secrets n",
                    "create pods n",
                    "list pods m",
                    "list pods",
                    "get clusters.fedgate.dev",
                    "get /metrics",
                    "get roles.rbac.authorization.k8s.io n",
                ],
            ),
            (
                user("edit"),
                &[
                    "get secrets n",
                    "patch deployments.apps n",
                    "create ingresses.networking.k8s.io n",
                    "delete placements.fedgate.dev n",
                    "list pods n",
                ],
                &[
                    "create roles.rbac.authorization.k8s.io n",
                    "create pods m",
                    "get secrets",
                    "patch namespaces n",
                    "execute-as clusters.fedgate.dev",
                    "create clusterplacements.fedgate.dev",
                ],
            ),
            (
                user("admin"),
                &["create rolebindings.rbac.authorization.k8s.io n", "get secrets n", "create deployments.apps n"],
                &[
                    "create clusterroles.rbac.authorization.k8s.io",
                    "escalate roles.rbac.authorization.k8s.io n",
                    "create roles.rbac.authorization.k8s.io m",
                ],
            ),
            (UserInfo::new("root", ["system:masters"]), &["escalate anything.x n", "get /metrics"], &[]),
            (
                UserInfo::anonymous(),
                &["get /version", "get /livez", "get /readyz"],
                &[
                    "get /api",
                    "get /openapi/v3",
                    "list pods n",
                    "get /livez/ping",
                    "create selfsubjectreviews.authentication.k8s.io",
                ],
            ),
        ];
        for (user, yes, no) in cases {
            for question in *yes {
                assert!(allowed(&rules, user, question), "{} should be allowed {question}", user.name);
            }
            for question in *no {
                assert!(!allowed(&rules, user, question), "{} should not be allowed {question}", user.name);
            }
        }
    }

    #[test]
    fn what_our_components_may_do() {
        let rules = RbacRules::build(objects().iter().map(|object| RbacObject::from_value(object).unwrap()));
        let cases: [(&str, &[&str], &[&str]); 5] = [
            (
                "placement",
                &[
                    "watch widgets.example.com n",
                    "get secrets n",
                    "update placementbindings/status.fedgate.dev fedgate-system",
                    "patch deployments/status.apps n",
                    "create replicasets.apps n",
                    "create leases.coordination.k8s.io fedgate-system",
                ],
                &[
                    "patch deployments.apps n",
                    "delete widgets.example.com n",
                    "create secrets n",
                    "create leases.coordination.k8s.io n",
                    "execute-as clusters.fedgate.dev",
                    "impersonate users",
                    "get /metrics",
                    "create placements.fedgate.dev n",
                ],
            ),
            (
                "ingress",
                &[
                    "watch ingresses.networking.k8s.io",
                    "watch endpointslices.discovery.k8s.io n",
                    "patch ingresses/status.networking.k8s.io n",
                    "create tokenreviews.authentication.k8s.io",
                    "create subjectaccessreviews.authorization.k8s.io",
                ],
                &[
                    "get secrets n",
                    "get secrets fedgate-system",
                    "patch ingresses.networking.k8s.io n",
                    "list pods",
                    "patch clusters/status.fedgate.dev",
                    "get configmaps n",
                ],
            ),
            (
                "dns",
                &["watch services", "watch serviceimports.multicluster.x-k8s.io", "list clusters.fedgate.dev"],
                &["get secrets n", "create events n", "patch services n", "get ingresses.networking.k8s.io n"],
            ),
            (
                "mirror",
                &["watch clusters.fedgate.dev", "patch clusters/status.fedgate.dev", "get secrets fedgate-system"],
                &["get secrets n", "get secrets", "patch clusters.fedgate.dev", "list pods"],
            ),
            (
                "collector",
                &["delete widgets.example.com n", "update namespaces/finalize n"],
                &["create pods n", "escalate clusterroles.rbac.authorization.k8s.io", "impersonate users"],
            ),
        ];
        assert_eq!(cases.len(), COMPONENTS.len());
        for (name, yes, no) in cases {
            assert!(COMPONENTS.contains(&name));
            let user = UserInfo::service_account("fedgate-system", name, "1");
            let stranger = UserInfo::service_account("default", name, "1");
            for question in yes {
                assert!(allowed(&rules, &user, question), "{name} should be allowed {question}");
                assert!(!allowed(&rules, &stranger, question), "another {name} should not be allowed {question}");
            }
            for question in no {
                assert!(!allowed(&rules, &user, question), "{name} should not be allowed {question}");
            }
        }
    }
}
