//! What survives the process: objects, revisions, watches and lists that were under way.

use federation_api::{Api, StoreConfig};
use serde_json::json;

use crate::hub::{CONFIG_MAPS, Hub, names, rev};

async fn open(path: &std::path::Path) -> Api {
    Api::builder().open(StoreConfig::Redb(path.to_owned())).await.expect("a store")
}

#[tokio::test]
async fn a_restart_loses_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("store");
    let hub = Hub::with(open(&path).await).await;
    let first = hub.config_map("a").await;
    hub.config_map("b").await;
    hub.config_map("c").await;
    let page = hub.get(&format!("{CONFIG_MAPS}?limit=1")).await.expect(200);
    hub.patch(&format!("{CONFIG_MAPS}/a"), "merge-patch+json", &json!({"data": {"key": "2"}})).await.expect(200);
    hub.delete(&format!("{CONFIG_MAPS}/b")).await.expect(200);
    let before = hub.get(CONFIG_MAPS).await.expect(200);
    hub.api.close().await;
    assert_eq!(hub.get(CONFIG_MAPS).await.refused(503).0, "ServiceUnavailable");

    let hub = Hub::again(open(&path).await);
    let after = hub.get(CONFIG_MAPS).await.expect(200);
    assert_eq!(after["items"], before["items"]);
    assert!(rev(&after) >= rev(&before));
    let mut watch = hub.watch(&format!("{CONFIG_MAPS}?watch=1&resourceVersion={}", rev(&first))).await;
    let made = hub.config_map("d").await;
    assert!(rev(&made) > rev(&before));
    assert_eq!(watch.told(5).await, ["ADDED b", "ADDED c", "MODIFIED a", "DELETED b", "ADDED d"]);
    let token = page["metadata"]["continue"].as_str().expect("a token");
    let rest = hub.get(&format!("{CONFIG_MAPS}?limit=5&continue={token}")).await.expect(200);
    assert_eq!((names(&rest), rev(&rest)), (vec!["b".to_owned(), "c".to_owned()], rev(&page)));
}
