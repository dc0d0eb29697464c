//! LIST: selectors, pages, revisions.

use serde_json::json;

use crate::hub::{CONFIG_MAPS, Hub, config_map, names, rev};

async fn stocked(count: usize) -> Hub {
    let hub = Hub::start().await;
    for at in 0..count {
        let mut sent = config_map(&format!("c{at}"));
        sent["metadata"]["labels"] = json!({"parity": if at % 2 == 0 { "even" } else { "odd" }});
        hub.post(CONFIG_MAPS, &sent).await.expect(201);
    }
    hub
}

/// Protocol: L10
#[tokio::test]
async fn a_list_has_a_kind_a_revision_and_untyped_items() {
    let hub = stocked(2).await;
    let list = hub.get(CONFIG_MAPS).await.expect(200);
    assert_eq!((&list["kind"], &list["apiVersion"]), (&json!("ConfigMapList"), &json!("v1")));
    assert_eq!(names(&list), ["c0", "c1"]);
    assert!(list["items"][0].get("kind").is_none());
    assert!(rev(&list) >= rev(&list["items"][1]));
    let empty = hub.get("/api/v1/namespaces/nowhere/configmaps").await.expect(200);
    assert_eq!(empty["items"], json!([]));
}

/// Protocol: L7
#[tokio::test]
async fn selectors_select() {
    let hub = stocked(4).await;
    let cases: [(&str, &[&str]); 7] = [
        ("labelSelector=parity%3Deven", &["c0", "c2"]),
        ("labelSelector=parity%20notin%20(even)", &["c1", "c3"]),
        ("labelSelector=!parity", &[]),
        ("fieldSelector=metadata.name%3Dc1", &["c1"]),
        ("fieldSelector=metadata.name!%3Dc1,metadata.namespace%3Ddefault", &["c0", "c2", "c3"]),
        ("fieldSelector=metadata.name%3Dc1&labelSelector=parity%3Deven", &[]),
        ("labelSelector=&fieldSelector=", &["c0", "c1", "c2", "c3"]),
    ];
    for (query, expected) in cases {
        let list = hub.get(&format!("{CONFIG_MAPS}?{query}")).await.expect(200);
        assert_eq!(names(&list), expected, "{query}");
    }
    for bad in ["labelSelector=a%3D%3D%3Db", "fieldSelector=spec.x%3Dy", "fieldSelector=nonsense", "limit=x"] {
        assert_eq!(hub.get(&format!("{CONFIG_MAPS}?{bad}")).await.refused(400).0, "BadRequest", "{bad}");
    }
}

/// Protocol: L5, L6
#[tokio::test]
async fn pages_show_one_revision() {
    let hub = stocked(5).await;
    let first = hub.get(&format!("{CONFIG_MAPS}?limit=2")).await.expect(200);
    assert_eq!((names(&first), &first["metadata"]["remainingItemCount"]), (vec!["c0".into(), "c1".into()], &json!(3)));
    // What happens in between does not show.
    hub.delete(&format!("{CONFIG_MAPS}/c2")).await.expect(200);
    hub.config_map("c25").await;
    let token = first["metadata"]["continue"].as_str().expect("a token");
    let second = hub.get(&format!("{CONFIG_MAPS}?limit=2&continue={token}")).await.expect(200);
    assert_eq!((names(&second), rev(&second)), (vec!["c2".into(), "c3".into()], rev(&first)));
    let token = second["metadata"]["continue"].as_str().expect("a token");
    let third = hub.get(&format!("{CONFIG_MAPS}?limit=2&continue={token}")).await.expect(200);
    assert_eq!(names(&third), ["c4"]);
    assert!(third["metadata"].get("continue").is_none());
    let selected = hub.get(&format!("{CONFIG_MAPS}?limit=1&labelSelector=parity%3Dodd")).await.expect(200);
    assert!(selected["metadata"].get("remainingItemCount").is_none());
}

/// Protocol: L5
#[tokio::test]
async fn forged_tokens_are_refused() {
    let hub = stocked(1).await;
    for token in ["garbage", "e30", "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiIuLi9zZWNyZXRzIn0"] {
        let (reason, message) = hub.get(&format!("{CONFIG_MAPS}?limit=1&continue={token}")).await.refused(400);
        assert_eq!(reason, "BadRequest");
        assert!(message.starts_with("invalid continue token: continue key is not valid"), "{message}");
    }
}

/// Protocol: L1, L2, L3
#[tokio::test]
async fn revisions_decide_how_old_an_answer_may_be() {
    let hub = stocked(2).await;
    let old = rev(&hub.get(CONFIG_MAPS).await.expect(200));
    hub.config_map("new").await;
    let at = |query: String| format!("{CONFIG_MAPS}?{query}");
    let exact = hub.get(&at(format!("resourceVersion={old}&resourceVersionMatch=Exact"))).await.expect(200);
    assert_eq!((names(&exact), rev(&exact)), (vec!["c0".into(), "c1".into()], old));
    let legacy = hub.get(&at(format!("resourceVersion={old}&limit=10"))).await.expect(200);
    assert_eq!(names(&legacy).len(), 2);
    let newer = hub.get(&at(format!("resourceVersion={old}"))).await.expect(200);
    assert_eq!(names(&newer).len(), 3);
    let any = hub.get(&at("resourceVersion=0&limit=1".into())).await.expect(200);
    assert_eq!(names(&any).len(), 3, "rv=0 ignores the limit");
    assert_eq!(hub.get(&at("resourceVersion=1&resourceVersionMatch=Exact".into())).await.refused(410).0, "Expired");
    let future = hub.get(&at(format!("resourceVersion={}", old + 1_000_000_000))).await.refused(504);
    assert_eq!(future.0, "Timeout");
    for bad in [
        "resourceVersionMatch=Exact",
        "resourceVersion=0&resourceVersionMatch=Exact",
        "resourceVersion=5&resourceVersionMatch=Odd",
        "sendInitialEvents=true",
    ] {
        assert_eq!(hub.get(&at(bad.into())).await.refused(422).0, "Invalid", "{bad}");
    }
    for bad in ["resourceVersion=x", "resourceVersion=01", "resourceVersion=-1"] {
        assert_eq!(hub.get(&at(bad.into())).await.refused(400).0, "BadRequest", "{bad}");
    }
}
