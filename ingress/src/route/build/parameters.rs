//! What a class says for all of its Ingresses: its parameters, which must be ours and there.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use federation_types::label;

use crate::annotation::table;
use crate::route::{Problem, ProblemKind, Subject};
use crate::snapshot::{IngressObject, Named, ParametersObject, ParametersRef, Snapshot};

/// What an IngressClass may have as parameters, by scope.
const NAMESPACED: &str = "IngressParameters";
const OF_CLUSTER: &str = "ClusterIngressParameters";

/// The kind that parameters with this reference must be of.
fn kind(given: &ParametersRef) -> &'static str {
    if given.key.namespace.is_empty() { OF_CLUSTER } else { NAMESPACED }
}

fn named<'s>(snapshot: &'s Snapshot, ingress: &IngressObject) -> Option<&'s ParametersRef> {
    let class = ingress.class.as_deref()?;
    snapshot.classes.iter().find(|known| known.name == class)?.parameters.as_ref()
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
    let of_class = named(snapshot, ingress).and_then(|given| found(snapshot, given));
    let Some(of_class) = of_class.filter(|of_class| !of_class.defaults.is_empty()) else {
        return Cow::Borrowed(&ingress.annotations);
    };
    let mut all = of_class.defaults.clone();
    // What is wrong with them is told of them, and not of every Ingress.
    let sound = |name: &str, value: &str| table::row(name).is_some_and(|row| row.check(value).is_ok());
    all.retain(|name, value| table::is_class_wide(name) && sound(name, value));
    all.extend(ingress.annotations.clone());
    Cow::Owned(all)
}

/// What is wrong with what classes of ours say for all of their Ingresses: told once, on the class or its parameters.
pub(super) fn problems(snapshot: &Snapshot) -> Vec<Problem> {
    let (mut all, mut seen) = (Vec::new(), BTreeSet::new());
    for class in snapshot.classes.iter().filter(|class| class.controller == label::INGRESS_CONTROLLER) {
        let Some(given) = &class.parameters else { continue };
        let mut of_class = |kind, message| {
            let on = Named::new("", &class.name);
            all.push(Problem { of: Subject::Class, on, uid: class.uid.clone(), kind, message });
        };
        let (wanted, name) = (kind(given), given.key.to_string());
        let name = format!("{} {}", given.kind, name.trim_start_matches('/'));
        if given.group != label::GROUP || given.kind != wanted {
            let message = format!(
                "spec.parameters: {name} of group {:?} is not {wanted} of group {:?}",
                given.group,
                label::GROUP
            );
            of_class(ProblemKind::ParametersUnsupported, message);
            continue;
        }
        match found(snapshot, given) {
            Some(known) if seen.insert(&known.key) => all.extend(wrong(known)),
            Some(_) => {}
            None if snapshot.parameters.is_some() => {
                of_class(ProblemKind::ParametersMissing, format!("spec.parameters: there is no {name}"));
            }
            None => {}
        }
    }
    all
}

/// What parameters say that no class can say, or not so.
fn wrong(given: &ParametersObject) -> impl Iterator<Item = Problem> {
    let of = if given.key.namespace.is_empty() { Subject::ClusterParameters } else { Subject::Parameters };
    given.defaults.iter().filter_map(move |(name, value)| {
        let why = match table::row(name) {
            None => "is no annotation that is known here".to_owned(),
            Some(_) if !table::is_class_wide(name) => {
                "is nothing that can be said for a class: it keeps somebody out, or is about one namespace".to_owned()
            }
            Some(row) => row.check(value).err()?,
        };
        let message = format!("spec.defaults[{name}]: {why}");
        let kind = ProblemKind::ParametersUnsupported;
        Some(Problem { of, on: given.key.clone(), uid: given.uid.clone(), kind, message })
    })
}
