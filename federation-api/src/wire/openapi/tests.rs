//! OpenAPI as clients read it, and as upstream publishes it.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use federation_schema::facts::{Facts, kubernetes};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::Value;

use super::OpenApi;

fn openapi() -> OpenApi<&'static Facts> {
    OpenApi::new(kubernetes(), |_| true)
}

fn headers(accept: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(accept))])
}

fn get(path: &str, query: Option<&str>) -> Value {
    let response = openapi().answer(path, query, &headers("application/json")).expect("acceptable").expect("there");
    serde_json::from_slice(response.body()).expect("JSON")
}

fn references<'v>(value: &'v Value, found: &mut BTreeSet<&'v str>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| match value.as_str() {
            Some(target) if key == "$ref" => {
                found.insert(target);
            }
            _ => references(value, found),
        }),
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

/// Protocol: O8
#[test]
fn documents_are_built_when_they_are_asked_for() {
    let openapi = openapi();
    let ask = |path: &str, query: Option<&str>| openapi.answer(path, query, &HeaderMap::new()).expect("fine");
    let built = || {
        let versions = openapi.v3.get().expect("the index was asked for");
        versions.documents.values().filter(|lazy| lazy.document.get().is_some()).count()
    };
    ask("/openapi/v3", None).expect("there");
    assert_eq!(built(), 0, "the index builds none");
    ask("/openapi/v3/apis/apps/v1", None).expect("there");
    assert_eq!(built(), 1);
    assert!(openapi.v2_json.get().is_none() && openapi.v2_protobuf.get().is_none());
}

/// Protocol: O1, O2
#[test]
fn the_index_leads_to_documents_that_may_be_kept() {
    let index = get("/openapi/v3", None);
    let url = index["paths"]["apis/apps/v1"]["serverRelativeURL"].as_str().expect("listed");
    let (path, query) = url.split_once('?').expect("hash");
    assert_eq!(path, "/openapi/v3/apis/apps/v1");
    assert!(index["paths"].get("api/v1").is_some() && index["paths"].get("apis/fedgate.dev/v1alpha1").is_some());
    let openapi = openapi();
    let kept = openapi.answer(path, Some(query), &HeaderMap::new()).expect("fine").expect("there");
    assert!(kept.headers()[header::CACHE_CONTROL].to_str().expect("ASCII").contains("immutable"));
    let stale = openapi.answer(path, Some("hash=00"), &HeaderMap::new()).expect("fine").expect("there");
    assert_eq!(
        (stale.status(), stale.headers()[header::LOCATION].to_str().expect("ASCII")),
        (StatusCode::MOVED_PERMANENTLY, url)
    );
    assert!(openapi.answer("/openapi/v3/apis/none/v1", None, &HeaderMap::new()).expect("fine").is_none());
    assert!(openapi.answer(path, None, &headers("text/html")).is_err());
    let etag =
        openapi.answer(path, None, &HeaderMap::new()).expect("fine").expect("there").headers()[header::ETAG].clone();
    let mut again = HeaderMap::new();
    again.insert(header::IF_NONE_MATCH, etag);
    let known = openapi.answer(path, None, &again).expect("fine").expect("there");
    assert_eq!(known.status(), StatusCode::NOT_MODIFIED);
}

/// Protocol: O4
#[test]
fn gzip_is_for_those_who_take_it() {
    let mut headers = headers("application/json");
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip, deflate"));
    let small = openapi().answer("/openapi/v3/apis/apps/v1", None, &headers).expect("fine").expect("there");
    assert_eq!(small.headers()[header::CONTENT_ENCODING], "gzip");
    let plain = get("/openapi/v3/apis/apps/v1", None).to_string();
    eprintln!("apps/v1: {} bytes, {} compressed", plain.len(), small.body().len());
    assert!(small.body().len() * 5 < plain.len());
}

/// Protocol: O3
#[test]
fn kubectl_finds_field_validation_and_patches() {
    for (group, path) in [
        ("apis/apps/v1", "/apis/apps/v1/namespaces/{namespace}/deployments/{name}"),
        ("api/v1", "/api/v1/namespaces/{name}"),
        ("apis/fedgate.dev/v1alpha1", "/apis/fedgate.dev/v1alpha1/clusters/{name}"),
    ] {
        let patch = &get(&format!("/openapi/v3/{group}"), None)["paths"][path]["patch"];
        let names: Vec<&str> =
            patch["parameters"].as_array().expect(path).iter().filter_map(|p| p["name"].as_str()).collect();
        assert_eq!(names, ["dryRun", "fieldManager", "fieldValidation", "force"]);
        // Our own kinds have no merge keys.
        let strategic = patch["requestBody"]["content"].get("application/strategic-merge-patch+json").is_some();
        assert_eq!(strategic, group != "apis/fedgate.dev/v1alpha1");
        assert!(patch["x-kubernetes-group-version-kind"]["kind"].is_string());
    }
}

/// Protocol: O5
#[test]
fn every_reference_leads_somewhere() {
    let openapi = openapi();
    let mut checked = 0;
    for group in kubernetes().groups() {
        for version in &group.versions {
            let document = openapi.v3_json(&group.name, version);
            let mut found = BTreeSet::new();
            references(&document, &mut found);
            for target in found {
                let name = target.strip_prefix("#/components/schemas/").expect(target);
                assert!(document["components"]["schemas"].get(name).is_some(), "{}/{version}: {name}", group.name);
                checked += 1;
            }
        }
    }
    let v2 = get("/openapi/v2", None);
    let mut found = BTreeSet::new();
    references(&v2, &mut found);
    for target in found {
        assert!(v2["definitions"].get(target.strip_prefix("#/definitions/").expect(target)).is_some(), "{target}");
        checked += 1;
    }
    assert!(checked > 1000, "{checked}");
}

#[test]
fn operations_have_ids_of_their_own() {
    let v2 = get("/openapi/v2", None);
    let mut ids = BTreeSet::new();
    for (path, item) in v2["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("item").iter().filter(|(key, _)| *key != "parameters") {
            let id = operation["operationId"].as_str().expect("id");
            assert!(ids.insert(id.to_owned()), "{method} {path}: {id}");
        }
    }
    for id in [
        "createCoreV1NamespacedPod",
        "deleteAppsV1CollectionNamespacedDeployment",
        "listAppsV1DeploymentForAllNamespaces",
        "readCoreV1NamespacedPodLog",
        "connectCoreV1PostNamespacedPodExec",
        "patchRbacAuthorizationV1ClusterRole",
    ] {
        assert!(ids.contains(id), "{id}");
    }
}

/// Makes a published schema comparable: descriptions and unions are not in the table, `allOf` of one is a reference.
fn comparable(value: &Value, in_properties: bool) -> Value {
    match value {
        Value::Object(map) => {
            let mut out = serde_json::Map::new();
            for (key, value) in map {
                match (&**key, in_properties) {
                    ("description" | "x-kubernetes-unions" | "x-kubernetes-group-version-kind", false) => {}
                    // Upstream marks one byte string as a list.
                    ("x-kubernetes-list-type", false) if map.get("format").is_some_and(|format| format == "byte") => {}
                    // A map is granular unless it says otherwise.
                    ("x-kubernetes-map-type", false) if value == "granular" && map.contains_key("type") => {}
                    ("allOf", false) if value.as_array().is_some_and(|all| all.len() == 1) => {
                        out.extend(comparable(&value[0], false).as_object().expect("schema").clone());
                    }
                    ("required", false) => {
                        let mut names: Vec<String> =
                            value.as_array().into_iter().flatten().map(Value::to_string).collect();
                        names.sort();
                        out.insert(key.clone(), names.into());
                    }
                    _ => {
                        out.insert(key.clone(), comparable(value, key == "properties" && !in_properties));
                    }
                }
            }
            out.into()
        }
        Value::Array(items) => items.iter().map(|item| comparable(item, false)).collect(),
        other => other.clone(),
    }
}

/// Protocol: O6
#[test]
fn every_field_of_our_kinds_is_explained() {
    let document = openapi().v3_json("fedgate.dev", "v1alpha1");
    let schemas = document["components"]["schemas"].as_object().expect("schemas");
    let mut silent = Vec::new();
    for (name, schema) in schemas.iter().filter(|(name, _)| name.starts_with("dev.fedgate.") && !name.ends_with("List"))
    {
        let properties = schema["properties"].as_object().expect("properties");
        let of_every_kind =
            |field: &str| properties.contains_key("metadata") && ["apiVersion", "kind", "metadata"].contains(&field);
        let fields =
            properties.iter().filter(|(field, property)| !of_every_kind(field) && !property["description"].is_string());
        silent.extend(fields.map(|(field, _)| format!("{name}.{field}")));
        if !schema["description"].is_string() {
            silent.push(name.clone());
        }
        let words = super::words::of(name).map_or(&[][..], |words| words.fields);
        silent.extend(
            words.iter().filter(|(field, _)| !properties.contains_key(*field)).map(|(f, _)| format!("no {name}.{f}")),
        );
    }
    assert!(silent.is_empty(), "{silent:?}");
}

/// Protocol: O6
#[test]
fn schemas_are_upstreams() {
    let Some(directory) =
        std::env::home_dir().map(|home| home.join("go/pkg/mod/k8s.io/kubernetes@v1.37.2/api/openapi-spec/v3"))
    else {
        return;
    };
    let openapi = openapi();
    let (mut compared, mut faults) = (0, Vec::new());
    for group in kubernetes().groups() {
        for version in &group.versions {
            let path = super::super::discovery::group_version_path(&group.name, version);
            let file: PathBuf = directory.join(format!("{}_openapi.json", path[1..].replace('/', "__")));
            let Ok(text) = fs::read(file) else { continue };
            let golden: Value = serde_json::from_slice(&text).expect("JSON");
            let ours = openapi.v3_json(&group.name, version);
            for (name, schema) in golden["components"]["schemas"].as_object().expect("schemas") {
                let Some(own) = ours["components"]["schemas"].get(name) else {
                    let unused = [
                        "APIResource",
                        "APIResourceList",
                        "APIGroup",
                        "APIGroupList",
                        "GroupVersionForDiscovery",
                        "ServerAddressByClientCIDR",
                        "APIVersions",
                    ];
                    if !unused.iter().any(|unused| name.ends_with(unused)) {
                        faults.push(format!("{path}: no {name}"));
                    }
                    continue;
                };
                let (own, golden) = (comparable(own, false), comparable(schema, false));
                if own != golden {
                    faults.push(format!("{path} {name}:\n  {own}\n  {golden}"));
                }
                compared += 1;
            }
            for (path, item) in ours["paths"].as_object().expect("paths") {
                if golden["paths"].get(path).is_none() {
                    faults.push(format!("no upstream path {path}"));
                }
                for (method, operation) in
                    item.as_object().expect("item").iter().filter(|(key, _)| *key != "parameters")
                {
                    let golden = &golden["paths"][path][method];
                    for key in ["operationId", "x-kubernetes-action", "x-kubernetes-group-version-kind", "tags"] {
                        if operation[key] != golden[key] {
                            faults.push(format!("{method} {path} {key}: {} and {}", operation[key], golden[key]));
                        }
                    }
                }
            }
        }
    }
    eprintln!("{compared} schemas compared");
    assert!(faults.is_empty(), "{} differ:\n{}", faults.len(), faults[..faults.len().min(30)].join("\n"));
}

/// Protocol: O4
#[test]
fn gnostic_protobuf_is_what_argo_cd_gets() {
    let wanted = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
    let openapi = openapi();
    let response = openapi.answer("/openapi/v2", None, &headers(wanted)).expect("fine").expect("there");
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/com.github.proto-openapi.spec.v2.v1.0+protobuf");
    let body = response.body();
    assert_eq!(&body[..5], b"\x0a\x032.0");
    let json = get("/openapi/v2", None);
    // Document.definitions = 9: one NamedSchema each.
    let definitions = field(body, 9).next().expect("definitions");
    let names: BTreeSet<String> = field(definitions, 1)
        .map(|named| String::from_utf8(field(named, 1).next().expect("name").to_vec()).expect("UTF-8"))
        .collect();
    let expected: BTreeSet<String> = json["definitions"].as_object().expect("definitions").keys().cloned().collect();
    assert_eq!(names, expected);
    assert_eq!(
        field(field(body, 8).next().expect("paths"), 2).count(),
        json["paths"].as_object().expect("paths").len()
    );
    eprintln!("v2: {} bytes of protobuf, {} of JSON", body.len(), json.to_string().len());
}

/// The payloads of one length-delimited field.
fn field(bytes: &[u8], wanted: u64) -> impl Iterator<Item = &[u8]> {
    let mut at = 0;
    let mut found = Vec::new();
    let varint = |at: &mut usize| {
        let mut value = 0u64;
        for shift in (0..).step_by(7) {
            let byte = bytes[*at];
            *at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        value
    };
    while at < bytes.len() {
        let key = varint(&mut at);
        let length = varint(&mut at) as usize;
        if key & 7 == 2 {
            if key >> 3 == wanted {
                found.push(&bytes[at..at + length]);
            }
            at += length;
        }
    }
    found.into_iter()
}
