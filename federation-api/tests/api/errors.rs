//! Who is refused, and in which words.

use auth::UserInfo;
use bytes::Bytes;
use http::Method;
use serde_json::json;

use crate::hub::{CONFIG_MAPS, Hub};

/// Protocol: D6, E4
#[tokio::test]
async fn unknown_paths_and_methods() {
    let hub = Hub::start().await;
    for path in ["/nope", "/apis/nope/v1/things", "/apis/nope", "/metrics/nope", "/healthz/nope"] {
        let reply = hub.get(path).await;
        assert_eq!((reply.code.as_u16(), &reply.body[..]), (404, &b"404 page not found\n"[..]), "{path}");
    }
    for path in [
        "/api/v1/nopes",
        "/apis/apps/v1/nopes",
        "/api/v2/pods",
        "/api/v1/namespaces/default/configmaps/a/nope",
        "/api/v1/namespaces/default/nodes",
    ] {
        let (reason, message) = hub.get(path).await.refused(404);
        assert_eq!(
            (reason.as_str(), message.as_str()),
            ("NotFound", "the server could not find the requested resource"),
            "{path}"
        );
    }
    assert_eq!(hub.send(Method::OPTIONS, CONFIG_MAPS, &[], "").await.refused(405).0, "MethodNotAllowed");
    assert_eq!(hub.post("/api/v1/configmaps", &json!({})).await.refused(405).0, "MethodNotAllowed");
    assert_eq!(hub.post(&format!("{CONFIG_MAPS}/a"), &json!({})).await.refused(405).0, "MethodNotAllowed");
    assert_eq!(hub.put(CONFIG_MAPS, &json!({})).await.refused(405).0, "MethodNotAllowed");
}

/// Protocol: AU3
#[tokio::test]
async fn rights_follow_the_roles_at_once() {
    let hub = Hub::start().await;
    let alice = hub.api.in_process(UserInfo::new("alice", ["system:authenticated"]));
    let get = || hub.send_as(&alice, Method::GET, CONFIG_MAPS, (&[], Bytes::new()));
    let (reason, message) = get().await.refused(403);
    assert_eq!(reason, "Forbidden");
    assert_eq!(
        message,
        "configmaps is forbidden: User \"alice\" cannot list resource \"configmaps\" in API group \"\" in the namespace \"default\""
    );
    let rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
    let group = "rbac.authorization.k8s.io";
    let role = json!({"apiVersion": format!("{group}/v1"), "kind": "Role", "metadata": {"name": "reader"},
        "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}]});
    let binding = json!({"apiVersion": format!("{group}/v1"), "kind": "RoleBinding", "metadata": {"name": "reader"},
        "roleRef": {"apiGroup": group, "kind": "Role", "name": "reader"},
        "subjects": [{"kind": "User", "apiGroup": group, "name": "alice"}]});
    hub.post(&format!("{rbac}/roles"), &role).await.expect(201);
    hub.post(&format!("{rbac}/rolebindings"), &binding).await.expect(201);
    get().await.expect(200);
    hub.delete(&format!("{rbac}/rolebindings/reader")).await.expect(200);
    get().await.refused(403);
}

/// Protocol: AU1
#[tokio::test]
async fn impersonation_needs_a_right_and_gives_the_others() {
    let hub = Hub::start().await;
    let as_bob: &[(&str, &str)] = &[("impersonate-user", "bob")];
    let (_, message) = hub.send(Method::GET, CONFIG_MAPS, as_bob, "").await.refused(403);
    assert!(message.contains("User \"bob\" cannot list"), "{message}");
    let alice = hub.api.in_process(UserInfo::new("alice", ["system:authenticated"]));
    let (_, message) = hub.send_as(&alice, Method::GET, CONFIG_MAPS, (as_bob, Bytes::new())).await.refused(403);
    assert!(message.contains("cannot impersonate resource \"users\""), "{message}");
    assert_eq!(
        hub.send(Method::GET, CONFIG_MAPS, &[("impersonate-group", "g")], "").await.refused(400).0,
        "BadRequest"
    );
}

/// Protocol: AU1
#[tokio::test]
async fn without_an_identity_there_is_no_answer() {
    let hub = Hub::start().await;
    let request =
        http::Request::builder().uri("/api/v1/pods").body(http_body_util::Full::<Bytes>::default()).expect("a request");
    let response = tower::Service::call(&mut hub.api.clone(), request).await.expect("infallible");
    assert_eq!(response.status().as_u16(), 401);
}

/// Protocol: AU2, N6
#[tokio::test]
async fn reviews_answer_and_are_not_stored() {
    let hub = Hub::start().await;
    let post = |path: &'static str, body: serde_json::Value| {
        let hub = &hub;
        async move { hub.post(path, &body).await.expect(201) }
    };
    let me = post("/apis/authentication.k8s.io/v1/selfsubjectreviews", json!({})).await;
    assert_eq!(me["status"]["userInfo"]["username"], "admin");
    let may = json!({"spec": {"resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "default"}}});
    let mine = post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", may.clone()).await;
    assert_eq!(mine["status"]["allowed"], true);
    let mut theirs = may;
    theirs["spec"]["user"] = "bob".into();
    let theirs = post("/apis/authorization.k8s.io/v1/subjectaccessreviews", theirs).await;
    assert_eq!(theirs["status"]["allowed"], false);
    let token = post("/apis/authentication.k8s.io/v1/tokenreviews", json!({"spec": {"token": "nonsense"}})).await;
    assert_eq!(token["status"]["authenticated"], json!(false));
    let rules =
        post("/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", json!({"spec": {"namespace": "default"}})).await;
    assert!(rules["status"]["resourceRules"].is_array());
    hub.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", &json!({"spec": {}})).await.refused(422);
}

/// Protocol: H1, H2
#[tokio::test]
async fn health_and_version() {
    let hub = Hub::start().await;
    for path in ["/livez", "/readyz", "/healthz", "/readyz/etcd", "/healthz/ping"] {
        let reply = hub.get(path).await;
        assert_eq!((reply.code.as_u16(), &reply.body[..]), (200, &b"ok"[..]), "{path}");
    }
    let verbose = hub.get("/livez?verbose").await;
    let text = String::from_utf8_lossy(&verbose.body).into_owned();
    assert!(text.starts_with("[+]ping ok\n") && text.ends_with("livez check passed\n"), "{text}");
    let excluded = hub.get("/readyz?exclude=etcd&verbose&exclude=nonsense").await;
    let text = String::from_utf8_lossy(&excluded.body).into_owned();
    assert!(
        text.contains("[+]etcd excluded: ok\n") && text.contains("warn: some health checks cannot be excluded"),
        "{text}"
    );
    hub.api.begin_drain();
    assert_eq!(hub.get("/readyz").await.code.as_u16(), 500);
    assert_eq!(hub.get("/livez").await.code.as_u16(), 200);
    let version = hub.get("/version").await.expect(200);
    assert_eq!(version["major"], "1");
    assert!(version["gitVersion"].as_str().expect("text").ends_with("+fedgate"));
    let metrics = hub.get("/metrics").await;
    let text = String::from_utf8_lossy(&metrics.body).into_owned();
    assert!(
        text.contains("apiserver_request_total{code=\"201\",group=\"\",resource=\"namespaces\",scope=\"cluster\""),
        "{text}"
    );
}
