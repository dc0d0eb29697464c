//! Which clusters a selector means, and which of them a template may stay on or go to.
//!
//! Every refusal is a sentence, for `why`.

use federation_types::placement::{ClusterSelector, Toleration};

use super::glob;
use super::labels;
use super::model::ClusterFacts;

/// Says whether `selector` means this cluster; the error is the reason why not.
///
/// # Errors
/// The first part of the selector that the cluster does not meet.
pub fn selects(wanted: &ClusterSelector, facts: &ClusterFacts) -> Result<(), String> {
    let any = |patterns: &[String]| patterns.iter().any(|p| glob::matches(p, &facts.name));
    if any(&wanted.exclude) {
        return Err("excluded by name".to_owned());
    }
    if !wanted.names.is_empty() && !any(&wanted.names) {
        return Err(format!("not among the names {}", wanted.names.join(", ")));
    }
    if let Some(wanted_labels) = &wanted.label_selector
        && !labels::matches(wanted_labels, &facts.labels)?
    {
        return Err("labels do not match".to_owned());
    }
    if !wanted.regions.is_empty() && !wanted.regions.contains(&facts.region) {
        return Err(format!("region {:?} is not one of {}", facts.region, wanted.regions.join(", ")));
    }
    if !wanted.zones.is_empty() && !facts.zones.iter().any(|z| wanted.zones.contains(z)) {
        return Err(format!("no zone of it is one of {}", wanted.zones.join(", ")));
    }
    if !wanted.providers.is_empty() && !wanted.providers.contains(&facts.provider) {
        return Err(format!("provider {:?} is not one of {}", facts.provider, wanted.providers.join(", ")));
    }
    Ok(())
}

/// Names without a pattern that no cluster bears: accepted, and said so.
#[must_use]
pub fn unknown<'a>(groups: &'a [ClusterSelector], clusters: &[ClusterFacts]) -> Vec<&'a str> {
    let mut names: Vec<&str> = groups
        .iter()
        .flat_map(|g| &g.names)
        .filter(|n| glob::is_exact(n) && !clusters.iter().any(|c| c.name == **n))
        .map(String::as_str)
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// The taint that keeps new copies away, as `key=value:effect`.
#[must_use]
pub fn repelled(facts: &ClusterFacts, tolerations: &[Toleration]) -> Option<String> {
    taint_where(facts, tolerations, |effect| effect == "NoSchedule" || effect == "NoExecute")
}

/// The taint that drives standing copies out, as `key=value:effect`.
#[must_use]
pub fn expelled(facts: &ClusterFacts, tolerations: &[Toleration]) -> Option<String> {
    taint_where(facts, tolerations, |effect| effect == "NoExecute")
}

fn taint_where(facts: &ClusterFacts, tolerations: &[Toleration], counts: fn(&str) -> bool) -> Option<String> {
    facts
        .taints
        .iter()
        .find(|taint| counts(&taint.effect) && !tolerations.iter().any(|t| t.tolerates(taint)))
        .map(|taint| format!("{}={}:{}", taint.key, taint.value, taint.effect))
}
