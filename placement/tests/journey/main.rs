//! Journeys of templates through all controllers, over in-memory APIs: one hub and its members.

mod fake;
mod stage;

use std::time::Duration;

use federation_types::label;
use placement::schedule::DefaultPlacement;
use serde_json::{Value, json};
use stage::{Stage, config_map, deployment};

const CORE: &str = "/api/v1";
const APPS: &str = "/apis/apps/v1";

#[tokio::test]
async fn a_config_map_goes_to_one_member_and_back_into_the_bindings_status() {
    let stage = Stage::start(&["east", "west"]).await;
    stage.hub.put(CORE, "configmaps", config_map("app", &[(label::CLUSTERS, "east")], "1"));
    let copy = stage.until("the copy", || stage.member("east").get(CORE, "configmaps", "shop", "app")).await;
    assert_eq!(copy["data"]["a"], "1");
    assert_eq!(copy["metadata"]["labels"]["fedgate.dev/hub"], "hub-uid");
    assert_eq!(copy["metadata"]["annotations"].get(label::CLUSTERS), None);
    assert_eq!(stage.member("east").actors(), [label::DEFAULT_EXECUTOR]);
    // The namespace was made there, marked as ours.
    let namespace = stage.member("east").get(CORE, "namespaces", "", "shop").expect("a namespace");
    assert_eq!(namespace["metadata"]["labels"]["fedgate.dev/hub"], "hub-uid");
    assert!(stage.member("west").all(CORE, "configmaps").is_empty());
    let row = stage.until_row("app", "east", |row| row["phase"] == "Applied").await;
    assert_eq!(row["uid"], copy["metadata"]["uid"]);
    assert_eq!(row["appliedHash"], copy["metadata"]["annotations"]["fedgate.dev/hash"]);
    // An edit arrives, and raises the epoch.
    stage.hub.put(CORE, "configmaps", config_map("app", &[(label::CLUSTERS, "east")], "2"));
    let copy = stage
        .until("the edit", || {
            stage.member("east").get(CORE, "configmaps", "shop", "app").filter(|c| c["data"]["a"] == "2")
        })
        .await;
    assert_eq!(copy["metadata"]["annotations"]["fedgate.dev/epoch"], "2");
    stage.stop().await;
}

#[tokio::test]
async fn replicas_are_divided_and_status_comes_back() {
    let stage = Stage::start(&["east", "north", "west"]).await;
    stage.hub.put(APPS, "deployments", deployment("web", &[(label::CLUSTERS, "*")], 6, "nginx:1"));
    for member in ["east", "north", "west"] {
        let copy = stage.until("a copy", || stage.member(member).get(APPS, "deployments", "shop", "web")).await;
        assert_eq!(copy["spec"]["replicas"], 2, "{member}");
        stage.make_ready(member, "web");
    }
    let template = stage.until_template("web", |t| t["status"]["readyReplicas"] == 6).await;
    assert_eq!(template["status"]["observedGeneration"], 1);
    // One member observes the next generation late: the template's waits for it.
    stage.hub.put(APPS, "deployments", deployment("web", &[(label::CLUSTERS, "*")], 9, "nginx:2"));
    for member in ["east", "north", "west"] {
        stage
            .until("the edit", || {
                stage.member(member).get(APPS, "deployments", "shop", "web").filter(|d| d["spec"]["replicas"] == 3)
            })
            .await;
    }
    stage.make_ready("east", "web");
    stage.make_ready("north", "web");
    let waiting = stage.until_template("web", |t| t["status"]["readyReplicas"] == 8).await;
    assert_eq!((&waiting["metadata"]["generation"], &waiting["status"]["observedGeneration"]), (&json!(2), &json!(1)));
    stage.make_ready("west", "web");
    let done = stage.until_template("web", |t| t["status"]["readyReplicas"] == 9).await;
    assert_eq!(done["status"]["observedGeneration"], 2);
    stage.stop().await;
}

#[tokio::test]
async fn a_deleted_template_is_withdrawn_everywhere_and_its_binding_goes() {
    let stage = Stage::start(&["east", "west"]).await;
    stage.hub.put(CORE, "configmaps", config_map("app", &[(label::CLUSTERS, "*")], "1"));
    for member in ["east", "west"] {
        stage.until_row("app", member, |row| row["phase"] == "Applied").await;
    }
    // One member cannot be reached: its copy, its row and the binding wait; the other's is deleted.
    stage.member("west").set_down(true);
    stage.hub.remove(CORE, "configmaps", "shop", "app");
    stage.until("gone in east", || stage.member("east").all(CORE, "configmaps").is_empty().then_some(())).await;
    assert_eq!(stage.member("west").all(CORE, "configmaps").len(), 1);
    stage
        .until("only west is left", || {
            let rows = stage.binding("app")?["spec"]["clusters"].clone();
            (rows.as_array()?.len() == 1 && rows[0]["name"] == "west" && rows[0]["withdraw"] == true).then_some(())
        })
        .await;
    stage.member("west").set_down(false);
    stage.until("gone in west", || stage.member("west").all(CORE, "configmaps").is_empty().then_some(())).await;
    stage.until("no binding", || stage.bindings().is_empty().then_some(())).await;
    stage.stop().await;
}

#[tokio::test]
async fn one_members_failure_delays_no_other() {
    let stage = Stage::start(&["east", "west"]).await;
    stage.member("west").set_down(true);
    stage.hub.put(CORE, "configmaps", config_map("app", &[(label::CLUSTERS, "*")], "1"));
    stage.until_row("app", "east", |row| row["phase"] == "Applied").await;
    let row = stage.until_row("app", "west", |row| row["phase"] == "Unreachable").await;
    assert!(row["message"].as_str().expect("text").contains("refused"), "{row}");
    stage.member("west").set_down(false);
    stage.until_row("app", "west", |row| row["phase"] == "Applied").await;
    // A standing copy, an edit during the outage: it arrives soon after the member is back, not after a long backoff.
    stage.member("west").set_down(true);
    stage.hub.put(CORE, "configmaps", config_map("app", &[(label::CLUSTERS, "*")], "2"));
    stage.until_row("app", "west", |row| row["phase"] == "Unreachable").await;
    let row = stage.until_row("app", "east", |row| row["phase"] == "Applied").await;
    assert_eq!(row["message"], Row::Null);
    stage.member("west").set_down(false);
    stage
        .until("the edit", || {
            stage.member("west").get(CORE, "configmaps", "shop", "app").filter(|c| c["data"]["a"] == "2")
        })
        .await;
    stage.stop().await;
}

#[tokio::test]
async fn a_restart_with_nothing_changed_writes_nothing() {
    let stage = Stage::start(&["east", "west"]).await;
    for i in 0..20 {
        stage.hub.put(CORE, "configmaps", config_map(&format!("app-{i}"), &[(label::CLUSTERS, "*")], "1"));
    }
    stage.hub.put(APPS, "deployments", deployment("web", &[(label::CLUSTERS, "*")], 4, "nginx:1"));
    for i in 0..20 {
        stage.until_row(&format!("app-{i}"), "west", |row| row["phase"] == "Applied").await;
        stage.until_row(&format!("app-{i}"), "east", |row| row["phase"] == "Applied").await;
    }
    stage.until_row("web", "west", |row| row["phase"] == "Applied").await;
    stage.until_row("web", "east", |row| row["phase"] == "Applied").await;
    let stage = stage.restart().await;
    let before = (stage.member("east").writes(), stage.member("west").writes());
    // Work that arrives after the restart is the sign that everything before it was looked at or is harmless.
    stage.hub.put(CORE, "configmaps", config_map("late", &[(label::CLUSTERS, "*")], "1"));
    stage.until_row("late", "east", |row| row["phase"] == "Applied").await;
    stage.until_row("late", "west", |row| row["phase"] == "Applied").await;
    stage.quiet().await;
    let after = (stage.member("east").writes(), stage.member("west").writes());
    assert_eq!((after.0 - before.0, after.1 - before.1), (1, 1));
    stage.stop().await;
}

#[tokio::test]
async fn drift_is_put_back_and_a_deleted_copy_comes_again() {
    let stage = Stage::start(&["east"]).await;
    stage.hub.put(CORE, "configmaps", config_map("app", &[(label::CLUSTERS, "*")], "1"));
    let copy = stage.until("the copy", || stage.member("east").get(CORE, "configmaps", "shop", "app")).await;
    stage.until_row("app", "east", |row| row["phase"] == "Applied").await;
    let mut edited = copy.clone();
    edited["data"]["a"] = "edited".into();
    edited["data"]["theirs"] = "kept".into();
    stage.member("east").put(CORE, "configmaps", edited);
    let back = stage
        .until("put back", || {
            stage.member("east").get(CORE, "configmaps", "shop", "app").filter(|c| c["data"]["a"] == "1")
        })
        .await;
    assert_eq!(back["data"]["theirs"], "kept");
    stage.member("east").remove(CORE, "configmaps", "shop", "app");
    let again = stage.until("again", || stage.member("east").get(CORE, "configmaps", "shop", "app")).await;
    assert_ne!(again["metadata"]["uid"], copy["metadata"]["uid"]);
    stage.stop().await;
}

#[tokio::test]
async fn what_is_there_already_is_a_conflict_until_the_user_decides() {
    let stage = Stage::start(&["east"]).await;
    stage.member("east").put(
        CORE,
        "namespaces",
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}),
    );
    stage.member("east").put(CORE, "configmaps", config_map("app", &[], "theirs"));
    stage.hub.put(CORE, "configmaps", config_map("app", &[(label::CLUSTERS, "*")], "1"));
    let row = stage.until_row("app", "east", |row| row["phase"] == "Conflict").await;
    assert!(row["message"].as_str().expect("text").contains("not ours"), "{row}");
    assert_eq!(stage.member("east").writes(), 0);
    let placement = |conflict: &str| {
        json!({
            "apiVersion": label::API_VERSION, "kind": "Placement", "metadata": {"name": "p", "namespace": "shop", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"select": [{"apiVersion": "v1", "kind": "ConfigMap"}], "conflict": conflict, "onDelete": "Orphan"},
        })
    };
    let base = "/apis/fedgate.dev/v1alpha1";
    // Adopting fails where a field differs, and names the conflict.
    stage.hub.put(base, "placements", placement("Adopt"));
    stage.hub.put(CORE, "configmaps", config_map("app", &[], "1"));
    stage.until_row("app", "east", |row| row["message"].as_str().is_some_and(|m| m.contains("Apply failed"))).await;
    stage.hub.put(base, "placements", placement("Overwrite"));
    stage.until_row("app", "east", |row| row["phase"] == "Applied").await;
    assert_eq!(stage.member("east").get(CORE, "configmaps", "shop", "app").expect("it")["data"]["a"], "1");
    // onDelete: Orphan leaves it there without our marks.
    stage.hub.remove(CORE, "configmaps", "shop", "app");
    stage.until("no binding", || stage.bindings().is_empty().then_some(())).await;
    let left = stage.member("east").get(CORE, "configmaps", "shop", "app").expect("left there");
    assert_eq!(left["metadata"]["labels"].get("fedgate.dev/hub"), None);
    stage.stop().await;
}

#[tokio::test]
async fn dependencies_follow_their_pods() {
    let stage = Stage::start(&["east", "west"]).await;
    let mut web = deployment("web", &[(label::CLUSTERS, "west")], 1, "nginx:1");
    web["spec"]["template"]["spec"]["containers"][0]["envFrom"] = json!([{"configMapRef": {"name": "settings"}}]);
    stage.hub.put(CORE, "configmaps", config_map("settings", &[], "1"));
    stage.hub.put(CORE, "configmaps", config_map("unrelated", &[], "1"));
    stage.hub.put(APPS, "deployments", web);
    stage.until("the dependency", || stage.member("west").get(CORE, "configmaps", "shop", "settings")).await;
    assert!(stage.member("east").all(CORE, "configmaps").is_empty());
    assert_eq!(stage.member("west").all(CORE, "configmaps").len(), 1);
    stage.until_row("settings", "west", |row| row["phase"] == "Applied").await;
    stage.until_row("web", "west", |row| row["phase"] == "Applied").await;
    // A restart reads ConfigMaps and Deployments in any order: nothing leaves meanwhile.
    let before = stage.member("west").writes();
    let stage = stage.restart().await;
    stage.quiet().await;
    assert_eq!(stage.member("west").writes(), before);
    stage.hub.remove(APPS, "deployments", "shop", "web");
    stage.until("it left too", || stage.member("west").all(CORE, "configmaps").is_empty().then_some(())).await;
    assert!(stage.hub.get(CORE, "configmaps", "shop", "settings").is_some());
    stage.stop().await;
}

#[tokio::test]
async fn a_recreated_template_never_inherits_and_waits_for_the_old_copy() {
    let stage = Stage::start(&["east"]).await;
    stage.hub.put(CORE, "configmaps", config_map("app", &[(label::CLUSTERS, "*")], "1"));
    let old = stage.until("the copy", || stage.member("east").get(CORE, "configmaps", "shop", "app")).await;
    stage.until_row("app", "east", |row| row["phase"] == "Applied").await;
    stage.hub.remove(CORE, "configmaps", "shop", "app");
    stage.hub.put(CORE, "configmaps", config_map("app", &[(label::CLUSTERS, "*")], "2"));
    let new = stage
        .until("the new copy", || {
            stage.member("east").get(CORE, "configmaps", "shop", "app").filter(|c| c["data"]["a"] == "2")
        })
        .await;
    assert_ne!(new["metadata"]["uid"], old["metadata"]["uid"]);
    stage.until("one binding", || (stage.bindings().len() == 1).then_some(())).await;
    stage.stop().await;
}

#[tokio::test]
async fn a_hub_restored_from_a_backup_holds() {
    let stage = Stage::start(&["east"]).await;
    stage.hub.put(CORE, "configmaps", config_map("app", &[(label::CLUSTERS, "*")], "1"));
    let copy = stage.until("the copy", || stage.member("east").get(CORE, "configmaps", "shop", "app")).await;
    stage.until_row("app", "east", |row| row["phase"] == "Applied").await;
    let mut later = copy;
    later["metadata"]["annotations"]["fedgate.dev/epoch"] = "99".into();
    later["metadata"]["annotations"]["fedgate.dev/hash"] = "later".into();
    stage.member("east").put(CORE, "configmaps", later);
    let row = stage.until_row("app", "east", |row| row["phase"] == "Conflict").await;
    assert!(row["message"].as_str().expect("text").contains("epoch 99"), "{row}");
    stage.hub.remove(CORE, "configmaps", "shop", "app");
    stage.quiet().await;
    assert_eq!(stage.member("east").all(CORE, "configmaps").len(), 1);
    stage.stop().await;
}

#[tokio::test]
async fn revisions_are_kept_at_the_hub_and_never_placed() {
    let stage = Stage::start(&["east"]).await;
    stage.hub.put(APPS, "deployments", deployment("web", &[(label::CLUSTERS, "*")], 2, "nginx:1"));
    stage.until_template("web", |t| t["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "1").await;
    let mut edited = stage.hub.get(APPS, "deployments", "shop", "web").expect("it");
    edited["spec"]["template"]["spec"]["containers"][0]["image"] = "nginx:2".into();
    stage.hub.put(APPS, "deployments", edited);
    stage.until_template("web", |t| t["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2").await;
    stage.until("two revisions", || (stage.hub.all(APPS, "replicasets").len() == 2).then_some(())).await;
    stage
        .until("the edit", || {
            stage
                .member("east")
                .get(APPS, "deployments", "shop", "web")
                .filter(|d| d["spec"]["template"]["spec"]["containers"][0]["image"] == "nginx:2")
        })
        .await;
    stage.quiet().await;
    assert!(stage.member("east").all(APPS, "replicasets").is_empty());
    // Numbering revisions is no change of content: one epoch a change of the user's.
    assert_eq!(stage.binding("web").expect("a binding")["spec"]["epoch"], 2);
    stage.stop().await;
}

#[tokio::test]
async fn a_namespace_goes_where_we_made_it_and_only_there() {
    let stage = Stage::start(&["east", "west"]).await;
    stage.member("west").put(
        CORE,
        "namespaces",
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}),
    );
    stage.hub.put(CORE, "configmaps", config_map("app", &[(label::CLUSTERS, "*")], "1"));
    stage.until_row("app", "east", |row| row["phase"] == "Applied").await;
    stage.until_row("app", "west", |row| row["phase"] == "Applied").await;
    // A namespace that merely vanishes says nothing.
    let namespace = stage.hub.get(CORE, "namespaces", "", "shop").expect("it");
    stage.hub.remove(CORE, "namespaces", "", "shop");
    stage.quiet().await;
    assert!(stage.member("east").get(CORE, "namespaces", "", "shop").is_some());
    stage.hub.put(CORE, "namespaces", namespace.clone());
    let mut leaving = namespace;
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    stage.hub.put(CORE, "namespaces", leaving);
    stage.hub.remove(CORE, "configmaps", "shop", "app");
    stage.hub.remove(CORE, "namespaces", "", "shop");
    stage
        .until("gone in east", || stage.member("east").get(CORE, "namespaces", "", "shop").is_none().then_some(()))
        .await;
    stage.until("no bindings", || stage.bindings().is_empty().then_some(())).await;
    stage.quiet().await;
    assert!(stage.bindings().is_empty());
    assert!(stage.member("west").get(CORE, "namespaces", "", "shop").is_some());
    assert!(stage.member("west").all(CORE, "configmaps").is_empty());
    stage.stop().await;
}

#[tokio::test]
async fn a_placement_says_what_it_names_and_is_not_there() {
    let stage = Stage::start(&["east"]).await;
    let base = "/apis/fedgate.dev/v1alpha1";
    let placement = json!({
        "apiVersion": label::API_VERSION, "kind": "Placement", "metadata": {"name": "p", "namespace": "shop"},
        "spec": {"select": [{"apiVersion": "v1", "kind": "ConfigMap"}], "clusters": [{"names": ["east", "mars"]}]},
    });
    stage.hub.put(base, "placements", placement);
    stage.hub.put(CORE, "configmaps", config_map("app", &[], "1"));
    stage.until_row("app", "east", |row| row["phase"] == "Applied").await;
    let said = stage
        .until("the condition", || {
            stage
                .hub
                .get(base, "placements", "shop", "p")
                .filter(|p| p["status"]["conditions"][0]["type"] == "Resolved")
        })
        .await;
    let condition = &said["status"]["conditions"][0];
    assert_eq!(condition["status"], "False");
    assert!(condition["message"].as_str().expect("text").contains("mars"), "{condition}");
    let binding = stage
        .until("the binding says so", || {
            stage.binding("app").filter(|b| b["status"]["conditions"][0]["type"] == "Scheduled")
        })
        .await;
    assert_eq!(binding["status"]["conditions"][0]["message"], "unknown cluster mars");
    // And `why` says which policy won, and why each cluster was chosen or not.
    let maps = federation_types::Gvr::new("v1", "configmaps");
    let at = hub_client::caller::At::new(&maps, "shop", "app");
    let why = placement::explain::explain(&stage.hub.caller(), at, DefaultPlacement::None)
        .await
        .expect("an answer")
        .expect("it");
    assert_eq!(why.decision.winner.expect("a winner").name, "p");
    assert_eq!(
        why.decision.verdicts.iter().map(|v| (v.member.as_str(), v.chosen)).collect::<Vec<_>>(),
        [("east", true)]
    );
    assert!(why.binding.is_some());
    stage.stop().await;
}

#[tokio::test]
async fn many_applies_arrive_quickly() {
    let stage = Stage::start(&["east", "west"]).await;
    let count = 200;
    for i in 0..count {
        stage.hub.put(CORE, "configmaps", config_map(&format!("app-{i}"), &[(label::CLUSTERS, "*")], "1"));
    }
    let all = |name: &str| stage.member(name).all(CORE, "configmaps").len() == count;
    stage.until_within(Duration::from_secs(60), "all copies", || (all("east") && all("west")).then_some(())).await;
    stage.stop().await;
}

/// Keeps the type of rows in one place for closures.
type Row = Value;
