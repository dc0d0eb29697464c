//! Spread constraints: so many different regions, zones, providers or label values, or clusters at all.
//!
//! Picks whole groups greedily, those that hold copies first; says which constraint cannot be met.

use std::collections::BTreeMap;

use federation_types::placement::Spread;

use super::model::ClusterFacts;

/// Refuses constraints that mean nothing.
///
/// # Errors
/// Names the field.
pub(super) fn check(spread: &[Spread]) -> Result<(), String> {
    for (i, one) in spread.iter().enumerate() {
        let known = matches!(one.by.as_str(), "cluster" | "region" | "zone" | "provider")
            || one.by.strip_prefix("label:").is_some_and(|key| !key.is_empty());
        if !known {
            return Err(format!(
                "spec.spread[{i}].by: unsupported value {:?}, expected cluster, region, zone, provider or label:KEY",
                one.by
            ));
        }
        if one.max != 0 && one.min > one.max {
            return Err(format!("spec.spread[{i}]: min {} is more than max {}", one.min, one.max));
        }
        if spread[..i].iter().any(|other| other.by == one.by) {
            return Err(format!("spec.spread[{i}].by: {:?} occurs twice", one.by));
        }
    }
    Ok(())
}

/// The clusters that meet every constraint, out of candidates that say whether they hold a copy already.
///
/// # Errors
/// The constraint that cannot be met, with what there is.
pub(super) fn pick<'a>(
    spread: &[Spread],
    candidates: impl Iterator<Item = (&'a ClusterFacts, bool)>,
) -> Result<Vec<&'a str>, String> {
    let mut left: Vec<(&ClusterFacts, bool)> = candidates.collect();
    // Whole groups first, single clusters last, so that a maximum of clusters is met by the groups that stay.
    for one in spread.iter().filter(|s| s.by != "cluster").chain(spread.iter().filter(|s| s.by == "cluster")) {
        left = constrain(one, left)?;
    }
    for one in spread {
        let groups = groups(one, &left);
        if groups.len() < one.min as usize {
            return Err(unmet(one, groups.len()));
        }
    }
    Ok(left.iter().map(|(facts, _)| facts.name.as_str()).collect())
}

type Candidates<'a> = Vec<(&'a ClusterFacts, bool)>;

fn constrain<'a>(one: &Spread, candidates: Candidates<'a>) -> Result<Candidates<'a>, String> {
    let groups = groups(one, &candidates);
    if groups.len() < one.min as usize {
        return Err(unmet(one, groups.len()));
    }
    // Clusters without a value belong to no group, and a constraint on groups leaves them out.
    let mut ranked: Vec<(&String, &Candidates<'a>)> = groups.iter().collect();
    ranked.sort_by_key(|(name, members)| {
        (std::cmp::Reverse(members.iter().filter(|(_, stands)| *stands).count()), (*name).clone())
    });
    if one.max != 0 {
        ranked.truncate(one.max as usize);
    }
    let mut kept: Candidates<'a> = ranked.into_iter().flat_map(|(_, members)| members.iter().copied()).collect();
    kept.sort_by(|a, b| a.0.name.cmp(&b.0.name));
    Ok(kept)
}

fn groups<'a>(one: &Spread, candidates: &Candidates<'a>) -> BTreeMap<String, Candidates<'a>> {
    let mut groups: BTreeMap<String, Candidates<'a>> = BTreeMap::new();
    for candidate in candidates {
        if let Some(value) = value(one, candidate.0) {
            groups.entry(value).or_default().push(*candidate);
        }
    }
    groups
}

fn value(one: &Spread, facts: &ClusterFacts) -> Option<String> {
    let value = match one.by.as_str() {
        "cluster" => Some(facts.name.clone()),
        "region" => Some(facts.region.clone()),
        // A cluster of several zones counts as the set of them.
        "zone" => Some(facts.zones.join(",")),
        "provider" => Some(facts.provider.clone()),
        other => facts.labels.get(other.strip_prefix("label:")?).cloned(),
    };
    value.filter(|v| !v.is_empty())
}

fn unmet(one: &Spread, found: usize) -> String {
    format!("spread by {}: at least {} wanted, {found} found", one.by, one.min)
}
