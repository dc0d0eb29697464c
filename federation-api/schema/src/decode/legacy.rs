//! API versions of older days: accepted under their own paths, stored and shown as the current version.
//!
//! Pure conversions between two JSON forms; which paths are served, and the warning, is the API's business.

use serde_json::{Map, Value, json};

use super::{DecodeError, Decoded, Expected, Format, conform, refusal, untyped};
use crate::decode::{Broken, Found};
use crate::facts::{Facts, Resource, api_version};

/// A kind in a version that Kubernetes removed.
#[derive(Debug)]
pub struct Legacy {
    pub group: &'static str,
    pub version: &'static str,
    pub plural: &'static str,
    pub kind: &'static str,
    /// Group and version that it is stored as; kind and plural are the same.
    pub current: (&'static str, &'static str),
    /// Releases that deprecated and removed it.
    deprecated: &'static str,
    removed: &'static str,
    change: Change,
}

/// How the old form differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Nothing,
    /// The selector may be absent: it is the template's labels.
    Selector,
    /// As before, and pods are replaced only when somebody deletes them.
    SelectorOnDelete,
    /// Backends are flat: `serviceName`, `servicePort`; the default one is `spec.backend`.
    Backends,
}

const EXTENSIONS: (&str, &str) = ("extensions", "v1beta1");
const APPS_1: (&str, &str) = ("apps", "v1beta1");
const APPS_2: (&str, &str) = ("apps", "v1beta2");
const NETWORKING: (&str, &str) = ("networking.k8s.io", "v1beta1");
const APPS: (&str, &str) = ("apps", "v1");
const NETWORK: (&str, &str) = ("networking.k8s.io", "v1");

#[rustfmt::skip]
static ALL: &[Legacy] = &[
    of(EXTENSIONS, ("daemonsets", "DaemonSet"), APPS, ("v1.8", "v1.16"), Change::SelectorOnDelete),
    of(EXTENSIONS, ("deployments", "Deployment"), APPS, ("v1.8", "v1.16"), Change::Selector),
    of(EXTENSIONS, ("ingresses", "Ingress"), NETWORK, ("v1.14", "v1.22"), Change::Backends),
    of(EXTENSIONS, ("networkpolicies", "NetworkPolicy"), NETWORK, ("v1.9", "v1.16"), Change::Nothing),
    of(EXTENSIONS, ("replicasets", "ReplicaSet"), APPS, ("v1.8", "v1.16"), Change::Selector),
    of(APPS_1, ("deployments", "Deployment"), APPS, ("v1.8", "v1.16"), Change::Selector),
    of(APPS_1, ("statefulsets", "StatefulSet"), APPS, ("v1.8", "v1.16"), Change::SelectorOnDelete),
    of(APPS_2, ("daemonsets", "DaemonSet"), APPS, ("v1.9", "v1.16"), Change::Nothing),
    of(APPS_2, ("deployments", "Deployment"), APPS, ("v1.9", "v1.16"), Change::Nothing),
    of(APPS_2, ("replicasets", "ReplicaSet"), APPS, ("v1.9", "v1.16"), Change::Nothing),
    of(APPS_2, ("statefulsets", "StatefulSet"), APPS, ("v1.9", "v1.16"), Change::Nothing),
    of(NETWORKING, ("ingressclasses", "IngressClass"), NETWORK, ("v1.19", "v1.22"), Change::Nothing),
    of(NETWORKING, ("ingresses", "Ingress"), NETWORK, ("v1.19", "v1.22"), Change::Backends),
];

const fn of(
    (group, version): (&'static str, &'static str),
    (plural, kind): (&'static str, &'static str),
    current: (&'static str, &'static str),
    (deprecated, removed): (&'static str, &'static str),
    change: Change,
) -> Legacy {
    Legacy { group, version, plural, kind, current, deprecated, removed, change }
}

/// Every kind that is taken in an older version.
pub fn all() -> &'static [Legacy] {
    ALL
}

/// The kind at `/apis/GROUP/VERSION/…/PLURAL`.
pub fn at(group: &str, version: &str, plural: &str) -> Option<&'static Legacy> {
    ALL.iter().find(|one| (one.group, one.version, one.plural) == (group, version, plural))
}

impl Legacy {
    /// The resource that it is stored as.
    pub fn resource<'f>(&self, facts: &'f Facts) -> Option<&'f Resource> {
        facts.resource(self.current.0, self.current.1, self.plural)
    }

    /// `extensions/v1beta1`
    pub fn api_version(&self) -> String {
        api_version(self.group, self.version)
    }

    /// The text of the `Warning` that every answer carries, in upstream's words.
    pub fn warning(&self) -> String {
        let Self { kind, deprecated, removed, .. } = self;
        let (old, new) = (self.api_version(), api_version(self.current.0, self.current.1));
        format!("{old} {kind} is deprecated in {deprecated}+, unavailable in {removed}+; use {new} {kind}")
    }

    /// Reads a body in the old form, JSON or YAML, as an object of the current version.
    ///
    /// # Errors
    /// As [`super::decode`]; protobuf of removed versions is refused, as no client sends it any more.
    pub fn decode(&self, facts: &Facts, body: &[u8], format: Format) -> Result<Decoded, DecodeError> {
        let resource = self.resource(facts).expect("a test looks every current resource up");
        let old = Expected { group: self.group, version: self.version, ..Expected::object(resource) };
        let refuse = |broken: Broken, found| Err(refusal(&old, found, &broken, body));
        let (mut value, mut findings) = match untyped(body, format) {
            Ok(read) => read,
            Err(broken) => return refuse(broken, None),
        };
        Found::of_value(&value).or(&old).check(&old)?;
        self.upgrade(&mut value);
        match conform(facts, resource.ty, value) {
            Ok((value, more)) => {
                findings.extend(more);
                Ok(Decoded { value, findings })
            }
            Err(broken) => {
                let found = Found { api_version: self.api_version(), kind: self.kind.to_owned() };
                refuse(broken, Some(found))
            }
        }
    }

    /// Turns the old form into the current one; whatever does not look like the old form stays as it is.
    pub fn upgrade(&self, object: &mut Value) {
        self.rename(object, api_version(self.current.0, self.current.1));
        self.complete(object);
        if self.change == Change::Backends
            && let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut)
        {
            upgrade_ingress(spec);
        }
    }

    /// Fills in what the old version did by itself, in a new object that is of the current version already.
    pub fn complete(&self, object: &mut Value) {
        let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) else { return };
        match self.change {
            Change::Nothing | Change::Backends => {}
            Change::Selector => default_selector(spec),
            Change::SelectorOnDelete => {
                default_selector(spec);
                spec.entry("updateStrategy").or_insert_with(|| json!({"type": "OnDelete"}));
            }
        }
    }

    /// Turns a patch in the old form, a part of an object, into one of the current form: nothing is filled in.
    pub fn upgrade_patch(&self, patch: &mut Value) {
        let Value::Object(object) = patch else { return };
        if object.contains_key("apiVersion") {
            object.insert("apiVersion".to_owned(), api_version(self.current.0, self.current.1).into());
        }
        if self.change == Change::Backends
            && let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut)
        {
            upgrade_ingress(spec);
        }
    }

    /// Turns the current form into the old one: the inverse by which tests see that nothing is lost on the way in.
    pub fn downgrade(&self, object: &mut Value) {
        self.rename(object, self.api_version());
        let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) else { return };
        if self.change == Change::Backends {
            if let Some(mut backend) = spec.remove("defaultBackend") {
                downgrade_backend(&mut backend);
                spec.insert("backend".to_owned(), backend);
            }
            for_paths(spec, |path| {
                if let Some(backend) = path.get_mut("backend") {
                    downgrade_backend(backend);
                }
            });
        }
    }

    fn rename(&self, object: &mut Value, api_version: String) {
        if let Value::Object(object) = object {
            object.insert("apiVersion".to_owned(), api_version.into());
            object.insert("kind".to_owned(), self.kind.into());
        }
    }
}

fn default_selector(spec: &mut Map<String, Value>) {
    let labels = spec.get("template").and_then(|template| template.pointer("/metadata/labels")).cloned();
    if let Some(labels) = labels
        && spec.get("selector").is_none_or(Value::is_null)
    {
        spec.insert("selector".to_owned(), json!({"matchLabels": labels}));
    }
}

fn upgrade_ingress(spec: &mut Map<String, Value>) {
    if let Some(mut backend) = spec.remove("backend") {
        upgrade_backend(&mut backend);
        spec.insert("defaultBackend".to_owned(), backend);
    }
    for_paths(spec, |path| {
        if let Some(backend) = path.get_mut("backend") {
            upgrade_backend(backend);
        }
        path.entry("pathType").or_insert_with(|| "ImplementationSpecific".into());
    });
}

fn for_paths(spec: &mut Map<String, Value>, change: impl Fn(&mut Map<String, Value>)) {
    let rules = spec.get_mut("rules").and_then(Value::as_array_mut).into_iter().flatten();
    let paths = rules.filter_map(|rule| rule.pointer_mut("/http/paths").and_then(Value::as_array_mut)).flatten();
    paths.filter_map(Value::as_object_mut).for_each(change);
}

/// `{serviceName, servicePort}` → `{service: {name, port: {name | number}}}`
fn upgrade_backend(backend: &mut Value) {
    let Value::Object(backend) = backend else { return };
    let (name, port) = (backend.remove("serviceName"), backend.remove("servicePort"));
    if name.is_none() && port.is_none() {
        return;
    }
    let mut service = Map::new();
    service.extend(name.map(|name| ("name".to_owned(), name)));
    service.extend(port.map(|port| {
        let key = if port.is_string() { "name" } else { "number" };
        ("port".to_owned(), json!({key: port}))
    }));
    backend.insert("service".to_owned(), service.into());
}

fn downgrade_backend(backend: &mut Value) {
    let Value::Object(backend) = backend else { return };
    let Some(Value::Object(mut service)) = backend.remove("service") else { return };
    backend.extend(service.remove("name").map(|name| ("serviceName".to_owned(), name)));
    let port = service.remove("port").unwrap_or(Value::Null);
    let port = port.get("name").or_else(|| port.get("number")).cloned();
    backend.extend(port.map(|port| ("servicePort".to_owned(), port)));
}

#[cfg(test)]
mod tests;
