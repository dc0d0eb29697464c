//! Tables for the annotation grammar.

use std::collections::BTreeMap;

use federation_types::label;
use federation_types::placement::{Failover, Spread};
use serde_json::json;

use super::{Annotated, duration_seconds};

fn read(key: &str, value: &str) -> Result<Annotated, String> {
    Annotated::read(&BTreeMap::from([(key.to_owned(), value.to_owned())])).map_err(|e| e.to_string())
}

#[test]
fn names_patterns_and_exclusions() {
    let selector = read(label::CLUSTERS, "eu-*, us-1,!eu-3").unwrap().clusters.unwrap();
    assert_eq!(selector.names, ["eu-*", "us-1"]);
    assert_eq!(selector.exclude, ["eu-3"]);
    assert_eq!(selector.label_selector, None);
    let nowhere = read(label::CLUSTERS, "!*").unwrap().clusters.unwrap();
    assert_eq!((nowhere.names.len(), nowhere.exclude), (0, vec!["*".to_owned()]));
}

#[test]
fn label_terms_become_a_selector() {
    let selector = read(label::CLUSTERS, "tier=prod, example.com/zone!=edge").unwrap().clusters.unwrap();
    assert_eq!(
        selector.label_selector,
        Some(json!({"matchExpressions": [
            {"key": "tier", "operator": "In", "values": ["prod"]},
            {"key": "example.com/zone", "operator": "NotIn", "values": ["edge"]},
        ]}))
    );
}

#[test]
fn nonsense_is_refused_by_the_annotations_name() {
    for (key, value) in [
        (label::CLUSTERS, ""),
        (label::CLUSTERS, "east,,west"),
        (label::CLUSTERS, "East"),
        (label::CLUSTERS, "east west"),
        (label::CLUSTERS, "!"),
        (label::CLUSTERS, "!!east"),
        (label::CLUSTERS, "east,tier=prod"),
        (label::CLUSTERS, "=prod"),
        (label::CLUSTERS, "tier=a=b"),
        (label::CLUSTERS, "tier=ä"),
        (label::REPLICAS, "Divided"),
        (label::REPLICAS, "pinned"),
        (label::SPREAD, "region"),
        (label::SPREAD, "region>=0"),
        (label::SPREAD, "rack>=2"),
        (label::SPREAD, "region>=3,region<=2"),
        (label::SPREAD, "region>2"),
        (label::FAILOVER, "5"),
        (label::FAILOVER, "soon"),
        (label::FAILOVER, "5m,back=1m"),
        (label::FAILOVER, "5m,return=1m,return=2m"),
    ] {
        let message = read(key, value).expect_err(&format!("{key} {value:?}"));
        assert!(message.starts_with(&format!("metadata.annotations[{key}]: ")), "{message}");
    }
    let long = vec!["a"; 300].join(",");
    assert!(read(label::CLUSTERS, &long).expect_err("too many").contains("at most 256"));
}

#[test]
fn spread_and_failover_are_read() {
    let spread = read(label::SPREAD, "region>=2,cluster<=5,label:rack=1").unwrap().spread.unwrap();
    let by = |by: &str, min, max| Spread { by: by.to_owned(), min, max };
    assert_eq!(spread, [by("region", 2, 0), by("cluster", 0, 5), by("label:rack", 1, 1)]);
    let failover = read(label::FAILOVER, "5m,return=10m").unwrap().failover.unwrap();
    assert_eq!(failover, Failover { after: "5m".to_owned(), return_after: "10m".to_owned() });
}

#[test]
fn durations_are_gos() {
    assert_eq!(duration_seconds("1h30m5s"), Ok(5405));
    for bad in ["", "m", "5", "5x", "-5m", "99999999999999999999h", "1.5h"] {
        assert!(duration_seconds(bad).is_err(), "{bad}");
    }
}

#[test]
fn only_clusters_make_a_policy() {
    assert!(read(label::REPLICAS, "duplicated").unwrap().policy().is_none());
    let spec = Annotated::read(&BTreeMap::from([
        (label::CLUSTERS.to_owned(), "east".to_owned()),
        (label::REPLICAS.to_owned(), "duplicated".to_owned()),
    ]))
    .unwrap()
    .policy()
    .unwrap();
    assert_eq!(spec.replicas.unwrap().mode, "Duplicated");
}
