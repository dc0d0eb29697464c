//! Upstream's request-info table and hostile URIs.

use http::Method;

use super::RequestInfo;
use super::query::Query;

fn parse(method: &str, uri: &str) -> RequestInfo {
    let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
    let query = Query::parse(query).expect("a query");
    let method = Method::from_bytes(method.as_bytes()).expect("a method");
    RequestInfo::parse(&method, path, &query).expect("a request")
}

/// Protocol: W1, SR5
#[test]
fn paths_become_verbs_on_resources() {
    // method, uri, verb, group, version, namespace, resource, subresource, name
    let cases = [
        ("GET", "/api/v1/namespaces", "list", "", "v1", "", "namespaces", "", ""),
        ("GET", "/api/v1/namespaces/other", "get", "", "v1", "other", "namespaces", "", "other"),
        ("GET", "/api/v1/namespaces/other/pods", "list", "", "v1", "other", "pods", "", ""),
        ("GET", "/api/v1/namespaces/other/pods/foo", "get", "", "v1", "other", "pods", "", "foo"),
        ("HEAD", "/api/v1/namespaces/other/pods/foo", "get", "", "v1", "other", "pods", "", "foo"),
        ("GET", "/api/v1/namespaces/other/pods/foo/", "get", "", "v1", "other", "pods", "", "foo"),
        ("GET", "/api/v1/pods", "list", "", "v1", "", "pods", "", ""),
        ("GET", "/api/v1/pods?watch=true", "watch", "", "v1", "", "pods", "", ""),
        ("GET", "/api/v1/pods?watch=0", "list", "", "v1", "", "pods", "", ""),
        ("GET", "/api/v1/pods?watch=", "list", "", "v1", "", "pods", "", ""),
        ("GET", "/api/v1/watch/pods", "watch", "", "v1", "", "pods", "", ""),
        ("GET", "/api/v1/watch/namespaces/other/pods/foo", "watch", "", "v1", "other", "pods", "", "foo"),
        (
            "GET",
            "/api/v1/namespaces/other/pods?fieldSelector=metadata.name%3Dfoo",
            "list",
            "",
            "v1",
            "other",
            "pods",
            "",
            "foo",
        ),
        (
            "GET",
            "/api/v1/namespaces/other/pods?fieldSelector=metadata.name%3D..%2Ffoo",
            "list",
            "",
            "v1",
            "other",
            "pods",
            "",
            "",
        ),
        (
            "GET",
            "/api/v1/namespaces/other/pods?fieldSelector=metadata.name%3Dfoo%0Dbar",
            "list",
            "",
            "v1",
            "other",
            "pods",
            "",
            "",
        ),
        ("POST", "/api/v1/namespaces/other/pods", "create", "", "v1", "other", "pods", "", ""),
        ("PUT", "/api/v1/namespaces/other/finalize", "update", "", "v1", "other", "namespaces", "finalize", "other"),
        ("PUT", "/api/v1/namespaces/other/status", "update", "", "v1", "other", "namespaces", "status", "other"),
        (
            "PATCH",
            "/apis/apps/v1/namespaces/n/deployments/d/scale",
            "patch",
            "apps",
            "v1",
            "n",
            "deployments",
            "scale",
            "d",
        ),
        (
            "DELETE",
            "/apis/apps/v1/namespaces/n/deployments",
            "deletecollection",
            "apps",
            "v1",
            "n",
            "deployments",
            "",
            "",
        ),
        ("DELETE", "/apis/apps/v1/namespaces/n/deployments/d", "delete", "apps", "v1", "n", "deployments", "", "d"),
        (
            "GET",
            "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:node",
            "get",
            "rbac.authorization.k8s.io",
            "v1",
            "",
            "clusterroles",
            "",
            "system:node",
        ),
        ("OPTIONS", "/api/v1/pods", "", "", "v1", "", "pods", "", ""),
    ];
    for (method, uri, verb, group, version, namespace, resource, subresource, name) in cases {
        let info = parse(method, uri);
        assert!(info.is_resource, "{uri}");
        assert_eq!(
            (
                &*info.verb,
                &*info.group,
                &*info.version,
                &*info.namespace,
                &*info.resource,
                &*info.subresource,
                &*info.name
            ),
            (verb, group, version, namespace, resource, subresource, name),
            "{method} {uri}"
        );
    }
}

#[test]
fn other_paths_are_no_resources() {
    for uri in [
        "/",
        "/api",
        "/api/v1",
        "/apis",
        "/apis/apps",
        "/apis/apps/v1",
        "/healthz",
        "/api/",
        "//",
        "/openapi/v3/apis/apps/v1",
        "/batch/v1/jobs",
    ] {
        let info = parse("GET", uri);
        assert!(!info.is_resource, "{uri}");
        assert_eq!(info.verb, "get");
    }
}

#[test]
fn the_tail_of_a_proxy_path_is_kept() {
    let info = parse("GET", "/api/v1/namespaces/n/services/web:80/proxy/a/b%20c");
    assert_eq!((&*info.subresource, &*info.tail), ("proxy", "a/b c"));
}

#[test]
fn hostile_paths_are_refused() {
    let none = Query::parse("").expect("empty");
    for path in [
        "/api/v1/%ff",
        "/api/v1/%zz",
        "/api/v1/namespaces/a%00b",
        "/api/v1/../secrets",
        "/api/v1/namespaces/%2e%2e/pods",
        "/api/v1/watch",
        "/api/v1/watch/",
    ] {
        assert!(RequestInfo::parse(&Method::GET, path, &none).is_err(), "{path}");
    }
    let long = format!("/api/v1/{}", "a".repeat(super::MAX_URI_BYTES));
    assert!(RequestInfo::parse(&Method::GET, &long, &none).is_err());
}
