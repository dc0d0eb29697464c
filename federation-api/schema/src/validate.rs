//! What is wrong with an object, in upstream's words: metadata, the spec rules that members would refuse anyway and users
//! want to hear early, what may not change, and our own kinds.
//! Pure; defaults are set before, types and unknown fields are decoding's business.

mod api_service;
mod autoscale;
mod classes;
mod condition;
mod env;
mod fedgate;
mod flowcontrol;
mod frozen;
mod ingress;
mod job;
mod keys;
mod limits;
mod meta;
mod pod;
mod policy;
mod read;
mod service;
mod update;
mod webhook;
mod workload;

use serde_json::Value;

use crate::facts::{Facts, Resource};
use crate::field::{FieldError, FieldPath};

pub use condition::compile_condition;
pub use frozen::refuse_resized;
pub use meta::NameRule;

/// Every complaint about an object that shall be created, or updated from `old`; empty means valid.
pub fn validate(facts: &Facts, resource: &Resource, new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    meta::check(resource, new, old, &mut errors);
    if let Some(old) = old {
        update::check(resource, new, old, &mut errors);
    } else if (&*resource.group, &*resource.kind) == ("batch", "Job") {
        job::check_selector(new, &mut errors);
    }
    match (&*resource.group, &*resource.kind) {
        ("", "Pod") => pod::check_pod(new, &mut errors),
        ("", "Service") => service::check(new, &mut errors),
        ("", "ConfigMap") => keys::check_config_map(new, &mut errors),
        ("", "Secret") => keys::check_secret(new, &mut errors),
        ("", "LimitRange") => limits::check_range(new, &mut errors),
        ("", "ResourceQuota") => limits::check_quota(new, old, &mut errors),
        ("apiregistration.k8s.io", "APIService") => api_service::check(new, old, &mut errors),
        ("networking.k8s.io", "Ingress") => ingress::check(new, &mut errors),
        ("networking.k8s.io", "IngressClass") => classes::check_ingress(new, &mut errors),
        ("flowcontrol.apiserver.k8s.io", "FlowSchema") => flowcontrol::check_schema(new, &mut errors),
        ("flowcontrol.apiserver.k8s.io", _) => flowcontrol::check_level(new, &mut errors),
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy") => policy::check(new, false, &mut errors),
        ("admissionregistration.k8s.io", "MutatingAdmissionPolicy") => policy::check(new, true, &mut errors),
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding") => {
            policy::check_binding(new, false, &mut errors);
        }
        ("admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding") => {
            policy::check_binding(new, true, &mut errors);
        }
        ("autoscaling", "HorizontalPodAutoscaler") => autoscale::check(new, &mut errors),
        ("policy", "PodDisruptionBudget") => frozen::check_budget(new, &mut errors),
        ("scheduling.k8s.io", "PriorityClass") => classes::check_priority(new, old, &mut errors),
        ("node.k8s.io", "RuntimeClass") => classes::check_runtime(new, old, &mut errors),
        ("admissionregistration.k8s.io", "MutatingWebhookConfiguration") => webhook::check(new, true, &mut errors),
        ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration") => webhook::check(new, false, &mut errors),
        ("fedgate.dev", _) => fedgate::check(facts, resource, new, &mut errors),
        _ => workload::check(resource, new, &mut errors),
    }
    errors
}

/// What a user may not write at a hub, since it belongs to one member or to the hub itself: an address of a Service, a node
/// port, the volume of a claim. Call it with what the user sent, before the hub fills anything in.
pub fn refuse_member_fields(resource: &Resource, new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    match (&*resource.group, &*resource.kind) {
        ("", "Service") => service::refuse_member_fields(new, old, &mut errors),
        ("", "PersistentVolumeClaim") => workload::refuse_volume_name(new, old, &mut errors),
        _ => {}
    }
    errors
}

/// Every complaint about the metadata of any object, kind by kind the same, but for its kind's own rules.
pub fn validate_metadata(resource: &Resource, new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    meta::check(resource, new, old, &mut errors);
    errors
}

/// Every complaint about the metadata of an object within another, which stands at `path`.
pub fn embedded_metadata(metadata: &Value, path: &FieldPath<'_>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    meta::check_embedded(metadata, path, &mut errors);
    errors
}

/// Why `name` is no name for this kind; empty if it is one. `prefix` allows a dash at the end, for `generateName`.
pub fn name_errors(resource: &Resource, name: &str, prefix: bool) -> Vec<String> {
    meta::rule(resource).errors(name, prefix)
}

#[cfg(test)]
mod tests;
