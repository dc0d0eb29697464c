//! What is believed when the hub is heard in part, in full, or not at all.

use std::collections::BTreeMap;
use std::sync::Arc;

use federation_types::endpoint::Seen;

use super::{Inputs, Now, kept, merge};
use crate::zone::tests::inputs;

/// What the hub shows, in the words of the zone's tests.
fn now(lines: &str, synced: bool, members: Option<&[&str]>) -> Now {
    let (services, clusters) = inputs(lines);
    let mut slices = Vec::new();
    for (name, seen) in clusters {
        slices.extend(seen.slices.into_iter().map(|slice| Arc::new(Seen::Slice(slice))));
        slices.extend(seen.complete.then(|| Arc::new(Seen::Marker(name))));
    }
    let services =
        services.into_iter().map(|service| ((service.namespace.clone(), service.name.clone()), service.into()));
    Now {
        services: services.collect::<BTreeMap<_, _>>(),
        services_synced: synced,
        slices,
        slices_synced: synced,
        members: members.map(|names| names.iter().map(|&name| name.to_owned()).collect()),
    }
}

/// `cluster: addresses` of every cluster, `?` where it is not complete.
fn seen(inputs: &Inputs) -> Vec<String> {
    let cluster = |(name, seen): (&federation_types::ClusterName, &federation_types::endpoint::SeenCluster)| {
        let endpoints = seen.slices.iter().flat_map(|slice| &slice.endpoints).flat_map(|endpoint| &endpoint.addresses);
        let addresses: Vec<_> = endpoints.map(ToString::to_string).collect();
        format!("{name}{} {}", if seen.complete { ":" } else { "?" }, addresses.join(","))
    };
    inputs.clusters.iter().map(cluster).collect()
}

const FULL: &str = "service test/web
    cluster east complete
    cluster west complete
    slice east test/web :80/TCP 10.1.0.1
    slice west test/web :80/TCP 10.2.0.1";

#[test]
fn an_absence_needs_a_marker_a_removal_needs_the_members() {
    let both: Option<&[&str]> = Some(&["east", "west"]);
    let full = merge(&Inputs::default(), now(FULL, true, both));
    assert_eq!(seen(&full), ["east: 10.1.0.1", "west: 10.2.0.1"]);
    let west_is_lost = "service test/web\ncluster east complete\nslice east test/web :80/TCP 10.1.0.9";
    let lost = merge(&full, now(west_is_lost, true, both));
    assert_eq!(seen(&lost), ["east: 10.1.0.9", "west? 10.2.0.1"]);
    let back_and_empty = format!("{west_is_lost}\ncluster west complete");
    assert_eq!(seen(&merge(&lost, now(&back_and_empty, true, both))), ["east: 10.1.0.9", "west: "]);
    let removed = merge(&lost, now(west_is_lost, true, Some(&["east"])));
    assert_eq!(seen(&removed), ["east: 10.1.0.9"]);
    let unsure = merge(&lost, now(west_is_lost, true, None));
    assert_eq!(seen(&unsure), ["east: 10.1.0.9", "west? 10.2.0.1"], "the members are not listed yet");
}

#[test]
fn a_hub_that_is_not_heard_changes_nothing() {
    let full = merge(&Inputs::default(), now(FULL, true, None));
    let silent = merge(&full, now("", false, None));
    assert_eq!(silent.services, full.services);
    assert_eq!(seen(&silent), ["east? 10.1.0.1", "west? 10.2.0.1"]);
    let emptied = merge(&full, now("cluster east complete\ncluster west complete", true, None));
    assert!(emptied.services.is_empty(), "a full list is believed");
}

#[test]
fn a_member_that_was_never_seen_is_there_all_the_same() {
    let joined = merge(&Inputs::default(), now(FULL, true, Some(&["east", "north", "west"])));
    assert_eq!(seen(&joined), ["east: 10.1.0.1", "north? ", "west: 10.2.0.1"]);
}

#[test]
fn what_is_kept_comes_back_and_damage_is_no_disaster() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("zone.json");
    assert_eq!(kept::load(&path), None);
    let lines = "service test/web\nservice test/db headless\ncluster east complete
        slice east test/web http:80/TCP,dns:53/UDP 10.1.0.1 10.1.0.2!
        slice east test/db :5432/TCP db-0=fd00::1";
    let full = merge(&Inputs::default(), now(lines, true, None));
    kept::save(&path, &full).expect("written");
    let back = kept::load(&path).expect("read");
    assert_eq!(back.services, full.services);
    assert_eq!(seen(&back), ["east? 10.1.0.1,fd00::1"], "ready endpoints, nothing complete");
    assert_eq!(back.clusters["east"].slices[0].ports.len(), 2);
    assert_eq!(back.clusters["east"].slices[1].endpoints[0].hostname.as_deref(), Some("db-0"));
    std::fs::write(&path, "{\"services\": [").expect("written");
    assert_eq!(kept::load(&path), None);
}
