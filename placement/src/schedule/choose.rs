//! From the winning policy to rows: filter, pick the group, divide, and say why.
//!
//! What stands is never taken away because something cannot be decided.

use std::collections::BTreeMap;

use federation_types::binding::{BindingClusterStatus, Phase};
use federation_types::placement::{PlacementSpec, Replicas};

use super::capacity::Free;
use super::divide::{Division, Share, aggregate, divide};
use super::model::{ClusterFacts, Decision, Inputs, Row, Shape, Verdict};
use super::precedence::{Ranked, rank};
use super::{filter, spread};
use crate::interpret::{self, Health, Scope};

/// A cluster that the policy selects and that may hold a copy.
struct Candidate<'a> {
    facts: &'a ClusterFacts,
    /// Replicas that it has now; `None` where it has no row.
    standing: Option<u64>,
}

/// What one group of a policy offers.
#[derive(Default)]
struct Offer<'a> {
    candidates: Vec<Candidate<'a>>,
    verdicts: Vec<Verdict>,
}

/// Decides where a template runs. `scope` says whether it may leave the hub at all.
#[must_use]
pub fn decide(inputs: &Inputs<'_>, scope: Scope) -> Decision {
    let explicit_only = match scope {
        Scope::Never(why) => return held(inputs, Decision::default(), format!("never placed: {why}")),
        Scope::Explicit(_) => true,
        Scope::Ordinary => false,
    };
    let Ranked { winner, losers, broken } = rank(inputs, explicit_only);
    let mut decision = Decision { losers, ..Decision::default() };
    if let Some(reason) = broken {
        return held(inputs, decision, reason);
    }
    let Some((source, spec)) = winner else {
        return follow(inputs, decision);
    };
    decision.winner = Some(source);
    decision.policy = Some(spec.clone());
    if let Err(refused) = supported(&spec) {
        return held(inputs, decision, refused);
    }
    place(inputs, &spec, decision)
}

/// Nothing places it by itself: it goes where the templates go that need it.
fn follow(inputs: &Inputs<'_>, mut decision: Decision) -> Decision {
    if inputs.referrers.is_empty() {
        if !inputs.referrers_known {
            return held(inputs, decision, String::new());
        }
        let followed = inputs.previous.and_then(|p| p.spec.placement.as_ref()).is_some_and(|p| p.kind == FOLLOWS);
        if followed && let Some(previous) = inputs.previous {
            // The last template that needed it is gone from the hub, or needs it no more: that is known, not missing.
            decision.rows = previous.spec.clusters.iter().map(|r| row(&r.name, None, true)).collect();
            decision.winner.clone_from(&previous.spec.placement);
            decision.unschedulable = "no template needs it any more".to_owned();
            return decision;
        }
        let reason = if inputs.previous.is_some_and(|p| !p.spec.clusters.is_empty()) {
            "no policy selects it any more; it stays where it is (annotate fedgate.dev/clusters: \"!*\" to withdraw it)"
        } else {
            ""
        };
        return held(inputs, decision, reason.to_owned());
    }
    let names: Vec<&str> = inputs.referrers.iter().map(|r| r.name.as_str()).collect();
    let mut wanted: BTreeMap<&str, &str> = BTreeMap::new();
    for referrer in inputs.referrers {
        for member in &referrer.clusters {
            wanted.entry(member).or_insert(&referrer.name);
        }
    }
    decision.winner = Some(federation_types::binding::PlacementRef { kind: FOLLOWS.to_owned(), name: names.join(",") });
    let known = |name: &str| inputs.clusters.iter().any(|c| c.name == name);
    for (member, because) in &wanted {
        if known(member) && (!inputs.denied.contains_key(*member) || standing(inputs, member).is_some()) {
            let hold = inputs.denied.contains_key(*member);
            decision.rows.push(Row { hold, ..row(member, None, false) });
            decision.verdicts.push(verdict(member, true, &format!("{because} needs it there")));
        }
    }
    if inputs.referrers_known {
        leave_behind(inputs, &mut decision, &[], false);
    } else {
        stay(inputs, &mut decision);
    }
    decision
}

/// Rows that nobody chose stay as they are.
fn stay(inputs: &Inputs<'_>, decision: &mut Decision) {
    let rows = inputs.previous.map(|p| p.spec.clusters.as_slice()).unwrap_or_default();
    for old in rows {
        if !decision.rows.iter().any(|r| r.name == old.name) {
            decision.rows.push(row(&old.name, None, old.withdraw));
        }
    }
}

/// `placement.kind` of a binding whose template goes where others need it.
pub const FOLLOWS: &str = "Follows";

fn place(inputs: &Inputs<'_>, spec: &PlacementSpec, mut decision: Decision) -> Decision {
    if inputs.clusters.is_empty() {
        return held(inputs, decision, "there are no member clusters yet".to_owned());
    }
    let mut reasons: Vec<String> = Vec::new();
    let unknown = filter::unknown(&spec.clusters, inputs.clusters);
    if !unknown.is_empty() {
        reasons.push(format!("unknown cluster {}", unknown.join(", ")));
    }
    let nowhere = !spec.clusters.is_empty() && spec.clusters.iter().all(|g| g.exclude.iter().any(|p| p == "*"));
    let replicas = spec.replicas.clone().unwrap_or_default();
    let (offer, rejected) = offer(inputs, spec, &replicas);
    decision.verdicts.clone_from(&offer.verdicts);
    if offer.candidates.is_empty() && !nowhere {
        reasons.push("no cluster fits".to_owned());
        reasons.extend(offer.verdicts.iter().map(|v| format!("{}: {}", v.member, v.reason)));
        return held(inputs, decision, reasons.join("; "));
    }
    let chosen: Vec<Candidate<'_>> =
        match spread::pick(&spec.spread, offer.candidates.iter().map(|c| (c.facts, c.standing.is_some()))) {
            Ok(chosen) => offer.candidates.into_iter().filter(|c| chosen.contains(&c.facts.name.as_str())).collect(),
            Err(unmet) => {
                reasons.push(unmet);
                return held(inputs, decision, reasons.join("; "));
            }
        };
    if weightless(inputs, &replicas, &chosen) {
        return held(inputs, decision, "spec.replicas.weights: every selected cluster has weight 0".to_owned());
    }
    decision.rows = rows(inputs, &replicas, chosen, &mut reasons);
    hold_denied(inputs, &mut decision, &mut reasons);
    leave_behind(inputs, &mut decision, &rejected, nowhere);
    decision.rows.sort_by(|a, b| a.name.cmp(&b.name));
    let given: Vec<String> = decision.rows.iter().filter(|r| !r.withdraw).map(|r| r.name.clone()).collect();
    for verdict in &mut decision.verdicts {
        if verdict.chosen && !given.contains(&verdict.member) {
            verdict.chosen = false;
            "fits, but nothing is left for it".clone_into(&mut verdict.reason);
        }
    }
    decision.unschedulable = reasons.join("; ");
    decision
}

/// Where the author may not act, what stands stays as it is, and the reason is said.
fn hold_denied(inputs: &Inputs<'_>, decision: &mut Decision, reasons: &mut Vec<String>) {
    let considered: Vec<&str> = decision.verdicts.iter().map(|v| v.member.as_str()).collect();
    reasons.extend(
        inputs.denied.iter().filter(|(c, _)| considered.contains(&c.as_str())).map(|(c, why)| format!("{c}: {why}")),
    );
    for row in decision.rows.iter_mut().filter(|row| inputs.denied.contains_key(&row.name)) {
        row.hold = true;
        if row.replicas.is_some() {
            row.replicas = standing(inputs, &row.name);
        }
    }
}

/// The first group that fits; a group that holds copies stays the active one until it has no cluster left.
fn offer<'a>(inputs: &Inputs<'a>, spec: &PlacementSpec, replicas: &Replicas) -> (Offer<'a>, Vec<(String, String)>) {
    let all = [federation_types::placement::ClusterSelector::default()];
    let groups = if spec.clusters.is_empty() { &all[..] } else { &spec.clusters[..] };
    let mut offers: Vec<(Offer<'a>, Vec<(String, String)>)> = groups
        .iter()
        .map(|group| {
            let mut offer = Offer::default();
            let mut expelled = Vec::new();
            for facts in inputs.clusters {
                consider(inputs, (spec, group), facts, &mut offer, &mut expelled);
            }
            (offer, expelled)
        })
        .collect();
    let active = offers.iter().position(|(o, _)| o.candidates.iter().any(|c| c.standing.is_some()));
    let fits = |offer: &Offer<'_>| !offer.candidates.is_empty() && room(inputs, replicas, offer);
    let pick = active
        .or_else(|| offers.iter().position(|(o, _)| fits(o)))
        .or_else(|| offers.iter().position(|(o, _)| !o.candidates.is_empty()))
        .unwrap_or(0);
    let mut expelled: Vec<(String, String)> = offers.iter().flat_map(|(_, e)| e.clone()).collect();
    expelled.sort();
    expelled.dedup();
    (offers.swap_remove(pick).0, expelled)
}

/// Whether a group takes all replicas, where free capacity counts.
fn room(inputs: &Inputs<'_>, replicas: &Replicas, offer: &Offer<'_>) -> bool {
    let Shape::Replicas(total) = inputs.template.shape else { return true };
    if replicas.dynamic.is_empty() && replicas.divide != "Aggregated" {
        return true;
    }
    offer.candidates.iter().map(|c| available(inputs, c)).fold(0u64, u64::saturating_add) >= total
}

fn consider<'a>(
    inputs: &Inputs<'a>,
    (spec, group): (&PlacementSpec, &federation_types::placement::ClusterSelector),
    facts: &'a ClusterFacts,
    offer: &mut Offer<'a>,
    expelled: &mut Vec<(String, String)>,
) {
    let name = facts.name.as_str();
    let standing = standing(inputs, name);
    let refused = if let Err(reason) = filter::selects(group, facts) {
        Some(reason)
    } else if let Some(taint) = filter::expelled(facts, &spec.tolerations) {
        let reason = format!("taint {taint} is not tolerated");
        if standing.is_some() {
            expelled.push((name.to_owned(), reason.clone()));
        }
        Some(reason)
    } else if standing.is_some() {
        None
    } else if let Some(taint) = filter::repelled(facts, &spec.tolerations) {
        Some(format!("taint {taint} is not tolerated"))
    } else if let Some(denied) = inputs.denied.get(name) {
        Some(denied.clone())
    } else if !facts.ready && divides(inputs, spec) {
        Some("not Ready".to_owned())
    } else {
        None
    };
    match refused {
        Some(reason) => offer.verdicts.push(verdict(name, false, &reason)),
        None => {
            offer.verdicts.push(verdict(name, true, "selected"));
            offer.candidates.push(Candidate { facts, standing });
        }
    }
}

/// Whether clusters share the work, so that one that is not Ready would get a part that nobody does.
fn divides(inputs: &Inputs<'_>, spec: &PlacementSpec) -> bool {
    let duplicated = spec.replicas.as_ref().is_some_and(|r| r.mode == "Duplicated");
    match inputs.template.shape {
        Shape::Whole => false,
        Shape::Single => true,
        Shape::Replicas(_) | Shape::Once => !duplicated,
    }
}

fn rows(inputs: &Inputs<'_>, how: &Replicas, chosen: Vec<Candidate<'_>>, reasons: &mut Vec<String>) -> Vec<Row> {
    let duplicated = how.mode == "Duplicated";
    match inputs.template.shape {
        Shape::Whole => chosen.iter().map(|c| row(&c.facts.name, None, false)).collect(),
        Shape::Once if duplicated => chosen.iter().map(|c| row(&c.facts.name, None, false)).collect(),
        Shape::Once | Shape::Single => {
            best(inputs, &chosen).map(|c| row(&c.facts.name, None, false)).into_iter().collect()
        }
        Shape::Replicas(total) if duplicated => chosen.iter().map(|c| row(&c.facts.name, Some(total), false)).collect(),
        Shape::Replicas(total) => divided(inputs, how, total, (chosen, reasons)),
    }
}

/// Whether the weights leave nobody to take a replica.
fn weightless(inputs: &Inputs<'_>, how: &Replicas, chosen: &[Candidate<'_>]) -> bool {
    let by_weight = how.mode != "Duplicated" && how.divide != "Aggregated" && how.dynamic.is_empty();
    by_weight
        && !chosen.is_empty()
        && matches!(inputs.template.shape, Shape::Replicas(_))
        && shares(inputs, how, chosen, false).iter().all(|share| share.weight == 0)
}

/// The one cluster for what runs once: where it is; else where most is free; else the first by name.
fn best<'c, 'a>(inputs: &Inputs<'_>, chosen: &'c [Candidate<'a>]) -> Option<&'c Candidate<'a>> {
    let free = |c: &Candidate<'_>| c.facts.free.map_or(0, |f: Free| f.fits(inputs.template.request));
    chosen.iter().max_by(|a, b| {
        a.standing
            .is_some()
            .cmp(&b.standing.is_some())
            .then_with(|| free(a).cmp(&free(b)))
            .then_with(|| b.facts.name.cmp(&a.facts.name))
    })
}

fn divided(
    inputs: &Inputs<'_>,
    how: &Replicas,
    total: u64,
    (mut chosen, reasons): (Vec<Candidate<'_>>, &mut Vec<String>),
) -> Vec<Row> {
    let aggregated = how.divide == "Aggregated";
    if aggregated {
        // Those that hold copies first, then the roomiest: the fewest clusters, and nothing moves.
        chosen.sort_by(|a, b| {
            let key = |c: &Candidate<'_>| (c.standing.unwrap_or(0), available(inputs, c));
            key(b).cmp(&key(a)).then_with(|| a.facts.name.cmp(&b.facts.name))
        });
    }
    let division = if aggregated {
        aggregate(total, &shares(inputs, how, &chosen, aggregated))
    } else if how.dynamic.is_empty() {
        divide(total, &shares(inputs, how, &chosen, false))
    } else {
        dynamic(total, &shares(inputs, how, &chosen, true))
    };
    if division.left > 0 {
        reasons.push(format!("{} of {total} replicas find no room", division.left));
    }
    chosen
        .iter()
        .zip(division.replicas)
        .filter(|(c, part)| *part > 0 || c.standing.is_some() || total == 0)
        .map(|(c, part)| row(&c.facts.name, Some(part), false))
        .collect()
}

fn shares<'c>(inputs: &Inputs<'_>, how: &Replicas, chosen: &'c [Candidate<'_>], by_room: bool) -> Vec<Share<'c>> {
    chosen
        .iter()
        .map(|c| {
            let name = c.facts.name.as_str();
            let room = available(inputs, c);
            let listed = how.weights.iter().find(|w| filter::selects(&w.clusters, c.facts).is_ok());
            let max = how.max.get(name).map_or(REPLICAS_MAX, |m| u64::from(*m));
            Share {
                name,
                weight: if by_room { room.min(REPLICAS_MAX) } else { listed.map_or(1, |w| u64::from(w.weight)) },
                min: how.min.get(name).map_or(0, |m| u64::from(*m)),
                max: if by_room { max.min(room) } else { max },
                previous: c.standing.unwrap_or(0),
            }
        })
        .collect()
}

/// Most replicas of one template: what `spec.replicas` (an i32) holds.
const REPLICAS_MAX: u64 = i32::MAX as u64;

/// By free capacity: only what is new is divided, and what goes is taken in proportion, so that nothing else moves.
fn dynamic(total: u64, shares: &[Share<'_>]) -> Division {
    let stands: u64 = shares.iter().map(|s| s.previous.min(s.max)).sum();
    if stands == 0 {
        return divide(total, shares);
    }
    if total < stands {
        let by_standing: Vec<Share<'_>> =
            shares.iter().map(|s| Share { weight: s.previous, max: s.previous.min(s.max), ..s.clone() }).collect();
        return divide(total, &by_standing);
    }
    let more: Vec<Share<'_>> = shares
        .iter()
        .map(|s| {
            let kept = s.previous.min(s.max);
            Share {
                weight: s.weight.saturating_sub(kept),
                min: s.min.saturating_sub(kept),
                max: s.max - kept,
                previous: 0,
                name: s.name,
            }
        })
        .collect();
    let added = divide(total - stands, &more);
    let replicas = shares.iter().zip(added.replicas).map(|(s, new)| s.previous.min(s.max) + new).collect();
    Division { replicas, left: added.left }
}

/// Replicas that fit, those that stand there included.
fn available(inputs: &Inputs<'_>, candidate: &Candidate<'_>) -> u64 {
    let free = candidate.facts.free.map_or(0, |f| f.fits(inputs.template.request));
    free.saturating_add(candidate.standing.unwrap_or(0)).min(REPLICAS_MAX)
}

/// Rows that the policy no longer means: withdrawn once what takes their place is there, held until then.
///
/// `nowhere`: the policy says in so many words that no cluster is wanted.
fn leave_behind(inputs: &Inputs<'_>, decision: &mut Decision, expelled: &[(String, String)], nowhere: bool) {
    let Some(previous) = inputs.previous else { return };
    let chosen: Vec<(String, Option<u64>)> = decision.rows.iter().map(|r| (r.name.clone(), r.replicas)).collect();
    for old in &previous.spec.clusters {
        let known = inputs.clusters.iter().any(|c| c.name == old.name);
        // A cluster that is no member any more has nothing that we could take away.
        if !known || chosen.iter().any(|(name, _)| *name == old.name) {
            continue;
        }
        let evicted = expelled.iter().any(|(name, _)| *name == old.name);
        let withdraw = old.withdraw || nowhere || replaced(inputs, &chosen, evicted);
        let replicas = old.replicas.and_then(|r| u64::try_from(r).ok());
        decision.rows.push(row(&old.name, replicas, withdraw));
        if !withdraw {
            decision.verdicts.push(verdict(&old.name, true, "stays until what replaces it is there"));
        }
    }
}

/// Whether what was chosen instead is in place: applied, and after an eviction also healthy.
fn replaced(inputs: &Inputs<'_>, chosen: &[(String, Option<u64>)], evicted: bool) -> bool {
    let Some(status) = inputs.previous.and_then(|p| p.status) else { return false };
    let there = |(name, replicas): &(String, Option<u64>)| {
        status.clusters.iter().any(|s| s.name == *name && in_place(inputs, s, *replicas, evicted))
    };
    !chosen.is_empty() && chosen.iter().all(there)
}

fn in_place(inputs: &Inputs<'_>, status: &BindingClusterStatus, replicas: Option<u64>, healthy: bool) -> bool {
    status.phase == Phase::Applied
        && (!healthy || interpret::health(&inputs.template.gvk, status.status.as_ref(), replicas) == Health::Healthy)
}

/// What stands stays as it is, and the reason is said.
fn held(inputs: &Inputs<'_>, mut decision: Decision, reason: String) -> Decision {
    if let Some(previous) = inputs.previous {
        decision.rows = previous
            .spec
            .clusters
            .iter()
            .map(|r| Row { hold: r.hold, ..row(&r.name, r.replicas.and_then(|n| u64::try_from(n).ok()), r.withdraw) })
            .collect();
    }
    decision.unschedulable = reason;
    decision
}

/// What a policy asks for that is not there, or makes no sense; by the field's name.
#[must_use]
pub fn refusal(spec: &PlacementSpec) -> Option<String> {
    supported(spec).err()
}

/// Refuses by name what a policy asks for and is not there.
fn supported(spec: &PlacementSpec) -> Result<(), String> {
    let one_of = |field: &str, value: &str, allowed: &[&str]| {
        if value.is_empty() || allowed.contains(&value) {
            Ok(())
        } else {
            Err(format!("{field}: unsupported value {value:?}, expected one of {}", allowed.join(", ")))
        }
    };
    if spec.failover.is_some() {
        return Err("spec.failover is not supported yet: copies are never evicted; remove it".to_owned());
    }
    one_of("spec.dependencies", &spec.dependencies, &["Follow", "Ignore"])?;
    one_of("spec.conflict", &spec.conflict, &["Fail", "Adopt", "Overwrite"])?;
    one_of("spec.onDelete", &spec.on_delete, &["Delete", "Orphan"])?;
    if let Some(replicas) = &spec.replicas {
        one_of("spec.replicas.mode", &replicas.mode, &["Duplicated", "Divided"])?;
        one_of("spec.replicas.divide", &replicas.divide, &["Weighted", "Aggregated"])?;
        one_of("spec.replicas.dynamic", &replicas.dynamic, &["AvailableReplicas"])?;
        if let Some((name, _)) =
            replicas.min.iter().find(|(name, min)| replicas.max.get(*name).is_some_and(|max| max < min))
        {
            return Err(format!("spec.replicas.min[{name}] is more than spec.replicas.max[{name}]"));
        }
    }
    for (i, group) in spec.clusters.iter().enumerate() {
        for pattern in group.names.iter().chain(&group.exclude) {
            super::glob::check(pattern).map_err(|wrong| format!("spec.clusters[{i}]: {wrong}"))?;
        }
    }
    spread::check(&spec.spread)
}

fn standing(inputs: &Inputs<'_>, member: &str) -> Option<u64> {
    inputs.previous.and_then(|p| p.replicas(member))
}

fn row(name: &str, replicas: Option<u64>, withdraw: bool) -> Row {
    Row { name: name.to_owned(), replicas, withdraw, hold: false }
}

fn verdict(member: &str, chosen: bool, reason: &str) -> Verdict {
    Verdict { member: member.to_owned(), chosen, reason: reason.to_owned() }
}
