//! One program a use of kube-rs: a controller, and watchers of each sort. Each runs against the namespace in $NS, prints
//! "done", and ends; what goes wrong is fatal. It knows nothing of fedgate but that it speaks Kubernetes.

mod controller;
mod watchers;

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::runtime::wait::{Condition, await_condition};
use kube::{Api, Client};
use serde_json::json;

/// No program takes longer.
const LIMIT: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> Result<()> {
    let program = std::env::args().nth(1).context("which program?")?;
    let namespace = std::env::var("NS").context("NS names no namespace")?;
    let hub = Client::try_default().await?;
    let maps = Api::namespaced(hub.clone(), &namespace);
    let run = async {
        match program.as_str() {
            "controller" => controller::run(hub, maps).await,
            "watchers" => watchers::run(hub, maps).await,
            other => bail!("no program {other}"),
        }
    };
    tokio::time::timeout(LIMIT, run).await.context("not in time")??;
    println!("done");
    Ok(())
}

/// A ConfigMap with one entry.
fn map(name: &str, value: &str) -> ConfigMap {
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "labels": {"role": "source"}}, "data": {"key": value}});
    serde_json::from_value(map).expect("a ConfigMap")
}

/// The value of that entry.
fn value(map: &ConfigMap) -> Option<&str> {
    map.data.as_ref()?.get("key").map(String::as_str)
}

/// Waits until an object is as it should be.
async fn becomes(maps: &Api<ConfigMap>, name: &str, condition: impl Condition<ConfigMap>) -> Result<()> {
    await_condition(maps.clone(), name, condition).await.map(drop).with_context(|| name.to_owned())
}
