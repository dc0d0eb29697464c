//! Fields that a write cannot change, and therefore does not own, whatever it says about them.
//!
//! Source: `GetResetFields` of the strategies in k8s.io/kubernetes `pkg/registry`; custom resources as in
//! k8s.io/apiextensions-apiserver `pkg/registry/customresource`.

use federation_schema::facts::Resource;

use crate::kind;
use crate::verb::write::Part;

/// Paths of field names.
pub(crate) type Paths = &'static [&'static [&'static str]];

const SPEC: Paths = &[&["spec"]];
const STATUS: Paths = &[&["status"]];
const ALL_BUT_STATUS: Paths = &[&["metadata"], &["spec"]];

/// Built-in kinds whose status endpoint changes no metadata; every group that is not built in does as they do.
const STATUS_ONLY: &[(&str, &str)] = &[
    ("admissionregistration.k8s.io", "validatingadmissionpolicies"),
    ("apiextensions.k8s.io", "customresourcedefinitions"),
    ("apiregistration.k8s.io", "apiservices"),
    ("certificates.k8s.io", "podcertificaterequests"),
    ("flowcontrol.apiserver.k8s.io", "flowschemas"),
    ("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations"),
    ("internal.apiserver.k8s.io", "storageversions"),
    ("networking.k8s.io", "servicecidrs"),
    ("resource.k8s.io", "devicetaintrules"),
    ("resource.k8s.io", "resourceclaims"),
    ("resource.k8s.io", "resourcepoolstatusrequests"),
    ("scheduling.k8s.io", "podgroups"),
    ("storage.k8s.io", "csinodes"),
    ("storage.k8s.io", "volumeattachments"),
    ("storagemigration.k8s.io", "storageversionmigrations"),
];

/// What a write to that part of a kind cannot change.
pub(crate) fn reset_fields(kind: &Resource, part: Part, subresource: &str) -> Paths {
    let of = (&*kind.group, &*kind.plural);
    match (part, of) {
        (Part::Scale, _) => &[],
        (Part::Status, ("certificates.k8s.io", "certificatesigningrequests")) if subresource == "approval" => {
            &[&["spec"], &["status", "certificate"]]
        }
        (Part::Status, ("certificates.k8s.io", "certificatesigningrequests")) => {
            &[&["spec"], &["status", "conditions"]]
        }
        (Part::Status, ("apps", "deployments")) => &[&["metadata", "labels"], &["spec"]],
        (Part::Status, ("", "pods")) => {
            &[&["metadata", "deletionTimestamp"], &["metadata", "ownerReferences"], &["spec"]]
        }
        (Part::Status, _) if status_keeps_metadata(kind) => ALL_BUT_STATUS,
        (Part::Status, _) => SPEC,
        (_, ("certificates.k8s.io", "certificatesigningrequests")) => &[&["spec"], &["status"]],
        _ if kind::has_status(kind) => STATUS,
        _ => &[],
    }
}

/// Whether the status endpoint leaves labels, annotations, owners and finalizers as they are.
pub(crate) fn status_keeps_metadata(kind: &Resource) -> bool {
    let custom = kind.group.contains('.') && !kind.group.ends_with(".k8s.io");
    custom || STATUS_ONLY.contains(&(&*kind.group, &*kind.plural))
}
