//! More connections than the process has descriptors for.

use crate::endpoint::{ADMIN, Endpoint};
use crate::line::{Line, request};

/// Protocol: F1
#[test]
fn silent_connections_keep_nobody_out() {
    const DESCRIPTORS: u32 = 256;
    const CONNECTIONS: usize = 300;
    let endpoint = Endpoint::with_descriptors(DESCRIPTORS);
    let mut watch = endpoint.connect("http/1.1");
    let maps = "/api/v1/namespaces/default/configmaps";
    watch.send(request("GET", &format!("{maps}?watch=true&resourceVersion=0"), ADMIN, "x-n: 1").as_bytes());
    assert!(watch.head().is_some_and(|head| head.starts_with("HTTP/1.1 200 ")));
    // Each of them is served, since an older one has to go.
    let silent: Vec<Line> = (0..CONNECTIONS).map(|_| endpoint.connect("http/1.1")).collect();
    endpoint.serves();
    let body = serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "seen"}});
    endpoint.post(maps, &body);
    assert!(watch.read(), "who watches stays");
    drop(silent);
    endpoint.serves();
}
