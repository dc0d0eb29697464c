//! The edges of HTTP: methods, forms of refusals, health by check, paths that mean mischief.

use auth::UserInfo;
use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use crate::hub::{CONFIG_MAPS, Hub};

/// Protocol: E4
#[tokio::test]
async fn methods_that_no_handler_takes() {
    let hub = Hub::start().await;
    hub.config_map("a").await;
    let text = "the server does not allow this method on the requested resource";
    for (method, path) in [
        (Method::OPTIONS, CONFIG_MAPS.to_owned()),
        (Method::HEAD, format!("{CONFIG_MAPS}/a")),
        (Method::PUT, CONFIG_MAPS.to_owned()),
        (Method::POST, format!("{CONFIG_MAPS}/a")),
        (Method::PUT, "/version".to_owned()),
        (Method::POST, "/apis".to_owned()),
    ] {
        let reply = hub.send(method.clone(), &path, &[], "").await;
        assert_eq!(reply.code.as_u16(), 405, "{method} {path}");
        if method != Method::HEAD {
            let status = reply.expect(405);
            assert_eq!((&status["message"], &status["details"]), (&json!(text), &json!({})), "{method} {path}");
        }
    }
    for path in ["/healthz", "/version", "/apis"] {
        let reply = hub.send(Method::HEAD, path, &[], "").await;
        assert_eq!((reply.code.as_u16(), reply.body.len()), (200, 0), "{path}");
    }
    assert_eq!(hub.post("/healthz", &json!({})).await.code.as_u16(), 200);
}

/// Protocol: N5, E4
#[tokio::test]
async fn a_refusal_comes_in_the_format_that_the_client_reads() {
    let hub = Hub::start().await;
    let path = format!("{CONFIG_MAPS}/nope");
    let reply = hub.send(Method::GET, &path, &[("accept", "application/yaml")], "").await;
    assert_eq!(reply.headers["content-type"], "application/yaml");
    assert!(String::from_utf8_lossy(&reply.body).contains("kind: Status\n"), "{reply:?}");
    let reply = hub.send(Method::GET, &path, &[("user-agent", "curl/8.5")], "").await;
    assert!(reply.body.starts_with(b"{\n  \"kind\": \"Status\",\n  \"apiVersion\": \"v1\""), "{reply:?}");
    let watch = format!("{CONFIG_MAPS}?watch=1");
    let reply = hub.send(Method::GET, &watch, &[("accept", "application/yaml")], "").await;
    assert!(String::from_utf8_lossy(&reply.body).contains("code: 406"), "{reply:?}");
}

/// Protocol: H2
#[tokio::test]
async fn health_is_told_check_by_check() {
    let hub = Hub::start().await;
    let hook = hub.api.post_start("rbac/bootstrap-roles");
    let text = |reply: crate::hub::Reply| (reply.code.as_u16(), String::from_utf8_lossy(&reply.body).into_owned());
    let (code, told) = text(hub.get("/readyz").await);
    assert_eq!(code, 500);
    assert!(told.contains("[-]poststarthook/rbac/bootstrap-roles failed: reason withheld\n"), "{told}");
    assert!(told.ends_with("readyz check failed\n"), "{told}");
    assert_eq!(hub.api.failed_checks().await, ["poststarthook/rbac/bootstrap-roles"]);
    assert_eq!(hub.get("/readyz/poststarthook/rbac/bootstrap-roles").await.code.as_u16(), 500);
    hook.finished();
    assert_eq!(text(hub.get("/readyz").await), (200, "ok".to_owned()));
    assert_eq!(text(hub.get("/readyz/poststarthook/rbac/bootstrap-roles").await), (200, "ok".to_owned()));
    let (_, told) = text(hub.get("/readyz?verbose").await);
    let head = "[+]ping ok\n[+]log ok\n[+]etcd ok\n[+]etcd-readiness ok\n[+]informer-sync ok\n[+]poststarthook/rbac/bootstrap-roles ok\n[+]shutdown ok\nreadyz check passed\n";
    assert_eq!(told, head);
    let (code, told) = text(hub.get("/readyz?exclude=shutdown&exclude=b&exclude=a&verbose").await);
    assert_eq!(code, 200);
    assert!(told.contains("[+]shutdown excluded: ok\n"), "{told}");
    assert!(told.contains("warn: some health checks cannot be excluded: no matches for \"a\",\"b\"\n"), "{told}");
    hub.api.begin_drain();
    assert_eq!(hub.get("/readyz").await.code.as_u16(), 500);
    assert_eq!(hub.get("/readyz?exclude=shutdown").await.code.as_u16(), 200);
    assert_eq!(hub.get("/livez").await.code.as_u16(), 200);
    let slis = text(hub.get("/metrics/slis").await).1;
    assert!(slis.contains("kubernetes_healthcheck{name=\"shutdown\",type=\"readyz\"} 0\n"), "{slis}");
    assert!(
        slis.contains("kubernetes_healthchecks_total{name=\"ping\",status=\"success\",type=\"livez\"} 1\n"),
        "{slis}"
    );
}

/// Protocol: F1
#[tokio::test]
async fn paths_that_mean_mischief_reach_nothing() {
    let hub = Hub::start().await;
    hub.config_map("a").await;
    for path in [
        "/api/v1/namespaces/../secrets",
        "/api/v1/namespaces/%2e%2e/secrets",
        "/api/v1/namespaces/default/configmaps/%2e",
        "/api/v1//namespaces",
        "/api/v1/namespaces//configmaps",
        "/api/v1/namespaces/default/configmaps/a%2fb",
        "/api/v1/namespaces/default/configmaps/a;x",
        "/api/v1/namespaces/default/configmaps/a%00",
        "/api/v1/namespaces/default/configmaps/%c0%ae",
        "/api/v1/namespaces/default%2fconfigmaps/a/b",
    ] {
        let code = hub.get(path).await.code.as_u16();
        assert!(matches!(code, 400 | 404), "{path}: {code}");
    }
    // A slash at the end changes nothing.
    for path in [format!("{CONFIG_MAPS}/a/"), format!("{CONFIG_MAPS}/"), "/api/".to_owned(), "/version/".to_owned()] {
        hub.get(&path).await.expect(200);
    }
}

/// Protocol: N1
#[tokio::test]
async fn an_accept_header_without_end_is_cut() {
    let hub = Hub::start().await;
    let long = vec!["text/html;q=0.9"; 10_000].join(",");
    let reply = hub.send(Method::GET, CONFIG_MAPS, &[("accept", &long)], "").await;
    assert_eq!(reply.code.as_u16(), 406);
}

/// Protocol: L7
#[tokio::test]
async fn selectors_without_end_cost_linear_time() {
    let hub = Hub::start().await;
    let began = std::time::Instant::now();
    let terms = vec!["a!=b"; 12_000].join(",");
    let code = hub.get(&format!("{CONFIG_MAPS}?labelSelector={terms}")).await.code.as_u16();
    assert!(matches!(code, 200 | 400), "{code}");
    let broken = "(".repeat(50_000);
    hub.get(&format!("{CONFIG_MAPS}?labelSelector={broken}")).await.refused(400);
    assert!(began.elapsed().as_secs() < 5);
}

/// Protocol: DEL2
#[tokio::test]
async fn preconditions_are_compared_as_they_are_written() {
    let hub = Hub::start().await;
    hub.config_map("a").await;
    let path = format!("{CONFIG_MAPS}/a");
    let headers: &[_] = &[("content-type", "application/json")];
    for wanted in [json!({"resourceVersion": "abc"}), json!({"uid": "other"})] {
        let body = json!({"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": wanted});
        hub.send(Method::DELETE, &path, headers, body.to_string()).await.refused(409);
    }
    let alice = hub.api.in_process(UserInfo::new("alice", ["system:authenticated"]));
    hub.send_as(&alice, Method::DELETE, &path, (&[], Bytes::new())).await.refused(403);
    let gone: Value = hub.delete(&path).await.expect(200);
    assert_eq!(gone["status"], "Success");
}

/// Protocol: N2, F1
#[tokio::test]
async fn a_compressed_body_is_not_inflated() {
    let hub = Hub::start().await;
    let headers = [("content-type", "application/json"), ("content-encoding", "gzip")];
    let reply = hub.send(Method::POST, CONFIG_MAPS, &headers, vec![0x1f, 0x8b, 8, 0]).await;
    assert_eq!(reply.refused(415).0, "UnsupportedMediaType");
}

/// Protocol: D1, E5
#[tokio::test]
async fn options_of_a_delete_are_judged_in_upstreams_words() {
    let hub = Hub::start().await;
    for (query, message) in [
        (
            "dryRun=foo",
            "DeleteOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: [\"foo\"]: supported values: \"All\"",
        ),
        (
            "propagationPolicy=foo",
            "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Unsupported value: \"foo\": supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\"",
        ),
        (
            "propagationPolicy=Foreground&orphanDependents=true",
            "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Invalid value: \"Foreground\": orphanDependents and deletionPropagation cannot be both set",
        ),
    ] {
        assert_eq!(hub.delete(&format!("{CONFIG_MAPS}/nope?{query}")).await.refused(422).1, message, "{query}");
    }
    let number = hub.delete(&format!("{CONFIG_MAPS}/nope?gracePeriodSeconds=x")).await.refused(400);
    assert_eq!(number.1, "strconv.ParseInt: parsing \"x\": invalid syntax");
}

/// Protocol: D1, D3
#[tokio::test]
async fn a_delete_that_has_to_wait_answers_the_object() {
    let hub = Hub::start().await;
    let held = json!({"metadata": {"name": "held", "finalizers": ["example.com/hold"]}});
    let made = hub.post(CONFIG_MAPS, &held).await.expect(201);
    let path = format!("{CONFIG_MAPS}/held");
    let marked = hub.delete(&format!("{path}?orphanDependents=false")).await.expect(202);
    assert_eq!((&marked["kind"], &marked["metadata"]["deletionGracePeriodSeconds"]), (&json!("ConfigMap"), &json!(0)));
    let again = hub.delete(&path).await.expect(200);
    assert_eq!(again["metadata"]["resourceVersion"], marked["metadata"]["resourceVersion"], "nothing more happens");
    let more = json!({"metadata": {"finalizers": ["example.com/hold", "example.com/more"]}});
    let (reason, message) = hub.patch(&path, "merge-patch+json", &more).await.refused(422);
    assert!(
        reason == "Invalid" && message.contains("no new finalizers can be added if the object is being deleted"),
        "{message}"
    );
    let none = json!({"metadata": {"finalizers": null}});
    let last = hub.patch(&path, "merge-patch+json", &none).await.expect(200);
    assert_eq!(last["metadata"]["uid"], made["metadata"]["uid"], "the write that lets go answers the object");
    hub.get(&path).await.refused(404);
}

/// Protocol: H3
#[tokio::test]
async fn metrics_have_upstreams_names() {
    let hub = Hub::start().await;
    let mut watch = hub.watch(&format!("{CONFIG_MAPS}?watch=1&resourceVersion=0")).await;
    hub.config_map("a").await;
    assert_eq!(watch.told(1).await, ["ADDED a"]);
    let reply = hub.get("/metrics").await;
    assert!(reply.headers["content-type"].to_str().expect("text").starts_with("text/plain; version=0.0.4"));
    let text = String::from_utf8(reply.body.to_vec()).expect("text");
    for line in [
        "apiserver_request_total{code=\"201\",group=\"\",resource=\"configmaps\",scope=\"namespace\",subresource=\"\",verb=\"CREATE\",version=\"v1\"} 1\n",
        "apiserver_request_duration_seconds_bucket{group=\"\",resource=\"configmaps\",scope=\"namespace\",subresource=\"\",verb=\"CREATE\",version=\"v1\",le=\"+Inf\"} 1\n",
        "apiserver_current_inflight_requests{request_kind=\"mutating\"} 0\n",
        "apiserver_longrunning_requests{verb=\"WATCH\"} ",
        "apiserver_storage_objects{resource=\"configmaps\"} 1\n",
        "apiserver_watch_events_total{group=\"\",resource=\"configmaps\",version=\"v1\"} 1\n",
        "etcd_request_duration_seconds_count{operation=\"update\",type=\"all\"} ",
        "apiserver_flowcontrol_nominal_limit_seats{priority_level=\"catch-all\"} 600\n",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
}

/// Protocol: L8, L9
#[tokio::test]
async fn one_name_is_authorized_as_one_name() {
    let hub = Hub::start().await;
    hub.config_map("mine").await;
    hub.config_map("other").await;
    let group = "rbac.authorization.k8s.io";
    let base = format!("/apis/{group}/v1/namespaces/default");
    let role = json!({"apiVersion": format!("{group}/v1"), "kind": "Role", "metadata": {"name": "one"},
        "rules": [{"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["mine"], "verbs": ["get", "list", "watch"]}]});
    hub.post(&format!("{base}/roles"), &role).await.expect(201);
    let binding = json!({"apiVersion": format!("{group}/v1"), "kind": "RoleBinding", "metadata": {"name": "one"},
        "roleRef": {"apiGroup": group, "kind": "Role", "name": "one"},
        "subjects": [{"kind": "User", "apiGroup": group, "name": "alice"}]});
    hub.post(&format!("{base}/rolebindings"), &binding).await.expect(201);
    let alice = hub.api.in_process(UserInfo::new("alice", ["system:authenticated"]));
    let ask = async |path: &str| hub.send_as(&alice, Method::GET, path, (&[], Bytes::new())).await;
    for (selector, code) in [
        ("metadata.name%3Dmine", 200),
        ("metadata.name%3D%3Dmine", 200),
        ("metadata.name%3Dother", 403),
        ("metadata.name!%3Dmine", 403),
        ("", 403),
    ] {
        for watch in ["", "&watch=1&timeoutSeconds=1"] {
            let path = format!("{CONFIG_MAPS}?fieldSelector={selector}{watch}");
            assert_eq!(ask(&path).await.code.as_u16(), code, "{path}");
        }
    }
    let list = ask(&format!("{CONFIG_MAPS}?fieldSelector=metadata.name%3Dmine")).await.expect(200);
    assert_eq!(crate::hub::names(&list), ["mine"]);
    let missing = hub.get(&format!("{CONFIG_MAPS}/nope")).await.expect(404);
    assert_eq!(missing["message"], "configmaps \"nope\" not found");
    assert_eq!(missing["details"], json!({"name": "nope", "kind": "configmaps"}));
    let rev = crate::hub::rev(&list);
    hub.get(&format!("{CONFIG_MAPS}/mine?resourceVersion={rev}")).await.expect(200);
    hub.get(&format!("{CONFIG_MAPS}/mine?resourceVersion=0")).await.expect(200);
}

/// Protocol: L11
#[tokio::test]
async fn a_shard_selector_means_nothing() {
    let hub = Hub::start().await;
    hub.config_map("a").await;
    let list = hub.get(&format!("{CONFIG_MAPS}?shardSelector=anything")).await.expect(200);
    assert_eq!(crate::hub::names(&list), ["a"]);
}
