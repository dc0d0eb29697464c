//! Custom kinds: the definition goes ahead, its objects follow, and nothing goes with it that is not ours.

use serde_json::{Value, json};
use testkit::wait::{SOON, holds};
use testkit::{Federation, FederationConfig, Kubectl, eventually};

use crate::shop;

const DEFINITION: &str = "widgets.example.com";

fn definition() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": DEFINITION},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "additionalPrinterColumns": [{"name": "Size", "type": "integer", "jsonPath": ".spec.size"}],
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": {
                    "type": "object", "properties": {"size": {"type": "integer", "default": 3}}}}}},
            }],
        },
    })
}

fn widget(name: &str) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name, "namespace": "default"}, "spec": {}})
}

async fn define(hub: &Kubectl) {
    hub.apply(&definition()).await;
    eventually("the definition is established", SOON, async || {
        let found = hub.get("customresourcedefinitions", DEFINITION).await?;
        let conditions = found["status"]["conditions"].as_array().cloned().unwrap_or_else(Vec::new);
        let established = conditions.iter().any(|c| c["type"] == "Established" && c["status"] == "True");
        holds(established, || format!("{conditions:?}"))
    })
    .await;
}

/// The object comes back while the first definition is on its way out of the members: it must not keep it there.
#[tokio::test]
async fn a_definition_that_comes_back_replaces_the_one_before() {
    let federation = Federation::start(FederationConfig::default()).await;
    let hub = federation.hub();
    let everywhere = async || {
        let uid = hub.get("customresourcedefinitions", DEFINITION).await?["metadata"]["uid"].clone();
        for member in shop::MEMBERS {
            let copy = federation.member(member).kubectl.get("customresourcedefinitions", DEFINITION).await?;
            let of = &copy["metadata"]["labels"]["fedgate.dev/template-uid"];
            holds(*of == uid, || format!("the definition in {member} is of {of}, not of {uid}"))?;
        }
        shop::is_in(&federation, "widgets", "one", &shop::MEMBERS).await
    };
    for _ in 0..3 {
        define(hub).await;
        hub.apply(&widget("one")).await;
        eventually("both are everywhere", SOON, everywhere).await;
        hub.delete("customresourcedefinitions", DEFINITION).await;
        eventually("the kind is gone at the hub", SOON, async || {
            hub.gone("customresourcedefinitions", DEFINITION).await
        })
        .await;
    }
    federation.stop().await;
}

#[tokio::test]
async fn a_custom_kind_goes_where_its_objects_go() {
    let federation = Federation::start(FederationConfig::default()).await;
    let hub = federation.hub();
    define(hub).await;
    hub.apply(&widget("one")).await;
    hub.apply(&widget("two")).await;
    eventually("both are everywhere", SOON, async || {
        shop::is_in(&federation, "customresourcedefinitions", DEFINITION, &shop::MEMBERS).await?;
        shop::is_in(&federation, "widgets", "one", &shop::MEMBERS).await?;
        shop::is_in(&federation, "widgets", "two", &shop::MEMBERS).await
    })
    .await;
    let west = &federation.member("west").kubectl;
    assert_eq!(west.get("widgets", "one").await.expect("a copy")["spec"]["size"], 3);

    // Somebody makes one of their own in a member: the definition has to stay there as long as that does.
    west.apply(&widget("foreign")).await;
    hub.delete("customresourcedefinitions", DEFINITION).await;
    eventually("the kind is gone at the hub", SOON, async || hub.gone("customresourcedefinitions", DEFINITION).await)
        .await;
    eventually("it leaves the members but for that one", SOON, async || {
        shop::is_in(&federation, "customresourcedefinitions", DEFINITION, &["west"]).await?;
        west.gone("widgets", "one").await?;
        west.gone("widgets", "two").await
    })
    .await;
    assert!(west.find("widgets", "foreign").await.is_some(), "what is not ours stays");
    west.delete("widgets", "foreign").await;
    eventually("then it leaves that one too", SOON, async || {
        shop::is_in(&federation, "customresourcedefinitions", DEFINITION, &[]).await
    })
    .await;
    federation.stop().await;
}
