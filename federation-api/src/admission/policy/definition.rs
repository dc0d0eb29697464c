//! Policies and bindings as they are stored, read once for many requests.

use std::collections::HashMap;
use std::sync::Arc;

use federation_schema::policy::Policy;
use serde_json::Value;

use crate::admission::matching::Match;
use crate::cache::{Entry, ResourceCache, Scope};
use crate::object;
use crate::server::Server;

const SOURCES: [&str; 4] = [
    "admissionregistration.k8s.io/validatingadmissionpolicies",
    "admissionregistration.k8s.io/validatingadmissionpolicybindings",
    "admissionregistration.k8s.io/mutatingadmissionpolicies",
    "admissionregistration.k8s.io/mutatingadmissionpolicybindings",
];

/// All policies, by name, with their bindings.
#[derive(Debug, Default)]
pub(super) struct Compiled {
    /// Revision of each source; none before the first compilation.
    revs: Option<[u64; 4]>,
    pub(super) judging: Vec<Definition>,
    pub(super) changing: Vec<Definition>,
}

/// One policy.
#[derive(Debug)]
pub(super) struct Definition {
    pub(super) name: String,
    /// The object of this UID at this revision is what was compiled.
    version: (String, u64),
    pub(super) policy: Arc<Policy>,
    pub(super) matches: Option<Match>,
    pub(super) ignores_failure: bool,
    /// Whether it wants to be asked again when others change the object after it.
    pub(super) reinvokes: bool,
    /// `apiVersion` and `kind` of the parameters.
    pub(super) param_kind: Option<(String, String)>,
    pub(super) bindings: Vec<Binding>,
}

/// One binding.
#[derive(Debug)]
pub(super) struct Binding {
    pub(super) name: String,
    pub(super) actions: Vec<String>,
    pub(super) matches: Option<Match>,
    pub(super) param_ref: Option<Value>,
}

fn text(value: &Value, field: &str) -> String {
    value.get(field).and_then(Value::as_str).unwrap_or("").to_owned()
}

fn entries(cache: &ResourceCache) -> Vec<Arc<Entry>> {
    cache.snapshot().range(&Scope::All, "").cloned().collect()
}

impl Compiled {
    pub(super) fn is_current(&self, server: &Server) -> bool {
        self.revs == Some(revisions(server))
    }

    /// The same as of now; what has not changed is not compiled again.
    pub(super) fn renew(&self, server: &Server) -> Compiled {
        let revs = revisions(server);
        let [judging, judging_bindings, changing, changing_bindings] =
            SOURCES.map(|source| entries(&server.cache.resource(source)));
        Compiled {
            revs: Some(revs),
            judging: definitions(&judging, &judging_bindings, &self.judging),
            changing: definitions(&changing, &changing_bindings, &self.changing),
        }
    }
}

fn revisions(server: &Server) -> [u64; 4] {
    SOURCES.map(|source| server.cache.resource(source).snapshot().rev())
}

fn definitions(policies: &[Arc<Entry>], bindings: &[Arc<Entry>], before: &[Definition]) -> Vec<Definition> {
    let mut bound: HashMap<String, Vec<Binding>> = HashMap::new();
    for entry in bindings {
        let value = entry.value();
        let Some(spec) = value.get("spec") else { continue };
        let binding = Binding {
            name: entry.name().to_owned(),
            actions: spec
                .get("validationActions")
                .and_then(Value::as_array)
                .map_or_else(Vec::new, |all| all.iter().filter_map(Value::as_str).map(str::to_owned).collect()),
            matches: spec.get("matchResources").filter(|own| own.is_object()).map(Match::of_policy),
            param_ref: spec.get("paramRef").filter(|own| own.is_object()).cloned(),
        };
        bound.entry(text(spec, "policyName")).or_default().push(binding);
    }
    policies
        .iter()
        .filter_map(|entry| {
            // A policy without bindings does nothing.
            let bindings = bound.remove(entry.name())?;
            Some(definition(entry, bindings, before))
        })
        .collect()
}

fn definition(entry: &Entry, bindings: Vec<Binding>, before: &[Definition]) -> Definition {
    let value = entry.value();
    let empty = Value::Null;
    let spec = value.get("spec").unwrap_or(&empty);
    let version = (object::uid(&value).to_owned(), entry.rev());
    let same = before.iter().find(|own| own.version == version);
    let kind = spec.get("paramKind").filter(|own| own.is_object());
    Definition {
        name: entry.name().to_owned(),
        policy: same.map_or_else(|| Arc::new(Policy::compile(spec)), |own| Arc::clone(&own.policy)),
        matches: spec.get("matchConstraints").filter(|own| own.is_object()).map(Match::of_policy),
        ignores_failure: text(spec, "failurePolicy") == "Ignore",
        reinvokes: text(spec, "reinvocationPolicy") == "IfNeeded",
        param_kind: kind.map(|kind| (text(kind, "apiVersion"), text(kind, "kind"))),
        version,
        bindings,
    }
}
