//! Which policy wins a template: annotation on it, then Placements by priority, then the namespace, then the default.
//!
//! Ties between Placements: by name before by label before by kind, namespaced before cluster-wide, then the oldest,
//! then by name, so that the winner is the same after every restart.

use std::cmp::Reverse;

use federation_types::binding::PlacementRef;
use federation_types::placement::{ClusterSelector, PlacementSpec, Replicas, TemplateSelector};
use federation_types::{Gvk, label};

use super::annotation::Annotated;
use super::labels;
use super::model::{DefaultPlacement, Inputs, Policy, Template};

/// The policy that places a template, and those that do not.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ranked {
    pub winner: Option<(PlacementRef, PlacementSpec)>,
    pub losers: Vec<(PlacementRef, String)>,
    /// Why the winner cannot be followed; what stands holds.
    pub broken: Option<String>,
}

/// How exactly a selector means a template; more is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exactness {
    Kind,
    Label,
    Name,
}

/// Ranks everything that could place the template.
pub(super) fn rank(inputs: &Inputs<'_>, explicit_only: bool) -> Ranked {
    let mut candidates: Vec<(PlacementRef, PlacementSpec)> = Vec::new();
    let mut broken = None;
    let near = Annotated::read(&inputs.template.annotations).unwrap_or_else(|wrong| {
        broken = Some(wrong.to_string());
        Annotated::default()
    });
    if let Some(spec) = near.policy() {
        candidates.push((source("Annotation", label::CLUSTERS), spec));
    }
    let mut selecting: Vec<(Exactness, &Policy)> = Vec::new();
    let mut losers = Vec::new();
    for policy in inputs.policies.iter().filter(|p| p.namespace.is_empty() || p.namespace == inputs.template.namespace)
    {
        match selects_template(&policy.spec.select, inputs.template) {
            Ok(Some(exactness)) => selecting.push((exactness, policy)),
            Ok(None) => {}
            Err(wrong) => losers.push((policy.source.clone(), format!("spec.select: {wrong}"))),
        }
    }
    selecting.sort_by_key(|(exactness, p)| {
        let cluster_wide = p.namespace.is_empty();
        (Reverse(p.spec.priority), Reverse(*exactness), cluster_wide, p.created.clone(), p.source.name.clone())
    });
    for (_, policy) in selecting {
        let mut spec = policy.spec.clone();
        near.refine(&mut spec);
        candidates.push((policy.source.clone(), spec));
    }
    if !explicit_only {
        wider(inputs, &near, &mut candidates, &mut broken);
    }
    let mut candidates = candidates.into_iter();
    let winner = candidates.next();
    let behind = winner.as_ref().map(|(w, _)| format!("{} comes first", shown(w))).unwrap_or_default();
    losers.extend(candidates.map(|(source, _)| (source, behind.clone())));
    Ranked { winner, losers, broken }
}

/// The namespace's annotations and the server's default.
fn wider(
    inputs: &Inputs<'_>,
    near: &Annotated,
    candidates: &mut Vec<(PlacementRef, PlacementSpec)>,
    broken: &mut Option<String>,
) {
    let around = match Annotated::read(inputs.namespace_annotations) {
        Ok(around) => around,
        Err(wrong) => {
            // It matters only where nothing nearer places the template.
            if candidates.is_empty() {
                broken.get_or_insert_with(|| format!("namespace {}: {wrong}", inputs.template.namespace));
            }
            Annotated::default()
        }
    };
    if let Some(mut spec) = around.policy() {
        near.refine(&mut spec);
        candidates.push((source("Namespace", &inputs.template.namespace), spec));
    }
    if let DefaultPlacement::All { divided } = inputs.default {
        let mode = if divided { "Divided" } else { "Duplicated" };
        let mut spec = PlacementSpec {
            clusters: vec![ClusterSelector::default()],
            replicas: Some(Replicas { mode: mode.to_owned(), ..Replicas::default() }),
            ..PlacementSpec::default()
        };
        around.refine(&mut spec);
        near.refine(&mut spec);
        candidates.push((source("Default", "all"), spec));
    }
}

fn source(kind: &str, name: &str) -> PlacementRef {
    PlacementRef { kind: kind.to_owned(), name: name.to_owned() }
}

/// `Placement web`.
pub(super) fn shown(source: &PlacementRef) -> String {
    format!("{} {}", source.kind, source.name)
}

/// How exactly the selectors mean the template; `None` where they do not.
///
/// # Errors
/// What is wrong with a selector that would have to be read.
pub fn selects_template(selectors: &[TemplateSelector], template: &Template) -> Result<Option<Exactness>, String> {
    let mut best = None;
    for (i, selector) in selectors.iter().enumerate() {
        best = best.max(one(selector, template).map_err(|wrong| format!("[{i}]: {wrong}"))?);
    }
    Ok(best)
}

fn one(selector: &TemplateSelector, template: &Template) -> Result<Option<Exactness>, String> {
    // A version is no part of what an object is: the hub serves all of them as one.
    let wanted = Gvk::new(&selector.api_version, &selector.kind);
    let same = wanted.kind == template.gvk.kind
        && wanted.group == template.gvk.group
        && (selector.namespace.is_empty() || selector.namespace == template.namespace)
        && (selector.name.is_empty() || selector.name == template.name);
    if !same {
        return Ok(None);
    }
    let by_label = match &selector.label_selector {
        Some(labels) if !labels::matches(labels, &template.labels)? => return Ok(None),
        Some(labels) => labels.as_object().is_some_and(|fields| !fields.is_empty()),
        None => false,
    };
    Ok(Some(match (selector.name.is_empty(), by_label) {
        (false, _) => Exactness::Name,
        (true, true) => Exactness::Label,
        (true, false) => Exactness::Kind,
    }))
}
