//! What a class says for all of its Ingresses: its parameters, which must be ours and there.

use std::borrow::Cow;
use std::collections::BTreeMap;

use federation_types::label;

use super::Builder;
use crate::annotation::table;
use crate::route::ProblemKind;
use crate::snapshot::{IngressObject, ParametersObject, ParametersRef, Snapshot};

/// What an IngressClass may have as parameters, by scope.
const NAMESPACED: &str = "IngressParameters";
const OF_CLUSTER: &str = "ClusterIngressParameters";

/// The kind that parameters with this reference must be of.
fn kind(given: &ParametersRef) -> &'static str {
    if given.key.namespace.is_empty() { OF_CLUSTER } else { NAMESPACED }
}

fn named<'s>(snapshot: &'s Snapshot, ingress: &IngressObject) -> Option<(&'s str, &'s ParametersRef)> {
    let class = ingress.class.as_deref()?;
    let class = snapshot.classes.iter().find(|known| known.name == class)?;
    Some((&class.name, class.parameters.as_ref()?))
}

fn found<'s>(snapshot: &'s Snapshot, given: &ParametersRef) -> Option<&'s ParametersObject> {
    let ours = given.group == label::GROUP && given.kind == kind(given);
    snapshot.parameters.as_ref().filter(|_| ours)?.get(&given.key).map(|known| &**known)
}

/// The annotations of an Ingress, with those of its class that it has not itself.
pub(super) fn with_defaults<'s>(
    snapshot: &'s Snapshot,
    ingress: &'s IngressObject,
) -> Cow<'s, BTreeMap<String, String>> {
    let of_class = named(snapshot, ingress).and_then(|(_, given)| found(snapshot, given));
    let Some(of_class) = of_class.filter(|of_class| !of_class.defaults.is_empty()) else {
        return Cow::Borrowed(&ingress.annotations);
    };
    let mut all = of_class.defaults.clone();
    all.retain(|name, _| table::is_class_wide(name));
    all.extend(ingress.annotations.clone());
    Cow::Owned(all)
}

impl Builder<'_> {
    /// What the class of this Ingress names as its parameters must be ours and there.
    pub(super) fn parameters(&mut self, ingress: &IngressObject) {
        let Some((class, given)) = named(self.snapshot, ingress) else { return };
        let kind = kind(given);
        let name = format!("{} {}", given.kind, given.key.to_string().trim_start_matches('/'));
        if given.group != label::GROUP || given.kind != kind {
            let message = format!(
                "spec.ingressClassName: the parameters of IngressClass {class} are {name} of group {:?}, not {kind} of group {:?}",
                given.group,
                label::GROUP
            );
            return self.problem(ingress, ProblemKind::ParametersUnsupported, message);
        }
        let Some(known) = found(self.snapshot, given) else {
            if self.snapshot.parameters.is_some() {
                let message = format!(
                    "spec.ingressClassName: the parameters of IngressClass {class} are missing: there is no {name}"
                );
                self.problem(ingress, ProblemKind::ParametersMissing, message);
            }
            return;
        };
        for odd in known.defaults.keys().filter(|default| !table::is_class_wide(default)) {
            let message = format!(
                "spec.ingressClassName: spec.defaults[{odd}] of {name} is nothing that can be said for a class"
            );
            self.problem(ingress, ProblemKind::ParametersUnsupported, message);
        }
    }
}
