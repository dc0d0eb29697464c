//! Tables for decisions: precedence, filtering, division, holding, withdrawing.

use std::collections::BTreeMap;

use federation_types::binding::{
    BindingCluster, BindingClusterStatus, BindingSpec, BindingStatus, Phase, PlacementRef,
};
use federation_types::cluster::Taint;
use federation_types::{Gvk, label};
use serde_json::{Value, json};

use super::capacity::{Free, Request};
use super::{ClusterFacts, Decision, DefaultPlacement, Inputs, Policy, Previous, Referrer, Shape, Template, decide};
use crate::interpret::Scope;

fn template(annotations: &[(&str, &str)], replicas: u64) -> Template {
    Template {
        gvk: Gvk::new("apps/v1", "Deployment"),
        namespace: "shop".to_owned(),
        name: "web".to_owned(),
        labels: BTreeMap::from([("app".to_owned(), "web".to_owned())]),
        annotations: annotations.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        shape: Shape::Replicas(replicas),
        request: Request { cpu_milli: 1000, memory: 0 },
    }
}

fn clusters(names: &[&str]) -> Vec<ClusterFacts> {
    names
        .iter()
        .map(|name| ClusterFacts {
            name: (*name).to_owned(),
            labels: BTreeMap::new(),
            region: name.split('-').next().unwrap_or("").to_owned(),
            zones: Vec::new(),
            provider: String::new(),
            taints: Vec::new(),
            ready: true,
            free: Some(Free { cpu_milli: 10_000, memory: 1 << 40, pods: 100 }),
        })
        .collect()
}

fn policy(name: &str, namespace: &str, spec: Value) -> Policy {
    let kind = if namespace.is_empty() { "ClusterPlacement" } else { "Placement" };
    let mut whole = json!({"select": [{"apiVersion": "apps/v1", "kind": "Deployment"}]});
    for (key, value) in spec.as_object().expect("an object") {
        whole[key] = value.clone();
    }
    Policy {
        source: PlacementRef { kind: kind.to_owned(), name: name.to_owned() },
        namespace: namespace.to_owned(),
        created: "2026-01-01T00:00:00Z".to_owned(),
        author: String::new(),
        spec: serde_json::from_value(whole).expect("a placement spec"),
    }
}

/// A world that tests change field by field.
struct World {
    template: Template,
    policies: Vec<Policy>,
    namespace: BTreeMap<String, String>,
    clusters: Vec<ClusterFacts>,
    previous: Option<(BindingSpec, BindingStatus)>,
    referrers: Vec<Referrer>,
    referrers_known: bool,
    denied: BTreeMap<String, String>,
    default: DefaultPlacement,
}

impl World {
    fn new(annotations: &[(&str, &str)], replicas: u64) -> Self {
        Self {
            template: template(annotations, replicas),
            policies: Vec::new(),
            namespace: BTreeMap::new(),
            clusters: clusters(&["east", "north", "west"]),
            previous: None,
            referrers: Vec::new(),
            referrers_known: true,
            denied: BTreeMap::new(),
            default: DefaultPlacement::None,
        }
    }

    fn placed(mut self, policies: Vec<Policy>) -> Self {
        self.policies = policies;
        self
    }

    fn decide(&self) -> Decision {
        self.decide_in(Scope::Ordinary)
    }

    fn decide_in(&self, scope: Scope) -> Decision {
        let inputs = Inputs {
            template: &self.template,
            policies: &self.policies,
            namespace_annotations: &self.namespace,
            clusters: &self.clusters,
            previous: self.previous.as_ref().map(|(spec, status)| Previous { spec, status: Some(status) }),
            referrers: &self.referrers,
            referrers_known: self.referrers_known,
            denied: &self.denied,
            default: self.default,
        };
        decide(&inputs, scope)
    }

    /// Takes the decision over as what stands, every row in `phase`.
    fn settle(&mut self, decision: &Decision, phase: Phase) {
        let rows = decision.rows.iter().map(|r| BindingCluster {
            name: r.name.clone(),
            replicas: r.replicas.map(|n| n as i64),
            withdraw: r.withdraw,
            hold: r.hold,
        });
        let status = decision.rows.iter().map(|r| BindingClusterStatus {
            name: r.name.clone(),
            phase,
            status: Some(json!({"generation": 1, "observedGeneration": 1, "readyReplicas": r.replicas})),
            ..BindingClusterStatus::default()
        });
        self.previous = Some((
            BindingSpec { clusters: rows.collect(), placement: decision.winner.clone(), ..BindingSpec::default() },
            BindingStatus { conditions: Vec::new(), clusters: status.collect() },
        ));
    }
}

/// `east:3 west:2 -north`.
fn shown(decision: &Decision) -> String {
    let one = |r: &super::Row| match (r.withdraw, r.replicas) {
        (true, _) => format!("-{}", r.name),
        (false, Some(n)) => format!("{}:{n}", r.name),
        (false, None) => r.name.clone(),
    };
    decision.rows.iter().map(one).collect::<Vec<_>>().join(" ")
}

fn winner(decision: &Decision) -> String {
    decision.winner.as_ref().map(super::precedence::shown).unwrap_or_default()
}

#[test]
fn annotations_alone_place() {
    for (annotations, replicas, want) in [
        (vec![(label::CLUSTERS, "east,west")], 5, "east:3 west:2"),
        (vec![(label::CLUSTERS, "*")], 6, "east:2 north:2 west:2"),
        (vec![(label::CLUSTERS, "*,!north")], 6, "east:3 west:3"),
        (vec![(label::CLUSTERS, "!north")], 6, "east:3 west:3"),
        (vec![(label::CLUSTERS, "*st")], 4, "east:2 west:2"),
        (vec![(label::CLUSTERS, "east,west"), (label::REPLICAS, "duplicated")], 5, "east:5 west:5"),
        (vec![(label::CLUSTERS, "*")], 2, "east:1 north:1"),
        (vec![(label::CLUSTERS, "east,west")], 0, "east:0 west:0"),
        (vec![(label::CLUSTERS, "*"), (label::SPREAD, "cluster<=2")], 4, "east:2 north:2"),
        (vec![], 5, ""),
    ] {
        let decision = World::new(&annotations, replicas).decide();
        assert_eq!(shown(&decision), want, "{annotations:?} {replicas}");
        assert_eq!(decision.unschedulable, "", "{annotations:?}");
    }
}

#[test]
fn an_unreadable_annotation_holds_and_says_so() {
    let mut world = World::new(&[(label::CLUSTERS, "east")], 3);
    let first = world.decide();
    world.settle(&first, Phase::Applied);
    world.template = template(&[(label::CLUSTERS, "East;West")], 3);
    let decision = world.decide();
    assert_eq!(shown(&decision), "east:3");
    assert!(
        decision.unschedulable.contains("metadata.annotations[fedgate.dev/clusters]"),
        "{}",
        decision.unschedulable
    );
}

#[test]
fn precedence_is_the_contracts() {
    let on = |c: &str| json!([{"names": [c]}]);
    let by_kind = policy("a-kind", "shop", json!({"clusters": on("east")}));
    let by_label = policy(
        "b-label",
        "shop",
        json!({"clusters": on("east"), "select": [{"apiVersion": "apps/v1", "kind": "Deployment", "labelSelector": {"matchLabels": {"app": "web"}}}]}),
    );
    let by_name = policy(
        "c-name",
        "shop",
        json!({"clusters": on("east"), "select": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}]}),
    );
    let wide = policy("d-wide", "", json!({"clusters": on("east")}));
    let high = policy("e-high", "", json!({"clusters": on("east"), "priority": 5}));
    let mut old = policy("z-old", "shop", json!({"clusters": on("east")}));
    old.created = "2025-01-01T00:00:00Z".to_owned();
    let other_namespace = policy("x", "other", json!({"clusters": on("east"), "priority": 99}));
    for (policies, want) in [
        (vec![by_kind.clone(), by_label.clone()], "Placement b-label"),
        (vec![by_label.clone(), by_name.clone()], "Placement c-name"),
        (vec![wide.clone(), by_kind.clone()], "Placement a-kind"),
        (vec![by_name.clone(), high.clone()], "ClusterPlacement e-high"),
        (vec![by_kind.clone(), old.clone()], "Placement z-old"),
        (vec![by_kind.clone(), other_namespace], "Placement a-kind"),
    ] {
        let mut reversed = policies.clone();
        reversed.reverse();
        for order in [policies, reversed] {
            let losers = order.iter().filter(|p| p.namespace != "other").count() - 1;
            let decision = World::new(&[], 3).placed(order).decide();
            assert_eq!((winner(&decision).as_str(), decision.losers.len()), (want, losers));
        }
    }
    let mut world = World::new(&[(label::CLUSTERS, "west")], 3).placed(vec![high]);
    world.namespace = BTreeMap::from([(label::CLUSTERS.to_owned(), "north".to_owned())]);
    world.default = DefaultPlacement::All { divided: true };
    assert_eq!(
        (winner(&world.decide()).as_str(), shown(&world.decide()).as_str()),
        ("Annotation fedgate.dev/clusters", "west:3")
    );
    world.template.annotations.clear();
    assert_eq!(winner(&world.decide()), "ClusterPlacement e-high");
    world.policies.clear();
    assert_eq!((winner(&world.decide()).as_str(), shown(&world.decide()).as_str()), ("Namespace shop", "north:3"));
    world.namespace.clear();
    assert_eq!(
        (winner(&world.decide()).as_str(), shown(&world.decide()).as_str()),
        ("Default all", "east:1 north:1 west:1")
    );
}

#[test]
fn what_is_never_placed_is_not_and_what_must_be_named_waits_for_it() {
    let mut world = World::new(&[], 3);
    world.default = DefaultPlacement::All { divided: true };
    assert_eq!(shown(&world.decide_in(Scope::Never("a lease"))), "");
    assert_eq!(shown(&world.decide_in(Scope::Explicit("access"))), "");
    world.template.annotations.insert(label::CLUSTERS.to_owned(), "east".to_owned());
    assert_eq!(shown(&world.decide_in(Scope::Explicit("access"))), "east:3");
    assert_eq!(shown(&world.decide_in(Scope::Never("a lease"))), "");
}

#[test]
fn policies_filter_weigh_and_bound() {
    for (spec, replicas, want) in [
        (json!({"clusters": [{"names": ["east", "west"]}]}), 5, "east:3 west:2"),
        (json!({"clusters": [{"exclude": ["n*"]}]}), 4, "east:2 west:2"),
        (json!({"clusters": [{"labelSelector": {"matchLabels": {"tier": "prod"}}}]}), 4, "west:4"),
        (json!({"clusters": [{"regions": ["east"]}]}), 4, "east:4"),
        (json!({"replicas": {"mode": "Duplicated"}}), 4, "east:4 north:4 west:4"),
        (
            json!({"replicas": {"mode": "Divided", "weights": [{"clusters": {"names": ["east"]}, "weight": 2}]}}),
            8,
            "east:4 north:2 west:2",
        ),
        (json!({"replicas": {"weights": [{"clusters": {"names": ["east"]}, "weight": 0}]}}), 4, "north:2 west:2"),
        (json!({"replicas": {"min": {"west": 3}, "max": {"east": 1}}}), 6, "east:1 north:2 west:3"),
        (json!({"replicas": {"divide": "Aggregated"}}), 12, "east:10 north:2"),
        (json!({"replicas": {"dynamic": "AvailableReplicas"}}), 9, "east:3 north:3 west:3"),
        (json!({"clusters": [{"names": ["nowhere"]}, {"names": ["west"]}]}), 4, "west:4"),
        (json!({"spread": [{"by": "region", "min": 2, "max": 2}]}), 4, "east:2 north:2"),
    ] {
        let mut world = World::new(&[], replicas).placed(vec![policy("p", "shop", spec.clone())]);
        world.clusters[2].labels.insert("tier".to_owned(), "prod".to_owned());
        assert_eq!(shown(&world.decide()), want, "{spec}");
    }
}

#[test]
fn what_is_not_supported_or_wrong_is_named_and_places_nothing() {
    for (spec, says) in [
        (json!({"failover": {"after": "5m"}}), "spec.failover"),
        (json!({"conflict": "Perhaps"}), "spec.conflict"),
        (json!({"replicas": {"mode": "Sometimes"}}), "spec.replicas.mode"),
        (json!({"replicas": {"min": {"east": 3}, "max": {"east": 2}}}), "spec.replicas.min[east]"),
        (json!({"replicas": {"weights": [{"clusters": {}, "weight": 0}]}}), "every selected cluster has weight 0"),
        (json!({"clusters": [{"names": ["EAST"]}]}), "spec.clusters[0]"),
        (json!({"clusters": [{"names": ["mars"]}]}), "unknown cluster mars"),
        (json!({"clusters": [{"labelSelector": {"matchLabels": 3}}]}), "matchLabels"),
        (json!({"spread": [{"by": "region", "min": 9}]}), "at least 9 wanted, 3 found"),
        (json!({"spread": [{"by": "rack"}]}), "spec.spread[0].by"),
    ] {
        let decision = World::new(&[], 3).placed(vec![policy("p", "shop", spec.clone())]).decide();
        assert_eq!(shown(&decision), "", "{spec}");
        assert!(decision.unschedulable.contains(says), "{spec}: {}", decision.unschedulable);
    }
}

#[test]
fn an_unknown_cluster_stops_nobody_else() {
    let decision = World::new(&[(label::CLUSTERS, "east,mars")], 3).decide();
    assert_eq!((shown(&decision).as_str(), decision.unschedulable.as_str()), ("east:3", "unknown cluster mars"));
}

#[test]
fn taints_and_readiness_keep_new_copies_away_and_leave_standing_ones() {
    let taint =
        |effect: &str| Taint { key: "maintenance".to_owned(), value: "true".to_owned(), effect: effect.to_owned() };
    let mut world = World::new(&[(label::CLUSTERS, "east,west")], 4);
    world.clusters[0].taints = vec![taint("NoSchedule")];
    assert_eq!(shown(&world.decide()), "west:4");
    world.clusters[0].taints.clear();
    world.clusters[0].ready = false;
    assert_eq!(shown(&world.decide()), "west:4");
    world.clusters[0].ready = true;
    let both = world.decide();
    world.settle(&both, Phase::Applied);
    // From here on east holds copies: neither a taint for newcomers nor an outage moves them.
    world.clusters[0].taints = vec![taint("NoSchedule")];
    world.clusters[0].ready = false;
    assert_eq!(shown(&world.decide()), "east:2 west:2");
    let tolerant =
        json!({"clusters": [{"names": ["east"]}], "tolerations": [{"key": "maintenance", "operator": "Exists"}]});
    let mut fresh = World::new(&[], 4).placed(vec![policy("p", "shop", tolerant)]);
    fresh.clusters[0].taints = vec![taint("NoExecute")];
    assert_eq!(shown(&fresh.decide()), "east:4");
}

#[test]
fn an_eviction_adds_before_it_removes() {
    let mut world = World::new(&[(label::CLUSTERS, "east,west")], 4);
    let both = world.decide();
    world.settle(&both, Phase::Applied);
    world.clusters[0].taints =
        vec![Taint { key: "k".to_owned(), value: String::new(), effect: "NoExecute".to_owned() }];
    // West has to be healthy with all four before east goes.
    let draining = world.decide();
    assert_eq!(shown(&draining), "east:2 west:4");
    world.settle(&draining, Phase::Applied);
    if let Some((_, status)) = &mut world.previous {
        status.clusters[1].status = Some(json!({"generation": 2, "observedGeneration": 2, "readyReplicas": 3}));
    }
    assert_eq!(shown(&world.decide()), "east:2 west:4");
    if let Some((_, status)) = &mut world.previous {
        status.clusters[1].status = Some(json!({"generation": 2, "observedGeneration": 2, "readyReplicas": 4}));
    }
    let gone = world.decide();
    assert_eq!(shown(&gone), "-east west:4");
    // The last copy is never evicted.
    let mut alone = World::new(&[(label::CLUSTERS, "east")], 4);
    let first = alone.decide();
    alone.settle(&first, Phase::Applied);
    alone.clusters[0].taints.clone_from(&world.clusters[0].taints);
    assert_eq!(shown(&alone.decide()), "east:4");
}

#[test]
fn missing_information_never_withdraws() {
    let mut world = World::new(&[(label::CLUSTERS, "east,west")], 4);
    let both = world.decide();
    world.settle(&both, Phase::Applied);
    let annotated = world.template.annotations.clone();
    world.template.annotations.clear();
    let unselected = world.decide();
    assert_eq!(shown(&unselected), "east:2 west:2");
    assert!(unselected.unschedulable.contains("no policy selects it any more"));
    world.template.annotations = annotated;
    // No cluster is known: everything holds. One is missing: its row falls away without a withdrawal.
    let all = std::mem::take(&mut world.clusters);
    assert_eq!(shown(&world.decide()), "east:2 west:2");
    world.clusters = all.into_iter().filter(|c| c.name != "east").collect();
    assert_eq!(shown(&world.decide()), "west:4");
    // A policy that fits nothing.
    world.template.annotations.insert(label::CLUSTERS.to_owned(), "mars".to_owned());
    assert_eq!(shown(&world.decide()), "east:2 west:2");
}

#[test]
fn a_move_withdraws_once_the_new_copy_is_applied() {
    let mut world = World::new(&[(label::CLUSTERS, "east")], 4);
    let first = world.decide();
    world.settle(&first, Phase::Applied);
    world.template.annotations.insert(label::CLUSTERS.to_owned(), "west".to_owned());
    let moving = world.decide();
    assert_eq!(shown(&moving), "east:4 west:4");
    world.settle(&moving, Phase::Pending);
    assert_eq!(shown(&world.decide()), "east:4 west:4");
    world.settle(&moving, Phase::Applied);
    let moved = world.decide();
    assert_eq!(shown(&moved), "-east west:4");
    // Coming back before it is gone cancels the withdrawal.
    world.settle(&moved, Phase::Applied);
    world.template.annotations.insert(label::CLUSTERS.to_owned(), "east,west".to_owned());
    assert_eq!(shown(&world.decide()), "east:2 west:2");
    // And nowhere, said in so many words, withdraws all.
    world.template.annotations.insert(label::CLUSTERS.to_owned(), "!*".to_owned());
    assert_eq!(shown(&world.decide()), "-east -west");
}

#[test]
fn ordered_groups_stay_where_they_are() {
    let ordered = json!({"clusters": [{"names": ["east"]}, {"names": ["west"]}]});
    let mut world = World::new(&[], 4).placed(vec![policy("p", "shop", ordered)]);
    world.clusters[0].ready = false;
    let second = world.decide();
    assert_eq!(shown(&second), "west:4");
    world.settle(&second, Phase::Applied);
    world.clusters[0].ready = true;
    assert_eq!(shown(&world.decide()), "west:4");
    let roomy = json!({"clusters": [{"names": ["east"]}, {"names": ["east", "west"]}], "replicas": {"dynamic": "AvailableReplicas"}});
    let world = World::new(&[], 14).placed(vec![policy("p", "shop", roomy)]);
    assert_eq!(shown(&world.decide()), "east:7 west:7");
}

#[test]
fn scaling_moves_nothing_else_and_reports_what_does_not_fit() {
    let mut world = World::new(&[(label::CLUSTERS, "*")], 7);
    let first = world.decide();
    assert_eq!(shown(&first), "east:3 north:2 west:2");
    world.settle(&first, Phase::Applied);
    assert_eq!(world.decide().rows, first.rows);
    world.template.shape = Shape::Replicas(8);
    assert_eq!(shown(&world.decide()), "east:3 north:3 west:2");
    world.template.shape = Shape::Replicas(1);
    // Nothing is deleted by a division: a cluster left without replicas keeps its object, scaled to zero.
    assert_eq!(shown(&world.decide()), "east:1 north:0 west:0");
    let dynamic = json!({"replicas": {"dynamic": "AvailableReplicas"}});
    let decision = World::new(&[], 40).placed(vec![policy("p", "shop", dynamic)]).decide();
    assert_eq!(shown(&decision), "east:10 north:10 west:10");
    assert_eq!(decision.unschedulable, "10 of 40 replicas find no room");
}

#[test]
fn a_pod_runs_once_and_a_job_too_unless_duplicated() {
    for (shape, mode, want) in [
        (Shape::Single, "Divided", "north"),
        (Shape::Single, "Duplicated", "north"),
        (Shape::Once, "Divided", "north"),
        (Shape::Once, "Duplicated", "east north west"),
        (Shape::Whole, "Divided", "east north west"),
    ] {
        let mut world = World::new(&[], 0).placed(vec![policy("p", "shop", json!({"replicas": {"mode": mode}}))]);
        world.template.shape = shape;
        world.clusters[1].free = Some(Free { cpu_milli: 20_000, memory: 1 << 40, pods: 100 });
        let first = world.decide();
        assert_eq!(shown(&first), want, "{shape:?} {mode}");
        world.settle(&first, Phase::Applied);
        world.clusters[1].free = None;
        assert_eq!(shown(&world.decide()), want, "{shape:?} {mode} again");
    }
}

#[test]
fn dependencies_follow_and_leave_with_the_last_who_needs_them() {
    let mut world = World::new(&[], 0);
    world.template.shape = Shape::Whole;
    let refer = |name: &str, clusters: &[&str]| Referrer {
        kind: "Deployment".to_owned(),
        name: name.to_owned(),
        clusters: clusters.iter().map(|c| (*c).to_owned()).collect(),
    };
    world.referrers = vec![refer("a", &["east"]), refer("b", &["east", "west", "mars"])];
    let both = world.decide();
    assert_eq!((shown(&both).as_str(), winner(&both).as_str()), ("east west", "Follows a,b"));
    world.settle(&both, Phase::Applied);
    world.referrers.pop();
    // While somebody may be missing, nothing leaves.
    world.referrers_known = false;
    assert_eq!(shown(&world.decide()), "east west");
    let nobody = std::mem::take(&mut world.referrers);
    assert_eq!(shown(&world.decide()), "east west");
    world.referrers = nobody;
    world.referrers_known = true;
    assert_eq!(shown(&world.decide()), "east -west");
    world.referrers.clear();
    assert_eq!(shown(&world.decide()), "-east -west");
    // A policy of its own beats being needed.
    world.template.annotations.insert(label::CLUSTERS.to_owned(), "north".to_owned());
    world.referrers = vec![refer("a", &["east"])];
    assert_eq!(winner(&world.decide()), "Annotation fedgate.dev/clusters");
}

#[test]
fn an_author_without_the_right_adds_nothing_and_what_stands_holds() {
    let mut world = World::new(&[(label::CLUSTERS, "east,west")], 4);
    world.denied.insert("west".to_owned(), "jane may not execute-as on west".to_owned());
    let decision = world.decide();
    assert_eq!(shown(&decision), "east:4");
    assert!(decision.verdicts.iter().any(|v| v.member == "west" && v.reason.contains("jane")));
    assert!(decision.unschedulable.contains("west: jane may not"), "{}", decision.unschedulable);
    // A copy that stands there stays exactly as it is.
    world.denied.clear();
    let both = world.decide();
    world.settle(&both, Phase::Applied);
    world.denied.insert("west".to_owned(), "jane may not execute-as on west".to_owned());
    world.template.shape = Shape::Replicas(8);
    let held = world.decide();
    assert_eq!(shown(&held), "east:4 west:2");
    assert_eq!(held.rows.iter().map(|r| r.hold).collect::<Vec<_>>(), [false, true]);
}
