//! Discovery as kubectl asks for it, and as upstream's golden files have it.

use std::fs;
use std::path::PathBuf;

use federation_schema::facts::{Resource, kubernetes};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::Value;

use super::{Discovery, Served};

const KUBECTL: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";

fn of(serves: impl Fn(&Resource) -> bool) -> Discovery {
    let served: Vec<Served<'_>> = kubernetes().resources().filter(|of| serves(of)).map(Served::built_in).collect();
    Discovery::of(kubernetes().groups(), &served, "10.10.10.10:8050")
}

fn discovery() -> Discovery {
    of(|_| true)
}

fn headers(accept: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(accept))])
}

fn get(path: &str, accept: &'static str) -> (String, Value) {
    let response = discovery().answer(path, &headers(accept)).expect("acceptable").expect("there");
    let content_type = response.headers()[header::CONTENT_TYPE].to_str().expect("ASCII").to_owned();
    (content_type, serde_json::from_slice(response.body()).expect("JSON"))
}

fn golden(name: &str) -> Option<Value> {
    let path: PathBuf = std::env::home_dir()?.join("go/pkg/mod/k8s.io/kubernetes@v1.37.2/api/discovery").join(name);
    fs::read(path).ok().map(|text| serde_json::from_slice(&text).expect("golden JSON"))
}

/// Protocol: D2, D5
#[test]
fn kubectl_gets_everything_in_one_answer() {
    let (content_type, apis) = get("/apis", KUBECTL);
    assert_eq!(content_type, "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList");
    assert_eq!(apis["kind"], "APIGroupDiscoveryList");
    let ours = apis["items"].as_array().expect("items").last().expect("ours").clone();
    assert_eq!(ours["metadata"]["name"], "fedgate.dev");
    let (_, api) = get("/api", KUBECTL);
    assert_eq!(api["items"][0]["versions"][0]["version"], "v1");
    let nopeer = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList;profile=nopeer,application/json";
    assert_eq!(get("/apis", nopeer).1, apis);
}

/// Protocol: D1
#[test]
fn old_clients_get_the_legacy_form() {
    let (content_type, list) = get("/apis/", "application/json");
    assert_eq!((&*content_type, &list["kind"]), ("application/json", &Value::from("APIGroupList")));
    let v2beta1 = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";
    assert_eq!(get("/apis", v2beta1).1, list);
    assert_eq!(get("/api", "*/*").1["versions"][0], "v1");
    assert!(discovery().answer("/apis/nothing", &HeaderMap::new()).expect("fine").is_none());
    assert!(discovery().answer("/apis", &headers("text/html")).is_err());
    let apps = discovery().answer("/apis/apps", &headers("application/yaml")).expect("fine").expect("there");
    assert!(apps.body().starts_with(b"apiVersion: v1\nkind: APIGroup\n"));
}

/// Protocol: D4
#[test]
fn an_etag_saves_the_second_answer() {
    let discovery = discovery();
    let first = discovery.answer("/apis", &headers(KUBECTL)).expect("fine").expect("there");
    let etag = first.headers()[header::ETAG].clone();
    assert!(
        etag.len() == 130
            && first.headers()[header::VARY] == "Accept"
            && first.headers()[header::CACHE_CONTROL] == "public"
    );
    let mut again = headers(KUBECTL);
    again.insert(header::IF_NONE_MATCH, etag);
    let second = discovery.answer("/apis", &again).expect("fine").expect("there");
    assert_eq!((second.status(), second.body().len()), (StatusCode::NOT_MODIFIED, 0));
}

#[test]
fn what_is_not_served_is_not_shown() {
    let discovery = of(|resource| resource.group == "apps");
    assert_eq!(discovery.paths().collect::<Vec<_>>(), ["/api", "/apis", "/apis/apps", "/apis/apps/v1"]);
}

/// Protocol: D3
#[test]
fn the_aggregated_form_is_upstreams() {
    let Some(golden) = golden("aggregated_v2.json") else {
        eprintln!("skipped: no golden files in the Go module cache");
        return;
    };
    let (_, mut served) = get("/apis", KUBECTL);
    served["items"].as_array_mut().expect("items").pop();
    assert!(served == golden, "the aggregated form differs");
}

/// Protocol: D1
#[test]
fn the_legacy_form_is_upstreams() {
    let mut compared = 0;
    for path in discovery().paths() {
        let name = format!("{}.json", path.trim_start_matches('/').replace('/', "__"));
        let Some(golden) = golden(&name) else { continue };
        let (_, mut served) = get(path, "application/json");
        if path == "/apis" {
            served["groups"].as_array_mut().expect("groups").pop();
        }
        assert!(served == golden, "{path} differs");
        compared += 1;
    }
    eprintln!("{compared} documents compared");
    assert!(compared == 0 || compared > 50, "{compared}");
}
