//! What is never placed, and what only a policy that names it places: one table.
//!
//! Whatever belongs to one API server stays there: accounts and tokens that it makes, leases, events, its own access rules.

use federation_types::{Gvk, label, text};
use serde_json::Value;

use super::gvk;

/// Whether an object may leave the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// A template like any other.
    Ordinary,
    /// Placed only where a Placement or its own annotation says so; the reason is for `why`.
    Explicit(&'static str),
    /// Never placed; the reason is for `why`.
    Never(&'static str),
}

const ANY: &str = "*";

struct Rule {
    group: &'static str,
    kind: &'static str,
    /// Whether the rule means this object; kinds without a condition are meant as a whole.
    when: Option<fn(&Value) -> bool>,
    then: Scope,
}

const fn never(group: &'static str, kind: &'static str, why: &'static str) -> Rule {
    Rule { group, kind, when: None, then: Scope::Never(why) }
}

const fn never_when(group: &'static str, kind: &'static str, when: fn(&Value) -> bool, why: &'static str) -> Rule {
    Rule { group, kind, when: Some(when), then: Scope::Never(why) }
}

const fn explicit(group: &'static str, kind: &'static str, why: &'static str) -> Rule {
    Rule { group, kind, when: None, then: Scope::Explicit(why) }
}

const OWN_ACCESS: &str = "access rules of the hub are the hub's own";
const OWN_ADMISSION: &str = "admission of the hub is the hub's own";
const OWN_CONTROLLER: &str = "made by a controller from another object";
const TRANSIENT: &str = "belongs to one API server";
const RBAC: &str = "rbac.authorization.k8s.io";
const ADMISSION: &str = "admissionregistration.k8s.io";

/// The first rule that means an object decides.
const TABLE: &[Rule] = &[
    never("fedgate.dev", ANY, "configures the federation"),
    never_when(ANY, ANY, in_system_namespace, "lives in a system namespace"),
    never_when("apiextensions.k8s.io", "CustomResourceDefinition", is_of_ours, "configures the federation"),
    never_when(ANY, ANY, is_mirrored, "is a member's own object"),
    never("", "Namespace", "made in members where a template of it goes"),
    never("", "Event", TRANSIENT),
    never("events.k8s.io", "Event", TRANSIENT),
    never("", "Node", TRANSIENT),
    never("", "ComponentStatus", TRANSIENT),
    never("", "Binding", TRANSIENT),
    never("coordination.k8s.io", ANY, TRANSIENT),
    never("apps", "ControllerRevision", "revision history of the hub"),
    never_when("apps", "ReplicaSet", is_revision, "revision history of the hub"),
    never_when("", "Pod", is_controlled, OWN_CONTROLLER),
    never_when("batch", "Job", is_controlled, OWN_CONTROLLER),
    never_when("", "Endpoints", is_derived_endpoints, OWN_CONTROLLER),
    never_when("discovery.k8s.io", "EndpointSlice", is_derived_slice, OWN_CONTROLLER),
    never_when("", "ServiceAccount", |o| text::name(o) == "default", "every namespace has its own"),
    never_when("", "ConfigMap", |o| text::name(o) == "kube-root-ca.crt", "every cluster has its own"),
    never_when("", "Service", is_api_service, "every cluster has its own"),
    never_when("", "Secret", |o| secret_type(o) == "kubernetes.io/service-account-token", "a token of one API server"),
    never_when("", "Secret", |o| secret_type(o) == "bootstrap.kubernetes.io/token", "a token of one API server"),
    never_when("", "Secret", |o| secret_type(o).starts_with("helm.sh/release."), "helm's own record of the release"),
    never_when("", "Secret", |o| secret_type(o) == label::CREDENTIALS_TYPE, "a member's credentials"),
    never_when("networking.k8s.io", "Ingress", is_our_ingress, "served by the gateway itself"),
    never_when(
        "networking.k8s.io",
        "IngressClass",
        |o| text::str_at(o, &["spec", "controller"]) == label::INGRESS_CONTROLLER,
        "served by the gateway itself",
    ),
    never("networking.k8s.io", "ServiceCIDR", TRANSIENT),
    never("networking.k8s.io", "IPAddress", TRANSIENT),
    never("certificates.k8s.io", ANY, TRANSIENT),
    never("authentication.k8s.io", ANY, TRANSIENT),
    never("authorization.k8s.io", ANY, TRANSIENT),
    never("apiregistration.k8s.io", ANY, TRANSIENT),
    never("flowcontrol.apiserver.k8s.io", ANY, TRANSIENT),
    never("internal.apiserver.k8s.io", ANY, TRANSIENT),
    never("storagemigration.k8s.io", ANY, TRANSIENT),
    never("metrics.k8s.io", ANY, TRANSIENT),
    never("storage.k8s.io", "CSINode", TRANSIENT),
    never("storage.k8s.io", "VolumeAttachment", TRANSIENT),
    never("storage.k8s.io", "CSIStorageCapacity", TRANSIENT),
    never("resource.k8s.io", "ResourceSlice", TRANSIENT),
    never_when(RBAC, ANY, is_bootstrap_access, "every cluster has its own"),
    explicit(RBAC, ANY, OWN_ACCESS),
    explicit(ADMISSION, ANY, OWN_ADMISSION),
    explicit("", "ResourceQuota", "limits what the hub stores"),
    explicit("", "LimitRange", "limits what the hub stores"),
    explicit("", "PersistentVolume", "names storage of one cluster"),
    explicit("storage.k8s.io", ANY, "names storage of one cluster"),
    explicit("scheduling.k8s.io", ANY, "every cluster has its own"),
    explicit("node.k8s.io", ANY, "names runtimes of one cluster"),
];

/// Whether `object` may leave the hub, and why not.
#[must_use]
pub fn scope(object: &Value) -> Scope {
    let Gvk { group, kind, .. } = gvk(object);
    TABLE
        .iter()
        .find(|rule| {
            (rule.group == ANY || rule.group == group)
                && (rule.kind == ANY || rule.kind == kind)
                && rule.when.is_none_or(|holds| holds(object))
        })
        .map_or(Scope::Ordinary, |rule| rule.then)
}

fn in_system_namespace(object: &Value) -> bool {
    let namespace = text::namespace(object);
    namespace.starts_with("kube-") || namespace == label::SYSTEM_NAMESPACE
}

fn is_of_ours(definition: &Value) -> bool {
    let group = text::str_at(definition, &["spec", "group"]);
    group.strip_suffix(label::GROUP).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

fn is_mirrored(object: &Value) -> bool {
    text::label(object, label::CLUSTER).is_some()
}

fn is_controlled(object: &Value) -> bool {
    text::list_at(object, &["metadata", "ownerReferences"])
        .any(|owner| owner.get("controller").and_then(Value::as_bool) == Some(true))
}

/// Also one that has lost its Deployment (`delete --cascade=orphan`): its pods run on in the members.
fn is_revision(object: &Value) -> bool {
    is_controlled(object) || text::annotation(object, "deployment.kubernetes.io/revision").is_some()
}

fn is_derived_endpoints(object: &Value) -> bool {
    // Endpoints that a user wrote bear neither mark; the API server's own are those of its Service.
    text::label(object, "endpoints.kubernetes.io/managed-by").is_some() || is_api_service(object)
}

fn is_derived_slice(object: &Value) -> bool {
    is_controlled(object)
        || text::label(object, "endpointslice.kubernetes.io/managed-by").is_some()
        || is_api_service(object)
}

fn is_api_service(object: &Value) -> bool {
    text::name(object) == "kubernetes" && text::namespace(object) == "default"
}

fn secret_type(object: &Value) -> &str {
    text::str_at(object, &["type"])
}

/// Ingresses without a class go to the default one, which is ours.
fn is_our_ingress(object: &Value) -> bool {
    let class = text::str_at(object, &["spec", "ingressClassName"]);
    let class =
        if class.is_empty() { text::annotation(object, "kubernetes.io/ingress.class").unwrap_or("") } else { class };
    class.is_empty() || class == label::INGRESS_CLASS
}

fn is_bootstrap_access(object: &Value) -> bool {
    let name = text::name(object);
    text::label(object, "kubernetes.io/bootstrapping").is_some()
        || name.starts_with("system:")
        || name.starts_with("fedgate:")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Scope, scope};

    fn object(api: &str, kind: &str, namespace: &str, name: &str, rest: Value) -> Value {
        let mut object = json!({"apiVersion": api, "kind": kind, "metadata": {"namespace": namespace, "name": name}});
        for (key, value) in rest.as_object().expect("an object") {
            if key == "metadata" {
                for (k, v) in value.as_object().expect("an object") {
                    object["metadata"][k] = v.clone();
                }
            } else {
                object[key] = value.clone();
            }
        }
        object
    }

    #[test]
    fn what_belongs_to_one_api_server_stays() {
        let owner = json!({"metadata": {"ownerReferences": [{"kind": "Deployment", "controller": true}]}});
        for (api, kind, ns, name, rest) in [
            ("v1", "ServiceAccount", "shop", "default", json!({})),
            ("v1", "ConfigMap", "shop", "kube-root-ca.crt", json!({})),
            ("v1", "ConfigMap", "kube-system", "x", json!({})),
            ("v1", "ConfigMap", "fedgate-system", "x", json!({})),
            ("v1", "Service", "default", "kubernetes", json!({})),
            ("discovery.k8s.io/v1", "EndpointSlice", "default", "kubernetes", json!({})),
            (
                "discovery.k8s.io/v1",
                "EndpointSlice",
                "shop",
                "web-x",
                json!({"metadata": {"labels": {"endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"}}}),
            ),
            ("v1", "Secret", "shop", "t", json!({"type": "kubernetes.io/service-account-token"})),
            ("v1", "Secret", "shop", "sh.helm.release.v1.web.v1", json!({"type": "helm.sh/release.v1"})),
            ("v1", "Secret", "shop", "c", json!({"type": "fedgate.dev/cluster-credentials"})),
            ("coordination.k8s.io/v1", "Lease", "shop", "l", json!({})),
            ("v1", "Event", "shop", "e", json!({})),
            ("events.k8s.io/v1", "Event", "shop", "e", json!({})),
            ("apps/v1", "ReplicaSet", "shop", "web-1", owner.clone()),
            (
                "apps/v1",
                "ReplicaSet",
                "shop",
                "web-orphan",
                json!({"metadata": {"annotations": {"deployment.kubernetes.io/revision": "1"}}}),
            ),
            ("apps/v1", "ControllerRevision", "shop", "db-1", json!({})),
            ("v1", "Pod", "shop", "web-1", owner),
            ("v1", "Pod", "shop", "web-1.east", json!({"metadata": {"labels": {"fedgate.dev/cluster": "east"}}})),
            ("rbac.authorization.k8s.io/v1", "ClusterRole", "", "system:x", json!({})),
            (
                "rbac.authorization.k8s.io/v1",
                "ClusterRole",
                "",
                "view",
                json!({"metadata": {"labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}}}),
            ),
            ("networking.k8s.io/v1", "Ingress", "shop", "web", json!({"spec": {"ingressClassName": "fedgate"}})),
            ("networking.k8s.io/v1", "Ingress", "shop", "web", json!({"spec": {}})),
            (
                "networking.k8s.io/v1",
                "IngressClass",
                "",
                "other",
                json!({"spec": {"controller": "fedgate.dev/ingress"}}),
            ),
            ("fedgate.dev/v1alpha1", "Placement", "shop", "web", json!({})),
            ("v1", "Namespace", "", "shop", json!({})),
        ] {
            let found = scope(&object(api, kind, ns, name, rest));
            assert!(matches!(found, Scope::Never(_)), "{api} {kind} {ns}/{name}: {found:?}");
        }
    }

    #[test]
    fn users_objects_travel() {
        for (api, kind, name, rest) in [
            ("v1", "ConfigMap", "app", json!({})),
            ("v1", "Secret", "app", json!({"type": "Opaque"})),
            ("v1", "ServiceAccount", "app", json!({})),
            ("v1", "Pod", "once", json!({})),
            ("apps/v1", "ReplicaSet", "mine", json!({})),
            ("v1", "Service", "kubernetes", json!({})),
            ("networking.k8s.io/v1", "Ingress", "web", json!({"spec": {"ingressClassName": "nginx"}})),
            ("example.com/v1", "Widget", "w", json!({})),
        ] {
            assert_eq!(scope(&object(api, kind, "shop", name, rest)), Scope::Ordinary, "{kind} {name}");
        }
    }

    #[test]
    fn the_hubs_own_rules_travel_only_when_named() {
        for (api, kind) in [
            ("rbac.authorization.k8s.io/v1", "RoleBinding"),
            ("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration"),
            ("v1", "ResourceQuota"),
            ("storage.k8s.io/v1", "StorageClass"),
        ] {
            let found = scope(&object(api, kind, "shop", "mine", json!({})));
            assert!(matches!(found, Scope::Explicit(_)), "{kind}: {found:?}");
        }
    }
}
